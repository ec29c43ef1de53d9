//! Numbers: of requests, types, capabilities, flags.

use super::{
    control::{v4l2_ext_controls, v4l2_query_ext_ctrl, v4l2_querymenu},
    dma_heap_allocation_data, v4l2_buffer, v4l2_capability, v4l2_encoder_cmd, v4l2_event,
    v4l2_event_subscription, v4l2_exportbuffer, v4l2_fmtdesc, v4l2_format, v4l2_frmivalenum,
    v4l2_frmsizeenum, v4l2_requestbuffers, v4l2_selection, v4l2_streamparm,
};

// `asm-generic/ioctl.h`; these have numbers of their own.
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc64"
))]
compile_error!("the numbers of ioctls are not known for this architecture");

/// `_IOR`, `_IOW`, `_IOWR` of `asm-generic/ioctl.h`.
const fn number<T>(direction: u32, group: u8, nr: u32) -> u32 {
    direction << 30 | (size_of::<T>() as u32) << 16 | (group as u32) << 8 | nr
}

const fn read<T>(nr: u32) -> u32 {
    number::<T>(2, b'V', nr)
}

const fn write<T>(nr: u32) -> u32 {
    number::<T>(1, b'V', nr)
}

const fn both<T>(nr: u32) -> u32 {
    number::<T>(3, b'V', nr)
}

