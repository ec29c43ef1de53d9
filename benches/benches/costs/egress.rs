//! From a picture's packets to the kernel, viewer by viewer, over loopback: the server's own calls
//! with nothing around them. Time to receive is not in it; what the kernel does for the receiver
//! within the send is.

use std::{
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use benches::pictures::{LARGE, SMALL, batch, inter, keyframe};
use criterion::{BenchmarkId, Criterion, Throughput};
use lenscast::{
    egress::{
        interleaved::Outbox,
        udp::{Destination, Ports, Sent},
    },
    live::{Picture, stages::Past},
};
use media::MediaTime;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;
use tokio::{
    io::AsyncWrite,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

pub(crate) fn benches(criterion: &mut Criterion) {
    udp(criterion);
    tcp(criterion);
}

fn udp(criterion: &mut Criterion) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let ports = Ports::bind(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], 0).expect("free ports");
    let mut group = criterion.benchmark_group("egress/udp");
    for (name, unit) in
        [("4 KB", inter(SMALL)), ("17 KB", inter(17_000)), ("100 KB", keyframe(LARGE))]
    {
        let batch = batch(&unit);
        for viewers in VIEWERS {
            let seats: Vec<Seat> = (0..viewers).map(|_| Seat::new()).collect();
            group.throughput(Throughput::Elements(viewers as u64));
            group.bench_function(BenchmarkId::new(name, viewers), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut took = Duration::ZERO;
                    for _ in 0..iterations {
                        let begin = Instant::now();
                        for Seat { destination, .. } in &seats {
                            let pair = ports.pair_for(destination.peer().ip()).expect("a pair");
                            for run in batch.runs(0, MOST_SEGMENTS, MOST_BYTES) {
                                let bytes = &batch.bytes()[run.bytes];
                                let sent =
                                    pair.rtp.send(destination, bytes, Some(run.segment_size));
                                assert_eq!(sent, Sent::Whole);
                            }
                        }
                        took += begin.elapsed();
                        let received: usize = seats.iter().map(Seat::drain).sum();
                        assert_eq!(received, batch.bytes().len() * viewers);
                    }
                    took
                });
            });
        }
    }
    group.finish();
}

fn tcp(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("egress/tcp");
    for (name, unit) in
        [("4 KB", inter(SMALL)), ("17 KB", inter(17_000)), ("100 KB", keyframe(LARGE))]
    {
        let picture = Arc::new(Picture {
            batch: batch(&unit),
            published: MediaTime::from_nanos(0),
            past: Past::default(),
        });
        let length = picture.batch.interleaved().len();
        // What is done before the kernel is asked.
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("assembled", name), |bencher| {
            bencher.iter(|| write_all(&mut Sink, &picture));
        });
        for viewers in VIEWERS {
            let (mut ours, mut theirs) = runtime.block_on(connections(viewers));
            group.throughput(Throughput::Elements(viewers as u64));
            group.bench_function(BenchmarkId::new(name, viewers), |bencher| {
                bencher.iter_custom(|iterations| {
                    let _entered = runtime.enter();
                    let mut took = Duration::ZERO;
                    let mut buffer = vec![0; length];
                    for _ in 0..iterations {
                        let begin = Instant::now();
                        for connection in &mut ours {
                            assert_eq!(write_all(connection, &picture), length);
                        }
                        took += begin.elapsed();
                        for connection in &mut theirs {
                            connection.read_exact(&mut buffer).expect("it was written");
                        }
                    }
                    took
                });
            });
        }
    }
    group.finish();
}

/// A picture out of an outbox into a connection with room for it; the number of bytes.
fn write_all<W: AsyncWrite + Unpin>(io: &mut W, picture: &Arc<Picture>) -> usize {
    let mut outbox = Outbox::default();
    outbox.start_picture(Arc::clone(picture), 0);
    let mut written = 0;
    let mut context = Context::from_waker(Waker::noop());
    while !outbox.is_empty() {
        match outbox.poll_write(&mut context, io) {
            Poll::Ready(Ok(bytes)) => written += bytes,
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => panic!("no room after {written} bytes"),
        }
    }
    written
}

/// Connections whose every write is taken at once, and their other ends.
async fn connections(count: usize) -> (Vec<TcpStream>, Vec<std::net::TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..count {
        theirs.push(std::net::TcpStream::connect(address).expect("it listens"));
        let (connection, _) = listener.accept().await.expect("somebody has connected");
        connection.set_nodelay(true).expect("it is TCP");
        SockRef::from(&connection).set_send_buffer_size(BUFFER).expect("it is a socket");
        connection.writable().await.expect("it is connected");
        ours.push(connection);
    }
    (ours, theirs)
}

/// Takes everything, at no cost.
struct Sink;

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where a viewer's packets arrive.
pub(crate) struct Seat {
    socket: UdpSocket,
    pub(crate) destination: Arc<Destination>,
}

impl Seat {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        SockRef::from(&socket).set_recv_buffer_size(BUFFER).expect("it is a socket");
        // As from a network card: the sender does not pay for parting the packets.
        setsockopt(&socket, sockopt::UdpGroSegment, &true).expect("UDP_GRO");
        socket.set_nonblocking(true).expect("it is a socket");
        let peer: SocketAddr = socket.local_addr().expect("it is bound");
        let source = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Self { socket, destination: Arc::new(Destination::new(peer, source)) }
    }

    /// Reads what has come; the number of bytes.
    pub(crate) fn drain(&self) -> usize {
        let mut buffer = [0; 65_536];
        std::iter::from_fn(|| self.socket.recv(&mut buffer).ok()).sum()
    }
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

const VIEWERS: [usize; 2] = [1, 64];
const BUFFER: usize = 4 << 20;
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_507;
