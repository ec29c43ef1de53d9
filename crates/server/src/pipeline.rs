//! One run of a source: the threads that capture, encode and publish.
//!
//! ```text
//!  source thread ──Picture──▶ slot of one, newest wins ──▶ encoder thread ──▶ Publisher
//!  source thread ──AccessUnit (never dropped)──▶ Publisher
//! ```
//!
//! Devices and codecs block, and their handles may not leave their thread, so each gets a thread of
//! its own. A run is given the stream's one publisher when it has a first picture to show, and gives
//! it back when it is over: whatever happens to a run, a panic included, the stream lives on.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use capture::{Description, Source};
use media::{Clock, FrameRate, I420Layout};
use tokio::sync::mpsc;
use tracing::Span;

use self::{handover::Handover, outlet::Outlet, run::Run};
use crate::live::{Mount, Publisher};

mod encoding;
#[cfg(debug_assertions)]
pub mod faults;
mod handover;
mod outlet;
mod run;
mod slot;

/// Opens the source, on the thread that will read it.
pub type Open = Box<dyn FnOnce() -> Result<Box<dyn Source>, capture::Error> + Send>;

/// What to encode raw pictures to, by what the source says it gives.
pub type Encoding = Box<dyn FnOnce(I420Layout, FrameRate) -> encode::Config + Send>;

/// How a stream is made.
pub struct Config {
    /// Opens the source.
    pub open: Open,
    /// What to encode raw pictures to. Sources that give H.264 alone have none.
    pub encoding: Option<Encoding>,
    /// By which encoder.
    pub encoder: encode::Choice,
    /// Ends a wait of the source from another thread, where there is a way: it gives `None` then.
    pub wake: Option<Wake>,
}

/// Ends a wait of a source.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Why a run is over.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The source came to its regular end.
    #[error("the source has ended")]
    Finished,
    /// It was told to stop, or was no more than a try.
    #[error("stopped")]
    Stopped,
    /// The source failed.
    #[error(transparent)]
    Source(#[from] capture::Error),
    /// The source gives raw pictures where H.264 was expected.
    #[error(
        "it gives raw pictures of {}x{}, but was configured as H.264",
        layout.width(),
        layout.height()
    )]
    NotEncoded {
        /// Their size.
        layout: I420Layout,
    },
    /// The encoder failed.
    #[error(transparent)]
    Encoder(#[from] encode::Error),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// A thread panicked.
    #[error("a worker thread panicked: {0}")]
    Panicked(String),
}

/// What a run has to say.
#[derive(Debug)]
pub enum Event {
    /// Its source is open, and will give this, unless it hangs.
    Opened(Description),
    /// It has a keyframe to show, and waits for [`Pipeline::give`]. Said once.
    Ready,
    /// It is over, and its device is free.
    Ended {
        /// Why.
        end: End,
        /// What [`Pipeline::give`] gave it.
        publisher: Option<Box<Publisher>>,
    },
}

/// How far a run goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Until it is stopped.
    Serve,
    /// Until its source is open: no picture is taken.
    Try,
}

/// A run; dropping it asks the threads to stop. They do so after the picture at hand; a read that
/// blocks for ever (a silent pipe) is not waited for.
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    wake: Option<Wake>,
    handover: Arc<Handover>,
    events: mpsc::UnboundedReceiver<Event>,
    /// The thread could not be started.
    stillborn: Option<io::Error>,
}

impl Pipeline {
    /// Starts the thread that opens the source of this stream.
    pub fn start(
        mut config: Config,
        purpose: Purpose,
        mount: &Arc<Mount>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let wake = config.wake.take();
        let stop = Arc::new(AtomicBool::new(false));
        let (said, events) = mpsc::unbounded_channel();
        let handover = Arc::new(Handover::default());
        let mut outlet = Outlet::new(Arc::clone(mount), Arc::clone(&handover), said.clone());
        let run = Run { stop: Arc::clone(&stop), clock };
        let (span, name) = (Span::current(), format!("source {}", mount.name()));
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let _span = span.entered();
            let go = || run.go(config, purpose, &said, &mut outlet);
            let end = catch_unwind(AssertUnwindSafe(go)).unwrap_or_else(|p| run::panicked(&*p));
            let _ = said.send(Event::Ended { end, publisher: outlet.close() });
        });
        Self { stop, wake, handover, events, stillborn: spawned.err() }
    }

    /// Gives a run that is ready the stream's publisher.
    ///
    /// # Errors
    ///
    /// The publisher, when the run is over already.
    pub fn give(&self, publisher: Box<Publisher>) -> Result<(), Box<Publisher>> {
        self.handover.give(publisher)
    }

    /// Asks the threads to stop, as dropping it does.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handover.close();
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// Waits for what the run has to say next, [`Event::Ended`] at last. Later calls never return.
    /// Whoever gives up waiting loses nothing.
    pub async fn event(&mut self) -> Event {
        if let Some(error) = self.stillborn.take() {
            return Event::Ended { end: End::Thread(error), publisher: None };
        }
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("stop", &self.stop).finish_non_exhaustive()
    }
}
