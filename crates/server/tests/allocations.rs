//! What the heap sees of viewers: a picture costs as many allocations for a hundred as for one, and
//! those who have left have left nothing.
//!
//! The server is in this process, with its real sockets. Everything runs in one thread, and while it
//! is counted the viewers allocate nothing themselves.

use std::{
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr, TcpStream as StdTcpStream, UdpSocket as StdUdpSocket},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dhat::{Alloc, HeapStats, Profiler};
use lenscast::{
    credentials::Access,
    egress::{fanout::Fanout, lines::Lines, udp::Ports},
    entropy::Entropy,
    limits::Limits,
    listener,
    live::{
        Mount, Publisher,
        mount::{Identity, Start},
    },
    shared::{Gate, Shared, Stream, Streams},
};
use media::{AccessUnit, Clock, FrameRate, MediaTime, WallTime};
use rtp_packetizer::{RtpTimestamp, Sequence, Ssrc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    sync::watch,
    task::yield_now,
    time::{sleep, timeout},
};

#[path = "support/source.rs"]
#[allow(dead_code, unreachable_pub, reason = "its pictures alone are wanted")]
mod source;

#[global_allocator]
static HEAP: Alloc = Alloc;

#[test]
fn a_picture_costs_as_many_allocations_for_a_hundred_udp_viewers_as_for_one() {
    as_many_for_a_hundred_as_for_one(Transport::Udp);
}

#[test]
fn a_picture_costs_as_many_allocations_for_a_hundred_tcp_viewers_as_for_one() {
    as_many_for_a_hundred_as_for_one(Transport::Tcp);
}

fn as_many_for_a_hundred_as_for_one(transport: Transport) {
    let _alone = alone();
    let [one, hundred] = [1, 100].map(|viewers| {
        in_one_thread(async {
            let mut house = House::open();
            let mut seats = Vec::new();
            for _ in 0..viewers {
                seats.push(house.admit(transport).await);
            }
            // Whatever grows to its size does so first.
            house.settle(&mut seats).await;
            house.show(&mut seats, 2 * GOP).await;
            let before = HeapStats::get().total_blocks;
            house.show(&mut seats, COUNTED).await;
            HeapStats::get().total_blocks - before
        })
    });
    println!("{transport:?}: {one} allocations for {COUNTED} pictures, {hundred} with 100 viewers");
    // Reports, which come by the clock, may fall into the one time and not into the other.
    let more = hundred.saturating_sub(one);
    assert!(
        more < COUNTED as u64 / 2,
        "{COUNTED} pictures took {one} allocations for 1 viewer and {hundred} for 100"
    );
}

#[test]
fn viewers_that_have_left_leave_nothing() {
    let _alone = alone();
    in_one_thread(async {
        let mut house = House::open();
        house.come_and_go(WARM_UP).await;
        let before = HeapStats::get().curr_bytes;
        house.come_and_go(JOINS).await;
        let after = HeapStats::get().curr_bytes;
        println!("{before} bytes after {WARM_UP} viewers, {after} after {JOINS} more");
        let growth = after.saturating_sub(before);
        assert!(growth <= MOST_GROWTH, "{JOINS} viewers came and went, {growth} bytes stayed");
    });
}

/// There is one heap, and one test at a time may look at it.
fn alone() -> (MutexGuard<'static, ()>, Profiler) {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (guard, Profiler::builder().testing().build())
}

fn in_one_thread<T>(run: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
}

/// A server with one stream, of which each picture is published by hand.
struct House {
    shared: Arc<Shared>,
    clock: Arc<Steps>,
    publisher: Publisher,
    published: usize,
    address: SocketAddr,
    keyframe: AccessUnit,
    picture: AccessUnit,
    _stop: watch::Sender<bool>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// A viewer.
struct Seat {
    /// The RTSP connection.
    connection: StdTcpStream,
    transport: Transport,
    /// RTP and RTCP.
    ports: [StdUdpSocket; 2],
    frames: Frames,
    /// The number of the last packet of the newest picture that has come whole.
    newest: Option<u16>,
    session: String,
}

/// What comes in a TCP connection, frame by frame (RFC 2326 section 10.12).
#[derive(Default)]
struct Frames {
    /// `$`, channel and length; then the first four bytes of the packet.
    head: [u8; 8],
    /// How much of it is there.
    have: usize,
    /// Bytes of the packet that are still to come, beyond its first four.
    rest: usize,
}

impl House {
    fn open() -> Self {
        let clock = Arc::new(Steps::new());
        let entropy = Entropy::from_system();
        let identity = Identity {
            name: "cam".to_owned(),
            users: None,
            ssrc: Ssrc(1),
            first_sequence: Sequence(FIRST_SEQUENCE),
            first_timestamp: RtpTimestamp(2),
            cname: "allocations".to_owned(),
            packet_size: 1372,
        };
        let (mount, mut publisher) = Mount::new(identity, Start::OnDemand, clock.clone()).unwrap();
        publisher.announce(None, FrameRate::new(30, 1), Some(4_000_000));
        let ports = Arc::new(Ports::bind(&[Ipv4Addr::LOCALHOST.into()], 0).unwrap());
        let (fanout, _) =
            Fanout::spawn(mount.clone(), ports.clone(), clock.clone(), entropy.clone());
        let mut streams = Streams::default();
        let lines = Lines::spawn(&mount);
        streams.insert(Stream { mount, fanout: Some(fanout), lines });
        let gate = Gate { access: Access::Open, authenticator: None };
        let limits = Limits::default();
        let shared = Shared::new(streams, gate, Some(ports), clock.clone(), entropy, limits);
        let shared = Arc::new(shared);
        let listener = listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(listener::run(listener, shared.clone(), stopping));
        let time = clock.now();
        let (keyframe, picture) = (source::keyframe(KEYFRAME, time), source::predicted(time));
        let mut house = Self {
            shared,
            clock,
            publisher,
            published: 0,
            address,
            keyframe,
            picture,
            _stop: stop,
        };
        house.publish();
        house
    }

