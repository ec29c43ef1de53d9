//! What is written is read back, by what reads pictures of cameras, and by definition.

use media::{
    FramePool, I420Layout, MediaTime,
    convert::{self, Packed},
};
use v4l2::{
    Size,
    format::{Color, PlaneFormat},
};

use super::*;

const WIDTH: u32 = 38;
const HEIGHT: u32 = 22;
/// Of the driver.
const STRIDE: usize = 64;
const ROWS: u32 = 32;
const UNTOUCHED: u8 = 0xee;

fn noise() -> Frame {
    let layout = I420Layout::new(WIDTH, HEIGHT).unwrap();
    let mut frame = FramePool::new(layout, 1).take(MediaTime::ZERO).unwrap();
    let mut state = 1_u32;
    for byte in frame.bytes_mut() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state as u8;
    }
    frame
}

fn empty() -> Frame {
    let layout = I420Layout::new(WIDTH, HEIGHT).unwrap();
    FramePool::new(layout, 1).take(MediaTime::ZERO).unwrap()
}

/// A format whose pieces have these strides and rows, and what is written to them.
fn written(pixel_format: PixelFormat, pieces: &[(usize, u32)]) -> Vec<Vec<u8>> {
    let planes = pieces.iter().map(|(stride, rows)| {
        let size = *stride as u32 * rows;
        PlaneFormat { stride: *stride as u32, size }
    });
    let size = Size { width: STRIDE as u32, height: ROWS };
    let format = Format { size, pixel_format, planes: planes.collect(), color: Color::default() };
    let frame = noise();
    let memory = |(plane, (stride, rows)): (usize, &(usize, u32))| {
        let mut memory = vec![UNTOUCHED; stride * *rows as usize];
        let used = write(&frame, &format, plane, &mut memory).unwrap();
        assert_eq!(used as usize, memory.len(), "{pixel_format} {plane}");
        let short = memory.len() - 1;
        let refused = write(&frame, &format, plane, &mut memory.clone()[..short]);
        assert_eq!(refused, Err(TooSmall { needed: short + 1, length: short }));
        memory
    };
    pieces.iter().enumerate().map(memory).collect()
}

fn assert_same(read: &Frame, what: PixelFormat) {
    assert!(read.bytes() == noise().bytes(), "{what}");
}

#[test]
fn planar_in_one_piece_or_three() {
    let (size, half) = ((38, 22), (19, 11));
    let in_three = |memory: [&[u8]; 3], chroma_stride: usize, what| {
        let mut read = empty();
        let [luma, blue, red] = read.planes_mut();
        convert::plane(memory[0], STRIDE, size, luma).unwrap();
        convert::plane(memory[1], chroma_stride, half, blue).unwrap();
        convert::plane(memory[2], chroma_stride, half, red).unwrap();
        assert_same(&read, what);
    };
    let second = STRIDE * ROWS as usize;
    let third = second + second / 4;
    let one = written(PixelFormat::YUV420, &[(STRIDE, ROWS * 3 / 2)]);
    in_three([&one[0], &one[0][second..], &one[0][third..]], STRIDE / 2, PixelFormat::YUV420);
    let one = written(YVU420, &[(STRIDE, ROWS * 3 / 2)]);
    in_three([&one[0], &one[0][third..], &one[0][second..]], STRIDE / 2, YVU420);
    let three = written(PixelFormat::YUV420M, &[(STRIDE, ROWS), (48, ROWS / 2), (48, ROWS / 2)]);
    in_three([&three[0], &three[1], &three[2]], 48, PixelFormat::YUV420M);
    assert!(three[0][38..STRIDE].iter().all(|byte| *byte == UNTOUCHED), "padding is left alone");
}

#[test]
fn chroma_by_turns_in_one_piece_or_two() {
    let layout = I420Layout::new(WIDTH, HEIGHT).unwrap();
    let second = STRIDE * ROWS as usize;
    let one = written(PixelFormat::NV12, &[(STRIDE, ROWS * 3 / 2)]);
    let mut read = empty();
    let (luma, chroma) = one[0].split_at(second);
    convert::nv12((luma, STRIDE), (chroma, STRIDE), layout, read.planes_mut()).unwrap();
    assert_same(&read, PixelFormat::NV12);

    let one = written(NV21, &[(STRIDE, ROWS * 3 / 2)]);
    let (luma, chroma) = one[0].split_at(second);
    let mut read = empty();
    let [y, u, v] = read.planes_mut();
    convert::nv12((luma, STRIDE), (chroma, STRIDE), layout, [y, v, u]).unwrap();
    assert_same(&read, NV21);

    let two = written(PixelFormat::NV12M, &[(STRIDE, ROWS), (48, ROWS / 2)]);
    let mut read = empty();
    convert::nv12((&two[0], STRIDE), (&two[1], 48), layout, read.planes_mut()).unwrap();
    assert_same(&read, PixelFormat::NV12M);
}

#[test]
fn packed_averages_back_to_what_it_was() {
    let layout = I420Layout::new(WIDTH, HEIGHT).unwrap();
    for (format, order) in [(PixelFormat::YUYV, Packed::Yuyv), (PixelFormat::UYVY, Packed::Uyvy)] {
        let stride = STRIDE * 2;
        let memory = written(format, &[(stride, ROWS)]);
        let mut read = empty();
        convert::packed(order, &memory[0], stride, layout, read.planes_mut()).unwrap();
        assert_same(&read, format);
    }
}

#[test]
fn pictures_that_fit_exactly() {
    let size = Size { width: WIDTH, height: HEIGHT };
    let planes = vec![PlaneFormat { stride: WIDTH, size: WIDTH * HEIGHT * 3 / 2 }];
    let pixel_format = PixelFormat::YUV420;
    let format = Format { size, pixel_format, planes, color: Color::default() };
    let frame = noise();
    let mut memory = vec![0; frame.bytes().len()];
    assert_eq!(write(&frame, &format, 0, &mut memory), Ok(memory.len() as u32));
    assert!(memory == frame.bytes());
}
