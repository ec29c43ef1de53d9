//! Boxes inside boxes (ISO/IEC 14496-12 4.2), read leniently.
//!
//! ```text
//!  +--------------+--------------+----------------------+- - - - - -
//!  | size (32)    | type (4×8)   | size (64) if size==1 | payload
//!  +--------------+--------------+----------------------+- - - - - -
//! ```
//!
//! QuickTime ends some containers with four zero bytes and puts things into audio descriptions
//! that ISO does not know, so each container is walked here, only along the way to what is needed;
//! the boxes at the leaves are decoded by the MP4 library. Pure.

use shiguredo_mp4::Decode;

use crate::file::refusal::Refusal;

/// A four-letter type of a box, codec or handler.
pub(super) type FourCc = [u8; 4];

/// A box that lies in memory whole.
#[derive(Clone, Copy)]
pub(super) struct Child<'a> {
    /// What it is.
    pub(super) kind: FourCc,
    /// Header and payload.
    pub(super) whole: &'a [u8],
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

impl Child<'_> {
    /// Decodes a box at the leaves.
    pub(super) fn decode<T: Decode>(&self) -> Result<T, Refusal> {
        let damaged = |error| Refusal::Index(format!("{}: {error}", readable(self.kind)));
        T::decode(self.whole).map(|(decoded, _)| decoded).map_err(damaged)
    }
}

/// The boxes in `payload`, up to its end or to the first that does not fit into it.
pub(super) fn children(payload: &[u8]) -> impl Iterator<Item = Child<'_>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let header = Header::parse(rest)?;
        let size = usize::try_from(header.size?).ok().filter(|&size| size <= rest.len())?;
        let (whole, after) = rest.split_at(size);
        rest = after;
        Some(Child { kind: header.kind, whole, payload: &whole[header.length..] })
    })
}

/// The first box of `kind` in `payload`.
pub(super) fn find<'a>(payload: &'a [u8], kind: &FourCc) -> Option<Child<'a>> {
    children(payload).find(|child| child.kind == *kind)
}

/// The first box of `kind` in `payload`, which cannot do without it.
pub(super) fn need<'a>(payload: &'a [u8], kind: &FourCc) -> Result<Child<'a>, Refusal> {
    find(payload, kind).ok_or_else(|| Refusal::Index(format!("{} is missing", readable(*kind))))
}

/// `kind` as text, whatever its bytes.
pub(super) fn readable(kind: FourCc) -> String {
    kind.escape_ascii().to_string()
}

/// The beginning of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What it is.
    pub(super) kind: FourCc,
    /// Bytes of the header itself: 8 or 16.
    pub(super) length: usize,
    /// Bytes of header and payload; `None` where it reaches to the end of the file.
    pub(super) size: Option<u64>,
}

impl Header {
    /// The most bytes that a header has.
    pub(super) const MAX_LENGTH: usize = 16;

    /// Reads a header from the first bytes of a box; `None` when there are too few of them, or
    /// when they contradict themselves.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let (length, size) = match u32::from_be_bytes(*size) {
            0 => (8, None),
            1 => (16, Some(u64::from_be_bytes(*rest.first_chunk()?))),
            size => (8, Some(u64::from(size))),
        };
        if size.is_some_and(|size| size < length as u64) {
            return None;
        }
        Some(Self { kind: *kind, length, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let parse = |bytes: &[u8]| Header::parse(bytes);
        let header = |length, size| Some(Header { kind: *b"free", length, size });
        assert_eq!(parse(b"\0\0\0\x08free"), header(8, Some(8)));
        assert_eq!(parse(b"\0\0\0\0free"), header(8, None));
        assert_eq!(parse(b"\0\0\0\x01free\0\0\0\x01\0\0\0\0"), header(16, Some(1 << 32)));
        for bytes in [&b""[..], b"\0\0\0\x08fre", b"\0\0\0\x07free", b"\0\0\0\x01free\0\0\0\0"] {
            assert_eq!(parse(bytes), None, "{bytes:x?}");
        }
        assert_eq!(parse(b"\0\0\0\x01free\0\0\0\0\0\0\0\x0f"), None);
    }

    #[test]
    fn containers_may_end_in_zeros_or_be_cut_off() {
        let payload = b"\0\0\0\x0aaaaa12\0\0\0\x08bbbb\0\0\0\0";
        let kinds = |payload| children(payload).map(|child| child.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&payload[..]), [*b"aaaa", *b"bbbb"]);
        assert_eq!(kinds(&payload[..17]), [*b"aaaa"]);
        assert_eq!(find(payload, b"aaaa").unwrap().payload, b"12");
        assert!(need(payload, b"cccc").is_err());
    }
}
