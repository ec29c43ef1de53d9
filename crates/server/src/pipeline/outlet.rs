//! Where a run's pictures go: into the stream's publisher, which is asked for when there is a first
//! one to show.
//!
//! ```text
//!  first keyframe ──held──▶ Event::Ready ──▶ the keeper stops the card ──▶ Publisher ──▶ all held
//! ```
//!
//! Until then something else may be shown in its place, for a camera that is open may still hang.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use media::{AccessUnit, FrameRate, MediaTime, h264::ParameterSets};
use tokio::sync::mpsc;
use tracing::debug;

use super::{Event, handover::Handover};
use crate::live::{Mount, Publisher, Stamps};

/// See the module.
pub(super) struct Outlet {
    mount: Arc<Mount>,
    handover: Arc<Handover>,
    said: mpsc::UnboundedSender<Event>,
    introduction: Introduction,
    /// What encodes the pictures, where they do not come encoded.
    encoder: Option<String>,
    /// Whether the publisher was asked for.
    is_ready: bool,
    patience: Duration,
    publisher: Option<Box<Publisher>>,
    /// From a keyframe on, while there is no publisher.
    held: VecDeque<(AccessUnit, Stamps)>,
}

/// What is known of a run's pictures before the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Introduction {
    pub(super) parameter_sets: Option<ParameterSets>,
    pub(super) rate: Option<FrameRate>,
    pub(super) bitrate: Option<u32>,
    /// Whether keyframes can be had at any time.
    pub(super) on_demand: bool,
}

impl Outlet {
    /// Into what `handover` will bring, once [`Event::Ready`] was said.
    pub(super) fn new(
        mount: Arc<Mount>,
        handover: Arc<Handover>,
        said: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self {
            mount,
            handover,
            said,
            introduction: Introduction::default(),
            encoder: None,
            is_ready: false,
            patience: PATIENCE,
            publisher: None,
            held: VecDeque::new(),
        }
    }

    /// The mount that is published to.
    pub(super) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// Says what is to come, before the first picture.
    pub(super) fn introduce(&mut self, introduction: Introduction) {
        self.introduction = introduction;
    }

    /// Says what encodes the pictures from now on.
    pub(super) fn set_encoder(&mut self, name: &str) {
        self.encoder = Some(name.to_owned());
        if self.publisher.is_some() {
            self.mount.vitals().set_encoder(Some(name));
        }
    }

    /// Whether the next picture to be encoded is to be an IDR. Who watches something else has asked
    /// that for one.
    pub(super) fn take_keyframe_request(&self, now: MediaTime) -> bool {
        self.publisher.is_some() && self.mount.take_keyframe_request(now)
    }

    /// What comes from now on does not follow from what came before.
    pub(super) fn interrupt(&mut self) {
        self.held.clear();
        if let Some(publisher) = &mut self.publisher {
            publisher.interrupt();
        }
    }

    /// Publishes a picture, or holds it until it can be.
    pub(super) fn publish(&mut self, unit: AccessUnit, stamps: Stamps) {
        if let Some(publisher) = &mut self.publisher {
            return publisher.publish_encoded(&unit, &stamps);
        }
        if unit.is_keyframe() {
            // Nobody has seen those before.
            self.held.clear();
        } else if self.held.is_empty() {
            return;
        } else if self.held.len() == MOST_HELD {
            debug!("nobody takes the pictures: the next begin with a keyframe");
            return self.held.clear();
        }
        self.held.push_back((unit, stamps));
        if !self.is_ready {
            self.is_ready = true;
            let _ = self.said.send(Event::Ready);
        }
        if let Some(publisher) = self.handover.wait(self.patience) {
            self.begin(publisher);
        }
    }

    fn begin(&mut self, publisher: Box<Publisher>) {
        // There at once: a panic must not cost it.
        let publisher = self.publisher.insert(publisher);
        let Introduction { parameter_sets, rate, bitrate, on_demand } = self.introduction.clone();
        self.mount.vitals().set_encoder(self.encoder.as_deref());
        publisher.announce(parameter_sets, rate, bitrate);
        if on_demand {
            publisher.start_on_demand();
        }
        for (unit, stamps) in self.held.drain(..) {
            publisher.publish_encoded(&unit, &stamps);
        }
    }

    /// The run is over: the publisher, if it was ever given.
    pub(super) fn close(self) -> Option<Box<Publisher>> {
        // Closed in any case, so that it keeps none that comes too late.
        let late = self.handover.clear();
        self.publisher.or(late)
    }
}

/// For the publisher with each picture that is held: as long as a card takes to stop, which comes
/// every 100 ms, and less than a camera's buffers last, since it is its reader who may wait here.
const PATIENCE: Duration = Duration::from_millis(100);
/// Seconds of them: nothing that is about to stop takes as long.
const MOST_HELD: usize = 128;

