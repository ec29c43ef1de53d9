//! What each request is answered with: policy, between the protocol core and the streams.
//!
//! One [`Control`] per connection. A request may wait for a stream (DESCRIBE, PLAY, and SETUP that
//! plays at once); dropping the future takes the request back, and nothing is left behind but the
//! session of such a SETUP, which expires as any other.

use std::{net::SocketAddr, sync::Arc};

use rtsp_proto::{
    Method, PUBLIC, Refusal, Reply, Request, Status, Target,
    auth::{Accepted, Denial, UserName},
    header::SessionId,
};
use tokio::time::{Instant, timeout};
use tracing::{debug, field, warn};

use crate::{
    egress::fanout::{Fanout, Viewer},
    live::{Announcement, Stage},
    sdp,
    sessions::{ConnectionId, Table},
    shared::{Shared, Stream},
};

mod login;
mod play;
mod setup;

pub use play::InterleavedViewer;

/// The answering side of one connection.
#[derive(Debug)]
pub struct Control {
    shared: Arc<Shared>,
    connection: ConnectionId,
    /// The client's address, canonical.
    peer: SocketAddr,
    /// The address of ours that the client came to, canonical.
    local: SocketAddr,
    accepted: Accepted,
    /// Whether anybody has logged in here.
    is_trusted: bool,
    failed_logins: u32,
    /// Sessions made on this connection, or gone on with, the newest last; some may have ended
    /// since.
    own: Vec<SessionId>,
}

/// An answer, and what happens once it has been written.
#[derive(Debug)]
pub struct Answer {
    /// What to write.
    pub reply: Reply,
    /// What then is to be done.
    pub then: Then,
}

/// What is to be done once an answer has been written.
#[derive(Debug)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// Send a stream within this connection.
    StartInterleaved(Box<InterleavedViewer>),
    /// Stop sending this session's stream within this connection.
    StopInterleaved {
        /// The session.
        session: SessionId,
        /// Whether the stream is over for the client (RTCP BYE), or only paused.
        goodbye: bool,
    },
    /// Send this session's stream by UDP, unless it has been stopped meanwhile.
    StartUdp(SessionId, Fanout, Box<Viewer>),
    /// Close the connection.
    Close,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, then: Then::Nothing }
    }
}

