//! Pictures that are known again when they were encoded and decoded.

#![allow(dead_code, reason = "each test binary uses some of it")]

use capture::{Captured, Source, v4l2::Camera};
use encode::{Config, Encoder, Picture, Received, v4l2_m2m::V4l2M2m};
use media::{AccessUnit, Frame, FramePool, FrameRate, I420Layout, MediaTime};
use openh264::{decoder::Decoder, formats::YUVSource};

pub(crate) fn config(width: u32, height: u32, gop: u32) -> Config {
    let layout = I420Layout::new(width, height).unwrap();
    Config::new(layout, FrameRate::new(30, 1).unwrap(), 1_000_000, gop)
}

/// When picture `number` was taken.
pub(crate) fn time(number: u32) -> MediaTime {
    // Nothing that a counter would come upon.
    MediaTime::from_nanos(7_000_000_123 + u64::from(number) * 33_366_667)
}

pub(crate) fn times(units: &[AccessUnit]) -> Vec<MediaTime> {
    units.iter().map(AccessUnit::time).collect()
}

pub(crate) fn numbers(units: &[AccessUnit]) -> Vec<u32> {
    let number = |unit: &AccessUnit| {
        (0..1000).find(|number| time(*number) == unit.time()).expect("a time that was given")
    };
    units.iter().map(number).collect()
}

pub(crate) fn keyframes(units: &[AccessUnit]) -> Vec<usize> {
    let is_keyframe = |(index, unit): (usize, &AccessUnit)| unit.is_keyframe().then_some(index);
    units.iter().enumerate().filter_map(is_keyframe).collect()
}

/// A picture unlike all others: noise, by its number.
pub(crate) fn picture(pool: &mut FramePool, number: u32) -> Frame {
    let mut frame = pool.take(time(number)).unwrap();
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    for byte in frame.bytes_mut() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state as u8;
    }
    frame
}

/// Pictures of a camera, each encoded before the next is taken.
pub(crate) fn stream(camera: &mut Camera, encoder: &mut V4l2M2m, count: usize) -> Vec<AccessUnit> {
    let mut units = Vec::new();
    while units.len() < count {
        let picture = match camera.next().unwrap() {
            Some(Captured::Lent { time, loan }) => Picture::Lent { time, loan },
            Some(Captured::Raw(frame)) => frame.into(),
            other => panic!("{other:?}"),
        };
        encoder.submit(picture).unwrap();
        while encoder.in_flight() > 0 {
            if let Received::Unit(unit) = encoder.receive(None).unwrap() {
                units.push(unit);
            }
        }
    }
    units
}

/// Encodes pictures, all that the encoder takes at a time, and waits for all of them.
pub(crate) fn encode(
    encoder: &mut dyn Encoder,
    config: &Config,
    pictures: std::ops::Range<u32>,
    forced: &[u32],
) -> Vec<AccessUnit> {
    let is_all = pictures.len() > 1;
    let mut pool = FramePool::new(config.layout, 3);
    let mut pictures = pictures.peekable();
    let mut units = Vec::new();
    loop {
        // As many as it takes: of one that is dropped nothing is heard before the next.
        while encoder.has_room()
            && let Some(number) = pictures.next()
        {
            if forced.contains(&number) {
                encoder.force_keyframe();
            }
            encoder.submit(picture(&mut pool, number).into()).unwrap();
        }
        if pictures.peek().is_none() && is_all {
            encoder.drain().unwrap();
        }
        match encoder.receive(None).unwrap() {
            Received::Unit(unit) => units.push(unit),
            Received::Woken => {}
            Received::Idle if pictures.peek().is_none() => break,
            Received::Idle => {}
        }
        // Of one alone nothing may come, if it is damaged.
        if !is_all && encoder.in_flight() == 0 {
            break;
        }
    }
    units
}

/// Which pictures the decoded ones are, bit for bit.
pub(crate) fn exact(config: &Config, units: &[AccessUnit]) -> Vec<u32> {
    let mut decoder = Decoder::new().unwrap();
    let mut found = Vec::new();
    for unit in units {
        let annexb: Vec<u8> = unit.nals().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect();
        let decoded = decoder.decode(&annexb).unwrap().expect("one picture in, one out");
        let (width, height) = (config.layout.width(), config.layout.height());
        assert_eq!(decoded.dimensions(), (width as usize, height as usize));
        let strides = decoded.strides();
        let planes = [(decoded.y(), strides.0), (decoded.u(), strides.1), (decoded.v(), strides.2)];
        let mut pool = FramePool::new(config.layout, 1);
        let is_it = |number: &u32| {
            let frame = picture(&mut pool, *number);
            let widths = config.layout.strides();
            let of_plane = |index: usize| {
                let (width, (plane, stride)) = (widths[index], planes[index]);
                let rows = frame.planes()[index].chunks_exact(width).zip(plane.chunks(stride));
                rows.into_iter().all(|(original, row)| original == &row[..width])
            };
            (0..3).all(of_plane)
        };
        found.extend((0..20).find(is_it));
    }
    found
}
