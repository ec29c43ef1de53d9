//! The sessions of all connections, and what arrives for them by UDP.
//!
//! A session over UDP outlives the connection that made it, until its timeout; one over TCP ends
//! with its connection. Everything here is quick and synchronous: one lock, never held across an
//! await, and never taken by the path of a picture.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Instant,
};

use rtp_packetizer::{
    Ssrc,
    rtcp::{self, ReceptionReport},
};
use rtsp_proto::{
    auth::{Accepted, UserName},
    header::SessionId,
    server::session::{Session as Machine, State},
};
use smallvec::SmallVec;
use tracing::{debug, info};

use crate::{
    egress::fanout::Counters,
    live::{Mount, stages::Typical},
};

mod link;

pub use link::{Port, UdpLink};

/// One client's session.
#[derive(Debug)]
pub struct Session {
    /// What may happen next (RFC 2326 appendix A.2).
    pub machine: Machine,
    /// The stream.
    pub mount: Arc<Mount>,
    /// Who made it: no one else may touch it. `None` where nobody logs in.
    pub user: Option<UserName>,
    /// What it was let in with, for the next connection that goes on with it.
    pub accepted: Accepted,
    /// Where the client is.
    pub peer: IpAddr,
    /// What the client calls itself.
    pub agent: Option<String>,
    /// How packets get to the client.
    pub link: Link,
    /// What it was sent.
    pub counters: Arc<Counters>,
    /// Its newest report about what it received.
    pub report: Option<ReceptionReport>,
    /// When it was made.
    pub opened: tokio::time::Instant,
}

/// How packets get to the client.
#[derive(Debug)]
pub enum Link {
    /// Nothing is set up.
    None,
    /// By datagrams.
    Udp(UdpLink),
    /// Within the connection of this number.
    Tcp {
        /// The connection.
        connection: ConnectionId,
        /// The channel of RTP.
        rtp: u8,
        /// The channel of RTCP.
        rtcp: u8,
    },
}

/// Names a connection within this process.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    table: Mutex<Table>,
}

/// The sessions, while they are locked.
#[derive(Debug, Default)]
pub struct Table {
    sessions: HashMap<SessionId, Session>,
    /// The addresses of each UDP client's RTP and RTCP port. Several clients may name the same, as
    /// behind one address translator: it cannot be known whose a datagram from there is.
    by_address: HashMap<SocketAddr, Owners>,
}

type Owners = SmallVec<[SessionId; 2]>;

impl Sessions {
    /// The table, for as long as the guard lives: never across an await.
    pub fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A datagram from a client: any at all keeps its session alive; reports are remembered. `port`
    /// is the one of ours that it came to.
    pub fn datagram(&self, from: SocketAddr, port: Port, payload: &[u8], now: Instant) {
        let mut table = self.lock();
        let owners = table.owners(from);
        let owners = if owners.is_empty() { table.latch(from, port, payload) } else { owners };
        for id in owners {
            let Some(session) = table.sessions.get_mut(&id) else { continue };
            if is_echo(payload, session.mount.identity().ssrc) {
                continue;
            }
            if let Link::Udp(link) = &mut session.link {
                link.hear(from);
            }
            session.heard(payload, now);
        }
    }

    /// A `$` frame from a client, on whatever channel (some send RTCP on the wrong one), for the
    /// sessions of its connection.
    pub fn interleaved(&self, own: &[SessionId], payload: &[u8], now: Instant) {
        let mut table = self.lock();
        for id in own {
            if let Some(session) = table.any_session(*id) {
                session.heard(payload, now);
            }
        }
    }

    /// A datagram to `peer` was answered with "port unreachable". Repeated for a while, with
    /// nothing heard in between, the client is gone.
    pub fn unreachable(&self, peer: SocketAddr, port: Port, now: Instant) {
        // A client that closes only its RTCP port still watches.
        if port == Port::Rtcp {
            return;
        }
        let mut table = self.lock();
        for id in table.owners(peer) {
            let Some(session) = table.sessions.get_mut(&id) else { continue };
            let Link::Udp(link) = &mut session.link else { continue };
            if link.rtp.peer() == peer && link.refuse(now) {
                table.end(id, "the client's port is closed");
            }
        }
    }

    /// Ends the sessions that travel within a connection that is gone.
    pub fn end_connection(&self, connection: ConnectionId, reason: &str) {
        self.lock().end_where(reason, |session| {
            matches!(session.link, Link::Tcp { connection: own, .. } if own == connection)
        });
    }

