//! Which device nodes are encoders: by what they say of themselves, not by name or place.
//!
//! Boards put them anywhere (a Raspberry Pi at `/dev/video11`), leave nodes behind that answer
//! nothing (Jetson's `/dev/v4l2-nvenc`), and have decoders and converters that look alike.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use v4l2::{Device, Format, PixelFormat, Size, Sizes};

/// An encoder that can be used, as far as it can be told without a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its node.
    pub path: PathBuf,
    /// The driver: `bcm2835-codec`.
    pub driver: String,
    /// The device, for people: `bcm2835-codec-encode`.
    pub card: String,
    /// Where it is: `platform:bcm2835-codec`.
    pub bus: String,
    /// What it takes of [`Candidate::KNOWN`], in that order: the first needs the least work.
    pub formats: Vec<PixelFormat>,
    /// Pictures it takes of the first of these; `None` when the driver does not tell.
    pub sizes: Option<Sizes>,
}

/// A device node that is no encoder for us.
#[derive(Debug)]
pub struct Rejected {
    /// The node.
    pub path: PathBuf,
    /// The driver and the device, where it said so much.
    pub device: Option<(String, String)>,
    /// Why not.
    pub reason: Reason,
}

/// Why a device is no encoder for us.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot be opened or asked.
    #[error("{0}")]
    Device(#[from] v4l2::Error),
    /// It is a camera or the like.
    #[error("it does not work from memory to memory")]
    NotMemoryToMemory,
    /// It is a decoder, a converter, or an encoder of another kind.
    #[error("it does not make H.264, but {}", List(makes))]
    NoH264 {
        /// What it makes.
        makes: Vec<PixelFormat>,
    },
    /// It takes nothing that can be given.
    #[error("it takes {}, and none of {}", List(takes), List(Candidate::KNOWN))]
    NoRawFormat {
        /// What it takes.
        takes: Vec<PixelFormat>,
    },
}

/// All video nodes, looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that can be used, by their nodes' numbers.
    pub candidates: Vec<Candidate>,
    /// The others.
    pub rejected: Vec<Rejected>,
}

impl Candidate {
    /// The formats that pictures can be given in: those that need the least work come first.
    pub const KNOWN: &[PixelFormat] = &[
        PixelFormat::YUV420,
        PixelFormat::YUV420M,
        YVU420,
        PixelFormat::NV12,
        PixelFormat::NV12M,
        NV21,
        PixelFormat::YUYV,
        PixelFormat::UYVY,
    ];
}

/// Y, then V, then U: 4:2:0, one piece of memory.
pub(crate) const YVU420: PixelFormat = PixelFormat::new(*b"YV12");
/// Y, then V and U by turns: 4:2:0, one piece of memory.
pub(crate) const NV21: PixelFormat = PixelFormat::new(*b"NV21");

/// Looks at every video node there is, and at those that libraries answer for. Blocks while drivers
/// answer.
pub fn find() -> Found {
    let mut found = Found::default();
    for path in nodes() {
        let device = match Device::open(&path) {
            Ok(device) => device,
            Err(error) => {
                found.rejected.push(Rejected { path, device: None, reason: error.into() });
                continue;
            }
        };
        match examine(&device) {
            Ok(candidate) => found.candidates.push(candidate),
            Err(reason) => {
                let said = device.capability();
                let device = Some((said.driver.clone(), said.card.clone()));
                found.rejected.push(Rejected { path, device, reason });
            }
        }
    }
    found
}

/// Looks at one device. Its coded format is set to H.264 by that, if it has it: what it takes
/// depends on what it makes.
///
/// # Errors
///
/// Why it is no encoder for us.
pub fn examine(device: &Device) -> Result<Candidate, Reason> {
    let said = device.capability();
    let Some((output, capture)) = said.memory_to_memory() else {
        return Err(Reason::NotMemoryToMemory);
    };
    let codes = |kind| {
        let formats = device.formats(kind)?.into_iter();
        Ok::<Vec<_>, v4l2::Error>(formats.map(|format| format.pixel_format).collect())
    };
    let makes = codes(capture)?;
    if !makes.contains(&PixelFormat::H264) {
        return Err(Reason::NoH264 { makes });
    }
    device.set_format(capture, &Format::new(ANY_SIZE, PixelFormat::H264))?;
    let takes = codes(output)?;
    let known = Candidate::KNOWN.iter().copied();
    let formats: Vec<_> = known.filter(|known| takes.contains(known)).collect();
    let Some(first) = formats.first() else { return Err(Reason::NoRawFormat { takes }) };
    Ok(Candidate {
        path: device.path().to_owned(),
        driver: said.driver.clone(),
        card: said.card.clone(),
        bus: said.bus.clone(),
        // A driver that fails here is heard when the size is set.
        sizes: device.sizes(*first).ok().flatten(),
        formats,
    })
}

/// `/dev/video0`, `/dev/video1` … by number.
fn nodes() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(DEVICES) else { return Vec::new() };
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let numbered = numbers.iter().map(|number| Path::new(DEVICES).join(format!("video{number}")));
    let mut nodes: Vec<PathBuf> = numbered.collect();
    let mut others = v4l2::library::nodes();
    others.retain(|other| !nodes.contains(other));
    nodes.extend(others);
    nodes
}

struct List<'a>(&'a [PixelFormat]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, format) in self.0.iter().enumerate() {
            write!(f, "{}{format}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

const DEVICES: &str = "/dev";
/// Nobody looks at the size of what is coded.
const ANY_SIZE: Size = Size { width: 640, height: 480 };
