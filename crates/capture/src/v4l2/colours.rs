//! What a camera's driver says of colours, as players are told.
//!
//! The driver says it in numbers of V4L2 with defaults that depend on each other; players hear code
//! points of ITU-T H.273. Most webcams say sRGB, whose luma and chroma are those of BT.601 whatever
//! the size of the picture, while players that are not told expect BT.709 of a large one.

use ::v4l2::{Format, format::Color, uapi};
use media::{Colours, I420Layout};

use super::choice::PictureFormat;

/// Of the pictures that are made of a camera's buffers, which are of limited range whatever the
/// buffers are.
pub(super) fn of(format: &Format, layout: I420Layout) -> Colours {
    let assumed = Colours::assumed(layout);
    let Color { space, encoding, transfer, .. } = format.color;
    let is_jpeg = PictureFormat::of(format.pixel_format) == Some(PictureFormat::Mjpeg);
    // Nothing is known of these, so nothing follows from them.
    let space = match space {
        uapi::V4L2_COLORSPACE_RAW => is_jpeg.then_some(uapi::V4L2_COLORSPACE_JPEG),
        1..=uapi::V4L2_COLORSPACE_DCI_P3 => Some(space),
        // T.871 has JPEG in sRGB.
        _ => is_jpeg.then_some(uapi::V4L2_COLORSPACE_JPEG),
    };
    let resolved = Color { space: space.unwrap_or(0), ..format.color }.resolved();
    let encoding = if space.is_some() { resolved.encoding } else { encoding };
    let transfer = if space.is_some() { resolved.transfer } else { transfer };
    Colours {
        primaries: match space {
            None => assumed.primaries,
            Some(uapi::V4L2_COLORSPACE_470_SYSTEM_M) => 4,
            Some(uapi::V4L2_COLORSPACE_470_SYSTEM_BG) => 5,
            Some(uapi::V4L2_COLORSPACE_SMPTE170M) => 6,
            Some(uapi::V4L2_COLORSPACE_SMPTE240M) => 7,
            Some(uapi::V4L2_COLORSPACE_BT2020) => 9,
            Some(uapi::V4L2_COLORSPACE_DCI_P3) => 11,
            // H.273 has none.
            Some(uapi::V4L2_COLORSPACE_OPRGB) => Colours::UNSPECIFIED,
            Some(_) => 1,
        },
        transfer: match transfer {
            uapi::V4L2_XFER_FUNC_SRGB => 13,
            // A gamma of 2.2.
            uapi::V4L2_XFER_FUNC_OPRGB => 4,
            uapi::V4L2_XFER_FUNC_SMPTE240M => 7,
            uapi::V4L2_XFER_FUNC_NONE => 8,
            uapi::V4L2_XFER_FUNC_DCI_P3 => 17,
            uapi::V4L2_XFER_FUNC_SMPTE2084 => 16,
            // The same function under three numbers, each with its own primaries.
            uapi::V4L2_XFER_FUNC_709 => match space {
                Some(uapi::V4L2_COLORSPACE_SMPTE170M | uapi::V4L2_COLORSPACE_470_SYSTEM_BG) => 6,
                Some(uapi::V4L2_COLORSPACE_BT2020) => 14,
                _ => 1,
            },
            _ => assumed.transfer,
        },
        matrix: match encoding {
            // T.871 knows no other.
            _ if is_jpeg => 6,
            uapi::V4L2_YCBCR_ENC_601 if space == Some(uapi::V4L2_COLORSPACE_470_SYSTEM_BG) => 5,
            uapi::V4L2_YCBCR_ENC_601 | uapi::V4L2_YCBCR_ENC_XV601 => 6,
            uapi::V4L2_YCBCR_ENC_709 | uapi::V4L2_YCBCR_ENC_XV709 => 1,
            uapi::V4L2_YCBCR_ENC_BT2020 => 9,
            uapi::V4L2_YCBCR_ENC_BT2020_CONST_LUM => 10,
            uapi::V4L2_YCBCR_ENC_SMPTE240M => 7,
            _ => assumed.matrix,
        },
        full_range: false,
    }
}

#[cfg(test)]
mod tests {
    use ::v4l2::{PixelFormat, Size};

    use super::*;

    fn points(pixel_format: PixelFormat, height: u32, color: [u32; 4]) -> [u8; 3] {
        let [space, encoding, quantization, transfer] = color;
        let color = Color { space, encoding, quantization, transfer };
        let size = Size { width: 640, height };
        let layout = I420Layout::new(size.width, size.height).unwrap();
        let colours = of(&Format { color, ..Format::new(size, pixel_format) }, layout);
        assert!(!colours.full_range);
        [colours.primaries, colours.transfer, colours.matrix]
    }

    #[test]
    fn what_a_driver_says_holds_for_every_size() {
        for (color, expected) in [
            ([8, 0, 0, 0], [1, 13, 6]), // as uvcvideo
            ([8, 2, 1, 1], [1, 1, 1]),
            ([1, 0, 0, 0], [6, 6, 6]),
            ([3, 0, 0, 0], [1, 1, 1]),
            ([3, 1, 0, 0], [1, 1, 6]),
            ([2, 0, 0, 0], [7, 7, 7]),
            ([5, 0, 0, 0], [4, 1, 6]),
            ([6, 0, 0, 0], [5, 6, 5]),
            ([7, 0, 0, 0], [1, 13, 6]),
            ([9, 0, 0, 0], [2, 4, 6]),
            ([10, 0, 0, 0], [9, 14, 9]),
            ([10, 7, 0, 7], [9, 16, 10]),
            ([12, 0, 0, 0], [11, 17, 1]),
        ] {
            for height in [480, 720] {
                assert_eq!(points(PixelFormat::YUYV, height, color), expected, "{color:?}");
            }
        }
    }

    #[test]
    fn where_it_says_nothing_the_size_decides() {
        for nothing in [[0, 0, 0, 0], [11, 0, 0, 0], [99, 0, 0, 0], [u32::MAX; 4]] {
            assert_eq!(points(PixelFormat::NV12, 480, nothing), [6, 6, 6]);
            assert_eq!(points(PixelFormat::NV12, 720, nothing), [1, 1, 1]);
        }
        assert_eq!(points(PixelFormat::NV12, 720, [0, 1, 0, 0]), [1, 1, 6], "but what it does say");
    }

    #[test]
    fn jpeg_has_one_matrix() {
        for color in [[0, 0, 0, 0], [7, 0, 0, 0], [8, 0, 0, 0], [8, 2, 0, 0]] {
            assert_eq!(points(PixelFormat::MJPEG, 720, color), [1, 13, 6], "{color:?}");
        }
        assert_eq!(points(PixelFormat::MJPEG, 720, [3, 2, 0, 0]), [1, 1, 6]);
    }
}
