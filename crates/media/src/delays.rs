//! How long something took, over many times: quantiles and the longest, in memory that does not
//! grow.
//!
//! ```text
//!  µs  0 1 2 3 4 5 6 7 │ 8 9 … 15 │ 16 18 … 30 │ 32 36 … 60 │ …      eight steps to each power of two
//! ```

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Durations, counted in steps of an eighth: what is told of them is off by a sixteenth at most.
#[derive(Clone, Debug)]
pub struct Delays {
    counts: [u64; STEPS],
    longest: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self { counts: [0; STEPS], longest: Duration::ZERO }
    }
}

impl Delays {
    /// Counts one.
    pub fn note(&mut self, delay: Duration) {
        self.counts[step(delay)] += 1;
        self.longest = self.longest.max(delay);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// About what half of them did not exceed; zero when there was none.
    pub fn median(&self) -> Duration {
        self.quantile(1, 2)
    }

    /// About what `part` of each `of` did not exceed: 99 of 100, for one. Zero when there was none.
    pub fn quantile(&self, part: u32, of: u32) -> Duration {
        let rank = u128::from(self.count()) * u128::from(part);
        let rank = rank.div_ceil(u128::from(of.max(1))).max(1);
        let mut seen = 0;
        for (step, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                // In the last step is all that is longer.
                let is_last = step == STEPS - 1;
                let told = Duration::from_micros(middle(step));
                return if is_last { self.longest } else { told.min(self.longest) };
            }
        }
        Duration::ZERO
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

/// The same, counted by several threads at once, none of which waits.
#[derive(Debug)]
pub struct SharedDelays {
    counts: [AtomicU64; STEPS],
    /// Nanoseconds.
    longest: AtomicU64,
}

impl Default for SharedDelays {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; STEPS], longest: AtomicU64::new(0) }
    }
}

impl SharedDelays {
    /// Counts one.
    pub fn note(&self, delay: Duration) {
        self.counts[step(delay)].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        // Nearly always it is not: a look is cheaper than a change.
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    /// What has been counted so far. One that is being counted may be in part of it already.
    pub fn read(&self) -> Delays {
        let counts = std::array::from_fn(|step| self.counts[step].load(Ordering::Relaxed));
        Delays { counts, longest: Duration::from_nanos(self.longest.load(Ordering::Relaxed)) }
    }
}

/// The step of a duration: eight to each power of two of microseconds, the first eight one by one.
fn step(delay: Duration) -> usize {
    let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    let Some(power) = micros.checked_ilog2().filter(|power| *power >= 3) else {
        // At most 7.
        return micros as usize;
    };
    let part = (micros >> (power - 3)) & 7;
    ((power as usize - 2) * 8 + part as usize).min(STEPS - 1)
}

/// What lies in the middle of a step, in microseconds.
fn middle(step: usize) -> u64 {
    if step < 8 {
        return step as u64;
    }
    let (power, part) = (step / 8 + 2, step % 8);
    let width = 1_u64 << (power - 3);
    (8 + part as u64) * width + width / 2
}

/// Up to four minutes; what is longer is in the last.
const STEPS: usize = 26 * 8;

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
        assert_eq!(delays.quantile(1, 1), Duration::MAX, "not what the steps reach to");
        assert_eq!(delays.quantile(0, 0), Duration::from_micros(5), "the least there is");
    }

    #[test]
    fn steps_follow_each_other_without_a_gap() {
        let mut last = 0;
        for micros in 0..1_000_000 {
            let step = step(Duration::from_micros(micros));
            assert!(step == last || step == last + 1, "{micros} µs is in {step}, not by {last}");
            last = step;
        }
        assert_eq!(step(Duration::from_secs(260)), STEPS - 1, "and the last is not reached early");
        assert!(step(Duration::from_secs(200)) < STEPS - 1);
    }

    proptest! {
        #[test]
        fn what_is_told_is_off_by_a_sixteenth_at_most(
            mut micros in prop::collection::vec(0_u64..230_000_000, 1..60),
            part in 1_usize..=100,
        ) {
            let mut delays = Delays::default();
            for micros in &micros {
                delays.note(Duration::from_micros(*micros));
            }
            micros.sort_unstable();
            let exact = micros[(micros.len() * part).div_ceil(100) - 1] as f64;
            let told = delays.quantile(part as u32, 100).as_micros() as f64;
            prop_assert!((told - exact).abs() <= exact / 16.0 + 1.0, "{told} for {exact}");
            prop_assert_eq!(delays.longest(), Duration::from_micros(*micros.last().unwrap()));
        }

        #[test]
        fn it_matters_to_nobody_who_counted(
            nanos in prop::collection::vec(any::<u64>(), 0..60),
            part in 0_u32..=1000,
        ) {
            let (mut alone, shared) = (Delays::default(), SharedDelays::default());
            let delays = nanos.iter().map(|nanos| Duration::from_nanos(*nanos));
            delays.clone().for_each(|delay| alone.note(delay));
            std::thread::scope(|scope| {
                for parity in 0..2 {
                    let (shared, delays) = (&shared, delays.clone().skip(parity).step_by(2));
                    scope.spawn(move || delays.for_each(|delay| shared.note(delay)));
                }
            });
            let shared = shared.read();
            prop_assert_eq!(shared.counts, alone.counts);
            prop_assert_eq!(shared.longest(), alone.longest());
            prop_assert_eq!(shared.count(), nanos.len() as u64);
            prop_assert_eq!(shared.quantile(part, 1000), alone.quantile(part, 1000));
        }
    }
}
