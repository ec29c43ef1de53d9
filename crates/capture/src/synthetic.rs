//! The test card: a moving picture that says who it is and when it was taken.
//!
//! Each frame shows its number and the wall clock, for people as digits and for machines as a
//! [bit strip](strip), so that identity and latency of every decoded frame can be read back.
//!
//! Frame `n` is due at `start + n / rate`, and `start` is the first call of
//! [`Source::next`]. What a frame says of its time is when it was *due*: capture time and the wall
//! clock on the picture both name that very moment, as with a camera that exposes on the beat and
//! delivers a little later. So RTP timestamps are regular, and a latency measured by the wall clock
//! includes what the card's own thread took to wake up.

use std::sync::Arc;

use media::{Clock, Colours, FramePool, FrameRate, I420Layout, MediaTime, WallTime};

use crate::{Captured, Description, Source};

mod canvas;
mod civil;
mod colour;
mod font;
mod picture;
mod plan;
mod readout;
pub mod strip;

pub use picture::Picture;

/// What the card shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Size of every picture: at least [`strip::MIN_WIDTH`] × [`strip::MIN_HEIGHT`].
    pub layout: I420Layout,
    /// Pictures per second.
    pub rate: FrameRate,
    /// Written on the card, in capitals: the name of the stream.
    pub title: String,
}

/// Why there can be no such card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bit strip does not fit into the picture.
    #[error(
        "the test card cannot be {width}x{height}: its bit strip needs at least {}x{}",
        strip::MIN_WIDTH,
        strip::MIN_HEIGHT
    )]
    TooSmall {
        /// Asked for, in pixels.
        width: u32,
        /// Asked for, in pixels.
        height: u32,
    },
    /// The frame to draw into is not of the card's size.
    #[error("the frame to draw into is {width}x{height}, and the card is not")]
    OtherSize {
        /// The frame's, in pixels.
        width: u32,
        /// The frame's, in pixels.
        height: u32,
    },
}

/// The test card as a [`Source`]: it never ends and never fails.
pub struct TestCard {
    description: Description,
    rate: FrameRate,
    picture: Picture,
    pool: FramePool,
    clock: Arc<dyn Clock>,
    /// When frame 0 was due; set by the first call of `next`.
    start: Option<MediaTime>,
    /// The number of the next frame.
    index: u64,
    /// Whether the last frame found no buffer: said once, not for each frame.
    starved: bool,
}

impl TestCard {
    /// A card that starts when its first frame is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::TooSmall`] when the picture has no room for the strip.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let Config { layout, rate, .. } = config;
        Ok(Self {
            description: Description::Raw { layout, rate, colours: Colours::assumed(layout) },
            rate,
            picture: Picture::new(&config)?,
            pool: FramePool::new(layout, POOL),
            clock,
            start: None,
            index: 0,
            starved: false,
        })
    }

    /// Waits for the next frame that is due, and returns its number and when it was due.
    ///
    /// Up to [`CATCH_UP`] frames late, frames follow each other without a pause; later than that,
    /// those that nobody waits for any more are left out, and their numbers with them.
    fn wait(&mut self) -> (u64, MediaTime) {
        let start = *self.start.get_or_insert_with(|| self.clock.now());
        self.clock.sleep_until(start + self.rate.offset_of(self.index));
        let newest = newest_due(self.rate, self.clock.now().saturating_since(start).as_nanos());
        if newest > self.index + CATCH_UP {
            self.index = newest;
        }
        let index = self.index;
        self.index += 1;
        (index, start + self.rate.offset_of(index))
    }
}

impl Source for TestCard {
    fn description(&self) -> &Description {
        &self.description
    }

    /// Waits for the next frame. While all buffers are in use, frames are dropped as they become
    /// due: one look at the pool for each, and their numbers are missing, as with a camera whose
    /// driver has no buffer to fill.
    fn next(&mut self) -> Result<Option<Captured>, crate::Error> {
        loop {
            let (index, due) = self.wait();
            let Some(mut frame) = self.pool.take(due) else {
                if !self.starved {
                    tracing::debug!(frame = index, "no buffer free: dropping test card frames");
                }
                self.starved = true;
                continue;
            };
            self.starved = false;
            let late = self.clock.now().saturating_since(due).as_nanos() as u64;
            let wall = self.clock.wall().as_unix_nanos().saturating_sub(late);
            let stamp = strip::Stamp { frame: index as u32, wall: WallTime::from_unix_nanos(wall) };
            // The pool and the picture are of one size, so there is nothing to fail.
            if self.picture.draw(stamp, &mut frame).is_ok() {
                return Ok(Some(Captured::Raw(frame)));
            }
        }
    }
}

/// The number of the last frame that is due `elapsed` nanoseconds after frame 0: the greatest `n`
/// for which `rate.offset_of(n)`, which is rounded down to a nanosecond, is not greater.
fn newest_due(rate: FrameRate, elapsed: u128) -> u64 {
    let frames = ((elapsed + 1) * u128::from(rate.numerator()) - 1)
        / (NANOS_PER_SECOND * u128::from(rate.denominator()));
    u64::try_from(frames).unwrap_or(u64::MAX)
}

/// Buffers: one being drawn, one waiting, one being encoded, and one to spare.
const POOL: usize = 4;
/// Frames that may be late before any are left out: a thread that woke up late shall not cost a
/// frame.
const CATCH_UP: u64 = 2;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests;
