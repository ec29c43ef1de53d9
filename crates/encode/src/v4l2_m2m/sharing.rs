//! How pictures get from a camera's memory to the encoder's: best not at all.
//!
//! | way | the camera | the encoder |
//! |---|---|---|
//! | [`Way::Import`] | exports its buffers | imports them |
//! | [`Way::Export`] | imports the encoder's | exports its buffers |
//! | [`Way::Copy`] | gives pictures of I420 | has buffers of its own |
//!
//! In this order. The first leaves the camera's driver as it is; the second is for encoders that
//! need contiguous memory, which many cameras do not give but can write to. Nothing checks that
//! both see the same picture in the same bytes, so that is compared here before.

use std::{fmt, io, sync::Arc};

use v4l2::{
    Content, Device, Format, PixelFormat, Queue, QueueKind,
    loan::{Lend, SharedBuffers},
};

use crate::Error;

/// How a camera's pictures reach the encoder.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The encoder reads the camera's buffers.
    Imported,
    /// The camera writes to the encoder's buffers.
    Exported,
    /// They are copied.
    Copied,
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imported => "the encoder reads the camera's buffers",
            Self::Exported => "the camera writes to the encoder's buffers",
            Self::Copied => "copied",
        })
    }
}

/// Which way was taken.
#[derive(Debug)]
pub(super) enum Way {
    /// Of the camera's buffers.
    Import(Arc<SharedBuffers>),
    /// Into the encoder's own, which the camera fills.
    Export,
    /// Into the encoder's own, here.
    Copy,
}

impl Way {
    pub(super) const fn sharing(&self) -> Sharing {
        match self {
            Self::Import(_) => Sharing::Imported,
            Self::Export => Sharing::Exported,
            Self::Copy => Sharing::Copied,
        }
    }
}

/// What keeps a picture of `theirs` from being read as one of `ours`.
pub(super) fn difference(ours: &Format, theirs: &Format) -> Option<String> {
    if ours.pixel_format != theirs.pixel_format {
        let (ours, theirs) = (ours.pixel_format, theirs.pixel_format);
        return Some(format!("the camera gives {theirs}, the encoder takes {ours}"));
    }
    if ours.planes.len() != theirs.planes.len() {
        let (ours, theirs) = (ours.planes.len(), theirs.planes.len());
        return Some(format!("in {theirs} pieces of memory and in {ours}"));
    }
    let strides = |format: &Format| format.planes.iter().map(|plane| plane.stride).collect();
    let (our_strides, their_strides): (Vec<u32>, Vec<u32>) = (strides(ours), strides(theirs));
    if our_strides != their_strides {
        return Some(format!("rows of {their_strides:?} bytes and of {our_strides:?}"));
    }
    // Where chroma follows luma in one piece, its place depends on how many rows there are.
    let follows = |format| ![PixelFormat::YUYV, PixelFormat::UYVY].contains(&format);
    let (our_rows, their_rows) = (ours.size.height, theirs.size.height);
    if our_rows != their_rows && ours.planes.len() == 1 && follows(ours.pixel_format) {
        return Some(format!("chroma after {their_rows} rows and after {our_rows}"));
    }
    None
}

/// Allocates the encoder's buffers, shared with the camera if they can be; and what spoke against
/// each better way. The encoder has been set up as `ours`, and gets so many pictures at a time.
///
/// # Errors
///
/// When there cannot even be buffers of its own, or the camera fails.
pub(super) fn arrange(
    device: &Device,
    output: QueueKind,
    ours: &Format,
    lender: Option<&mut dyn Lend>,
    in_flight: u32,
) -> Result<(Queue, Way, Vec<String>), Error> {
    let mut against = Vec::new();
    let shared = in_flight + NOT_IN_FLIGHT;
    if let Some(lender) = lender {
        match difference(ours, lender.format()) {
            Some(difference) => against.push(difference),
            None => match import(device, output, lender, shared) {
                Ok((queue, buffers)) => return Ok((queue, Way::Import(buffers), against)),
                Err(error) => {
                    against.push(error.to_string());
                    match export(device, output, lender, shared) {
                        Ok(queue) => return Ok((queue, Way::Export, against)),
                        Err(error) => against.push(error.to_string()),
                    }
                }
            },
        }
        lender.copy().map_err(Error::Camera)?;
    }
    // One more, since drivers give the last one back when they begin the next.
    Ok((Queue::allocate(device, output, in_flight + 1)?, Way::Copy, against))
}

