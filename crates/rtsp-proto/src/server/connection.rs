//! One RTSP connection: which bytes are a request, which a `$` frame, and which neither; and the
//! requests that RTSP itself refuses (RFC 2326 sections 4.4, 9, 10.12).
//!
//! ```text
//!   Between ──'$'──▶ frame ──▶ Event::Interleaved
//!      │
//!      └──▶ Head ──▶ Body ──▶ Event::Request
//!             │
//!             └──▶ Event::Refused, Skip the body ──▶ Between
//! ```

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    server::{
        head::{self, FramingLost, Head},
        reply::{Reply, Status},
        request::{CSeq, Request},
    },
    wire::{
        Limits, interleaved,
        parse::{FirstLine, LineScanner, TooLarge, is_token_byte},
    },
};

/// The receiving half of one connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    /// When the connection was made, until its first request is whole.
    silent_since: Option<Instant>,
    /// When the first byte of an unfinished message came.
    begun: Option<Instant>,
}

/// Something a connection received.
#[derive(Debug)]
pub enum Event {
    /// A request to be answered. Well-formed, of a known method, in RTSP/1.0, without `Require`.
    Request(Request),
    /// A request that is refused already: write this answer, in turn, and go on.
    Refused(Reply),
    /// A `$` frame: RTCP, or whatever else the client sends on a channel.
    Interleaved {
        /// The channel it came on, which need not be one that was set up.
        channel: u8,
        /// What the frame holds.
        payload: Bytes,
    },
}

/// Whether to look at the input again, or to return.
type Step = ControlFlow<Option<Event>>;

#[derive(Debug)]
enum State {
    Between,
    Head(LineScanner),
    Body { request: Box<Request>, len: usize },
    Skip(u64),
    Failed(Fatal),
}

impl Connection {
    /// A connection that was made at `now`.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, state: State::Between, silent_since: Some(now), begun: None }
    }

    /// Takes at most one event off the front of `input`, and exactly the bytes it is made of.
    /// `None`: more bytes are needed; what is left in `input` has to be there at the next call,
    /// and is never more than [`Limits::input_capacity`] long.
    ///
    /// # Errors
    ///
    /// When the connection cannot go on; each further call says so again.
    pub fn receive(&mut self, input: &mut BytesMut, now: Instant) -> Result<Option<Event>, Fatal> {
        loop {
            match self.step(input, now) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(event)) => return Ok(event),
                Err(fatal) => return Err(self.fail(fatal)),
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called, unless bytes arrive before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines().map(|(at, _)| at).min()
    }

    /// To be called when the time of [`Self::poll_timeout`] has come; too early does no harm.
    ///
    /// # Errors
    ///
    /// When the client was silent, or slow, for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Fatal> {
        let missed = self.deadlines().filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at);
        match (missed, &self.state) {
            (_, State::Failed(fatal)) => Err(fatal.clone()),
            (None, _) => Ok(()),
            (Some((_, fatal)), _) => Err(self.fail(fatal)),
        }
    }

    fn deadlines(&self) -> impl Iterator<Item = (Instant, Fatal)> {
        let alive = !matches!(self.state, State::Failed(_));
        let Limits { request_time, first_request_time, .. } = self.limits;
        let slow = self.begun.map(|at| (at + request_time, Fatal::Slow(request_time)));
        let silent = self
            .silent_since
            .map(|at| (at + first_request_time, Fatal::Silent(first_request_time)));
        slow.into_iter().chain(silent).filter(move |_| alive)
    }

    fn fail(&mut self, fatal: Fatal) -> Fatal {
        self.state = State::Failed(fatal.clone());
        fatal
    }

    fn step(&mut self, input: &mut BytesMut, now: Instant) -> Result<Step, Fatal> {
        match &mut self.state {
            State::Between => self.begin(input, now),
            State::Head(lines) => {
                let Some(head) = scan_head(lines, input, &self.limits)? else {
                    return Ok(NEED_BYTES);
                };
                self.head(&head)
            }
            State::Body { len, .. } if input.len() < *len => Ok(NEED_BYTES),
            State::Body { .. } => Ok(self.body(input)),
            State::Skip(remaining) => {
                let here = usize::try_from(*remaining).map_or(input.len(), |n| n.min(input.len()));
                input.advance(here);
                *remaining -= here as u64;
                if *remaining > 0 {
                    return Ok(NEED_BYTES);
                }
                self.end_of_message();
                Ok(ControlFlow::Continue(()))
            }
            State::Failed(fatal) => Err(fatal.clone()),
        }
    }

    /// The first byte of a message decides what it is.
    fn begin(&mut self, input: &mut BytesMut, now: Instant) -> Result<Step, Fatal> {
        // Empty lines before a request: some clients end a body with one.
        let empty = input.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        input.advance(empty);
        let Some(&first) = input.first() else { return Ok(NEED_BYTES) };
        self.begun.get_or_insert(now);
        match first {
            interleaved::MAGIC => {
                let Some((channel, payload)) = interleaved::parse(input) else {
                    return Ok(NEED_BYTES);
                };
                self.end_of_message();
                Ok(ControlFlow::Break(Some(Event::Interleaved { channel, payload })))
            }
            TLS_HANDSHAKE => Err(Fatal::Tls),
            first if is_token_byte(first) => {
                self.state = State::Head(LineScanner::default());
                Ok(ControlFlow::Continue(()))
            }
            first => Err(Fatal::not_rtsp(&[first])),
        }
    }

    fn head(&mut self, head: &Bytes) -> Result<Step, Fatal> {
        let line = first_line(head);
        let Head { body_len, outcome } = match FirstLine::parse(line) {
            None => return Err(Fatal::not_rtsp(line)),
            Some(FirstLine::Http { method }) => {
                return Err(Fatal::Http { method: method.to_owned() });
            }
            // An answer to nothing we asked: swallowed, as live555 and GStreamer do.
            Some(FirstLine::Response) => {
                self.state = State::Skip(head::body_len(head, &self.limits)?);
                return Ok(ControlFlow::Continue(()));
            }
            Some(FirstLine::Request { method, uri, version }) => {
                head::parse(head, (method, uri, version), line.len(), &self.limits)?
            }
        };
        match outcome {
            Ok((request, len)) => {
                self.state = State::Body { request: Box::new(request), len };
                Ok(ControlFlow::Continue(()))
            }
            Err(reply) => {
                self.silent_since = None;
                match body_len {
                    0 => self.end_of_message(),
                    _ => self.state = State::Skip(body_len),
                }
                Ok(ControlFlow::Break(Some(Event::Refused(reply))))
            }
        }
    }

    /// `input` holds the whole body.
    fn body(&mut self, input: &mut BytesMut) -> Step {
        let state = std::mem::replace(&mut self.state, State::Between);
        let State::Body { mut request, len } = state else { return ControlFlow::Continue(()) };
        request.body = input.split_to(len).freeze();
        self.silent_since = None;
        self.end_of_message();
        ControlFlow::Break(Some(Event::Request(*request)))
    }

    fn end_of_message(&mut self) {
        self.state = State::Between;
        self.begun = None;
    }
}

