//! What is counted of a stream, beside its delays: for people, and read by nothing that works.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The counts of one stream, over all runs of its source.
#[derive(Debug, Default)]
pub struct Vitals {
    keyframes: AtomicU64,
    gaps: AtomicU64,
    encoder: Mutex<Option<Arc<str>>>,
}

impl Vitals {
    /// Keyframes that were published.
    pub fn keyframes(&self) -> u64 {
        self.keyframes.load(Ordering::Relaxed)
    }

    /// Pictures of the source that nobody could see.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// What encodes the stream; `None` where it comes encoded.
    pub fn encoder(&self) -> Option<Arc<str>> {
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a keyframe.
    pub(super) fn note_keyframe(&self) {
        self.keyframes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts pictures that the driver lost, or that came while the encoder had enough.
    pub fn note_gaps(&self, pictures: u64) {
        self.gaps.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Says what encodes the stream from now on.
    pub fn set_encoder(&self, name: Option<&str>) {
        *self.encoder.lock().unwrap_or_else(PoisonError::into_inner) = name.map(Arc::from);
    }
}
