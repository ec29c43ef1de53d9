//! The kernel's interface: `linux/videodev2.h`, as far as it is used here, and `linux/dma-heap.h`.
//!
//! Names, fields and order are the kernel's, so that its documentation (Linux Media Infrastructure
//! userspace API, part I) applies word by word. Where the C header has a union, there is the memory
//! it takes, and a method for each reading of it. On 32-bit systems it is the layout with 64-bit
//! times, which Linux has had since 5.6. `tests/layout` holds all of it against a C compiler.
//!
//! Plain memory only: nothing here calls anything.

#![allow(non_camel_case_types, reason = "the kernel's names")]

use zerocopy::{FromBytes, Immutable, KnownLayout};

mod buffer;
mod color;
pub mod control;
mod format;
mod ioctl;

pub use self::{buffer::*, color::*, format::*, ioctl::*};

/// `struct v4l2_capability`: what VIDIOC_QUERYCAP tells.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_capability {
    /// Name of the driver, NUL-terminated.
    pub driver: [u8; 16],
    /// Name of the device for people, NUL-terminated.
    pub card: [u8; 32],
    /// Where the device is, NUL-terminated: `usb-0000:00:14.0-1`, `platform:…`.
    pub bus_info: [u8; 32],
    /// Of the kernel: three numbers in the lowest 24 bits.
    pub version: u32,
    /// Of the physical device, all its nodes together.
    pub capabilities: u32,
    /// Of the node that was opened, if `capabilities` has V4L2_CAP_DEVICE_CAPS.
    pub device_caps: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// `struct v4l2_encoder_cmd`: for VIDIOC_ENCODER_CMD.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_encoder_cmd {
    /// V4L2_ENC_CMD_*.
    pub cmd: u32,
    /// V4L2_ENC_CMD_STOP_AT_GOP_END or nothing.
    pub flags: u32,
    /// Zero.
    pub raw: [u32; 8],
}

/// `struct v4l2_event_subscription`: for VIDIOC_SUBSCRIBE_EVENT.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_event_subscription {
    /// V4L2_EVENT_*.
    pub r#type: u32,
    /// Of what: a control, for V4L2_EVENT_CTRL.
    pub id: u32,
    /// V4L2_EVENT_SUB_FL_*.
    pub flags: u32,
    /// Zero.
    pub reserved: [u32; 5],
}

/// `struct v4l2_event`: what VIDIOC_DQEVENT tells.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_event {
    /// V4L2_EVENT_*.
    pub r#type: u32,
    #[doc(hidden)]
    pub _padding: u32,
    /// The union; V4L2_EVENT_SOURCE_CHANGE has its V4L2_EVENT_SRC_CH_* in the first word, and
    /// V4L2_EVENT_CTRL its V4L2_EVENT_CTRL_CH_*.
    pub u: [u64; 8],
    /// Events still waiting.
    pub pending: u32,
    /// Counts the events of a device.
    pub sequence: u32,
    /// Seconds and nanoseconds of CLOCK_MONOTONIC.
    pub timestamp: [i64; 2],
    /// Of what, as in the subscription.
    pub id: u32,
    /// Zero.
    pub reserved: [u32; 8],
    #[doc(hidden)]
    pub _tail: u32,
}

/// `struct dma_heap_allocation_data` of `linux/dma-heap.h`: for DMA_HEAP_IOCTL_ALLOC.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct dma_heap_allocation_data {
    /// Bytes.
    pub len: u64,
    /// From the kernel.
    pub fd: u32,
    /// O_CLOEXEC and the access mode.
    pub fd_flags: u32,
    /// Zero.
    pub heap_flags: u64,
}

/// The pieces of memory that a picture may be in.
pub const VIDEO_MAX_PLANES: usize = 8;
