//! Who may ask: Digest and Basic authentication as a server checks them (RFC 2326 section 14,
//! RFC 2617, RFC 7616, RFC 7617).
//!
//! ```text
//!  Authorization ─▶ header::authorization ─▶ Authenticator::check ─▶ user
//!                                              │      │     │
//!                                            Users  nonce  Accepted    (HA1, keyed time, what this
//!                                              │      │     │           connection has used before)
//!                                              ▼      ▼     ▼
//!                                            Denial ─▶ Authenticator::challenge ─▶ 401
//! ```
//!
//! The server keeps nothing about nonces it has handed out: a nonce is the time it was made and a
//! keyed hash of it. It is good while it is fresh, and on the connection or session that used it
//! while it was fresh, for as long as that lives: players retry a 401 once or not at all, so a
//! nonce that expired under a playing session would end it.
//!
//! What a recorded exchange is good for: the same request (a digest covers method and URI), within
//! the nonce's life, and not on a session of another user (the caller's check). With SHA-256 and
//! its `qop=auth`, on the same connection not even that.
//!
//! Told everything: the time, the key, the users. Decides nothing about who may watch what.

use std::{
    fmt,
    time::{Duration, Instant},
};

use subtle::{Choice, ConstantTimeEq};

use crate::{
    header::authorization::{
        Authorization, AuthorizationError, Basic, Challenge, Digest, Proof, Unsupported,
    },
    uri::{RequestUri, Target},
};

mod accepted;
mod digest;
mod ha1;
mod nonce;

pub use accepted::Accepted;
pub use ha1::{Ha1, Realm, RealmError};

/// How users log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the users' hashes are made with, and what players show beside the password prompt.
    pub realm: Realm,
    /// How long a nonce can be used for the first time. Default 5 minutes: a person may be typing
    /// a password meanwhile. Raising it lets a recorded request be repeated for longer.
    pub nonce_life: Duration,
    /// What is offered beside Digest with MD5.
    pub schemes: Schemes,
}

impl Config {
    /// Digest with MD5 alone, nonces of 5 minutes.
    pub fn new(realm: Realm) -> Self {
        Self { realm, nonce_life: DEFAULT_NONCE_LIFE, schemes: Schemes::default() }
    }
}

/// What is offered beside Digest with MD5, which every player knows and which is always on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schemes {
    /// Digest with SHA-256 and `qop=auth`. Default off: some players take the challenge they do
    /// not know and fail. Those known to are never offered it.
    pub sha256: bool,
    /// Basic. Default off: it sends the password itself.
    pub basic: bool,
}

/// Those who may log in.
pub trait Users {
    /// What is kept of the password of `name`.
    fn ha1(&self, name: &str) -> Option<&Ha1>;
}

/// The name of a user who has proved to be that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

impl UserName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request, as far as logging in is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The method, as it was sent.
    pub method: &'a str,
    /// The URI of the request line.
    pub uri: &'a RequestUri,
    /// The value of the `Authorization` header, if there is one.
    pub authorization: Option<&'a str>,
}

/// Why a request is not let in.
///
/// [`Denial::is_bad_request`] says whether 400 or 401 fits; [`Denial::is_guess`] whether it counts
/// towards closing a connection that keeps trying.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No `Authorization` header. Not an attempt: this is how every client begins. The caller
    /// may let it in as [`Accepted::user`].
    #[error("no credentials")]
    Missing,
    /// The header cannot be read.
    #[error("the Authorization header cannot be read: {0}")]
    Malformed(#[from] AuthorizationError),
    /// Something that was not offered.
    #[error("the client logs in with something that was not offered ({0:?})")]
    Unsupported(Unsupported),
    /// Unknown user, wrong password, or a nonce that is not ours (a server before this one made
    /// it): which of them is nobody's business.
    #[error("user or password is wrong")]
    Wrong {
        /// Who it claimed to be: any text at all, to be logged escaped.
        user: Box<str>,
    },
    /// The right password for a request of something else.
    #[error("the uri of the Authorization header is of another stream than the request")]
    OtherUri,
    /// The right password with a nonce too old to be used for the first time.
    #[error("the nonce is too old")]
    Stale,
    /// The right password with a nonce count that this connection has seen.
    #[error("the nonce count has been used before")]
    Replayed,
}

impl Denial {
    /// Whether a new nonce is all that the client needs: the challenge then says `stale=TRUE`, on
    /// which players try again without asking their user.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale | Self::Replayed)
    }

    /// Whether this is answered with 400 rather than with 401 and a challenge.
    ///
    /// RFC 2617 section 3.2.2 and RFC 7616 sections 3.4 and 3.4.6 want 400 for what cannot be
    /// read and for a URI that is not the request's. It also says more: to a 401 a client would
    /// answer with the same header, or ask its user for a password that was right.
    pub fn is_bad_request(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::OtherUri)
    }

    /// Whether this may be somebody guessing.
    pub fn is_guess(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::Wrong { .. })
    }
}

/// Checks who asks.
pub struct Authenticator {
    config: Config,
    mint: nonce::Mint,
    /// Compared with where the user is unknown, so that this takes as long as a wrong password.
    decoy: Ha1,
}

impl Authenticator {
    /// `key` must be random and secret; whoever knows it can make nonces that are fresh for ever.
    pub fn new(config: Config, key: [u8; 32], now: Instant) -> Self {
        Self { config, decoy: nonce::decoy(&key), mint: nonce::Mint::new(key, now) }
    }

