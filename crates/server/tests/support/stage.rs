//! The stage on which transcripts are played, and what their `%` lines mean:
//!
//! ```text
//! before the first line of a client
//!   % user NAME PASSWORD       somebody who may log in; without any the server is open
//!   % udp                      UDP ports, for the server and the client
//!   % ipv6                     both are at [::1], not at 127.0.0.1; before `% udp`
//!   % source never             never has anything to show
//!   % source in 3s             begins then
//!   % source silent            can be described, and never shows anything
//!   % source cached            keyframes cannot be asked for
//!   % stream NAME              another stream
//!   % sha256                   Digest with SHA-256 is offered too
//!   % basic                    Basic is offered too
//! at any time
//!   % source pauses | goes on | ends
//!   % server stops             as on Ctrl-C
//!   % sessions 1               so many there are
//!   % connections 1            so many the server still serves
//! ```

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use lenscast::{live::mount::Start, sessions};
use testkit::transcript::{Pair, Place, Port, World};
use tokio::{
    io::DuplexStream,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Server, Setup, source::Source};

/// A server to be, then one that runs, and its client.
#[derive(Default)]
pub struct Stage {
    setup: Setup,
    server: Option<Server>,
    connections: Vec<JoinHandle<()>>,
    /// The ports of the client's host, made when they are first used.
    client: BTreeMap<Pair, Client>,
}

/// A pair of ports.
struct Client {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Stage {
    fn server(&mut self) -> &Server {
        self.server.get_or_insert_with(|| Server::start(&self.setup))
    }

    fn client(&mut self, pair: Pair) -> &Client {
        let host = self.setup.host;
        self.client.entry(pair).or_insert_with(|| Client::bind(host))
    }

    fn set_up(&mut self, words: &[&str]) -> Option<()> {
        let (_, source) = self.setup.streams.first_mut()?;
        match *words {
            ["user", name, password] => {
                self.setup.users.push((name.to_owned(), password.to_owned()));
            }
            ["udp"] => {
                self.setup.udp = true;
                self.client(NAMED);
            }
            ["ipv6"] => self.setup.host = Ipv6Addr::LOCALHOST.into(),
            ["sha256"] => self.setup.schemes.sha256 = true,
            ["basic"] => self.setup.schemes.basic = true,
            ["source", "never"] => source.begins = None,
            ["source", "silent"] => {
                source.begins = None;
                source.announced = true;
            }
            ["source", "cached"] => {
                source.start = Start::Cached { span: Duration::from_secs(2), bytes: 2 << 20 };
            }
            ["source", "in", seconds] => {
                let seconds = seconds.strip_suffix('s')?.parse().ok()?;
                source.begins = Some(Duration::from_secs_f64(seconds));
            }
            ["stream", name] => self.setup.streams.push((name.to_owned(), Source::default())),
            _ => return None,
        }
        Some(())
    }

    fn look(&mut self, words: &[&str]) -> Result<(), String> {
        let server = self.server();
        let source = server.sources.first().ok_or("no source")?;
        match *words {
            ["source", "pauses"] => source.pause(),
            ["source", "goes", "on"] => source.go_on(),
            ["source", "ends"] => source.end(),
            ["server", "stops"] => server.stop(),
            ["sessions", expected] => {
                return is_number(expected, server.shared.sessions.lock().len());
            }
            ["connections", expected] => {
                let open = self.connections.iter().filter(|connection| !connection.is_finished());
                return is_number(expected, open.count());
            }
            _ => return Err(format!("nobody knows what to do: {}", words.join(" "))),
        }
        Ok(())
    }
}

fn is_number(expected: &str, there: usize) -> Result<(), String> {
    if expected == there.to_string() {
        return Ok(());
    }
    Err(format!("expected {expected}\n     there are {there}"))
}

impl World for Stage {
    type Stream = DuplexStream;

    async fn direct(&mut self, direction: &str) -> Result<(), String> {
        let words: Vec<_> = direction.split_whitespace().collect();
        if self.server.is_none() && self.set_up(&words).is_some() {
            return Ok(());
        }
        // What goes on at this moment goes on before it is looked at.
        sleep(Duration::from_millis(1)).await;
        self.look(&words)
    }

    async fn connect(&mut self) -> DuplexStream {
        if self.server.is_none() {
            self.server();
            // Not at the very moment of the first picture, but with one to show.
            sleep(Duration::from_millis(90)).await;
        }
        let (stream, connection) = self.server().connect();
        self.connections.push(connection);
        stream
    }

    fn client_ports(&self) -> Option<(u16, u16)> {
        let client = self.client.get(&NAMED)?;
        Some((client.address(Port::Rtp).port(), client.address(Port::Rtcp).port()))
    }

    /// Handed over without the network: it is not what is tested here, and has a time of its own.
    fn send_datagram(&mut self, (pair, port): Place, payload: &[u8]) {
        let from = self.client(pair).address(port);
        let port = match port {
            Port::Rtp => sessions::Port::Rtp,
            Port::Rtcp => sessions::Port::Rtcp,
        };
        let now = Instant::now().into_std();
        self.server().shared.sessions.datagram(from, port, payload, now);
    }

    fn receive_datagram(&mut self, (pair, port): Place, wait: bool) -> Option<Vec<u8>> {
        let socket = self.client(pair).socket(port);
        socket.set_nonblocking(!wait).ok()?;
        let mut buffer = vec![0; 65_536];
        let length = socket.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}

impl Client {
    fn bind(host: IpAddr) -> Self {
        let bind = || UdpSocket::bind(SocketAddr::new(host, 0)).expect("a port is free");
        let client = Self { rtp: bind(), rtcp: bind() };
        for port in [Port::Rtp, Port::Rtcp] {
            // Only ever waited for when the machine is so busy that loopback is late.
            let waits = client.socket(port).set_read_timeout(Some(Duration::from_secs(1)));
            waits.expect("more than no time");
        }
        client
    }

    fn socket(&self, port: Port) -> &UdpSocket {
        match port {
            Port::Rtp => &self.rtp,
            Port::Rtcp => &self.rtcp,
        }
    }

    fn address(&self, port: Port) -> SocketAddr {
        self.socket(port).local_addr().expect("bound")
    }
}

/// The pair of ports that a client names in SETUP.
const NAMED: Pair = 1;
