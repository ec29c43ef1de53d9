//! The real binary and many viewers, for as long as `LENSCAST_SOAK_SECONDS` says: what each of them
//! gets is complete at the socket, and the server is as before when they are gone.
//!
//! Not part of the everyday run:
//! `LENSCAST_SOAK_SECONDS=60 cargo test -p lenscast --test soak -- --nocapture --test-threads 1`.
//! `LENSCAST_BINARY` names another binary to hold against the viewers, such as a release build.

use std::{
    env,
    ffi::OsString,
    fs,
    time::{Duration, Instant},
};

use futures::future::join_all;
use testkit::{
    server_process::ServerProcess,
    viewer::{self, Closed, Config, Login, Process, Report, Summary, Transport, Usage},
};
use tokio::{
    runtime::Builder,
    time::{interval, sleep_until},
};

#[test]
fn hundred_viewers_miss_nothing() {
    let source = "hundred=test:?size=640x360&fps=15&bitrate=1M&on_demand=false";
    let server = ServerProcess::start(binary(), &["--source", source, "--user", LOGIN]);
    let process = process_of("hundred");
    on_one_thread(async {
        let start = process.usage().unwrap();
        // What is allocated once, for the first viewer of each kind, is no growth.
        watch_all(&config(&server, "hundred", WARM_UP), 2, Duration::ZERO).await;
        let before = settled(&process, &start).await;

        let config = config(&server, "hundred", soak_time());
        let (reports, stalled) = tokio::join!(
            watch_all(&config, 100, JOIN_OVER),
            viewer::stall(&config, STALL_TIME + STALL_SLACK)
        );
        let during = process.usage().unwrap();
        print(&reports);
        for report in &reports {
            // Whatever it is, it must not be what the viewers' own sockets had no room for.
            assert_eq!(report.own_drops, 0, "the viewers are too slow for this test");
            assert_eq!(report.faults(), [""; 0], "{:?}", report.transport);
            assert!(report.is_announced, "PLAY was answered without the first packet's numbers");
        }
        match stalled.unwrap().closed {
            Closed::After(after) => println!("stalled viewer: closed after {after:.1?}"),
            other => panic!("the stalled viewer was not closed: {other:?}"),
        }

        let after = settled(&process, &start).await;
        println!(
            "server memory: {} KB before, {} KB with viewers, {} KB after",
            before.resident >> 10,
            during.resident >> 10,
            after.resident >> 10
        );
        let growth = after.peak.saturating_sub(before.resident);
        assert!(growth <= MOST_GROWTH, "memory grew by {growth} bytes");
    });
    let log = server.log();
    let over: Vec<_> = log.lines().filter(|line| line.contains("session over")).collect();
    assert_eq!(over.len(), 2 + 100 + 1, "{log}");
    let (stalled, watched): (Vec<&str>, Vec<&str>) =
        over.iter().partition(|line| line.contains("stalled"));
    assert_eq!(stalled.len(), 1, "{log}");
    for line in watched {
        assert!(line.contains("skipped=0 refused=0"), "{line}");
    }
    server.stop();
}

#[test]
fn joins_at_every_phase() {
    let source = "joins=test:?size=640x360&fps=15&bitrate=1M&gop=1s";
    let server = ServerProcess::start(binary(), &["--source", source, "--user", LOGIN]);
    let reports = on_one_thread(async {
        let config = config(&server, "joins", Duration::from_millis(500));
        watch_all(&config, 40, Duration::from_secs(9)).await
    });
    print(&reports);
    for report in &reports {
        assert_eq!(report.own_drops, 0, "the viewers are too slow for this test");
        // Among them: the first packet is of a keyframe, and the one that was announced.
        assert_eq!(report.faults(), [""; 0], "{:?}", report.transport);
        assert!(report.first_keyframe.is_some());
    }
    server.stop();
}

/// So many viewers, every other by TCP.
async fn watch_all(config: &Config, count: usize, over: Duration) -> Vec<Report> {
    let begin = Instant::now();
    let watching = viewer::join_times(count, over).enumerate().map(|(number, after)| {
        let transport = if number % 2 == 0 { Transport::Udp } else { Transport::Tcp };
        let config = Config { transport, ..config.clone() };
        async move {
            sleep_until((begin + after).into()).await;
            viewer::watch(&config).await.unwrap()
        }
    });
    join_all(watching).await
}

/// Waits until the server has as many files and threads as at the `start`.
async fn settled(process: &Process, start: &Usage) -> Usage {
    let deadline = Instant::now() + SETTLE;
    let mut looks = interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        let now = process.usage().unwrap();
        if (now.descriptors, now.threads) == (start.descriptors, start.threads) {
            return now;
        }
        assert!(Instant::now() < deadline, "not as before: {start:?}, now {now:?}");
    }
}

fn print(reports: &[Report]) {
    let Summary { viewers, packets, units, first_keyframe, frame_gap, announced, .. } =
        Summary::of(reports);
    println!("{viewers} viewers, {announced} announced: {packets} packets, {units} frames");
    println!("from connecting to the first whole keyframe: {first_keyframe:.1?}");
    println!("from frame to frame: {frame_gap:.1?}");
}

fn config(server: &ServerProcess, stream: &str, duration: Duration) -> Config {
    let (user, password) = LOGIN.split_once(':').unwrap();
    let login = Login { user: user.to_owned(), password: password.to_owned() };
    Config {
        url: server.url(stream).parse().unwrap(),
        transport: Transport::Udp,
        login: Some(login),
        duration,
        // Datagram by datagram, as players get them.
        offload: false,
        from: None,
    }
}

/// The child of this process that serves this stream.
fn process_of(stream: &str) -> Process {
    let source = format!("{stream}=test:");
    let mut found = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name in parentheses: the state, then the parent.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()?;
        (parent == std::process::id() && command.contains(&source)).then_some(id)
    });
    Process::new(found.next().expect("the server is a child of this test"))
}

/// All viewers in one thread, so that the server has the other processors.
fn on_one_thread<T>(run: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
}

/// The binary under test.
fn binary() -> OsString {
    env::var_os("LENSCAST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_lenscast").into())
}

/// By default a little more than the server bears with a stalled viewer.
fn soak_time() -> Duration {
    let seconds = env::var("LENSCAST_SOAK_SECONDS").map_or(15, |value| value.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Name and password of the one user.
const LOGIN: &str = "lens:s3cret-and-long";
const WARM_UP: Duration = Duration::from_millis(500);
const JOIN_OVER: Duration = Duration::from_secs(1);
/// How long the server bears with a viewer that takes nothing (`Limits::stall_time`).
const STALL_TIME: Duration = Duration::from_secs(10);
/// Some seconds of the stream fit into buffers before the viewer is seen to stall.
const STALL_SLACK: Duration = Duration::from_secs(8);
/// Time in which connections that were closed are let go.
const SETTLE: Duration = Duration::from_secs(5);
/// The server's log is there from the start; a viewer costs some kilobytes.
const MOST_GROWTH: u64 = 16 << 20;
