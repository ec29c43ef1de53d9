//! An encoder of either planarity, drained, started again and reset.

use std::{os::fd::AsRawFd, time::Duration};

use super::*;
use crate::{
    Format, PixelFormat, QueueKind, Size,
    fake::{
        Misbehaviour,
        encoder::{Config, Last},
    },
    uapi::{
        V4L2_ENC_CMD_START as START, V4L2_ENC_CMD_STOP as STOP, V4L2_MEMORY_DMABUF as DMABUF,
        V4L2_MEMORY_MMAP as MMAP, control as ctl, control::v4l2_ext_control, v4l2_encoder_cmd,
        v4l2_rect, v4l2_selection, v4l2_streamparm,
    },
};

#[test]
fn the_stand_in() {
    for is_multi_planar in [true, false] {
        let kernel = Kernel::new();
        let encoder = kernel.add_encoder(PATH, Config { is_multi_planar, ..Config::default() });
        all(&Subject::stand_in(&kernel, PATH));
        assert_eq!(kernel.open_files(), 0);
        // It is none that needs to misbehave.
        encoder.misbehave(Misbehaviour::default());
    }
}

/// What hardware does, and the test encoder does not: the end in a buffer of its own.
#[test]
fn the_end_in_an_empty_buffer() {
    let kernel = Kernel::new();
    kernel.add_encoder(PATH, Config { last: Last::Empty, ..Config::default() });
    let mut encoder = Encoding::start(&Subject::stand_in(&kernel, PATH));
    (1..=3).for_each(|seconds| encoder.feed(seconds));
    encoder.command(STOP).unwrap();
    for _ in 0..3 {
        let picture = encoder.opened.wait_for(encoder.coded);
        assert_eq!(picture.flags & uapi::V4L2_BUF_FLAG_LAST, 0);
        encoder.return_coded(picture.index);
    }
    let end = encoder.opened.wait_for(encoder.coded);
    assert_ne!(end.flags & uapi::V4L2_BUF_FLAG_LAST, 0);
    assert_eq!(end.bytesused, 0);
    assert_eq!(encoder.opened.dequeue(encoder.coded).unwrap_err(), Errno::PIPE);
}

#[test]
#[ignore = "asks the device that V4L2_ENCODER names"]
fn a_real_one() {
    all(&Subject::real("V4L2_ENCODER"));
}

#[test]
#[ignore = "asks the device that V4L2_ENCODER names by the library that V4L2_LIBRARY names"]
fn a_real_one_by_a_library() {
    all(&Subject::by_library("V4L2_ENCODER"));
}

fn all(subject: &Subject) {
    nothing_allocated(subject);
    formats(subject);
    controls(subject);
    queueing(subject);
    encoding(subject);
    draining(subject);
    resetting(subject);
    importing(subject);
}

fn types(subject: &Subject) -> (QueueKind, QueueKind) {
    subject.device().capability().memory_to_memory().unwrap()
}

fn nothing_allocated(subject: &Subject) {
    let (raw, coded) = types(subject);
    let encoder = subject.open();
    for kind in [raw, coded].map(QueueKind::buffer_type) {
        assert_eq!(encoder.dequeue(kind).unwrap_err(), Errno::INVAL);
        assert_eq!(encoder.query(kind, 0), Err(Errno::INVAL));
        assert_eq!(encoder.queue(&Given::mapped(kind, 0, &[0])), Err(Errno::INVAL));
        assert_eq!(encoder.export(kind, 0, 0).unwrap_err(), Errno::INVAL);
        assert_eq!(encoder.start(kind), Err(Errno::INVAL));
        assert_eq!(encoder.stop(kind), Ok(()));
    }
    assert!(encoder.wait(true, true, Duration::ZERO).error);
    for other in [raw, coded] {
        let other = QueueKind { is_multi_planar: !other.is_multi_planar, ..other }.buffer_type();
        assert_eq!(encoder.format(other).unwrap_err(), Errno::INVAL);
        assert_eq!(encoder.allocate(other, 2, MMAP), Err(Errno::INVAL));
        assert_eq!(encoder.dequeue(other).unwrap_err(), Errno::INVAL);
    }
    let command = |number| {
        let mut raw = v4l2_encoder_cmd::new_zeroed();
        raw.cmd = number;
        encoder.ask(Request::EncoderCommand(&mut raw))
    };
    assert_eq!(command(7), Err(Errno::INVAL));
    assert_eq!(command(STOP), Ok(()), "nothing is stopped that does not run");
    assert_eq!(command(START), Ok(()));
    assert_eq!(encoder.subscribe(uapi::V4L2_EVENT_EOS), Ok(()));
    assert_eq!(encoder.subscribe(uapi::V4L2_EVENT_EOS), Ok(()));
    assert_eq!(encoder.subscribe(0x7777), Err(Errno::INVAL));
    assert_eq!(encoder.event(), Err(Errno::NOENT));
}

