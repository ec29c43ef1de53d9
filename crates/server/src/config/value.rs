//! Single values as text: sizes, rates, bitrates, addresses, names.

use std::time::Duration;

use media::{FrameRate, I420Layout};

/// The distance between keyframes, as people give it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Gop {
    /// A number of pictures, at least 1.
    Frames(u32),
    /// A time.
    Time(Duration),
}

impl Gop {
    /// The same in pictures, at least 1.
    pub(super) fn frames(self, rate: FrameRate) -> u32 {
        match self {
            Self::Frames(frames) => frames.max(1),
            Self::Time(time) => rate.frames_in(time),
        }
    }
}

/// A bitrate that looks decent: 2 Mbit/s for 1280x720 at 30 frames per second; with the size to the
/// power of ¾, because larger pictures have more alike neighbours, and with the root of the rate,
/// because frames closer in time differ less. Rounded to 10 kbit/s.
pub(super) fn default_bitrate(layout: I420Layout, rate: FrameRate) -> u32 {
    let size = f64::from(layout.width()) * f64::from(layout.height()) / (1280.0 * 720.0);
    let rate = rate.as_f64() / 30.0;
    let bitrate = 2_000_000.0 * size.sqrt() * size.sqrt().sqrt() * rate.sqrt();
    let rounded = (bitrate / 10_000.0).round() as u32 * 10_000;
    rounded.clamp(MIN_BITRATE, MAX_BITRATE)
}

/// One keyframe a second: what a viewer that lost a packet waits for at most, and what recorders
/// that cut at keyframes expect.
pub(super) const DEFAULT_GOP: Gop = Gop::Time(Duration::from_secs(1));
const MIN_BITRATE: u32 = 10_000;
const MAX_BITRATE: u32 = 200_000_000;
