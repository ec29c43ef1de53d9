//! What arrival times and timestamps say of a stream (RFC 3550 sections 4, 6.4.1 and A.8).
//!
//! Pure: times come as arguments, on one clock whose zero does not matter.

use std::time::Duration;

/// The interarrival jitter of RFC 3550, over every packet given.
///
/// The packets of one picture share a timestamp, so that a picture sent slowly, packet by packet,
/// counts as jitter: that is what a receiver report says, too.
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    clock_rate: f64,
    transit: Option<f64>,
    estimate: f64,
    largest: f64,
}

impl Jitter {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self { clock_rate: f64::from(clock_rate), transit: None, estimate: 0.0, largest: 0.0 }
    }

    /// `timestamp` is the RTP timestamp, unwrapped.
    pub(super) fn record(&mut self, arrival: Duration, timestamp: i64) {
        let transit = arrival.as_secs_f64() - timestamp as f64 / self.clock_rate;
        if let Some(previous) = self.transit.replace(transit) {
            self.estimate += ((transit - previous).abs() - self.estimate) / 16.0;
            self.largest = self.largest.max(self.estimate);
        }
    }

    /// The estimate as it stands, and the largest it ever was, in milliseconds; `None` before the
    /// second packet.
    pub(super) fn milliseconds(&self) -> Option<(f64, f64)> {
        (self.estimate > 0.0 || self.transit.is_some())
            .then_some((self.estimate * 1e3, self.largest * 1e3))
    }
}

/// A whole picture.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Frame {
    /// RTP timestamp, unwrapped.
    pub(super) timestamp: i64,
    /// When its last packet arrived.
    pub(super) arrival: Duration,
    /// Bytes of its NAL units.
    pub(super) bytes: u32,
    /// Whether it is an IDR picture.
    pub(super) keyframe: bool,
}

/// What a run of frames says, frames in order of arrival. Each is `None` when there are too few.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// Frames per second of media time.
    pub(super) fps_timestamps: Option<f64>,
    /// Frames per second as they arrived.
    pub(super) fps_arrivals: Option<f64>,
    /// Bits of NAL units per second of media time.
    pub(super) bits_per_second: Option<f64>,
    /// The median distance of keyframes, in milliseconds of media time.
    pub(super) keyframe_interval_ms: Option<f64>,
    /// Whether a frame came with a timestamp before that of the one before it (B-frames).
    pub(super) reordered: bool,
    /// How much later than the quickest frame the frames were: median, 95 %, latest; milliseconds.
    pub(super) delay_variation_ms: Option<[f64; 3]>,
    /// Waits for the next frame.
    pub(super) arrival_gaps: Option<Gaps>,
    /// Steps from one timestamp to the next.
    pub(super) timestamp_gaps: Option<Gaps>,
}

/// Distances between frames that stand out.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Gaps {
    /// How many are over [`GAP`] times the usual distance of timestamps.
    pub(super) count: usize,
    /// The longest distance, whether it stands out or not, in milliseconds.
    pub(super) longest_ms: f64,
}

impl Summary {
    pub(super) fn of(frames: &[Frame], clock_rate: u32) -> Self {
        let seconds = |ticks: i64| ticks as f64 / f64::from(clock_rate);
        let reordered = frames.windows(2).any(|pair| pair[1].timestamp < pair[0].timestamp);
        let mut stamps: Vec<i64> = frames.iter().map(|frame| frame.timestamp).collect();
        stamps.sort_unstable();
        let steps = distances(&stamps, |pair| seconds(pair[1] - pair[0]));
        let waits =
            distances(frames, |pair| pair[1].arrival.saturating_sub(pair[0].arrival).as_secs_f64());
        let fps_timestamps = rate(&steps);
        let usual = percentile(&steps, 0.5);
        let gaps = |distances: &[f64]| {
            let limit = GAP * usual?;
            Some(Gaps {
                count: distances.iter().filter(|&&distance| distance > limit).count(),
                longest_ms: distances.last()? * 1e3,
            })
        };
        let bytes: f64 = frames.iter().map(|frame| f64::from(frame.bytes)).sum();
        let keyframes: Vec<i64> =
            frames.iter().filter(|frame| frame.keyframe).map(|frame| frame.timestamp).collect();
        let keyframe_steps = distances(&keyframes, |pair| seconds(pair[1] - pair[0]));
        Self {
            fps_timestamps,
            fps_arrivals: rate(&waits),
            // The mean size times the rate: the span of the timestamps alone would leave out how
            // long the last frame is shown.
            bits_per_second: fps_timestamps.map(|fps| bytes * 8.0 / frames.len() as f64 * fps),
            keyframe_interval_ms: percentile(&keyframe_steps, 0.5).map(|step| step * 1e3),
            reordered,
            delay_variation_ms: delay_variation(frames, seconds),
            arrival_gaps: gaps(&waits),
            timestamp_gaps: gaps(&steps),
        }
    }
}

