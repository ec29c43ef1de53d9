//! Hardware encoding against a strict stand-in for the kernel: every order of requests that a
//! driver would refuse is refused, and what would be let pass and is wrong is complained of.

use std::time::Duration;

use capture::{Captured, Description, Source, v4l2::Camera};
use encode::{
    Encoder, Error, Picture, Received,
    v4l2_m2m::{Sharing, V4l2M2m},
};
use media::{
    Clock, Colours, FramePool, FrameRate, MediaTime, WallTime,
    h264::{NalType, ParameterSets},
};
use v4l2::{
    Interval, PixelFormat, Size, Sizes, Trouble,
    fake::{
        Alignment, Errno, Errors, Kernel, Misbehaviour, Setting, camera,
        encoder::{self, Headers, KeyFlags, Last, Period},
    },
    format::Color,
    loan::Lend,
    uapi::control as ctl,
};

use self::support::{config, encode, exact, keyframes, numbers, picture, stream, time, times};

mod support;

/// An encoder behind `/dev/video11`.
fn kernel(config: encoder::Config) -> (Kernel, encoder::Encoder) {
    let kernel = Kernel::new();
    let unit = kernel.add_encoder(NODE, config);
    (kernel, unit)
}

fn open(kernel: &Kernel, config: &encode::Config) -> Result<V4l2M2m, Error> {
    V4l2M2m::start(kernel.open(NODE).unwrap(), config, None)
}

/// Nothing was wrong, and nothing is left.
fn assert_clean(kernel: &Kernel) {
    assert_eq!(kernel.complaints(), Vec::<String>::new());
    assert_eq!(kernel.open_files(), 0);
}

#[test]
fn each_picture_is_the_one_that_was_given_however_it_has_to_lie() {
    let single = [PixelFormat::YUV420, PixelFormat::NV12, PixelFormat::YUYV, PixelFormat::UYVY];
    let several = [PixelFormat::YUV420M, PixelFormat::NV12M];
    let of_single = single.iter().flat_map(|format| [(*format, false), (*format, true)]);
    let all = of_single.chain(several.map(|format| (format, true)));
    for (format, is_multi_planar) in all {
        for (stride, height) in [(1, 2), (64, 16)] {
            let (kernel, _) = kernel(encoder::Config {
                is_multi_planar,
                formats: vec![format],
                alignment: Alignment { stride, height },
                ..encoder::Config::default()
            });
            let config = config(200, 120, 1);
            let mut encoder = open(&kernel, &config).unwrap();
            let units = encode(&mut encoder, &config, 0..5, &[]);
            assert_eq!(times(&units), (0..5).map(time).collect::<Vec<_>>());
            let what = format!("{format} {is_multi_planar} {stride} {height}");
            assert_eq!(exact(&config, &units), [0, 1, 2, 3, 4], "{what}");
            drop(encoder);
            assert_clean(&kernel);
        }
    }
}

#[test]
fn what_is_asked_comes_in_the_order_that_all_drivers_take() {
    let (kernel, _) = kernel(encoder::Config::default());
    let config = config(320, 240, 30);
    drop(open(&kernel, &config).unwrap());
    let log = kernel.log();
    let first = |name: &str, what: &str| {
        let is_it = |asked: &v4l2::fake::Asked| asked.name == name && asked.what.contains(what);
        log.iter().position(is_it).unwrap_or_else(|| panic!("no {name} {what} in {log:#?}"))
    };
    let order = [
        first("VIDIOC_S_FMT", "CAPTURE"),
        first("VIDIOC_S_FMT", "OUTPUT"),
        first("VIDIOC_S_PARM", "OUTPUT"),
        first("VIDIOC_S_EXT_CTRLS", ""),
        first("VIDIOC_REQBUFS", ""),
        first("VIDIOC_QBUF", "CAPTURE"),
        first("VIDIOC_STREAMON", ""),
    ];
    assert!(order.is_sorted(), "{order:?} in {log:#?}");
    assert_clean(&kernel);
}

