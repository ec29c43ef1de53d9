//! Requests (RFC 2326 section 6) that are whole, well-formed and ours to answer.
//!
//! Headers that this crate reads are text, checked when the head was parsed; any other may hold
//! what it likes.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    header::{
        Range, SessionHeader,
        transport::{TransportError, TransportList},
    },
    uri::{RequestUri, Target},
    wire::parse::Header,
};

/// One request: a known method, RTSP/1.0, a CSeq, and nothing required of us by
/// `Require`.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) uri: RequestUri,
    pub(crate) cseq: CSeq,
    pub(crate) session: Option<SessionHeader>,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Bytes,
}

impl Request {
    /// What is asked for.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What it is asked of.
    pub fn uri(&self) -> &RequestUri {
        &self.uri
    }

    /// What it is asked of; `None` for `*`.
    pub fn target(&self) -> Option<&Target> {
        match &self.uri {
            RequestUri::Asterisk => None,
            RequestUri::Target(target) => Some(target),
        }
    }

    /// The request URI as it was received, which is what a digest is computed over.
    pub fn uri_text(&self) -> &str {
        self.uri.as_str()
    }

    /// The client's number of this request.
    pub fn cseq(&self) -> &CSeq {
        &self.cseq
    }

    /// The session it belongs to, as far as the client says.
    pub fn session(&self) -> Option<&SessionHeader> {
        self.session.as_ref()
    }

    /// The value of the first header called `name`, in any case of letters. A value that is not
    /// UTF-8 counts as absent (of the headers this crate reads, such a value was refused).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// The values of all headers called `name`, in their order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |header| header.is(name)).filter_map(Header::text)
    }

    /// The `Authorization` header as it was received.
    pub fn authorization(&self) -> Option<&str> {
        self.header("Authorization")
    }

    /// What the client calls itself.
    pub fn user_agent(&self) -> Option<&str> {
        self.header("User-Agent")
    }

    /// The transports the client can use, in its order of preference. Several `Transport` headers
    /// count as one.
    ///
    /// # Errors
    ///
    /// When there is none. One that merely cannot be used is no error, but
    /// [`Alternative::Unsupported`](crate::header::Alternative::Unsupported).
    pub fn transports(&self) -> Result<TransportList, TransportError> {
        TransportList::parse_all(self.headers("Transport"))
    }

    /// The range to be played, as far as it can be understood.
    pub fn range(&self) -> Option<Range> {
        self.header("Range").map(Range::parse)
    }

    /// The body; empty when there is none.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The methods that are answered. ANNOUNCE, RECORD and REDIRECT are not: this server takes no
/// streams, and the last only goes from server to client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named by RFC 2326 section 10")]
pub enum Method {
    Options,
    Describe,
    Setup,
    Play,
    Pause,
    Teardown,
    GetParameter,
    SetParameter,
}

impl Method {
    /// All of them, in the order of [`PUBLIC`].
    pub const ALL: [Self; 8] = [
        Self::Options,
        Self::Describe,
        Self::Setup,
        Self::Play,
        Self::Pause,
        Self::Teardown,
        Self::GetParameter,
        Self::SetParameter,
    ];

    //= https://www.rfc-editor.org/rfc/rfc2326#section-10
    //# The method is case-sensitive.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// The method as it stands on the wire, and in a digest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
        }
    }

    /// Whether it makes sense of the server as a whole (`*`).
    pub(crate) const fn allows_asterisk(self) -> bool {
        matches!(self, Self::Options | Self::GetParameter | Self::SetParameter)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of the `Public` header. Clients choose their keep-alive by it (FFmpeg searches it for
/// GET_PARAMETER), so it lists exactly what is answered.
pub const PUBLIC: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// The number of a request (RFC 2326 section 12.17), kept as the client wrote it: `007` is not
/// answered with `7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq(SmallVec<[u8; 16]>);

impl CSeq {
    /// Visible ASCII only, [`CSeq::MAX_LEN`] bytes at most, as it is echoed into a reply.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sane =
            (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        sane.then(|| Self(SmallVec::from_slice(text.as_bytes())))
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        // ASCII by construction.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// More digits than any counter has.
    pub const MAX_LEN: usize = 32;
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
