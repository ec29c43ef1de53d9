//! What the samples of a picture mean: range, and the code points of ITU-T H.273, as H.264 writes
//! them into an SPS (E.2.1, `video_signal_type`).
//!
//! A player that is not told guesses by the size of the picture, and each in its own way.

use crate::frame::I420Layout;

/// What the samples of a stream's pictures mean.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Colours {
    /// `colour_primaries`, H.273 table 2: which red, green and blue.
    pub primaries: u8,
    /// `transfer_characteristics`, table 3: how light becomes a number.
    pub transfer: u8,
    /// `matrix_coefficients`, table 4: how these become luma and chroma. The one that is seen at once
    /// when it is wrong.
    pub matrix: u8,
    /// Whether samples take all of 0 to 255, as in JPEG, or luma 16 to 235 and chroma 16 to 240.
    pub full_range: bool,
}

impl Colours {
    /// ITU-R BT.709, limited range: high definition.
    pub const BT709: Self = Self { primaries: 1, transfer: 1, matrix: 1, full_range: false };
    /// ITU-R BT.601 with 525 lines, which is SMPTE 170M, limited range: standard definition.
    pub const BT601: Self = Self { primaries: 6, transfer: 6, matrix: 6, full_range: false };
    /// The code point for "unspecified", of all three tables.
    pub const UNSPECIFIED: u8 = 2;

    /// What most players assume where nothing is said: BT.709 from 1280 pixels across or more than
    /// 576 lines, BT.601 below. For pictures of which no more is known.
    pub const fn assumed(layout: I420Layout) -> Self {
        if layout.width() >= 1280 || layout.height() > 576 { Self::BT709 } else { Self::BT601 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_definition_begins_at_1280_across_or_577_down() {
        for (width, height, colours) in [
            (640, 480, Colours::BT601),
            (1024, 576, Colours::BT601),
            (1279, 576, Colours::BT601),
            (1280, 16, Colours::BT709),
            (16, 577, Colours::BT709),
            (1920, 1080, Colours::BT709),
        ] {
            let layout = I420Layout::new(width, height).unwrap();
            assert_eq!(Colours::assumed(layout), colours, "{width}x{height}");
        }
    }
}
