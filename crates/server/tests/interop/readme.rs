//! "How do I …" of the README: each command as it stands there, but for the address.
//!
//! Players that open a window get a screen of their own, of the size of the picture, and what is
//! on that screen is looked at: the [bit strip](strip) says whether it is the stream, and whether
//! it moves.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use capture::synthetic::strip;
use tempfile::TempDir;
use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, binary,
    pictures::ENCODER_SKIPPED,
    player::{LIMIT, python_program},
    running::{Finished, Running, output_of},
};

#[test]
fn mpv() {
    shows_the_stream("mpv");
}

#[test]
fn ffplay() {
    shows_the_stream("ffplay");
}

#[test]
fn gstreamer() {
    shows_the_stream("gst-launch-1.0");
}

#[test]
fn opencv() {
    let mut server = serve();
    let script = block("python").replace(ADDRESS, &server.url_with_login("cam", LOGIN));
    let mut command = Command::new(python_program());
    command.args(["-u", "-c", &script]);
    let mut running = Running::start("the README's OpenCV program", command, LIMIT);
    // It runs until the stream ends: three lines, and then that end.
    let mut lines = Vec::new();
    while lines.iter().filter(|byte| **byte == b'\n').count() < 3 {
        lines.extend(running.read_whole(1).0);
    }
    server.terminate();
    let finished = running.finish().succeeded();
    server.wait(LIMIT);
    lines.extend(finished.stdout);
    for line in String::from_utf8_lossy(&lines).lines() {
        assert!(line.starts_with(&format!("({HEIGHT}, {WIDTH}, 3) ")), "{line}");
    }
}

#[test]
fn recording() {
    let server = serve();
    let directory = tempfile::tempdir().expect("a directory for a recording");
    let words = command("ffmpeg", &server.url_with_login("cam", LOGIN));
    let seconds = words.iter().skip_while(|word| *word != "-t").nth(1).expect("a length");
    let seconds: usize = seconds.parse().expect("a number of seconds");
    run(&words, &directory).succeeded();
    let output = words.last().expect("a file to write");
    let numbers = numbers_in(&directory.path().join(output));
    // The time of the first picture is FFmpeg's guess: one more or less.
    assert!(numbers.len().abs_diff(seconds * FPS) <= 2, "{} pictures", numbers.len());
    assert_whole(&numbers, &server);
}

/// Frigate runs FFmpeg; these are its arguments for the preset named in the README, for detection
/// and for recording at once.
#[test]
fn frigate() {
    let server = serve();
    let yaml = block("yaml");
    let value = |key: &str| {
        let line =
            yaml.lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in\n{yaml}")).trim().to_owned()
    };
    assert_eq!(value("input_args:"), "preset-rtsp-generic");
    assert_eq!(value("roles:"), "[detect, record]");
    let url = value("path:").replace(ADDRESS, &server.url_with_login("cam", LOGIN));
    let directory = tempfile::tempdir().expect("a directory for recordings");
    let mut command = Command::new("ffmpeg");
    command.args("-hide_banner -loglevel warning -nostdin -threads 2".split(' '));
    command.args(["-user_agent", "FFmpeg Frigate/0.17"]);
    command.args("-avoid_negative_ts make_zero -fflags +genpts+discardcorrupt".split(' '));
    command.args("-rtsp_transport tcp -timeout 10000000 -use_wallclock_as_timestamps 1".split(' '));
    command.args(["-i", &url]);
    command.args("-f segment -segment_time 2 -segment_format mp4 -reset_timestamps 1".split(' '));
    command.args("-c copy -an -t 5 part-%02d.mp4".split(' '));
    command.args("-r 5 -vf".split(' ')).arg(format!("fps=5,scale={WIDTH}:{HEIGHT}"));
    command.args("-threads 2 -t 5 -f rawvideo -pix_fmt yuv420p pipe:".split(' '));
    command.current_dir(&directory);
    let finished = Running::start("FFmpeg as Frigate runs it", command, LIMIT).finish().succeeded();
    let looked_at = finished.stdout.chunks(WIDTH * HEIGHT * 3 / 2);
    let numbers: Vec<u32> = looked_at.map(|picture| number(&picture[..WIDTH * HEIGHT])).collect();
    assert!(numbers.len().abs_diff(25) <= 2, "{numbers:?} at 5 a second for 5 seconds");
    assert!(numbers.is_sorted(), "{numbers:?}");
    let mut recorded = Vec::new();
    for part in 0..2 {
        recorded.extend(numbers_in(&directory.path().join(format!("part-{part:02}.mp4"))));
    }
    assert_whole(&recorded, &server);
}

