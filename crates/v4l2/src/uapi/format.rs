//! Formats, sizes, frame intervals, selections.

use std::fmt;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::VIDEO_MAX_PLANES;

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
