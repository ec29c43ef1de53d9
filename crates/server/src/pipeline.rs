//! One run of a source: the threads that capture, encode and publish.
//!
//! ```text
//!  source thread ──Picture──▶ slot of one, newest wins ──▶ encoder thread ──▶ Publisher
//!  source thread ──AccessUnit (never dropped)──▶ Publisher
//! ```
//!
//! Devices and codecs block, and their handles may not leave their thread, so each gets a thread of
//! its own. A run opens its source, says so, and waits for the stream's one publisher, which it
//! gives back when it is over: whatever happens to a run, a panic included, the stream lives on.

use std::{
    any::Any,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use capture::{Captured, Description, Source};
use encode::recovery::{Recovery, Remedy};
use media::{Clock, FrameRate, I420Layout};
use tokio::sync::mpsc;
use tracing::{Span, debug, warn};

use self::slot::{CloseOnDrop, Slot, Waiting};
use crate::live::{Publisher, Stamps};

mod encoding;
#[cfg(debug_assertions)]
pub mod faults;
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
    /// A thread panicked.
    #[error("a worker thread panicked: {0}")]
    Panicked(String),
}

/// What a run has to say.
#[derive(Debug)]
pub enum Event {
    /// Its source is open, and gives this; the run waits for [`Pipeline::begin`].
    Opened(Description),
    /// It is over, and its device is free.
    Ended {
        /// Why.
        end: End,
        /// What [`Pipeline::begin`] gave it.
        publisher: Option<Box<Publisher>>,
    },
}

/// A run; dropping it asks the threads to stop. They do so after the picture at hand; a read that
/// blocks for ever (a silent pipe) is not waited for.
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    wake: Option<Wake>,
    publisher: Option<blocking::Sender<Box<Publisher>>>,
    events: mpsc::UnboundedReceiver<Event>,
    /// The thread could not be started.
    stillborn: Option<io::Error>,
}

impl Pipeline {
    /// Starts the thread that opens the source of the stream of this name.
    pub fn start(mut config: Config, name: &str, clock: Arc<dyn Clock>) -> Self {
        let wake = config.wake.take();
        let stop = Arc::new(AtomicBool::new(false));
        let (said, events) = mpsc::unbounded_channel();
        let (give, given) = blocking::channel();
        let worker = Worker { stop: Arc::clone(&stop), clock };
        let span = Span::current();
        let spawned = thread::Builder::new().name(format!("source {name}")).spawn(move || {
            let _span = span.entered();
            let mut publisher = None;
            let run = || worker.run(config, &said, &given, &mut publisher);
            let end = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| panicked(&*panic));
            // A publisher that came too late is not lost.
            let publisher = publisher.or_else(|| given.try_recv().ok());
            let _ = said.send(Event::Ended { end, publisher });
        });
        Self { stop, wake, publisher: Some(give), events, stillborn: spawned.err() }
    }

    /// Lets a run whose source is open go on.
    ///
    /// # Errors
    ///
    /// The publisher, when the run is over already.
    pub fn begin(&mut self, publisher: Box<Publisher>) -> Result<(), Box<Publisher>> {
        match self.publisher.take() {
            Some(give) => give.send(publisher).map_err(|blocking::SendError(back)| back),
            None => Err(publisher),
        }
    }

    /// Asks the threads to stop, as dropping it does.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Whoever waits for it waits no more.
        self.publisher = None;
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

struct Worker {
    stop: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
}

impl Worker {
    fn run(
        self,
        config: Config,
        said: &mpsc::UnboundedSender<Event>,
        given: &blocking::Receiver<Box<Publisher>>,
        publisher: &mut Option<Box<Publisher>>,
    ) -> End {
        let mut source = match (config.open)() {
            Ok(source) => source,
            Err(error) => return End::Source(error),
        };
        let description = source.description().clone();
        let _ = said.send(Event::Opened(description.clone()));
        let Ok(received) = given.recv() else { return End::Stopped };
        let publisher = publisher.insert(received);
        match (description, config.encoding) {
            (Description::H264 { parameter_sets, rate }, _) => {
                publisher.announce(parameter_sets, rate, None);
                self.forward(&mut *source, publisher)
            }
            (Description::Raw { layout, rate, colours }, Some(encoding)) => {
                publisher.start_on_demand();
                let encoding = encode::Config { colours, ..encoding(layout, rate) };
                self.encode(&mut *source, &config.encoder, &encoding, publisher)
            }
            (Description::Raw { layout, .. }, None) => End::NotEncoded { layout },
        }
    }

