use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Reads a request, and writes `head` with its CSeq, then `rest`.
async fn answer(stream: &mut TcpStream, head: &str, rest: &[u8]) -> String {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(char::from(stream.read_u8().await.unwrap()));
    }
    let sequence = request.lines().find(|line| line.starts_with("CSeq:")).unwrap();
    let reply = [format!("RTSP/1.0 {head}\r\n{sequence}\r\n\r\n").as_bytes(), rest].concat();
    stream.write_all(&reply).await.unwrap();
    request.lines().next().unwrap().to_owned()
}

fn frame(channel: u8, payload: &[u8]) -> Vec<u8> {
    [&[b'$', channel, 0, payload.len() as u8], payload].concat()
}

/// A server of one keyframe, in one write with the reply to PLAY; and of what it was asked.
async fn serve(listener: TcpListener) -> Vec<String> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let sdp = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t0\r\n";
    let sets = [&[0x80, 0x60, 0, 7, 0, 0, 0, 9, 1, 1, 1, 1], STAP_A].concat();
    let idr = [&[0x80, 0xe0, 0, 8, 0, 0, 0, 9, 1, 1, 1, 1][..], &[0x65, 1]].concat();
    let report = [&[0x80, 200, 0, 6, 1, 1, 1, 1][..], &[0; 20]].concat();
    let media = [frame(1, &report), frame(0, &sets), frame(0, &idr)].concat();
    let describe =
        format!("200 OK\r\nContent-Base: rtsp://h/cam/\r\nContent-Length: {}", sdp.len());
    let goodbye = frame(1, &[0x81, 203, 0, 1, 1, 1, 1, 1]);
    let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let set_up = "200 OK\r\nSession: x;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1";
    let play = "200 OK\r\nRTP-Info: url=rtsp://h/cam/t0;seq=7;rtptime=9";
    let mut asked = Vec::new();
    for (head, rest) in [
        (challenge, &b""[..]),
        (&*describe, sdp.as_bytes()),
        (set_up, b""),
        (play, &media),
        ("200 OK", b""),
    ] {
        asked.push(answer(&mut stream, head, rest).await);
        if asked.len() == 4 {
            // Ahead of the reply to TEARDOWN, and not before that was asked for.
            let mut first = [0];
            stream.peek(&mut first).await.unwrap();
            stream.write_all(&goodbye).await.unwrap();
        }
    }
    asked
}

#[tokio::test]
async fn what_comes_with_the_reply_to_play_counts_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let config = Config {
        url: format!("rtsp://{}/cam", listener.local_addr().unwrap()).parse().unwrap(),
        transport: Transport::Tcp,
        login: Some(Login { user: "u".to_owned(), password: "p".to_owned() }),
        duration: Duration::from_millis(100),
        offload: false,
        from: None,
    };
    let (report, asked) = tokio::join!(watch(&config), serve(listener));
    let report = report.unwrap();
    assert_eq!(report.faults(), [""; 0]);
    let play = report.replies.iter().find(|reply| reply.method == "PLAY").unwrap();
    let first = report.first_packet.unwrap();
    assert!(first - play.after < config.duration, "{first:?} {play:?}");
    assert_eq!(report.first_keyframe, Some(first));
    assert_eq!(
        asked,
        [
            format!("DESCRIBE {} RTSP/1.0", config.url),
            format!("DESCRIBE {} RTSP/1.0", config.url),
            "SETUP rtsp://h/cam/t0 RTSP/1.0".to_owned(),
            "PLAY rtsp://h/cam/ RTSP/1.0".to_owned(),
            "TEARDOWN rtsp://h/cam/ RTSP/1.0".to_owned(),
        ]
    );
}

#[test]
fn viewers_join_in_order_and_at_no_even_pace() {
    let times: Vec<_> = join_times(40, Duration::from_secs(40)).collect();
    assert!(times.is_sorted() && times.len() == 40);
    assert!(times[39] <= Duration::from_secs(40));
    // Every quarter of a second is met about as often.
    for quarter in 0..4 {
        let meets = |time: &&Duration| time.subsec_millis() / 250 == quarter;
        let met = times.iter().filter(meets).count();
        assert!((4..=16).contains(&met), "{met} in quarter {quarter}");
    }
}

const STAP_A: &[u8] = &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2];