/// The first way, tried with every buffer: what cannot be imported is refused then. One alone would
/// say little, for an encoder that needs contiguous memory takes what is so by chance.
fn import(
    device: &Device,
    output: QueueKind,
    lender: &mut dyn Lend,
    count: u32,
) -> Result<(Queue, Arc<SharedBuffers>), v4l2::Error> {
    let shared = lender.export(count)?;
    let mut queue = Queue::import(device, output, shared.len() as u32)?;
    if queue.len() < shared.len() {
        let (given, needed) = (queue.len(), shared.len());
        let few = format!("{given} places for {needed} buffers of the camera");
        return Err(v4l2::Error {
            device: device.path().to_owned(),
            doing: "VIDIOC_REQBUFS".to_owned(),
            error: io::Error::other(few),
        });
    }
    for index in 0..shared.len() {
        let planes = shared.planes(index);
        // As a whole picture, so that nothing about it is unusual.
        let used: Vec<u32> = planes.iter().map(|(_, length)| *length).collect();
        queue.enqueue(index, Content { used: &used, shared: &planes, ..Content::default() })?;
    }
    // Gives them back: it was not streaming.
    queue.stop()?;
    Ok((queue, shared))
}

fn export(
    device: &Device,
    output: QueueKind,
    lender: &mut dyn Lend,
    count: u32,
) -> Result<Queue, v4l2::Error> {
    let mut queue = Queue::allocate(device, output, count)?;
    let shared = SharedBuffers::of(&mut queue)?;
    lender.import(Arc::new(shared))?;
    Ok(queue)
}

/// Buffers that are shared, but not with the encoder, so that nobody ever waits for one: one waits in
/// front of the encoder, one is being filled and the next is ready; and one to spare.
const NOT_IN_FLIGHT: u32 = 4;

#[cfg(test)]
mod tests {
    use v4l2::{
        Size,
        format::{Color, PlaneFormat},
    };

    use super::*;

    fn format(pixel_format: PixelFormat, height: u32, strides: &[u32]) -> Format {
        let size = Size { width: 640, height };
        let plane = |stride: &u32| PlaneFormat { stride: *stride, size: stride * height };
        let planes = strides.iter().map(plane).collect();
        Format { size, pixel_format, planes, color: Color::default() }
    }

    #[test]
    fn pictures_are_shared_only_if_each_byte_means_the_same() {
        let nv12 = format(PixelFormat::NV12, 360, &[640]);
        for (other, difference_is) in [
            (format(PixelFormat::NV12, 360, &[640]), None),
            (
                format(PixelFormat::YUYV, 360, &[1280]),
                Some("the camera gives YUYV, the encoder takes NV12"),
            ),
            (format(PixelFormat::NV12, 360, &[704]), Some("rows of [704] bytes and of [640]")),
            (format(PixelFormat::NV12, 368, &[640]), Some("chroma after 368 rows and after 360")),
            (format(PixelFormat::NV12, 360, &[640, 640]), Some("in 2 pieces of memory and in 1")),
        ] {
            assert_eq!(difference(&nv12, &other).as_deref(), difference_is);
        }
        let packed = |rows| format(PixelFormat::YUYV, rows, &[1280]);
        assert_eq!(difference(&packed(368), &packed(360)), None, "nothing follows in there");
        let pieces = |rows| format(PixelFormat::NV12M, rows, &[640, 640]);
        assert_eq!(difference(&pieces(368), &pieces(360)), None, "each has a place of its own");
    }
}
