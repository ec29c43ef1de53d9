//! A small, strict depacketizer for H.264 over RTP (RFC 3550 section 5.1, RFC 6184): what tests and
//! the load client hold against every packet a server sends.
//!
//! It forgives nothing that players forgive. What RFC 6184 forbids, and what our packetizer has no
//! reason to do (padding, header extensions, contributing sources), is a [`Defect`]. It shares no
//! code with the packetizer, so that both cannot be wrong in the same way.
//!
//! After a defect the access unit in hand is given up, and with it everything to the next marker.

use std::{error, fmt, mem};

use bytes::Bytes;
use media::{AccessUnit, MediaTime, h264::NalType};
use rtp_packetizer::{RtpTimestamp, Sequence, Ssrc};

/// Puts access units together from the packets of one stream, in the order they come.
#[derive(Debug, Default)]
pub struct Depacketizer {
    /// Payload type and source of the first packet; all others must have the same.
    stream: Option<(u8, Ssrc)>,
    next: Option<Sequence>,
    /// The timestamp of the last unit that ended.
    ended: Option<RtpTimestamp>,
    /// The unit in hand.
    unit: Option<Unit>,
    /// The fragmented NAL unit in hand.
    fragmented: Option<Vec<u8>>,
    /// Waiting for a marker, after a defect.
    skipping: bool,
    counts: Counts,
}

impl Depacketizer {
    /// One that takes the first packet as the beginning of an access unit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one RTP packet; returns the access unit it completes.
    ///
    /// # Errors
    ///
    /// What is wrong with the packet, or with its place in the stream. The next packets can still
    /// be pushed.
    pub fn push(&mut self, packet: &[u8]) -> Result<Option<Unit>, Defect> {
        let packet = Packet::parse(packet)?;
        let stream = (packet.payload_type, packet.ssrc);
        match *self.stream.get_or_insert(stream) {
            (payload_type, _) if payload_type != packet.payload_type => {
                let (expected, actual) = (payload_type, packet.payload_type);
                return Err(Defect::PayloadType { expected, actual });
            }
            (_, ssrc) if ssrc != packet.ssrc => {
                return Err(Defect::Ssrc { expected: ssrc, actual: packet.ssrc });
            }
            _ => {}
        }
        let expected = self.next.unwrap_or(packet.sequence);
        let ahead = packet.sequence.since(expected);
        if ahead >= 0x8000 {
            self.counts.late += 1;
            return Err(Defect::Late { expected, actual: packet.sequence });
        }
        self.counts.packets += 1;
        self.next = Some(packet.sequence.after(1));
        if ahead > 0 {
            self.counts.lost += u64::from(ahead);
            self.give_up(packet.marker);
            return Err(Defect::Gap { expected, actual: packet.sequence });
        }
        if self.skipping {
            self.skipping = !packet.marker;
            return Ok(None);
        }
        let taken = self.take(&packet);
        match taken {
            Ok(Some(_)) => self.counts.units += 1,
            Ok(None) => {}
            Err(_) => self.give_up(packet.marker),
        }
        taken
    }

    /// What has come so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn take(&mut self, packet: &Packet<'_>) -> Result<Option<Unit>, Defect> {
        let timestamp = packet.timestamp;
        let unit = self.unit.get_or_insert_with(|| Unit {
            nals: Vec::new(),
            timestamp,
            first_sequence: packet.sequence,
            packets: 0,
        });
        if unit.timestamp != timestamp {
            return Err(Defect::NoMarker { unit: unit.timestamp, next: timestamp });
        }
        if self.ended == Some(timestamp) {
            return Err(Defect::RepeatedTimestamp(timestamp));
        }
        unit.packets += 1;
        let (&first, rest) = packet.payload.split_first().ok_or(Defect::EmptyPayload)?;
        if self.fragmented.is_some() && first & TYPE_BITS != FU_A {
            return Err(Defect::Fragment("another NAL unit before the last fragment"));
        }
        match first & TYPE_BITS {
            1..24 => unit.nals.push(packet.payload.to_vec()),
            STAP_A => aggregated(first, rest, &mut unit.nals)?,
            FU_A => {
                if let Some(nal) = fragment(first, rest, &mut self.fragmented)? {
                    unit.nals.push(nal);
                }
            }
            other => return Err(Defect::Structure(other)),
        }
        if !packet.marker {
            return Ok(None);
        }
        if self.fragmented.is_some() {
            return Err(Defect::Fragment("a marker before the last fragment"));
        }
        self.ended = Some(timestamp);
        Ok(self.unit.take())
    }

    fn give_up(&mut self, at_marker: bool) {
        self.unit = None;
        self.fragmented = None;
        if !self.skipping {
            self.counts.broken += 1;
        }
        self.skipping = !at_marker;
    }
}

