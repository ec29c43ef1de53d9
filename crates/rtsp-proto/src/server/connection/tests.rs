use super::*;
use crate::server::request::{Method, PUBLIC};

/// Any moment will do.
#[expect(clippy::disallowed_methods, reason = "tests have to begin somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn connection() -> Connection {
    Connection::new(Limits::default(), start())
}

/// All events of `bytes`, how it ended, and what was left.
fn feed(connection: &mut Connection, bytes: &[u8]) -> (Vec<Event>, Option<Fatal>, usize) {
    let (mut input, mut events) = (BytesMut::from(bytes), Vec::new());
    loop {
        match connection.receive(&mut input, start()) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None, input.len()),
            Err(fatal) => return (events, Some(fatal), input.len()),
        }
    }
}

fn request(text: &str) -> Request {
    match feed(&mut connection(), text.as_bytes()) {
        (mut events, None, 0) if events.len() == 1 => match events.remove(0) {
            Event::Request(request) => request,
            other => panic!("{text:?}: {other:?}"),
        },
        other => panic!("{text:?}: {other:?}"),
    }
}

/// The status line of the refusal, after which the connection has to go on.
fn refused(bytes: &[u8]) -> (String, Reply) {
    let mut connection = connection();
    let (mut events, fatal, left) = feed(&mut connection, bytes);
    assert_eq!((fatal, left, events.len()), (None, 0, 1), "{}", bytes.escape_ascii());
    let Event::Refused(reply) = events.remove(0) else { panic!("not refused: {events:?}") };
    let (events, fatal, _) = feed(&mut connection, b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n");
    assert!(matches!(events[..], [Event::Request(_)]), "{events:?} {fatal:?}");
    (format!("{} {}", reply.status().code(), reply.reason()), reply)
}

fn fatal(bytes: &[u8]) -> Fatal {
    let mut connection = connection();
    let (_, fatal, _) = feed(&mut connection, bytes);
    let fatal = fatal.unwrap_or_else(|| panic!("survived {}", bytes.escape_ascii()));
    // Final: the deadline is gone and more bytes change nothing.
    assert_eq!(connection.poll_timeout(), None);
    let (events, again, _) = feed(&mut connection, b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n");
    assert!(events.is_empty());
    assert_eq!(again.as_ref(), Some(&fatal));
    assert_eq!(connection.handle_timeout(start()), Err(fatal.clone()));
    fatal
}

fn answer(fatal: &Fatal) -> String {
    String::from_utf8(fatal.answer().unwrap().to_vec()).unwrap()
}

#[test]
fn a_request_and_what_is_in_it() {
    let request = request(
        "SETUP rtsp://u:p@h:8554/cam/trackID=0 RTSP/1.0\r\n\
         cseq:   007 \r\n\
         TRANSPORT: RTP/AVP/TCP;interleaved=0-1\r\n\
         Transport: RTP/AVP;unicast;client_port=2-3\r\n\
         Session: abcdefghijABCDEFGH12;timeout=60\r\n\
         User-Agent: test/1\r\n\
         Authorization: Digest username=\"a, b\", uri=\"x\"\r\n\
         Range: npt=now-\r\n\
         Content-Length: 5\r\n\r\nhello",
    );
    assert_eq!(request.method(), Method::Setup);
    assert_eq!(request.uri_text(), "rtsp://u:p@h:8554/cam/trackID=0");
    let target = request.target().unwrap();
    assert_eq!((target.stream(), target.track()), ("cam", Some(0)));
    assert_eq!(request.cseq().as_str(), "007");
    assert_eq!(request.transports().unwrap().iter().count(), 2);
    assert_eq!(request.headers("transport").count(), 2);
    assert_eq!(request.session().unwrap().id().unwrap().as_str(), "abcdefghijABCDEFGH12");
    assert_eq!(request.user_agent(), Some("test/1"));
    assert_eq!(request.authorization(), Some("Digest username=\"a, b\", uri=\"x\""));
    assert!(request.range().is_some());
    assert_eq!(request.header("CONTENT-LENGTH"), Some("5"));
    assert_eq!(request.header("X"), None);
    assert_eq!(request.body(), "hello");
}

#[test]
fn every_public_method_is_known() {
    for method in PUBLIC.split(", ") {
        let request = request(&format!("{method} rtsp://h/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n"));
        assert_eq!(request.method().as_str(), method);
        assert_eq!(request.method().to_string(), method, "as the log has it");
    }
    assert_eq!(PUBLIC.split(", ").count(), Method::ALL.len());
}

#[test]
fn spellings_of_a_head() {
    for text in [
        "PLAY /cam RTSP/1.0\nCSeq: 1\nRange: npt=0-\n\n",
        "\r\n\r\n\nPLAY /cam RTSP/1.0\r\nCSeq: 1\r\nRange: npt=0-\r\n\r\n",
        "PLAY /cam RTSP/1.0\r\nCSeq:1\nRANGE:npt=0-\t\r\n\n",
        "PLAY  /cam  RTSP/1.0 \r\nCSeq :\t1\r\nRange :  npt=0-  \r\n\r\n",
        "PLAY /cam RTSP/1.0\r\nCSeq:\r\n 1\r\nRange: npt=\r\n\t0-\r\n \r\n\r\n",
    ] {
        let request = request(text);
        assert_eq!((request.method(), request.uri_text()), (Method::Play, "/cam"), "{text:?}");
        assert_eq!(request.cseq().as_str(), "1");
        assert!(matches!(request.range(), Some(crate::header::Range::Npt { .. })), "{text:?}");
    }
}

#[test]
fn pipelined_requests_with_frames_between_and_inside() {
    let (events, fatal, left) = feed(
        &mut connection(),
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x01\x00\x04RTCP\r\n$\x00\x00\x00\
          GET_PARAMETER * RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 6\r\n\r\n$\x01\x00\x01ab\
          RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 3\r\n\r\nxyz\
          PLAY /cam RTSP/1.0\r\nCSeq: 3\r\n\r\n$\x07\x00\x02hi$\x07\x00\x02h",
    );
    assert_eq!(fatal, None);
    assert_eq!(left, 5, "an unfinished frame stays where it is");
    let seen: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Request(request) => format!("{} {:?}", request.cseq(), request.body()),
            Event::Interleaved { channel, payload } => format!("{channel} {payload:?}"),
            Event::Refused(reply) => format!("{reply:?}"),
        })
        .collect();
    assert_eq!(
        seen,
        ["1 b\"\"", "1 b\"RTCP\"", "0 b\"\"", "2 b\"$\\x01\\0\\x01ab\"", "3 b\"\"", "7 b\"hi\""]
    );
}

