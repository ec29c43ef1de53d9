//! Queues, devices and controls on the stand-in for the kernel.

mod camera;
mod encoder;
mod properties;
mod refusals;
mod sharing;

use std::time::Duration;

use v4l2::{
    Content, Dequeued, Device, Format, Interest, Next, PixelFormat, Queue, QueueKind, Size,
    fake::Kernel,
};

/// A camera of all defaults at this path.
const CAMERA: &str = "/dev/video0";
const ENCODER: &str = "/dev/video1";
/// Never passes: what does not come by itself fails the test by the runner's limit.
const FOREVER: Duration = Duration::from_secs(600);

const SMALL: Size = Size { width: 64, height: 48 };

#[track_caller]
fn assert_content(kernel: &Kernel) {
    assert_eq!(kernel.complaints(), Vec::<String>::new());
}

/// What `asked` is refused with.
#[track_caller]
fn refusal<T: std::fmt::Debug>(asked: Result<T, v4l2::Error>) -> v4l2::fake::Errno {
    let error = asked.unwrap_err();
    v4l2::fake::Errno::from_io_error(&error.error).expect("the kernel's number")
}

fn camera_queue(device: &Device) -> QueueKind {
    device.capability().camera().expect("a camera")
}

/// The next buffer, however long it takes.
#[track_caller]
fn next(queue: &mut Queue) -> Dequeued {
    let interest = Interest { readable: true, writable: true, event: false };
    loop {
        match queue.dequeue().unwrap() {
            Next::Buffer(buffer) => return buffer,
            Next::NotYet => {
                let ready = queue.device().wait(interest, None, FOREVER).unwrap();
                assert!(ready.readable || ready.writable, "{ready:?}");
            }
            Next::Drained => panic!("the stream has ended"),
        }
    }
}

fn queue_all(queue: &mut Queue) {
    while let Some(index) = queue.free() {
        queue.enqueue(index, Content::default()).unwrap();
    }
}

fn format(size: Size, pixel_format: PixelFormat) -> Format {
    Format::new(size, pixel_format)
}
