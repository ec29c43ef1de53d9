//! Device nodes and who has them open: what is asked goes to the camera or encoder behind.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::PathBuf,
};

use rustix::io::Errno;

use super::{
    Errors, camera,
    controls::name,
    encoder::{self, context::Context},
    formats,
};
use crate::{
    Format, Interest, PixelFormat, QueueKind, Readiness, Sizes, Waker,
    calls::Request,
    fake::buffers::Buffers,
    uapi::{
        self, control as ctl, v4l2_capability, v4l2_event, v4l2_fmtdesc, v4l2_format,
        v4l2_frmsizeenum,
    },
};

/// The number of a file descriptor that a node was opened as.
pub(super) type FileId = i32;

/// A device node.
pub(super) struct Node {
    pub(super) path: PathBuf,
    pub(super) is_there: bool,
    pub(super) faults: Vec<(&'static str, Errors)>,
    pub(super) unit: Unit,
}

/// What is behind a node.
pub(super) enum Unit {
    Camera(Box<camera::State>),
    Encoder(encoder::Shared),
}

/// A node as it was opened.
pub(super) struct File {
    pub(super) id: FileId,
    pub(super) node: usize,
    /// Of an encoder: each who has it open has one of their own.
    context: Option<Context>,
    /// Kinds of events, and of what.
    subscribed: BTreeSet<(u32, u32)>,
    /// The same of those that wait.
    events: VecDeque<(u32, u32)>,
    event_count: u32,
    /// Those who wait for something.
    pub(super) waiting: Vec<Waker>,
}

impl Node {
    pub(super) fn new(path: PathBuf, unit: Unit) -> Self {
        Self { path, is_there: true, faults: Vec::new(), unit }
    }

    pub(super) fn open(&self, id: FileId, node: usize) -> File {
        let context = match &self.unit {
            Unit::Camera(_) => None,
            Unit::Encoder(shared) => Some(Context::new(&shared.config)),
        };
        File {
            id,
            node,
            context,
            subscribed: BTreeSet::new(),
            events: VecDeque::new(),
            event_count: 0,
            waiting: Vec::new(),
        }
    }

    /// What close(2) does.
    pub(super) fn close(&mut self, file: &mut File, complaints: &mut Vec<String>) {
        let mut leave = |buffers: &Buffers| {
            if buffers.is_streaming {
                complaints.push("closes a device that streams".to_owned());
            }
        };
        match (&mut self.unit, &mut file.context) {
            (Unit::Camera(camera), _) => {
                if camera.is_owner(file.id) {
                    leave(&camera.buffers);
                }
                camera.closed(file.id);
            }
            (Unit::Encoder(_), Some(context)) => {
                leave(&context.source);
                leave(&context.coded);
            }
            (Unit::Encoder(_), None) => {}
        }
    }

    pub(super) fn ioctl(
        &mut self,
        file: &mut File,
        request: Request<'_>,
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        let result = self.answer(file, request, complaints);
        self.advance(file);
        result
    }

    /// Goes on with what the device has to do.
    pub(super) fn advance(&mut self, file: &mut File) {
        match (&mut self.unit, &mut file.context) {
            (Unit::Camera(camera), _) => camera.advance(),
            (Unit::Encoder(shared), Some(context)) => {
                let listens = file.subscribed.contains(&END);
                if context.advance(shared, listens) && listens {
                    file.events.push_back(END);
                }
            }
            (Unit::Encoder(_), None) => {}
        }
    }

    /// The value of a control that all who have the device open share.
    pub(super) fn shared_value(&self, id: u32) -> Option<i64> {
        match &self.unit {
            Unit::Camera(camera) => camera.controls.number(id),
            Unit::Encoder(_) => None,
        }
    }

    /// What poll(2) would say.
    pub(super) fn readiness(&self, file: &File, interest: Interest) -> Readiness {
        let nothing = Readiness::default();
        if !self.is_there {
            return Readiness { error: true, gone: true, event: interest.event, ..nothing };
        }
        let event = interest.event && !file.events.is_empty();
        let ready = Readiness { event, ..nothing };
        if !interest.readable && !interest.writable {
            return ready;
        }
        match (&self.unit, &file.context) {
            (Unit::Camera(camera), _) => {
                let buffers = &camera.buffers;
                if !interest.readable {
                    return ready;
                }
                if !buffers.is_streaming || buffers.is_untouched() {
                    return Readiness { error: true, ..ready };
                }
                Readiness { readable: buffers.has_done() || buffers.has_ended(), ..ready }
            }
            (Unit::Encoder(_), Some(Context { source, coded, .. })) => {
                let has_nothing =
                    |buffers: &Buffers| !buffers.is_streaming || !buffers.has_queued();
                if has_nothing(source) && has_nothing(coded) && !coded.has_ended() {
                    return Readiness { error: true, ..ready };
                }
                let readable = interest.readable && (coded.has_done() || coded.has_ended());
                let writable = interest.writable && source.has_done();
                Readiness { readable, writable, ..ready }
            }
            (Unit::Encoder(_), None) => ready,
        }
    }

