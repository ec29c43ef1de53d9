//! A camera that gives the pictures it is told to.

use std::{collections::VecDeque, fmt, io, sync::Arc, time::Duration};

use rustix::io::Errno;

use super::{
    Errors, Kernel,
    buffers::{Buffers, Done},
    controls::{Controls, Setting},
    formats::{self, Alignment},
    node::FileId,
};
use crate::{
    Direction, Format, Interval, PixelFormat, QueueKind, Size, Sizes,
    calls::Request,
    format::Color,
    uapi::{self, timeval, v4l2_fract},
};

/// What a camera is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Default: `fake_camera`.
    pub driver: String,
    /// Default: `Fake Camera`.
    pub card: String,
    /// Default: `platform:fake`.
    pub bus: String,
    /// Which API it has; default: single-planar.
    pub is_multi_planar: bool,
    /// What it gives, the default first. Default: YUYV of 640x480 and 320x240.
    pub modes: Vec<Mode>,
    /// Default: none.
    pub settings: Vec<Setting>,
    /// Default: none.
    pub alignment: Alignment,
    /// Colours of all pictures; default: unknown.
    pub color: Color,
    /// Buffers it needs before it starts; default: 1.
    pub least_buffers: u32,
    /// Whether others' memory can be given to it; default: yes.
    pub imports: bool,
    /// Whether buffers that are still mapped can be given up, as since Linux 4.20; default: yes.
    pub orphans: bool,
}

/// Sizes of a format, and how fast they come.
#[derive(Clone, Debug)]
pub struct Mode {
    /// Which one; it may have several modes.
    pub pixel_format: PixelFormat,
    /// Those there are, the default first.
    pub sizes: Sizes,
    /// Those there are, the default first; none means that the driver does not tell.
    pub intervals: Vec<Interval>,
}

/// A picture for a buffer.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// What is in each plane; what does not fit is cut off.
    pub planes: Vec<Vec<u8>>,
    /// By CLOCK_MONOTONIC; by itself a frame interval after the one before.
    pub timestamp: Option<Duration>,
    /// By itself one more than the one before.
    pub sequence: Option<u32>,
    /// Whether the driver says that it is.
    pub is_damaged: bool,
}

impl Config {
    /// One of `modes`, with everything else by default.
    pub fn of(modes: Vec<Mode>) -> Self {
        Self { modes, ..Self::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        let sizes = [(640, 480), (320, 240)].map(|(width, height)| Size { width, height });
        let intervals = [30, 15].map(|denominator| Interval { numerator: 1, denominator });
        let yuyv = Mode {
            pixel_format: PixelFormat::YUYV,
            sizes: Sizes::Discrete(sizes.to_vec()),
            intervals: intervals.to_vec(),
        };
        Self {
            driver: "fake_camera".to_owned(),
            card: "Fake Camera".to_owned(),
            bus: "platform:fake".to_owned(),
            is_multi_planar: false,
            modes: vec![yuyv],
            settings: Vec::new(),
            alignment: Alignment::default(),
            color: Color::default(),
            least_buffers: 1,
            imports: true,
            orphans: true,
        }
    }
}

impl Picture {
    /// One in a single plane.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { planes: vec![bytes], ..Self::default() }
    }
}

/// What a camera does, told by a test. Clones are of the same camera.
#[derive(Clone)]
pub struct Camera {
    kernel: Kernel,
    node: usize,
}

impl Camera {
    pub(super) fn new(kernel: Kernel, node: usize) -> Self {
        Self { kernel, node }
    }

    /// Gives a picture as soon as it streams and has a buffer; after those given before.
    pub fn give(&self, picture: Picture) {
        self.change(|state| state.script.push_back(Step::Picture(picture)));
    }

    /// Loses pictures: the count goes on without them.
    pub fn lose(&self, count: u32) {
        self.change(|state| state.script.push_back(Step::Lost(count)));
    }

    /// Gives pictures without end, one when the one before was dequeued: `make` is told how many
    /// there were, and the format.
    pub fn always(&self, make: impl FnMut(u32, &Format) -> Picture + Send + 'static) {
        self.change(|state| state.always = Some((0, Box::new(make))));
    }

