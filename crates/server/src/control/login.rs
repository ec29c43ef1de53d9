//! Who asks, and what one who is not let in is told.

use std::sync::Arc;

use rtsp_proto::{
    Method, Refusal, Reply, Request, Status,
    auth::{Attempt, Denial, UserName},
};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Answer, Control, Refused, Then};
use crate::{credentials::Access, sessions::Link};

impl Control {
    /// Who asks. `None` where nobody needs to log in.
    pub(super) fn authorize(&mut self, request: &Request) -> Result<Option<UserName>, Refused> {
        let shared = Arc::clone(&self.shared);
        let (Some(authenticator), Access::Users(accounts)) =
            (&shared.gate.authenticator, &shared.gate.access)
        else {
            return Ok(None);
        };
        let now = Instant::now().into_std();
        let attempt = Attempt {
            method: request.method().as_str(),
            uri: request.uri(),
            authorization: request.authorization(),
        };
        let named = request.session().and_then(|session| session.id());
        let mut sessions = shared.sessions.lock();
        let session = named.and_then(|id| sessions.any_session(id));
        // The nonces a session was made with stay good for it, on whatever connection, and what
        // they have been used for is remembered with it. They are good for nothing else.
        let mut accepted = self.accepted.clone();
        if let Some(session) = &session {
            accepted.learn(&session.accepted);
        }
        match authenticator.check(&attempt, &mut accepted, accounts, now) {
            Ok(user) => {
                self.is_trusted = true;
                match session {
                    Some(session) if session.user.as_ref() == Some(&user) => {
                        session.accepted.learn(&accepted);
                        // This connection goes on with a session that another one made.
                        if matches!(session.link, Link::Udp(_))
                            && !self.own.contains(&session.machine.id())
                        {
                            self.own.push(session.machine.id());
                        }
                        // For requests that name no session, if it would do without one.
                        let _ = authenticator.check(&attempt, &mut self.accepted, accounts, now);
                    }
                    Some(_) => {}
                    None => self.accepted = accepted,
                }
                Ok(Some(user))
            }
            // Some NVRs leave the header away once they play: for what harms nobody, that is let
            // pass on a connection that has logged in, for a session it has proved to be its own.
            Err(Denial::Missing) if needs_no_header(request.method()) => {
                let own =
                    self.own.iter().rev().find(|id| {
                        named.is_none_or(|named| named == **id) && sessions.contains(**id)
                    });
                let session = own.and_then(|id| sessions.any_session(*id));
                let user = session.and_then(|session| session.user.clone());
                user.map(Some).ok_or(Refused::Denied(Denial::Missing))
            }
            Err(denial) => Err(Refused::Denied(denial)),
        }
    }

    /// The answer to one who is not let in. It waits when this host has been guessing.
    pub(super) async fn deny(&mut self, request: &Request, denial: &Denial) -> Answer {
        if denial.is_guess() {
            self.failed_logins += 1;
            let now = Instant::now().into_std();
            let (attempts, delay) = self.shared.census.guessed(self.peer.ip(), now);
            // Told at 1, 2, 4, 8 …: guessing must not fill the disk.
            if attempts.is_power_of_two() {
                warn!(peer = %self.peer, reason = %denial, attempts, "login refused");
            }
            sleep(delay).await;
        }
        let then = if self.failed_logins >= self.shared.limits.failed_logins {
            Then::Close
        } else {
            Then::Nothing
        };
        if denial.is_bad_request() {
            let refusal = Refusal::new(Status::BadRequest, denial.to_string());
            return Answer { reply: Reply::refuse(request, &refusal), then };
        }
        let mut reply = Reply::to(request, Status::Unauthorized);
        if let Some(authenticator) = &self.shared.gate.authenticator {
            let now = Instant::now().into_std();
            for challenge in authenticator.challenge(denial, request.user_agent(), now) {
                reply = reply.header("WWW-Authenticate", challenge);
            }
        }
        Answer { reply, then }
    }
}

/// What a connection that has logged in may ask without proving it again.
const fn needs_no_header(method: Method) -> bool {
    match method {
        Method::GetParameter | Method::SetParameter | Method::Pause | Method::Teardown => true,
        Method::Options | Method::Describe | Method::Setup | Method::Play => false,
    }
}
