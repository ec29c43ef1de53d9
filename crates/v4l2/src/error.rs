//! What went wrong with a device, told so that a person can act on it.

use std::{io, path::PathBuf};

use rustix::io::Errno;

/// A device that does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}: {doing}: {}", device.display(), Said(error))]
pub struct Error {
    /// The node, as it was opened.
    pub device: PathBuf,
    /// What it was asked for, as `VIDIOC_S_FMT 640x480 YUYV`.
    pub doing: String,
    /// What it said.
    pub error: io::Error,
}

/// What kind of trouble it is, for whoever decides how to go on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The device is not there, or no longer.
    Gone,
    /// Somebody else has it.
    Busy,
    /// The user may not open it.
    Forbidden,
    /// It cannot do this.
    Unsupported,
    /// It failed.
    Broken,
}

impl Error {
    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        match Errno::from_io_error(&self.error) {
            Some(Errno::NODEV | Errno::NXIO | Errno::NOENT) => Trouble::Gone,
            Some(Errno::BUSY) => Trouble::Busy,
            Some(Errno::ACCESS | Errno::PERM) => Trouble::Forbidden,
            Some(Errno::NOTTY | Errno::INVAL | Errno::RANGE | Errno::OPNOTSUPP) => {
                Trouble::Unsupported
            }
            _ => Trouble::Broken,
        }
    }
}

/// The system's words, with those of the manual where they say more.
struct Said<'a>(&'a io::Error);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Errno::from_io_error(self.0) {
            Some(Errno::NODEV) => f.write_str("the device is gone (unplugged?)"),
            Some(Errno::BUSY) => f.write_str("the device is in use by another program"),
            Some(Errno::ACCESS) => {
                f.write_str("permission denied; members of the group video may: `sudo usermod -aG video $USER`, then log in again")
            }
            Some(Errno::NOTTY) => f.write_str("the driver does not know this request"),
            _ => write!(f, "{}", self.0),
        }
    }
}
