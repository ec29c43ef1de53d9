//! One viewer of the fan-out: what of which picture it gets next, and when. Time is an argument, and
//! nothing is sent here.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use media::MediaTime;
use rtp_packetizer::Run;
use tracing::debug;

use super::{PACE, Viewer};
use crate::{
    egress::{
        pacer::{self, Pacer},
        udp::{Parcel, Sent},
    },
    live::{Mount, Picture, stages::Turn},
};

/// A viewer that is being served.
pub(super) struct Active {
    pub(super) viewer: Viewer,
    pacer: Pacer,
    sending: Option<Sending>,
    catching_up: Option<CatchUp>,
    /// Pictures published before are late for this viewer, and nobody made them so.
    joined: MediaTime,
}

/// How far a viewer has got.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Something may be sent.
    Ready,
    /// Everything there is was sent.
    Idle,
    /// The rest must wait until then.
    Wait(MediaTime),
}

/// A picture on its way out.
struct Sending {
    picture: Arc<Picture>,
    next_packet: usize,
    /// Where that one begins.
    next_byte: usize,
    /// What of it is to be sent next.
    run: Option<Run>,
    /// Since when the device has taken nothing.
    congested: Option<MediaTime>,
    /// Where its time goes, if that is counted.
    turn: Option<Turn>,
}

/// A viewer that began with a cached keyframe gets the backlog at twice real time at most.
#[derive(Copy, Clone)]
struct CatchUp {
    joined: MediaTime,
    origin: MediaTime,
}

impl Active {
    /// A viewer that starts now, in packets of `packet_size` bytes at most.
    pub(super) fn new(viewer: Viewer, packet_size: usize, now: MediaTime) -> Self {
        let catching_up =
            viewer.first.as_ref().map(|first| CatchUp { joined: now, origin: first.published });
        let pacer = Pacer::new(packet_size, now);
        Self { pacer, viewer, sending: None, catching_up, joined: now }
    }

    /// Makes out what is to be sent next, if anything may be sent at `now`.
    pub(super) fn prepare(&mut self, mount: &Mount, now: MediaTime) -> Progress {
        loop {
            let sending = match self.sending.take() {
                Some(sending) => sending,
                None => match self.next_picture(mount) {
                    Some(sending) => sending,
                    None => return Progress::Idle,
                },
            };
            let sending = self.sending.insert(sending);
            if let Some(catch_up) = self.catching_up {
                let due = catch_up.due(sending.picture.published);
                if due > now {
                    return Progress::Wait(next_step(due));
                }
                if due <= sending.picture.published {
                    self.catching_up = None;
                }
            }
            let batch = &sending.picture.batch;
            let rest = batch.bytes().len() - sending.next_byte;
            if rest == 0 {
                if let Some(turn) = &sending.turn {
                    self.viewer.counters.added.note(mount.stages().sent(turn, now));
                }
                self.sending = None;
                continue;
            }
            if sending.next_packet == 0 {
                let pace = mount.pace();
                let rate = pacer::rate(batch.bytes().len(), pace.interval, pace.bitrate);
                self.pacer.begin(now, rate);
                // What is caught up with is late on purpose.
                let is_counted =
                    self.catching_up.is_none() && sending.picture.published >= self.joined;
                if is_counted && sending.turn.is_none() {
                    let pacing = self.pacer.time_for(batch.bytes().len() as u64);
                    sending.turn = Some(sending.picture.turn(now, pacing));
                }
            }
            let allowance = self.pacer.allowance(now);
            let step = self.pacer.step().min(rest as u64);
            if allowance < step {
                return Progress::Wait(now + self.pacer.time_for(step).max(PACE));
            }
            let most_bytes = usize::try_from(allowance).unwrap_or(usize::MAX).min(MOST_BYTES);
            let most_segments = if self.viewer.rtp.is_segmented() { MOST_SEGMENTS } else { 1 };
            sending.run = batch.runs(sending.next_packet, most_segments, most_bytes).next();
            return Progress::Ready;
        }
    }

    /// What was made out to be next.
    pub(super) fn parcel(&self) -> Option<Parcel<'_>> {
        let sending = self.sending.as_ref()?;
        let run = sending.run.as_ref()?;
        let bytes = sending.picture.batch.bytes().get(run.bytes.clone())?;
        Some(Parcel { to: &self.viewer.rtp, bytes, segment: run.segment_size })
    }

    /// To be told what became of it. Ready, unless there must be a pause.
    pub(super) fn sent(&mut self, sent: Sent, now: MediaTime) -> Progress {
        let Some(sending) = &mut self.sending else { return Progress::Ready };
        let Some(run) = sending.run.take() else { return Progress::Ready };
        let counters = &self.viewer.counters;
        match sent {
            Sent::Whole => {
                counters.sent(run.packets.len(), run.bytes.len());
                sending.congested = None;
            }
            Sent::Unsegmented => {
                debug!(peer = %self.viewer.rtp.peer(), "no segmented sends to this viewer");
                self.viewer.rtp.forgo_segmentation();
                return Progress::Ready;
            }
            Sent::Congested if !is_stuck(&mut sending.congested, now) => {
                return Progress::Wait(now + PACE);
            }
            refused => {
                let (peer, packets) = (self.viewer.rtp.peer(), run.packets.len());
                debug!(%peer, ?refused, packets, "lost");
                counters.refused.fetch_add(packets as u64, Ordering::Relaxed);
                sending.turn = None;
            }
        }
        self.pacer.spend(run.bytes.len() as u64);
        (sending.next_packet, sending.next_byte) = (run.packets.end, run.bytes.end);
        Progress::Ready
    }

    fn next_picture(&mut self, mount: &Mount) -> Option<Sending> {
        let picture = match self.viewer.first.take() {
            Some(first) => first,
            None => {
                let delivery = mount.read(&mut self.viewer.cursor)?;
                self.viewer.counters.skipped(delivery.skipped);
                delivery.entry
            }
        };
        Some(Sending {
            picture,
            next_packet: 0,
            next_byte: 0,
            run: None,
            congested: None,
            turn: None,
        })
    }
}

impl CatchUp {
    fn due(self, published: MediaTime) -> MediaTime {
        self.joined + published.saturating_since(self.origin) / 2
    }
}

/// The moments at which those who catch up get their pictures, whenever they joined: many of them by
/// one call, and without a timer for each.
fn next_step(due: MediaTime) -> MediaTime {
    let step = CATCH_UP_STEP.as_nanos() as u64;
    MediaTime::from_nanos(due.as_nanos().next_multiple_of(step))
}

/// Whether a device has taken nothing for so long that waiting on makes no sense.
fn is_stuck(congested: &mut Option<MediaTime>, now: MediaTime) -> bool {
    let since = *congested.get_or_insert(now);
    now.saturating_since(since) > CONGESTION
}

/// Packets and bytes one segmented send may carry: the kernel's `UDP_MAX_SEGMENTS`, and the payload
/// of the largest IPv4 datagram.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_507;
/// Shorter than any frame interval, nearly.
const CATCH_UP_STEP: Duration = Duration::from_millis(10);
/// A device that takes nothing for so long will not take this picture any more.
const CONGESTION: Duration = Duration::from_millis(100);
