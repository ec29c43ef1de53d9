//! What must be refused, in whatever order it is asked, and that nothing of it panics.

use std::os::fd::AsFd;

use v4l2::{
    Content, ControlId, ControlKind, Device, Event, Interest, Interval, PixelFormat, Queue,
    Trouble, Value,
    fake::{Errno, Errors, Kernel, Setting, camera, encoder},
    uapi::{self, control as ctl},
};

use crate::{
    CAMERA, ENCODER, FOREVER, SMALL, assert_content, camera_queue, format, queue_all, refusal,
};

const EXPOSURE: u32 = 0x009a_0902;
const AUTO_EXPOSURE: u32 = 0x009a_0901;
const POWER_LINE: u32 = 0x0098_0918;

fn kernel() -> Kernel {
    let kernel = Kernel::new();
    let settings = vec![
        Setting::menu(AUTO_EXPOSURE, "Auto Exposure", &["Auto", "Manual"], 0),
        Setting::integer(EXPOSURE, "Exposure Time, Absolute", (1, 100), 10)
            .held_by(AUTO_EXPOSURE, 0),
        Setting::boolean(POWER_LINE, "Anti Flicker", false).grabbed(),
    ];
    kernel.add_camera(CAMERA, camera::Config { settings, ..camera::Config::default() });
    kernel.add_encoder(ENCODER, encoder::Config::default());
    kernel
}

#[test]
fn a_queue_has_its_buffers_for_itself() {
    let kernel = kernel();
    let (device, other) = (kernel.open(CAMERA).unwrap(), kernel.open(CAMERA).unwrap());
    let kind = camera_queue(&device);
    let set = device.format(kind).unwrap();
    let mut queue = Queue::allocate(&device, kind, 2).unwrap();
    assert_eq!(refusal(Queue::allocate(&device, kind, 2)), Errno::BUSY);
    assert_eq!(refusal(Queue::import(&other, kind, 2)), Errno::BUSY);
    assert_eq!(refusal(device.set_format(kind, &set)), Errno::BUSY);
    assert_eq!(refusal(other.set_format(kind, &set)), Errno::BUSY);
    queue_all(&mut queue);
    assert_eq!(queue.bytes(0, 0), None, "the driver has it");
    assert_eq!(refusal(queue.dequeue()), Errno::INVAL, "it does not stream");
    queue.start().unwrap();
    queue.stop().unwrap();
    assert!(queue.bytes(0, 0).is_some());
    drop(queue);
    drop(Queue::allocate(&other, kind, 2).unwrap());
    assert_content(&kernel);
}

#[test]
fn a_device_that_streams_when_it_is_closed_is_complained_of() {
    let kernel = Kernel::new();
    let camera = kernel.add_camera(CAMERA, camera::Config::default());
    camera.fail("VIDIOC_STREAMOFF", Errors { after: 0, times: 1, error: Errno::IO });
    let device = kernel.open(CAMERA).unwrap();
    let mut queue = Queue::allocate(&device, camera_queue(&device), 2).unwrap();
    queue_all(&mut queue);
    queue.start().unwrap();
    drop((queue, device));
    assert_eq!(kernel.complaints(), ["/dev/video0: closes a device that streams"]);
    // It was closed all the same, and the next has it for itself.
    let device = kernel.open(CAMERA).unwrap();
    drop(Queue::allocate(&device, camera_queue(&device), 2).unwrap());
}

#[test]
fn controls_are_refused_while_others_hold_them() {
    let kernel = kernel();
    let device = kernel.open(CAMERA).unwrap();
    let control = |id| device.control(ControlId(id)).unwrap().unwrap();
    let exposure = control(EXPOSURE);
    assert!(exposure.access.inactive);
    let set = device.set_value(&exposure, &Value::Number(20)).unwrap_err();
    assert_eq!(set.trouble(), Trouble::Forbidden);
    device.set_value(&control(AUTO_EXPOSURE), &Value::Number(1)).unwrap();
    assert!(!control(EXPOSURE).access.inactive);
    device.set_value(&exposure, &Value::Number(20)).unwrap();
    assert_eq!(device.value(&exposure).unwrap(), Some(Value::Number(20)));
    let mut queue = Queue::allocate(&device, camera_queue(&device), 2).unwrap();
    queue_all(&mut queue);
    queue.start().unwrap();
    assert!(control(POWER_LINE).access.grabbed);
    assert_eq!(refusal(device.set_value(&control(POWER_LINE), &Value::Number(1))), Errno::BUSY);
    drop(queue);
    device.set_value(&control(POWER_LINE), &Value::Number(1)).unwrap();
    let labels: Vec<String> = device.controls().unwrap().iter().map(v4l2::Control::name).collect();
    assert_eq!(labels, ["anti_flicker", "auto_exposure", "exposure_time_absolute"]);
    assert_content(&kernel);
    // What is out of range was never to be asked for.
    device.set_value(&exposure, &Value::Number(1000)).unwrap();
    assert_eq!(device.value(&exposure).unwrap(), Some(Value::Number(100)));
    assert!(kernel.complaints()[0].contains("Exposure Time, Absolute cannot be 1000"));
}

