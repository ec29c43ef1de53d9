//! H.264 files, looped seamlessly: Annex B (ITU-T H.264 Annex B) and MP4/MOV (ISO/IEC 14496-12
//! and -15).
//!
//! Pictures are sent in decoding order, paced by decoding time and stamped with presentation time.
//! A file is read through a bounded buffer, never whole.

use std::{path::Path, sync::Arc};

use media::{Clock, FrameRate};

use crate::{Error, Source};

/// How a file is played.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Pictures per second of an Annex B file, which has no clock of its own. Default: what its
    /// sequence parameter set says, else 25. MP4 files bring their own times and ignore it.
    pub rate: Option<FrameRate>,
}

/// Opens the H.264 file at `path`, whose kind is told by its content and not by its name.
///
/// # Errors
///
/// [`Error::Read`] when the file cannot be read; [`Error::Unusable`], mostly with the command that
/// mends it, when it is not H.264 that can be streamed as it is.
pub fn open(
    path: &Path,
    _clock: Arc<dyn Clock>,
    _config: Config,
) -> Result<Box<dyn Source>, Error> {
    Err(Error::Unusable {
        path: path.to_owned(),
        reason: "files cannot be played yet".into(),
        remedy: None,
    })
}
