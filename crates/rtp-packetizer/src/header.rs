//! The fixed RTP header (RFC 3550 section 5.1), written by `rtp-types`.
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//!  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!  |                           timestamp                           |
//!  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!  |           synchronization source (SSRC) identifier            |
//!  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! No padding, extension or contributing sources: P, X and CC are always zero.

use rtp_types::RtpPacketBuilder;

use crate::numbers::{RtpTimestamp, Sequence, Ssrc};

/// Bytes of a header without contributing sources or extension.
pub(crate) const HEADER_LENGTH: usize = 12;

/// The fields that differ between streams and packets.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Header {
    /// At most 127; the packetizer's configuration has seen to it.
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: Sequence,
    pub timestamp: RtpTimestamp,
    pub ssrc: Ssrc,
}

impl Header {
    /// As on the wire. The builder's lists of sources and payloads stay empty and in line, so this
    /// allocates nothing.
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(self.payload_type)
            .marker_bit(self.marker)
            .sequence_number(self.sequence.0)
            .timestamp(self.timestamp.0)
            .ssrc(self.ssrc.0)
            .write_into_unchecked(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_in_its_place() {
        let header = Header {
            payload_type: 96,
            marker: true,
            sequence: Sequence(0x1234),
            timestamp: RtpTimestamp(0x5678_9abc),
            ssrc: Ssrc(0xdef0_1234),
        };
        let bytes = [0x80, 0xe0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(Header { marker: false, ..header }.to_bytes()[1], 0x60);
    }
}
