//! Pictures as cameras give them, made into I420.
//!
//! Where there are more chroma samples than I420 keeps, neighbours are averaged, halves upwards:
//! leaving every second one out would shift colours and make edges crawl. Colours themselves are not
//! touched but by [`limit_range`]: range and matrix stay what they were.
//!
//! Rows may be padded: a stride is the bytes from the start of a row to that of the next. Of pictures
//! with odd sides the last chroma sample stands for one column or row.

use crate::frame::I420Layout;

/// How packed 4:2:2 puts two pixels into four bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Y, U, Y, V.
    Yuyv,
    /// U, Y, V, Y.
    Uyvy,
}

/// A picture that has fewer bytes than its size and stride say.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {needed} bytes was cut off after {length}")]
pub struct TooShort {
    /// Bytes it takes.
    pub needed: usize,
    /// Bytes there are.
    pub length: usize,
}

/// Packed 4:2:2 of `stride` bytes a row, into the planes of I420.
///
/// # Errors
///
/// When `picture` is too short; the planes are then as they were.
///
/// # Panics
///
/// When the planes are not those of `layout`, or a row does not fit into `stride`.
pub fn packed(
    order: Packed,
    picture: &[u8],
    stride: usize,
    layout: I420Layout,
    planes: [&mut [u8]; 3],
) -> Result<(), TooShort> {
    let width = layout.width() as usize;
    let height = layout.height() as usize;
    let row = width.div_ceil(2) * 4;
    assert!(row <= stride, "{width} pixels in a row of {stride} bytes");
    let picture = whole(picture, stride, row, height)?;
    let rows = |index: usize| &picture[index * stride..][..row];
    match order {
        Packed::Yuyv => packed_rows::<LOW, HIGH>(rows, width, planes),
        Packed::Uyvy => packed_rows::<HIGH, LOW>(rows, width, planes),
    }
    Ok(())
}

/// Of the bytes of each pair, luma is one and chroma is the other.
fn packed_rows<'a, const LUMA: u32, const CHROMA: u32>(
    row: impl Fn(usize) -> &'a [u8],
    width: usize,
    [luma, blue, red]: [&mut [u8]; 3],
) {
    let chroma_width = width.div_ceil(2);
    let chroma = blue.chunks_exact_mut(chroma_width).zip(red.chunks_exact_mut(chroma_width));
    for ((index, luma), (blue, red)) in luma.chunks_mut(width * 2).enumerate().zip(chroma) {
        let top = row(index * 2);
        if luma.len() > width {
            let bottom = row(index * 2 + 1);
            two_rows::<LUMA, CHROMA>([top, bottom], luma.split_at_mut(width), (blue, red));
        } else {
            // The last row of an odd height is its own neighbour.
            every_other::<LUMA>(top, luma);
            mix_chroma::<CHROMA>([top, top], (blue, red));
        }
    }
}

fn two_rows<const LUMA: u32, const CHROMA: u32>(
    [top, bottom]: [&[u8]; 2],
    luma: (&mut [u8], &mut [u8]),
    chroma: (&mut [u8], &mut [u8]),
) {
    let even = luma.0.len() & !1;
    let (tops, top) = top.split_at(even * 2);
    let (bottoms, bottom) = bottom.split_at(even * 2);
    let (top_lumas, top_luma) = luma.0.split_at_mut(even);
    let (bottom_lumas, bottom_luma) = luma.1.split_at_mut(even);
    let (blues, blue) = chroma.0.split_at_mut(even / 2);
    let (reds, red) = chroma.1.split_at_mut(even / 2);
    let pictures = tops.chunks(BLOCK * 2).zip(bottoms.chunks(BLOCK * 2));
    let lumas = top_lumas.chunks_mut(BLOCK).zip(bottom_lumas.chunks_mut(BLOCK));
    let chromas = blues.chunks_mut(BLOCK / 2).zip(reds.chunks_mut(BLOCK / 2));
    let mut chroma = [0; BLOCK];
    for (((top, bottom), (top_luma, bottom_luma)), (blue, red)) in pictures.zip(lumas).zip(chromas)
    {
        let chroma = &mut chroma[..top_luma.len()];
        part_rows::<LUMA, CHROMA>(top, bottom, top_luma, bottom_luma, chroma);
        part_chroma(chroma, blue, red);
    }
    every_other::<LUMA>(top, top_luma);
    every_other::<LUMA>(bottom, bottom_luma);
    mix_chroma::<CHROMA>([top, bottom], (blue, red));
}

// A function of its own each, so that the compiler knows that what it writes to is nothing that it
// reads; and with pairs of bytes as numbers: of these it makes SIMD.

