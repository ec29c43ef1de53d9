//! RTCP (RFC 3550 section 6): what a sender says, and what receivers answer.
//!
//! Written are compound packets of a sender report and a source description, at the end with a BYE.
//! Read are the reception report blocks and BYEs of whatever arrives; all other packet types are
//! skipped by their length, and so are reduced-size packets (RFC 5506), which begin with any type.

use std::time::Duration;

use bytes::BytesMut;
use rtcp_types::{
    Bye, ReceiverReport, ReportBlock, RtcpPacket as _, RtcpPacketParser as _, RtcpPacketWriter,
    RtcpParseError, Sdes, SdesChunk, SdesItem, SenderReport,
};
use smallvec::SmallVec;

use crate::numbers::{RtpTimestamp, Ssrc};

/// What a sender report says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SenderInfo<'a> {
    /// The stream's source.
    pub ssrc: Ssrc,
    /// Now, as a 64-bit NTP timestamp ([`media::WallTime::to_ntp`]).
    pub ntp: u64,
    /// The same moment on the stream's RTP clock.
    pub timestamp: RtpTimestamp,
    /// Packets made so far, modulo 2^32.
    pub packets: u32,
    /// Payload bytes made so far, modulo 2^32.
    pub octets: u32,
    /// The canonical name (RFC 3550 section 6.5.1); cut after 255 bytes.
    pub cname: &'a str,
}

/// Appends a compound packet to `out`: sender report, CNAME.
pub fn write_sender_report(out: &mut BytesMut, info: &SenderInfo<'_>) {
    let report = SenderReport::builder(info.ssrc.0)
        .ntp_timestamp(info.ntp)
        .rtp_timestamp(info.timestamp.0)
        .packet_count(info.packets)
        .octet_count(info.octets);
    append(out, &report);
    let cname = SdesItem::builder(SdesItem::CNAME, cut(info.cname));
    let chunk = SdesChunk::builder(info.ssrc.0).add_item(cname);
    append(out, &Sdes::builder().add_chunk(chunk));
}

/// Appends a compound packet to `out`: sender report, CNAME, and a BYE that gives `reason` (left
/// out when empty, cut after 255 bytes).
pub fn write_bye(out: &mut BytesMut, info: &SenderInfo<'_>, reason: &str) {
    write_sender_report(out, info);
    append(out, &Bye::builder().add_source(info.ssrc.0).reason(cut(reason)));
}

/// What a datagram from a receiver says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Received {
    /// All reception reports, whichever source they are about, at most [`MAX_REPORTS`].
    pub reports: SmallVec<[ReceptionReport; 1]>,
    /// Whether there was a BYE.
    pub bye: bool,
}

impl Received {
    /// The reports about `ssrc`.
    pub fn about(&self, ssrc: Ssrc) -> impl Iterator<Item = &ReceptionReport> {
        self.reports.iter().filter(move |report| report.ssrc == ssrc)
    }
}

/// How one receiver gets one source (RFC 3550 section 6.4.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ReceptionReport {
    /// The receiver.
    pub reporter: Ssrc,
    /// The source it reports on.
    pub ssrc: Ssrc,
    /// Packets lost since its last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all; negative when duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// The highest sequence number received in the lower 16 bits, its wraps in the upper.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP timestamp of the last sender report; 0 before the first.
    pub lsr: u32,
    /// Time from that report's arrival to this report's sending, in 65536ths of a second.
    pub dlsr: u32,
}

/// Why a datagram is no RTCP.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// A packet's header or body reaches past the end of the datagram.
    #[error("an RTCP packet at byte {at} needs {expected} bytes, {actual} are left")]
    Truncated {
        /// Where the packet begins.
        at: usize,
        /// How many bytes it says or must have.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// The version field is not 2.
    #[error("byte {at} begins a packet of version {version}, RTCP has version 2")]
    Version {
        /// Where the packet begins.
        at: usize,
        /// What it says.
        version: u8,
    },
    /// The first packet's type is none of RTCP's.
    #[error("packet type {0} is not RTCP")]
    PacketType(u8),
    /// A report or BYE is shorter than the number of its entries demands, or wrongly padded.
    #[error("the RTCP packet of type {packet_type} at byte {at} is malformed")]
    Malformed {
        /// Where the packet begins.
        at: usize,
        /// Its type.
        packet_type: u8,
    },
}

