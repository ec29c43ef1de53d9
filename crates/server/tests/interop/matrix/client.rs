//! The clients of the table: how each is called, told what to play, and asked for its version.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    player::{Pictures, Player, Transport, Viewing, ffprobe, python, python_program},
    running::output_of,
};

/// A client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Ffmpeg,
    Ffprobe,
    GStreamer,
    Mpv,
    OpenCv,
    PyAv,
    /// In this very process.
    Retina,
    Aiortsp,
    Curl,
    Yellowstone,
}

/// What a client hands out, and hence what is proved.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its pictures, bit by bit those that FFmpeg decodes from the file.
    Decoded,
    /// Its pictures, bit by bit those that it decodes from the file itself.
    DecodedAsBgr,
    /// Its RTP packets or access units: every NAL unit of the file, byte by byte.
    AccessUnits,
    /// What the stream is.
    Description,
}

impl Client {
    /// What it hands out.
    pub(super) fn proof(self) -> Proof {
        match self {
            Self::Ffmpeg | Self::GStreamer | Self::Mpv | Self::PyAv => Proof::Decoded,
            Self::OpenCv => Proof::DecodedAsBgr,
            Self::Retina | Self::Aiortsp | Self::Curl | Self::Yellowstone => Proof::AccessUnits,
            Self::Ffprobe => Proof::Description,
        }
    }

    /// What makes it play as many pictures and write them to its standard output.
    pub(super) fn command(self, transport: Transport, url: &str, frames: usize) -> Command {
        let viewing = |player| Viewing {
            player,
            transport,
            url,
            pictures: Pictures::Yuv420p,
            frames: Some(frames),
        };
        let mut command = match self {
            Self::Ffmpeg => return viewing(Player::Ffmpeg).command(),
            Self::GStreamer => return viewing(Player::GStreamer).command(),
            Self::Mpv => return viewing(Player::Mpv).command(),
            Self::PyAv => return viewing(Player::PyAv).command(),
            Self::Ffprobe => return ffprobe(transport, url),
            Self::OpenCv => python("opencv_player.py"),
            Self::Aiortsp => python("aiortsp_player.py"),
            Self::Curl => python("curl_player.py"),
            Self::Yellowstone => {
                let mut node = node();
                node.arg(Path::new(SCRIPTS).join("yellowstone_player.js"));
                node
            }
            Self::Retina => panic!("retina is no program"),
        };
        command.args([url, &transport.to_string(), &frames.to_string()]);
        command
    }

    /// What makes it decode a file, whole.
    pub(super) fn command_for_file(self, path: &Path) -> Command {
        assert_eq!(self, Self::OpenCv, "the others' pictures are FFmpeg's");
        let mut command = python("opencv_player.py");
        command.arg(path).args(["file", "0"]);
        command
    }

    /// Its version, as it says itself.
    pub(super) fn version(self) -> String {
        let of_package = |name: &str| {
            let mut python = Command::new(python_program());
            python.arg("-c");
            python.arg(format!("from importlib.metadata import version; print(version({name:?}))"));
            python
        };
        let says = |mut command: Command, arguments: &[&str]| {
            command.args(arguments);
            let said = output_of(&format!("asking {self} for its version"), command);
            String::from_utf8_lossy(&said).into_owned()
        };
        match self {
            Self::Ffmpeg => word(&says(Command::new("ffmpeg"), &["-version"]), "version"),
            Self::Ffprobe => word(&says(Command::new("ffprobe"), &["-version"]), "version"),
            Self::GStreamer => {
                word(&says(Command::new("gst-launch-1.0"), &["--version"]), "version")
            }
            Self::Mpv => word(&says(Command::new("mpv"), &["--version"]), "mpv"),
            Self::OpenCv => says(of_package("opencv-python-headless"), &[]).trim().to_owned(),
            Self::PyAv => says(of_package("av"), &[]).trim().to_owned(),
            Self::Aiortsp => says(of_package("aiortsp"), &[]).trim().to_owned(),
            Self::Curl => {
                let mut python = Command::new(python_program());
                python.args(["-c", "import pycurl; print(pycurl.version_info()[1])"]);
                says(python, &[]).trim().to_owned()
            }
            Self::Yellowstone => {
                let asks = "console.log(require('yellowstone/package.json').version)";
                says(node(), &["-e", asks]).trim().to_owned()
            }
            Self::Retina => locked("retina"),
        }
    }

    /// All of them, as in the table.
    pub(super) const ALL: [Self; 10] = [
        Self::Ffmpeg,
        Self::Ffprobe,
        Self::GStreamer,
        Self::Mpv,
        Self::OpenCv,
        Self::PyAv,
        Self::Retina,
        Self::Aiortsp,
        Self::Curl,
        Self::Yellowstone,
    ];
}

/// As people call it.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ffmpeg => "FFmpeg",
            Self::Ffprobe => "ffprobe",
            Self::GStreamer => "GStreamer rtspsrc",
            Self::Mpv => "mpv",
            Self::OpenCv => "OpenCV",
            Self::PyAv => "PyAV",
            Self::Retina => "retina",
            Self::Aiortsp => "aiortsp",
            Self::Curl => "libcurl",
            Self::Yellowstone => "yellowstone",
        })
    }
}

/// Node with what `cargo xtask test --install` puts beside what cargo builds.
fn node() -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory");
    let modules: PathBuf = target.join("node/node_modules");
    let mut node = Command::new("node");
    node.env("NODE_PATH", modules);
    node
}

/// The word after `before`, up to what a distribution adds.
fn word(said: &str, before: &str) -> String {
    let mut words = said.split_whitespace().skip_while(|word| *word != before).skip(1);
    let version = words.next().unwrap_or_else(|| panic!("no version in {said:?}"));
    version.split(['-', '+']).next().unwrap_or(version).to_owned()
}

/// The version of a crate that this is built with.
fn locked(name: &str) -> String {
    let lock = include_str!("../../../../../Cargo.lock");
    let package = format!("name = {name:?}\nversion = \"");
    let (_, rest) = lock.split_once(&package).expect("a crate of Cargo.lock");
    rest.split('"').next().unwrap_or_default().to_owned()
}

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
