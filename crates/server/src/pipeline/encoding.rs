//! What the encoder thread does: pictures from the slot into the encoder, access units out of it.
//!
//! It waits for whatever comes first. A picture is given as soon as the encoder has room, so that
//! hardware never idles for want of one; while it has none, newer pictures take the place of those
//! that wait, so that no queue builds up.

use std::{collections::VecDeque, sync::Arc};

use encode::{Encoder, Picture, Received};
use media::{AccessUnit, Clock, MediaTime};

use super::{
    outlet::Outlet,
    slot::{Closed, Slot, Waiting},
};
use crate::live::Stamps;

/// Encodes and publishes all there is, until the slot is closed.
pub(super) fn run(
    slot: &Slot,
    encoder: &mut dyn Encoder,
    outlet: &mut Outlet,
    clock: &dyn Clock,
) -> Result<(), encode::Error> {
    let (mut forced, mut given) = (Forced::default(), Given::default());
    let mount = Arc::clone(outlet.mount());
    outlet.set_encoder(encoder.name());
    loop {
        #[cfg(debug_assertions)]
        super::faults::ENCODER.strike();
        if encoder.has_room() {
            let waiting = match encoder.in_flight() {
                0 => slot.wait().map(Some),
                _ => slot.take(),
            };
            match waiting {
                Ok(Some(waiting)) => {
                    let now = clock.now();
                    mount.vitals().note_gaps(slot.take_skipped());
                    let is_pending = forced.is_pending(encoder.in_flight());
                    let is_forced = !is_pending && outlet.take_keyframe_request(now);
                    if is_forced {
                        encoder.force_keyframe();
                    }
                    given.note(&waiting, now);
                    encoder.submit(waiting.picture)?;
                    if is_forced {
                        forced.sent(encoder.in_flight());
                    }
                }
                Ok(None) => {}
                Err(Closed) => break,
            }
        }
        // Without room a new picture is nothing to wake up for; the old one's end is.
        let waker = encoder.has_room().then(|| slot.waker());
        if let Received::Unit(unit) = encoder.receive(waker)? {
            forced.received(unit.is_keyframe());
            let stamps = given.stamps(&unit, clock.now());
            outlet.publish(unit, stamps);
        }
    }
    encoder.drain()?;
    while encoder.in_flight() > 0 {
        match encoder.receive(None)? {
            Received::Unit(unit) => {
                let stamps = given.stamps(&unit, clock.now());
                outlet.publish(unit, stamps);
            }
            Received::Woken => {}
            Received::Idle => break,
        }
    }
    Ok(())
}

/// What became of the pictures that the encoder has, so that what it makes of them can tell.
#[derive(Debug, Default)]
struct Given {
    /// When each was taken, and what is known of it; the oldest first.
    pictures: VecDeque<(MediaTime, Stamps)>,
}

impl Given {
    /// The encoder is given a picture now.
    fn note(&mut self, waiting: &Waiting, now: MediaTime) {
        let taken = match &waiting.picture {
            Picture::Raw(frame) => frame.time(),
            Picture::Lent { time, .. } => *time,
        };
        let Waiting { arrived, ready, .. } = *waiting;
        if self.pictures.len() == MOST_GIVEN {
            self.pictures.pop_front();
        }
        self.pictures.push_back((taken, Stamps { arrived, ready, given: now, encoded: now }));
    }

    /// Of the picture that has come out now. Nothing is reordered: those before it were dropped.
    fn stamps(&mut self, unit: &AccessUnit, now: MediaTime) -> Stamps {
        let at = self.pictures.iter().position(|(taken, _)| *taken == unit.time());
        let found = at.and_then(|at| self.pictures.drain(..=at).next_back());
        match found {
            Some((_, stamps)) => Stamps { encoded: now, ..stamps },
            None => Stamps::of_encoded(now),
        }
    }
}

/// A keyframe that was asked for and has not come out yet. Until it has, the wish stands with the
/// mount, and must not be granted once more for each picture in flight.
#[derive(Debug, Default)]
struct Forced {
    /// How many more access units it may take.
    units: usize,
}

impl Forced {
    fn sent(&mut self, in_flight: usize) {
        self.units = in_flight;
    }

    fn received(&mut self, is_keyframe: bool) {
        self.units = if is_keyframe { 0 } else { self.units.saturating_sub(1) };
    }

    /// Whether it may still come out of those in flight.
    fn is_pending(&mut self, in_flight: usize) -> bool {
        self.units = self.units.min(in_flight);
        self.units > 0
    }
}

/// More than any encoder has in flight: what it drops without a word is forgotten.
const MOST_GIVEN: usize = 64;

