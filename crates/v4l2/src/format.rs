//! Formats, sizes and frame intervals.

use std::{fmt, ops::RangeInclusive};

use zerocopy::FromZeros;

use crate::uapi::{
    self, V4L2_FIELD_NONE, V4L2_PIX_FMT_PRIV_MAGIC, VIDEO_MAX_PLANES, v4l2_format, v4l2_pix_format,
    v4l2_pix_format_mplane, v4l2_plane_pix_format,
};

/// A four-character code that names how pixels lie in memory, or how they are compressed.
///
/// See "Image Formats" in the kernel's Linux Media Infrastructure userspace API.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PixelFormat(pub u32);

impl PixelFormat {
    /// Y, U, Y, V: 4:2:2 in one plane.
    pub const YUYV: Self = Self::new(*b"YUYV");
    /// U, Y, V, Y: 4:2:2 in one plane.
    pub const UYVY: Self = Self::new(*b"UYVY");
    /// Y, then U and V by turns: 4:2:0, one piece of memory.
    pub const NV12: Self = Self::new(*b"NV12");
    /// The same in two pieces of memory.
    pub const NV12M: Self = Self::new(*b"NM12");
    /// Y, then U, then V: 4:2:0, one piece of memory ("I420").
    pub const YUV420: Self = Self::new(*b"YU12");
    /// The same in three pieces of memory.
    pub const YUV420M: Self = Self::new(*b"YM12");
    /// Pictures in JPEG, one by one.
    pub const MJPEG: Self = Self::new(*b"MJPG");
    /// The same, as some drivers call it.
    pub const JPEG: Self = Self::new(*b"JPEG");
    /// H.264 with start codes.
    pub const H264: Self = Self::new(*b"H264");

    /// Of the four characters.
    pub const fn new(characters: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(characters))
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit marks big-endian variants.
        let big_endian = self.0 >> 31 != 0;
        let characters = (self.0 & 0x7fff_ffff).to_le_bytes();
        let text: String = characters.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end_matches([' ', '\0']);
        write!(f, "{}{}", text.escape_debug(), if big_endian { "-BE" } else { "" })
    }
}

impl fmt::Debug for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One of the formats that a queue can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// Its code.
    pub pixel_format: PixelFormat,
    /// The driver's words.
    pub description: String,
    /// Whether it is compressed.
    pub is_compressed: bool,
    /// Whether it is made by a library and not by the device.
    pub is_emulated: bool,
}

/// Width and height in pixels.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The sizes that a format can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// These.
    Discrete(Vec<Size>),
    /// All within these ranges, in steps from their start.
    Stepwise {
        /// Pixels in a row.
        width: RangeInclusive<u32>,
        /// Between widths.
        width_step: u32,
        /// Rows.
        height: RangeInclusive<u32>,
        /// Between heights.
        height_step: u32,
    },
}

/// A time from picture to picture: a fraction of seconds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Above the line.
    pub numerator: u32,
    /// Below the line; not zero.
    pub denominator: u32,
}

impl Interval {
    /// `None` when either is zero, which some drivers say for "unknown".
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if numerator == 0 || denominator == 0 {
            return None;
        }
        Some(Self { numerator, denominator })
    }

    /// Pictures in a second.
    pub fn rate(self) -> f64 {
        f64::from(self.denominator) / f64::from(self.numerator)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = (self.rate() * 100.0).round() / 100.0;
        write!(f, "{rate} fps")
    }
}

/// The intervals that a size of a format can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intervals {
    /// These.
    Discrete(Vec<Interval>),
    /// All from the first to the second.
    Between(Interval, Interval),
}

/// What the buffers of a queue hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Pixels.
    pub size: Size,
    /// How they lie.
    pub pixel_format: PixelFormat,
    /// Each piece of memory. One for single-planar queues; when a format is asked for, empty leaves
    /// it to the driver.
    pub planes: Vec<PlaneFormat>,
    /// Colours, as V4L2 numbers them.
    pub color: Color,
}

/// One piece of memory of a picture.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaneFormat {
    /// Bytes from row to row; 0 for compressed formats.
    pub stride: u32,
    /// Bytes at most.
    pub size: u32,
}