/// Distances of neighbours, ascending.
fn distances<T>(items: &[T], distance: impl FnMut(&[T]) -> f64) -> Vec<f64> {
    let mut distances: Vec<f64> = items.windows(2).map(distance).collect();
    distances.sort_unstable_by(f64::total_cmp);
    distances
}

fn rate(distances: &[f64]) -> Option<f64> {
    let span: f64 = distances.iter().sum();
    (span > 0.0).then(|| distances.len() as f64 / span)
}

/// Each frame's transit time against the shortest: what a player has to buffer to show every frame
/// in time. B-frames arrive after their turn and count as late, as they are.
fn delay_variation(frames: &[Frame], seconds: impl Fn(i64) -> f64) -> Option<[f64; 3]> {
    // Timestamps count from the first, so that floats keep their precision.
    let base = frames.first()?.timestamp;
    let mut transits: Vec<f64> = frames
        .iter()
        .map(|frame| frame.arrival.as_secs_f64() - seconds(frame.timestamp - base))
        .collect();
    transits.sort_unstable_by(f64::total_cmp);
    let quickest = *transits.first()?;
    let late = |share| percentile(&transits, share).map(|transit| (transit - quickest) * 1e3);
    Some([late(0.5)?, late(0.95)?, late(1.0)?])
}

/// The value that `share` (0 to 1) of `ascending` do not exceed, by nearest rank.
pub(super) fn percentile(ascending: &[f64], share: f64) -> Option<f64> {
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.max(1) - 1).copied()
}

/// A sender report as it arrived.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct SenderReport {
    /// The sender's clock, as an NTP timestamp.
    pub(super) ntp: u64,
    /// The same moment on the media clock, unwrapped.
    pub(super) timestamp: i64,
    /// When it arrived.
    pub(super) arrival: Duration,
    /// When it arrived, by our own civil clock, in nanoseconds since the Unix epoch.
    pub(super) wall_nanos: i128,
}

/// How far the sender's clock is ahead of ours, in milliseconds (negative: behind): the median over
/// `reports`, each taken to have been under way for half of `round_trip`. Off by at most that half
/// where the report was sent at the moment it names; a queue at the sender adds to it.
pub(super) fn clock_offset_ms(reports: &[SenderReport], round_trip: Duration) -> Option<f64> {
    let half = i128::try_from(round_trip.as_nanos() / 2).unwrap_or(i128::MAX);
    let mut offsets: Vec<f64> = reports
        .iter()
        .map(|report| unix_nanos(report.ntp) - (report.wall_nanos - half))
        .map(|nanos| nanos as f64 / 1e6)
        .collect();
    offsets.sort_unstable_by(f64::total_cmp);
    percentile(&offsets, 0.5)
}