    /// From now on nothing comes that was not given before, and whoever waits for more is told at
    /// once that the time is over.
    pub fn stall(&self) {
        self.change(|state| {
            state.always = None;
            state.is_stalled = true;
        });
    }

    /// Takes the device away: all who have it open get errors, and nobody can open it again.
    pub fn unplug(&self) {
        self.kernel.unplug(self.node);
    }

    /// Has a request fail; `name` is as `VIDIOC_QBUF`.
    pub fn fail(&self, name: &'static str, errors: Errors) {
        self.kernel.fail(self.node, name, errors);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.kernel.change(self.node, |unit| {
            if let super::node::Unit::Camera(state) = unit {
                change(state);
                state.advance();
            }
        });
    }
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Camera").field(&self.node).finish()
    }
}

type Make = Box<dyn FnMut(u32, &Format) -> Picture + Send>;

enum Step {
    Picture(Picture),
    Lost(u32),
}

pub(super) struct State {
    pub(super) config: Arc<Config>,
    pub(super) controls: Controls,
    pub(super) buffers: Buffers,
    /// Who has the buffers.
    owner: Option<FileId>,
    format: Format,
    interval: Option<Interval>,
    has_chosen_interval: bool,
    script: VecDeque<Step>,
    always: Option<(u32, Make)>,
    pub(super) is_stalled: bool,
    sequence: u32,
    time: Duration,
}

impl State {
    pub(super) fn new(config: Config) -> Self {
        let kind =
            QueueKind { direction: Direction::Capture, is_multi_planar: config.is_multi_planar };
        let mut buffers = Buffers::new(
            kind.buffer_type(),
            uapi::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
            config.least_buffers,
            config.imports,
        );
        buffers.orphans = config.orphans;
        let nothing = Format::new(Size { width: 0, height: 0 }, PixelFormat(0));
        let mut state = Self {
            controls: Controls::new(&config.settings),
            buffers,
            owner: None,
            format: nothing.clone(),
            interval: None,
            has_chosen_interval: false,
            script: VecDeque::new(),
            always: None,
            is_stalled: false,
            sequence: 0,
            time: FIRST,
            config: Arc::new(config),
        };
        let size = state.config.modes.first().and_then(|mode| match &mode.sizes {
            Sizes::Discrete(sizes) => sizes.first().copied(),
            Sizes::Stepwise { .. } => None,
        });
        let first = Format { size: size.unwrap_or(nothing.size), ..nothing };
        state.take(state.fit(&first));
        state
    }

    /// V4L2_CAP_* of the node.
    pub(super) fn capabilities(&self) -> u32 {
        match self.config.is_multi_planar {
            true => uapi::V4L2_CAP_VIDEO_CAPTURE_MPLANE,
            false => uapi::V4L2_CAP_VIDEO_CAPTURE,
        }
    }

    /// Who else has the buffers: it keeps all others from using them.
    pub(super) fn check_owner(&self, file: FileId) -> io::Result<()> {
        match self.owner {
            Some(owner) if owner != file => Err(Errno::BUSY.into()),
            _ => Ok(()),
        }
    }

    /// Whether the buffers are this one's.
    pub(super) fn is_owner(&self, file: FileId) -> bool {
        self.owner == Some(file)
    }

    pub(super) fn closed(&mut self, file: FileId) {
        if self.is_owner(file) {
            self.buffers.release();
            self.owner = None;
        }
    }

