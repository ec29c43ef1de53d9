use std::fs;

use ::v4l2::{
    Interval, PixelFormat, Size, Sizes,
    control::ControlId,
    fake::{self, Kernel, Mode, Picture, Setting},
    format::Color,
};
use media::WallTime;

use super::*;
use crate::v4l2::choice::PictureFormat;

/// At whose time nothing was ever taken.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(77)
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(0)
    }

    fn sleep_until(&self, _: MediaTime) {}
}

fn mode(pixel_format: PixelFormat, width: u32, height: u32) -> Mode {
    Mode {
        pixel_format,
        sizes: Sizes::Discrete(vec![Size { width, height }]),
        intervals: vec![Interval { numerator: 1, denominator: 25 }],
    }
}

fn open(kernel: &Kernel, config: Config) -> Result<Camera, Error> {
    Camera::start(kernel.open("/dev/video0").unwrap(), config, Arc::new(Stopped))
}

fn raw(camera: &mut Camera) -> media::Frame {
    match camera.next().unwrap() {
        Some(Captured::Raw(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

fn settings(given: &[(&str, &str)]) -> Config {
    let controls = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config { controls: controls.collect(), ..Config::default() }
}

#[test]
fn gaps_are_counted_and_a_count_that_begins_again_is_none() {
    let mut count = Count::default();
    for sequence in [7, 8, 11, 11, 12, 0, 1, u32::MAX, 1] {
        count.note(sequence);
    }
    // 9 and 10; then, across the wrap, 0.
    assert_eq!(count.lost, 3);
}

#[test]
fn pictures_bear_the_drivers_time_and_what_is_lost_or_damaged_is_counted() {
    let kernel = Kernel::new();
    let fake = kernel.add_camera("/dev/video0", fake::camera::Config::default());
    let picture = |luma: u8, timestamp: u64| Picture {
        timestamp: Some(Duration::from_millis(timestamp)),
        ..Picture::of([luma, 128].repeat(640 * 480))
    };
    fake.give(picture(16, 1_000));
    fake.lose(2);
    fake.give(picture(17, 1_100));
    fake.give(Picture { is_damaged: true, ..picture(99, 1_133) });
    fake.give(Picture::of(vec![1; 1_000]));
    fake.give(picture(18, 1_200));
    let mut camera = open(&kernel, Config::default()).unwrap();
    for (luma, millis) in [(16, 1_000), (17, 1_100), (18, 1_200)] {
        let frame = raw(&mut camera);
        assert_eq!(frame.time(), MediaTime::from_nanos(millis * 1_000_000));
        assert_eq!((frame.planes()[0][5], frame.planes()[1][0]), (luma, 128));
    }
    assert_eq!(
        camera.count,
        Count { sequence: Some(6), given: 3, lost: 2, damaged: 2, skipped: 0 }
    );
}

#[test]
fn a_camera_is_stopped_while_it_waits() {
    let kernel = Kernel::new();
    let _fake = kernel.add_camera("/dev/video0", fake::camera::Config::default());
    let waker = Waker::new().unwrap();
    let config = Config { waker: Some(waker.clone()), ..Config::default() };
    let mut camera = open(&kernel, config).unwrap();
    let waits = std::thread::spawn(move || camera.next().unwrap().is_none());
    waker.wake();
    assert!(waits.join().unwrap());
    assert_eq!(kernel.open_files(), 0);
    assert_eq!(kernel.complaints(), Vec::<String>::new());
}

#[test]
fn a_camera_that_stalls_or_is_unplugged_is_an_error() {
    for (unplug, said) in [(false, "no picture came for 5.0 seconds"), (true, "unplugged")] {
        let kernel = Kernel::new();
        let fake = kernel.add_camera("/dev/video0", fake::camera::Config::default());
        let mut camera = open(&kernel, Config::default()).unwrap();
        if unplug {
            fake.unplug();
        } else {
            fake.stall();
        }
        let error = camera.next().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Once it has given one, the next is waited for as long as it may take, and not longer.
#[test]
fn the_wait_for_a_picture_depends_on_rate_and_exposure() {
    const EXPOSURE: u32 = ::v4l2::uapi::control::V4L2_CID_EXPOSURE_ABSOLUTE;
    for (denominator, exposure, millis) in
        [(30, None, 2_000), (30, Some(300), 2_030), (30, Some(40_000), 6_000), (2, None, 5_000)]
    {
        let kernel = Kernel::new();
        let interval = Interval { numerator: 1, denominator };
        let yuyv = Mode { intervals: vec![interval], ..mode(PixelFormat::YUYV, 640, 480) };
        let setting =
            |value| Setting::integer(EXPOSURE, "Exposure Time, Absolute", (1, 100_000), value);
        let settings = exposure.into_iter().map(setting).collect();
        let config = fake::camera::Config { settings, ..fake::camera::Config::of(vec![yuyv]) };
        let fake = kernel.add_camera("/dev/video0", config);
        fake.give(Picture::of(vec![128; 640 * 480 * 2]));
        fake.stall();
        let mut camera = open(&kernel, Config::default()).unwrap();
        raw(&mut camera);
        let error = camera.next().unwrap_err();
        let Error::Stalled { waited, .. } = error else { panic!("{error}") };
        assert_eq!(waited, Duration::from_millis(millis), "{denominator} {exposure:?}");
    }
}

#[test]
fn a_camera_that_gives_nothing_but_damaged_pictures_is_an_error() {
    let kernel = Kernel::new();
    let config = fake::camera::Config::of(vec![mode(PixelFormat::YUYV, 640, 480)]);
    let fake = kernel.add_camera("/dev/video0", config);
    // At first every other is whole.
    fake.always(|number, _| {
        let is_whole = number < 400 && number % 2 == 0;
        Picture::of(vec![128; if is_whole { 640 * 480 * 2 } else { 1_000 }])
    });
    let mut camera = open(&kernel, Config::default()).unwrap();
    (0..200).for_each(|_| drop(raw(&mut camera)));
    let error = camera.next().unwrap_err();
    assert!(matches!(error, Error::Spoilt { count: 125, .. }), "{error}");
    drop(camera);
    assert_eq!((kernel.open_files(), kernel.complaints()), (0, Vec::new()));
}

#[test]
fn automatics_are_set_before_what_they_hold() {
    const AUTOMATIC: u32 = 0x009a_0901;
    const TIME: u32 = 0x009a_0902;
    let kernel = Kernel::new();
    let menu = ["Auto Mode", "Manual Mode", "", "Aperture Priority Mode"];
    let _fake = kernel.add_camera(
        "/dev/video0",
        fake::camera::Config {
            settings: vec![
                Setting::menu(AUTOMATIC, "Auto Exposure", &menu, 3),
                Setting::integer(TIME, "Exposure Time, Absolute", (3, 2047), 250)
                    .held_by(AUTOMATIC, 3),
            ],
            ..fake::camera::Config::default()
        },
    );
    let refused = open(&kernel, settings(&[("exposure_time_absolute", "100")])).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "/dev/video0: exposure_time_absolute is held by auto_exposure: set auto_exposure to \
         1 (Manual Mode) first"
    );
    for (given, said) in [
        (
            ("exposure_tim_absolute", "1"),
            "did you mean exposure_time_absolute?); there is auto_exp",
        ),
        (("auto_exposure", "off"), "it takes 0 (Auto Mode), 1 (Manual Mode), 3 (Aperture"),
        (("Exposure Time, Absolute", "2"), "it takes 3 to 2047"),
    ] {
        let refused = open(&kernel, settings(&[given])).err().unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    let both = [("exposure_time_absolute", "100"), ("Auto Exposure", "manual mode")];
    let camera = open(&kernel, settings(&both)).unwrap();
    let device = &camera.device;
    let time = device.control(ControlId(TIME)).unwrap().unwrap();
    assert_eq!(device.value(&time).unwrap(), Some(::v4l2::Value::Number(100)));
}

#[test]
fn a_camera_that_is_in_use_says_so() {
    let kernel = Kernel::new();
    let _fake = kernel.add_camera("/dev/video0", fake::camera::Config::default());
    let first = open(&kernel, Config::default()).unwrap();
    let refused = open(&kernel, Config::default()).err().unwrap().to_string();
    assert!(refused.contains("another program takes pictures from it"), "{refused}");
    assert!(refused.contains("fuser -v /dev/video0"), "{refused}");
    drop(first);
    assert!(open(&kernel, Config::default()).is_ok());
}

#[test]
fn jpeg_is_decoded_and_what_was_cut_off_left_out() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/jpeg/422.jpg");
    let jpeg = fs::read(path).unwrap();
    let kernel = Kernel::new();
    let modes = vec![mode(PixelFormat::MJPEG, 44, 28)];
    let fake = kernel.add_camera("/dev/video0", fake::camera::Config::of(modes));
    fake.give(Picture::of(jpeg[..jpeg.len() / 2].to_vec()));
    fake.give(Picture::of(jpeg.clone()));
    fake.give(Picture::of(Vec::new()));
    fake.give(Picture::of([&jpeg[..], &[0; 99]].concat()));
    let mut camera = open(&kernel, Config::default()).unwrap();
    let (first, second) = (raw(&mut camera), raw(&mut camera));
    assert_eq!((first.layout().width(), first.layout().height()), (44, 28));
    assert_eq!(first.bytes(), second.bytes());
    assert_eq!((camera.count.given, camera.count.damaged), (2, 2));
}

#[test]
fn h264_comes_as_units_from_its_first_keyframe_on() {
    let kernel = Kernel::new();
    let modes = vec![mode(PixelFormat::H264, 64, 64), mode(PixelFormat::YUYV, 64, 64)];
    let fake = kernel.add_camera("/dev/video0", fake::camera::Config::of(modes));
    let slice = |header: u8| [0, 0, 0, 1, header, 0x88, 0x84].to_vec();
    let sets = [
        &[0, 0, 0, 1][..],
        &[
            0x67, 0x42, 0xc0, 0x0a, 0xda, 0x10, 0x9b, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3,
            0x20, 0xf1, 0x22, 0x6a,
        ],
        &[0, 0, 0, 1, 0x68, 0xce, 0x03, 0x9c, 0x80],
    ]
    .concat();
    fake.give(Picture::of(slice(0x41)));
    fake.give(Picture::of(sets));
    fake.give(Picture::of(slice(0x65)));
    fake.give(Picture::of(slice(0x41)));
    let mut camera = open(&kernel, Config::default()).unwrap();
    assert!(matches!(camera.description(), Description::H264 { rate: Some(_), .. }));
    let mut unit = || match camera.next().unwrap() {
        Some(Captured::Encoded(unit)) => unit,
        other => panic!("{other:?}"),
    };
    let first = unit();
    assert!(first.is_keyframe());
    assert_eq!(first.nals().len(), 3);
    assert_eq!(unit().nals().len(), 1);
}

#[test]
fn pictures_of_full_range_are_limited() {
    let kernel = Kernel::new();
    let fake = kernel.add_camera(
        "/dev/video0",
        fake::camera::Config {
            color: Color { quantization: 1, ..Color::default() },
            ..fake::camera::Config::default()
        },
    );
    fake.give(Picture::of([255, 0].repeat(640 * 480)));
    let wanted = Wanted { format: Some(PictureFormat::Yuyv), ..Wanted::default() };
    let mut camera = open(&kernel, Config { wanted, ..Config::default() }).unwrap();
    let frame = raw(&mut camera);
    assert_eq!(frame.planes().map(|plane| plane[7]), [235, 16, 16]);
}
