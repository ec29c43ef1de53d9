//! A scripted viewer that measures a server: it speaks RTSP 1.0 (RFC 2326) as a client, takes RTP
//! straight from the socket, and holds every packet against what was promised.
//!
//! ```text
//!  connect ─ DESCRIBE ─ SETUP ─ PLAY ─────────── watch ─────────── TEARDOWN ─ BYE
//!  ├─ replies ───────────────────┤
//!  ├─ first packet ────────────────┤   equal to RTP-Info, of a unit with SPS, PPS and IDR
//!  ├─ first whole keyframe ─────────────┤
//!                                  ├─ every sequence number, once and in order ─┤
//! ```
//!
//! Cheap enough for hundreds in one thread: a viewer is one task with two or three sockets and
//! decodes nothing. Times are taken when this process reads a packet, so a client that is short of
//! CPU measures itself; [`Process::usage`] of both sides tells. What the client's own sockets had to
//! drop is counted apart from what the server never sent.
//!
//! It is no player: it never reconnects, forgives nothing, and stops at the first refusal.

use std::{
    cell::RefCell,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    pin::pin,
    time::{Duration, Instant},
};

use tokio::{
    net::lookup_host,
    time::{interval, sleep_until, timeout_at},
};
use url::{Host, Url};

mod conversation;
mod datagrams;
mod digest;
mod message;
mod offer;
mod process;
mod reception;
mod report;
mod sockets;

use conversation::Conversation;
use message::Message;
use reception::Reception;
use sockets::{Media, tcp_server_end};

pub use digest::Login;
pub use process::{Process, Usage};
pub use report::{Closed, Reply, Report, Spread, Stalled, Summary};

/// How RTP travels.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// To a pair of UDP ports.
    Udp,
    /// Interleaved in the RTSP connection.
    Tcp,
}

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// `rtsp://host[:port]/stream`; a user in it is overruled by `login`.
    pub url: Url,
    /// How RTP travels.
    pub transport: Transport,
    /// What to log in with when the server asks.
    pub login: Option<Login>,
    /// How long to watch after the reply to PLAY.
    pub duration: Duration,
    /// Take the packets of a segmented send together, as the kernel got them, where it can be done:
    /// cheaper for both sides. Without it they come one by one, as to ordinary players.
    pub offload: bool,
    /// The own address; `None` leaves it to the system. Servers limit what one address may use, and
    /// this machine has many (127.0.0.0/8).
    pub from: Option<IpAddr>,
}

/// Why a viewer came to no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be used.
    #[error("{0}: not rtsp://host[:port]/stream")]
    Url(Url),
    /// A socket failed.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The server refused a request.
    #[error("{method}: refused with {status} {reason}")]
    Refused {
        /// The request's method.
        method: &'static str,
        /// The reply's status code.
        status: u16,
        /// The reply's reason phrase.
        reason: String,
    },
    /// The server closed the connection before the viewer was done.
    #[error("closed by the server while {0}")]
    Closed(&'static str),
    /// No reply within [`PATIENCE`].
    #[error("{0}: no reply")]
    NoReply(&'static str),
    /// What the server sent is not what RTSP or SDP say.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

impl Error {
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { doing, error }
    }
}

/// Watches as a good viewer does, and says goodbye.
///
/// # Errors
///
/// When nothing could be watched, or the connection broke. A stream with flaws is no error: see
/// [`Report::faults`].
pub async fn watch(config: &Config) -> Result<Report, Error> {
    attend(config, false).await
}

/// Watches until there was a whole keyframe, at most as long as [`watch`] does, and says goodbye.
///
/// # Errors
///
/// As of [`watch`]; it is none that no keyframe came: see [`Report::first_keyframe`].
pub async fn join(config: &Config) -> Result<Report, Error> {
    attend(config, true).await
}

async fn attend(config: &Config, until_keyframe: bool) -> Result<Report, Error> {
    let address = resolve(&config.url).await?;
    let started = Instant::now();
    let mut conversation = Conversation::connect(address, config, None, started).await?;
    let (media, reception, played) = play(&mut conversation, config).await?;
    // Replies and datagrams are waited for at once; what comes is entered without waiting.
    let reception = RefCell::new(reception);

    let mut report = Report::new(config.transport, started);
    let end = played + config.duration;
    let keep_alive = conversation.session_timeout() / 2;
    let mut next_keep_alive = pin!(sleep_until((Instant::now() + keep_alive).into()));
    let mut end = pin!(sleep_until(end.into()));
    loop {
        let mut now = None;
        let mut refused = Ok(());
        tokio::select! {
            // What came in one read with the reply to PLAY is there already.
            received = conversation.receive(|message| {
                match message {
                    Message::Frame { channel, payload } => {
                        let now = *now.get_or_insert_with(Instant::now);
                        media.frame(channel, payload, now, &mut reception.borrow_mut());
                    }
                    Message::Response(response) => refused = response.expect_ok("GET_PARAMETER"),
                }
                if refused.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }) => if !received? {
                return Err(Error::Closed("watching"));
            },
            received = media.receive(&reception) => received.map_err(Error::io("receiving"))?,
            () = &mut next_keep_alive => {
                conversation.send("GET_PARAMETER", &[]).await?;
                next_keep_alive.as_mut().reset((Instant::now() + keep_alive).into());
            }
            () = &mut end => break,
        }
        refused?;
        if until_keyframe && reception.borrow().has_keyframe() {
            break;
        }
    }
    report.watched = played.elapsed();

    let torn_down = Instant::now();
    conversation
        .request("TEARDOWN", &[], |channel, payload| {
            let now = Instant::now();
            media.frame(channel, payload, now, &mut reception.borrow_mut());
        })
        .await?
        .expect_ok("TEARDOWN")?;
    let patience = torn_down + GOODBYE;
    while !reception.borrow().said_goodbye() {
        // Interleaved, nothing more can come: the goodbye precedes the reply to TEARDOWN.
        match timeout_at(patience.into(), media.receive(&reception)).await {
            Ok(received) => received.map_err(Error::io("receiving"))?,
            Err(_) => break,
        }
    }
    report.own_drops = media.own_drops();
    report.replies = conversation.into_replies();
    reception.into_inner().finish(&mut report);
    Ok(report)
}

/// Plays over TCP and then never reads again, with a receive buffer as small as it gets. Ends once
/// the server has given up the connection, or after `patience` from the reply to PLAY.
///
/// Whether the server has closed is seen in the kernel's table of connections, because whoever does
/// not read never hears of it; so the server must be on this machine.
///
/// # Errors
///
/// When it did not get as far as playing.
pub async fn stall(config: &Config, patience: Duration) -> Result<Stalled, Error> {
    let config = &Config { transport: Transport::Tcp, ..config.clone() };
    let address = resolve(&config.url).await?;
    let started = Instant::now();
    let mut conversation =
        Conversation::connect(address, config, Some(SMALL_BUFFER), started).await?;
    let (_media, _reception, played) = play(&mut conversation, config).await?;
    let local = conversation.local_addr().map_err(Error::io("asking for the own port"))?;
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let closed = match tcp_server_end(address.port(), local.port()) {
            Ok(true) if played.elapsed() < patience => continue,
            Ok(true) => Closed::NotWithin(patience),
            Ok(false) if played.elapsed() < LOOK => Closed::Unknown,
            Ok(false) => Closed::After(played.elapsed()),
            Err(_) => Closed::Unknown,
        };
        return Ok(Stalled { closed });
    }
}

