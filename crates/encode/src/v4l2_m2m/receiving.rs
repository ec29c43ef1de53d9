//! What comes out of an encoder: coded buffers, the wait for them, and the end.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use media::AccessUnit;
use tracing::{debug, warn};
use v4l2::{Content, Dequeued, Event, Interest, Next, Waker};

use super::{Drain, V4l2M2m, units::Coded};
use crate::{Config, Encoder, Error};

impl V4l2M2m {
    /// Gives all coded buffers that are here to the driver. One that it does not take is tried
    /// again the next time: a Raspberry Pi's refuses some under load.
    pub(super) fn queue_coded(&mut self) -> Result<(), Error> {
        while let Some(index) = self.coded.free() {
            if let Err(error) = self.coded.enqueue(index, Content::default()) {
                self.refused(error)?;
                break;
            }
            self.refusals = 0;
        }
        Ok(())
    }

    /// The next access unit that is there.
    pub(super) fn collect(&mut self) -> Result<Option<AccessUnit>, Error> {
        while self.drain != Drain::Done {
            self.queue_coded()?;
            match self.coded.dequeue()? {
                Next::Buffer(buffer) => {
                    let unit = self.take(&buffer)?;
                    if buffer.is_last && self.drain != Drain::No {
                        self.finish();
                    }
                    if unit.is_some() {
                        self.progress = Instant::now();
                        self.fruitless = 0;
                        return Ok(unit);
                    }
                }
                Next::NotYet if self.drain == Drain::Ready && self.pending.len() == 0 => {
                    self.finish();
                }
                Next::NotYet => break,
                Next::Drained if self.drain == Drain::No => {
                    return Err(self.failed("the driver ended the stream"));
                }
                Next::Drained => self.finish(),
            }
        }
        Ok(None)
    }

    /// What a coded buffer holds for whoever receives.
    fn take(&mut self, buffer: &Dequeued) -> Result<Option<AccessUnit>, Error> {
        let known = self.pending.find(buffer.timestamp);
        if buffer.is_damaged {
            warn!(encoder = self.name, "a coded picture is damaged: going on with a keyframe");
            self.pending.remove(buffer.timestamp);
            self.lose();
            return Ok(None);
        }
        let data = self.coded.data(buffer, 0).unwrap_or_default();
        Ok(match (self.units.take(data, known.unwrap_or_default()), known) {
            (Coded::Undecodable, _) => {
                let what = "it gives no parameter sets, without which nobody can decode what it \
                            makes";
                return Err(self.failed(what));
            }
            (Coded::Headers, _) => None,
            (Coded::Nothing, None) => None,
            // At the end of a stream an empty buffer stands for nothing, whatever its stamp.
            (Coded::Nothing, Some(_)) if buffer.is_last => None,
            (Coded::Nothing, Some(_)) => {
                debug!(encoder = self.name, "the encoder left a picture out");
                self.pending.remove(buffer.timestamp);
                None
            }
            (Coded::Picture(unit), None) => {
                let stamp = buffer.timestamp;
                warn!(encoder = self.name, ?stamp, ?unit, "nobody has asked for this picture");
                self.lose();
                None
            }
            (Coded::Picture(unit), Some(_)) => {
                let dropped = self.pending.remove(buffer.timestamp);
                if dropped > 0 {
                    debug!(encoder = self.name, dropped, "the encoder has dropped pictures");
                }
                self.is_broken &= !unit.is_keyframe();
                (!self.is_broken).then_some(unit)
            }
        })
    }

    /// What follows refers to a picture that nobody gets.
    fn lose(&mut self) {
        self.is_broken = true;
        self.keyframe_wanted = true;
    }

    pub(super) fn finish(&mut self) {
        self.drain = Drain::Done;
        if self.pending.len() > 0 {
            debug!(encoder = self.name, pictures = self.pending.len(), "never encoded");
        }
        self.pending.clear();
    }

    /// Whether something has to come. Pictures that were read and came to nothing are no sign of a
    /// stall, unless they are many: some are left out, and some encoders keep one until the next.
    pub(super) fn owes(&self) -> bool {
        self.raw.queued() > 0 || self.fruitless > MOST_LEFT_OUT
    }

    /// # Errors
    ///
    /// When something had to come, and nothing has for too long; whatever else there was, as
    /// pictures that are damaged or empty, each and every one.
    pub(super) fn check_progress(&self) -> Result<(), Error> {
        let is_late = self.progress.elapsed() > stall_limit(&self.config);
        if is_late && self.owes() && self.drain == Drain::No { Err(self.stalled()) } else { Ok(()) }
    }

    fn stalled(&self) -> Error {
        Error::Stalled {
            encoder: self.name.clone(),
            seconds: stall_limit(&self.config).as_secs_f64(),
            pictures: self.in_flight().max(self.fruitless),
        }
    }

    /// Sleeps until there may be something to do; whether it was the waker.
    pub(super) fn wait(&mut self, waker: Option<&Waker>) -> Result<bool, Error> {
        let is_due = self.owes() || self.drain != Drain::No;
        let longest = match self.drain {
            Drain::Ready => LAST_PICTURE,
            _ => stall_limit(&self.config),
        };
        let timeout =
            if is_due { longest.saturating_sub(self.progress.elapsed()) } else { FOREVER };
        let interest = Interest {
            readable: true,
            writable: self.raw.queued() > 0,
            event: self.drain == Drain::Asked,
        };
        let ready = self.device.wait(interest, waker.map(AsFd::as_fd), timeout)?;
        if ready.event {
            while let Some(event) = self.device.event()? {
                if event == Event::EndOfStream && self.drain == Drain::Asked {
                    self.drain = Drain::Ready;
                    self.progress = Instant::now();
                }
            }
        }
        if ready.readable || ready.writable || ready.event || ready.woken {
            return Ok(ready.woken);
        }
        if ready.error || ready.gone {
            // What it says of it is said by asking for a buffer.
            self.coded.dequeue()?;
            return Err(self.failed("the driver gave the stream up"));
        }
        // Nothing at all: the time is over.
        if is_due {
            if self.drain != Drain::No {
                self.finish();
                return Ok(false);
            }
            return Err(self.stalled());
        }
        Ok(false)
    }
}

/// No driver that works takes as long for a picture.
fn stall_limit(config: &Config) -> Duration {
    config.patience.max(config.rate.interval() * STALL_INTERVALS)
}

/// Pictures that were read and came to nothing, before that is taken for a stall.
const MOST_LEFT_OUT: usize = 8;
const STALL_INTERVALS: u32 = 10;
/// Drivers tell the end of the stream just before they give the last picture back.
const LAST_PICTURE: Duration = Duration::from_millis(250);
/// Until something is there.
const FOREVER: Duration = Duration::from_secs(3600);