macro_rules! requests {
    ($($name:ident = $number:expr;)+) => {
        $(#[doc = concat!("The request ", stringify!($name), ".")] pub const $name: u32 = $number;)+
    };
}

requests! {
    VIDIOC_QUERYCAP = read::<v4l2_capability>(0);
    VIDIOC_ENUM_FMT = both::<v4l2_fmtdesc>(2);
    VIDIOC_G_FMT = both::<v4l2_format>(4);
    VIDIOC_S_FMT = both::<v4l2_format>(5);
    VIDIOC_REQBUFS = both::<v4l2_requestbuffers>(8);
    VIDIOC_QUERYBUF = both::<v4l2_buffer>(9);
    VIDIOC_QBUF = both::<v4l2_buffer>(15);
    VIDIOC_EXPBUF = both::<v4l2_exportbuffer>(16);
    VIDIOC_DQBUF = both::<v4l2_buffer>(17);
    VIDIOC_STREAMON = write::<i32>(18);
    VIDIOC_STREAMOFF = write::<i32>(19);
    VIDIOC_G_PARM = both::<v4l2_streamparm>(21);
    VIDIOC_S_PARM = both::<v4l2_streamparm>(22);
    VIDIOC_QUERYMENU = both::<v4l2_querymenu>(37);
    VIDIOC_TRY_FMT = both::<v4l2_format>(64);
    VIDIOC_G_EXT_CTRLS = both::<v4l2_ext_controls>(71);
    VIDIOC_S_EXT_CTRLS = both::<v4l2_ext_controls>(72);
    VIDIOC_ENUM_FRAMESIZES = both::<v4l2_frmsizeenum>(74);
    VIDIOC_ENUM_FRAMEINTERVALS = both::<v4l2_frmivalenum>(75);
    VIDIOC_ENCODER_CMD = both::<v4l2_encoder_cmd>(77);
    VIDIOC_DQEVENT = read::<v4l2_event>(89);
    VIDIOC_SUBSCRIBE_EVENT = write::<v4l2_event_subscription>(90);
    VIDIOC_G_SELECTION = both::<v4l2_selection>(94);
    VIDIOC_S_SELECTION = both::<v4l2_selection>(95);
    VIDIOC_QUERY_EXT_CTRL = both::<v4l2_query_ext_ctrl>(103);
    DMA_HEAP_IOCTL_ALLOC = number::<dma_heap_allocation_data>(3, b'H', 0);
}

/// Captures video, in single-planar buffers.
pub const V4L2_CAP_VIDEO_CAPTURE: u32 = 0x0000_0001;
/// Captures video, in multi-planar buffers.
pub const V4L2_CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x0000_1000;
/// Memory to memory, in multi-planar buffers.
pub const V4L2_CAP_VIDEO_M2M_MPLANE: u32 = 0x0000_4000;
/// Memory to memory, in single-planar buffers.
pub const V4L2_CAP_VIDEO_M2M: u32 = 0x0000_8000;
/// Has VIDIOC_QUERY_EXT_CTRL and the others.
pub const V4L2_CAP_EXT_PIX_FORMAT: u32 = 0x0020_0000;
/// Streams by queues of buffers.
pub const V4L2_CAP_STREAMING: u32 = 0x0400_0000;
/// `device_caps` is valid.
pub const V4L2_CAP_DEVICE_CAPS: u32 = 0x8000_0000;

/// Pictures from a device, single-planar.
pub const V4L2_BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
/// Pictures to a device, single-planar.
pub const V4L2_BUF_TYPE_VIDEO_OUTPUT: u32 = 2;
/// Pictures from a device, multi-planar.
pub const V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE: u32 = 9;
/// Pictures to a device, multi-planar.
pub const V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE: u32 = 10;

/// The driver's memory, to be mapped.
pub const V4L2_MEMORY_MMAP: u32 = 1;
/// A file descriptor that stands for memory.
pub const V4L2_MEMORY_DMABUF: u32 = 4;

/// MMAP can be asked for.
pub const V4L2_BUF_CAP_SUPPORTS_MMAP: u32 = 0x0000_0001;
/// DMABUF can be asked for.
pub const V4L2_BUF_CAP_SUPPORTS_DMABUF: u32 = 0x0000_0004;

/// An I-frame.
pub const V4L2_BUF_FLAG_KEYFRAME: u32 = 0x0000_0008;
/// A P-frame.
pub const V4L2_BUF_FLAG_PFRAME: u32 = 0x0000_0010;
/// A B-frame.
pub const V4L2_BUF_FLAG_BFRAME: u32 = 0x0000_0020;
/// The picture is damaged or incomplete.
pub const V4L2_BUF_FLAG_ERROR: u32 = 0x0000_0040;
/// Which clock the timestamp is of.
pub const V4L2_BUF_FLAG_TIMESTAMP_MASK: u32 = 0x0000_e000;
/// CLOCK_MONOTONIC.
pub const V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x0000_2000;
/// The timestamp of the input buffer.
pub const V4L2_BUF_FLAG_TIMESTAMP_COPY: u32 = 0x0000_4000;
/// The last buffer of a stream that is drained.
pub const V4L2_BUF_FLAG_LAST: u32 = 0x0010_0000;

/// A compressed format.
pub const V4L2_FMT_FLAG_COMPRESSED: u32 = 0x0001;
/// Made by libv4l2, not by the device.
pub const V4L2_FMT_FLAG_EMULATED: u32 = 0x0002;

/// One size.
pub const V4L2_FRMSIZE_TYPE_DISCRETE: u32 = 1;
/// Any size, pixel by pixel.
pub const V4L2_FRMSIZE_TYPE_CONTINUOUS: u32 = 2;
/// Any size, in steps.
pub const V4L2_FRMSIZE_TYPE_STEPWISE: u32 = 3;

/// One interval.
pub const V4L2_FRMIVAL_TYPE_DISCRETE: u32 = 1;
/// Any interval.
pub const V4L2_FRMIVAL_TYPE_CONTINUOUS: u32 = 2;
/// Any interval, in steps.
pub const V4L2_FRMIVAL_TYPE_STEPWISE: u32 = 3;

/// Any order of fields.
pub const V4L2_FIELD_ANY: u32 = 0;
/// Whole pictures.
pub const V4L2_FIELD_NONE: u32 = 1;

/// The frame interval can be set.
pub const V4L2_CAP_TIMEPERFRAME: u32 = 0x1000;

/// The second half of a `v4l2_pix_format` is valid.
pub const V4L2_PIX_FMT_PRIV_MAGIC: u32 = 0xfeed_cafe;

/// The part of the picture that is used.
pub const V4L2_SEL_TGT_CROP: u32 = 0x0000;
/// What the crop is by default.
pub const V4L2_SEL_TGT_CROP_DEFAULT: u32 = 0x0001;
/// All there is to crop from.
pub const V4L2_SEL_TGT_CROP_BOUNDS: u32 = 0x0002;
/// The part of the buffer that is written.
pub const V4L2_SEL_TGT_COMPOSE: u32 = 0x0100;

/// Start encoding again after a stop.
pub const V4L2_ENC_CMD_START: u32 = 0;
/// Encode what is queued, then stop.
pub const V4L2_ENC_CMD_STOP: u32 = 1;

/// The end of a stream was reached.
pub const V4L2_EVENT_EOS: u32 = 2;
/// A control was changed.
pub const V4L2_EVENT_CTRL: u32 = 3;
/// Of V4L2_EVENT_CTRL: the value is another.
pub const V4L2_EVENT_CTRL_CH_VALUE: u32 = 1;
/// What the device gives has changed.
pub const V4L2_EVENT_SOURCE_CHANGE: u32 = 5;
