//! SETUP (RFC 2326 section 10.4): a transport is chosen, and a session made or changed.

use std::sync::Arc;

use rtsp_proto::{
    Refusal, Reply, Request, Session as Machine, Status,
    auth::UserName,
    header::{
        Chosen, Lower, SessionId,
        transport::{ChosenLower, TransportList},
    },
    server::session::{LowerKind, State},
};
use tokio::time::Instant;
use tracing::info;

use super::{Answer, Control, Refused, no_such_session, target};
use crate::{
    egress::{fanout::Counters, udp::Destination},
    sessions::{Link, Session, Table, UdpLink},
    shared::Stream,
};

impl Control {
    pub(super) fn set_up(
        &mut self,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<Answer, Refused> {
        let target = target(request)?;
        let stream = self.stream(target, user)?;
        // The stream's own URL is as good as its only track's.
        let track = target.track().unwrap_or(0);
        if track != 0 {
            return Err(Refusal::new(Status::NotFound, "the only track is trackID=0").into());
        }
        let transports = request
            .transports()
            .map_err(|error| Refusal::new(Status::BadRequest, error.to_string()))?;

        let shared = Arc::clone(&self.shared);
        let mut table = shared.sessions.lock();
        let named = match request.session() {
            Some(named) => {
                let id = named.id().ok_or_else(no_such_session)?;
                self.check_redo(&mut table, id, &stream, user)?;
                Some(id)
            }
            None => None,
        };
        // Refused before anything is given up for it.
        self.choose(&transports, &stream, &table, named)?;
        if named.is_none() {
            self.give_up_idle_sessions(&mut table, &stream, user);
        }
        let chosen = self.choose(&transports, &stream, &table, named)?;
        let id = match named {
            Some(id) => id,
            None => self.new_session(&mut table, &stream, request, user)?,
        };
        let lower = match chosen {
            ChosenLower::Udp { .. } => LowerKind::Udp,
            ChosenLower::Tcp { .. } => LowerKind::Tcp,
        };
        let Some(session) = table.session(id, user) else { return Err(no_such_session().into()) };
        session.machine.setup(track, lower, target.url())?;
        let header = session.machine.header();
        if named.is_none() {
            info!(
                session = %id,
                stream = stream.mount.name(),
                user = user.map(UserName::as_str),
                agent = session.agent.as_deref(),
                transport = ?lower,
                "session set up"
            );
        }
        self.link(&mut table, id, chosen, &stream);
        let transport =
            Chosen { lower: chosen, ssrc: Some(stream.mount.identity().ssrc.0), source: None };
        Ok(Reply::to(request, Status::Ok)
            .header("Transport", transport)
            .header("Session", header)
            .into())
    }

    /// A session that SETUP names must be of the same stream.
    fn check_redo(
        &self,
        table: &mut Table,
        id: SessionId,
        stream: &Stream,
        user: Option<&UserName>,
    ) -> Result<(), Refused> {
        let session = table.session(id, user).ok_or_else(no_such_session)?;
        if !Arc::ptr_eq(&session.mount, &stream.mount) {
            let detail = "a session has one stream; leave the Session header out for another";
            return Err(Refusal::new(Status::AggregateOperationNotAllowed, detail).into());
        }
        self.check_link(session)?;
        if session.machine.state() == State::Playing {
            let detail = "SETUP while playing; PAUSE or TEARDOWN first";
            return Err(Refusal::new(Status::MethodNotValidInThisState, detail).into());
        }
        Ok(())
    }

    /// The first transport of the client's list that can be had.
    fn choose(
        &self,
        transports: &TransportList,
        stream: &Stream,
        table: &Table,
        named: Option<SessionId>,
    ) -> Result<ChosenLower, Refused> {
        let usable = transports.specs().filter(|spec| !spec.multicast && !spec.record);
        let mut chosen = usable.filter_map(|spec| match spec.lower {
            Lower::Udp { client_port } => {
                let pair = self.shared.ports.as_ref()?.pair_for(self.peer.ip())?;
                let (rtp, rtcp) = client_port?;
                let own_ports = pair.port..=pair.port + 1;
                // Sent to ourselves, packets would be their own sign of life.
                if self.peer.ip() == self.local.ip()
                    && (own_ports.contains(&rtp) || own_ports.contains(&rtcp))
                {
                    return None;
                }
                stream.fanout.as_ref()?;
                let server_port = (pair.port, pair.port + 1);
                Some(ChosenLower::Udp { client_port: (rtp, rtcp), server_port })
            }
            Lower::Tcp { interleaved } => {
                let taken = table.channels_of(self.connection, named);
                let free = |pair: &(u8, u8)| !taken.contains(&pair.0) && !taken.contains(&pair.1);
                // Clients expect the two side by side.
                let adjacent = |pair: &(u8, u8)| pair.0.checked_add(1) == Some(pair.1);
                let interleaved = interleaved
                    .filter(adjacent)
                    .filter(free)
                    .or_else(|| (0..=254).step_by(2).map(|rtp| (rtp, rtp + 1)).find(free))?;
                Some(ChosenLower::Tcp { interleaved })
            }
        });
        chosen.next().ok_or_else(|| {
            let detail = "RTP/AVP/TCP with interleaved, or RTP/AVP with client_port, unicast";
            Refusal::new(Status::UnsupportedTransport, detail).into()
        })
    }

    /// FFmpeg, when nothing arrives by UDP, sends PAUSE, forgets its session and sets up TCP on the
    /// same connection: what it forgot must not linger.
    fn give_up_idle_sessions(
        &mut self,
        table: &mut Table,
        stream: &Stream,
        user: Option<&UserName>,
    ) {
        self.own.retain(|id| table.contains(*id));
        self.own.retain(|id| {
            let idle = table.session(*id, user).is_some_and(|session| {
                Arc::ptr_eq(&session.mount, &stream.mount)
                    && session.machine.state() != State::Playing
            });
            if idle {
                table.end(*id, "replaced by another of the same connection");
            }
            !idle
        });
    }

    fn new_session(
        &mut self,
        table: &mut Table,
        stream: &Stream,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<SessionId, Refused> {
        let limits = &self.shared.limits;
        if self.own.len() >= limits.sessions_per_connection {
            let detail = "this connection has all the sessions it may have; TEARDOWN one";
            return Err(Refusal::new(Status::NotEnoughBandwidth, detail).into());
        }
        if table.len() >= limits.sessions {
            let detail = "all sessions this server allows are in use";
            return Err(Refusal::new(Status::NotEnoughBandwidth, detail).into());
        }
        let now = Instant::now();
        let id = SessionId::from_entropy(self.shared.entropy.bytes());
        table.insert(Session {
            machine: Machine::new(id, now.into_std(), limits.session_timeout),
            mount: Arc::clone(&stream.mount),
            user: user.cloned(),
            accepted: self.accepted.clone(),
            peer: self.peer.ip(),
            agent: request.user_agent().map(|agent| agent.chars().take(MAX_AGENT).collect()),
            link: Link::None,
            counters: Arc::new(Counters::default()),
            report: None,
            opened: now,
        });
        self.own.push(id);
        Ok(id)
    }

    fn link(&mut self, table: &mut Table, id: SessionId, chosen: ChosenLower, stream: &Stream) {
        table.unlink(id, true);
        match (chosen, &stream.fanout) {
            (ChosenLower::Tcp { interleaved: (rtp, rtcp) }, _) => {
                table.link_tcp(id, self.connection, rtp, rtcp);
                if !self.own.contains(&id) {
                    self.own.push(id);
                }
            }
            (ChosenLower::Udp { client_port: (rtp, rtcp), .. }, Some(fanout)) => {
                let to = |port| {
                    // Only ever the peer's own address: `destination` would let anyone have
                    // packets sent to a third party. A link-local one with its scope.
                    let mut peer = self.peer;
                    peer.set_port(port);
                    Arc::new(Destination::new(peer, Some(self.local.ip())))
                };
                table.link_udp(id, UdpLink::new(to(rtp), to(rtcp), fanout.clone()));
            }
            // Not chosen without a fan-out.
            (ChosenLower::Udp { .. }, None) => {}
        }
    }
}

/// Letters of a User-Agent kept for the log.
const MAX_AGENT: usize = 128;
