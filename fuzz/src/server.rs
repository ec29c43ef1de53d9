//! A whole server in virtual time, without sockets (but for UDP ports that nothing is sent to),
//! and clients that do as a script says.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use lenscast::{
    census::Resident,
    connection::{self, Context},
    limits::Limits,
    live::{Mount, mount::Start},
    sessions::Port,
};
use md5::{Digest as _, Md5};
use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, DuplexStream, ReadBuf},
    sync::watch,
    task::{JoinHandle, yield_now},
    time::{Instant, advance, sleep},
};

use crate::replies::{Due, Replies};

// The server's own tests run it the same way.
#[allow(missing_docs)]
#[path = "../../crates/server/tests/support/mod.rs"]
mod support;

/// What kind of server it is.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Kind {
    /// Whether one has to log in, as [`USER`] with [`PASSWORD`].
    pub(crate) login: bool,
    /// Whether SHA-256 is offered too.
    pub(crate) sha256: bool,
    /// Whether there are UDP ports.
    pub(crate) udp: bool,
    /// Whether viewers start at a cached keyframe.
    pub(crate) cached: bool,
    /// Whether there is a second stream, which has nothing to show.
    pub(crate) second: bool,
    /// Whether clients' buffers hold little.
    pub(crate) narrow: bool,
}

impl Kind {
    /// A bit for each.
    pub(crate) fn of(byte: u8) -> Self {
        Self {
            login: byte & 1 != 0,
            sha256: byte & 2 != 0,
            cached: byte & 4 != 0,
            narrow: byte & 8 != 0,
            second: byte & 16 != 0,
            udp: byte & 32 != 0,
        }
    }
}

/// What is done next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client, connected if it is not, sends bytes; marks in them are replaced, see [`MARK`].
    Send(usize, Vec<u8>),
    /// All is left to itself for a few turns, without time passing.
    Turns(u8),
    /// Time passes.
    Sleep(Duration),
    /// A client reads no more, or reads again.
    Reading(usize, bool),
    /// A client closes its sending half.
    HalfClose(usize),
    /// A client goes away.
    Close(usize),
    /// A datagram from a port of the clients' host.
    Datagram(Port, u16, Vec<u8>),
    /// What is sent to this port of the clients' host is refused.
    Unreachable(Port, u16),
    /// The first stream has no pictures for now.
    Pause,
    /// It has again.
    GoOn,
    /// It ends.
    End,
    /// The server stops.
    Stop,
}

/// Followed by `s`, the session that the client was told last; by `a`, an `Authorization` header
/// for the request it stands in, with the right password; by `w`, with a wrong one.
pub(crate) const MARK: u8 = 0xfe;

/// Plays a script and holds the server to its promises: what it sends can be read, every request
/// is answered once and in order, and when all clients have gone nothing of them is left.
pub(crate) fn play(kind: Kind, script: &[Step]) {
    support::in_virtual_time(async {
        let mut stage = Stage::new(kind);
        for step in script {
            stage.step(step).await;
        }
        stage.finish().await;
    });
}

struct Stage {
    kind: Kind,
    limits: Limits,
    server: support::Server,
    /// Holders of each mount before any client came.
    holders: Vec<usize>,
    shutdown: watch::Sender<bool>,
    stopped: bool,
    clients: [Option<Client>; CLIENTS],
    gone: Vec<Client>,
    began: Instant,
}