    /// Whether nothing will ever come by itself.
    pub(super) fn is_stalled(&self, file: &File) -> bool {
        match (&self.unit, &file.context) {
            (Unit::Camera(camera), _) => camera.is_stalled,
            (Unit::Encoder(shared), Some(context)) => context.is_stalled(shared),
            (Unit::Encoder(_), None) => false,
        }
    }

    /// All queues of buffers that `file` sees.
    pub(super) fn queues<'a>(&'a self, file: &'a File) -> impl Iterator<Item = &'a Buffers> {
        let camera = match &self.unit {
            Unit::Camera(camera) if camera.is_owner(file.id) => Some(&camera.buffers),
            _ => None,
        };
        let context = file.context.as_ref().map(|context| [&context.source, &context.coded]);
        camera.into_iter().chain(context.into_iter().flatten())
    }

    fn answer(
        &mut self,
        file: &mut File,
        request: Request<'_>,
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        self.check_kind(file, &request)?;
        match request {
            Request::QueryCapabilities(raw) => {
                self.identify(raw);
                Ok(())
            }
            Request::SubscribeEvent(raw) => match raw.r#type {
                uapi::V4L2_EVENT_EOS if file.context.is_some() => {
                    file.subscribed.insert(END);
                    Ok(())
                }
                uapi::V4L2_EVENT_CTRL if self.controls(file).0.has(raw.id) => {
                    file.subscribed.insert((raw.r#type, raw.id));
                    Ok(())
                }
                _ => Err(Errno::INVAL.into()),
            },
            Request::DequeueEvent(raw) => file.dequeue_event(raw),
            Request::QueryControl(raw) => {
                let (controls, streams) = self.controls(file);
                controls.query(raw, streams)
            }
            Request::QueryMenu(raw) => self.controls(file).0.menu(raw),
            Request::GetControl(raw, payload) => self.controls(file).0.read(raw, payload),
            Request::SetControl(raw, payload) => {
                let (controls, streams) = self.controls(file);
                controls.write(raw, payload, streams, complaints)?;
                if raw.id == ctl::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME
                    && let Some(context) = &mut file.context
                {
                    context.force_key();
                }
                Ok(())
            }
            // Anyone may ask, whoever has the buffers.
            Request::QueryBuffer(raw, planes) => match (&self.unit, &mut file.context) {
                (Unit::Camera(camera), _) => camera.buffers.query(raw, planes),
                (Unit::Encoder(_), Some(context)) => {
                    context.buffers(raw.r#type)?.query(raw, planes)
                }
                (Unit::Encoder(_), None) => Err(Errno::INVAL.into()),
            },
            Request::QueueBuffer(raw, planes) => {
                self.buffers(file, raw.r#type)?.queue(raw, planes, complaints)
            }
            Request::DequeueBuffer(raw, planes) => {
                let buffers = self.buffers(file, raw.r#type)?;
                let answer = buffers.dequeue(raw, planes);
                let is_in_vain = !buffers.has_done();
                if let (true, Some(context)) = (answer.is_err() && is_in_vain, &mut file.context)
                    && context.coded.kind == raw.r#type
                {
                    context.asked_in_vain();
                }
                answer
            }
            Request::ExportBuffer(raw, exported) => {
                *exported = Some(self.buffers(file, raw.r#type)?.export(raw)?);
                Ok(())
            }
            Request::StreamOff(kind) => {
                self.buffers(file, kind as u32)?.cancel();
                if let Some(context) = &mut file.context {
                    context.stopped(kind as u32);
                }
                Ok(())
            }
            request => {
                if let Request::SetFormat(raw) = &request {
                    let size = read(raw).size;
                    if size.width == 0 || size.height == 0 {
                        complaints.push("asks for pictures of no size".to_owned());
                    }
                }
                match (&mut self.unit, &mut file.context) {
                    (Unit::Camera(camera), _) => {
                        if let Request::StreamOn(_) = request {
                            camera.check_owner(file.id)?;
                        }
                        camera.ioctl(file.id, request, complaints)
                    }
                    (Unit::Encoder(shared), Some(context)) => {
                        context.ioctl(shared, request, complaints)
                    }
                    (Unit::Encoder(_), None) => Err(Errno::NOTTY.into()),
                }
            }
        }
    }

    /// EINVAL for a type of buffers that the device does not have, as the framework says before
    /// any driver is asked.
    fn check_kind(&mut self, file: &mut File, request: &Request<'_>) -> io::Result<()> {
        let kind = match request {
            Request::EnumFormat(raw) => raw.r#type,
            Request::GetFormat(raw) | Request::SetFormat(raw) | Request::TryFormat(raw) => {
                raw.r#type
            }
            Request::GetParameters(raw) | Request::SetParameters(raw) => raw.r#type,
            Request::AllocateBuffers(raw) => raw.r#type,
            Request::StreamOn(kind) => *kind as u32,
            _ => return Ok(()),
        };
        match (&mut self.unit, &mut file.context) {
            (Unit::Camera(camera), _) if camera.buffers.kind != kind => Err(Errno::INVAL.into()),
            (Unit::Encoder(_), Some(context)) => context.buffers(kind).map(drop),
            _ => Ok(()),
        }
    }

    fn buffers<'a>(&'a mut self, file: &'a mut File, kind: u32) -> io::Result<&'a mut Buffers> {
        match (&mut self.unit, &mut file.context) {
            (Unit::Camera(camera), _) => {
                if camera.buffers.kind != kind {
                    return Err(Errno::INVAL.into());
                }
                camera.check_owner(file.id)?;
                Ok(&mut camera.buffers)
            }
            (Unit::Encoder(_), Some(context)) => context.buffers(kind),
            (Unit::Encoder(_), None) => Err(Errno::INVAL.into()),
        }
    }

    fn controls<'a>(&'a mut self, file: &'a mut File) -> (&'a mut super::controls::Controls, bool) {
        match (&mut self.unit, &mut file.context) {
            (Unit::Encoder(_), Some(context)) => {
                let streams = context.streams();
                (&mut context.controls, streams)
            }
            (Unit::Camera(camera), _) => (&mut camera.controls, camera.buffers.is_streaming),
            (Unit::Encoder(_), None) => unreachable!("whoever has an encoder open has a context"),
        }
    }

    fn identify(&self, raw: &mut v4l2_capability) {
        let (driver, card, bus, own) = match &self.unit {
            Unit::Camera(camera) => {
                let config = &camera.config;
                (&config.driver, &config.card, &config.bus, camera.capabilities())
            }
            Unit::Encoder(shared) => {
                let config = &shared.config;
                (&config.driver, &config.card, &config.bus, shared.capabilities())
            }
        };
        (raw.driver, raw.card, raw.bus_info) = (name(driver), name(card), name(bus));
        raw.version = 6 << 16 | 12 << 8;
        raw.device_caps = own | uapi::V4L2_CAP_STREAMING | uapi::V4L2_CAP_EXT_PIX_FORMAT;
        raw.capabilities = raw.device_caps | uapi::V4L2_CAP_DEVICE_CAPS;
    }
}

impl File {
    /// Somebody else has given a control another value. What was not heard yet is said once.
    pub(super) fn tell_of(&mut self, control: u32) {
        let event = (uapi::V4L2_EVENT_CTRL, control);
        if self.subscribed.contains(&event) && !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    fn dequeue_event(&mut self, raw: &mut v4l2_event) -> io::Result<()> {
        (raw.r#type, raw.id) = self.events.pop_front().ok_or(Errno::NOENT)?;
        if raw.r#type == uapi::V4L2_EVENT_CTRL {
            raw.u[0] = uapi::V4L2_EVENT_CTRL_CH_VALUE.into();
        }
        if let (uapi::V4L2_EVENT_EOS, Some(context)) = (raw.r#type, &mut self.context) {
            context.told_end();
        }
        raw.pending = self.events.len() as u32;
        raw.sequence = self.event_count;
        self.event_count += 1;
        Ok(())
    }
}

/// There is one of a device.
const END: (u32, u32) = (uapi::V4L2_EVENT_EOS, 0);

/// VIDIOC_ENUM_FMT.
pub(super) fn describe(raw: &mut v4l2_fmtdesc, format: PixelFormat) {
    raw.pixelformat = format.0;
    raw.description = name(&format.to_string());
    raw.flags = if formats::is_compressed(format) { uapi::V4L2_FMT_FLAG_COMPRESSED } else { 0 };
}

/// VIDIOC_ENUM_FRAMESIZES.
pub(super) fn enumerate_sizes<'a>(
    raw: &mut v4l2_frmsizeenum,
    all: impl Iterator<Item = &'a Sizes>,
) -> io::Result<()> {
    let mut index = raw.index as usize;
    for sizes in all {
        match sizes {
            Sizes::Discrete(sizes) => {
                if let Some(size) = sizes.get(index) {
                    raw.r#type = uapi::V4L2_FRMSIZE_TYPE_DISCRETE;
                    raw.u = [size.width, size.height, 0, 0, 0, 0];
                    return Ok(());
                }
                index -= sizes.len();
            }
            Sizes::Stepwise { width, width_step, height, height_step } => {
                if index > 0 {
                    break;
                }
                raw.r#type = uapi::V4L2_FRMSIZE_TYPE_STEPWISE;
                let (least, most) = (width.start(), width.end());
                let (lowest, highest) = (height.start(), height.end());
                raw.u = [*least, *most, *width_step, *lowest, *highest, *height_step];
                return Ok(());
            }
        }
    }
    Err(Errno::INVAL.into())
}

/// A format out of the reading of the union that its type tells.
pub(super) fn read(raw: &v4l2_format) -> Format {
    match raw.r#type {
        uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE | uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE => {
            Format::of_multi_planar(raw)
        }
        _ => Format::of_single_planar(raw),
    }
}

/// The same the other way.
pub(super) fn write(kind: QueueKind, format: &Format) -> v4l2_format {
    match kind.is_multi_planar {
        true => format.to_multi_planar(kind.buffer_type()),
        false => format.to_single_planar(kind.buffer_type()),
    }
}
