//! What a device is, and which queues of buffers it has.

use std::fmt;

use crate::{
    device::text,
    uapi::{self, v4l2_capability},
};

/// Who a device is and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The driver: `uvcvideo`.
    pub driver: String,
    /// The device, for people: `HD Pro Webcam C920`.
    pub card: String,
    /// Where it is: `usb-0000:00:14.0-1`.
    pub bus: String,
    /// V4L2_CAP_* of this node.
    pub flags: u32,
}

/// A queue of a device: which way its buffers go, and in how many pieces.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueKind {
    /// Which way.
    pub direction: Direction,
    /// Whether a picture may be in several pieces of memory.
    pub is_multi_planar: bool,
}

/// Which way buffers go.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device: pictures of a camera, what an encoder has made.
    Capture,
    /// To the device: pictures to encode.
    Output,
}

impl Capability {
    pub(super) fn of(raw: &v4l2_capability) -> Self {
        let has_own = raw.capabilities & uapi::V4L2_CAP_DEVICE_CAPS != 0;
        Self {
            driver: text(&raw.driver),
            card: text(&raw.card),
            bus: text(&raw.bus_info),
            flags: if has_own { raw.device_caps } else { raw.capabilities },
        }
    }

    /// The queue that a camera fills, if it is one.
    pub fn camera(&self) -> Option<QueueKind> {
        let is = |flag| self.flags & flag != 0;
        let direction = Direction::Capture;
        match () {
            () if !is(uapi::V4L2_CAP_STREAMING) => None,
            () if is(uapi::V4L2_CAP_VIDEO_CAPTURE) => {
                Some(QueueKind { direction, is_multi_planar: false })
            }
            () if is(uapi::V4L2_CAP_VIDEO_CAPTURE_MPLANE) => {
                Some(QueueKind { direction, is_multi_planar: true })
            }
            () => None,
        }
    }

    /// The queues to and from a device that works from memory to memory, if it is one.
    pub fn memory_to_memory(&self) -> Option<(QueueKind, QueueKind)> {
        let is = |flag| self.flags & flag != 0;
        let queues = |is_multi_planar| {
            let queue = |direction| QueueKind { direction, is_multi_planar };
            Some((queue(Direction::Output), queue(Direction::Capture)))
        };
        match () {
            () if !is(uapi::V4L2_CAP_STREAMING) => None,
            () if is(uapi::V4L2_CAP_VIDEO_M2M_MPLANE) => queues(true),
            () if is(uapi::V4L2_CAP_VIDEO_M2M) => queues(false),
            () => None,
        }
    }
}

impl QueueKind {
    /// V4L2_BUF_TYPE_*.
    pub const fn buffer_type(self) -> u32 {
        match (self.direction, self.is_multi_planar) {
            (Direction::Capture, false) => uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE,
            (Direction::Capture, true) => uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
            (Direction::Output, false) => uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT,
            (Direction::Output, true) => uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
        }
    }
}

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::Capture => "capture",
            Direction::Output => "output",
        })
    }
}