#[cfg(test)]
mod tests {
    use media::Clock;

    use super::*;
    use crate::live::{
        Cursor, Stage,
        mount::{Start, tests::Stream},
    };

    /// Of a run whose publisher may come at any time.
    struct Run {
        mount: Arc<Mount>,
        clock: Arc<dyn Clock>,
        cursor: Cursor,
        handover: Arc<Handover>,
        outlet: Outlet,
        events: mpsc::UnboundedReceiver<Event>,
    }

    impl Run {
        fn new() -> (Self, Box<Publisher>) {
            let start = Start::Cached { span: Duration::from_secs(2), bytes: 1 << 20 };
            let Stream { mount, publisher, clock } = Stream::new(start);
            let (said, events) = mpsc::unbounded_channel();
            let handover = Arc::new(Handover::default());
            let mut outlet = Outlet::new(mount.clone(), handover.clone(), said);
            outlet.patience = Duration::ZERO;
            let cursor = mount.join(clock.now());
            (Self { mount, clock, cursor, handover, outlet, events }, Box::new(publisher))
        }

        fn publish(&mut self, nal: u8) {
            let now = self.clock.now();
            let data = [&[0, 0, 1][..], SPS, &[0, 0, 1], PPS, &[0, 0, 1, nal, 0x88]].concat();
            let unit = AccessUnit::from_annexb(data.into(), now);
            self.outlet.publish(unit, Stamps::of_encoded(now));
        }

        /// Of the pictures that viewers can see by now: whether each is a keyframe.
        fn seen(&mut self) -> Vec<bool> {
            let read = || self.mount.read(&mut self.cursor);
            std::iter::from_fn(read).map(|seen| seen.entry.batch.is_keyframe()).collect()
        }
    }

    #[tokio::test]
    async fn the_publisher_is_asked_for_once_and_for_a_keyframe() {
        let (mut run, publisher) = Run::new();
        run.publish(DELTA);
        assert!(run.events.try_recv().is_err(), "it can be shown to nobody");
        run.publish(IDR);
        assert!(matches!(run.events.try_recv(), Ok(Event::Ready)));
        run.publish(DELTA);
        assert!(run.events.try_recv().is_err());
        assert_eq!(run.seen(), [true; 0]);
        assert!(!run.outlet.take_keyframe_request(run.clock.now()), "it is another's");
        run.handover.give(publisher).unwrap();
        run.publish(DELTA);
        assert_eq!(run.seen(), [true, false, false], "nothing is lost");
        run.publish(IDR);
        assert_eq!(run.seen(), [true]);
        assert!(run.outlet.close().is_some());
    }

    #[tokio::test]
    async fn what_is_known_of_a_run_is_said_when_it_is_shown() {
        let (mut run, publisher) = Run::new();
        let rate = FrameRate::new(50, 1);
        run.outlet.introduce(Introduction { rate, on_demand: true, ..Introduction::default() });
        run.outlet.set_encoder("venc");
        run.publish(IDR);
        assert!(matches!(*run.mount.stage().borrow(), Stage::Dark));
        assert_eq!(run.mount.vitals().encoder(), None, "that of what is shown");
        run.handover.give(publisher).unwrap();
        run.publish(DELTA);
        let Stage::Live(announcement) = run.mount.stage().borrow().clone() else { panic!("live") };
        assert_eq!(announcement.rate, rate);
        assert_eq!(run.mount.vitals().encoder().as_deref(), Some("venc"));
        run.outlet.set_encoder("openh264");
        assert_eq!(run.mount.vitals().encoder().as_deref(), Some("openh264"));
        run.outlet.interrupt();
        assert!(matches!(*run.mount.stage().borrow(), Stage::Dark));
    }

    #[tokio::test]
    async fn the_newest_group_is_held_alone_and_not_without_end() {
        let (mut run, publisher) = Run::new();
        for nal in [IDR, DELTA, DELTA, IDR] {
            run.publish(nal);
        }
        assert_eq!(run.outlet.held.len(), 1);
        (0..10 * MOST_HELD).for_each(|_| run.publish(DELTA));
        assert_eq!(run.outlet.held.len(), 0, "the keyframe is gone, and so are they");
        run.publish(IDR);
        run.outlet.interrupt();
        run.publish(DELTA);
        run.handover.give(publisher).unwrap();
        run.publish(IDR);
        assert_eq!(run.seen(), [true]);
    }

    #[tokio::test]
    async fn a_publisher_that_comes_too_late_is_given_back() {
        let (run, publisher) = Run::new();
        run.handover.give(publisher).unwrap();
        let back = run.outlet.close().expect("given, and never taken");
        assert!(run.handover.give(back).is_err());
    }

    const IDR: u8 = 0x65;
    const DELTA: u8 = 0x41;
    /// 640x480, Constrained Baseline, level 3.0.
    const SPS: &[u8] =
        &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];
}