#[test]
fn probe() {
    let server = serve();
    let mut words = command("lenscast", &server.url_with_login("cam", LOGIN));
    words[0] = binary().into_string().expect("a path in UTF-8");
    let directory = tempfile::tempdir().expect("a directory");
    let finished = run(&words, &directory).succeeded();
    let report = String::from_utf8_lossy(&finished.stdout);
    assert!(report.contains(&format!("{WIDTH}x{HEIGHT}")), "{report}");
}

#[test]
fn status() {
    let server = serve();
    let words = commands().into_iter().find(|words| *words == STATUS).expect("it is there");
    let mut command = Command::new(binary());
    command.args(&words[1..]).env("RUNTIME_DIRECTORY", server.runtime_directory());
    let finished = Running::start("the README's status", command, LIMIT).finish().succeeded();
    let shown = String::from_utf8_lossy(&finished.stdout);
    assert!(shown.contains(&format!("cam: test card, {WIDTH}x{HEIGHT}")), "{shown}");
}

/// What is run above, and VLC, which Debian builds without RTSP: nobody ran that one.
#[test]
fn every_command_has_a_test() {
    let mut programs: Vec<String> = commands().iter().map(|words| words[0].clone()).collect();
    programs.sort();
    let own = ["lenscast", "lenscast"];
    assert_eq!(
        programs,
        [&["ffmpeg", "ffplay", "gst-launch-1.0"], &own[..], &["mpv", "vlc"]].concat()
    );
    for words in commands() {
        let has_address = words.iter().any(|word| word.contains(ADDRESS));
        assert!(has_address || words == STATUS, "{words:?}");
    }
    let languages: Vec<String> = blocks().into_iter().map(|(language, _)| language).collect();
    assert_eq!(languages, ["sh", "python", "sh", "yaml", "sh", "sh"]);
}

/// Runs the README's command for `program` until three different pictures were on its screen.
fn shows_the_stream(program: &str) {
    let server = serve();
    let screen = Screen::start();
    let words = command(program, &server.url_with_login("cam", LOGIN));
    let home = tempfile::tempdir().expect("a directory for settings");
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("DISPLAY", &screen.display).env("SDL_AUDIODRIVER", "dummy");
    // Nobody's settings but its own; and no display server but ours.
    command.env("HOME", home.path()).env("MPV_HOME", home.path()).env_remove("WAYLAND_DISPLAY");
    command.env("XDG_RUNTIME_DIR", home.path()).current_dir(&home);
    let _player = Running::start(format!("the README's {program}"), command, LIMIT);
    let begin = Instant::now();
    let mut numbers: Vec<u32> = Vec::new();
    while numbers.len() < 3 {
        assert!(begin.elapsed() < LIMIT, "{program}: on the screen were pictures {numbers:?}");
        // Before the first picture anything may be there, and while one is drawn, parts of two.
        match strip::read(&screen.luma(), WIDTH, WIDTH, HEIGHT) {
            Ok(stamp) if numbers.last() != Some(&stamp.frame) => numbers.push(stamp.frame),
            _ => {}
        }
    }
    assert!(numbers.is_sorted(), "{program}: {numbers:?}");
}

