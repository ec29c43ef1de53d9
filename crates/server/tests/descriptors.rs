//! Out of file descriptors: those who are here are served on, those who wait are taken in when
//! somebody leaves, and nothing spins meanwhile.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use testkit::server_process::ServerProcess;

#[test]
fn accepting_pauses_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let limited = directory.path().join("limited");
    let script = format!(
        "#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_lenscast")
    );
    fs::write(&limited, script).unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o700)).unwrap();
    let server = ServerProcess::start(&limited, &["--source", "test:?size=160x120&fps=5"]);
    let url = server.url("cam");
    let address: SocketAddr = url.split('/').nth(2).unwrap().parse().unwrap();

    let connect = || TcpStream::connect(address).unwrap();
    let mut connections: Vec<_> = (0..2 * DESCRIPTORS).map(|_| connect()).collect();
    assert!(is_answered(&mut connections[0]), "who is here is served on");
    let last = connections.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(!is_answered(last), "there is no descriptor for it");

    let mut last = connections.pop().unwrap();
    drop(connections);
    // Its request has been waiting in the kernel all the while.
    last.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reply = [0; 15];
    last.read_exact(&mut reply).expect("taken in when others have left");
    assert_eq!(&reply, b"RTSP/1.0 200 OK");

    let log = server.stop();
    let complaints = log.matches("cannot accept connections").count();
    assert!((1..=8).contains(&complaints), "{complaints} complaints:\n{log}");
}

fn is_answered(connection: &mut TcpStream) -> bool {
    connection.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").unwrap();
    let mut reply = [0; 15];
    connection.read_exact(&mut reply).is_ok() && &reply == b"RTSP/1.0 200 OK"
}

const DESCRIPTORS: usize = 48;
