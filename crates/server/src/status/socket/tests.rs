use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream as Blocking},
};

use super::*;
use crate::{
    credentials::Access,
    egress::lines::Lines,
    entropy::Entropy,
    limits::Limits,
    live::mount::{Start, tests::Stream},
    shared::{self, Gate, Streams},
    status::{
        client::{self, Client},
        snapshot::Step,
    },
};

/// A server without connections, its stream, and its socket.
pub(crate) struct House {
    directory: tempfile::TempDir,
    socket: PathBuf,
    stream: Stream,
    _serving: JoinSet<()>,
}

impl House {
    pub(crate) fn new(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stream = Stream::new(Start::OnDemand);
        let mut streams = Streams::default();
        let (mount, lines) = (Arc::clone(&stream.mount), Lines::spawn(&stream.mount));
        streams.insert(shared::Stream { mount, fanout: None, lines });
        let gate = Gate { access: Access::Open, authenticator: None };
        let entropy = Entropy::new(|bytes| bytes.fill(0x80));
        let clock = Arc::clone(&stream.clock);
        let shared = Shared::new(streams, gate, None, Arc::clone(&clock), entropy, limits);
        let about = About {
            listening: vec!["127.0.0.1:8554".parse().unwrap()],
            started: clock.now(),
            sources: [("cam".to_owned(), "a test".to_owned())].into(),
        };
        let socket = Socket::bind(&[directory.path().join("run")]).unwrap();
        let path = socket.path().to_owned();
        let mut serving = JoinSet::new();
        serving.spawn(socket.serve(Arc::new(shared), Arc::new(about)));
        Self { directory, socket: path, stream, _serving: serving }
    }

    pub(crate) fn places(&self) -> [PathBuf; 2] {
        [self.directory.path().join("none"), self.directory.path().join("run")]
    }

    /// What is answered to these bytes, line by line, until the server hangs up or as many have
    /// come as there are lines in them.
    async fn ask(&self, bytes: &[u8]) -> Vec<String> {
        let (path, bytes) = (self.socket.clone(), bytes.to_vec());
        let ask = move || {
            let mut stream = Blocking::connect(path).unwrap();
            stream.write_all(&bytes).unwrap();
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count().max(1);
            BufReader::new(stream).lines().take(lines).map(Result::unwrap).collect()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }
}

async fn find(places: [PathBuf; 2], wanted: Option<u32>) -> Result<Snapshot, client::Error> {
    let find = move || Client::find(&places, wanted).and_then(|mut client| client.ask());
    tokio::task::spawn_blocking(find).await.unwrap()
}

#[tokio::test]
async fn whoever_asks_is_told_each_time() {
    let mut house = House::new(Limits::default());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&house.socket), mode(house.socket.parent().unwrap())), (0o600, 0o700));
    let before = find(house.places(), None).await.unwrap();
    assert_eq!((before.version, before.server.pid), (VERSION, std::process::id()));
    assert_eq!((before.streams[0].pictures, before.streams[0].size), (0, None));
    house.stream.publish_with_sets(&[0x68, 0xce, 0x3c, 0x81]);
    house.stream.publish(false, 100);
    let request = b"{\"get\":\"status\"}\n".repeat(3);
    for line in house.ask(&request).await {
        let after: Snapshot = serde_json::from_str(&line).unwrap();
        let stream = &after.streams[0];
        assert_eq!((stream.name.as_str(), stream.source.as_str()), ("cam", "a test"));
        assert_eq!((stream.pictures, stream.keyframes, stream.size), (2, 1, Some((640, 480))));
        let Step { step, delays } = &stream.delays[0];
        assert_eq!((step.as_str(), delays.count), ("capture", 2));
    }
}

#[tokio::test]
async fn the_server_meant_is_found_by_port_or_process() {
    let house = House::new(Limits::default());
    let own = std::process::id();
    for wanted in [None, Some(8554), Some(own)] {
        assert_eq!(find(house.places(), wanted).await.unwrap().server.pid, own);
    }
    let error = find(house.places(), Some(8555)).await.unwrap_err().to_string();
    assert!(error.contains("port 8555"), "{error}");
    assert!(error.contains(&format!("process {own} on 127.0.0.1:8554 with cam")), "{error}");
}

