//! Pictures given to a driver, and the stamps that what it makes of them will bear.
//!
//! The stamp is a counter, in frame intervals: some drivers take the rate from it, and some round
//! it. Never the picture's real time, which may repeat or go back.

use std::{collections::VecDeque, time::Duration};

use media::MediaTime;

/// What is awaited, in the order in which it was given.
#[derive(Debug)]
pub(super) struct Pending {
    interval: Duration,
    /// Of the next picture.
    next: u64,
    pictures: VecDeque<(u64, MediaTime)>,
}

impl Pending {
    pub(super) fn new(interval: Duration) -> Self {
        // Stamps have whole microseconds, and must differ by more than drivers round.
        let interval = Duration::from_micros(interval.as_micros().try_into().unwrap_or(u64::MAX));
        let interval = interval.clamp(LEAST_INTERVAL, GREATEST_INTERVAL);
        // Zero is what drivers write that copy nothing.
        Self { interval, next: 1, pictures: VecDeque::new() }
    }

    /// Of the picture that is given next.
    pub(super) fn stamp(&self) -> Duration {
        let micros = self.interval.as_micros() as u64;
        Duration::from_micros(micros.saturating_mul(self.next))
    }

    /// A picture taken at `time` was given, with that stamp.
    pub(super) fn push(&mut self, time: MediaTime) {
        self.pictures.push_back((self.next, time));
        self.next += 1;
        if self.pictures.len() > MOST {
            self.pictures.pop_front();
        }
    }

    /// When the picture with this stamp was taken; `None` when there is none.
    pub(super) fn find(&self, stamp: Duration) -> Option<MediaTime> {
        let number = self.number(stamp);
        self.pictures.iter().find(|picture| picture.0 == number).map(|picture| picture.1)
    }

    /// The picture with this stamp is done with, and so are those before it, for nothing is
    /// reordered. How many those were.
    pub(super) fn remove(&mut self, stamp: Duration) -> usize {
        let number = self.number(stamp);
        let before = self.pictures.iter().take_while(|picture| picture.0 < number).count();
        let is_there = self.pictures.get(before).is_some_and(|picture| picture.0 == number);
        if !is_there {
            return 0;
        }
        self.pictures.drain(..=before);
        before
    }

    pub(super) fn len(&self) -> usize {
        self.pictures.len()
    }

    pub(super) fn clear(&mut self) {
        self.pictures.clear();
    }

    /// Pictures that were given so far.
    pub(super) fn count(&self) -> u64 {
        self.next - 1
    }

    fn number(&self, stamp: Duration) -> u64 {
        let half = self.interval / 2;
        let intervals = stamp.saturating_add(half).as_micros() / self.interval.as_micros();
        intervals.try_into().unwrap_or(u64::MAX)
    }
}

const LEAST_INTERVAL: Duration = Duration::from_millis(1);
const GREATEST_INTERVAL: Duration = Duration::from_secs(10);
/// A driver that has more pictures than this has forgotten the first.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn time(millis: u64) -> MediaTime {
        MediaTime::from_nanos(millis * 1_000_000)
    }

    fn three() -> (Pending, [Duration; 3]) {
        let mut pending = Pending::new(Duration::from_nanos(33_333_333));
        // The times of pictures may be anything: here a camera's clock goes back.
        let stamps = [500, 400, 450].map(|millis| {
            let stamp = pending.stamp();
            pending.push(time(millis));
            stamp
        });
        (pending, stamps)
    }

    #[test]
    fn stamps_grow_by_whole_microseconds_and_none_is_zero() {
        let (pending, stamps) = three();
        assert_eq!(stamps.map(|stamp| stamp.as_nanos()), [33_333_000, 66_666_000, 99_999_000]);
        assert_eq!((pending.len(), pending.count()), (3, 3));
    }

    #[test]
    fn each_stamp_finds_its_time_even_if_rounded() {
        let (mut pending, [first, second, third]) = three();
        assert_eq!(pending.find(second), Some(time(400)));
        assert_eq!(pending.find(Duration::from_millis(67)), Some(time(400)), "whole milliseconds");
        assert_eq!(pending.remove(first), 0);
        assert_eq!(pending.find(first), None);
        assert_eq!(pending.remove(third), 1, "the second was dropped");
        assert_eq!((pending.len(), pending.remove(third)), (0, 0));
    }

    #[test]
    fn other_stamps_find_nothing_and_remove_nothing() {
        let (mut pending, [_, _, third]) = three();
        for stamp in [Duration::ZERO, third * 2, Duration::MAX, Duration::from_micros(1)] {
            assert_eq!((pending.find(stamp), pending.remove(stamp)), (None, 0), "{stamp:?}");
        }
        assert_eq!(pending.len(), 3);
        pending.clear();
        assert_eq!((pending.len(), pending.count()), (0, 3));
    }

    #[test]
    fn what_never_comes_is_forgotten() {
        let mut pending = Pending::new(Duration::ZERO);
        (0..1000).for_each(|millis| pending.push(time(millis)));
        assert_eq!(pending.len(), MOST);
        assert_eq!(pending.find(Duration::from_millis(1000)), Some(time(999)));
    }
}
