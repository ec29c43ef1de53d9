//! One camera, streaming.

use std::{os::fd::AsFd, path::Path, sync::Arc, time::Duration};

use ::v4l2::{
    Content, Dequeued, Device, Format, Interest, Next, PixelFormat, Queue, QueueKind, Trouble,
    Waker,
    loan::{Lend, Lender, SharedBuffers},
    queue::Clock as BufferClock,
};
use media::{Clock, Delays, FrameRate, MediaTime, convert::TooShort};
use tracing::{debug, info, warn};

use self::{count::Count, patience::Patience};
use super::{
    choice::{Choice, Wanted, choose},
    controls, offers,
    pictures::{Pictures, Taken},
};
use crate::{Captured, Description, Error, Source};

mod count;
mod patience;

/// What is asked of a camera.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What to take. By default, whatever [`choose`] finds best.
    pub wanted: Wanted,
    /// Controls to set before it starts, as names and values in text. By default none: the camera
    /// keeps what was set last.
    pub controls: Vec<(String, String)>,
    /// Ends [`Source::next`], which then gives `None`. Without one it takes until the next picture.
    pub waker: Option<Waker>,
}

/// A camera that streams from when it is opened until it is dropped.
///
/// Pictures bear the driver's time where it is of CLOCK_MONOTONIC, which is the capture clock; else
/// that of their arrival. A gap in the driver's count is told in the log.
pub struct Camera {
    device: Device,
    kind: QueueKind,
    format: Format,
    /// None only while one takes another's place.
    queue: Option<Queue>,
    is_on: bool,
    lending: Option<Lending>,
    pictures: Pictures,
    description: Description,
    clock: Arc<dyn Clock>,
    waker: Option<Waker>,
    count: Count,
    patience: Patience,
    /// When the driver gave the newest buffer.
    arrived: Option<MediaTime>,
    /// From the driver's time to when a picture was ready here.
    delays: Delays,
}

/// How its pictures are lent.
struct Lending {
    lender: Lender,
    buffers: Arc<SharedBuffers>,
    /// Whether the memory is another's.
    is_imported: bool,
}

impl Camera {
    /// Chooses what to take, sets controls, and starts the camera.
    ///
    /// # Errors
    ///
    /// When the device is no camera, cannot give what is wanted, has no such control, or fails.
    pub fn open(path: &Path, config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::start(Device::open(path)?, config, clock)
    }

    /// The same for a device that is open.
    ///
    /// # Errors
    ///
    /// As [`Camera::open`].
    pub fn start(device: Device, config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let unusable = |reason: String| unusable(&device, reason);
        let Some(kind) = device.capability().camera() else {
            return Err(unusable("it is a video device, but gives no pictures".to_owned()));
        };
        let choice = decide(&device, kind, &config.wanted)?;
        let asked = Format::new(choice.size, choice.pixel_format);
        let format = device.set_format(kind, &asked).map_err(|error| in_use(&device, error))?;
        if format.pixel_format != choice.pixel_format {
            return Err(unusable(format!("asked for {asked}, it gives {format}")));
        }
        // After the format, which sets it back.
        let interval = match choice.interval {
            Some(interval) => device.set_interval(kind, interval)?,
            None => None,
        };
        controls::set_all(&device, &config.controls)?;
        let rate = interval.and_then(|i| FrameRate::new(i.denominator, i.numerator));
        let (pictures, description) = Pictures::of(&format, rate).map_err(unusable)?;
        // Whoever else has it is known now and not at the first picture.
        let allocated = Queue::allocate(&device, kind, BUFFERS);
        let queue = Some(allocated.map_err(|error| in_use(&device, error))?);
        debug!(device = %device.path().display(), "camera open");
        let Config { waker, .. } = config;
        Ok(Self {
            device,
            kind,
            format,
            queue,
            is_on: false,
            lending: None,
            pictures,
            description,
            clock,
            waker,
            count: Count::default(),
            patience: Patience::new(rate),
            arrived: None,
            delays: Delays::default(),
        })
    }

