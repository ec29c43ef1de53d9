//! An encoder as one of those who have it open sees it: formats, both queues, and the encoding of
//! one picture after the other.

mod coding;

use std::{collections::VecDeque, io};

use rustix::io::Errno;

use self::coding::Coded;
use super::{Config, Shared};
use crate::{
    Direction, Format, Interval, PixelFormat, QueueKind, Size, Sizes,
    calls::Request,
    fake::{buffers::Buffers, controls::Controls, formats, h264, node},
    format::{Color, PlaneFormat},
    uapi,
};

pub(in crate::fake) struct Context {
    pub(in crate::fake) controls: Controls,
    /// OUTPUT: raw pictures.
    pub(in crate::fake) source: Buffers,
    /// CAPTURE: coded ones.
    pub(in crate::fake) coded: Buffers,
    is_multi_planar: bool,
    raw: Format,
    crop: Size,
    interval: Interval,
    coded_size: u32,
    has_chosen: Chosen,
    drain: Drain,
    hold: Hold,
    force_key: bool,
    /// Since STREAMON of each queue.
    frames_in: u32,
    frames_out: u32,
    sequence: u32,
    damage_count: u32,
    since_idr: u32,
    idr_id: u32,
    wrote_headers: bool,
    wrote_headers_ever: bool,
    /// What was encoded and has not come out.
    pipeline: VecDeque<Coded>,
}

/// What has been set, and would be lost with the format.
#[derive(Copy, Clone, Debug, Default)]
struct Chosen {
    format: bool,
    crop: bool,
    /// A format has set it back since.
    crop_was_lost: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// So many pictures were queued when it was told to stop.
    Left(usize),
    Stopped,
}

/// Whether the last picture is held back, for [`Last::AfterEvent`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Hold {
    No,
    /// Until the end was heard of.
    ForEvent,
    /// Until a buffer was asked for then.
    ForQuestion,
    Over,
}

impl Context {
    pub(in crate::fake) fn new(config: &Config) -> Self {
        let is_multi_planar = config.is_multi_planar;
        let buffers = |direction| {
            let kind = QueueKind { direction, is_multi_planar }.buffer_type();
            let least = config.least_buffers[usize::from(direction == Direction::Capture)];
            Buffers::new(kind, uapi::V4L2_BUF_FLAG_TIMESTAMP_COPY, least, config.imports)
        };
        let crop = Size { width: 640, height: 480 };
        let format = config.formats.first().copied().unwrap_or(PixelFormat::YUV420);
        let raw = formats::format(format, crop, config.alignment, 0, REC709);
        let mut context = Self {
            controls: Controls::new(&config.settings),
            source: buffers(Direction::Output),
            coded: buffers(Direction::Capture),
            is_multi_planar,
            raw,
            crop,
            interval: Interval { numerator: 1, denominator: 30 },
            coded_size: 0,
            has_chosen: Chosen::default(),
            drain: Drain::No,
            hold: Hold::No,
            force_key: false,
            frames_in: 0,
            frames_out: 0,
            sequence: 0,
            damage_count: 0,
            since_idr: 0,
            idr_id: 0,
            wrote_headers: false,
            wrote_headers_ever: false,
            pipeline: VecDeque::new(),
        };
        context.coded_size = context.needed(config);
        context
    }

    /// Whether STREAMON was given to either queue.
    pub(in crate::fake) fn streams(&self) -> bool {
        self.source.is_streaming || self.coded.is_streaming
    }

    /// The end was heard of.
    pub(in crate::fake) fn told_end(&mut self) {
        if self.hold == Hold::ForEvent {
            self.hold = Hold::ForQuestion;
        }
    }

    /// A coded buffer was asked for, and none was there.
    pub(in crate::fake) fn asked_in_vain(&mut self) {
        if self.hold == Hold::ForQuestion {
            self.hold = Hold::Over;
        }
    }

    /// Whether nothing will ever come without something being done.
    pub(in crate::fake) fn is_stalled(&self, shared: &Shared) -> bool {
        shared.misbehaviour.stall_after.is_some_and(|after| self.frames_in >= after)
    }

    pub(in crate::fake) fn force_key(&mut self) {
        self.force_key = true;
    }

