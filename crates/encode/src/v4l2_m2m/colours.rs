//! Colours as V4L2 numbers them, for drivers that want to know what they are given.

use media::Colours;
use v4l2::{format::Color, uapi};

/// The nearest that V4L2 has a number for.
pub(super) fn color(colours: Colours) -> Color {
    let Colours { primaries, transfer, matrix, full_range } = colours;
    Color {
        space: match (primaries, transfer) {
            (1, 13) => uapi::V4L2_COLORSPACE_SRGB,
            (4, _) => uapi::V4L2_COLORSPACE_470_SYSTEM_M,
            (5, _) => uapi::V4L2_COLORSPACE_470_SYSTEM_BG,
            (6, _) => uapi::V4L2_COLORSPACE_SMPTE170M,
            (7, _) => uapi::V4L2_COLORSPACE_SMPTE240M,
            (9, _) => uapi::V4L2_COLORSPACE_BT2020,
            (11, _) => uapi::V4L2_COLORSPACE_DCI_P3,
            (_, 4) => uapi::V4L2_COLORSPACE_OPRGB,
            _ => uapi::V4L2_COLORSPACE_REC709,
        },
        encoding: match matrix {
            1 => uapi::V4L2_YCBCR_ENC_709,
            5 | 6 => uapi::V4L2_YCBCR_ENC_601,
            7 => uapi::V4L2_YCBCR_ENC_SMPTE240M,
            9 => uapi::V4L2_YCBCR_ENC_BT2020,
            10 => uapi::V4L2_YCBCR_ENC_BT2020_CONST_LUM,
            _ => 0,
        },
        quantization: match full_range {
            true => uapi::V4L2_QUANTIZATION_FULL_RANGE,
            false => uapi::V4L2_QUANTIZATION_LIM_RANGE,
        },
        transfer: match transfer {
            1 | 6 | 14 => uapi::V4L2_XFER_FUNC_709,
            4 => uapi::V4L2_XFER_FUNC_OPRGB,
            7 => uapi::V4L2_XFER_FUNC_SMPTE240M,
            8 => uapi::V4L2_XFER_FUNC_NONE,
            13 => uapi::V4L2_XFER_FUNC_SRGB,
            16 => uapi::V4L2_XFER_FUNC_SMPTE2084,
            17 => uapi::V4L2_XFER_FUNC_DCI_P3,
            _ => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ones_have_numbers() {
        let webcam = Colours { primaries: 1, transfer: 13, matrix: 6, full_range: false };
        let full = Colours { full_range: true, ..Colours::BT601 };
        for (colours, [space, encoding, quantization, transfer]) in [
            (Colours::BT709, [3, 2, 2, 1]),
            (Colours::BT601, [1, 1, 2, 1]),
            (full, [1, 1, 1, 1]),
            (webcam, [8, 1, 2, 2]),
        ] {
            assert_eq!(color(colours), Color { space, encoding, quantization, transfer });
        }
    }
}
