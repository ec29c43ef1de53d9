//! All viewers, and the loop that sends to them. One lock is held for a whole picture: it keeps
//! replies from being written into the middle of it, and nobody else ever waits for it.

use std::{
    io::{self, IoSlice, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg},
};
use rtp_packetizer::{PacketBatch, Run};

use crate::{TcpSend, UdpSend};

/// Everyone who watches.
pub(crate) struct Hall {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    udp_send: UdpSend,
    tcp_send: TcpSend,
    viewers: Mutex<Viewers>,
}

/// Names a viewer: the address of its RTSP connection.
pub(crate) type ViewerId = SocketAddr;

#[derive(Default)]
struct Viewers {
    udp: Vec<(ViewerId, SockaddrStorage)>,
    tcp: Vec<(ViewerId, TcpStream)>,
    /// Those who wait for a keyframe.
    waiting: Vec<(ViewerId, Place)>,
}

/// Where a viewer's packets go.
pub(crate) enum Place {
    Udp(SocketAddr),
    /// Interleaved, RTP on channel 0.
    Tcp(TcpStream),
}

impl Hall {
    /// Opens the ports.
    pub(crate) fn open(ip: IpAddr, udp_send: UdpSend, tcp_send: TcpSend) -> io::Result<Self> {
        let (rtp, rtcp) = pair(ip)?;
        let viewers = Mutex::default();
        Ok(Self { rtp, rtcp, udp_send, tcp_send, viewers })
    }

    /// The ports for RTP and RTCP.
    pub(crate) fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.rtp.local_addr()?.port(), self.rtcp.local_addr()?.port()))
    }

    /// A viewer that gets everything from the next keyframe on.
    pub(crate) fn enter(&self, id: ViewerId, place: Place) {
        self.lock().waiting.push((id, place));
    }

    /// Stops sending to a viewer.
    pub(crate) fn leave(&self, id: ViewerId) {
        let mut viewers = self.lock();
        viewers.udp.retain(|(viewer, _)| *viewer != id);
        viewers.tcp.retain(|(viewer, _)| *viewer != id);
        viewers.waiting.retain(|(viewer, _)| *viewer != id);
    }

    /// Writes to an RTSP connection, between two pictures.
    pub(crate) fn write(&self, mut connection: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let _between = self.lock();
        connection.write_all(bytes)
    }

    /// Sends RTCP.
    pub(crate) fn report(&self, to: SocketAddr, report: &[u8]) {
        let _ = self.rtcp.send_to(report, to);
    }

    /// Sends a picture to all. Sockets wait while they are full; a viewer who is gone is forgotten
    /// by its connection.
    pub(crate) fn send(&self, batch: &PacketBatch) {
        let mut viewers = self.lock();
        if batch.is_keyframe() {
            for (id, place) in std::mem::take(&mut viewers.waiting) {
                match place {
                    Place::Udp(to) => viewers.udp.push((id, to.into())),
                    Place::Tcp(connection) => viewers.tcp.push((id, connection)),
                }
            }
        }
        if !viewers.udp.is_empty() {
            match self.udp_send {
                UdpSend::Each => self.send_each(batch, &viewers.udp),
                UdpSend::Across => self.send_across(batch, &viewers.udp),
            }
        }
        if !viewers.tcp.is_empty() {
            match self.tcp_send {
                TcpSend::Vectored => write_vectored(batch, &viewers.tcp),
                TcpSend::Contiguous => write_contiguous(batch, &viewers.tcp),
            }
        }
    }

    fn send_each(&self, batch: &PacketBatch, viewers: &[(ViewerId, SockaddrStorage)]) {
        for (_, to) in viewers {
            for run in runs(batch) {
                let slices = [IoSlice::new(&batch.bytes()[run.bytes])];
                let segment = run.segment_size as u16;
                let control = [ControlMessage::UdpGsoSegments(&segment)];
                let fd = self.rtp.as_raw_fd();
                let _ = sendmsg(fd, &slices, &control, MsgFlags::empty(), Some(to));
            }
        }
    }

    fn send_across(&self, batch: &PacketBatch, viewers: &[(ViewerId, SockaddrStorage)]) {
        for run in runs(batch) {
            let segment = run.segment_size as u16;
            let slices = [IoSlice::new(&batch.bytes()[run.bytes])];
            let fd = self.rtp.as_raw_fd();
            for some in viewers.chunks(VIEWERS_PER_CALL) {
                let space = cmsg_space!(u16);
                let mut headers = MultiHeaders::preallocate(some.len(), Some(space));
                let mut to: Vec<_> = some.iter().map(|(_, to)| Some(*to)).collect();
                while !to.is_empty() {
                    let slices = to.iter().map(|_| &slices);
                    let control = [ControlMessage::UdpGsoSegments(&segment)];
                    let flags = MsgFlags::empty();
                    // What fails is the first of those left.
                    let sent = sendmmsg(fd, &mut headers, slices, &to, control, flags)
                        .map_or(1, |sent| sent.count().max(1));
                    to.drain(..sent);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Viewers> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn runs(batch: &PacketBatch) -> impl Iterator<Item = Run> + '_ {
    batch.runs(0, MOST_SEGMENTS, MOST_BYTES)
}

fn write_vectored(batch: &PacketBatch, viewers: &[(ViewerId, TcpStream)]) {
    let headers: Vec<[u8; 4]> = (0..batch.packet_count())
        .map(|index| batch.interleaved_header(0, index).unwrap_or_default())
        .collect();
    let pieces: Vec<&[u8]> = headers
        .iter()
        .zip(batch.packets())
        .flat_map(|(header, packet)| [&header[..], packet])
        .collect();
    let mut slices = Vec::with_capacity(pieces.len());
    for (_, connection) in viewers {
        slices.clear();
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let most = left.len().min(MOST_SLICES);
            match (&mut &*connection).write_vectored(&left[..most]) {
                Ok(0) => break,
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
}

fn write_contiguous(batch: &PacketBatch, viewers: &[(ViewerId, TcpStream)]) {
    let image = batch.interleaved();
    for (_, connection) in viewers {
        let _ = (&mut &*connection).write_all(image);
    }
}

/// Two sockets, the first on an even port and the other on the next.
fn pair(ip: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..PAIR_ATTEMPTS {
        let rtp = UdpSocket::bind((ip, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1))
        {
            return Ok((rtp, rtcp));
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// What one segmented send may carry: the kernel's `UDP_MAX_SEGMENTS`, and the payload of the largest
/// IPv4 datagram.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_507;
const VIEWERS_PER_CALL: usize = 64;
/// The kernel's `UIO_MAXIOV`.
const MOST_SLICES: usize = 1024;
const PAIR_ATTEMPTS: usize = 256;
