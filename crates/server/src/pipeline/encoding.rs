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
        if let Received::Unit(unit) = encoder.receive(Some(slot.waker()))? {
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
    use super::*;

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
