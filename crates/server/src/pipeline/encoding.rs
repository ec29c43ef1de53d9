//! What the encoder thread does: pictures from the slot into the encoder, access units out of it.
//!
//! It waits for whatever comes first. A picture is given as soon as the encoder has room, so that
//! hardware never idles for want of one; while it has none, newer pictures take the place of those
//! that wait, so that no queue builds up.

use encode::{Encoder, Received};
use media::Clock;

use super::slot::{Closed, Slot};
use crate::live::Publisher;

/// Encodes and publishes all there is, until the slot is closed.
pub(super) fn run(
    slot: &Slot,
    encoder: &mut dyn Encoder,
    publisher: &mut Publisher,
    clock: &dyn Clock,
) -> Result<(), encode::Error> {
    let mut forced = Forced::default();
    loop {
        if encoder.has_room() {
            let picture = match encoder.in_flight() {
                0 => slot.wait().map(Some),
                _ => slot.take(),
            };
            match picture {
                Ok(Some(picture)) => {
                    let is_pending = forced.is_pending(encoder.in_flight());
                    if !is_pending && publisher.mount().take_keyframe_request(clock.now()) {
                        encoder.force_keyframe();
                        encoder.submit(picture)?;
                        forced.sent(encoder.in_flight());
                    } else {
                        encoder.submit(picture)?;
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
            publisher.publish(&unit);
        }
    }
    encoder.drain()?;
    while encoder.in_flight() > 0 {
        match encoder.receive(None)? {
            Received::Unit(unit) => publisher.publish(&unit),
            Received::Woken => {}
            Received::Idle => break,
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use encode::Picture;
    use media::{AccessUnit, FramePool, I420Layout, MediaTime};
    use v4l2::Waker;

    use super::*;
    use crate::live::mount::{Start, tests::Stream};

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
        let mut stream = Stream::new(Start::OnDemand);
        let slot = Slot::new().unwrap();
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 1);
        slot.put(pool.take(stream.clock.now()).unwrap().into()).unwrap();
        slot.close();
        let mut encoder = Narrow::default();
        run(&slot, &mut encoder, &mut stream.publisher, &*stream.clock).unwrap();
        assert!(!encoder.was_woken);
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
