//! A single-planar camera that gives pictures by itself, as vivid does.

use std::{
    io::pipe,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use super::*;
use crate::{
    Format, Interval, PixelFormat, Size, Sizes,
    fake::{Mode, Picture, camera::Config},
    uapi::{
        V4L2_BUF_TYPE_VIDEO_CAPTURE as CAPTURE, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE as CAPTURE_MP,
        V4L2_BUF_TYPE_VIDEO_OUTPUT as OUTPUT, V4L2_MEMORY_DMABUF as DMABUF,
        V4L2_MEMORY_MMAP as MMAP, v4l2_encoder_cmd, v4l2_fmtdesc, v4l2_frmivalenum,
        v4l2_frmsizeenum,
    },
};

#[test]
fn the_stand_in() {
    let kernel = Kernel::new();
    let mode = Mode {
        pixel_format: PixelFormat::YUYV,
        sizes: Sizes::Discrete(vec![SIZE]),
        intervals: vec![Interval { numerator: 1, denominator: 30 }],
    };
    let camera = kernel.add_camera("/dev/video0", Config::of(vec![mode]));
    camera.always(|number, format| Picture::of(vec![number as u8; format.planes[0].size as usize]));
    all(&Subject::stand_in(&kernel, "/dev/video0"));
    assert_eq!(kernel.open_files(), 0);
}

#[test]
#[ignore = "asks the device that V4L2_CAMERA names"]
fn a_real_one() {
    all(&Subject::real("V4L2_CAMERA"));
}

/// But for what libv4l2 answers itself: STREAMOFF of one who does not stream is right, buffers that are
/// mapped are not given up (EBUSY), and a camera has no memory of others.
#[test]
#[ignore = "asks the device that V4L2_CAMERA names by the library that V4L2_LIBRARY names"]
fn a_real_one_by_a_library() {
    let subject = &Subject::by_library("V4L2_CAMERA");
    nothing_allocated(subject);
    allocated(subject);
    streaming(subject);
    mapping_and_exporting(subject);
}

fn all(subject: &Subject) {
    nothing_allocated(subject);
    allocated(subject);
    streaming(subject);
    two_who_have_it_open(subject);
    mapping_and_exporting(subject);
    giving_up(subject);
    importing(subject);
}

/// Opened and set to a small picture.
fn open(subject: &Subject) -> Opened {
    let camera = subject.open();
    let mut format = Format::new(SIZE, PixelFormat::YUYV).to_single_planar(CAPTURE);
    camera.ask(Request::SetFormat(&mut format)).unwrap();
    let format = Format::of_single_planar(&format);
    assert_eq!((format.size, format.pixel_format), (SIZE, PixelFormat::YUYV));
    camera
}

fn nothing_allocated(subject: &Subject) {
    let camera = open(subject);
    assert_eq!(camera.dequeue(CAPTURE).unwrap_err(), Errno::INVAL);
    assert_eq!(camera.query(CAPTURE, 0), Err(Errno::INVAL));
    assert_eq!(camera.queue(&Given::mapped(CAPTURE, 0, &[0])), Err(Errno::INVAL));
    assert_eq!(camera.export(CAPTURE, 0, 0).unwrap_err(), Errno::INVAL);
    assert_eq!(camera.start(CAPTURE), Err(Errno::INVAL));
    assert_eq!(camera.stop(CAPTURE), Ok(()));
    assert_eq!(camera.allocate(CAPTURE, 0, MMAP), Ok(0));
    // Nobody waits here: with drivers that have read(2) that starts the stream.
    for other in [OUTPUT, CAPTURE_MP] {
        // The one is the framework's answer, the other that of drivers with both APIs, as vivid.
        assert!(matches!(camera.format(other), Err(Errno::INVAL | Errno::NOTTY)));
        assert_eq!(camera.allocate(other, 2, MMAP), Err(Errno::INVAL));
        assert_eq!(camera.start(other), Err(Errno::INVAL));
        assert_eq!(camera.stop(other), Err(Errno::INVAL));
        assert_eq!(camera.dequeue(other).unwrap_err(), Errno::INVAL);
    }
    assert_eq!(camera.allocate(CAPTURE, 2, 7), Err(Errno::INVAL));
    let mut description = v4l2_fmtdesc::new_zeroed();
    (description.r#type, description.index) = (CAPTURE, 4000);
    assert_eq!(camera.ask(Request::EnumFormat(&mut description)), Err(Errno::INVAL));
    let mut sizes = v4l2_frmsizeenum::new_zeroed();
    sizes.pixel_format = PixelFormat::new(*b"what").0;
    assert_eq!(camera.ask(Request::EnumFrameSize(&mut sizes)), Err(Errno::INVAL));
    let mut intervals = v4l2_frmivalenum::new_zeroed();
    intervals.pixel_format = PixelFormat::YUYV.0;
    (intervals.width, intervals.height) = (SIZE.width + 1, SIZE.height);
    assert_eq!(camera.ask(Request::EnumFrameInterval(&mut intervals)), Err(Errno::INVAL));
    let mut command = v4l2_encoder_cmd::new_zeroed();
    assert_eq!(camera.ask(Request::EncoderCommand(&mut command)), Err(Errno::NOTTY));
    assert_eq!(camera.subscribe(0x7777), Err(Errno::INVAL));
    assert_eq!(camera.event(), Err(Errno::NOENT));
    // A format that it does not have becomes one that it has.
    let mut format = Format::new(SIZE, PixelFormat::new(*b"what")).to_single_planar(CAPTURE);
    camera.ask(Request::TryFormat(&mut format)).unwrap();
    assert_ne!(Format::of_single_planar(&format).pixel_format, PixelFormat::new(*b"what"));
}

fn allocated(subject: &Subject) {
    let camera = open(subject);
    assert!(camera.allocate(CAPTURE, 4, MMAP).unwrap() >= 4);
    let length = camera.query(CAPTURE, 0).unwrap()[0].0;
    let buffer = |index| Given::mapped(CAPTURE, index, &[length]);
    assert_eq!(camera.query(CAPTURE, 99), Err(Errno::INVAL));
    let mut format = camera.format(CAPTURE).unwrap();
    assert_eq!(camera.ask(Request::SetFormat(&mut format)), Err(Errno::BUSY));
    assert_eq!(camera.ask(Request::TryFormat(&mut format)), Ok(()));
    assert_eq!(camera.queue(&buffer(99)), Err(Errno::INVAL));
    assert_eq!(camera.queue(&Given { memory: DMABUF, ..buffer(0) }), Err(Errno::INVAL));
    assert_eq!(camera.queue(&Given { kind: OUTPUT, ..buffer(0) }), Err(Errno::INVAL));
    assert!(camera.wait(true, false, Duration::ZERO).error);
    assert_eq!(camera.queue(&buffer(0)), Ok(()));
    assert_eq!(camera.queue(&buffer(0)), Err(Errno::INVAL));
    assert!(camera.wait(true, false, Duration::ZERO).error, "it does not stream");
    assert_eq!(camera.dequeue(CAPTURE).unwrap_err(), Errno::INVAL);
    // Asking anew gives all of them back.
    assert!(camera.allocate(CAPTURE, 3, MMAP).unwrap() >= 3);
    assert_eq!(camera.queue(&buffer(0)), Ok(()));
    assert_eq!(camera.allocate(CAPTURE, 0, MMAP), Ok(0));
    assert_eq!(camera.queue(&buffer(0)), Err(Errno::INVAL));
}

fn streaming(subject: &Subject) {
    let camera = open(subject);
    let count = camera.allocate(CAPTURE, 4, MMAP).unwrap();
    let length = camera.query(CAPTURE, 0).unwrap()[0].0;
    let buffer = |index| Given::mapped(CAPTURE, index, &[length]);
    assert_eq!(camera.start(CAPTURE), Ok(()), "without a buffer it waits for some");
    assert!(camera.wait(true, false, Duration::ZERO).error, "no buffer was queued yet");
    assert_eq!(camera.dequeue(CAPTURE).unwrap_err(), Errno::AGAIN);
    (0..count).for_each(|index| camera.queue(&buffer(index)).unwrap());
    assert_eq!(camera.start(CAPTURE), Ok(()), "it streams already");
    assert_eq!(camera.allocate(CAPTURE, 2, MMAP), Err(Errno::BUSY));
    assert_eq!(camera.allocate(CAPTURE, 0, MMAP), Err(Errno::BUSY));
    let mut format = camera.format(CAPTURE).unwrap();
    assert_eq!(camera.ask(Request::SetFormat(&mut format)), Err(Errno::BUSY));
    let mut last = None;
    for _ in 0..3 {
        let picture = camera.wait_for(CAPTURE);
        assert_eq!(picture.bytesused, length);
        let flags = picture.flags & uapi::V4L2_BUF_FLAG_TIMESTAMP_MASK;
        assert_eq!(flags, uapi::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC);
        let time = (picture.timestamp.tv_sec, picture.timestamp.tv_usec, picture.sequence);
        assert!(last.replace(time).is_none_or(|last| last < time));
        assert_eq!(camera.queue(&buffer(picture.index)), Ok(()));
        assert_eq!(camera.queue(&buffer(picture.index)), Err(Errno::INVAL));
    }
    let picture = camera.wait_for(CAPTURE);
    assert_eq!(camera.stop(CAPTURE), Ok(()));
    assert_eq!(camera.stop(CAPTURE), Ok(()));
    assert_eq!(camera.dequeue(CAPTURE).unwrap_err(), Errno::INVAL);
    assert!(camera.wait(true, false, Duration::ZERO).error);
    // All are back, those that were done and not dequeued as well.
    (0..count).for_each(|index| camera.queue(&buffer(index)).unwrap());
    assert_eq!(camera.start(CAPTURE), Ok(()));
    let again = camera.wait_for(CAPTURE);
    assert!(again.sequence < picture.sequence, "the count starts again");
}

fn two_who_have_it_open(subject: &Subject) {
    let (camera, other) = (open(subject), subject.open());
    camera.allocate(CAPTURE, 2, MMAP).unwrap();
    let length = camera.query(CAPTURE, 0).unwrap()[0].0;
    let buffer = |index| Given::mapped(CAPTURE, index, &[length]);
    assert!(other.format(CAPTURE).is_ok());
    assert!(other.query(CAPTURE, 0).is_ok());
    let mut format = other.format(CAPTURE).unwrap();
    assert_eq!(other.ask(Request::SetFormat(&mut format)), Err(Errno::BUSY));
    assert_eq!(other.allocate(CAPTURE, 2, MMAP), Err(Errno::BUSY));
    assert_eq!(other.allocate(CAPTURE, 0, MMAP), Err(Errno::BUSY));
    assert_eq!(other.queue(&buffer(0)), Err(Errno::BUSY));
    assert_eq!(other.dequeue(CAPTURE).unwrap_err(), Errno::BUSY);
    assert_eq!(other.start(CAPTURE), Err(Errno::BUSY));
    assert_eq!(other.stop(CAPTURE), Err(Errno::BUSY));
    assert_eq!(other.export(CAPTURE, 0, 0).unwrap_err(), Errno::BUSY);
    camera.queue(&buffer(0)).unwrap();
    drop(camera);
    assert_eq!(other.queue(&buffer(0)), Err(Errno::INVAL), "they went with who had them");
    assert!(other.allocate(CAPTURE, 2, MMAP).is_ok());
}

fn mapping_and_exporting(subject: &Subject) {
    let camera = open(subject);
    camera.allocate(CAPTURE, 2, MMAP).unwrap();
    let (length, offset) = camera.query(CAPTURE, 1).unwrap()[0];
    assert_eq!(camera.map(length, 0x00de_a000).unwrap_err(), Errno::INVAL);
    assert_eq!(camera.map(length + 4096, offset).unwrap_err(), Errno::INVAL);
    let mapping = camera.map(length, offset).unwrap();
    assert_eq!(mapping.bytes().len(), length as usize);
    assert_eq!(camera.export(CAPTURE, 99, 0).unwrap_err(), Errno::INVAL);
    assert_eq!(camera.export(CAPTURE, 0, 1).unwrap_err(), Errno::INVAL);
    assert!(camera.export(CAPTURE, 1, 0).is_ok());
}

fn giving_up(subject: &Subject) {
    let camera = open(subject);
    camera.allocate(CAPTURE, 2, MMAP).unwrap();
    let (length, offset) = camera.query(CAPTURE, 1).unwrap()[0];
    let mapping = camera.map(length, offset).unwrap();
    let exported: OwnedFd = camera.export(CAPTURE, 1, 0).unwrap();
    // What is mapped or exported lives on when the buffers are given up.
    assert_eq!(camera.allocate(CAPTURE, 0, MMAP), Ok(0));
    assert_eq!(camera.map(length, offset).unwrap_err(), Errno::INVAL);
    assert!(mapping.bytes().iter().all(|byte| *byte == mapping.bytes()[0]));
    drop(exported);
}

fn importing(subject: &Subject) {
    let camera = open(subject);
    camera.allocate(CAPTURE, 2, MMAP).unwrap();
    let length = camera.query(CAPTURE, 0).unwrap()[0].0;
    let memory = camera.export(CAPTURE, 0, 0).unwrap();
    assert_eq!(camera.allocate(CAPTURE, 0, MMAP), Ok(0));
    assert!(camera.allocate(CAPTURE, 2, DMABUF).unwrap() >= 2);
    assert_eq!(camera.export(CAPTURE, 0, 0).unwrap_err(), Errno::INVAL);
    let buffer = |fd, length| Given::imported(CAPTURE, 0, fd, 0, length);
    let (no_memory, _end) = pipe().unwrap();
    assert_eq!(camera.queue(&buffer(-1, length)), Err(Errno::INVAL));
    assert_eq!(camera.queue(&buffer(no_memory.as_raw_fd(), length)), Err(Errno::INVAL));
    assert_eq!(camera.queue(&buffer(memory.as_raw_fd(), length - 1)), Err(Errno::INVAL));
    let beyond = length.next_multiple_of(4096) + 4096;
    assert_eq!(camera.queue(&buffer(memory.as_raw_fd(), beyond)), Err(Errno::FAULT));
    assert_eq!(
        camera.queue(&Given { memory: MMAP, ..buffer(memory.as_raw_fd(), length) }),
        Err(Errno::INVAL)
    );
    assert_eq!(camera.queue(&buffer(memory.as_raw_fd(), 0)), Ok(()), "0 means all of it");
    assert_eq!(camera.queue(&buffer(memory.as_raw_fd(), length)), Err(Errno::INVAL));
}

/// vivid has it for a webcam.
const SIZE: Size = Size { width: 320, height: 180 };