    /// Its node, as it was opened.
    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// Whether its pictures are in memory that it shares with an encoder.
    pub fn is_lending(&self) -> bool {
        self.lending.is_some()
    }

    /// Pictures that the driver counted and nobody got.
    pub fn lost(&self) -> u64 {
        self.count.lost
    }

    /// Gives the driver all buffers, and starts it, if it is not on.
    fn switch_on(&mut self) -> Result<(), Error> {
        if self.is_on {
            return Ok(());
        }
        for index in 0..self.queue()?.len() {
            // Memory of another's was given to it already, to see whether it takes it.
            let is_imported = self.lending.as_ref().is_some_and(|lending| lending.is_imported);
            if !is_imported {
                self.enqueue(index)?;
            }
        }
        let queue = self.queue()?;
        queue.start()?;
        let buffers = queue.len();
        let rate = match &self.description {
            Description::Raw { rate, .. } => Some(*rate),
            Description::H264 { rate, .. } => *rate,
        };
        info!(
            device = %self.device.path().display(),
            card = self.device.capability().card,
            format = %self.format,
            rate = rate.map(FrameRate::as_f64),
            buffers,
            "camera on"
        );
        self.is_on = true;
        self.patience.begin();
        Ok(())
    }

    fn queue(&mut self) -> Result<&mut Queue, Error> {
        let lost = || broken(&self.device, "its buffers were lost".to_owned());
        self.queue.as_mut().ok_or_else(lost)
    }

    /// Gives a buffer to the driver, to be filled.
    fn enqueue(&mut self, index: usize) -> Result<(), Error> {
        let imported = self.lending.as_ref().filter(|lending| lending.is_imported);
        let shared = imported.map(|lending| lending.buffers.planes(index)).unwrap_or_default();
        let content = Content { shared: &shared, ..Content::default() };
        // Not `queue()`, which would borrow all.
        let Some(queue) = &mut self.queue else { return Ok(()) };
        Ok(queue.enqueue(index, content)?)
    }

    /// Buffers whose pictures were returned are filled again.
    fn take_back(&mut self) -> Result<(), Error> {
        let Some(lending) = &self.lending else { return Ok(()) };
        for index in lending.lender.returned() {
            self.enqueue(index)?;
        }
        Ok(())
    }

    /// Other buffers in the place of those there are; the camera is off then.
    fn replace(
        &mut self,
        allocate: impl FnOnce(&Device, QueueKind) -> Result<Queue, ::v4l2::Error>,
    ) -> Result<&mut Queue, ::v4l2::Error> {
        self.is_on = false;
        self.lending = None;
        // A device has one queue of a kind.
        self.queue = None;
        self.count.sequence = None;
        Ok(self.queue.insert(allocate(&self.device, self.kind)?))
    }

    /// The next buffer; `None` when woken.
    fn wait(&mut self) -> Result<Option<Dequeued>, Error> {
        let device = self.device.clone();
        let readable = Interest { readable: true, ..Interest::default() };
        let mut waited = Duration::ZERO;
        let mut longest = self.patience.longest();
        loop {
            match self.queue()?.dequeue()? {
                Next::Buffer(buffer) => return Ok(Some(buffer)),
                Next::NotYet => {}
                Next::Drained => return Err(broken(&device, "the driver ended the stream".into())),
            }
            let waker = self.waker.as_ref().map(AsFd::as_fd);
            let ready = device.wait(readable, waker, longest - waited)?;
            if ready.woken {
                return Ok(None);
            }
            if ready.readable {
                continue;
            }
            // What the driver says of an error is said by asking for a buffer once more.
            if ready.error || ready.gone {
                if let Next::Buffer(buffer) = self.queue()?.dequeue()? {
                    return Ok(Some(buffer));
                }
                return Err(broken(&device, "the driver gave the stream up".into()));
            }
            waited = longest;
            // Asked only now: some cameras take their time to say it.
            longest = self.patience.longest() + patience::exposure(&device);
            if waited >= longest {
                return Err(Error::Stalled { device: device.path().to_owned(), waited });
            }
        }
    }

