//! UDP sockets, shared by all viewers.
//!
//! Packets leave as segmented sends (`UDP_SEGMENT`, udp(7)) from the address the viewer's RTSP
//! connection came to (`IP_PKTINFO`, ip(7)). Where segmentation is refused, that one destination
//! falls back to a send per packet; the others keep it. IP fragmentation stays allowed.
//!
//! ICMP errors are asked for (`IP_RECVERR`), to learn which viewers are gone. The kernel reports
//! each one twice: by failing the *next* send to anyone, and in the error queue, which says whom it
//! is about. So a failed send is repeated, and the queue is what is believed.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg,
        sendmmsg, setsockopt, sockopt,
    },
};
use rustix::net::{
    self,
    sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery},
};
use smallvec::SmallVec;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::debug;

mod ports;

pub use ports::{BindError, Pair, Ports};

/// Where a viewer's packets go.
#[derive(Debug)]
pub struct Destination {
    peer: Mutex<SocketAddr>,
    /// The server's address the viewer knows; unspecified where the kernel shall choose.
    source: IpAddr,
    segmented: AtomicBool,
}

impl Destination {
    /// `peer` and `source` are canonical and of one family; `source` is left to the kernel when
    /// `None`. A link-local `peer` needs its scope (RFC 4007): without it there is no way there.
    pub fn new(peer: SocketAddr, source: Option<IpAddr>) -> Self {
        let source = source.unwrap_or(match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        Self { peer: Mutex::new(peer), source, segmented: AtomicBool::new(true) }
    }

    /// Where packets go now.
    pub fn peer(&self) -> SocketAddr {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to another port from now on: a NAT between here and the viewer chose it.
    pub fn rebind(&self, port: u16) {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner).set_port(port);
    }

    /// Whether packets go out by segmented sends.
    pub fn is_segmented(&self) -> bool {
        self.segmented.load(Ordering::Relaxed)
    }

    /// Falls back to a send per packet, for this destination alone.
    pub fn forgo_segmentation(&self) {
        self.segmented.store(false, Ordering::Relaxed);
    }
}

/// What is to be sent to one destination: a datagram, or a run of them.
#[derive(Copy, Clone, Debug)]
pub struct Parcel<'a> {
    /// Where it goes.
    pub to: &'a Destination,
    /// The datagrams, one behind the other.
    pub bytes: &'a [u8],
    /// Bytes of each, of which the last may have fewer; one datagram where that is all of them.
    pub segment: usize,
}

impl Parcel<'_> {
    /// Whether both can leave by one call: what the control messages say is the same.
    pub fn goes_with(&self, other: &Parcel<'_>) -> bool {
        self.to.source == other.to.source && self.cut() == other.cut()
    }

    /// What the kernel is to cut it into.
    fn cut(&self) -> Option<usize> {
        Some(self.segment).filter(|&size| size < self.bytes.len())
    }
}

/// What became of a send.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took all of it.
    Whole,
    /// The socket's buffer is full, and so it is for everyone: send the same again a little later.
    Full,
    /// The queue of the network device on the way to this destination is full (with `IP_RECVERR`
    /// the kernel says so): send the same again a little later; others may go elsewhere.
    Congested,
    /// This destination does not take segmented sends: send packet by packet.
    Unsegmented,
    /// It is lost, like any datagram may be; sending again would not help.
    Lost(Errno),
}

/// One UDP socket.
#[derive(Debug)]
pub struct Endpoint {
    /// Never asked whether it is writable: the kernel would say so for each packet that has left,
    /// and wake a thread for it.
    socket: AsyncFd<UdpSocket>,
}

