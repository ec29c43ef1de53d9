//! Several clients with sessions, over TCP and UDP, with and without logging in: sequences of
//! requests that are nearly right, in any order, and whatever a network does meanwhile.
//!
//! As in [`crate::connection`] every request is answered once and in order, and when the clients
//! have gone no session, place, address or hold on a stream is left.
//!
//! Input: a byte that says what kind of server it is, then the steps, each an opcode and what it
//! needs; where bytes run out there are zeros.

use arbitrary::{Result, Unstructured};
use lenscast::sessions::Port;

use crate::{
    connection::jump,
    server::{CLIENTS, Kind, MARK, Step, play},
};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let mut unstructured = Unstructured::new(rest);
    let mut script = Vec::new();
    let mut cseq = 0;
    while !unstructured.is_empty() && script.len() < MOST_STEPS {
        let Ok(step) = step(&mut unstructured, &mut cseq) else { break };
        script.push(step);
    }
    play(Kind::of(kind), &script);
}

fn step(u: &mut Unstructured<'_>, cseq: &mut u32) -> Result<Step> {
    let opcode: u8 = u.arbitrary()?;
    let client = usize::from(opcode >> 6) % CLIENTS;
    Ok(match opcode & 0x3f {
        0..=31 => Step::Send(client, request(u, cseq)?),
        32 | 33 => Step::Send(client, frame(u)?),
        34 => Step::Send(client, bytes(u)?),
        35..=39 => Step::Sleep(jump(u.arbitrary()?)),
        40..=42 => Step::Turns(u.arbitrary::<u8>()? & 15),
        43 => Step::Reading(client, false),
        44 => Step::Reading(client, true),
        45 | 46 => Step::HalfClose(client),
        47..=49 => Step::Close(client),
        50..=54 => Step::Datagram(udp_port(u)?, client_port(u)?, payload(u)?),
        55 | 56 => Step::Unreachable(udp_port(u)?, client_port(u)?),
        57 => Step::Pause,
        58 => Step::GoOn,
        59 => Step::End,
        60 => Step::Stop,
        _ => Step::Turns(1),
    })
}

/// A request from words that clients use; `SETUP` and `PLAY` come often.
fn request(u: &mut Unstructured<'_>, cseq: &mut u32) -> Result<Vec<u8>> {
    *cseq += 1;
    let method = *u.choose(METHODS)?;
    let uri = *u.choose(URIS)?;
    let mut request = format!("{method} {uri} RTSP/1.0\r\nCSeq: {cseq}\r\n").into_bytes();
    let wanted: u8 = u.arbitrary()?;
    // A byte of nothing special is a request with everything it needs.
    if method == "SETUP" && wanted & 1 == 0 {
        request.extend_from_slice(b"Transport: ");
        request.extend_from_slice(u.choose(TRANSPORTS)?.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    match wanted >> 1 & 7 {
        0..=3 => request.extend([b"Session: ", &[MARK, b's'][..], b"\r\n"].concat()),
        4 => request.extend_from_slice(b"Session: abcdefghijABCDEFGH12\r\n"),
        _ => {}
    }
    match wanted >> 4 & 7 {
        0..=3 => request.extend([&[MARK, b'a'][..], b"\r\n"].concat()),
        4 => request.extend([&[MARK, b'w'][..], b"\r\n"].concat()),
        _ => {}
    }
    if wanted & 0x80 != 0 {
        request.extend_from_slice(u.choose(HEADERS)?.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    Ok(request)
}

fn frame(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let channel: u8 = u.arbitrary()?;
    let payload = payload(u)?;
    let length = u16::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    Ok([&[b'$', channel & 7], &length[..], &payload].concat())
}

fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = usize::from(u.arbitrary::<u8>()? & 63).min(u.len());
    Ok(u.bytes(length)?.to_vec())
}

/// What clients send beside requests: a receiver report, a BYE, RTP that opens a way, anything.
fn payload(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.arbitrary::<u8>()? & 7 {
        0..=3 => {
            let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0x1e, 0x45, 0, 0];
            report.extend([0; 20]);
            report
        }
        4 => vec![0x81, 203, 0, 1, 0, 0, 0, 1],
        5 => vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        _ => bytes(u)?,
    })
}

fn udp_port(u: &mut Unstructured<'_>) -> Result<Port> {
    Ok(if u.arbitrary()? { Port::Rtp } else { Port::Rtcp })
}

fn client_port(u: &mut Unstructured<'_>) -> Result<u16> {
    Ok(40_000 + u16::from(u.arbitrary::<u8>()? & 7))
}

const METHODS: &[&str] = &[
    "SETUP",
    "PLAY",
    "SETUP",
    "PLAY",
    "TEARDOWN",
    "PAUSE",
    "DESCRIBE",
    "OPTIONS",
    "GET_PARAMETER",
    "SET_PARAMETER",
    "RECORD",
    "ANNOUNCE",
];

const URIS: &[&str] = &[
    "rtsp://h:8554/cam/trackID=0",
    "rtsp://h:8554/cam",
    "rtsp://h:8554/cam/",
    "/cam/trackID=0",
    "*",
    "rtsp://h/",
    "rtsp://h/trackID=0",
    "rtsp://h:8554/cam/trackID=1",
    "rtsp://u:p@h:8554/cam?x=1/trackID=0",
    "rtsp://h:8554/door",
    "rtsp://h:8554/door/trackID=0",
    "rtsp://[::1]:8554/cam/",
    "rtsp://h:8554/other",
    "rtsp://h:8554/cam/../cam",
    "http://h/cam",
];

const TRANSPORTS: &[&str] = &[
    "RTP/AVP/TCP;unicast;interleaved=0-1",
    "RTP/AVP;unicast;client_port=40000-40001",
    "RTP/AVP;unicast;client_port=40002-40003",
    "RTP/AVP/TCP;unicast;interleaved=2-3",
    "RTP/AVP/TCP;unicast",
    "RTP/AVP;unicast",
    "RTP/AVP;multicast;client_port=40000-40001",
    "RTP/AVP;unicast;client_port=40000-40001,RTP/AVP/TCP;interleaved=0-1",
    "RTP/AVP/TCP;interleaved=254-255",
    "RTP/AVP/TCP;interleaved=255-0",
    "RTP/AVP;unicast;client_port=40005",
    "RTP/AVP;client_port=40004-40004",
    "RTP/SAVP;unicast;client_port=40000-40001",
    "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
    "",
];

const HEADERS: &[&str] = &[
    "Range: npt=0.000-",
    "Range: clock=19961108T143720.25Z-",
    "Require: implicit-play",
    "Accept: application/sdp",
    "Accept: text/html",
    "User-Agent: Lavf59.27.100",
    "Content-Length: 4\r\n\r\nabcd",
    "CSeq: 9",
    "Connection: close",
    "Scale: 2.0",
    "x",
];

/// Enough for several whole conversations.
const MOST_STEPS: usize = 64;
