//! From raw pictures to H.264 access units.
//!
//! ```text
//!  submit(picture) ──▶ [ in flight: 0, 1, … ] ──▶ receive() ──▶ AccessUnit
//! ```
//!
//! Hardware works on a picture for about as long as a camera takes for the next, and on several at
//! a time: so pictures go in, access units come out later, in the same order. An [`Encoder`] is used
//! by one thread, which it may block.

use std::time::Duration;

use media::{AccessUnit, Colours, Frame, FrameRate, I420Layout, MediaTime};
use v4l2::{Waker, loan::Loan};

pub use self::choice::{Choice, UnknownChoice, open, takes};

mod choice;
mod level;
pub mod openh264;
pub mod recovery;
pub mod v4l2_m2m;

/// What an encoder is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Size of every picture given to [`Encoder::submit`].
    pub layout: I420Layout,
    /// Nominal rate: rate control and level depend on it.
    pub rate: FrameRate,
    /// Target in bits per second.
    pub bitrate: u32,
    /// Pictures from one IDR to the next, at least 1.
    pub gop: u32,
    /// What the samples of pictures mean; the range of those that are lent is that of the camera's
    /// format.
    pub colours: Colours,
    /// How long hardware may have pictures to encode and give nothing, before that is
    /// [`Error::Stalled`]; ten frame intervals, if that is longer. Raising it makes viewers look at a
    /// still picture for longer; lowering it takes a busy machine for a broken one.
    pub patience: Duration,
}

impl Config {
    /// With [`Colours::assumed`] and [`Config::PATIENCE`].
    pub const fn new(layout: I420Layout, rate: FrameRate, bitrate: u32, gop: u32) -> Self {
        let colours = Colours::assumed(layout);
        Self { layout, rate, bitrate, gop, colours, patience: Self::PATIENCE }
    }

    /// Two seconds: many times what hardware takes for a picture, also where it is emulated.
    pub const PATIENCE: Duration = Duration::from_secs(2);
}

/// A picture to encode.
#[derive(Debug)]
pub enum Picture {
    /// In this process's memory.
    Raw(Frame),
    /// In memory that the encoder shares with a camera; for the encoder that was opened with that
    /// camera alone.
    Lent {
        /// When it was taken.
        time: MediaTime,
        /// Where it is; returned when it has been read.
        loan: Loan,
    },
}

/// What [`Encoder::receive`] found.
#[derive(Debug)]
pub enum Received {
    /// The next picture, encoded.
    Unit(AccessUnit),
    /// The waker was used, or there is room for another picture.
    Woken,
    /// None is in flight: there is nothing to wait for.
    Idle,
}

/// A video encoder: pictures in, their access units out, without reordering.
pub trait Encoder: Send {
    /// A name for people, as `openh264`.
    fn name(&self) -> &str;

    /// Whether it takes another picture now.
    fn has_room(&self) -> bool;

    /// Gives it a picture. An encoder that works on the calling thread takes the time here.
    ///
    /// # Errors
    ///
    /// When there is no room for it, the picture has another size than configured, or the encoder
    /// fails.
    fn submit(&mut self, picture: Picture) -> Result<(), Error>;

    /// Waits for the next access unit, for room where there was none, or for `waker`, which is left
    /// as it is.
    ///
    /// A unit carries its picture's time; an IDR has its parameter sets in front. Pictures for
    /// which the encoder makes nothing are passed over.
    ///
    /// # Errors
    ///
    /// When the encoder fails, its device is gone, or nothing comes for far too long.
    fn receive(&mut self, waker: Option<&Waker>) -> Result<Received, Error>;

    /// Pictures submitted whose access units have not been received.
    fn in_flight(&self) -> usize;

    /// Makes the next picture to be submitted an IDR; hardware may take one submitted before.
    fn force_keyframe(&mut self);

    /// Changes the target, in bits per second, from about the next picture on.
    ///
    /// # Errors
    ///
    /// When the encoder cannot; it goes on as before.
    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error>;

    /// Finishes what is in flight: [`Encoder::receive`] gives it, then [`Received::Idle`]. Nothing
    /// is to be submitted any more.
    ///
    /// # Errors
    ///
    /// When the encoder fails.
    fn drain(&mut self) -> Result<(), Error>;
}

/// Why encoding cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The encoder cannot do what the configuration asks.
    #[error("{encoder} cannot encode {what}: {reason}")]
    Unsupported {
        /// Which encoder.
        encoder: String,
        /// What was asked.
        what: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// The encoder failed at work.
    #[error("{encoder} failed: {reason}")]
    Failed {
        /// Which encoder.
        encoder: String,
        /// What it said.
        reason: String,
    },
    /// The encoder's device does not do what it was asked for, or is gone.
    #[error(transparent)]
    Device(#[from] v4l2::Error),
    /// The camera whose pictures are to be encoded fails, which is not the encoder's fault.
    #[error(transparent)]
    Camera(v4l2::Error),
    /// The encoder does not take the camera's memory after all.
    #[error("{encoder} does not take pictures in the camera's memory: {error}")]
    NotShared {
        /// Which encoder.
        encoder: String,
        /// What its driver said.
        error: v4l2::Error,
    },
    /// The encoder has stopped giving anything.
    #[error(
        "{encoder} has given nothing for {seconds:.1} s, with {pictures} pictures to encode: \
         its driver or firmware hangs"
    )]
    Stalled {
        /// Which encoder.
        encoder: String,
        /// How long nothing came.
        seconds: f64,
        /// How many pictures it has.
        pictures: usize,
    },
}

impl Error {
    /// Whether it is openh264 that failed, behind which there is no other.
    fn is_of_software(&self) -> bool {
        let (Self::Unsupported { encoder, .. } | Self::Failed { encoder, .. }) = self else {
            return false;
        };
        encoder == openh264::NAME
    }
}

impl From<Frame> for Picture {
    fn from(frame: Frame) -> Self {
        Self::Raw(frame)
    }
}
