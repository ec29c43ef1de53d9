//! Cameras, on the stand-in for the kernel: formats, gaps, damage, stalls, unplugging.

use std::{sync::Arc, thread, time::Duration};

use ::v4l2::{
    Content, Format, Interval, PixelFormat, Queue, Size, Sizes, Waker,
    fake::{self, Alignment, Errno, Errors, Kernel, Mode, Picture, Setting},
};
use capture::{
    Captured, Description, Error, Source,
    v4l2::{
        Camera, Config,
        choice::{PictureFormat, Wanted},
    },
};
use media::{AccessUnit, Clock, Frame, MediaTime, WallTime};

const PATH: &str = "/dev/video0";
/// Not a multiple of what rows are padded to, and halves of it are odd.
const SIZE: Size = Size { width: 50, height: 38 };
const INTERVAL: Interval = Interval { numerator: 1, denominator: 20 };

/// A kernel with one camera that has one mode.
fn kernel(pixel_format: PixelFormat, config: fake::camera::Config) -> (Kernel, fake::Camera) {
    let kernel = Kernel::new();
    let mode = Mode { pixel_format, sizes: Sizes::Discrete(vec![SIZE]), intervals: vec![INTERVAL] };
    let camera = kernel.add_camera(PATH, fake::camera::Config { modes: vec![mode], ..config });
    (kernel, camera)
}

fn yuyv() -> (Kernel, fake::Camera) {
    kernel(PixelFormat::YUYV, fake::camera::Config::default())
}

fn start(kernel: &Kernel, config: Config) -> Result<Camera, Error> {
    Camera::start(kernel.open(PATH).unwrap(), config, Arc::new(Stopped))
}

/// All was given back, and nothing was asked that should not be.
#[track_caller]
fn assert_clean(kernel: &Kernel) {
    assert_eq!(kernel.complaints(), Vec::<String>::new());
    assert_eq!(kernel.open_files(), 0);
}

#[track_caller]
fn frame(camera: &mut Camera) -> Frame {
    match camera.next().unwrap() {
        Some(Captured::Raw(frame)) => frame,
        other => panic!("{other:?} is no raw picture"),
    }
}

/// Bytes of a buffer that was filled with one.
fn grey(value: u8) -> Picture {
    Picture::of(vec![value; 100 * 38])
}

/// Samples that differ from their neighbours.
fn sample(component: usize, x: usize, y: usize) -> u8 {
    (16 + component * 50 + x * 3 + y * 7) as u8
}

/// A picture in the memory of a buffer; chroma of 4:2:2 is the same in two rows.
fn in_memory(format: &Format) -> Picture {
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    let (halves, rows) = (width / 2, height / 2);
    let stride = |plane: usize| format.planes[plane].stride as usize;
    let mut planes: Vec<Vec<u8>> =
        format.planes.iter().map(|plane| vec![0xee; plane.size as usize]).collect();
    let packed = |places: [usize; 3], memory: &mut [u8]| {
        for y in 0..height {
            for x in 0..width {
                memory[y * stride(0) + 2 * x + places[0]] = sample(0, x, y);
                let at = y * stride(0) + 4 * (x / 2);
                memory[at + places[1]] = sample(1, x / 2, y / 2);
                memory[at + places[2]] = sample(2, x / 2, y / 2);
            }
        }
    };
    // Components that begin at a place, `step` bytes from sample to sample.
    let put = |memory: &mut [u8], component: usize, at: usize, stride: usize, step: usize| {
        let (width, height) = if component == 0 { (width, height) } else { (halves, rows) };
        for y in 0..height {
            (0..width).for_each(|x| memory[at + y * stride + x * step] = sample(component, x, y));
        }
    };
    match format.pixel_format {
        PixelFormat::YUYV => packed([0, 1, 3], &mut planes[0]),
        PixelFormat::UYVY => packed([1, 0, 2], &mut planes[0]),
        PixelFormat::NV12 | PixelFormat::NV12M => {
            put(&mut planes[0], 0, 0, stride(0), 1);
            let several = planes.len() > 1;
            let at = if several { 0 } else { stride(0) * height };
            put(&mut planes[usize::from(several)], 1, at, stride(0), 2);
            put(&mut planes[usize::from(several)], 2, at + 1, stride(0), 2);
        }
        PixelFormat::YUV420 => {
            put(&mut planes[0], 0, 0, stride(0), 1);
            put(&mut planes[0], 1, stride(0) * height, stride(0) / 2, 1);
            put(&mut planes[0], 2, stride(0) * height + stride(0) / 2 * rows, stride(0) / 2, 1);
        }
        PixelFormat::YUV420M => {
            (0..3).for_each(|plane| put(&mut planes[plane], plane, 0, stride(plane), 1));
        }
        other => panic!("{other} is not known here"),
    }
    Picture { planes, ..Picture::default() }
}

