//! A device node: what it is, what it offers, how it is set.

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
    control::{Access, Control, ControlId, ControlKind, MenuEntry, MenuLabel, Value},
    error::Error,
    format::{Format, FormatDescription, Interval, Intervals, PixelFormat, Size, Sizes},
    sys::Kernel,
    uapi::{
        self, control as ctl,
        control::{v4l2_ext_control, v4l2_query_ext_ctrl, v4l2_querymenu},
        v4l2_capability, v4l2_encoder_cmd, v4l2_event, v4l2_event_subscription, v4l2_fmtdesc,
        v4l2_fract, v4l2_frmivalenum, v4l2_frmsizeenum, v4l2_rect, v4l2_selection, v4l2_streamparm,
    },
};

/// An open video device. Clones are the same device; the last one closes it.
///
/// Calls may block while the driver talks to its hardware: use it on a thread of its own.
#[derive(Clone)]
pub struct Device {
    node: Arc<Node>,
    path: Arc<Path>,
    capability: Capability,
}

/// Who a device is and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The driver: `uvcvideo`.
    pub driver: String,
    /// The device, for people: `HD Pro Webcam C920`.
    pub card: String,
    /// Where it is: `usb-0000:00:14.0-1`.
    pub bus: String,
    /// V4L2_CAP_* of this node.
    pub flags: u32,
}

/// A queue of a device: which way its buffers go, and in how many pieces.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueKind {
    /// Which way.
    pub direction: Direction,
    /// Whether a picture may be in several pieces of memory.
    pub is_multi_planar: bool,
}

/// Which way buffers go.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device: pictures of a camera, what an encoder has made.
    Capture,
    /// To the device: pictures to encode.
    Output,
}

/// What an event says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The last buffer of a drained stream was made.
    EndOfStream,
    /// What the device gives has another size or format now.
    SourceChange,
    /// Another one.
    Other(u32),
}

impl Capability {
    fn of(raw: &v4l2_capability) -> Self {
        let has_own = raw.capabilities & uapi::V4L2_CAP_DEVICE_CAPS != 0;
        Self {
            driver: text(&raw.driver),
            card: text(&raw.card),
            bus: text(&raw.bus_info),
            flags: if has_own { raw.device_caps } else { raw.capabilities },
        }
    }

    /// The queue that a camera fills, if it is one.
    pub fn camera(&self) -> Option<QueueKind> {
        let is = |flag| self.flags & flag != 0;
        let direction = Direction::Capture;
        match () {
            () if !is(uapi::V4L2_CAP_STREAMING) => None,
            () if is(uapi::V4L2_CAP_VIDEO_CAPTURE) => {
                Some(QueueKind { direction, is_multi_planar: false })
            }
            () if is(uapi::V4L2_CAP_VIDEO_CAPTURE_MPLANE) => {
                Some(QueueKind { direction, is_multi_planar: true })
            }
            () => None,
        }
    }

    /// The queues to and from a device that works from memory to memory, if it is one.
    pub fn memory_to_memory(&self) -> Option<(QueueKind, QueueKind)> {
        let is = |flag| self.flags & flag != 0;
        let queues = |is_multi_planar| {
            let queue = |direction| QueueKind { direction, is_multi_planar };
            Some((queue(Direction::Output), queue(Direction::Capture)))
        };
        match () {
            () if !is(uapi::V4L2_CAP_STREAMING) => None,
            () if is(uapi::V4L2_CAP_VIDEO_M2M_MPLANE) => queues(true),
            () if is(uapi::V4L2_CAP_VIDEO_M2M) => queues(false),
            () => None,
        }
    }
}

impl QueueKind {
    /// V4L2_BUF_TYPE_*.
    pub const fn buffer_type(self) -> u32 {
        match (self.direction, self.is_multi_planar) {
            (Direction::Capture, false) => uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE,
            (Direction::Capture, true) => uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
            (Direction::Output, false) => uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT,
            (Direction::Output, true) => uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
        }
    }
}

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::Capture => "capture",
            Direction::Output => "output",
        })
    }
}

