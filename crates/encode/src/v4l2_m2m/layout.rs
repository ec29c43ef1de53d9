//! I420 pictures, laid out as a driver wants them: rows padded to its stride, planes after its rows,
//! in one piece of memory or several, chroma by turns or packed.
//!
//! Exact: 4:2:2 gets each row of chroma twice, which averages to what it was.

use media::Frame;
use v4l2::{Format, PixelFormat};

use super::find::{NV21, YVU420};

/// A buffer that is smaller than its format says.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes where there are {length}")]
pub(super) struct TooSmall {
    needed: usize,
    length: usize,
}

/// Writes piece `plane` of a picture of `format` into `memory`; returns how many bytes count.
///
/// The format's size is at least the frame's; what is beyond stays as it is.
pub(super) fn write(
    frame: &Frame,
    format: &Format,
    plane: usize,
    memory: &mut [u8],
) -> Result<u32, TooSmall> {
    let piece = format.planes.get(plane).copied().unwrap_or_default();
    let stride = piece.stride as usize;
    let rows = format.size.height as usize;
    let [luma, blue, red] = frame.planes();
    let half = stride.div_ceil(2);
    // Where each plane begins, if all are in one piece.
    let (second, third) = (stride * rows, stride * rows + half * rows.div_ceil(2));
    let length = match (format.pixel_format, plane) {
        (PixelFormat::YUV420, _) | (YVU420, _) => {
            let is_swapped = format.pixel_format == YVU420;
            let (first_chroma, second_chroma) = if is_swapped { (red, blue) } else { (blue, red) };
            let [width, chroma_width, _] = frame.layout().strides();
            let end = third + half * rows.div_ceil(2);
            let memory = all(memory, end)?;
            rows_of(luma, width, &mut memory[..second], stride);
            rows_of(first_chroma, chroma_width, &mut memory[second..third], half);
            rows_of(second_chroma, chroma_width, &mut memory[third..], half);
            end
        }
        (PixelFormat::YUV420M, _) => {
            let from = [luma, blue, red].get(plane).copied().unwrap_or_default();
            let width = frame.layout().strides().get(plane).copied().unwrap_or(1);
            let end = stride * if plane == 0 { rows } else { rows.div_ceil(2) };
            rows_of(from, width, all(memory, end)?, stride);
            end
        }
        (PixelFormat::NV12 | NV21, _) => {
            let is_swapped = format.pixel_format == NV21;
            let chroma = if is_swapped { [red, blue] } else { [blue, red] };
            let end = second + stride * rows.div_ceil(2);
            let memory = all(memory, end)?;
            rows_of(luma, frame.layout().strides()[0], &mut memory[..second], stride);
            by_turns(chroma, frame.layout().strides()[1], &mut memory[second..], stride);
            end
        }
        (PixelFormat::NV12M, 0) => {
            rows_of(luma, frame.layout().strides()[0], all(memory, second)?, stride);
            second
        }
        (PixelFormat::NV12M, _) => {
            let end = stride * rows.div_ceil(2);
            by_turns([blue, red], frame.layout().strides()[1], all(memory, end)?, stride);
            end
        }
        (PixelFormat::YUYV, _) => {
            packed(frame, all(memory, second)?, stride, [0, 1, 2, 3]);
            second
        }
        (PixelFormat::UYVY, _) => {
            packed(frame, all(memory, second)?, stride, [1, 0, 3, 2]);
            second
        }
        // No other was chosen.
        _ => 0,
    };
    // Drivers that check want all that they asked for.
    let whole = (piece.size as usize).min(memory.len());
    Ok(whole.max(length) as u32)
}

fn all(memory: &mut [u8], needed: usize) -> Result<&mut [u8], TooSmall> {
    let length = memory.len();
    memory.get_mut(..needed).ok_or(TooSmall { needed, length })
}

/// Rows of `width` bytes to rows of `stride`.
fn rows_of(from: &[u8], width: usize, to: &mut [u8], stride: usize) {
    if width == stride {
        to[..from.len()].copy_from_slice(from);
        return;
    }
    for (from, to) in from.chunks_exact(width).zip(to.chunks_mut(stride)) {
        to[..width].copy_from_slice(from);
    }
}

/// Rows of `width` bytes of each, by turns, to rows of `stride`.
fn by_turns([first, second]: [&[u8]; 2], width: usize, to: &mut [u8], stride: usize) {
    let rows = first.chunks_exact(width).zip(second.chunks_exact(width));
    for ((first, second), to) in rows.zip(to.chunks_mut(stride)) {
        for ((first, second), to) in first.iter().zip(second).zip(to.as_chunks_mut::<2>().0) {
            *to = [*first, *second];
        }
    }
}

/// Packed 4:2:2; `order` says where the first Y, U, the second Y and V go.
fn packed(frame: &Frame, to: &mut [u8], stride: usize, order: [usize; 4]) {
    let [luma, blue, red] = frame.planes();
    let [width, half, _] = frame.layout().strides();
    for (index, (luma, to)) in luma.chunks_exact(width).zip(to.chunks_mut(stride)).enumerate() {
        let blue = &blue[index / 2 * half..][..half];
        let red = &red[index / 2 * half..][..half];
        let pixels = luma.chunks(2).zip(blue).zip(red).zip(to.as_chunks_mut::<4>().0);
        for (((luma, blue), red), to) in pixels {
            let last = luma.last().copied().unwrap_or_default();
            to[order[0]] = luma[0];
            to[order[1]] = *blue;
            to[order[2]] = last;
            to[order[3]] = *red;
        }
    }
}

#[cfg(test)]
mod tests;
