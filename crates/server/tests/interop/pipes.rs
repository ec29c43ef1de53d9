//! Pictures and H.264 from a pipe, to the last one; the server ends with the pipe.

use std::time::Duration;

use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, binary,
    pictures::{Clip, GRAY, YUV420P, assert_cyclic, ffmpeg, stamped_numbers, stamped_pictures},
    player::{Pictures, Player, Transport, Viewing},
    running::Feeder,
};

#[test]
fn raw_pictures_udp() {
    raw_pictures(Transport::Udp);
}

#[test]
fn raw_pictures_tcp() {
    raw_pictures(Transport::Tcp);
}

#[test]
fn h264_udp() {
    h264(Transport::Udp);
}

#[test]
fn h264_tcp() {
    h264(Transport::Tcp);
}

/// What OpenCV people do: raw pictures from a program, which stops some time.
fn raw_pictures(transport: Transport) {
    let directory = tempfile::tempdir().expect("a directory for pictures");
    let file = directory.path().join("pictures.yuv");
    stamped_pictures(&file, RAW);
    let mut command = ffmpeg();
    command
        .args("-re -f rawvideo -pix_fmt yuv420p -video_size 320x240 -framerate 15 -i".split(' '));
    command.arg(file).args("-f rawvideo -pix_fmt yuv420p -".split(' '));
    let source = "stdin:yuv420p?size=320x240&fps=15";
    let lumas = watch_to_the_end(command, source, transport, Pictures::Gray, GRAY);
    let numbers = stamped_numbers(&lumas);
    let first = *numbers.first().expect("at least one picture");
    assert_eq!(numbers, (first..RAW).collect::<Vec<_>>(), "over {transport}: to the last picture");
}

/// H.264 that is there already.
fn h264(transport: Transport) {
    let clip = Clip::baseline_mp4(ENCODED);
    let mut command = ffmpeg();
    command.args("-re -i".split(' ')).arg(&clip.path);
    command.args("-c copy -bsf:v h264_mp4toannexb -f h264 -".split(' '));
    let source = "stdin:h264?fps=25";
    let received = watch_to_the_end(command, source, transport, Pictures::Yuv420p, YUV420P);
    let name = format!("FFmpeg over {transport} on a pipe of H.264");
    assert!(received.len() > 25, "{name}: only {} pictures", received.len());
    let last = assert_cyclic(&name, &clip.pictures, &received);
    assert_eq!(last, ENCODED - 1, "{name}: the last picture");
}

/// Feeds a server, and watches with FFmpeg, until the pipe ends; then both must end well.
fn watch_to_the_end(
    feeder: std::process::Command,
    source: &str,
    transport: Transport,
    pictures: Pictures,
    size: usize,
) -> Vec<Vec<u8>> {
    let mut feeder = Feeder::start("the pipe's FFmpeg", feeder);
    let arguments = ["--source", source, "--user", LOGIN];
    let mut server = ServerProcess::start_with_input(binary(), &arguments, feeder.output());
    let url = server.url_with_login("cam", LOGIN);
    let player = Player::Ffmpeg;
    let viewing = Viewing { player, transport, url: &url, pictures, frames: None };
    let output = viewing.run().succeeded().stdout;
    let status = server.wait(AFTER_THE_PIPE);
    assert!(status.success(), "{viewing}: at the end of {source} the server ends with {status}");
    assert_eq!(output.len() % size, 0, "{viewing}: the last picture is cut");
    output.chunks(size).map(<[u8]>::to_vec).collect()
}

/// Five seconds of 15 pictures.
const RAW: u32 = 75;
/// Four seconds of 25 pictures.
const ENCODED: usize = 100;
/// The server says goodbye to everyone, then ends.
const AFTER_THE_PIPE: Duration = Duration::from_secs(2);
