//! The probe against a scripted server in this process: what it reports of good and bad streams,
//! and what it says when there is none.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use media::WallTime;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::*;

/// 640x480, Constrained Baseline, level 3.0, written by openh264.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
const SPROP: &str = "sprop-parameter-sets=Z0LAHoyNQFAe0A8IhGo=,aM48gA==;";
/// Slices of macroblock 0 that name picture parameter set 0.
const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x11, 0x22, 0x33];
const SLICE: &[u8] = &[0x41, 0x9a, 0x11];

const SSRC: u32 = 0x1234_5678;
const FIRST_SEQUENCE: u16 = 65_533;

/// What the server does.
#[derive(Clone)]
struct Script {
    /// The answer to a request with this method and head, in place of the usual one.
    answer: fn(&str, &str) -> Answer,
    /// The media section of the SDP.
    sdp: String,
    /// RTCP sent once playing, before the RTP packets.
    rtcp: Vec<Vec<u8>>,
    rtp: Vec<Vec<u8>>,
    /// What follows them.
    end: End,
}

enum Answer {
    Usual,
    /// Status line and headers, without CSeq.
    Say(&'static str),
    Raw(&'static [u8]),
    Silence,
}

#[derive(Copy, Clone)]
enum End {
    /// RTCP BYE.
    Goodbye,
    /// The connection is closed.
    Close,
    /// Nothing more comes.
    Stay,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answer: |_, _| Answer::Usual,
            sdp: sdp(SPROP),
            rtcp: Vec::new(),
            rtp: Vec::new(),
            end: End::Goodbye,
        }
    }
}

struct Server {
    address: SocketAddr,
    /// The heads of the requests so far.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), log.clone()));
            }
        });
        Self { address, requests }
    }

    fn options(&self, login: &str) -> Options {
        let url = format!("rtsp://{login}{}/cam", self.address).parse().unwrap();
        Options { timeout: PATIENCE, ..Options::new(url) }
    }

    fn methods(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect()
    }
}

async fn serve(mut stream: TcpStream, script: Script, log: Arc<Mutex<Vec<String>>>) {
    let mut datagrams = None;
    let mut input = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let end = input.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end.map(|at| at + 4) else {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => input.extend(&buffer[..count]),
            }
            continue;
        };
        let head: Vec<u8> = input.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        log.lock().unwrap().push(head.clone());
        let method = head.split(' ').next().unwrap().to_owned();
        let sequence = header(&head, "CSeq");
        let answer = match (script.answer)(&method, &head) {
            Answer::Raw(bytes) => bytes.to_vec(),
            Answer::Silence => continue,
            Answer::Say(answer) => format!("{answer}\r\nCSeq: {sequence}\r\n\r\n").into(),
            Answer::Usual => {
                usual_answer(&method, &head, &sequence, &script, &mut datagrams).await.into_bytes()
            }
        };
        stream.write_all(&answer).await.unwrap();
        if method == "PLAY" {
            let goodbye = matches!(script.end, End::Goodbye).then(bye);
            let packets = script.rtcp.iter().map(|packet| (1, packet.as_slice()));
            let packets = packets.chain(script.rtp.iter().map(|packet| (0, packet.as_slice())));
            for (channel, packet) in packets.chain(goodbye.iter().map(|bye| (1, bye.as_slice()))) {
                match &datagrams {
                    None => {
                        let length = (packet.len() as u16).to_be_bytes();
                        let frame = [&[b'$', channel], &length[..], packet].concat();
                        stream.write_all(&frame).await.unwrap();
                    }
                    Some((sockets, to)) => {
                        let channel = usize::from(channel);
                        sockets[channel].send_to(packet, to[channel]).await.unwrap();
                    }
                }
            }
            if matches!(script.end, End::Close) {
                return;
            }
        }
    }
}

type Datagrams = ([UdpSocket; 2], [SocketAddr; 2]);

