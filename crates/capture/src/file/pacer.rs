//! Holds each sample back until it is due.

use std::{sync::Arc, time::Duration};

use media::{Clock, MediaTime};

/// Maps a file's own time, which begins at zero, onto the capture clock.
///
/// When the machine has stalled for more than [`MAX_LATE`] (a suspended laptop, a stopped
/// process), what is left is sent at its own pace from then on, not in a burst. Stamps follow at
/// the next keyframe: moved within a group of pictures they could swap two that are sent in
/// another order than they are shown.
pub(crate) struct Pacer {
    clock: Arc<dyn Clock>,
    /// Where zero lies: for sending, and for stamping. Set when the first sample is asked for.
    zero: Option<(MediaTime, MediaTime)>,
    /// Stamps may lie this long before zero.
    lead: Duration,
}

impl Pacer {
    /// `lead`: how long before zero, in nanoseconds, the earliest stamp may lie.
    pub(crate) fn new(clock: Arc<dyn Clock>, lead: i64) -> Self {
        Self { clock, zero: None, lead: Duration::from_nanos(lead.try_into().unwrap_or(0)) }
    }

    /// Waits until a sample is due, `due` nanoseconds after the first, and gives the time for its
    /// stamp, which is `stamp` nanoseconds after the first was due.
    pub(crate) fn wait(&mut self, due: i64, stamp: i64, keyframe: bool) -> MediaTime {
        let now = self.clock.now();
        // The capture clock begins at boot: no stamp may lie before it.
        let start = now.max(MediaTime::ZERO + self.lead);
        let (mut sending, mut stamping) = self.zero.unwrap_or((start, start));
        let late = now.saturating_since(shifted(sending, due));
        if late > MAX_LATE {
            tracing::warn!(?late, "stalled; going on from here");
            sending = sending + late;
        }
        if keyframe {
            stamping = sending;
        }
        self.zero = Some((sending, stamping));
        self.clock.sleep_until(shifted(sending, due));
        shifted(stamping, stamp)
    }
}

fn shifted(time: MediaTime, nanos: i64) -> MediaTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { time - distance } else { time + distance }
}

/// The longest delay that is made up for by sending faster.
const MAX_LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use media::WallTime;

    use super::*;

    #[derive(Default)]
    struct ManualClock(Mutex<MediaTime>);

    impl Clock for ManualClock {
        fn now(&self) -> MediaTime {
            *self.0.lock().unwrap()
        }

        fn wall(&self) -> WallTime {
            WallTime::default()
        }

        fn sleep_until(&self, deadline: MediaTime) {
            let mut now = self.0.lock().unwrap();
            *now = (*now).max(deadline);
        }
    }

    const SECOND: i64 = 1_000_000_000;

    fn pacer(lead: i64) -> (Arc<ManualClock>, Pacer) {
        let clock = Arc::new(ManualClock(Mutex::new(MediaTime::from_nanos(7 * SECOND as u64))));
        (Arc::clone(&clock), Pacer::new(clock, lead))
    }

    fn seconds(time: MediaTime) -> f64 {
        time.as_nanos() as f64 / SECOND as f64
    }

    #[test]
    fn samples_wait_until_they_are_due() {
        let (clock, mut pacer) = pacer(0);
        assert_eq!(seconds(pacer.wait(0, 0, true)), 7.0);
        assert_eq!(seconds(pacer.wait(2 * SECOND, SECOND, false)), 8.0);
        assert_eq!(seconds(clock.now()), 9.0);
    }

    #[test]
    fn a_short_stall_is_made_up_for() {
        let (clock, mut pacer) = pacer(0);
        pacer.wait(0, 0, true);
        clock.sleep_until(MediaTime::from_nanos(8_900_000_000));
        assert_eq!(seconds(pacer.wait(SECOND, SECOND, true)), 8.0);
        assert_eq!(seconds(clock.now()), 8.9);
        pacer.wait(2 * SECOND, 2 * SECOND, true);
        assert_eq!(seconds(clock.now()), 9.0);
    }

    #[test]
    fn a_long_stall_moves_sending_at_once_and_stamps_at_the_next_keyframe() {
        let (clock, mut pacer) = pacer(0);
        pacer.wait(0, 0, true);
        clock.sleep_until(MediaTime::from_nanos(20 * SECOND as u64));
        assert_eq!(seconds(pacer.wait(SECOND, SECOND, false)), 8.0);
        assert_eq!(seconds(pacer.wait(2 * SECOND, 2 * SECOND, false)), 9.0);
        assert_eq!(seconds(clock.now()), 21.0);
        assert_eq!(seconds(pacer.wait(3 * SECOND, 3 * SECOND, true)), 22.0);
        assert_eq!(seconds(clock.now()), 22.0);
    }

    #[test]
    fn no_stamp_lies_before_the_clock() {
        let clock = Arc::new(ManualClock::default());
        let mut pacer = Pacer::new(clock, SECOND);
        assert_eq!(seconds(pacer.wait(0, -SECOND, true)), 0.0);
        assert_eq!(seconds(pacer.wait(SECOND / 2, -SECOND / 2, false)), 0.5);
    }
}
