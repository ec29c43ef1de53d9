//! From a whole head to a request, or to the refusal of one: what RTSP itself decides, before any
//! policy is asked (RFC 2326 sections 10, 11.3, 12).

use bytes::Bytes;

use crate::{
    header::SessionHeader,
    server::{
        reply::{Reply, Status},
        request::{CSeq, Method, PUBLIC, Request},
    },
    uri::RequestUri,
    wire::{
        Limits,
        parse::{Header, Headers},
    },
};

/// What a head turned out to be.
#[derive(Debug)]
pub(super) struct Head {
    /// Bytes that follow the head and belong to it.
    pub(super) body_len: u64,
    /// The request, its body still empty, and how long that will be; or how it is refused.
    pub(super) outcome: Result<(Request, usize), Reply>,
}

/// Nobody can say how long the body is, so nobody can say where the next request begins.
#[derive(Debug)]
pub(super) struct FramingLost {
    pub(super) cseq: Option<CSeq>,
}

/// How long the body of a message with this head is, whatever else it says.
pub(super) fn body_len(head: &Bytes, limits: &Limits) -> Result<u64, FramingLost> {
    let mut survey = Survey::default();
    survey.run(head, limits);
    survey.body_len()
}

/// Makes a request of `head`, whose first line was read as `method`, `uri` and `version`.
pub(super) fn parse(
    head: &Bytes,
    (method, uri, version): (&str, &[u8], &str),
    first_line_len: usize,
    limits: &Limits,
) -> Result<Head, FramingLost> {
    let mut survey = Survey::default();
    survey.run(head, limits);
    let body_len = survey.body_len()?;
    let echo = survey.cseq.clone();
    let too_large = || {
        Refused::because(
            Status::RequestEntityTooLarge,
            format!("the body is longer than {} bytes", limits.body),
        )
    };
    let len = usize::try_from(body_len).ok().filter(|&len| len <= limits.body);
    let outcome = survey
        .admit(method, uri, version, first_line_len, limits)
        .and_then(|request| Ok((request, len.ok_or_else(too_large)?)))
        .map_err(|refused| refused.reply(echo));
    Ok(Head { body_len, outcome })
}

/// All that is learnt in one walk over the headers.
#[derive(Debug, Default)]
struct Survey {
    headers: Vec<Header>,
    /// The first one that can be echoed, as with live555 and GStreamer. There may be more: asked to
    /// log in, yellowstone 2.1 repeats all headers of the answer behind its own.
    cseq: Option<CSeq>,
    has_cseq: bool,
    content_length: Option<u64>,
    content_length_unclear: bool,
    fault: Option<String>,
}

impl Survey {
    fn run(&mut self, head: &Bytes, limits: &Limits) {
        // As many as clients send, so that the list need not grow.
        self.headers.reserve(USUAL_HEADERS);
        for header in Headers::new(head, limits.header_line) {
            match header {
                Ok(header) => self.take(header, limits),
                Err(error) => self.fault(|| error.to_string()),
            }
        }
    }

    fn take(&mut self, header: Header, limits: &Limits) {
        // These two are looked at even beyond the limit: one keeps the framing, the other says
        // which request is being refused.
        if header.is("CSeq") {
            self.has_cseq = true;
            self.cseq = self.cseq.take().or_else(|| header.text().and_then(CSeq::parse));
        } else if header.is("Content-Length") {
            let length = header.text().and_then(parse_length);
            self.content_length_unclear |=
                length.is_none() || self.content_length.is_some_and(|other| Some(other) != length);
            self.content_length = length;
        }
        let must_be_text = TEXT_HEADERS.iter().find(|name| header.is(name));
        if let (Some(name), None) = (must_be_text, header.text()) {
            self.fault(|| format!("the {name} header is not UTF-8 text"));
        }
        if self.headers.len() < limits.headers {
            self.headers.push(header);
        } else {
            self.fault(|| format!("more than {} headers", limits.headers));
        }
    }

    /// The first fault is the one reported.
    fn fault(&mut self, fault: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(fault);
    }

    //= https://www.rfc-editor.org/rfc/rfc2326#section-4.4
    //# If a Content-Length header field (section 12.14) is present,
    //# its value in bytes represents the length of the message-body.
    //# If this header field is not present, a value of zero is
    //# assumed.
    fn body_len(&self) -> Result<u64, FramingLost> {
        if self.content_length_unclear {
            return Err(FramingLost { cseq: self.cseq.clone() });
        }
        Ok(self.content_length.unwrap_or(0))
    }

