//! `lenscast status` while players watch: the commands of docs/status.md, and what the document says
//! of who is there.

use std::{fs, path::Path, process::Command, time::Instant};

use serde_json::Value;
use testkit::server_process::ServerProcess;

use crate::{LOGIN, binary, player::LIMIT, running::Running};

#[test]
fn the_commands_of_the_documentation() {
    let mut server = serve();
    let url = server.url("cam");
    let port = url.trim_start_matches("rtsp://127.0.0.1:").trim_end_matches("/cam").to_owned();
    let commands = commands();
    assert_eq!(commands.len(), 4, "{commands:?}");
    let mut watching = Vec::new();
    for words in commands {
        let words: Vec<_> = words.iter().map(|word| word.replace("8554", &port)).collect();
        let mut running = ask(&server, &words);
        if words.iter().any(|word| word == "--watch") {
            let (shown, _) = running.read_whole(8);
            assert_eq!(String::from_utf8_lossy(&shown), "lenscast");
            watching.push(running);
            continue;
        }
        let shown = running.finish().succeeded().stdout;
        let shown = String::from_utf8_lossy(&shown);
        let expected = if words.iter().any(|word| word == "--json") {
            let document: Value = serde_json::from_str(&shown).expect("a document");
            assert_eq!(document["server"]["pid"], server.id());
            "\"streams\""
        } else {
            "cam: test card, 640x480 at 30 fps"
        };
        assert!(shown.contains(expected), "{words:?} says\n{shown}");
    }
    server.terminate();
    for running in watching {
        let finished = running.finish();
        assert_eq!(finished.status.code(), Some(1), "the end of the server is the end");
        assert!(finished.stderr.contains("does not answer"), "{}", finished.stderr);
    }
    server.wait(LIMIT);
    let left: Vec<_> = fs::read_dir(server.runtime_directory()).expect("it is there").collect();
    let is_socket = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".sock");
    assert!(!left.iter().flatten().any(|entry| is_socket(&entry.file_name())), "{left:?}");
    // Of the machine's own servers, should there be any, none is the one that is named.
    let finished = ask(&server, &["status".to_owned(), server.id().to_string()]).finish();
    assert!(matches!(finished.status.code(), Some(1 | 2)), "{}", finished.stderr);
    let of_it = [format!("process {} on", server.id()), format!("status-{}.sock", server.id())];
    assert!(!of_it.iter().any(|text| finished.stderr.contains(text)), "{}", finished.stderr);
}

#[test]
fn who_watches_and_where_the_time_goes() {
    let server = serve();
    let url = server.url_with_login("cam", LOGIN);
    let players = ["udp", "tcp"].map(|transport| {
        let mut player = Command::new("ffmpeg");
        player.args("-nostdin -v error -rtsp_transport".split(' ')).args([transport, "-i", &url]);
        player.args(["-f", "null", "-"]);
        Running::start(format!("FFmpeg over {transport}"), player, LIMIT)
    });
    let begin = Instant::now();
    let document = loop {
        let document = document(&server);
        let viewers = document["viewers"].as_array().expect("viewers");
        let is_counted = |viewer: &Value| viewer["added"]["count"].as_u64() > Some(0);
        if viewers.len() == 2 && viewers.iter().all(is_counted) {
            break document;
        }
        assert!(begin.elapsed() < LIMIT, "{document:#}\n{}", server.log());
    };
    drop(players);
    let mut transports = Vec::new();
    for viewer in document["viewers"].as_array().expect("viewers") {
        let says = |key: &str| viewer[key].as_str().unwrap_or_default().to_owned();
        assert_eq!((says("stream"), says("address")), ("cam".to_owned(), "127.0.0.1".to_owned()));
        assert_eq!(says("user"), "lens");
        assert!(says("agent").starts_with("Lavf"), "{viewer:#}");
        assert_eq!(viewer["playing"], true);
        assert!(viewer["bytes"].as_u64() > viewer["packets"].as_u64(), "{viewer:#}");
        transports.push(says("transport"));
    }
    transports.sort();
    assert_eq!(transports, ["tcp", "udp"]);
    let stream = &document["streams"][0];
    assert_eq!((&stream["name"], &stream["state"]), (&"cam".into(), &"running".into()));
    assert_eq!(stream["size"], serde_json::json!([640, 480]));
    assert_eq!((&stream["failures"], &stream["viewers"]), (&0.into(), &2.into()));
    assert!(stream["encoder"].is_string() && stream["fps"].as_f64() > Some(0.0), "{stream:#}");
    assert!(stream["keyframes"].as_u64() > Some(0), "{stream:#}");
    let steps = stream["delays"].as_array().expect("delays");
    let names: Vec<_> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    let first = ["capture", "convert", "wait", "encode", "packetize"];
    let second = ["queue", "send", "pacing", "added", "total"];
    assert_eq!(names, [first, second].concat());
    // A part is never longer than the whole.
    let p99 =
        |name: &str| steps.iter().find(|step| step["step"] == name).expect(name)["p99"].as_f64();
    assert!(p99("added") <= p99("total") && p99("pacing") <= p99("send"), "{stream:#}");
    assert_eq!(document["counters"]["wrong_logins"], 0);
}

fn serve() -> ServerProcess {
    let card = "cam=test:?size=640x480&fps=30";
    ServerProcess::start(binary(), &["--source", card, "--user", LOGIN])
}

fn document(server: &ServerProcess) -> Value {
    let words = ["status", "--json"].map(str::to_owned);
    serde_json::from_slice(&ask(server, &words).finish().succeeded().stdout).expect("a document")
}

/// Runs lenscast where `server` is found, and nobody else's but what is in `/run/lenscast`, which
/// is looked into last.
fn ask(server: &ServerProcess, words: &[String]) -> Running {
    let mut command = Command::new(binary());
    command.args(words).env_remove("STATE_DIRECTORY");
    for name in ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME"] {
        command.env(name, server.runtime_directory());
    }
    Running::start(format!("lenscast {}", words.join(" ")), command, LIMIT)
}

/// What follows `lenscast` in each line of the first block of docs/status.md.
fn commands() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/status.md");
    let text = fs::read_to_string(path).expect("a page on status");
    let block = text.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n"));
    let line = |line: &str| {
        let (command, _) = line.split_once('#').expect("what it is for");
        let words = command.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words[0], "lenscast", "{line}");
        words[1..].to_vec()
    };
    block.expect("a block of commands").lines().map(line).collect()
}
