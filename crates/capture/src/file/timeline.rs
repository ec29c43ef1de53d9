//! The times of a looped track on one endless line, exactly: ticks are added, and only the sum is
//! turned into nanoseconds, so that nothing drifts however many passes there are.
//!
//! ```text
//!            pass 0                 pass 1                 pass 2
//!  decoding  ├─┬─┬─┬─┬─┬─┬─┬─┬─┬─┬─┼─┬─┬─┬─┬─┬─┬─┬─┬─┬─┬─┬─┼─ …   each pass adds one constant
//!  shown    ├─┬─┬─┬─┬─┬─┬─┬─┬─┬─┬─┼─ …                            earlier by the reordering
//! ```
//!
//! The picture that is shown latest after its decoding is stamped with the moment it is sent, and
//! all others by their distance to it: as if a camera had taken each before it was encoded, so
//! that no picture is stamped later than it is sent. Pure.

use std::num::NonZeroU32;

/// Where a track's ticks lie on the line, the first sample being decoded at zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// Ticks per second.
    pub(crate) timescale: NonZeroU32,
    /// Ticks that each pass adds.
    pub(crate) pass: u64,
    /// The longest that a picture is shown after it is decoded, in ticks.
    pub(crate) longest_lag: i64,
    /// The shortest (often negative).
    pub(crate) shortest_lag: i64,
}

impl Timeline {
    /// When a sample is due in nanoseconds after the first of all.
    pub(crate) fn due(&self, pass: u64, decode: i64) -> i64 {
        self.nanos(pass, i128::from(decode))
    }

    /// What a sample is stamped with, in nanoseconds after the first of all is due: negative for
    /// pictures at the very beginning that are shown before others.
    pub(crate) fn stamp(&self, pass: u64, presentation: i64) -> i64 {
        self.nanos(pass, i128::from(presentation) - i128::from(self.longest_lag))
    }

    /// How far the earliest stamp may lie before the first due time, in nanoseconds.
    pub(crate) fn lead(&self) -> i64 {
        self.nanos(0, i128::from(self.longest_lag) - i128::from(self.shortest_lag))
    }

    fn nanos(&self, pass: u64, ticks: i128) -> i64 {
        let passes = i128::from(pass).saturating_mul(i128::from(self.pass));
        let ticks = passes.saturating_add(ticks);
        // Saturates only beyond the 292 years that 64 bits of nanoseconds hold.
        let nanos = ticks.saturating_mul(1_000_000_000);
        let nanos = nanos.div_euclid(i128::from(self.timescale.get()));
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(timescale: u32, pass: u64) -> Timeline {
        let timescale = NonZeroU32::new(timescale).unwrap();
        Timeline { timescale, pass, longest_lag: 0, shortest_lag: 0 }
    }

    #[test]
    fn a_year_of_passes_does_not_drift() {
        // 90 frames of 1001/30000 s: 3.003 s, ten million times, is 347 days.
        let timeline = timeline(30_000, 90 * 1001);
        assert_eq!(timeline.due(10_000_000, 0), 30_030_000 * 1_000_000_000);
        assert_eq!(timeline.due(10_000_000, 1001) - timeline.due(10_000_000, 0), 33_366_666);
    }

    #[test]
    fn no_stamp_is_later_than_its_due_time() {
        // I P B B, timescale 25, an edit that moves presentation by -2.
        let samples = [(0, 0), (1, 3), (2, 1), (3, 2)];
        let timeline = Timeline { longest_lag: 2, shortest_lag: -1, ..timeline(25, 4) };
        let stamps = samples.map(|(decode, shown)| {
            assert!(timeline.stamp(3, shown) <= timeline.due(3, decode));
            timeline.stamp(0, shown) / 40_000_000
        });
        assert_eq!(stamps, [-2, 1, -1, 0]);
        assert_eq!(timeline.lead(), 3 * 40_000_000);
    }

    proptest! {
        #[test]
        fn nothing_overflows(
            timescale in 1u32.., pass in any::<u64>(), passes in any::<u64>(),
            longest in any::<i64>(), ticks in any::<i64>(),
        ) {
            let timeline = Timeline {
                longest_lag: longest, shortest_lag: longest, ..timeline(timescale, pass)
            };
            let _ = (timeline.due(passes, ticks), timeline.stamp(passes, ticks), timeline.lead());
        }
    }
}
