//! The capture clock and civil time, read from the operating system here and nowhere else.
//! (Deadlines use the runtime's clock, which tests can move.)

use std::time::Duration;

use media::{Clock, MediaTime, WallTime};
use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` and `CLOCK_REALTIME`.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(read(ClockId::CLOCK_MONOTONIC))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(read(ClockId::CLOCK_REALTIME))
    }

    fn sleep_until(&self, deadline: MediaTime) {
        let delay = deadline.saturating_since(self.now());
        if delay > Duration::ZERO {
            std::thread::sleep(delay);
        }
    }
}

/// Nanoseconds on `clock`. Zero when the clock cannot be read, which POSIX rules out for these two.
fn read(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .map_or(0, |time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}
