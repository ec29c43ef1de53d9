//! What FFmpeg 5.1, GStreamer 1.22 and retina 0.4 send, captured letter by letter (dates
//! and ports changed), and what has to come of it: each finds its stream, track and session again.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtsp_proto::{
    Connection, Event, Method, PUBLIC, Refusal, Reply, Request, Session, Status,
    header::{
        Lower, RtpInfo, SessionId,
        range::Range,
        rtp_info,
        transport::{Chosen, ChosenLower, TransportSpec},
    },
    server::session::{LowerKind, Torn},
    uri,
    wire::{Limits, interleaved},
};

/// The least server that a player can talk to: one stream with one track, no media.
struct Server {
    connection: Connection,
    session: Option<Session>,
    now: Instant,
    udp: bool,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "tests have to begin somewhere")]
    fn new(udp: bool) -> Self {
        let now = Instant::now();
        Self { connection: Connection::new(Limits::default(), now), session: None, now, udp }
    }

    /// Replies and frames that `bytes` lead to.
    fn talk(&mut self, bytes: &str) -> Vec<String> {
        let (mut input, mut out) = (BytesMut::from(bytes), Vec::new());
        while let Some(event) = self.connection.receive(&mut input, self.now).expect("goes on") {
            let reply = match event {
                Event::Request(request) => self
                    .answer(&request)
                    .unwrap_or_else(|refusal| Reply::refuse(&request, &refusal)),
                Event::Refused(reply) => reply,
                Event::Interleaved { channel, payload } => {
                    out.push(format!("${channel} {}", payload.len()));
                    continue;
                }
            };
            out.push(String::from_utf8(reply.to_bytes().to_vec()).unwrap());
        }
        assert!(input.is_empty(), "left: {input:?}");
        out
    }

    fn answer(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let ok = Reply::to(request, Status::Ok);
        let target = request.target().expect("these clients name a URL");
        if target.stream() != "cam" {
            return Err(Refusal::new(Status::NotFound, "no such stream"));
        }
        let in_session =
            |reply: Reply, session: &Session| reply.header("Session", session.header());
        Ok(match request.method() {
            Method::Options => ok.header("Public", PUBLIC),
            Method::Describe => {
                let control = uri::control(0);
                ok.header("Content-Base", target.content_base())
                    .body("application/sdp", format!("a=control:{control}\r\n"))
            }
            Method::Setup => {
                let transports = request.transports()?;
                let chosen = transports.specs().find_map(|spec| self.choose(spec));
                let (kind, lower) =
                    chosen.ok_or_else(|| Refusal::new(Status::UnsupportedTransport, "use TCP"))?;
                let id = SessionId::from_entropy([9; 16]);
                let timeout = Duration::from_secs(60);
                let session =
                    self.session.get_or_insert_with(|| Session::new(id, self.now, timeout));
                let track = target.track().unwrap_or(0);
                session.setup(track, kind, target.url())?;
                let transport = Chosen { lower, ssrc: Some(0x1234), source: None };
                in_session(ok, session).header("Transport", transport)
            }
            Method::Play | Method::Pause | Method::Teardown => {
                let named = request.session().and_then(|header| header.id());
                let found = self.session.as_mut().filter(|session| Some(session.id()) == named);
                let session =
                    found.ok_or_else(|| Refusal::new(Status::SessionNotFound, "no session"))?;
                let reply = in_session(ok, session);
                match request.method() {
                    Method::Play => {
                        session.play(target.track())?;
                        let url = &session.track(0).unwrap().url;
                        let info = RtpInfo { url, seq: Some(2), rtptime: Some(3) };
                        reply
                            .header("Range", Range::LIVE)
                            .header("RTP-Info", rtp_info::write(&[info]))
                    }
                    Method::Pause => {
                        session.pause(target.track())?;
                        reply
                    }
                    _ => {
                        assert_eq!(session.teardown(target.track())?, Torn::Session);
                        self.session = None;
                        reply
                    }
                }
            }
            Method::GetParameter | Method::SetParameter => ok,
        })
    }

    fn choose(&self, spec: &TransportSpec) -> Option<(LowerKind, ChosenLower)> {
        match spec.lower {
            _ if spec.multicast || spec.record => None,
            Lower::Udp { client_port } if self.udp => {
                let lower =
                    ChosenLower::Udp { client_port: client_port?, server_port: (8000, 8001) };
                Some((LowerKind::Udp, lower))
            }
            Lower::Udp { .. } => None,
            Lower::Tcp { interleaved } => {
                let interleaved = interleaved.unwrap_or((0, 1));
                Some((LowerKind::Tcp, ChosenLower::Tcp { interleaved }))
            }
        }
    }
}

/// The value of a header in a reply.
fn header<'a>(reply: &'a str, name: &str) -> &'a str {
    let line = reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {reply}"))
}