    /// What is in the buffer, if anything is yet; the reason, when it cannot be used.
    fn take(&mut self, buffer: &Dequeued) -> Result<Option<Captured>, String> {
        if buffer.is_damaged {
            return Err("the driver says it is damaged".to_owned());
        }
        let time = match buffer.clock {
            BufferClock::Monotonic => {
                MediaTime::from_nanos(buffer.timestamp.as_nanos().try_into().unwrap_or(u64::MAX))
            }
            BufferClock::Copied | BufferClock::Unknown => self.clock.now(),
        };
        if let Some(lending) = &self.lending {
            let lender = lending.lender.clone();
            return self.lend(&lender, buffer, time);
        }
        let queue = self.queue.as_ref();
        let data = |plane| queue.and_then(|queue| queue.data(buffer, plane)).unwrap_or_default();
        match self.pictures.take([data(0), data(1), data(2)], time) {
            Taken::Picture(captured) => {
                self.count.given += 1;
                self.delays.note(self.clock.now().saturating_since(time));
                return Ok(Some(captured));
            }
            Taken::Nothing => {}
            Taken::NoRoom => self.count.skipped += 1,
            Taken::Damaged(reason) => return Err(reason),
        }
        Ok(None)
    }

    /// Notes that a picture could not be used.
    fn spoilt(&mut self, reason: String) -> Result<(), Error> {
        self.count.complain(&reason);
        let Some(count) = self.patience.spoil() else { return Ok(()) };
        Err(Error::Spoilt { device: self.device.path().to_owned(), count, reason })
    }

    /// Lends the picture, unless the camera would be left with nothing to fill.
    fn lend(
        &mut self,
        lender: &Lender,
        buffer: &Dequeued,
        time: MediaTime,
    ) -> Result<Option<Captured>, String> {
        let mut used = Vec::with_capacity(self.format.planes.len());
        for plane in 0..self.format.planes.len() {
            let span = buffer.span(plane).unwrap_or_default();
            let needed = least_bytes(&self.format, plane);
            if span.start > 0 || span.end < needed {
                // The rest would be that of an older picture.
                return Err(TooShort { needed, length: span.len() }.to_string());
            }
            used.push(span.end as u32);
        }
        if self.queue.as_ref().is_none_or(|queue| queue.queued() == 0) {
            self.count.skipped += 1;
            return Ok(None);
        }
        self.count.given += 1;
        self.delays.note(self.clock.now().saturating_since(time));
        Ok(Some(Captured::Lent { time, loan: lender.lend(buffer.index, &used) }))
    }
}

impl Source for Camera {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        self.switch_on()?;
        loop {
            if let Some(captured) = self.pictures.waiting() {
                self.count.given += 1;
                return Ok(Some(captured));
            }
            self.take_back()?;
            let Some(buffer) = self.wait()? else { return Ok(None) };
            self.arrived = Some(self.clock.now());
            self.take_back()?;
            self.count.note(buffer.sequence);
            let captured = match self.take(&buffer) {
                Ok(captured) => captured,
                Err(reason) => {
                    self.enqueue(buffer.index)?;
                    self.spoilt(reason)?;
                    continue;
                }
            };
            self.patience.end();
            if !matches!(captured, Some(Captured::Lent { .. })) {
                self.enqueue(buffer.index)?;
            }
            if captured.is_some() {
                return Ok(captured);
            }
        }
    }

    fn arrived(&self) -> Option<MediaTime> {
        self.arrived
    }

    fn missed(&self) -> u64 {
        let Count { lost, damaged, skipped, .. } = self.count;
        lost + damaged + skipped
    }

    fn lender(&mut self) -> Option<&mut dyn Lend> {
        match self.description {
            Description::Raw { .. } => Some(self),
            Description::H264 { .. } => None,
        }
    }
}

impl Lend for Camera {
    fn format(&self) -> &Format {
        &self.format
    }

