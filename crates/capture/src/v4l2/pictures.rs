//! How a camera's buffers become pictures.

use ::v4l2::{Format, PixelFormat, Size};
use bytes::Bytes;
use media::{
    AccessUnit, Frame, FramePool, FrameRate, I420Layout, MediaTime,
    convert::{self, Packed, TooShort},
};

use crate::{Captured, Description};

/// How a buffer becomes what the source gives.
pub(super) enum Pictures {
    /// As it is.
    H264,
    /// Copied to I420.
    Raw {
        /// Where to.
        pool: FramePool,
        /// How the samples lie.
        planes: Planes,
    },
}

/// Where the samples lie in a buffer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Planes {
    Packed {
        order: Packed,
        stride: usize,
    },
    /// In one piece of memory, or in two.
    Nv12 {
        strides: [usize; 2],
        pieces: usize,
    },
    /// In one piece of memory, or in three.
    I420 {
        strides: [usize; 3],
        pieces: usize,
    },
}

/// What became of a buffer.
pub(super) enum Taken {
    /// A picture.
    Picture(Captured),
    /// Nothing that could be shown: all pictures before it are still in use.
    NoRoom,
    /// Nothing that could be shown, and why.
    Damaged(String),
}

impl Pictures {
    /// For buffers of `format`, and what will be given.
    pub(super) fn of(
        format: &Format,
        rate: Option<FrameRate>,
    ) -> Result<(Self, Description), String> {
        let Size { width, height } = format.size;
        let layout = I420Layout::new(width, height)
            .ok_or_else(|| format!("pictures of {} cannot be streamed", format.size))?;
        if format.pixel_format == PixelFormat::H264 {
            return Ok((Self::H264, Description::H264 { parameter_sets: None, rate }));
        }
        let planes = Planes::of(format, layout)?;
        let rate = rate.unwrap_or(UNKNOWN_RATE);
        let pool = FramePool::new(layout, FRAMES);
        Ok((Self::Raw { pool, planes }, Description::Raw { layout, rate }))
    }

    /// Makes a picture of the pieces of memory of a buffer.
    pub(super) fn take(&mut self, data: [&[u8]; 3], time: MediaTime) -> Taken {
        match self {
            Self::H264 => {
                let unit = AccessUnit::from_annexb(Bytes::copy_from_slice(data[0]), time);
                Taken::Picture(Captured::Encoded(unit))
            }
            Self::Raw { pool, planes } => {
                // All in use: the one before has not been encoded, and this one is too many.
                let Some(mut frame) = pool.take(time) else { return Taken::NoRoom };
                match convert(*planes, data, &mut frame) {
                    Ok(()) => Taken::Picture(Captured::Raw(frame)),
                    Err(short) => Taken::Damaged(short.to_string()),
                }
            }
        }
    }
}

impl Planes {
    fn of(format: &Format, layout: I420Layout) -> Result<Self, String> {
        let stride = |plane: usize| format.planes.get(plane).map_or(0, |p| p.stride as usize);
        let least = layout.strides();
        let halves = |stride: usize| stride.div_ceil(2);
        let pieces = format.planes.len();
        Ok(match format.pixel_format {
            PixelFormat::YUYV => {
                let stride = stride(0).max(least[1] * 4);
                Self::Packed { order: Packed::Yuyv, stride }
            }
            PixelFormat::UYVY => {
                let stride = stride(0).max(least[1] * 4);
                Self::Packed { order: Packed::Uyvy, stride }
            }
            PixelFormat::NV12 | PixelFormat::NV12M => {
                let luma = stride(0).max(least[1] * 2);
                let chroma = if pieces > 1 { stride(1).max(least[1] * 2) } else { luma };
                Self::Nv12 { strides: [luma, chroma], pieces }
            }
            PixelFormat::YUV420 | PixelFormat::YUV420M => {
                let luma = stride(0).max(least[0]);
                let chroma = |plane| {
                    if pieces > 1 {
                        stride(plane).max(least[1])
                    } else {
                        halves(luma).max(least[1])
                    }
                };
                Self::I420 { strides: [luma, chroma(1), chroma(2)], pieces }
            }
            other => return Err(format!("{other} cannot be used")),
        })
    }
}

/// Fills `frame` from the pieces of memory of a buffer.
fn convert(planes: Planes, data: [&[u8]; 3], frame: &mut Frame) -> Result<(), TooShort> {
    let layout = frame.layout();
    let (widths, rows) = (layout.strides(), layout.rows());
    // One piece after the other, where they are in one.
    let split = |from: usize, at: usize| {
        let short = TooShort { needed: at, length: data[from].len() };
        data[from].split_at_checked(at).ok_or(short)
    };
    match planes {
        Planes::Packed { order, stride } => {
            convert::packed(order, data[0], stride, layout, frame.planes_mut())
        }
        Planes::Nv12 { strides: [luma, chroma], pieces } => {
            let (first, second) =
                if pieces > 1 { (data[0], data[1]) } else { split(0, luma * rows[0])? };
            convert::nv12((first, luma), (second, chroma), layout, frame.planes_mut())
        }
        Planes::I420 { strides, pieces } => {
            let pieces = if pieces > 1 {
                data
            } else {
                let (first, rest) = split(0, strides[0] * rows[0])?;
                let at = strides[1] * rows[1];
                let short = TooShort { needed: at, length: rest.len() };
                let (second, third) = rest.split_at_checked(at).ok_or(short)?;
                [first, second, third]
            };
            let to = frame.planes_mut().into_iter();
            for (plane, to) in to.enumerate() {
                let size = (widths[plane], rows[plane]);
                convert::plane(pieces[plane], strides[plane], size, to)?;
            }
            Ok(())
        }
    }
}

/// One being encoded, one waiting, one being filled.
const FRAMES: usize = 3;
/// Of cameras that do not say: what encoders plan with.
const UNKNOWN_RATE: FrameRate = match FrameRate::new(30, 1) {
    Some(rate) => rate,
    None => unreachable!(),
};
