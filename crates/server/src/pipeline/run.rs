//! What the threads of a run do: one reads the source; where its pictures are raw, another encodes.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use capture::{Captured, Description, Source};
use encode::recovery::{Recovery, Remedy};
use media::Clock;
use tokio::sync::mpsc;
use tracing::{Span, debug, warn};

#[cfg(debug_assertions)]
use super::faults;
use super::{
    Config, End, Event, Purpose, encoding,
    outlet::{Introduction, Outlet},
    slot::{CloseOnDrop, Slot, Waiting},
};
use crate::live::Stamps;

/// What the threads of a run do.
pub(super) struct Run {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Run {
    /// Opens the source, and brings what it gives to the outlet.
    pub(super) fn go(
        self,
        config: Config,
        purpose: Purpose,
        said: &mpsc::UnboundedSender<Event>,
        outlet: &mut Outlet,
    ) -> End {
        let mut source = match (config.open)() {
            Ok(source) => source,
            Err(error) => return End::Source(error),
        };
        let description = source.description().clone();
        let _ = said.send(Event::Opened(description.clone()));
        match (description, config.encoding) {
            (Description::Raw { layout, .. }, None) => End::NotEncoded { layout },
            _ if purpose == Purpose::Try => End::Stopped,
            (Description::H264 { parameter_sets, rate }, _) => {
                let introduction = Introduction { parameter_sets, rate, ..Introduction::default() };
                outlet.introduce(introduction);
                self.forward(&mut *source, outlet)
            }
            (Description::Raw { layout, rate, colours }, Some(encoding)) => {
                let encoding = encode::Config { colours, ..encoding(layout, rate) };
                outlet.introduce(Introduction {
                    parameter_sets: None,
                    rate: Some(encoding.rate),
                    bitrate: Some(encoding.bitrate),
                    on_demand: true,
                });
                self.encode(&mut *source, &config.encoder, &encoding, outlet)
            }
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
    fn forward(&self, source: &mut dyn Source, outlet: &mut Outlet) -> End {
        let mut missed = Missed::before(source);
        while !self.is_stopped() {
            #[cfg(debug_assertions)]
            faults::SOURCE.strike();
            match source.next() {
                Ok(Some(Captured::Encoded(unit))) => {
                    let arrived = source.arrived().unwrap_or_else(|| self.clock.now());
                    outlet.mount().vitals().note_gaps(missed.new_of(source));
                    outlet.publish(unit, Stamps::of_encoded(arrived));
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
        outlet: &mut Outlet,
    ) -> End {
        let mut recovery = Recovery::new(choice.clone());
        let (mut may_share, mut has_begun) = (true, false);
        let mut last_panic = None;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let began = self.clock.now();
            let end = match open_encoder(source, recovery.choice(), config, may_share) {
                Ok(encoder) => {
                    has_begun = true;
                    self.encode_by(encoder, source, outlet)
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
                    outlet.interrupt();
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
                    outlet.mount().note_panic();
                    last_panic = Some(self.clock.now());
                    outlet.interrupt();
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
        outlet: &mut Outlet,
    ) -> End {
        let slot = match Slot::new() {
            Ok(slot) => slot,
            Err(error) => return End::Thread(error),
        };
        let span = Span::current();
        let name = format!("encode {}", outlet.mount().name());
        // A panic on either thread ends the other, and waits for it.
        thread::scope(|scope| {
            let encode = || {
                let _span = span.entered();
                let _closed = CloseOnDrop(&slot);
                let run = || encoding::run(&slot, &mut *encoder, outlet, &*self.clock);
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
pub(super) fn panicked(panic: &(dyn Any + Send)) -> End {
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
