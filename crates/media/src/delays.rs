//! How long something took, over many times: median and longest, in memory that does not grow.

use std::time::Duration;

/// Durations, counted in steps of an eighth: what is told of them is off by a sixteenth at most.
#[derive(Clone, Debug)]
pub struct Delays {
    counts: [u32; STEPS],
    total: u64,
    longest: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self { counts: [0; STEPS], total: 0, longest: Duration::ZERO }
    }
}

impl Delays {
    /// Counts one.
    pub fn note(&mut self, delay: Duration) {
        let step = step(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        self.counts[step] = self.counts[step].saturating_add(1);
        self.total += 1;
        self.longest = self.longest.max(delay);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// About what half of them did not exceed; zero when there was none.
    pub fn median(&self) -> Duration {
        let half = self.total.div_ceil(2);
        let mut seen = 0;
        for (step, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= half && seen > 0 {
                return Duration::from_micros(middle(step)).min(self.longest);
            }
        }
        self.longest
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

/// The step of a number: eight to each power of two, the first eight one by one.
fn step(micros: u64) -> usize {
    let Some(power) = micros.checked_ilog2().filter(|power| *power >= 3) else {
        // At most 7.
        return micros as usize;
    };
    let part = (micros >> (power - 3)) & 7;
    ((power as usize - 2) * 8 + part as usize).min(STEPS - 1)
}

/// What lies in the middle of a step.
fn middle(step: usize) -> u64 {
    if step < 8 {
        return step as u64;
    }
    let (power, part) = (step / 8 + 2, step % 8);
    let width = 1_u64 << (power - 3);
    (8 + part as u64) * width + width / 2
}

/// Up to two hours; what is longer is in the last.
const STEPS: usize = 31 * 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn none_is_zero_and_one_is_itself() {
        let mut delays = Delays::default();
        assert_eq!(
            (delays.count(), delays.median(), delays.longest()),
            (0, Duration::ZERO, Duration::ZERO)
        );
        delays.note(Duration::from_micros(5));
        assert_eq!((delays.count(), delays.median()), (1, Duration::from_micros(5)));
        delays.note(Duration::MAX);
        assert_eq!(delays.longest(), Duration::MAX);
    }

    proptest! {
        #[test]
        fn the_median_is_off_by_a_sixteenth_at_most(
            mut micros in prop::collection::vec(0_u64..4_000_000_000, 1..60),
        ) {
            let mut delays = Delays::default();
            for micros in &micros {
                delays.note(Duration::from_micros(*micros));
            }
            micros.sort_unstable();
            let exact = micros[(micros.len() - 1) / 2] as f64;
            let told = delays.median().as_micros() as f64;
            prop_assert!((told - exact).abs() <= exact / 16.0 + 1.0, "{told} for {exact}");
            prop_assert_eq!(delays.longest(), Duration::from_micros(*micros.last().unwrap()));
        }
    }
}
