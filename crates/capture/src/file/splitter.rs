//! Cuts an H.264 byte stream into access units (ITU-T H.264 7.4.1.2.3), whatever pieces it comes
//! in.
//!
//! ```text
//!  AUD SPS PPS SEI slice slice slice │ AUD SEI slice slice │ slice slice │ …
//!                                    └ cut: after the last slice of a picture, at the first unit
//!                                      that belongs before a picture, or at a slice that begins
//!                                      one (first_mb_in_slice is 0)
//! ```
//!
//! Pure. Not handled, since no encoder in use writes them: arbitrary slice order and redundant
//! slices (both Baseline only), where first_mb_in_slice does not tell pictures apart.

use bytes::{Buf, Bytes, BytesMut};
use media::{annexb, h264::NalType};

use super::refusal::Refusal;

/// Gathers bytes and gives access units; holds little more than one of them.
#[derive(Default)]
pub(crate) struct Splitter {
    /// The access unit being gathered, from its first start code on, and whatever came after it.
    buffer: BytesMut,
    /// Every start code before this position has been looked at.
    scanned: usize,
    /// The buffer begins with a start code.
    aligned: bool,
    /// A slice of the unit being gathered has come.
    has_picture: bool,
    /// Bytes thrown away before the first start code.
    skipped: usize,
}

impl Splitter {
    /// Takes the next bytes of the stream. Call [`Self::next_unit`] until it gives `None` between
    /// two pushes: that is what bounds the buffer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole access unit, start codes included; `None` until more bytes come. A unit is
    /// known to be whole when the next one begins.
    pub(crate) fn next_unit(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let Some(code) = annexb::find_start_code(&self.buffer, self.scanned) else {
                // The last two bytes may be the beginning of a start code.
                self.scanned = self.scanned.max(self.buffer.len().saturating_sub(2));
                return self.check_bounds().map(|()| None);
            };
            if !self.aligned {
                self.buffer.advance(code);
                (self.scanned, self.aligned) = (0, true);
                continue;
            }
            let first = code + annexb::START_CODE.len();
            let (Some(&header), Some(&second)) =
                (self.buffer.get(first), self.buffer.get(first + 1))
            else {
                self.scanned = code;
                return self.check_bounds().map(|()| None);
            };
            self.scanned = first;
            let cut = self.has_picture && begins_unit(header, second);
            let is_picture = NalType::of(header).is_vcl();
            if cut {
                self.has_picture = is_picture;
                self.scanned -= code;
                return Ok(Some(self.buffer.split_to(code).freeze()));
            }
            self.has_picture |= is_picture;
        }
    }

    /// Whether what has been gathered has a picture.
    pub(crate) fn has_picture(&self) -> bool {
        self.has_picture
    }

    /// The stream has ended: what has been gathered is the last unit, `None` when it has no
    /// picture. A new stream may follow.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let Self { mut buffer, scanned, has_picture, .. } = std::mem::take(self);
        // A start code whose unit has not even two bytes begins nothing.
        if let Some(code) = annexb::find_start_code(&buffer, scanned) {
            buffer.truncate(code);
        }
        has_picture.then(|| buffer.freeze())
    }

    fn check_bounds(&mut self) -> Result<(), Refusal> {
        if !self.aligned {
            self.skipped += self.scanned;
            self.buffer.advance(self.scanned);
            self.scanned = 0;
            if self.skipped > MAX_LEAD {
                return Err(Refusal::NoStartCode);
            }
        }
        if self.buffer.len() > MAX_UNIT { Err(Refusal::UnitTooLarge) } else { Ok(()) }
    }
}

/// Whether the NAL unit with these first two bytes begins a new access unit when it comes after a
/// slice. `first_mb_in_slice` is the first field of a slice header, in Exp-Golomb code: 0 is a
/// single set bit. Partitions B and C (types 3 and 4) have no such field.
pub(crate) fn begins_unit(header: u8, second: u8) -> bool {
    match NalType::of(header) {
        NalType::Slice | NalType::Idr => second & 0x80 != 0,
        NalType::Partition => header & 0x1f == 2 && second & 0x80 != 0,
        NalType::Sei | NalType::Sps | NalType::Pps | NalType::Aud => true,
        NalType::Other(kind) => (14..=18).contains(&kind),
        NalType::Filler => false,
    }
}

/// The largest access unit, in bytes: no picture of any H.264 level in use comes near, so that
/// beyond it the stream is broken or no H.264.
pub(crate) const MAX_UNIT: usize = 16 << 20;

