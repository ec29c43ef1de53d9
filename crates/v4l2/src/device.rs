//! A device node: what it offers, how it is set.

mod capability;
mod controls;

use std::{
    fmt,
    io::{self, ErrorKind},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::io::Errno;
use zerocopy::FromZeros;

use crate::{
    calls::{Calls, Interest, Node, Readiness, Request},
    control::ControlId,
    error::Error,
    format::{Format, FormatDescription, Interval, Intervals, PixelFormat, Size, Sizes},
    library,
    uapi::{
        self, v4l2_capability, v4l2_encoder_cmd, v4l2_event, v4l2_event_subscription, v4l2_fmtdesc,
        v4l2_fract, v4l2_frmivalenum, v4l2_frmsizeenum, v4l2_rect, v4l2_requestbuffers,
        v4l2_selection, v4l2_streamparm,
    },
};

pub use self::capability::{Capability, Direction, QueueKind};

/// An open video device. Clones are the same device; the last one closes it.
///
/// Calls may block while the driver talks to its hardware: use it on a thread of its own.
#[derive(Clone)]
pub struct Device {
    node: Arc<Node>,
    path: Arc<Path>,
    capability: Capability,
}

/// What an event says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The last buffer of a drained stream was made.
    EndOfStream,
    /// What the device gives has another size or format now.
    SourceChange,
    /// Somebody else has set a control, or the device itself has.
    ControlChanged(ControlId),
    /// Another one.
    Other(u32),
}