/// From capture, as the sender dates it, to the arrival of the last packet: the median over
/// `frames`, in milliseconds. A sender report gives the media clock's reading when it left; what
/// our clocks say cancels out, so that only half the round trip is assumed.
pub(super) fn capture_to_arrival_ms(
    frames: &[Frame],
    reports: &[SenderReport],
    clock_rate: u32,
    round_trip: Duration,
) -> Option<f64> {
    // The quickest report tells the media clock best: the others waited somewhere.
    let shift = |report: &SenderReport, base: &SenderReport| {
        report.arrival.as_secs_f64()
            - (report.timestamp - base.timestamp) as f64 / f64::from(clock_rate)
    };
    let base = reports.first()?;
    let quickest = reports.iter().map(|report| shift(report, base)).min_by(f64::total_cmp)?;
    let mut latencies: Vec<f64> = frames
        .iter()
        .map(|frame| {
            let age = (frame.timestamp - base.timestamp) as f64 / f64::from(clock_rate);
            (frame.arrival.as_secs_f64() - age - quickest + round_trip.as_secs_f64() / 2.0) * 1e3
        })
        .collect();
    latencies.sort_unstable_by(f64::total_cmp);
    percentile(&latencies, 0.5)
}

/// Nanoseconds since 1970 of an NTP timestamp (RFC 3550 section 4), read as lying between 1970 and
/// 2106: the seconds wrap in 2036.
pub(super) fn unix_nanos(ntp: u64) -> i128 {
    let mut seconds = i128::from(ntp >> 32) - NTP_UNIX_OFFSET_SECONDS;
    if seconds < 0 {
        seconds += 1 << 32;
    }
    // Rounded, so that what was rounded down into binary fractions comes back as it was.
    let fraction = (u128::from(ntp & 0xffff_ffff) * 1_000_000_000 + (1 << 31)) >> 32;
    seconds * 1_000_000_000 + fraction as i128
}

/// Over so many times the usual distance between two frames, something was left out.
pub(super) const GAP: f64 = 2.5;

