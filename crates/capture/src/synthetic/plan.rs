//! Where everything on the card lies, and the background with all that never changes.
//!
//! Lengths are in units: 32 across and 16 down to the strip, so that the card looks alike at each
//! size. Pictures too small for that show bars, clock and frame number, as large as fits.

use media::I420Layout;

use super::{
    Config,
    canvas::{Canvas, Rect},
    colour::{Matrix, Rgb},
    font,
    readout::Readout,
    strip::Area,
};

/// The places of all parts for one size.
pub(super) struct Plan {
    layout: I420Layout,
    area: Area,
    /// Pixels; even, so that colours begin where chroma samples do.
    unit: usize,
    /// Where unit 0 lies: left and upper.
    origin: (usize, usize),
    /// Whether there is room for all of it.
    full: bool,
}

impl Plan {
    /// For a picture whose strip lies in `area`.
    pub(super) fn new(layout: I420Layout, area: Area) -> Self {
        let width = layout.width() as usize;
        let unit = even((width / ACROSS).min(area.y / DOWN));
        let full = unit >= 10;
        let origin = if full {
            (even((width - ACROSS * unit) / 2), even((area.y - DOWN * unit) / 2))
        } else {
            (0, 0)
        };
        Self { layout, area, unit, origin, full }
    }

    /// Pixels that others measure lines and gaps in.
    pub(super) fn unit(&self) -> usize {
        self.unit
    }

    /// The clock, where its digits can be read.
    pub(super) fn clock(&self) -> Option<Readout> {
        let panel = if self.full { self.units(4.0, 9.5, 24.0, 2.6) } else { self.small_row(1) };
        Readout::new(&panel, self.text_height(&panel, CLOCK, 0.68)?, CLOCK)
    }

    /// The date.
    pub(super) fn date(&self) -> Option<Readout> {
        let row = self.full.then(|| self.units(4.0, 12.3, 8.6, 1.6))?;
        Readout::new(&row, self.text_height(&row, DATE, 0.55)?, DATE)
    }

    /// The frame number.
    pub(super) fn frame(&self) -> Option<Readout> {
        let row = if self.full { self.units(20.0, 12.3, 8.0, 1.6) } else { self.small_row(2) };
        Readout::new(&row, self.text_height(&row, FRAME, 0.55)?, FRAME)
    }

    /// The track of the moving block.
    pub(super) fn track(&self) -> Rect {
        if self.full {
            self.units(2.0, 14.4, 28.0, 0.8)
        } else {
            let width = self.layout.width() as usize;
            Rect { x: 0, y: self.area.y.saturating_sub(4), width, height: 2 }
        }
    }

    /// Everything that never changes, as I420.
    pub(super) fn background(&self, config: &Config) -> Vec<u8> {
        let matrix = Matrix::of(self.layout);
        let mut canvas = Canvas::new(self.layout, SLATE);
        if self.full {
            self.draw_geometry(&mut canvas);
            self.draw_bars(&mut canvas, &self.units(4.0, 3.6, 24.0, 3.4));
            self.draw_greys(&mut canvas);
            self.draw_rings(&mut canvas);
            self.draw_panels(&mut canvas);
            self.draw_header(&mut canvas, config, matrix);
        } else {
            self.draw_bars(&mut canvas, &self.small_row(0));
            canvas.fill(&self.small_row(1), |_| PANEL);
            canvas.fill(&self.small_row(2), |_| PANEL);
        }
        canvas.fill(&self.track(), |_| PANEL);
        canvas.fill(&self.strip_surround(), |_| PANEL);
        if self.full {
            self.draw_edges(&mut canvas);
        }
        canvas.into_i420(matrix)
    }

    fn draw_geometry(&self, canvas: &mut Canvas) {
        let (width, height) = (self.layout.width() as usize, self.layout.height() as usize);
        let (middle_x, middle_y) = self.middle();
        let line = self.line();
        let step = 2 * self.unit;
        for x in (middle_x % step..width).step_by(step) {
            let colour = if x == middle_x { GRID_MIDDLE } else { GRID };
            canvas.fill(&Rect { x: x.saturating_sub(line / 2), y: 0, width: line, height }, |_| {
                colour
            });
        }
        for y in (middle_y % step..height).step_by(step) {
            let colour = if y == middle_y { GRID_MIDDLE } else { GRID };
            canvas.fill(&Rect { x: 0, y: y.saturating_sub(line / 2), width, height: line }, |_| {
                colour
            });
        }
    }

