//! Digits that change from frame to frame: rendered once, then copied row by row.

use super::{
    canvas::Rect,
    font::{self, Glyph},
};

/// A line of digits at a fixed place.
pub(super) struct Readout {
    /// Left edge of the first letter.
    x: usize,
    /// Upper edge.
    y: usize,
    /// Luma of each letter of [`LETTERS`].
    cells: Vec<Cell>,
}

impl Readout {
    /// In the middle of `area`, which lies in the picture, with capitals of `height` pixels, for
    /// texts as wide as `sample`. `None` when it is too large for the area.
    pub(super) fn new(area: &Rect, height: usize, sample: &str) -> Option<Self> {
        let width: usize = sample.chars().map(|letter| font::advance(letter, height)).sum();
        let x = area.x + area.width.checked_sub(width)? / 2;
        let y = area.y + area.height.checked_sub(height)? / 2;
        let cells = LETTERS.iter().map(|&letter| Cell::new(char::from(letter), height)).collect();
        Some(Self { x, y, cells })
    }

    /// Draws `text`; letters that are not in [`LETTERS`] are left out. The text is not wider than
    /// the sample.
    pub(super) fn draw(&self, luma: &mut [u8], stride: usize, text: &[u8]) {
        let mut x = self.x;
        for letter in text {
            let Some(index) = LETTERS.iter().position(|known| known == letter) else { continue };
            let cell = &self.cells[index];
            for (row, line) in cell.luma.chunks_exact(cell.width).enumerate() {
                luma[(self.y + row) * stride + x..][..cell.width].copy_from_slice(line);
            }
            x += cell.width;
        }
    }
}

/// A letter with the gap that follows it.
struct Cell {
    width: usize,
    luma: Vec<u8>,
}

impl Cell {
    fn new(letter: char, height: usize) -> Self {
        let width = font::advance(letter, height);
        let glyph = Glyph::new(letter, height);
        let mut luma = vec![PANEL_LUMA; width * height];
        let lines = luma.chunks_exact_mut(width).zip(glyph.coverage.chunks_exact(glyph.width));
        for (line, coverage) in lines {
            for (pixel, &coverage) in line.iter_mut().zip(coverage) {
                *pixel = ink_over_panel(u16::from(coverage));
            }
        }
        Self { width, luma }
    }
}

/// Luma of white ink that covers a dark panel by `coverage`, 0 to 255.
pub(super) fn ink_over_panel(coverage: u16) -> u8 {
    (u16::from(PANEL_LUMA) + (INK_LUMA - u16::from(PANEL_LUMA)) * coverage / 255) as u8
}

/// The grey of the panels that readouts lie on.
pub(super) const PANEL_GREY: u8 = 13;

/// The same in limited range.
const PANEL_LUMA: u8 = 27;
const INK_LUMA: u16 = 235;
const LETTERS: &[u8] = b"0123456789:.-";