async fn usual_answer(
    method: &str,
    head: &str,
    sequence: &str,
    script: &Script,
    datagrams: &mut Option<Datagrams>,
) -> String {
    let ok = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n");
    match method {
        "DESCRIBE" => {
            let body = &script.sdp;
            let length = body.len();
            format!("{ok}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}")
        }
        "SETUP" => {
            let transport = header(head, "Transport");
            let answer = match transport.split_once("client_port=") {
                None => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
                Some((_, ports)) => {
                    let ports: Vec<u16> =
                        ports.split('-').map(|port| port.parse().unwrap()).collect();
                    let (sockets, port) = port_pair().await;
                    let to = [0, 1].map(|at| SocketAddr::from(([127, 0, 0, 1], ports[at])));
                    *datagrams = Some((sockets, to));
                    format!("RTP/AVP/UDP;unicast;server_port={port}-{}", port + 1)
                }
            };
            format!("{ok}Session: abc;timeout=60\r\nTransport: {answer};ssrc={SSRC:08X}\r\n\r\n")
        }
        "PLAY" => format!(
            "{ok}Session: abc\r\nRTP-Info: url=rtsp://x/cam/trackID=0;seq={FIRST_SEQUENCE};\
             rtptime=0\r\n\r\n"
        ),
        _ => format!("{ok}\r\n"),
    }
}

/// Two sockets whose ports follow each other.
async fn port_pair() -> ([UdpSocket; 2], u16) {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let Some(next) = port.checked_add(1) else { continue };
        if let Ok(second) = UdpSocket::bind(("127.0.0.1", next)).await {
            return ([first, second], port);
        }
    }
}

fn header(head: &str, name: &str) -> String {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into()).unwrap()
}

fn sdp(format: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
         a=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;{format}profile-level-id=42c01e\r\n\
         a=control:trackID=0\r\n"
    )
}

/// The RTP packet `index` packets after the first.
fn rtp(index: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96 | if marker { 0x80 } else { 0 }];
    packet.extend(FIRST_SEQUENCE.wrapping_add(index).to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend(payload);
    packet
}

/// `count` frames of one packet each, 40 ms apart, the timestamp wrapping on the way; every fifth
/// an IDR with its parameter sets aggregated before it.
fn frames(count: u16) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for frame in 0..count {
        let timestamp = (u32::MAX - 5000).wrapping_add(u32::from(frame) * 3600);
        let mut add = |marker, payload: &[u8]| {
            packets.push(rtp(packets.len() as u16, timestamp, marker, payload));
        };
        if frame % 5 == 0 {
            let sizes = [SPS, PPS].map(|nal| (nal.len() as u16).to_be_bytes());
            add(false, &[&[0x78], &sizes[0][..], SPS, &sizes[1], PPS].concat());
            add(true, IDR);
        } else {
            add(true, SLICE);
        }
    }
    packets
}

fn sender_report(ssrc: u32, ahead: Duration) -> Vec<u8> {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + ahead;
    let ntp = WallTime::from_unix_nanos(wall.as_nanos() as u64).to_ntp();
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(ntp.to_be_bytes());
    packet.extend((u32::MAX - 5000).to_be_bytes());
    packet.extend([0; 8]);
    packet
}

fn bye() -> Vec<u8> {
    [&[0x81, 203, 0, 1][..], &SSRC.to_be_bytes()].concat()
}

async fn report_of(script: Script) -> Report {
    let server = Server::start(script).await;
    run(&server.options(""), &mut Vec::new()).await.unwrap()
}