    pub(in crate::fake) fn ioctl(
        &mut self,
        shared: &Shared,
        request: Request<'_>,
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        let config = &*shared.config;
        match request {
            Request::EnumFormat(raw) => {
                let output = self.source.kind;
                let formats = if raw.r#type == output { &config.formats[..] } else { &CODED };
                let format = formats.get(raw.index as usize).ok_or(Errno::INVAL)?;
                node::describe(raw, *format);
                Ok(())
            }
            Request::EnumFrameSize(raw) => {
                let format = PixelFormat(raw.pixel_format);
                let is_known = format == PixelFormat::H264 || config.formats.contains(&format);
                let sizes = is_known.then_some(Sizes::Stepwise {
                    width: config.least.width..=config.most.width,
                    width_step: 2,
                    height: config.least.height..=config.most.height,
                    height_step: 2,
                });
                node::enumerate_sizes(raw, sizes.iter())
            }
            Request::GetFormat(raw) => {
                *raw = node::write(self.kind_of(raw.r#type), &self.format(raw.r#type));
                Ok(())
            }
            Request::TryFormat(raw) => {
                let asked = node::read(raw);
                let format = match raw.r#type == self.source.kind {
                    true => self.fit(config, &asked).0,
                    false => self.fit_coded(config, &asked),
                };
                *raw = node::write(self.kind_of(raw.r#type), &format);
                Ok(())
            }
            Request::SetFormat(raw) => {
                let asked = node::read(raw);
                let format = if raw.r#type == self.source.kind {
                    if self.source.is_busy() {
                        return Err(Errno::BUSY.into());
                    }
                    (self.raw, self.crop) = self.fit(config, &asked);
                    let Chosen { crop, crop_was_lost, .. } = self.has_chosen;
                    let crop_was_lost = crop_was_lost || crop;
                    self.has_chosen = Chosen { format: true, crop: false, crop_was_lost };
                    if !self.coded.is_busy() {
                        self.coded_size = self.needed(config);
                    }
                    self.raw.clone()
                } else {
                    if self.coded.is_busy() {
                        return Err(Errno::BUSY.into());
                    }
                    let format = self.fit_coded(config, &asked);
                    self.coded_size = format.planes.first().map_or(0, |plane| plane.size);
                    format
                };
                *raw = node::write(self.kind_of(raw.r#type), &format);
                Ok(())
            }
            Request::GetParameters(raw) | Request::SetParameters(raw)
                if raw.r#type != self.source.kind =>
            {
                Err(Errno::INVAL.into())
            }
            Request::GetParameters(raw) => {
                self.tell_interval(raw);
                Ok(())
            }
            Request::SetParameters(raw) => {
                let asked = raw.capture().timeperframe;
                if let Some(interval) = Interval::new(asked.numerator, asked.denominator) {
                    self.interval = interval;
                }
                self.tell_interval(raw);
                Ok(())
            }
            Request::SetSelection(raw) => {
                let single = uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT;
                if raw.r#type != single || raw.target != uapi::V4L2_SEL_TGT_CROP {
                    return Err(Errno::INVAL.into());
                }
                if self.coded.is_busy() {
                    return Err(Errno::BUSY.into());
                }
                let Config { least, .. } = config;
                self.crop = Size {
                    width: raw.r.width.clamp(least.width, self.raw.size.width) & !1,
                    height: raw.r.height.clamp(least.height, self.raw.size.height) & !1,
                };
                (self.has_chosen.crop, self.has_chosen.crop_was_lost) = (true, false);
                self.coded_size = self.needed(config);
                (raw.r.left, raw.r.top) = (0, 0);
                (raw.r.width, raw.r.height) = (self.crop.width, self.crop.height);
                Ok(())
            }
            Request::AllocateBuffers(raw) => {
                let planes = self.format(raw.r#type).planes;
                let sizes: Vec<u32> = planes.iter().map(|plane| plane.size).collect();
                self.buffers(raw.r#type)?.allocate(raw, &sizes, complaints)
            }
            Request::StreamOn(kind) => {
                if !self.has_chosen.format {
                    complaints.push("streams in a format that nobody chose".to_owned());
                }
                if self.has_chosen.crop_was_lost {
                    complaints.push("a format has set the crop back".to_owned());
                }
                let is_source = kind as u32 == self.source.kind;
                let had_started = self.buffers(kind as u32)?.is_streaming;
                self.buffers(kind as u32)?.start()?;
                if had_started {
                    return Ok(());
                }
                if is_source {
                    self.frames_in = 0;
                } else {
                    self.restart();
                }
                Ok(())
            }
            Request::EncoderCommand(raw) => self.command(raw.cmd, complaints),
            _ => Err(Errno::NOTTY.into()),
        }
    }

    /// What STREAMOFF means beyond its queue.
    pub(in crate::fake) fn stopped(&mut self, kind: u32) {
        if kind != self.source.kind {
            self.drain = Drain::No;
            self.hold = Hold::No;
            self.pipeline.clear();
        } else if let Drain::Left(left) = &mut self.drain {
            *left = 0;
        }
    }

    pub(in crate::fake) fn buffers(&mut self, kind: u32) -> io::Result<&mut Buffers> {
        match kind {
            kind if kind == self.source.kind => Ok(&mut self.source),
            kind if kind == self.coded.kind => Ok(&mut self.coded),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn command(&mut self, command: u32, complaints: &mut Vec<String>) -> io::Result<()> {
        let is_streaming = self.source.is_streaming && self.coded.is_streaming;
        match (command, self.drain) {
            (uapi::V4L2_ENC_CMD_STOP | uapi::V4L2_ENC_CMD_START, Drain::Left(_)) => {
                Err(Errno::BUSY.into())
            }
            (uapi::V4L2_ENC_CMD_STOP, Drain::No) => {
                if !is_streaming {
                    complaints.push("does nothing while not both queues stream".to_owned());
                    return Ok(());
                }
                self.drain = Drain::Left(self.source.waiting.len());
                Ok(())
            }
            (uapi::V4L2_ENC_CMD_START, Drain::Stopped) => {
                self.drain = Drain::No;
                self.hold = Hold::No;
                self.coded.forget_end();
                Ok(())
            }
            (uapi::V4L2_ENC_CMD_STOP | uapi::V4L2_ENC_CMD_START, _) => Ok(()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn kind_of(&self, kind: u32) -> QueueKind {
        let is_source = kind == self.source.kind;
        let direction = if is_source { Direction::Output } else { Direction::Capture };
        QueueKind { direction, is_multi_planar: self.is_multi_planar }
    }

    fn format(&self, kind: u32) -> Format {
        if kind == self.source.kind { self.raw.clone() } else { self.coded_format(self.coded_size) }
    }

    fn coded_format(&self, size: u32) -> Format {
        Format {
            size: self.crop,
            pixel_format: PixelFormat::H264,
            planes: vec![PlaneFormat { stride: 0, size }],
            color: self.raw.color,
        }
    }

    /// What it makes of a raw format, and the crop.
    fn fit(&self, config: &Config, asked: &Format) -> (Format, Size) {
        let is_known = config.formats.contains(&asked.pixel_format);
        let first = config.formats.first().copied().unwrap_or(PixelFormat::YUV420);
        let pixel_format = if is_known { asked.pixel_format } else { first };
        let size = Size {
            width: asked.size.width.clamp(config.least.width, config.most.width) & !1,
            height: asked
                .size
                .height
                .clamp(config.least.height, config.most.height)
                .next_multiple_of(2),
        };
        let stride = asked.planes.first().map_or(0, |plane| plane.stride);
        let stride = stride.min(4 * config.most.width);
        let color = if asked.color.space == 0 { self.raw.color } else { asked.color };
        (formats::format(pixel_format, size, config.alignment, stride, color), size)
    }

    fn fit_coded(&self, config: &Config, asked: &Format) -> Format {
        let size = asked.planes.first().map_or(0, |plane| plane.size).min(LARGEST_CODED);
        self.coded_format(size.max(self.needed(config)))
    }

    /// Bytes of a coded picture at worst.
    fn needed(&self, config: &Config) -> u32 {
        let (columns, rows) = h264::macroblocks(self.crop);
        // Three bytes of types for 384 of samples, half as much again where all need emulation
        // prevention.
        let worst = columns * rows * (384 + 3) * 3 / 2 + 4096;
        config.coded_size.unwrap_or(worst)
    }

    fn tell_interval(&self, raw: &mut uapi::v4l2_streamparm) {
        let mut parm = raw.capture();
        parm.capability = uapi::V4L2_CAP_TIMEPERFRAME;
        let Interval { numerator, denominator } = self.interval;
        parm.timeperframe = uapi::v4l2_fract { numerator, denominator };
        raw.set_capture(parm);
    }
}

const CODED: [PixelFormat; 1] = [PixelFormat::H264];
/// V4L2_COLORSPACE_REC709.
const REC709: Color = Color { space: 3, encoding: 0, quantization: 0, transfer: 0 };
/// Bytes.
const LARGEST_CODED: u32 = 64 << 20;
