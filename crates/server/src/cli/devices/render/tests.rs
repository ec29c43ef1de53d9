use capture::v4l2::name::Node;

use super::*;
use crate::cli::devices::listing::{Choice, Entry};

fn rate(fps: u32) -> Rate {
    Rate { numerator: fps, denominator: 1 }
}

fn control(name: &str, kind: &'static str) -> Control {
    Control {
        name: name.to_owned(),
        label: name.to_owned(),
        kind,
        minimum: None,
        maximum: None,
        step: None,
        default: None,
        value: None,
        menu: Vec::new(),
        flags: Vec::new(),
    }
}

fn device(node: &str) -> Device {
    let text = |text: &str| Some(text.to_owned());
    Device {
        driver: text("uvcvideo"),
        card: text("HD Webcam"),
        bus: text("usb-1"),
        ..Device::unknown(Node { path: node.into(), names: Vec::new() })
    }
}

fn webcam() -> Device {
    let format = |format: &str, usable_as, description: &str, sizes| Format {
        format: format.to_owned(),
        usable_as,
        description: description.to_owned(),
        is_compressed: false,
        is_emulated: false,
        sizes,
    };
    let ntsc = Rate { numerator: 30_000, denominator: 1001 };
    let list = Sizes::List(vec![
        SizeAndRates {
            width: 1280,
            height: 720,
            rates: Some(Rates::List(vec![rate(10), rate(5)])),
        },
        SizeAndRates { width: 640, height: 480, rates: Some(Rates::List(vec![ntsc])) },
        SizeAndRates { width: 320, height: 240, rates: None },
    ]);
    let range = Sizes::Range {
        min_width: 64,
        min_height: 32,
        max_width: 1920,
        max_height: 1080,
        step_width: 2,
        step_height: 2,
        rates: Some(Rates::Range { min: rate(1), max: rate(60) }),
    };
    let entry = |value, label: &str| Entry { value, label: label.to_owned() };
    Device {
        names: vec!["by-id/usb-x-video-index0".to_owned(), "by-path/y".to_owned()],
        would_give: Some("YUYV 640x480 at 29.97 fps".to_owned()),
        is_default: true,
        formats: vec![
            format("YUYV", Some("yuyv"), "YUYV 4:2:2", Some(list)),
            format("NV12", Some("nv12"), "Y/UV 4:2:0", Some(range)),
            format("GREY", None, "8-bit Greyscale", None),
        ],
        controls: vec![
            Control {
                minimum: Some(-64),
                maximum: Some(64),
                step: Some(1),
                default: Some(0),
                value: Some(Now::Number(12)),
                ..control("brightness", "integer")
            },
            Control {
                default: Some(1),
                value: Some(Now::Switch(false)),
                ..control("white_balance_automatic", "boolean")
            },
            Control {
                default: Some(3),
                value: Some(Now::Number(1)),
                menu: vec![entry(1, "Manual Mode"), entry(3, "Aperture Priority Mode")],
                flags: vec!["inactive", "volatile"],
                ..control("auto_exposure", "menu")
            },
            control("reset", "button"),
        ],
        ..device("/dev/video0")
    }
}

#[test]
fn a_list_for_people() {
    let listing = Listing {
        cameras: vec![webcam()],
        encoders: vec![Device {
            encodes_from: Some(vec!["YU12".to_owned(), "NV12".to_owned()]),
            ..device("/dev/video11")
        }],
        others: vec![
            Device {
                driver: None,
                card: None,
                bus: None,
                reason: Some("open: permission denied".to_owned()),
                ..device("/dev/video2")
            },
            Device { reason: Some("it gives no pictures".to_owned()), ..device("/dev/video1") },
        ],
        encoder: Choice { encoder: "/dev/video11".to_owned(), why: "it is the first".to_owned() },
        error: None,
    };
    let expected = "\
/dev/video0  HD Webcam (uvcvideo, usb-1)
  names         v4l2:by-id/usb-x-video-index0
                v4l2:by-path/y
  by itself     YUYV 640x480 at 29.97 fps; a bare `lenscast` serves it
  yuyv          YUYV 4:2:2
                1280x720    10, 5 fps
                640x480     29.97 fps
                320x240     some rate
  nv12          Y/UV 4:2:0; 64x32 to 1920x1080, the largest at 1 to 60 fps
  not usable    GREY
  brightness                      = 12       -64 to 64, by default 0
  white_balance_automatic         = off      on or off, by default on
  auto_exposure                   = 1        menu, by default 3 [inactive, volatile]
                                    1 Manual Mode
                                    3 Aperture Priority Mode
  reset                                      button

/dev/video11  HD Webcam (uvcvideo, usb-1)
  encodes       H.264 from YU12, NV12

Neither camera nor encoder:
  /dev/video1  HD Webcam (uvcvideo, usb-1): it gives no pictures

Cannot be asked what they are:
  /dev/video2: open: permission denied

Pictures are encoded by /dev/video11: it is the first.
";
    assert_eq!(listing.to_string(), expected);
}

#[test]
fn a_machine_without_any_says_what_to_look_at() {
    let text = Listing::default().to_string();
    assert!(
        text.starts_with("No camera that can be served.\nThis machine shows no video"),
        "{text}"
    );
}

/// Programs read these.
#[test]
fn names_in_json_stay() {
    let listing = Listing { cameras: vec![webcam()], ..Listing::default() };
    let json = serde_json::to_value(&listing).unwrap();
    let camera = &json["cameras"][0];
    for (found, expected) in [
        (&camera["node"], serde_json::json!("/dev/video0")),
        (&camera["names"][1], "by-path/y".into()),
        (&camera["driver"], "uvcvideo".into()),
        (&camera["is_default"], true.into()),
        (&camera["would_give"], "YUYV 640x480 at 29.97 fps".into()),
        (&camera["formats"][0]["format"], "YUYV".into()),
        (&camera["formats"][0]["usable_as"], "yuyv".into()),
        (&camera["formats"][0]["sizes"]["list"][0]["width"], 1280.into()),
        (
            &camera["formats"][0]["sizes"]["list"][1]["rates"]["list"][0],
            serde_json::json!({ "numerator": 30_000, "denominator": 1001 }),
        ),
        (&camera["formats"][1]["sizes"]["range"]["max_height"], 1080.into()),
        (&camera["formats"][1]["sizes"]["range"]["rates"]["range"]["max"]["numerator"], 60.into()),
        (&camera["controls"][0]["type"], "integer".into()),
        (&camera["controls"][0]["minimum"], (-64).into()),
        (&camera["controls"][0]["value"], 12.into()),
        (&camera["controls"][1]["value"], false.into()),
        (&camera["controls"][2]["menu"][0]["label"], "Manual Mode".into()),
        (&camera["controls"][2]["flags"][0], "inactive".into()),
        (&json["encoder"]["encoder"], "".into()),
    ] {
        assert_eq!(*found, expected);
    }
}
