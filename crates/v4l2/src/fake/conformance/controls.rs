//! Controls of every type, as vivid has them.

use super::*;
use crate::{
    Control, ControlKind,
    fake::{Setting, camera::Config},
    uapi::control::v4l2_ext_control,
};

#[test]
fn the_stand_in() {
    let kernel = Kernel::new();
    let wide = ControlKind::Integer {
        minimum: i64::MIN,
        maximum: i64::MAX,
        step: 1,
        default: 0,
        is_wide: true,
    };
    let text = ControlKind::Text { minimum: 2, maximum: 4 };
    let settings = vec![
        Setting::integer(0x0098_0900, "Brightness", (0, 255), 128),
        Setting::boolean(0x0098_0914, "Horizontal Flip", false),
        Setting::new(0x0098_f000, "Button", ControlKind::Button),
        Setting::menu(0x0098_f003, "Menu", &["", "Item 1", "", "Item 3", "Item 4"], 4),
        Setting::new(0x0098_f004, "String", text),
        Setting::new(0x0098_f005, "Bitmask", ControlKind::Bitmask { maximum: 0x80, default: 0 }),
        Setting::new(0x0098_f006, "Integer 64 Bits", wide),
        Setting::integer(0x0098_f00c, "Read-Only Integer 32 Bits", (0, 255), 0).read_only(),
    ];
    kernel.add_camera("/dev/video0", Config { settings, ..Config::default() });
    all(&Subject::stand_in(&kernel, "/dev/video0"));
}

#[test]
#[ignore = "asks the device that V4L2_CAMERA names"]
fn a_real_one() {
    all(&Subject::real("V4L2_CAMERA"));
}

#[test]
#[ignore = "asks the device that V4L2_CAMERA names by the library that V4L2_LIBRARY names"]
fn a_real_one_by_a_library() {
    all(&Subject::by_library("V4L2_CAMERA"));
}

fn all(subject: &Subject) {
    let device = subject.device();
    let controls = device.controls().unwrap();
    let opened = subject.open();
    let find = |wanted: fn(&Control) -> bool| {
        let is_it = |control: &&Control| wanted(control) && !control.access.inactive;
        controls.iter().find(is_it).expect("a control of each type")
    };
    let integer = find(|control| {
        let is_small = |maximum: &i64| *maximum < 1000;
        !control.access.read_only
            && matches!(&control.kind, ControlKind::Integer { maximum, .. } if is_small(maximum))
    });
    let ControlKind::Integer { minimum, maximum, .. } = integer.kind else { unreachable!() };
    // Beyond the range is the range's end.
    assert_eq!(set(&opened, integer, maximum as i32 + 1), Ok(maximum as i32));
    assert_eq!(set(&opened, integer, minimum as i32 - 1), Ok(minimum as i32));
    assert_eq!(get(&opened, integer), Ok(minimum as i32));
    let boolean = find(|control| {
        !control.access.read_only && matches!(control.kind, ControlKind::Boolean { .. })
    });
    assert_eq!(set(&opened, boolean, 7), Ok(1));
    assert_eq!(set(&opened, boolean, 0), Ok(0));
    let mask = find(
        |control| matches!(control.kind, ControlKind::Bitmask { maximum, .. } if maximum < u32::MAX),
    );
    let ControlKind::Bitmask { maximum, .. } = mask.kind else { unreachable!() };
    assert_eq!(set(&opened, mask, -1), Ok(maximum as i32));
    let menu = find(|control| control.label == "Menu");
    let ControlKind::Menu { entries, .. } = &menu.kind else { panic!("{menu:?}") };
    let values = || entries.iter().map(|entry| entry.value as i32);
    let (first, last) = (values().min().unwrap(), values().max().unwrap());
    let gap =
        (first..last).find(|value| entries.iter().all(|entry| entry.value != i64::from(*value)));
    assert_eq!(set(&opened, menu, last + 1), Err(Errno::RANGE));
    assert_eq!(set(&opened, menu, gap.expect("a menu with a gap")), Err(Errno::INVAL));
    assert_eq!(set(&opened, menu, last), Ok(last));
    let button = find(|control| control.kind == ControlKind::Button);
    assert_eq!(get(&opened, button), Err(Errno::ACCESS));
    assert!(set(&opened, button, 1).is_ok());
    let fixed = find(|control| control.access.read_only);
    assert_eq!(set(&opened, fixed, 0), Err(Errno::ACCESS));
    let text = find(|control| matches!(control.kind, ControlKind::Text { .. }));
    let ControlKind::Text { minimum, maximum } = text.kind else { unreachable!() };
    assert_eq!(set(&opened, text, 0), Err(Errno::RANGE), "no text");
    assert_eq!(get(&opened, text), Err(Errno::NOSPC), "no room");
    let mut short = vec![b'a'; minimum as usize];
    assert_eq!(set_text(&opened, text, &mut short), Err(Errno::RANGE), "the last is for the NUL");
    let mut right = [vec![b'b'; maximum as usize], vec![0]].concat();
    assert_eq!(set_text(&opened, text, &mut right), Ok(()));
    assert_eq!(device.value(text).unwrap(), Some(crate::Value::Text("b".repeat(maximum as usize))));
    let mut empty = vec![0; maximum as usize + 1];
    if minimum > 0 {
        assert_eq!(set_text(&opened, text, &mut empty), Err(Errno::RANGE));
    }
    changes_are_told_to_others(subject, integer, minimum as i32);
    let unknown = Control { id: crate::ControlId(0x0098_7654), ..integer.clone() };
    assert_eq!(get(&opened, &unknown), Err(Errno::INVAL));
    assert_eq!(set(&opened, &unknown, 0), Err(Errno::INVAL));
    assert_eq!(device.control(unknown.id).unwrap(), None);
}

