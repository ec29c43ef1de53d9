//! `lenscast devices`: the cameras and encoders of this machine, and what they can do.
//!
//! Looks and sets nothing that lasts. A node that cannot be opened, or answers nonsense, is a line
//! of its own and never the end of the list.

use std::{io::Write, path::Path};

use ::v4l2::{Device, FormatDescription, QueueKind};
use capture::v4l2::{
    choice::{PictureFormat, Wanted},
    name::{Node, Places},
    survey::{Survey, survey},
};
use encode::v4l2_m2m::{self, Candidate};

use self::listing::{Choice, Control, Format, Listing, Rates, Sizes};
use crate::cli::DevicesArgs;

pub mod listing;
pub(super) mod render;

/// Writes what there is to `out`.
///
/// # Errors
///
/// When nothing can be written there, or a library cannot be loaded.
pub fn run(args: &DevicesArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    args.libraries.load()?;
    let listing = list(&Places::default());
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &listing)?;
        writeln!(out)?;
    } else {
        write!(out, "{listing}")?;
    }
    Ok(())
}

/// Everything there is in `places`.
pub fn list(places: &Places) -> Listing {
    let nodes = match places.nodes() {
        Ok(nodes) => nodes,
        Err(error) => return Listing::failed(&error),
    };
    let found = v4l2_m2m::find();
    let first = found.candidates.first();
    let direct = first.into_iter().flat_map(|first| first.formats.iter().copied()).collect();
    let Survey { usable, refused } = survey(places, &Wanted { direct, ..Wanted::default() });
    let default = usable.first().map(|first| first.path.clone());
    let mut listing = Listing::default();
    let of_libraries = ::v4l2::library::nodes().into_iter();
    let others = of_libraries.filter(|path| nodes.iter().all(|node| node.path != *path));
    let others: Vec<_> = others.map(|path| Node { path, names: Vec::new() }).collect();
    for node in nodes.into_iter().chain(others) {
        let device = Device::open(&node.path);
        let mut entry = match &device {
            Ok(device) => describe(node, device),
            Err(_) => listing::Device::unknown(node),
        };
        if let Some(encoder) = found.candidates.iter().find(|found| found.path == entry.node) {
            entry.encodes_from = Some(encoder.formats.iter().map(ToString::to_string).collect());
            listing.encoders.push(entry);
        } else if let Some(camera) = usable.iter().find(|camera| camera.path == entry.node) {
            entry.would_give = Some(camera.reasoned.choice.to_string());
            entry.is_default = default.as_ref() == Some(&entry.node);
            listing.cameras.push(entry);
        } else {
            let refusal = refused.iter().find(|(path, _)| *path == entry.node);
            entry.reason = refusal.map(|(_, reason)| reason.clone());
            listing.others.push(entry);
        }
    }
    listing.encoder = choice(&found.candidates);
    listing
}

fn describe(node: Node, device: &Device) -> listing::Device {
    let capability = device.capability();
    let mut entry = listing::Device::unknown(node);
    entry.driver = Some(capability.driver.clone());
    entry.card = Some(capability.card.clone());
    entry.bus = Some(capability.bus.clone());
    if let Some(queue) = capability.camera() {
        entry.formats = formats(device, queue);
    }
    entry.controls = controls(device);
    entry
}

fn formats(device: &Device, queue: QueueKind) -> Vec<Format> {
    let describe = |format: FormatDescription| {
        // A driver that fails here has told enough.
        let sizes = device.sizes(format.pixel_format).ok().flatten();
        let rates = |size| {
            let intervals = device.intervals(format.pixel_format, size).ok().flatten();
            intervals.map(|intervals| Rates::of(&intervals))
        };
        Format {
            format: format.pixel_format.to_string(),
            usable_as: PictureFormat::of(format.pixel_format).map(PictureFormat::name),
            description: format.description,
            is_compressed: format.is_compressed,
            is_emulated: format.is_emulated,
            sizes: sizes.map(|sizes| Sizes::of(&sizes, rates)),
        }
    };
    device.formats(queue).unwrap_or_default().into_iter().map(describe).collect()
}

/// All controls of a device with their values just now.
pub(super) fn controls(device: &Device) -> Vec<Control> {
    let there = device.controls().unwrap_or_default();
    there.iter().map(|control| Control::of(control, device.value(control).ok().flatten())).collect()
}

/// What `encoder=auto` takes.
fn choice(candidates: &[Candidate]) -> Choice {
    let name = |path: &Path| path.display().to_string();
    match candidates {
        [] => Choice {
            encoder: "openh264".to_owned(),
            why: "no device of this machine makes H.264: pictures are encoded in software"
                .to_owned(),
        },
        [first, others @ ..] => {
            let others = match others {
                [] => String::new(),
                others => format!(
                    " before {}",
                    others.iter().map(|other| name(&other.path)).collect::<Vec<_>>().join(", ")
                ),
            };
            Choice {
                encoder: name(&first.path),
                why: format!(
                    "it is the first device that makes H.264{others}; where it cannot do a size, \
                     openh264 does, in software"
                ),
            }
        }
    }
}
