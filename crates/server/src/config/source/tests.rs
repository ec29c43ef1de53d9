use std::os::unix::ffi::OsStringExt;

use capture::v4l2::choice::PictureFormat;
use media::FrameRate;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> (Option<Source>, Option<String>, Vec<String>) {
    let mut errors = Vec::new();
    let draft = Draft::parse(text, &Origin::Flag("--source"), &mut errors);
    let name = draft.as_ref().and_then(|draft| Some(draft.name.clone()?.0));
    let source = draft.and_then(|draft| {
        draft.encoder(&mut errors);
        draft.resolve(&mut errors)
    });
    (source, name, errors.iter().map(ToString::to_string).collect())
}

fn good(text: &str) -> Source {
    let (source, _, errors) = parse(text);
    assert!(errors.is_empty(), "{text}: {errors:?}");
    source.expect(text)
}

fn bad(text: &str) -> Vec<String> {
    let (source, _, errors) = parse(text);
    assert!(!errors.is_empty(), "{text} was taken as {source:?}");
    errors
}

fn encoder(width: u32, height: u32, fps: u32, bitrate: u32, gop: u32) -> Encoder {
    let layout = I420Layout::new(width, height).unwrap();
    Encoder::new(layout, FrameRate::new(fps, 1).unwrap(), bitrate, gop)
}

#[test]
fn the_test_card() {
    let default = Source::Test(encoder(1280, 720, 30, 2_000_000, 30));
    assert_eq!(good("test"), default);
    assert_eq!(good("test:"), default);
    assert_eq!(test_card(), default);
    assert_eq!(
        good("test:?size=640x480&fps=15&bitrate=800k&gop=2s"),
        Source::Test(encoder(640, 480, 15, 800_000, 30))
    );
    assert_eq!(good("test?gop=5"), Source::Test(encoder(1280, 720, 30, 2_000_000, 5)));
    // Without a bitrate it follows from size and rate.
    assert_eq!(good("test:?size=1920x1080"), Source::Test(encoder(1920, 1080, 30, 3_670_000, 30)));
}

#[test]
fn names_stand_before_the_first_equals_sign() {
    let name = |text| parse(text).1;
    assert_eq!(name("test:?size=640x480"), None);
    assert_eq!(name("door=test:?size=640x480").as_deref(), Some("door"));
    assert_eq!(name("hall/small=file:/a=b.mp4").as_deref(), Some("hall/small"));
    assert_eq!(name("file:/a=b.mp4"), None);
    assert_eq!(name("=test:").as_deref(), Some(""));
}

