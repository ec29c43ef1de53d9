//! The kernel's interface: `linux/videodev2.h`, as far as it is used here, and `linux/dma-heap.h`.
//!
//! Names, fields and order are the kernel's, so that its documentation (Linux Media Infrastructure
//! userspace API, part I) applies word by word. Where the C header has a union, there is the memory
//! it takes, and a method for each reading of it. On 32-bit systems it is the layout with 64-bit
//! times, which Linux has had since 5.6. `tests/layout` holds all of it against a C compiler.
//!
//! Plain memory only: nothing here calls anything.

#![allow(non_camel_case_types, reason = "the kernel's names")]

use std::fmt;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

pub mod control;
mod ioctl;

pub use self::ioctl::*;

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

/// `struct v4l2_fmtdesc`: what VIDIOC_ENUM_FMT tells.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_fmtdesc {
    /// Set by the caller.
    pub index: u32,
    /// Set by the caller: V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// V4L2_FMT_FLAG_*.
    pub flags: u32,
    /// NUL-terminated.
    pub description: [u8; 32],
    /// A four-character code.
    pub pixelformat: u32,
    /// Media bus code, zero for all.
    pub mbus_code: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// `struct v4l2_fract`.
#[repr(C)]
#[derive(Copy, Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct v4l2_fract {
    /// Above the line.
    pub numerator: u32,
    /// Below the line.
    pub denominator: u32,
}

/// `struct v4l2_frmsizeenum`: what VIDIOC_ENUM_FRAMESIZES tells.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_frmsizeenum {
    /// Set by the caller.
    pub index: u32,
    /// Set by the caller.
    pub pixel_format: u32,
    /// V4L2_FRMSIZE_TYPE_*.
    pub r#type: u32,
    /// Discrete: width and height. Otherwise: least width, greatest, step; least height, greatest,
    /// step.
    pub u: [u32; 6],
    /// Zero.
    pub reserved: [u32; 2],
}

/// `struct v4l2_frmivalenum`: what VIDIOC_ENUM_FRAMEINTERVALS tells.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_frmivalenum {
    /// Set by the caller.
    pub index: u32,
    /// Set by the caller.
    pub pixel_format: u32,
    /// Set by the caller.
    pub width: u32,
    /// Set by the caller.
    pub height: u32,
    /// V4L2_FRMIVAL_TYPE_*.
    pub r#type: u32,
    /// Discrete: the interval. Otherwise: the shortest, the longest, the step.
    pub u: [v4l2_fract; 3],
    /// Zero.
    pub reserved: [u32; 2],
}

/// `struct v4l2_pix_format`: a picture in one piece of memory.
#[repr(C)]
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct v4l2_pix_format {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// A four-character code.
    pub pixelformat: u32,
    /// V4L2_FIELD_*.
    pub field: u32,
    /// From row to row; 0 for compressed formats.
    pub bytesperline: u32,
    /// Of a picture at most.
    pub sizeimage: u32,
    /// V4L2_COLORSPACE_*.
    pub colorspace: u32,
    /// V4L2_PIX_FMT_PRIV_MAGIC when what follows is valid.
    pub r#priv: u32,
    /// V4L2_PIX_FMT_FLAG_*.
    pub flags: u32,
    /// V4L2_YCBCR_ENC_*.
    pub ycbcr_enc: u32,
    /// V4L2_QUANTIZATION_*.
    pub quantization: u32,
    /// V4L2_XFER_FUNC_*.
    pub xfer_func: u32,
}

/// `struct v4l2_plane_pix_format`; packed, like what it is part of.
#[repr(C, packed)]
#[derive(Copy, Clone, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct v4l2_plane_pix_format {
    /// Bytes of this plane at most.
    pub sizeimage: u32,
    /// From row to row.
    pub bytesperline: u32,
    /// Zero.
    pub reserved: [u16; 6],
}

