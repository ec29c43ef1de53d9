//! A server without sockets, in virtual time: its connections are pipes, its pictures are made up,
//! its entropy counts. What it says is the same each time it is asked the same.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lenscast::{
    connection::{self, Context},
    credentials::{Access, Accounts},
    egress::{fanout::Fanout, lines::Lines, udp::Ports},
    entropy::Entropy,
    limits::Limits,
    live::{Mount, mount::Identity},
    shared::{Gate, Shared, Stream, Streams},
};
use media::Clock;
use rtp_packetizer::{RtpTimestamp, Sequence, Ssrc};
use rtsp_proto::auth::{Authenticator, Config as AuthConfig, Ha1, Realm, Schemes};
use tokio::{
    io::DuplexStream,
    runtime::Builder,
    sync::watch,
    task::JoinHandle,
    time::{Instant, interval},
};

pub mod clock;
pub mod source;
pub mod stage;

use clock::VirtualClock;
use source::Source;

/// Runs a test in virtual time, which passes only while there is nothing else to do.
pub fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime").block_on(test)
}

/// What a server is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Names and passwords; open to all without any.
    pub users: Vec<(String, String)>,
    /// What is offered beside MD5.
    pub schemes: Schemes,
    /// The streams.
    pub streams: Vec<(String, Source)>,
    /// Where server and clients are.
    pub host: IpAddr,
    /// Whether there are UDP ports.
    pub udp: bool,
    /// How much clients may use.
    pub limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            schemes: Schemes::default(),
            streams: vec![("cam".to_owned(), Source::default())],
            host: HOST,
            udp: false,
            limits: Limits::default(),
        }
    }
}

impl Setup {
    /// With one user, who has to log in.
    pub fn with_user() -> Self {
        Self { users: vec![("lens".to_owned(), "secret".to_owned())], ..Self::default() }
    }
}

/// A server that runs.
pub struct Server {
    pub shared: Arc<Shared>,
    pub sources: Vec<source::Handle>,
    host: IpAddr,
    shutdown: watch::Sender<bool>,
    helpers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server within the runtime of the test, whose time must be paused.
    pub fn start(setup: &Setup) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let entropy = counting_entropy();
        let ports = setup.udp.then(|| {
            Arc::new(Ports::bind(&[setup.host], 0).expect("two neighbouring ports are free"))
        });
        let mut streams = Streams::default();
        let (mut sources, mut helpers) = (Vec::new(), Vec::new());
        for (at, (name, source)) in (0..).zip(&setup.streams) {
            let identity = identity(name, at);
            let (mount, publisher) =
                Mount::new(identity, source.start, clock.clone()).expect("a usable packet size");
            let fanout = ports
                .clone()
                .map(|ports| Fanout::spawn(mount.clone(), ports, clock.clone(), entropy.clone()).0);
            sources.push(source::run(source, publisher, clock.clone()));
            let lines = Lines::spawn(&mount);
            streams.insert(Stream { mount, fanout, lines });
        }
        let gate = gate(setup);
        let shared =
            Arc::new(Shared::new(streams, gate, ports, clock, entropy, setup.limits.clone()));
        helpers.push(tokio::spawn(expire(shared.clone())));
        let shutdown = watch::Sender::new(false);
        Self { shared, sources, host: setup.host, shutdown, helpers }
    }

    /// Connects by a pipe that holds as much as anyone will send.
    pub fn connect(&self) -> (DuplexStream, JoinHandle<()>) {
        self.connect_with(PIPE)
    }

    /// Connects by a pipe that holds `bytes`, as a socket's buffer does.
    pub fn connect_with(&self, bytes: usize) -> (DuplexStream, JoinHandle<()>) {
        self.connect_as(bytes, None::<()>)
    }

    /// Connects holding `stranger` until logged in.
    pub fn connect_as<T: Send + 'static>(
        &self,
        bytes: usize,
        stranger: Option<T>,
    ) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(bytes);
        let context = Context {
            shared: self.shared.clone(),
            id: self.shared.next_connection(),
            peer: SocketAddr::new(self.host, PEER.port()),
            local: SocketAddr::new(self.host, LOCAL.port()),
            shutdown: self.shutdown.subscribe(),
            stranger,
        };
        (client, tokio::spawn(connection::serve(server, context)))
    }

    /// The first stream's mount.
    pub fn mount(&self) -> &Arc<Mount> {
        self.sources[0].mount()
    }

    /// Tells all connections that the server stops.
    pub fn stop(&self) {
        self.shutdown.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for helper in &self.helpers {
            helper.abort();
        }
    }
}

/// As the server itself looks for sessions that have ended.
async fn expire(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        shared.sessions.expire(Instant::now().into_std());
    }
}

fn gate(setup: &Setup) -> Gate {
    if setup.users.is_empty() {
        return Gate { access: Access::Open, authenticator: None };
    }
    let realm: Realm = "lenscast-test".parse().expect("a realm");
    let hash = |(name, password): &(String, String)| {
        (name.clone(), Ha1::from_password(name, &realm, password))
    };
    let users = setup.users.iter().map(hash).collect();
    let mut config = AuthConfig::new(realm.clone());
    config.schemes = setup.schemes;
    let authenticator = Authenticator::new(config, [7; 32], Instant::now().into_std());
    let access = Access::Users(Accounts { realm, users });
    Gate { access, authenticator: Some(authenticator) }
}

fn identity(name: &str, at: u32) -> Identity {
    Identity {
        name: name.to_owned(),
        users: None,
        ssrc: Ssrc(0x1e45_0000 + at),
        // Wraps within the first second of any conversation.
        first_sequence: Sequence(65_530),
        first_timestamp: RtpTimestamp(u32::MAX - 90_000),
        cname: "test@lenscast".to_owned(),
        packet_size: 1372,
    }
}

/// Different bytes each time, the same in each run (SplitMix64 over a counter).
fn counting_entropy() -> Entropy {
    let count = AtomicU64::new(0);
    Entropy::new(move |bytes| {
        for chunk in bytes.chunks_mut(8) {
            let count = count.fetch_add(1, Ordering::Relaxed) + 1;
            let mut word = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let word = (word ^ (word >> 31)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    })
}

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where all clients are.
pub const PEER: SocketAddr = SocketAddr::new(HOST, 50_000);
/// Where they connect to.
pub const LOCAL: SocketAddr = SocketAddr::new(HOST, 8554);
/// More than any test lets lie unread; taken up only as it is filled.
const PIPE: usize = 64 << 20;
