//! The viewers whose pictures travel within one connection: one, as a rule.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use media::MediaTime;
use rtp_packetizer::rtcp;
use rtsp_proto::header::SessionId;
use tokio::{sync::watch, time::Instant};

use crate::{
    control::InterleavedViewer,
    egress::{fanout::report_interval, interleaved::Outbox},
    live::{Stage, stages::Turn},
    shared::Shared,
};

/// The viewers of one connection, and what they put into its outbox.
pub(super) struct Viewers {
    shared: Arc<Shared>,
    playing: Vec<Playing>,
}

struct Playing {
    viewer: InterleavedViewer,
    /// Until the first report: nothing follows the reply to PLAY yet.
    is_held: bool,
    stage: watch::Receiver<Stage>,
    next_report: Instant,
    /// Pictures published before are late for this viewer, and nobody made them so.
    since: MediaTime,
    /// Where the time goes of the picture under way, if it is this viewer's and that is counted.
    turn: Option<Turn>,
}

impl Viewers {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, playing: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.playing.is_empty()
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.playing.iter().map(|playing| playing.viewer.session)
    }

    /// Begins with a sender report, when the client has had its head start.
    pub(super) fn start(&mut self, viewer: InterleavedViewer, outbox: &mut Outbox) {
        let mut playing = Playing {
            stage: viewer.mount.stage(),
            is_held: !viewer.head_start.is_zero(),
            next_report: Instant::now() + viewer.head_start,
            since: self.shared.clock.now() + viewer.head_start,
            turn: None,
            viewer,
        };
        if !playing.is_held {
            playing.report(&self.shared, outbox);
        }
        self.playing.push(playing);
    }

    /// Stops sending a session's stream. What was sent of the last picture stays incomplete, as
    /// any receiver must expect; the frame under way is finished.
    pub(super) fn stop(&mut self, session: SessionId, goodbye: bool, outbox: &mut Outbox) {
        let Some(at) = self.playing.iter().position(|playing| playing.viewer.session == session)
        else {
            return;
        };
        let stopped = self.playing.remove(at);
        if outbox.carries(stopped.viewer.rtp) {
            outbox.abandon_picture();
        }
        if goodbye {
            stopped.say_goodbye(&self.shared, outbox);
        }
    }

    /// Stops everything, and says nothing.
    pub(super) fn clear(&mut self) {
        self.playing.clear();
    }

    /// Stops everything, with a goodbye to each.
    pub(super) fn stop_all(&mut self, outbox: &mut Outbox) {
        outbox.abandon_picture();
        for playing in self.playing.drain(..) {
            playing.say_goodbye(&self.shared, outbox);
        }
    }

    /// Gives the outbox the next picture, when it has room for one. True when a stream was over and
    /// it was the last.
    pub(super) fn load(&mut self, outbox: &mut Outbox) -> bool {
        if !outbox.wants_picture() {
            return false;
        }
        let mut over = None;
        for (at, playing) in self.playing.iter_mut().enumerate() {
            // Looked at before the log, so that no picture published before the end is missed.
            let is_over = matches!(*playing.stage.borrow(), Stage::Ended);
            if playing.is_held {
                continue;
            }
            let viewer = &mut playing.viewer;
            let picture = viewer.first.take().or_else(|| {
                let delivery = viewer.mount.read(&mut viewer.cursor)?;
                viewer.counters.skipped(delivery.skipped);
                Some(delivery.entry)
            });
            if let Some(picture) = picture {
                let batch = &picture.batch;
                viewer.counters.sent(batch.packet_count(), batch.bytes().len());
                let is_counted = picture.published >= playing.since;
                playing.turn =
                    is_counted.then(|| picture.turn(self.shared.clock.now(), Duration::ZERO));
                outbox.start_picture(picture, viewer.rtp);
                // The others come first next time.
                self.playing.rotate_left(at + 1);
                return false;
            }
            if is_over {
                over = Some(at);
            }
        }
        let Some(at) = over else { return false };
        self.playing.remove(at).say_goodbye(&self.shared, outbox);
        self.playing.is_empty()
    }

    /// To be told when the outbox has been written from: counts the picture that has left.
    pub(super) fn written(&mut self, outbox: &Outbox) {
        if !outbox.wants_picture() {
            return;
        }
        for Playing { viewer, turn, .. } in &mut self.playing {
            if let Some(turn) = turn.take() {
                let added = viewer.mount.stages().sent(&turn, self.shared.clock.now());
                viewer.counters.added.note(added);
            }
        }
    }

    /// When the next sender report is due.
    pub(super) fn next_report(&self) -> Option<Instant> {
        self.playing.iter().map(|playing| playing.next_report).min()
    }

    /// Puts the sender reports that are due into the outbox.
    pub(super) fn report(&mut self, now: Instant, outbox: &mut Outbox) {
        for due in self.playing.iter_mut().filter(|playing| playing.next_report <= now) {
            due.report(&self.shared, outbox);
        }
    }
}

impl Playing {
    fn report(&mut self, shared: &Shared, outbox: &mut Outbox) {
        let mut report = BytesMut::new();
        rtcp::write_sender_report(&mut report, &self.viewer.mount.sender_info(&*shared.clock));
        outbox.push_frame(self.viewer.rtcp, &report);
        self.is_held = false;
        self.next_report = Instant::now() + report_interval(&shared.entropy);
    }

    fn say_goodbye(&self, shared: &Shared, outbox: &mut Outbox) {
        let mut farewell = BytesMut::new();
        let info = self.viewer.mount.sender_info(&*shared.clock);
        rtcp::write_bye(&mut farewell, &info, "stream over");
        outbox.push_frame(self.viewer.rtcp, &farewell);
    }
}

#[cfg(test)]
pub(super) mod tests;
