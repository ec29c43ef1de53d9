//! A whole server: streams, listeners and tasks, from configuration to the last goodbye.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use media::Clock;
use rtp_packetizer::{RtpTimestamp, Sequence, Ssrc};
use rtsp_proto::auth::{Authenticator, Config as AuthConfig};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use crate::{
    config::{self, Config},
    credentials::Access,
    egress::{
        fanout::Fanout,
        lines::Lines,
        udp::{self, Endpoint, Ports},
    },
    entropy::Entropy,
    listener,
    live::{Condition, Mount, mount::Identity},
    pipeline::End,
    sessions::Port,
    shared::{Gate, Shared, Stream, Streams},
    sources,
    supervision::{keeper::Keeper, nodes},
};

/// A server whose ports are bound and whose streams are starting.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    running: Vec<Running>,
    /// Told when their sources are to stop.
    stop: watch::Sender<bool>,
}

/// A stream and its tasks.
struct Running {
    mount: Arc<Mount>,
    keeper: JoinHandle<End>,
    fanout: Option<JoinHandle<()>>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening address cannot be had.
    #[error(transparent)]
    Listen(#[from] listener::BindError),
    /// The UDP ports cannot be had.
    #[error(transparent)]
    Udp(#[from] udp::BindError),
    /// The bound address cannot be read back.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The packet size cannot be used.
    #[error(transparent)]
    PacketSize(#[from] rtp_packetizer::h264::ConfigError),
}

/// Why a server has stopped.
#[derive(Debug)]
pub enum Stopped {
    /// It was told to.
    Asked,
    /// All streams are over: their names, and why.
    StreamsEnded(Vec<(String, End)>),
}

impl Server {
    /// Binds all ports and starts all streams. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When a port cannot be had.
    pub fn start(
        config: &Config,
        access: Access,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
    ) -> Result<Self, StartError> {
        let listeners = bind_all(&config.listen)?;
        let addresses: Vec<IpAddr> = listeners
            .iter()
            .map(|listener| listener.local_addr().map(|address| address.ip()))
            .collect::<Result<_, _>>()?;
        let ports = Arc::new(Ports::bind(&addresses, config.udp.rtp())?);
        let cname = format!("{:08x}@lenscast", entropy.u32());
        let mut streams = Streams::default();
        let mut running = Vec::new();
        let (nodes, (stop, stopped)) = (nodes::watch(Path::new("/dev")), watch::channel(false));
        for stream in &config.streams {
            let identity = identity(stream, config.packet_size, &cname, &entropy);
            let (mount, publisher) =
                Mount::new(identity, sources::start(&stream.source), clock.clone())?;
            let (fanout, task) =
                Fanout::spawn(mount.clone(), ports.clone(), clock.clone(), entropy.clone());
            let (recipe, policy) = (sources::recipe(stream, &clock), sources::policy(stream));
            let keeper = Keeper::new(recipe, policy, publisher, clock.clone(), entropy.clone());
            let keeper = tokio::spawn(keeper.run(nodes.clone(), stopped.clone()));
            let lines = Lines::spawn(&mount);
            streams.insert(Stream { mount: mount.clone(), fanout: Some(fanout), lines });
            running.push(Running { mount, keeper, fanout: Some(task) });
        }
        let gate = gate(access, config.auth, &entropy);
        let shared = Shared::new(streams, gate, Some(ports), clock, entropy, config.limits.clone());
        Ok(Self { shared: Arc::new(shared), listeners, running, stop })
    }

    /// Where the server accepts connections.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Its streams and sessions.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until it is known of each stream whether its source can be opened, but no longer than
    /// `patience`.
    pub async fn settled(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for running in &self.running {
            let mut health = running.mount.health();
            let settled = health.wait_for(|health| health.condition != Condition::Starting);
            if timeout_at(deadline, settled).await.is_err() {
                return;
            }
        }
    }

    /// Serves until `stop` is there or all streams are over, then says goodbye to everyone, which
    /// takes less than a second.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let Self { shared, listeners, running, stop: over } = self;
        let (shutdown, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(listener::run(listener, shared.clone(), stopping.clone()));
        }
        let mut helpers = JoinSet::new();
        // Both families have the same port numbers, as a rule: they are told apart by their place.
        for pair in 0..shared.ports.iter().flat_map(|ports| ports.pairs()).count() {
            helpers.spawn(receive(shared.clone(), pair, Port::Rtp));
            helpers.spawn(receive(shared.clone(), pair, Port::Rtcp));
        }
        helpers.spawn(expire(shared.clone()));
        let mut streams = JoinSet::new();
        for stream in running {
            streams.spawn(watch_over(stream, shared.clone(), over.subscribe()));
        }

        let mut ends = Vec::new();
        let all_over = async {
            while let Some(over) = streams.join_next().await {
                match over {
                    Ok(over) => ends.push(over),
                    Err(error) => warn!(%error, "a stream's task failed"),
                }
            }
        };
        let asked = tokio::select! {
            () = stop => true,
            () = all_over => false,
        };
        if asked {
            info!("stopping");
        }
        shutdown.send_replace(true);
        let goodbye = async {
            for stream in shared.streams.iter() {
                if let Some(fanout) = &stream.fanout {
                    fanout.shut_down().await;
                }
            }
            while tasks.join_next().await.is_some() {}
        };
        if timeout(GOODBYE, goodbye).await.is_err() {
            debug!("not everyone took the goodbye in time");
        }
        shared.sessions.end_all("the server is stopping");
        over.send_replace(true);
        let stopped = async { while streams.join_next().await.is_some() {} };
        if timeout(STOPPED, stopped).await.is_err() {
            debug!("a source did not stop in time");
        }
        if asked { Stopped::Asked } else { Stopped::StreamsEnded(ends) }
    }
}

fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    let mut without_family = None;
    for address in addresses {
        match listener::bind(*address) {
            Ok(listener) => listeners.push(listener),
            // "[::]" is meant as "everywhere": without IPv6 that is every IPv4 address.
            Err(error) if error.is_family_missing() && address.ip() == Ipv6Addr::UNSPECIFIED => {
                debug!(%error, "no IPv6");
                let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
                listeners.push(listener::bind(v4)?);
            }
            // "localhost" is the loopback of both families.
            Err(error) if error.is_family_missing() && address.ip().is_loopback() => {
                warn!("{error}");
                without_family = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match without_family {
        Some(error) if listeners.is_empty() => Err(error.into()),
        _ => Ok(listeners),
    }
}

fn gate(access: Access, auth: config::Auth, entropy: &Entropy) -> Gate {
    let authenticator = match &access {
        Access::Open => None,
        Access::Users(accounts) => {
            let mut config = AuthConfig::new(accounts.realm.clone());
            config.schemes.sha256 = auth.sha256;
            config.schemes.basic = auth.basic;
            let now = Instant::now().into_std();
            Some(Authenticator::new(config, entropy.bytes(), now))
        }
    };
    Gate { access, authenticator }
}

fn identity(stream: &config::Stream, packet_size: u16, cname: &str, entropy: &Entropy) -> Identity {
    Identity {
        name: stream.name.as_str().to_owned(),
        users: stream.users.clone(),
        ssrc: Ssrc(entropy.u32()),
        // Some clients take 0 and 1 for "unknown", and FFmpeg ignores a timestamp of 0. The upper
        // half is left away so that the first minutes of a stream do not wrap.
        first_sequence: Sequence(entropy.u16() & 0x7fff | 2),
        first_timestamp: RtpTimestamp(entropy.u32() & 0x7fff_ffff | 2),
        cname: cname.to_owned(),
        packet_size: packet_size.into(),
    }
}

/// Waits for a stream's end, then for its last pictures to be sent, then ends its sessions.
///
/// When the server `is_over`, waits only for the source to stop: cameras are free then, and have
/// said in the log how it was.
async fn watch_over(
    mut stream: Running,
    shared: Arc<Shared>,
    is_over: watch::Receiver<bool>,
) -> (String, End) {
    let name = stream.mount.name().to_owned();
    let end = match stream.keeper.await {
        Ok(end) => end,
        Err(error) => End::Panicked(error.to_string()),
    };
    if *is_over.borrow() {
        return (name, end);
    }
    if let Some(fanout) = stream.fanout.take()
        && timeout(LAST_PICTURES, fanout).await.is_err()
    {
        debug!(stream = name, "the last pictures could not be sent in time");
    }
    // Connections find the end in their own time; what they have not sent by then stays unsent.
    tokio::time::sleep(LAST_PICTURES).await;
    shared.sessions.end_mount(&stream.mount);
    (name, end)
}

/// Reads what clients send to one of the UDP ports: reports, and packets that open firewalls.
async fn receive(shared: Arc<Shared>, pair: usize, port: Port) {
    let endpoint = || -> Option<&Endpoint> {
        let pair = shared.ports.as_ref()?.pairs().nth(pair)?;
        Some(match port {
            Port::Rtp => &pair.rtp,
            Port::Rtcp => &pair.rtcp,
        })
    };
    let Some(endpoint) = endpoint() else { return };
    let mut buffer = vec![0; MOST_DATAGRAM];
    loop {
        let unreachable = |peer| shared.sessions.unreachable(peer, port, Instant::now().into_std());
        match endpoint.receive(&mut buffer, unreachable).await {
            Ok((length, from)) => {
                let payload = buffer.get(..length).unwrap_or_default();
                shared.sessions.datagram(from, port, payload, Instant::now().into_std());
            }
            Err(error) => {
                warn!(%error, "cannot receive by UDP; trying again");
                tokio::time::sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

async fn expire(shared: Arc<Shared>) {
    let mut ticks = interval(EXPIRY_CHECK);
    loop {
        ticks.tick().await;
        shared.sessions.expire(Instant::now().into_std());
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Everyone gets their goodbye within this, or not at all.
const GOODBYE: Duration = Duration::from_millis(750);
/// The rest of a picture leaves within a quarter of a frame interval.
const LAST_PICTURES: Duration = Duration::from_millis(500);
/// A camera stops within this; a pipe that is silent does not.
const STOPPED: Duration = Duration::from_millis(250);
const EXPIRY_CHECK: Duration = Duration::from_secs(1);
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);
/// An RTCP datagram larger than this says nothing of use.
const MOST_DATAGRAM: usize = 2048;
