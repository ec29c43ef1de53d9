//! The packets of one access unit, laid end to end.
//!
//! ```text
//!  bytes()   [packet 0][packet 1][packet 2][pkt 3][packet 4]…
//!  runs()    └──────── one send ────────────────┘└─ next ──…   equal lengths, the last may be shorter
//! ```
//!
//! One buffer serves every viewer: over UDP as runs for segmentation offload (`UDP_SEGMENT`), over
//! TCP with the interleaving headers of RFC 2326 section 10.12 between the packets.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    header::HEADER_LENGTH,
    numbers::{RtpTimestamp, Sequence},
};

/// One access unit as RTP packets, at least one. Cloning costs one reference count; the clones
/// share the interleaved image too.
#[derive(Clone)]
pub struct PacketBatch(Arc<Packets>);

struct Packets {
    bytes: Bytes,
    /// Where each packet ends in `bytes`, ascending; the last is the length of `bytes`.
    ends: Box<[usize]>,
    first_sequence: Sequence,
    timestamp: RtpTimestamp,
    keyframe: bool,
    interleaved: OnceLock<Bytes>,
}

impl PacketBatch {
    /// `ends` must ascend in steps of 1 to 65535 bytes, and end with the length of `bytes`.
    pub(crate) fn new(
        bytes: Bytes,
        ends: Box<[usize]>,
        first_sequence: Sequence,
        timestamp: RtpTimestamp,
        keyframe: bool,
    ) -> Self {
        debug_assert_eq!(ends.last().copied(), Some(bytes.len()));
        let interleaved = OnceLock::new();
        Self(Arc::new(Packets { bytes, ends, first_sequence, timestamp, keyframe, interleaved }))
    }

    /// All packets, one after the other, without anything in between.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// How many packets there are; never zero.
    pub fn packet_count(&self) -> usize {
        self.0.ends.len()
    }

    /// The packets in sending order, each a whole RTP packet.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        // The ranges lie within the buffer by construction.
        (0..self.packet_count()).map(|index| self.packet(index).unwrap_or_default())
    }

    /// Packet `index`, counted from 0; `None` past the last.
    pub fn packet(&self, index: usize) -> Option<&[u8]> {
        self.0.bytes.get(self.range(index)?)
    }

    /// Payload bytes in all packets together, headers left out: what the octet count of a sender
    /// report counts (RFC 3550 section 6.4.1).
    pub fn octets(&self) -> u32 {
        (self.0.bytes.len() - self.packet_count() * HEADER_LENGTH) as u32
    }

    /// The sequence number of packet 0.
    pub fn first_sequence(&self) -> Sequence {
        self.0.first_sequence
    }

    /// The timestamp, the same in all packets.
    pub fn timestamp(&self) -> RtpTimestamp {
        self.0.timestamp
    }

    /// Whether the access unit is an IDR picture: a viewer can begin here.
    pub fn is_keyframe(&self) -> bool {
        self.0.keyframe
    }

    /// Cuts the packets from `from_packet` on into runs that one segmented UDP send can carry: in
    /// each run all packets have the length of the first, but for the last, which may be shorter.
    ///
    /// A run has at most `max_segments` packets and `max_bytes` bytes; the kernel takes 64 and
    /// 65,507. A packet that alone is over `max_bytes` is a run of its own.
    pub fn runs(
        &self,
        from_packet: usize,
        max_segments: usize,
        max_bytes: usize,
    ) -> impl Iterator<Item = Run> + '_ {
        let mut next = from_packet;
        std::iter::from_fn(move || {
            let run = self.run(next, max_segments, max_bytes)?;
            next = run.packets.end;
            Some(run)
        })
    }

    /// All packets as interleaved binary data of channel 0, `$ 0 length packet` each, in one
    /// contiguous buffer. Built by the first call, shared by all later ones.
    pub fn interleaved(&self) -> &Bytes {
        self.0.interleaved.get_or_init(|| {
            let headers = self.packet_count() * INTERLEAVED_HEADER_LENGTH;
            let mut image = Vec::with_capacity(self.0.bytes.len() + headers);
            for packet in self.packets() {
                image.extend_from_slice(&interleaved_header(0, packet.len()));
                image.extend_from_slice(packet);
            }
            debug_assert_eq!(image.len(), image.capacity());
            Bytes::from(image)
        })
    }

    /// What goes in front of packet `index` on interleaved `channel`; `None` past the last packet.
    pub fn interleaved_header(
        &self,
        channel: u8,
        index: usize,
    ) -> Option<[u8; INTERLEAVED_HEADER_LENGTH]> {
        Some(interleaved_header(channel, self.packet(index)?.len()))
    }

    fn run(&self, first: usize, max_segments: usize, max_bytes: usize) -> Option<Run> {
        let Range { start, mut end } = self.range(first)?;
        let segment_size = end - start;
        let mut packets = first..first + 1;
        while packets.len() < max_segments
            && let Some(next) = self.range(packets.end)
            && next.len() <= segment_size
            && next.end - start <= max_bytes
        {
            packets.end += 1;
            end = next.end;
            if next.len() < segment_size {
                break;
            }
        }
        Some(Run { packets, bytes: start..end, segment_size })
    }

    fn range(&self, index: usize) -> Option<Range<usize>> {
        let end = *self.0.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.0.ends.get(before)?,
            None => 0,
        };
        Some(start..end)
    }
}