/// Sends one request, its line ends written as newlines; it has to be answered with `status`.
fn ask(server: &mut Server, request: &str, status: &str) -> String {
    let request = request.trim_start().replace('\n', "\r\n") + "\r\n";
    let [reply] = &server.talk(&request)[..] else { panic!("not one reply to {request}") };
    assert!(reply.starts_with(&format!("RTSP/1.0 {status}")), "{request}{reply}");
    let cseq = request.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap();
    assert_eq!(header(reply, "CSeq"), cseq);
    reply.clone()
}

fn session_id(reply: &str) -> String {
    let (id, timeout) = header(reply, "Session").split_once(";timeout=").expect("FFmpeg's strstr");
    assert_eq!(timeout, "60");
    id.to_owned()
}

#[test]
fn ffmpeg_over_udp() {
    let mut server = Server::new(true);
    ask(
        &mut server,
        "
OPTIONS rtsp://127.0.0.1:8554/cam RTSP/1.0
CSeq: 1
User-Agent: Lavf59.27.100
",
        "200",
    );
    let described = ask(
        &mut server,
        "
DESCRIBE rtsp://127.0.0.1:8554/cam RTSP/1.0
Accept: application/sdp
CSeq: 2
User-Agent: Lavf59.27.100
",
        "200",
    );
    assert_eq!(header(&described, "Content-Base"), "rtsp://127.0.0.1:8554/cam/");
    assert!(described.ends_with("\r\n\r\na=control:trackID=0\r\n"));
    let set_up = ask(
        &mut server,
        "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
Transport: RTP/AVP/UDP;unicast;client_port=15152-15153
CSeq: 3
User-Agent: Lavf59.27.100
",
        "200",
    );
    assert_eq!(
        header(&set_up, "Transport"),
        "RTP/AVP;unicast;client_port=15152-15153;server_port=8000-8001;ssrc=00001234;mode=\"PLAY\""
    );
    let id = session_id(&set_up);
    let played = ask(
        &mut server,
        &format!(
            "
PLAY rtsp://127.0.0.1:8554/cam/ RTSP/1.0
Range: npt=0.000-
CSeq: 4
User-Agent: Lavf59.27.100
Session: {id}
"
        ),
        "200",
    );
    assert_eq!(
        header(&played, "RTP-Info"),
        "url=rtsp://127.0.0.1:8554/cam/trackID=0;seq=2;rtptime=3"
    );
    assert_eq!(header(&played, "Range"), "npt=now-");
}

/// FFmpeg with no transport chosen: UDP, then on 461 the other one, in the same connection.
#[test]
fn ffmpeg_falls_back_to_tcp() {
    let mut server = Server::new(false);
    ask(
        &mut server,
        "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
Transport: RTP/AVP/UDP;unicast;client_port=32046-32047
CSeq: 3
User-Agent: Lavf59.27.100
",
        "461",
    );
    let set_up = ask(
        &mut server,
        "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
Transport: RTP/AVP/TCP;unicast;interleaved=0-1
CSeq: 4
User-Agent: Lavf59.27.100
",
        "200",
    );
    assert!(header(&set_up, "Transport").starts_with("RTP/AVP/TCP;unicast;interleaved=0-1;"));
}

/// What each client makes of a Content-Base with a query. GStreamer loses the query, but not the
/// stream.
#[test]
fn urls_with_a_query() {
    for (track, aggregate) in [
        ("rtsp://127.0.0.1:8554/cam/?a=b/trackID=0", "rtsp://127.0.0.1:8554/cam/?a=b"), // FFmpeg
        ("rtsp://127.0.0.1:8554/cam/trackID=0", "rtsp://127.0.0.1:8554/cam/?a=b"),      // GStreamer
    ] {
        let mut server = Server::new(false);
        let described = ask(
            &mut server,
            "
DESCRIBE rtsp://127.0.0.1:8554/cam?a=b RTSP/1.0
Accept: application/sdp
CSeq: 2
User-Agent: Lavf59.27.100
",
            "200",
        );
        assert_eq!(header(&described, "Content-Base"), aggregate);
        let set_up = ask(
            &mut server,
            &format!(
                "
SETUP {track} RTSP/1.0
Transport: RTP/AVP/TCP;unicast;interleaved=0-1
CSeq: 3
User-Agent: Lavf59.27.100
"
            ),
            "200",
        );
        let id = session_id(&set_up);
        let played = ask(
            &mut server,
            &format!(
                "
PLAY {aggregate} RTSP/1.0
Range: npt=0.000-
CSeq: 4
User-Agent: Lavf59.27.100
Session: {id}
"
            ),
            "200",
        );
        assert_eq!(header(&played, "RTP-Info"), format!("url={track};seq=2;rtptime=3"));
    }
}

