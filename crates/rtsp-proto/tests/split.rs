//! However a stream of bytes is cut into pieces, a connection makes the same of it; and it makes
//! something of any bytes.

use std::time::Instant;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::select};
use rtsp_proto::{Connection, wire::Limits};

/// Everything that came out, in words, and the bytes that were left.
fn run<'a>(
    limits: &Limits,
    now: Instant,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, BytesMut) {
    let mut connection = Connection::new(limits.clone(), now);
    let (mut input, mut seen) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            match connection.receive(&mut input, now) {
                Ok(Some(event)) => {
                    assert!(input.len() < before || is_refusal(&event), "an event from nothing");
                    seen.push(format!("{event:?}"));
                }
                Ok(None) => {
                    assert!(input.len() <= limits.input_capacity(), "{} bytes kept", input.len());
                    break;
                }
                Err(fatal) => {
                    seen.push(format!("{fatal:?} {:?}", fatal.answer()));
                    // What comes after the end is not looked at.
                    return (seen, BytesMut::new());
                }
            }
        }
    }
    (seen, input)
}

/// A refusal may take no bytes at the end of its head, which had been taken already.
fn is_refusal(event: &rtsp_proto::Event) -> bool {
    matches!(event, rtsp_proto::Event::Refused(_))
}

/// Cuts `bytes` at the given places, which wrap around.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut start = 0;
    places.iter().map(|&end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

/// Small enough that random input reaches every one.
fn tight() -> Limits {
    Limits {
        request_line: 40,
        header_line: 30,
        headers: 4,
        head: 120,
        body: 8,
        ..Limits::default()
    }
}

fn line_end() -> impl Strategy<Value = &'static str> {
    select(vec!["\r\n", "\n"])
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let first_line = select(vec![
        "OPTIONS * RTSP/1.0",
        "DESCRIBE rtsp://h/cam RTSP/1.0",
        "SETUP /cam/trackID=0 RTSP/1.0",
        "PLAY rtsp://h/cam?q/trackID=0 RTSP/1.0",
        "PLAY rtsp://h/cam RTSP/2.0",
        "PLAY rtsp://host/a/long/path/that/is/too/long RTSP/1.0",
        "FOO * RTSP/1.0",
        "RTSP/1.0 200 OK",
        "GET / HTTP/1.1",
        "nonsense",
    ]);
    let header = select(vec![
        "CSeq: 1",
        "CSeq: 2",
        "cseq:3",
        "Session: abcdefghijABCDEFGH12",
        "Transport: RTP/AVP;unicast",
        "Require: something",
        "X-Long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        " folded",
        "\tfolded",
        "no colon",
    ]);
    let length = prop_oneof![
        4 => Just(None),
        4 => (0usize..12).prop_map(|len| Some(len.to_string())),
        1 => select(vec!["x", "-1", "99999999999999999999"]).prop_map(|text| Some(text.to_owned())),
    ];
    let body = vec(any::<u8>(), 0..12);
    (first_line, vec((header, line_end()), 0..6), length, body, line_end()).prop_map(
        |(first_line, headers, length, body, end)| {
            let mut text = format!("{first_line}{end}");
            for (header, end) in headers {
                text += &format!("{header}{end}");
            }
            if let Some(length) = &length {
                text += &format!("Content-Length: {length}{end}");
            }
            text += end;
            let mut bytes = text.into_bytes();
            let len = length.and_then(|len| len.parse().ok()).unwrap_or(0usize);
            bytes.extend(body.iter().cycle().take(len.min(100 * body.len())));
            bytes
        },
    )
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), vec(any::<u8>(), 0..300)).prop_map(|(channel, payload)| {
        let mut frame = vec![b'$', channel];
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend(payload);
        frame
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => message(),
        4 => frame(),
        2 => select(vec!["\r\n", "\n", "\r", "\r\n\r\n"]).prop_map(|text| text.into()),
        1 => vec(any::<u8>(), 0..200),
    ];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

#[expect(clippy::disallowed_methods, reason = "tests have to begin somewhere")]
fn start() -> Instant {
    Instant::now()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(bytes in stream(), places in vec(any::<usize>(), 0..12)) {
        let now = start();
        for limits in [Limits::default(), tight()] {
            let whole = run(&limits, now, [&bytes[..]]);
            prop_assert_eq!(&run(&limits, now, cut(&bytes, &places)), &whole);
            prop_assert_eq!(&run(&limits, now, bytes.chunks(1)), &whole);
        }
    }

    /// Progress or an end: more bytes than may ever be kept have to lead to one.
    #[test]
    fn any_bytes_lead_somewhere(bytes in vec(any::<u8>(), 0..2000)) {
        run(&tight(), start(), [&bytes[..]]);
    }

    /// The same, with bytes that look more like RTSP.
    #[test]
    fn any_text_leads_somewhere(
        text in "([A-Z_]{1,14} [*/a-z:?=%0-9\\[\\]@.]{0,40} RTSP/[0-9]\\.[0-9]\r?\n([A-Za-z-]{0,9}:? ?[ -~é]{0,30}\r?\n){0,6}\r?\n){0,3}",
    ) {
        let (now, bytes) = (start(), text.as_bytes());
        let whole = run(&Limits::default(), now, [bytes]);
        prop_assert_eq!(&run(&Limits::default(), now, bytes.chunks(1)), &whole);
    }
}
