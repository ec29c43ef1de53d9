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
    let [luma, blue, red] = planes;
    let chroma_width = width.div_ceil(2);
    let (luma_at, blue_at, red_at) = match order {
        Packed::Yuyv => ([0, 2], 1, 3),
        Packed::Uyvy => ([1, 3], 0, 2),
    };
    for (index, pair) in luma.chunks_mut(width * 2).enumerate() {
        let top = &picture[index * 2 * stride..][..row];
        // The last row of an odd height is its own neighbour.
        let has_bottom = pair.len() > width;
        let bottom = if has_bottom { &picture[(index * 2 + 1) * stride..][..row] } else { top };
        let (top_luma, bottom_luma) = pair.split_at_mut(width);
        unpack_luma(top, luma_at, top_luma);
        unpack_luma(bottom, luma_at, bottom_luma);
        let blue = &mut blue[index * chroma_width..][..chroma_width];
        let red = &mut red[index * chroma_width..][..chroma_width];
        let pixels = top.as_chunks::<4>().0.iter().zip(bottom.as_chunks::<4>().0);
        for ((blue, red), (top, bottom)) in blue.iter_mut().zip(red).zip(pixels) {
            *blue = average(top[blue_at], bottom[blue_at]);
            *red = average(top[red_at], bottom[red_at]);
        }
    }
    Ok(())
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
        let pairs = row[..chroma_width * 2].as_chunks::<2>().0;
        for ((blue, red), [from_blue, from_red]) in blue.iter_mut().zip(red).zip(pairs) {
            (*blue, *red) = (*from_blue, *from_red);
        }
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
            for (index, to) in to.iter_mut().enumerate() {
                let (left, right) = (2 * index, (2 * index + 1).min(top.len() - 1));
                let four = [top[left], top[right], bottom[left], bottom[right]];
                let sum: u16 = four.into_iter().map(u16::from).sum();
                // At most 255 again.
                *to = ((sum + 2) / 4) as u8;
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
    for sample in luma {
        *sample = limited(*sample, LUMA_SCALE, LUMA_OFFSET);
    }
    for sample in blue.iter_mut().chain(red) {
        *sample = limited(*sample, CHROMA_SCALE, CHROMA_OFFSET);
    }
}

/// In 65536ths, so that it is one multiplication; at most 240.
fn limited(sample: u8, scale: u32, offset: u32) -> u8 {
    ((u32::from(sample) * scale + offset) >> 16) as u8
}

