//! How a camera's buffers become pictures.

use ::v4l2::{Format, PixelFormat, Size};
use media::{
    Frame, FramePool, FrameRate, I420Layout, MediaTime,
    convert::{self, Packed, TooShort},
};

use super::{choice::PictureFormat, colours, h264::Units, mjpeg::Decoder};
use crate::{Captured, Description};

/// How a buffer becomes what the source gives.
pub(super) enum Pictures {
    /// H.264, as it is.
    H264(Units),
    /// Decoded to I420.
    Jpeg {
        /// Where to.
        pool: FramePool,
        /// What decodes.
        decoder: Decoder,
    },
    /// Copied to I420.
    Raw {
        /// Where to.
        pool: FramePool,
        /// How the samples lie.
        planes: Planes,
        /// Samples are of full range.
        full_range: bool,
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
    /// Nothing yet: a part of a picture, or what comes before the first.
    Nothing,
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
            let description = Description::H264 { parameter_sets: None, rate };
            return Ok((Self::H264(Units::default()), description));
        }
        let pool = FramePool::new(layout, FRAMES);
        let pictures = match PictureFormat::of(format.pixel_format) {
            Some(PictureFormat::Mjpeg) => Self::Jpeg { pool, decoder: Decoder::default() },
            _ => {
                let full_range = format.color.is_full_range();
                Self::Raw { pool, planes: Planes::of(format, layout)?, full_range }
            }
        };
        let rate = rate.unwrap_or(UNKNOWN_RATE);
        let colours = colours::of(format, layout);
        Ok((pictures, Description::Raw { layout, rate, colours }))
    }

    /// A picture that has been taken and not been given.
    pub(super) fn waiting(&mut self) -> Option<Captured> {
        match self {
            Self::H264(units) => units.pop().map(Captured::Encoded),
            Self::Jpeg { .. } | Self::Raw { .. } => None,
        }
    }

    /// Makes a picture of the pieces of memory of a buffer.
    pub(super) fn take(&mut self, data: [&[u8]; 3], time: MediaTime) -> Taken {
        match self {
            Self::H264(units) => match units.push(data[0], time) {
                Ok(()) => units
                    .pop()
                    .map_or(Taken::Nothing, |unit| Taken::Picture(Captured::Encoded(unit))),
                Err(reason) => Taken::Damaged(reason),
            },
            Self::Jpeg { pool, decoder } => {
                let Some(mut frame) = pool.take(time) else { return Taken::NoRoom };
                match decoder.decode(data[0], &mut frame) {
                    Ok(()) => Taken::Picture(Captured::Raw(frame)),
                    Err(broken) => Taken::Damaged(broken.to_string()),
                }
            }
            Self::Raw { pool, planes, full_range } => {
                // All in use: the one before has not been encoded, and this one is too many.
                let Some(mut frame) = pool.take(time) else { return Taken::NoRoom };
                match convert(*planes, data, &mut frame) {
                    Ok(()) if *full_range => {
                        convert::limit_range(frame.planes_mut());
                        Taken::Picture(Captured::Raw(frame))
                    }
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