async fn error_of(options: &Options) -> (ProbeError, String) {
    let error = run(options, &mut Vec::new()).await.unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[tokio::test]
async fn a_good_stream_is_measured() {
    let script = Script {
        rtcp: vec![sender_report(SSRC, Duration::from_secs(3600))],
        rtp: frames(10),
        ..Script::default()
    };
    let server = Server::start(script).await;
    let mut text = Vec::new();
    let report = run(&server.options(""), &mut text).await.unwrap();

    assert_eq!((report.verdict(), report.verdict().exit_code()), (Verdict::Good, 0));
    assert_eq!((report.width, report.height), (Some(640), Some(480)));
    assert_eq!(report.profile, Some("Constrained Baseline"));
    assert_eq!(report.profile_level_id.as_deref(), Some("42c01e"));
    assert_eq!(report.parameter_sets_from, Some(SetsFrom::Stream));
    assert_eq!((report.frames, report.damaged_frames, report.keyframes), (10, 0, 2));
    assert_eq!(report.keyframe_interval_ms, Some(200.0));
    assert_eq!((report.packets, report.lost_packets), (12, 0));
    assert_eq!(report.fps_timestamps, Some(25.0));
    // Two keyframes of 24 bytes and eight frames of 3, in 0.4 s.
    assert_eq!(report.bitrate_kbps, Some(1.44));
    assert_eq!(report.largest_frame_bytes, 24);
    assert_eq!(report.timestamp_gaps, Some(0));
    assert_eq!(report.receive_buffer_errors, None);

    let moments = [
        Some(report.described_ms),
        Some(report.set_up_ms),
        Some(report.playing_ms),
        report.first_keyframe_ms,
    ];
    assert!(moments.is_sorted() && moments[0] > Some(0.0), "{moments:?}");
    assert!(report.first_packet_ms <= report.first_keyframe_ms);

    // An hour ahead, less what passed since the report was made up.
    assert_eq!(report.sender_reports, 1);
    let offset = report.clock_offset_ms.unwrap();
    assert!((3_595_000.0..3_600_000.0).contains(&offset), "{offset}");
    assert!(report.clock_offset_accuracy_ms.unwrap() > 0.0);
    assert!(report.capture_to_arrival_ms.is_some());

    assert_eq!(report.ended_early.as_deref(), Some("the server ended the stream (RTCP BYE)"));
    assert_eq!(report.notes, [] as [&str; 0]);
    assert_eq!(server.methods(), ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]);

    let text = String::from_utf8(text).unwrap();
    for part in ["/cam over TCP", "640x480", "42c01e", "25.00 fps", "none lost", "ahead of ours"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.ends_with("Good: a decoder could start.\n"), "{text}");
}

#[tokio::test]
async fn what_a_decoder_could_not_start_with_is_said() {
    let unit = |packets: &[(u16, &[u8])]| -> Vec<Vec<u8>> {
        let packet = |&(index, payload): &(u16, &[u8])| rtp(index, 0, false, payload);
        let last = rtp(packets.last().unwrap().0 + 1, 9, true, SLICE);
        packets.iter().map(packet).chain([last]).collect()
    };
    let begin: &[u8] = &[0x7c, 0x85, 0x88, 0x84, 1, 2, 3];
    let end: &[u8] = &[0x7c, 0x45, 4, 5, 6];
    let broken = [&[0x67, 0x42, 0xc0, 0x1e][..], &[0; 4]].concat();
    let sets = [(0, SPS), (1, PPS)];
    for (what, format, packets, verdict) in [
        ("nothing", SPROP, vec![], Verdict::NoPackets),
        ("slices alone", SPROP, unit(&[(0, SLICE)]), Verdict::NoKeyframe),
        ("sets and slices", "", unit(&[sets[0], sets[1], (2, SLICE)]), Verdict::NoKeyframe),
        ("half an IDR", SPROP, unit(&[(0, begin)]), Verdict::NoKeyframe),
        ("an IDR with a hole", SPROP, unit(&[(0, begin), (2, end)]), Verdict::NoKeyframe),
        ("no sets", "", unit(&[(0, IDR)]), Verdict::NoParameterSets),
        ("no PPS", "", unit(&[sets[0], (1, IDR)]), Verdict::NoParameterSets),
        ("sets too late", "", unit(&[(0, IDR)]), Verdict::NoParameterSets),
        (
            "a broken SPS",
            "",
            unit(&[(0, &broken), (1, PPS), (2, IDR)]),
            Verdict::BrokenParameterSets,
        ),
        ("a whole IDR in fragments", SPROP, unit(&[(0, begin), (1, end)]), Verdict::Good),
        ("all in band", "", unit(&[sets[0], sets[1], (2, IDR)]), Verdict::Good),
    ] {
        let report =
            report_of(Script { sdp: sdp(format), rtp: packets, ..Script::default() }).await;
        assert_eq!(report.verdict(), verdict, "{what}: {report:?}");
        let good = verdict == Verdict::Good;
        assert_eq!(report.verdict().exit_code() == 0, good, "{what}");
        assert_eq!(report.first_keyframe_ms.is_some(), good, "{what}");
    }
}

