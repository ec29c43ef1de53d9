//! Viewers that join one after another and leave with their first keyframe: how long that takes at
//! each phase of the group of pictures. Others watch meanwhile, so that the source is warm.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::viewer::{self, Config, Error, Report, Spread, Transport};
use tokio::time::sleep_until;

/// When they come.
pub(crate) struct Joins {
    after: Vec<Duration>,
}

impl Joins {
    /// So many, each at least `spacing` after the one before, and at most by `spread` more. What is
    /// added goes in steps of the golden ratio, which meet every part of `spread` about as often,
    /// however many there are; the same in each run.
    pub(crate) fn planned(count: usize, spacing: Duration, spread: Duration) -> Self {
        let mut next = Duration::ZERO;
        let after = (0..count).map(|number| {
            let part = (number as f64 * GOLDEN_RATIO).fract();
            let after = next + spread.mul_f64(part);
            next = after + spacing;
            after
        });
        Self { after: after.collect() }
    }

    /// How long they take, with some time for the last.
    pub(crate) fn time(&self) -> Duration {
        self.after.last().map_or(Duration::ZERO, |&last| last + LAST)
    }

    /// Has them join, beginning at `begin`. One that is not done when the next is due holds it up.
    pub(crate) async fn run(
        &self,
        begin: Instant,
        config: impl Fn(usize) -> Config,
    ) -> Vec<Result<Report, Error>> {
        let mut joined = Vec::with_capacity(self.after.len());
        for (number, after) in self.after.iter().enumerate() {
            sleep_until((begin + *after).into()).await;
            let config = Config { duration: LAST, ..config(number) };
            joined.push(viewer::join(&config).await);
        }
        joined
    }
}

/// What one of them saw, by what others saw who were there already.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Join {
    pub(crate) transport: Transport,
    /// From the keyframe before it came, as the others got it; `None` when there was none.
    phase: Option<Duration>,
    /// From just before connecting to the reply to PLAY.
    played: Option<Duration>,
    first_packet: Option<Duration>,
    first_keyframe: Option<Duration>,
}

impl Join {
    pub(crate) fn of<'a>(report: &Report, others: impl Iterator<Item = &'a Report>) -> Self {
        let seen = others.flat_map(|other| &other.keyframes);
        let before = seen.filter(|keyframe| **keyframe <= report.started).max();
        let play = report.replies.iter().rfind(|reply| reply.method == "PLAY");
        Self {
            transport: report.transport,
            phase: before.map(|keyframe| report.started - *keyframe),
            played: play.map(|reply| reply.after),
            first_packet: report.first_packet,
            first_keyframe: report.first_keyframe,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
        json!({
            "transport": match self.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            },
            "phase_ms": millis(self.phase),
            "played_ms": millis(self.played),
            "first_packet_ms": millis(self.first_packet),
            "first_keyframe_ms": millis(self.first_keyframe),
        })
    }
}

/// One of the times of all of them.
pub(crate) fn spread(joins: &[Join], time: Step) -> Option<Spread> {
    Spread::of(joins.iter().filter_map(time).collect())
}

/// One of a join's times; none when it did not get as far.
type Step = fn(&Join) -> Option<Duration>;

/// The steps of joining, by name.
pub(crate) const STEPS: [(&str, Step); 3] = [
    ("connect → reply to PLAY", |join| join.played),
    ("connect → first packet", |join| join.first_packet),
    ("connect → first whole keyframe", |join| join.first_keyframe),
];
/// The fractional part of it.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
/// How long one may wait for its keyframe.
const LAST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_keep_their_distance_and_meet_every_phase() {
        let (spacing, spread) = (Duration::from_secs(2), Duration::from_secs(1));
        let joins = Joins::planned(100, spacing, spread);
        let gaps = joins.after.windows(2).map(|pair| pair[1] - pair[0]);
        let gaps: Vec<_> = gaps.collect();
        assert!(gaps.iter().all(|gap| (spacing..=spacing + spread).contains(gap)), "{gaps:?}");
        // Had each of them brought a keyframe about, the next would come so long after it.
        for tenth in 0..10 {
            let meets = |gap: &&Duration| gap.subsec_millis() / 100 == tenth;
            let met = gaps.iter().filter(meets).count();
            assert!((8..=12).contains(&met), "{met} in tenth {tenth}");
        }
        assert!(joins.time() > *joins.after.last().unwrap());
        assert_eq!(Joins::planned(0, spacing, spread).time(), Duration::ZERO);
    }
}