impl Device {
    /// Opens a node, as `/dev/video0`, and asks what it is.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is no video device.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_by(path, Arc::new(Kernel))
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

    /// All controls that are in use, in the driver's order. Those of types unknown here are left
    /// out, headings too.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn controls(&self) -> Result<Vec<Control>, Error> {
        let mut controls = Vec::new();
        let mut id = 0;
        for _ in 0..ENOUGH {
            let mut raw = v4l2_query_ext_ctrl::new_zeroed();
            raw.id = id | ctl::V4L2_CTRL_FLAG_NEXT_CTRL;
            let asked = self.node.ioctl(Request::QueryControl(&mut raw));
            if !self.is_there(asked, || format!("VIDIOC_QUERY_EXT_CTRL after {id:#x}"))? {
                break;
            }
            // A driver that does not move on would never end.
            if raw.id <= id {
                break;
            }
            id = raw.id;
            controls.extend(self.describe(&raw)?);
        }
        Ok(controls)
    }

    /// One control by its number; `None` when the driver does not have it.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn control(&self, id: ControlId) -> Result<Option<Control>, Error> {
        let mut raw = v4l2_query_ext_ctrl::new_zeroed();
        raw.id = id.0;
        let asked = self.node.ioctl(Request::QueryControl(&mut raw));
        if !self.is_there(asked, || format!("VIDIOC_QUERY_EXT_CTRL {:#x}", id.0))? {
            return Ok(None);
        }
        self.describe(&raw)
    }

    /// The value of a control just now; `None` for buttons and what can only be set.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn value(&self, control: &Control) -> Result<Option<Value>, Error> {
        let is_number = match &control.kind {
            ControlKind::Button => return Ok(None),
            _ if control.access.write_only => return Ok(None),
            ControlKind::Text { .. } => false,
            _ => true,
        };
        let mut raw = v4l2_ext_control::of(control.id.0);
        let mut memory = text_memory(control);
        let payload = (!is_number).then_some(&mut memory[..]);
        let asked = self.node.ioctl(Request::GetControl(&mut raw, payload));
        self.done(asked, || format!("VIDIOC_G_EXT_CTRLS {}", control.name()))?;
        Ok(Some(if is_number {
            Value::Number(number(control, &raw))
        } else {
            Value::Text(text(&memory))
        }))
    }

    /// Sets a control, to a value of [`Control::parse`].
    ///
    /// # Errors
    ///
    /// When the driver refuses, as while it streams (EBUSY).
    pub fn set_value(&self, control: &Control, value: &Value) -> Result<(), Error> {
        let mut raw = v4l2_ext_control::of(control.id.0);
        let mut memory = text_memory(control);
        let payload = match value {
            Value::Number(value) => {
                if is_wide(control) {
                    raw.set_value64(*value);
                } else {
                    // A bitmask uses all 32 bits; the rest fits, for it came from the range.
                    raw.set_value(*value as i32);
                }
                None
            }
            Value::Text(text) => {
                let length = text.len().min(memory.len().saturating_sub(1));
                memory[..length].copy_from_slice(&text.as_bytes()[..length]);
                Some(&mut memory[..])
            }
        };
        let asked = self.node.ioctl(Request::SetControl(&mut raw, payload));
        self.done(asked, || format!("VIDIOC_S_EXT_CTRLS {} = {value:?}", control.name()))
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

    /// A control as described by the driver; `None` for what is no control, or not known here.
    fn describe(&self, raw: &v4l2_query_ext_ctrl) -> Result<Option<Control>, Error> {
        let flag = |flag| raw.flags & flag != 0;
        let is_array = raw.nr_of_dims > 0;
        if flag(ctl::V4L2_CTRL_FLAG_DISABLED) || is_array {
            return Ok(None);
        }
        let (minimum, maximum) = (raw.minimum, raw.maximum);
        let default = raw.default_value;
        let kind = match raw.r#type {
            ctl::V4L2_CTRL_TYPE_INTEGER | ctl::V4L2_CTRL_TYPE_INTEGER64 => {
                let is_wide = raw.r#type == ctl::V4L2_CTRL_TYPE_INTEGER64;
                ControlKind::Integer { minimum, maximum, step: raw.step.max(1), default, is_wide }
            }
            ctl::V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean { default: default != 0 },
            ctl::V4L2_CTRL_TYPE_MENU | ctl::V4L2_CTRL_TYPE_INTEGER_MENU => {
                ControlKind::Menu { entries: self.menu(raw)?, default }
            }
            // The kernel keeps these in 32 bits.
            ctl::V4L2_CTRL_TYPE_BITMASK => {
                ControlKind::Bitmask { maximum: maximum as u32, default: default as u32 }
            }
            ctl::V4L2_CTRL_TYPE_STRING => {
                let (minimum, maximum) = (minimum.max(0) as u64, maximum.max(0) as u64);
                ControlKind::Text { minimum, maximum }
            }
            ctl::V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
            _ => return Ok(None),
        };
        let access = Access {
            read_only: flag(ctl::V4L2_CTRL_FLAG_READ_ONLY),
            write_only: flag(ctl::V4L2_CTRL_FLAG_WRITE_ONLY),
            inactive: flag(ctl::V4L2_CTRL_FLAG_INACTIVE),
            grabbed: flag(ctl::V4L2_CTRL_FLAG_GRABBED),
            volatile: flag(ctl::V4L2_CTRL_FLAG_VOLATILE),
        };
        Ok(Some(Control { id: ControlId(raw.id), label: text(&raw.name), kind, access }))
    }

    fn menu(&self, control: &v4l2_query_ext_ctrl) -> Result<Vec<MenuEntry>, Error> {
        let mut entries = Vec::new();
        let first = u32::try_from(control.minimum).unwrap_or(0);
        let last = u32::try_from(control.maximum).unwrap_or(0).min(first.saturating_add(ENOUGH));
        for index in first..=last {
            let mut raw = v4l2_querymenu::new_zeroed();
            raw.id = control.id;
            raw.index = index;
            let asked = self.node.ioctl(Request::QueryMenu(&mut raw));
            // Drivers leave out what the hardware does not have.
            if !self.is_there(asked, || format!("VIDIOC_QUERYMENU {:#x} {index}", control.id))? {
                continue;
            }
            let memory = raw.u;
            let label = if control.r#type == ctl::V4L2_CTRL_TYPE_INTEGER_MENU {
                let [a, b, c, d, e, f, g, h, ..] = memory;
                MenuLabel::Number(i64::from_ne_bytes([a, b, c, d, e, f, g, h]))
            } else {
                MenuLabel::Name(text(&memory))
            };
            entries.push(MenuEntry { value: index.into(), label });
        }
        Ok(entries)
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

/// Whether its value takes 64 bits.
fn is_wide(control: &Control) -> bool {
    matches!(control.kind, ControlKind::Integer { is_wide: true, .. })
}

fn number(control: &Control, raw: &v4l2_ext_control) -> i64 {
    match control.kind {
        _ if is_wide(control) => raw.value64(),
        ControlKind::Bitmask { .. } => i64::from(raw.value() as u32),
        _ => raw.value().into(),
    }
}

/// Room for a text and its NUL.
fn text_memory(control: &Control) -> Vec<u8> {
    let ControlKind::Text { maximum, .. } = control.kind else { return Vec::new() };
    vec![0; usize::try_from(maximum).unwrap_or(0).min(LONGEST_TEXT) + 1]
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
/// Bytes.
const LONGEST_TEXT: usize = 1 << 16;
