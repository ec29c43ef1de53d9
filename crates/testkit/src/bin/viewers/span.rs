//! What a process uses while one looks.

use std::time::{Duration, Instant};

use testkit::viewer::{Process, Usage};
use tokio::time::sleep_until;

/// What a process used over some time.
pub(crate) struct Span {
    pub(crate) from: Usage,
    pub(crate) to: Usage,
    time: Duration,
}

impl Span {
    pub(crate) async fn of(process: &Process, time: Duration) -> anyhow::Result<Self> {
        let (begin, from) = (Instant::now(), process.usage()?);
        sleep_until((begin + time).into()).await;
        Ok(Self { from, to: process.usage()?, time: begin.elapsed() })
    }

    /// Of one processor: 1 is all of it.
    pub(crate) fn load(&self) -> f64 {
        (self.to.cpu.saturating_sub(self.from.cpu)).as_secs_f64() / self.time.as_secs_f64()
    }
}