#[tokio::test]
async fn what_players_trip_over_is_noted() {
    let idr_alone = vec![rtp(0, 0, true, SLICE), rtp(1, 9, true, IDR)];
    for (says, script) in [
        ("SDP alone", Script { rtp: idr_alone.clone(), ..Script::default() }),
        ("cannot be shown: 1", Script { rtp: idr_alone.clone(), ..Script::default() }),
        ("no usable sprop", Script { sdp: sdp(""), rtp: frames(1), ..Script::default() }),
        (
            "says profile-level-id 640028, the SPS 42c01e",
            Script {
                sdp: sdp(SPROP).replace("42c01e", "640028"),
                rtp: frames(1),
                ..Script::default()
            },
        ),
        (
            "lacks packetization-mode=1",
            Script { sdp: sdp(SPROP).replace("mode=1", "mode=0"), ..Script::default() },
        ),
        (
            "the first packet is 3 after",
            Script { rtp: vec![rtp(3, 0, true, IDR)], ..Script::default() },
        ),
        (
            "break RFC 6184: 1; the first: NAL unit type 0",
            Script { rtp: vec![rtp(0, 0, true, &[0, 0, 0, 1, 0x65])], ..Script::default() },
        ),
        (
            "another SSRC than the packets have: 1",
            Script {
                rtcp: vec![sender_report(SSRC + 1, Duration::ZERO)],
                rtp: frames(1),
                ..Script::default()
            },
        ),
        ("is its source running", Script::default()),
    ] {
        let report = report_of(script).await;
        assert!(report.notes.iter().any(|note| note.contains(says)), "{says}: {report:?}");
    }
}

#[tokio::test]
async fn loss_over_udp_is_counted() {
    let mut packets = frames(6);
    // One packet never comes, another after its successor: retina drops it.
    packets.remove(3);
    packets.swap(4, 5);
    let server = Server::start(Script { rtp: packets, end: End::Stay, ..Script::default() }).await;
    let options = Options {
        transport: Transport::Udp,
        seconds: Duration::from_millis(100),
        ..server.options("")
    };
    let report = run(&options, &mut Vec::new()).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Good);
    assert_eq!((report.packets, report.lost_packets), (6, 2));
    assert_eq!(report.loss_percent, Some(25.0));
    assert_eq!(report.ended_early, None);
    assert!(report.watched_ms >= 100.0);
    assert!(report.receive_buffer_errors.is_some());
    assert_eq!(server.methods().last().unwrap(), "TEARDOWN");
}

#[tokio::test]
async fn silence_over_udp_hints_at_tcp() {
    let server = Server::start(Script { end: End::Stay, ..Script::default() }).await;
    let options = Options {
        transport: Transport::Udp,
        seconds: Duration::from_millis(30),
        ..server.options("")
    };
    let report = run(&options, &mut Vec::new()).await.unwrap();
    assert_eq!(report.verdict(), Verdict::NoPackets);
    assert!(report.notes[0].contains("--transport tcp"), "{:?}", report.notes);
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_reported_with_what_came() {
    let script = Script { rtp: frames(3), end: End::Close, ..Script::default() };
    let report = report_of(script).await;
    assert_eq!((report.verdict(), report.frames), (Verdict::Good, 3));
    assert!(report.ended_early.is_some());
}

#[tokio::test]
async fn a_login_is_decoded_and_kept_out_of_the_report() {
    let script = Script {
        answer: |_, head| match head.contains("Authorization: ") {
            true => Answer::Usual,
            false => Answer::Say(
                "RTSP/1.0 401 Unauthorized\r\n\
                 WWW-Authenticate: Digest realm=\"lenscast\", nonce=\"n\"",
            ),
        },
        rtp: frames(1),
        ..Script::default()
    };
    let server = Server::start(script).await;
    let mut json = Vec::new();
    let options = Options { json: true, ..server.options("l%40ns:s3cr3t@") };
    let report = run(&options, &mut json).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Good);
    let requests = server.requests.lock().unwrap().join("");
    assert!(requests.contains("Digest username=\"l@ns\""), "{requests}");
    assert!(!requests.contains("s3cr3t"));
    assert!(!String::from_utf8(json).unwrap().contains("s3cr3t"));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    const CHALLENGE: &str = "RTSP/1.0 401 Unauthorized\r\n\
                             WWW-Authenticate: Digest realm=\"lenscast\", nonce=\"n\"";
    let on = |method: &'static str, answer: fn(&str, &str) -> Answer| {
        (method, Script { answer, ..Script::default() })
    };
    let audio = sdp("").replace("video", "audio").replace("H264/90000", "L16/44100");
    for ((what, script), login, kind, says) in [
        (on("401", |_, _| Answer::Say(CHALLENGE)), "", "unauthorized", "wants a user"),
        (on("401", |_, _| Answer::Say(CHALLENGE)), "u:p@", "unauthorized", "refuses this user"),
        (
            on("an unknown challenge", |_, _| {
                Answer::Say("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Odd x=1")
            }),
            "u:p@",
            "protocol",
            "WWW-Authenticate",
        ),
        (on("404", |_, _| Answer::Say("RTSP/1.0 404 Not Found")), "", "not_found", "\"/cam\""),
        (
            on("461", |method, _| match method {
                "SETUP" => Answer::Say("RTSP/1.0 461 Unsupported Transport"),
                _ => Answer::Usual,
            }),
            "",
            "status",
            "SETUP with 461: it does not offer this transport",
        ),
        (("no video", Script { sdp: audio, ..Script::default() }), "", "no_video", "audio/l16"),
        (on("silence", |_, _| Answer::Silence), "", "timeout", "is it an RTSP server?"),
        (
            on("silence later", |method, _| match method {
                "PLAY" => Answer::Silence,
                _ => Answer::Usual,
            }),
            "",
            "timeout",
            "no answer to PLAY within 0.3 s",
        ),
        (
            on("HTTP", |_, _| Answer::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            "",
            "protocol",
            "DESCRIBE failed",
        ),
        (
            on("terminal control", |_, _| {
                Answer::Say("RTSP/1.0 200 OK\r\nContent-Type: \x1b[31mred")
            }),
            "",
            "protocol",
            "DESCRIBE failed",
        ),
    ] {
        let server = Server::start(script).await;
        let patience = if kind == "timeout" { Duration::from_millis(300) } else { PATIENCE };
        let options = Options { timeout: patience, ..server.options(login) };
        let (error, text) = error_of(&options).await;
        assert_eq!((error.kind(), error.exit_code()), (kind, 3), "{what}: {text}");
        assert!(text.contains(says), "{what}: {text}");
        assert!(!text.contains(char::is_control), "{what}: {text:?}");
    }
}