#[test]
fn gstreamer_over_tcp_with_reports_between() {
    let mut server = Server::new(true);
    ask(
        &mut server,
        "
OPTIONS rtsp://127.0.0.1:8554/cam RTSP/1.0
CSeq: 1
User-Agent: GStreamer/1.22.0
Date: Sat, 21 Nov 2020 09:33:04 GMT
",
        "200",
    );
    let set_up = ask(
        &mut server,
        "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
CSeq: 3
User-Agent: GStreamer/1.22.0
Transport: RTP/AVP/TCP;unicast;interleaved=0-1
Date: Sat, 21 Nov 2020 09:33:04 GMT
",
        "200",
    );
    let id = session_id(&set_up);
    // A receiver report and the next request, in one segment.
    let report = String::from_utf8([&interleaved::header(1, 8)[..], b"\0\0\0\0\0\0\0\0"].concat());
    let played = server.talk(&format!(
        "{}PLAY rtsp://127.0.0.1:8554/cam/ RTSP/1.0\r\n\
         CSeq: 4\r\n\
         User-Agent: GStreamer/1.22.0\r\n\
         Range: npt=now-\r\n\
         Session: {id}\r\n\
         Date: Sat, 21 Nov 2020 09:33:04 GMT\r\n\r\n",
        report.unwrap()
    ));
    assert_eq!(played.len(), 2);
    assert_eq!(played[0], "$1 8");
    assert!(played[1].starts_with("RTSP/1.0 200 OK\r\nCSeq: 4\r\n"), "{}", played[1]);
    ask(
        &mut server,
        &format!(
            "
TEARDOWN rtsp://127.0.0.1:8554/cam/ RTSP/1.0
CSeq: 5
User-Agent: GStreamer/1.22.0
Session: {id}
Date: Sat, 21 Nov 2020 09:33:10 GMT
"
        ),
        "200",
    );
    assert!(server.session.is_none());
}

/// rtspsrc tries UDP, then multicast, and asks for each with `RTP/AVP` alone.
#[test]
fn gstreamer_is_told_461_as_long_as_nothing_fits() {
    let mut server = Server::new(false);
    for (cseq, transport) in
        [(3, "RTP/AVP;unicast;client_port=48594-48595"), (4, "RTP/AVP;multicast")]
    {
        ask(
            &mut server,
            &format!(
                "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
CSeq: {cseq}
User-Agent: GStreamer/1.22.0
Transport: {transport}
Date: Sat, 21 Nov 2020 09:33:04 GMT
"
            ),
            "461",
        );
    }
    assert!(server.session.is_none());
}

/// retina begins with DESCRIBE, and keeps alive by OPTIONS on the aggregate URL.
#[test]
fn retina_over_udp() {
    let mut server = Server::new(true);
    let described = ask(
        &mut server,
        "
DESCRIBE rtsp://127.0.0.1:8554/cam RTSP/1.0
Accept: application/sdp
CSeq: 1
User-Agent: lenscast-probe
",
        "200",
    );
    assert_eq!(header(&described, "Content-Type"), "application/sdp");
    let set_up = ask(
        &mut server,
        "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
CSeq: 2
Transport: RTP/AVP/UDP;unicast;client_port=35286-35287
User-Agent: lenscast-probe
",
        "200",
    );
    let id = session_id(&set_up);
    for (cseq, method, range, public) in [
        (3, "PLAY", "Range: npt=0.000-\n", false),
        (4, "OPTIONS", "", true),
        (5, "TEARDOWN", "", false),
    ] {
        let reply = ask(
            &mut server,
            &format!(
                "
{method} rtsp://127.0.0.1:8554/cam/ RTSP/1.0
CSeq: {cseq}
{range}Session: {id}
User-Agent: lenscast-probe
"
            ),
            "200",
        );
        assert_eq!(reply.contains("\r\nPublic: "), public, "{reply}");
    }
    assert!(server.session.is_none());
}

/// yellowstone, by its description: PLAY on the track URL, Session echoed with its parameter, no
/// `unicast` in Transport.
#[test]
fn a_client_of_one_track_url() {
    let mut server = Server::new(true);
    let set_up = ask(
        &mut server,
        "
SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
CSeq: 1
Transport: RTP/AVP/TCP;interleaved=0-1
",
        "200",
    );
    let session = header(&set_up, "Session");
    let played = ask(
        &mut server,
        &format!(
            "
PLAY rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0
CSeq: 2
Session: {session}
"
        ),
        "200",
    );
    assert!(header(&played, "RTP-Info").starts_with("url=rtsp://127.0.0.1:8554/cam/trackID=0;"));
    ask(
        &mut server,
        "
PLAY rtsp://127.0.0.1:8554/cam RTSP/1.0
CSeq: 3
Session: somebodyelsessession
",
        "454",
    );
}
