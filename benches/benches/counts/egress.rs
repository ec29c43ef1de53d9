//! From a picture's packets to the system call. The call itself is made, over loopback, and costs
//! here what reaching it costs.

use std::{
    hint::black_box,
    io,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use benches::pictures::{LARGE, SMALL, batch, inter, keyframe};
use gungraun::library_benchmark;
use lenscast::{
    egress::{
        interleaved::Outbox,
        udp::{AT_ONCE, Destination, Parcel, Ports, Sent},
    },
    live::{Picture, stages::Past},
};
use media::{AccessUnit, MediaTime};
use rtp_packetizer::{PacketBatch, Run};
use smallvec::SmallVec;
use tokio::{
    io::AsyncWrite,
    runtime::{Builder, Runtime},
};

// A picture's packets cut into segmented sends.
#[library_benchmark]
#[bench::keyframe_100_kb(batch(&keyframe(LARGE)))]
#[bench::picture_4_kb(batch(&inter(SMALL)))]
fn runs(batch: PacketBatch) -> (PacketBatch, usize) {
    let runs = black_box(&batch).runs(0, MOST_SEGMENTS, MOST_BYTES);
    let bytes = runs.map(|run| run.bytes.len()).sum();
    (batch, bytes)
}

// A picture to UDP viewers.
#[library_benchmark]
#[bench::picture_4_kb_to_1(Hall::of(1, &inter(SMALL)))]
#[bench::picture_4_kb_to_100(Hall::of(100, &inter(SMALL)))]
#[bench::keyframe_100_kb_to_1(Hall::of(1, &keyframe(LARGE)))]
fn segmented(hall: Hall) -> Hall {
    let pair = hall.ports.pair_for(Ipv4Addr::LOCALHOST.into()).expect("a pair");
    for Run { bytes, segment_size: segment, .. } in hall.batch.runs(0, MOST_SEGMENTS, MOST_BYTES) {
        let bytes = &hall.batch.bytes()[bytes];
        for destinations in hall.destinations.chunks(AT_ONCE) {
            let parcels: SmallVec<[Parcel<'_>; AT_ONCE]> =
                destinations.iter().map(|to| Parcel { to, bytes, segment }).collect();
            assert_eq!(pair.rtp.send_all(black_box(&parcels)), (parcels.len(), None));
        }
    }
    hall
}

// A picture to a TCP viewer, its image made before for another: on channel 0 as it lies, and on
// another channel in pieces.
#[library_benchmark]
#[bench::keyframe_100_kb(assembled(&keyframe(LARGE)), 0)]
#[bench::keyframe_100_kb_channel_2(assembled(&keyframe(LARGE)), 2)]
#[bench::picture_4_kb(assembled(&inter(SMALL)), 0)]
fn interleaved(picture: Arc<Picture>, channel: u8) -> (Arc<Picture>, usize) {
    let mut outbox = Outbox::default();
    outbox.start_picture(Arc::clone(&picture), channel);
    let mut written = 0;
    let mut context = Context::from_waker(Waker::noop());
    while !outbox.is_empty() {
        match outbox.poll_write(&mut context, black_box(&mut Sink)) {
            Poll::Ready(Ok(bytes)) => written += bytes,
            other => panic!("{other:?}"),
        }
    }
    (picture, written)
}

/// A server's ports and its viewers.
struct Hall {
    batch: PacketBatch,
    ports: Ports,
    destinations: Vec<Arc<Destination>>,
    /// Where packets arrive, and are left.
    _sockets: Vec<UdpSocket>,
    _runtime: Runtime,
}

impl Hall {
    fn of(viewers: usize, unit: &AccessUnit) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let ports = {
            let _entered = runtime.enter();
            Ports::bind(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], 0).expect("free ports")
        };
        let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let sockets: Vec<UdpSocket> = (0..viewers).map(bind).collect();
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let source = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let destination = |socket| Arc::new(Destination::new(address(socket), source));
        let destinations = sockets.iter().map(destination).collect();
        let hall =
            Self { batch: batch(unit), ports, destinations, _sockets: sockets, _runtime: runtime };
        // What is made once is made.
        segmented_once(&hall);
        hall
    }
}

/// As counted, for one viewer.
fn segmented_once(hall: &Hall) {
    let destination = &hall.destinations[0];
    let pair = hall.ports.pair_for(destination.peer().ip()).expect("a pair");
    let packet = hall.batch.packet(0).expect("there is a packet");
    assert_eq!(pair.rtp.send(destination, packet, None), Sent::Whole);
}

fn assembled(unit: &AccessUnit) -> Arc<Picture> {
    let batch = batch(unit);
    batch.interleaved();
    Arc::new(Picture { batch, published: MediaTime::from_nanos(0), past: Past::default() })
}

/// Takes everything.
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

/// What the server asks for: the most that one segmented send can carry.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_507;
