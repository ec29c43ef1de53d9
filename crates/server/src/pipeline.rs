//! From a source to a mount: the threads that capture, encode and publish.
//!
//! ```text
//!  source thread ──Picture──▶ slot of one, newest wins ──▶ encoder thread ──▶ Publisher
//!  source thread ──AccessUnit (never dropped)──▶ Publisher
//! ```
//!
//! Devices and codecs block, and their handles may not leave their thread, so each gets a thread of
//! its own.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use capture::{Captured, Description, Source};
use media::{Clock, FrameRate, I420Layout};
use tokio::sync::oneshot;
use tracing::{debug, error, info, info_span, warn};

use self::slot::{CloseOnDrop, Slot, Waiting};
use crate::live::{Publisher, Stamps};

mod encoding;
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

    /// Asks the threads to stop, as dropping it does.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// Waits until the pipeline is over. Later calls never return.
    pub async fn end(&mut self) -> End {
        // Taken only when it is there: whoever gives up waiting may wait again.
        let Some(end) = &mut self.end else { return std::future::pending().await };
        let end = end.await.unwrap_or(End::Panicked);
        self.end = None;
        end
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
            (Description::Raw { layout, rate, colours }, Some(encoding)) => {
                self.publisher.start_on_demand();
                let encoding = encode::Config { colours, ..encoding(layout, rate) };
                self.encode(&mut *source, config.encoder, encoding)
            }
            (Description::Raw { layout, .. }, None) => End::NotEncoded { layout },
        }
    }

    /// Publishes what the source gives as it is.
    fn forward(&mut self, source: &mut dyn Source) -> End {
        while !self.stop.load(Ordering::Relaxed) {
            match source.next() {
                Ok(Some(Captured::Encoded(unit))) => {
                    let arrived = source.arrived().unwrap_or_else(|| self.clock.now());
                    self.publisher.publish_encoded(&unit, &Stamps::of_encoded(arrived));
                }
                // A raw picture cannot come from a source that described itself as H.264.
                Ok(Some(raw)) => debug!(?raw, "unexpected raw picture"),
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
    fn encode(
        self,
        source: &mut dyn Source,
        choice: encode::Choice,
        config: encode::Config,
    ) -> End {
        let Self { stop, mut publisher, clock } = self;
        publisher.announce(None, Some(config.rate), Some(config.bitrate));
        let mut may_share = true;
        loop {
            let encoder = match open_encoder(source, &choice, &config, may_share) {
                Ok(encoder) => encoder,
                Err(end) => return end,
            };
            let Run { end, publisher: back } = run(source, encoder, publisher, &stop, &clock);
            match (end, back) {
                // The stream goes on, with copies.
                (End::Encoder(error @ encode::Error::NotShared { .. }), Some(back))
                    if may_share =>
                {
                    warn!(%error, "pictures are copied from now on");
                    (publisher, may_share) = (back, false);
                }
                // What the encoder has of the camera's memory, or the camera of the encoder's, is no
                // more: both begin anew.
                (End::Source(capture::Error::Reopened), Some(back)) => publisher = back,
                (end, _) => return end,
            }
        }
    }
}

/// Opens the encoder for what the source gives, in memory that both share if they can.
fn open_encoder(
    source: &mut dyn Source,
    choice: &encode::Choice,
    config: &encode::Config,
    may_share: bool,
) -> Result<Box<dyn encode::Encoder>, End> {
    let mut lender = source.lender();
    if !may_share && let Some(lender) = lender.take() {
        lender.copy().map_err(capture::Error::from)?;
    }
    Ok(encode::open(choice, config, lender)?)
}

/// How encoding ended.
struct Run {
    end: End,
    /// To go on with; gone with a thread that could not be started, or panicked.
    publisher: Option<Publisher>,
}

impl From<End> for Run {
    fn from(end: End) -> Self {
        Self { end, publisher: None }
    }
}

/// Reads the source here, while a thread of its own encodes.
fn run(
    source: &mut dyn Source,
    mut encoder: Box<dyn encode::Encoder>,
    mut publisher: Publisher,
    stop: &AtomicBool,
    clock: &Arc<dyn Clock>,
) -> Run {
    let slot = match Slot::new() {
        Ok(slot) => Arc::new(slot),
        Err(error) => return End::Thread(error).into(),
    };
    let encoder = {
        let slot = Arc::clone(&slot);
        let span = tracing::Span::current();
        let name = format!("encode {}", publisher.mount().name());
        let clock = Arc::clone(clock);
        thread::Builder::new().name(name).spawn(move || {
            let _span = span.entered();
            let _closed = CloseOnDrop(&slot);
            let result = encoding::run(&slot, &mut *encoder, &mut publisher, &*clock);
            (result, publisher)
        })
    };
    let encoder = match encoder {
        Ok(encoder) => encoder,
        Err(error) => return End::Thread(error).into(),
    };
    let end = loop {
        if stop.load(Ordering::Relaxed) {
            break End::Stopped;
        }
        let picture = match source.next() {
            Ok(Some(Captured::Raw(frame))) => frame.into(),
            Ok(Some(Captured::Lent { time, loan })) => encode::Picture::Lent { time, loan },
            Ok(Some(Captured::Encoded(unit))) => {
                debug!(?unit, "unexpected encoded picture");
                continue;
            }
            Ok(None) if stop.load(Ordering::Relaxed) => break End::Stopped,
            Ok(None) => break End::Finished,
            Err(error) => break End::Source(error),
        };
        let ready = clock.now();
        let arrived = source.arrived().unwrap_or(ready);
        if slot.put(Waiting { picture, arrived, ready }).is_err() {
            // The encoder is gone; its thread says why.
            break End::Panicked;
        }
    };
    slot.close();
    match encoder.join() {
        Ok((Ok(()), publisher)) => Run { end, publisher: Some(publisher) },
        Ok((Err(error), publisher)) => Run { end: End::Encoder(error), publisher: Some(publisher) },
        Err(_) => End::Panicked.into(),
    }
}
