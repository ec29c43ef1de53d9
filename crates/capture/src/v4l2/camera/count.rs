//! What became of a camera's pictures.

use tracing::{debug, warn};

/// Of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// The driver's count of the last.
    pub(super) sequence: Option<u32>,
    /// Given on.
    pub(super) given: u64,
    /// Counted by the driver, and never come.
    pub(super) lost: u64,
    /// Come, and not fit to be shown.
    pub(super) damaged: u64,
    /// Come while all before them were still in use.
    pub(super) skipped: u64,
}

impl Count {
    /// A buffer came with this count of the driver's.
    pub(super) fn note(&mut self, sequence: u32) {
        if let Some(last) = self.sequence.replace(sequence) {
            // A driver that starts its count again has lost nothing.
            let missing = sequence.wrapping_sub(last).wrapping_sub(1);
            if (1..=LARGEST_GAP).contains(&missing) {
                self.lost += u64::from(missing);
                debug!(missing, lost = self.lost, "the camera has lost pictures");
            }
        }
    }

    /// A picture could not be used.
    pub(super) fn complain(&mut self, reason: &str) {
        self.damaged += 1;
        // Cables that lose bits lose many.
        if self.damaged.is_power_of_two() {
            warn!(reason, count = self.damaged, "a picture of the camera cannot be used");
        }
    }
}

/// A larger gap in the driver's count is another count.
const LARGEST_GAP: u32 = 1 << 16;
