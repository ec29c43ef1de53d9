//! One task that takes a mount's new pictures to all its TCP viewers.
//!
//! A viewer's pictures travel within its RTSP connection, which is a task of its own. Were each of
//! them woken for each picture, waking would cost about as much as writing. So one task writes for
//! all of them, and a connection wakes up only when its client leaves bytes untaken.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use tokio::{
    sync::mpsc,
    task::{unconstrained, yield_now},
};
use tracing::error;

use crate::live::Mount;

/// The writing half of a connection, as far as pictures go.
pub trait Line: Send + Sync {
    /// Writes what its viewers have not been given yet, as far as that goes without waiting. What
    /// is left is written by the connection itself.
    fn advance(&self);
}

/// A handle to the task; cheap to clone.
#[derive(Clone, Debug)]
pub struct Lines(mpsc::UnboundedSender<Weak<dyn Line>>);

impl Lines {
    /// Starts the task. It ends when all handles are gone, or the mount is.
    pub fn spawn(mount: &Arc<Mount>) -> Self {
        let (lines, mut added) = mpsc::unbounded_channel::<Weak<dyn Line>>();
        let mut published = mount.subscribe();
        // What the runtime grants a task at once would be used up by a few dozen writes; it yields by
        // itself.
        tokio::spawn(unconstrained(async move {
            let mut lines: Vec<Weak<dyn Line>> = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    line = added.recv() => {
                        let Some(line) = line else { return };
                        lines.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&line));
                        // There may have been a picture since the viewer looked.
                        advance(&line);
                        lines.push(line);
                    }
                    changed = published.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        advance_all(&mut lines).await;
                    }
                }
            }
        }));
        Self(lines)
    }

    /// Takes pictures to this line too, from now on and for as long as it exists. To be called
    /// when the line has a new viewer.
    pub fn add(&self, line: Weak<dyn Line>) {
        // Without the task there is no mount, and nothing to see.
        let _ = self.0.send(line);
    }
}

async fn advance_all(lines: &mut Vec<Weak<dyn Line>>) {
    let mut at = 0;
    while at < lines.len() {
        if advance(&lines[at]) {
            at += 1;
        } else {
            lines.swap_remove(at);
        }
        if at % LINES_PER_TURN == LINES_PER_TURN - 1 {
            yield_now().await;
        }
    }
}

/// Whether the line goes on. A panic in one ends that one alone: its connection comes upon the same
/// when it writes its next report.
fn advance(line: &Weak<dyn Line>) -> bool {
    let Some(line) = line.upgrade() else { return false };
    let advanced = catch_unwind(AssertUnwindSafe(|| line.advance()));
    if advanced.is_err() {
        error!("a panic while writing to a viewer: it gets no more pictures");
    }
    advanced.is_ok()
}

/// Lines written to before other tasks of the thread get their turn.
const LINES_PER_TURN: usize = 64;