    pub(super) fn ioctl(
        &mut self,
        file: FileId,
        request: Request<'_>,
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        match request {
            Request::EnumFormat(raw) => {
                let formats = self.pixel_formats();
                let format = formats.get(raw.index as usize).ok_or(Errno::INVAL)?;
                super::node::describe(raw, *format);
                Ok(())
            }
            Request::EnumFrameSize(raw) => {
                let format = PixelFormat(raw.pixel_format);
                super::node::enumerate_sizes(raw, self.modes_of(format).map(|mode| &mode.sizes))
            }
            Request::EnumFrameInterval(raw) => {
                let size = Size { width: raw.width, height: raw.height };
                let mode = self.mode(PixelFormat(raw.pixel_format), size).ok_or(Errno::INVAL)?;
                let interval = *mode.intervals.get(raw.index as usize).ok_or(Errno::INVAL)?;
                raw.r#type = uapi::V4L2_FRMIVAL_TYPE_DISCRETE;
                raw.u[0] = fract(interval);
                Ok(())
            }
            Request::GetFormat(raw) => {
                *raw = super::node::write(self.kind(), &self.format);
                Ok(())
            }
            Request::TryFormat(raw) => {
                *raw = super::node::write(self.kind(), &self.fit(&super::node::read(raw)));
                Ok(())
            }
            Request::SetFormat(raw) => {
                self.check_owner(file)?;
                if self.buffers.is_busy() {
                    return Err(Errno::BUSY.into());
                }
                if self.has_chosen_interval {
                    complaints.push("sets the frame interval back that was chosen".to_owned());
                }
                self.take(self.fit(&super::node::read(raw)));
                *raw = super::node::write(self.kind(), &self.format);
                Ok(())
            }
            Request::GetParameters(raw) => {
                let mut parm = raw.capture();
                parm.capability =
                    if self.interval.is_some() { uapi::V4L2_CAP_TIMEPERFRAME } else { 0 };
                parm.timeperframe = self.interval.map_or(NONE, fract);
                raw.set_capture(parm);
                Ok(())
            }
            Request::SetParameters(raw) => {
                self.check_owner(file)?;
                if self.buffers.is_streaming {
                    return Err(Errno::BUSY.into());
                }
                let mut parm = raw.capture();
                let v4l2_fract { numerator, denominator } = parm.timeperframe;
                let mode = self.mode(self.format.pixel_format, self.format.size);
                let intervals = mode.map(|mode| &mode.intervals[..]).unwrap_or_default();
                let nearest = match Interval::new(numerator, denominator) {
                    Some(asked) => nearest_interval(intervals, asked),
                    None => intervals.first().copied(),
                };
                self.interval = nearest;
                self.has_chosen_interval = true;
                parm.capability = if nearest.is_some() { uapi::V4L2_CAP_TIMEPERFRAME } else { 0 };
                parm.timeperframe = nearest.map_or(NONE, fract);
                raw.set_capture(parm);
                Ok(())
            }
            Request::AllocateBuffers(raw) => {
                self.check_owner(file)?;
                let sizes: Vec<u32> = self.format.planes.iter().map(|plane| plane.size).collect();
                self.buffers.allocate(raw, &sizes, complaints)?;
                self.owner = self.buffers.is_busy().then_some(file);
                Ok(())
            }
            Request::StreamOn(_) => {
                if !self.buffers.is_streaming {
                    (self.sequence, self.time) = (0, self.time.max(FIRST));
                }
                self.buffers.start()
            }
            _ => Err(Errno::NOTTY.into()),
        }
    }

    /// Gives what there is to give.
    pub(super) fn advance(&mut self) {
        while self.buffers.is_running()
            && let Some(index) = self.buffers.waiting.front().copied()
        {
            let picture = match self.script.pop_front() {
                Some(Step::Lost(count)) => {
                    self.sequence = self.sequence.wrapping_add(count);
                    self.time += self.step() * count;
                    continue;
                }
                Some(Step::Picture(picture)) => picture,
                None if self.buffers.has_done() => break,
                None => match &mut self.always {
                    Some((count, make)) => {
                        let picture = make(*count, &self.format);
                        *count = count.wrapping_add(1);
                        picture
                    }
                    None => break,
                },
            };
            self.deliver(index, &picture);
        }
    }

