use super::*;
use crate::status::snapshot::{Counters, Reported, Server, VERSION};

fn delays(count: u64) -> Delays {
    Delays { count, p50: 0.4, p90: 1.25, p99: 8.7, max: 12.0 }
}

fn step(step: &str, count: u64) -> Step {
    Step { step: step.to_owned(), delays: delays(count) }
}

fn snapshot() -> Snapshot {
    let stream = Stream {
        name: "cam".to_owned(),
        source: "test card".to_owned(),
        state: State::Running,
        encoder: Some("openh264".to_owned()),
        size: Some((1280, 720)),
        nominal_fps: Some(30.0),
        fps: 29.97,
        bitrate: 1_985_000.0,
        pictures: 640,
        keyframes: 22,
        gaps: 1,
        starts: 2,
        failures: 0,
        panics: 0,
        last_failure: None,
        viewers: 1,
        delays: vec![step("encode", 640), step("added", 1)],
    };
    let viewer = Viewer {
        stream: "cam".to_owned(),
        address: "192.0.2.7".parse().unwrap(),
        user: Some("ann".to_owned()),
        agent: Some("Lavf59\x1b]0;mine\x07\u{202e}".to_owned()),
        transport: Transport::Udp,
        playing: true,
        age: 3725.9,
        packets: 2013,
        bytes: 2_378_149,
        refused: 0,
        skipped: 0,
        reported: Some(Reported { lost: -1, fraction_lost: 0.0, jitter: 0.311 }),
        added: delays(600),
    };
    let paused = Viewer {
        user: None,
        agent: None,
        transport: Transport::Tcp,
        playing: false,
        age: 1.0,
        reported: None,
        added: delays(0),
        ..viewer.clone()
    };
    Snapshot {
        version: VERSION,
        server: Server {
            version: "0.1.0".to_owned(),
            pid: 4711,
            listening: vec!["[::]:8554".parse().unwrap()],
            uptime: 90_000.0,
        },
        streams: vec![stream],
        viewers: vec![viewer, paused],
        counters: Counters {
            connections: 9,
            open: 2,
            refused: 3,
            wrong_logins: 4,
            sessions: 2,
            ..Counters::default()
        },
    }
}

#[test]
fn a_person_finds_what_there_is() {
    let expected = "\
lenscast 0.1.0, process 4711, on [::]:8554, for 1 d 1 h
2 connections (9 so far, 3 refused), 2 sessions, 4 wrong logins

cam: test card; runs
  1280x720 encoded by openh264, 30.0 fps of 30.0, 1.99 Mbit/s
  640 pictures, 22 keyframes, 1 gaps, 2 starts, 0 failures, 1 watching
  delay in ms   p50   p90   p99    max  pictures
  encode       0.40  1.25  8.70  12.00       640
  added        0.40  1.25  8.70  12.00         1

stream  address    user  agent             transport    age        packets   MB  lost  jitter ms  skipped  added ms p50/p99
cam     192.0.2.7  ann   Lavf59·]0;mine··  udp          1 h 2 min     2013  2.4    -1        0.3        0         0.40/8.70
cam     192.0.2.7  -     -                 tcp, paused  1 s           2013  2.4     -          -        0                 -
";
    // Lines of this length are read better than broken ones.
    assert_eq!(snapshot().to_string(), expected);
}

#[test]
fn what_is_not_there_is_not_shown() {
    let mut snapshot = snapshot();
    snapshot.viewers.clear();
    let stream = &mut snapshot.streams[0];
    (stream.size, stream.state, stream.delays) = (None, State::Away, Vec::new());
    stream.last_failure = Some("no such device\n  try: lenscast devices".to_owned());
    let expected = "
cam: test card; is away, and tried again
  640 pictures, 22 keyframes, 1 gaps, 2 starts, 0 failures, 1 watching
  failed last: no such device·  try: lenscast devices

Nobody watches.
";
    assert!(snapshot.to_string().ends_with(expected), "{snapshot}");
}

#[test]
fn ages_are_told_in_two_units() {
    let ages = [-1.0, 0.9, 61.0, 3600.0, 86_399.0, 172_800.0, f64::NAN];
    let told = ages.map(|seconds| Age(seconds).to_string());
    assert_eq!(told, ["0 s", "0 s", "1 min 1 s", "1 h 0 min", "23 h 59 min", "2 d 0 h", "0 s"]);
}

#[test]
fn the_document_is_the_same_when_it_has_come_over() {
    let snapshot = snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    // What a later server says in addition is no harm.
    let later = text.replacen("{\"version\":1", "{\"more\":[1],\"version\":1", 1);
    assert_eq!(serde_json::from_str::<Snapshot>(&later).unwrap(), snapshot);
}
