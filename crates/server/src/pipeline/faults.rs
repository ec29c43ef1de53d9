//! Panics on request, to see that a worker dies of them and nothing else. Debug builds alone have
//! this: SIGUSR1 is for the next picture of a source, SIGUSR2 for the next of an encoder.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// A worker that may be made to panic.
#[derive(Debug)]
pub(super) struct Fault(AtomicBool);

impl Fault {
    /// Panics when it was asked for; once.
    pub(super) fn strike(&self) {
        // Of all threads that come by, one.
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            panic!("asked for by a signal");
        }
    }
}

/// Of the thread that reads a source.
pub(super) static SOURCE: Fault = Fault(AtomicBool::new(false));
/// Of the thread that encodes.
pub(super) static ENCODER: Fault = Fault(AtomicBool::new(false));

/// Listens for the signals. To be called within a Tokio runtime.
pub fn listen() {
    for (kind, fault) in
        [(SignalKind::user_defined1(), &SOURCE), (SignalKind::user_defined2(), &ENCODER)]
    {
        match signal(kind) {
            Ok(mut signals) => {
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        fault.0.store(true, Ordering::Relaxed);
                    }
                });
            }
            Err(error) => warn!(%error, "no panics on request"),
        }
    }
}