    fn draw_bars(&self, canvas: &mut Canvas, area: &Rect) {
        let width = area.width;
        canvas.fill(area, |x| BARS[(x * BARS.len() / width).min(BARS.len() - 1)]);
    }

    fn draw_greys(&self, canvas: &mut Canvas) {
        let ramp = self.units(4.0, 7.0, 24.0, 1.0);
        let width = ramp.width;
        canvas.fill(&ramp, |x| Rgb::grey((x * 255 / (width - 1)) as u8));
        let stairs = self.units(4.0, 8.0, 24.0, 1.0);
        canvas.fill(&stairs, |x| Rgb::grey((x * STAIRS / width * 255 / (STAIRS - 1)) as u8));
    }

    fn draw_rings(&self, canvas: &mut Canvas) {
        let unit = self.unit as f32;
        let (x, y) = self.middle();
        let (x, y) = (x as f32, y as f32);
        let line = (unit / 16.0).max(1.2);
        canvas.ring((x, y), 7.7 * unit, line, INK);
        for (side, end) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
            let centre = (x + side * 14.0 * unit, y + end * 6.0 * unit);
            // The lower two would lie under the track.
            if end < 0.0 {
                canvas.ring(centre, 1.5 * unit, line, INK);
                canvas.ring(centre, 0.75 * unit, line, GRID_MIDDLE);
            }
        }
    }

    fn draw_panels(&self, canvas: &mut Canvas) {
        canvas.fill(&self.units(4.0, 9.5, 24.0, 2.6), |_| PANEL);
        canvas.fill(&self.units(4.0, 12.3, 24.0, 1.6), |_| PANEL);
        let label = self.units(12.4, 12.3, 2.0, 1.6);
        let height = self.unit / 2;
        if height >= font::LEAST_HEIGHT {
            canvas.centred_text(&label, height, "UTC", FAINT);
            canvas.centred_text(&self.units(17.2, 12.3, 3.0, 1.6), height, "FRAME", FAINT);
        }
    }

    fn draw_header(&self, canvas: &mut Canvas, config: &Config, matrix: Matrix) {
        let panel = self.units(6.0, 0.8, 20.0, 2.4);
        canvas.fill(&panel, |_| PANEL);
        canvas.fill(&Rect { width: self.unit / 4, ..panel }, |_| ACCENT);
        let upper = self.units(6.5, 0.95, 19.0, 1.4);
        let whole = longest_title(&config.title);
        for end in (1..=whole.len()).rev().filter(|&end| whole.is_char_boundary(end)) {
            let title = &whole[..end];
            // A title that would be too small is cut, not squeezed.
            if let Some(height) = self.text_height(&upper, title, 0.72)
                && height * 2 >= self.unit
            {
                canvas.centred_text(&upper, height, title, INK);
                break;
            }
        }
        let lower = self.units(6.5, 2.25, 19.0, 0.8);
        let (width, height) = (self.layout.width(), self.layout.height());
        let rate = config.rate;
        let details = format!("{width}×{height} · {rate} FPS · {} LIMITED RANGE", matrix.name());
        if let Some(height) = self.text_height(&lower, &details, 0.62) {
            canvas.centred_text(&lower, height, &details, FAINT);
        }
    }

    /// A frame of light and dark dashes at the very edge: whatever crops the picture shows.
    fn draw_edges(&self, canvas: &mut Canvas) {
        let (width, height) = (self.layout.width() as usize, self.layout.height() as usize);
        let thick = even((self.unit / 8).max(2));
        let dash = |at: usize| if (at / self.unit).is_multiple_of(2) { INK } else { PANEL };
        for y in [0, height - thick] {
            canvas.fill(&Rect { x: 0, y, width, height: thick }, dash);
        }
        for x in [0, width - thick] {
            for y in 0..height {
                canvas.fill(&Rect { x, y, width: thick, height: 1 }, |_| dash(y));
            }
        }
    }

    /// The strip and a dark border around it.
    fn strip_surround(&self) -> Rect {
        let border = 4;
        let Area { x, y, cell, columns, rows } = self.area;
        let left = x.saturating_sub(border);
        Rect {
            x: left,
            y: y - border,
            width: x - left + columns * cell + border,
            height: rows * cell + 2 * border,
        }
    }

    /// A rectangle given in units.
    fn units(&self, x: f32, y: f32, width: f32, height: f32) -> Rect {
        let pixels = |units: f32| (units * self.unit as f32 / 2.0).round() as usize * 2;
        Rect {
            x: self.origin.0 + pixels(x),
            y: self.origin.1 + pixels(y),
            width: pixels(width),
            height: pixels(height),
        }
    }

    /// One of the three rows (bars, clock, frame number) of a picture that is too small for all.
    /// Where there is no room for three, it is the clock that stays.
    fn small_row(&self, index: usize) -> Rect {
        let (width, room) = (self.layout.width() as usize, self.area.y.saturating_sub(4));
        let height = match even(room / 3) {
            height if height >= font::LEAST_HEIGHT + 4 => height,
            _ if index == 1 => return Rect { x: 0, y: 0, width, height: room },
            _ => return Rect { x: 0, y: 0, width: 0, height: 0 },
        };
        Rect { x: 0, y: index * height, width, height }
    }

    /// The height of capitals that fill `share` of the height of `area`, less when `text` would be
    /// too wide; `None` when it could not be read.
    fn text_height(&self, area: &Rect, text: &str, share: f32) -> Option<usize> {
        let mut height = (area.height as f32 * share) as usize;
        while height >= font::LEAST_HEIGHT && font::width(text, height) > area.width * 15 / 16 {
            height -= 1;
        }
        (height >= font::LEAST_HEIGHT).then_some(height)
    }

    /// The middle of the circle and of the grid.
    fn middle(&self) -> (usize, usize) {
        (self.origin.0 + ACROSS / 2 * self.unit, self.origin.1 + DOWN / 2 * self.unit)
    }

    /// Pixels that a line of the grid is wide.
    fn line(&self) -> usize {
        (self.unit / 40).max(1) * 2
    }
}

