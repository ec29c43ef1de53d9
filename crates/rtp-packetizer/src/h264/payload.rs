//! The three payload structures of packetization-mode 1 (RFC 6184 section 6.3): single NAL unit,
//! STAP-A, FU-A. Decides which NAL units share a packet; writes their small headers.

use media::h264::NalType;

/// What becomes of one or several NAL units.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    /// One packet that is the NAL unit itself (RFC 6184 section 5.6).
    Single(&'a [u8]),
    /// One STAP-A packet of at least two NAL units (section 5.7.1).
    Aggregate(&'a [&'a [u8]]),
    /// At least two FU-A packets (section 5.8). All but the last are as long as a packet may be:
    /// packets of equal length leave in one segmented send.
    Fragmented {
        /// The NAL unit's first byte, which the fragments do not carry.
        header: u8,
        /// The rest of the NAL unit.
        body: &'a [u8],
    },
}

impl Payload<'_> {
    /// How many packets this makes, and how many payload bytes they have together.
    pub(crate) fn measure(&self, room: usize) -> (usize, usize) {
        match self {
            Self::Single(nal) => (1, nal.len()),
            Self::Aggregate(nals) => {
                (1, STAP_HEADER + nals.iter().map(|nal| STAP_LENGTH + nal.len()).sum::<usize>())
            }
            Self::Fragmented { body, .. } => {
                let packets = body.len().div_ceil(room - FU_HEADERS);
                (packets, body.len() + packets * FU_HEADERS)
            }
        }
    }
}

/// Distributes `nals`, none of them empty, over payloads of at most `room` bytes, in order.
///
/// Neighbouring parameter sets and SEI are aggregated as far as they fit; slices never are, since a
/// picture's slices of equal size then leave in equal packets.
pub(crate) fn payloads<'a>(nals: &'a [&'a [u8]], room: usize) -> impl Iterator<Item = Payload<'a>> {
    let mut rest = nals;
    std::iter::from_fn(move || {
        let (first, behind) = rest.split_first()?;
        let aggregated = aggregated(rest, room);
        if aggregated > 1 {
            let (nals, behind) = rest.split_at_checked(aggregated)?;
            rest = behind;
            return Some(Payload::Aggregate(nals));
        }
        rest = behind;
        if first.len() <= room {
            return Some(Payload::Single(first));
        }
        let (&header, body) = first.split_first()?;
        Some(Payload::Fragmented { header, body })
    })
}

/// How many of the first `nals` go into one STAP-A; one or none means that none is made.
fn aggregated(nals: &[&[u8]], room: usize) -> usize {
    let mut size = STAP_HEADER;
    nals.iter()
        .take_while(|nal| {
            size += STAP_LENGTH + nal.len();
            size <= room && nal.first().is_some_and(|&header| is_small_talk(header))
        })
        .count()
}

fn is_small_talk(header: u8) -> bool {
    matches!(NalType::of(header), NalType::Sps | NalType::Pps | NalType::Sei)
}

/// The first byte of a STAP-A packet's payload (RFC 6184 section 5.7.1):
///
/// ```text
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |F|NRI|Type=24  |         NALU 1 Size           | NALU 1 HDR    |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |                         NALU 1 Data                           |
///  :                                                               :
///  +               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |               | NALU 2 Size                   | NALU 2 HDR    |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// F is set when it is set in any of the NAL units (section 5.7), NRI is their maximum.
pub(crate) fn aggregation_header(nals: &[&[u8]]) -> u8 {
    let headers = nals.iter().filter_map(|nal| nal.first());
    let (forbidden, importance) = headers.fold((0, 0), |(forbidden, importance), header| {
        (forbidden | header & FORBIDDEN_BIT, importance.max(header & NRI_BITS))
    });
    forbidden | importance | STAP_A
}

/// The two bytes before the fragment in a FU-A packet (RFC 6184 section 5.8). F and NRI are the
/// fragmented NAL unit's own, and its type moves into the second byte:
///
/// ```text
///   FU indicator     FU header
///  +---------------+---------------+
///  |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |F|NRI|Type=28  |S|E|R|  Type   |
///  +---------------+---------------+
/// ```
pub(crate) const fn fragment_headers(nal_header: u8, start: bool, end: bool) -> [u8; FU_HEADERS] {
    let indicator = nal_header & (FORBIDDEN_BIT | NRI_BITS) | FU_A;
    let header = (start as u8) << 7 | (end as u8) << 6 | nal_header & TYPE_BITS;
    [indicator, header]
}

/// Bytes before the fragment in a FU-A packet.
pub(crate) const FU_HEADERS: usize = 2;

const STAP_HEADER: usize = 1;
const STAP_LENGTH: usize = 2;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FORBIDDEN_BIT: u8 = 0x80;
const NRI_BITS: u8 = 0x60;
const TYPE_BITS: u8 = 0x1f;
