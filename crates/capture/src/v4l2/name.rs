//! What a person calls a camera, and which node that is just now.
//!
//! Numbers of nodes change when cameras are plugged in another order, so there are names that do
//! not: udev's links under `/dev/v4l`, the names that udev would give (in a container there is no
//! udev, but `/sys`), and what the driver says of the bus.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ::v4l2::{Device, Trouble};

use crate::{Error, spelling::nearest};

/// What a person calls a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Whichever can be used first.
    Any,
    /// A node, as `/dev/video0`, or a link to one.
    Path(PathBuf),
    /// A name that stays: `by-id/…`, `by-path/…`, one of those without the folder, or a bus.
    Stable(String),
}

/// A node, and its names that stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// As `/dev/video0`.
    pub path: PathBuf,
    /// As `by-id/usb-046d_HD_Pro_Webcam_C920_5A2B3C4D-video-index0`.
    pub names: Vec<String>,
}

/// Where devices are found.
#[derive(Clone, Debug)]
pub struct Places {
    devices: PathBuf,
    classes: PathBuf,
}

impl Default for Places {
    /// Those of this machine.
    fn default() -> Self {
        Self { devices: "/dev".into(), classes: "/sys/class/video4linux".into() }
    }
}

impl Places {
    /// Another machine's: where it has `/dev`, and `/sys/class/video4linux`.
    pub fn new(devices: PathBuf, classes: PathBuf) -> Self {
        Self { devices, classes }
    }

    /// Every video node, by number.
    ///
    /// # Errors
    ///
    /// When the directory of devices cannot be read.
    pub fn nodes(&self) -> io::Result<Vec<Node>> {
        let mut numbered = Vec::new();
        for entry in fs::read_dir(&self.devices)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("video"));
            if let Some(number) = number.and_then(|digits| digits.parse::<u32>().ok()) {
                numbered.push((number, self.devices.join(name)));
            }
        }
        numbered.sort();
        let links = self.links();
        let named = |path: PathBuf| {
            let mut names: Vec<String> = links
                .iter()
                .filter(|(_, target)| *target == path)
                .map(|(name, _)| name.clone())
                .collect();
            if !names.iter().any(|name| name.starts_with(BY_ID)) {
                names.extend(self.id_by_udev_rules(&path));
            }
            Node { path, names }
        };
        Ok(numbered.into_iter().map(|(_, path)| named(path)).collect())
    }

    /// Another machine, all of whose devices are in one directory.
    #[cfg(test)]
    pub(super) fn below(root: &Path) -> Self {
        Self { devices: root.to_owned(), classes: root.to_owned() }
    }

    /// The node that is called `name` just now. Devices are opened only to ask on which bus they
    /// are.
    ///
    /// # Errors
    ///
    /// When none is, and which names there are.
    pub fn find(&self, name: &str) -> Result<PathBuf, Error> {
        self.find_by(name, |path| {
            let device = Device::open(path).ok()?;
            device.capability().camera().map(|_| device.capability().bus.clone())
        })
    }

    fn find_by(
        &self,
        name: &str,
        bus_of_camera: impl Fn(&Path) -> Option<String>,
    ) -> Result<PathBuf, Error> {
        let nodes = self.nodes().map_err(|error| self.unreadable(error))?;
        let is_meant =
            |known: &str| [known, without_folder(known), shortest(known)].contains(&name);
        if let Some(node) = nodes.iter().find(|node| node.names.iter().any(|n| is_meant(n))) {
            return Ok(node.path.clone());
        }
        let mut known: Vec<String> = Vec::new();
        for node in &nodes {
            known.extend(node.names.iter().cloned());
            let Some(bus) = bus_of_camera(&node.path) else { continue };
            if bus == name {
                return Ok(node.path.clone());
            }
            if !known.contains(&bus) {
                known.push(bus);
            }
        }
        let meant = nearest(name, known.iter().flat_map(|known| [known, shortest(known)]))
            .map(|meant| format!(" (did you mean {meant}?)"))
            .unwrap_or_default();
        let there = match (known.is_empty(), nodes.is_empty()) {
            (false, _) => format!("there is {}", known.join(", ")),
            (true, false) => {
                "none has a name that stays; give the node itself, as /dev/video0".to_owned()
            }
            (true, true) => "there is no video device at all".to_owned(),
        };
        Err(Error::Unavailable {
            path: format!("v4l2:{name}").into(),
            trouble: Trouble::Gone,
            reason: format!("no camera is called that{meant}; {there}").into(),
            remedy: None,
        })
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::Read { path: self.devices.clone(), error }
    }

    /// udev's links, with the nodes they lead to.
    fn links(&self) -> Vec<(String, PathBuf)> {
        let mut links = Vec::new();
        for folder in [BY_ID, BY_PATH] {
            let Ok(entries) = fs::read_dir(self.devices.join("v4l").join(folder)) else { continue };
            for entry in entries.flatten() {
                let Ok(target) = fs::canonicalize(entry.path()) else { continue };
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
                // The directory may itself be reached by a link.
                let target = target.file_name().map(|node| self.devices.join(node));
                links.extend(target.map(|target| (format!("{folder}{name}"), target)));
            }
        }
        links.sort();
        links
    }

    /// The name by which udev's `60-persistent-v4l.rules` would link a node of a USB device.
    fn id_by_udev_rules(&self, path: &Path) -> Option<String> {
        let class = self.classes.join(path.file_name()?);
        let read = |path: PathBuf| {
            let text = fs::read_to_string(path).ok()?;
            Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
        };
        let index = read(class.join("index"))?;
        // The node is of an interface; what it says of itself is beside that.
        let usb = fs::canonicalize(class.join("device")).ok()?.parent()?.to_owned();
        let vendor = read(usb.join("manufacturer")).or_else(|| read(usb.join("idVendor")))?;
        let product = read(usb.join("product")).or_else(|| read(usb.join("idProduct")))?;
        let mut id = format!("{}_{}", as_udev_writes(&vendor), as_udev_writes(&product));
        if let Some(serial) = read(usb.join("serial")).filter(|serial| is_plain(serial)) {
            id.push('_');
            id.push_str(&as_udev_writes(&serial));
        }
        Some(format!("{BY_ID}usb-{id}-video-index{index}"))
    }
}

