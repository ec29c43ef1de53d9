//! One task that sends a mount's pictures to all its UDP viewers.
//!
//! Each viewer is a cursor into the mount's live log, a pacer and a pair of destinations; the socket
//! is the only queue. When it is full, the task waits and goes on from the same packet: that is
//! nobody's fault, and nothing is lost. When only the device towards one viewer is full, that viewer
//! waits and the others go on.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use media::{Clock, MediaTime};
use rtp_packetizer::rtcp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, trace};

use super::{
    pacer::{self, Pacer},
    udp::{Destination, Endpoint, Pair, Ports, Sent},
};
use crate::{
    entropy::Entropy,
    live::{Cursor, Mount, Picture, Stage},
};

/// A viewer to be served over UDP.
#[derive(Debug)]
pub struct Viewer {
    /// Names the viewer in [`Fanout::remove`].
    pub id: ViewerId,
    /// Where RTP goes.
    pub rtp: Arc<Destination>,
    /// Where RTCP goes.
    pub rtcp: Arc<Destination>,
    /// The first picture, already read from the cursor.
    pub first: Option<Arc<Picture>>,
    /// What comes after it.
    pub cursor: Cursor,
    /// Counts what was sent.
    pub counters: Arc<Counters>,
}

/// Names a viewer within this process.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ViewerId(u64);

impl ViewerId {
    /// One never used before in this process.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What one viewer was sent.
#[derive(Debug, Default)]
pub struct Counters {
    /// RTP packets handed to the kernel.
    pub packets: AtomicU64,
    /// Their bytes, RTP headers included.
    pub bytes: AtomicU64,
    /// RTP packets the kernel refused.
    pub refused: AtomicU64,
    /// Pictures skipped because the viewer was too slow.
    pub skipped: AtomicU64,
}

impl Counters {
    /// Counts `packets` handed to the kernel, of `bytes` together.
    pub fn sent(&self, packets: usize, bytes: usize) {
        self.packets.fetch_add(packets as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts pictures a slow viewer missed.
    pub fn skipped(&self, pictures: u64) {
        self.skipped.fetch_add(pictures, Ordering::Relaxed);
    }
}

/// A handle to the task; cheap to clone.
#[derive(Clone, Debug)]
pub struct Fanout {
    commands: mpsc::UnboundedSender<Command>,
}

impl Fanout {
    /// Starts the task. It ends when the mount has ended and its viewers have been told, or when
    /// all handles are gone.
    pub fn spawn(
        mount: Arc<Mount>,
        ports: Arc<Ports>,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
    ) -> (Self, JoinHandle<()>) {
        let (commands, received) = mpsc::unbounded_channel();
        let task = Task {
            mount,
            ports,
            clock,
            entropy,
            viewers: Vec::new(),
            removed_before: VecDeque::new(),
        };
        (Self { commands }, tokio::spawn(task.run(received)))
    }

    /// Starts sending: a sender report at once, then the viewer's first picture. A viewer that has
    /// been removed already does not start; one that is there already is replaced.
    pub fn add(&self, viewer: Viewer) {
        let _ = self.commands.send(Command::Add(Box::new(viewer)));
    }

    /// Stops sending. `goodbye` tells the viewer that the stream is over for it (RTCP BYE); without
    /// it this is a pause.
    pub fn remove(&self, id: ViewerId, goodbye: bool) {
        let _ = self.commands.send(Command::Remove { id, goodbye });
    }

    /// Says BYE to all viewers and returns when that has been sent.
    pub async fn shut_down(&self) {
        let (done, waits) = oneshot::channel();
        if self.commands.send(Command::ShutDown(done)).is_ok() {
            let _ = waits.await;
        }
    }
}

enum Command {
    Add(Box<Viewer>),
    Remove { id: ViewerId, goodbye: bool },
    ShutDown(oneshot::Sender<()>),
}

struct Task {
    mount: Arc<Mount>,
    ports: Arc<Ports>,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    viewers: Vec<Active>,
    /// Viewers that were removed before they were added: a session may end on one connection while
    /// another still writes the reply to its PLAY. The newest few.
    removed_before: VecDeque<ViewerId>,
}

struct Active {
    viewer: Viewer,
    pacer: Pacer,
    sending: Option<Sending>,
    catching_up: Option<CatchUp>,
}

/// A picture on its way out.
struct Sending {
    picture: Arc<Picture>,
    next_packet: usize,
    /// Bytes per second.
    rate: u64,
    /// Since when the device has taken nothing.
    congested: Option<MediaTime>,
}

/// A viewer that began with a cached keyframe gets the backlog at twice real time at most.
#[derive(Copy, Clone)]
struct CatchUp {
    joined: MediaTime,
    origin: MediaTime,
}

impl CatchUp {
    fn due(self, published: MediaTime) -> MediaTime {
        self.joined + published.saturating_since(self.origin) / 2
    }
}

enum Progress {
    /// Everything there is was sent.
    Idle,
    /// The rest must wait until then.
    Wait(MediaTime),
}

impl Task {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut published = self.mount.subscribe();
        let mut stage = self.mount.stage();
        let mut next_report = Instant::now() + report_interval(&self.entropy);
        let mut wake: Option<MediaTime> = None;
        let mut over = false;
        loop {
            if over && wake.is_none() {
                self.say_goodbye().await;
                return;
            }
            let now = self.clock.now();
            let delay = wake.map(|at| at.saturating_since(now)).unwrap_or(FOREVER);
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Add(viewer)) => self.add(*viewer).await,
                    Some(Command::Remove { id, goodbye }) => self.remove(id, goodbye).await,
                    Some(Command::ShutDown(done)) => {
                        self.say_goodbye().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                _ = sleep_until(next_report) => {
                    self.report().await;
                    next_report = Instant::now() + report_interval(&self.entropy);
                }
                Ok(()) = published.changed() => {}
                () = sleep(delay) => {}
                // The last pictures may have been published since the last look: they go first.
                () = ended(&mut stage), if !over => over = true,
            }
            wake = self.serve().await;
        }
    }

