//! Files arrive bit by bit as they are, in order, across the seam of the loop, in time.

use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, binary,
    pictures::{CLIP, Clip, YUV420P, assert_cyclic, parse_framemd5},
    player::{LIMIT, Pictures, Player, Transport, Viewing, ffmpeg_strict},
    running::Running,
};

#[test]
fn annexb_ffmpeg_udp() {
    arrives_in_time_by_ffmpeg(&Clip::baseline(), Transport::Udp);
}

#[test]
fn annexb_ffmpeg_tcp() {
    arrives_in_time_by_ffmpeg(&Clip::baseline(), Transport::Tcp);
}

#[test]
fn b_frames_ffmpeg_udp() {
    arrives_in_time_by_ffmpeg(&Clip::b_frames(), Transport::Udp);
}

#[test]
fn b_frames_ffmpeg_tcp() {
    arrives_in_time_by_ffmpeg(&Clip::b_frames(), Transport::Tcp);
}

#[test]
fn b_frames_gstreamer_udp() {
    arrives_whole(&Clip::b_frames(), Player::GStreamer, Transport::Udp);
}

#[test]
fn b_frames_gstreamer_tcp() {
    arrives_whole(&Clip::b_frames(), Player::GStreamer, Transport::Tcp);
}

#[test]
fn b_frames_pyav_udp() {
    arrives_whole(&Clip::b_frames(), Player::PyAv, Transport::Udp);
}

#[test]
fn b_frames_pyav_tcp() {
    arrives_whole(&Clip::b_frames(), Player::PyAv, Transport::Tcp);
}

/// Hashes and presentation times, by FFmpeg's `framemd5`.
fn arrives_in_time_by_ffmpeg(clip: &Clip, transport: Transport) {
    let server = ServerProcess::start(binary(), &["--source", &clip.source(), "--user", LOGIN]);
    let name = format!("FFmpeg over {transport} on {}", clip.path.display());
    let mut command = ffmpeg_strict(transport, &server.url_with_login("cam", LOGIN));
    command.args(["-frames:v", &FRAMES.to_string(), "-f", "framemd5", "-"]);
    let finished = Running::start(&name, command, LIMIT).finish().succeeded();
    let (times, hashes): (Vec<i64>, Vec<String>) = parse_framemd5(&finished.stdout)
        .map(|picture| (picture.presentation, picture.hash))
        .unzip();
    assert_eq!(hashes.len(), FRAMES, "{name}: pictures received");
    assert_cyclic(&name, &clip.hashes, &hashes);
    // Each picture at its time to the tick, also where the loop begins anew.
    for (index, pair) in times.windows(2).enumerate() {
        assert_eq!(pair[1] - pair[0], FRAME_TICKS, "{name}: picture {index} in {times:?}");
    }
    server.stop();
}

/// The pictures alone, bit by bit.
fn arrives_whole(clip: &Clip, player: Player, transport: Transport) {
    let server = ServerProcess::start(binary(), &["--source", &clip.source(), "--user", LOGIN]);
    let url = server.url_with_login("cam", LOGIN);
    let pictures = Pictures::Yuv420p;
    let viewing = Viewing { player, transport, url: &url, pictures, frames: Some(FRAMES) };
    let output = viewing.run().succeeded().stdout;
    let received: Vec<Vec<u8>> = output.chunks(YUV420P).take(FRAMES).map(<[u8]>::to_vec).collect();
    // What comes after these is what GStreamer's decoder held when it was told to end: not whole.
    assert_eq!(received.len(), FRAMES, "{viewing}: pictures received");
    assert_cyclic(&viewing, &clip.pictures, &received);
    server.stop();
}

/// More than the clip has: wherever a player begins, it sees the seam.
const FRAMES: usize = CLIP + 25;
/// 25 pictures a second on the 90 kHz clock.
const FRAME_TICKS: i64 = 3600;
