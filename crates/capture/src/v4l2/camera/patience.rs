//! How long a camera that is on is waited for, before it is taken to hang.

use std::time::Duration;

use ::v4l2::{ControlId, Device, Value, uapi::control::V4L2_CID_EXPOSURE_ABSOLUTE};
use media::FrameRate;

/// How long a picture may take, and how many may be of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    rate: FrameRate,
    /// Whether the next picture is the first since it was switched on: it may have to find out
    /// first how bright it is.
    is_first: bool,
    /// How many pictures in a row could not be used.
    spoilt: u32,
}

impl Patience {
    pub(super) fn new(rate: Option<FrameRate>) -> Self {
        Self { rate: rate.unwrap_or(UNKNOWN_RATE), is_first: true, spoilt: 0 }
    }

    /// The camera was switched on.
    pub(super) fn begin(&mut self) {
        self.is_first = true;
    }

    /// A buffer came that could be used.
    pub(super) fn end(&mut self) {
        (self.is_first, self.spoilt) = (false, 0);
    }

    /// One came that could not be used; how many that are, if they are too many.
    pub(super) fn spoil(&mut self) -> Option<u32> {
        self.spoilt += 1;
        let most = self.rate.frames_in(FIRST_PICTURE).max(MOST_INTERVALS);
        (self.spoilt >= most).then_some(self.spoilt)
    }

    /// For the next buffer, with nothing said of exposure.
    pub(super) fn longest(self) -> Duration {
        let least = if self.is_first { FIRST_PICTURE } else { NEXT_PICTURE };
        least.max(self.rate.interval() * MOST_INTERVALS)
    }
}

/// How long the camera takes light for a picture, where it says so: in units of 100 microseconds.
pub(super) fn exposure(device: &Device) -> Duration {
    let control = device.control(ControlId(V4L2_CID_EXPOSURE_ABSOLUTE)).ok().flatten();
    match control.and_then(|control| device.value(&control).ok().flatten()) {
        Some(Value::Number(units)) => {
            let micros = u64::try_from(units).unwrap_or(0).saturating_mul(100);
            Duration::from_micros(micros).min(LONGEST_EXPOSURE)
        }
        _ => Duration::ZERO,
    }
}

/// No camera takes as long for the first picture.
const FIRST_PICTURE: Duration = Duration::from_secs(5);
/// And none for one of those that follow, but for its exposure.
const NEXT_PICTURE: Duration = Duration::from_secs(2);
/// Nor so many frame intervals, for any.
const MOST_INTERVALS: u32 = 10;
/// Whatever a camera says.
const LONGEST_EXPOSURE: Duration = Duration::from_secs(60);
/// Of cameras that do not say.
const UNKNOWN_RATE: FrameRate = match FrameRate::new(30, 1) {
    Some(rate) => rate,
    None => unreachable!(),
};
