//! PLAY, PAUSE and TEARDOWN (RFC 2326 sections 10.5 to 10.7).

use std::{sync::Arc, time::Duration};

use rtp_packetizer::{RtpTimestamp, Sequence};
use rtsp_proto::{
    Refusal, Reply, Request, Status,
    auth::UserName,
    header::{Range, RtpInfo, SessionId, rtp_info},
    server::session::{Pause, Play, State, Torn},
};
use tokio::time::timeout;

use super::{Answer, Control, Refused, Then, no_such_session, target, unavailable};
use crate::{
    egress::fanout::{Counters, Viewer, ViewerId},
    live::{Cursor, Mount, Picture, Stage},
    sessions::{Link, Session, Table},
};

/// A viewer whose stream is sent within its RTSP connection.
#[derive(Debug)]
pub struct InterleavedViewer {
    /// Its session.
    pub session: SessionId,
    /// The stream.
    pub mount: Arc<Mount>,
    /// The first picture, already read from the cursor.
    pub first: Option<Arc<Picture>>,
    /// What comes after it.
    pub cursor: Cursor,
    /// The channel of RTP.
    pub rtp: u8,
    /// The channel of RTCP.
    pub rtcp: u8,
    /// Counts what is sent.
    pub counters: Arc<Counters>,
    /// For so long nothing follows the reply to PLAY; zero for nearly all clients.
    pub head_start: Duration,
}