/// `struct v4l2_pix_format_mplane`: a picture in up to eight pieces of memory. Packed.
#[repr(C, packed)]
#[derive(Copy, Clone, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct v4l2_pix_format_mplane {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// A four-character code.
    pub pixelformat: u32,
    /// V4L2_FIELD_*.
    pub field: u32,
    /// V4L2_COLORSPACE_*.
    pub colorspace: u32,
    /// Of each plane.
    pub plane_fmt: [v4l2_plane_pix_format; VIDEO_MAX_PLANES],
    /// How many of them there are.
    pub num_planes: u8,
    /// V4L2_PIX_FMT_FLAG_*.
    pub flags: u8,
    /// V4L2_YCBCR_ENC_*.
    pub ycbcr_enc: u8,
    /// V4L2_QUANTIZATION_*.
    pub quantization: u8,
    /// V4L2_XFER_FUNC_*.
    pub xfer_func: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// `struct v4l2_format`: for VIDIOC_G_FMT, S_FMT, TRY_FMT.
#[repr(C)]
#[derive(Copy, Clone, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_format {
    /// V4L2_BUF_TYPE_*: which reading of the union holds.
    pub r#type: u32,
    #[cfg(target_pointer_width = "64")]
    #[doc(hidden)]
    pub _padding: u32,
    /// The union: pointers in it align it.
    pub fmt: [usize; 200 / size_of::<usize>()],
}

impl v4l2_format {
    /// Empty, for buffers of `kind`.
    pub fn of(kind: u32) -> Self {
        Self { r#type: kind, ..Self::new_zeroed() }
    }

    /// The union as of a single-planar type.
    pub fn pix(&self) -> v4l2_pix_format {
        read(self.fmt.as_bytes())
    }

    /// Writes the union as of a single-planar type.
    pub fn set_pix(&mut self, pix: v4l2_pix_format) {
        write(self.fmt.as_mut_bytes(), pix);
    }

    /// The union as of a multi-planar type.
    pub fn pix_mp(&self) -> v4l2_pix_format_mplane {
        read(self.fmt.as_bytes())
    }

    /// Writes the union as of a multi-planar type.
    pub fn set_pix_mp(&mut self, pix_mp: v4l2_pix_format_mplane) {
        write(self.fmt.as_mut_bytes(), pix_mp);
    }
}

impl fmt::Debug for v4l2_format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("v4l2_format").field("type", &self.r#type).finish_non_exhaustive()
    }
}

/// `struct v4l2_captureparm`, and `struct v4l2_outputparm`, whose fields mean the same.
#[repr(C)]
#[derive(Copy, Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct v4l2_captureparm {
    /// V4L2_CAP_TIMEPERFRAME or nothing.
    pub capability: u32,
    /// V4L2_MODE_HIGHQUALITY or nothing.
    pub capturemode: u32,
    /// The frame interval, in seconds.
    pub timeperframe: v4l2_fract,
    /// Of the driver.
    pub extendedmode: u32,
    /// For read().
    pub readbuffers: u32,
    /// Zero.
    pub reserved: [u32; 4],
}

/// `struct v4l2_streamparm`: for VIDIOC_G_PARM and S_PARM.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_streamparm {
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// The union.
    pub parm: [u32; 50],
}

impl v4l2_streamparm {
    /// Empty, for buffers of `kind`.
    pub fn of(kind: u32) -> Self {
        Self { r#type: kind, parm: [0; 50] }
    }

    /// The union for capture as for output.
    pub fn capture(&self) -> v4l2_captureparm {
        read(self.parm.as_bytes())
    }

    /// Writes the union for capture as for output.
    pub fn set_capture(&mut self, parm: v4l2_captureparm) {
        write(self.parm.as_mut_bytes(), parm);
    }
}

/// `struct v4l2_rect`.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_rect {
    /// Pixels to the right.
    pub left: i32,
    /// Pixels down.
    pub top: i32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// `struct v4l2_selection`: for VIDIOC_G_SELECTION and S_SELECTION.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_selection {
    /// V4L2_BUF_TYPE_*: single-planar also for multi-planar queues.
    pub r#type: u32,
    /// V4L2_SEL_TGT_*.
    pub target: u32,
    /// V4L2_SEL_FLAG_*.
    pub flags: u32,
    /// Where.
    pub r: v4l2_rect,
    /// Zero.
    pub reserved: [u32; 9],
}

/// `struct v4l2_requestbuffers`: for VIDIOC_REQBUFS.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_requestbuffers {
    /// How many; the driver may give another number.
    pub count: u32,
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// V4L2_MEMORY_*.
    pub memory: u32,
    /// V4L2_BUF_CAP_*, from the driver.
    pub capabilities: u32,
    /// V4L2_MEMORY_FLAG_*.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// `struct v4l2_plane`: one piece of a multi-planar buffer.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_plane {
    /// Bytes that hold data, `data_offset` included.
    pub bytesused: u32,
    /// Bytes of the plane.
    pub length: u32,
    /// Offset for mmap, address, or file descriptor, by the kind of memory.
    pub m: v4l2_memory_place,
    /// Bytes before the data.
    pub data_offset: u32,
    /// Zero.
    pub reserved: [u32; 11],
}