struct Client {
    /// `None` when it has gone away.
    stream: Option<DuplexStream>,
    task: JoinHandle<()>,
    reading: bool,
    due: Due,
    came: Replies,
    half_closed: bool,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        let limits = Limits { sessions_per_connection: 4, sessions: 8, ..Limits::default() };
        let mut setup =
            if kind.login { support::Setup::with_user() } else { support::Setup::default() };
        setup.schemes.sha256 = kind.sha256;
        setup.udp = kind.udp;
        setup.limits = limits.clone();
        let source = &mut setup.streams[0].1;
        source.keyframe = 2000;
        if kind.cached {
            source.start = Start::Cached { span: Duration::from_secs(2), bytes: 2 << 20 };
        }
        if kind.second {
            let silent = support::source::Source { begins: None, ..Default::default() };
            setup.streams.push(("door".to_owned(), silent));
        }
        let server = support::Server::start(&setup);
        let holders = server.sources.iter().map(|source| Arc::strong_count(source.mount()));
        let holders = holders.collect();
        Self {
            kind,
            limits,
            server,
            holders,
            shutdown: watch::Sender::new(false),
            stopped: false,
            clients: Default::default(),
            gone: Vec::new(),
            began: Instant::now(),
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Send(at, bytes) => {
                self.connect(*at);
                if let Some(client) = &mut self.clients[*at] {
                    client.send(bytes).await;
                }
            }
            Step::Turns(turns) => {
                for _ in 0..*turns {
                    yield_now().await;
                }
            }
            Step::Sleep(time) => {
                // What a client does not read is bounded by its pipe, what it does read by this.
                if self.began.elapsed() < LONGEST {
                    sleep(*time).await;
                }
            }
            Step::Reading(at, reading) => {
                if let Some(client) = &mut self.clients[*at] {
                    client.reading = *reading;
                }
            }
            Step::HalfClose(at) => {
                if let Some(client) = &mut self.clients[*at]
                    && let Some(stream) = &mut client.stream
                {
                    client.half_closed = true;
                    let _ = stream.shutdown().await;
                }
            }
            Step::Close(at) => {
                if let Some(mut client) = self.clients[*at].take() {
                    client.read().await;
                    client.stream = None;
                    self.gone.push(client);
                }
            }
            Step::Datagram(port, from, payload) => {
                let (from, now) = (SocketAddr::new(PEER, *from), Instant::now().into_std());
                self.server.shared.sessions.datagram(from, *port, payload, now);
            }
            Step::Unreachable(port, peer) => {
                let (peer, now) = (SocketAddr::new(PEER, *peer), Instant::now().into_std());
                self.server.shared.sessions.unreachable(peer, *port, now);
            }
            Step::Pause => self.server.sources[0].pause(),
            Step::GoOn => self.server.sources[0].go_on(),
            Step::End => self.server.sources[0].end(),
            Step::Stop => {
                self.stopped = true;
                self.shutdown.send_replace(true);
            }
        }
        for client in self.clients.iter_mut().flatten() {
            client.read().await;
        }
    }

    fn connect(&mut self, at: usize) {
        if self.clients[at].is_some() || self.gone.len() >= MOST_CONNECTIONS {
            return;
        }
        let shared = Arc::clone(&self.server.shared);
        let admitted = shared.census.admit(PEER, self.kind.login, &self.limits);
        let (resident, stranger): (Resident, _) = admitted.expect("so few are let in");
        let context = Context {
            id: shared.next_connection(),
            shared,
            peer: SocketAddr::new(PEER, 50_000),
            local: support::LOCAL,
            shutdown: self.shutdown.subscribe(),
            stranger,
        };
        let pipe = if self.kind.narrow { 4096 } else { 64 << 20 };
        let (stream, server) = tokio::io::duplex(pipe);
        let task = tokio::spawn(async move {
            connection::serve(server, context).await;
            drop(resident);
        });
        self.clients[at] = Some(Client {
            stream: Some(stream),
            task,
            reading: true,
            due: Due::new(&self.limits.wire),
            came: Replies::default(),
            half_closed: false,
        });
    }

    async fn finish(mut self) {
        // Answers that wait for a stream, or are held back from somebody who guesses.
        for _ in 0..MOST_SECONDS_TO_ANSWER {
            let mut waiting = false;
            for client in self.clients.iter_mut().flatten() {
                client.reading = true;
                client.read().await;
                waiting |= client.is_owed();
            }
            if !waiting {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        for client in self.clients.iter_mut().flatten() {
            assert!(!client.is_owed(), "an answer is owed for ever");
        }
        for client in &mut self.clients {
            self.gone.extend(client.take());
        }
        self.server.sources[0].pause();
        for client in &mut self.gone {
            client.read().await;
            client.stream = None;
        }
        // Connections end at once, whatever their streams do.
        sleep(GOODBYE).await;
        for client in self.gone {
            client.due.check_order(&client.came);
            assert!(client.task.is_finished(), "a connection outlives its client");
            if let Err(error) = client.task.await
                && error.is_panic()
            {
                resume_unwind(error.into_panic());
            }
        }
        // Sessions end when they have been silent, whether there are pictures or not: to make them
        // would only take time.
        let mounts: Vec<Arc<Mount>> =
            self.server.sources.iter().map(|s| s.mount().clone()).collect();
        self.server.sources.clear();
        advance(self.limits.session_timeout + Duration::from_secs(12)).await;
        sleep(Duration::from_secs(2)).await;
        let sessions = &self.server.shared.sessions;
        assert!(sessions.lock().is_empty(), "sessions outlive their clients");
        let addresses = format!("{:?}", sessions.lock());
        assert!(addresses.contains("by_address: {}"), "addresses are left: {addresses}");
        let alone = Limits {
            connections: 1,
            connections_per_address: 1,
            unauthenticated: 1,
            unauthenticated_per_address: 1,
            ..self.limits
        };
        assert!(self.server.shared.census.admit(PEER, true, &alone).is_ok(), "places are left");
        for (mount, holders) in mounts.iter().zip(self.holders) {
            // Gone are the source and its publisher; held here is one more.
            assert!(Arc::strong_count(mount) < holders, "somebody still holds a stream");
        }
    }
}

impl Client {
    async fn send(&mut self, template: &[u8]) {
        let bytes = self.filled_in(template);
        let Some(stream) = &mut self.stream else { return };
        if self.half_closed {
            return;
        }
        // As much as fits: a server that does not read is not waited for.
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = poll_fn(|context| {
                use tokio::io::AsyncWrite as _;
                match Pin::new(&mut *stream).poll_write(context, rest) {
                    Poll::Ready(Ok(written)) => Poll::Ready(written),
                    Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(0),
                }
            });
            match written.await {
                0 => break,
                written => {
                    self.due.sent(&rest[..written]);
                    rest = &rest[written..];
                }
            }
        }
        yield_now().await;
    }

    /// Takes what has come, without waiting.
    async fn read(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|_| self.reading) else { return };
        let mut buffer = [0; 16 << 10];
        loop {
            let read = poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut buffer);
                match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) => Poll::Ready(buffer.filled().len()),
                    Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(0),
                }
            });
            match read.await {
                0 => return,
                read => self.came.receive(&buffer[..read]),
            }
        }
    }

    /// Whether a request has not been answered by a server that is still there.
    fn is_owed(&self) -> bool {
        if self.task.is_finished() || self.half_closed || self.stream.is_none() {
            return false;
        }
        self.due.fatal.is_some() || self.came.cseqs.len() < self.due.cseqs.len()
    }

    fn filled_in(&self, template: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.iter().position(|&byte| byte == MARK) {
            filled.extend_from_slice(&rest[..at]);
            match rest.get(at + 1) {
                Some(b's') => {
                    let session = self.came.session.as_deref().unwrap_or("none");
                    filled.extend_from_slice(session.as_bytes());
                }
                Some(b'a') => filled.extend(self.authorization(template, PASSWORD)),
                Some(b'w') => filled.extend(self.authorization(template, "wrong")),
                _ => {}
            }
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        filled.extend_from_slice(rest);
        filled
    }

    /// Digest with MD5, for the request line that `template` begins with.
    fn authorization(&self, template: &[u8], password: &str) -> Vec<u8> {
        let line = template.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let mut words = line.split(|&byte| byte == b' ').map(String::from_utf8_lossy);
        let method = words.next().unwrap_or_default();
        let uri = words.next().unwrap_or_default();
        let (realm, nonce) = self.came.challenge.clone().unwrap_or_default();
        let response = md5_response(USER, &realm, password, &nonce, &method, &uri);
        format!(
            "Authorization: Digest username=\"{USER}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\""
        )
        .into_bytes()
    }
}

/// The response of RFC 2069.
pub(crate) fn md5_response(
    user: &str,
    realm: &str,
    password: &str,
    nonce: &str,
    method: &str,
    uri: &str,
) -> String {
    let hex = |text: String| {
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let ha1 = hex(format!("{user}:{realm}:{password}"));
    let ha2 = hex(format!("{method}:{uri}"));
    hex(format!("{ha1}:{nonce}:{ha2}"))
}

/// Clients at a time.
pub(crate) const CLIENTS: usize = 3;
/// Who may log in.
pub(crate) const USER: &str = "lens";
/// With what.
pub(crate) const PASSWORD: &str = "secret";

/// Where clients are: an address that the system lets nobody send to, so that no packet of a
/// made-up port reaches anyone.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
/// Connections that one script can make.
const MOST_CONNECTIONS: usize = 16;
/// How much virtual time one script can let pass.
const LONGEST: Duration = Duration::from_secs(90);
/// The longest that answers can wait, with every one of a full pipeline held back.
const MOST_SECONDS_TO_ANSWER: usize = 200;
/// In which a connection whose client has gone takes leave.
const GOODBYE: Duration = Duration::from_secs(1);
