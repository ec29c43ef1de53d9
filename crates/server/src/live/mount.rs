//! A mount: one stream under one name, between the thread that publishes it and its viewers.
//!
//! SSRC, sequence numbers and RTP clock belong to the mount, not to a viewer (RFC 3550 lets
//! separate RTP sessions coincide): a picture is packetized once, and the same bytes go to all.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use media::{Clock, FrameRate, MediaTime, h264::ParameterSets};
use rtp_packetizer::{
    PacketBatch, RtpClock, RtpTimestamp, Sequence, Ssrc,
    h264::{Config, ConfigError, Packetizer, Totals},
    rtcp::SenderInfo,
};
use tokio::sync::watch;

use super::{
    health::Health,
    keyframes::{KeyframeRequests, REUSE_WINDOW},
    log::{self, Delivery, Item, Limits, Log, Recent},
    publisher::Publisher,
    stages::{Past, Stages, Turn},
    vitals::Vitals,
};

/// One published picture.
#[derive(Debug)]
pub struct Picture {
    /// Its packets.
    pub batch: PacketBatch,
    /// When it was published, on the capture clock.
    pub published: MediaTime,
    /// What went before.
    pub past: Past,
}

impl Picture {
    /// It is next for a viewer now; its last byte is held back for `pacing` on purpose.
    pub fn turn(&self, now: MediaTime, pacing: Duration) -> Turn {
        Turn { past: self.past, published: self.published, since: now, pacing }
    }
}

impl Item for Picture {
    fn is_keyframe(&self) -> bool {
        self.batch.is_keyframe()
    }

    fn size(&self) -> usize {
        self.batch.bytes().len()
    }

    fn published(&self) -> MediaTime {
        self.published
    }
}

/// How a stream is known and numbered, fixed for the life of its mount.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The path under which it is served, without slashes around it.
    pub name: String,
    /// The names of those who may watch; `None` is everyone who may log in at all.
    pub users: Option<Vec<String>>,
    /// RTP synchronization source, random.
    pub ssrc: Ssrc,
    /// The first sequence number, random.
    pub first_sequence: Sequence,
    /// The RTP timestamp of the mount's first moment, random.
    pub first_timestamp: RtpTimestamp,
    /// Canonical name in RTCP (RFC 3550 section 6.5.1), the same for all streams of this server.
    pub cname: String,
    /// Bytes of the largest RTP packet, its header included.
    pub packet_size: usize,
}

/// Where a joining viewer starts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The encoder makes a keyframe on demand: start there, within a frame interval.
    OnDemand,
    /// Keyframes come when they come: start from the newest unless it lies further back than this.
    Cached {
        /// The longest stretch a viewer may have to catch up.
        span: Duration,
        /// The most bytes a viewer may have to catch up.
        bytes: usize,
    },
}

impl Start {
    /// What a mount keeps: a viewer that begins with the longest backlog lags that far behind until
    /// it has caught up, and must not be overrun meanwhile.
    fn limits(self) -> Limits {
        let limits = Limits::default();
        match self {
            Self::OnDemand => limits,
            Self::Cached { span, bytes } => Limits {
                catch_up: span,
                soft_bytes: limits.soft_bytes + bytes,
                hard_span: limits.hard_span.max(limits.soft_span + span),
                hard_bytes: limits.hard_bytes.max(limits.soft_bytes + bytes),
                ..limits
            },
        }
    }
}

/// What must be known of a stream before it can be described to a client.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The parameter sets of the newest keyframe.
    pub parameter_sets: ParameterSets,
    /// Nominal rate, where the source knows it.
    pub rate: Option<FrameRate>,
    /// Nominal bits per second, where they are known.
    pub bitrate: Option<u32>,
    /// Grows each time any of this changes.
    pub version: u64,
}

/// What there is to see.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Nothing, for now: the source does not run, or has not said yet what it gives.
    Dark,
    /// Pictures flow.
    Live(Arc<Announcement>),
    /// The source has ended or failed for good.
    Ended,
}

/// One stream under one name.
#[derive(Debug)]
pub struct Mount {
    identity: Identity,
    rtp_clock: RtpClock,
    stages: Stages,
    vitals: Vitals,
    shared: Mutex<Shared>,
    /// The number of the next picture: what viewers wait on.
    end: watch::Sender<u64>,
    stage: watch::Sender<Stage>,
    /// How many watch, or wait to.
    demand: watch::Sender<usize>,
    health: watch::Sender<Health>,
}

/// Somebody's wish to see a stream: while there is one, its source runs. Ends when dropped.
#[derive(Debug)]
pub struct Demand(Arc<Mount>);

impl Drop for Demand {
    fn drop(&mut self) {
        self.0.demand.send_modify(|count| *count -= 1);
    }
}

/// A viewer's place in a mount. While there is one, the source runs.
#[derive(Debug)]
pub struct Cursor {
    place: log::Cursor,
    _demand: Demand,
}

#[derive(Debug)]
struct Shared {
    start: Start,
    log: Log<Picture>,
    keyframes: KeyframeRequests,
    totals: Totals,
    pace: Pace,
}

/// How fast pictures come.
#[derive(Copy, Clone, Debug)]
pub struct Pace {
    /// Time between two pictures; nominal, or a guess where the source does not know.
    pub interval: Duration,
    /// Nominal bits per second, where they are known.
    pub bitrate: Option<u32>,
}

