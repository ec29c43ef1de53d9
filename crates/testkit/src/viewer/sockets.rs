//! Where RTP and RTCP come in, and what the kernel says about sockets (proc(5)).

use std::{
    cell::RefCell,
    fs,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{
    Error, Transport,
    datagrams::{Datagrams, Received},
    reception::Reception,
};

/// The way of a viewer's packets.
#[derive(Debug)]
pub(super) enum Media {
    Udp(Box<Udp>),
    Tcp { rtp: u8, rtcp: u8 },
}

#[derive(Debug)]
pub(super) struct Udp {
    rtp: Datagrams,
    rtcp: Datagrams,
    port: u16,
}

impl Media {
    /// `local` is the address the RTSP connection has here; `offload` is for UDP.
    pub(super) fn prepare(transport: Transport, local: IpAddr, offload: bool) -> io::Result<Self> {
        match transport {
            Transport::Tcp => Ok(Self::Tcp { rtp: 0, rtcp: 1 }),
            Transport::Udp => Udp::bind(local, offload).map(|udp| Self::Udp(Box::new(udp))),
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
                udp.rtp.expect_from(SocketAddr::new(server.ip(), rtp));
                udp.rtcp.expect_from(SocketAddr::new(server.ip(), rtcp));
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
            Self::Tcp { rtp, .. } if on == rtp => reception.rtp(payload, 0, now),
            Self::Tcp { rtcp, .. } if on == rtcp => reception.rtcp(payload, now),
            _ => reception.fault(format!("a frame on channel {on}, which was not set up")),
        }
    }

    /// Waits for datagrams and takes some of them; for ever where there can be none. Dropping the
    /// future loses nothing.
    pub(super) async fn receive(&self, reception: &RefCell<Reception>) -> io::Result<()> {
        let Self::Udp(udp) = self else { return pending().await };
        let Udp { rtp, rtcp, .. } = &**udp;
        let stranger = |from| format!("a datagram from {from}, which was not agreed on");
        tokio::select! {
            ready = rtp.readable() => {
                ready?;
                let (now, mut reception) = (Instant::now(), reception.borrow_mut());
                rtp.drain(|received| match received {
                    Received::Packet { bytes, dropped } => reception.rtp(bytes, dropped, now),
                    Received::Stranger(from) => reception.fault(stranger(from)),
                })
            }
            ready = rtcp.readable() => {
                ready?;
                let (now, mut reception) = (Instant::now(), reception.borrow_mut());
                rtcp.drain(|received| match received {
                    Received::Packet { bytes, .. } => reception.rtcp(bytes, now),
                    Received::Stranger(from) => reception.fault(stranger(from)),
                })
            }
        }
    }

    /// How often RTP came to this machine and found the socket's buffer full.
    pub(super) fn own_drops(&self) -> u64 {
        match self {
            Self::Udp(udp) => udp.rtp.dropped(),
            Self::Tcp { .. } => 0,
        }
    }
}

impl Udp {
    fn bind(local: IpAddr, offload: bool) -> io::Result<Self> {
        for _ in 0..PAIR_ATTEMPTS {
            let rtp = Datagrams::bind(SocketAddr::new(local, 0), offload)?;
            let port = rtp.local_addr()?.port();
            if port % 2 != 0 {
                continue;
            }
            let Ok(rtcp) = Datagrams::bind(SocketAddr::new(local, port + 1), offload) else {
                continue;
            };
            return Ok(Self { rtp, rtcp, port });
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
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

const PAIR_ATTEMPTS: usize = 256;
/// A connection's state, as the kernel's table has it.
const ESTABLISHED: &str = "01";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

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