    /// The values of the `WWW-Authenticate` headers of a 401, each for a line of its own, in the
    /// order in which they must stand.
    ///
    /// SHA-256 stands before MD5, because FFmpeg and live555 use the last Digest they find; and
    /// it is not offered to a `user_agent` that is known to fail on it: go2rtc reads only the
    /// first challenge, and the others know only MD5. Basic stands last; nobody who knows Digest
    /// prefers it.
    pub fn challenge(
        &self,
        denial: &Denial,
        user_agent: Option<&str>,
        now: Instant,
    ) -> Vec<String> {
        let realm = self.config.realm.as_str();
        let nonce = self.mint.issue(now).to_string();
        let (nonce, stale) = (nonce.as_str(), denial.is_stale());
        let mut challenges = Vec::with_capacity(3);
        if self.config.schemes.sha256 && !is_md5_only(user_agent) {
            challenges.push(Challenge::Sha256 { realm, nonce, stale }.to_string());
        }
        challenges.push(Challenge::Md5 { realm, nonce, stale }.to_string());
        if self.config.schemes.basic {
            challenges.push(Challenge::Basic { realm }.to_string());
        }
        challenges
    }

    /// Who asks, if the request proves it. `accepted` is of the connection it came on; it is
    /// changed only by success.
    ///
    /// # Errors
    ///
    /// Why it is not let in.
    pub fn check(
        &self,
        attempt: &Attempt<'_>,
        accepted: &mut Accepted,
        users: &impl Users,
        now: Instant,
    ) -> Result<UserName, Denial> {
        let value = attempt.authorization.ok_or(Denial::Missing)?;
        match Authorization::parse(value)? {
            Authorization::Digest(digest) => {
                self.check_digest(attempt, &digest, accepted, users, now)
            }
            Authorization::Basic(basic) => self.check_basic(&basic, accepted, users),
            Authorization::Unsupported(what) => Err(Denial::Unsupported(what)),
        }
    }

    fn check_digest(
        &self,
        attempt: &Attempt<'_>,
        digest: &Digest<'_>,
        accepted: &mut Accepted,
        users: &impl Users,
        now: Instant,
    ) -> Result<UserName, Denial> {
        if matches!(digest.proof, Proof::Sha256(_)) && !self.config.schemes.sha256 {
            return Err(Denial::Unsupported(Unsupported::Algorithm));
        }
        let (ha1, known) = self.look_up(users, &digest.username);
        let proved = digest::verify(ha1, attempt.method, digest);
        let nonce = self.mint.authentic(&digest.nonce);
        let Some(nonce) = nonce.filter(|_| bool::from(proved & known)) else {
            return Err(Denial::Wrong { user: (*digest.username).into() });
        };
        if !is_same_stream(attempt.uri, &digest.uri) {
            return Err(Denial::OtherUri);
        }
        let user = UserName((*digest.username).into());
        let used_before = accepted.count(&nonce, &user);
        if used_before.is_none() && self.mint.age(&nonce, now) >= self.config.nonce_life {
            return Err(Denial::Stale);
        }
        // Counts are held to only with SHA-256, where they were asked for. A client that adds a
        // qop to MD5 of its own accord protects nothing: without it, it would be let in as well.
        let count = match (&digest.proof, &digest.qop) {
            (Proof::Sha256(_), Some(qop)) if qop.count <= used_before.unwrap_or(0) => {
                return Err(Denial::Replayed);
            }
            (Proof::Sha256(_), Some(qop)) => qop.count,
            _ => used_before.unwrap_or(0),
        };
        accepted.digest(nonce, user.clone(), count);
        Ok(user)
    }

    fn check_basic(
        &self,
        basic: &Basic,
        accepted: &mut Accepted,
        users: &impl Users,
    ) -> Result<UserName, Denial> {
        if !self.config.schemes.basic {
            return Err(Denial::Unsupported(Unsupported::Scheme));
        }
        let (ha1, known) = self.look_up(users, &basic.username);
        let claimed = Ha1::from_password(&basic.username, &self.config.realm, &basic.password);
        if bool::from(claimed.ct_eq(ha1) & known) {
            let user = UserName(basic.username.as_str().into());
            accepted.basic(user.clone());
            Ok(user)
        } else {
            Err(Denial::Wrong { user: basic.username.as_str().into() })
        }
    }

    fn look_up<'u>(&'u self, users: &'u impl Users, name: &str) -> (&'u Ha1, Choice) {
        match users.ha1(name) {
            Some(ha1) => (ha1, Choice::from(1)),
            None => (&self.decoy, Choice::from(0)),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whether a digest made for `digest_uri` is meant for a request of `request_uri`.
///
/// Clients put there what they like: the URL of the request, only its path, the URL of the
/// DESCRIBE or its Content-Base in every later request, with or without userinfo, default port,
/// slash at the end, or query. So the stream is what must agree. The host need not: the nonce
/// belongs to this server and no other.
fn is_same_stream(request_uri: &RequestUri, digest_uri: &str) -> bool {
    match request_uri {
        // Of no stream: `OPTIONS *` and the like, with whatever URL the client logged in with.
        RequestUri::Asterisk => true,
        RequestUri::Target(asked) => {
            Target::parse(digest_uri).is_ok_and(|proved| proved.stream() == asked.stream())
        }
    }
}

fn is_md5_only(user_agent: Option<&str>) -> bool {
    let agent = user_agent.unwrap_or_default().to_ascii_lowercase();
    MD5_ONLY_AGENTS.iter().any(|known| agent.contains(known))
}

const DEFAULT_NONCE_LIFE: Duration = Duration::from_secs(300);

/// Parts of the User-Agent of those that do not know SHA-256, in lower case. VLC says "LibVLC/3.0
/// (LIVE555 Streaming Media v2016.11.28)".
const MD5_ONLY_AGENTS: [&str; 4] = ["lavf", "live555", "go2rtc", "gstreamer"];

#[cfg(test)]
mod tests;
