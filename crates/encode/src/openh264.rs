//! Software encoding with Cisco's openh264.

use media::{AccessUnit, Frame};

use crate::{Config, Encoder, Error};

/// An openh264 encoder: Constrained Baseline, one slice per picture, no reordering.
pub struct Openh264 {
    config: Config,
}

impl Openh264 {
    /// An encoder for pictures as `config` says.
    ///
    /// # Errors
    ///
    /// When openh264 cannot encode such pictures.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self { config: config.clone() })
    }
}

impl Encoder for Openh264 {
    fn name(&self) -> &str {
        NAME
    }

    fn encode(&mut self, frame: &Frame) -> Result<Option<AccessUnit>, Error> {
        let reason = format!("{frame:?} with {:?}: not there yet", self.config);
        Err(Error::Failed { encoder: NAME, reason })
    }

    fn force_keyframe(&mut self) {}
}

const NAME: &str = "openh264";