#[test]
fn what_was_chosen_in_the_wrong_order_is_complained_of() {
    let kernel = kernel();
    let device = kernel.open(CAMERA).unwrap();
    let kind = camera_queue(&device);
    device.set_interval(kind, Interval { numerator: 1, denominator: 15 }).unwrap();
    device.set_format(kind, &device.format(kind).unwrap()).unwrap();
    assert_content(&kernel);
    Queue::allocate(&device, kind, 1).unwrap().start().unwrap();
    assert!(kernel.complaints()[0].ends_with("a format has set the frame interval back"));
    let device = kernel.open(ENCODER).unwrap();
    let (raw, _) = device.capability().memory_to_memory().unwrap();
    device.set_format(raw, &format(SMALL, PixelFormat::NV12)).unwrap();
    device.set_crop(raw, SMALL).unwrap();
    device.set_format(raw, &format(SMALL, PixelFormat::NV12)).unwrap();
    Queue::allocate(&device, raw, 1).unwrap().start().unwrap();
    assert!(kernel.complaints()[1].ends_with("a format has set the crop back"));
}

#[test]
fn errors_come_when_they_are_told_to() {
    let kernel = Kernel::new();
    let camera = kernel.add_camera(CAMERA, camera::Config::default());
    camera.fail("VIDIOC_QBUF", Errors { after: 1, times: 1, error: Errno::IO });
    camera.fail("VIDIOC_STREAMON", Errors { after: 0, times: 1, error: Errno::NOSPC });
    let device = kernel.open(CAMERA).unwrap();
    let mut queue = Queue::allocate(&device, camera_queue(&device), 2).unwrap();
    queue.enqueue(0, Content::default()).unwrap();
    assert_eq!(refusal(queue.enqueue(1, Content::default())), Errno::IO);
    assert!(queue.bytes(1, 0).is_some(), "it stays here");
    assert_eq!(queue.queued(), 1);
    queue.enqueue(1, Content::default()).unwrap();
    assert_eq!(refusal(queue.start()), Errno::NOSPC);
    queue.start().unwrap();
    drop(queue);
    assert_content(&kernel);
    let failed =
        |name| move |asked: &v4l2::fake::Asked| asked.name == name && asked.answer.is_err();
    let log = kernel.log();
    assert_eq!(log.iter().filter(|asked| failed("VIDIOC_QBUF")(asked)).count(), 1);
    assert_eq!(log.last().unwrap().name, "VIDIOC_REQBUFS");
}

/// All that can be asked of a device and its queue gives errors once it is gone, and ends.
#[test]
fn whatever_is_asked_of_a_device_that_is_gone_is_refused() {
    for path in [CAMERA, ENCODER] {
        let kernel = Kernel::new();
        let camera = kernel.add_camera(CAMERA, camera::Config::default());
        let encoder = kernel.add_encoder(ENCODER, encoder::Config::default());
        let device = kernel.open(path).unwrap();
        let capability = device.capability().clone();
        let output = capability.memory_to_memory().map(|(output, _)| output);
        let kind = output.or(capability.camera()).unwrap();
        if output.is_some() {
            device.set_format(kind, &format(SMALL, PixelFormat::NV12)).unwrap();
        }
        let level = device.control(ControlId(ctl::V4L2_CID_MPEG_VIDEO_H264_LEVEL)).unwrap();
        let set = device.format(kind).unwrap();
        let mut queue = Queue::allocate(&device, kind, 2).unwrap();
        let used = [queue.bytes(0, 0).unwrap().len() as u32];
        let content = Content { used: &used, ..Content::default() };
        queue.enqueue(0, content).unwrap();
        queue.start().unwrap();
        camera.unplug();
        encoder.unplug();
        let gone = |result: Result<(), v4l2::Error>| {
            assert_eq!(result.unwrap_err().trouble(), Trouble::Gone);
        };
        gone(queue.enqueue(1, content));
        gone(queue.dequeue().map(drop));
        gone(queue.export(1, 0).map(drop));
        gone(queue.start());
        gone(queue.stop());
        gone(device.formats(kind).map(drop));
        gone(device.sizes(set.pixel_format).map(drop));
        gone(device.intervals(set.pixel_format, set.size).map(drop));
        gone(device.format(kind).map(drop));
        gone(device.set_format(kind, &set).map(drop));
        gone(device.try_format(kind, &set).map(drop));
        gone(device.set_crop(kind, SMALL).map(drop));
        gone(device.set_interval(kind, Interval { numerator: 1, denominator: 5 }).map(drop));
        gone(device.controls().map(drop));
        gone(device.encoder_command(uapi::V4L2_ENC_CMD_STOP));
        gone(device.subscribe(uapi::V4L2_EVENT_EOS).map(drop));
        gone(device.event().map(drop));
        if let Some(level) = level {
            gone(device.value(&level).map(drop));
            gone(device.set_value(&level, &Value::Number(0)));
        }
        let interest = Interest { readable: true, writable: true, event: true };
        assert!(device.wait(interest, None, FOREVER).unwrap().gone);
        assert!(queue.bytes(1, 0).is_some(), "what was mapped stays");
        drop((queue, device));
        assert_eq!(kernel.open_files(), 0);
        assert_content(&kernel);
    }
}

