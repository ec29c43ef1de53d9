//! How pictures of each format lie in memory, and what is in them.

use super::h264::Planes;
use crate::{
    Format, PixelFormat, Size,
    format::{Color, PlaneFormat},
};

/// What a device makes rows and pictures a multiple of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Bytes of a row of luma.
    pub stride: u32,
    /// Rows.
    pub height: u32,
}

/// None.
impl Default for Alignment {
    fn default() -> Self {
        Self { stride: 1, height: 1 }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// 4:2:2, with the places of the first Y, Cb and Cr in four bytes.
    Packed([usize; 3]),
    /// Chroma samples by turns, in so many pieces of memory.
    Interleaved(usize),
    /// Chroma components one after the other, in so many pieces of memory.
    Planar(usize),
    Compressed,
}

fn layout(format: PixelFormat) -> Layout {
    match format {
        PixelFormat::YUYV => Layout::Packed([0, 1, 3]),
        PixelFormat::UYVY => Layout::Packed([1, 0, 2]),
        PixelFormat::NV12 => Layout::Interleaved(1),
        PixelFormat::NV12M => Layout::Interleaved(2),
        PixelFormat::YUV420 => Layout::Planar(1),
        PixelFormat::YUV420M => Layout::Planar(3),
        _ => Layout::Compressed,
    }
}

/// Whether it is compressed, or at least nothing is known of how it lies.
pub(super) fn is_compressed(format: PixelFormat) -> bool {
    layout(format) == Layout::Compressed
}

/// Whether it takes several pieces of memory.
pub(super) fn has_several_planes(format: PixelFormat) -> bool {
    matches!(layout(format), Layout::Interleaved(2) | Layout::Planar(3))
}

/// A format as a device has it, with rows of at least `stride` bytes.
pub(super) fn format(
    pixel_format: PixelFormat,
    size: Size,
    alignment: Alignment,
    stride: u32,
    color: Color,
) -> Format {
    let Size { width, height } = size;
    let height = height.next_multiple_of(alignment.height.max(1));
    let row = |least: u32| least.max(stride).next_multiple_of(alignment.stride.max(1));
    let plane = |stride: u32, rows: u32| PlaneFormat { stride, size: stride * rows };
    let planes = match layout(pixel_format) {
        Layout::Compressed => vec![PlaneFormat { stride: 0, size: width * height * 2 }],
        Layout::Packed(_) => vec![plane(row(width.next_multiple_of(2) * 2), height)],
        layout => {
            let stride = row(width).next_multiple_of(2);
            let rows = height.div_ceil(2);
            match layout {
                Layout::Interleaved(2) => vec![plane(stride, height), plane(stride, rows)],
                Layout::Planar(3) => {
                    vec![plane(stride, height), plane(stride / 2, rows), plane(stride / 2, rows)]
                }
                _ => vec![PlaneFormat { stride, size: stride * (height + rows) }],
            }
        }
    };
    Format { size: Size { width, height }, pixel_format, planes, color }
}

/// The picture that the memory of a buffer shows, cut to `size`; packed 4:2:2 has the chroma of two
/// rows averaged. `None` when there is too little of it.
pub(super) fn picture(format: &Format, size: Size, memory: &[Vec<u8>]) -> Option<Planes> {
    let stride = format.planes.first()?.stride as usize;
    let rows = format.size.height as usize;
    let [width, height] = [size.width as usize, size.height as usize];
    let first = memory.first()?;
    // Samples from a place on, `step` bytes apart.
    let take = |from: &[u8], at: usize, stride: usize, step: usize, size: (usize, usize)| {
        let mut samples = Vec::with_capacity(size.0 * size.1);
        for y in 0..size.1 {
            for x in 0..size.0 {
                samples.push(*from.get(at + y * stride + x * step)?);
            }
        }
        Some(samples)
    };
    let half = (width / 2, height / 2);
    let components = match layout(format.pixel_format) {
        Layout::Packed([y, u, v]) => {
            let chroma = |at| {
                let full = take(first, at, stride, 4, (width / 2, height))?;
                let average = |rows: &[u8]| {
                    let (above, below) = rows.split_at(width / 2);
                    let pairs = above.iter().zip(below);
                    pairs.map(|(a, b)| a.midpoint(*b) + (a ^ b) % 2).collect::<Vec<u8>>()
                };
                let rows = full.chunks_exact(width / 2 * 2);
                Some(rows.flat_map(average).collect::<Vec<u8>>())
            };
            [take(first, y, stride, 2, (width, height))?, chroma(u)?, chroma(v)?]
        }
        Layout::Interleaved(pieces) => {
            let (from, at) = if pieces > 1 { (memory.get(1)?, 0) } else { (first, stride * rows) };
            [
                take(first, 0, stride, 1, (width, height))?,
                take(from, at, stride, 2, half)?,
                take(from, at + 1, stride, 2, half)?,
            ]
        }
        Layout::Planar(pieces) => {
            let second = stride * rows;
            let third = second + stride / 2 * rows.div_ceil(2);
            let chroma = |plane: usize, at: usize| {
                let (from, at) = if pieces > 1 { (memory.get(plane)?, 0) } else { (first, at) };
                take(from, at, stride / 2, 1, half)
            };
            [take(first, 0, stride, 1, (width, height))?, chroma(1, second)?, chroma(2, third)?]
        }
        Layout::Compressed => return None,
    };
    Some(Planes { size, components })
}
