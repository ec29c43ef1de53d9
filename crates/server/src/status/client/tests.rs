use std::{io::BufRead, os::unix::net::UnixListener, path::Path};

use super::*;
use crate::{limits::Limits, status::socket::tests::House};

/// One who gives everybody this answer, until the test is over.
fn answer(directory: &Path, pid: u32, line: &'static str) {
    std::fs::create_dir_all(directory).unwrap();
    let listener = UnixListener::bind(place::socket_of(directory, pid)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let _ = BufReader::new(&stream).read_line(&mut String::new());
            let _ = (&stream).write_all(line.as_bytes());
        }
    });
}

async fn find(places: &[PathBuf], wanted: Option<u32>) -> Result<Snapshot, Error> {
    let places = places.to_vec();
    let find = move || Client::find(&places, wanted).and_then(|mut client| client.ask());
    tokio::task::spawn_blocking(find).await.unwrap()
}

#[tokio::test]
async fn one_that_cannot_be_understood_hides_no_other() {
    let house = House::new(Limits::default());
    let [none, run] = house.places();
    // In another directory, and beside it.
    answer(&none, 1, "{\"version\":2}\n");
    answer(&run, 2, "what?\n");
    let places = [none, run.clone()];
    let own = std::process::id();
    for wanted in [8554, own] {
        assert_eq!(find(&places, Some(wanted)).await.unwrap().server.pid, own);
    }
    // The one that was named is the one that is spoken of.
    let error = find(&places, Some(2)).await.unwrap_err();
    assert!(matches!(&error, Error::Foreign { path, .. } if *path == place::socket_of(&run, 2)));
    let error = find(&places, Some(8555)).await.unwrap_err();
    assert!(matches!(&error, Error::Several { servers, .. } if servers.len() == 3), "{error:?}");
    let error = find(&[run.clone(), run], None).await.unwrap_err();
    assert!(matches!(&error, Error::Several { servers, .. } if servers.len() == 2), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&format!("process {own} on")), "{said}");
    assert!(said.contains("another version"), "{said}");
}

#[test]
fn one_that_is_stopped_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = place::socket_of(directory.path(), 7);
    let _listener = UnixListener::bind(&path).unwrap();
    let patience = Duration::from_millis(10);
    let find = |wanted| {
        let places = [directory.path().to_owned()];
        let found = Client::find_among(&places, wanted, patience, |_, _| true);
        found.and_then(|mut client| client.ask()).unwrap_err()
    };
    // It has room for some who wait, and then for nobody.
    for wanted in [None, Some(7), Some(8)] {
        assert!(matches!(find(wanted), Error::Silent { .. }), "{wanted:?}");
    }
    let _queue = place::tests::fill(&path);
    for wanted in [None, Some(7), Some(8)] {
        assert!(matches!(find(wanted), Error::Silent { .. }), "{wanted:?}");
    }
}

#[tokio::test]
async fn strangers_are_not_asked() {
    let house = House::new(Limits::default());
    let [none, run] = house.places();
    let error = Client::find_among(&[none, run.clone()], None, PATIENCE, |_, _| false);
    assert!(matches!(error, Err(Error::Denied(place)) if place == run));
    let (ann, bob) = (1000, 1001);
    for (own, user, directory_of, trusted) in [
        (ann, ann, Some(ROOT), true),
        (ann, ROOT, Some(ROOT), true),
        (ann, bob, Some(ROOT), false),
        (ann, bob, Some(bob), false),
        (ROOT, ROOT, Some(ROOT), true),
        // A service that has a directory of its own, and one who may write to everybody's.
        (ROOT, bob, Some(bob), true),
        (ROOT, bob, Some(ROOT), false),
        (ROOT, bob, Some(ann), false),
        (ROOT, bob, None, false),
    ] {
        assert_eq!(is_trusted(own, user, directory_of), trusted, "{own} {user} {directory_of:?}");
    }
}

/// A terminal obeys nothing of what a server says.
#[tokio::test]
async fn what_servers_say_is_shown_as_plain_text() {
    let house = House::new(Limits::default());
    let [none, run] = house.places();
    let mut snapshot = find(&[run], None).await.unwrap();
    snapshot.streams[0].name = "\x1b]0;mine\x07\u{9b}2J\u{202e}".to_owned();
    let several = Error::Several { wanted: None, servers: vec![Ok(snapshot)] };
    answer(&none, 1, "{\"version\":1,\"error\":\"\\u001b]0;mine\\u0007\"}\n");
    let refused = find(std::slice::from_ref(&none), None).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    let foreign = Error::Foreign { path: none, reason: "\x1b]0;mine\x07".to_owned() };
    for said in [several, refused, foreign].map(|error| error.to_string()) {
        assert!(said.contains("·]0;mine·"), "{said:?}");
        let obeyed = |character: char| character.is_control() && character != '\n';
        assert!(!said.contains(obeyed) && !said.contains('\u{202e}'), "{said:?}");
    }
}
