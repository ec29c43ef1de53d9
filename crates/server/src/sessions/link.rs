//! The two ports of a client, and what is known of where they really are.
//!
//! A client names its ports in SETUP. Behind address translation (RFC 3022) its packets come from
//! others, and only there can it be reached: what is heard decides. Pure: time is an argument.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::egress::{
    fanout::{Fanout, ViewerId},
    udp::Destination,
};

/// A client's ports, and the viewer that sends to them.
#[derive(Debug)]
pub struct UdpLink {
    /// Where RTP goes.
    pub rtp: Arc<Destination>,
    /// Where RTCP goes.
    pub rtcp: Arc<Destination>,
    /// Sends the mount's pictures.
    pub fanout: Fanout,
    /// Set while playing.
    pub viewer: Option<ViewerId>,
    heard: Heard,
    refusals: Option<Refusals>,
}

/// What has come from the client's ports.
#[derive(Copy, Clone, Debug, Default)]
struct Heard {
    rtp: Option<Origin>,
    rtcp: Option<Origin>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// The port that the client named.
    Named,
    /// Another: there is address translation on the way.
    Translated,
}

/// The ICMP errors about the client's RTP port since it was last heard.
#[derive(Copy, Clone, Debug)]
struct Refusals {
    first: Instant,
    newest: Instant,
    count: u32,
}

impl UdpLink {
    /// To ports of which nothing has been heard yet.
    pub fn new(rtp: Arc<Destination>, rtcp: Arc<Destination>, fanout: Fanout) -> Self {
        Self { rtp, rtcp, fanout, viewer: None, heard: Heard::default(), refusals: None }
    }

    pub(super) fn destination(&self, port: Port) -> &Arc<Destination> {
        match port {
            Port::Rtp => &self.rtp,
            Port::Rtcp => &self.rtcp,
        }
    }

    pub(super) fn addresses(&self) -> [SocketAddr; 2] {
        [self.rtp.peer(), self.rtcp.peer()]
    }

    pub(super) fn hear(&mut self, from: SocketAddr) {
        self.refusals = None;
        if self.rtp.peer() == from {
            self.heard.rtp.get_or_insert(Origin::Named);
        }
        if self.rtcp.peer() == from {
            self.heard.rtcp.get_or_insert(Origin::Named);
        }
    }

    /// Whether a datagram from a strange port of the client's host may be from this client's
    /// `port`. A port that has been heard is certain. Translation changes both ports, as a rule: a
    /// client whose RTCP comes from the port it named is where it says, and whoever shares its
    /// address cannot have its stream sent elsewhere.
    pub(super) fn may_be_translated(&self, port: Port) -> bool {
        match port {
            Port::Rtp => self.heard.rtp.is_none() && self.heard.rtcp != Some(Origin::Named),
            Port::Rtcp => self.heard.rtcp.is_none(),
        }
    }

    /// Moves `port` to where it was heard from. What was heard at the port it named before stays
    /// true.
    pub(super) fn follow(&mut self, port: Port, from: SocketAddr) {
        self.destination(port).rebind(from.port());
        match port {
            Port::Rtp => self.heard.rtp.get_or_insert(Origin::Translated),
            Port::Rtcp => self.heard.rtcp.get_or_insert(Origin::Translated),
        };
    }

    /// Counts an ICMP error about the RTP port. True when there were so many, over so long, that
    /// the client must be gone.
    pub(super) fn refuse(&mut self, now: Instant) -> bool {
        let fresh = Refusals { first: now, newest: now, count: 0 };
        let known = self.refusals.filter(|known| now - known.newest <= REFUSAL_GAP);
        let Refusals { first, count, .. } = known.unwrap_or(fresh);
        self.refusals = Some(Refusals { first, newest: now, count: count + 1 });
        count + 1 >= REFUSALS && now - first >= REFUSAL_SPAN
    }
}

/// Which of a client's two ports a datagram came from, or was sent to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

/// A client whose port answered "unreachable" so often, over so long, is gone. Hosts send at most
/// about one such message a second.
const REFUSALS: u32 = 3;
const REFUSAL_SPAN: Duration = Duration::from_secs(2);
/// Errors further apart than this are accidents, each of its own.
const REFUSAL_GAP: Duration = Duration::from_secs(10);
