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
        width in 1_u32..300, height in 1_u32..20, padding in 0_usize..9, seed: u32,
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
    // Each at an even place, and at an odd one.
    for before in [0, 1] {
        let all: Vec<u8> = std::iter::repeat_n(0, before).chain(0..=255).collect();
        let (mut luma, mut blue, mut red) = (all.clone(), all.clone(), all);
        limit_range([&mut luma, &mut blue, &mut red]);
        for value in 0..=255_u8 {
            let place = before + usize::from(value);
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
