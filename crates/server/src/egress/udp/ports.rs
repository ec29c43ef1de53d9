//! The UDP ports: one even/odd pair (RTP, RTCP) per address family, shared by all viewers, so that
//! firewalls and containers need to know two ports and no more.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::libc;
use tracing::info;

use super::Endpoint;

/// The pairs of both address families; at least one is there.
#[derive(Debug)]
pub struct Ports {
    pub(super) v4: Option<Pair>,
    pub(super) v6: Option<Pair>,
}

impl Ports {
    /// Binds the pairs. `port` is the even RTP port, RTCP is the next; 0 lets the system choose.
    /// The addresses are those the RTSP listeners are bound to: a server that listens on loopback
    /// only has its UDP ports there too.
    ///
    /// # Errors
    ///
    /// When a port is taken, or no family can be bound.
    pub fn bind(listen: &[IpAddr], port: u16) -> Result<Self, BindError> {
        let v6 = listen.iter().any(IpAddr::is_ipv6);
        // A listener on [::] serves IPv4 as well.
        let v4 = listen.iter().any(|ip| ip.is_ipv4() || *ip == Ipv6Addr::UNSPECIFIED);
        let only = |v6: bool, unspecified: IpAddr| {
            let mut same = listen.iter().filter(|ip| ip.is_ipv6() == v6);
            let one = *same.next().unwrap_or(&unspecified);
            let serves_more = !v6 && listen.contains(&Ipv6Addr::UNSPECIFIED.into());
            if serves_more || same.any(|other| *other != one) { unspecified } else { one }
        };
        let v4 = v4.then(|| Pair::bind(only(false, Ipv4Addr::UNSPECIFIED.into()), port));
        let v6 = v6.then(|| Pair::bind(only(true, Ipv6Addr::UNSPECIFIED.into()), port));
        match (v4.transpose(), v6.transpose()) {
            (Ok(v4), Ok(v6)) => Ok(Self { v4, v6 }),
            // A machine without IPv6 still serves IPv4.
            (Ok(Some(v4)), Err(error)) if error.family_is_missing() => {
                info!(%error, "no UDP over IPv6");
                Ok(Self { v4: Some(v4), v6: None })
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The pair that reaches `peer`, whose address is canonical (no IPv4-mapped IPv6).
    pub fn pair_for(&self, peer: IpAddr) -> Option<&Pair> {
        if peer.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    /// All pairs there are.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.v4.iter().chain(&self.v6)
    }
}

/// Why the UDP ports cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use UDP ports {port} and {} of {address} for RTP and RTCP: {error}\n  \
     is another server running? choose another even port with --udp-port", port + 1
)]
pub struct BindError {
    address: IpAddr,
    port: u16,
    error: io::Error,
}

impl BindError {
    /// What kind of error it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    fn family_is_missing(&self) -> bool {
        let code = self.error.raw_os_error();
        code == Some(libc::EAFNOSUPPORT) || code == Some(libc::EADDRNOTAVAIL)
    }
}

/// An RTP socket and the RTCP socket one port above it.
#[derive(Debug)]
pub struct Pair {
    /// The even port.
    pub rtp: Endpoint,
    /// The odd port.
    pub rtcp: Endpoint,
    /// Number of the RTP port; RTCP is one more.
    pub port: u16,
}

impl Pair {
    fn bind(address: IpAddr, port: u16) -> Result<Self, BindError> {
        let failed = |error| BindError { address, port, error };
        for _ in 0..PAIR_ATTEMPTS {
            let rtp = Endpoint::bind(SocketAddr::new(address, port)).map_err(failed)?;
            let bound = rtp.socket.get_ref().local_addr().map_err(failed)?.port();
            if bound % 2 != 0 {
                continue;
            }
            match Endpoint::bind(SocketAddr::new(address, bound + 1)) {
                Ok(rtcp) => return Ok(Self { rtp, rtcp, port: bound }),
                Err(error) if port != 0 => return Err(failed(error)),
                Err(_) => {}
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::AddrInUse, "no even/odd pair is free")))
    }
}

/// How often an odd port is handed back before giving up on an even one.
const PAIR_ATTEMPTS: usize = 64;
