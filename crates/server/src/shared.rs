//! What all connections of a server share.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use media::Clock;
use rtsp_proto::auth::Authenticator;

use crate::{
    census::Census,
    credentials::Access,
    egress::{fanout::Fanout, lines::Lines, udp::Ports},
    entropy::Entropy,
    limits::Limits,
    live::Mount,
    sessions::{ConnectionId, Sessions},
};

/// What all connections of a server share.
pub struct Shared {
    /// The streams.
    pub streams: Streams,
    /// The sessions of all clients.
    pub sessions: Sessions,
    /// The connections of all listeners.
    pub census: Arc<Census>,
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
        let census = Arc::default();
        Self { streams, sessions, census, gate, ports, clock, entropy, limits, next_connection }
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.next_connection.load(Ordering::Relaxed)
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

/// Lets in those who may watch.
pub struct Gate {
    /// Who may watch.
    pub access: Access,
    /// Checks who asks; `None` where nobody is asked.
    pub authenticator: Option<Authenticator>,
}

impl Gate {
    /// Whether nobody needs to log in.
    pub fn is_open(&self) -> bool {
        self.authenticator.is_none()
    }
}

/// A stream and the tasks that send it to its viewers.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Where its pictures are published.
    pub mount: Arc<Mount>,
    /// Sends them by UDP; `None` where there are no UDP ports.
    pub fanout: Option<Fanout>,
    /// Takes them to its TCP viewers.
    pub lines: Lines,
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
