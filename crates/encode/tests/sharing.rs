//! A camera and a hardware encoder share their memory, and the picture is the right one.
//!
//! Needs the devices that `V4L2_CAMERA` and `V4L2_ENCODER` name, so it is ignored elsewhere; the
//! first is vivid, whose picture stands still when told to:
//!
//! ```sh
//! cargo test -p encode --test sharing --no-run
//! cargo xtask vm --env V4L2_CAMERA=/dev/video0 --env V4L2_ENCODER=/dev/video1 -- \
//!     target/debug/deps/sharing-… --ignored
//! ```
//!
//! With `--load vivid --load 'h264_test_encoder contiguous=1'` the encoder takes no memory of
//! others; with `align_height=16` chroma lies elsewhere.

use std::{
    env, fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capture::{
    Captured, Source,
    v4l2::{
        Camera,
        choice::{PictureFormat, Wanted},
    },
};
use encode::{
    Config,
    v4l2_m2m::{Sharing, V4l2M2m},
};
use media::{AccessUnit, Clock, Frame, FrameRate, I420Layout, MediaTime, WallTime};
use openh264::{decoder::Decoder, formats::YUVSource};
use v4l2::{Size, loan::Lend};

use self::support::stream;

mod support;

#[test]
#[ignore = "needs a V4L2 camera and encoder"]
fn shared_pictures_are_the_same_as_copied_ones() {
    let _alone = alone();
    for format in [PictureFormat::Nv12, PictureFormat::Yuyv, PictureFormat::I420] {
        let size = Size { width: 640, height: 480 };
        let reference = still(&mut camera(size, format));
        let mut camera = camera(size, format);
        let mut encoder = encoder(&mut camera, size);
        let expected =
            if parameter("contiguous") == 1 { Sharing::Exported } else { Sharing::Imported };
        assert_eq!(encoder.sharing(), expected, "{format:?}");
        let units = stream(&mut camera, &mut encoder, 12);
        assert!(units.windows(2).all(|pair| pair[0].time() < pair[1].time()));
        for unit in &units {
            assert_same(&reference, unit, &format!("{format:?}"));
        }
    }
}

/// Of NV12 of 360 rows the encoder sees 368, and looks for chroma after those.
#[test]
#[ignore = "needs a V4L2 camera and encoder"]
fn what_lies_differently_is_copied() {
    let _alone = alone();
    if parameter("align_height") != 16 {
        eprintln!("this encoder sees as many rows as there are");
        return;
    }
    let size = Size { width: 640, height: 360 };
    for (format, sharing) in
        [(PictureFormat::Nv12, Sharing::Copied), (PictureFormat::Yuyv, Sharing::Exported)]
    {
        let reference = still(&mut camera(size, format));
        let mut camera = camera(size, format);
        let mut encoder = encoder(&mut camera, size);
        assert_eq!(encoder.sharing(), sharing, "{format:?}");
        for unit in &stream(&mut camera, &mut encoder, 4) {
            assert_same(&reference, unit, &format!("{format:?}"));
        }
    }
}

#[test]
#[ignore = "needs a V4L2 camera and encoder"]
fn a_camera_that_shares_can_go_back_to_copies() {
    let _alone = alone();
    let size = Size { width: 640, height: 480 };
    let mut camera = camera(size, PictureFormat::Nv12);
    let mut encoder = encoder(&mut camera, size);
    stream(&mut camera, &mut encoder, 3);
    drop(encoder);
    camera.copy().unwrap();
    assert_eq!(still(&mut camera).layout(), layout(size));
    // And to sharing, with the same as with another encoder.
    let mut encoder = self::encoder(&mut camera, size);
    assert_ne!(encoder.sharing(), Sharing::Copied);
    assert_eq!(stream(&mut camera, &mut encoder, 3).len(), 3);
}

/// Pictures that nobody returns must not starve the camera, nor the other way round.
#[test]
#[ignore = "needs a V4L2 camera and encoder"]
fn a_camera_keeps_buffers_for_itself() {
    let _alone = alone();
    let size = Size { width: 640, height: 480 };
    let mut camera = camera(size, PictureFormat::Nv12);
    let mut encoder = encoder(&mut camera, size);
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(camera.next().unwrap().expect("a picture"));
    }
    drop(kept);
    assert_eq!(stream(&mut camera, &mut encoder, 8).len(), 8);
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn device(variable: &str) -> PathBuf {
    env::var_os(variable).unwrap_or_else(|| panic!("{variable} names the device")).into()
}

/// A number that the test encoder was loaded with.
fn parameter(name: &str) -> u32 {
    let path = format!("/sys/module/h264_test_encoder/parameters/{name}");
    let text = fs::read_to_string(path).unwrap_or_default();
    match text.trim() {
        "Y" => 1,
        number => number.parse().unwrap_or(0),
    }
}

fn layout(size: Size) -> I420Layout {
    I420Layout::new(size.width, size.height).unwrap()
}

/// A camera whose picture stands still: without what it counts.
fn camera(size: Size, format: PictureFormat) -> Camera {
    let rate = FrameRate::new(10, 1);
    let wanted = Wanted { format: Some(format), size: Some(size), rate, ..Wanted::default() };
    let controls = vec![("osd_text_mode".to_owned(), "2".to_owned())];
    let config = capture::v4l2::Config { wanted, controls, waker: None };
    Camera::open(&device("V4L2_CAMERA"), config, Arc::new(NoClock)).unwrap()
}

fn encoder(camera: &mut Camera, size: Size) -> V4l2M2m {
    let rate = FrameRate::new(10, 1).unwrap();
    // Keyframes alone: those of the test encoder are the input, bit for bit.
    let config = Config::new(layout(size), rate, 2_000_000, 1);
    V4l2M2m::open(&device("V4L2_ENCODER"), &config, camera.lender()).unwrap()
}

/// What the camera gives when it copies.
fn still(camera: &mut Camera) -> Frame {
    match camera.next().unwrap() {
        Some(Captured::Raw(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

fn assert_same(reference: &Frame, unit: &AccessUnit, what: &str) {
    let annexb: Vec<u8> = unit.nals().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect();
    let mut decoder = Decoder::new().unwrap();
    let decoded = decoder.decode(&annexb).unwrap().expect("a keyframe");
    let (strides, widths) = (decoded.strides(), reference.layout().strides());
    let planes = [(decoded.y(), strides.0), (decoded.u(), strides.1), (decoded.v(), strides.2)];
    for (index, (plane, stride)) in planes.into_iter().enumerate() {
        let rows = reference.planes()[index].chunks_exact(widths[index]);
        for (number, (original, row)) in rows.zip(plane.chunks(stride)).enumerate() {
            assert!(original == &row[..widths[index]], "{what}: plane {index}, row {number}");
        }
    }
}

/// Cameras that tell the time themselves need none.
struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> MediaTime {
        MediaTime::ZERO
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(0)
    }

    fn sleep_until(&self, _: MediaTime) {}
}