impl Mount {
    /// A mount that waits for its first picture, and the one publisher that will bring it.
    ///
    /// # Errors
    ///
    /// When the packet size is too small for RTP.
    pub fn new(
        identity: Identity,
        start: Start,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, Publisher), ConfigError> {
        let packetizer = Packetizer::new(Config {
            ssrc: identity.ssrc,
            first_sequence: identity.first_sequence,
            packet_size: identity.packet_size,
            payload_type: PAYLOAD_TYPE,
        })?;
        let now = clock.now();
        let shared = Shared {
            start,
            log: Log::new(start.limits()),
            keyframes: KeyframeRequests::new(now),
            totals: packetizer.totals(),
            pace: Pace { interval: ASSUMED_INTERVAL, bitrate: None },
        };
        let mount = Arc::new(Self {
            rtp_clock: RtpClock::new(now, identity.first_timestamp),
            identity,
            stages: Stages::default(),
            vitals: Vitals::default(),
            shared: Mutex::new(shared),
            end: watch::Sender::new(0),
            stage: watch::Sender::new(Stage::Dark),
            demand: watch::Sender::new(0),
            health: watch::Sender::default(),
        });
        let publisher = Publisher::new(Arc::clone(&mount), packetizer, clock, start);
        Ok((mount, publisher))
    }

    /// How the stream is known and numbered.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The path under which the stream is served.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Where its pictures' time goes.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// What is counted of it.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// How fast pictures have come of late.
    pub fn recent(&self, now: MediaTime) -> Recent {
        self.lock().log.recent(now, OF_LATE)
    }

    /// Changes each time a picture is published.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// How far the mount has come, and each change of it.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// How many watch, or wait to, and each change of it.
    pub fn demand(&self) -> watch::Receiver<usize> {
        self.demand.subscribe()
    }

    /// Makes the source run until the wish is dropped.
    pub fn want(self: &Arc<Self>) -> Demand {
        self.demand.send_modify(|count| *count += 1);
        Demand(Arc::clone(self))
    }

    /// How the source does, and each change of it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// A worker has panicked, and is started again.
    pub(crate) fn note_panic(&self) {
        self.set_health(|health| {
            health.failures += 1;
            health.panics += 1;
        });
    }

    /// Says how the source does.
    pub(crate) fn set_health(&self, health: impl FnOnce(&mut Health)) {
        self.health.send_modify(health);
    }

    /// A cursor for a viewer that starts now. What it reads first is a keyframe, always.
    pub fn join(self: &Arc<Self>, now: MediaTime) -> Cursor {
        Cursor { place: self.place(now), _demand: self.want() }
    }

    fn place(&self, now: MediaTime) -> log::Cursor {
        let mut shared = self.lock();
        if let Some((cursor, backlog)) = shared.log.from_newest_keyframe() {
            let usable = match shared.start {
                Start::OnDemand => now.saturating_since(backlog.since) < REUSE_WINDOW,
                Start::Cached { span, bytes } => backlog.span <= span && backlog.bytes <= bytes,
            };
            if usable {
                return cursor;
            }
        }
        shared.keyframes.want();
        shared.log.from_next_keyframe()
    }

    /// The next picture at the cursor, if it is there.
    pub fn read(&self, cursor: &mut Cursor) -> Option<Delivery<Picture>> {
        self.lock().log.read(&mut cursor.place)
    }

    /// Whether the next picture to be encoded is to be an IDR; see [`KeyframeRequests::take`].
    pub fn take_keyframe_request(&self, now: MediaTime) -> bool {
        self.lock().keyframes.take(now)
    }

    /// How fast pictures come.
    pub fn pace(&self) -> Pace {
        self.lock().pace
    }

    /// What a sender report says at this moment: the stream's totals, the same for all viewers.
    pub fn sender_info(&self, clock: &dyn Clock) -> SenderInfo<'_> {
        let totals = self.lock().totals;
        SenderInfo {
            ssrc: self.identity.ssrc,
            ntp: clock.wall().to_ntp(),
            timestamp: self.rtp_clock.timestamp(clock.now()),
            packets: totals.packets,
            octets: totals.octets,
            cname: &self.identity.cname,
        }
    }

    /// What stands on the pictures' clock.
    pub(super) fn rtp_clock(&self) -> &RtpClock {
        &self.rtp_clock
    }

    /// Says how fast pictures come from now on.
    pub(super) fn set_pace(&self, pace: Pace) {
        self.lock().pace = pace;
    }

    /// Says where viewers start from now on.
    pub(super) fn set_start(&self, start: Start) {
        self.lock().start = start;
    }

    /// Nobody joins at a keyframe of before any more.
    pub(super) fn forget_keyframe(&self) {
        self.lock().log.forget_keyframe();
    }

    /// Says what there is to see.
    pub(super) fn set_stage(&self, stage: Stage) {
        let is_over = matches!(stage, Stage::Ended);
        self.stage.send_replace(stage);
        if is_over {
            // Viewers that wait for a picture look again.
            self.end.send_modify(|_| {});
        }
    }

    /// Hands a picture to everyone who watches; with it, so many packets and bytes were made in all.
    pub(super) fn push(&self, picture: Picture, totals: Totals) {
        let end = {
            let mut shared = self.lock();
            if picture.is_keyframe() {
                shared.keyframes.published(picture.published);
            }
            shared.totals = totals;
            shared.log.push(Arc::new(picture));
            shared.log.end()
        };
        self.end.send_replace(end);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing under this lock leaves the state half-changed, should a panic poison it.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dynamic RTP payload type (RFC 3551 section 6): with one video track any of 96 to 127 will do,
/// and 96 is what clients see most.
pub const PAYLOAD_TYPE: u8 = 96;
/// Long enough for a steady figure, and short enough to follow what happens.
const OF_LATE: Duration = Duration::from_secs(2);
/// Between pictures of a source that does not know its rate.
pub(super) const ASSUMED_INTERVAL: Duration = Duration::from_millis(40);

#[cfg(test)]
pub(crate) mod tests;