#[test]
fn gops_are_as_long_as_they_should_be_whatever_the_control_is_called() {
    for period in [Period::IPeriod, Period::GopSize] {
        let settings = encoder::settings(period);
        let (kernel, _) = kernel(encoder::Config { settings, ..encoder::Config::default() });
        let config = config(320, 240, 4);
        let mut encoder = open(&kernel, &config).unwrap();
        let units = encode(&mut encoder, &config, 0..10, &[]);
        assert_eq!(keyframes(&units), [0, 4, 8], "{period:?}");
        drop(encoder);
        assert_clean(&kernel);
    }
}

#[test]
fn an_encoder_without_controls_encodes() {
    let settings = Vec::new();
    let (kernel, _) = kernel(encoder::Config { settings, ..encoder::Config::default() });
    let config = config(320, 240, 30);
    let mut encoder = open(&kernel, &config).unwrap();
    encoder.force_keyframe();
    let refusal = encoder.set_bitrate(500_000).unwrap_err();
    assert!(matches!(refusal, Error::Unsupported { .. }), "{refusal}");
    assert_eq!(exact(&config, &encode(&mut encoder, &config, 0..3, &[])), [0, 1, 2]);
}

#[test]
fn keyframes_come_on_demand() {
    let (kernel, _) = kernel(encoder::Config::default());
    let config = config(320, 240, 1000);
    let mut encoder = open(&kernel, &config).unwrap();
    let mut units = Vec::new();
    for number in 0..6 {
        let forced: &[u32] = if number == 3 { &[3] } else { &[] };
        units.extend(encode(&mut encoder, &config, number..number + 1, forced));
    }
    assert_eq!(keyframes(&units), [0, 3]);
    drop(encoder);
    assert_clean(&kernel);
}

#[test]
fn each_keyframe_stands_alone_and_says_that_nothing_is_reordered() {
    for headers in [Headers::AsTold, Headers::PerStart, Headers::PerOpen] {
        for key_flags in [KeyFlags::Never, KeyFlags::Always, KeyFlags::Swapped] {
            let (kernel, unit) = kernel(encoder::Config::default());
            unit.misbehave(Misbehaviour { headers, key_flags, ..Misbehaviour::default() });
            let config = config(320, 240, 3);
            let mut encoder = open(&kernel, &config).unwrap();
            let units = encode(&mut encoder, &config, 0..7, &[]);
            assert_eq!(keyframes(&units), [0, 3, 6]);
            for start in [0, 3, 6] {
                let unit = &units[start];
                let types: Vec<_> = unit.nals().map(|nal| NalType::of(nal[0])).collect();
                assert_eq!(types[..2], [NalType::Sps, NalType::Pps]);
                let sets = ParameterSets::in_band(unit).unwrap().unwrap();
                assert!(media::h264::without_reordering(&sets.sps).is_none(), "it says so itself");
                let alone = exact(&config, &units[start..=start]);
                assert_eq!(alone, [start as u32], "{headers:?} {key_flags:?}");
            }
        }
    }
}

#[test]
fn times_stay_right_when_pictures_are_dropped() {
    let (kernel, unit) = kernel(encoder::Config::default());
    unit.misbehave(Misbehaviour { drop_every: Some(3), ..Misbehaviour::default() });
    let config = config(320, 240, 1);
    let mut encoder = open(&kernel, &config).unwrap();
    let units = encode(&mut encoder, &config, 0..9, &[]);
    assert_eq!(numbers(&units), [0, 1, 3, 4, 6, 7], "the ninth is dropped, too, at the end");
    assert_eq!(exact(&config, &units), numbers(&units));
    drop(encoder);
    assert_clean(&kernel);
}

#[test]
fn after_a_damaged_picture_nothing_comes_that_refers_to_it() {
    let (kernel, unit) = kernel(encoder::Config::default());
    unit.misbehave(Misbehaviour { damage_every: Some(4), ..Misbehaviour::default() });
    let config = config(320, 240, 1000);
    let mut encoder = open(&kernel, &config).unwrap();
    let mut units = Vec::new();
    for number in 0..10 {
        units.extend(encode(&mut encoder, &config, number..number + 1, &[]));
    }
    assert_eq!(numbers(&units), [0, 1, 2, 4, 5, 6, 8, 9]);
    assert_eq!(keyframes(&units), [0, 3, 6], "4 and 8 are keyframes");
    assert_eq!(exact(&config, &units), numbers(&units));
}

