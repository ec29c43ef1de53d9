//! From access units to RTP packets: RFC 6184 with packetization-mode 1 (section 6.3).
//!
//! ```text
//!  AccessUnit ─▶ clean ─▶ with parameter sets ─▶ payloads ─▶ measure ─▶ write ─▶ PacketBatch
//! ```
//!
//! The list of NAL units is walked twice: once to know how many packets and bytes there will be,
//! once to write them into a buffer of exactly that size. However large the picture, it is copied
//! once and the number of allocations is the same.

use bytes::Bytes;
use media::{
    AccessUnit,
    h264::{NalType, ParameterSets, pps_id},
};
use smallvec::SmallVec;

use crate::{
    batch::PacketBatch,
    h264::{
        params::{SeenSets, without_padding},
        payload::{FU_HEADERS, Payload, aggregation_header, fragment_headers, payloads},
    },
    header::{HEADER_LENGTH, Header},
    numbers::{RtpTimestamp, Sequence, Ssrc},
};

/// What the packets of a stream have in common.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The RTP payload type, 0 to 127; the session description names the same. Default 96, the
    /// first of the dynamic ones (RFC 3551 section 6).
    pub payload_type: u8,
    /// The synchronization source; random (RFC 3550 section 8). Default 0.
    pub ssrc: Ssrc,
    /// The first packet's sequence number; random (RFC 3550 section 5.1). Default 0.
    pub first_sequence: Sequence,
    /// The longest packet in bytes, RTP header included: the UDP payload. Default
    /// [`DEFAULT_PACKET_SIZE`], at least [`MIN_PACKET_SIZE`], at most [`MAX_PACKET_SIZE`].
    ///
    /// Raising it saves a little overhead; over the path's MTU less 28 bytes (48 for IPv6) it has
    /// the network fragment each packet, and then one lost fragment loses the packet.
    pub packet_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            payload_type: 96,
            ssrc: Ssrc(0),
            first_sequence: Sequence(0),
            packet_size: DEFAULT_PACKET_SIZE,
        }
    }
}

/// Why a [`Config`] is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A payload type has seven bits.
    #[error("the RTP payload type {0} is over 127")]
    PayloadType(u8),
    /// See [`Config::packet_size`].
    #[error(
        "a packet size of {0} bytes is outside {MIN_PACKET_SIZE} to {MAX_PACKET_SIZE} \
         (the UDP payload; {DEFAULT_PACKET_SIZE} fits almost every network)"
    )]
    PacketSize(usize),
}

/// What has been made so far, as a sender report counts it (RFC 3550 section 6.4.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Packets, modulo 2^32.
    pub packets: u32,
    /// Payload bytes, headers left out, modulo 2^32.
    pub octets: u32,
}

/// Makes the packets of one stream.
#[derive(Debug)]
pub struct Packetizer {
    config: Config,
    next_sequence: Sequence,
    totals: Totals,
    sets: SeenSets,
}

impl Packetizer {
    /// A packetizer that has made nothing yet.
    ///
    /// # Errors
    ///
    /// When the payload type or the packet size is out of its range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.payload_type > 127 {
            return Err(ConfigError::PayloadType(config.payload_type));
        }
        if !(MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&config.packet_size) {
            return Err(ConfigError::PacketSize(config.packet_size));
        }
        Ok(Self {
            config,
            next_sequence: config.first_sequence,
            totals: Totals::default(),
            sets: SeenSets::default(),
        })
    }

    /// The packets of `unit`, all with `timestamp`, the marker on the last.
    ///
    /// An IDR picture without parameter sets of its own gets the newest known in front. `None` when
    /// nothing of the unit is worth sending (only delimiters or filler); no sequence number is used
    /// up then.
    pub fn packetize(&mut self, unit: &AccessUnit, timestamp: RtpTimestamp) -> Option<PacketBatch> {
        self.sets.learn(worth_sending(unit));
        let keyframe = worth_sending(unit).any(|nal| kind_of(nal) == Some(NalType::Idr));
        let nals = outgoing(unit, self.sets.known().filter(|_| keyframe));
        let room = self.config.packet_size - HEADER_LENGTH;
        let (packets, bytes) = payloads(&nals, room)
            .map(|payload| payload.measure(room))
            .fold((0, 0), |(packets, bytes), (more, size)| (packets + more, bytes + size));
        if packets == 0 {
            return None;
        }
        let mut writer = Writer {
            header: Header {
                payload_type: self.config.payload_type,
                marker: false,
                sequence: self.next_sequence,
                timestamp,
                ssrc: self.config.ssrc,
            },
            packets,
            buffer: Vec::with_capacity(packets * HEADER_LENGTH + bytes),
            ends: Vec::with_capacity(packets),
        };
        payloads(&nals, room).for_each(|payload| writer.payload(&payload, room));
        let batch = writer.into_batch(self.next_sequence, keyframe);

        self.next_sequence = self.next_sequence.after(packets);
        self.totals.packets = self.totals.packets.wrapping_add(packets as u32);
        self.totals.octets = self.totals.octets.wrapping_add(batch.octets());
        Some(batch)
    }

    /// The newest parameter sets: seen in an access unit, or set. `None` before the first.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.sets.known()
    }

    /// Makes parameter sets known that stand outside the access units, as in the header of an MP4
    /// file. Newer ones in an access unit replace them.
    pub fn set_parameter_sets(&mut self, sets: ParameterSets) {
        self.sets.set(sets);
    }

    /// The sequence number of the next packet to be made.
    pub fn next_sequence(&self) -> Sequence {
        self.next_sequence
    }

    /// What has been made so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