#[tokio::test]
async fn without_a_server_it_is_said_where_none_was_found() {
    let house = House::new(Limits::default());
    let places = house.places();
    let path = house.socket.clone();
    drop(house);
    assert!(!path.exists(), "the file of a server that is gone");
    let error = find(places.clone(), None).await.unwrap_err().to_string();
    assert!(error.starts_with("no lenscast is running as this user"), "{error}");
    assert!(error.contains(&places[1].display().to_string()), "{error}");
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_harms_nobody() {
    let house = House::new(Limits::default());
    for (bytes, reason) in [
        (&b"{\"get\":\"password\"}\n"[..], "not understood"),
        (b"\n", "not understood"),
        (b"GET / HTTP/1.1\r\n", "not understood"),
        (b"\xff\x00\n", "not understood"),
        (&[b'x'; 5000], "too long"),
    ] {
        let answers = house.ask(bytes).await;
        let refusal: Refusal = serde_json::from_str(&answers[0]).unwrap();
        assert!(refusal.error.contains(reason), "{refusal:?}");
        assert_eq!(refusal.version, VERSION);
    }
    // A line that makes no sense does not end the conversation.
    let answers = house.ask(b"nonsense\n{\"get\":\"status\"}\n").await;
    assert!(serde_json::from_str::<Snapshot>(&answers[1]).is_ok(), "{answers:?}");
}

/// Those who neither ask nor read give way after their time; one more is turned away meanwhile.
#[tokio::test(start_paused = true)]
async fn who_holds_a_place_without_using_it_loses_it() {
    let limits = Limits { status_clients: 2, ..Limits::default() };
    let house = House::new(limits.clone());
    let path = house.socket.clone();
    // The server's time stands still while a blocking thread runs.
    let hold = move || {
        let silent = Blocking::connect(&path).unwrap();
        let mut deaf = Blocking::connect(&path).unwrap();
        let mut one_more = Blocking::connect(&path).unwrap();
        one_more.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(one_more.read(&mut [0; 64]).unwrap(), 0, "it is closed");
        // It asks far more than its buffers hold answers.
        deaf.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let error = deaf.write_all(&b"{\"get\":\"status\"}\n".repeat(100_000)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "not all that was asked is answered");
        (silent, deaf)
    };
    let (mut silent, mut deaf) = tokio::task::spawn_blocking(hold).await.unwrap();
    sleep(2 * limits.status_time).await;
    let released = move || {
        silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(silent.read(&mut [0; 64]).unwrap(), 0);
        let error = deaf.write_all(b"\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    };
    tokio::task::spawn_blocking(released).await.unwrap();
    assert!(find(house.places(), None).await.is_ok(), "a place is free again");
}

#[tokio::test]
async fn sockets_of_the_dead_are_removed_and_those_of_the_living_are_not() {
    let house = House::new(Limits::default());
    let run = house.socket.parent().unwrap();
    // No process has so high a number.
    let dead = place::socket_of(run, u32::MAX);
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let foreign = place::socket_of(run, 1);
    let _listener = std::os::unix::net::UnixListener::bind(&foreign).unwrap();
    prepare(run).unwrap();
    assert!(!dead.exists() && foreign.exists() && house.socket.exists());
    // The very name is taken by one who lives, or left by one who does not.
    let places = [run.to_owned()];
    let error = Socket::bind(&places).unwrap_err();
    assert!(matches!(error, BindError::InUse { owner, .. } if owner == std::process::id() as i32));
    fs::remove_file(&house.socket).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&house.socket).unwrap());
    let socket = Socket::bind(&places).unwrap();
    assert_eq!(socket.path(), house.socket);
}

#[tokio::test]
async fn the_first_place_that_can_be_used_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let long = directory.path().join("a-name-that-no-socket-may-have".repeat(5));
    let good = directory.path().join("good");
    let socket = Socket::bind(&[file.clone(), long.clone(), good.clone()]).unwrap();
    assert_eq!(socket.path().parent(), Some(&*good));
    let error = Socket::bind(&[file.clone(), long]).unwrap_err().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
    assert_eq!(
        Socket::bind(&[]).unwrap_err().to_string(),
        "there is no place for the status socket"
    );
}

#[tokio::test]
async fn a_name_that_another_user_holds_is_no_hindrance() {
    let house = House::new(Limits::default());
    let [other, run] = house.places();
    let socket = Socket::bind_beside(&[run.clone(), other.clone()], |_| false).unwrap();
    assert_eq!(socket.path().parent(), Some(&*other));
    let error = Socket::bind_beside(&[run], |_| false).unwrap_err().to_string();
    assert!(error.contains("another user"), "{error}");
}

/// A server that is stopped neither holds up another, nor is it taken for one that is gone.
#[tokio::test]
async fn one_that_accepts_nothing_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (dead, own) = (u32::MAX, std::process::id());
    let stopped = [dead, own].map(|pid| {
        let path = place::socket_of(directory.path(), pid);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let queue = place::tests::fill(&path);
        (path, listener, queue)
    });
    prepare(directory.path()).unwrap();
    assert!(stopped.iter().all(|(path, ..)| path.exists()));
    let error = Socket::bind(&[directory.path().to_owned()]).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
}