#[test]
fn paths() {
    let path = |text: &str| match good(text) {
        Source::File(File { path, rate: None }) => path.into_os_string().into_vec(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(path("file:/videos/a.mp4"), b"/videos/a.mp4");
    assert_eq!(path("file:a=b&c:d+e #.h264"), b"a=b&c:d+e #.h264");
    assert_eq!(path("x=file:/what%3F.mp4"), b"/what?.mp4");
    assert_eq!(path("file:/100%25"), b"/100%");
    assert_eq!(path("file:/%ff%FE"), b"/\xff\xfe");
    assert_eq!(path("file:Küche.mp4"), "Küche.mp4".as_bytes());
    let Source::File(file) = good("file:/a.h264?fps=30000/1001") else { panic!("no file") };
    assert_eq!(file.rate, FrameRate::new(30_000, 1001));
}

#[test]
fn pipes() {
    assert_eq!(
        good("stdin:yuv420p?size=640x480&fps=30"),
        Source::Stdin(Pipe::Yuv420p(encoder(640, 480, 30, 880_000, 30)))
    );
    assert_eq!(good("stdin:h264"), Source::Stdin(Pipe::H264 { rate: None }));
    let Source::Stdin(Pipe::H264 { rate }) = good("stdin:h264?fps=25") else { panic!("no pipe") };
    assert_eq!(rate, FrameRate::new(25, 1));
}

#[test]
fn cameras() {
    let camera = |text: &str| match good(text) {
        Source::Camera(camera) => camera,
        other => panic!("{text}: {other:?}"),
    };
    let name = |text: &str| camera(text).name;
    let stable = |text: &str| Name::Stable(text.to_owned());
    assert_eq!(camera("v4l2:"), Camera::any());
    assert_eq!(camera("v4l2"), Camera::any());
    assert_eq!(name("v4l2:/dev/video0"), Name::Path("/dev/video0".into()));
    assert_eq!(name("v4l2:/dev/v4l/by-id/usb-x"), Name::Path("/dev/v4l/by-id/usb-x".into()));
    assert_eq!(name("door=v4l2:usb-0000:00:14.0-1"), stable("usb-0000:00:14.0-1"));
    let by_path = "by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0";
    assert_eq!(name(&format!("v4l2:{by_path}?fps=5")), stable(by_path));
    let all = camera(
        "v4l2:/dev/video0?size=640x480&fps=29.97&format=NV12&bitrate=1M&gop=2s\
         &controls=brightness=10,White Balance=a=b&controls=contrast=",
    );
    let size = Some(::v4l2::Size { width: 640, height: 480 });
    let (format, rate) = (Some(PictureFormat::Nv12), FrameRate::new(2997, 100));
    assert_eq!(all.wanted, Wanted { format, size, rate, ..Wanted::default() });
    assert_eq!((all.bitrate, all.gop), (Some(1_000_000), Gop::Time(Duration::from_secs(2))));
    let controls = [("brightness", "10"), ("White Balance", "a=b"), ("contrast", "")];
    assert_eq!(all.controls, controls.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // What it is encoded to follows from what the camera gives.
    let layout = I420Layout::new(640, 480).unwrap();
    let rate = FrameRate::new(15, 1).unwrap();
    assert_eq!(all.encoder(layout, rate), encoder(640, 480, 15, 1_000_000, 30));
    assert_eq!(Camera::any().encoder(layout, rate), encoder(640, 480, 15, 620_000, 15));
}

#[test]
fn encoders() {
    let encoder = |text: &str| {
        let mut errors = Vec::new();
        let draft = Draft::parse(text, &Origin::Flag("--source"), &mut errors).unwrap();
        let encoder = draft.encoder(&mut errors);
        assert_eq!(errors, []);
        encoder
    };
    for (text, expected) in [
        ("test:", encode::Choice::Auto),
        ("test:?encoder=auto", encode::Choice::Auto),
        ("v4l2:?encoder=openh264", encode::Choice::Openh264),
        ("v4l2:?encoder=/dev/video11", encode::Choice::V4l2("/dev/video11".into())),
        ("stdin:yuv420p?encoder=v4l2:/dev/video11", encode::Choice::V4l2("/dev/video11".into())),
    ] {
        assert_eq!(encoder(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_column() {
    for (text, expected) in [
        (
            "test:?bitrate=2Q",
            "column 15: bitrate: \"2Q\" is not a bitrate (write 2M, 800k or 1500000)",
        ),
        (
            "test:?bitrat=2M",
            "column 7: there is no key \"bitrat\" here (did you mean bitrate?); there is size, \
             fps, bitrate, gop, encoder, on_demand",
        ),
        (
            "Küche=test:?framerate=30",
            "column 13: there is no key \"framerate\" here (did you mean fps?); there is size, \
             fps, bitrate, gop, encoder, on_demand",
        ),
        ("test:?size", "column 7: size: the value is missing: write key=value"),
        (
            "test:?size=640x480&",
            "column 20: a setting is missing: write key=value, and & between two of them",
        ),
        ("test:?", "column 7: a setting is missing: write key=value, and & between two of them"),
        ("test:?fps=30&fps=25", "column 18: fps: fps is there twice"),
        (
            "test:?size=100x100",
            "column 12: size: 100x100 cannot be: the test card is at least 128x96",
        ),
        (
            "test:?size=641x480",
            "column 12: size: 641x480 cannot be: both sides of a 4:2:0 picture are even",
        ),
        (
            "test:?size=8192x4320",
            "column 12: size: 8192x4320 cannot be: the encoder takes at most 9437184 pixels, as \
             4096x2304",
        ),
        ("test:?fps=120", "column 11: fps: 120 cannot be: the encoder takes from 1 to 60"),
        (
            "test:?gop=61s",
            "column 11: gop: 61s cannot be: keyframes are at most a minute apart, here 1800 \
             frames: a viewer that lost a packet sees nothing new until the next",
        ),
        (
            "test:card",
            "column 6: card cannot be: the test card takes nothing after test: but ?key=value",
        ),
        (
            "file:/a.mp4?bitrate=2M",
            "column 21: bitrate: bitrate does not go with file:, which is H.264 already and is \
             not encoded again; what does: fps, on_demand",
        ),
        (
            "file:/a.mp4?fps=1000",
            "column 17: fps: 1000 cannot be: a frame rate is from 1/10 to 240",
        ),
        ("file:", "column 6: the path is missing: write file:/videos/a.mp4"),
        (
            "file:/100%.mp4",
            "column 10: % cannot be: it stands for a byte, with two hexadecimal digits after it \
             (write %25 for % itself)",
        ),
        ("file:a%00b", "column 6: a zero byte cannot be: no path has one"),
        (
            "file:~/a.mp4",
            "column 6: ~/a.mp4 cannot be: the shell resolves ~ only where a word begins (write \
             $HOME, or ./~ for a folder of that name)",
        ),
        (
            "v4l2:video0",
            "column 6: video0 cannot be: this looks like a node (write v4l2:/dev/video0)",
        ),
        ("v4l2:1", "column 6: 1 cannot be: this looks like a node (write v4l2:/dev/video1)"),
        (
            "/dev/video2",
            "column 1: /dev/video2 cannot be: this looks like a path (write v4l2:/dev/video2)",
        ),
        (
            "v4l2:?format=rgb24",
            "column 14: format: \"rgb24\" is no format of pictures that lenscast takes from a \
             camera; there is h264, nv12, i420, yuyv, uyvy, mjpeg",
        ),
        (
            "v4l2:?encoder=nvenc",
            "column 15: encoder: \"nvenc\" is not an encoder (write auto, openh264 or /dev/video11)",
        ),
        (
            "stdin:h264?encoder=auto",
            "column 20: encoder: encoder does not go with stdin:h264, which is H.264 already and \
             is not encoded again; what does: fps",
        ),
        (
            "v4l2:?controls=gain=1,hue",
            "column 23: controls: \"hue\" is not a control and its value (write \
             controls=brightness=10,contrast=5)",
        ),
        (
            "v4l2:?controls=gain=1&controls=gain=1",
            "column 32: controls: control \"gain\" is there twice",
        ),
        (
            "v4l2:?gop=14401",
            "column 11: gop: 14401 frames cannot be: keyframes are at most a minute apart, here \
             14400 frames: a viewer that lost a packet sees nothing new until the next",
        ),
        (
            "test:?format=yuyv",
            "column 14: format: format does not go with test:, which is no camera; what does: \
             size, fps, bitrate, gop, encoder, on_demand",
        ),
        (
            "stdin:",
            "column 1: what comes through the pipe is missing: write stdin:yuv420p?size=640x480 \
             or stdin:h264",
        ),
        (
            "stdin:bgr24",
            "column 7: \"bgr24\" is no format that lenscast reads from a pipe (did you mean \
             yuv420p?); there is yuv420p, h264",
        ),
        (
            "",
            "column 1: the kind of source is missing: write v4l2:DEVICE, test:, \
             file:PATH or stdin:FORMAT",
        ),
        (
            "door=",
            "column 6: the kind of source is missing: write v4l2:DEVICE, test:, \
             file:PATH or stdin:FORMAT",
        ),
        ("door=/a.mp4", "column 6: /a.mp4 cannot be: this looks like a path (write file:/a.mp4)"),
        (
            "tets:",
            "column 1: \"tets\" is no kind of source (did you mean test?); there is v4l2, \
             test, file, stdin",
        ),
        (
            "rtsp://h/cam",
            "column 1: \"rtsp\" is no kind of source; there is v4l2, test, file, stdin",
        ),
    ] {
        assert_eq!(bad(text), [format!("--source: {text:?} {expected}")]);
    }
}

#[test]
fn a_raw_pipe_must_say_its_size() {
    assert_eq!(
        bad("stdin:yuv420p?fps=30"),
        ["--source: size is missing: raw pictures do not say how large they are; add size=640x480"]
    );
    // A size that cannot be read is not also missing.
    assert_eq!(bad("stdin:yuv420p?size=big").len(), 1);
}

#[test]
fn all_that_is_wrong_is_said() {
    assert_eq!(bad("test:?size=1x1&fps=x&bitrate=y&gop=z&colour=red").len(), 5);
    assert_eq!(bad("nonsense:?colour=red").len(), 2);
}

proptest! {
    #[test]
    fn no_text_panics(text in "(a=)?(test|file|stdin|v4l2)?:?[a-z0-9%/~]{0,8}\\??[a-z=&0-9.xü%]{0,24}") {
        let (source, _, errors) = parse(&text);
        prop_assert!(source.is_some() || !errors.is_empty());
    }

    #[test]
    fn no_characters_panic(text in "\\PC{0,24}") {
        let (source, _, errors) = parse(&text);
        prop_assert!(source.is_some() || !errors.is_empty());
    }

    #[test]
    fn every_path_can_be_written(bytes in prop::collection::vec(1u8.., 1..24)) {
        let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
        let Source::File(file) = good(&format!("file:{escaped}")) else { panic!("no file") };
        prop_assert_eq!(file.path.into_os_string().into_vec(), bytes);
    }
}