/// One access unit as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The NAL units in the order they came, header bytes included, none empty.
    pub nals: Vec<Vec<u8>>,
    /// The timestamp of all its packets.
    pub timestamp: RtpTimestamp,
    /// The sequence number of its first packet.
    pub first_sequence: Sequence,
    /// How many packets it came in.
    pub packets: usize,
}

impl Unit {
    /// Whether it is an IDR picture.
    pub fn is_keyframe(&self) -> bool {
        self.has(NalType::Idr)
    }

    /// Whether SPS and PPS are in it.
    pub fn has_parameter_sets(&self) -> bool {
        self.has(NalType::Sps) && self.has(NalType::Pps)
    }

    /// The same NAL units as the rest of the system knows them.
    pub fn to_access_unit(&self, time: MediaTime) -> AccessUnit {
        let mut data = Vec::with_capacity(self.nals.iter().map(|nal| 4 + nal.len()).sum());
        for nal in &self.nals {
            data.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            data.extend_from_slice(nal);
        }
        AccessUnit::from_length_prefixed(Bytes::from(data), 4, time)
            .expect("the lengths were written just now")
    }

    fn has(&self, kind: NalType) -> bool {
        self.nals.iter().any(|nal| NalType::of(nal[0]) == kind)
    }
}

/// What a [`Depacketizer`] has seen.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Packets in their place or after a gap.
    pub packets: u64,
    /// Packets missing in gaps.
    pub lost: u64,
    /// Packets that came again or too late.
    pub late: u64,
    /// Whole access units.
    pub units: u64,
    /// Times an access unit was given up for a defect.
    pub broken: u64,
}

/// What is wrong with a packet, or with its place in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The RTP header is malformed, or uses what this stream has no use for.
    Header(&'static str),
    /// Another payload type than the first packet's.
    PayloadType {
        /// The first packet's.
        expected: u8,
        /// This packet's.
        actual: u8,
    },
    /// Another source than the first packet's.
    Ssrc {
        /// The first packet's.
        expected: Ssrc,
        /// This packet's.
        actual: Ssrc,
    },
    /// Packets are missing.
    Gap {
        /// The number that should have come.
        expected: Sequence,
        /// The number that came.
        actual: Sequence,
    },
    /// A packet that was there already, or was overtaken. It is ignored.
    Late {
        /// The number that should have come.
        expected: Sequence,
        /// The number that came.
        actual: Sequence,
    },
    /// The timestamp changes though the access unit has not ended.
    NoMarker {
        /// The unfinished unit's timestamp.
        unit: RtpTimestamp,
        /// This packet's.
        next: RtpTimestamp,
    },
    /// Two access units in a row have this timestamp.
    RepeatedTimestamp(RtpTimestamp),
    /// There is nothing behind the RTP header.
    EmptyPayload,
    /// A payload structure that packetization-mode 1 does not have, by its type.
    Structure(u8),
    /// An aggregation packet breaks RFC 6184 section 5.7.
    Aggregate(&'static str),
    /// A fragmentation unit breaks RFC 6184 section 5.8.
    Fragment(&'static str),
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(what) => write!(f, "RTP header: {what}"),
            Self::PayloadType { expected, actual } => {
                write!(f, "payload type {actual} instead of {expected}")
            }
            Self::Ssrc { expected, actual } => write!(f, "SSRC {actual} instead of {expected}"),
            Self::Gap { expected, actual } => {
                write!(f, "sequence number {actual} instead of {expected}: packets are missing")
            }
            Self::Late { expected, actual } => {
                write!(f, "sequence number {actual} instead of {expected}: repeated or too late")
            }
            Self::NoMarker { unit, next } => {
                write!(f, "timestamp {next} while the unit of {unit} has had no marker")
            }
            Self::RepeatedTimestamp(timestamp) => {
                write!(f, "timestamp {timestamp} in two access units")
            }
            Self::EmptyPayload => write!(f, "there is nothing behind the RTP header"),
            Self::Structure(number) => {
                write!(f, "payload structure {number} is not of packetization-mode 1")
            }
            Self::Aggregate(what) => write!(f, "STAP-A: {what}"),
            Self::Fragment(what) => write!(f, "FU-A: {what}"),
        }
    }
}

impl error::Error for Defect {}

