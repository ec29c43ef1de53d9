//! Who gets in, and by which URL.

use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, WRONG_LOGIN, binary,
    pictures::{GRAY, assert_consecutive},
    player::{Pictures, Player, Transport, Viewing},
};

#[test]
fn ffmpeg_with_a_wrong_password_is_refused() {
    is_refused(Player::Ffmpeg, "401 Unauthorized");
}

#[test]
fn gstreamer_with_a_wrong_password_is_refused() {
    is_refused(Player::GStreamer, "Unauthorized");
}

#[test]
fn mpv_with_a_wrong_password_is_refused() {
    is_refused(Player::Mpv, "401 Unauthorized");
}

#[test]
fn pyav_with_a_wrong_password_is_refused() {
    is_refused(Player::PyAv, "Unauthorized");
}

#[test]
fn the_probe_with_a_wrong_password_is_refused() {
    is_refused(Player::Probe, "401");
}

#[test]
fn without_a_password_nobody_gets_in() {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--user", LOGIN]);
    let there = server.url("cam");
    // Whoever may not watch is not told which streams there are.
    let not_there = format!("{}/nothing", there.trim_end_matches("/cam"));
    for url in [there, not_there] {
        let viewing = viewing(Player::Ffmpeg, &url, Some(1));
        let finished = viewing.run();
        assert!(!finished.status.success(), "{viewing} without a password: it plays");
        assert!(finished.stderr.contains("401 Unauthorized"), "{viewing}: {}", finished.stderr);
    }
}

#[test]
fn ffmpeg_plays_an_open_server_at_its_root() {
    plays_openly_at_the_root(Player::Ffmpeg);
}

#[test]
fn gstreamer_plays_an_open_server_at_its_root() {
    plays_openly_at_the_root(Player::GStreamer);
}

#[test]
fn mpv_plays_an_open_server_at_its_root() {
    plays_openly_at_the_root(Player::Mpv);
}

#[test]
fn pyav_plays_an_open_server_at_its_root() {
    plays_openly_at_the_root(Player::PyAv);
}

#[test]
fn the_probe_plays_an_open_server_at_its_root() {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--open"]);
    let url = root(&server);
    viewing(Player::Probe, &url, None).run().succeeded();
}

fn is_refused(player: Player, words: &str) {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--user", LOGIN]);
    let url = server.url_with_login("cam", WRONG_LOGIN);
    let viewing = viewing(player, &url, Some(1));
    let finished = viewing.run();
    assert!(!finished.status.success(), "{viewing} with a wrong password: exit code 0");
    let said = format!("{}{}", String::from_utf8_lossy(&finished.stdout), finished.stderr);
    assert!(said.contains(words), "{viewing} with a wrong password, without {words:?}:\n{said}");
    server.stop();
}

fn plays_openly_at_the_root(player: Player) {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--open"]);
    let url = root(&server);
    let viewing = viewing(player, &url, Some(10));
    let mut running = viewing.start();
    let lumas: Vec<_> = (0..10).map(|_| running.read_whole(GRAY)).collect();
    running.finish().succeeded();
    assert_consecutive(&viewing, &lumas, &server.log());
}

fn viewing(player: Player, url: &str, frames: Option<usize>) -> Viewing<'_> {
    Viewing { player, transport: Transport::Tcp, url, pictures: Pictures::Gray, frames }
}

/// The server's URL with no stream named.
fn root(server: &ServerProcess) -> String {
    let url = server.url("cam");
    url.strip_suffix("cam").expect("the URL ends in the stream's name").to_owned()
}

const CARD: &str = "test:?size=320x240&fps=30";
