//! An axis: from a figure to its place, and the figures that are written along it.

/// How figures become lengths.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero on.
    Linear,
    /// Each decade has the same length; of figures above zero.
    Logarithmic,
}

/// An axis, from one place to another.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    ticks: Vec<f64>,
    /// The first and the last figure.
    figures: (f64, f64),
    places: (f64, f64),
}

impl Axis {
    /// One that has all `figures` between `from` and `to`, and ends with a round one.
    pub(crate) fn over(
        scale: Scale,
        figures: impl Iterator<Item = f64>,
        from: f64,
        to: f64,
    ) -> Self {
        let is_shown = |figure: &f64| {
            figure.is_finite() && (*figure > 0.0 || (scale == Scale::Linear && *figure == 0.0))
        };
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for figure in figures.filter(is_shown) {
            (least, most) = (least.min(figure), most.max(figure));
        }
        if most == 0.0 {
            (least, most) = (1.0, 1.0);
        }
        let ticks = match scale {
            Scale::Linear => linear_ticks(most),
            Scale::Logarithmic => logarithmic_ticks(least, most),
        };
        let figures = (ticks.first().copied().unwrap_or(1.0), ticks.last().copied().unwrap_or(2.0));
        Self { scale, ticks, figures, places: (from, to) }
    }

    /// Where a figure stands; one beyond the ends stands at the end.
    pub(crate) fn place(&self, figure: f64) -> f64 {
        let length = |figure: f64| match self.scale {
            Scale::Linear => figure,
            Scale::Logarithmic => figure.log10(),
        };
        let (first, last) = self.figures;
        let part =
            (length(figure.clamp(first, last)) - length(first)) / (length(last) - length(first));
        self.places.0 + part * (self.places.1 - self.places.0)
    }

    /// Round figures, and how they are written.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        self.ticks.iter().map(|&tick| (tick, written(tick)))
    }
}

/// From zero to the first step not below `most`: four to eight steps of 1, 2 or 5.
fn linear_ticks(most: f64) -> Vec<f64> {
    let decade = 10_f64.powf((most / STEPS).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = step.into_iter().find(|step| most / step <= STEPS).unwrap_or(decade * 10.0);
    // The division may come out a little above a whole number.
    let count = (most / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|number| number as f64 * step).collect()
}

/// Decades; with 2 and 5 within, where there would be few.
fn logarithmic_ticks(least: f64, most: f64) -> Vec<f64> {
    let few = (most / least).log10() < 2.0;
    let (first, last) = (least.log10().floor() as i32 - 1, most.log10().ceil() as i32 + 1);
    let within: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let decades = first..=last;
    let all: Vec<f64> = decades
        .flat_map(|decade| within.iter().map(move |step| step * 10_f64.powi(decade)))
        .collect();
    let from = all.iter().rposition(|tick| *tick <= least * (1.0 + 1e-9)).unwrap_or(0);
    let to = all.iter().position(|tick| *tick >= most * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
    all[from..=to.max(from + 1)].to_vec()
}

fn written(tick: f64) -> String {
    // As 0.1 + 0.2 has it, but with no more places than it needs.
    let text = format!("{tick:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// At most so many.
const STEPS: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, figures: &[f64]) -> Axis {
        Axis::over(scale, figures.iter().copied(), 100.0, 200.0)
    }

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().map(|(_, label)| label).collect()
    }

    #[test]
    fn a_linear_axis_begins_with_zero_and_has_round_steps() {
        let ratios = axis(Scale::Linear, &[1.25, 0.9]);
        assert_eq!(labels(&ratios), ["0", "0.2", "0.4", "0.6", "0.8", "1", "1.2", "1.4"]);
        assert_eq!((ratios.place(0.0), ratios.place(1.4)), (100.0, 200.0));
        assert!((ratios.place(0.7) - 150.0).abs() < 1e-6);
        assert_eq!(labels(&axis(Scale::Linear, &[2000.0])).last().unwrap(), "2000");
        assert_eq!(labels(&axis(Scale::Linear, &[0.0, 0.0])).first().unwrap(), "0");
    }

    #[test]
    fn a_logarithmic_axis_has_decades() {
        let viewers = axis(Scale::Logarithmic, &[1.0, 1000.0, 30.0]);
        assert_eq!(labels(&viewers), ["1", "10", "100", "1000"]);
        assert!((viewers.place(10.0) - 100.0 - 100.0 / 3.0).abs() < 1e-6);
        // Zero has no place on it.
        assert_eq!(viewers.place(0.0), 100.0);
        assert_eq!(labels(&axis(Scale::Logarithmic, &[3.0, 40.0])), ["2", "5", "10", "20", "50"]);
        assert_eq!(labels(&axis(Scale::Logarithmic, &[0.3, 400.0])).first().unwrap(), "0.1");
    }

    #[test]
    fn one_figure_and_none_have_an_axis_too() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            for figures in [&[][..], &[100.0], &[f64::NAN, f64::INFINITY, -1.0]] {
                let axis = axis(scale, figures);
                assert!(axis.ticks().count() >= 2, "{axis:?}");
                let place = axis.place(100.0);
                assert!((100.0..=200.0).contains(&place), "{axis:?}");
            }
        }
    }
}
