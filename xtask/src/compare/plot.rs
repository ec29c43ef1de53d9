//! Charts as SVG: small, readable as text, and in the reader's own scheme, light or dark. Each has
//! lines or dots over two axes, with their units, and lines across for what is wanted.

use std::fmt::Write as _;

mod axis;

use axis::Axis;
pub(crate) use axis::Scale;

/// One chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What it counts, in which unit, and how.
    pub(crate) x: (String, Scale),
    pub(crate) y: (String, Scale),
    pub(crate) series: Vec<Series>,
    pub(crate) rules: Vec<Rule>,
}

/// What belongs together.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) style: Style,
    /// From left to right where a line joins them.
    pub(crate) marks: Vec<Mark>,
}

/// How it looks. Colours are numbers, those that are there are used again and again.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Style {
    Line { colour: usize, dashed: bool },
    Dots { colour: usize, hollow: bool },
}

/// One figure.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// The least and the greatest that were seen.
    pub(crate) range: Option<(f64, f64)>,
}

/// A line across the chart.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) at: f64,
    pub(crate) name: String,
}

/// The charts, side by side.
pub(crate) fn svg(charts: &[Chart]) -> String {
    let rows = charts.iter().map(|chart| chart.series.len()).max().unwrap_or(0).div_ceil(2);
    let (width, height) = (WIDTH * charts.len() as f64, LEGEND + ROW * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (number, chart) in charts.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate({},0)\">", WIDTH * number as f64);
        chart.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

impl Chart {
    fn draw(&self, svg: &mut String) {
        let marks = || self.series.iter().flat_map(|series| &series.marks);
        let heights = marks().flat_map(|mark| {
            let (least, most) = mark.range.unwrap_or((mark.y, mark.y));
            [mark.y, least, most]
        });
        let rules = self.rules.iter().map(|rule| rule.at);
        let x = Axis::over(self.x.1, marks().map(|mark| mark.x), LEFT, RIGHT);
        let y = Axis::over(self.y.1, heights.chain(rules), BOTTOM, TOP);
        let middle = (LEFT + RIGHT) / 2.0;
        text(svg, "title", middle, TOP - 14.0, &self.title);
        self.draw_grid(svg, &x, &y);
        for (number, rule) in self.rules.iter().enumerate() {
            let at = y.place(rule.at);
            let _ = writeln!(svg, "<path class=\"rule\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>");
            // At both ends in turn: lines may be close to each other.
            match number % 2 {
                0 => text(svg, "end", RIGHT - 3.0, at - 4.0, &rule.name),
                _ => text(svg, "start", LEFT + 3.0, at - 4.0, &rule.name),
            }
        }
        for (number, series) in self.series.iter().enumerate() {
            series.draw(svg, &x, &y);
            let (column, row) = ((number % 2) as f64, (number / 2) as f64);
            series.draw_key(svg, LEFT + column * COLUMN, LEGEND + row * ROW);
        }
    }

    fn draw_grid(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for (tick, label) in x.ticks() {
            let at = x.place(tick);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>");
            text(svg, "middle", at, BOTTOM + 16.0, &label);
        }
        for (tick, label) in y.ticks() {
            let at = y.place(tick);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>");
            text(svg, "end", LEFT - 6.0, at + 4.0, &label);
        }
        text(svg, "middle", (LEFT + RIGHT) / 2.0, BOTTOM + 34.0, &self.x.0);
        let (at, label) = ((TOP + BOTTOM) / 2.0, escaped(&self.y.0));
        let _ = writeln!(
            svg,
            "<text class=\"middle\" transform=\"translate(14,{at}) rotate(-90)\">{label}</text>"
        );
    }
}

impl Series {
    fn draw(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let places: Vec<_> =
            self.marks.iter().map(|mark| (x.place(mark.x), y.place(mark.y))).collect();
        if let (Style::Line { .. }, [(x0, y0), rest @ ..]) = (self.style, &places[..]) {
            let mut path = format!("M{x0:.1} {y0:.1}");
            for (x, y) in rest {
                let _ = write!(path, "L{x:.1} {y:.1}");
            }
            let _ = writeln!(svg, "<path class=\"{}\" d=\"{path}\"/>", self.style.classes());
        }
        for (mark, (at_x, at_y)) in self.marks.iter().zip(&places) {
            if let Some((least, most)) = mark.range {
                let (least, most) = (y.place(least), y.place(most));
                let range = format!("M{at_x:.1} {least:.1}V{most:.1}");
                let colour = self.style.colour();
                let _ = writeln!(svg, "<path class=\"line s{colour}\" d=\"{range}\"/>");
            }
            self.style.draw_dot(svg, *at_x, *at_y);
        }
    }

    fn draw_key(&self, svg: &mut String, x: f64, y: f64) {
        let at = y - 4.0;
        if let Style::Line { .. } = self.style {
            let classes = self.style.classes();
            let _ = writeln!(svg, "<path class=\"{classes}\" d=\"M{x} {at}h22\"/>");
        }
        self.style.draw_dot(svg, x + 11.0, at);
        text(svg, "start", x + 28.0, y, &self.name);
    }
}

impl Style {
    fn colour(self) -> usize {
        let (Self::Line { colour, .. } | Self::Dots { colour, .. }) = self;
        colour % COLOURS
    }

    fn classes(self) -> String {
        let dashed = matches!(self, Self::Line { dashed: true, .. });
        format!("line s{}{}", self.colour(), if dashed { " dashed" } else { "" })
    }

    fn draw_dot(self, svg: &mut String, x: f64, y: f64) {
        let kind = match self {
            Self::Dots { hollow: true, .. } => "hollow s",
            _ => "dot f",
        };
        let colour = self.colour();
        let _ =
            writeln!(svg, "<circle class=\"{kind}{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Of one chart; the frame of its figures; where the names of the series stand.
const WIDTH: f64 = 460.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 446.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 290.0;
const LEGEND: f64 = 350.0;
const ROW: f64 = 20.0;
const COLUMN: f64 = 212.0;
/// Those of the style.
const COLOURS: usize = 4;
const STYLE: &str = "\
.paper{fill:#fff}
text{font:12px system-ui,sans-serif;fill:#333}
.title{font-weight:600;font-size:14px}
.title,.middle{text-anchor:middle}
.end{text-anchor:end}
.grid{stroke:#8884;fill:none}
.rule{stroke:#888;stroke-dasharray:2 3;fill:none}
.line{fill:none;stroke-width:2}
.dashed{stroke-dasharray:6 4}
.hollow{fill:none;stroke-width:1.5}
.s0{stroke:#777}.s1{stroke:#0b62c4}.s2{stroke:#2a8a3e}.s3{stroke:#c2410c}
.f0{fill:#777}.f1{fill:#0b62c4}.f2{fill:#2a8a3e}.f3{fill:#c2410c}
@media(prefers-color-scheme:dark){
.paper{fill:#0d1117}
text{fill:#c9d1d9}
.s0{stroke:#9aa}.s1{stroke:#58a6ff}.s2{stroke:#56d364}.s3{stroke:#ff9b5e}
.f0{fill:#9aa}.f1{fill:#58a6ff}.f2{fill:#56d364}.f3{fill:#ff9b5e}
}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let mark = |x, y| Mark { x, y, range: Some((y / 2.0, y * 2.0)) };
        Chart {
            title: "CPU & <memory>".to_owned(),
            x: ("viewers".to_owned(), Scale::Logarithmic),
            y: ("ms".to_owned(), Scale::Linear),
            series: vec![Series {
                name: "lenscast".to_owned(),
                style: Style::Line { colour: 5, dashed: true },
                marks: vec![mark(1.0, 2.0), mark(10.0, 20.0), mark(1000.0, 40.0)],
            }],
            rules: vec![Rule { at: 50.0, name: "wanted".to_owned() }],
        }
    }

    /// The number of an attribute, for each element of a class.
    fn numbers(svg: &str, class: &str, attribute: &str) -> Vec<f64> {
        let lines = svg.lines().filter(|line| line.contains(&format!("class=\"{class}\"")));
        let value = |line: &str| {
            let (_, rest) = line.split_once(&format!(" {attribute}=\""))?;
            rest.split_once('"')?.0.parse().ok()
        };
        lines.filter_map(value).collect()
    }

    #[test]
    fn marks_stand_where_their_figures_are_within_the_frame() {
        let svg = svg(&[chart(), chart()]);
        let (x, y) = (numbers(&svg, "dot f1", "cx"), numbers(&svg, "dot f1", "cy"));
        // Three marks and the key, in each of two.
        assert_eq!((x.len(), y.len()), (8, 8));
        assert_eq!((x[0], x[2]), (LEFT, RIGHT));
        assert!(
            (x[1] - LEFT - (RIGHT - LEFT) / 3.0).abs() < 0.1,
            "a third of three decades: {x:?}"
        );
        assert!(y[0] > y[1] && y[1] > y[2] && y[2] > TOP, "{y:?}");
        assert!(svg.contains("translate(460,0)") && svg.contains("line s1 dashed"));
    }

    #[test]
    fn text_is_no_markup() {
        let svg = svg(&[chart()]);
        assert!(svg.contains("CPU &amp; &lt;memory&gt;"));
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        assert_eq!(svg.matches("<g").count(), svg.matches("</g>").count());
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let empty = Chart { series: Vec::new(), rules: Vec::new(), ..chart() };
        assert!(!svg(&[empty]).contains("NaN"));
        assert!(svg(&[]).starts_with("<svg"));
    }
}
