//! Controls: `linux/videodev2.h` and the identifiers in `linux/v4l2-controls.h` that are set here.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// `struct v4l2_query_ext_ctrl`: what VIDIOC_QUERY_EXT_CTRL tells.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_query_ext_ctrl {
    /// Set by the caller, perhaps with V4L2_CTRL_FLAG_NEXT_*.
    pub id: u32,
    /// V4L2_CTRL_TYPE_*.
    pub r#type: u32,
    /// For people, NUL-terminated.
    pub name: [u8; 32],
    /// The least value.
    pub minimum: i64,
    /// The greatest.
    pub maximum: i64,
    /// Between values.
    pub step: u64,
    /// What the driver starts with.
    pub default_value: i64,
    /// V4L2_CTRL_FLAG_*.
    pub flags: u32,
    /// Bytes of an element.
    pub elem_size: u32,
    /// Elements.
    pub elems: u32,
    /// Dimensions; 0 for a single value.
    pub nr_of_dims: u32,
    /// Elements in each.
    pub dims: [u32; 4],
    /// Zero.
    pub reserved: [u32; 32],
}

/// `struct v4l2_querymenu`: what VIDIOC_QUERYMENU tells. Packed.
#[repr(C, packed)]
#[derive(Copy, Clone, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_querymenu {
    /// Set by the caller.
    pub id: u32,
    /// Set by the caller: the value.
    pub index: u32,
    /// The name, NUL-terminated; for an integer menu the number in the first eight bytes.
    pub u: [u8; 32],
    /// Zero.
    pub reserved: u32,
}

/// `struct v4l2_ext_control`. Packed.
#[repr(C, packed)]
#[derive(Copy, Clone, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_ext_control {
    /// Which control.
    pub id: u32,
    /// Bytes that the union points to; 0 if it is the value itself.
    pub size: u32,
    /// Zero.
    pub reserved2: u32,
    /// The union: `value` in the first four bytes, `value64`, or a pointer.
    pub(crate) u: [u8; 8],
}

impl v4l2_ext_control {
    /// One whose value is in the union.
    pub fn of(id: u32) -> Self {
        Self { id, size: 0, reserved2: 0, u: [0; 8] }
    }

    /// The union as a 32-bit value.
    pub fn value(&self) -> i32 {
        let [a, b, c, d, ..] = self.u;
        i32::from_ne_bytes([a, b, c, d])
    }

    /// Writes the union as a 32-bit value.
    pub fn set_value(&mut self, value: i32) {
        self.u[..4].copy_from_slice(&value.to_ne_bytes());
    }

    /// The union as a 64-bit value.
    pub fn value64(&self) -> i64 {
        i64::from_ne_bytes(self.u)
    }

    /// Writes the union as a 64-bit value.
    pub fn set_value64(&mut self, value: i64) {
        self.u = value.to_ne_bytes();
    }

    /// Writes the union as a pointer.
    pub(crate) fn set_address(&mut self, address: usize) {
        self.u[..size_of::<usize>()].copy_from_slice(&address.to_ne_bytes());
    }
}

/// `struct v4l2_ext_controls`: for VIDIOC_G_EXT_CTRLS, S_EXT_CTRLS, TRY_EXT_CTRLS.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_ext_controls {
    /// V4L2_CTRL_WHICH_CUR_VAL.
    pub which: u32,
    /// How many controls.
    pub count: u32,
    /// From the driver: which of them failed; `count` when none was tried.
    pub error_idx: u32,
    /// Zero without the request API.
    pub request_fd: i32,
    /// Zero.
    pub reserved: u32,
    #[cfg(target_pointer_width = "64")]
    #[doc(hidden)]
    pub _padding: u32,
    /// The address of the controls.
    pub(crate) controls: usize,
}

/// The current values.
pub const V4L2_CTRL_WHICH_CUR_VAL: u32 = 0;

/// An integer.
pub const V4L2_CTRL_TYPE_INTEGER: u32 = 1;
/// 0 or 1.
pub const V4L2_CTRL_TYPE_BOOLEAN: u32 = 2;
/// One of a list of names.
pub const V4L2_CTRL_TYPE_MENU: u32 = 3;
/// Something to do; has no value.
pub const V4L2_CTRL_TYPE_BUTTON: u32 = 4;
/// An integer of 64 bits.
pub const V4L2_CTRL_TYPE_INTEGER64: u32 = 5;
/// A heading, not a control.
pub const V4L2_CTRL_TYPE_CTRL_CLASS: u32 = 6;
/// Text, NUL-terminated.
pub const V4L2_CTRL_TYPE_STRING: u32 = 7;
/// A bit for each of several things.
pub const V4L2_CTRL_TYPE_BITMASK: u32 = 8;
/// One of a list of integers.
pub const V4L2_CTRL_TYPE_INTEGER_MENU: u32 = 9;
/// From here on: structures.
pub const V4L2_CTRL_COMPOUND_TYPES: u32 = 0x100;