/// V4L2's numbers for what colours mean; 0 is "by default".
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Color {
    /// V4L2_COLORSPACE_*.
    pub space: u32,
    /// V4L2_YCBCR_ENC_*.
    pub encoding: u32,
    /// V4L2_QUANTIZATION_*: 1 is full range, 2 limited.
    pub quantization: u32,
    /// V4L2_XFER_FUNC_*.
    pub transfer: u32,
}

impl Color {
    /// With what "by default" stands for, of luma and chroma: the kernel's V4L2_MAP_XFER_FUNC_DEFAULT,
    /// V4L2_MAP_YCBCR_ENC_DEFAULT and V4L2_MAP_QUANTIZATION_DEFAULT. Only the space may still be 0:
    /// nothing is known.
    #[must_use]
    pub fn resolved(self) -> Self {
        let of = |value: u32, default: u32| if value == 0 { default } else { value };
        let transfer = match self.space {
            uapi::V4L2_COLORSPACE_SMPTE240M => uapi::V4L2_XFER_FUNC_SMPTE240M,
            uapi::V4L2_COLORSPACE_OPRGB => uapi::V4L2_XFER_FUNC_OPRGB,
            uapi::V4L2_COLORSPACE_SRGB | uapi::V4L2_COLORSPACE_JPEG => uapi::V4L2_XFER_FUNC_SRGB,
            uapi::V4L2_COLORSPACE_RAW => uapi::V4L2_XFER_FUNC_NONE,
            uapi::V4L2_COLORSPACE_DCI_P3 => uapi::V4L2_XFER_FUNC_DCI_P3,
            _ => uapi::V4L2_XFER_FUNC_709,
        };
        let encoding = match self.space {
            uapi::V4L2_COLORSPACE_REC709 | uapi::V4L2_COLORSPACE_DCI_P3 => uapi::V4L2_YCBCR_ENC_709,
            uapi::V4L2_COLORSPACE_BT2020 => uapi::V4L2_YCBCR_ENC_BT2020,
            uapi::V4L2_COLORSPACE_SMPTE240M => uapi::V4L2_YCBCR_ENC_SMPTE240M,
            _ => uapi::V4L2_YCBCR_ENC_601,
        };
        let quantization = match self.space {
            uapi::V4L2_COLORSPACE_JPEG => uapi::V4L2_QUANTIZATION_FULL_RANGE,
            _ => uapi::V4L2_QUANTIZATION_LIM_RANGE,
        };
        Self {
            space: self.space,
            encoding: of(self.encoding, encoding),
            quantization: of(self.quantization, quantization),
            transfer: of(self.transfer, transfer),
        }
    }

    /// Whether samples take all of 0 to 255.
    pub fn is_full_range(self) -> bool {
        self.resolved().quantization == uapi::V4L2_QUANTIZATION_FULL_RANGE
    }
}

impl Format {
    /// Of whole pictures, with everything else left to the driver.
    pub fn new(size: Size, pixel_format: PixelFormat) -> Self {
        Self { size, pixel_format, planes: Vec::new(), color: Color::default() }
    }

    pub(crate) fn to_single_planar(&self, kind: u32) -> v4l2_format {
        let plane = self.planes.first().copied().unwrap_or_default();
        let mut format = v4l2_format::of(kind);
        format.set_pix(v4l2_pix_format {
            width: self.size.width,
            height: self.size.height,
            pixelformat: self.pixel_format.0,
            field: V4L2_FIELD_NONE,
            bytesperline: plane.stride,
            sizeimage: plane.size,
            colorspace: self.color.space,
            r#priv: V4L2_PIX_FMT_PRIV_MAGIC,
            flags: 0,
            ycbcr_enc: self.color.encoding,
            quantization: self.color.quantization,
            xfer_func: self.color.transfer,
        });
        format
    }

    pub(crate) fn of_single_planar(format: &v4l2_format) -> Self {
        let pix = format.pix();
        let has_color = pix.r#priv == V4L2_PIX_FMT_PRIV_MAGIC;
        let of_color = |value: u32| if has_color { value } else { 0 };
        Self {
            size: Size { width: pix.width, height: pix.height },
            pixel_format: PixelFormat(pix.pixelformat),
            planes: vec![PlaneFormat { stride: pix.bytesperline, size: pix.sizeimage }],
            color: Color {
                space: pix.colorspace,
                encoding: of_color(pix.ycbcr_enc),
                quantization: of_color(pix.quantization),
                transfer: of_color(pix.xfer_func),
            },
        }
    }

