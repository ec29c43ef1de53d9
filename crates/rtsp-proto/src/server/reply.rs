//! Replies (RFC 2326 section 7): what may be answered, and how it is written.
//!
//! A reply cannot be made without a request, save by [`Connection`](crate::Connection) itself, so
//! that its CSeq is always the client's own text. Nothing put into a reply can begin a new line.

use std::{borrow::Cow, fmt};

use bytes::{Bytes, BytesMut};

use crate::{
    header::transport::TransportError,
    server::request::{CSeq, Request},
    wire::write,
};

/// An answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    status: Status,
    detail: Option<Cow<'static, str>>,
    cseq: Option<CSeq>,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, Bytes)>,
}

impl Reply {
    /// An answer to `request` without headers of its own or a body.
    pub fn to(request: &Request, status: Status) -> Self {
        let reply = Self::with_cseq(Some(request.cseq().clone()), status);
        //= https://www.rfc-editor.org/rfc/rfc2326#section-12.38
        //# The server MUST echo
        //# the exact same value
        match request.header("Timestamp") {
            Some(timestamp) => reply.header("Timestamp", timestamp),
            None => reply,
        }
    }

    /// The answer that refuses `request` for the reason given.
    pub fn refuse(request: &Request, refusal: &Refusal) -> Self {
        let reply = Self::to(request, refusal.status).detail(refusal.detail.clone());
        match refusal.allow {
            Some(allow) => reply.header("Allow", allow),
            None => reply,
        }
    }

    /// For requests too broken to make a [`Request`] of.
    pub(crate) fn with_cseq(cseq: Option<CSeq>, status: Status) -> Self {
        Self { status, detail: None, cseq, headers: Vec::new(), body: None }
    }

    /// Says in the reason phrase what exactly was wrong: `400 Bad Request: no CSeq header`. Players
    /// show the phrase, few of them a body.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a header. Repeating a name repeats the line (as two `WWW-Authenticate` need). Control
    /// characters in the value, line ends above all, become spaces.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Sets the body. `Content-Type` and `Content-Length` are written with it.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    /// The status, for the log.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase as it goes out, for the log.
    pub fn reason(&self) -> Cow<'static, str> {
        match &self.detail {
            None => Cow::Borrowed(self.status.reason()),
            Some(detail) => Cow::Owned(format!("{}: {detail}", self.status.reason())),
        }
    }

    /// Appends the whole reply to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        write::status_line(out, self.status.code(), &self.reason());
        //= https://www.rfc-editor.org/rfc/rfc2326#section-12.17
        //# For every RTSP request
        //# containing the given sequence number, there will be a corresponding
        //# response having the same number.
        if let Some(cseq) = &self.cseq {
            write::header(out, "CSeq", cseq.as_str());
        }
        write::header(out, "Server", SERVER);
        for (name, value) in &self.headers {
            write::header(out, name, value);
        }
        //= https://www.rfc-editor.org/rfc/rfc2326#section-9.2
        //# Unlike HTTP, an RTSP message MUST contain a Content-Length header
        //# whenever that message contains a payload.
        if let Some((content_type, body)) = &self.body {
            write::header(out, "Content-Type", content_type);
            write::header(out, "Content-Length", &body.len().to_string());
        }
        write::end_of_head(out);
        if let Some((_, body)) = &self.body {
            out.extend_from_slice(body);
        }
    }

    /// The whole reply as bytes of its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out);
        out.freeze()
    }
}

/// A request that is answered with an error: a normal answer, the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .status.code())]
pub struct Refusal {
    /// The status to answer with.
    pub status: Status,
    /// What a person can act on; goes into the reason phrase.
    pub detail: Cow<'static, str>,
    /// Methods that would be granted instead (the `Allow` header); 405 and 455 name them.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// Refused with `status` because of `detail`.
    pub fn new(status: Status, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), allow: None }
    }

    /// Names the methods that would be granted instead.
    #[must_use]
    pub fn allow(self, methods: &'static str) -> Self {
        Self { allow: Some(methods), ..self }
    }
}

impl From<TransportError> for Refusal {
    fn from(error: TransportError) -> Self {
        Self::new(Status::BadRequest, error.to_string())
    }
}

/// The status codes in use here (RFC 2326 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "named by their reason phrases")]
pub enum Status {
    Ok = 200,
    MovedPermanently = 301,
    MovedTemporarily = 302,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    NotAcceptable = 406,
    RequestTimeout = 408,
    RequestEntityTooLarge = 413,
    RequestUriTooLarge = 414,
    UnsupportedMediaType = 415,
    ParameterNotUnderstood = 451,
    NotEnoughBandwidth = 453,
    SessionNotFound = 454,
    MethodNotValidInThisState = 455,
    HeaderFieldNotValid = 456,
    InvalidRange = 457,
    ParameterIsReadOnly = 458,
    AggregateOperationNotAllowed = 459,
    OnlyAggregateOperationAllowed = 460,
    UnsupportedTransport = 461,
    DestinationUnreachable = 462,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    GatewayTimeout = 504,
    VersionNotSupported = 505,
    OptionNotSupported = 551,
}