/// Luma of two rows, and what is between their chroma.
#[inline(never)]
fn part_rows<const LUMA: u32, const CHROMA: u32>(
    top: &[u8],
    bottom: &[u8],
    top_luma: &mut [u8],
    bottom_luma: &mut [u8],
    chroma: &mut [u8],
) {
    let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
    let to = chroma.iter_mut().zip(top_luma).zip(bottom_luma);
    for (((chroma, top_luma), bottom_luma), (top, bottom)) in to.zip(pairs) {
        let [top, bottom] = [top, bottom].map(|pair| u16::from_le_bytes(*pair));
        (*top_luma, *bottom_luma) = ((top >> LUMA) as u8, (bottom >> LUMA) as u8);
        *chroma = ((((top >> CHROMA) & 0xff) + ((bottom >> CHROMA) & 0xff) + 1) >> 1) as u8;
    }
}

/// Samples of both chromas, by turns, to those of each.
#[inline(never)]
fn part_chroma(chroma: &[u8], blue: &mut [u8], red: &mut [u8]) {
    for ((blue, red), pair) in blue.iter_mut().zip(red).zip(chroma.as_chunks::<2>().0) {
        let pair = u16::from_le_bytes(*pair);
        (*blue, *red) = (pair as u8, (pair >> 8) as u8);
    }
}

/// Chroma of two rows, pixels by pixels.
fn mix_chroma<const CHROMA: u32>([top, bottom]: [&[u8]; 2], (blue, red): (&mut [u8], &mut [u8])) {
    let pixels = top.as_chunks::<4>().0.iter().zip(bottom.as_chunks::<4>().0);
    for ((blue, red), (top, bottom)) in blue.iter_mut().zip(red).zip(pixels) {
        let [top, bottom] = [top, bottom].map(|pixels| u32::from_le_bytes(*pixels) >> CHROMA);
        *blue = average(top as u8, bottom as u8);
        *red = average((top >> 16) as u8, (bottom >> 16) as u8);
    }
}

/// Of each pair of bytes the [`LOW`] or the [`HIGH`] one; as many as `to` holds.
fn every_other<const WHICH: u32>(from: &[u8], to: &mut [u8]) {
    for (to, pair) in to.iter_mut().zip(from.as_chunks::<2>().0) {
        *to = (u16::from_le_bytes(*pair) >> WHICH) as u8;
    }
}

/// NV12: luma, then both chromas by turns; each with a stride of its own, in memory of its own.
///
/// # Errors
///
/// When a piece is too short; the planes may then be partly written.
///
/// # Panics
///
/// When the planes are not those of `layout`, or a row does not fit into its stride.
pub fn nv12(
    luma: (&[u8], usize),
    chroma: (&[u8], usize),
    layout: I420Layout,
    planes: [&mut [u8]; 3],
) -> Result<(), TooShort> {
    let [width, chroma_width, _] = layout.strides();
    let [height, chroma_height, _] = layout.rows();
    let [to_luma, blue, red] = planes;
    plane(luma.0, luma.1, (width, height), to_luma)?;
    let (chroma, stride) = chroma;
    assert!(chroma_width * 2 <= stride, "{chroma_width} samples in a row of {stride} bytes");
    let chroma = whole(chroma, stride, chroma_width * 2, chroma_height)?;
    let rows = blue.chunks_exact_mut(chroma_width).zip(red.chunks_exact_mut(chroma_width));
    for ((blue, red), row) in rows.zip(chroma.chunks(stride)) {
        part_chroma(row, blue, red);
    }
    Ok(())
}

/// A plane of `(width, height)` samples whose rows may be padded, to one whose rows are not.
///
/// # Errors
///
/// When `samples` is too short; the plane is then as it was.
///
/// # Panics
///
/// When `to` is not of that size, or a row does not fit into `stride`.
pub fn plane(
    samples: &[u8],
    stride: usize,
    (width, height): (usize, usize),
    to: &mut [u8],
) -> Result<(), TooShort> {
    assert!(width <= stride, "{width} samples in a row of {stride} bytes");
    assert_eq!(to.len(), width * height, "a plane of {width}x{height}");
    let samples = whole(samples, stride, width, height)?;
    if width == stride {
        to.copy_from_slice(&samples[..width * height]);
        return Ok(());
    }
    for (to, row) in to.chunks_exact_mut(width).zip(samples.chunks(stride)) {
        to.copy_from_slice(&row[..width]);
    }
    Ok(())
}

/// How chroma of a planar picture is sampled: one sample for how many of luma.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// In a row: 1, 2 or 4.
    pub columns: usize,
    /// In a column: 1 or 2.
    pub rows: usize,
}

impl Sampling {
    /// One of those that can be made into 4:2:0.
    pub const fn new(columns: usize, rows: usize) -> Option<Self> {
        match (columns, rows) {
            (1 | 2 | 4, 1 | 2) => Some(Self { columns, rows }),
            _ => None,
        }
    }
}

