//! One viewer of the fan-out: what of which picture it gets next, and when.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use media::{Clock, MediaTime};
use tokio::time::sleep;
use tracing::debug;

use super::Viewer;
use crate::{
    egress::{
        pacer::{self, Pacer},
        udp::{Destination, Endpoint, Pair, Ports, Sent},
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
pub(super) enum Progress {
    /// Everything there is was sent.
    Idle,
    /// The rest must wait until then.
    Wait(MediaTime),
}

/// A picture on its way out.
struct Sending {
    picture: Arc<Picture>,
    next_packet: usize,
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

    /// Sends whatever may be sent now.
    pub(super) async fn serve(
        &mut self,
        mount: &Mount,
        ports: &Ports,
        clock: &dyn Clock,
    ) -> Progress {
        let Some(pair) = pair_for(ports, &self.viewer.rtp) else { return Progress::Idle };
        loop {
            let sending = match self.sending.take() {
                Some(sending) => sending,
                None => match self.next_picture(mount) {
                    Some(sending) => sending,
                    None => return Progress::Idle,
                },
            };
            let sending = self.sending.insert(sending);
            let now = clock.now();
            if let Some(catch_up) = self.catching_up {
                let due = catch_up.due(sending.picture.published);
                if due > now {
                    return Progress::Wait(due);
                }
                if due <= sending.picture.published {
                    self.catching_up = None;
                }
            }
            let batch = &sending.picture.batch;
            let Some(packet) = batch.packet(sending.next_packet) else {
                if let Some(turn) = &sending.turn {
                    self.viewer.counters.added.note(mount.stages().sent(turn, now));
                }
                self.sending = None;
                continue;
            };
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
            if allowance < packet.len() as u64 {
                return Progress::Wait(now + PACE);
            }
            let most_bytes = usize::try_from(allowance).unwrap_or(usize::MAX).min(MOST_BYTES);
            let destination = &*self.viewer.rtp;
            let most_segments = if destination.is_segmented() { MOST_SEGMENTS } else { 1 };
            let Some(run) = batch.runs(sending.next_packet, most_segments, most_bytes).next()
            else {
                continue;
            };
            let bytes = batch.bytes().get(run.bytes.clone()).unwrap_or_default();
            match send(&pair.rtp, destination, bytes, Some(run.segment_size)).await {
                Sent::Whole => {
                    self.viewer.counters.sent(run.packets.len(), bytes.len());
                    sending.congested = None;
                }
                Sent::Unsegmented => {
                    debug!(peer = %destination.peer(), "no segmented sends to this viewer");
                    destination.forgo_segmentation();
                    continue;
                }
                Sent::Congested if !is_stuck(&mut sending.congested, now) => {
                    return Progress::Wait(now + PACE);
                }
                refused => {
                    debug!(
                        peer = %destination.peer(), ?refused, packets = run.packets.len(), "lost"
                    );
                    let refused = run.packets.len() as u64;
                    self.viewer.counters.refused.fetch_add(refused, Ordering::Relaxed);
                    sending.turn = None;
                }
            }
            self.pacer.spend(bytes.len() as u64);
            sending.next_packet = run.packets.end;
        }
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
        Some(Sending { picture, next_packet: 0, congested: None, turn: None })
    }
}

impl CatchUp {
    fn due(self, published: MediaTime) -> MediaTime {
        self.joined + published.saturating_since(self.origin) / 2
    }
}

/// The sockets that reach a destination.
pub(super) fn pair_for<'a>(ports: &'a Ports, destination: &Destination) -> Option<&'a Pair> {
    ports.pair_for(destination.peer().ip())
}

/// Sends, waiting for room in the socket's buffer as long as that takes: never [`Sent::Full`].
pub(super) async fn send(
    endpoint: &Endpoint,
    destination: &Destination,
    bytes: &[u8],
    segment: Option<usize>,
) -> Sent {
    loop {
        match endpoint.send(destination, bytes, segment) {
            // A millisecond empties no more than a part of the buffer, so no bandwidth is lost.
            Sent::Full => sleep(PACE).await,
            sent => return sent,
        }
    }
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
/// The runtime's timer has millisecond steps; finer pacing would only spin.
const PACE: Duration = Duration::from_millis(1);
/// A device that takes nothing for so long will not take this picture any more.
const CONGESTION: Duration = Duration::from_millis(100);