#[test]
fn every_raw_format_becomes_the_same_picture() {
    for (pixel_format, is_multi_planar) in [
        (PixelFormat::YUYV, false),
        (PixelFormat::UYVY, false),
        (PixelFormat::NV12, false),
        (PixelFormat::YUV420, false),
        (PixelFormat::YUYV, true),
        (PixelFormat::NV12, true),
        (PixelFormat::NV12M, true),
        (PixelFormat::YUV420M, true),
    ] {
        for stride in [1, 64] {
            let alignment = Alignment { stride, height: 1 };
            let config = fake::camera::Config { is_multi_planar, alignment, ..Default::default() };
            let (kernel, given) = kernel(pixel_format, config);
            given.always(|_, format| in_memory(format));
            let mut camera = start(&kernel, Config::default()).unwrap();
            let Description::Raw { layout, rate, .. } = camera.description() else {
                panic!("{:?}", camera.description());
            };
            assert_eq!((layout.width(), layout.height(), rate.as_f64()), (50, 38, 20.0));
            let frame = frame(&mut camera);
            for (component, plane) in frame.planes().iter().enumerate() {
                let width = if component == 0 { 50 } else { 25 };
                for (at, byte) in plane.iter().enumerate() {
                    let expected = sample(component, at % width, at / width);
                    assert_eq!(*byte, expected, "{pixel_format} {stride} {component} {at}");
                }
            }
            drop((frame, camera));
            assert_clean(&kernel);
        }
    }
}

#[test]
fn pictures_bear_the_drivers_time() {
    let (kernel, given) = yuyv();
    let mut camera = start(&kernel, Config::default()).unwrap();
    for micros in [5, 70_000_123] {
        let timestamp = Some(Duration::from_micros(micros));
        given.give(Picture { timestamp, ..grey(1) });
        assert_eq!(frame(&mut camera).time(), MediaTime::from_nanos(micros * 1000));
    }
}

#[test]
fn gaps_are_counted_and_damage_is_left_out() {
    let (kernel, given) = yuyv();
    let mut camera = start(&kernel, Config::default()).unwrap();
    given.give(grey(1));
    given.lose(3);
    given.give(Picture { is_damaged: true, ..grey(2) });
    // Half of it came, which the driver does not say.
    given.give(Picture::of(vec![3; 50 * 38]));
    given.give(Picture::of(Vec::new()));
    given.give(grey(4));
    assert_eq!(frame(&mut camera).planes()[0][0], 1);
    assert_eq!(camera.lost(), 0);
    assert_eq!(frame(&mut camera).planes()[0][0], 4);
    assert_eq!((camera.lost(), camera.missed()), (3, 6), "and three damaged ones");
    drop(camera);
    assert_clean(&kernel);
}

#[test]
fn pictures_that_nobody_has_given_back_are_not_overwritten() {
    let (kernel, given) = yuyv();
    given.always(|number, _| grey(number as u8 + 1));
    let mut camera = start(&kernel, Config::default()).unwrap();
    let kept: Vec<Frame> = (0..3).map(|_| frame(&mut camera)).collect();
    // There is no room for more: what comes is passed over until there is.
    given.stall();
    assert!(camera.next().is_err());
    let values: Vec<u8> = kept.iter().map(|frame| frame.planes()[0][0]).collect();
    assert_eq!(values, [1, 2, 3]);
    drop((kept, camera));
    assert_clean(&kernel);
}

