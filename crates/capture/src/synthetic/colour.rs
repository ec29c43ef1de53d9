//! From R'G'B' to the Y'CbCr of video, limited range (ITU-R BT.601 and BT.709).

use media::{Colours, I420Layout};

/// A colour as people write it: gamma-encoded red, green and blue, 0 to 255.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

impl Rgb {
    /// Equal parts of all three.
    pub(super) const fn grey(level: u8) -> Self {
        Self(level, level, level)
    }

    /// This colour under `coverage` (0 to 1) of `over`.
    pub(super) fn under(self, over: Self, coverage: f32) -> Self {
        let mix = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * coverage).round();
        Self(mix(self.0, over.0) as u8, mix(self.1, over.1) as u8, mix(self.2, over.2) as u8)
    }
}

/// The weights of red, green and blue in luma.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Matrix {
    /// ITU-R BT.601: standard definition.
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

impl Matrix {
    /// That of [`Colours::assumed`], which the card is announced with: a raw picture that is saved
    /// carries no tag, and its colours come out right nevertheless.
    pub(super) fn of(layout: I420Layout) -> Self {
        if Colours::assumed(layout) == Colours::BT709 { Self::Bt709 } else { Self::Bt601 }
    }

    /// The name of the recommendation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bt601 => "BT.601",
            Self::Bt709 => "BT.709",
        }
    }

    /// Y', Cb and Cr in limited range: 16 to 235, and 16 to 240 around 128.
    pub(super) fn ycbcr(self, Rgb(red, green, blue): Rgb) -> [f32; 3] {
        let (kr, kb) = match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
        };
        let [red, green, blue] = [red, green, blue].map(|part| f32::from(part) / 255.0);
        let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
        let difference = |part: f32, weight: f32| 128.0 + 112.0 * (part - luma) / (1.0 - weight);
        [16.0 + 219.0 * luma, difference(blue, kb), difference(red, kr)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 75 % bars of ITU-R BT.471 in both matrices, as video engineers know them.
    #[test]
    fn known_colours() {
        let rounded = |matrix: Matrix, rgb| matrix.ycbcr(rgb).map(|part| part.round() as u8);
        assert_eq!(rounded(Matrix::Bt709, Rgb::grey(255)), [235, 128, 128]);
        assert_eq!(rounded(Matrix::Bt601, Rgb::grey(0)), [16, 128, 128]);
        assert_eq!(rounded(Matrix::Bt709, Rgb(191, 191, 0)), [168, 44, 136]);
        assert_eq!(rounded(Matrix::Bt601, Rgb(191, 191, 0)), [161, 44, 142]);
        assert_eq!(rounded(Matrix::Bt709, Rgb(0, 0, 191)), [28, 212, 120]);
        assert_eq!(rounded(Matrix::Bt601, Rgb(191, 0, 0)), [65, 100, 212]);
    }
}
