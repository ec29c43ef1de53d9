//! Pictures from a pipe, usually standard input: raw `yuv420p`, or H.264 Annex B.
//!
//! A pipe has no clock, so pictures are stamped with the moment they arrive: it must deliver in
//! real time (`ffmpeg -re`, or a live source). Its end is the end of the source.

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use media::{Clock, FrameRate, I420Layout};

use crate::{Error, Source};

mod h264;
mod raw;

/// What comes through the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Raw pictures laid end to end, as of `ffmpeg -f rawvideo -pix_fmt yuv420p`.
    ///
    /// A picture is stamped with the arrival of its last byte. It is read straight into a pooled
    /// buffer; while the consumer holds all of them, a picture is read aside and, when still none
    /// has come back at its last byte, dropped. A short picture at the end is dropped too.
    Yuv420p {
        /// Size of every picture.
        layout: I420Layout,
        /// Nominal rate: what encoders plan with. Pictures come when they come.
        rate: FrameRate,
    },
    /// An H.264 byte stream, as of `ffmpeg -f h264`, whose pictures come in the order they are
    /// shown in.
    ///
    /// A picture is stamped with the arrival of its first byte. It is given when the first byte of
    /// the next is there, one frame interval later, since a byte stream does not say where a
    /// picture ends: access unit delimiters stand before pictures too. Everything before the first
    /// IDR picture with parameter sets is skipped.
    ///
    /// A pipe that delivers faster than real time is held back to twice its rate.
    H264 {
        /// Nominal rate, where it is known; else what the stream itself says.
        rate: Option<FrameRate>,
    },
}

/// Reads pictures from `reader`. Nothing is read before [`Source::next`] is called, which blocks
/// until a picture is whole and gives `None` at the end of the pipe.
///
/// # Errors
///
/// None at opening so far. Reading gives [`Error::Read`], and [`Error::Unusable`] for H.264 that
/// cannot be streamed as it is; both name the path `-`.
pub fn open(
    reader: Box<dyn Read + Send>,
    format: Format,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Source>, Error> {
    Ok(match format {
        Format::Yuv420p { layout, rate } => Box::new(raw::Raw::new(reader, layout, rate, clock)),
        Format::H264 { rate } => Box::new(h264::H264::new(reader, rate, clock)),
    })
}

/// Reads until `buffer` is full or the pipe ends; gives how many bytes came.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(reader, &mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads what is there, at least one byte; 0 at the end.
fn read(reader: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Error> {
    loop {
        match reader.read(buffer) {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read { path: PathBuf::from("-"), error }),
        }
    }
}
