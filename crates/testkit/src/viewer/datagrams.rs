//! A UDP socket that takes much at little cost: several messages per call (`recvmmsg`), and each of
//! them, with offload, the packets of one segmented send as the kernel got them (`UDP_GRO`, udp(7)).
//!
//! What the socket had no room for is counted where it is missing (`SO_RXQ_OVFL`, socket(7)): each
//! message says how many were dropped before it since the socket was made.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

/// A socket that is read by one viewer.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// Where they have to come from.
    from: Option<SocketAddr>,
    /// Most packets that one message can be.
    most_packets: u64,
    /// What the kernel has dropped so far, in messages.
    dropped: Cell<u32>,
}

/// Something that came.
#[derive(Debug)]
pub(super) enum Received<'a> {
    Packet {
        bytes: &'a [u8],
        /// At most so many packets were dropped here just before it.
        dropped: u64,
    },
    Stranger(SocketAddr),
}

impl Datagrams {
    pub(super) fn bind(address: SocketAddr, offload: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Beyond the system's limit where that is allowed; else as much as the kernel grants.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        if offload {
            setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
        }
        socket.bind(&address.into())?;
        let most_packets = if offload { MOST_SEGMENTS } else { 1 };
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, from: None, most_packets, dropped: Cell::new(0) })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// From now on packets have to come from there.
    pub(super) fn expect_from(&mut self, from: SocketAddr) {
        self.from = Some(from);
    }

    /// Messages that the socket has had no room for, as far as later ones have told.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get().into()
    }

    /// Waits until something may be there.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Gives some of what is there to `take`, and never waits.
    pub(super) fn drain(&self, mut take: impl FnMut(Received<'_>)) -> io::Result<()> {
        let Self { socket, from, most_packets, dropped } = self;
        let fd = socket.as_raw_fd();
        let result = socket.try_io(Interest::READABLE, || {
            INPUT.with_borrow_mut(|input| {
                let mut slices = input.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
                // Made anew, because each call leaves them with as little room as it has needed.
                let space = cmsg_space!(i32, u32);
                let mut headers =
                    MultiHeaders::<SockaddrStorage>::preallocate(MESSAGES, Some(space));
                let flags = MsgFlags::MSG_DONTWAIT;
                let messages = recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)?;
                let mut count = 0;
                for message in messages {
                    count += 1;
                    let Some(bytes) = message.iovs().next() else { continue };
                    let mut segment = bytes.len();
                    let mut lost = 0;
                    for control in message.cmsgs()? {
                        match control {
                            ControlMessageOwned::UdpGroSegments(size) => {
                                segment = usize::try_from(size).unwrap_or(segment).max(1);
                            }
                            ControlMessageOwned::RxqOvfl(total) => {
                                let more = total.wrapping_sub(dropped.replace(total));
                                lost = u64::from(more) * *most_packets;
                            }
                            _ => {}
                        }
                    }
                    let peer = message.address.as_ref().and_then(address_of);
                    if let (Some(expected), Some(peer)) = (*from, peer)
                        && peer != expected
                    {
                        take(Received::Stranger(peer));
                        continue;
                    }
                    for (number, bytes) in bytes.chunks(segment).enumerate() {
                        let dropped = if number == 0 { lost } else { 0 };
                        take(Received::Packet { bytes, dropped });
                    }
                }
                // All there was: the runtime need not find that out by another call.
                if count < MESSAGES { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            })
        });
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

thread_local! {
    /// One for all viewers of the thread: it stays in the processor's cache.
    static INPUT: RefCell<[Box<[u8]>; MESSAGES]> =
        RefCell::new([(); MESSAGES].map(|()| vec![0; MOST_DATAGRAM].into()));
}

/// Bytes of receive buffer to ask for: seconds of a fast stream.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Messages of one call, before other viewers get their turn.
const MESSAGES: usize = 16;
const MOST_DATAGRAM: usize = 65_536;
/// The kernel's `UDP_MAX_SEGMENTS`.
const MOST_SEGMENTS: u64 = 128;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use nix::sys::socket::{ControlMessage, sendmsg};

    use super::*;

    fn pair(offload: bool) -> (Datagrams, UdpSocket, SocketAddr) {
        let mut datagrams = Datagrams::bind((Ipv4Addr::LOCALHOST, 0).into(), offload).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        datagrams.expect_from(sender.local_addr().unwrap());
        let to = datagrams.local_addr().unwrap();
        (datagrams, sender, to)
    }

    async fn all(datagrams: &Datagrams, count: usize) -> Vec<(Vec<u8>, u64)> {
        let mut seen = Vec::new();
        while seen.len() < count {
            datagrams.readable().await.unwrap();
            let take = |received: Received<'_>| match received {
                Received::Packet { bytes, dropped } => seen.push((bytes.to_vec(), dropped)),
                Received::Stranger(_) => seen.push((b"stranger".to_vec(), 0)),
            };
            datagrams.drain(take).unwrap();
        }
        seen
    }

    #[tokio::test]
    async fn a_segmented_send_comes_as_the_packets_it_was() {
        for offload in [false, true] {
            let (datagrams, sender, to) = pair(offload);
            let bytes: Vec<u8> = (0..2500).map(|at| (at / 1000) as u8).collect();
            let to = SockaddrStorage::from(to);
            for _ in 0..20 {
                let slices = [io::IoSlice::new(&bytes)];
                let control = [ControlMessage::UdpGsoSegments(&1000)];
                let fd = sender.as_raw_fd();
                sendmsg(fd, &slices, &control, MsgFlags::empty(), Some(&to)).unwrap();
            }
            for three in all(&datagrams, 60).await.chunks(3) {
                let expected = [(vec![0; 1000], 0), (vec![1; 1000], 0), (vec![2; 500], 0)];
                assert!(three == expected, "offload {offload}");
            }
        }
    }

    #[tokio::test]
    async fn what_a_full_buffer_dropped_is_told_where_it_is_missing() {
        for offload in [false, true] {
            let (datagrams, sender, to) = pair(offload);
            socket2::SockRef::from(&datagrams.socket).set_recv_buffer_size(0).unwrap();
            for _ in 0..100 {
                sender.send_to(&[0; 1000], to).unwrap();
            }
            datagrams.readable().await.unwrap();
            let mut before = 0;
            datagrams.drain(|_| before += 1).unwrap();
            assert!((1..100).contains(&before));
            sender.send_to(&[1; 1000], to).unwrap();
            let seen = all(&datagrams, 1).await;
            assert_eq!(datagrams.dropped(), 100 - before);
            let most = datagrams.dropped() * datagrams.most_packets;
            assert_eq!(seen, [(vec![1; 1000], most)]);
        }
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_is_told_apart() {
        let (datagrams, _, to) = pair(true);
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(b"?", to).unwrap();
        assert_eq!(all(&datagrams, 1).await, [(b"stranger".to_vec(), 0)]);
    }
}