    fn export(&mut self, count: u32) -> Result<Arc<SharedBuffers>, ::v4l2::Error> {
        let queue = self.replace(|device, kind| Queue::allocate(device, kind, count))?;
        let buffers = Arc::new(SharedBuffers::of(queue)?);
        let lender = Lender::default();
        self.lending = Some(Lending { lender, buffers: buffers.clone(), is_imported: false });
        Ok(buffers)
    }

    fn import(&mut self, buffers: Arc<SharedBuffers>) -> Result<(), ::v4l2::Error> {
        let count = buffers.len() as u32;
        let queue = self.replace(|device, kind| Queue::import(device, kind, count))?;
        // A driver that does not take the memory says so now; one that has fewer places uses the
        // first buffers.
        for index in 0..queue.len().min(buffers.len()) {
            let shared = buffers.planes(index);
            queue.enqueue(index, Content { shared: &shared, ..Content::default() })?;
        }
        self.lending = Some(Lending { lender: Lender::default(), buffers, is_imported: true });
        Ok(())
    }

    fn copy(&mut self) -> Result<(), ::v4l2::Error> {
        self.replace(|device, kind| Queue::allocate(device, kind, BUFFERS)).map(|_| ())
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let Count { given, lost, damaged, skipped, .. } = self.count;
        if !self.is_on && given == 0 {
            return debug!(device = %self.device.path().display(), "camera closed");
        }
        info!(
            device = %self.device.path().display(),
            pictures = given,
            lost,
            damaged,
            skipped,
            median_delay = ?self.delays.median(),
            longest_delay = ?self.delays.longest(),
            "camera off"
        );
    }
}

fn decide(device: &Device, kind: QueueKind, wanted: &Wanted) -> Result<Choice, Error> {
    let offers = offers(device, kind)?;
    // A driver that fails here fails again when it is set, and is heard then.
    let intervals = |format, size| device.intervals(format, size).ok().flatten();
    let reasoned =
        choose(&offers, wanted, intervals).map_err(|no| unusable(device, no.to_string()))?;
    if reasoned.missed_size.is_some() || reasoned.missed_rate.is_some() {
        warn!(device = %device.path().display(), "{reasoned}");
    } else {
        info!(device = %device.path().display(), "{reasoned}");
    }
    Ok(reasoned.choice)
}

/// What to do about a camera that somebody else has.
fn in_use(device: &Device, error: ::v4l2::Error) -> Error {
    if error.trouble() != Trouble::Busy {
        return error.into();
    }
    let path = device.path().display();
    Error::Unavailable {
        path: device.path().to_owned(),
        trouble: Trouble::Busy,
        reason: "another program takes pictures from it, and a camera gives them to one at a time"
            .into(),
        remedy: Some(format!("fuser -v {path}   # says which program that is")),
    }
}

/// Bytes that a whole picture has in a piece of its memory; of the last row the padding may be
/// missing.
fn least_bytes(format: &Format, plane: usize) -> usize {
    let stride = |plane: usize| format.planes.get(plane).map_or(0, |p| p.stride as usize);
    let rows = format.size.height as usize;
    let is_packed = [PixelFormat::YUYV, PixelFormat::UYVY].contains(&format.pixel_format);
    let rows = match (plane, format.planes.len()) {
        (0, 1) if !is_packed => rows + rows.div_ceil(2),
        (0, _) => rows,
        _ => rows.div_ceil(2),
    };
    (stride(plane) * rows).saturating_sub(stride(plane) / 2)
}

/// It is not what is wanted.
fn unusable(device: &Device, reason: String) -> Error {
    Error::Unusable { path: device.path().to_owned(), reason: reason.into(), remedy: None }
}

/// It does not go on.
fn broken(device: &Device, reason: String) -> Error {
    Error::Unavailable {
        path: device.path().to_owned(),
        trouble: Trouble::Broken,
        reason: reason.into(),
        remedy: None,
    }
}

/// Enough that the driver always has one to fill while one is converted.
const BUFFERS: u32 = 4;

#[cfg(test)]
mod tests;