impl fmt::Debug for PacketBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBatch")
            .field("packets", &self.packet_count())
            .field("bytes", &self.0.bytes.len())
            .field("first_sequence", &self.0.first_sequence)
            .field("timestamp", &self.0.timestamp)
            .field("keyframe", &self.0.keyframe)
            .finish()
    }
}

/// Packets that one segmented send can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which packets of the batch.
    pub packets: Range<usize>,
    /// Where they lie in [`PacketBatch::bytes`].
    pub bytes: Range<usize>,
    /// The length of each packet but the last, which may be shorter.
    pub segment_size: usize,
}

/// What goes in front of a packet of `length` bytes (at most 65535) on interleaved `channel`.
///
/// ```text
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |      '$'      |    channel    |       length, big-endian      |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
pub const fn interleaved_header(channel: u8, length: usize) -> [u8; INTERLEAVED_HEADER_LENGTH] {
    debug_assert!(length <= u16::MAX as usize);
    let [high, low] = (length as u16).to_be_bytes();
    [b'$', channel, high, low]
}

/// Bytes in front of each interleaved packet.
pub const INTERLEAVED_HEADER_LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_a_segmented_send_must() {
        for (lengths, max_segments, max_bytes, expected) in [
            (&[100, 100, 100, 40, 100, 70][..], 64, 65_507, &[0..4, 4..6][..]),
            (&[40, 100, 100], 64, 65_507, &[0..1, 1..3]),
            (&[100, 40, 40], 64, 65_507, &[0..2, 2..3]),
            (&[100; 5], 2, 65_507, &[0..2, 2..4, 4..5]),
            // Exactly as many bytes as allowed, and one less.
            (&[100; 5], 64, 300, &[0..3, 3..5]),
            (&[100; 5], 64, 299, &[0..2, 2..4, 4..5]),
            // A single packet always goes.
            (&[100, 100], 0, 0, &[0..1, 1..2]),
        ] {
            let batch = batch(lengths);
            let runs: Vec<_> = batch.runs(0, max_segments, max_bytes).collect();
            let packets: Vec<_> = runs.iter().map(|run| run.packets.clone()).collect();
            assert_eq!(packets, expected, "{lengths:?} {max_segments} {max_bytes}");
            assert!(runs.iter().all(|run| run.segment_size == lengths[run.packets.start]));
        }
    }

    #[test]
    fn runs_begin_anywhere() {
        let batch = batch(&[100, 100, 100, 40]);
        let run = Run { packets: 2..4, bytes: 200..340, segment_size: 100 };
        assert_eq!(batch.runs(2, 64, 65_507).collect::<Vec<_>>(), [run]);
        assert_eq!(batch.runs(4, 64, 65_507).next(), None);
        assert_eq!(batch.runs(usize::MAX, 64, 65_507).next(), None);
    }

    #[test]
    fn each_packet_of_the_image_has_its_length_in_front() {
        let batch = batch(&[300, 2]);
        let expected = [&[b'$', 0, 1, 44][..], &[0; 300], &[b'$', 0, 0, 2], &[0; 2]].concat();
        assert_eq!(batch.interleaved()[..], expected);
        assert_eq!(interleaved_header(255, 65_535), [b'$', 255, 255, 255]);
        assert_eq!(batch.interleaved_header(7, 0), Some([b'$', 7, 1, 44]));
        assert_eq!(batch.interleaved_header(7, 2), None);
    }

    /// A batch in a log is a line, not a picture's worth of bytes.
    #[test]
    fn what_a_batch_holds_is_said_in_a_line() {
        let shown = "PacketBatch { packets: 2, bytes: 140, first_sequence: Sequence(0), \
                     timestamp: RtpTimestamp(0), keyframe: false }";
        assert_eq!(format!("{:?}", batch(&[100, 40])), shown);
    }

    fn batch(lengths: &[usize]) -> PacketBatch {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        let bytes = Bytes::from(vec![0; lengths.iter().sum()]);
        PacketBatch::new(bytes, ends.collect(), Sequence(0), RtpTimestamp(0), false)
    }
}
