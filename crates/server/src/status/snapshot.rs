//! The document: what it says, and how it is gathered.
//!
//! Fields may be added; none changes its meaning while [`VERSION`] stays the same. Times are in
//! seconds where not named otherwise.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use media::MediaTime;
use serde::{Deserialize, Serialize};

use crate::{
    egress::fanout,
    live::{Condition, Mount, Stage, stages},
    sessions::{Link, Session},
    shared::Shared,
};

/// Of the document; see the module's rules.
pub const VERSION: u32 = 1;

/// What a server knows of itself beside what its connections share.
#[derive(Clone, Debug)]
pub struct About {
    /// Where it accepts connections.
    pub listening: Vec<SocketAddr>,
    /// When it started, on the capture clock.
    pub started: MediaTime,
    /// What each stream is made of, in words, by its name.
    pub sources: BTreeMap<String, String>,
}

/// How a server does at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`].
    pub version: u32,
    /// The program.
    pub server: Server,
    /// By name.
    pub streams: Vec<Stream>,
    /// Clients that have set up a session, the oldest first.
    pub viewers: Vec<Viewer>,
    /// Of connections, since the start where not named otherwise.
    pub counters: Counters,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it accepts connections.
    pub listening: Vec<SocketAddr>,
    /// How long it has been running.
    pub uptime: f64,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The path of its URL.
    pub name: String,
    /// What it is made of, in words.
    pub source: String,
    /// How its source does.
    pub state: State,
    /// What encodes it; `null` where it comes encoded, or has not begun.
    pub encoder: Option<String>,
    /// Width and height of its pictures, once they are known.
    pub size: Option<(u32, u32)>,
    /// Pictures a second, as announced.
    pub nominal_fps: Option<f64>,
    /// Pictures a second, of the last seconds.
    pub fps: f64,
    /// Bits a second, RTP headers included, of the last seconds.
    pub bitrate: f64,
    /// Pictures so far.
    pub pictures: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Pictures of the source that nobody could see: lost by the driver, or too many for the encoder.
    pub gaps: u64,
    /// How often its source was started: at first, for a viewer, after a failure.
    pub starts: u64,
    /// How often it failed.
    pub failures: u64,
    /// How many of these were panics, of its source or its encoder.
    pub panics: u64,
    /// Why it failed last.
    pub last_failure: Option<String>,
    /// How many watch, or wait to: while there is one, its source runs.
    pub viewers: usize,
    /// Where the time of its pictures goes, in the order of their way.
    pub delays: Vec<Step>,
}

/// How a source does.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for a viewer.
    Idle,
    /// It is being opened.
    Starting,
    /// Pictures flow.
    Running,
    /// It has failed, and is tried again.
    Away,
    /// It is over for good.
    Over,
}

/// A part of a picture's way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// One word for it: `capture`, `convert`, `wait`, `encode`, `packetize`, `queue`, `send`,
    /// `pacing`; and the sums `added` and `total`.
    pub step: String,
    /// How long it took.
    #[serde(flatten)]
    pub delays: Delays,
}

/// How long something took, in milliseconds.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    /// How many were counted.
    pub count: u64,
    /// What half did not exceed, off by a sixteenth at most.
    pub p50: f64,
    /// What nine of ten did not exceed.
    pub p90: f64,
    /// What 99 of 100 did not exceed.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// One client's session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Viewer {
    /// The stream it is of.
    pub stream: String,
    /// Where the client is.
    pub address: IpAddr,
    /// Who logged in.
    pub user: Option<String>,
    /// What the client calls itself.
    pub agent: Option<String>,
    /// How packets get there.
    pub transport: Transport,
    /// Whether it plays; otherwise it has yet to, or pauses.
    pub playing: bool,
    /// How long the session has been there.
    pub age: f64,
    /// RTP packets handed to the kernel.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets the kernel refused.
    pub refused: u64,
    /// Pictures skipped because the client was too slow.
    pub skipped: u64,
    /// What the client reports of its reception, if it does.
    pub reported: Option<Reported>,
    /// What the server added to what capture, encoding and pacing took, for each picture.
    pub added: Delays,
}

/// How packets get to a client.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Nothing is set up.
    None,
    /// By datagrams.
    Udp,
    /// Within the RTSP connection.
    Tcp,
}

/// What a receiver report says (RFC 3550 section 6.4.1).
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// Packets lost in all; negative when duplicates outnumber losses.
    pub lost: i32,
    /// Of the packets between its last two reports, the part that was lost.
    pub fraction_lost: f64,
    /// Jitter, in milliseconds.
    pub jitter: f64,
}

/// Of connections and logins.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections so far.
    pub connections: u64,
    /// Those that are open now.
    pub open: usize,
    /// Of these, those that have not logged in and must.
    pub strangers: usize,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Logins with a wrong name or password.
    pub wrong_logins: u64,
    /// Sessions that are there now.
    pub sessions: usize,
}