fn without_folder(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, name)| name)
}

/// Of the first of a device's nodes without its number.
fn shortest(name: &str) -> &str {
    let name = without_folder(name);
    name.strip_suffix(FIRST_NODE).unwrap_or(name)
}

/// Blanks become one `_` each run, and so does each character that a name of a file should not have.
fn as_udev_writes(text: &str) -> String {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_kept = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii();
    words.join("_").chars().map(|c| if is_kept(c) { c } else { '_' }).collect()
}

/// udev leaves other serial numbers out.
fn is_plain(serial: &str) -> bool {
    serial.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b',')
}

const BY_ID: &str = "by-id/";
const BY_PATH: &str = "by-path/";
/// What the names of the first of a device's nodes end with: the one that gives pictures.
const FIRST_NODE: &str = "-video-index0";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// Two nodes of a camera with udev's links, and two of a camera of which only `/sys` tells.
    fn machine() -> (TempDir, Places) {
        let root = TempDir::new().unwrap();
        let devices = root.path().join("dev");
        let classes = root.path().join("class");
        for folder in ["v4l/by-id", "v4l/by-path"] {
            fs::create_dir_all(devices.join(folder)).unwrap();
        }
        for node in ["video0", "video1", "video2", "video10", "videodev", "vbi0", "audio"] {
            fs::write(devices.join(node), "").unwrap();
        }
        let link = |node: &str, name: &str| {
            symlink(format!("../../{node}"), devices.join("v4l").join(name)).unwrap();
        };
        link("video0", "by-id/usb-046d_HD_Pro_Webcam_C920_5A2B-video-index0");
        link("video1", "by-id/usb-046d_HD_Pro_Webcam_C920_5A2B-video-index1");
        link("video0", "by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0");
        let usb = root.path().join("usb1");
        fs::create_dir_all(usb.join("1-1:1.0")).unwrap();
        for (name, text) in [
            ("manufacturer", "Lens  Cast/Inc\n"),
            ("product", "Test Camera\n"),
            ("serial", "LC1\n"),
        ] {
            fs::write(usb.join(name), text).unwrap();
        }
        for (node, index) in [("video2", "0\n"), ("video10", "1\n")] {
            let class = classes.join(node);
            fs::create_dir_all(&class).unwrap();
            fs::write(class.join("index"), index).unwrap();
            symlink(usb.join("1-1:1.0"), class.join("device")).unwrap();
        }
        (root, Places { devices, classes })
    }

    fn no_bus(_: &Path) -> Option<String> {
        None
    }

    #[test]
    fn nodes_come_by_number_with_all_their_names() {
        let (_root, places) = machine();
        let nodes = places.nodes().unwrap();
        let shown: Vec<_> = nodes
            .iter()
            .map(|node| (node.path.file_name().unwrap().to_str().unwrap(), node.names.join(" ")))
            .collect();
        let expected = [
            (
                "video0",
                "by-id/usb-046d_HD_Pro_Webcam_C920_5A2B-video-index0 \
                 by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0",
            ),
            ("video1", "by-id/usb-046d_HD_Pro_Webcam_C920_5A2B-video-index1"),
            ("video2", "by-id/usb-Lens_Cast_Inc_Test_Camera_LC1-video-index0"),
            ("video10", "by-id/usb-Lens_Cast_Inc_Test_Camera_LC1-video-index1"),
        ];
        assert_eq!(shown, expected.map(|(node, names)| (node, names.to_owned())));
    }

    #[test]
    fn cameras_are_found_by_each_of_their_names() {
        let (_root, places) = machine();
        let found = |name: &str| {
            let bus = |path: &Path| path.ends_with("video2").then(|| "usb-vhci_hcd.0-1".to_owned());
            let path = places.find_by(name, bus).ok()?;
            Some(path.file_name()?.to_str()?.to_owned())
        };
        for (name, node) in [
            ("by-id/usb-046d_HD_Pro_Webcam_C920_5A2B-video-index0", Some("video0")),
            ("usb-046d_HD_Pro_Webcam_C920_5A2B-video-index1", Some("video1")),
            ("usb-046d_HD_Pro_Webcam_C920_5A2B", Some("video0")),
            ("by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0", Some("video0")),
            ("usb-Lens_Cast_Inc_Test_Camera_LC1", Some("video2")),
            ("usb-vhci_hcd.0-1", Some("video2")),
            ("by-id/../../video0", None),
            ("usb-vhci_hcd.0-2", None),
            ("", None),
        ] {
            assert_eq!(found(name).as_deref(), node, "{name}");
        }
    }

    #[test]
    fn a_camera_whose_number_has_changed_is_found_again() {
        let (root, places) = machine();
        let name = "usb-046d_HD_Pro_Webcam_C920_5A2B";
        assert!(places.find_by(name, no_bus).unwrap().ends_with("video0"));
        let link = root.path().join("dev/v4l/by-id").join(format!("{name}{FIRST_NODE}"));
        fs::remove_file(&link).unwrap();
        symlink("../../video10", &link).unwrap();
        assert!(places.find_by(name, no_bus).unwrap().ends_with("video10"));
    }

    #[test]
    fn a_refusal_says_which_names_there_are() {
        let (_root, places) = machine();
        let refusal = places.find_by("usb-046d_HD_Pro_Webcam_C290_5A2B", no_bus).unwrap_err();
        let refusal = refusal.to_string();
        assert!(
            refusal.starts_with(
                "v4l2:usb-046d_HD_Pro_Webcam_C290_5A2B: no camera is called that (did you mean \
                 usb-046d"
            ),
            "{refusal}"
        );
        let empty = TempDir::new().unwrap();
        let places = Places { devices: empty.path().into(), classes: empty.path().into() };
        let refusal = places.find_by("usb-1", no_bus).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "v4l2:usb-1: no camera is called that; there is no video device at all"
        );
        fs::write(empty.path().join("video3"), "").unwrap();
        let refusal = places.find_by("usb-1", no_bus).unwrap_err().to_string();
        assert!(refusal.ends_with("give the node itself, as /dev/video0"), "{refusal}");
    }

    #[test]
    fn names_are_written_as_udev_does() {
        for (text, expected) in [
            ("HD Pro  Webcam C920", "HD_Pro_Webcam_C920"),
            ("  Acme, Inc. (R)/x", "Acme__Inc.__R__x"),
            ("Caméra", "Caméra"),
        ] {
            assert_eq!(as_udev_writes(text), expected);
        }
        assert!(is_plain("5A2B-3") && !is_plain("5A,2B") && !is_plain("é"));
    }
}
