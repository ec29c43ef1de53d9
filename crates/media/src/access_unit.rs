//! One encoded picture: its NAL units, and when it was taken.

use std::{fmt, ops::Range};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{annexb, nal::NalType, time::MediaTime};

/// The NAL units of one coded picture (H.264 access unit), without start codes or length prefixes.
///
/// All units lie in one shared buffer; cloning copies no picture data.
#[derive(Clone)]
pub struct AccessUnit {
    time: MediaTime,
    data: Bytes,
    nals: SmallVec<[Range<usize>; 8]>,
    keyframe: bool,
}

impl AccessUnit {
    /// From an Annex B buffer. Start codes of three and four bytes, and zero padding, are stripped.
    pub fn from_annexb(data: Bytes, time: MediaTime) -> Self {
        let nals = annexb::nal_units(&data).collect();
        Self::from_parts(data, nals, time)
    }

    /// From a buffer of NAL units each preceded by its length, big-endian in `prefix` (1 to 4)
    /// bytes, as MP4 samples are (ISO/IEC 14496-15, which has no use for 3). `None` when a length
    /// runs past the end, or `prefix` is something else.
    pub fn from_length_prefixed(data: Bytes, prefix: usize, time: MediaTime) -> Option<Self> {
        if !(1..=4).contains(&prefix) {
            return None;
        }
        let mut nals = SmallVec::new();
        let mut at = 0;
        while at < data.len() {
            let length = data.get(at..at.checked_add(prefix)?)?;
            let length = length.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
            at += prefix;
            let end = at.checked_add(length).filter(|&end| end <= data.len())?;
            if length > 0 {
                nals.push(at..end);
            }
            at = end;
        }
        Some(Self::from_parts(data, nals, time))
    }

    fn from_parts(data: Bytes, nals: SmallVec<[Range<usize>; 8]>, time: MediaTime) -> Self {
        let keyframe = nals
            .iter()
            .filter_map(|range| data.get(range.start))
            .any(|&header| NalType::of(header) == NalType::Idr);
        Self { time, data, nals, keyframe }
    }

    /// When the picture was taken: its presentation time.
    pub fn time(&self) -> MediaTime {
        self.time
    }

    /// The same picture at another presentation time.
    #[must_use]
    pub fn at(self, time: MediaTime) -> Self {
        Self { time, ..self }
    }

    /// Whether the picture is an IDR: decoding can begin here. Read from the NAL units, never from
    /// what an encoder claims.
    pub fn is_keyframe(&self) -> bool {
        self.keyframe
    }

    /// The NAL units in decoding order, none of them empty.
    pub fn nals(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.nals.iter().map(|range| &self.data[range.clone()])
    }

    /// Bytes in all NAL units together.
    pub fn size(&self) -> usize {
        self.nals.iter().map(ExactSizeIterator::len).sum()
    }
}

impl fmt::Debug for AccessUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessUnit")
            .field("time", &self.time)
            .field("keyframe", &self.keyframe)
            .field("nals", &self.nals.len())
            .field("size", &self.size())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annexb_and_length_prefixes_mean_the_same() {
        let annexb = Bytes::from_static(&[0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x65, 3]);
        let prefixed = Bytes::from_static(&[0, 0, 0, 3, 0x67, 1, 2, 0, 0, 0, 2, 0x65, 3]);
        let annexb = AccessUnit::from_annexb(annexb, MediaTime::ZERO);
        let prefixed = AccessUnit::from_length_prefixed(prefixed, 4, MediaTime::ZERO).unwrap();
        assert!(annexb.nals().eq(prefixed.nals()));
        assert!(annexb.is_keyframe() && prefixed.is_keyframe());
        assert_eq!(annexb.size(), 5);
    }

    #[test]
    fn lengths_of_one_to_four_bytes() {
        // The second unit is longer than one byte can say, where the prefix has room for that.
        for (prefix, longest) in [(1, 200), (2, 0x0102), (3, 0x0001_0203), (4, 0x0001_0203)] {
            let nals = [vec![0x67, 1], vec![0x41; longest], vec![], vec![0x68]];
            let mut data = Vec::new();
            for nal in &nals {
                data.extend(&(nal.len() as u32).to_be_bytes()[4 - prefix..]);
                data.extend(nal);
            }
            let unit = AccessUnit::from_length_prefixed(data.into(), prefix, MediaTime::ZERO);
            let unit = unit.unwrap();
            let expected: Vec<_> = nals.iter().filter(|nal| !nal.is_empty()).collect();
            assert!(unit.nals().eq(expected), "{prefix}");
            assert_eq!(unit.size(), 3 + longest);
            assert!(!unit.is_keyframe(), "a slice that is no IDR, and parameter sets");
        }
    }

    #[test]
    fn prefixes_of_other_sizes_are_refused() {
        for prefix in [0, 5, 8, usize::MAX] {
            let data = Bytes::from_static(&[0; 64]);
            let unit = AccessUnit::from_length_prefixed(data, prefix, MediaTime::ZERO);
            assert!(unit.is_none(), "{prefix}");
        }
    }

    #[test]
    fn a_picture_can_be_moved_in_time_and_stays_the_same() {
        let (then, now) = (MediaTime::from_nanos(5), MediaTime::from_nanos(7_000_000_009));
        let unit = AccessUnit::from_annexb(Bytes::from_static(&[0, 0, 1, 0x65, 3]), then);
        assert_eq!(unit.time(), then);
        let moved = unit.clone().at(now);
        assert_eq!(moved.time(), now);
        assert!(moved.nals().eq(unit.nals()) && moved.is_keyframe());
        // A picture in a log is a line, not all of its bytes.
        let shown = "AccessUnit { time: 7.000000009s, keyframe: true, nals: 1, size: 2 }";
        assert_eq!(format!("{moved:?}"), shown);
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        for bytes in [&[0, 0, 0, 2, 1][..], &[0, 0, 1], &[255, 255, 255, 255, 1]] {
            let unit =
                AccessUnit::from_length_prefixed(Bytes::copy_from_slice(bytes), 4, MediaTime::ZERO);
            assert!(unit.is_none(), "{bytes:?}");
        }
    }
}
