//! Hardware encoding: the kernel's stateful encoders, which work from memory to memory.
//!
//! "Memory-to-Memory Stateful Video Encoder Interface" in the kernel's Linux Media Infrastructure
//! userspace API, and what drivers make of it.
//!
//! ```text
//!  Frame ──write──▶ buffer ──QBUF──▶ OUTPUT  ┐
//!                                            │ driver       stamp: a counter, in frame intervals
//!  AccessUnit ◀──copy── buffer ◀──DQBUF── CAPTURE ┘
//! ```
//!
//! A picture and what is made of it are paired by the timestamp, which drivers copy from the one
//! buffer to the other. It holds a counter; the real time is kept beside it.

use std::{
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use media::{AccessUnit, Frame, MediaTime};
use tracing::{debug, info, warn};
use v4l2::{
    Content, Control, Dequeued, Device, Event, Format, Interest, Next, Queue, Trouble, Value,
    Waker,
    loan::{Lend, Loan},
    uapi,
};

use self::{
    pending::Pending,
    settings::{Controls, Settings},
    sharing::Way,
    units::{Coded, Units},
};
use crate::{Config, Encoder, Error, Picture, Received};

mod find;
mod layout;
mod pending;
mod settings;
mod sharing;
mod units;

pub use self::{
    find::{Candidate, Found, Reason, Rejected, examine, find},
    sharing::Sharing,
};

/// A hardware encoder, streaming from when it is opened until it is dropped.
pub struct V4l2M2m {
    name: String,
    config: Config,
    device: Device,
    /// Pictures to encode: the queue that V4L2 calls OUTPUT.
    raw: Queue,
    /// What was made of them: the queue that V4L2 calls CAPTURE.
    coded: Queue,
    format: Format,
    way: Way,
    /// By buffer: what the driver reads of a camera's.
    lent: Vec<Option<Loan>>,
    controls: Controls,
    pending: Pending,
    units: Units,
    keyframe_wanted: bool,
    /// A coded picture was lost: those that follow cannot be decoded until the next keyframe.
    is_broken: bool,
    drain: Drain,
    /// When it last gave something, or began to have something to do.
    progress: Instant,
    /// Buffers that it did not take, one after the other.
    refusals: u32,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// It was told to finish.
    Asked,
    /// It says that all is ready to be taken.
    Ready,
    /// All was taken.
    Done,
}

impl V4l2M2m {
    /// Opens the encoder behind a node and starts it, with pictures of `lender` in memory that both
    /// share if they can.
    ///
    /// # Errors
    ///
    /// When it is no encoder, is in use, or cannot encode such pictures.
    pub fn open(
        path: &Path,
        config: &Config,
        lender: Option<&mut dyn Lend>,
    ) -> Result<Self, Error> {
        Self::start(Device::open(path)?, config, lender)
    }

    /// The same for a device that is open.
    ///
    /// # Errors
    ///
    /// As [`V4l2M2m::open`].
    pub fn start(
        device: Device,
        config: &Config,
        lender: Option<&mut dyn Lend>,
    ) -> Result<Self, Error> {
        let card = &device.capability().card;
        let name = format!("{card} ({})", device.path().display());
        let candidate = examine(&device).map_err(|reason| Error::Unsupported {
            encoder: name.clone(),
            what: "anything".to_owned(),
            reason: reason.to_string(),
        })?;
        let wanted = lender.as_ref().map(|lender| lender.format());
        let settings = settings::set_up(&device, &name, &candidate, config, wanted)?;
        let Settings { output, capture, format, controls } = settings;
        let has_lender = lender.is_some();
        let (raw, way, against) = sharing::arrange(&device, output, &format, lender, RAW_BUFFERS)?;
        let coded = Queue::allocate(&device, capture, CODED_BUFFERS)?;
        let mut encoder = Self {
            name,
            config: config.clone(),
            raw,
            coded,
            format,
            way,
            lent: Vec::new(),
            controls,
            pending: Pending::new(config.rate.interval()),
            units: Units::default(),
            keyframe_wanted: false,
            is_broken: false,
            drain: Drain::No,
            progress: Instant::now(),
            refusals: 0,
            device,
        };
        encoder.lent.resize_with(encoder.raw.len(), || None);
        if has_lender {
            let why_not_better = against.join("; ");
            info!(encoder = encoder.name, pictures = %encoder.sharing(), why_not_better);
        }
        encoder.queue_coded()?;
        encoder.coded.start()?;
        encoder.raw.start()?;
        // Of drivers that tell the end by an event alone.
        let tells_end = encoder.device.subscribe(uapi::V4L2_EVENT_EOS)?;
        info!(
            encoder = encoder.name,
            format = %encoder.format,
            stride = encoder.format.planes.first().map(|plane| plane.stride),
            buffers = encoder.raw.len(),
            coded = encoder.coded.len(),
            tells_end,
            "hardware encoder on"
        );
        Ok(encoder)
    }

    /// How pictures of the camera that it was opened with reach it.
    pub fn sharing(&self) -> Sharing {
        self.way.sharing()
    }

    /// Gives all coded buffers that are here to the driver. One that it does not take is tried
    /// again the next time: a Raspberry Pi's refuses some under load.
    fn queue_coded(&mut self) -> Result<(), Error> {
        while let Some(index) = self.coded.free() {
            if let Err(error) = self.coded.enqueue(index, Content::default()) {
                self.refused(error)?;
                break;
            }
            self.refusals = 0;
        }
        Ok(())
    }

    /// Takes back the buffers whose pictures the driver has read.
    fn reclaim(&mut self) -> Result<(), Error> {
        while let Next::Buffer(buffer) = self.raw.dequeue()? {
            // Returned to the camera.
            self.lent[buffer.index] = None;
            if buffer.is_damaged {
                debug!(encoder = self.name, "the encoder could not use a picture");
            }
        }
        Ok(())
    }

    /// The next access unit that is there.
    fn collect(&mut self) -> Result<Option<AccessUnit>, Error> {
        while self.drain != Drain::Done {
            self.queue_coded()?;
            match self.coded.dequeue()? {
                Next::Buffer(buffer) => {
                    let unit = self.take(&buffer);
                    if buffer.is_last && self.drain != Drain::No {
                        self.finish();
                    }
                    if unit.is_some() {
                        self.progress = Instant::now();
                        return Ok(unit);
                    }
                }
                Next::NotYet if self.drain == Drain::Ready => self.finish(),
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
    fn take(&mut self, buffer: &Dequeued) -> Option<AccessUnit> {
        let known = self.pending.find(buffer.timestamp);
        if buffer.is_damaged {
            warn!(encoder = self.name, "a coded picture is damaged: going on with a keyframe");
            self.pending.remove(buffer.timestamp);
            self.lose();
            return None;
        }
        let data = self.coded.data(buffer, 0).unwrap_or_default();
        match (self.units.take(data, known.unwrap_or_default()), known) {
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
        }
    }

    /// What follows refers to a picture that nobody gets.
    fn lose(&mut self) {
        self.is_broken = true;
        self.keyframe_wanted = true;
    }

    fn finish(&mut self) {
        self.drain = Drain::Done;
        if self.pending.len() > 0 {
            debug!(encoder = self.name, pictures = self.pending.len(), "never encoded");
        }
        self.pending.clear();
    }

    /// Sleeps until there may be something to do; whether it was the waker.
    fn wait(&mut self, waker: Option<&Waker>) -> Result<bool, Error> {
        // Pictures that were read and left out are no sign of a stall, unless they are many.
        let is_due =
            self.raw.queued() > 0 || self.pending.len() > MOST_LEFT_OUT || self.drain != Drain::No;
        let longest = stall_limit(&self.config);
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
            return Err(Error::Stalled {
                encoder: self.name.clone(),
                seconds: longest.as_secs_f64(),
                pictures: self.in_flight(),
            });
        }
        Ok(false)
    }

    /// Writes a picture into a buffer and gives it to the driver; whether it took it.
    fn copy(&mut self, index: usize, frame: &Frame) -> Result<bool, Error> {
        let mut used = [0; uapi::VIDEO_MAX_PLANES];
        let planes = self.raw.planes();
        for (plane, used) in used.iter_mut().enumerate().take(planes) {
            let memory = self.raw.bytes_mut(index, plane).unwrap_or_default();
            *used = layout::write(frame, &self.format, plane, memory).map_err(|short| {
                let encoder = self.name.clone();
                Error::Failed { encoder, reason: format!("a buffer is too small: {short}") }
            })?;
        }
        let timestamp = self.pending.stamp();
        let content = Content { used: &used[..planes], timestamp, shared: &[] };
        let queued = self.raw.enqueue(index, content);
        self.queued(queued, frame.time())
    }

    /// Gives the driver a picture in memory that it shares with the camera; whether it took it.
    fn pass_on(&mut self, loan: Loan, time: MediaTime) -> Result<bool, Error> {
        let index = loan.index();
        if matches!(self.way, Way::Copy) || !self.lent.get(index).is_some_and(Option::is_none) {
            return Err(self.failed("a picture in memory that is not shared"));
        }
        let timestamp = self.pending.stamp();
        let shared = match &self.way {
            Way::Import(buffers) => buffers.planes(index),
            Way::Export | Way::Copy => Vec::new(),
        };
        let content = Content { used: loan.used(), timestamp, shared: &shared };
        let queued = match self.raw.enqueue(index, content) {
            // The first of all: it takes none of this memory.
            Err(error) if self.pending.count() == 0 && error.trouble() != Trouble::Gone => {
                return Err(Error::NotShared { encoder: self.name.clone(), error });
            }
            queued => queued,
        };
        let is_taken = self.queued(queued, time)?;
        self.lent[index] = is_taken.then_some(loan);
        Ok(is_taken)
    }

    /// Notes that a picture was given to the driver, or was not.
    fn queued(&mut self, result: Result<(), v4l2::Error>, time: MediaTime) -> Result<bool, Error> {
        match result {
            Ok(()) => {
                self.refusals = 0;
                self.pending.push(time);
                Ok(true)
            }
            Err(error) => self.refused(error).map(|()| false),
        }
    }

    /// A buffer that the driver does not take is no reason to give up, if it takes others.
    fn refused(&mut self, error: v4l2::Error) -> Result<(), Error> {
        self.refusals += 1;
        if error.trouble() == Trouble::Gone || self.refusals > MOST_REFUSALS {
            return Err(error.into());
        }
        debug!(encoder = self.name, %error, "a buffer was refused");
        Ok(())
    }

    fn set(&self, control: &Control, value: i64) -> Result<(), Error> {
        Ok(self.device.set_value(control, &Value::Number(value))?)
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Failed { encoder: self.name.clone(), reason: reason.to_owned() }
    }
}

impl Encoder for V4l2M2m {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_room(&self) -> bool {
        self.drain == Drain::No && self.raw.queued() < MOST_IN_FLIGHT && self.raw.free().is_some()
    }

    fn submit(&mut self, picture: Picture) -> Result<(), Error> {
        self.reclaim()?;
        let Some(index) = self.raw.free().filter(|_| self.has_room()) else {
            return Err(self.failed("it has no room for a picture"));
        };
        if let Picture::Raw(frame) = &picture
            && frame.layout() != self.config.layout
        {
            let layout = frame.layout();
            let (width, height) = (layout.width(), layout.height());
            return Err(self.failed(&format!("a picture of {width}x{height} in its stream")));
        }
        if std::mem::take(&mut self.keyframe_wanted)
            && let Some((control, value)) = &self.controls.force_keyframe
        {
            let (control, value) = (control.clone(), *value);
            // The stream goes on without.
            if let Err(error) = self.set(&control, value) {
                debug!(encoder = self.name, %error, "no keyframe can be asked for");
            }
        }
        if self.raw.queued() == 0 {
            self.progress = Instant::now();
        }
        match picture {
            Picture::Raw(frame) => self.copy(index, &frame)?,
            Picture::Lent { time, loan } => self.pass_on(loan, time)?,
        };
        Ok(())
    }

    fn receive(&mut self, waker: Option<&Waker>) -> Result<Received, Error> {
        let had_room = self.has_room();
        loop {
            if let Some(unit) = self.collect()? {
                return Ok(Received::Unit(unit));
            }
            self.reclaim()?;
            if self.in_flight() == 0 {
                return Ok(Received::Idle);
            }
            if !had_room && self.has_room() {
                return Ok(Received::Woken);
            }
            if self.wait(waker)? {
                return Ok(Received::Woken);
            }
        }
    }

    fn in_flight(&self) -> usize {
        match self.drain {
            Drain::Done => 0,
            _ => self.pending.len().max(self.raw.queued()),
        }
    }

    fn force_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error> {
        let Some(control) = &self.controls.bitrate else {
            return Err(Error::Unsupported {
                encoder: self.name.clone(),
                what: format!("with {bitrate} bit/s"),
                reason: "its driver lets no bitrate be set".to_owned(),
            });
        };
        self.set(control, settings::nearest(control, bitrate.into()))?;
        self.config.bitrate = bitrate;
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Error> {
        if self.drain != Drain::No {
            return Ok(());
        }
        self.drain = Drain::Asked;
        self.progress = Instant::now();
        if self.in_flight() == 0 {
            self.finish();
        } else if let Err(error) = self.device.encoder_command(uapi::V4L2_ENC_CMD_STOP) {
            // What is in flight comes out nevertheless; only its end is not told.
            debug!(encoder = self.name, %error, "the encoder cannot be told to finish");
        }
        Ok(())
    }
}

impl Drop for V4l2M2m {
    fn drop(&mut self) {
        info!(encoder = self.name, pictures = self.pending.count(), "hardware encoder off");
    }
}

/// No driver that works takes as long for a picture.
fn stall_limit(config: &Config) -> Duration {
    SHORTEST_STALL.max(config.rate.interval() * STALL_INTERVALS)
}

/// One that is worked on and one that waits: with more, pictures would only grow old.
const MOST_IN_FLIGHT: usize = 2;
/// One more than may be in flight, since drivers give the last one back when they begin the next.
const RAW_BUFFERS: u32 = 3;
/// So that the driver always has one to write to while others are read.
const CODED_BUFFERS: u32 = 4;
/// Buffers refused one after the other, before it is taken for an end.
const MOST_REFUSALS: u32 = 30;
const MOST_LEFT_OUT: usize = 8;
const STALL_INTERVALS: u32 = 30;
const SHORTEST_STALL: Duration = Duration::from_secs(5);
/// Until something is there.
const FOREVER: Duration = Duration::from_secs(3600);
