//! Conversations between RTSP clients and a server, written down and played again.
//!
//! A transcript is a text file, one conversation in it. Recorded ones keep what a real client sent
//! letter by letter; the rest is what the server has to answer.
//!
//! ```text
//! # a comment; blank lines are for the eye
//! % source silent            a direction to the stage: whatever the World understands
//! C: OPTIONS * RTSP/1.0      the client sends this line, CRLF appended; `C:` alone is empty
//! C+ OPT                     … without CRLF, for what is cut off
//! C/ CSeq: 1                 … with LF alone
//! C$ 1 81c90007…             … a `$` frame on channel 1, in hexadecimal; `rr` makes a report
//! S: RTSP/1.0 200 OK         the server sends this line next, and nothing before it
//! S: Session: {id};timeout=60    `{id}` takes a token, or has to equal the one taken before
//! S: CSeq: {id!}             `{id!}` takes a token, whatever was taken before
//! S: Server: {*}             anything to the end of the line; `{_}` is any token
//! S~                         a body, as long as its Content-Length says
//! S$ 0 rtp keyframe seq={n}  a `$` frame; see below
//! S$ 0 …                     any number of frames of channel 0 may come before what is next
//! S! quiet                   nothing more has come
//! S! closed                  the server closes
//! U> rtcp rr                 a datagram from the client's RTCP port (or `rtp`): `rr` or hexadecimal
//! U< rtp keyframe seq={n}    a datagram to the client's RTP port; see below
//! U< rtp …                   those that have come to that port are forgotten, and any number may
//!                            come before the one expected next
//! U! quiet                   none has come to either port since
//! U2> rtp cefaedfe           … from, or to, another pair of ports of the client's host: what address
//!                            translation makes of those it named
//! @ +61s                     time passes (also `+40ms`)
//! X                          the client closes
//! ```
//!
//! `C2:`, `S2$` and so on are of a second connection; each is opened by its first line. What a
//! client says in one go, up to the next line that is not its own, arrives in one piece, or cut as
//! [`Cuts`] say. Names taken in `S:` lines can be used in those of the client; beside them
//!
//! * `{digest USER PASSWORD}` is a whole value of Authorization for the request it stands in, made
//!   of `{realm}` and `{nonce}`, which must have been taken,
//! * `{response USER PASSWORD}` only the hash, for the `uri="…"` in the same line,
//! * `{response256 USER PASSWORD NC CNONCE}` the same by SHA-256 with `qop=auth`, or without it where
//!   the last two are left out.
//!
//! Packets are described by words, each of which must hold, and fields, whose values are patterns:
//!
//! ```text
//!  rtp   keyframe (begins with parameter sets)  idr  slice (any other picture)  marker
//!        seq= rtptime= ssrc= pt=
//!  rtcp  sr rr sdes bye: all packets of the compound, in their order
//!        ntp= rtptime= packets= octets= ssrc= reason=
//! ```
//!
//! Time is Tokio's. With the clock paused a wait of a minute costs nothing, and nothing depends on
//! how fast the machine is.

use std::{fmt, time::Duration};

pub use packet::{Pair, Place, Port};
pub use player::{Cuts, Failure, Pause, Player, World};

mod connection;
mod packet;
mod pattern;
mod player;

use packet::Expected;
use pattern::Pattern;

/// A conversation.
#[derive(Clone, Debug)]
pub struct Transcript {
    steps: Vec<Step>,
}

/// One line of a transcript.
#[derive(Clone, Debug)]
struct Step {
    /// Counted from 1.
    line: usize,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Direct(Pattern),
    Wait(Duration),
    Send(usize, Outgoing),
    Expect(usize, Incoming),
    Close(usize),
    SendDatagram(Place, Payload),
    ExpectDatagram(Place, Expected),
    ForgetDatagrams(Place),
    ExpectNoDatagram(Pair),
}

#[derive(Clone, Debug)]
enum Outgoing {
    Line(Pattern),
    LineFeedLine(Pattern),
    Text(Pattern),
    Frame(u8, Payload),
}

#[derive(Clone, Debug)]
enum Payload {
    /// A receiver report about `{ssrc}`.
    Report,
    Hexadecimal(Pattern),
}

#[derive(Clone, Debug)]
enum Incoming {
    Line(Pattern),
    Body,
    Frame(u8, Expected),
    /// Frames of this channel, or of any.
    AnyFrames(Option<u8>),
    Quiet,
    Closed,
}

/// A line that is not of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The number of the line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    ///
    /// At the first line that means nothing.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut steps = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let action = action(text).map_err(|reason| ParseError { line, reason })?;
            steps.push(Step { line, action });
        }
        Ok(Self { steps })
    }
}