#[test]
fn a_camera_that_goes_silent_is_given_up() {
    let (kernel, given) = yuyv();
    given.give(grey(1));
    given.stall();
    let mut camera = start(&kernel, Config::default()).unwrap();
    frame(&mut camera);
    let error = camera.next().unwrap_err();
    assert!(error.to_string().contains("no picture came"), "{error}");
    drop(camera);
    assert_clean(&kernel);
}

#[test]
fn a_camera_that_is_unplugged_ends_with_an_error_also_in_the_midst_of_waiting() {
    for waits in [false, true] {
        let (kernel, given) = yuyv();
        let mut camera = start(&kernel, Config::default()).unwrap();
        if !waits {
            given.unplug();
        }
        let waiting = thread::spawn(move || camera.next().unwrap_err());
        given.unplug();
        let error = waiting.join().unwrap();
        let Error::Device(error) = &error else { panic!("{error}") };
        assert_eq!(error.trouble(), ::v4l2::Trouble::Gone);
        assert_clean(&kernel);
    }
}

#[test]
fn a_waker_ends_the_wait_and_is_heard_before_pictures() {
    let (kernel, given) = yuyv();
    let waker = Waker::new().unwrap();
    let config = Config { waker: Some(waker.clone()), ..Config::default() };
    let mut camera = start(&kernel, config).unwrap();
    let waiting = thread::spawn(move || {
        assert!(camera.next().unwrap().is_none());
        camera
    });
    waker.wake();
    let mut camera = waiting.join().unwrap();
    assert!(camera.next().unwrap().is_none(), "until it is reset");
    assert!(waker.reset());
    given.give(grey(1));
    frame(&mut camera);
    drop(camera);
    assert_clean(&kernel);
}

