//! What was found, for people and for programs.

use serde::Serialize;

/// What a probe found. Its JSON form has these keys, always all of them, `null` where there was
/// nothing to measure; the unit is the end of the name.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    verdict: Verdict,
}

impl Report {
    /// Whether a decoder could have started.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// Whether a decoder could have started, and if not, what was missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A whole IDR picture with parsable parameter sets arrived.
    Good,
    /// Not one packet arrived.
    NoPackets,
    /// Packets arrived, but no IDR picture in one piece.
    NoKeyframe,
    /// IDR pictures arrived, but not the parameter sets they refer to.
    NoParameterSets,
    /// There are parameter sets, but they break the syntax.
    BrokenParameterSets,
}

impl Verdict {
    /// 0 when a decoder could have started, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Good => 0,
            Self::NoPackets
            | Self::NoKeyframe
            | Self::NoParameterSets
            | Self::BrokenParameterSets => 1,
        }
    }
}