/// How many bytes may stand before the first start code.
const MAX_LEAD: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Splits `stream` given in pieces of `sizes`, over and over.
    fn split(stream: &[u8], sizes: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, Refusal> {
        let mut splitter = Splitter::default();
        let mut units = Vec::new();
        let mut rest = stream;
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            splitter.push(piece);
            while let Some(unit) = splitter.next_unit()? {
                units.push(unit);
            }
        }
        units.extend(splitter.finish());
        let nals = |unit: &Bytes| {
            annexb::nal_units(unit).map(|range| unit[range].to_vec()).collect::<Vec<_>>()
        };
        Ok(units.iter().map(nals).collect())
    }

    fn kinds(units: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
        units.iter().map(|unit| unit.iter().map(|nal| nal[0] & 0x1f).collect()).collect()
    }

    fn stream(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&[0, 0, 1], *nal].concat()).collect()
    }

    const AUD: &[u8] = &[9, 0x10];
    const SPS: &[u8] = &[0x67, 0x42];
    const PPS: &[u8] = &[0x68, 0xce];
    const SEI: &[u8] = &[6, 5];
    const IDR: &[u8] = &[0x65, 0x88];
    const IDR_MORE: &[u8] = &[0x65, 0x18];
    const SLICE: &[u8] = &[0x41, 0x9a];
    const SLICE_MORE: &[u8] = &[0x41, 0x1a];

    #[test]
    fn units_begin_where_the_standard_says() {
        for (nals, expected) in [
            (vec![SPS, PPS, IDR, SLICE, SLICE], vec![vec![7, 8, 5], vec![1], vec![1]]),
            (vec![IDR, IDR_MORE, SLICE, SLICE_MORE], vec![vec![5, 5], vec![1, 1]]),
            (vec![AUD, IDR, AUD, SLICE], vec![vec![9, 5], vec![9, 1]]),
            (vec![IDR, SEI, SEI, SLICE], vec![vec![5], vec![6, 6, 1]]),
            (vec![IDR, SPS, PPS, IDR], vec![vec![5], vec![7, 8, 5]]),
            (vec![IDR, PPS, SLICE], vec![vec![5], vec![8, 1]]),
            // End of sequence and filler data belong to the picture before them.
            (vec![IDR, &[0x0a], &[12, 0xff], SLICE], vec![vec![5, 10, 12], vec![1]]),
            // Partitions: only the first has first_mb_in_slice.
            (vec![IDR, &[0x42, 0x9a], &[0x43, 0xff], &[0x44, 0xff]], vec![vec![5], vec![2, 3, 4]]),
            // A prefix NAL unit stands before its slice.
            (vec![IDR, &[0x6e, 0x40], SLICE], vec![vec![5], vec![14, 1]]),
        ] {
            let units = split(&stream(&nals), &[4096]).unwrap();
            assert_eq!(kinds(&units), expected, "{nals:x?}");
        }
    }

    #[test]
    fn what_has_no_picture_is_not_given() {
        assert!(split(&stream(&[SPS, PPS]), &[1]).unwrap().is_empty());
        assert!(split(&[], &[1]).unwrap().is_empty());
        let cut = stream(&[IDR, &[0x67]]);
        assert_eq!(kinds(&split(&cut, &[1]).unwrap()), [[5]]);
    }

    #[test]
    fn a_unit_is_given_as_soon_as_the_next_begins() {
        let mut splitter = Splitter::default();
        splitter.push(&stream(&[IDR, SLICE]));
        assert!(splitter.next_unit().unwrap().is_some());
        assert!(splitter.next_unit().unwrap().is_none());
    }

    #[test]
    fn what_never_ends_is_refused() {
        let noise = vec![0xff; 64 << 10];
        let mut splitter = Splitter::default();
        let refused = (0..).find_map(|pushed| {
            splitter.push(&noise);
            splitter.next_unit().err().map(|refusal| (pushed, refusal))
        });
        let (pushed, refusal) = refused.unwrap();
        assert_eq!((pushed, refusal), (MAX_LEAD / noise.len(), Refusal::NoStartCode));

        let mut splitter = Splitter::default();
        splitter.push(&stream(&[IDR]));
        let refused = (0..).find_map(|pushed| {
            splitter.push(&noise);
            splitter.next_unit().err().map(|refusal| (pushed, refusal))
        });
        assert_eq!(refused.unwrap(), (MAX_UNIT / noise.len() - 1, Refusal::UnitTooLarge));
    }

    /// Streams that look enough like H.264 for every branch to be met.
    fn plausible() -> impl Strategy<Value = Vec<u8>> {
        let nal = (0u8..32, 0usize..4, prop::collection::vec(any::<u8>(), 0..12));
        prop::collection::vec(nal, 0..24).prop_map(|nals| {
            let mut stream = Vec::new();
            for (kind, zeros, body) in nals {
                stream.extend(std::iter::repeat_n(0, zeros));
                stream.extend([0, 0, 1, 0x60 | kind]);
                stream.extend(body);
            }
            stream
        })
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            stream in plausible(), sizes in prop::collection::vec(1usize..9, 1..6),
        ) {
            let whole = split(&stream, &[usize::MAX]).unwrap();
            prop_assert_eq!(&split(&stream, &sizes).unwrap(), &whole);
            prop_assert_eq!(&split(&stream, &[1]).unwrap(), &whole);
        }

        #[test]
        fn every_unit_has_one_picture_and_nothing_is_lost(stream in plausible()) {
            let units = split(&stream, &[7]).unwrap();
            let is_vcl = |nal: &Vec<u8>| NalType::of(nal[0]).is_vcl();
            for unit in &units {
                prop_assert!(unit.iter().any(is_vcl));
            }
            let pictures = |nals: Vec<Vec<u8>>| nals.into_iter().filter(is_vcl).collect::<Vec<_>>();
            let all = annexb::nal_units(&stream).map(|range| stream[range].to_vec()).collect();
            let mut all: Vec<_> = pictures(all);
            // The last unit of a stream that was cut off may lack its second byte.
            all.retain(|nal| nal.len() > 1);
            let mut given = pictures(units.concat());
            given.retain(|nal| nal.len() > 1);
            prop_assert_eq!(given, all);
        }

        #[test]
        fn no_bytes_panic(
            stream in prop::collection::vec(prop_oneof![0u8..3, any::<u8>()], 0..512),
            size in 1usize..64,
        ) {
            let _ = split(&stream, &[size]);
        }
    }
}
