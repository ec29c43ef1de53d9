//! A client that says what it is told, and nothing else.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rtsp_proto::header::SessionId;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::house::PATIENCE;

/// One RTSP connection.
pub(crate) struct Client {
    stream: TcpStream,
    base: String,
    sent: u32,
}

/// A pair of UDP ports.
pub(crate) struct Ports {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

/// What SETUP by UDP granted.
#[derive(Copy, Clone)]
pub(crate) struct Granted {
    pub(crate) session: SessionId,
    /// The server's ports.
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
}

impl Client {
    /// Connects; calls the server's stream `cam` by the address it connects to.
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        Self::connect_as(server, format!("rtsp://{server}/cam")).await
    }

    /// Connects, and calls the stream `base`.
    pub(crate) async fn connect_as(server: SocketAddr, base: String) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, base, sent: 0 }
    }

    /// The text of a request of the stream.
    pub(crate) fn request(&mut self, method: &str, headers: &str) -> String {
        self.sent += 1;
        format!("{method} {} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.base, self.sent)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Asks, and gives the head of the answer.
    pub(crate) async fn ask(&mut self, method: &str, headers: &str) -> String {
        let request = self.request(method, headers);
        self.send(request.as_bytes()).await;
        self.answer().await
    }

    /// Asks, which has to be granted.
    pub(crate) async fn get(&mut self, method: &str, headers: &str) -> String {
        let answer = self.ask(method, headers).await;
        assert!(answer.starts_with("RTSP/1.0 200 OK\r\n"), "{method}: {answer}");
        answer
    }

    /// The head of the next answer, whose body is read too; `$` frames before it are passed over.
    pub(crate) async fn answer(&mut self) -> String {
        let answer = async {
            loop {
                let first = self.stream.read_u8().await.unwrap();
                if first == b'$' {
                    self.rest_of_frame().await;
                    continue;
                }
                let mut head = vec![first];
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(self.stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let length = value_of(&head, "Content-Length: ").map_or(0, |n| n.parse().unwrap());
                self.stream.read_exact(&mut vec![0; length]).await.unwrap();
                return head;
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer in time")
    }

    /// Waits for a `$` frame, and gives its channel.
    pub(crate) async fn frame(&mut self) -> u8 {
        let frame = async {
            assert_eq!(self.stream.read_u8().await.unwrap(), b'$');
            self.rest_of_frame().await
        };
        timeout(PATIENCE, frame).await.expect("a frame in time")
    }

    async fn rest_of_frame(&mut self) -> u8 {
        let channel = self.stream.read_u8().await.unwrap();
        let length = self.stream.read_u16().await.unwrap();
        self.stream.read_exact(&mut vec![0; length.into()]).await.unwrap();
        channel
    }

    /// SETUP for these ports, which need not be open.
    pub(crate) async fn set_up(&mut self, rtp: u16, rtcp: u16) -> Granted {
        let transport = format!("Transport: RTP/AVP;unicast;client_port={rtp}-{rtcp}\r\n");
        let answer = self.get("SETUP", &transport).await;
        let session = value_of(&answer, "Session: ").and_then(SessionId::parse).expect(&answer);
        let (rtp, rtcp) =
            value_of(&answer, "server_port=").and_then(|p| p.split_once('-')).expect(&answer);
        let place = |port: &str| {
            let mut place = self.stream.peer_addr().unwrap();
            place.set_port(port.parse().unwrap());
            place
        };
        Granted { session, rtp: place(rtp), rtcp: place(rtcp) }
    }

    /// Closes the sending side alone.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Waits for the end of what the server sends.
    pub(crate) async fn end(&mut self) {
        let end = timeout(PATIENCE, self.stream.read_u8()).await.expect("the end in time");
        assert!(end.is_err(), "the server goes on");
    }

    /// Ends the connection as a crash does, by RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Ports {
    pub(crate) async fn open(host: impl Into<IpAddr>) -> Self {
        Self::open_at(SocketAddr::new(host.into(), 0)).await
    }

    /// At any free ports; of `address` host and zone count.
    pub(crate) async fn open_at(mut address: SocketAddr) -> Self {
        address.set_port(0);
        let bind = || async { UdpSocket::bind(address).await.unwrap() };
        Self { rtp: bind().await, rtcp: bind().await }
    }

    pub(crate) fn numbers(&self) -> (u16, u16) {
        let number = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        (number(&self.rtp), number(&self.rtcp))
    }

    /// Punches holes as FFmpeg does: an empty RTP packet, and an empty receiver report.
    pub(crate) async fn punch(&self, to: Granted) {
        self.rtp.send_to(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], to.rtp).await.unwrap();
        self.rtcp.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 0], to.rtcp).await.unwrap();
    }

    /// Sends a receiver report of `reporter` about `ssrc` (RFC 3550 section 6.4.2).
    pub(crate) async fn report(&self, to: Granted, reporter: u32, ssrc: u32) {
        let mut report = vec![0x81, 201, 0, 7];
        report.extend(reporter.to_be_bytes());
        report.extend(ssrc.to_be_bytes());
        report.resize(32, 0);
        self.rtcp.send_to(&report, to.rtcp).await.unwrap();
    }

    /// Receives `count` RTP packets.
    pub(crate) async fn receive(&self, count: usize) {
        for _ in 0..count {
            let mut packet = [0; 2048];
            let length = timeout(PATIENCE, self.rtp.recv(&mut packet)).await.expect("RTP in time");
            assert!(length.unwrap() > 12 && packet[0] == 0x80 && packet[1] & 0x7f == 96);
        }
    }

    /// Whether anything has come that was not received.
    pub(crate) fn is_empty(&self) -> bool {
        [&self.rtp, &self.rtcp].iter().all(|socket| socket.try_recv(&mut [0; 2048]).is_err())
    }
}

/// What follows `name` in an answer, up to the next parameter or line.
pub(crate) fn value_of<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(name)?;
    rest.split([';', '\r']).next()
}
