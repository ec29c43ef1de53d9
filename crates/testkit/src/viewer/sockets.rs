//! Where RTP and RTCP come in, and what the kernel says about sockets (proc(5)).

use std::{
    fs,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Error, Transport, reception::Reception};

/// The way of a viewer's packets.
#[derive(Debug)]
pub(super) enum Media {
    Udp(Box<Udp>),
    Tcp { rtp: u8, rtcp: u8 },
}

#[derive(Debug)]
pub(super) struct Udp {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
    /// Where packets have to come from.
    rtp_from: Option<SocketAddr>,
    rtcp_from: Option<SocketAddr>,
    buffer: Vec<u8>,
}

impl Media {
    /// `local` is the address the RTSP connection has here.
    pub(super) fn prepare(transport: Transport, local: IpAddr) -> io::Result<Self> {
        match transport {
            Transport::Tcp => Ok(Self::Tcp { rtp: 0, rtcp: 1 }),
            Transport::Udp => Udp::bind(local).map(|udp| Self::Udp(Box::new(udp))),
        }
    }

    /// What to ask for in SETUP.
    pub(super) fn transport_header(&self) -> String {
        match self {
            Self::Udp(udp) => {
                format!("RTP/AVP;unicast;client_port={}-{}", udp.port, udp.port + 1)
            }
            Self::Tcp { rtp, rtcp } => format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}"),
        }
    }

    /// Takes up what the server of this address granted in SETUP.
    pub(super) fn set_up(&mut self, granted: &str, server: SocketAddr) -> Result<(), Error> {
        let pair = |name| {
            let value = granted.split(';').find_map(|part| part.trim().strip_prefix(name))?;
            let (first, second) = value.split_once('-')?;
            Some((first.parse::<u16>().ok()?, second.parse::<u16>().ok()?))
        };
        match self {
            Self::Udp(udp) => {
                let (rtp, rtcp) = pair("server_port=")
                    .ok_or(Error::Malformed("Transport without server_port"))?;
                udp.rtp_from = Some(SocketAddr::new(server.ip(), rtp));
                udp.rtcp_from = Some(SocketAddr::new(server.ip(), rtcp));
            }
            Self::Tcp { rtp, rtcp } => {
                if pair("interleaved=") != Some(((*rtp).into(), (*rtcp).into())) {
                    return Err(Error::Malformed("Transport with other channels than asked for"));
                }
            }
        }
        Ok(())
    }

    /// Takes a `$` frame.
    pub(super) fn frame(&self, on: u8, payload: &[u8], now: Instant, reception: &mut Reception) {
        match *self {
            Self::Tcp { rtp, .. } if on == rtp => reception.rtp(payload, now),
            Self::Tcp { rtcp, .. } if on == rtcp => reception.rtcp(payload, now),
            _ => reception.fault(format!("a frame on channel {on}, which was not set up")),
        }
    }

    /// Waits for datagrams and takes some of them; for ever where there can be none. Dropping the
    /// future loses nothing.
    pub(super) async fn receive(&mut self, reception: &mut Reception) -> io::Result<()> {
        let Self::Udp(udp) = self else { return pending().await };
        let Udp { rtp, rtcp, rtp_from, rtcp_from, buffer, .. } = &mut **udp;
        tokio::select! {
            ready = rtp.readable() => {
                ready?;
                drain(rtp, buffer, *rtp_from, reception, Reception::rtp)
            }
            ready = rtcp.readable() => {
                ready?;
                drain(rtcp, buffer, *rtcp_from, reception, Reception::rtcp)
            }
        }
    }

    /// RTP packets that came to this machine and found the socket's buffer full. `None` where the
    /// kernel does not say.
    pub(super) fn own_drops(&self) -> Option<u64> {
        match self {
            Self::Udp(udp) => udp_drops(udp.port).ok(),
            Self::Tcp { .. } => Some(0),
        }
    }
}

impl Udp {
    fn bind(local: IpAddr) -> io::Result<Self> {
        for _ in 0..PAIR_ATTEMPTS {
            let rtp = bind(SocketAddr::new(local, 0))?;
            let port = rtp.local_addr()?.port();
            if port % 2 != 0 {
                continue;
            }
            let Ok(rtcp) = bind(SocketAddr::new(local, port + 1)) else { continue };
            let buffer = vec![0; MOST_DATAGRAM];
            return Ok(Self { rtp, rtcp, port, rtp_from: None, rtcp_from: None, buffer });
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // As much as the kernel grants.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn drain(
    socket: &UdpSocket,
    buffer: &mut [u8],
    expected: Option<SocketAddr>,
    reception: &mut Reception,
    take: fn(&mut Reception, &[u8], Instant),
) -> io::Result<()> {
    for _ in 0..DATAGRAMS_PER_TURN {
        let (length, from) = match socket.try_recv_from(buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        if expected.is_some_and(|expected| expected != from) {
            reception.fault(format!("a datagram from {from}, which was not agreed on"));
            continue;
        }
        take(reception, &buffer[..length], Instant::now());
    }
    Ok(())
}

/// The `drops` column of the UDP socket that is bound to this port.
fn udp_drops(port: u16) -> io::Result<u64> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string);
    let mut drops = None;
    for table in tables.into_iter().filter_map(Result::ok) {
        for line in table.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace();
            if fields.nth(1).and_then(port_of) == Some(port)
                && let Some(count) = fields.next_back().and_then(|field| field.parse::<u64>().ok())
            {
                drops = Some(drops.unwrap_or(0) + count);
            }
        }
    }
    drops.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Whether the server's end of a connection within this machine is still open.
pub(super) fn tcp_server_end(server_port: u16, client_port: u16) -> io::Result<bool> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    if tables.iter().all(Result::is_err) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(tables.into_iter().filter_map(Result::ok).any(|table| {
        table.lines().skip(1).any(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().take(4).collect();
            let &[_, local, remote, state] = fields.as_slice() else { return false };
            port_of(local) == Some(server_port)
                && port_of(remote) == Some(client_port)
                && state == ESTABLISHED
        })
    }))
}

/// Of `0100007F:1F40`.
fn port_of(address: &str) -> Option<u16> {
    u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()
}

/// Bytes of receive buffer to ask for: a second of a fast stream.
const RECEIVE_BUFFER: usize = 4 << 20;
const PAIR_ATTEMPTS: usize = 256;
const MOST_DATAGRAM: usize = 65_536;
/// Datagrams taken before other viewers get their turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// A connection's state, as the kernel's table has it.
const ESTABLISHED: &str = "01";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_full_buffer_dropped_is_counted() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_recv_buffer_size(0).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let socket = std::net::UdpSocket::from(socket);
        let address = socket.local_addr().unwrap();
        assert_eq!(udp_drops(address.port()).unwrap(), 0);
        let sender = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for _ in 0..100 {
            sender.send_to(&[0; 1000], address).unwrap();
        }
        let dropped = udp_drops(address.port()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut received = 0;
        while socket.recv(&mut [0; 1000]).is_ok() {
            received += 1;
        }
        assert!(dropped > 0);
        assert_eq!(received + dropped, 100);
    }

    #[test]
    fn a_servers_end_is_seen_to_close() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        assert!(tcp_server_end(server.port(), peer.port()).unwrap());
        drop(accepted);
        assert!(!tcp_server_end(server.port(), peer.port()).unwrap());
        drop(client);
    }
}
