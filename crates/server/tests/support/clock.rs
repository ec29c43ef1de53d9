//! A clock that shows the virtual time of Tokio.

use std::time::Duration;

use media::{Clock, MediaTime, WallTime};
use tokio::time::Instant;

/// Counts from its making.
#[derive(Debug)]
pub struct VirtualClock(Instant);

impl VirtualClock {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(UPTIME) + self.0.elapsed()
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(DATE) + self.0.elapsed()
    }

    fn sleep_until(&self, _: MediaTime) {
        panic!("no thread may be blocked in virtual time");
    }
}

const UPTIME: u64 = Duration::from_secs(1000).as_nanos() as u64;
/// 2026-01-01T00:00:00Z
const DATE: u64 = Duration::from_secs(1_767_225_600).as_nanos() as u64;