    async fn add(&mut self, viewer: Viewer) {
        if self.removed_before.contains(&viewer.id) {
            return;
        }
        self.viewers.retain(|active| active.viewer.id != viewer.id);
        let now = self.clock.now();
        let catching_up =
            viewer.first.as_ref().map(|first| CatchUp { joined: now, origin: first.published });
        let active = Active {
            pacer: Pacer::new(self.mount.identity().packet_size, now),
            viewer,
            sending: None,
            catching_up,
        };
        let mut report = BytesMut::new();
        rtcp::write_sender_report(&mut report, &self.mount.sender_info(&*self.clock));
        self.send_rtcp(&active.viewer, &report).await;
        self.viewers.push(active);
    }

    async fn remove(&mut self, id: ViewerId, goodbye: bool) {
        let Some(at) = self.viewers.iter().position(|active| active.viewer.id == id) else {
            self.removed_before.push_back(id);
            if self.removed_before.len() > MOST_REMOVED_BEFORE {
                self.removed_before.pop_front();
            }
            return;
        };
        let removed = self.viewers.swap_remove(at);
        if goodbye {
            let mut farewell = BytesMut::new();
            rtcp::write_bye(&mut farewell, &self.mount.sender_info(&*self.clock), TORN_DOWN);
            self.send_rtcp(&removed.viewer, &farewell).await;
        }
    }

    /// Sends whatever may be sent now, and says when to come back for the rest.
    async fn serve(&mut self) -> Option<MediaTime> {
        let mut wake: Option<MediaTime> = None;
        for (served, active) in self.viewers.iter_mut().enumerate() {
            if served % VIEWERS_PER_TURN == VIEWERS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            match active.serve(&self.mount, &self.ports, &*self.clock).await {
                Progress::Idle => {}
                Progress::Wait(at) => wake = Some(wake.map_or(at, |sooner| sooner.min(at))),
            }
        }
        wake
    }

    async fn report(&mut self) {
        let mut report = BytesMut::new();
        rtcp::write_sender_report(&mut report, &self.mount.sender_info(&*self.clock));
        for active in &self.viewers {
            self.send_rtcp(&active.viewer, &report).await;
        }
    }

    async fn say_goodbye(&mut self) {
        let mut farewell = BytesMut::new();
        rtcp::write_bye(&mut farewell, &self.mount.sender_info(&*self.clock), STREAM_ENDED);
        for active in std::mem::take(&mut self.viewers) {
            self.send_rtcp(&active.viewer, &farewell).await;
        }
    }

