//! Pictures from a pipe: raw `yuv420p`, or H.264 Annex B.

use std::{io::Read, path::PathBuf, sync::Arc};

use media::{Clock, FrameRate, I420Layout};

use crate::{Error, Source};

/// What comes through the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Raw pictures laid end to end, as of `ffmpeg -f rawvideo -pix_fmt yuv420p`.
    Yuv420p {
        /// Size of every picture.
        layout: I420Layout,
        /// Nominal rate.
        rate: FrameRate,
    },
    /// An H.264 byte stream, as of `ffmpeg -f h264`.
    H264 {
        /// Nominal rate, where it is known; else what the stream itself says.
        rate: Option<FrameRate>,
    },
}

/// Reads pictures from `reader`, usually standard input. Nothing is read yet.
///
/// # Errors
///
/// None yet at opening; reading gives [`Error::Read`] and [`Error::Unusable`], both with the path
/// `-`.
pub fn open(
    _reader: Box<dyn Read + Send>,
    _format: Format,
    _clock: Arc<dyn Clock>,
) -> Result<Box<dyn Source>, Error> {
    Err(Error::Unusable {
        path: PathBuf::from("-"),
        reason: "pipes cannot be read yet".into(),
        remedy: None,
    })
}