/// DESCRIBE, SETUP, PLAY; and when the reply to PLAY came.
async fn play(
    conversation: &mut Conversation,
    config: &Config,
) -> Result<(Media, Reception, Instant), Error> {
    let mut url = config.url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    conversation.set_url(url.to_string());
    let accept = [("Accept", "application/sdp")];
    let described = conversation.request("DESCRIBE", &accept, |_, _| {}).await?;
    described.expect_ok("DESCRIBE")?;
    let offer = offer::Offer::parse(&described, conversation.url())?;

    let local = conversation.local_addr().map_err(Error::io("asking for the own address"))?;
    let mut media = Media::prepare(config.transport, local.ip(), config.offload)
        .map_err(Error::io("UDP ports"))?;
    conversation.set_url(offer.track);
    let transport = media.transport_header();
    let set_up = conversation.request("SETUP", &[("Transport", &transport)], |_, _| {}).await?;
    set_up.expect_ok("SETUP")?;
    conversation.take_session(&set_up)?;
    let server = conversation.peer_addr().map_err(Error::io("asking for the server's address"))?;
    media.set_up(set_up.header("Transport").unwrap_or_default(), server)?;

    conversation.set_url(offer.aggregate);
    // Frames may follow the reply in one read, but none may precede it.
    let mut early = 0;
    let reply = conversation.request("PLAY", &[("Range", "npt=0-")], |_, _| early += 1).await?;
    reply.expect_ok("PLAY")?;
    let played = Instant::now();
    let info = reply.header("RTP-Info").and_then(offer::first_packet);
    let mut reception = Reception::new(conversation.started(), played, info);
    if early > 0 {
        reception.fault("packets came before the reply to PLAY".to_owned());
    }
    Ok((media, reception, played))
}

/// When each of `count` viewers joins: evenly over `span`, each somewhere within its share of it. Even
/// steps would fall into step with the keyframes that the joining itself brings about.
pub fn join_times(count: usize, span: Duration) -> impl Iterator<Item = Duration> {
    let share = span.div_f64(count.max(1) as f64);
    (0..count).map(move |number| {
        // The same in each run.
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        let within = hasher.finish() as f64 / u64::MAX as f64;
        share.mul_f64(number as f64 + within)
    })
}

async fn resolve(url: &Url) -> Result<SocketAddr, Error> {
    let bad = || Error::Url(url.clone());
    if url.scheme() != "rtsp" {
        return Err(bad());
    }
    let port = url.port().unwrap_or(554);
    match url.host().ok_or_else(bad)? {
        Host::Ipv4(ip) => Ok((ip, port).into()),
        Host::Ipv6(ip) => Ok((ip, port).into()),
        // An opaque host of a scheme that is not the web's may be an address all the same.
        Host::Domain(name) => {
            let mut found = lookup_host((name, port)).await.map_err(Error::io("resolving"))?;
            found.next().ok_or_else(bad)
        }
    }
}

/// How long a reply may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long after TEARDOWN a BYE may come.
const GOODBYE: Duration = Duration::from_secs(1);
/// Receive buffer of a stalled viewer: below what the kernel grants, so the least there is.
const SMALL_BUFFER: u32 = 1024;
/// How often to look whether the server has closed.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