/// Reads a datagram, or the data of one interleaved frame.
///
/// # Errors
///
/// When it is empty, is no RTCP, or a packet in it is truncated or contradicts itself.
pub fn parse(datagram: &[u8]) -> Result<Received, RtcpError> {
    let mut received = Received::default();
    let mut at = 0;
    loop {
        let rest = datagram.get(at..).unwrap_or_default();
        let header = CommonHeader::parse(rest, at)?;
        if at == 0 && !PACKET_TYPES.contains(&header.packet_type) {
            return Err(RtcpError::PacketType(header.packet_type));
        }
        let malformed =
            |_: RtcpParseError| RtcpError::Malformed { at, packet_type: header.packet_type };
        let Some(packet) = rest.get(..header.length) else {
            let actual = rest.len();
            return Err(RtcpError::Truncated { at, expected: header.length, actual });
        };
        match header.packet_type {
            SenderReport::PACKET_TYPE => {
                let report = SenderReport::parse(packet).map_err(malformed)?;
                received.add(Ssrc(report.ssrc()), report.report_blocks());
            }
            ReceiverReport::PACKET_TYPE => {
                let report = ReceiverReport::parse(packet).map_err(malformed)?;
                received.add(Ssrc(report.ssrc()), report.report_blocks());
            }
            Bye::PACKET_TYPE => {
                Bye::parse(packet).map_err(malformed)?;
                received.bye = true;
            }
            _ => {}
        }
        at += header.length;
        if at == datagram.len() {
            return Ok(received);
        }
    }
}

/// Whether `payload` is RTCP and not RTP, by its packet type: receivers mistake channels and ports.
/// An RTP packet would need a marker and a payload type of 72 to 79 to look alike, which RFC 5761
/// section 4 rules out for this reason.
pub fn is_rtcp(payload: &[u8]) -> bool {
    matches!(payload, [first, 200..=207, ..] if first >> 6 == 2)
}

/// The SSRC of who sent an RTP or RTCP packet; `None` when it is neither.
///
/// ```text
///  RTP   V=2 … sequence | timestamp | SSRC        RTCP   V=2 … type 192..=223, length | SSRC
/// ```
pub fn sender_of(packet: &[u8]) -> Option<Ssrc> {
    let &[first, packet_type, ..] = packet else { return None };
    if first >> 6 != 2 {
        return None;
    }
    let at = if PACKET_TYPES.contains(&packet_type) { 4 } else { 8 };
    let (ssrc, _) = packet.get(at..)?.split_first_chunk()?;
    Some(Ssrc(u32::from_be_bytes(*ssrc)))
}

/// The round trip time that a report shows when it arrives at `now_ntp` (RFC 3550 section 6.4.1):
///
/// ```text
///  now (middle 32 bits) − LSR − DLSR, in 65536ths of a second
/// ```
///
/// `None` before the receiver had a sender report. Zero where rounding, or a receiver that counts
/// wrongly, makes it negative.
pub fn rtt(lsr: u32, dlsr: u32, now_ntp: u64) -> Option<Duration> {
    if lsr == 0 {
        return None;
    }
    let now = (now_ntp >> 16) as u32;
    let ticks = now.wrapping_sub(lsr).wrapping_sub(dlsr).cast_signed().max(0);
    Some(Duration::from_nanos((u64::from(ticks.unsigned_abs()) * 1_000_000_000) >> 16))
}

/// The most reception reports taken from one datagram: as many as one packet can have. A receiver
/// of one stream sends one.
pub const MAX_REPORTS: usize = 31;

/// The types of RTCP packets that begin a datagram; RFC 5761 section 4 keeps these apart from RTP.
const PACKET_TYPES: std::ops::RangeInclusive<u8> = 192..=223;

impl Received {
    fn add<'a>(&mut self, reporter: Ssrc, blocks: impl Iterator<Item = ReportBlock<'a>>) {
        let room = MAX_REPORTS.saturating_sub(self.reports.len());
        self.reports.extend(blocks.take(room).map(|block| ReceptionReport {
            reporter,
            ssrc: Ssrc(block.ssrc()),
            fraction_lost: block.fraction_lost(),
            // A signed number of 24 bits: its sign moves to where 32 bits have it, and back.
            cumulative_lost: (block.cumulative_lost() << 8).cast_signed() >> 8,
            highest_sequence: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
            lsr: block.last_sender_report_timestamp(),
            dlsr: block.delay_since_last_sender_report_timestamp(),
        }));
    }
}

/// What all RTCP packets begin with (RFC 3550 section 6.4.1):
///
/// ```text
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |V=2|P|    RC   |  packet type  |  length in words, minus one   |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
struct CommonHeader {
    packet_type: u8,
    /// Bytes of the whole packet.
    length: usize,
}

impl CommonHeader {
    fn parse(rest: &[u8], at: usize) -> Result<Self, RtcpError> {
        let &[first, packet_type, high, low, ..] = rest else {
            return Err(RtcpError::Truncated { at, expected: 4, actual: rest.len() });
        };
        if first >> 6 != 2 {
            return Err(RtcpError::Version { at, version: first >> 6 });
        }
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        Ok(Self { packet_type, length })
    }
}

fn append(out: &mut BytesMut, packet: &impl RtcpPacketWriter) {
    let Ok(size) = packet.calculate_size() else {
        // Texts are cut to fit, and there is one source: no limit of RTCP's can be broken.
        debug_assert!(false, "{packet:?} cannot be written");
        return;
    };
    let start = out.len();
    out.resize(start + size, 0);
    // The length field is taken from the length of the slice, which must therefore be exact.
    packet.write_into_unchecked(out.get_mut(start..).unwrap_or_default());
}

/// The longest part of `text` that fits the one length byte of RTCP texts.
fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(usize::from(u8::MAX));
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests;