fn formats(subject: &Subject) {
    let (raw, coded) = types(subject);
    let device = subject.device();
    let set = device.set_format(raw, &Format::new(SIZE, PixelFormat::NV12)).unwrap();
    assert_eq!((set.size, set.pixel_format, set.planes.len()), (SIZE, PixelFormat::NV12, 1));
    let made = device.format(coded).unwrap();
    assert_eq!((made.size, made.pixel_format), (SIZE, PixelFormat::H264), "of the raw pictures");
    let huge = Format::new(Size { width: 9999, height: 9999 }, PixelFormat::new(*b"what"));
    let tried = device.try_format(raw, &huge).unwrap();
    assert!(tried.size.width < 9999 && tried.pixel_format != huge.pixel_format);
    assert_eq!(device.format(raw).unwrap(), set, "was only tried");
    let large = crate::format::PlaneFormat { stride: 0, size: 1 << 20 };
    let asked = Format { planes: vec![large], ..Format::new(SIZE, PixelFormat::H264) };
    assert_eq!(device.set_format(coded, &asked).unwrap().planes[0].size, 1 << 20);
    let crop = Size { width: SIZE.width - 2, height: SIZE.height - 2 };
    assert_eq!(device.set_crop(raw, crop).unwrap(), Some(crop));
    assert_eq!(device.format(coded).unwrap().size, crop);
    device.set_format(raw, &Format::new(SIZE, PixelFormat::NV12)).unwrap();
    assert_eq!(device.format(coded).unwrap().size, SIZE, "a format sets the crop back");
    let encoder = subject.open();
    let mut parm = v4l2_streamparm::of(coded.buffer_type());
    assert_eq!(encoder.ask(Request::GetParameters(&mut parm)), Err(Errno::INVAL));
    let mut selection = v4l2_selection::new_zeroed();
    selection.r#type = uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE;
    selection.r = v4l2_rect { left: 0, top: 0, width: 32, height: 32 };
    assert_eq!(encoder.ask(Request::SetSelection(&mut selection)), Err(Errno::INVAL));
    (selection.r#type, selection.target) = (uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT, 0x7777);
    assert_eq!(encoder.ask(Request::SetSelection(&mut selection)), Err(Errno::INVAL));
}

fn controls(subject: &Subject) {
    let encoder = subject.open();
    let set = |id, value| {
        let mut raw = v4l2_ext_control::of(id);
        raw.set_value(value);
        encoder.ask(Request::SetControl(&mut raw, None))?;
        Ok(raw.value())
    };
    assert_eq!(set(ctl::V4L2_CID_MPEG_VIDEO_B_FRAMES, 2), Ok(0));
    assert_eq!(set(ctl::V4L2_CID_MPEG_VIDEO_BITRATE, 1_010_000), Ok(1_000_000));
    assert_eq!(set(ctl::V4L2_CID_MPEG_VIDEO_BITRATE, i32::MAX), Ok(25_000_000));
    assert_eq!(set(ctl::V4L2_CID_MPEG_VIDEO_H264_LEVEL, 99), Err(Errno::RANGE));
    assert_eq!(set(ctl::V4L2_CID_MPEG_VIDEO_H264_PROFILE, 3), Err(Errno::INVAL));
    let mut raw = v4l2_ext_control::of(ctl::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME);
    assert_eq!(encoder.ask(Request::GetControl(&mut raw, None)), Err(Errno::ACCESS));
}

fn queueing(subject: &Subject) {
    let mut encoder = Encoding::allocate(subject);
    let Encoding { raw, coded, .. } = encoder;
    let opened = &encoder.opened;
    let length = encoder.raw_length;
    let picture = |index| Given::mapped(raw, index, &[length]).used(&[length]);
    let mut format = opened.format(raw).unwrap();
    assert_eq!(opened.ask(Request::SetFormat(&mut format)), Err(Errno::BUSY));
    let mut format = opened.format(coded).unwrap();
    assert_eq!(opened.ask(Request::SetFormat(&mut format)), Err(Errno::BUSY));
    if super::is_multi_planar(raw) {
        let none = Given { planes: Vec::new(), ..picture(0) };
        assert_eq!(opened.queue(&none), Err(Errno::INVAL));
    }
    assert_eq!(opened.queue(&picture(0).used(&[length + 1])), Err(Errno::INVAL));
    assert_eq!(opened.queue(&picture(99)), Err(Errno::INVAL));
    assert_eq!(opened.queue(&Given { memory: DMABUF, ..picture(0) }), Err(Errno::INVAL));
    assert_eq!(opened.queue(&picture(0)), Ok(()));
    assert_eq!(opened.queue(&picture(0)), Err(Errno::INVAL));
    assert_eq!(opened.dequeue(raw).unwrap_err(), Errno::INVAL);
    assert!(opened.wait(true, true, Duration::ZERO).error, "neither streams");
    opened.start(raw).unwrap();
    let ready = opened.wait(true, true, Duration::ZERO);
    assert!(!ready.error && !ready.readable && !ready.writable, "{ready:?}");
    assert_eq!(opened.dequeue(raw).unwrap_err(), Errno::AGAIN);
    assert_eq!(opened.dequeue(coded).unwrap_err(), Errno::INVAL);
    assert_eq!(opened.allocate(raw, 2, MMAP), Err(Errno::BUSY));
    opened.start(coded).unwrap();
    assert_eq!(opened.dequeue(coded).unwrap_err(), Errno::AGAIN);
    encoder.free.clear();
}

fn encoding(subject: &Subject) {
    let mut encoder = Encoding::start(subject);
    for number in 0..3 {
        encoder.feed(100 + i64::from(number));
        let taken = encoder.take_back();
        let picture = encoder.opened.wait_for(encoder.coded);
        assert_eq!(taken.timestamp, picture.timestamp);
        assert_eq!((picture.sequence, picture.timestamp.tv_sec), (number, 100 + i64::from(number)));
        let clock = picture.flags & uapi::V4L2_BUF_FLAG_TIMESTAMP_MASK;
        assert_eq!(clock, uapi::V4L2_BUF_FLAG_TIMESTAMP_COPY);
        let kinds = picture.flags & (uapi::V4L2_BUF_FLAG_KEYFRAME | uapi::V4L2_BUF_FLAG_PFRAME);
        let is_key = number == 0;
        let kind = if is_key { uapi::V4L2_BUF_FLAG_KEYFRAME } else { uapi::V4L2_BUF_FLAG_PFRAME };
        assert_eq!(kinds, kind);
        assert!(picture.bytesused > 0);
        encoder.return_coded(picture.index);
    }
    let mut force = v4l2_ext_control::of(ctl::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME);
    encoder.opened.ask(Request::SetControl(&mut force, None)).unwrap();
    encoder.feed(200);
    let forced = encoder.opened.wait_for(encoder.coded);
    assert_ne!(forced.flags & uapi::V4L2_BUF_FLAG_KEYFRAME, 0);
    // Both sides have nothing left but this one, which is done.
    encoder.take_back();
    let ready = encoder.opened.wait(false, true, Duration::ZERO);
    assert!(!ready.writable, "{ready:?}");
}

fn draining(subject: &Subject) {
    let mut encoder = Encoding::start(subject);
    let coded = encoder.coded;
    encoder.opened.subscribe(uapi::V4L2_EVENT_EOS).unwrap();
    // The last waits for a coded buffer when it is told to stop.
    assert_eq!(encoder.coded_count, 2);
    (1..=3).for_each(|seconds| encoder.feed(seconds));
    let (first, second) = (encoder.opened.wait_for(coded), encoder.opened.wait_for(coded));
    encoder.command(STOP).unwrap();
    assert_eq!((first.flags | second.flags) & uapi::V4L2_BUF_FLAG_LAST, 0);
    encoder.return_coded(first.index);
    let last = encoder.opened.wait_for(coded);
    assert_ne!(last.flags & uapi::V4L2_BUF_FLAG_LAST, 0);
    assert!(last.bytesused > 0);
    assert_eq!(encoder.opened.event(), Ok(uapi::V4L2_EVENT_EOS));
    assert_eq!(encoder.opened.event(), Err(Errno::NOENT));
    assert_eq!(encoder.opened.dequeue(coded).unwrap_err(), Errno::PIPE);
    assert!(encoder.opened.wait(true, false, Duration::ZERO).readable, "to learn of the end");
    assert_eq!(encoder.command(STOP), Ok(()), "it is stopped");
    encoder.return_coded(second.index);
    encoder.return_coded(last.index);
    assert_eq!(encoder.opened.dequeue(coded).unwrap_err(), Errno::PIPE);
    for _ in 0..3 {
        encoder.take_back();
    }
    // What is queued now waits for the start.
    encoder.feed(4);
    assert_eq!(encoder.opened.dequeue(coded).unwrap_err(), Errno::PIPE);
    encoder.command(START).unwrap();
    let more = encoder.opened.wait_for(coded);
    assert_eq!(more.timestamp.tv_sec, 4);
    assert_ne!(more.flags & uapi::V4L2_BUF_FLAG_PFRAME, 0, "nothing was reset");
    assert_eq!(more.sequence, 3);
    encoder.return_coded(more.index);
    encoder.take_back();
    stopping_the_raw_queue(&mut encoder);
    // With nothing to wait for, the end comes in an empty buffer.
    encoder.command(STOP).unwrap();
    let end = encoder.opened.wait_for(coded);
    assert_ne!(end.flags & uapi::V4L2_BUF_FLAG_LAST, 0);
    assert_eq!(end.bytesused, 0);
    assert_eq!(encoder.opened.dequeue(coded).unwrap_err(), Errno::PIPE);
}

/// The interface's documentation lets an encoder that has stopped go on when its raw queue is
/// started again. The framework's helpers, and so most drivers, wait for the command all the same.
fn stopping_the_raw_queue(encoder: &mut Encoding) {
    let (raw, coded) = (encoder.raw, encoder.coded);
    encoder.command(STOP).unwrap();
    let end = encoder.opened.wait_for(coded);
    assert_ne!(end.flags & uapi::V4L2_BUF_FLAG_LAST, 0);
    encoder.return_coded(end.index);
    encoder.opened.stop(raw).unwrap();
    encoder.opened.start(raw).unwrap();
    encoder.feed(5);
    assert_eq!(encoder.opened.dequeue(coded).unwrap_err(), Errno::PIPE);
    assert_eq!(encoder.opened.dequeue(raw).unwrap_err(), Errno::AGAIN);
    encoder.command(START).unwrap();
    let more = encoder.opened.wait_for(coded);
    assert_eq!(more.timestamp.tv_sec, 5);
    encoder.return_coded(more.index);
    encoder.take_back();
}

fn resetting(subject: &Subject) {
    let mut encoder = Encoding::start(subject);
    let coded = encoder.coded;
    encoder.feed(1);
    let first = encoder.opened.wait_for(coded);
    encoder.take_back();
    let second = encoder.opened.wait(true, false, Duration::ZERO);
    assert!(!second.readable);
    encoder.opened.stop(coded).unwrap();
    assert_eq!(encoder.opened.dequeue(coded).unwrap_err(), Errno::INVAL);
    (0..encoder.coded_count).for_each(|index| encoder.return_coded(index));
    encoder.feed(2);
    encoder.opened.start(coded).unwrap();
    let again = encoder.opened.wait_for(coded);
    assert_ne!(again.flags & uapi::V4L2_BUF_FLAG_KEYFRAME, 0);
    assert_eq!(again.sequence, first.sequence);
    encoder.take_back();
    // The end cannot be said while no coded buffer is there: it comes with the next one.
    for index in 0..encoder.coded_count {
        if index != again.index {
            encoder.feed(3);
            let picture = encoder.opened.wait_for(coded);
            assert_ne!(picture.index, again.index);
            encoder.take_back();
        }
    }
    encoder.command(STOP).unwrap();
    assert_eq!(encoder.command(STOP), Err(Errno::BUSY), "it is draining");
    assert_eq!(encoder.command(START), Err(Errno::BUSY), "it is draining");
    encoder.return_coded(again.index);
    let end = encoder.opened.wait_for(coded);
    assert_ne!(end.flags & uapi::V4L2_BUF_FLAG_LAST, 0);
}

fn importing(subject: &Subject) {
    let exporter = Encoding::allocate(subject);
    let memory = exporter.opened.export(exporter.raw, 0, 0).unwrap();
    let fd = memory.as_raw_fd();
    let encoder = Encoding::formatted(subject);
    let Encoding { raw, coded, .. } = encoder;
    let opened = &encoder.opened;
    opened.allocate(raw, 2, DMABUF).unwrap();
    let length = exporter.raw_length;
    let picture = |used, length| Given::imported(raw, 0, fd, used, length);
    assert_eq!(opened.queue(&picture(length, length - 1)), Err(Errno::INVAL), "too short");
    assert_eq!(opened.queue(&Given::imported(raw, 0, -1, length, length)), Err(Errno::INVAL));
    let without_length = opened.queue(&picture(length, 0));
    match super::is_multi_planar(raw) {
        true => assert_eq!(without_length, Err(Errno::INVAL), "more is used than there is"),
        false => assert_eq!(without_length, Ok(())),
    }
    if without_length.is_err() {
        assert_eq!(opened.queue(&picture(length, length)), Ok(()));
    }
    let coded_memory = exporter.opened.export(exporter.coded, 0, 0).unwrap();
    opened.allocate(coded, 2, DMABUF).unwrap();
    let room = opened.format(coded).map(|format| match super::is_multi_planar(coded) {
        true => Format::of_multi_planar(&format).planes[0].size,
        false => Format::of_single_planar(&format).planes[0].size,
    });
    let buffer = Given::imported(coded, 0, coded_memory.as_raw_fd(), 0, room.unwrap());
    assert_eq!(opened.queue(&buffer), Ok(()));
    opened.start(raw).unwrap();
    opened.start(coded).unwrap();
    let made = opened.wait_for(coded);
    assert!(made.bytesused > 0);
    assert_eq!(made.flags & uapi::V4L2_BUF_FLAG_ERROR, 0);
}

/// An encoder with both queues.
struct Encoding {
    opened: Opened,
    raw: u32,
    coded: u32,
    raw_length: u32,
    coded_length: u32,
    coded_count: u32,
    /// Raw buffers that are not queued.
    free: Vec<u32>,
}

impl Encoding {
    fn formatted(subject: &Subject) -> Self {
        let (raw, coded) = types(subject);
        let opened = subject.open();
        let format = Format::new(SIZE, PixelFormat::NV12);
        let mut format = match raw.is_multi_planar {
            true => format.to_multi_planar(raw.buffer_type()),
            false => format.to_single_planar(raw.buffer_type()),
        };
        opened.ask(Request::SetFormat(&mut format)).unwrap();
        let [raw, coded] = [raw, coded].map(QueueKind::buffer_type);
        let (raw_length, coded_length, coded_count) = (0, 0, 0);
        Self { opened, raw, coded, raw_length, coded_length, coded_count, free: Vec::new() }
    }

    fn allocate(subject: &Subject) -> Self {
        let mut encoder = Self::formatted(subject);
        let count = encoder.opened.allocate(encoder.raw, 3, MMAP).unwrap();
        encoder.coded_count = encoder.opened.allocate(encoder.coded, 2, MMAP).unwrap();
        encoder.raw_length = encoder.opened.query(encoder.raw, 0).unwrap()[0].0;
        encoder.coded_length = encoder.opened.query(encoder.coded, 0).unwrap()[0].0;
        encoder.free = (0..count).collect();
        encoder
    }

    fn start(subject: &Subject) -> Self {
        let encoder = Self::allocate(subject);
        (0..encoder.coded_count).for_each(|index| encoder.return_coded(index));
        encoder.opened.start(encoder.raw).unwrap();
        encoder.opened.start(encoder.coded).unwrap();
        encoder
    }

    fn feed(&mut self, seconds: i64) {
        let index = self.free.pop().expect("a raw buffer that is not queued");
        let given = Given::mapped(self.raw, index, &[self.raw_length]);
        self.opened.queue(&given.used(&[self.raw_length]).at(seconds)).unwrap();
    }

    fn take_back(&mut self) -> v4l2_buffer {
        let buffer = self.opened.wait_for(self.raw);
        self.free.push(buffer.index);
        buffer
    }

    fn return_coded(&self, index: u32) {
        self.opened.queue(&Given::mapped(self.coded, index, &[self.coded_length])).unwrap();
    }

    fn command(&self, number: u32) -> Result<(), Errno> {
        let mut raw = v4l2_encoder_cmd::new_zeroed();
        raw.cmd = number;
        self.opened.ask(Request::EncoderCommand(&mut raw))
    }
}

const PATH: &str = "/dev/video1";
const SIZE: Size = Size { width: 64, height: 64 };
