use std::{fs, path::PathBuf};

use media::{FramePool, I420Layout, MediaTime};
use proptest::prelude::*;

use super::*;

/// As `tests/data/jpeg/make.c` made them.
const WIDTH: u32 = 44;
const HEIGHT: u32 = 28;

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg").join(name);
    fs::read(&path).unwrap()
}

fn layout() -> I420Layout {
    I420Layout::new(WIDTH, HEIGHT).unwrap()
}

/// Samples of a decoded picture; the buffer was something else before.
fn decode(jpeg: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut frame = FramePool::new(layout(), 1).take(MediaTime::ZERO).unwrap();
    frame.bytes_mut().fill(77);
    Decoder::default().decode(jpeg, &mut frame)?;
    Ok(frame.bytes().to_vec())
}

/// What libjpeg made of the picture, in 4:2:0 and limited range by real numbers.
fn expected(name: &str, (columns, rows): (usize, usize)) -> Vec<u8> {
    let planes = data(name);
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let (luma, chroma) = planes.split_at(width * height);
    let mut all: Vec<u8> =
        luma.iter().map(|y| (16.0 + f64::from(*y) * 219.0 / 255.0).round() as u8).collect();
    let chroma_width = width.div_ceil(columns);
    for plane in chroma.chunks(chroma_width * height.div_ceil(rows)) {
        let at = |x: usize, y: usize| u32::from(plane[y / rows * chroma_width + x / columns]);
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let mean = (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1) + 2) / 4;
                all.push((128.0 + (f64::from(mean) - 128.0) * 224.0 / 255.0).round() as u8);
            }
        }
    }
    all.resize(layout().size(), NO_COLOUR);
    all
}

/// The same without Huffman tables, and with another APP0.
fn as_cameras_send(jpeg: &[u8]) -> Vec<u8> {
    let mut sent = SOI.to_vec();
    sent.extend(b"\xff\xe0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0");
    let mut at = SOI.len();
    loop {
        let marker = jpeg[at + 1];
        let length = usize::from(jpeg[at + 2]) << 8 | usize::from(jpeg[at + 3]);
        if marker == SOS {
            break;
        }
        if marker != DHT && marker != 0xe0 {
            sent.extend(&jpeg[at..at + 2 + length]);
        }
        at += 2 + length;
    }
    sent.extend(&jpeg[at..]);
    sent
}

/// The inverse transform may be rounded either way (T.83 allows more than this); sampling and range
/// leave no choice.
#[test]
fn pictures_are_what_libjpeg_makes_of_them_but_for_rounding() {
    for (name, sampling) in [
        ("420", (2, 2)),
        ("422", (2, 1)),
        ("444", (1, 1)),
        ("440", (1, 2)),
        ("411", (4, 1)),
        ("grey", (1, 1)),
    ] {
        let decoded = decode(&data(&format!("{name}.jpg"))).unwrap();
        let expected = expected(&format!("{name}.planes"), sampling);
        let differences = decoded.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        assert!(differences.clone().all(|difference| difference <= 1), "{name}");
        let different = differences.filter(|difference| *difference > 0).count();
        assert!(different * 20 < decoded.len(), "{name}: {different} of {}", decoded.len());
    }
}

#[test]
fn tables_that_cameras_leave_out_are_the_standard_ones() {
    for name in ["420", "422", "grey"] {
        let jpeg = data(&format!("{name}.jpg"));
        let sent = as_cameras_send(&jpeg);
        assert!(sent.len() < jpeg.len() - 200, "{name}");
        assert!(decode(&sent).unwrap() == decode(&jpeg).unwrap(), "{name}");
    }
}

#[test]
fn what_follows_a_picture_is_not_looked_at() {
    let jpeg = data("422.jpg");
    let expected = decode(&jpeg).unwrap();
    for padding in [&[0; 700][..], &[0xff; 33], b"\xff\xd8\xff\xe0 another, cut off"] {
        let padded = [&jpeg, padding].concat();
        assert!(decode(&padded).unwrap() == expected);
    }
}

#[test]
fn a_picture_that_was_cut_off_is_refused_wherever() {
    for name in ["420", "422", "grey"] {
        let jpeg = data(&format!("{name}.jpg"));
        for length in 0..jpeg.len() {
            assert!(decode(&jpeg[..length]).is_err(), "{name}, {length} of {}", jpeg.len());
            // As when the last packets of a picture were lost and the buffer is as long as before.
            let mut zeros = jpeg[..length].to_vec();
            zeros.resize(jpeg.len(), 0);
            assert!(decode(&zeros).is_err(), "{name}, {length} and zeros");
        }
    }
}

#[test]
fn a_picture_of_another_size_is_refused_and_one_filled_up_is_cropped() {
    let jpeg = data("420.jpg");
    let mut small = FramePool::new(I420Layout::new(WIDTH - 2, HEIGHT - 4).unwrap(), 1);
    let mut frame = small.take(MediaTime::ZERO).unwrap();
    Decoder::default().decode(&jpeg, &mut frame).unwrap();
    let whole = decode(&jpeg).unwrap();
    let [luma, ..] = frame.planes();
    let width = WIDTH as usize;
    for (ours, theirs) in luma.chunks(width - 2).zip(whole.chunks(width)) {
        assert_eq!(ours, &theirs[..width - 2]);
    }
    for (width, height) in [(WIDTH + 2, HEIGHT), (WIDTH, HEIGHT + 2), (8, 8)] {
        let mut other = FramePool::new(I420Layout::new(width, height).unwrap(), 1);
        let mut frame = other.take(MediaTime::ZERO).unwrap();
        let refused = Decoder::default().decode(&jpeg, &mut frame).unwrap_err();
        assert!(matches!(refused, Broken::Size(44, 28) | Broken::Damaged(_)), "{refused}");
    }
}

/// A piece lost in the middle, as when packets on the bus are lost and the end still comes. What is
/// missing then are blocks at the end, which is noticed but within the last row of them; where there
/// are restart markers, a missing marker is. A hole between two of them leaves one row damaged.
#[test]
fn a_picture_with_a_hole_is_refused() {
    let layout = I420Layout::new(64, 160).unwrap();
    let mut frame = FramePool::new(layout, 1).take(MediaTime::ZERO).unwrap();
    for (name, least) in [("tall", 7), ("tall-restarts", 15)] {
        let jpeg = data(&format!("{name}.jpg"));
        let mut decoder = Decoder::default();
        decoder.decode(&jpeg, &mut frame).unwrap();
        let start = jpeg.windows(2).position(|bytes| bytes == [0xff, SOS]).unwrap() + 14;
        let entropy = start..jpeg.len() - 2;
        for start in entropy.clone().step_by(13) {
            for length in [entropy.len() / least, entropy.len() / 4, entropy.len() / 2] {
                if start + length <= entropy.end {
                    let holed = [&jpeg[..start], &jpeg[start + length..]].concat();
                    let refused = decoder.decode(&holed, &mut frame);
                    assert!(refused.is_err(), "{name}, of {}: {length} at {start}", jpeg.len());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), name in 0..6_usize, at in 0.0..1.0_f64) {
        let jpeg = data(["420.jpg", "422.jpg", "444.jpg", "440.jpg", "411.jpg", "grey.jpg"][name]);
        let at = (jpeg.len() as f64 * at) as usize;
        let end = (at + bytes.len()).min(jpeg.len());
        let overwritten = [&jpeg[..at], &bytes, &jpeg[end..]].concat();
        let _ = decode(&overwritten);
        let _ = decode(&bytes);
    }
}
