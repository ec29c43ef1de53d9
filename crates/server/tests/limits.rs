//! Every limit on what clients may use, at its edge: what is just allowed is done, one more is
//! refused, and nobody else notices. Connections are counted by the listener, and tested there.

use std::{
    iter,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lenscast::limits::Limits;
use support::{Server, Setup, in_virtual_time, source::Source};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

mod support;

#[test]
fn as_many_sessions_as_allowed_and_no_more() {
    let limits = Limits { sessions: 2, ..Limits::default() };
    in_virtual_time(async {
        let server = Server::start(&Setup { limits, ..Setup::default() });
        let mut clients = [Client::of(&server), Client::of(&server), Client::of(&server)];
        clients[0].set_up().await;
        clients[1].set_up().await;
        let refused = clients[2].ask("SETUP", TRANSPORT).await;
        assert!(
            refused.starts_with(
                "RTSP/1.0 453 Not Enough Bandwidth: all sessions this server allows are in use\r\n"
            ),
            "{refused}"
        );
        // Changing the transport of a session takes up no other.
        let session = clients[1].session.clone();
        let again = clients[1].ask("SETUP", &format!("{TRANSPORT}Session: {session}\r\n")).await;
        assert!(again.starts_with("RTSP/1.0 200 OK\r\n"), "{again}");
        // One that is over makes room, by TEARDOWN as by leaving.
        clients[0].ask("TEARDOWN", "").await;
        clients[2].set_up().await;
        let [_, second, third] = clients;
        second.leave().await;
        Client::of(&server).set_up().await;
        drop(third);
    });
}

/// Over UDP: one that does not play would give way to the next.
#[test]
fn as_many_sessions_of_one_connection_as_allowed() {
    let limits = Limits { sessions_per_connection: 2, ..Limits::default() };
    in_virtual_time(async {
        let server = Server::start(&Setup { limits, udp: true, ..Setup::default() });
        let mut client = Client::of(&server);
        let (_sockets, transports): (Vec<_>, Vec<_>) = (0..3).map(|_| udp_transport()).unzip();
        for transport in &transports[..2] {
            assert!(client.ask("SETUP", transport).await.starts_with("RTSP/1.0 200 "));
            assert!(client.ask("PLAY", "").await.starts_with("RTSP/1.0 200 "));
        }
        let refused = client.ask("SETUP", &transports[2]).await;
        assert!(refused.starts_with("RTSP/1.0 453 Not Enough Bandwidth: "), "{refused}");
        assert_eq!(server.shared.sessions.lock().len(), 2);
        Client::of(&server).set_up().await;
        assert!(client.ask("TEARDOWN", "").await.starts_with("RTSP/1.0 200 "));
        assert!(client.ask("SETUP", &transports[2]).await.starts_with("RTSP/1.0 200 "));
    });
}

#[test]
fn who_does_not_log_in_in_time_is_closed_whatever_it_sends() {
    let limits = Limits { login_time: Duration::from_secs(12), ..Limits::default() };
    in_virtual_time(async {
        let mut setup = Setup { limits, ..Setup::with_user() };
        setup.schemes.basic = true;
        let server = Server::start(&setup);
        let mut stranger = Client::connected(server.connect_as(1 << 16, Some(())));
        let mut known = Client::connected(server.connect_as(1 << 16, Some(())));
        known.ask("DESCRIBE", "Authorization: Basic bGVuczpzZWNyZXQ=\r\n").await;
        sleep(Duration::from_secs(6)).await;
        assert!(stranger.ask("DESCRIBE", "").await.starts_with("RTSP/1.0 401 "));
        assert!(known.ask("OPTIONS", "").await.starts_with("RTSP/1.0 200 "));
        sleep(Duration::from_millis(5_900)).await;
        assert!(stranger.ask("OPTIONS", "").await.starts_with("RTSP/1.0 200 "));
        sleep(Duration::from_millis(150)).await;
        assert_eq!(stranger.rest().await, b"");
        assert!(known.ask("OPTIONS", "").await.starts_with("RTSP/1.0 200 "));
    });
}

#[test]
fn idle_connections_are_closed_and_others_are_not() {
    let limits = Limits { idle_timeout: Duration::from_secs(20), ..Limits::default() };
    in_virtual_time(async {
        let server = Server::start(&Setup { limits, ..Setup::default() });
        let (mut idle, mut busy) = (Client::of(&server), Client::of(&server));
        let mut watching = Client::of(&server);
        idle.ask("OPTIONS", "").await;
        busy.ask("OPTIONS", "").await;
        watching.set_up().await;
        watching.ask("PLAY", "").await;
        sleep(Duration::from_millis(19_900)).await;
        assert!(idle.is_served());
        // Any byte will do.
        busy.say(b"\r\n").await;
        sleep(Duration::from_millis(600)).await;
        assert_eq!(idle.rest().await, b"");
        assert!(busy.is_served() && watching.is_served());
        sleep(Duration::from_secs(21)).await;
        assert!(!busy.is_served());
        assert!(watching.is_served(), "a client that is sent something is not idle");
    });
}

#[test]
fn a_session_that_is_set_up_keeps_its_connection_until_it_ends() {
    let limits = Limits {
        idle_timeout: Duration::from_secs(5),
        session_timeout: Duration::from_secs(20),
        ..Limits::default()
    };
    in_virtual_time(async {
        let server = Server::start(&Setup { limits, ..Setup::default() });
        let mut client = Client::of(&server);
        let header = client.set_up().await;
        assert!(header.contains(";timeout=20\r\n"), "{header}");
        // The timeout, and the ten seconds of grace.
        sleep(Duration::from_millis(29_900)).await;
        assert!(client.is_served());
        assert_eq!(server.shared.sessions.lock().len(), 1);
        sleep(Duration::from_secs(3)).await;
        assert!(!client.is_served());
        assert_eq!(server.shared.sessions.lock().len(), 0);
    });
}

/// The pipe stands for the socket's buffers: what fits in is sent, and then the client must read.
#[test]
fn a_viewer_that_stops_reading_is_closed_and_harms_nobody() {
    in_virtual_time(async {
        let source = Source { keyframe: 40_000, ..Source::default() };
        let streams = vec![("cam".to_owned(), source)];
        let server = Server::start(&Setup { streams, ..Setup::default() });
        let mut stalled = Client::connected(server.connect_with(30_000));
        let mut slow = Client::connected(server.connect_with(30_000));
        let mut good = Client::connected(server.connect_with(200_000));
        for client in [&mut stalled, &mut slow, &mut good] {
            client.set_up().await;
            client.say(b"PLAY rtsp://127.0.0.1:8554/cam RTSP/1.0\r\nCSeq: 9\r\n\r\n").await;
        }
        let begun = Instant::now();
        let mut taken = 0;
        while begun.elapsed() < Duration::from_secs(30) {
            sleep(Duration::from_millis(100)).await;
            taken += good.take().await;
            // A little now and then is progress enough.
            if begun.elapsed().as_millis() % 9500 < 100 {
                slow.take_at_most(10).await;
            }
            let waited = begun.elapsed();
            if waited < Duration::from_millis(9_900) {
                assert!(stalled.is_served(), "closed too early, after {waited:?}");
            }
            if waited > Duration::from_millis(10_600) {
                assert!(!stalled.is_served(), "not closed after {waited:?}");
            }
        }
        assert!(slow.is_served(), "it did read");
        assert_eq!(server.shared.sessions.lock().len(), 2);
        // 30 keyframes and 720 others, their packets and the frames around them.
        assert!(taken > 30 * 40_000 + 700 * 202, "{taken} bytes");
        assert_is_gapless(&good.received);
    });
}

/// The first byte of the first reply goes out. So four replies less one byte are unread, which is
/// the limit exactly, or just under it, and then a fifth is made.
#[test]
fn replies_that_are_not_read_are_not_added_to() {
    let reply = in_virtual_time(async {
        let server = Server::start(&Setup::default());
        let mut client = Client::of(&server);
        client.say(b"OPTIONS * RTSP/1.0\r\nCSeq: 10\r\n\r\n").await;
        client.reply().await.len()
    });
    for (unread_replies, answered) in [(4 * reply - 1, 4), (4 * reply, 5)] {
        let limits = Limits { unread_replies, pipelined_requests: 4, ..Limits::default() };
        let setup = Setup { limits, ..Setup::default() };
        in_virtual_time(unread_replies_are_bounded(setup, reply, answered));
    }
}

async fn unread_replies_are_bounded(setup: Setup, reply: usize, answered: usize) {
    let server = Server::start(&setup);
    // One byte of room: what is answered stays with the server.
    let (stream, connection) = server.connect_with(1);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let requests = 40;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    tokio::spawn(async move {
        for number in 10..10 + requests {
            let request = format!("OPTIONS * RTSP/1.0\r\nCSeq: {number}\r\n\r\n");
            if writer.write_all(request.as_bytes()).await.is_err() {
                return;
            }
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // Keeps the writing side open.
        sleep(Duration::from_secs(1000)).await;
    });
    sleep(Duration::from_secs(5)).await;
    assert_eq!(sent.load(Ordering::Relaxed), answered + setup.limits.pipelined_requests);
    // All are answered, in order, once somebody reads.
    let mut replies = Vec::new();
    while timeout(Duration::from_secs(1), reader.read_buf(&mut replies)).await.is_ok() {}
    let replies = String::from_utf8(replies).unwrap();
    let numbers = replies.lines().filter_map(|line| line.strip_prefix("CSeq: ")?.parse().ok());
    assert_eq!(numbers.collect::<Vec<u32>>(), (10..10 + requests).collect::<Vec<_>>());
    assert_eq!(replies.len(), requests as usize * reply, "{replies}");
    assert!(!connection.is_finished());
}

/// A viewer by UDP begins once the client can have read the reply to its PLAY. Stopped before, it
/// must never begin: nothing would ever stop it again.
#[test]
fn a_viewer_that_is_stopped_before_it_begins_never_begins() {
    in_virtual_time(async {
        let server = Server::start(&Setup { udp: true, ..Setup::default() });
        for stop in ["PAUSE", "TEARDOWN"] {
            let (mut client, port) = Client::over_udp(&server).await;
            client.say_unread(&["PLAY", stop]).await;
            client.take().await;
            let replies = String::from_utf8(client.received.clone()).expect("text");
            assert_eq!(replies.matches("RTSP/1.0 200 OK\r\n").count(), 5, "{stop}: {replies}");
            sleep(Duration::from_secs(1)).await;
            assert_eq!(rtp_packets(&port), 0, "{stop}");
        }
    });
}

/// A session over UDP outlives its connection, and then must not play without a viewer.
#[test]
fn a_viewer_begins_though_its_connection_is_lost_before_the_reply() {
    in_virtual_time(async {
        let server = Server::start(&Setup { udp: true, ..Setup::default() });
        let (mut client, port) = Client::over_udp(&server).await;
        client.say_unread(&["PLAY"]).await;
        assert_eq!(rtp_packets(&port), 0, "the reply has not been read yet");
        client.leave().await;
        sleep(Duration::from_secs(1)).await;
        assert!(rtp_packets(&port) > 20);
    });
}

#[test]
fn who_reads_no_replies_at_all_is_closed() {
    in_virtual_time(async {
        let server = Server::start(&Setup::default());
        let mut client = Client::connected(server.connect_with(64));
        client.say(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await;
        sleep(Duration::from_millis(9_900)).await;
        assert!(client.is_served());
        sleep(Duration::from_millis(200)).await;
        assert!(!client.is_served());
    });
}

#[test]
fn requests_beyond_the_pipeline_wait_in_the_socket() {
    let limits = Limits { pipelined_requests: 3, ..Limits::default() };
    in_virtual_time(async {
        let streams = vec![("cam".to_owned(), Source { begins: None, ..Source::default() })];
        let server = Server::start(&Setup { limits, streams, ..Setup::default() });
        let mut client = Client::connected(server.connect_with(100));
        client.say(b"DESCRIBE rtsp://127.0.0.1:8554/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n").await;
        // DESCRIBE is being answered, three wait, the fifth is not read: so it fills the pipe, and
        // the sixth does not fit in any more.
        let request = format!("OPTIONS * RTSP/1.0\r\nCSeq: {}\r\n\r\n", "2".repeat(32));
        for _ in 0..3 {
            assert!(client.says_in_time(request.as_bytes()).await);
            sleep(INSTANT).await;
        }
        assert!(client.says_in_time(&[b'A'; 100]).await, "there is room in the pipe");
        assert!(!client.says_in_time(b"B").await, "more was read than may wait");
        assert!(client.is_served());
    });
}

#[test]
fn failed_logins_up_to_the_limit() {
    let limits = Limits { failed_logins: 3, ..Limits::default() };
    in_virtual_time(async {
        let server = Server::start(&Setup { limits, ..Setup::with_user() });
        let mut client = Client::of(&server);
        let guess = "Authorization: Digest username=\"lens\", realm=\"lenscast-test\", \
             nonce=\"00\", uri=\"rtsp://127.0.0.1:8554/cam\", \
             response=\"00000000000000000000000000000000\"\r\n";
        // Without a header it is no attempt.
        for _ in 0..5 {
            assert!(client.ask("DESCRIBE", "").await.starts_with("RTSP/1.0 401 "));
        }
        for _ in 0..2 {
            assert!(client.ask("DESCRIBE", guess).await.starts_with("RTSP/1.0 401 "));
        }
        assert!(client.ask("DESCRIBE", "").await.starts_with("RTSP/1.0 401 "));
        assert!(client.is_served());
        assert!(client.ask("DESCRIBE", guess).await.starts_with("RTSP/1.0 401 "));
        assert_eq!(client.rest().await, b"", "closed after the answer");
    });
}

/// Each connection begins among those that have not logged in; where nobody has to, it never was.
#[test]
fn a_place_among_strangers_is_given_back_after_the_login() {
    in_virtual_time(async {
        let mut setup = Setup::with_user();
        setup.schemes.basic = true;
        let server = Server::start(&setup);
        let place = Arc::new(());
        let mut client = Client::connected(server.connect_as(1 << 16, Some(place.clone())));
        client.ask("OPTIONS", "").await;
        client.ask("DESCRIBE", "").await;
        assert_eq!(Arc::strong_count(&place), 2, "still a stranger");
        // lens:wrong, then lens:secret
        client.ask("DESCRIBE", "Authorization: Basic bGVuczp3cm9uZw==\r\n").await;
        assert_eq!(Arc::strong_count(&place), 2, "still a stranger");
        let described = client.ask("DESCRIBE", "Authorization: Basic bGVuczpzZWNyZXQ=\r\n").await;
        assert!(described.starts_with("RTSP/1.0 200 "), "{described}");
        assert_eq!(Arc::strong_count(&place), 1);
        assert!(client.is_served());

        // One that leaves gives it back as well.
        let client = Client::connected(server.connect_as(1 << 16, Some(place.clone())));
        sleep(INSTANT).await;
        assert_eq!(Arc::strong_count(&place), 2);
        client.leave().await;
        assert_eq!(Arc::strong_count(&place), 1);
    });
}

#[test]
fn waits_are_bounded_as_configured() {
    let limits = Limits {
        describe_time: Duration::from_millis(700),
        play_time: Duration::from_millis(300),
        ..Limits::default()
    };
    in_virtual_time(async {
        let streams = vec![("cam".to_owned(), Source { begins: None, ..Source::default() })];
        let server = Server::start(&Setup { limits, streams, ..Setup::default() });
        let mut client = Client::of(&server);
        let begun = Instant::now();
        assert!(client.ask("DESCRIBE", "").await.starts_with("RTSP/1.0 503 "));
        assert_within(begun.elapsed(), 700);
        client.set_up().await;
        let begun = Instant::now();
        let played = client.ask("PLAY", "").await;
        assert!(played.contains("RTP-Info: url=rtsp://127.0.0.1:8554/cam\r\n"), "{played}");
        assert_within(begun.elapsed(), 300);
    });
}

/// The limits of single messages are tested where they are made; here, that they are those of the
/// configuration, and that a client is told.
#[test]
fn messages_at_their_limits() {
    let mut limits = Limits::default();
    limits.wire.head = 300;
    limits.wire.body = 10;
    limits.wire.request_time = Duration::from_secs(3);
    limits.wire.first_request_time = Duration::from_secs(2);
    in_virtual_time(async {
        let server = Server::start(&Setup { limits, ..Setup::default() });
        let mut client = Client::of(&server);
        assert!(client.ask("GET_PARAMETER", "Content-Length: 11\r\n").await.contains(" 413 "));
        client.say(b"\r\n123456789").await;
        let whole = "GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 10\r\n\r\n0123456789";
        client.say(whole.as_bytes()).await;
        assert!(client.reply().await.contains(" 451 "));
        let line = format!("X: {}\r\n", "x".repeat(300));
        let refused = client.ask("OPTIONS", &line).await;
        assert!(refused.contains(" 400 Bad Request: the head is longer than 300 bytes\r\n"));
        assert_eq!(client.rest().await, b"");

        let mut silent = Client::of(&server);
        let begun = Instant::now();
        assert_eq!(silent.rest().await, b"");
        assert_within(begun.elapsed(), 2000);

        let mut dripping = Client::of(&server);
        dripping.ask("OPTIONS", "").await;
        let begun = Instant::now();
        dripping.say(b"O").await;
        let rest = String::from_utf8(dripping.rest().await).unwrap();
        assert!(rest.starts_with("RTSP/1.0 408 Request Time-out: not complete after 3s\r\n"));
        assert_within(begun.elapsed(), 3000);
    });
}

/// A client who does as it is told.
struct Client {
    stream: DuplexStream,
    connection: JoinHandle<()>,
    session: String,
    cseq: u32,
    received: Vec<u8>,
}

impl Client {
    fn of(server: &Server) -> Self {
        Self::connected(server.connect())
    }

    fn connected((stream, connection): (DuplexStream, JoinHandle<()>)) -> Self {
        Self { stream, connection, session: String::new(), cseq: 0, received: Vec::new() }
    }

    /// Has set up a session over UDP; its pipe holds less than two replies.
    async fn over_udp(server: &Server) -> (Self, UdpSocket) {
        let (socket, transport) = udp_transport();
        let mut client = Self::connected(server.connect_with(256));
        assert!(client.ask("SETUP", &transport).await.starts_with("RTSP/1.0 200 "));
        (client, socket)
    }

    /// Sends requests whose replies stay with the server, because those to others fill the pipe.
    async fn say_unread(&mut self, methods: &[&str]) {
        self.say(&b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(3)).await;
        for method in methods {
            let head = format!("{method} rtsp://127.0.0.1:8554/cam RTSP/1.0\r\nCSeq: 2\r\n\r\n");
            self.say(head.as_bytes()).await;
        }
        sleep(Duration::from_millis(500)).await;
    }

    /// The head of the reply to a request for the stream; empty when there is none in time.
    async fn ask(&mut self, method: &str, headers: &str) -> String {
        self.cseq += 1;
        let cseq = self.cseq;
        let head = format!("{method} rtsp://127.0.0.1:8554/cam RTSP/1.0\r\nCSeq: {cseq}\r\n");
        self.say(format!("{head}{headers}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// The head of the next reply, its body skipped.
    async fn reply(&mut self) -> String {
        let (mut reply, mut byte) = (Vec::new(), [0]);
        while !reply.ends_with(b"\r\n\r\n") {
            match timeout(PATIENCE, self.stream.read_exact(&mut byte)).await {
                Ok(Ok(_)) => reply.push(byte[0]),
                _ => break,
            }
        }
        let reply = String::from_utf8(reply).expect("text");
        let length = reply.split_once("Content-Length: ").and_then(|(_, rest)| {
            rest.split_once("\r\n").and_then(|(length, _)| length.parse().ok())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).await.expect("the whole body");
        reply
    }

    async fn set_up(&mut self) -> String {
        let reply = self.ask("SETUP", TRANSPORT).await;
        assert!(reply.starts_with("RTSP/1.0 200 OK\r\n"), "{reply}");
        let (_, session) = reply.split_once("Session: ").expect("a session");
        self.session = session.split(';').next().expect("an id").to_owned();
        reply
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// Whether all of it fits in within a second.
    async fn says_in_time(&mut self, bytes: &[u8]) -> bool {
        let said = timeout(Duration::from_secs(1), self.stream.write_all(bytes)).await;
        said.is_ok_and(|said| said.is_ok())
    }

    /// Reads all that is there.
    async fn take(&mut self) -> usize {
        let before = self.received.len();
        while timeout(INSTANT, self.stream.read_buf(&mut self.received))
            .await
            .is_ok_and(|read| read.is_ok_and(|read| read > 0))
        {}
        self.received.len() - before
    }

    async fn take_at_most(&mut self, bytes: usize) {
        let mut taken = vec![0; bytes];
        let _ = timeout(INSTANT, self.stream.read(&mut taken)).await;
    }

    /// Everything up to the end, which must come.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        ended.expect("the server closes").expect("readable");
        rest
    }

    fn is_served(&self) -> bool {
        !self.connection.is_finished()
    }

    async fn leave(self) {
        drop(self.stream);
        self.connection.await.expect("no panic");
    }
}

/// A port of a client's own, and the header that names it.
fn udp_transport() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.set_nonblocking(true).expect("a socket can");
    let port = socket.local_addr().expect("bound").port();
    (socket, format!("Transport: RTP/AVP;unicast;client_port={port}-{port}\r\n"))
}

/// How many have come.
fn rtp_packets(socket: &UdpSocket) -> usize {
    let mut datagram = [0; 2000];
    let datagrams = iter::from_fn(|| socket.recv(&mut datagram).ok().map(|_| datagram[1]));
    datagrams.filter(|packet_type| !(200..=204).contains(packet_type)).count()
}

/// Whether the RTP packets of channel 0 follow one another.
fn assert_is_gapless(received: &[u8]) {
    let start = received.windows(4).position(|four| four == b"\r\n\r\n").expect("a reply") + 4;
    let (mut rest, mut expected) = (&received[start..], None::<u16>);
    let mut packets = 0;
    while let [b'$', channel, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((packet, behind)) = behind.split_at_checked(length) else { break };
        if *channel == 0 {
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            assert!(expected.is_none_or(|expected| expected == sequence), "a gap at {sequence}");
            expected = Some(sequence.wrapping_add(1));
            packets += 1;
        }
        rest = behind;
    }
    assert!(packets > 1000, "{packets} packets");
}

fn assert_within(time: Duration, millis: u64) {
    let expected = Duration::from_millis(millis);
    assert!(time >= expected && time < expected + Duration::from_millis(10), "{time:?}");
}

const TRANSPORT: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// The least time Tokio's timer knows.
const INSTANT: Duration = Duration::from_millis(1);