impl Device {
    /// Opens a node, as `/dev/video0`, and asks what it is. The kernel answers, or the
    /// [library](crate::library) that was told to.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is no video device.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_by(path, library::calls_for(path))
    }

    /// Opens a node by the calls of another than the kernel.
    pub(crate) fn open_by(path: &Path, calls: Arc<dyn Calls>) -> Result<Self, Error> {
        let failed =
            |doing: &str, error| Error { device: path.to_owned(), doing: doing.to_owned(), error };
        let node = Node::open(path, calls).map_err(|error| failed("open", error))?;
        let mut raw = v4l2_capability::new_zeroed();
        let asked = node.ioctl(Request::QueryCapabilities(&mut raw));
        asked.map_err(|error| failed("VIDIOC_QUERYCAP (is it a video device?)", error))?;
        let capability = Capability::of(&raw);
        Ok(Self { node: Arc::new(node), path: path.into(), capability })
    }

    /// The node, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who it is and what it does.
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The formats that `queue` can have, in the driver's order.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn formats(&self, queue: QueueKind) -> Result<Vec<FormatDescription>, Error> {
        let mut formats = Vec::new();
        for index in 0..ENOUGH {
            let mut raw = v4l2_fmtdesc::new_zeroed();
            raw.index = index;
            raw.r#type = queue.buffer_type();
            let asked = self.node.ioctl(Request::EnumFormat(&mut raw));
            if !self.is_there(asked, || format!("VIDIOC_ENUM_FMT {queue} {index}"))? {
                break;
            }
            formats.push(FormatDescription {
                pixel_format: PixelFormat(raw.pixelformat),
                description: text(&raw.description),
                is_compressed: raw.flags & uapi::V4L2_FMT_FLAG_COMPRESSED != 0,
                is_emulated: raw.flags & uapi::V4L2_FMT_FLAG_EMULATED != 0,
            });
        }
        Ok(formats)
    }

    /// The sizes that a format can have; `None` when the driver does not tell.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn sizes(&self, format: PixelFormat) -> Result<Option<Sizes>, Error> {
        let mut discrete = Vec::new();
        for index in 0..ENOUGH {
            let mut raw = v4l2_frmsizeenum::new_zeroed();
            raw.index = index;
            raw.pixel_format = format.0;
            let asked = self.node.ioctl(Request::EnumFrameSize(&mut raw));
            if !self.is_there(asked, || format!("VIDIOC_ENUM_FRAMESIZES {format} {index}"))? {
                break;
            }
            let [a, b, c, d, e, f] = raw.u;
            match raw.r#type {
                uapi::V4L2_FRMSIZE_TYPE_DISCRETE => discrete.push(Size { width: a, height: b }),
                uapi::V4L2_FRMSIZE_TYPE_CONTINUOUS | uapi::V4L2_FRMSIZE_TYPE_STEPWISE => {
                    let (width, height) = (a..=b, d..=e);
                    let (width_step, height_step) = (c.max(1), f.max(1));
                    return Ok(Some(Sizes::Stepwise { width, width_step, height, height_step }));
                }
                _ => break,
            }
        }
        Ok((!discrete.is_empty()).then_some(Sizes::Discrete(discrete)))
    }

    /// The frame intervals that a size of a format can have; `None` when the driver does not tell.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn intervals(&self, format: PixelFormat, size: Size) -> Result<Option<Intervals>, Error> {
        let mut discrete = Vec::new();
        for index in 0..ENOUGH {
            let mut raw = v4l2_frmivalenum::new_zeroed();
            raw.index = index;
            raw.pixel_format = format.0;
            raw.width = size.width;
            raw.height = size.height;
            let asked = self.node.ioctl(Request::EnumFrameInterval(&mut raw));
            let doing = || format!("VIDIOC_ENUM_FRAMEINTERVALS {format} {size} {index}");
            if !self.is_there(asked, doing)? {
                break;
            }
            let [first, last, _step] = raw.u.map(interval);
            match (raw.r#type, first, last) {
                (uapi::V4L2_FRMIVAL_TYPE_DISCRETE, first, _) => discrete.extend(first),
                (_, Some(first), Some(last)) => return Ok(Some(Intervals::Between(first, last))),
                _ => break,
            }
        }
        Ok((!discrete.is_empty()).then_some(Intervals::Discrete(discrete)))
    }

    /// What the buffers of `queue` hold now.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn format(&self, queue: QueueKind) -> Result<Format, Error> {
        let mut raw = uapi::v4l2_format::of(queue.buffer_type());
        let asked = self.node.ioctl(Request::GetFormat(&mut raw));
        self.done(asked, || format!("VIDIOC_G_FMT {queue}"))?;
        Ok(read_format(queue, &raw))
    }

    /// Sets what the buffers of `queue` shall hold; returns what the driver made of it, which may
    /// differ in everything.
    ///
    /// # Errors
    ///
    /// When the driver fails, or the queue has buffers (EBUSY).
    pub fn set_format(&self, queue: QueueKind, format: &Format) -> Result<Format, Error> {
        let mut raw = write_format(queue, format);
        let asked = self.node.ioctl(Request::SetFormat(&mut raw));
        self.done(asked, || format!("VIDIOC_S_FMT {queue} {format}"))?;
        Ok(read_format(queue, &raw))
    }

    /// What [`Device::set_format`] would make of it.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn try_format(&self, queue: QueueKind, format: &Format) -> Result<Format, Error> {
        let mut raw = write_format(queue, format);
        let asked = self.node.ioctl(Request::TryFormat(&mut raw));
        self.done(asked, || format!("VIDIOC_TRY_FMT {queue} {format}"))?;
        Ok(read_format(queue, &raw))
    }

    /// Sets the frame interval of `queue`; returns the one that holds then, `None` when the driver
    /// tells none. To be called after [`Device::set_format`], which may change it.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn set_interval(
        &self,
        queue: QueueKind,
        interval: Interval,
    ) -> Result<Option<Interval>, Error> {
        let mut raw = v4l2_streamparm::of(queue.buffer_type());
        let doing = |name: &str| format!("{name} {queue} {interval}");
        let asked = self.node.ioctl(Request::GetParameters(&mut raw));
        if !self.is_there(asked, || doing("VIDIOC_G_PARM"))? {
            return Ok(None);
        }
        let mut parm = raw.capture();
        if parm.capability & uapi::V4L2_CAP_TIMEPERFRAME == 0 {
            return Ok(self::interval(parm.timeperframe));
        }
        let Interval { numerator, denominator } = interval;
        parm.timeperframe = v4l2_fract { numerator, denominator };
        raw = v4l2_streamparm::of(queue.buffer_type());
        raw.set_capture(parm);
        let asked = self.node.ioctl(Request::SetParameters(&mut raw));
        if !self.is_there(asked, || doing("VIDIOC_S_PARM"))? {
            return Ok(None);
        }
        Ok(self::interval(raw.capture().timeperframe))
    }

    /// Sets which part of the pictures counts: the crop of what is given to an encoder. Returns
    /// what the driver made of it, `None` when it knows no selections.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn set_crop(&self, queue: QueueKind, size: Size) -> Result<Option<Size>, Error> {
        let mut raw = v4l2_selection::new_zeroed();
        // The single-planar types, whatever the queue is: the kernel's page on selections.
        raw.r#type = QueueKind { is_multi_planar: false, ..queue }.buffer_type();
        raw.target = uapi::V4L2_SEL_TGT_CROP;
        raw.r = v4l2_rect { left: 0, top: 0, width: size.width, height: size.height };
        let asked = self.node.ioctl(Request::SetSelection(&mut raw));
        if !self.is_there(asked, || format!("VIDIOC_S_SELECTION {queue} crop {size}"))? {
            return Ok(None);
        }
        Ok(Some(Size { width: raw.r.width, height: raw.r.height }))
    }

    /// Tells an encoder to start again, or to finish what is queued and stop: V4L2_ENC_CMD_*.
    ///
    /// # Errors
    ///
    /// When the driver fails or has no such command.
    pub fn encoder_command(&self, command: u32) -> Result<(), Error> {
        let mut raw = v4l2_encoder_cmd::new_zeroed();
        raw.cmd = command;
        let asked = self.node.ioctl(Request::EncoderCommand(&mut raw));
        self.done(asked, || format!("VIDIOC_ENCODER_CMD {command}"))
    }

    /// Whether somebody else has buffers of `queue`: another program takes pictures from a camera.
    /// Nothing changes by being asked.
    ///
    /// # Errors
    ///
    /// When the driver fails, or there is a [`crate::Queue`] of it here (EBUSY).
    pub fn is_taken(&self, queue: QueueKind) -> Result<bool, Error> {
        let doing = || format!("VIDIOC_REQBUFS {queue} 0");
        let kind = queue.buffer_type();
        self.done(self.node.take_queue(kind), doing)?;
        let mut raw = v4l2_requestbuffers::new_zeroed();
        (raw.r#type, raw.memory) = (kind, uapi::V4L2_MEMORY_MMAP);
        // To free what one has not is nothing, but where it is another's.
        let asked = self.node.ioctl(Request::AllocateBuffers(&mut raw));
        self.node.leave_queue(kind);
        match asked {
            Err(error) if is_errno(&error, &[Errno::BUSY]) => Ok(true),
            asked => self.done(asked, doing).map(|()| false),
        }
    }

    /// Asks to be told of events of one kind, V4L2_EVENT_*. Whether the driver has them.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn subscribe(&self, kind: u32) -> Result<bool, Error> {
        let mut raw = v4l2_event_subscription::new_zeroed();
        raw.r#type = kind;
        let asked = self.node.ioctl(Request::SubscribeEvent(&mut raw));
        self.is_there(asked, || format!("VIDIOC_SUBSCRIBE_EVENT {kind}"))
    }

    /// Asks to be told when somebody else sets a control. Whether there is such a control.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn watch(&self, control: ControlId) -> Result<bool, Error> {
        let mut raw = v4l2_event_subscription::new_zeroed();
        (raw.r#type, raw.id) = (uapi::V4L2_EVENT_CTRL, control.0);
        let asked = self.node.ioctl(Request::SubscribeEvent(&mut raw));
        self.is_there(asked, || format!("VIDIOC_SUBSCRIBE_EVENT of control {:#x}", control.0))
    }

    /// The next event that waits, if one does.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn event(&self) -> Result<Option<Event>, Error> {
        let mut raw = v4l2_event::new_zeroed();
        match self.node.ioctl(Request::DequeueEvent(&mut raw)) {
            Err(error) if is_errno(&error, &[Errno::NOENT, Errno::AGAIN]) => return Ok(None),
            asked => self.done(asked, || "VIDIOC_DQEVENT".to_owned())?,
        }
        Ok(Some(match raw.r#type {
            uapi::V4L2_EVENT_EOS => Event::EndOfStream,
            uapi::V4L2_EVENT_SOURCE_CHANGE => Event::SourceChange,
            uapi::V4L2_EVENT_CTRL => Event::ControlChanged(ControlId(raw.id)),
            other => Event::Other(other),
        }))
    }

    /// Waits until something of `interest` is there, at most for `timeout`. `wake`, when it becomes
    /// readable, ends it too.
    ///
    /// # Errors
    ///
    /// When waiting fails; a device that is gone is a [`Readiness`].
    pub fn wait(
        &self,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> Result<Readiness, Error> {
        let waited = self.node.wait(interest, wake, timeout);
        waited.map_err(|error| self.error("poll".to_owned(), error))
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn error(&self, doing: String, error: io::Error) -> Error {
        Error { device: PathBuf::from(&*self.path), doing, error }
    }

    /// Adds to an error what was being done.
    pub(crate) fn done<T>(
        &self,
        asked: io::Result<T>,
        doing: impl FnOnce() -> String,
    ) -> Result<T, Error> {
        asked.map_err(|error| self.error(doing(), error))
    }

    /// The same, where there may be nothing: the end of a list, or a request the driver does not
    /// know.
    fn is_there(
        &self,
        asked: io::Result<()>,
        doing: impl FnOnce() -> String,
    ) -> Result<bool, Error> {
        match asked {
            Ok(()) => Ok(true),
            Err(error) if is_errno(&error, &[Errno::INVAL, Errno::NOTTY]) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
            Err(error) => Err(self.error(doing(), error)),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("path", &self.path).finish_non_exhaustive()
    }
}

fn write_format(queue: QueueKind, format: &Format) -> uapi::v4l2_format {
    if queue.is_multi_planar {
        format.to_multi_planar(queue.buffer_type())
    } else {
        format.to_single_planar(queue.buffer_type())
    }
}

fn read_format(queue: QueueKind, raw: &uapi::v4l2_format) -> Format {
    if queue.is_multi_planar { Format::of_multi_planar(raw) } else { Format::of_single_planar(raw) }
}

fn interval(fract: v4l2_fract) -> Option<Interval> {
    Interval::new(fract.numerator, fract.denominator)
}

pub(crate) fn is_errno(error: &io::Error, any: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| any.contains(&errno))
}

/// Up to the first NUL; drivers have been seen to cut names within a character.
fn text(memory: &[u8]) -> String {
    let end = memory.iter().position(|byte| *byte == 0).unwrap_or(memory.len());
    String::from_utf8_lossy(&memory[..end]).trim().to_owned()
}

/// No list of a driver is as long; one that never ends is cut here.
const ENOUGH: u32 = 4096;