/// Fits a path MTU of 1400 bytes over IPv4, which most tunnels leave.
pub const DEFAULT_PACKET_SIZE: usize = 1372;
/// Below this, headers would outweigh the picture.
pub const MIN_PACKET_SIZE: usize = 64;
/// The largest UDP payload over IPv4: 65,535 bytes less the IP and UDP headers.
pub const MAX_PACKET_SIZE: usize = 65_507;

/// NAL units on their way out; as many as fit in line are the rule.
type Nals<'a> = SmallVec<[&'a [u8]; 16]>;

/// The NAL units of `unit` in sending order, and those of `needed` that it does not bring itself.
fn outgoing<'a>(unit: &'a AccessUnit, needed: Option<&'a ParameterSets>) -> Nals<'a> {
    let inserted = needed.map_or(0, |sets| 1 + sets.pps.len());
    // Reserved at once: however many slices a picture has, there is at most one allocation.
    let mut nals = Nals::with_capacity(unit.nals().len() + inserted);
    nals.extend(worth_sending(unit));
    let Some(sets) = needed else { return nals };

    // Each PPS refers to an SPS, which must have come before it.
    let sps = nals.iter().rposition(|nal| kind_of(nal) == Some(NalType::Sps));
    let brought: SmallVec<[u32; 4]> = nals.iter().filter_map(|nal| pps_id(nal)).collect();
    let after_sps = sps.map_or(0, |index| index + 1);
    let pps = sets.pps.iter().filter(|pps| pps_id(pps).is_none_or(|id| !brought.contains(&id)));
    let sps = sps.is_none().then_some(&sets.sps);
    nals.insert_many(after_sps, sps.into_iter().chain(pps).map(|nal| &nal[..]));
    nals
}

/// The NAL units that carry something, without padding behind them.
///
/// Dropped are delimiters, end markers and filler (types 9 to 12), which say nothing that the
/// marker bit and the packet's length do not; types 0 and 24 to 31, which H.264 leaves unspecified
/// and RFC 6184 section 5.2 uses for payload structures or reserves, so that a receiver would
/// misread them; and units that are a header and nothing else.
fn worth_sending(unit: &AccessUnit) -> impl Iterator<Item = &[u8]> + Clone {
    unit.nals().filter_map(|nal| {
        let nal = without_padding(nal);
        let kept = match kind_of(nal)? {
            NalType::Aud | NalType::Filler => false,
            NalType::Other(number) => (13..24).contains(&number),
            _ => true,
        };
        (kept && nal.len() > 1).then_some(nal)
    })
}

fn kind_of(nal: &[u8]) -> Option<NalType> {
    nal.first().map(|&header| NalType::of(header))
}

/// Lays packets end to end.
struct Writer {
    /// The next packet's header.
    header: Header,
    /// How many packets there will be.
    packets: usize,
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl Writer {
    fn payload(&mut self, payload: &Payload<'_>, room: usize) {
        match payload {
            Payload::Single(nal) => self.packet([*nal]),
            Payload::Aggregate(nals) => {
                self.begin();
                self.buffer.push(aggregation_header(nals));
                for nal in *nals {
                    // `payloads` keeps the sum under the packet size, which is under 2^16.
                    self.buffer.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                    self.buffer.extend_from_slice(nal);
                }
                self.end();
            }
            Payload::Fragmented { header, body } => {
                let mut fragments = body.chunks(room - FU_HEADERS).peekable();
                let mut start = true;
                while let Some(fragment) = fragments.next() {
                    let end = fragments.peek().is_none();
                    self.packet([&fragment_headers(*header, start, end)[..], fragment]);
                    start = false;
                }
            }
        }
    }

    fn packet<const N: usize>(&mut self, parts: [&[u8]; N]) {
        self.begin();
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        self.end();
    }

    fn begin(&mut self) {
        self.header.marker = self.ends.len() + 1 == self.packets;
        self.buffer.extend_from_slice(&self.header.to_bytes());
    }

    fn end(&mut self) {
        self.ends.push(self.buffer.len());
        self.header.sequence = self.header.sequence.after(1);
    }

    fn into_batch(self, first_sequence: Sequence, keyframe: bool) -> PacketBatch {
        debug_assert_eq!(self.ends.len(), self.packets);
        debug_assert_eq!(self.buffer.len(), self.buffer.capacity());
        PacketBatch::new(
            Bytes::from(self.buffer),
            self.ends.into_boxed_slice(),
            first_sequence,
            self.header.timestamp,
            keyframe,
        )
    }
}

#[cfg(test)]
mod tests;
