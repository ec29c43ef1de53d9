//! Which encoder to take: the machine's own before openh264.

use std::{fmt, path::PathBuf, str::FromStr};

use tracing::{debug, info, warn};
use v4l2::{Device, PixelFormat, loan::Lend};

use crate::{
    Config, Encoder, Error,
    openh264::Openh264,
    v4l2_m2m::{self, Found, Rejected, V4l2M2m},
};

/// Which encoder to take. As text: `auto`, `openh264`, or `v4l2:` and a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first of the machine's own that can do it, else openh264.
    #[default]
    Auto,
    /// openh264, in software.
    Openh264,
    /// The one behind this device node, and no other.
    V4l2(PathBuf),
}

/// Opens an encoder, and says in the log which and why.
///
/// `lender` is the camera whose pictures it will encode, if that can share its memory: it then
/// gives them as [`crate::Picture::Lent`] if the encoder can share, too, and copies otherwise.
///
/// # Errors
///
/// When none, or not the one that was chosen, can encode such pictures.
pub fn open(
    choice: &Choice,
    config: &Config,
    lender: Option<&mut dyn Lend>,
) -> Result<Box<dyn Encoder>, Error> {
    let encoder: Box<dyn Encoder> = match choice {
        Choice::V4l2(path) => Box::new(V4l2M2m::open(path, config, lender)?),
        Choice::Openh264 => Box::new(Openh264::new(config)?),
        Choice::Auto => match first_of_machine(config, lender)? {
            Some(encoder) => Box::new(encoder),
            None => Box::new(Openh264::new(config)?),
        },
    };
    info!(
        encoder = encoder.name(),
        size = %format_args!("{}x{}", config.layout.width(), config.layout.height()),
        rate = %config.rate,
        bitrate = config.bitrate,
        gop = config.gop,
        "encoding"
    );
    Ok(encoder)
}

/// What the encoder that [`open`] would take first takes as it is: pictures in these formats may reach
/// it without a copy. Nothing of openh264, nor where there is no telling. Blocks while drivers
/// answer.
pub fn takes(choice: &Choice) -> Vec<PixelFormat> {
    let candidate = match choice {
        Choice::Openh264 => None,
        Choice::Auto => v4l2_m2m::find().candidates.into_iter().next(),
        Choice::V4l2(path) => {
            Device::open(path).ok().and_then(|device| v4l2_m2m::examine(&device).ok())
        }
    };
    candidate.map(|candidate| candidate.formats).unwrap_or_default()
}

/// The first hardware encoder that can do it.
///
/// # Errors
///
/// When the camera fails; that an encoder does is only said.
fn first_of_machine(
    config: &Config,
    mut lender: Option<&mut dyn Lend>,
) -> Result<Option<V4l2M2m>, Error> {
    let Found { candidates, rejected } = v4l2_m2m::find();
    for Rejected { path, reason, .. } in &rejected {
        debug!(device = %path.display(), %reason, "no encoder");
    }
    if candidates.is_empty() {
        info!("this machine has no H.264 encoder of its own that can be used: taking openh264");
    }
    for candidate in &candidates {
        // Borrowed anew for each.
        let lent = lender.as_mut().map(|lender| &mut **lender as &mut dyn Lend);
        match V4l2M2m::open(&candidate.path, config, lent) {
            Ok(encoder) => return Ok(Some(encoder)),
            Err(error) => {
                warn!(device = %candidate.path.display(), %error, "a hardware encoder is passed over");
            }
        }
        // Whatever was arranged with that one is void.
        if let Some(lender) = &mut lender {
            lender.copy().map_err(Error::Camera)?;
        }
    }
    Ok(None)
}

impl FromStr for Choice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("v4l2:")) {
            ("auto", _) => Ok(Self::Auto),
            ("openh264", _) => Ok(Self::Openh264),
            (_, Some(path)) if !path.is_empty() => Ok(Self::V4l2(path.into())),
            _ => Err(UnknownChoice),
        }
    }
}

/// A text that names no encoder.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an encoder is auto, openh264 or v4l2: and a device, as v4l2:/dev/video11")]
pub struct UnknownChoice;

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Openh264 => f.write_str("openh264"),
            Self::V4l2(path) => write!(f, "v4l2:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_as_text() {
        for (text, choice) in [
            ("auto", Choice::Auto),
            ("openh264", Choice::Openh264),
            ("v4l2:/dev/video11", Choice::V4l2("/dev/video11".into())),
        ] {
            assert_eq!(text.parse(), Ok(choice.clone()));
            assert_eq!(choice.to_string(), text);
        }
        for text in ["", "v4l2", "v4l2:", "Auto", "x264"] {
            assert_eq!(text.parse::<Choice>(), Err(UnknownChoice), "{text}");
        }
    }
}