fn unpack_luma(row: &[u8], at: [usize; 2], luma: &mut [u8]) {
    let (pairs, odd) = luma.as_chunks_mut::<2>();
    let pixels = row.as_chunks::<4>().0;
    for (luma, pixel) in pairs.iter_mut().zip(pixels) {
        *luma = [pixel[at[0]], pixel[at[1]]];
    }
    if let ([odd], Some(pixel)) = (odd, pixels.last()) {
        *odd = pixel[at[0]];
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
    u16::midpoint(u16::from(a), u16::from(b) + 1) as u8
}

/// 219/255 and, rounded, 16; in 65536ths.
const LUMA_SCALE: u32 = 56_284;
const LUMA_OFFSET: u32 = (16 << 16) + (1 << 15);
/// 224/255 and, rounded, 128 less 128 times that; in 65536ths.
const CHROMA_SCALE: u32 = 57_569;
const CHROMA_OFFSET: u32 = 1_019_792 + (1 << 15);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three planes of I420.
    fn planes(layout: I420Layout) -> [Vec<u8>; 3] {
        let (strides, rows) = (layout.strides(), layout.rows());
        [0, 1, 2].map(|plane| vec![0xee; strides[plane] * rows[plane]])
    }

    fn mutable(planes: &mut [Vec<u8>; 3]) -> [&mut [u8]; 3] {
        planes.each_mut().map(Vec::as_mut_slice)
    }

    /// Bytes that differ from place to place.
    fn noise(length: usize, seed: u32) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..length).map(|_| next()).collect()
    }

    proptest! {
        /// Sample by sample, as one would write it down.
        #[test]
        fn packed_is_what_its_definition_says(
            width in 1_u32..40, height in 1_u32..20, padding in 0_usize..9, seed: u32,
            order in prop_oneof![Just(Packed::Yuyv), Just(Packed::Uyvy)],
        ) {
            let layout = I420Layout::new(width, height).unwrap();
            let row = width.div_ceil(2) as usize * 4;
            let stride = row + padding;
            let picture = noise(stride * height as usize - padding, seed);
            let mut ours = planes(layout);
            packed(order, &picture, stride, layout, mutable(&mut ours)).unwrap();
            let (luma, blue, red) = match order {
                Packed::Yuyv => (0, 1, 3),
                Packed::Uyvy => (1, 0, 2),
            };
            let at = |x: usize, y: usize, offset: usize| u16::from(picture[y * stride + x / 2 * 4 + offset]);
            let [width, half, _] = layout.strides();
            let last = height as usize - 1;
            for y in 0..height as usize {
                for x in 0..width {
                    prop_assert_eq!(u16::from(ours[0][y * width + x]), at(x, y, luma + x % 2 * 2));
                }
            }
            for y in 0..layout.rows()[1] {
                for x in 0..half {
                    let mean = |offset| {
                        let below = (2 * y + 1).min(last);
                        (at(2 * x, 2 * y, offset) + at(2 * x, below, offset)).div_ceil(2)
                    };
                    prop_assert_eq!(u16::from(ours[1][y * half + x]), mean(blue));
                    prop_assert_eq!(u16::from(ours[2][y * half + x]), mean(red));
                }
            }
        }

        #[test]
        fn nv12_is_what_its_definition_says(
            width in 1_u32..40, height in 1_u32..20, padding in 0_usize..9, seed: u32,
        ) {
            let layout = I420Layout::new(width, height).unwrap();
            let ([width, half, _], [height, rows, _]) = (layout.strides(), layout.rows());
            let (luma_stride, chroma_stride) = (width + padding, half * 2 + padding);
            let luma = noise(luma_stride * height - padding, seed);
            let chroma = noise(chroma_stride * rows - padding, !seed);
            let mut ours = planes(layout);
            let (luma_in, chroma_in) = ((&luma[..], luma_stride), (&chroma[..], chroma_stride));
            nv12(luma_in, chroma_in, layout, mutable(&mut ours)).unwrap();
            for y in 0..height {
                for x in 0..width {
                    prop_assert_eq!(ours[0][y * width + x], luma[y * luma_stride + x]);
                }
            }
            for y in 0..rows {
                for x in 0..half {
                    prop_assert_eq!(ours[1][y * half + x], chroma[y * chroma_stride + 2 * x]);
                    prop_assert_eq!(ours[2][y * half + x], chroma[y * chroma_stride + 2 * x + 1]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn chroma_is_what_its_definition_says(
            width in 1_u32..40, height in 1_u32..20, padding in 0_usize..9, seed: u32,
            columns in prop_oneof![Just(1_usize), Just(2), Just(4)],
            rows in prop_oneof![Just(1_usize), Just(2)],
        ) {
            let layout = I420Layout::new(width, height).unwrap();
            let sampling = Sampling::new(columns, rows).unwrap();
            let (width, height) = (width as usize, height as usize);
            let (from_width, from_height) = (width.div_ceil(columns), height.div_ceil(rows));
            let stride = from_width + padding;
            let samples = noise(stride * from_height - padding, seed);
            let mut ours = planes(layout);
            chroma(&samples, stride, sampling, layout, &mut ours[1]).unwrap();
            // The sample that stands for a pixel; those beyond the edge are as those at it.
            let at = |x: usize, y: usize| {
                let (x, y) = (x.min(width - 1) / columns, y.min(height - 1) / rows);
                u32::from(samples[y * stride + x])
            };
            let half = layout.strides()[1];
            for y in 0..layout.rows()[1] {
                for x in 0..half {
                    let (x2, y2) = (2 * x, 2 * y);
                    let sum = at(x2, y2) + at(x2 + 1, y2) + at(x2, y2 + 1) + at(x2 + 1, y2 + 1);
                    prop_assert_eq!(u32::from(ours[1][y * half + x]), (sum + 2) / 4);
                }
            }
        }
    }

    #[test]
    fn full_range_is_limited_as_by_real_numbers() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut luma, mut blue, mut red) = (all.clone(), all.clone(), all);
        limit_range([&mut luma, &mut blue, &mut red]);
        for value in 0..=255_u8 {
            let place = usize::from(value);
            let full = f64::from(value);
            assert_eq!(f64::from(luma[place]), (16.0 + full * 219.0 / 255.0).round(), "{value}");
            let chroma = (128.0 + (full - 128.0) * 224.0 / 255.0).round();
            assert_eq!(
                (f64::from(blue[place]), f64::from(red[place])),
                (chroma, chroma),
                "{value}"
            );
        }
    }

    #[test]
    fn a_picture_that_was_cut_off_is_refused_and_changes_nothing() {
        let layout = I420Layout::new(4, 4).unwrap();
        let mut ours = planes(layout);
        let picture = noise(4 * 2 * 4 - 1, 7);
        let refused = packed(Packed::Yuyv, &picture, 8, layout, mutable(&mut ours));
        assert_eq!(refused, Err(TooShort { needed: 32, length: 31 }));
        let refused = plane(&picture[..15], 4, (4, 4), &mut ours[0]);
        assert_eq!(refused, Err(TooShort { needed: 16, length: 15 }));
        assert!(ours.iter().flatten().all(|byte| *byte == 0xee));
        let refused = nv12((&picture, 4), (&picture[..7], 4), layout, mutable(&mut ours));
        assert_eq!(refused.unwrap_err().to_string(), "a picture of 8 bytes was cut off after 7");
    }

    #[test]
    fn halves_are_rounded_up_and_nothing_overflows() {
        assert_eq!(
            [average(255, 255), average(254, 255), average(0, 1), average(0, 0)],
            [255, 255, 1, 0]
        );
    }
}
