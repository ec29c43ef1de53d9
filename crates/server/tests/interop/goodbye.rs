//! SIGTERM while players watch: they end as at the end of a film, and the server within a second.

use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, binary,
    pictures::{GRAY, assert_consecutive},
    player::{LIMIT, Pictures, Player, Transport, Viewing, ffmpeg_strict},
    running::Running,
};

#[test]
fn ffmpeg_udp() {
    ends_by_bye(Transport::Udp);
}

#[test]
fn ffmpeg_tcp() {
    ends_by_bye(Transport::Tcp);
}

#[test]
fn gstreamer_udp() {
    ends_cleanly(Player::GStreamer, Transport::Udp);
}

#[test]
fn gstreamer_tcp() {
    ends_cleanly(Player::GStreamer, Transport::Tcp);
}

#[test]
fn mpv_udp() {
    ends_cleanly(Player::Mpv, Transport::Udp);
}

#[test]
fn mpv_tcp() {
    ends_cleanly(Player::Mpv, Transport::Tcp);
}

#[test]
fn pyav_udp() {
    ends_cleanly(Player::PyAv, Transport::Udp);
}

#[test]
fn pyav_tcp() {
    ends_cleanly(Player::PyAv, Transport::Tcp);
}

/// FFmpeg says in its log what made it end.
fn ends_by_bye(transport: Transport) {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--user", LOGIN]);
    let mut command = ffmpeg_strict(transport, &server.url_with_login("cam", LOGIN));
    command.args("-loglevel debug -pix_fmt gray -f rawvideo -".split(' '));
    let name = format!("FFmpeg over {transport} at the server's end");
    let mut running = Running::start(&name, command, LIMIT);
    for _ in 0..FRAMES {
        running.read_whole(GRAY);
    }
    server.stop();
    let log = running.finish().succeeded().stderr;
    assert!(log.contains("Received BYE for stream 0"), "{name}: no BYE in its log:\n{log}");
}

fn ends_cleanly(player: Player, transport: Transport) {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--user", LOGIN]);
    let url = server.url_with_login("cam", LOGIN);
    let pictures = Pictures::Gray;
    let viewing = Viewing { player, transport, url: &url, pictures, frames: None };
    let mut running = viewing.start();
    let mut lumas: Vec<_> = (0..FRAMES).map(|_| running.read_whole(GRAY)).collect();
    let server_log = server.stop();
    while let Some(luma) = running.read(GRAY) {
        lumas.push(luma);
    }
    running.finish().succeeded();
    assert_consecutive(&viewing, &lumas, &server_log);
}

const CARD: &str = "test:?size=320x240&fps=30";
/// Pictures after which the server is told to stop.
const FRAMES: usize = 15;