impl Endpoint {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Room for one keyframe to every viewer of a busy server; the kernel caps it.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        }
        allow_fragmentation(&socket, address.is_ipv6())?;
        socket.bind(&address.into())?;
        let interest = Interest::READABLE | Interest::ERROR;
        #[expect(deprecated, reason = "unsound for what is no descriptor of its own; this one is")]
        let socket = AsyncFd::with_interest(socket.into(), interest)?;
        Ok(Self { socket })
    }

    /// Sends `bytes` to `destination`: as one datagram, or cut by the kernel into datagrams of
    /// `segment` bytes, the last one shorter or equal. Never waits.
    ///
    /// There is no waiting for the socket to become writable either: the runtime takes the first
    /// ICMP error for the end of a socket's writing half, and calls it writable ever after.
    pub fn send(&self, destination: &Destination, bytes: &[u8], segment: Option<usize>) -> Sent {
        let parcel = Parcel { to: destination, bytes, segment: segment.unwrap_or(bytes.len()) };
        let mut attempts = 0;
        loop {
            let errno = match self.send_once(&[parcel]) {
                Ok(_) => return Sent::Whole,
                Err(errno) => errno,
            };
            attempts += 1;
            match errno {
                Errno::EAGAIN => return Sent::Full,
                Errno::ENOBUFS | Errno::ENOMEM => return Sent::Congested,
                Errno::EINTR => {}
                // An ICMP error about *earlier* datagrams, to anyone, is reported by the next send.
                // It says nothing about this one.
                _ if is_icmp(errno) && attempts < attempts_after(errno) => {}
                // Too large a segment for the path, or a device without the offload.
                Errno::EINVAL | Errno::EMSGSIZE | Errno::EIO if parcel.cut().is_some() => {
                    return Sent::Unsegmented;
                }
                _ => return Sent::Lost(errno),
            }
        }
    }

    /// Sends to many by as few calls as there can be. All `parcels` go with the first
    /// ([`Parcel::goes_with`]). Returns how many the kernel took whole, and what became of the one
    /// after them, if that was anything else. Never waits.
    pub fn send_all(&self, parcels: &[Parcel<'_>]) -> (usize, Option<Sent>) {
        let mut whole = 0;
        while let Some(Parcel { to, bytes, segment }) = parcels.get(whole) {
            // An error is about the first of those left, or about others altogether.
            match self.send_once(&parcels[whole..]) {
                Ok(sent) => whole += sent.max(1),
                Err(_) => match self.send(to, bytes, Some(*segment)) {
                    Sent::Whole => whole += 1,
                    otherwise => return (whole, Some(otherwise)),
                },
            }
        }
        (whole, None)
    }

    /// One call, for the first [`AT_ONCE`] at most; how many the kernel took.
    fn send_once(&self, parcels: &[Parcel<'_>]) -> nix::Result<usize> {
        let Some(first) = parcels.first() else { return Ok(0) };
        let source = first.to.source;
        let segment = first.cut();
        let segment = segment.map(|size| u16::try_from(size).unwrap_or(u16::MAX));
        let (info_v4, info_v6);
        let info = match source {
            IpAddr::V4(source) => {
                info_v4 = packet_info_v4(source);
                ControlMessage::Ipv4PacketInfo(&info_v4)
            }
            IpAddr::V6(source) => {
                info_v6 = packet_info_v6(source);
                ControlMessage::Ipv6PacketInfo(&info_v6)
            }
        };
        let mut slices = [[IoSlice::new(&[])]; AT_ONCE];
        let mut peers = SmallVec::<[Option<SockaddrStorage>; AT_ONCE]>::new();
        for (slice, parcel) in slices.iter_mut().zip(parcels) {
            *slice = [IoSlice::new(parcel.bytes)];
            peers.push(Some(parcel.to.peer().into()));
        }
        MESSAGES.with_borrow_mut(|messages| {
            let mut control = SmallVec::<[ControlMessage<'_>; 2]>::new();
            control.push(info);
            control.extend(segment.as_ref().map(ControlMessage::UdpGsoSegments));
            let messages = messages.of(source.is_ipv6(), segment.is_some());
            let fd = self.socket.as_raw_fd();
            let sent = sendmmsg(fd, messages, &slices, peers, control, MsgFlags::empty())?;
            Ok(sent.count())
        })
    }

    /// Waits for a datagram, and gives its length and where it came from.
    ///
    /// ICMP errors about datagrams sent earlier are read meanwhile: for each that says that a port
    /// is closed, `refused` is given the address. To be called in a loop even where nobody sends
    /// anything: unread errors fill the buffer that datagrams need.
    ///
    /// # Errors
    ///
    /// When the socket fails for good.
    pub async fn receive(
        &self,
        buffer: &mut [u8],
        mut refused: impl FnMut(SocketAddr),
    ) -> io::Result<(usize, SocketAddr)> {
        loop {
            // Others get their turn, however much arrives.
            tokio::task::coop::consume_budget().await;
            self.read_errors(&mut refused);
            let received =
                self.socket.try_io(Interest::READABLE, |socket| socket.recv_from(buffer));
            match received {
                Ok(received) => return Ok(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
                }
                // Its entry in the error queue is read next.
                Err(error) if is_icmp(errno_of(&error)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Empties the error queue.
    fn read_errors(&self, refused: &mut impl FnMut(SocketAddr)) {
        // "Would block" tells the runtime to wait for the next error.
        let _ = self.socket.try_io(Interest::ERROR, |_| -> io::Result<()> {
            while let Ok(entry) = self.take_error() {
                if let Some(peer) = entry {
                    debug!(%peer, "port unreachable");
                    refused(peer);
                }
            }
            Err(io::ErrorKind::WouldBlock.into())
        });
    }

    /// Takes one entry off the error queue: the address of a closed port, or `None` for errors of
    /// other kinds. Hosts that cannot be reached may be again in a moment, and a packet too large
    /// for the way (IPv6 routers say so) is no sign of anyone's end.
    fn take_error(&self) -> nix::Result<Option<SocketAddr>> {
        let mut payload = [0; 1];
        let mut slices = [io::IoSliceMut::new(&mut payload)];
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let is_refusal = |control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                error.ee_errno == Errno::ECONNREFUSED as u32
            }
            _ => false,
        };
        let is_refusal = message.cmsgs().is_ok_and(|mut controls| controls.any(is_refusal));
        Ok(message.address.filter(|_| is_refusal).and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
        }))
    }
}

/// The headers of messages of each shape, made once: each send would allocate its own.
struct Messages([[MultiHeaders<SockaddrStorage>; 2]; 2]);

impl Messages {
    fn new() -> Self {
        let message = |space| MultiHeaders::preallocate(AT_ONCE, Some(space));
        // The kernel wants them filled to the last byte, so that there is one for each shape.
        Self([
            [
                message(nix::cmsg_space!(libc::in_pktinfo)),
                message(nix::cmsg_space!(libc::in_pktinfo, u16)),
            ],
            [
                message(nix::cmsg_space!(libc::in6_pktinfo)),
                message(nix::cmsg_space!(libc::in6_pktinfo, u16)),
            ],
        ])
    }

    fn of(&mut self, v6: bool, segmented: bool) -> &mut MultiHeaders<SockaddrStorage> {
        &mut self.0[usize::from(v6)][usize::from(segmented)]
    }
}

thread_local! {
    static MESSAGES: RefCell<Messages> = RefCell::new(Messages::new());
}

fn packet_info_v4(source: Ipv4Addr) -> libc::in_pktinfo {
    let source = libc::in_addr { s_addr: u32::from(source).to_be() };
    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: libc::in_addr { s_addr: 0 } }
}

fn packet_info_v6(source: Ipv6Addr) -> libc::in6_pktinfo {
    libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: 0 }
}