    fn admit(
        self,
        method: &str,
        uri: &[u8],
        version: &str,
        first_line_len: usize,
        limits: &Limits,
    ) -> Result<Request, Refused> {
        if first_line_len > limits.request_line {
            let limit = limits.request_line;
            return Err(Refused::because(
                Status::RequestUriTooLarge,
                format!("the request line is longer than {limit} bytes"),
            ));
        }
        if let Some(fault) = &self.fault {
            return Err(Refused::bad_request(fault.clone()));
        }
        //= https://www.rfc-editor.org/rfc/rfc2326#section-12.17
        //# This field MUST be present in all requests and
        //# responses.
        let cseq = match (self.has_cseq, self.cseq.clone()) {
            (false, _) => return Err(Refused::bad_request("no CSeq header")),
            (true, None) => return Err(Refused::bad_request("the CSeq header is not a number")),
            (true, Some(cseq)) => cseq,
        };
        if version != "RTSP/1.0" {
            return Err(Refused::because(Status::VersionNotSupported, "this is RTSP/1.0"));
        }
        let Some(method) = Method::parse(method) else { return Err(Refused::method(method)) };
        self.refuse_requirements()?;
        let uri = str::from_utf8(uri).map_err(|_| Refused::bad_request("the URL is not UTF-8"))?;
        let uri = RequestUri::parse(uri).map_err(|e| Refused::bad_request(e.to_string()))?;
        //= https://www.rfc-editor.org/rfc/rfc2326#section-6.2
        //# The asterisk "*" in the Request-URI means that the request does not
        //# apply to a particular resource, but to the server itself, and is only
        //# allowed when the method used does not necessarily apply to a
        //# resource.
        if uri == RequestUri::Asterisk && !method.allows_asterisk() {
            return Err(Refused::bad_request("this method needs a URL, not *"));
        }
        // One with nothing in it names no session.
        let session = self.header("Session").filter(|value| !value.is_empty());
        let session = session.map(SessionHeader::parse);
        Ok(Request { method, uri, cseq, session, headers: self.headers, body: Bytes::new() })
    }

    //= https://www.rfc-editor.org/rfc/rfc2326#section-12.32
    //# The server MUST respond to
    //# this header by using the Unsupported header to negatively acknowledge
    //# those options which are NOT supported.

    //= https://www.rfc-editor.org/rfc/rfc2326#section-12.27
    //# Servers
    //# should treat this field identically to the Require field.
    fn refuse_requirements(&self) -> Result<(), Refused> {
        let required: Vec<_> = self
            .headers
            .iter()
            .filter(|header| header.is("Require") || header.is("Proxy-Require"))
            .filter_map(Header::text)
            .filter(|options| !options.is_empty())
            .collect();
        if required.is_empty() {
            return Ok(());
        }
        let unsupported = Some(required.join(", "));
        Err(Refused { unsupported, ..Refused::new(Status::OptionNotSupported) })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.is(name)).and_then(Header::text)
    }
}

/// A refusal on its way to becoming a reply.
struct Refused {
    status: Status,
    detail: Option<String>,
    public: bool,
    allow: bool,
    unsupported: Option<String>,
}

impl Refused {
    fn new(status: Status) -> Self {
        Self { status, detail: None, public: false, allow: false, unsupported: None }
    }

    fn because(status: Status, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(status) }
    }

    fn bad_request(detail: impl Into<String>) -> Self {
        Self::because(Status::BadRequest, detail)
    }

    /// RTSP's own methods are known here, and of no stream that this server has; any other may mean
    /// anything.
    fn method(name: &str) -> Self {
        //= https://www.rfc-editor.org/rfc/rfc2326#section-11.3.1
        //# The method specified in the request is not allowed for the resource
        //# identified by the request URI. The response MUST include an Allow
        //# header containing a list of valid methods for the requested resource.
        if METHODS_OF_NO_STREAM.contains(&name) {
            return Self { allow: true, ..Self::new(Status::MethodNotAllowed) };
        }
        //= https://www.rfc-editor.org/rfc/rfc2326#section-10
        //# If a server does not support a
        //# particular method, it MUST return "501 Not Implemented" and a client
        //# SHOULD not try this method again for this server.
        Self { public: true, ..Self::new(Status::NotImplemented) }
    }

    fn reply(self, cseq: Option<CSeq>) -> Reply {
        let mut reply = Reply::with_cseq(cseq, self.status);
        if let Some(detail) = self.detail {
            reply = reply.detail(detail);
        }
        if self.public {
            reply = reply.header("Public", PUBLIC);
        }
        if self.allow {
            reply = reply.header("Allow", PUBLIC);
        }
        if let Some(unsupported) = self.unsupported {
            reply = reply.header("Unsupported", unsupported);
        }
        reply
    }
}

fn parse_length(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Methods of RFC 2326 section 10 that only a recording server has, or a client.
const METHODS_OF_NO_STREAM: [&str; 3] = ["ANNOUNCE", "RECORD", "REDIRECT"];

/// The headers that are read here or by the server, and so have to be text.
const TEXT_HEADERS: [&str; 12] = [
    "Accept",
    "Authorization",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Proxy-Require",
    "Range",
    "Require",
    "Scale",
    "Session",
    "Timestamp",
    "Transport",
];

/// Room for so many headers is made at once; there may be more.
const USUAL_HEADERS: usize = 8;