/// As much of a title as could ever fit.
fn longest_title(title: &str) -> &str {
    title.char_indices().nth(LONGEST_TITLE).map_or(title, |(end, _)| &title[..end])
}

/// Rounded down: colours begin where chroma samples do.
fn even(pixels: usize) -> usize {
    pixels & !1
}

/// Letters of a title that are considered; the header has room for about fifty.
const LONGEST_TITLE: usize = 64;
/// How the readouts look at their widest.
const CLOCK: &str = "00:00:00.000";
const DATE: &str = "0000-00-00";
const FRAME: &str = "00000000";
const ACROSS: usize = 32;
const DOWN: usize = 16;
/// Steps of the staircase, black and white included.
const STAIRS: usize = 12;
const SLATE: Rgb = Rgb(38, 46, 56);
const GRID: Rgb = Rgb(62, 72, 84);
const GRID_MIDDLE: Rgb = Rgb(150, 160, 170);
const INK: Rgb = Rgb::grey(255);
const FAINT: Rgb = Rgb::grey(168);
const ACCENT: Rgb = Rgb(255, 176, 32);
/// Neutral, so that what is drawn on it anew changes luma alone.
const PANEL: Rgb = Rgb::grey(super::readout::PANEL_GREY);
/// Bars of 75 % (ITU-R BT.471).
const BARS: [Rgb; 8] = [
    Rgb(191, 191, 191),
    Rgb(191, 191, 0),
    Rgb(0, 191, 191),
    Rgb(0, 191, 0),
    Rgb(191, 0, 191),
    Rgb(191, 0, 0),
    Rgb(0, 0, 191),
    Rgb(0, 0, 0),
];
