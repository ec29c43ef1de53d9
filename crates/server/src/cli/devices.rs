//! `lenscast devices`: the cameras and encoders of this machine, and what they can do.
//!
//! Looks and sets nothing that lasts. A node that cannot be opened, or answers nonsense, is a line
//! of its own and never the end of the list.

use std::{io::Write, path::Path};

use ::v4l2::{Device, FormatDescription, QueueKind, Trouble};
use capture::v4l2::{
    choice::{PictureFormat, Wanted},
    name::{Node, Places},
    survey::{Survey, survey},
};
use encode::v4l2_m2m::{self, Found, Reason, Rejected};

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
            Err(error) => {
                let reason = Some(refusal(error));
                listing.others.push(listing::Device { reason, ..listing::Device::unknown(node) });
                continue;
            }
        };
        if let Some(encoder) = found.candidates.iter().find(|found| found.path == entry.node) {
            entry.encodes_from = Some(encoder.formats.iter().map(ToString::to_string).collect());
            listing.encoders.push(entry);
        } else if let Some(camera) = usable.iter().find(|camera| camera.path == entry.node) {
            entry.would_give = Some(camera.reasoned.choice.to_string());
            entry.is_default = default.as_ref() == Some(&entry.node);
            listing.cameras.push(entry);
        } else {
            let refusal = refused.iter().find(|refused| refused.path == entry.node);
            entry.reason = refusal.map(|refused| refused.reason.clone());
            listing.others.push(entry);
        }
    }
    listing.encoder = choice(&found);
    listing
}

/// Why nothing is known of a node, beside its path.
fn refusal(error: &::v4l2::Error) -> String {
    let said = error.to_string();
    let rest = said.strip_prefix(&*error.device.to_string_lossy());
    rest.and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&said).to_owned()
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
fn choice(Found { candidates, rejected }: &Found) -> Choice {
    let name = |path: &Path| path.display().to_string();
    match &candidates[..] {
        [] => {
            let is_forbidden = |rejected: &Rejected| match &rejected.reason {
                Reason::Device(error) => error.trouble() == Trouble::Forbidden,
                _ => false,
            };
            let devices = match rejected.iter().any(is_forbidden) {
                true => "no device that this user may open",
                false => "no device of this machine",
            };
            Choice {
                encoder: "openh264".to_owned(),
                why: format!("{devices} makes H.264: pictures are encoded in software"),
            }
        }
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nodes_that_are_no_devices_are_a_line_each_and_the_list_goes_on() {
        let root = tempfile::TempDir::new().unwrap();
        fs::write(root.path().join("video0"), "").unwrap();
        symlink("/dev/null", root.path().join("video1")).unwrap();
        symlink("nowhere", root.path().join("video2")).unwrap();
        let listing = list(&Places::new(root.path().to_owned(), root.path().join("none")));
        assert_eq!((listing.cameras.len(), &listing.error), (0, &None));
        let reasons: Vec<_> =
            listing.others.iter().map(|other| other.reason.clone().unwrap()).collect();
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        for reason in &reasons[..2] {
            assert!(reason.starts_with("VIDIOC_QUERYCAP (is it a video device?): "), "{reason}");
        }
        assert!(reasons[2].starts_with("open: "), "{reasons:?}");
        let text = listing.to_string();
        assert!(text.contains("\nCannot be asked what they are:\n"), "{text}");
        assert!(!text.contains("Neither camera nor encoder"), "{text}");
    }

    #[test]
    fn who_may_open_nothing_is_told_what_to_do() {
        let reason = refusal(&forbidden());
        assert!(reason.starts_with("open: permission denied; members of the group video"));
        let rejected =
            Rejected { path: "/dev/video7".into(), device: None, reason: forbidden().into() };
        let found = Found { candidates: Vec::new(), rejected: vec![rejected] };
        assert!(choice(&found).why.starts_with("no device that this user may open makes H.264"));
        let none = choice(&Found::default());
        assert!(none.why.starts_with("no device of this machine makes H.264"));
    }

    fn forbidden() -> ::v4l2::Error {
        ::v4l2::Error {
            device: "/dev/video7".into(),
            doing: "open".to_owned(),
            // EACCES
            error: std::io::Error::from_raw_os_error(13),
        }
    }
}
