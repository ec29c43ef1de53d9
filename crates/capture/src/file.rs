//! H.264 files, looped seamlessly: Annex B (ITU-T H.264 Annex B) and MP4/MOV (ISO/IEC 14496-12
//! and -15).
//!
//! Pictures are sent in decoding order, paced by decoding time and stamped with presentation time.
//! A file is read through a bounded buffer, never whole: of MP4 the index (at most 64 MiB) and one
//! picture (at most 16 MiB), of a byte stream one picture and 64 KiB.
//!
//! A machine that stalls for more than a second makes the rest later; shorter stalls are made up
//! for.
//!
//! ```text
//!            ┌ stream: splitter ┐
//!  file ─────┤                  ├─ access units ─ pacer ─▶ Source::next
//!            └ mp4: track ──────┘
//!                   edit_list, timeline
//! ```

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use media::{Clock, FrameRate};

use crate::{Error, Source};

mod annexb;
mod mp4;
mod pacer;
pub(crate) mod refusal;
pub(crate) mod splitter;
pub(crate) mod stream;
mod timeline;

use refusal::Refusal;

/// How a file is played.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Pictures per second of an Annex B file, which has no clock of its own. Default: what its
    /// sequence parameter set says, else 25. MP4 files bring their own times and ignore it.
    pub rate: Option<FrameRate>,
}

/// Opens the H.264 file at `path`, whose kind is told by its content and not by its name, and
/// reads its first picture. The source never ends: after the last picture the first follows, one
/// frame interval later.
///
/// # Errors
///
/// [`Error::Read`] when the file cannot be read; [`Error::Unusable`], mostly with the command that
/// mends it, when it is not H.264 that can be streamed as it is. The source gives the same errors
/// when the file changes while it is played.
pub fn open(path: &Path, clock: Arc<dyn Clock>, config: Config) -> Result<Box<dyn Source>, Error> {
    let opened = open_by_content(path, clock, config.rate);
    opened.map_err(|failure| failure.of_file(path, config.rate))
}

fn open_by_content(
    path: &Path,
    clock: Arc<dyn Clock>,
    rate: Option<FrameRate>,
) -> Result<Box<dyn Source>, Failure> {
    // Asked before opening: to open a named pipe would wait for its writer.
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if !metadata.is_file() {
        return Err(Refusal::NotRegular.into());
    }
    let mut file = File::open(path)?;
    let mut beginning = Vec::with_capacity(BEGINNING as usize);
    file.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
    file.seek(SeekFrom::Start(0))?;
    // MP4 first: the size of its first box can look like a start code.
    if mp4::is_mp4(&beginning) {
        return Ok(Box::new(mp4::Mp4::open(file, path.to_owned(), clock)?));
    }
    if let Some(refusal) = foreign(&beginning) {
        return Err(refusal.into());
    }
    Ok(Box::new(annexb::AnnexB::open(file, path.to_owned(), clock, rate)?))
}

/// What content that is not MP4 is refused for, by its first bytes; `None` for H.264.
fn foreign(beginning: &[u8]) -> Option<Refusal> {
    const CONTAINERS: [(&[u8], &str); 5] = [
        (b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
        (b"FLV", "Flash video"),
        (b"RIFF", "AVI"),
        (b"\x47\x40", "an MPEG transport stream"),
        (b"\x00\x00\x01\xba", "an MPEG program stream"),
    ];
    if beginning.is_empty() {
        return Some(Refusal::Empty);
    }
    if let Some((_, name)) = CONTAINERS.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        return Some(Refusal::Container(name));
    }
    match annexb::first_unit(beginning) {
        None => Some(Refusal::Unknown),
        // The two header bytes of VPS, SPS, PPS and access unit delimiter (H.265 7.3.1.2); in
        // H.264 an SEI unit never has the importance that 46 would claim.
        Some([0x40 | 0x42 | 0x44 | 0x46, 0x01, ..]) => Some(Refusal::Codec("H.265".into())),
        Some([0xb3, ..]) => Some(Refusal::Codec("MPEG-2".into())),
        Some(_) => None,
    }
}

/// Why a file cannot be opened or played on, before its path is added.
#[derive(Debug)]
enum Failure {
    Read(io::Error),
    Refused(Refusal),
}

impl Failure {
    fn of_file(self, path: &Path, rate: Option<FrameRate>) -> Error {
        match self {
            Self::Read(error) => Error::Read { path: path.to_owned(), error },
            Self::Refused(refusal) => refusal.of_file(path, rate),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How many bytes tell the kind of a file.
const BEGINNING: u64 = 64;