    pub(crate) fn to_multi_planar(&self, kind: u32) -> v4l2_format {
        let mut pix = v4l2_pix_format_mplane::new_zeroed();
        pix.width = self.size.width;
        pix.height = self.size.height;
        pix.pixelformat = self.pixel_format.0;
        pix.field = V4L2_FIELD_NONE;
        pix.colorspace = self.color.space;
        // V4L2's numbers for these end below 256.
        pix.ycbcr_enc = self.color.encoding as u8;
        pix.quantization = self.color.quantization as u8;
        pix.xfer_func = self.color.transfer as u8;
        pix.num_planes = self.planes.len().clamp(1, VIDEO_MAX_PLANES) as u8;
        let mut plane_fmt = pix.plane_fmt;
        for (raw, plane) in plane_fmt.iter_mut().zip(&self.planes) {
            *raw = v4l2_plane_pix_format {
                sizeimage: plane.size,
                bytesperline: plane.stride,
                reserved: [0; 6],
            };
        }
        pix.plane_fmt = plane_fmt;
        let mut format = v4l2_format::of(kind);
        format.set_pix_mp(pix);
        format
    }

    pub(crate) fn of_multi_planar(format: &v4l2_format) -> Self {
        let pix = format.pix_mp();
        let plane_fmt = pix.plane_fmt;
        let planes = plane_fmt.iter().take(usize::from(pix.num_planes));
        Self {
            size: Size { width: pix.width, height: pix.height },
            pixel_format: PixelFormat(pix.pixelformat),
            planes: planes
                .map(|plane| PlaneFormat { stride: plane.bytesperline, size: plane.sizeimage })
                .collect(),
            color: Color {
                space: pix.colorspace,
                encoding: pix.ycbcr_enc.into(),
                quantization: pix.quantization.into(),
                transfer: pix.xfer_func.into(),
            },
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.size, self.pixel_format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_as_people_write_them() {
        for (format, text) in [
            (PixelFormat::YUYV, "YUYV"),
            (PixelFormat::new(*b"Y16 "), "Y16"),
            (PixelFormat(PixelFormat::new(*b"Y16 ").0 | 1 << 31), "Y16-BE"),
            (PixelFormat(0), ""),
            (PixelFormat::new(*b"a\nb\x1b"), "a\\nb\\u{1b}"),
        ] {
            assert_eq!(format.to_string(), text);
        }
    }

    /// The kernel's table on colorspaces.
    #[test]
    fn defaults_are_those_of_the_kernel() {
        for (space, transfer, encoding, quantization) in [
            (0, 1, 1, 2),  // unknown
            (1, 1, 1, 2),  // SMPTE 170M
            (2, 4, 8, 2),  // SMPTE 240M
            (3, 1, 2, 2),  // Rec. 709
            (6, 1, 1, 2),  // 470 System BG
            (7, 2, 1, 1),  // JPEG
            (8, 2, 1, 2),  // sRGB
            (9, 3, 1, 2),  // opRGB
            (10, 1, 6, 2), // BT.2020
            (11, 5, 1, 2), // raw
            (12, 6, 2, 2), // DCI-P3
        ] {
            let resolved = Color { space, ..Color::default() }.resolved();
            assert_eq!(resolved, Color { space, encoding, quantization, transfer });
            assert_eq!(resolved.resolved(), resolved);
        }
        let said = Color { space: 7, encoding: 2, quantization: 2, transfer: 1 };
        assert_eq!(said.resolved(), said, "what is said holds");
        assert!(!said.is_full_range() && Color { quantization: 0, ..said }.is_full_range());
    }

    #[test]
    fn a_format_goes_through_either_union_unchanged() {
        let planes = vec![
            PlaneFormat { stride: 640, size: 307_200 },
            PlaneFormat { stride: 320, size: 76_800 },
            PlaneFormat { stride: 320, size: 76_800 },
        ];
        let color = Color { space: 3, encoding: 2, quantization: 1, transfer: 4 };
        let size = Size { width: 640, height: 480 };
        let several = Format { size, pixel_format: PixelFormat::YUV420M, planes, color };
        assert_eq!(Format::of_multi_planar(&several.to_multi_planar(9)), several);
        let single = Format { planes: several.planes[..1].to_vec(), ..several };
        assert_eq!(Format::of_single_planar(&single.to_single_planar(1)), single);
    }
}
