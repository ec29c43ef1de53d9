//! What stands in single headers and in the request line: URIs, Transport, Session, Range; and
//! what is written in reply, read again.
//!
//! Input: a byte that names the header (`u`, `t`, `s`, `r`, `i`), then its value.

use std::{net::IpAddr, time::Duration};

use percent_encoding::percent_decode_str;
use rtsp_proto::{
    RequestUri, Target,
    header::{
        Alternative, Lower, Range, RtpInfo, SessionHeader, SessionId, TransportList,
        range::Npt,
        rtp_info,
        transport::{Chosen, ChosenLower},
    },
    uri,
};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, value)) = data.split_first() else { return };
    if kind == b'i' {
        return session_id(value);
    }
    let Ok(value) = str::from_utf8(value) else { return };
    match kind {
        b'u' => request_uri(value),
        b't' => transport(value),
        b's' => session(value),
        b'r' => range(value),
        _ => {}
    }
}

fn request_uri(text: &str) {
    let Ok(uri) = RequestUri::parse(text) else { return };
    assert_eq!(uri.as_str(), text);
    let RequestUri::Target(target) = uri else {
        return assert_eq!(text, "*");
    };
    let stream = target.stream();
    assert!(!stream.split('/').any(|part| part == ".."), "{stream:?}");
    assert!(!stream.contains(char::is_control), "{stream:?}");
    assert!(!stream.starts_with('/') && !stream.ends_with('/'), "{stream:?}");

    // Userinfo is said to nobody; all else survives.
    let url = target.url();
    if let Some((_, rest)) = url.split_once("://").filter(|_| !url.starts_with('/')) {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(!authority.contains('@'), "{url}");
    }
    let again = parse_again(&url, &target);
    assert_eq!((again.track(), again.url()), (target.track(), url));

    // No stream can be called like a track, so that it does not matter what comes of these.
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    if decoded.matches("trackID=").count() > usize::from(target.track().is_some()) {
        return;
    }
    // What clients make of Content-Base, and of a track appended to it, comes back to us.
    let base = target.content_base();
    let again = parse_again(&base, &target);
    assert_eq!((again.track(), again.content_base()), (None, base.clone()));
    for track in [0, 7, 255] {
        let slash = if base.ends_with('/') { "" } else { "/" };
        let url = format!("{base}{slash}{}", uri::control(track));
        let again = parse_again(&url, &target);
        assert_eq!((again.track(), again.content_base()), (Some(track), base.clone()), "{url}");
    }
}

/// `text`, which was made of `target`, as a target of the same stream.
fn parse_again(text: &str, target: &Target) -> Target {
    let again = Target::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again.stream(), target.stream(), "{text:?}");
    again
}

fn transport(value: &str) {
    let Ok(list) = TransportList::parse(value) else { return };
    assert!((1..=16).contains(&list.iter().count()));
    let known = list.iter().filter(|one| matches!(one, Alternative::Rtp(_))).count();
    assert_eq!(list.specs().count(), known);
    for spec in list.specs() {
        let (asked, chosen) = match spec.lower {
            Lower::Udp { client_port: Some(client_port) } => {
                assert!(client_port.0 != 0 && client_port.1 != 0);
                (spec.lower, ChosenLower::Udp { client_port, server_port: (8000, 8001) })
            }
            Lower::Tcp { interleaved: Some(interleaved) } => {
                (spec.lower, ChosenLower::Tcp { interleaved })
            }
            _ => continue,
        };
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        let reply = Chosen { lower: chosen, ssrc: Some(0x1e45_0000), source }.to_string();
        // The reply, read as a client's wish, is that wish; and a client's wish it remains.
        let again = TransportList::parse(&reply).expect("what we write can be read");
        let [Alternative::Rtp(again)] = &again.iter().collect::<Vec<_>>()[..] else {
            panic!("{reply}");
        };
        assert_eq!(again.lower, asked, "{reply}");
        assert!(!again.multicast && !again.record, "{reply}");
        assert!(others_can_read(&reply), "{reply}");
    }
}

/// Whether `rtsp-types` reads one transport in what we write.
fn others_can_read(transport: &str) -> bool {
    use rtsp_types::{Response, StatusCode, Version, headers};
    let response = Response::builder(Version::V1_0, StatusCode::Ok)
        .header(headers::TRANSPORT, transport)
        .empty();
    let read = response.typed_header::<headers::Transports>();
    matches!(read, Ok(Some(read)) if read.len() == 1)
}

fn session(value: &str) {
    let Some(id) = SessionHeader::parse(value).id() else { return };
    assert!(value.contains(id.as_str()));
    round_trip(id);
}

fn session_id(entropy: &[u8]) {
    let Some(entropy) = entropy.first_chunk() else { return };
    round_trip(SessionId::from_entropy(*entropy));
}

fn round_trip(id: SessionId) {
    assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let header = id.header(Duration::from_secs(60));
    assert_eq!(SessionHeader::parse(&header).id(), Some(id));
    assert_eq!(SessionId::parse(id.as_str()), Some(id));
    let entry = RtpInfo { url: id.as_str(), seq: Some(1), rtptime: Some(2) };
    assert_eq!(rtp_info::write(&[entry, entry]).matches(id.as_str()).count(), 2);
}

/// A range that was understood, written in seconds, is understood alike.
fn range(value: &str) {
    let Range::Npt { start, end } = Range::parse(value) else { return };
    let shown = |npt: Option<Npt>| match npt {
        None => String::new(),
        Some(Npt::Now) => "now".to_owned(),
        Some(Npt::At(time)) => format!("{}.{:09}", time.as_secs(), time.subsec_nanos()),
    };
    let written = format!("npt={}-{}", shown(start), shown(end));
    assert_eq!(Range::parse(&written), Range::Npt { start, end }, "{written}");
    assert_eq!(Range::parse(&format!("{written};time=19970123T143720Z")), Range::parse(&written));
}
