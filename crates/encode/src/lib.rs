//! From raw pictures to H.264 access units.
//!
//! An [`Encoder`] lives on the thread that made it and may block for the time of one picture.

use media::{AccessUnit, Frame, FrameRate, I420Layout};

pub mod openh264;

/// What an encoder is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Size of every picture given to [`Encoder::encode`].
    pub layout: I420Layout,
    /// Nominal rate: rate control and level depend on it.
    pub rate: FrameRate,
    /// Target in bits per second.
    pub bitrate: u32,
    /// Pictures from one IDR to the next, at least 1.
    pub gop: u32,
}

/// A video encoder: a picture in, its access unit out, no reordering.
pub trait Encoder {
    /// A name for people, as `openh264`.
    fn name(&self) -> &str;

    /// Encodes one picture. `None` when the encoder gave nothing for it.
    ///
    /// The access unit carries the frame's time. An IDR has its parameter sets in front.
    ///
    /// # Errors
    ///
    /// When the picture has another size than configured, or the encoder fails.
    fn encode(&mut self, frame: &Frame) -> Result<Option<AccessUnit>, Error>;

    /// Makes the next picture an IDR.
    fn force_keyframe(&mut self);
}

/// Why encoding cannot start or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The encoder cannot do what the configuration asks.
    #[error("{encoder} cannot encode {what}: {reason}")]
    Unsupported {
        /// Which encoder.
        encoder: &'static str,
        /// What was asked.
        what: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// The encoder failed at work.
    #[error("{encoder} failed: {reason}")]
    Failed {
        /// Which encoder.
        encoder: &'static str,
        /// What it said.
        reason: String,
    },
}