fn serve() -> ServerProcess {
    let card = format!("cam=test:?size={WIDTH}x{HEIGHT}&fps={FPS}");
    ServerProcess::start(binary(), &["--source", &card, "--user", LOGIN])
}

fn run(words: &[String], directory: &TempDir) -> Finished {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(directory);
    Running::start(format!("the README's {}", words[0]), command, LIMIT).finish()
}

/// The numbers of the pictures in a recording, as FFmpeg decodes them.
#[track_caller]
fn numbers_in(recording: &Path) -> Vec<u32> {
    let mut decode = Command::new("ffmpeg");
    decode.args("-nostdin -v error -xerror -i".split(' ')).arg(recording);
    decode.args("-fps_mode passthrough -f rawvideo -pix_fmt gray -".split(' '));
    output_of("decoding a recording", decode).chunks(WIDTH * HEIGHT).map(number).collect()
}

/// Checks that pictures count up by one, but where the server says that it had no time to encode.
#[track_caller]
fn assert_whole(numbers: &[u32], server: &ServerProcess) {
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let missing: u32 = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    let skipped = server.log().matches(ENCODER_SKIPPED).count();
    assert!(missing as usize <= skipped, "{skipped} were skipped, but of {numbers:?} {missing}");
}

#[track_caller]
fn number(luma: &[u8]) -> u32 {
    strip::read(luma, WIDTH, WIDTH, HEIGHT).expect("a strip in each picture").frame
}

/// The README's command that starts with `program`, in words, for `url`.
fn command(program: &str, url: &str) -> Vec<String> {
    let mut all = commands().into_iter().filter(|words| words[0] == program);
    let words =
        all.next().unwrap_or_else(|| panic!("the README does not say how to use {program}"));
    words.iter().map(|word| word.replace(ADDRESS, url)).collect()
}

/// All lines of its `sh` blocks, in words; there is no quoting in them.
fn commands() -> Vec<Vec<String>> {
    let shell = blocks().into_iter().filter(|(language, _)| language == "sh");
    let lines = shell.flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The one block in `language`.
fn block(language: &str) -> String {
    let mut all = blocks().into_iter().filter(|(of, _)| of == language);
    all.next().unwrap_or_else(|| panic!("the README has no block in {language}")).1
}

/// The blocks of the section, each with its language.
fn blocks() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(path).expect("a README");
    let (_, section) = text.split_once("\n## How do I …\n").expect("a section How do I");
    let (section, _) = section.split_once("\n## ").expect("a section after it");
    let mut blocks = Vec::new();
    for block in section.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a block with lines");
        blocks.push((language.to_owned(), text.to_owned()));
    }
    blocks
}

/// A display server without a screen to look at. Ended when dropped.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn start() -> Self {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"]);
        command.arg(format!("{WIDTH}x{HEIGHT}x24"));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap_or_else(|error| {
            panic!("Xvfb: {error}; `cargo xtask test --install` installs it")
        });
        // It chooses a free number and writes it when it is ready.
        let mut number = String::new();
        let stdout = server.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut number).expect("Xvfb says its number");
        Self { server, display: format!(":{}", number.trim()) }
    }

    /// What is on the screen now.
    fn luma(&self) -> Vec<u8> {
        let mut grab = Command::new("ffmpeg");
        grab.args("-nostdin -v error -f x11grab -draw_mouse 0 -video_size".split(' '));
        grab.arg(format!("{WIDTH}x{HEIGHT}")).args(["-i", &self.display]);
        grab.args("-frames:v 1 -pix_fmt gray -f rawvideo -".split(' '));
        output_of("looking at the screen", grab)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The one command that needs no URL.
const STATUS: [&str; 2] = ["lenscast", "status"];
/// What the README writes for the URL.
const ADDRESS: &str = "rtsp://lens:PASSWORD@camera.local:8554/cam";
const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const FPS: usize = 30;
