//! Three kinds of time, kept apart by type.
//!
//! * [`std::time::Instant`]: deadlines of protocol code, passed in as `now`.
//! * [`MediaTime`]: when a picture was taken, on the capture clock.
//! * [`WallTime`]: the civil time a receiver compares with its own clock (NTP in sender reports).

use std::{
    fmt,
    num::NonZeroU32,
    ops::{Add, Sub},
    str::FromStr,
    time::Duration,
};

/// A point on the capture clock: nanoseconds of `CLOCK_MONOTONIC`.
///
/// 64 bits of nanoseconds reach 584 years beyond boot, so additions saturate rather than wrap.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The clock's own zero (boot).
    pub const ZERO: Self = Self(0);

    /// From nanoseconds of `CLOCK_MONOTONIC`.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for MediaTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(rhs)))
    }
}

impl Sub<Duration> for MediaTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(rhs)))
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / NANOS_PER_SECOND, self.0 % NANOS_PER_SECOND)
    }
}

/// A point in civil time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }

    /// The 64-bit NTP timestamp of RFC 3550 section 4: seconds since 1900 in the upper half, binary
    /// fractions of a second in the lower. Wraps in 2036 as RFC 3550 says it does.
    pub const fn to_ntp(self) -> u64 {
        let seconds = (self.0 / NANOS_PER_SECOND).wrapping_add(NTP_UNIX_OFFSET_SECONDS);
        let fraction = ((self.0 % NANOS_PER_SECOND) << 32) / NANOS_PER_SECOND;
        (seconds << 32) | fraction
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(rhs)))
    }
}

/// Where time comes from outside the pure crates. The real one is made in one place of the server;
/// tests pass one that they move by hand.
pub trait Clock: Send + Sync {
    /// The capture clock.
    fn now(&self) -> MediaTime;

    /// Civil time.
    fn wall(&self) -> WallTime;

    /// Blocks the calling thread until the capture clock reads `deadline` or later.
    fn sleep_until(&self, deadline: MediaTime);
}

/// Frames per second as an exact fraction: 30000/1001 has no finite decimal form.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct FrameRate {
    numerator: NonZeroU32,
    denominator: NonZeroU32,
}

