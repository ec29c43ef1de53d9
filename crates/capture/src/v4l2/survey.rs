//! Which of a machine's cameras can be used as it is, and why the others cannot.

use std::path::{Path, PathBuf};

use ::v4l2::{Capability, Device, Trouble};

use super::{
    choice::{Reasoned, Wanted, choose},
    name::Places,
    offers,
};

/// A camera that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Usable {
    /// Its node.
    pub path: PathBuf,
    /// Who it is.
    pub capability: Capability,
    /// What would be taken of it.
    pub reasoned: Reasoned,
}

/// All that can be used, the best first, and of each other node what speaks against it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// What can be used; cameras that drivers only play come last.
    pub usable: Vec<Usable>,
    /// The others.
    pub refused: Vec<Refused>,
}

/// A video device that cannot be used as a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Its node.
    pub path: PathBuf,
    /// Why, and what helps where something does.
    pub reason: String,
    /// What kind of trouble there is with it; `None` where it is just no camera that can be served.
    pub trouble: Option<Trouble>,
}

/// Looks at every video device of `places`. None is started.
pub fn survey(places: &Places, wanted: &Wanted) -> Survey {
    let mut survey = Survey::default();
    for node in places.nodes().unwrap_or_default() {
        match look_at(&node.path, wanted) {
            Ok(usable) => survey.usable.push(usable),
            Err((reason, trouble)) => {
                survey.refused.push(Refused { path: node.path, reason, trouble });
            }
        }
    }
    survey.usable.sort_by_key(|usable| is_played(&usable.capability));
    survey
}

fn look_at(path: &Path, wanted: &Wanted) -> Result<Usable, (String, Option<Trouble>)> {
    let trouble = |error: ::v4l2::Error| {
        let said = error.to_string();
        // Its node is told anyway.
        let reason = said.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&said);
        (reason.to_owned(), Some(error.trouble()))
    };
    let device = Device::open(path).map_err(trouble)?;
    let capability = device.capability().clone();
    let kind = camera_queue(&capability).map_err(|reason| (reason, None))?;
    let offers = offers(&device, kind).map_err(trouble)?;
    let intervals = |format, size| device.intervals(format, size).ok().flatten();
    let reasoned = choose(&offers, wanted, intervals).map_err(|no| (no.to_string(), None))?;
    Ok(Usable { path: path.to_owned(), capability, reasoned })
}

/// The queue of a device that gives pictures of its own; else what it is.
fn camera_queue(capability: &Capability) -> Result<::v4l2::QueueKind, String> {
    if capability.memory_to_memory().is_some() {
        return Err("it encodes, decodes or converts, from memory to memory".to_owned());
    }
    if PROCESSORS.contains(&capability.driver.as_str()) {
        return Err(format!(
            "{} processes others' pictures and has none of its own",
            capability.driver
        ));
    }
    capability.camera().ok_or_else(|| "it gives no pictures (metadata, output, radio)".to_owned())
}

fn is_played(capability: &Capability) -> bool {
    PLAYED.contains(&capability.driver.as_str())
}

/// Drivers of image processors, whose nodes look as those of cameras do: of Raspberry Pis.
const PROCESSORS: [&str; 2] = ["bcm2835-isp", "pispbe"];
/// Drivers of cameras that are none.
const PLAYED: [&str; 3] = ["vivid", "vimc", "v4l2 loopback"];

#[cfg(test)]
mod tests {
    use super::*;

    /// V4L2_CAP_STREAMING with _VIDEO_CAPTURE, _VIDEO_M2M, _META_CAPTURE.
    const CAMERA: u32 = 0x0400_0001;
    const CODEC: u32 = 0x0400_8000;
    const METADATA: u32 = 0x0480_0000;

    fn capability(driver: &str, flags: u32) -> Capability {
        let text = |text: &str| text.to_owned();
        Capability { driver: text(driver), card: text("Camera"), bus: text("usb-1"), flags }
    }

    #[test]
    fn only_what_gives_pictures_of_its_own_is_a_camera() {
        for (driver, flags, said) in [
            ("uvcvideo", CAMERA, None),
            ("vivid", CAMERA, None),
            ("uvcvideo", METADATA, Some("it gives no pictures")),
            ("bcm2835-codec", CODEC, Some("it encodes")),
            ("bcm2835-isp", CAMERA, Some("bcm2835-isp processes")),
        ] {
            match (camera_queue(&capability(driver, flags)), said) {
                (Ok(_), None) => {}
                (Err(reason), Some(said)) => assert!(reason.starts_with(said), "{reason}"),
                (given, _) => panic!("{driver}: {given:?}"),
            }
        }
        assert!(is_played(&capability("vivid", CAMERA)));
        assert!(!is_played(&capability("uvcvideo", CAMERA)));
    }

    #[test]
    fn a_file_that_is_no_device_and_a_stub_are_refused_with_the_reason() {
        let root = tempfile::TempDir::new().unwrap();
        std::fs::write(root.path().join("video0"), "").unwrap();
        std::os::unix::fs::symlink("/dev/null", root.path().join("video1")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("video2")).unwrap();
        let places = Places::below(root.path());
        let survey = survey(&places, &Wanted::default());
        assert_eq!(survey.usable, []);
        let nodes: Vec<_> =
            survey.refused.iter().map(|refused| refused.path.file_name().unwrap()).collect();
        assert_eq!(nodes, ["video0", "video1", "video2"]);
        for Refused { path, reason, trouble } in &survey.refused {
            assert!(!reason.is_empty() && !reason.contains(path.to_str().unwrap()), "{reason}");
            assert!(trouble.is_some(), "{reason}");
        }
        assert_eq!(survey.refused[2].trouble, Some(Trouble::Gone));
    }
}
