//! The players and how each is told what to play.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    binary,
    running::{Finished, Running},
};

/// A player.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    Ffmpeg,
    GStreamer,
    Mpv,
    PyAv,
    /// `lenscast probe`, which is retina.
    Probe,
}

/// How packets travel.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What a player shall write to its standard output.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pictures {
    /// The luma of each picture.
    Gray,
    /// Luma, then both chroma planes of each picture.
    Yuv420p,
}

/// What to play and how; shown in every failure.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Viewing<'a> {
    pub(crate) player: Player,
    pub(crate) transport: Transport,
    /// With user and password where they are needed.
    pub(crate) url: &'a str,
    pub(crate) pictures: Pictures,
    /// Ends after as many pictures; `None`: when the stream ends.
    pub(crate) frames: Option<usize>,
}

impl fmt::Display for Viewing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.url.splitn(4, '/').nth(3).unwrap_or_default();
        write!(f, "{:?} over {:?} on /{stream}", self.player, self.transport)
    }
}

impl Viewing<'_> {
    /// Starts the player.
    pub(crate) fn start(&self) -> Running {
        Running::start(self, self.command(), LIMIT)
    }

    /// Plays to the end, whatever it is.
    pub(crate) fn run(&self) -> Finished {
        self.start().finish()
    }

    /// The player's command line.
    pub(crate) fn command(&self) -> Command {
        match self.player {
            Player::Ffmpeg => self.ffmpeg(),
            Player::GStreamer => self.gstreamer(),
            Player::Mpv => self.mpv(),
            Player::PyAv => self.pyav(),
            Player::Probe => self.probe(),
        }
    }

    fn ffmpeg(&self) -> Command {
        let pixels = match self.pictures {
            Pictures::Gray => "gray",
            Pictures::Yuv420p => "yuv420p",
        };
        let mut command = ffmpeg_strict(self.transport, self.url);
        command.args(["-pix_fmt", pixels]);
        if let Some(frames) = self.frames {
            command.args(["-frames:v", &frames.to_string()]);
        }
        command.args(["-f", "rawvideo", "-"]);
        command
    }

    fn gstreamer(&self) -> Command {
        let format = match self.pictures {
            Pictures::Gray => "GRAY8",
            Pictures::Yuv420p => "I420",
        };
        let (url, login) = without_login(self.url);
        let mut command = Command::new("gst-launch-1.0");
        command.args(["-q", "rtspsrc", &format!("location={url}")]);
        command.arg(format!("protocols={}", self.transport));
        if let Some((user, password)) = login {
            command.args([format!("user-id={user}"), format!("user-pw={password}")]);
        }
        command.args("latency=200 timeout=5000000 ! rtph264depay ! h264parse".split(' '));
        command.args("! avdec_h264 output-corrupt=false".split(' '));
        if let Some(frames) = self.frames {
            // It ends *at* that buffer, which is not passed on.
            command.args(["!", "identity", &format!("eos-after={}", frames + 1), "silent=true"]);
        }
        command.args(["!", "videoconvert", "!", &format!("video/x-raw,format={format}")]);
        command.args("! fdsink fd=1 sync=false".split(' '));
        command
    }

    fn mpv(&self) -> Command {
        let pixels = match self.pictures {
            Pictures::Gray => "gray",
            Pictures::Yuv420p => "yuv420p",
        };
        let mut command = Command::new("mpv");
        command.args("--no-config --no-audio --network-timeout=8 --msg-level=all=error".split(' '));
        // Its encoding mode, for the pictures; otherwise it plays as it does for people.
        command.args("--of=rawvideo --ovc=rawvideo --o=/dev/stdout --orawts".split(' '));
        command.args([
            format!("--vf=format={pixels}"),
            format!("--rtsp-transport={}", self.transport),
        ]);
        if let Some(frames) = self.frames {
            command.arg(format!("--frames={frames}"));
        }
        command.arg(self.url);
        command
    }

    fn pyav(&self) -> Command {
        let pixels = match self.pictures {
            Pictures::Gray => "gray",
            Pictures::Yuv420p => "yuv420p",
        };
        let mut command = python("pyav_player.py");
        command.args([self.url, &self.transport.to_string(), pixels]);
        command.arg(self.frames.unwrap_or(0).to_string());
        command
    }

    fn probe(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["probe", "--json", "--seconds", "2", "--transport"]);
        command.args([&self.transport.to_string(), self.url]);
        command
    }
}

/// FFmpeg that takes no damage for granted, up to its input: every picture in the order and with
/// the time it came with, every error an end.
///
/// `-copyts`: FFmpeg does not know the time of the first picture of an H.264 stream from RTSP and
/// moves all others towards it when it may.
pub(crate) fn ffmpeg_strict(transport: Transport, url: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args("-nostdin -v error -xerror -err_detect explode -timeout 5000000".split(' '));
    // UDP loses packets with the usual 208 KB of the system when both cores are busy.
    command.args(["-rtsp_transport", &transport.to_string(), "-buffer_size", "4194304"]);
    command.args(["-i", url, "-an", "-fps_mode", "passthrough", "-copyts"]);
    // By its own choice it would count in whole pictures, and two could fall on one number.
    command.args(["-enc_time_base", "1:90000"]);
    command
}

/// FFmpeg's prober: codec, width, height and rate, as a line with commas.
pub(crate) fn ffprobe(transport: Transport, url: &str) -> Command {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-rtsp_transport", &transport.to_string()]);
    command.args("-timeout 5000000 -of csv=p=0 -show_entries".split(' '));
    command.args(["stream=codec_name,width,height,r_frame_rate", url]);
    command
}

/// A script of ours, in the Python with what it imports.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(python_program());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script));
    command
}

/// Where `cargo xtask test --install` puts Python with its packages: beside what cargo builds.
pub(crate) fn python_program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory");
    target.join("python/bin/python")
}

/// The URL without user and password, and those.
fn without_login(url: &str) -> (String, Option<(&str, &str)>) {
    let rest = url.strip_prefix("rtsp://").expect("an RTSP URL");
    match rest.split_once('@') {
        Some((login, rest)) => (format!("rtsp://{rest}"), login.split_once(':')),
        None => (url.to_owned(), None),
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// Of one player from start to end; well under the limit of the test runner, which names no stream.
pub(crate) const LIMIT: Duration = Duration::from_secs(14);