impl Control {
    /// For a connection from `peer` to `local`, both canonical (no IPv4-mapped IPv6).
    pub fn new(
        shared: Arc<Shared>,
        connection: ConnectionId,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Self {
        let (accepted, own) = (Accepted::new(), Vec::new());
        let is_trusted = shared.gate.is_open();
        Self { shared, connection, peer, local, accepted, is_trusted, failed_logins: 0, own }
    }

    /// Answers a request.
    pub async fn answer(&mut self, request: &Request) -> Answer {
        debug!(
            method = %request.method(),
            uri = %Loggable(request),
            agent = request.user_agent(),
            // Answered with the live stream whatever it is: who wonders why finds it here.
            range = request.range().map(field::debug),
            "request"
        );
        let answer = match request.method() {
            // Players begin with it and log in only when asked to by the next request.
            Method::Options => Ok(self.options(request).into()),
            _ => self.answer_authorized(request).await,
        };
        match answer {
            Ok(answer) => answer,
            Err(Refused::With(refusal)) => Reply::refuse(request, &refusal).into(),
            Err(Refused::Denied(denial)) => self.deny(request, &denial).await,
        }
    }

    /// Whether nobody needs to log in, or somebody has on this connection.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Whether a session made on this connection is still alive.
    pub fn has_sessions(&mut self) -> bool {
        let table = self.shared.sessions.lock();
        self.own.retain(|id| table.contains(*id));
        !self.own.is_empty()
    }

    /// The sessions made on this connection.
    pub fn own_sessions(&self) -> &[SessionId] {
        &self.own
    }

    /// The connection is gone: its interleaved sessions end, those over UDP live on.
    pub fn disconnected(&mut self, reason: &str) {
        let mut table = self.shared.sessions.lock();
        for id in self.own.drain(..) {
            if table.ends_with(id, self.connection) {
                table.end(id, reason);
            }
        }
    }

    async fn answer_authorized(&mut self, request: &Request) -> Result<Answer, Refused> {
        let user = self.authorize(request)?;
        let user = user.as_ref();
        self.keep_alive(request, user)?;
        match request.method() {
            Method::Options => Ok(self.options(request).into()),
            Method::Describe => self.describe(request, user).await,
            Method::Setup if plays_at_once(request) => self.set_up_and_play(request, user).await,
            Method::Setup => self.set_up(request, user),
            Method::Play => self.play(request, user).await,
            Method::Pause => self.pause(request, user),
            Method::Teardown => self.tear_down(request, user),
            Method::GetParameter | Method::SetParameter => Ok(parameters(request)?.into()),
        }
        .map(|mut answer: Answer| {
            if let Some(id) = request.session().and_then(|session| session.id())
                && let Some(session) = self.shared.sessions.lock().session(id, user)
                && !matches!(request.method(), Method::Setup)
            {
                answer.reply = answer.reply.header("Session", session.machine.header());
            }
            answer
        })
    }

    fn options(&mut self, request: &Request) -> Reply {
        // Nobody has logged in for this: what it keeps alive harms nobody, and a client whose
        // session is gone is told so.
        let now = Instant::now().into_std();
        let mut table = self.shared.sessions.lock();
        match request.session() {
            Some(named) => match named.id().and_then(|id| table.any_session(id)) {
                Some(session) => session.machine.touch(now),
                None => return Reply::refuse(request, &no_such_session()),
            },
            None => self.touch_own(&mut table, now),
        }
        Reply::to(request, Status::Ok).header("Public", PUBLIC)
    }

    async fn describe(
        &mut self,
        request: &Request,
        user: Option<&UserName>,
    ) -> Result<Answer, Refused> {
        let target = target(request)?;
        let stream = self.stream(target, user)?;
        let announcement = self.announcement(&stream).await?;
        let session_id = u64::from(stream.mount.identity().ssrc.0);
        let description =
            sdp::describe(stream.mount.name(), session_id, &announcement, self.local.ip());
        Ok(Reply::to(request, Status::Ok)
            .header("Content-Base", target.content_base())
            .body("application/sdp", description)
            .into())
    }

    /// The stream a request names, if `user` may watch it.
    fn stream(&self, target: &Target, user: Option<&UserName>) -> Result<Stream, Refused> {
        let Some(stream) = self.shared.streams.find(target.stream()) else {
            let mut names: Vec<_> = self
                .shared
                .streams
                .iter()
                .filter(|stream| self.may_watch(stream, user))
                .map(|stream| stream.mount.name())
                .collect();
            names.sort_unstable();
            let detail =
                format!("no stream \"{}\"; there is {}", target.stream(), names.join(", "));
            return Err(Refusal::new(Status::NotFound, detail).into());
        };
        if !self.may_watch(stream, user) {
            let detail = "this user may not watch this stream";
            return Err(Refusal::new(Status::Forbidden, detail).into());
        }
        Ok(stream.clone())
    }

    fn may_watch(&self, stream: &Stream, user: Option<&UserName>) -> bool {
        let kept_for = stream.mount.identity().users.as_deref();
        self.shared.gate.access.allows(user.map(UserName::as_str), kept_for)
    }

    /// Waits until the stream can be described; its source runs meanwhile.
    async fn announcement(&self, stream: &Stream) -> Result<Arc<Announcement>, Refused> {
        let _demand = stream.mount.want();
        let mut stage = stream.mount.stage();
        let started = stage.wait_for(|stage| !matches!(stage, Stage::Dark));
        let stage = match timeout(self.shared.limits.describe_time, started).await {
            Ok(Ok(stage)) => stage.clone(),
            Ok(Err(_)) => Stage::Ended,
            Err(_) => Stage::Dark,
        };
        match stage {
            Stage::Live(announcement) => Ok(announcement),
            Stage::Dark => {
                let health = stream.mount.health();
                let reason = health.borrow().last_failure.clone();
                let reason = reason.as_deref().unwrap_or("its source gives no pictures");
                warn!(stream = stream.mount.name(), reason, "nothing to show");
                Err(unavailable("the source gives no pictures just now; try again"))
            }
            Stage::Ended => Err(unavailable("the stream has ended")),
        }
    }

    /// Any request keeps its session alive, or, when it names none, those of its connection.
    fn keep_alive(&mut self, request: &Request, user: Option<&UserName>) -> Result<(), Refused> {
        let now = Instant::now().into_std();
        let mut table = self.shared.sessions.lock();
        match request.session() {
            Some(named) => {
                let session = named.id().and_then(|id| table.session(id, user));
                session.ok_or_else(no_such_session)?.machine.touch(now);
            }
            None => self.touch_own(&mut table, now),
        }
        Ok(())
    }

    fn touch_own(&self, table: &mut Table, now: std::time::Instant) {
        for id in &self.own {
            if let Some(session) = table.any_session(*id) {
                session.machine.touch(now);
            }
        }
    }

    /// The session a request means: the one it names, else the newest of this connection.
    fn session_id(&self, request: &Request) -> Result<SessionId, Refused> {
        match request.session() {
            Some(named) => named.id().ok_or_else(|| no_such_session().into()),
            None => self.own.last().copied().ok_or_else(|| no_such_session().into()),
        }
    }
}

/// Whether SETUP is all that the client may ever say, as with live555's servers.
fn plays_at_once(request: &Request) -> bool {
    ["Range", "x-playNow"].iter().any(|name| request.header(name).is_some())
}

/// GET_PARAMETER and SET_PARAMETER: without a body a sign of life; there are no parameters.
fn parameters(request: &Request) -> Result<Reply, Refused> {
    let asked = String::from_utf8_lossy(request.body());
    let Some(name) = asked.lines().map(str::trim).find(|line| !line.is_empty()) else {
        return Ok(Reply::to(request, Status::Ok));
    };
    let name: String = name.chars().take(64).collect();
    Err(Refusal::new(Status::ParameterNotUnderstood, format!("no parameter \"{name}\"")).into())
}

fn target(request: &Request) -> Result<&Target, Refused> {
    request
        .target()
        .ok_or_else(|| Refusal::new(Status::BadRequest, "this method needs a stream's URL").into())
}

fn no_such_session() -> Refusal {
    Refusal::new(Status::SessionNotFound, "it has ended, or never was")
}

fn unavailable(detail: &'static str) -> Refused {
    Refusal::new(Status::ServiceUnavailable, detail).into()
}

/// Why a request is not done.
#[derive(Debug)]
enum Refused {
    With(Refusal),
    Denied(Denial),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::With(refusal)
    }
}

/// A request's URI without userinfo, which may hold a password.
struct Loggable<'a>(&'a Request);

impl std::fmt::Display for Loggable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.target() {
            Some(target) => write!(f, "{target}"),
            None => f.write_str("*"),
        }
    }
}