/// Never sets "don't fragment" (`IP_PMTUDISC_DONT`, ip(7)): a viewer behind a tunnel with a small
/// MTU gets fragments rather than nothing.
fn allow_fragmentation(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 {
        net::sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)?;
    } else {
        net::sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?;
    }
    Ok(())
}

/// Whether a send may have failed with this because of an ICMP error: what the kernel makes of
/// "destination unreachable", "packet too big", "time exceeded" and "parameter problem" (icmp(7),
/// and `icmpv6_err_convert` in the kernel).
fn is_icmp(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::EPROTO
            | Errno::EACCES
            | Errno::EMSGSIZE
    )
}

fn attempts_after(errno: Errno) -> u32 {
    if errno == Errno::ECONNREFUSED { ATTEMPTS_REFUSED } else { ATTEMPTS }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Most messages of one call. With more of them the kernel's copies of the packets push out of the
/// processor's cache what is known of the viewers, which costs more than the calls saved.
pub const AT_ONCE: usize = 16;
/// Bytes of send buffer to ask for.
pub(crate) const SEND_BUFFER: usize = 4 << 20;
/// How often a datagram is tried while sends fail with ICMP errors about others: the codes may also
/// mean that there is no route, and then this is what each datagram costs.
const ATTEMPTS: u32 = 32;
/// The same for closed ports, which a send of its own never finds. A closed port of this machine
/// answers each datagram at once, and each error that is read lets the next one appear: there are as
/// many as datagrams were sent to viewers that have gone.
const ATTEMPTS_REFUSED: u32 = 4096;

#[cfg(test)]
pub(crate) mod tests;