    /// Ends the sessions whose client has been silent for too long.
    pub fn expire(&self, now: Instant) {
        self.lock().end_where("silent for too long", |session| {
            session.may_expire() && session.machine.deadline() <= now
        });
    }

    /// Ends all sessions.
    pub fn end_all(&self, reason: &str) {
        self.lock().end_where(reason, |_| true);
    }

    /// Ends the sessions of a mount that has ended.
    pub fn end_mount(&self, mount: &Arc<Mount>) {
        self.lock().end_where("the stream has ended", |session| Arc::ptr_eq(&session.mount, mount));
    }
}

impl Table {
    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// All sessions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// A session, if it is there and `user` made it: a stranger is told the same as for one that
    /// does not exist.
    pub fn session(&mut self, id: SessionId, user: Option<&UserName>) -> Option<&mut Session> {
        self.sessions.get_mut(&id).filter(|session| session.user.as_ref() == user)
    }

    /// A session, whoever made it: for what harms nobody.
    pub fn any_session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// Whether the session is still there.
    pub fn contains(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Whether the session ends with this connection: its packets travel within it, or nothing is
    /// set up.
    pub fn ends_with(&self, id: SessionId, connection: ConnectionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            matches!(session.link, Link::Tcp { connection: own, .. } if own == connection)
                || matches!(session.link, Link::None)
        })
    }

    /// The channels that sessions other than `except` use within a connection.
    pub fn channels_of(
        &self,
        connection: ConnectionId,
        except: Option<SessionId>,
    ) -> SmallVec<[u8; 4]> {
        let others = self.sessions.iter().filter(|(id, _)| Some(**id) != except);
        others
            .filter_map(|(_, session)| match session.link {
                Link::Tcp { connection: own, rtp, rtcp } if own == connection => Some([rtp, rtcp]),
                _ => None,
            })
            .flatten()
            .collect()
    }

    /// Sends the session's packets within a connection.
    pub fn link_tcp(&mut self, id: SessionId, connection: ConnectionId, rtp: u8, rtcp: u8) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.link = Link::Tcp { connection, rtp, rtcp };
        }
    }

    /// Adds a session.
    pub fn insert(&mut self, session: Session) {
        self.sessions.insert(session.machine.id(), session);
    }

    /// Sends the session's packets to these ports. A session that used them before is a leftover of
    /// a client that is gone, if the same user made it: that one ends. Another user's goes on: who
    /// ended it could harm a stranger, and both are given what comes from there.
    pub fn link_udp(&mut self, id: SessionId, link: UdpLink) {
        self.unlink(id, true);
        let Some(user) = self.sessions.get(&id).map(|session| session.user.clone()) else { return };
        for address in link.addresses() {
            for before in self.owners(address) {
                if before != id && self.session(before, user.as_ref()).is_some() {
                    self.end(before, "another session took its ports");
                }
            }
            self.own(address, id);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.link = Link::Udp(link);
        }
    }

    /// Forgets the ports of a session and stops its viewer, as before another transport is set up.
    pub fn unlink(&mut self, id: SessionId, goodbye: bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.stop_udp(goodbye);
        if let Link::Udp(link) = std::mem::replace(&mut session.link, Link::None) {
            self.disown(link.addresses(), id);
        }
    }

    /// Ends the sessions of which `is_over` says so.
    fn end_where(&mut self, reason: &str, is_over: impl Fn(&Session) -> bool) {
        let over = self.sessions.iter().filter(|(_, session)| is_over(session));
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.end(id, reason);
        }
    }

    /// Ends a session: its viewer gets a BYE, its totals are logged.
    pub fn end(&mut self, id: SessionId, reason: &str) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        session.stop_udp(true);
        if let Link::Udp(link) = &session.link {
            self.disown(link.addresses(), id);
        }
        session.log_end(reason);
    }

    fn owners(&self, address: SocketAddr) -> Owners {
        self.by_address.get(&address).cloned().unwrap_or_default()
    }

    fn own(&mut self, address: SocketAddr, id: SessionId) {
        let owners = self.by_address.entry(address).or_default();
        if !owners.contains(&id) {
            owners.push(id);
        }
    }

    fn disown(&mut self, addresses: impl IntoIterator<Item = SocketAddr>, id: SessionId) {
        for address in addresses {
            let Some(owners) = self.by_address.get_mut(&address) else { continue };
            owners.retain(|owner| *owner != id);
            if owners.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    /// A datagram from an address nobody named: behind address translation a client's packets come
    /// from another port than it said. If there is exactly one session of that host which it can
    /// be from, that session's packets go there from now on. A translator may also choose anew
    /// later: a client is then known by the name that its reports bear, if that is a random number
    /// which nobody else is told (RFC 3550 section 8).
    fn latch(&mut self, from: SocketAddr, port: Port, payload: &[u8]) -> Owners {
        let reporter = rtcp::sender_of(payload).filter(|_| port == Port::Rtcp);
        let candidates = self.sessions.iter_mut().filter_map(|(id, session)| {
            // Everybody is told the name of the stream, which aiortsp 1.4 takes for its own, and
            // FFmpeg the next number.
            let stream = session.mount.identity().ssrc;
            let name = session.report.as_ref().map(|report| report.reporter);
            let name = name.filter(|name| name.0.wrapping_sub(stream.0) > 1);
            let is_known = name.is_some() && name == reporter;
            let Link::Udp(link) = &mut session.link else { return None };
            let mut named = link.destination(port).peer();
            named.set_port(from.port());
            let may_be = is_known || link.may_be_translated(port);
            (named == from && may_be).then_some((*id, link, is_known))
        });
        let (known, possible): (Vec<_>, Vec<_>) = candidates.partition(|(_, _, known)| *known);
        // It may be the known one, or one never heard: then it is nobody's.
        let candidates = match (known.is_empty(), possible.is_empty()) {
            (false, false) => return Owners::new(),
            (false, true) => known,
            (true, _) => possible,
        };
        let Ok([(id, link, _)]) = <[_; 1]>::try_from(candidates) else { return Owners::new() };
        let before = link.addresses();
        link.follow(port, from);
        let after = link.addresses();
        debug!(session = %id, ?before, ?after, "the client's port was translated");
        self.disown(before, id);
        for address in after {
            self.own(address, id);
        }
        Owners::from_iter([id])
    }
}

impl Session {
    fn heard(&mut self, payload: &[u8], now: Instant) {
        self.machine.touch(now);
        if !rtcp::is_rtcp(payload) {
            return;
        }
        match rtcp::parse(payload) {
            Ok(received) => {
                if let Some(report) = received.about(self.mount.identity().ssrc).last() {
                    self.report = Some(*report);
                }
            }
            Err(error) => debug!(session = %self.machine.id(), %error, "RTCP not understood"),
        }
    }

    /// While packets flow through a connection, the connection itself is the sign of life: some
    /// clients never send a thing.
    fn may_expire(&self) -> bool {
        !(matches!(self.link, Link::Tcp { .. }) && self.machine.state() == State::Playing)
    }

    /// Whether its client gets pictures, or waits for the first.
    pub fn is_playing(&self) -> bool {
        self.machine.state() == State::Playing
    }

    /// Stops the viewer, if packets go out by UDP.
    pub fn stop_udp(&mut self, goodbye: bool) {
        if let Link::Udp(link) = &mut self.link
            && let Some(viewer) = link.viewer.take()
        {
            link.fanout.remove(viewer, goodbye);
        }
    }

    fn log_end(&self, reason: &str) {
        let (lost, jitter_ms) = match &self.report {
            Some(report) => {
                (Some(report.cumulative_lost), Some(f64::from(report.jitter) / RTP_TICKS_PER_MS))
            }
            None => (None, None),
        };
        info!(
            session = %self.machine.id(),
            stream = self.mount.name(),
            peer = %self.peer,
            agent = self.agent.as_deref().unwrap_or("unknown"),
            transport = match self.link {
                Link::None => "none",
                Link::Udp(_) => "udp",
                Link::Tcp { .. } => "tcp",
            },
            seconds = self.opened.elapsed().as_secs(),
            packets = self.counters.packets.load(Ordering::Relaxed),
            bytes = self.counters.bytes.load(Ordering::Relaxed),
            skipped = self.counters.skipped.load(Ordering::Relaxed),
            refused = self.counters.refused.load(Ordering::Relaxed),
            lost,
            jitter_ms,
            delay_beyond_capture_and_encoding = %Typical(self.counters.added.read()),
            reason,
            "session over"
        );
    }
}

/// Whether these are our own packets, come back: nobody's sign of life. A receiver report is never
/// ours; aiortsp 1.4 sends them under the name of the stream.
fn is_echo(payload: &[u8], ssrc: Ssrc) -> bool {
    let is_report = matches!(payload, [_, RECEIVER_REPORT, ..]);
    rtcp::sender_of(payload) == Some(ssrc) && !is_report
}

/// The packet type (RFC 3550 section 12.1).
const RECEIVER_REPORT: u8 = 201;
/// Ticks of the 90 kHz clock, in which jitter is reported.
const RTP_TICKS_PER_MS: f64 = 90.0;

#[cfg(test)]
mod tests;