    async fn send_rtcp(&self, viewer: &Viewer, packet: &[u8]) {
        let Some(pair) = pair_for(&self.ports, &viewer.rtcp) else { return };
        let sent = send(&pair.rtcp, &viewer.rtcp, packet, None).await;
        trace!(peer = %viewer.rtcp.peer(), ?sent, bytes = packet.len(), "RTCP");
    }
}

impl Active {
    async fn serve(&mut self, mount: &Mount, ports: &Ports, clock: &dyn Clock) -> Progress {
        let Some(pair) = pair_for(ports, &self.viewer.rtp) else { return Progress::Idle };
        loop {
            let sending = match self.sending.take() {
                Some(sending) => sending,
                None => match self.next_picture(mount, clock) {
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
                self.sending = None;
                continue;
            };
            let allowance = self.pacer.allowance(now, sending.rate);
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
                }
            }
            self.pacer.spend(bytes.len() as u64);
            sending.next_packet = run.packets.end;
        }
    }

    fn next_picture(&mut self, mount: &Mount, clock: &dyn Clock) -> Option<Sending> {
        let picture = match self.viewer.first.take() {
            Some(first) => first,
            None => {
                let delivery = mount.read(&mut self.viewer.cursor)?;
                self.viewer.counters.skipped(delivery.skipped);
                delivery.entry
            }
        };
        let pace = mount.pace();
        let rate = pacer::rate(picture.batch.bytes().len(), pace.interval, pace.bitrate);
        self.rest(clock.now(), rate, mount.identity().packet_size);
        Some(Sending { picture, next_packet: 0, rate, congested: None })
    }

    /// Before a picture no more than the burst is free, however long nothing was sent. (Within
    /// one, time overslept is made up for.)
    fn rest(&mut self, now: MediaTime, rate: u64, packet_size: usize) {
        let mut rested = Pacer::new(packet_size, now);
        if self.pacer.allowance(now, rate) > rested.allowance(now, rate) {
            self.pacer = rested;
        }
    }
}

/// Whether a device has taken nothing for so long that waiting on makes no sense.
fn is_stuck(congested: &mut Option<MediaTime>, now: MediaTime) -> bool {
    let since = *congested.get_or_insert(now);
    now.saturating_since(since) > CONGESTION
}

/// Time between two sender reports: five seconds on average, from half to one and a half of that,
/// so that the reports of many streams do not fall together (RFC 3550 section 6.3.1).
pub fn report_interval(entropy: &Entropy) -> Duration {
    let fraction = f64::from(entropy.u32()) / f64::from(u32::MAX);
    REPORT_INTERVAL.mul_f64(0.5 + fraction)
}

/// Waits until the mount has ended.
pub async fn ended(stage: &mut watch::Receiver<Stage>) {
    // An error means that the mount itself is gone, which is an end too.
    let _ = stage.wait_for(|stage| matches!(stage, Stage::Ended)).await;
}

fn pair_for<'a>(ports: &'a Ports, destination: &Destination) -> Option<&'a Pair> {
    ports.pair_for(destination.peer().ip())
}

/// Sends, waiting for room in the socket's buffer as long as that takes: never [`Sent::Full`].
async fn send(
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

/// Packets and bytes one segmented send may carry: the kernel's `UDP_MAX_SEGMENTS`, and the payload
/// of the largest IPv4 datagram.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_507;
/// The runtime's timer has millisecond steps; finer pacing would only spin.
const PACE: Duration = Duration::from_millis(1);
/// A device that takes nothing for so long will not take this picture any more.
const CONGESTION: Duration = Duration::from_millis(100);
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Viewers served before other tasks of the thread get their turn.
const VIEWERS_PER_TURN: usize = 64;
/// More than there are PLAY requests whose replies are being written at any time.
const MOST_REMOVED_BEFORE: usize = 1024;
/// "No timer": longer than anyone will wait, and within what the runtime can represent.
const FOREVER: Duration = Duration::from_secs(86_400);
const TORN_DOWN: &str = "torn down";
const STREAM_ENDED: &str = "stream ended";

#[cfg(test)]
mod tests;
