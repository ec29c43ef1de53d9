//! Interleaved binary data (RFC 2326 section 10.12): RTP and RTCP inside the RTSP connection.
//!
//! ```text
//!  0        1        2                 4
//! +--------+--------+--------+--------+------------------
//! |  '$'   | channel|      length     | payload …
//! +--------+--------+--------+--------+------------------
//! ```

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before the payload: `$`, channel, and the length in network order.
pub const HEADER_LEN: usize = 4;

/// The largest payload: what 16 bits of length can say. A limit of the format, not of ours.
pub const MAX_PAYLOAD: usize = u16::MAX as usize;

/// The byte that opens a frame. No RTSP message begins with it.
pub const MAGIC: u8 = b'$';

/// The four bytes that go before a payload of `len` bytes.
pub const fn header(channel: u8, len: u16) -> [u8; HEADER_LEN] {
    let [high, low] = len.to_be_bytes();
    [MAGIC, channel, high, low]
}

/// Takes a whole frame off the front of `input`, which begins with [`MAGIC`]. `None`: more bytes
/// are needed, nothing was taken.
pub(crate) fn parse(input: &mut BytesMut) -> Option<(u8, Bytes)> {
    let (&[magic, channel, high, low], _) = input.split_first_chunk()?;
    debug_assert_eq!(magic, MAGIC, "called on something that is no frame");
    let len = usize::from(u16::from_be_bytes([high, low]));
    if input.len() < HEADER_LEN + len {
        return None;
    }
    input.advance(HEADER_LEN);
    Some((channel, input.split_to(len).freeze()))
}