#[test]
fn a_stall_is_told_and_can_be_acted_on() {
    let (kernel, unit) = kernel(encoder::Config::default());
    unit.misbehave(Misbehaviour { stall_after: Some(3), ..Misbehaviour::default() });
    let config = config(320, 240, 30);
    let mut encoder = open(&kernel, &config).unwrap();
    let (units, error) = until_error(&mut encoder, &config);
    assert_eq!(units, 3);
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "Fake H.264 Encoder (/dev/video11) has given nothing for 2.0 s, with 2 pictures to encode: \
         its driver or firmware hangs"
    );
    drop(encoder);
    assert_clean(&kernel);
}

/// It takes every picture and gives every buffer back, as a working one does; only nothing can be
/// seen.
#[test]
fn an_encoder_that_makes_nothing_of_any_picture_is_told_as_stalled() {
    let nothing = Misbehaviour::default();
    for (what, misbehaviour) in [
        ("dropped", Misbehaviour { drop_every: Some(1), ..nothing }),
        ("damaged", Misbehaviour { damage_every: Some(1), ..nothing }),
    ] {
        let (kernel, unit) = kernel(encoder::Config::default());
        unit.misbehave(misbehaviour);
        let mut encoder = open(&kernel, &impatient()).unwrap();
        let (units, error) = until_error(&mut encoder, &impatient());
        assert_eq!(units, 0, "{what}");
        assert!(matches!(error, Error::Stalled { .. }), "{what}: {error}");
        drop(encoder);
        assert_clean(&kernel);
    }
}

/// Some begin only when they have several pictures, and memory for what they make of them.
#[test]
fn an_encoder_gets_as_many_buffers_as_it_needs() {
    let control = |id: u32, count: u32| {
        let count = i64::from(count);
        Setting::integer(id, "Min Number of Buffers", (1, 32), count).read_only()
    };
    for least_buffers in [[3, 1], [1, 6], [5, 8]] {
        let mut settings = encoder::settings(Period::IPeriod);
        let [raw, coded] = least_buffers;
        settings.push(control(ctl::V4L2_CID_MIN_BUFFERS_FOR_OUTPUT, raw));
        settings.push(control(ctl::V4L2_CID_MIN_BUFFERS_FOR_CAPTURE, coded));
        for shared in [false, true] {
            let kernel = Kernel::new();
            let settings = settings.clone();
            let unit = encoder::Config { least_buffers, settings, ..Default::default() };
            kernel.add_encoder(NODE, unit);
            let unit = kernel.add_camera("/dev/video0", nv12_camera(shared));
            unit.always(|number, _| camera::Picture::of(semi_planar(number)));
            let device = kernel.open("/dev/video0").unwrap();
            let mut camera = Camera::start(device, Default::default(), clock()).unwrap();
            let lender = if shared { camera.lender() } else { None };
            let device = kernel.open(NODE).unwrap();
            let mut encoder = V4l2M2m::start(device, &config(WIDTH, HEIGHT, 1), lender).unwrap();
            let mut units = Vec::new();
            while units.len() < 20 {
                while encoder.has_room() {
                    let picture = match camera.next().unwrap() {
                        Some(Captured::Lent { time, loan }) => Picture::Lent { time, loan },
                        Some(Captured::Raw(frame)) => frame.into(),
                        other => panic!("{other:?}"),
                    };
                    encoder.submit(picture).unwrap();
                }
                if let Received::Unit(unit) = encoder.receive(None).unwrap() {
                    units.push(unit);
                }
            }
            let found = exact(&config(WIDTH, HEIGHT, 1), &units);
            assert_eq!(found, (0..20).collect::<Vec<_>>(), "{least_buffers:?} {shared}");
            drop((encoder, camera));
            assert_clean(&kernel);
        }
    }
}

