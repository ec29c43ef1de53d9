//! The stream's RTP clock (RFC 3550 section 5.1, "timestamp"; RFC 6184 section 5.1: 90 kHz).

use media::MediaTime;

use crate::numbers::RtpTimestamp;

/// Turns capture time into RTP timestamps.
///
/// Each timestamp is computed from the distance to the origin and rounded to the nearest tick, so
/// that neither rounding nor a wrap adds up over the years; frames whose times were cut to whole
/// nanoseconds are still a whole number of ticks apart (3000 at 30 frames per second).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RtpClock {
    origin: MediaTime,
    base: RtpTimestamp,
}

impl RtpClock {
    /// A clock that shows `base` (random, RFC 3550 section 5.1) at `origin`.
    pub const fn new(origin: MediaTime, base: RtpTimestamp) -> Self {
        Self { origin, base }
    }

    /// What the clock shows at `time`, which may be before the origin.
    pub fn timestamp(&self, time: MediaTime) -> RtpTimestamp {
        let nanos = i128::from(time.as_nanos()) - i128::from(self.origin.as_nanos());
        let nearest = nanos * i128::from(CLOCK_RATE) + NANOS_PER_SECOND / 2;
        let ticks = nearest.div_euclid(NANOS_PER_SECOND);
        // The remainder modulo 2^32 is what a 32-bit clock shows, also of a negative count.
        self.base.after(ticks as u32)
    }
}

/// Ticks per second of every H.264 stream (RFC 6184 section 8.2.1).
pub const CLOCK_RATE: u32 = 90_000;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::FrameRate;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_a_whole_number_of_ticks_apart() {
        let origin = MediaTime::from_nanos(123_456_789_012_345);
        let clock = RtpClock::new(origin, RtpTimestamp(u32::MAX - 1));
        for (rate, ticks) in [("30", 3000), ("25", 3600), ("30000/1001", 3003)] {
            let rate: FrameRate = rate.parse().unwrap();
            // Frames of the first minutes, of the first wrap (13.3 hours), and after ten years.
            for first in [0, 1_430_000, 9_460_800_000] {
                for index in first..first + 10_000 {
                    let shown = clock.timestamp(origin + rate.offset_of(index));
                    let expected = (u128::from(index) * ticks) as u32;
                    assert_eq!(shown, RtpTimestamp(u32::MAX - 1).after(expected), "{index}");
                }
            }
        }
    }

    #[test]
    fn time_before_the_origin_counts_backwards() {
        let origin = MediaTime::from_nanos(10_000_000_000);
        let clock = RtpClock::new(origin, RtpTimestamp(5));
        let shown = clock.timestamp(origin - Duration::from_secs(1));
        assert_eq!(shown.since(RtpTimestamp(5)), -90_000);
        assert_eq!(clock.timestamp(origin), RtpTimestamp(5));
    }

    proptest! {
        /// |ticks / 90000 − nanos / 10⁹| ≤ ½ tick, in integers: nothing is lost at any distance.
        #[test]
        fn the_nearest_tick_of_the_true_quotient(origin: u64, time: u64, base: u32) {
            let clock = RtpClock::new(MediaTime::from_nanos(origin), RtpTimestamp(base));
            let shown = clock.timestamp(MediaTime::from_nanos(time)).0.wrapping_sub(base);
            let exact = (i128::from(time) - i128::from(origin)) * 90_000;
            // The tick count congruent to `shown` that lies nearest to the exact quotient.
            let period = 1i128 << 32;
            let near = exact.div_euclid(1_000_000_000);
            let turns = (near - i128::from(shown) + period / 2).div_euclid(period);
            let ticks = i128::from(shown) + turns * period;
            prop_assert!((2 * (ticks * 1_000_000_000 - exact)).abs() <= 1_000_000_000);
        }
    }
}