/// An RTP packet with a fixed header and nothing else before the payload (RFC 3550 section 5.1).
///
/// ```text
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |                           timestamp                           |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |           synchronization source (SSRC) identifier            |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
struct Packet<'a> {
    marker: bool,
    payload_type: u8,
    sequence: Sequence,
    timestamp: RtpTimestamp,
    ssrc: Ssrc,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(packet: &'a [u8]) -> Result<Self, Defect> {
        let Some((&[first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3], payload)) =
            packet.split_first_chunk::<12>()
        else {
            return Err(Defect::Header("shorter than 12 bytes"));
        };
        if first >> 6 != 2 {
            return Err(Defect::Header("the version is not 2"));
        }
        if first & 0x3f != 0 {
            return Err(Defect::Header("padding, an extension, or contributing sources"));
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: Sequence(u16::from_be_bytes([s0, s1])),
            timestamp: RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc(u32::from_be_bytes([r0, r1, r2, r3])),
            payload,
        })
    }
}

/// The NAL units of a STAP-A packet (RFC 6184 section 5.7.1), of which `rest` is what follows the
/// first byte: each is preceded by its length in two bytes.
fn aggregated(first: u8, mut rest: &[u8], nals: &mut Vec<Vec<u8>>) -> Result<(), Defect> {
    let error = |what| Err(Defect::Aggregate(what));
    let (mut forbidden, mut importance) = (0, 0);
    if rest.is_empty() {
        return error("it aggregates nothing");
    }
    while !rest.is_empty() {
        let Some((length, behind)) = rest.split_first_chunk::<2>() else {
            return error("the last length is cut off");
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((nal, behind)) = behind.split_at_checked(length) else {
            return error("a length reaches past the end");
        };
        let Some(&header) = nal.first() else { return error("a length is zero") };
        if !matches!(NalType::of(header), NalType::Sps | NalType::Pps | NalType::Sei) {
            return error("it aggregates other than parameter sets and SEI");
        }
        forbidden |= header & FORBIDDEN_BIT;
        importance = importance.max(header & NRI_BITS);
        nals.push(nal.to_vec());
        rest = behind;
    }
    if first & FORBIDDEN_BIT != forbidden {
        return error("F is not the NAL units' own");
    }
    if first & NRI_BITS != importance {
        return error("NRI is not the NAL units' maximum");
    }
    Ok(())
}

/// Adds a FU-A packet (RFC 6184 section 5.8), of which `rest` is what follows the first byte, to
/// the NAL unit in hand; returns it when this was its last fragment.
///
/// ```text
///   FU indicator     FU header
///  +---------------+---------------+
///  |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |F|NRI|Type=28  |S|E|R|  Type   |
///  +---------------+---------------+
/// ```
fn fragment(
    indicator: u8,
    rest: &[u8],
    in_hand: &mut Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Defect> {
    let error = |what| Err(Defect::Fragment(what));
    let Some((&header, body)) = rest.split_first() else { return error("there is no FU header") };
    let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
    if start && end {
        return error("start and end in one fragment");
    }
    if header & 0x20 != 0 {
        return error("the reserved bit is set");
    }
    if body.is_empty() {
        return error("the fragment is empty");
    }
    let nal_header = indicator & (FORBIDDEN_BIT | NRI_BITS) | header & TYPE_BITS;
    if !(1..24).contains(&(nal_header & TYPE_BITS)) {
        return error("it fragments what is no NAL unit");
    }
    match (in_hand.as_mut(), start) {
        (Some(_), true) => return error("a start before the end"),
        (None, false) => return error("a middle or an end without a start"),
        (Some(nal), false) if nal[0] != nal_header => {
            return error("F, NRI or type differ from the first fragment's");
        }
        (Some(nal), false) => nal.extend_from_slice(body),
        (None, true) => *in_hand = Some([&[nal_header], body].concat()),
    }
    Ok(if end { mem::take(in_hand) } else { None })
}

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FORBIDDEN_BIT: u8 = 0x80;
const NRI_BITS: u8 = 0x60;
const TYPE_BITS: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, if marker { 0xe0 } else { 0x60 }];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([1, 2, 3, 4]);
        packet.extend(payload);
        packet
    }

    /// What comes of packets numbered from 65534 on, all with timestamp 9.
    fn pushed(packets: &[(bool, &[u8])]) -> Result<Option<Unit>, Defect> {
        let mut depacketizer = Depacketizer::new();
        let mut last = Ok(None);
        for (index, (marker, payload)) in packets.iter().enumerate() {
            let sequence = 65_534u16.wrapping_add(index as u16);
            last = depacketizer.push(&packet(sequence, 9, *marker, payload));
            if last.is_err() {
                break;
            }
        }
        last
    }

    #[test]
    fn the_three_structures() {
        let unit = pushed(&[
            (false, &[0x78, 0, 2, 0x67, 1, 0, 3, 0x08, 2, 3]),
            (false, &[0x7c, 0x85, 1, 2]),
            (false, &[0x7c, 0x05, 3]),
            (false, &[0x7c, 0x45, 4]),
            (true, &[0x65, 5]),
        ]);
        let unit = unit.unwrap().unwrap();
        let nals: [&[u8]; 4] = [&[0x67, 1], &[0x08, 2, 3], &[0x65, 1, 2, 3, 4], &[0x65, 5]];
        assert_eq!(unit.nals, nals);
        assert!(unit.is_keyframe() && unit.has_parameter_sets());
        assert_eq!((unit.first_sequence, unit.packets), (Sequence(65_534), 5));
        assert!(unit.to_access_unit(MediaTime::ZERO).nals().eq(nals));
    }

    #[test]
    fn what_the_rfc_forbids() {
        let first = (false, &[0x7c, 0x85, 1][..]);
        for (packets, what) in [
            (&[(false, &[][..])][..], "nothing behind"),
            (&[(false, &[0x79, 0, 0])], "structure 25"),
            (&[(false, &[0x60])], "structure 0"),
            (&[(false, &[0x78])], "aggregates nothing"),
            (&[(false, &[0x78, 0])], "length is cut off"),
            (&[(false, &[0x78, 0, 3, 0x67, 1])], "past the end"),
            (&[(false, &[0x78, 0, 0])], "length is zero"),
            (&[(false, &[0x78, 0, 1, 0x67, 0, 1, 0x65])], "other than parameter sets"),
            (&[(false, &[0xf8, 0, 1, 0x67])], "F is not"),
            (&[(false, &[0x58, 0, 1, 0x67])], "NRI is not"),
            (&[(false, &[0x7c])], "no FU header"),
            (&[(false, &[0x7c, 0xc5, 1])], "start and end"),
            (&[(false, &[0x7c, 0xa5, 1])], "reserved"),
            (&[(false, &[0x7c, 0x85])], "empty"),
            (&[(false, &[0x7c, 0x98, 1])], "no NAL unit"),
            (&[(false, &[0x7c, 0x05, 1])], "without a start"),
            (&[first, first], "start before the end"),
            (&[first, (false, &[0x7c, 0x41, 1])], "differ"),
            (&[first, (false, &[0x5c, 0x45, 1])], "differ"),
            (&[first, (false, &[0x65, 1])], "another NAL unit"),
            (&[first, (true, &[0x7c, 0x05, 1])], "marker before"),
            (&[(true, &[0x65, 1]), (true, &[0x65, 1])], "two access units"),
        ] {
            let defect = pushed(packets).expect_err(what).to_string();
            assert!(defect.contains(what), "{what:?} not in {defect:?}");
        }
    }

    #[test]
    fn headers_that_do_not_belong() {
        let good = packet(1, 1, false, &[0x65, 1]);
        let with = |index: usize, byte: u8| {
            let mut packet = packet(2, 1, true, &[0x65, 1]);
            packet[index] = byte;
            packet
        };
        for (bad, what) in [
            (good[..11].to_vec(), "shorter"),
            (with(0, 0x40), "version"),
            (with(0, 0xa0), "padding"),
            (with(0, 0x90), "padding"),
            (with(0, 0x81), "padding"),
            (with(1, 0x61), "payload type 97"),
            (with(8, 9), "SSRC 09020304"),
            (with(7, 2), "no marker"),
        ] {
            let mut depacketizer = Depacketizer::new();
            depacketizer.push(&good).unwrap();
            let defect = depacketizer.push(&bad).expect_err(what).to_string();
            assert!(defect.contains(what), "{what:?} not in {defect:?}");
        }
    }

    #[test]
    fn losses_are_counted_and_their_unit_given_up() {
        let mut depacketizer = Depacketizer::new();
        let mut push = |sequence, timestamp, marker| {
            depacketizer.push(&packet(sequence, timestamp, marker, &[0x65, 1]))
        };
        push(65_535, 1, false).unwrap();
        let gap = Defect::Gap { expected: Sequence(0), actual: Sequence(2) };
        assert_eq!(push(2, 1, false), Err(gap));
        let late = Defect::Late { expected: Sequence(3), actual: Sequence(1) };
        assert_eq!(push(1, 1, false), Err(late));
        assert_eq!(push(3, 1, true), Ok(None));
        assert!(push(4, 2, true).unwrap().is_some());
        let gap = Defect::Gap { expected: Sequence(5), actual: Sequence(6) };
        assert_eq!(push(6, 3, true), Err(gap));
        assert!(push(7, 4, true).unwrap().is_some());
        let counts = Counts { packets: 6, lost: 3, late: 1, units: 2, broken: 2 };
        assert_eq!(depacketizer.counts(), counts);
    }
}