/// A plane of chroma of a picture of `layout`, sampled as `sampling` says, to one sampled 2x2.
///
/// # Errors
///
/// When `samples` is too short; the plane is then as it was.
///
/// # Panics
///
/// When `to` is not that of `layout`, or a row does not fit into `stride`.
pub fn chroma(
    samples: &[u8],
    stride: usize,
    sampling: Sampling,
    layout: I420Layout,
    to: &mut [u8],
) -> Result<(), TooShort> {
    let ([_, width, _], [_, height, _]) = (layout.strides(), layout.rows());
    let from_width = (layout.width() as usize).div_ceil(sampling.columns);
    let from_height = (layout.height() as usize).div_ceil(sampling.rows);
    if (sampling.columns, sampling.rows) == (2, 2) {
        return plane(samples, stride, (width, height), to);
    }
    assert!(from_width <= stride, "{from_width} samples in a row of {stride} bytes");
    assert_eq!(to.len(), width * height, "a plane of {width}x{height}");
    let samples = whole(samples, stride, from_width, from_height)?;
    for (index, to) in to.chunks_exact_mut(width).enumerate() {
        // The last row of an odd height is its own neighbour.
        let (top, bottom) = match sampling.rows {
            1 => (2 * index, (2 * index + 1).min(from_height - 1)),
            _ => (index, index),
        };
        let row = |index: usize| &samples[index * stride..][..from_width];
        halve_row(row(top), row(bottom), sampling.columns, to);
    }
    Ok(())
}

/// Two rows of chroma, or twice the same, to one; of `columns` as in [`Sampling`].
fn halve_row(top: &[u8], bottom: &[u8], columns: usize, to: &mut [u8]) {
    match columns {
        1 => {
            let ((top, odd_top), (bottom, odd_bottom)) =
                (top.as_chunks::<2>(), bottom.as_chunks::<2>());
            let (pairs, odd) = to.split_at_mut(top.len());
            for ((to, top), bottom) in pairs.iter_mut().zip(top).zip(bottom) {
                // As numbers, as above.
                let [top, bottom] = [top, bottom].map(|pair| u16::from_le_bytes(*pair));
                let sum = (top & 0xff) + (top >> 8) + (bottom & 0xff) + (bottom >> 8);
                // At most 255 again.
                *to = ((sum + 2) / 4) as u8;
            }
            if let ([to], [top], [bottom]) = (odd, odd_top, odd_bottom) {
                *to = average(*top, *bottom);
            }
        }
        2 => {
            for ((to, top), bottom) in to.iter_mut().zip(top).zip(bottom) {
                *to = average(*top, *bottom);
            }
        }
        _ => {
            for (index, to) in to.iter_mut().enumerate() {
                *to = average(top[index / 2], bottom[index / 2]);
            }
        }
    }
}

/// Makes full range (luma and chroma from 0 to 255, as JPEG has them) limited (luma from 16 to 235,
/// chroma to 240: ITU-T T.871 section 7, BT.601 section 2.5.3), rounded to nearest.
pub fn limit_range(planes: [&mut [u8]; 3]) {
    let [luma, blue, red] = planes;
    limit(luma, LUMA_SCALE, LUMA_OFFSET);
    limit(blue, CHROMA_SCALE, CHROMA_OFFSET);
    limit(red, CHROMA_SCALE, CHROMA_OFFSET);
}

/// Two samples at a time, each in the upper half of a number of 16 bits: processors multiply many
/// of those at once, and keep the upper halves of what comes out.
fn limit(plane: &mut [u8], scale: u16, offset: u16) {
    let limited = |sample: u16| {
        let scaled = (u32::from(sample) * u32::from(scale)) >> 16;
        // At most 240 times 256.
        scaled as u16 + offset
    };
    let (pairs, odd) = plane.as_chunks_mut::<2>();
    for pair in pairs {
        let both = u16::from_le_bytes(*pair);
        let (low, high) = (limited(both << 8), limited(both & 0xff00));
        *pair = ((low >> 8) | (high & 0xff00)).to_le_bytes();
    }
    if let [odd] = odd {
        *odd = (limited(u16::from(*odd) << 8) >> 8) as u8;
    }
}

/// `bytes`, if it is all there: of the last row the padding may be missing.
fn whole(bytes: &[u8], stride: usize, row: usize, rows: usize) -> Result<&[u8], TooShort> {
    let needed = stride * (rows - 1) + row;
    if bytes.len() < needed {
        return Err(TooShort { needed, length: bytes.len() });
    }
    Ok(bytes)
}

fn average(a: u8, b: u8) -> u8 {
    // At most 255 again.
    ((u16::from(a) + u16::from(b) + 1) >> 1) as u8
}

/// Pixels of a row that are converted together: what is between stays in the nearest cache.
const BLOCK: usize = 2048;
/// Bits below the first byte of a pair, and below the second.
const LOW: u32 = 0;
const HIGH: u32 = 8;
/// 219/255 in 65536ths; and 16, which is rounded to nearest with a half, in 256ths. Those that come
/// out right for each sample, although what is below a 256th is cut off.
const LUMA_SCALE: u16 = 56_284;
const LUMA_OFFSET: u16 = 4_224;
/// 224/255, and what leaves 128 as it is.
const CHROMA_SCALE: u16 = 57_573;
const CHROMA_OFFSET: u16 = 4_109;

#[cfg(test)]
mod tests;