    /// Publishes the next picture: of each group the first is a keyframe. Returns the number of its
    /// last packet.
    fn publish(&mut self) -> u16 {
        self.clock.step();
        let is_first = self.published.is_multiple_of(GOP);
        let unit = if is_first { &self.keyframe } else { &self.picture };
        self.publisher.publish(&unit.clone().at(self.clock.now()));
        self.published += 1;
        let packets = self.publisher.mount().sender_info(&*self.clock).packets;
        FIRST_SEQUENCE.wrapping_add(packets as u16).wrapping_sub(1)
    }

    /// Publishes pictures until all viewers are abreast: what came before may have been more than
    /// their sockets hold.
    async fn settle(&mut self, seats: &mut [Seat]) {
        let settling = async {
            loop {
                let newest = self.publish();
                sleep(Duration::from_millis(1)).await;
                // All are read from, also when one is behind.
                let mut is_done = true;
                seats.iter_mut().for_each(|seat| is_done &= seat.has(newest));
                if is_done {
                    return;
                }
            }
        };
        timeout(PATIENCE, settling).await.expect("everyone comes to the newest picture");
    }

    /// Publishes so many pictures, each when all viewers have the one before.
    async fn show(&mut self, seats: &mut [Seat], pictures: usize) {
        let showing = async {
            for _ in 0..pictures {
                let newest = self.publish();
                for seat in &mut *seats {
                    while !seat.has(newest) {
                        yield_now().await;
                    }
                }
            }
        };
        timeout(PATIENCE, showing).await.expect("everyone gets every picture");
    }

