//! How fast a picture may leave over UDP.
//!
//! A keyframe is many packets at once. Sent back to back they overrun small receive buffers and
//! cheap switches; spread over the whole frame interval they delay the picture. So: a burst is free,
//! the rest leaves well above the stream's own rate, and always within a quarter of the frame
//! interval. Pure: time is an argument.

use std::time::Duration;

use media::MediaTime;

/// A token bucket of bytes, one per viewer.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Bytes that may leave now.
    tokens: u64,
    capacity: u64,
    /// Bytes per second.
    rate: u64,
    refilled: MediaTime,
}

impl Pacer {
    /// A full bucket of [`BURST_PACKETS`] packets of `packet_size` bytes.
    pub fn new(packet_size: usize, now: MediaTime) -> Self {
        let capacity = BURST_PACKETS * packet_size as u64;
        Self { tokens: capacity, capacity, rate: LEAST_RATE, refilled: now }
    }

    /// From `now` on a picture may leave, and tokens come at `rate` bytes per second. To be called
    /// again for as long as nothing of it has left: time in which nothing was sent earns the burst
    /// and no more.
    pub fn begin(&mut self, now: MediaTime, rate: u64) {
        self.rate = rate;
        self.tokens = self.allowance(now).min(self.capacity);
    }

    /// Bytes that may leave at `now`. Within a picture, time overslept is made up for, even where
    /// it earns more than the burst.
    pub fn allowance(&mut self, now: MediaTime) -> u64 {
        let elapsed = now.saturating_since(self.refilled);
        let earned = u128::from(self.rate) * elapsed.as_nanos() / 1_000_000_000;
        let earned = u64::try_from(earned).unwrap_or(u64::MAX);
        if earned > 0 {
            // What was earned at once may be more than a burst, and is not lost by a second look.
            let most = self.capacity.max(earned).max(self.tokens);
            self.tokens = self.tokens.saturating_add(earned).min(most);
            self.refilled = now;
        }
        self.tokens
    }

    /// How long it takes until the last of `bytes` may leave, if all before leave as soon as they
    /// may.
    pub fn time_for(&self, bytes: u64) -> Duration {
        let missing = u128::from(bytes.saturating_sub(self.tokens));
        let nanos = missing * 1_000_000_000 / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Bytes worth waiting for, where there is more to send than may leave now: half a burst. Smaller
    /// steps would be gentler to nobody, and each costs a call of the kernel.
    pub fn step(&self) -> u64 {
        self.capacity / 2
    }

    /// Takes what was sent out of the bucket.
    pub fn spend(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

/// Bytes per second at which a picture of `size` bytes leaves: the largest of [`LEAST_RATE`], ten
/// times the stream's bitrate, and what brings it out in a quarter of the frame interval.
pub fn rate(size: usize, interval: Duration, bitrate: Option<u32>) -> u64 {
    let nanos = interval.as_nanos().max(1);
    let in_a_quarter = (size as u128 * 4 * 1_000_000_000).div_ceil(nanos);
    let in_a_quarter = u64::try_from(in_a_quarter).unwrap_or(u64::MAX);
    LEAST_RATE.max(u64::from(bitrate.unwrap_or(0)) / 8 * 10).max(in_a_quarter)
}

/// Packets that leave at once, whatever the rate.
const BURST_PACKETS: u64 = 32;
/// 100 Mbit/s in bytes per second.
const LEAST_RATE: u64 = 100_000_000 / 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> MediaTime {
        MediaTime::from_nanos(micros * 1000)
    }

    #[test]
    fn a_burst_is_free_and_the_rest_takes_its_time() {
        let mut pacer = Pacer::new(1000, micros(0));
        pacer.begin(micros(0), LEAST_RATE);
        assert_eq!(pacer.allowance(micros(0)), 32_000);
        pacer.spend(32_000);
        assert_eq!(pacer.allowance(micros(0)), 0);
        // 12.5 bytes a microsecond.
        assert_eq!(pacer.allowance(micros(1000)), 12_500);
        pacer.spend(12_000);
        assert_eq!(pacer.allowance(micros(1080)), 1_500);
    }

    #[test]
    fn time_overslept_within_a_picture_is_made_up_for() {
        let mut pacer = Pacer::new(1000, micros(0));
        pacer.begin(micros(0), 100_000_000);
        pacer.spend(32_000);
        assert_eq!(pacer.allowance(micros(1000)), 100_000);
        // However often one looks.
        pacer.spend(30_000);
        assert_eq!(pacer.allowance(micros(1001)), 70_000);
    }

    #[test]
    fn time_unused_before_a_picture_earns_a_burst_and_no_more() {
        let mut pacer = Pacer::new(1000, micros(0));
        for (now, rate) in [(0, LEAST_RATE), (40_000, LEAST_RATE), (10_000_000, 100_000_000)] {
            pacer.begin(micros(now), rate);
            assert_eq!(pacer.allowance(micros(now)), 32_000, "at {now} µs");
            pacer.spend(32_000);
        }
        // Less than a burst, where there was less time.
        pacer.begin(micros(10_000_080), LEAST_RATE);
        assert_eq!(pacer.allowance(micros(10_000_080)), 1000);
        // Whoever looked at what there was has not spent it.
        pacer.allowance(micros(20_000_000));
        pacer.begin(micros(20_000_000), LEAST_RATE);
        assert_eq!(pacer.allowance(micros(20_000_000)), 32_000);
    }

    #[test]
    fn what_a_picture_takes_is_known_when_it_begins() {
        let mut pacer = Pacer::new(1000, micros(0));
        pacer.begin(micros(0), LEAST_RATE);
        assert_eq!(pacer.time_for(32_000), Duration::ZERO);
        assert_eq!(pacer.time_for(44_500), Duration::from_millis(1));
        pacer.spend(32_000);
        assert_eq!(pacer.time_for(12_500), Duration::from_millis(1));
        assert!(pacer.time_for(u64::MAX) > Duration::from_secs(86_400));
    }

    #[test]
    fn small_steps_lose_nothing() {
        let mut pacer = Pacer::new(1000, micros(0));
        pacer.begin(micros(0), LEAST_RATE);
        pacer.spend(32_000);
        for nanos in 1..=80_000 {
            pacer.allowance(MediaTime::from_nanos(nanos));
        }
        assert_eq!(pacer.tokens, 1000);
    }

    #[test]
    fn a_picture_leaves_within_a_quarter_of_its_interval() {
        let interval = Duration::from_millis(40);
        assert_eq!(rate(1000, interval, None), LEAST_RATE);
        assert_eq!(rate(1000, interval, Some(100_000_000)), 125_000_000);
        // 1 MB in 10 ms.
        assert_eq!(rate(1_000_000, interval, Some(2_000_000)), 100_000_000);
        assert_eq!(rate(1, Duration::ZERO, None), 4_000_000_000);
    }
}