impl FrameRate {
    /// `numerator / denominator` frames per second; `None` when either is zero.
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        match (NonZeroU32::new(numerator), NonZeroU32::new(denominator)) {
            (Some(numerator), Some(denominator)) => Some(Self { numerator, denominator }),
            _ => None,
        }
    }

    /// Frames in `denominator()` seconds.
    pub const fn numerator(self) -> u32 {
        self.numerator.get()
    }

    /// Seconds that `numerator()` frames take.
    pub const fn denominator(self) -> u32 {
        self.denominator.get()
    }

    /// Frames per second, rounded to a float.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator.get()) / f64::from(self.denominator.get())
    }

    /// When frame `index` is due, counted from frame 0. Computed from the index and not by adding
    /// intervals, so that it does not drift.
    pub fn offset_of(self, index: u64) -> Duration {
        let nanos =
            u128::from(index) * u128::from(NANOS_PER_SECOND) * u128::from(self.denominator.get())
                / u128::from(self.numerator.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The time between two frames, rounded down to a nanosecond.
    pub fn interval(self) -> Duration {
        self.offset_of(1)
    }

    /// The number of frames nearest to `span`, at least one.
    pub fn frames_in(self, span: Duration) -> u32 {
        let frames = (span.as_secs_f64() * self.as_f64()).round();
        (frames as u32).max(1)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator.get() {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl fmt::Debug for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} fps")
    }
}

/// A frame rate that cannot be read: neither `30`, `29.97` nor `30000/1001`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a frame rate: {0:?} (write 30, 12.5 or 30000/1001)")]
pub struct FrameRateError(String);

impl FromStr for FrameRate {
    type Err = FrameRateError;

    /// Reads `30`, `12.5` (up to three decimals) or `30000/1001`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || FrameRateError(text.to_owned());
        let digits = |part: &str| {
            (!part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok())
                .flatten()
                .ok_or_else(error)
        };
        let (numerator, denominator) = if let Some((numerator, denominator)) = text.split_once('/')
        {
            (digits(numerator)?, digits(denominator)?)
        } else if let Some((whole, decimals)) = text.split_once('.') {
            if decimals.len() > 3 {
                return Err(error());
            }
            let scale = 10u32.pow(decimals.len() as u32);
            let whole = digits(whole)?.checked_mul(scale).ok_or_else(error)?;
            (whole.checked_add(digits(decimals)?).ok_or_else(error)?, scale)
        } else {
            (digits(text)?, 1)
        };
        let divisor = greatest_common_divisor(numerator, denominator).max(1);
        Self::new(numerator / divisor, denominator / divisor).ok_or_else(error)
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Seconds from 1900-01-01 to 1970-01-01 (RFC 868).
const NTP_UNIX_OFFSET_SECONDS: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_of_known_moments() {
        assert_eq!(WallTime::from_unix_nanos(0).to_ntp(), 2_208_988_800 << 32);
        let half = WallTime::from_unix_nanos(1_500_000_000).to_ntp();
        assert_eq!(half, (2_208_988_801 << 32) | 0x8000_0000);
        // 2036-02-07T06:28:16Z: era 1 begins, and its first quarter of a second ends.
        let era = WallTime::from_unix_nanos(2_085_978_496_250_000_000);
        assert_eq!(era.to_ntp(), 0x4000_0000);
    }

    #[test]
    fn times_move_and_stop_at_their_ends() {
        let second = Duration::from_secs(1);
        let time = MediaTime::from_nanos(2_500_000_000);
        assert_eq!((time + second).as_nanos(), 3_500_000_000);
        assert_eq!((time - second).as_nanos(), 1_500_000_000);
        assert_eq!((time + second).saturating_since(time), second);
        assert_eq!(time.saturating_since(time + second), Duration::ZERO);
        assert_eq!(time - 3 * second, MediaTime::ZERO);
        let end = MediaTime::from_nanos(u64::MAX);
        assert_eq!(end - second + 2 * second, end);
        assert_eq!(time + Duration::MAX, end, "more than 64 bits of nanoseconds");
        assert_eq!(end - Duration::MAX, MediaTime::ZERO);
        let wall = WallTime::from_unix_nanos(2_500_000_000) + second;
        assert_eq!(wall.as_unix_nanos(), 3_500_000_000);
        assert_eq!((wall + Duration::MAX).as_unix_nanos(), u64::MAX);
    }

    #[test]
    fn media_time_is_shown_in_seconds() {
        assert_eq!(format!("{:?}", MediaTime::from_nanos(12_000_000_034)), "12.000000034s");
    }

    #[test]
    fn frame_rates_as_written() {
        for (text, numerator, denominator) in [
            ("30", 30, 1),
            ("29.97", 2997, 100),
            ("30000/1001", 30000, 1001),
            ("12.5", 25, 2),
            ("60/2", 30, 1),
            ("23.976", 2997, 125),
            ("25.000", 25, 1),
            ("0.5", 1, 2),
            ("999999999", 999_999_999, 1),
        ] {
            let rate: FrameRate = text.parse().expect(text);
            assert_eq!((rate.numerator(), rate.denominator()), (numerator, denominator), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "+30",
            "30/0",
            "0/30",
            "1e3",
            ".5",
            "5.",
            "1000000000",
            "9999999999",
            "1.0001",
            "nan",
            "4294967.999",
            "429496730.1",
            "429496729.9",
            "30/1/1",
            "1,5",
            " 30",
        ] {
            let error = text.parse::<FrameRate>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?} (write 30")), "{error}");
        }
    }

    #[test]
    fn frame_rates_are_shown_as_they_can_be_written() {
        for text in ["30", "30000/1001", "25/2"] {
            let rate: FrameRate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(format!("{rate:?}"), format!("{text} fps"));
        }
    }

    #[test]
    fn frames_and_the_time_they_take() {
        let ntsc = FrameRate::new(30000, 1001).unwrap();
        assert_eq!(ntsc.interval(), Duration::from_nanos(33_366_666));
        assert!((ntsc.as_f64() - 29.97).abs() < 0.001);
        for (millis, frames) in [(0, 1), (1, 1), (1000, 30), (2000, 60), (50, 1), (51, 2)] {
            assert_eq!(ntsc.frames_in(Duration::from_millis(millis)), frames, "{millis} ms");
        }
        let slow = FrameRate::new(1, u32::MAX).unwrap();
        assert_eq!(slow.offset_of(u64::MAX), Duration::from_nanos(u64::MAX));
        assert_eq!(FrameRate::new(0, 1), None);
        assert_eq!(FrameRate::new(1, 0), None);
    }

    #[test]
    fn frame_offsets_do_not_drift() {
        let rate = FrameRate::new(30000, 1001).unwrap();
        // 30000 frames take exactly 1001 seconds, however odd one interval is.
        assert_eq!(rate.offset_of(30000 * 86_400), Duration::from_secs(1001 * 86_400));
    }
}