    /// Lets a viewer in.
    async fn admit(&mut self, transport: Transport) -> Seat {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let ports = [(); 2].map(|()| {
            let socket = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        let kind = match transport {
            Transport::Udp => {
                let port = |socket: &StdUdpSocket| socket.local_addr().unwrap().port();
                let [rtp, rtcp] = ports.each_ref().map(port);
                format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}")
            }
            Transport::Tcp => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
        };
        ask(&mut connection, "DESCRIBE", "").await;
        let answer = ask(&mut connection, "SETUP", &format!("Transport: {kind}\r\n")).await;
        let (_, session) = answer.split_once("Session: ").expect(&answer);
        let session = session.split([';', '\r']).next().unwrap();
        let session = format!("Session: {session}\r\n");
        {
            // It is answered with the first picture, which is a keyframe.
            let mut asking = pin!(ask(&mut connection, "PLAY", &session));
            loop {
                (0..GOP).for_each(|_| _ = self.publish());
                tokio::select! {
                    _ = &mut asking => break,
                    () = sleep(Duration::from_millis(1)) => {}
                }
            }
        }
        let connection = connection.into_std().unwrap();
        let frames = Frames::default();
        Seat { connection, transport, ports, frames, newest: None, session }
    }

    /// Lets viewers in and out again, one after the other, by either transport; some of those by TCP
    /// say no goodbye. Returns when the server has forgotten them.
    async fn come_and_go(&mut self, viewers: usize) {
        for number in 0..viewers {
            let transport = if number % 2 == 0 { Transport::Udp } else { Transport::Tcp };
            let seat = self.admit(transport).await;
            // The session of a UDP viewer outlives its connection.
            if transport == Transport::Udp || number % 4 == 1 {
                let mut connection = TcpStream::from_std(seat.connection).unwrap();
                ask(&mut connection, "TEARDOWN", &seat.session).await;
            }
        }
        let going = async {
            // A connection keeps what all share.
            while Arc::strong_count(&self.shared) > 2 || !self.shared.sessions.lock().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, going).await.expect("the server lets go of everyone");
        // The log is as full as it gets, with the same pictures.
        while !self.published.is_multiple_of(GOP) {
            self.publish();
        }
        (0..LOGGED).for_each(|_| _ = self.publish());
    }
}

impl Seat {
    /// Whether the picture has come whose last packet has this number.
    fn has(&mut self, number: u16) -> bool {
        let mut buffer = [0; 65_536];
        while self.newest != Some(number) {
            let received = match self.transport {
                Transport::Udp => self.ports[0].recv(&mut buffer),
                Transport::Tcp => self.connection.read(&mut buffer),
            };
            let length = match received {
                Ok(0) => panic!("the server is gone"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            };
            match self.transport {
                Transport::Udp => self.note(&buffer[..4]),
                Transport::Tcp => self.note_frames(&buffer[..length]),
            }
        }
        true
    }

    /// A packet begins so (RFC 3550 section 5.1).
    fn note(&mut self, packet: &[u8]) {
        let is_last = packet[1] & 0x80 != 0;
        if is_last {
            self.newest = Some(u16::from_be_bytes([packet[2], packet[3]]));
        }
    }

    fn note_frames(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Frames { head, have, rest } = &mut self.frames;
            if *have < head.len() {
                head[*have] = bytes[0];
                *have += 1;
                bytes = &bytes[1..];
                if *have < head.len() {
                    continue;
                }
                assert_eq!(head[0], b'$');
                *rest = usize::from(u16::from_be_bytes([head[2], head[3]])) - 4;
                if head[1] == 0 {
                    let packet = [head[4], head[5], head[6], head[7]];
                    self.note(&packet);
                }
            } else {
                let here = (*rest).min(bytes.len());
                *rest -= here;
                bytes = &bytes[here..];
            }
            if self.frames.have == 8 && self.frames.rest == 0 {
                self.frames.have = 0;
            }
        }
    }
}

/// Asks, and returns the head of the answer, which has to be 200.
async fn ask(connection: &mut TcpStream, method: &str, headers: &str) -> String {
    let server = connection.peer_addr().unwrap();
    let request = format!("{method} rtsp://{server}/cam RTSP/1.0\r\nCSeq: 1\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let byte = connection.read_u8().await.expect("the server goes on");
        // Of a TCP viewer that leaves, `$` frames are under way.
        if byte == b'$' && head.is_empty() {
            let _channel = connection.read_u8().await.unwrap();
            let length = connection.read_u16().await.unwrap();
            connection.read_exact(&mut vec![0; length.into()]).await.unwrap();
            continue;
        }
        head.push(byte.into());
    }
    assert!(head.starts_with("RTSP/1.0 200 OK"), "{method}: {head}");
    let length = head.split_once("Content-Length: ").map_or(0, |(_, rest)| {
        rest.split('\r').next().and_then(|number| number.parse().ok()).expect("a number")
    });
    connection.read_exact(&mut vec![0; length]).await.unwrap();
    head
}

/// A clock that a picture puts forward, however fast pictures follow: the pacer sees them at their
/// rate.
#[derive(Debug)]
struct Steps {
    begin: Instant,
    pictures: AtomicU64,
}

impl Steps {
    fn new() -> Self {
        Self { begin: Instant::now(), pictures: AtomicU64::new(0) }
    }

    fn step(&self) {
        self.pictures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clock for Steps {
    fn now(&self) -> MediaTime {
        let pictures = Duration::from_nanos(self.pictures.load(Ordering::Relaxed) * INTERVAL_NANOS);
        MediaTime::from_nanos(UPTIME_NANOS) + pictures + self.begin.elapsed()
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(self.now().as_nanos())
    }

    fn sleep_until(&self, _: MediaTime) {
        panic!("no thread waits for a picture here");
    }
}

/// Pictures from one keyframe to the next.
const GOP: usize = 10;
/// Bytes of a keyframe: some packets, of which all may leave at once.
const KEYFRAME: usize = 20_000;
const INTERVAL_NANOS: u64 = 33_333_333;
const UPTIME_NANOS: u64 = 1_000_000_000;
const FIRST_SEQUENCE: u16 = 2;
/// Pictures whose allocations are counted.
const COUNTED: usize = 60;
/// More than the live log keeps, in whole groups.
const LOGGED: usize = 20 * GOP;
/// Viewers after whom everything has the size that it needs.
const WARM_UP: usize = 60;
const JOINS: usize = 500;
/// Bytes: tables keep room, and the names of viewers that left are kept for a while.
const MOST_GROWTH: usize = 16 << 10;
/// Far longer than anything here takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(20);
