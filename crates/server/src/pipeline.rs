//! From a source to a mount: the threads that capture, encode and publish.
//!
//! ```text
//!  source thread ──Frame──▶ slot of one, newest wins ──▶ encoder thread ──▶ Publisher
//!  source thread ──AccessUnit (never dropped)──▶ Publisher
//! ```
//!
//! Devices and codecs block, and their handles may not leave their thread, so each gets a thread of
//! its own.

use std::{
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use capture::{Captured, Description, Source};
use encode::Encoder;
use media::{Clock, Frame, FrameRate, I420Layout};
use tokio::sync::oneshot;
use tracing::{debug, error, info, info_span};

use crate::live::Publisher;

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
    /// Ends a wait of the source from another thread, where there is a way: it gives `None` then.
    pub wake: Option<Wake>,
}

/// Ends a wait of a source.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Why a pipeline is over.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The source came to its regular end.
    #[error("the source has ended")]
    Finished,
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// The source failed.
    #[error(transparent)]
    Source(#[from] capture::Error),
    /// The encoder failed.
    #[error(transparent)]
    Encoder(#[from] encode::Error),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// A thread panicked; the message is in the log.
    #[error("a worker thread panicked")]
    Panicked,
}

/// A running pipeline; dropping it asks the threads to stop. They do so after the picture at hand;
/// a read that blocks for ever (a silent pipe) is not waited for.
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    wake: Option<Wake>,
    end: Option<oneshot::Receiver<End>>,
}

impl Pipeline {
    /// Starts the threads.
    pub fn start(mut config: Config, publisher: Publisher, clock: Arc<dyn Clock>) -> Self {
        let wake = config.wake.take();
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, end) = oneshot::channel();
        let name = publisher.mount().name().to_owned();
        let worker = Worker { stop: Arc::clone(&stop), publisher, clock };
        let spawned = thread::Builder::new().name(format!("source {name}")).spawn(move || {
            let _span = info_span!("stream", name).entered();
            let run = std::panic::AssertUnwindSafe(|| worker.run(config));
            let end = std::panic::catch_unwind(run).unwrap_or(End::Panicked);
            match &end {
                End::Finished | End::Stopped => info!(reason = %end, "stream over"),
                failure => error!(reason = %failure, "stream failed"),
            }
            let _ = ended.send(end);
        });
        if let Err(error) = spawned {
            error!(%error, "cannot start a thread for a source");
        }
        Self { stop, wake, end: Some(end) }
    }

    /// Waits until the pipeline is over. Later calls never return.
    pub async fn end(&mut self) -> End {
        match self.end.take() {
            Some(end) => end.await.unwrap_or(End::Panicked),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("stop", &self.stop).finish_non_exhaustive()
    }
}

struct Worker {
    stop: Arc<AtomicBool>,
    publisher: Publisher,
    clock: Arc<dyn Clock>,
}

impl Worker {
    fn run(mut self, config: Config) -> End {
        let mut source = match (config.open)() {
            Ok(source) => source,
            Err(error) => return End::Source(error),
        };
        match (source.description().clone(), config.encoding) {
            (Description::H264 { parameter_sets, rate }, _) => {
                self.publisher.announce(parameter_sets, rate, None);
                self.forward(&mut *source)
            }
            (Description::Raw { layout, rate }, Some(encoding)) => {
                self.publisher.start_on_demand();
                self.encode(&mut *source, encoding(layout, rate))
            }
            (Description::Raw { layout, .. }, None) => End::Encoder(encode::Error::Unsupported {
                encoder: "none",
                what: format!("raw {}x{}", layout.width(), layout.height()),
                reason: "the stream was configured as H.264".to_owned(),
            }),
        }
    }

    /// Publishes what the source gives as it is.
    fn forward(&mut self, source: &mut dyn Source) -> End {
        while !self.stop.load(Ordering::Relaxed) {
            match source.next() {
                Ok(Some(Captured::Encoded(unit))) => self.publisher.publish(&unit),
                // A raw picture cannot come from a source that described itself as H.264.
                Ok(Some(Captured::Raw(frame))) => debug!(?frame, "unexpected raw picture"),
                // Woken, to stop.
                Ok(None) if self.stop.load(Ordering::Relaxed) => return End::Stopped,
                Ok(None) => return End::Finished,
                Err(error) => return End::Source(error),
            }
        }
        End::Stopped
    }

