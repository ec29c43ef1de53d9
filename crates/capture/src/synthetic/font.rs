//! The letters of the card: strokes on a grid, rasterized once for each size.
//!
//! A glyph is a list of polylines over a grid of 4 × 6, drawn with a round pen. Drawn so, one
//! table serves every resolution, with smooth edges at each.
//!
//! ```text
//!   x 0 1 2 3 4
//!  y0   ●━━━●        "8": 10 30 41 42 33 13 02 01 10
//!   1 ●       ●           13 04 05 16 36 45 44 33
//!   2 ●       ●
//!   3   ●━━━●
//!   4 ●       ●
//!   5 ●       ●
//!   6   ●━━━●
//! ```

/// A glyph at one size: how much of each pixel its pen covers, 0 to 255.
pub(super) struct Glyph {
    /// Pixels in a row.
    pub(super) width: usize,
    /// Row after row, as many as the height asked for.
    pub(super) coverage: Vec<u8>,
}

impl Glyph {
    /// Draws `letter` with capitals of `height` pixels.
    pub(super) fn new(letter: char, height: usize) -> Self {
        let pen = Pen::of(height);
        let shape = Shape::of(letter);
        let width = (pen.step * f32::from(shape.columns) + pen.thickness).ceil() as usize;
        let lines: Vec<[Point; 2]> = shape.lines(&pen).collect();
        let coverage = (0..width * height)
            .map(|index| {
                let at = Point(index as f32 % width as f32 + 0.5, (index / width) as f32 + 0.5);
                let distance = lines
                    .iter()
                    .fold(f32::MAX, |least, &[from, to]| least.min(at.distance_to_line(from, to)));
                ((pen.thickness / 2.0 - distance + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
            })
            .collect();
        Self { width, coverage }
    }
}

/// Pixels from the left edge of one letter to that of the next.
pub(super) fn advance(letter: char, height: usize) -> usize {
    let pen = Pen::of(height);
    (pen.step * f32::from(Shape::of(letter).columns) + pen.thickness + pen.gap).round() as usize
}

/// Pixels that `text` takes across.
pub(super) fn width(text: &str, height: usize) -> usize {
    let all: usize = text.chars().map(|letter| advance(letter, height)).sum();
    all.saturating_sub(Pen::of(height).gap as usize)
}

/// The pen for one size.
struct Pen {
    thickness: f32,
    /// Pixels from one line of the grid to the next.
    step: f32,
    /// Pixels between two letters.
    gap: f32,
}

impl Pen {
    fn of(height: usize) -> Self {
        let height = height as f32;
        let thickness = (height * 0.15).max(1.0);
        Self { thickness, step: (height - thickness) / 6.0, gap: (height * 0.2).max(1.0) }
    }
}

struct Shape {
    /// Columns of the grid that the glyph takes: its right edge.
    columns: u8,
    strokes: &'static str,
}

impl Shape {
    fn of(letter: char) -> Self {
        let capital = letter.to_ascii_uppercase();
        let (_, columns, strokes) =
            GLYPHS.iter().find(|glyph| glyph.0 == capital).unwrap_or(&UNKNOWN);
        Self { columns: *columns, strokes }
    }

    /// The lines to draw, in pixels; a stroke of one point is a dot.
    fn lines(&self, pen: &Pen) -> impl Iterator<Item = [Point; 2]> {
        let place = |digit: u8| f32::from(digit - b'0') * pen.step + pen.thickness / 2.0;
        self.strokes.split(' ').flat_map(move |stroke| {
            let points = stroke.as_bytes().chunks_exact(2);
            let points = points.map(move |pair| Point(place(pair[0]), place(pair[1])));
            let from = points.clone();
            let skipped = usize::from(stroke.len() > 2);
            from.zip(points.skip(skipped)).map(|(from, to)| [from, to])
        })
    }
}

#[derive(Copy, Clone)]
struct Point(f32, f32);

impl Point {
    fn distance_to_line(self, from: Self, to: Self) -> f32 {
        let (along_x, along_y) = (to.0 - from.0, to.1 - from.1);
        let (x, y) = (self.0 - from.0, self.1 - from.1);
        let length = (along_x * along_x + along_y * along_y).max(f32::EPSILON);
        let at = ((x * along_x + y * along_y) / length).clamp(0.0, 1.0);
        (x - at * along_x).hypot(y - at * along_y)
    }
}

/// Rows that a capital or a digit needs to be read.
pub(super) const LEAST_HEIGHT: usize = 8;

/// An empty box stands for what has no glyph.
const UNKNOWN: (char, u8, &str) = ('\0', 4, "0040460600");

/// Letter, columns, strokes: each a chain of points, written as column and row.
const GLYPHS: [(char, u8, &str); 50] = [
    (' ', 2, ""),
    ('0', 4, "103041453616050110"),
    ('1', 4, "112026 1636"),
    ('2', 4, "01103041420646"),
    ('3', 4, "0110304142334445361605 2333"),
    ('4', 4, "36300444"),
    ('5', 4, "400002324345361605"),
    ('6', 4, "4130100105163645443303"),
    ('7', 4, "004016"),
    ('8', 4, "103041423313020110 1304051636454433"),
    ('9', 4, "0516364541301001021343"),
    ('A', 4, "0602204246 0444"),
    ('B', 4, "00063645443303 3342413000"),
    ('C', 4, "4130100105163645"),
    ('D', 4, "00062644422000"),
    ('E', 4, "40000646 0333"),
    ('F', 4, "400006 0333"),
    ('G', 4, "41301001051636454323"),
    ('H', 4, "0006 4046 0343"),
    ('I', 0, "0006"),
    ('J', 3, "3035261605"),
    ('K', 4, "0006 4004 1346"),
    ('L', 4, "000646"),
    ('M', 4, "0600234046"),
    ('N', 4, "06004640"),
    ('O', 4, "103041453616050110"),
    ('P', 4, "06003041423303"),
    ('Q', 4, "103041453616050110 2446"),
    ('R', 4, "06003041423303 2346"),
    ('S', 4, "413010010213334445361605"),
    ('T', 4, "0040 2026"),
    ('U', 4, "000516364540"),
    ('V', 4, "002640"),
    ('W', 4, "0016223640"),
    ('X', 4, "0046 0640"),
    ('Y', 4, "002340 2326"),
    ('Z', 4, "00400646"),
    ('.', 0, "06"),
    (':', 0, "02 04"),
    ('-', 3, "0333"),
    ('_', 4, "0646"),
    ('/', 3, "0630"),
    ('×', 3, "0235 0532"),
    ('+', 4, "2125 0343"),
    ('#', 4, "1016 3036 0242 0444"),
    ('(', 1, "10010516"),
    (')', 1, "00111506"),
    ('\'', 0, "0001"),
    ('=', 3, "0232 0434"),
    ('·', 0, "03"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_stays_on_its_grid() {
        for (letter, columns, strokes) in GLYPHS {
            for stroke in strokes.split(' ') {
                assert_eq!(stroke.len() % 2, 0, "{letter}");
                for point in stroke.as_bytes().chunks(2) {
                    assert!((b'0'..=b'0' + columns).contains(&point[0]), "{letter}: {stroke}");
                    assert!((b'0'..=b'6').contains(&point[1]), "{letter}: {stroke}");
                }
            }
        }
    }

    /// A tiny digit that reads like another would be worse than none: at the least size that is ever
    /// drawn, any two differ by three whole pixels.
    #[test]
    fn digits_differ_clearly_even_when_small() {
        let glyphs: Vec<_> = ('0'..='9').map(|digit| Glyph::new(digit, LEAST_HEIGHT)).collect();
        for (index, one) in glyphs.iter().enumerate() {
            for (other_index, other) in glyphs.iter().enumerate().skip(index + 1) {
                let distance: u32 = (one.coverage.iter().zip(&other.coverage))
                    .map(|(&a, &b)| u32::from(a.abs_diff(b)))
                    .sum();
                assert!(distance >= 3 * 255, "{index} and {other_index}: {distance}");
            }
        }
    }

    #[test]
    fn what_has_no_glyph_is_a_box() {
        let unknown = Glyph::new('語', 20);
        assert!(unknown.coverage.contains(&255));
        assert!(Glyph::new(' ', 20).coverage.iter().all(|&coverage| coverage == 0));
    }
}