    fn deliver(&mut self, index: usize, picture: &Picture) {
        let sequence = picture.sequence.unwrap_or(self.sequence);
        let time = picture.timestamp.unwrap_or(self.time);
        self.sequence = sequence.wrapping_add(1);
        self.time = time + self.step();
        let flags = if picture.is_damaged { uapi::V4L2_BUF_FLAG_ERROR } else { 0 };
        let timestamp = timeval {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_usec: time.subsec_micros().into(),
        };
        let done = Done { timestamp, sequence, flags };
        // Memory that cannot be written is what hardware calls a damaged picture.
        if self.buffers.fill(index, &picture.planes, done).is_err() {
            let flags = flags | uapi::V4L2_BUF_FLAG_ERROR;
            self.buffers.give_back(index, Done { flags, ..done });
        }
    }

    fn step(&self) -> Duration {
        let interval = self.interval.unwrap_or(Interval { numerator: 1, denominator: 30 });
        Duration::from_secs(interval.numerator.into()) / interval.denominator.max(1)
    }

    fn kind(&self) -> QueueKind {
        let is_multi_planar = self.config.is_multi_planar;
        QueueKind { direction: Direction::Capture, is_multi_planar }
    }

    fn pixel_formats(&self) -> Vec<PixelFormat> {
        let mut formats = Vec::new();
        for mode in &self.config.modes {
            if !formats.contains(&mode.pixel_format) {
                formats.push(mode.pixel_format);
            }
        }
        formats
    }

    fn modes_of(&self, format: PixelFormat) -> impl Iterator<Item = &Mode> {
        self.config.modes.iter().filter(move |mode| mode.pixel_format == format)
    }

    fn mode(&self, format: PixelFormat, size: Size) -> Option<&Mode> {
        self.modes_of(format).find(|mode| nearest_size(&mode.sizes, size) == Some(size))
    }

    /// What it makes of a format that was asked for.
    fn fit(&self, asked: &Format) -> Format {
        let formats = self.pixel_formats();
        let is_known = formats.contains(&asked.pixel_format);
        let first = formats.first().copied().unwrap_or(PixelFormat(0));
        let pixel_format = if is_known { asked.pixel_format } else { first };
        let sizes = self.modes_of(pixel_format);
        let nearest = sizes.filter_map(|mode| nearest_size(&mode.sizes, asked.size));
        let size = nearest.min_by_key(|size| distance(*size, asked.size)).unwrap_or(SMALLEST);
        let Config { alignment, color, .. } = *self.config;
        formats::format(pixel_format, size, alignment, 0, color)
    }

    fn take(&mut self, format: Format) {
        let mode = self.mode(format.pixel_format, format.size);
        self.interval = mode.and_then(|mode| mode.intervals.first().copied());
        self.has_chosen_interval = false;
        self.format = format;
    }
}

pub(super) fn fract(interval: Interval) -> v4l2_fract {
    v4l2_fract { numerator: interval.numerator, denominator: interval.denominator }
}

fn nearest_size(sizes: &Sizes, asked: Size) -> Option<Size> {
    match sizes {
        Sizes::Discrete(sizes) => sizes.iter().copied().min_by_key(|size| distance(*size, asked)),
        Sizes::Stepwise { width, width_step, height, height_step } => {
            let fit = |asked: u32, range: &std::ops::RangeInclusive<u32>, step: u32| {
                let value = asked.clamp(*range.start(), *range.end());
                value - (value - range.start()) % step.max(1)
            };
            Some(Size {
                width: fit(asked.width, width, *width_step),
                height: fit(asked.height, height, *height_step),
            })
        }
    }
}

fn nearest_interval(intervals: &[Interval], asked: Interval) -> Option<Interval> {
    let away = |interval: &&Interval| {
        let length = |i: Interval| f64::from(i.numerator) / f64::from(i.denominator);
        (length(**interval) - length(asked)).abs()
    };
    intervals.iter().min_by(|a, b| away(a).total_cmp(&away(b))).copied()
}

fn distance(a: Size, b: Size) -> u64 {
    u64::from(a.width.abs_diff(b.width)) + u64::from(a.height.abs_diff(b.height))
}

/// No machine takes pictures at the moment it is started.
const FIRST: Duration = Duration::from_secs(1000);
const SMALLEST: Size = Size { width: 16, height: 16 };
const NONE: v4l2_fract = v4l2_fract { numerator: 0, denominator: 0 };
