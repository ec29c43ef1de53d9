//! A camera that is not there when the server starts: the server starts, says so, and tells those
//! who ask.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use testkit::server_process::ServerProcess;

#[test]
fn a_missing_camera_is_a_503_and_the_reason_is_in_the_log() {
    let sources = ["--source", "gone=v4l2:/dev/video4711", "--source", "card=test:?size=160x120"];
    let server = ServerProcess::start(BINARY, &[&sources[..], &["--open"]].concat());
    assert!(describe(&server, "card").starts_with("RTSP/1.0 200 OK"));
    let said = describe(&server, "gone");
    assert!(said.starts_with("RTSP/1.0 503 Service Unavailable"), "{said}");
    let log = server.stop();
    let lost = "the source cannot be opened; it is tried again reason=";
    let reason = "/dev/video4711";
    assert!(log.lines().any(|line| line.contains(lost) && line.contains(reason)), "{log}");
    let refused = log.lines().find(|line| line.contains("nothing to show"));
    assert!(refused.is_some_and(|line| line.contains(reason)), "{log}");
    // At the start, and while somebody waits: ever more rarely, and not all of it is said.
    let tries = log.matches(lost).count();
    assert!((2..=5).contains(&tries), "{tries} times:\n{log}");
}

fn describe(server: &ServerProcess, stream: &str) -> String {
    let url = server.url(stream);
    let address = url.split('/').nth(2).expect("a URL");
    let mut connection = TcpStream::connect(address).expect("the server listens");
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("it can be set");
    write!(connection, "DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n").expect("it can be written");
    let mut reply = [0; 512];
    let length = connection.read(&mut reply).expect("an answer in time");
    String::from_utf8_lossy(&reply[..length]).into_owned()
}

const BINARY: &str = env!("CARGO_BIN_EXE_lenscast");