#[cfg(test)]
mod tests {
    use media::{FramePool, I420Layout};
    use v4l2::Waker;

    use super::*;
    use crate::{
        live::mount::{Start, tests::Stream},
        pipeline::handover::Handover,
    };

    /// Has room for one picture, and is woken for nothing while it has it.
    #[derive(Default)]
    struct Narrow {
        pictures: VecDeque<MediaTime>,
        was_woken: bool,
    }

    impl Encoder for Narrow {
        fn name(&self) -> &str {
            "narrow"
        }

        fn has_room(&self) -> bool {
            self.pictures.is_empty()
        }

        fn submit(&mut self, picture: Picture) -> Result<(), encode::Error> {
            let Picture::Raw(frame) = picture else { panic!("{picture:?}") };
            self.pictures.push_back(frame.time());
            Ok(())
        }

        fn receive(&mut self, waker: Option<&Waker>) -> Result<Received, encode::Error> {
            // As a device in use would: it is not done, and so sees who else wants something.
            self.was_woken |= !self.has_room() && waker.is_some();
            Ok(match self.pictures.pop_front() {
                Some(time) => {
                    Received::Unit(AccessUnit::from_annexb(vec![0, 0, 1, 0x65, 0x88].into(), time))
                }
                None => Received::Idle,
            })
        }

        fn in_flight(&self) -> usize {
            self.pictures.len()
        }

        fn force_keyframe(&mut self) {}

        fn set_bitrate(&mut self, _: u32) -> Result<(), encode::Error> {
            Ok(())
        }

        fn drain(&mut self) -> Result<(), encode::Error> {
            Ok(())
        }
    }

    /// A waker that nobody resets would keep the thread from sleeping while the encoder is full.
    #[tokio::test]
    async fn a_full_encoder_is_not_woken_by_pictures() {
        let Stream { mount, publisher, clock } = Stream::new(Start::OnDemand);
        let handover = Arc::new(Handover::default());
        handover.give(Box::new(publisher)).unwrap();
        let (said, _) = tokio::sync::mpsc::unbounded_channel();
        let mut outlet = Outlet::new(mount, handover, said);
        let slot = Slot::new().unwrap();
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 1);
        slot.put(pool.take(clock.now()).unwrap().into()).unwrap();
        slot.close();
        let mut encoder = Narrow::default();
        run(&slot, &mut encoder, &mut outlet, &*clock).unwrap();
        assert!(!encoder.was_woken);
    }

    #[test]
    fn what_comes_out_knows_when_it_went_in() {
        let at = MediaTime::from_nanos;
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 1);
        let mut give = |given: &mut Given, taken: u64| {
            let picture = pool.take(at(taken)).unwrap().into();
            let waiting = Waiting { picture, arrived: at(taken + 1), ready: at(taken + 3) };
            given.note(&waiting, at(taken + 6));
        };
        let unit = |taken| AccessUnit::from_annexb(vec![0, 0, 1, 0x65].into(), at(taken));
        let stamps = |taken: u64, now| Stamps {
            arrived: at(taken + 1),
            ready: at(taken + 3),
            given: at(taken + 6),
            encoded: at(now),
        };
        let mut given = Given::default();
        // A camera's clock may go back, and its times repeat.
        for taken in [100, 200, 150, 150] {
            give(&mut given, taken);
        }
        assert_eq!(given.stamps(&unit(200), at(300)), stamps(200, 300), "the first was dropped");
        assert_eq!(given.stamps(&unit(100), at(301)), Stamps::of_encoded(at(301)), "never given");
        for now in [310, 320] {
            assert_eq!(given.stamps(&unit(150), at(now)), stamps(150, now));
        }
        assert!(given.pictures.is_empty());
        // An encoder that gives nothing back does not fill the memory.
        (0..1000).for_each(|taken| give(&mut given, taken));
        assert_eq!(given.pictures.len(), MOST_GIVEN);
        assert_eq!(given.stamps(&unit(999), at(2000)), stamps(999, 2000));
    }

    #[test]
    fn a_forced_keyframe_is_awaited_while_it_may_come() {
        let mut forced = Forced::default();
        assert!(!forced.is_pending(2));
        forced.sent(3);
        forced.received(false);
        assert!(forced.is_pending(3), "two may still be it");
        forced.received(true);
        assert!(!forced.is_pending(2));

        forced.sent(2);
        forced.received(false);
        forced.received(false);
        assert!(!forced.is_pending(2), "the encoder has forgotten it");

        forced.sent(2);
        assert!(!forced.is_pending(0), "the encoder has dropped its picture");
    }
}