    /// Waits, unless it is stopped.
    fn pause(&self, time: Duration) {
        let until = self.clock.now() + time;
        while !self.is_stopped() && self.clock.now() < until {
            self.clock.sleep_until(until.min(self.clock.now() + GLANCE));
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Publishes what the source gives as it is.
    fn forward(&self, source: &mut dyn Source, publisher: &mut Publisher) -> End {
        publisher.mount().vitals().set_encoder(None);
        let mut missed = Missed::before(source);
        while !self.is_stopped() {
            #[cfg(debug_assertions)]
            faults::SOURCE.strike();
            match source.next() {
                Ok(Some(Captured::Encoded(unit))) => {
                    let arrived = source.arrived().unwrap_or_else(|| self.clock.now());
                    publisher.mount().vitals().note_gaps(missed.new_of(source));
                    publisher.publish_encoded(&unit, &Stamps::of_encoded(arrived));
                }
                // A raw picture cannot come from a source that described itself as H.264.
                Ok(Some(raw)) => debug!(?raw, "unexpected raw picture"),
                // Woken, to stop.
                Ok(None) if self.is_stopped() => return End::Stopped,
                Ok(None) => return End::Finished,
                Err(error) => return End::Source(error),
            }
        }
        End::Stopped
    }

    /// Reads the source here and encodes on a thread of its own, so that a slow encoder makes the
    /// source skip pictures rather than fall behind.
    fn encode(
        &self,
        source: &mut dyn Source,
        choice: &encode::Choice,
        config: &encode::Config,
        publisher: &mut Publisher,
    ) -> End {
        publisher.announce(None, Some(config.rate), Some(config.bitrate));
        let mut recovery = Recovery::new(choice.clone());
        let (mut may_share, mut has_begun) = (true, false);
        let mut last_panic = None;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let began = self.clock.now();
            let end = match open_encoder(source, recovery.choice(), config, may_share) {
                Ok(encoder) => {
                    has_begun = true;
                    self.encode_by(encoder, source, publisher)
                }
                Err(end) => end,
            };
            match end {
                // The stream goes on, with copies.
                End::Encoder(error @ encode::Error::NotShared { .. }) if may_share => {
                    warn!(%error, "pictures are copied from now on");
                    may_share = false;
                }
                End::Encoder(error) if has_begun => {
                    match recovery.failed(&error, self.clock.now()) {
                        Remedy::Reopen => warn!(%error, "the encoder is opened again"),
                        Remedy::Openh264 => {
                            warn!(%error, "openh264 encodes from now on, until the next start");
                            may_share = false;
                        }
                        Remedy::GiveUp => return End::Encoder(error),
                    }
                    publisher.interrupt();
                    // Its tries would be used up before it had a chance.
                    if self.clock.now().saturating_since(began) < SHORT_RUN {
                        self.pause(pause);
                        pause *= 4;
                    }
                }
                // A worker that panics over and over is not helped by being started again.
                End::Panicked(reason)
                    if last_panic.is_none_or(|at| self.clock.now() >= at + BETWEEN_PANICS) =>
                {
                    warn!(reason, "the encoder has panicked, and is opened again");
                    publisher.mount().note_panic();
                    last_panic = Some(self.clock.now());
                    publisher.interrupt();
                }
                end => return end,
            }
        }
    }

    /// Reads the source here, while a thread of its own encodes.
    fn encode_by(
        &self,
        mut encoder: Box<dyn encode::Encoder>,
        source: &mut dyn Source,
        publisher: &mut Publisher,
    ) -> End {
        let slot = match Slot::new() {
            Ok(slot) => slot,
            Err(error) => return End::Thread(error),
        };
        let span = Span::current();
        let name = format!("encode {}", publisher.mount().name());
        // A panic on either thread ends the other, and waits for it.
        thread::scope(|scope| {
            let encode = || {
                let _span = span.entered();
                let _closed = CloseOnDrop(&slot);
                let run = || encoding::run(&slot, &mut *encoder, publisher, &*self.clock);
                catch_unwind(AssertUnwindSafe(run))
            };
            let thread = match thread::Builder::new().name(name).spawn_scoped(scope, encode) {
                Ok(thread) => thread,
                Err(error) => return End::Thread(error),
            };
            let end = {
                let _closed = CloseOnDrop(&slot);
                self.read(source, &slot)
            };
            match thread.join() {
                Ok(Ok(Ok(()))) => end,
                Ok(Ok(Err(error))) => End::Encoder(error),
                Ok(Err(panic)) | Err(panic) => panicked(&*panic),
            }
        })
    }

    /// Brings pictures to the slot until one of its ends is over.
    fn read(&self, source: &mut dyn Source, slot: &Slot) -> End {
        let mut missed = Missed::before(source);
        while !self.is_stopped() {
            #[cfg(debug_assertions)]
            faults::SOURCE.strike();
            let picture = match source.next() {
                Ok(Some(Captured::Raw(frame))) => frame.into(),
                Ok(Some(Captured::Lent { time, loan })) => encode::Picture::Lent { time, loan },
                Ok(Some(Captured::Encoded(unit))) => {
                    debug!(?unit, "unexpected encoded picture");
                    continue;
                }
                Ok(None) if self.is_stopped() => break,
                Ok(None) => return End::Finished,
                Err(error) => return End::Source(error),
            };
            let ready = self.clock.now();
            let arrived = source.arrived().unwrap_or(ready);
            slot.note_lost(missed.new_of(source));
            if slot.put(Waiting { picture, arrived, ready }).is_err() {
                // The encoder is gone; its thread says why.
                break;
            }
        }
        End::Stopped
    }
}

/// How many pictures a source has missed by its own count.
struct Missed(u64);

impl Missed {
    fn before(source: &dyn Source) -> Self {
        Self(source.missed())
    }

    /// Those since the last call.
    fn new_of(&mut self, source: &dyn Source) -> u64 {
        let before = std::mem::replace(&mut self.0, source.missed());
        self.0.saturating_sub(before)
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

/// What the panic said; where it was is in the log.
fn panicked(panic: &(dyn Any + Send)) -> End {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    End::Panicked(text.unwrap_or_else(|| "it does not say why".to_owned()))
}

/// An encoder that fails sooner than this is given time before it is opened again.
const SHORT_RUN: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// Between looks at whether to stop.
const GLANCE: Duration = Duration::from_millis(20);
/// An encoder that panics more often than this takes its source with it.
const BETWEEN_PANICS: Duration = Duration::from_secs(10);