/// Takes a whole head off `input`. What cannot be RTSP is found out at the end of its first line, or
/// by who reads the head, if that is whole.
fn scan_head(
    lines: &mut LineScanner,
    input: &mut BytesMut,
    limits: &Limits,
) -> Result<Option<Bytes>, Fatal> {
    let mut first = None;
    loop {
        let is_first = lines.consumed() == 0;
        let next = lines.next_line(input, limits.head);
        if let Ok(Some(range)) = next {
            if range.is_empty() {
                return Ok(Some(input.split_to(lines.consumed()).freeze()));
            }
            if is_first {
                first = Some(range);
            }
            continue;
        }
        let first = first.and_then(|range| input.get(range));
        if let Some(line) = first
            && FirstLine::parse(line).is_none()
        {
            return Err(Fatal::not_rtsp(line));
        }
        return match next {
            Err(TooLarge) => Err(Fatal::HeadTooLarge(limits.head)),
            Ok(_) => Ok(None),
        };
    }
}

fn first_line(head: &[u8]) -> &[u8] {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// A TLS handshake where plain RTSP is spoken.
    #[error("a TLS client on a plain RTSP port (rtsps:// where rtsp:// was meant)")]
    Tls,
    /// An HTTP request: a browser, or a player that tries tunnelling.
    #[error("an HTTP {method} request on an RTSP port")]
    Http {
        /// `GET`, as a rule.
        method: String,
    },
    /// Neither RTSP nor anything else known.
    #[error("not RTSP: a message begins with \"{start}\"")]
    NotRtsp {
        /// The first bytes, escaped.
        start: String,
    },
    /// [`Limits::head`] was reached.
    #[error("the head of a message is longer than {0} bytes")]
    HeadTooLarge(usize),
    /// Content-Length headers that are no number, or disagree: the next request cannot be found.
    #[error("the length of a body is unclear")]
    ContentLength {
        /// Of the request.
        cseq: Option<CSeq>,
    },
    /// [`Limits::first_request_time`] has passed.
    #[error("no request within {0:?} of connecting")]
    Silent(Duration),
    /// [`Limits::request_time`] has passed.
    #[error("a message not complete {0:?} after its first byte")]
    Slow(Duration),
}

impl Fatal {
    /// What to send before closing; `None` when there is nothing the peer would understand.
    pub fn answer(&self) -> Option<Bytes> {
        let (cseq, status, detail) = match self {
            Self::Tls | Self::Silent(_) => return None,
            Self::Http { method } => return Some(http_answer(method)),
            Self::NotRtsp { .. } => (None, Status::BadRequest, "this is not RTSP".to_owned()),
            Self::HeadTooLarge(limit) => {
                (None, Status::BadRequest, format!("the head is longer than {limit} bytes"))
            }
            Self::ContentLength { cseq } => {
                (cseq.clone(), Status::BadRequest, "Content-Length is unclear".to_owned())
            }
            Self::Slow(limit) => {
                (None, Status::RequestTimeout, format!("not complete after {limit:?}"))
            }
        };
        let reply = Reply::with_cseq(cseq, status).detail(detail).header("Connection", "close");
        Some(reply.to_bytes())
    }

    fn not_rtsp(line: &[u8]) -> Self {
        let start = line.get(..MAX_EXCERPT).unwrap_or(line);
        Self::NotRtsp { start: start.escape_ascii().to_string() }
    }
}

fn http_answer(method: &str) -> Bytes {
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        HTTP_BODY.len()
    );
    // An answer to HEAD has the headers of one to GET, and no body.
    let body = if method == "HEAD" { "" } else { HTTP_BODY };
    Bytes::from(head + body)
}

impl From<FramingLost> for Fatal {
    fn from(lost: FramingLost) -> Self {
        Self::ContentLength { cseq: lost.cseq }
    }
}

const NEED_BYTES: Step = ControlFlow::Break(None);

const HTTP_BODY: &str = "This is an RTSP server, not a web page.\n\
    Open its rtsp:// address with a player such as VLC, mpv or ffplay.\n";

/// The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Enough of a stranger's line to recognise it in a log.
const MAX_EXCERPT: usize = 32;

#[cfg(test)]
mod tests;
