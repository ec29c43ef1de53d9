//! A picture in R'G'B' to draw the background on, once; then turned into I420.
//!
//! Lengths are pixels; shapes may lie anywhere, what is outside of the picture is left out.

use std::ops::Range;

use media::I420Layout;

use super::{
    colour::{Matrix, Rgb},
    font::{self, Glyph},
};

/// Red, green and blue of every pixel.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A picture of one colour.
    pub(super) fn new(layout: I420Layout, colour: Rgb) -> Self {
        let (width, height) = (layout.width() as usize, layout.height() as usize);
        Self { width, height, pixels: vec![colour; width * height] }
    }

    /// Fills a rectangle; the colour may change from column to column.
    pub(super) fn fill(&mut self, area: &Rect, mut colour: impl FnMut(usize) -> Rgb) {
        let columns = area.x..(area.x + area.width).min(self.width);
        let colours: Vec<Rgb> = columns.clone().map(|x| colour(x - area.x)).collect();
        for y in area.y..(area.y + area.height).min(self.height) {
            let row = &mut self.pixels[y * self.width..][..self.width];
            row.iter_mut().skip(area.x).zip(&colours).for_each(|(pixel, colour)| *pixel = *colour);
        }
    }

    /// Draws a circle line of the given radius around a point, its line `thickness` wide.
    pub(super) fn ring(&mut self, centre: (f32, f32), radius: f32, thickness: f32, colour: Rgb) {
        let reach = radius + thickness;
        let span = |middle: f32, end: usize| -> Range<usize> {
            (middle - reach).max(0.0) as usize..((middle + reach).ceil().max(0.0) as usize).min(end)
        };
        let (inner, outer) = ((radius - thickness - 1.0).max(0.0), radius + thickness + 1.0);
        let near = inner * inner..outer * outer;
        for y in span(centre.1, self.height) {
            for x in span(centre.0, self.width) {
                let (across, down) = (x as f32 + 0.5 - centre.0, y as f32 + 0.5 - centre.1);
                // Most pixels are far from the line, and a root takes its time.
                if !near.contains(&(across * across + down * down)) {
                    continue;
                }
                let distance = across.hypot(down);
                let coverage = thickness / 2.0 - (distance - radius).abs() + 0.5;
                if coverage > 0.0 {
                    let pixel = &mut self.pixels[y * self.width + x];
                    *pixel = pixel.under(colour, coverage.min(1.0));
                }
            }
        }
    }

    /// Writes text with capitals of `height` pixels, its upper left corner at `(x, y)`.
    pub(super) fn text(&mut self, x: usize, y: usize, height: usize, text: &str, colour: Rgb) {
        let mut left = x;
        for letter in text.chars() {
            let glyph = Glyph::new(letter, height);
            for (row, line) in glyph.coverage.chunks_exact(glyph.width).enumerate() {
                for (column, &coverage) in line.iter().enumerate() {
                    if left + column < self.width && y + row < self.height {
                        let pixel = &mut self.pixels[(y + row) * self.width + left + column];
                        *pixel = pixel.under(colour, f32::from(coverage) / 255.0);
                    }
                }
            }
            left += font::advance(letter, height);
        }
    }

    /// Writes text in the middle of `area`.
    pub(super) fn centred_text(&mut self, area: &Rect, height: usize, text: &str, colour: Rgb) {
        let x = area.x + area.width.saturating_sub(font::width(text, height)) / 2;
        let y = area.y + area.height.saturating_sub(height) / 2;
        self.text(x, y, height, text, colour);
    }

    /// The picture as I420: planes Y, U, V, one after the other. Chroma is the average of the
    /// two by two pixels it stands for.
    pub(super) fn into_i420(self, matrix: Matrix) -> Vec<u8> {
        let chroma_width = self.width.div_ceil(2);
        let chroma_size = chroma_width * self.height.div_ceil(2);
        let mut luma = Vec::with_capacity(self.pixels.len() + 2 * chroma_size);
        let mut sums = vec![[0.0f32; 3]; chroma_size];
        let sampled = |pixel| {
            let [level, blue, red] = matrix.ycbcr(pixel);
            (pixel, rounded(level), blue, red)
        };
        let mut last = sampled(Rgb::grey(0));
        for (y, line) in self.pixels.chunks_exact(self.width).enumerate() {
            for (x, &pixel) in line.iter().enumerate() {
                if pixel != last.0 {
                    last = sampled(pixel);
                }
                let (_, level, blue, red) = last;
                luma.push(level);
                let sum = &mut sums[y / 2 * chroma_width + x / 2];
                *sum = [sum[0] + blue, sum[1] + red, sum[2] + 1.0];
            }
        }
        luma.extend(sums.iter().map(|[blue, _, count]| rounded(blue / count)));
        luma.extend(sums.iter().map(|[_, red, count]| rounded(red / count)));
        luma
    }
}

/// To nearest; of no negative number. Without the function of that name, which is a call.
fn rounded(sample: f32) -> u8 {
    (sample + 0.5) as u8
}

/// A rectangle of pixels.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    /// Left edge.
    pub(super) x: usize,
    /// Upper edge.
    pub(super) y: usize,
    /// Pixels across.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
}
