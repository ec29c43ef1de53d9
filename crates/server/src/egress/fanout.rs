//! One task that sends a mount's pictures to all its UDP viewers.
//!
//! Each viewer is a cursor into the mount's live log, a pacer and a pair of destinations; what is the
//! same for many viewers leaves by one call ([`volley`]). The socket is the only queue. When it is
//! full, the task waits and goes on from the same packet: that is nobody's fault, and nothing is
//! lost. When only the device towards one viewer is full, that viewer waits and the others go on.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use media::{Clock, MediaTime, SharedDelays};
use rtp_packetizer::rtcp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tracing::trace;

use super::udp::{self, Destination, Ports, Sent};
use crate::{
    entropy::Entropy,
    live::{Cursor, Mount, Picture, Stage},
};

mod active;
mod volley;

use active::Active;

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
    /// What the server added to what capture, encoding and pacing took, for each picture.
    pub added: SharedDelays,
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
        let active = Active::new(viewer, self.mount.identity().packet_size, self.clock.now());
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
        for (volley, viewers) in self.viewers.chunks_mut(udp::AT_ONCE).enumerate() {
            if volley % VOLLEYS_PER_TURN == VOLLEYS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let next = volley::serve(viewers, &self.mount, &self.ports, &*self.clock).await;
            wake = wake.into_iter().chain(next).min();
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

    /// FFmpeg looks at its RTCP socket first: a BYE right behind the last picture would have it end
    /// with packets unread. So the picture gets a head start.
    async fn say_goodbye(&mut self) {
        if !self.viewers.is_empty() {
            sleep(HEAD_START).await;
        }
        let mut farewell = BytesMut::new();
        rtcp::write_bye(&mut farewell, &self.mount.sender_info(&*self.clock), STREAM_ENDED);
        for active in std::mem::take(&mut self.viewers) {
            self.send_rtcp(&active.viewer, &farewell).await;
        }
    }

    /// Waits for room in the socket's buffer as long as that takes.
    async fn send_rtcp(&self, viewer: &Viewer, packet: &[u8]) {
        let Some(pair) = self.ports.pair_for(viewer.rtcp.peer().ip()) else { return };
        let sent = loop {
            match pair.rtcp.send(&viewer.rtcp, packet, None) {
                Sent::Full => sleep(PACE).await,
                sent => break sent,
            }
        };
        trace!(peer = %viewer.rtcp.peer(), ?sent, bytes = packet.len(), "RTCP");
    }
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

const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Sends to several viewers, before other tasks of the thread get their turn.
const VOLLEYS_PER_TURN: usize = 4;
/// The runtime's timer has millisecond steps; finer pacing would only spin.
const PACE: Duration = Duration::from_millis(1);
/// More than there are PLAY requests whose replies are being written at any time.
const MOST_REMOVED_BEFORE: usize = 1024;
/// "No timer": longer than anyone will wait, and within what the runtime can represent.
const FOREVER: Duration = Duration::from_secs(86_400);
const TORN_DOWN: &str = "torn down";
/// Before a BYE: a player reads a picture in far less.
const HEAD_START: Duration = Duration::from_millis(50);
const STREAM_ENDED: &str = "stream ended";

#[cfg(test)]
mod tests;
