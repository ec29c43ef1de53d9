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

    /// From a buffer of NAL units each preceded by its length, big-endian in `prefix` (1, 2 or 4)
    /// bytes, as MP4 samples are (ISO/IEC 14496-15). `None` when a length runs past the end.
    pub fn from_length_prefixed(data: Bytes, prefix: usize, time: MediaTime) -> Option<Self> {
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
    fn a_length_past_the_end_is_refused() {
        for bytes in [&[0, 0, 0, 2, 1][..], &[0, 0, 1], &[255, 255, 255, 255, 1]] {
            let unit =
                AccessUnit::from_length_prefixed(Bytes::copy_from_slice(bytes), 4, MediaTime::ZERO);
            assert!(unit.is_none(), "{bytes:?}");
        }
    }
}
