//! Colours: "Colorspaces" in the kernel's Linux Media Infrastructure userspace API. 0 is "by
//! default" in all four.

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: u32 = $value;)*
    };
}

numbers! {
    /// BT.601 and the like, 525 lines.
    V4L2_COLORSPACE_SMPTE170M = 1;
    /// The first of high definition.
    V4L2_COLORSPACE_SMPTE240M = 2;
    /// BT.709: high definition.
    V4L2_COLORSPACE_REC709 = 3;
    /// NTSC of 1953.
    V4L2_COLORSPACE_470_SYSTEM_M = 5;
    /// PAL and SECAM, 625 lines.
    V4L2_COLORSPACE_470_SYSTEM_BG = 6;
    /// sRGB in full range.
    V4L2_COLORSPACE_JPEG = 7;
    /// sRGB: most webcams.
    V4L2_COLORSPACE_SRGB = 8;
    /// Once AdobeRGB.
    V4L2_COLORSPACE_OPRGB = 9;
    /// BT.2020: ultra high definition.
    V4L2_COLORSPACE_BT2020 = 10;
    /// As the sensor has it.
    V4L2_COLORSPACE_RAW = 11;
    /// Cinema.
    V4L2_COLORSPACE_DCI_P3 = 12;

    /// BT.709.
    V4L2_XFER_FUNC_709 = 1;
    /// sRGB.
    V4L2_XFER_FUNC_SRGB = 2;
    /// opRGB.
    V4L2_XFER_FUNC_OPRGB = 3;
    /// SMPTE 240M.
    V4L2_XFER_FUNC_SMPTE240M = 4;
    /// Linear.
    V4L2_XFER_FUNC_NONE = 5;
    /// DCI-P3.
    V4L2_XFER_FUNC_DCI_P3 = 6;
    /// Perceptual quantizer.
    V4L2_XFER_FUNC_SMPTE2084 = 7;

    /// BT.601.
    V4L2_YCBCR_ENC_601 = 1;
    /// BT.709.
    V4L2_YCBCR_ENC_709 = 2;
    /// BT.601 with more colours.
    V4L2_YCBCR_ENC_XV601 = 3;
    /// BT.709 with more colours.
    V4L2_YCBCR_ENC_XV709 = 4;
    /// BT.2020.
    V4L2_YCBCR_ENC_BT2020 = 6;
    /// BT.2020 with constant luminance.
    V4L2_YCBCR_ENC_BT2020_CONST_LUM = 7;
    /// SMPTE 240M.
    V4L2_YCBCR_ENC_SMPTE240M = 8;

    /// 0 to 255.
    V4L2_QUANTIZATION_FULL_RANGE = 1;
    /// 16 to 235, of chroma to 240.
    V4L2_QUANTIZATION_LIM_RANGE = 2;
}