impl Status {
    /// The three digits.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason phrase RFC 2326 recommends.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::MovedPermanently => "Moved Permanently",
            Self::MovedTemporarily => "Moved Temporarily",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::NotAcceptable => "Not Acceptable",
            Self::RequestTimeout => "Request Time-out",
            Self::RequestEntityTooLarge => "Request Entity Too Large",
            Self::RequestUriTooLarge => "Request-URI Too Large",
            Self::UnsupportedMediaType => "Unsupported Media Type",
            Self::ParameterNotUnderstood => "Parameter Not Understood",
            Self::NotEnoughBandwidth => "Not Enough Bandwidth",
            Self::SessionNotFound => "Session Not Found",
            Self::MethodNotValidInThisState => "Method Not Valid in This State",
            Self::HeaderFieldNotValid => "Header Field Not Valid for Resource",
            Self::InvalidRange => "Invalid Range",
            Self::ParameterIsReadOnly => "Parameter Is Read-Only",
            Self::AggregateOperationNotAllowed => "Aggregate operation not allowed",
            Self::OnlyAggregateOperationAllowed => "Only aggregate operation allowed",
            Self::UnsupportedTransport => "Unsupported transport",
            Self::DestinationUnreachable => "Destination unreachable",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::GatewayTimeout => "Gateway Time-out",
            Self::VersionNotSupported => "RTSP Version not supported",
            Self::OptionNotSupported => "Option not supported",
        }
    }
}

/// What every reply names itself. Not like any other server's: clients work around some of those
/// by name.
const SERVER: &str = concat!("lenscast/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        server::{Connection, Event},
        wire::Limits,
    };

    #[expect(clippy::disallowed_methods, reason = "tests have to begin somewhere")]
    fn request(headers: &str) -> Request {
        let now = std::time::Instant::now();
        let text = format!("OPTIONS * RTSP/1.0\r\nCSeq: 042\r\n{headers}\r\n");
        let event = Connection::new(Limits::default(), now).receive(&mut text.as_str().into(), now);
        let Ok(Some(Event::Request(request))) = event else { panic!("{event:?}") };
        request
    }

    fn wire(reply: &Reply) -> String {
        String::from_utf8(reply.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_reply_as_it_stands_on_the_wire() {
        let reply = Reply::to(&request(""), Status::Ok)
            .header("Public", "OPTIONS")
            .body("text/parameters", "a: b\r\n");
        assert_eq!(
            wire(&reply),
            format!(
                "RTSP/1.0 200 OK\r\nCSeq: 042\r\nServer: {SERVER}\r\nPublic: OPTIONS\r\n\
                 Content-Type: text/parameters\r\nContent-Length: 6\r\n\r\na: b\r\n"
            )
        );
        assert!(SERVER.starts_with("lenscast/") && SERVER.len() > "lenscast/".len());
    }

    #[test]
    fn replies_are_appended() {
        let reply = Reply::to(&request(""), Status::NotFound);
        let mut out = BytesMut::from(&b"before"[..]);
        reply.write(&mut out);
        assert_eq!(out, format!("before{}", wire(&reply)));
    }

    #[test]
    fn no_value_can_begin_a_line() {
        let reply = Reply::to(&request(""), Status::BadRequest)
            .detail("a\r\nX: y")
            .header("Session", "b\r\n\r\nRTSP/1.0 200 OK")
            .header("Other", "c\0\n\x1bd\u{7f}é");
        let text = wire(&reply);
        let lines: Vec<_> = text.split("\r\n").collect();
        assert_eq!(lines[0], "RTSP/1.0 400 Bad Request: a  X: y");
        assert_eq!(lines[3..], ["Session: b    RTSP/1.0 200 OK", "Other: c   d é", "", ""]);
        assert_eq!(text.matches(|c: char| c.is_control()).count(), 2 * (lines.len() - 1));
    }

    #[test]
    fn timestamps_are_echoed() {
        let reply = Reply::to(&request("timestamp: 12.5\r\n"), Status::Ok);
        assert!(wire(&reply).contains("\r\nTimestamp: 12.5\r\n"));
    }

    #[test]
    fn a_refusal_says_why_and_what_would_do() {
        let refusal = Refusal::new(Status::MethodNotValidInThisState, "not now").allow("SETUP");
        assert_eq!(refusal.to_string(), "455: not now");
        let text = wire(&Reply::refuse(&request(""), &refusal));
        assert!(text.starts_with("RTSP/1.0 455 Method Not Valid in This State: not now\r\n"));
        assert!(text.contains("\r\nAllow: SETUP\r\n"), "{text}");
        let no_transport = request("").transports().unwrap_err();
        assert_eq!(Refusal::from(no_transport).to_string(), "400: no Transport header");
    }
}