#[test]
fn events_come_to_those_who_asked() {
    let kernel = kernel();
    let camera = kernel.open(CAMERA).unwrap();
    assert!(!camera.subscribe(uapi::V4L2_EVENT_EOS).unwrap());
    let encoder = kernel.open(ENCODER).unwrap();
    assert!(encoder.subscribe(uapi::V4L2_EVENT_EOS).unwrap());
    assert_eq!(encoder.event().unwrap(), None);
    let (raw, coded) = encoder.capability().memory_to_memory().unwrap();
    encoder.set_format(raw, &format(SMALL, PixelFormat::NV12)).unwrap();
    let mut source = Queue::allocate(&encoder, raw, 1).unwrap();
    let mut coded = Queue::allocate(&encoder, coded, 1).unwrap();
    queue_all(&mut coded);
    source.start().unwrap();
    coded.start().unwrap();
    encoder.encoder_command(uapi::V4L2_ENC_CMD_STOP).unwrap();
    let interest = Interest { event: true, ..Interest::default() };
    assert!(encoder.wait(interest, None, FOREVER).unwrap().event);
    assert_eq!(encoder.event().unwrap(), Some(Event::EndOfStream));
    drop((source, coded));
    assert_content(&kernel);
}

#[test]
#[should_panic(expected = "queued already")]
fn a_buffer_is_queued_once() {
    let kernel = kernel();
    let device = kernel.open(CAMERA).unwrap();
    let mut queue = Queue::allocate(&device, camera_queue(&device), 2).unwrap();
    queue.enqueue(0, Content::default()).unwrap();
    let _ = queue.enqueue(0, Content::default());
}

#[test]
fn what_is_no_memory_is_not_imported() {
    let kernel = kernel();
    let device = kernel.open(CAMERA).unwrap();
    let mut queue = Queue::import(&device, camera_queue(&device), 2).unwrap();
    let (end, _other) = std::io::pipe().unwrap();
    let shared = [(end.as_fd(), 1 << 20)];
    let content = Content { shared: &shared, ..Content::default() };
    assert_eq!(refusal(queue.enqueue(0, content)), Errno::INVAL);
    assert_eq!(queue.queued(), 0);
}

#[test]
fn the_kinds_of_controls_are_as_they_were_given() {
    let kernel = Kernel::new();
    let wide = ControlKind::Integer {
        minimum: -5_000_000_000,
        maximum: 5_000_000_000,
        step: 1000,
        default: 0,
        is_wide: true,
    };
    let settings = vec![
        Setting::new(0x0098_f001, "Wide", wide.clone()),
        Setting::new(0x0098_f002, "Text", ControlKind::Text { minimum: 0, maximum: 5 }),
        Setting::new(0x0098_f003, "Mask", ControlKind::Bitmask { maximum: u32::MAX, default: 3 }),
        Setting::new(0x0098_f004, "Do", ControlKind::Button),
        Setting::menu(0x0098_f005, "Menu", &["", "One", "", "Three"], 3),
    ];
    let given: Vec<v4l2::Control> = settings.iter().map(|s| s.control.clone()).collect();
    kernel.add_camera(CAMERA, camera::Config { settings, ..camera::Config::default() });
    let device: Device = kernel.open(CAMERA).unwrap();
    let mut controls = device.controls().unwrap();
    assert!(std::mem::take(&mut controls[3].access.write_only), "a button cannot be read");
    assert_eq!(controls, given);
    for (index, value) in [
        (0, Value::Number(-4_999_999_000)),
        (1, Value::Text("abcde".to_owned())),
        (2, Value::Number(0xffff_fffe)),
        (4, Value::Number(1)),
    ] {
        device.set_value(&controls[index], &value).unwrap();
        assert_eq!(device.value(&controls[index]).unwrap(), Some(value));
    }
    assert_eq!(device.value(&controls[3]).unwrap(), None);
    device.set_value(&controls[3], &Value::Number(0)).unwrap();
    assert_content(&kernel);
}
