//! A server for both families over real sockets: what clients say by RTCP is heard in each, though
//! the server's ports have the same numbers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Probe},
    sync::Arc,
    time::Duration,
};

use lenscast::{
    clock::SystemClock,
    config::{Config, Layer, Origin, UdpPorts, resolve},
    credentials::Access,
    entropy::Entropy,
    serve::{Server, StartError, Stopped},
    shared::Shared,
};
use rtp_packetizer::{Ssrc, rtcp::ReceptionReport};
use rtsp_proto::header::SessionId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::oneshot,
    time::{interval, timeout},
};

#[tokio::test]
async fn reports_are_heard_in_both_families_at_one_port_number() {
    if let Err(error) = Probe::bind((Ipv6Addr::LOCALHOST, 0)) {
        panic!("this test needs IPv6 on the loopback device, and [::1] cannot be bound: {error}");
    }
    let server = start();
    let shared = server.shared().clone();
    let ports = shared.ports.as_ref().expect("a server that sends by UDP");
    let numbers: Vec<_> = ports.pairs().map(|pair| pair.port).collect();
    assert!(matches!(numbers[..], [v4, v6] if v4 == v6), "{numbers:?}");
    let addresses = server.addresses().unwrap();
    let (stop, stopping) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopping.await;
    }));

    for (number, family) in [LOCALHOST_V6, LOCALHOST].into_iter().enumerate() {
        let rtsp = *addresses.iter().find(|address| address.ip() == family).expect("a listener");
        let client = Client::set_up(rtsp).await;
        let report = ReceptionReport {
            // Not that of the other family's client.
            reporter: Ssrc(0xc11e_0000 + number as u32),
            ssrc: shared.streams.find(STREAM).expect("the stream").mount.identity().ssrc,
            fraction_lost: 3,
            cumulative_lost: 17,
            highest_sequence: 0x0001_2345,
            jitter: 90,
            lsr: 0,
            dlsr: 0,
        };
        client.report(&report).await;
        let heard = timeout(PATIENCE, report_of(&shared, client.session)).await;
        let heard = heard.unwrap_or_else(|_| panic!("a report over {family} is not heard"));
        assert_eq!(heard, report, "over {family}");
    }

    stop.send(()).unwrap();
    assert!(matches!(running.await.unwrap(), Stopped::Asked));
}

/// A server at the loopback of both families, whose UDP ports have the same numbers in both.
fn start() -> Server {
    for _ in 0..PORT_ATTEMPTS {
        let Some(udp) = free_in_both() else { continue };
        let config = Config {
            listen: vec![SocketAddr::new(LOCALHOST, 0), SocketAddr::new(LOCALHOST_V6, 0)],
            udp,
            ..test_card()
        };
        let (clock, entropy) = (Arc::new(SystemClock), Entropy::from_system());
        match Server::start(&config, Access::Open, clock, entropy) {
            Ok(server) => return server,
            // Somebody else was faster.
            Err(StartError::Udp(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no pair of ports is free in both families");
}

fn test_card() -> Config {
    let mut flags = Layer::default();
    let source = format!("{STREAM}=test:?size=160x120&fps=5");
    flags.source(&source, Origin::Flag("--source"));
    resolve(Layer::default(), Layer::default(), flags).unwrap()
}

/// A pair of ports that nobody has at this moment.
fn free_in_both() -> Option<UdpPorts> {
    let port = Probe::bind((LOCALHOST, 0)).ok()?.local_addr().ok()?.port() & !1;
    let pair = [port, port + 1];
    let is_free = |family: IpAddr| pair.iter().all(|port| Probe::bind((family, *port)).is_ok());
    UdpPorts::new(port).filter(|_| is_free(LOCALHOST) && is_free(LOCALHOST_V6))
}

/// A session's newest report, once there is one.
async fn report_of(shared: &Shared, session: SessionId) -> ReceptionReport {
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let mut sessions = shared.sessions.lock();
        if let Some(report) = sessions.any_session(session).expect("the session").report {
            return report;
        }
    }
}

/// A client that has set up a session over UDP.
struct Client {
    session: SessionId,
    rtcp: UdpSocket,
    /// The server's RTCP port.
    server: SocketAddr,
    _rtp: UdpSocket,
    _connection: TcpStream,
}

impl Client {
    async fn set_up(rtsp: SocketAddr) -> Self {
        let (port, rtp, rtcp) = bind_pair(rtsp.ip()).await;
        let mut connection = TcpStream::connect(rtsp).await.unwrap();
        let ports = format!("client_port={port}-{}", port + 1);
        let request = format!(
            "SETUP rtsp://{rtsp}/{STREAM} RTSP/1.0\r\nCSeq: 1\r\n\
             Transport: RTP/AVP;unicast;{ports}\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            let read = timeout(PATIENCE, connection.read_u8()).await;
            reply.push(read.expect("a reply to SETUP in time").expect("the whole reply"));
        }
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("RTSP/1.0 200 OK\r\n") && reply.contains(&ports), "{reply}");
        let session = value_of(&reply, "Session: ").and_then(SessionId::parse).expect(&reply);
        let granted = value_of(&reply, "server_port=").expect(&reply);
        let (_, server) = granted.split_once('-').expect("two ports");
        let server = SocketAddr::new(rtsp.ip(), server.parse().expect("a number"));
        Self { session, rtcp, server, _rtp: rtp, _connection: connection }
    }

    /// Sends a receiver report (RFC 3550 section 6.4.2).
    async fn report(&self, report: &ReceptionReport) {
        // Version 2, one report block, 8 words in all.
        let mut packet = vec![0x81, 201, 0, 7];
        packet.extend(report.reporter.0.to_be_bytes());
        packet.extend(report.ssrc.0.to_be_bytes());
        packet.push(report.fraction_lost);
        packet.extend(&report.cumulative_lost.to_be_bytes()[1..]);
        for field in [report.highest_sequence, report.jitter, report.lsr, report.dlsr] {
            packet.extend(field.to_be_bytes());
        }
        self.rtcp.send_to(&packet, self.server).await.unwrap();
    }
}

/// Sockets on an even port and the next.
async fn bind_pair(ip: IpAddr) -> (u16, UdpSocket, UdpSocket) {
    for _ in 0..PORT_ATTEMPTS {
        let rtp = UdpSocket::bind((ip, 0)).await.unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
        {
            return (port, rtp, rtcp);
        }
    }
    panic!("no pair of ports is free at {ip}");
}

/// What follows `name` in a reply, up to the next parameter or line.
fn value_of<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = reply.split_once(name)?;
    rest.split([';', '\r']).next()
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const STREAM: &str = "card";
const PORT_ATTEMPTS: usize = 256;
/// Within a machine, all of it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);