/// But not to who has made them, and of several that were not heard yet only the last.
fn changes_are_told_to_others(subject: &Subject, control: &Control, least: i32) {
    let [first, second] = [subject.open(), subject.open()];
    assert_eq!(first.watch(0x0098_7654), Err(Errno::INVAL));
    for opened in [&first, &second] {
        assert_eq!(opened.watch(control.id.0), Ok(()));
        assert_eq!(opened.event(), Err(Errno::NOENT));
    }
    let told = Ok((uapi::V4L2_EVENT_CTRL, control.id.0));
    assert_eq!(set(&first, control, least + 1), Ok(least + 1));
    assert_eq!((first.event(), second.changed()), (Err(Errno::NOENT), told));
    assert_eq!(set(&first, control, least + 1), Ok(least + 1), "no other value");
    assert_eq!(second.event(), Err(Errno::NOENT));
    assert_eq!(set(&second, control, least + 2), Ok(least + 2));
    assert_eq!(set(&second, control, least), Ok(least));
    assert_eq!((first.changed(), first.event()), (told, Err(Errno::NOENT)));
    assert_eq!(second.event(), Err(Errno::NOENT));
}

fn get(opened: &Opened, control: &Control) -> Result<i32, Errno> {
    let mut raw = v4l2_ext_control::of(control.id.0);
    opened.ask(Request::GetControl(&mut raw, None))?;
    Ok(raw.value())
}

/// What it was made.
fn set(opened: &Opened, control: &Control, value: i32) -> Result<i32, Errno> {
    let mut raw = v4l2_ext_control::of(control.id.0);
    raw.set_value(value);
    opened.ask(Request::SetControl(&mut raw, None))?;
    Ok(raw.value())
}

fn set_text(opened: &Opened, control: &Control, text: &mut [u8]) -> Result<(), Errno> {
    let mut raw = v4l2_ext_control::of(control.id.0);
    opened.ask(Request::SetControl(&mut raw, Some(text)))
}
