//! Where pictures come from.
//!
//! A [`Source`] is pulled by one thread that may block; it gives raw pictures to be encoded, or
//! access units that already are. Sources pace themselves: [`Source::next`] returns when the
//! picture is due.

use std::{borrow::Cow, io, path::PathBuf, time::Duration};

use ::v4l2::{
    Trouble,
    loan::{Lend, Loan},
};
use media::{AccessUnit, Colours, Frame, FrameRate, I420Layout, MediaTime, h264::ParameterSets};

pub mod file;
pub mod pipe;
pub mod spelling;
pub mod synthetic;
pub mod v4l2;

/// What a source gives.
#[derive(Debug)]
pub enum Captured {
    /// A raw picture: newest wins, older ones may be dropped.
    Raw(Frame),
    /// The same in memory that a camera shares with an encoder, as [`Source::lender`] was told.
    Lent {
        /// When it was taken.
        time: MediaTime,
        /// Where it is; to be returned soon.
        loan: Loan,
    },
    /// An encoded picture in decoding order: dropping one breaks those that follow.
    Encoded(AccessUnit),
}

/// What a source will give, known once it is open.
#[derive(Clone, Debug, PartialEq)]
pub enum Description {
    /// Raw pictures of one size at a nominal rate.
    Raw {
        /// Size of every picture.
        layout: I420Layout,
        /// Nominal rate.
        rate: FrameRate,
        /// What the samples mean. Of pictures that are lent, the camera's format says the range.
        colours: Colours,
    },
    /// H.264 access units.
    H264 {
        /// SPS and PPS where they are known before the first picture.
        parameter_sets: Option<ParameterSets>,
        /// Nominal rate where it is known.
        rate: Option<FrameRate>,
    },
}

/// Something that gives pictures, one after the other, each when it is due.
///
/// Blocking: run it on a thread of its own.
pub trait Source: Send {
    /// What [`Source::next`] will give.
    fn description(&self) -> &Description;

    /// Waits for the next picture. `None` is the regular end, as of a pipe that was closed.
    ///
    /// # Errors
    ///
    /// When the device, file or pipe fails, or gives what cannot be streamed. A source that has
    /// failed is not asked again.
    fn next(&mut self) -> Result<Option<Captured>, Error>;

    /// When the picture given last had left the driver, before anything was done to it. `None`
    /// where that was when it was given, or is not known.
    fn arrived(&self) -> Option<MediaTime> {
        None
    }

    /// Pictures of its device that were not given so far: lost, damaged, or too many.
    fn missed(&self) -> u64 {
        0
    }

    /// What can make it give pictures in memory that it shares with an encoder, where it is a
    /// camera that gives raw pictures.
    fn lender(&mut self) -> Option<&mut dyn Lend> {
        None
    }
}

/// Why a source cannot be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Opening or reading failed.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// What was read; `-` for standard input.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// A device does not do what it was asked for.
    #[error(transparent)]
    Device(#[from] ::v4l2::Error),
    /// A camera cannot be had, or does not go on. Later it may.
    #[error(
        "{}: {reason}{}",
        path.display(),
        remedy.as_ref().map(|r| format!("\n  try: {r}")).unwrap_or_default()
    )]
    Unavailable {
        /// Its node, or the name it is known by.
        path: PathBuf,
        /// What kind of trouble it is.
        trouble: Trouble,
        /// What is wrong with it.
        reason: Cow<'static, str>,
        /// A command, complete and pasteable, that helps.
        remedy: Option<String>,
    },
    /// A camera that is on gives no pictures any more: its driver hangs, or its firmware. Opened
    /// again, most go on.
    #[error(
        "{}: no picture came for {:.1} seconds, though the camera is on: it hangs",
        device.display(),
        waited.as_secs_f64()
    )]
    Stalled {
        /// The node.
        device: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A camera gives pictures, and none that can be shown.
    #[error(
        "{}: {count} pictures in a row could not be used; the last: {reason}",
        device.display()
    )]
    Spoilt {
        /// The node.
        device: PathBuf,
        /// How many.
        count: u32,
        /// What is wrong with the last.
        reason: String,
    },
    /// The content is not something that can be streamed.
    #[error(
        "{}: {reason}{}",
        path.display(),
        remedy.as_ref().map(|r| format!("\n  try: {r}")).unwrap_or_default()
    )]
    Unusable {
        /// Where the content came from.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: Cow<'static, str>,
        /// A command, complete and pasteable, that mends it.
        remedy: Option<String>,
    },
}

impl Error {
    /// What kind of trouble it is, for whoever decides when to try again.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Device(error) => error.trouble(),
            Self::Unavailable { trouble, .. } => *trouble,
            Self::Stalled { .. } | Self::Spoilt { .. } => Trouble::Broken,
            Self::Unusable { .. } => Trouble::Unsupported,
            Self::Read { error, .. } => match error.kind() {
                io::ErrorKind::NotFound => Trouble::Gone,
                io::ErrorKind::PermissionDenied => Trouble::Forbidden,
                _ => Trouble::Broken,
            },
        }
    }
}