    /// Reads the source here and encodes on a thread of its own, so that a slow encoder makes the
    /// source skip pictures rather than fall behind.
    fn encode(self, source: &mut dyn Source, config: encode::Config) -> End {
        let Self { stop, mut publisher, clock } = self;
        publisher.announce(None, Some(config.rate), Some(config.bitrate));
        let slot = Arc::new(Slot::default());
        let encoder = {
            let slot = Arc::clone(&slot);
            let span = tracing::Span::current();
            thread::Builder::new().name(format!("encode {}", publisher.mount().name())).spawn(
                move || {
                    let _span = span.entered();
                    let _closed = CloseOnDrop(&slot);
                    encode_all(&slot, &config, &mut publisher, &*clock)
                },
            )
        };
        let encoder = match encoder {
            Ok(encoder) => encoder,
            Err(error) => return End::Thread(error),
        };
        let end = loop {
            if stop.load(Ordering::Relaxed) {
                break End::Stopped;
            }
            match source.next() {
                Ok(Some(Captured::Raw(frame))) => {
                    if slot.put(frame).is_err() {
                        // The encoder is gone; its thread says why.
                        break End::Panicked;
                    }
                }
                Ok(Some(Captured::Encoded(unit))) => debug!(?unit, "unexpected encoded picture"),
                Ok(None) if stop.load(Ordering::Relaxed) => break End::Stopped,
                Ok(None) => break End::Finished,
                Err(error) => break End::Source(error),
            }
        };
        slot.close();
        match encoder.join() {
            Ok(Ok(())) => end,
            Ok(Err(error)) => End::Encoder(error),
            Err(_) => End::Panicked,
        }
    }
}

fn encode_all(
    slot: &Slot,
    config: &encode::Config,
    publisher: &mut Publisher,
    clock: &dyn Clock,
) -> Result<(), encode::Error> {
    let mut encoder = encode::openh264::Openh264::new(config)?;
    info!(
        encoder = encoder.name(),
        size = %format_args!("{}x{}", config.layout.width(), config.layout.height()),
        rate = %config.rate,
        bitrate = config.bitrate,
        gop = config.gop,
        "encoding"
    );
    while let Some(frame) = slot.take() {
        if publisher.mount().take_keyframe_request(clock.now()) {
            encoder.force_keyframe();
        }
        if let Some(unit) = encoder.encode(&frame)? {
            // Before anything is sent: the buffer is free for the next picture.
            drop(frame);
            publisher.publish(&unit);
        }
    }
    Ok(())
}

/// A slot of one picture between two threads: the newest wins. Only for raw pictures; an encoded
/// one must never be dropped silently.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<SlotState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    frame: Option<Frame>,
    closed: bool,
}

/// The other side is gone.
#[derive(Debug)]
struct Closed;

impl Slot {
    fn put(&self, frame: Frame) -> Result<(), Closed> {
        let replaced = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return Err(Closed);
            }
            state.frame.replace(frame)
        };
        self.changed.notify_one();
        if let Some(replaced) = replaced {
            debug!(frame = ?replaced, "encoder too slow: a picture was skipped");
        }
        Ok(())
    }

    /// The newest picture; waits for one. `None` when the slot was closed and is empty.
    fn take(&self) -> Option<Frame> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(frame) = state.frame.take() {
                return Some(frame);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }
}

struct CloseOnDrop<'a>(&'a Slot);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use media::{FramePool, I420Layout, MediaTime};

    use super::*;

    #[test]
    fn the_newest_picture_wins_and_a_closed_slot_still_gives_its_last() {
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 3);
        let slot = Slot::default();
        for nanos in 1..=2 {
            slot.put(pool.take(MediaTime::from_nanos(nanos)).unwrap()).unwrap();
        }
        slot.close();
        assert!(slot.put(pool.take(MediaTime::ZERO).unwrap()).is_err());
        assert_eq!(slot.take().unwrap().time(), MediaTime::from_nanos(2));
        assert!(slot.take().is_none());
    }
}