impl Control {
    pub(super) async fn play(
        &mut self,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<Answer, Refused> {
        let target = target(request)?;
        let track = target.track();
        let id = self.session_id(request)?;
        let mount = {
            let mut table = self.shared.sessions.lock();
            let session = self.steered(&mut table, request, user)?;
            // Without a stream named, that of the session is meant.
            let named = self.shared.streams.find(target.stream());
            if named.is_some_and(|stream| !Arc::ptr_eq(&stream.mount, &session.mount)) {
                let detail = "the session is of another stream";
                return Err(Refusal::new(Status::AggregateOperationNotAllowed, detail).into());
            }
            match session.machine.state() {
                State::Ready => Some(Arc::clone(&session.mount)),
                // Refused below, or playing already: nothing to wait for.
                State::Init | State::Playing => None,
            }
        };
        let joined = match mount {
            Some(mount) => Some(self.join(&mount).await?),
            None => None,
        };

        // The client may have changed its mind on another connection meanwhile.
        let mut table = self.shared.sessions.lock();
        let session = self.linked(&mut table, id, user)?;
        let play = session.machine.play(track)?;
        // Somebody else may have started it meanwhile, at another picture.
        let joined = joined.filter(|_| play == Play::Start);
        let first = joined.as_ref().and_then(|(_, first)| first.as_deref());
        let reply = self.play_reply(request, session, track, first);
        let then = match joined {
            Some((cursor, first)) => start(session, cursor, first),
            None => Then::Nothing,
        };
        Ok(Answer { reply, then })
    }

    /// SETUP that plays as soon as it is answered. Where there is nothing to play, the client
    /// learns that when it says PLAY.
    pub(super) async fn set_up_and_play(
        &mut self,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<Answer, Refused> {
        let mut answer = self.set_up(request, user)?;
        let id = self.session_id(request)?;
        let mount = {
            let mut table = self.shared.sessions.lock();
            let session = table.session(id, user).ok_or_else(no_such_session)?;
            Arc::clone(&session.mount)
        };
        let Ok((cursor, first)) = self.join(&mount).await else { return Ok(answer) };
        // The client may have changed its mind on another connection meanwhile.
        let mut table = self.shared.sessions.lock();
        let session = self.linked(&mut table, id, user)?;
        if let Ok(Play::Start) = session.machine.play(None) {
            answer.then = start(session, cursor, first);
        }
        Ok(answer)
    }

    pub(super) fn pause(
        &mut self,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<Answer, Refused> {
        let track = target(request)?.track();
        let mut table = self.shared.sessions.lock();
        let session = self.steered(&mut table, request, user)?;
        let then = match session.machine.pause(track)? {
            Pause::Stop => {
                session.stop_udp(false);
                stop_interleaved(session, false)
            }
            Pause::NotPlaying => Then::Nothing,
        };
        Ok(Answer { reply: Reply::to(request, Status::Ok), then })
    }

    pub(super) fn tear_down(
        &mut self,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<Answer, Refused> {
        let track = target(request)?.track();
        let mut table = self.shared.sessions.lock();
        let session = self.steered(&mut table, request, user)?;
        let id = session.machine.id();
        let then = stop_interleaved(session, true);
        match session.machine.teardown(track)? {
            Torn::Session => table.end(id, "torn down"),
            // With one track there is no other.
            Torn::Track(_) => table.unlink(id, true),
        }
        self.own.retain(|own| *own != id);
        Ok(Answer { reply: Reply::to(request, Status::Ok), then })
    }

    /// The session a request is to steer.
    fn steered<'t>(
        &self,
        table: &'t mut Table,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<&'t mut Session, Refused> {
        self.linked(table, self.session_id(request)?, user)
    }

    /// The session of that name, if it is the user's and can be steered from here.
    fn linked<'t>(
        &self,
        table: &'t mut Table,
        id: SessionId,
        user: Option<&UserName>,
    ) -> Result<&'t mut Session, Refused> {
        let session = table.session(id, user).ok_or_else(no_such_session)?;
        self.check_link(session)?;
        Ok(session)
    }

    /// A session within a connection can only be steered by that connection.
    pub(super) fn check_link(&self, session: &Session) -> Result<(), Refused> {
        match session.link {
            Link::Tcp { connection, .. } if connection != self.connection => {
                Err(no_such_session().into())
            }
            _ => Ok(()),
        }
    }

    /// A cursor, and the picture it begins with; without one when that takes too long.
    async fn join(&self, mount: &Arc<Mount>) -> Result<(Cursor, Option<Arc<Picture>>), Refused> {
        let mut published = mount.subscribe();
        let stage = mount.stage();
        let mut cursor = mount.join(self.shared.clock.now());
        let first = async {
            loop {
                if let Some(delivery) = mount.read(&mut cursor) {
                    return Some(delivery.entry);
                }
                if matches!(*stage.borrow(), Stage::Ended) || published.changed().await.is_err() {
                    return None;
                }
            }
        };
        let first = timeout(self.shared.limits.play_time, first).await.ok().flatten();
        if first.is_none() && matches!(*mount.stage().borrow(), Stage::Ended) {
            return Err(unavailable("the stream has ended"));
        }
        Ok((cursor, first))
    }

    fn play_reply(
        &self,
        request: &Request,
        session: &Session,
        track: Option<u8>,
        first: Option<&Picture>,
    ) -> Reply {
        let number = track.unwrap_or(0);
        // Clients look for the URL they used in SETUP, letter by letter.
        let url = session.machine.track(number).map(|track| track.url.clone());
        let url = url.unwrap_or_default();
        let (seq, rtptime) = match first.map(|picture| &picture.batch) {
            Some(batch) => {
                let (Sequence(seq), RtpTimestamp(rtptime)) =
                    (batch.first_sequence(), batch.timestamp());
                (Some(seq), Some(rtptime))
            }
            None => (None, None),
        };
        let mut reply = Reply::to(request, Status::Ok).header("Range", Range::LIVE);
        if request.header("Scale").is_some() {
            reply = reply.header("Scale", "1.000000");
        }
        reply.header("RTP-Info", rtp_info::write(&[RtpInfo { url: &url, seq, rtptime }]))
    }
}

fn start(session: &mut Session, cursor: Cursor, first: Option<Arc<Picture>>) -> Then {
    let counters = Arc::clone(&session.counters);
    match &mut session.link {
        Link::Udp(link) => {
            let id = ViewerId::next();
            link.viewer = Some(id);
            let viewer = Viewer {
                id,
                rtp: Arc::clone(&link.rtp),
                rtcp: Arc::clone(&link.rtcp),
                first,
                cursor,
                counters,
            };
            Then::StartUdp(session.machine.id(), link.fanout.clone(), Box::new(viewer))
        }
        Link::Tcp { rtp, rtcp, .. } => Then::StartInterleaved(Box::new(InterleavedViewer {
            session: session.machine.id(),
            mount: Arc::clone(&session.mount),
            first,
            cursor,
            rtp: *rtp,
            rtcp: *rtcp,
            counters,
            head_start: head_start(session.agent.as_deref()),
        })),
        Link::None => Then::Nothing,
    }
}

/// yellowstone takes all that it reads at once with a reply for text, and so drops the pictures that
/// come right behind it, the first keyframe among them.
fn head_start(agent: Option<&str>) -> Duration {
    let reads_replies_alone = agent.is_some_and(|agent| agent.starts_with("yellowstone/"));
    if reads_replies_alone { HEAD_START } else { Duration::ZERO }
}

fn stop_interleaved(session: &Session, goodbye: bool) -> Then {
    match session.link {
        Link::Tcp { .. } => Then::StopInterleaved { session: session.machine.id(), goodbye },
        _ => Then::Nothing,
    }
}

/// A small program under Node.js wakes up and reads within a few milliseconds.
const HEAD_START: Duration = Duration::from_millis(50);
