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

use std::{path::Path, time::Instant};

use media::{Colours, Frame, MediaTime};
use tracing::{debug, info};
use v4l2::{
    Content, Control, Device, Format, Next, Queue, Trouble, Value, Waker,
    loan::{Lend, Loan},
    uapi::{self, control as ctl},
};

use self::{
    pending::Pending,
    settings::{Controls, Settings},
    sharing::Way,
    units::Units,
};
use crate::{Config, Encoder, Error, Picture, Received};

mod colours;
mod find;
mod layout;
mod pending;
mod receiving;
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
    /// How many pictures it is given at a time.
    most_in_flight: usize,
    controls: Controls,
    pending: Pending,
    units: Units,
    keyframe_wanted: bool,
    /// A coded picture was lost, or none has come: those that follow cannot be decoded until the next
    /// keyframe.
    is_broken: bool,
    drain: Drain,
    /// When it last gave something, or began to owe something.
    progress: Instant,
    /// Pictures that it was given since it last gave something.
    fruitless: usize,
    /// Buffers that it did not take, one after the other.
    refusals: u32,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// It was told to finish.
    Asked,
    /// It says that all is ready to be taken, or will be in a moment.
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
        let is_full = wanted.is_some_and(|format| format.color.is_full_range());
        let least = |id| settings::least_buffers(&device, id);
        let most_in_flight = least(ctl::V4L2_CID_MIN_BUFFERS_FOR_OUTPUT).max(MOST_IN_FLIGHT);
        let (raw, way, against) =
            sharing::arrange(&device, output, &format, lender, most_in_flight)?;
        // Copies are what the configuration says, of limited range if need be.
        let colours = match way {
            Way::Copy => config.colours,
            Way::Import(_) | Way::Export => Colours { full_range: is_full, ..config.colours },
        };
        let coded = least(ctl::V4L2_CID_MIN_BUFFERS_FOR_CAPTURE) + CODED_BUFFERS;
        let coded = Queue::allocate(&device, capture, coded)?;
        let mut encoder = Self {
            name,
            config: config.clone(),
            raw,
            coded,
            format,
            way,
            lent: Vec::new(),
            most_in_flight: most_in_flight as usize,
            controls,
            pending: Pending::new(config.rate.interval()),
            units: Units::new(colours),
            // Viewers may have seen what was before: nothing but a keyframe may come first.
            keyframe_wanted: true,
            is_broken: true,
            drain: Drain::No,
            progress: Instant::now(),
            fruitless: 0,
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
                self.fruitless += 1;
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
        self.drain == Drain::No
            && self.raw.queued() < self.most_in_flight
            && self.raw.free().is_some()
    }

    fn submit(&mut self, picture: Picture) -> Result<(), Error> {
        self.reclaim()?;
        self.check_progress()?;
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
        if !self.owes() {
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
            self.check_progress()?;
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

/// One that is worked on and one that waits: with more, pictures would only grow old.
const MOST_IN_FLIGHT: u32 = 2;
/// Beyond those it needs, so that it always has some to write to while others are read.
const CODED_BUFFERS: u32 = 3;
/// Buffers refused one after the other, before it is taken for an end.
const MOST_REFUSALS: u32 = 30;