/// Permanently out of use.
pub const V4L2_CTRL_FLAG_DISABLED: u32 = 0x0001;
/// For now not to be changed, because another program or a stream uses it.
pub const V4L2_CTRL_FLAG_GRABBED: u32 = 0x0002;
/// Never to be changed.
pub const V4L2_CTRL_FLAG_READ_ONLY: u32 = 0x0004;
/// Changing this one changes others.
pub const V4L2_CTRL_FLAG_UPDATE: u32 = 0x0008;
/// Without effect as other controls stand.
pub const V4L2_CTRL_FLAG_INACTIVE: u32 = 0x0010;
/// Not to be read.
pub const V4L2_CTRL_FLAG_WRITE_ONLY: u32 = 0x0040;
/// Changes by itself.
pub const V4L2_CTRL_FLAG_VOLATILE: u32 = 0x0080;
/// The value is behind a pointer.
pub const V4L2_CTRL_FLAG_HAS_PAYLOAD: u32 = 0x0100;
/// In a query: the next one of simple type.
pub const V4L2_CTRL_FLAG_NEXT_CTRL: u32 = 0x8000_0000;
/// In a query: the next one of compound type.
pub const V4L2_CTRL_FLAG_NEXT_COMPOUND: u32 = 0x4000_0000;

const USER_BASE: u32 = 0x0098_0900;

/// Buffers that a CAPTURE queue has to have at least.
pub const V4L2_CID_MIN_BUFFERS_FOR_CAPTURE: u32 = USER_BASE + 39;
/// Buffers that an OUTPUT queue has to have at least.
pub const V4L2_CID_MIN_BUFFERS_FOR_OUTPUT: u32 = USER_BASE + 40;

/// Exposure in units of 100 microseconds.
pub const V4L2_CID_EXPOSURE_ABSOLUTE: u32 = 0x009a_0900 + 2;

const CODEC_BASE: u32 = 0x0099_0900;

/// B-frames between others.
pub const V4L2_CID_MPEG_VIDEO_B_FRAMES: u32 = CODEC_BASE + 202;
/// Pictures from one I-frame to the next.
pub const V4L2_CID_MPEG_VIDEO_GOP_SIZE: u32 = CODEC_BASE + 203;
/// Variable or constant.
pub const V4L2_CID_MPEG_VIDEO_BITRATE_MODE: u32 = CODEC_BASE + 206;
/// Bits per second.
pub const V4L2_CID_MPEG_VIDEO_BITRATE: u32 = CODEC_BASE + 207;
/// Bits per second at most.
pub const V4L2_CID_MPEG_VIDEO_BITRATE_PEAK: u32 = CODEC_BASE + 208;
/// Whether the bitrate is obeyed at all.
pub const V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE: u32 = CODEC_BASE + 215;
/// Parameter sets in a buffer of their own, or with the first picture.
pub const V4L2_CID_MPEG_VIDEO_HEADER_MODE: u32 = CODEC_BASE + 216;
/// Parameter sets before each IDR.
pub const V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER: u32 = CODEC_BASE + 226;
/// Makes the next picture an IDR.
pub const V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME: u32 = CODEC_BASE + 229;
/// The least quantizer.
pub const V4L2_CID_MPEG_VIDEO_H264_MIN_QP: u32 = CODEC_BASE + 353;
/// The greatest quantizer.
pub const V4L2_CID_MPEG_VIDEO_H264_MAX_QP: u32 = CODEC_BASE + 354;
/// Pictures from one I-frame to the next, with drivers that have no GOP_SIZE.
pub const V4L2_CID_MPEG_VIDEO_H264_I_PERIOD: u32 = CODEC_BASE + 358;
/// A menu of levels.
pub const V4L2_CID_MPEG_VIDEO_H264_LEVEL: u32 = CODEC_BASE + 359;
/// A menu of profiles.
pub const V4L2_CID_MPEG_VIDEO_H264_PROFILE: u32 = CODEC_BASE + 363;
/// Parameter sets before each IDR, as other drivers call it.
pub const V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR: u32 = CODEC_BASE + 644;

/// Bitrate mode: variable.
pub const V4L2_MPEG_VIDEO_BITRATE_MODE_VBR: i64 = 0;
/// Bitrate mode: constant.
pub const V4L2_MPEG_VIDEO_BITRATE_MODE_CBR: i64 = 1;
/// Header mode: parameter sets in a buffer of their own.
pub const V4L2_MPEG_VIDEO_HEADER_MODE_SEPARATE: i64 = 0;
/// Header mode: parameter sets and the first picture in one buffer.
pub const V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME: i64 = 1;
