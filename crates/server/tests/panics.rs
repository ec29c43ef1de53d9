//! A worker that panics is started again; whoever watches sees a pause.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{
    server_process::ServerProcess,
    viewer::{Config, Report, Transport, watch},
};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn viewers_stay_when_the_source_panics() {
    viewers_stay(Signal::SIGUSR1, "the source is lost").await;
}

#[tokio::test]
async fn viewers_stay_when_the_encoder_panics() {
    viewers_stay(Signal::SIGUSR2, "the encoder has panicked").await;
}

async fn viewers_stay(panic: Signal, said: &str) {
    let source = "cam=test:?size=320x240&fps=30&gop=10s";
    let server = ServerProcess::start(BINARY, &["--source", source, "--open"]);
    let viewer = |transport| Config {
        url: server.url("cam").parse().expect("a URL"),
        transport,
        login: None,
        duration: Duration::from_secs(4),
        offload: false,
        from: None,
    };
    let disturb = async {
        // To DESCRIBE, SETUP and PLAY, which is answered when the first picture is there.
        until(&server, "reply status=200", 6).await;
        let pid = Pid::from_raw(server.id().try_into().expect("a process id"));
        kill(pid, panic).expect("the server runs");
        until(&server, said, 1).await;
    };
    let (tcp, udp) = (viewer(Transport::Tcp), viewer(Transport::Udp));
    let (tcp, udp, ()) = tokio::join!(watch(&tcp), watch(&udp), disturb);
    let reports: [Report; 2] = [tcp, udp].map(|report| report.expect("it watched to its end"));
    for report in &reports {
        assert_eq!(report.faults(), [""; 0], "{:?}", report.transport);
        // The first, and that of the encoder that was opened anew.
        assert!(report.keyframes.len() >= 2, "{:?}: {:?}", report.transport, report.keyframes);
    }
    let log = server.stop();
    let panics = log.matches("a bug: asked for by a signal").count();
    assert_eq!(panics, 1, "it is said once:\n{log}");
    assert_eq!(log.matches("session over").count(), 2, "nobody was thrown out:\n{log}");
}

async fn until(server: &ServerProcess, line: &str, times: usize) {
    let seen = async {
        while server.log().matches(line).count() < times {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(Duration::from_secs(10), seen).await.is_err() {
        panic!("the log never said {line:?} {times} times:\n{}", server.log());
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_lenscast");