impl Snapshot {
    /// How the server does now.
    pub fn gather(shared: &Shared, about: &About) -> Self {
        let now = shared.clock.now();
        let viewers = viewers(shared);
        let tally = shared.census.tally();
        let mut streams: Vec<_> =
            shared.streams.iter().map(|each| stream(&each.mount, about, now)).collect();
        streams.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            version: VERSION,
            server: Server {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                listening: about.listening.clone(),
                uptime: now.saturating_since(about.started).as_secs_f64(),
            },
            streams,
            counters: Counters {
                connections: shared.connections(),
                open: tally.open,
                strangers: tally.strangers,
                refused: tally.refused,
                wrong_logins: tally.guesses,
                sessions: viewers.len(),
            },
            viewers,
        }
    }
}

fn stream(mount: &Mount, about: &About, now: MediaTime) -> Stream {
    let name = mount.name();
    let announced = match &*mount.stage().borrow() {
        Stage::Live(announcement) => Some(Arc::clone(announcement)),
        _ => None,
    };
    let size = announced.as_ref().map(|announcement| {
        let description = announcement.parameter_sets.description();
        (description.width, description.height)
    });
    let recent = mount.recent(now);
    let counted = mount.stages();
    let delays = stages::Step::ALL
        .map(|step| Step { step: step.name().to_owned(), delays: Delays::of(&counted.of(step)) });
    let health = mount.health().borrow().clone();
    Stream {
        name: name.to_owned(),
        source: about.sources.get(name).cloned().unwrap_or_default(),
        state: health.condition.into(),
        encoder: mount.vitals().encoder().map(|name| name.to_string()),
        size,
        nominal_fps: announced.and_then(|known| known.rate).map(media::FrameRate::as_f64),
        fps: recent.entries_per_second,
        bitrate: recent.bits_per_second,
        pictures: counted.of(stages::Step::Packetize).count(),
        keyframes: mount.vitals().keyframes(),
        gaps: mount.vitals().gaps(),
        starts: health.starts,
        failures: health.failures,
        last_failure: health.last_failure.map(|failure| failure.to_string()),
        panics: health.panics,
        viewers: *mount.demand().borrow(),
        delays: delays.into_iter().filter(|step| step.delays.count > 0).collect(),
    }
}

impl From<Condition> for State {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Idle => Self::Idle,
            Condition::Starting => Self::Starting,
            Condition::Running => Self::Running,
            Condition::Away => Self::Away,
            Condition::Over => Self::Over,
        }
    }
}

fn viewers(shared: &Shared) -> Vec<Viewer> {
    // Histograms are read when the lock is free again.
    let mut found: Vec<_> = shared.sessions.lock().iter().map(viewer).collect();
    for (viewer, counters) in &mut found {
        viewer.added = Delays::of(&counters.added.read());
    }
    let mut viewers: Vec<_> = found.into_iter().map(|(viewer, _)| viewer).collect();
    viewers.sort_by(|one, other| {
        let by_age = other.age.total_cmp(&one.age);
        by_age.then_with(|| (&one.stream, one.address).cmp(&(&other.stream, other.address)))
    });
    viewers
}

/// All but its delays.
fn viewer(session: &Session) -> (Viewer, Arc<fanout::Counters>) {
    let counters = Arc::clone(&session.counters);
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let viewer = Viewer {
        stream: session.mount.name().to_owned(),
        address: session.peer,
        user: session.user.as_ref().map(|user| user.as_str().to_owned()),
        agent: session.agent.clone(),
        transport: match session.link {
            Link::None => Transport::None,
            Link::Udp(_) => Transport::Udp,
            Link::Tcp { .. } => Transport::Tcp,
        },
        playing: session.is_playing(),
        age: session.opened.elapsed().as_secs_f64(),
        packets: count(&counters.packets),
        bytes: count(&counters.bytes),
        refused: count(&counters.refused),
        skipped: count(&counters.skipped),
        reported: session.report.as_ref().map(|report| Reported {
            lost: report.cumulative_lost,
            fraction_lost: f64::from(report.fraction_lost) / 256.0,
            jitter: f64::from(report.jitter) / RTP_TICKS_PER_MS,
        }),
        added: Delays::of(&media::Delays::default()),
    };
    (viewer, counters)
}

impl Delays {
    fn of(delays: &media::Delays) -> Self {
        let millis = |delay: Duration| delay.as_micros() as f64 / 1000.0;
        Self {
            count: delays.count(),
            p50: millis(delays.median()),
            p90: millis(delays.quantile(90, 100)),
            p99: millis(delays.quantile(99, 100)),
            max: millis(delays.longest()),
        }
    }
}

/// Ticks of the 90 kHz clock, in which jitter is reported.
const RTP_TICKS_PER_MS: f64 = 90.0;
