//! Another author's parser reads what we write, and we read what it accepts, alike.

use std::time::Instant;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::select};
use rtsp_proto::{Connection, Event, Reply, Request, Status, wire::Limits};

#[expect(clippy::disallowed_methods, reason = "tests have to begin somewhere")]
fn first_event(bytes: &[u8]) -> Event {
    let now = Instant::now();
    let mut input = BytesMut::from(bytes);
    let event = Connection::new(Limits::default(), now).receive(&mut input, now);
    assert!(input.is_empty(), "left: {input:?}");
    event.unwrap().unwrap()
}

fn request(bytes: &[u8]) -> Request {
    match first_event(bytes) {
        Event::Request(request) => request,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

const STATUSES: [Status; 30] = [
    Status::Ok,
    Status::MovedPermanently,
    Status::MovedTemporarily,
    Status::BadRequest,
    Status::Unauthorized,
    Status::Forbidden,
    Status::NotFound,
    Status::MethodNotAllowed,
    Status::NotAcceptable,
    Status::RequestTimeout,
    Status::RequestEntityTooLarge,
    Status::RequestUriTooLarge,
    Status::UnsupportedMediaType,
    Status::ParameterNotUnderstood,
    Status::NotEnoughBandwidth,
    Status::SessionNotFound,
    Status::MethodNotValidInThisState,
    Status::HeaderFieldNotValid,
    Status::InvalidRange,
    Status::ParameterIsReadOnly,
    Status::AggregateOperationNotAllowed,
    Status::OnlyAggregateOperationAllowed,
    Status::UnsupportedTransport,
    Status::DestinationUnreachable,
    Status::InternalServerError,
    Status::NotImplemented,
    Status::ServiceUnavailable,
    Status::GatewayTimeout,
    Status::VersionNotSupported,
    Status::OptionNotSupported,
];

proptest! {
    #[test]
    fn replies_are_read_as_they_were_meant(
        status in select(STATUSES.to_vec()),
        cseq in "[0-9]{1,10}",
        detail in proptest::option::of(any::<String>()),
        values in vec(any::<String>(), 0..4),
        body in proptest::option::of(vec(any::<u8>(), 0..200)),
    ) {
        let request = request(format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n").as_bytes());
        let mut reply = Reply::to(&request, status);
        if let Some(detail) = detail {
            reply = reply.detail(detail);
        }
        const NAMES: [&str; 4] = ["Session", "Transport", "RTP-Info", "X-Other"];
        for (name, value) in NAMES.into_iter().zip(&values) {
            reply = reply.header(name, value);
        }
        if let Some(body) = &body {
            reply = reply.body("application/sdp", body.clone());
        }

        let wire = reply.to_bytes();
        let (message, consumed) = rtsp_types::Message::<Vec<u8>>::parse(&wire).expect("parses");
        prop_assert_eq!(consumed, wire.len());
        let rtsp_types::Message::Response(read) = message else { panic!("not a response") };
        prop_assert_eq!(u16::from(read.status()), status.code());
        prop_assert!(read.reason_phrase().starts_with(status.reason()));
        prop_assert_eq!(read.header(&rtsp_types::headers::CSEQ).unwrap().as_str(), &cseq);
        for (name, value) in NAMES.into_iter().zip(&values) {
            let name = rtsp_types::HeaderName::from_static_str(name).unwrap();
            let visible = |c: char| if c.is_ascii_control() { ' ' } else { c };
            let meant: String = value.chars().map(visible).collect();
            prop_assert_eq!(read.header(&name).unwrap().as_str().trim(), meant.trim());
        }
        prop_assert_eq!(read.body(), &body.unwrap_or_default());
    }

    #[test]
    fn requests_are_read_alike(
        method in select(vec![
            "OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER",
            "SET_PARAMETER",
        ]),
        path in "(/[a-z0-9]{1,8}){1,3}(\\?[a-z]{1,3}=[0-9]{1,3})?",
        cseq in "[0-9]{1,10}",
        values in vec("[!-~]([ -~]{0,40}[!-~])?", 0..4),
        body in vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = format!("{method} rtsp://host:8554{path} RTSP/1.0\r\nCSeq: {cseq}\r\n");
        const NAMES: [&str; 4] = ["User-Agent", "x-one", "Session", "X-Two"];
        for (name, value) in NAMES.into_iter().zip(&values) {
            bytes += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            bytes += &format!("content-length: {}\r\n", body.len());
        }
        let mut bytes = (bytes + "\r\n").into_bytes();
        bytes.extend(&body);

        let (message, _) = rtsp_types::Message::<Vec<u8>>::parse(&bytes).expect("valid");
        let rtsp_types::Message::Request(theirs) = message else { panic!("not a request") };
        let ours = request(&bytes);
        prop_assert_eq!(ours.method().as_str(), <&str>::from(theirs.method()));
        prop_assert_eq!(ours.uri_text(), theirs.request_uri().unwrap().as_str());
        prop_assert_eq!(ours.body(), theirs.body());
        for (name, value) in theirs.headers() {
            prop_assert_eq!(ours.header(name.as_str()), Some(value.as_str().trim()));
        }
    }
}
