//! Every player shows the live test card: every picture, in order, whole.

use std::{process::Command, time::SystemTime};

use serde_json::Value;
use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, binary,
    pictures::{GRAY, assert_consecutive},
    player::{Pictures, Player, Transport, Viewing},
    running::output_of,
};

#[test]
fn ffmpeg_udp() {
    shows_every_picture(Player::Ffmpeg, Transport::Udp);
}

#[test]
fn ffmpeg_tcp() {
    shows_every_picture(Player::Ffmpeg, Transport::Tcp);
}

#[test]
fn gstreamer_udp() {
    shows_every_picture(Player::GStreamer, Transport::Udp);
}

#[test]
fn gstreamer_tcp() {
    shows_every_picture(Player::GStreamer, Transport::Tcp);
}

#[test]
fn mpv_udp() {
    shows_every_picture(Player::Mpv, Transport::Udp);
}

#[test]
fn mpv_tcp() {
    shows_every_picture(Player::Mpv, Transport::Tcp);
}

#[test]
fn pyav_udp() {
    shows_every_picture(Player::PyAv, Transport::Udp);
}

#[test]
fn pyav_tcp() {
    shows_every_picture(Player::PyAv, Transport::Tcp);
}

#[test]
fn probe_udp() {
    probe_finds_no_fault(Transport::Udp);
}

#[test]
fn probe_tcp() {
    probe_finds_no_fault(Transport::Tcp);
}

/// The card is drawn by the matrix that players assume of its size, and is announced with it.
#[test]
fn colours_are_told_by_the_stream() {
    for (size, said) in
        [("640x480", "tv,smpte170m,smpte170m,smpte170m"), ("1280x720", "tv,bt709,bt709,bt709")]
    {
        let source = format!("cam=test:?size={size}&fps=15");
        let server = ServerProcess::start(binary(), &["--source", &source, "--user", LOGIN]);
        let mut command = Command::new("ffprobe");
        command.args("-v error -rtsp_transport tcp -timeout 5000000 -of csv=p=0".split(' '));
        command.args([
            "-show_entries",
            "stream=color_range,color_space,color_transfer,color_primaries",
        ]);
        command.arg(server.url_with_login("cam", LOGIN));
        let line = output_of("ffprobe", command);
        assert_eq!(String::from_utf8_lossy(&line).trim(), said, "{size}");
        server.stop();
    }
}

fn shows_every_picture(player: Player, transport: Transport) {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--user", LOGIN]);
    let url = server.url_with_login("cam", LOGIN);
    let pictures = Pictures::Gray;
    let viewing = Viewing { player, transport, url: &url, pictures, frames: Some(FRAMES) };
    let mut running = viewing.start();
    let lumas: Vec<(Vec<u8>, SystemTime)> = (0..FRAMES).map(|_| running.read_whole(GRAY)).collect();
    let rest = running.finish().succeeded().stdout;
    assert_eq!(rest.len(), 0, "{viewing}: bytes after the last picture");
    assert_consecutive(&viewing, &lumas, &server.log());
    server.stop();
}

fn probe_finds_no_fault(transport: Transport) {
    let server = ServerProcess::start(binary(), &["--source", CARD, "--user", LOGIN]);
    let url = server.url_with_login("cam", LOGIN);
    let (player, pictures) = (Player::Probe, Pictures::Gray);
    let viewing = Viewing { player, transport, url: &url, pictures, frames: None };
    let report = viewing.run().succeeded().stdout;
    let report: Value = serde_json::from_slice(&report).expect("the probe prints JSON");
    let expected = [
        ("verdict", Value::from("good")),
        ("ended_early", Value::Null),
        ("width", 320.into()),
        ("height", 240.into()),
        ("damaged_frames", 0.into()),
        ("frames_before_keyframe", 0.into()),
        ("reordered", false.into()),
        ("lost_packets", 0.into()),
        ("missing_at_start_packets", 0.into()),
        ("malformed_packets", 0.into()),
        ("timestamp_gaps", 0.into()),
        ("fps_timestamps", 30.0.into()),
    ];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{viewing}: {key} in {report:#}");
    }
    // Two seconds of 30, less what a busy machine takes.
    let at_least = [("frames", 45), ("keyframes", 2), ("sender_reports", 1)];
    for (key, least) in at_least {
        assert!(report[key].as_u64() >= Some(least), "{viewing}: {key} in {report:#}");
    }
    server.stop();
}

const CARD: &str = "test:?size=320x240&fps=30";
/// A second and a half: more than one GOP.
const FRAMES: usize = 45;