fn action(text: &str) -> Result<Action, String> {
    let unknown = || format!("not a line of a transcript: {text:?}");
    let Some(first) = text.chars().next() else { return Err(unknown()) };
    let rest = text.get(first.len_utf8()..).unwrap_or_default();
    match first {
        '%' => Ok(Action::Direct(Pattern::parse(rest.trim())?)),
        '@' => Ok(Action::Wait(duration(rest.trim())?)),
        'C' | 'S' | 'X' => {
            let (connection, rest) = numbered(rest).ok_or_else(unknown)?;
            match (first, rest.chars().next(), rest.get(1..).unwrap_or_default()) {
                ('C', Some(kind), rest) => Ok(Action::Send(connection, outgoing(kind, rest)?)),
                ('S', Some(kind), rest) => Ok(Action::Expect(connection, incoming(kind, rest)?)),
                ('X', None, _) => Ok(Action::Close(connection)),
                _ => Err(unknown()),
            }
        }
        'U' => {
            let (pair, rest) = numbered(rest).ok_or_else(unknown)?;
            match (rest.chars().next(), rest.get(1..).unwrap_or_default().trim()) {
                (Some('!'), "quiet") => Ok(Action::ExpectNoDatagram(pair)),
                (Some('>'), rest) => {
                    let (port, payload) = datagram_port(rest).ok_or_else(unknown)?;
                    Ok(Action::SendDatagram((pair, port), self::payload(payload)?))
                }
                (Some('<'), rest) => match datagram_port(rest).ok_or_else(unknown)? {
                    (port, "…" | "...") => Ok(Action::ForgetDatagrams((pair, port))),
                    (port, _) => Ok(Action::ExpectDatagram((pair, port), Expected::parse(rest)?)),
                },
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

/// The number behind the first letter, 1 where there is none, and the rest.
fn numbered(text: &str) -> Option<(usize, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    let number = if number.is_empty() { 1 } else { number.parse().ok()? };
    Some((number, rest))
}

fn outgoing(kind: char, rest: &str) -> Result<Outgoing, String> {
    // One space parts the mark from the line; any more belong to the line.
    let text = rest.strip_prefix(' ').unwrap_or(rest);
    match kind {
        ':' => Ok(Outgoing::Line(Pattern::parse(text)?)),
        '/' => Ok(Outgoing::LineFeedLine(Pattern::parse(text)?)),
        '+' => Ok(Outgoing::Text(Pattern::parse(text)?)),
        '$' => {
            let (channel, payload) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
            let channel = channel.parse().map_err(|_| format!("not a channel: {channel:?}"))?;
            Ok(Outgoing::Frame(channel, self::payload(payload)?))
        }
        _ => Err(format!("the client cannot do this: C{kind}")),
    }
}

fn incoming(kind: char, rest: &str) -> Result<Incoming, String> {
    let text = rest.strip_prefix(' ').unwrap_or(rest);
    match (kind, text.trim()) {
        (':', _) => Ok(Incoming::Line(Pattern::parse(text)?)),
        ('~', "") => Ok(Incoming::Body),
        ('!', "quiet") => Ok(Incoming::Quiet),
        ('!', "closed") => Ok(Incoming::Closed),
        ('$', "…" | "...") => Ok(Incoming::AnyFrames(None)),
        ('$', frame) => {
            let (channel, packet) = frame.split_once(' ').unwrap_or((frame, ""));
            let channel = channel.parse().map_err(|_| format!("not a channel: {channel:?}"))?;
            match packet.trim() {
                "…" | "..." => Ok(Incoming::AnyFrames(Some(channel))),
                packet => Ok(Incoming::Frame(channel, Expected::parse(packet)?)),
            }
        }
        _ => Err(format!("the server cannot do this: S{kind} {text}")),
    }
}

fn payload(text: &str) -> Result<Payload, String> {
    match text.trim() {
        "rr" => Ok(Payload::Report),
        hexadecimal => Ok(Payload::Hexadecimal(Pattern::parse(hexadecimal)?)),
    }
}

fn datagram_port(text: &str) -> Option<(Port, &str)> {
    let (port, rest) = text.split_once(' ').unwrap_or((text, ""));
    let port = match port {
        "rtp" => Port::Rtp,
        "rtcp" => Port::Rtcp,
        _ => return None,
    };
    Some((port, rest.trim()))
}

/// `+61s`, `+1.5s`, `+40ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a time: {text:?} (write +61s or +40ms)");
    let number = text.strip_prefix('+').ok_or_else(wrong)?;
    let (number, unit) = match number.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (number.strip_suffix('s').ok_or_else(wrong)?, 1.0),
    };
    let seconds: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds * unit).map_err(|_| wrong())
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests;
