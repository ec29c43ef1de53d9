//! When to ask the encoder for an IDR out of turn.
//!
//! An IDR costs many times a predicted picture, and everyone pays for it. So a viewer that joins
//! shortly after a keyframe starts there ([`REUSE_WINDOW`]); forced IDRs are spaced by the same
//! window, and come from a token bucket, so that joining and leaving in a loop cannot inflate the
//! stream for the others. Pure: time is an argument.

use std::time::Duration;

use media::MediaTime;

/// A joiner starts at the newest keyframe when that is younger than this. Also the least time
/// between a keyframe and a forced one after it, so that no joiner ever waits for the limiter.
pub const REUSE_WINDOW: Duration = Duration::from_millis(250);

/// The wish for a keyframe, and how often it may be granted.
#[derive(Debug)]
pub struct KeyframeRequests {
    wanted: bool,
    tokens: u32,
    /// When the bucket last gained a token, or was last full.
    refilled: MediaTime,
    last_keyframe: Option<MediaTime>,
}

impl KeyframeRequests {
    /// A full bucket.
    pub fn new(now: MediaTime) -> Self {
        Self { wanted: false, tokens: BURST, refilled: now, last_keyframe: None }
    }

    /// Somebody waits for a keyframe. The wish stands until a keyframe comes, forced or not.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether the next picture is to be an IDR. Asked once before each picture; a yes spends a
    /// token.
    pub fn take(&mut self, now: MediaTime) -> bool {
        self.refill(now);
        let spaced =
            self.last_keyframe.is_none_or(|last| now.saturating_since(last) >= REUSE_WINDOW);
        if !self.wanted || !spaced || self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }

    /// A keyframe was published.
    pub fn published(&mut self, now: MediaTime) {
        self.wanted = false;
        self.last_keyframe = Some(now);
    }

    fn refill(&mut self, now: MediaTime) {
        while self.tokens < BURST && now.saturating_since(self.refilled) >= REFILL {
            self.tokens += 1;
            self.refilled = self.refilled + REFILL;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
    }
}

/// Forced IDRs that may come in quick succession.
const BURST: u32 = 4;
/// One more may be forced after each such span.
const REFILL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MediaTime {
        MediaTime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn nothing_is_forced_unasked() {
        let mut requests = KeyframeRequests::new(at(0));
        assert!(!requests.take(at(0)));
        requests.want();
        assert!(requests.take(at(10)));
        requests.published(at(10));
        assert!(!requests.take(at(1000)));
    }

    #[test]
    fn forced_keyframes_keep_their_distance() {
        let mut requests = KeyframeRequests::new(at(0));
        requests.published(at(0));
        requests.want();
        assert!(!requests.take(at(249)));
        assert!(requests.take(at(250)));
    }

    #[test]
    fn joining_in_a_loop_runs_the_bucket_dry_but_not_for_ever() {
        let mut requests = KeyframeRequests::new(at(0));
        let mut forced = Vec::new();
        for now in (0..10_000).step_by(33) {
            requests.want();
            if requests.take(at(now)) {
                requests.published(at(now));
                forced.push(now);
            }
        }
        // Four at once, then one each two seconds: five more in ten seconds at the most.
        assert_eq!(forced.iter().filter(|&&now| now < 1500).count(), 4, "{forced:?}");
        assert_eq!(forced.len(), 8, "{forced:?}");
        for pair in forced[4..].windows(2) {
            assert!(pair[1] - pair[0] >= 1950, "{forced:?}");
        }
    }

    #[test]
    fn a_keyframe_that_came_anyway_fulfils_the_wish() {
        let mut requests = KeyframeRequests::new(at(0));
        requests.want();
        requests.published(at(5));
        assert!(!requests.take(at(1000)));
    }
}