/// Nobody could see what follows a damaged picture.
#[test]
fn an_encoder_that_makes_no_keyframe_when_one_is_needed_is_told_as_stalled() {
    let (kernel, unit) = kernel(encoder::Config::default());
    let config = impatient();
    let mut encoder = open(&kernel, &config).unwrap();
    assert_eq!(encode(&mut encoder, &config, 0..1, &[]).len(), 1);
    let damage_every = Some(2);
    unit.misbehave(Misbehaviour { damage_every, ignores_force: true, ..Default::default() });
    let (units, error) = until_error(&mut encoder, &config);
    assert_eq!(units, 0);
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
}

/// Viewers who saw what was before a stall would see rubbish.
#[test]
fn nothing_comes_before_the_first_keyframe() {
    for (ignores_force, expected) in [(false, vec![0, 1, 2, 3, 4, 5]), (true, vec![3, 4, 5])] {
        let (kernel, unit) = kernel(encoder::Config::default());
        let begins_anywhere = true;
        unit.misbehave(Misbehaviour { begins_anywhere, ignores_force, ..Misbehaviour::default() });
        let config = config(320, 240, 4);
        let mut encoder = open(&kernel, &config).unwrap();
        let units = encode(&mut encoder, &config, 0..6, &[]);
        assert_eq!(numbers(&units), expected);
        assert_eq!(keyframes(&units)[0], 0);
    }
}

