//! A hardware encoder encodes, and what it made is decoded and compared.
//!
//! Needs the device that `V4L2_ENCODER` names, so it is ignored elsewhere:
//!
//! ```sh
//! cargo test -p encode --test hardware --no-run
//! cargo xtask vm --env V4L2_ENCODER=/dev/video1 -- target/debug/deps/hardware-… --ignored
//! ```
//!
//! What misbehaves is the project's test encoder (tests/vm/h264-encoder), told to by its parameters;
//! with another encoder those tests end at once.

use std::{
    env, fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use encode::{
    Choice, Encoder, Error, Received,
    v4l2_m2m::{self, V4l2M2m},
};
use media::{
    AccessUnit, FramePool,
    h264::{NalType, ParameterSets},
};

use self::support::{config, encode, exact, keyframes, numbers, picture, time, times};

mod support;

#[test]
#[ignore = "needs a V4L2 encoder"]
fn each_picture_is_the_one_that_was_given() {
    let _alone = alone();
    // Sizes that drivers pad to their stride, or to whole macroblocks.
    for (width, height) in [(640, 480), (200, 120), (640, 360), (1280, 720)] {
        let config = config(width, height, 1);
        let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
        let units = encode(&mut encoder, &config, 0..6, &[]);
        assert_eq!(times(&units), (0..6).map(time).collect::<Vec<_>>());
        assert_eq!(exact(&config, &units), [0, 1, 2, 3, 4, 5], "{width}x{height}");
    }
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn each_keyframe_stands_alone_and_says_that_nothing_is_reordered() {
    let _alone = alone();
    let config = config(320, 240, 4);
    let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
    let units = encode(&mut encoder, &config, 0..10, &[]);
    assert_eq!(keyframes(&units), [0, 4, 8]);
    for unit in &units {
        let types: Vec<NalType> = unit.nals().map(|nal| NalType::of(nal[0])).collect();
        if unit.is_keyframe() {
            assert_eq!(types[..3], [NalType::Sps, NalType::Pps, NalType::Idr]);
            let sets = ParameterSets::in_band(unit).unwrap().unwrap();
            let sps = sets.description();
            assert_eq!((sps.width, sps.height), (320, 240));
            assert!(!sps.may_reorder);
            assert!(media::h264::without_reordering(&sets.sps).is_none(), "it says so itself");
        } else {
            assert!(types.iter().all(|kind| *kind == NalType::Slice), "{types:?}");
        }
    }
    // Whoever joins there can show it.
    for start in [4, 8] {
        assert_eq!(exact(&config, &units[start..start + 1]), [start as u32]);
    }
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn keyframes_come_on_demand_and_the_bitrate_can_be_changed() {
    let _alone = alone();
    let config = config(320, 240, 1000);
    let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
    // One at a time, so that a wish cannot fall upon a picture before.
    let mut units = Vec::new();
    for number in 0..12 {
        if number == 5 {
            encoder.force_keyframe();
        }
        if number == 8 {
            encoder.set_bitrate(4_000_000).unwrap();
        }
        units.extend(encode(&mut encoder, &config, number..number + 1, &[]));
    }
    assert_eq!(keyframes(&units), [0, 5]);
    assert_eq!(exact(&config, &units[5..6]), [5]);
    let size =
        |range: std::ops::Range<usize>| units[range].iter().map(AccessUnit::size).sum::<usize>();
    assert!(size(9..12) > size(1..4) * 2, "{} after {}", size(9..12), size(1..4));
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn the_choice_falls_on_hardware_and_falls_back() {
    let _alone = alone();
    let found = v4l2_m2m::find();
    let candidate = found.candidates.iter().find(|candidate| candidate.path == device());
    let candidate = candidate.unwrap_or_else(|| panic!("{found:?}"));
    assert!(!candidate.formats.is_empty() && !candidate.driver.is_empty());
    let small = config(320, 240, 30);
    let chosen = encode::open(&Choice::Auto, &small, None).unwrap();
    assert!(chosen.name().contains(&candidate.card), "{}", chosen.name());
    // The same node again, while it is in use: these drivers take many.
    drop(chosen);
    // Wider than any of its kind takes.
    let large = config(3840, 2160, 30);
    assert_eq!(encode::open(&Choice::Auto, &large, None).unwrap().name(), "openh264");
    let refusal = encode::open(&Choice::V4l2(device()), &large, None).err().unwrap();
    assert!(matches!(refusal, Error::Unsupported { .. }), "{refusal}");
    let nowhere = encode::open(&Choice::V4l2("/dev/nowhere".into()), &small, None).err().unwrap();
    assert!(matches!(nowhere, Error::Device(_)), "{nowhere}");
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn it_can_be_dropped_in_the_midst() {
    let _alone = alone();
    let config = config(640, 480, 30);
    for number in 0..3 {
        let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
        let mut pool = FramePool::new(config.layout, 3);
        for index in 0..number {
            if encoder.has_room() {
                encoder.submit(picture(&mut pool, index).into()).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn wrong_flags_and_missing_headers_change_nothing() {
    let _alone = alone();
    for (parameter, value) in [
        ("keyframe_flags", 1),
        ("keyframe_flags", 2),
        ("keyframe_flags", 3),
        ("withhold_headers", 1),
        ("poc_type", 0),
    ] {
        let Some(_parameter) = Parameter::set(parameter, value) else { return };
        let config = config(320, 240, 3);
        let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
        let units = encode(&mut encoder, &config, 0..7, &[]);
        assert_eq!(keyframes(&units), [0, 3, 6], "{parameter} {value}");
        for start in [0, 3, 6] {
            let stands_alone = exact(&config, &units[start..start + 1]);
            assert_eq!(stands_alone, [start as u32], "{parameter} {value}");
        }
    }
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn times_stay_right_when_pictures_are_dropped() {
    let _alone = alone();
    let Some(_parameter) = Parameter::set("drop_every", 3) else { return };
    let config = config(320, 240, 1);
    let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
    let units = encode(&mut encoder, &config, 0..10, &[]);
    let left: Vec<u32> = (0..10).filter(|number| number % 3 != 2).collect();
    assert_eq!(times(&units), left.iter().copied().map(time).collect::<Vec<_>>());
    assert_eq!(exact(&config, &units), left);
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn after_a_damaged_picture_it_goes_on_with_a_keyframe() {
    let _alone = alone();
    let Some(_parameter) = Parameter::set("error_every", 4) else { return };
    let config = config(320, 240, 1000);
    let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
    let mut units = Vec::new();
    for number in 0..10 {
        units.extend(encode(&mut encoder, &config, number..number + 1, &[]));
    }
    let numbers: Vec<u32> = numbers(&units);
    assert!(!numbers.contains(&3) && !numbers.contains(&7), "{numbers:?}");
    let after = numbers.iter().position(|number| *number > 3).unwrap();
    assert!(units[after].is_keyframe(), "{numbers:?}");
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn buffers_that_are_refused_now_and_then_are_no_end() {
    let _alone = alone();
    let Some(_parameter) = Parameter::set("qbuf_fail_every", 5) else { return };
    let config = config(320, 240, 1);
    // To start with, all coded buffers must be taken: as many tries as that needs.
    let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
    let units = encode(&mut encoder, &config, 0..20, &[]);
    assert!(units.len() >= 10, "{}", units.len());
    assert_eq!(exact(&config, &units), numbers(&units));
}

#[test]
#[ignore = "needs a V4L2 encoder"]
fn a_stall_is_told() {
    let _alone = alone();
    let Some(_parameter) = Parameter::set("stall_after", 3) else { return };
    let config = config(320, 240, 30);
    let mut encoder = V4l2M2m::open(&device(), &config, None).unwrap();
    let mut pool = FramePool::new(config.layout, 4);
    let mut units = 0;
    let error = loop {
        if encoder.has_room() {
            encoder.submit(picture(&mut pool, units).into()).unwrap();
        }
        match encoder.receive(None) {
            Ok(Received::Unit(_)) => units += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(units, 3);
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
}

fn device() -> PathBuf {
    let device = env::var_os("V4L2_ENCODER");
    device.expect("V4L2_ENCODER names the device, as /dev/video1").into()
}

/// The device and its parameters are one for all.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A parameter of the test encoder, set until it is dropped.
struct Parameter(PathBuf);

impl Parameter {
    /// `None` when this is another encoder.
    fn set(name: &str, value: u32) -> Option<Self> {
        let path = PathBuf::from(MODULE).join(name);
        if !path.exists() {
            eprintln!("not the test encoder: nothing to misbehave");
            return None;
        }
        fs::write(&path, value.to_string()).unwrap();
        Some(Self(path))
    }
}

impl Drop for Parameter {
    fn drop(&mut self) {
        let default = if self.0.ends_with("poc_type") { "2" } else { "0" };
        let _ = fs::write(&self.0, default);
    }
}

const MODULE: &str = "/sys/module/h264_test_encoder/parameters";
