//! The wire format of RTSP: the stream of a client, cut anyhow, gives the same events, and what is
//! a request for the `rtsp-types` crate as well is the same request.
//!
//! Input: a byte that says how to cut and which limits hold, then the stream.

use std::time::Instant;

use bytes::BytesMut;
use rtsp_proto::{Connection, Event, Fatal, Request, wire::Limits};

use crate::chunks::chunks;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&plan, stream)) = data.split_first() else { return };
    let now = Instant::now();
    let limits = if plan & 4 == 0 { Limits::default() } else { tight() };
    let whole = receive(&limits, now, [stream]);
    let cut = receive(&limits, now, chunks(stream, plan));
    assert_eq!(whole.words, cut.words, "cut in pieces it says something else");
    assert_eq!(whole.left, cut.left, "cut in pieces something else is left");
    if stream.len() <= 1024 {
        let dripped = receive(&limits, now, stream.chunks(1));
        assert_eq!(whole.words, dripped.words, "byte by byte it says something else");
        assert_eq!(whole.left, dripped.left, "byte by byte something else is left");
    }
    if limits == Limits::default() {
        compare(stream, &whole);
    }
}

/// What came out.
struct Received {
    /// All of it, to be compared.
    words: Vec<String>,
    /// The bytes that were left.
    left: BytesMut,
    /// What came first.
    first: Option<Result<Event, Fatal>>,
}

fn receive<'a>(
    limits: &Limits,
    now: Instant,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Received {
    let mut connection = Connection::new(limits.clone(), now);
    let mut input = BytesMut::new();
    let (mut words, mut first) = (Vec::new(), None);
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            match connection.receive(&mut input, now) {
                Ok(Some(event)) => {
                    let refused = matches!(event, Event::Refused(_));
                    assert!(refused || input.len() < before, "an event of no bytes");
                    if let Event::Request(request) = &event {
                        check_limits(request, limits);
                    }
                    words.push(format!("{event:?}"));
                    first.get_or_insert(Ok(event));
                }
                Ok(None) => {
                    assert!(input.len() <= limits.input_capacity(), "{} bytes kept", input.len());
                    break;
                }
                Err(fatal) => {
                    let answer = fatal.answer();
                    words.push(format!("{fatal:?} {answer:?}"));
                    assert_eq!(connection.receive(&mut input, now).err().as_ref(), Some(&fatal));
                    first.get_or_insert(Err(fatal));
                    // What comes behind the end is not looked at.
                    return Received { words, left: BytesMut::new(), first };
                }
            }
        }
    }
    Received { words, left: input, first }
}

fn check_limits(request: &Request, limits: &Limits) {
    assert!(request.uri_text().len() <= limits.request_line);
    assert!(request.body().len() <= limits.body);
    assert!(!request.cseq().as_str().is_empty());
    assert!(request.cseq().as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    let _ = (request.transports(), request.range(), request.session());
}

/// Small enough that every limit is within reach.
fn tight() -> Limits {
    Limits {
        request_line: 48,
        header_line: 40,
        headers: 4,
        head: 160,
        body: 8,
        ..Limits::default()
    }
}

/// Agreed differences: we skip empty lines before a request, take LF for CRLF, refuse what lacks a
/// CSeq, and want text for a value; so only what is strictly a request is compared.
fn compare(stream: &[u8], ours: &Received) {
    let Some(head) = strict_head(stream) else { return };
    let Ok((rtsp_types::Message::Request(theirs), _)) =
        rtsp_types::Message::<Vec<u8>>::parse(&stream)
    else {
        return;
    };
    let ours = match &ours.first {
        Some(Ok(Event::Request(ours))) => ours,
        Some(Err(Fatal::NotRtsp { start })) => panic!("a request for others, not RTSP: {start}"),
        _ => return,
    };
    assert_eq!(ours.method().as_str(), <&str>::from(theirs.method()));
    let their_uri = theirs.request_uri().map(rtsp_types::Url::as_str);
    let our_uri = rtsp_types::Url::parse(ours.uri_text()).ok();
    // A path alone is a URI for us.
    if our_uri.is_some() || their_uri.is_some() {
        assert_eq!(our_uri.as_ref().map(rtsp_types::Url::as_str), their_uri);
    }
    let names: Vec<&str> =
        head.split("\r\n").filter_map(|line| Some(line.split_once(':')?.0)).collect();
    for (name, value) in theirs.headers() {
        // It takes names for the same of which one begins with the other.
        if names.iter().any(|other| is_confused(other.trim(), name.as_str())) {
            continue;
        }
        let ours: Vec<&str> = ours.headers(name.as_str()).collect();
        // Several headers of one name are joined, and folded lines are, in ways of one's own.
        let (ours, theirs) = (squeezed(&ours.join(",")), squeezed(value.as_str()));
        assert_eq!(ours, theirs, "{}", name.as_str());
    }
    let lengths = head.to_ascii_lowercase().matches("content-length").count();
    let is_clear = !names.iter().any(|name| is_confused(name.trim(), "Content-Length"));
    if is_clear && lengths <= theirs.headers().filter(|(name, _)| *name == "Content-Length").count()
    {
        assert_eq!(ours.body(), theirs.body());
    }
}

fn is_confused(one: &str, other: &str) -> bool {
    let common = one.bytes().zip(other.bytes());
    one.len() != other.len() && { common }.all(|(one, other)| one.eq_ignore_ascii_case(&other))
}

/// The head that `stream` begins with, when it is text in lines that end in CR LF, and the first
/// of them begins with a method.
fn strict_head(stream: &[u8]) -> Option<&str> {
    let end = stream.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&stream[..end]).ok()?;
    let lines = head.split("\r\n");
    let is_text = |line: &str| !line.is_empty() && !line.contains(char::is_control);
    let (method, _) = head.split_once(' ')?;
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_method = (1..=32).contains(&method.len()) && method.bytes().all(is_letter);
    (lines.into_iter().all(is_text) && is_method).then_some(head)
}

fn squeezed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<String>().replace(',', "")
}