/// `struct timeval` with 64-bit seconds.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct timeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds.
    pub tv_usec: i64,
}

/// `struct v4l2_timecode`: nobody sets it.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_timecode {
    /// V4L2_TC_TYPE_*.
    pub r#type: u32,
    /// V4L2_TC_FLAG_*.
    pub flags: u32,
    /// Frames, seconds, minutes, hours.
    pub counts: [u8; 4],
    /// Of the user.
    pub userbits: [u8; 4],
}

/// `struct v4l2_buffer`: for VIDIOC_QUERYBUF, QBUF, DQBUF.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_buffer {
    /// Which of the queue's buffers.
    pub index: u32,
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// Bytes that hold data; of a multi-planar buffer its planes say that.
    pub bytesused: u32,
    /// V4L2_BUF_FLAG_*.
    pub flags: u32,
    /// V4L2_FIELD_*.
    pub field: u32,
    #[doc(hidden)]
    pub _padding: u32,
    /// When its first byte was taken, or what the caller put there (by V4L2_BUF_FLAG_TIMESTAMP_*).
    pub timestamp: timeval,
    /// With V4L2_BUF_FLAG_TIMECODE.
    pub timecode: v4l2_timecode,
    /// Counts pictures, also those that were lost.
    pub sequence: u32,
    /// V4L2_MEMORY_*.
    pub memory: u32,
    /// Offset for mmap, file descriptor, or the planes' address.
    pub m: v4l2_memory_place,
    /// Bytes of the buffer; the number of planes for a multi-planar one.
    pub length: u32,
    /// Zero.
    pub reserved2: u32,
    /// Zero without the request API.
    pub request_fd: i32,
    #[cfg(target_pointer_width = "64")]
    #[doc(hidden)]
    pub _tail: u32,
}

/// The union `m` of buffers and planes: `mem_offset`, `userptr`, `planes` or `fd`.
#[repr(transparent)]
#[derive(Copy, Clone, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_memory_place(usize);

impl v4l2_memory_place {
    /// The union with `fd` in it.
    pub(crate) fn of_fd(fd: i32) -> Self {
        Self::of_word(fd as u32)
    }

    /// The union with `mem_offset` in it, which only a driver sets.
    pub fn of_offset(offset: u32) -> Self {
        Self::of_word(offset)
    }

    /// The union with `planes` in it.
    pub(crate) fn of_address(address: usize) -> Self {
        Self(address)
    }

    /// As `mem_offset`.
    pub fn offset(self) -> u32 {
        self.word()
    }

    /// As `fd`.
    pub fn fd(self) -> i32 {
        self.word() as i32
    }

    fn of_word(word: u32) -> Self {
        let mut memory = [0; size_of::<usize>()];
        memory[..4].copy_from_slice(&word.to_ne_bytes());
        Self(usize::from_ne_bytes(memory))
    }

    fn word(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d])
    }
}

impl fmt::Debug for v4l2_memory_place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// `struct v4l2_exportbuffer`: for VIDIOC_EXPBUF.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_exportbuffer {
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// Which buffer.
    pub index: u32,
    /// Which plane of it.
    pub plane: u32,
    /// O_CLOEXEC and the access mode.
    pub flags: u32,
    /// From the driver.
    pub fd: i32,
    /// Zero.
    pub reserved: [u32; 11],
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
    /// The union; V4L2_EVENT_SOURCE_CHANGE has its V4L2_EVENT_SRC_CH_* in the first word.
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

fn read<T: FromBytes>(union: &[u8]) -> T {
    // Each reading of a union is smaller than the union: the layout test holds that.
    T::read_from_prefix(union).map_or_else(|_| T::new_zeroed(), |(value, _)| value)
}

fn write<T: IntoBytes + Immutable>(union: &mut [u8], value: T) {
    let bytes = value.as_bytes();
    if let Some(place) = union.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The pieces of memory that a picture may be in.
pub const VIDEO_MAX_PLANES: usize = 8;