#[tokio::test]
async fn connections_that_cannot_be_made_say_why() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = |url: String| Options::new(url.parse().unwrap());
    let (error, text) = error_of(&options(format!("rtsp://{closed}/cam"))).await;
    assert_eq!(error.kind(), "refused");
    assert!(text.contains(&closed.to_string()), "{text}");
    // RFC 6761: never has an address.
    let (error, text) = error_of(&options("rtsp://nowhere.invalid/cam".into())).await;
    assert_eq!(error.kind(), "name", "{text}");
    assert!(text.contains("nowhere.invalid"), "{text}");
}

#[tokio::test]
async fn json_keeps_its_keys() {
    let keys = |json: &[u8]| -> BTreeSet<String> {
        let value: Value = serde_json::from_slice(json).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    };
    let mut outputs = Vec::new();
    for rtp in [vec![], frames(2)] {
        let server = Server::start(Script { rtp, ..Script::default() }).await;
        let mut out = Vec::new();
        run(&Options { json: true, ..server.options("") }, &mut out).await.unwrap();
        assert!(out.ends_with(b"}\n") && !out[..out.len() - 1].contains(&b'\n'));
        outputs.push(out);
    }
    let expected = JSON_KEYS.split_whitespace().map(str::to_owned).collect();
    assert_eq!(keys(&outputs[0]), expected);
    assert_eq!(keys(&outputs[1]), expected);

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("rtsp://{gone}/cam").parse().unwrap();
    let mut out = Vec::new();
    run(&Options { json: true, ..Options::new(url) }, &mut out).await.unwrap_err();
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["error"], "refused");
    assert!(value["message"].as_str().unwrap().contains("refuses the connection"));
}

const JSON_KEYS: &str = "
    verdict url transport watched_ms ended_early
    described_ms set_up_ms playing_ms first_packet_ms first_keyframe_ms
    width height profile profile_level_id parameter_sets_from
    frames damaged_frames keyframes keyframe_interval_ms frames_before_keyframe reordered
    largest_frame_bytes fps_timestamps fps_arrivals bitrate_kbps
    packets lost_packets loss_percent missing_at_start_packets malformed_packets
    receive_buffer_errors
    jitter_ms jitter_max_ms delay_variation_p50_ms delay_variation_p95_ms delay_variation_max_ms
    arrival_gaps arrival_gap_max_ms timestamp_gaps timestamp_gap_max_ms
    sender_reports clock_offset_ms clock_offset_accuracy_ms capture_to_arrival_ms
    notes";

/// For what comes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