/// Seconds from 1900-01-01 to 1970-01-01.
const NTP_UNIX_OFFSET_SECONDS: i128 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use media::WallTime;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Frames of 1000 bytes from (timestamp in ms, arrival in ms).
    fn frames(times: &[(i64, u64)]) -> Vec<Frame> {
        let frame = |(index, &(stamp, arrival)): (usize, &(i64, u64))| Frame {
            timestamp: stamp * 90,
            arrival: ms(arrival),
            bytes: 1000,
            keyframe: index.is_multiple_of(3),
        };
        times.iter().enumerate().map(frame).collect()
    }

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-6
    }

    #[test]
    fn jitter_follows_the_formula() {
        let mut jitter = Jitter::new(90_000);
        assert_eq!(jitter.milliseconds(), None);
        // Transit differences: 16 ms later, then 16 ms earlier, then as before.
        for (arrival, stamp) in [(100, 0), (156, 40), (180, 80), (220, 120)] {
            jitter.record(ms(arrival), stamp * 90);
        }
        // 16/16 = 1; 1 + (16-1)/16 = 1.9375; 1.9375 - 1.9375/16.
        let (now, largest) = jitter.milliseconds().unwrap();
        assert!(close(now, 1.816_406_25) && close(largest, 1.9375), "{now} {largest}");
    }

    #[test]
    fn a_steady_stream() {
        let summary =
            Summary::of(&frames(&[(0, 5), (40, 45), (80, 85), (120, 125), (160, 165)]), 90_000);
        assert!(close(summary.fps_timestamps.unwrap(), 25.0));
        assert!(close(summary.fps_arrivals.unwrap(), 25.0));
        assert!(close(summary.bits_per_second.unwrap(), 200_000.0));
        assert!(close(summary.keyframe_interval_ms.unwrap(), 120.0));
        assert!(!summary.reordered);
        for late in summary.delay_variation_ms.unwrap() {
            assert!(close(late, 0.0));
        }
        let gaps = summary.arrival_gaps.unwrap();
        assert!(gaps.count == 0 && close(gaps.longest_ms, 40.0), "{gaps:?}");
    }

    #[test]
    fn a_stall_and_a_missing_frame_are_told_apart() {
        // All frames are there, but one came 100 ms late.
        let late = Summary::of(&frames(&[(0, 0), (40, 40), (80, 180), (120, 181)]), 90_000);
        assert_eq!(late.arrival_gaps.unwrap().count, 1);
        assert_eq!(late.timestamp_gaps.unwrap().count, 0);
        assert!(close(late.delay_variation_ms.unwrap()[2], 100.0));
        // Frames left out: both see it.
        let lost = Summary::of(&frames(&[(0, 0), (40, 40), (80, 80), (200, 200)]), 90_000);
        assert_eq!(lost.arrival_gaps.unwrap().count, 1);
        assert_eq!(lost.timestamp_gaps.unwrap().count, 1);
    }

    #[test]
    fn frames_out_of_presentation_order_do_not_disturb_the_rate() {
        let summary =
            Summary::of(&frames(&[(0, 0), (120, 40), (40, 80), (80, 120), (160, 160)]), 90_000);
        assert!(summary.reordered);
        assert!(close(summary.fps_timestamps.unwrap(), 25.0));
        assert_eq!(summary.timestamp_gaps.unwrap().count, 0);
    }

    #[test]
    fn a_burst_at_the_start_shows_in_arrivals_alone() {
        let summary = Summary::of(&frames(&[(0, 1), (40, 2), (80, 3), (120, 43)]), 90_000);
        assert!(close(summary.fps_timestamps.unwrap(), 25.0));
        assert!(summary.fps_arrivals.unwrap() > 70.0);
    }

    #[test]
    fn too_few_frames_say_nothing() {
        assert_eq!(Summary::of(&[], 90_000), Summary::default());
        let one = Summary::of(&frames(&[(0, 5)]), 90_000);
        assert_eq!((one.fps_timestamps, one.bits_per_second), (None, None));
        // Frames that all bear one timestamp have no rate, and no usual distance to exceed.
        let stuck = Summary::of(&frames(&[(7, 0), (7, 40), (7, 80)]), 90_000);
        assert_eq!((stuck.fps_timestamps, stuck.bits_per_second), (None, None));
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        let values = [1.0, 2.0, 3.0, 4.0];
        for (share, value) in [(0.0, 1.0), (0.25, 1.0), (0.26, 2.0), (0.5, 2.0), (1.0, 4.0)] {
            assert_eq!(percentile(&values, share), Some(value), "{share}");
        }
        assert_eq!(percentile(&[], 0.5), None);
    }

    fn report(sent_ms: u64, arrival_ms: u64, ahead_ms: i64) -> SenderReport {
        let unix = 1_800_000_000_000_000_000;
        let sender = unix + sent_ms * 1_000_000;
        SenderReport {
            ntp: WallTime::from_unix_nanos(sender.strict_add_signed(ahead_ms * 1_000_000)).to_ntp(),
            timestamp: sent_ms as i64 * 90,
            arrival: ms(arrival_ms),
            wall_nanos: i128::from(unix + arrival_ms * 1_000_000),
        }
    }

    #[test]
    fn the_clock_offset_takes_half_the_round_trip_off() {
        for ahead in [-3_600_000, -5, 0, 7, 90_000] {
            let reports = [report(0, 4, ahead), report(5000, 5004, ahead)];
            let offset = clock_offset_ms(&reports, ms(8)).unwrap();
            assert!((offset - ahead as f64).abs() < 1e-3, "{ahead}: {offset}");
        }
        assert_eq!(clock_offset_ms(&[], ms(8)), None);
    }

    #[test]
    fn latency_from_capture_needs_no_common_clock() {
        // Frames arrive 30 ms after capture; reports travel 4 ms, and one waits 50 ms more.
        let frames = frames(&[(0, 30), (40, 70), (80, 110)]);
        for ahead in [0, 99_999] {
            let reports = [report(10, 64, ahead), report(90, 94, ahead)];
            let latency = capture_to_arrival_ms(&frames, &reports, 90_000, ms(8)).unwrap();
            assert!(close(latency, 30.0), "{latency}");
        }
    }

    #[test]
    fn ntp_comes_back_as_it_went() {
        for nanos in [0, 1, 999_999_999, 1_500_000_000, 1_800_000_000_123_456_789] {
            assert_eq!(unix_nanos(WallTime::from_unix_nanos(nanos).to_ntp()), i128::from(nanos));
        }
        // 2036-02-07T06:28:17Z, one second into the next era.
        assert_eq!(unix_nanos(1 << 32), ((1i128 << 32) + 1 - 2_208_988_800) * 1_000_000_000);
    }
}
