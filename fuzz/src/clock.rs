//! A clock that nobody waits for.

use std::sync::atomic::{AtomicU64, Ordering};

use media::{Clock, MediaTime, WallTime};

/// Jumps to whatever time is waited for.
#[derive(Debug, Default)]
pub(crate) struct EagerClock(AtomicU64);

impl Clock for EagerClock {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(self.0.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, time: MediaTime) {
        self.0.fetch_max(time.as_nanos(), Ordering::Relaxed);
    }
}
