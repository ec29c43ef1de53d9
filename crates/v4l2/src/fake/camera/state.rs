//! What a camera does with requests and with the pictures it was told to give.

use std::{collections::VecDeque, io, ops::RangeInclusive, sync::Arc, time::Duration};

use rustix::io::Errno;

use super::{Config, Mode, Picture};
use crate::{
    Direction, Format, Interval, PixelFormat, QueueKind, Size, Sizes,
    calls::Request,
    fake::{
        buffers::{Buffers, Done},
        controls::Controls,
        formats,
        node::{self, FileId},
    },
    uapi::{self, timeval, v4l2_fract},
};

pub(super) type Make = Box<dyn FnMut(u32, &Format) -> Picture + Send>;

pub(super) enum Step {
    Picture(Picture),
    Lost(u32),
}

pub(in crate::fake) struct State {
    pub(in crate::fake) config: Arc<Config>,
    pub(in crate::fake) controls: Controls,
    pub(in crate::fake) buffers: Buffers,
    /// Who has the buffers.
    owner: Option<FileId>,
    format: Format,
    interval: Option<Interval>,
    /// Who chose the interval.
    interval_of: Option<FileId>,
    /// Whose choice a format has set back since.
    interval_lost_of: Option<FileId>,
    pub(super) script: VecDeque<Step>,
    pub(super) always: Option<(u32, Make)>,
    pub(in crate::fake) is_stalled: bool,
    sequence: u32,
    time: Duration,
}

impl State {
    pub(in crate::fake) fn new(config: Config) -> Self {
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
            interval_of: None,
            interval_lost_of: None,
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
    pub(in crate::fake) fn capabilities(&self) -> u32 {
        match self.config.is_multi_planar {
            true => uapi::V4L2_CAP_VIDEO_CAPTURE_MPLANE,
            false => uapi::V4L2_CAP_VIDEO_CAPTURE,
        }
    }

    /// Who else has the buffers: it keeps all others from using them.
    pub(in crate::fake) fn check_owner(&self, file: FileId) -> io::Result<()> {
        match self.owner {
            Some(owner) if owner != file => Err(Errno::BUSY.into()),
            _ => Ok(()),
        }
    }

    /// Whether the buffers are this one's.
    pub(in crate::fake) fn is_owner(&self, file: FileId) -> bool {
        self.owner == Some(file)
    }

    pub(in crate::fake) fn closed(&mut self, file: FileId) {
        for of in [&mut self.interval_of, &mut self.interval_lost_of] {
            of.take_if(|of| *of == file);
        }
        if self.is_owner(file) {
            self.buffers.release();
            self.owner = None;
        }
    }

    pub(in crate::fake) fn ioctl(
        &mut self,
        file: FileId,
        request: Request<'_>,
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        match request {
            Request::EnumFormat(raw) => {
                let formats = self.pixel_formats();
                let format = formats.get(raw.index as usize).ok_or(Errno::INVAL)?;
                node::describe(raw, *format);
                Ok(())
            }
            Request::EnumFrameSize(raw) => {
                let format = PixelFormat(raw.pixel_format);
                node::enumerate_sizes(raw, self.modes_of(format).map(|mode| &mode.sizes))
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
                *raw = node::write(self.kind(), &self.format);
                Ok(())
            }
            Request::TryFormat(raw) => {
                *raw = node::write(self.kind(), &self.fit(&node::read(raw)));
                Ok(())
            }
            Request::SetFormat(raw) => {
                self.check_owner(file)?;
                if self.buffers.is_busy() {
                    return Err(Errno::BUSY.into());
                }
                if self.interval_of == Some(file) {
                    self.interval_lost_of = self.interval_of;
                }
                self.take(self.fit(&node::read(raw)));
                *raw = node::write(self.kind(), &self.format);
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
                (self.interval_of, self.interval_lost_of) = (Some(file), None);
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
                if self.interval_lost_of == Some(file) {
                    complaints.push("a format has set the frame interval back".to_owned());
                }
                if !self.buffers.is_streaming {
                    (self.sequence, self.time) = (0, self.time.max(FIRST));
                }
                self.buffers.start()
            }
            _ => Err(Errno::NOTTY.into()),
        }
    }

    /// Gives what there is to give.
    pub(in crate::fake) fn advance(&mut self) {
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
        self.interval_of = None;
        self.format = format;
    }
}

fn fract(interval: Interval) -> v4l2_fract {
    v4l2_fract { numerator: interval.numerator, denominator: interval.denominator }
}

fn nearest_size(sizes: &Sizes, asked: Size) -> Option<Size> {
    match sizes {
        Sizes::Discrete(sizes) => sizes.iter().copied().min_by_key(|size| distance(*size, asked)),
        Sizes::Stepwise { width, width_step, height, height_step } => {
            let fit = |asked: u32, range: &RangeInclusive<u32>, step: u32| {
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
