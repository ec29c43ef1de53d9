//! An H.264 byte stream as access units that can be streamed: the splitter, and a watch on the
//! sequence parameter sets.
//!
//! A byte stream carries no times, so pictures are timed by when they come. That is right only
//! while they are shown in the order they come in, one frame to an access unit: a sequence
//! parameter set that does not promise both is refused. Pure.

use bytes::Bytes;
use media::{
    AccessUnit, FrameRate, MediaTime,
    h264::{NalType, SpsDescription},
};

use super::{refusal::Refusal, splitter::Splitter};

/// Bytes in, access units out.
#[derive(Default)]
pub(crate) struct Stream {
    splitter: Splitter,
    /// The sequence parameter set in force, empty before the first.
    sps: Bytes,
    rate: Option<FrameRate>,
}

impl Stream {
    /// Takes the next bytes of the stream; then call [`Self::next_unit`] until it gives `None`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.splitter.push(bytes);
    }

    /// The next whole access unit, without a time.
    pub(crate) fn next_unit(&mut self) -> Result<Option<AccessUnit>, Refusal> {
        let Some(bytes) = self.splitter.next_unit()? else { return Ok(None) };
        self.accept(bytes).map(Some)
    }

    /// The stream has ended: its last access unit, if one was begun. A new stream may follow.
    pub(crate) fn finish(&mut self) -> Result<Option<AccessUnit>, Refusal> {
        self.splitter.finish().map(|bytes| self.accept(bytes)).transpose()
    }

    /// The rate that the sequence parameter set in force states.
    pub(crate) fn rate(&self) -> Option<FrameRate> {
        self.rate
    }

    fn accept(&mut self, bytes: Bytes) -> Result<AccessUnit, Refusal> {
        let unit = AccessUnit::from_annexb(bytes, MediaTime::ZERO);
        for nal in unit.nals().filter(|nal| NalType::of(nal[0]) == NalType::Sps) {
            if nal != &self.sps[..] {
                let sps = SpsDescription::parse(nal)?;
                if sps.may_interlace {
                    return Err(Refusal::Interlaced);
                }
                if sps.may_reorder {
                    return Err(Refusal::Reordered { profile: sps.profile });
                }
                self.rate = sps.frame_rate.filter(|rate| PLAUSIBLE.contains(&rate.as_f64()));
                self.sps = Bytes::copy_from_slice(nal);
            }
        }
        Ok(unit)
    }
}

/// Frames per second that an encoder can have meant.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