#[test]
fn the_largest_frame_there_can_be() {
    let mut frame = vec![b'$', 3, 0xff, 0xff];
    frame.resize(4 + interleaved::MAX_PAYLOAD, b'x');
    assert_eq!(frame.len(), Limits::default().input_capacity());
    let mut connection = connection();
    let (events, fatal, left) = feed(&mut connection, &frame[..frame.len() - 1]);
    assert!(events.is_empty() && fatal.is_none());
    assert_eq!(left, frame.len() - 1);
    let (events, _, left) = feed(&mut connection, &frame);
    assert!(
        matches!(&events[..], [Event::Interleaved { channel: 3, payload }] if payload.len() == 65535)
    );
    assert_eq!(left, 0);
}

/// yellowstone 2.1 repeats the headers of a 401 behind its own.
#[test]
fn of_several_cseqs_the_first_counts() {
    for (headers, cseq) in [("CSeq: 2\r\nCSeq: 1\r\n", "2"), ("CSeq:\r\nCseq: 3\r\n", "3")] {
        let request = request(&format!("PLAY /cam RTSP/1.0\r\n{headers}\r\n"));
        assert_eq!(request.cseq().as_str(), cseq);
    }
}

#[test]
fn requests_that_are_refused_while_the_connection_goes_on() {
    for (text, status) in [
        ("PLAY /cam RTSP/1.0\r\n\r\n", "400 Bad Request: no CSeq header"),
        ("PLAY /cam RTSP/1.0\r\nCSeq: a b\r\n\r\n", "400 Bad Request: the CSeq"),
        ("PLAY /cam RTSP/1.0\r\nCSeq:\r\n\r\n", "400 Bad Request: the CSeq"),
        ("PLAY /cam RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n", "400 Bad Request: a header line"),
        ("PLAY /cam RTSP/1.0\r\nCSeq: 1\r\n: x\r\n\r\n", "400 Bad Request: the name"),
        ("PLAY /cam RTSP/1.0\r\nCSeq: 1\r\nA b: x\r\n\r\n", "400 Bad Request: the name"),
        ("PLAY /cam RTSP/1.0\r\n CSeq: 1\r\n\r\n", "400 Bad Request: the first header"),
        ("PLAY cam RTSP/1.0\r\nCSeq: 1\r\n\r\n", "400 Bad Request: not an rtsp://"),
        ("PLAY RTSP/1.0\r\nCSeq: 1\r\n\r\n", "400 Bad Request: not an rtsp://"),
        ("PLAY /a b RTSP/1.0\r\nCSeq: 1\r\n\r\n", "400 Bad Request: the URL holds ' '"),
        ("PLAY /%00 RTSP/1.0\r\nCSeq: 1\r\n\r\n", "400 Bad Request: the path"),
        ("SETUP * RTSP/1.0\r\nCSeq: 1\r\n\r\n", "400 Bad Request: this method needs a URL"),
        ("PLAY /cam RTSP/2.0\r\nCSeq: 1\r\n\r\n", "505 RTSP Version not supported"),
        ("PLAY /cam RTSP/1.10\r\nCSeq: 1\r\n\r\n", "505 RTSP Version not supported"),
        ("play /cam RTSP/1.0\r\nCSeq: 1\r\n\r\n", "501 Not Implemented"),
        (
            "ANNOUNCE /cam RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\nv=",
            "405 Method Not Allowed",
        ),
        ("RECORD /cam RTSP/1.0\r\nCSeq: 1\r\n\r\n", "405 Method Not Allowed"),
        ("REDIRECT /cam RTSP/1.0\r\nCSeq: 1\r\n\r\n", "405 Method Not Allowed"),
    ] {
        let (line, reply) = refused(text.as_bytes());
        assert!(line.starts_with(status), "{text:?}: {line}");
        let wire = String::from_utf8(reply.to_bytes().to_vec()).unwrap();
        let sane = text.contains("\nCSeq: 1\r");
        assert_eq!(wire.contains("\r\nCSeq: 1\r\n"), sane, "{text:?}: {wire}");
        assert_eq!(wire.contains("\r\nPublic: "), status.starts_with("501"), "{wire}");
        assert_eq!(wire.contains("\r\nAllow: "), status.starts_with("405"), "{wire}");
    }
}