#[test]
fn an_encoder_that_ignores_the_wish_for_a_keyframe_goes_on() {
    let (kernel, unit) = kernel(encoder::Config::default());
    unit.misbehave(Misbehaviour { ignores_force: true, ..Misbehaviour::default() });
    let config = config(320, 240, 4);
    let mut encoder = open(&kernel, &config).unwrap();
    let mut units = Vec::new();
    for number in 0..6 {
        let forced: &[u32] = if number == 2 { &[2] } else { &[] };
        units.extend(encode(&mut encoder, &config, number..number + 1, forced));
    }
    assert_eq!(keyframes(&units), [0, 4]);
    assert_eq!(exact(&config, &units), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn an_encoder_that_gives_no_parameter_sets_is_an_error() {
    let (kernel, unit) = kernel(encoder::Config::default());
    unit.misbehave(Misbehaviour { headers: Headers::Never, ..Misbehaviour::default() });
    let config = config(320, 240, 4);
    let mut encoder = open(&kernel, &config).unwrap();
    let (units, error) = until_error(&mut encoder, &config);
    assert_eq!(units, 0);
    assert_eq!(
        error.to_string(),
        "Fake H.264 Encoder (/dev/video11) failed: it gives no parameter sets, without which \
         nobody can decode what it makes"
    );
    drop(encoder);
    assert_clean(&kernel);
}

#[test]
fn all_comes_out_at_the_end_however_that_is_told() {
    for latency in [0, 1] {
        for last in [Last::Picture, Last::Empty, Last::AfterEvent] {
            let (kernel, _) =
                kernel(encoder::Config { latency, last, ..encoder::Config::default() });
            let config = config(320, 240, 1);
            let mut encoder = open(&kernel, &config).unwrap();
            let units = encode(&mut encoder, &config, 0..7, &[]);
            assert_eq!(numbers(&units), [0, 1, 2, 3, 4, 5, 6], "{latency} {last:?}");
            drop(encoder);
            assert_clean(&kernel);
        }
    }
}

/// Some drivers know no ENCODER_CMD.
#[test]
fn all_comes_out_of_an_encoder_that_cannot_be_told_to_finish() {
    let (kernel, unit) = kernel(encoder::Config::default());
    unit.fail("VIDIOC_ENCODER_CMD", Errors { after: 0, times: u32::MAX, error: Errno::NOTTY });
    let config = config(320, 240, 1);
    let mut encoder = open(&kernel, &config).unwrap();
    assert_eq!(numbers(&encode(&mut encoder, &config, 0..5, &[])), [0, 1, 2, 3, 4]);
}

#[test]
fn an_encoder_that_is_taken_away_is_an_error() {
    let (kernel, unit) = kernel(encoder::Config::default());
    let config = config(320, 240, 30);
    let mut encoder = open(&kernel, &config).unwrap();
    assert_eq!(encode(&mut encoder, &config, 0..1, &[]).len(), 1);
    unit.unplug();
    let (_, error) = until_error(&mut encoder, &config);
    let Error::Device(error) = error else { panic!("{error}") };
    assert_eq!(error.trouble(), Trouble::Gone);
    drop(encoder);
    assert_eq!(kernel.open_files(), 0);
}

#[test]
fn buffers_that_are_refused_now_and_then_are_no_end_but_ever_again_they_are() {
    let (kernel, unit) = kernel(encoder::Config::default());
    let config = config(320, 240, 1);
    let mut encoder = open(&kernel, &config).unwrap();
    unit.fail("VIDIOC_QBUF", Errors { after: 3, times: 1, error: Errno::IO });
    unit.fail("VIDIOC_QBUF", Errors { after: 4, times: 2, error: Errno::IO });
    let units = encode(&mut encoder, &config, 0..10, &[]);
    assert!(units.len() >= 7, "{:?}", numbers(&units));
    assert_eq!(exact(&config, &units), numbers(&units));
    drop(encoder);

    let mut encoder = open(&kernel, &config).unwrap();
    unit.fail("VIDIOC_QBUF", Errors { after: 0, times: u32::MAX, error: Errno::IO });
    let (_, error) = until_error(&mut encoder, &config);
    assert!(matches!(error, Error::Device(_)), "{error}");
}

#[test]
fn what_cannot_be_encoded_is_refused_with_the_reason() {
    let (kernel, unit) = kernel(encoder::Config::default());
    let refusal = open(&kernel, &config(3840, 2160, 30)).err().unwrap();
    assert_eq!(
        refusal.to_string(),
        "Fake H.264 Encoder (/dev/video11) cannot encode 3840x2160: its pictures have at most \
         1920x1920"
    );
    unit.fail("VIDIOC_S_FMT", Errors { after: 0, times: 1, error: Errno::BUSY });
    let busy = open(&kernel, &config(640, 480, 30)).err().unwrap();
    assert!(busy.to_string().contains("in use"), "{busy}");
    assert_eq!(kernel.open_files(), 0);
}

#[test]
fn every_request_may_fail_and_nothing_panics() {
    for name in [
        "VIDIOC_QUERYCAP",
        "VIDIOC_ENUM_FMT",
        "VIDIOC_G_FMT",
        "VIDIOC_S_FMT",
        "VIDIOC_S_PARM",
        "VIDIOC_S_SELECTION",
        "VIDIOC_QUERY_EXT_CTRL",
        "VIDIOC_S_EXT_CTRLS",
        "VIDIOC_REQBUFS",
        "VIDIOC_QUERYBUF",
        "VIDIOC_QBUF",
        "VIDIOC_DQBUF",
        "VIDIOC_STREAMON",
        "VIDIOC_STREAMOFF",
        "VIDIOC_SUBSCRIBE_EVENT",
    ] {
        for after in [0, 1, 3, 6] {
            let (kernel, unit) = kernel(encoder::Config::default());
            let errors = Errors { after, times: u32::MAX, error: Errno::IO };
            unit.fail(name, errors);
            let config = config(160, 96, 1);
            let Ok(device) = kernel.open(NODE) else { continue };
            let Ok(mut encoder) = V4l2M2m::start(device, &config, None) else { continue };
            let mut pool = FramePool::new(config.layout, 3);
            for number in 0..8 {
                if encoder.has_room() && encoder.submit(picture(&mut pool, number).into()).is_err()
                {
                    break;
                }
                if encoder.in_flight() > 0 && encoder.receive(None).is_err() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_camera_and_an_encoder_share_what_both_can() {
    for (name, encoder_imports, camera_imports, rows, sharing) in [
        ("all", true, true, 2, Sharing::Imported),
        ("the encoder imports", true, false, 2, Sharing::Imported),
        ("the camera imports", false, true, 2, Sharing::Exported),
        ("nobody imports", false, false, 2, Sharing::Copied),
        ("other rows", true, true, 32, Sharing::Copied),
    ] {
        let kernel = Kernel::new();
        kernel.add_encoder(
            NODE,
            encoder::Config {
                imports: encoder_imports,
                is_multi_planar: false,
                formats: vec![PixelFormat::YUV420, PixelFormat::NV12],
                alignment: Alignment { stride: 32, height: rows },
                ..encoder::Config::default()
            },
        );
        let unit = kernel.add_camera("/dev/video0", nv12_camera(camera_imports));
        unit.always(|number, _| camera::Picture::of(semi_planar(number)));
        let device = kernel.open("/dev/video0").unwrap();
        let mut camera = Camera::start(device, Default::default(), clock()).unwrap();
        let config = config(WIDTH, HEIGHT, 1);
        let device = kernel.open(NODE).unwrap();
        let mut encoder = V4l2M2m::start(device, &config, camera.lender()).unwrap();
        assert_eq!(encoder.sharing(), sharing, "{name}");
        // More than there are buffers, so that each goes round.
        let units = stream(&mut camera, &mut encoder, 20);
        assert_eq!(exact(&config, &units), (0..20).collect::<Vec<_>>(), "{name}");
        // Back to copies, and the picture is still the right one.
        drop(encoder);
        camera.copy().unwrap();
        let Some(Captured::Raw(frame)) = camera.next().unwrap() else { panic!("no copy") };
        let mut pool = FramePool::new(config.layout, 1);
        let is_one = |number| picture(&mut pool, number).bytes() == frame.bytes();
        assert!((20..24).any(is_one), "{name}");
        drop(camera);
        assert_clean(&kernel);
    }
}

/// Who needs contiguous memory takes what is so by chance: the first buffers say nothing of the
/// others.
#[test]
fn a_later_buffer_that_cannot_be_imported_speaks_against_importing_any() {
    const SCATTERED: Errors = Errors { after: 2, times: 1, error: Errno::FAULT };
    for (camera_imports, is_camera_wrong, sharing) in [
        (true, false, Sharing::Exported),
        (true, true, Sharing::Copied),
        (false, false, Sharing::Copied),
    ] {
        let (kernel, unit) = kernel(encoder::Config::default());
        let of_camera = kernel.add_camera("/dev/video0", nv12_camera(camera_imports));
        of_camera.always(|number, _| camera::Picture::of(semi_planar(number)));
        let device = kernel.open("/dev/video0").unwrap();
        let mut camera = Camera::start(device, Default::default(), clock()).unwrap();
        unit.fail("VIDIOC_QBUF", SCATTERED);
        if is_camera_wrong {
            of_camera.fail("VIDIOC_QBUF", SCATTERED);
        }
        let config = config(WIDTH, HEIGHT, 1);
        let device = kernel.open(NODE).unwrap();
        let mut encoder = V4l2M2m::start(device, &config, camera.lender()).unwrap();
        assert_eq!(encoder.sharing(), sharing, "{camera_imports} {is_camera_wrong}");
        let units = stream(&mut camera, &mut encoder, 20);
        assert_eq!(exact(&config, &units), (0..20).collect::<Vec<_>>());
        drop((encoder, camera));
        assert_clean(&kernel);
    }
}

/// The driver of an encoder says nothing of colours in its SPS, or what it likes.
#[test]
fn colours_are_said_in_the_stream_and_the_range_is_that_of_the_memory() {
    /// Of a camera: as webcams have it, and in full range.
    const SRGB: Color = Color { space: 8, encoding: 0, quantization: 0, transfer: 0 };
    const FULL: Color = Color { quantization: 1, ..SRGB };
    let webcam = Colours { primaries: 1, transfer: 13, matrix: 6, full_range: false };
    for (color, imports, expected) in [
        (SRGB, true, webcam),
        (SRGB, false, webcam),
        (FULL, true, Colours { full_range: true, ..webcam }),
        // Copies are made limited on the way.
        (FULL, false, webcam),
    ] {
        let kernel = Kernel::new();
        let unit = encoder::Config { imports, ..encoder::Config::default() };
        kernel.add_encoder(NODE, unit);
        let camera = camera::Config { color, ..nv12_camera(imports) };
        let unit = kernel.add_camera("/dev/video0", camera);
        unit.always(|number, _| camera::Picture::of(semi_planar(number)));
        let device = kernel.open("/dev/video0").unwrap();
        let mut camera = Camera::start(device, Default::default(), clock()).unwrap();
        let Description::Raw { colours, .. } = *camera.description() else { panic!() };
        assert_eq!(colours, webcam);
        let config = encode::Config { colours, ..config(WIDTH, HEIGHT, 1) };
        let device = kernel.open(NODE).unwrap();
        let mut encoder = V4l2M2m::start(device, &config, camera.lender()).unwrap();
        let units = stream(&mut camera, &mut encoder, 2);
        let sets = ParameterSets::in_band(&units[1]).unwrap().unwrap();
        assert_eq!(sets.description().colours, Some(expected), "{color:?} {imports}");
        drop((encoder, camera));
        assert_clean(&kernel);
    }
}

/// Though each buffer was taken on trial.
#[test]
fn an_import_that_fails_later_is_told_as_such() {
    let (kernel, unit) = kernel(encoder::Config::default());
    let of_camera = kernel.add_camera("/dev/video0", nv12_camera(true));
    of_camera.always(|number, _| camera::Picture::of(semi_planar(number)));
    let device = kernel.open("/dev/video0").unwrap();
    let mut camera = Camera::start(device, Default::default(), clock()).unwrap();
    let config = config(WIDTH, HEIGHT, 1);
    let device = kernel.open(NODE).unwrap();
    let mut encoder = V4l2M2m::start(device, &config, camera.lender()).unwrap();
    unit.fail("VIDIOC_QBUF", Errors { after: 0, times: 1, error: Errno::FAULT });
    let Some(Captured::Lent { time, loan }) = camera.next().unwrap() else { panic!("not lent") };
    let error = encoder.submit(Picture::Lent { time, loan }).unwrap_err();
    assert!(matches!(error, Error::NotShared { .. }), "{error}");
}

const WIDTH: u32 = 192;
const HEIGHT: u32 = 112;
const NODE: &str = "/dev/video11";

/// Of small pictures, so fast that ten intervals are soon over.
fn impatient() -> encode::Config {
    let rate = FrameRate::new(1000, 1).unwrap();
    encode::Config { rate, patience: Duration::ZERO, ..config(64, 64, 1000) }
}

fn nv12_camera(imports: bool) -> camera::Config {
    let mode = camera::Mode {
        pixel_format: PixelFormat::NV12,
        sizes: Sizes::Discrete(vec![Size { width: WIDTH, height: HEIGHT }]),
        intervals: vec![Interval { numerator: 1, denominator: 30 }],
    };
    camera::Config { imports, ..camera::Config::of(vec![mode]) }
}

/// Picture `number`, as a camera gives it.
fn semi_planar(number: u32) -> Vec<u8> {
    let layout = config(WIDTH, HEIGHT, 1).layout;
    let frame = picture(&mut FramePool::new(layout, 1), number);
    let [luma, blue, red] = frame.planes();
    let chroma = blue.iter().zip(red).flat_map(|(blue, red)| [*blue, *red]);
    luma.iter().copied().chain(chroma).collect()
}

/// How many access units came before an error, and that.
fn until_error(encoder: &mut V4l2M2m, config: &encode::Config) -> (u32, Error) {
    let mut pool = FramePool::new(config.layout, 3);
    let mut units = 0;
    for number in 0..1_000_000 {
        while encoder.has_room() {
            if let Err(error) = encoder.submit(picture(&mut pool, number).into()) {
                return (units, error);
            }
        }
        match encoder.receive(None) {
            Ok(Received::Unit(_)) => units += 1,
            Ok(_) => {}
            Err(error) => return (units, error),
        }
    }
    panic!("no error after {units} access units");
}

fn clock() -> std::sync::Arc<dyn Clock> {
    std::sync::Arc::new(NoClock)
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
