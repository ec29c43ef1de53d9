//! What all connections of a server share.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use media::Clock;
use rtsp_proto::auth::Authenticator;

use crate::{
    config,
    credentials::Accounts,
    egress::{fanout::Fanout, udp::Ports},
    entropy::Entropy,
    live::Mount,
    sessions::{ConnectionId, Sessions},
};

/// What all connections of a server share.
pub struct Shared {
    /// The streams.
    pub streams: Streams,
    /// The sessions of all clients.
    pub sessions: Sessions,
    /// Who may watch.
    pub gate: Gate,
    /// The UDP ports; without them clients are told to use TCP.
    pub ports: Option<Arc<Ports>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Entropy,
    /// How much clients may use.
    pub limits: Limits,
    next_connection: AtomicU64,
}

impl Shared {
    /// A server without connections.
    pub fn new(
        streams: Streams,
        gate: Gate,
        ports: Option<Arc<Ports>>,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        limits: Limits,
    ) -> Self {
        let next_connection = AtomicU64::new(0);
        let sessions = Sessions::default();
        Self { streams, sessions, gate, ports, clock, entropy, limits, next_connection }
    }

    /// A number no other connection has.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// Who may watch.
pub enum Gate {
    /// Everyone.
    Open,
    /// Those who log in.
    Closed {
        /// Checks who asks.
        authenticator: Box<Authenticator>,
        /// Those who may log in.
        accounts: Accounts,
    },
}

/// A stream and the task that sends it to its UDP viewers.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Where its pictures are published.
    pub mount: Arc<Mount>,
    /// Sends them by UDP; `None` where there are no UDP ports.
    pub fanout: Option<Fanout>,
}

/// The streams of a server, by name.
#[derive(Debug, Default)]
pub struct Streams(HashMap<String, Stream>);

impl Streams {
    /// Adds a stream under its mount's name.
    pub fn insert(&mut self, stream: Stream) {
        self.0.insert(stream.mount.name().to_owned(), stream);
    }

    /// The stream of this name; the only stream, where no name is given (`rtsp://host/`).
    pub fn find(&self, name: &str) -> Option<&Stream> {
        match self.0.get(name) {
            None if name.is_empty() && self.0.len() == 1 => self.0.values().next(),
            found => found,
        }
    }

    /// All streams, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.0.values()
    }
}

/// How much clients may use: beside [`rtsp_proto::wire::Limits`], which bounds each message, the
/// one place where this is decided.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes, counts and times of single messages.
    pub wire: rtsp_proto::wire::Limits,
    /// Requests a connection may have waiting for their answer. Default 16: real clients have one.
    /// Over it the connection is not read until one is answered. Raising it costs memory: each
    /// may hold a head and a body.
    pub pipelined_requests: usize,
    /// Connections in all. Default 1024. Over it a connection is answered 503 and closed. Raising
    /// it costs a file descriptor each, and some 20 KiB of memory.
    pub connections: usize,
    /// Connections from one address. Default 256: an NVR opens one or two per stream, a proxy one
    /// per viewer. Over it: as above.
    pub connections_per_address: usize,
    /// Connections in all that have not logged in, where logging in is required. Default 128: a
    /// login takes a few milliseconds. Over it: as above. Raising it lets strangers hold more.
    pub unauthenticated: usize,
    /// Sessions in all. Default 1024. Over it SETUP is answered 453. Raising it costs some 2 KiB
    /// each, and the bandwidth.
    pub sessions: usize,
    /// Time without a byte after which a connection that has no session is closed. Default 30 s.
    /// Raising it lets idle connections count against the limits for longer.
    pub idle_time: Duration,
    /// Time without a sign of life after which a session ends, as told to clients; they are given
    /// 10 s more. Default 60 s, as RFC 2326 section 12.37 has it. Raising it keeps sending
    /// for longer to viewers that vanished.
    pub session_time: Duration,
    /// Time in which a TCP viewer must take some bytes, when there are any for it. Default 10 s.
    /// Raising it keeps a stalled viewer for longer; it never delays others.
    pub stall_time: Duration,
    /// Bytes of replies a client may leave unread. Default 64 KiB. Over it no further request of
    /// it is answered until it reads. Raising it costs that much memory per connection.
    pub unread_replies: usize,
    /// Failed logins after which a connection is closed. Default 8. Raising it lets a stranger
    /// guess faster.
    pub failed_logins: u32,
    /// Time in which a stream must have something to show before DESCRIBE is answered 503.
    /// Default 5 s: a camera takes one or two to start.
    pub describe_time: Duration,
    /// Time in which the first picture must come before PLAY is answered without RTP-Info numbers.
    /// Default 1 s: players wait a few.
    pub play_time: Duration,
}

impl From<&config::Limits> for Limits {
    fn from(configured: &config::Limits) -> Self {
        Self {
            connections: configured.connections,
            connections_per_address: configured.connections_per_address,
            unauthenticated: configured.unauthenticated,
            sessions: configured.sessions,
            idle_time: configured.idle_timeout,
            session_time: configured.session_timeout,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire: rtsp_proto::wire::Limits::default(),
            pipelined_requests: 16,
            connections: 1024,
            connections_per_address: 256,
            unauthenticated: 128,
            sessions: 1024,
            idle_time: Duration::from_secs(30),
            session_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(10),
            unread_replies: 64 * 1024,
            failed_logins: 8,
            describe_time: Duration::from_secs(5),
            play_time: Duration::from_secs(1),
        }
    }
}