#[test]
fn whatever_is_required_is_unsupported() {
    for (headers, unsupported) in [
        ("Require: www.onvif.org/ver20/backchannel\r\n", "www.onvif.org/ver20/backchannel"),
        ("require: a, b\r\nProxy-Require: c\r\n", "a, b, c"),
    ] {
        let text = format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n{headers}\r\n");
        let (line, reply) = refused(text.as_bytes());
        assert_eq!(line, "551 Option not supported");
        let wire = String::from_utf8(reply.to_bytes().to_vec()).unwrap();
        assert!(wire.contains(&format!("\r\nUnsupported: {unsupported}\r\n")), "{wire}");
    }
    // Nothing is required here.
    request("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nRequire:\r\n\r\n");
}

#[test]
fn bytes_that_are_not_text_matter_only_where_they_are_read() {
    let text = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX-Name: \xff\r\nUser-Agent: a\x1b[2Jb\r\n\r\n";
    let (events, fatal, _) = feed(&mut connection(), text);
    let [Event::Request(request)] = &events[..] else { panic!("{events:?} {fatal:?}") };
    assert_eq!(request.header("X-Name"), None);
    assert_eq!(request.user_agent(), None, "would end up in a log");
    for name in ["Session", "Transport", "Authorization", "Require", "Range"] {
        for value in ["\u{ff}", "a\0b", "a\rb"] {
            let mut text = format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n{name}: ").into_bytes();
            // Latin-1 for the first, as it is for the others.
            text.extend(value.chars().map(|c| c as u32 as u8));
            text.extend(b"\r\n\r\n");
            let (line, _) = refused(&text);
            let said = format!("400 Bad Request: the {name} header is not UTF-8 text");
            assert_eq!(line, said);
        }
    }
    let (line, _) = refused(b"PLAY /\xff RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    assert_eq!(line, "400 Bad Request: the URL is not UTF-8");
}

#[test]
fn lost_framing_is_fatal() {
    for headers in [
        "Content-Length: x",
        "Content-Length: -1",
        "Content-Length:",
        "Content-Length: 1, 1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: x\r\nContent-Length: 2",
    ] {
        let text = format!("GET_PARAMETER * RTSP/1.0\r\nCSeq: 7\r\n{headers}\r\n\r\n");
        let fatal = fatal(text.as_bytes());
        assert!(matches!(fatal, Fatal::ContentLength { .. }), "{headers}: {fatal:?}");
        let answer = answer(&fatal);
        assert!(answer.starts_with("RTSP/1.0 400 Bad Request: Content-Length"), "{answer}");
        assert!(answer.contains("\r\nCSeq: 7\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    // Said twice is not said in two ways.
    let same =
        "GET_PARAMETER * RTSP/1.0\r\nCSeq: 7\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\nx";
    assert_eq!(request(same).body(), "x");
}

#[test]
fn strangers_are_told_what_they_can_understand() {
    let browser = fatal(b"GET /cam HTTP/1.1\r\nHost: h:8554\r\n\r\n");
    assert_eq!(browser, Fatal::Http { method: "GET".to_owned() });
    let text = answer(&browser);
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{text}");
    assert!(body.contains("rtsp://"), "{text}");

    let head = fatal(b"HEAD / HTTP/1.0\r\n\r\n");
    assert!(answer(&head).ends_with("\r\n\r\n"));

    let tls = fatal(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!((tls.clone(), tls.answer()), (Fatal::Tls, None));

    for (bytes, start) in [
        (&b"\x80\x2e\x01\x03"[..], "\\x80"),
        (b"hello\r\n", "hello"),
        (b"PLAY /cam\r\n", "PLAY /cam"),
        (b"PLAY /cam RTSP/1\r\n", "PLAY /cam RTSP/1"),
        (b"PLAY /cam FOO/1.0\n", "PLAY /cam FOO/1.0"),
        (b"PLAY /cam RTSP/1.x\n", "PLAY /cam RTSP/1.x"),
        (b"PLAY /cam RTSP/x.0\n", "PLAY /cam RTSP/x.0"),
        (b"PLAY /cam RTSP/x.y\n", "PLAY /cam RTSP/x.y"),
        (b"PLAY /cam RTSP/1.\n", "PLAY /cam RTSP/1."),
        (b"PLAY /cam RTSP/.0\n", "PLAY /cam RTSP/.0"),
        (b"PLAY /cam rtsp/1.0\n", "PLAY /cam rtsp/1.0"),
        (b"A(B) /cam RTSP/1.0\n", "A(B) /cam RTSP/1.0"),
        (b"a23456789012345678901234567890123 / RTSP/1.0\n", "a2345678901234567890123456789012"),
    ] {
        let fatal = fatal(bytes);
        assert_eq!(fatal, Fatal::NotRtsp { start: start.to_owned() });
        assert!(answer(&fatal).starts_with("RTSP/1.0 400 Bad Request: this is not RTSP\r\n"));
    }
}

#[test]
fn request_line_at_its_limit() {
    let limit = Limits::default().request_line;
    let line = |len: usize| {
        let text = format!("PLAY /{} RTSP/1.0", "x".repeat(len - "PLAY / RTSP/1.0".len()));
        assert_eq!(text.len(), len);
        format!("{text}\r\nCSeq: 1\r\n\r\n")
    };
    request(&line(limit));
    let (status, _) = refused(line(limit + 1).as_bytes());
    assert!(status.starts_with("414 Request-URI Too Large"), "{status}");
}

#[test]
fn header_line_at_its_limit() {
    let limit = Limits::default().header_line;
    let plain =
        |len: usize| format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: {}\r\n\r\n", "x".repeat(len - 3));
    let folded = |len: usize| {
        format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: y\r\n {}\r\n\r\n", "x".repeat(len - 5))
    };
    for text in [plain, folded] {
        request(&text(limit));
        let (status, _) = refused(text(limit + 1).as_bytes());
        assert!(status.starts_with("400 Bad Request: a header is longer than 4096"), "{status}");
    }
}

#[test]
fn header_count_at_its_limit() {
    let limit = Limits::default().headers;
    let text = |count: usize| {
        let others = "X: y\r\n".repeat(count - 2);
        // Where the body ends is known even when the header that says so is one too many.
        format!("OPTIONS * RTSP/1.0\r\n{others}CSeq: 1\r\nContent-Length: 2\r\n\r\nhi")
    };
    assert_eq!(request(&text(limit)).body(), "hi");
    for over in [1, 2, 100] {
        let (status, reply) = refused(text(limit + over).as_bytes());
        assert!(status.starts_with("400 Bad Request: more than 64 headers"), "{status}");
        assert!(reply.to_bytes().windows(9).any(|line| line == b"\nCSeq: 1\r"));
    }
}

#[test]
fn head_at_its_limit() {
    let limit = Limits::default().head;
    let text = |len: usize| {
        let mut text = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n".to_owned();
        let end = "\r\n";
        while text.len() + 1000 < len {
            text += &format!("X: {}\r\n", "x".repeat(495));
        }
        text += &format!("X: {}\r\n", "x".repeat(len - text.len() - 5 - end.len()));
        text += end;
        assert_eq!(text.len(), len);
        text
    };
    request(&text(limit));
    let fatal = fatal(text(limit + 1).as_bytes());
    assert_eq!(fatal, Fatal::HeadTooLarge(limit));
    assert!(answer(&fatal).starts_with("RTSP/1.0 400 Bad Request: the head is longer than 16384"));
}

#[test]
fn body_at_its_limit() {
    let limit = Limits::default().body;
    let text = |len: usize| {
        let head = format!("SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {len}\r\n\r\n");
        head + &"x".repeat(len)
    };
    assert_eq!(request(&text(limit)).body().len(), limit);
    let (status, _) = refused(text(limit + 1).as_bytes());
    assert!(status.starts_with("413 Request Entity Too Large: "), "{status}");
}

#[test]
fn a_body_that_is_too_large_is_skipped_as_it_comes() {
    let mut connection = connection();
    let (events, _, left) = feed(
        &mut connection,
        b"SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1000000\r\n\r\n",
    );
    assert!(matches!(events[..], [Event::Refused(_)]));
    assert_eq!(left, 0);
    for _ in 0..100 {
        let (events, fatal, left) = feed(&mut connection, &[b'$'; 10_000]);
        assert!(events.is_empty() && fatal.is_none());
        assert_eq!(left, 0, "nothing of it is kept");
    }
    let (events, ..) = feed(&mut connection, b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n");
    assert!(matches!(events[..], [Event::Request(_)]));
}

#[test]
fn silence_before_the_first_request_ends_the_connection() {
    let (now, limit) = (start(), Limits::default().first_request_time);
    let mut connection = Connection::new(Limits::default(), now);
    assert_eq!(connection.poll_timeout(), Some(now + limit));
    // Neither empty lines nor frames are a request.
    let mut input = BytesMut::from(&b"\r\n\r\n$\x00\x00\x00"[..]);
    assert!(connection.receive(&mut input, now).unwrap().is_some());
    assert!(connection.receive(&mut input, now).unwrap().is_none());
    assert_eq!(connection.poll_timeout(), Some(now + limit));
    assert_eq!(connection.handle_timeout(now + limit - Duration::from_nanos(1)), Ok(()));
    assert_eq!(connection.handle_timeout(now + limit), Err(Fatal::Silent(limit)));
    assert_eq!(Fatal::Silent(limit).answer(), None);
}

#[test]
fn after_a_request_silence_is_the_business_of_sessions() {
    for text in ["OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", "FOO * RTSP/1.0\r\nCSeq: 1\r\n\r\n"] {
        let now = start();
        let mut connection = Connection::new(Limits::default(), now);
        let mut input = BytesMut::from(text);
        assert!(connection.receive(&mut input, now).unwrap().is_some());
        assert_eq!(connection.poll_timeout(), None, "{text:?}");
        assert_eq!(connection.handle_timeout(now + Duration::from_secs(3600)), Ok(()));
    }
}

/// However its bytes drip in, each message has to be whole in time.
#[test]
fn a_slow_message_ends_the_connection() {
    let limit = Limits::default().request_time;
    let head = "GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nab";
    let frame = "$\x00\x00\x05abcd";
    let skipped = "FOO * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 30\r\n\r\nab";
    let response = "RTSP/1.0 200 OK\r\nContent-Length: 30\r\n\r\nab";
    for text in [head, frame, skipped, response] {
        let begun = start() + Duration::from_secs(100);
        let mut connection = connection();
        feed(&mut connection, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        let mut input = BytesMut::new();
        for (n, byte) in text.bytes().enumerate() {
            input.extend_from_slice(&[byte]);
            let now = begun + Duration::from_millis(n as u64);
            let event = connection.receive(&mut input, now).unwrap();
            assert!(!matches!(event, Some(Event::Request(_))));
            assert_eq!(connection.poll_timeout(), Some(begun + limit), "{text:?} at {n}");
        }
        assert_eq!(connection.handle_timeout(begun + limit - Duration::from_nanos(1)), Ok(()));
        let fatal = connection.handle_timeout(begun + limit).unwrap_err();
        assert_eq!(fatal, Fatal::Slow(limit));
        assert!(answer(&fatal).starts_with("RTSP/1.0 408 Request Time-out: "));
    }
}