#[test]
fn a_driver_that_fails_is_an_error_and_all_is_given_back() {
    for name in
        ["VIDIOC_S_FMT", "VIDIOC_REQBUFS", "VIDIOC_QUERYBUF", "VIDIOC_QBUF", "VIDIOC_STREAMON"]
    {
        let (kernel, given) = yuyv();
        given.fail(name, Errors { after: 0, times: 1, error: Errno::NOSPC });
        let started = start(&kernel, Config::default());
        let error = started.and_then(|mut camera| camera.next()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_clean(&kernel);
    }
    let (kernel, given) = yuyv();
    given.always(|_, _| grey(1));
    given.fail("VIDIOC_DQBUF", Errors { after: 2, times: 1, error: Errno::IO });
    let mut camera = start(&kernel, Config::default()).unwrap();
    drop((frame(&mut camera), frame(&mut camera)));
    assert!(camera.next().unwrap_err().to_string().contains("VIDIOC_DQBUF"));
    drop(camera);
    assert_clean(&kernel);
}

#[test]
fn a_camera_that_another_program_uses_is_refused() {
    let (kernel, _given) = yuyv();
    let other = kernel.open(PATH).unwrap();
    let mut queue = Queue::allocate(&other, other.capability().camera().unwrap(), 2).unwrap();
    queue.enqueue(0, Content::default()).unwrap();
    let error = start(&kernel, Config::default()).map(drop).unwrap_err().to_string();
    assert!(error.contains("another program") && error.contains("fuser"), "{error}");
    drop((queue, other));
    drop(start(&kernel, Config::default()).unwrap());
    assert_clean(&kernel);
}

#[test]
fn an_encoder_is_no_camera() {
    let kernel = Kernel::new();
    kernel.add_encoder(PATH, fake::encoder::Config::default());
    let error = start(&kernel, Config::default()).map(drop).unwrap_err().to_string();
    assert!(error.contains("gives no pictures"), "{error}");
    assert_clean(&kernel);
}

#[test]
fn controls_are_set_by_name_before_it_starts() {
    const AUTO: u32 = 0x009a_0901;
    let settings = vec![
        Setting::integer(0x0098_0900, "Brightness", (0, 10), 5),
        Setting::menu(AUTO, "Auto Exposure", &["Auto", "Manual Mode"], 0),
        Setting::integer(0x009a_0902, "Exposure Time, Absolute", (1, 5000), 100).held_by(AUTO, 0),
    ];
    let config = fake::camera::Config { settings, ..Default::default() };
    let (kernel, _given) = kernel(PixelFormat::YUYV, config);
    let with = |controls: &[(&str, &str)]| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let controls = controls.iter().map(own).collect();
        start(&kernel, Config { controls, ..Config::default() }).map(drop)
    };
    with(&[("brightness", "7"), ("auto_exposure", "Manual Mode")]).unwrap();
    let device = kernel.open(PATH).unwrap();
    let brightness = device.control(::v4l2::ControlId(0x0098_0900)).unwrap().unwrap();
    assert_eq!(device.value(&brightness).unwrap(), Some(::v4l2::Value::Number(7)));
    with(&[("exposure_time_absolute", "300")]).unwrap();
    for (controls, said) in [
        (&[("brightnes", "7")], "brightness"),
        (&[("brightness", "11")], "0 to 10"),
        (&[("auto_exposure", "Night")], "Manual Mode"),
    ] {
        let error = with(controls).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    with(&[("auto_exposure", "Auto")]).unwrap();
    let error = with(&[("exposure_time_absolute", "300")]).unwrap_err().to_string();
    assert!(error.contains("auto_exposure"), "{error}");
    drop(device);
    assert_clean(&kernel);
}

#[test]
fn what_is_wanted_is_chosen_of_what_there_is() {
    let kernel = Kernel::new();
    let large = Size { width: 640, height: 480 };
    let mode = |pixel_format, sizes: &[Size]| Mode {
        pixel_format,
        sizes: Sizes::Discrete(sizes.to_vec()),
        intervals: vec![INTERVAL, Interval { denominator: 10, ..INTERVAL }],
    };
    let modes = vec![mode(PixelFormat::YUYV, &[SIZE, large]), mode(PixelFormat::NV12, &[large])];
    kernel.add_camera(PATH, fake::camera::Config::of(modes));
    let wanted = Wanted {
        format: Some(PictureFormat::Yuyv),
        size: Some(SIZE),
        rate: media::FrameRate::new(10, 1),
        ..Wanted::default()
    };
    let camera = start(&kernel, Config { wanted, ..Config::default() }).unwrap();
    let Description::Raw { layout, rate, .. } = camera.description() else { panic!() };
    assert_eq!((layout.width(), rate.as_f64()), (50, 10.0));
    drop(camera);
    assert_clean(&kernel);
}

/// From the first picture that decoding can begin with, and as they came.
#[test]
fn h264_is_passed_on() {
    let stream = std::fs::read("tests/data/baseline.h264").unwrap();
    let (kernel, given) = kernel(PixelFormat::H264, fake::camera::Config::default());
    let size = stream.len().min(3800);
    given.give(Picture::of(b"\0\0\0\x01\x41\x9a\0".to_vec()));
    given.give(Picture::of(stream[..size].to_vec()));
    given.stall();
    let mut camera = start(&kernel, Config::default()).unwrap();
    assert!(matches!(camera.description(), Description::H264 { .. }));
    let mut units: Vec<AccessUnit> = Vec::new();
    while let Ok(Some(Captured::Encoded(unit))) = camera.next() {
        units.push(unit);
    }
    assert!(units.first().is_some_and(AccessUnit::is_keyframe), "{units:?}");
    drop(camera);
    assert_clean(&kernel);
}

/// What bears no time of its own would bear this one.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> MediaTime {
        MediaTime::ZERO
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(0)
    }

    fn sleep_until(&self, _: MediaTime) {}
}
