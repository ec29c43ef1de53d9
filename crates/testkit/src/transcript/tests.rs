use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{pattern::*, *};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

#[test]
fn names_are_taken_once_and_then_have_to_agree() {
    let mut names = Names::new();
    assert!(pattern("Session: {id};timeout={_}").matches("Session: abc;timeout=60", &mut names));
    assert_eq!(names["id"], "abc");
    assert!(pattern("Session: {id}").matches("Session: abc", &mut names));
    assert!(!pattern("Session: {id}").matches("Session: abcd", &mut names));
    assert!(!pattern("Session: {id}").matches("Session: ", &mut names));
    assert!(pattern("Session: {id!}").matches("Session: abcd", &mut names));
    assert_eq!(names["id"], "abcd");
    assert!(pattern("{a}-{b};x").matches("8000-8001;x", &mut names));
    assert_eq!((&*names["a"], &*names["b"]), ("8000", "8001"));
    assert!(pattern("{a}-{a}").matches("8000-8000", &mut names));
    assert!(!pattern("{a}-{a}").matches("8000-8001", &mut names));
    assert!(pattern("Server: {*}").matches("Server: anything; at all", &mut names));
    assert!(!pattern("CSeq: 1").matches("CSeq: 12", &mut names));
    assert!(!pattern("{new} x").matches("1 y", &mut names), "not of this form");
    assert!(!names.contains_key("new"));
}

/// What FFmpeg 5.1 and retina 0.4 answered to one server's challenges.
#[test]
fn digests_are_those_of_real_clients() {
    let request =
        RequestLine::parse("SETUP rtsp://127.0.0.1:28369/cam/trackID=0 RTSP/1.0").unwrap();
    let nonce = "000000092a74ae5bc1e9cde1158b8ab61de5dbc143ac79dc";
    let realm = "lenscast-3pbk4xna";
    let mut names = Names::new();
    assert!(
        pattern("Digest realm=\"{realm}\", nonce=\"{nonce}\"")
            .matches(&format!("Digest realm=\"{realm}\", nonce=\"{nonce}\""), &mut names)
    );
    assert_eq!(
        pattern("Authorization: {digest lens secret}").fill(&names, &request).unwrap(),
        format!(
            "Authorization: Digest username=\"lens\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"rtsp://127.0.0.1:28369/cam/trackID=0\", \
             response=\"38cad89e030cdd3a0c08dbfb452f1896\""
        )
    );
    let request = RequestLine { method: "TEARDOWN".into(), uri: "rtsp://elsewhere/".into() };
    names.insert("nonce".into(), "000000114b69b29d22a4e45aa7f3f1658f8e369a1b2c5c60".into());
    let line = pattern("uri=\"rtsp://127.0.0.1:20024/cam/\", response=\"{response lens secret}\"");
    assert!(line.fill(&names, &request).unwrap().ends_with("\"b49689872a7a203e7b0e9aa3b2e3c930\""));
    assert!(pattern("{digest a b}").fill(&Names::new(), &request).is_err());
}

/// What libcurl 8.23, and with the last two left out aiortsp 1.4, answered to one server's challenges.
#[test]
fn digests_by_sha256_are_those_of_real_clients() {
    let mut names = Names::new();
    names.insert("realm".into(), "lenscast-66q7j727".into());
    let mut response = |request, nonce: &str, piece| {
        names.insert("nonce".into(), nonce.into());
        pattern(piece).fill(&names, &RequestLine::parse(request).unwrap())
    };
    assert_eq!(
        response(
            "SETUP rtsp://127.0.0.1:19691/cam/trackID=0 RTSP/1.0",
            "0000000142d7b738433305c34b9ab8ef8c0375aa5e5925aa",
            "{response256 lens secret 00000002 DJS5NOzqcAcqcfpv}",
        ),
        Ok("edc152b1028a3d6a3d3ead24fbd23c9ce828a7c00dac14bc83832667f2c5be8a".into())
    );
    assert_eq!(
        response(
            "DESCRIBE rtsp://127.0.0.1:19730/cam RTSP/1.0",
            "00000001c1b0209508e14ff5bc91218b24d235ee53941332",
            "{response256 lens secret}",
        ),
        Ok("378aeec8aea7db7c298960563ccfd5f5560c6c1e35ddb3ab373d7874a8a0c43c".into())
    );
    assert!(response("PLAY /cam RTSP/1.0", "n", "{response256 lens secret}").is_err());
}

#[test]
fn lines_that_mean_nothing_are_refused_by_number() {
    for text in [
        "hello",
        "C; x",
        "S? y",
        "@ 61s",
        "@ +x",
        "S: {a",
        "C$ 300 00",
        "S$ 0 rtp blue",
        "S$ 0 rtp size=3",
        "U< tcp",
        "U! loud",
        "U2! loud",
        "Ux> rtp 00",
        "S! sleeps",
        "X now",
        "C: {a b}",
        "C: {response256 a b c}",
    ] {
        let error = Transcript::parse(&format!("# a comment\n\n{text}\n")).unwrap_err();
        assert_eq!(error.line, 3, "{text}");
    }
    assert_eq!(duration("+1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(duration("+40ms"), Ok(Duration::from_millis(40)));
}

/// Answers what it gets with what it is told.
struct Parrot(Option<DuplexStream>);

impl Parrot {
    fn saying(bytes: &'static [u8]) -> Self {
        let (near, mut far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let mut heard = [0; 64];
            let _ = far.read(&mut heard).await;
            let _ = far.write_all(bytes).await;
        });
        Self(Some(near))
    }
}

impl World for Parrot {
    type Stream = DuplexStream;

    async fn direct(&mut self, direction: &str) -> Result<(), String> {
        Err(format!("no {direction}"))
    }

    async fn connect(&mut self) -> DuplexStream {
        self.0.take().expect("one connection")
    }

    fn client_ports(&self) -> Option<(u16, u16)> {
        None
    }

    fn send_datagram(&mut self, _: Place, _: &[u8]) {}

    fn receive_datagram(&mut self, _: Place, _: bool) -> Option<Vec<u8>> {
        None
    }
}

async fn play(said: &'static [u8], transcript: &str) -> Result<(), Failure> {
    let transcript = Transcript::parse(transcript).unwrap();
    Player::new(Parrot::saying(said), Cuts::default()).play(&transcript).await.map(drop)
}

#[tokio::test]
async fn what_comes_has_to_be_what_is_written() {
    const SAID: &[u8] = b"RTSP/1.0 200 OK\r\nContent-Length: 4\r\n\r\na\r\nb\
        $\0\0\x0e\x80\xe0\0\x07\0\0\0\x09\0\0\0\x01\x65\x88$\x01\0\x01x";
    let head = "C: hi\nS: RTSP/1.0 200 OK\nS: Content-Length: 4\nS:\n";
    play(SAID, &format!("{head}S~\nS$ 0 rtp idr marker seq=7 rtptime=9\nS$ …\nS! closed"))
        .await
        .unwrap();
    for (wrong, line) in [
        ("S: b", 5),
        ("S~\nS$ 0 rtp slice", 6),
        ("S~\nS$ 0 rtp idr seq=8", 6),
        ("S~\nS$ 1 rtp idr", 6),
        ("S~\nS$ 1 …\nS! closed", 7),
        ("S~\nS! quiet", 6),
        ("S~\n% dance", 6),
    ] {
        let failure = play(SAID, &format!("{head}{wrong}")).await.expect_err(wrong);
        assert_eq!(failure.line, line, "{failure}");
    }
}
