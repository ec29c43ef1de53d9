//! The stand-in held against drivers of a real kernel: the same requests, in right and wrong
//! orders, with the same answers demanded of both.
//!
//! Plain runs ask the stand-in. `V4L2_CAMERA` and `V4L2_ENCODER` name device nodes that are asked as
//! well by those that are ignored otherwise, and `V4L2_LIBRARY` a library that is to pass them on as
//! they are; tests/vm/README.md has the command.

mod camera;
mod controls;
mod encoder;

use std::{
    env,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::io::Errno;
use zerocopy::FromZeros;

use super::Kernel;
use crate::{
    Interest, Readiness,
    calls::{Calls, Request},
    sys::{self, Mapping},
    uapi::{
        self, v4l2_buffer, v4l2_event, v4l2_event_subscription, v4l2_exportbuffer, v4l2_format,
        v4l2_memory_place, v4l2_plane, v4l2_requestbuffers,
    },
};

/// A device of either kind of kernel.
#[derive(Clone)]
struct Subject {
    calls: Arc<dyn Calls>,
    path: PathBuf,
}

impl Subject {
    fn stand_in(kernel: &Kernel, path: &str) -> Self {
        Self { calls: Arc::new(kernel.clone()), path: path.into() }
    }

    /// The device that the environment names.
    fn real(variable: &str) -> Self {
        Self { calls: Arc::new(sys::Kernel), path: named_by(variable) }
    }

    /// The same, asked by the library that the environment names.
    fn by_library(variable: &str) -> Self {
        let calls = Arc::new(library_named(&named_by("V4L2_LIBRARY")));
        Self { calls, path: named_by(variable) }
    }

    fn open(&self) -> Opened {
        Opened { fd: Some(self.calls.open(&self.path).unwrap()), calls: self.calls.clone() }
    }

    fn device(&self) -> crate::Device {
        crate::Device::open_by(Path::new(&self.path), self.calls.clone()).unwrap()
    }
}

fn named_by(variable: &str) -> PathBuf {
    env::var_os(variable).unwrap_or_else(|| panic!("{variable} names nothing")).into()
}

#[cfg(not(target_feature = "crt-static"))]
fn library_named(path: &Path) -> sys::library::Library {
    sys::library::Library::load(path).unwrap()
}

#[cfg(target_feature = "crt-static")]
fn library_named(path: &Path) -> sys::Kernel {
    panic!("{}: a static program cannot load it", path.display())
}

/// A device without any care for what may be asked when.
struct Opened {
    fd: Option<OwnedFd>,
    calls: Arc<dyn Calls>,
}

/// A buffer that is queued: which, of what type and memory, and what is said of each plane.
#[derive(Clone)]
struct Given {
    kind: u32,
    index: u32,
    memory: u32,
    planes: Vec<(u32, u32, v4l2_memory_place)>,
    seconds: i64,
}

impl Opened {
    fn ask(&self, request: Request<'_>) -> Result<(), Errno> {
        let asked = self.calls.ioctl(self.fd.as_ref().unwrap().as_fd(), request);
        asked.map_err(|error| Errno::from_io_error(&error).unwrap())
    }

    fn format(&self, kind: u32) -> Result<v4l2_format, Errno> {
        let mut raw = v4l2_format::of(kind);
        self.ask(Request::GetFormat(&mut raw))?;
        Ok(raw)
    }

    fn allocate(&self, kind: u32, count: u32, memory: u32) -> Result<u32, Errno> {
        let mut raw = v4l2_requestbuffers::new_zeroed();
        (raw.r#type, raw.count, raw.memory) = (kind, count, memory);
        self.ask(Request::AllocateBuffers(&mut raw))?;
        Ok(raw.count)
    }

    /// Length and place of each plane.
    fn query(&self, kind: u32, index: u32) -> Result<Vec<(u32, u32)>, Errno> {
        let mut raw = buffer(kind, index, 0);
        let mut planes = planes_of(kind);
        self.ask(Request::QueryBuffer(&mut raw, &mut planes))?;
        Ok(match planes.is_empty() {
            true => vec![(raw.length, raw.m.offset())],
            false => {
                let planes = planes.iter().take(raw.length as usize);
                planes.map(|plane| (plane.length, plane.m.offset())).collect()
            }
        })
    }

    fn queue(&self, given: &Given) -> Result<(), Errno> {
        let mut raw = buffer(given.kind, given.index, given.memory);
        raw.field = uapi::V4L2_FIELD_NONE;
        raw.timestamp.tv_sec = given.seconds;
        let mut planes = Vec::new();
        if is_multi_planar(given.kind) {
            for (used, length, place) in &given.planes {
                let mut plane = v4l2_plane::new_zeroed();
                (plane.bytesused, plane.length, plane.m) = (*used, *length, *place);
                planes.push(plane);
            }
        } else {
            (raw.bytesused, raw.length, raw.m) = given.planes[0];
        }
        self.ask(Request::QueueBuffer(&mut raw, &mut planes))
    }

    fn dequeue(&self, kind: u32) -> Result<v4l2_buffer, Errno> {
        let mut raw = buffer(kind, 0, uapi::V4L2_MEMORY_MMAP);
        let mut planes = planes_of(kind);
        self.ask(Request::DequeueBuffer(&mut raw, &mut planes))?;
        if let Some(plane) = planes.first() {
            raw.bytesused = plane.bytesused;
        }
        Ok(raw)
    }

    /// The next buffer, if need be later.
    fn wait_for(&self, kind: u32) -> v4l2_buffer {
        loop {
            match self.dequeue(kind) {
                Ok(buffer) => return buffer,
                Err(Errno::AGAIN) => {}
                Err(error) => panic!("{error}"),
            }
            let ready = self.wait(true, true, PATIENCE);
            assert!(ready.readable || ready.writable, "{ready:?}");
        }
    }

    fn export(&self, kind: u32, index: u32, plane: u32) -> Result<OwnedFd, Errno> {
        let mut raw = v4l2_exportbuffer::new_zeroed();
        (raw.r#type, raw.index, raw.plane) = (kind, index, plane);
        let mut exported = None;
        self.ask(Request::ExportBuffer(&mut raw, &mut exported))?;
        Ok(exported.unwrap())
    }

    fn map(&self, length: u32, offset: u32) -> Result<Mapping, Errno> {
        let mapped = self.calls.map(self.fd.as_ref().unwrap().as_fd(), length as usize, offset);
        mapped.map_err(|error| Errno::from_io_error(&error).unwrap())
    }

    fn start(&self, kind: u32) -> Result<(), Errno> {
        self.ask(Request::StreamOn(kind as i32))
    }

    fn stop(&self, kind: u32) -> Result<(), Errno> {
        self.ask(Request::StreamOff(kind as i32))
    }

    fn wait(&self, readable: bool, writable: bool, timeout: Duration) -> Readiness {
        let interest = Interest { readable, writable, event: false };
        let fd = self.fd.as_ref().unwrap().as_fd();
        self.calls.wait(fd, interest, None, timeout).unwrap()
    }

    fn subscribe(&self, kind: u32) -> Result<(), Errno> {
        let mut raw = v4l2_event_subscription::new_zeroed();
        raw.r#type = kind;
        self.ask(Request::SubscribeEvent(&mut raw))
    }

    fn watch(&self, control: u32) -> Result<(), Errno> {
        let mut raw = v4l2_event_subscription::new_zeroed();
        (raw.r#type, raw.id) = (uapi::V4L2_EVENT_CTRL, control);
        self.ask(Request::SubscribeEvent(&mut raw))
    }

    /// Which control has changed.
    fn changed(&self) -> Result<(u32, u32), Errno> {
        let mut raw = v4l2_event::new_zeroed();
        self.ask(Request::DequeueEvent(&mut raw))?;
        assert_eq!(raw.u[0] as u32 & 1, uapi::V4L2_EVENT_CTRL_CH_VALUE);
        Ok((raw.r#type, raw.id))
    }

    fn event(&self) -> Result<u32, Errno> {
        let mut raw = v4l2_event::new_zeroed();
        self.ask(Request::DequeueEvent(&mut raw))?;
        Ok(raw.r#type)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.calls.close(self.fd.take().unwrap());
    }
}

impl Given {
    /// A mapped buffer with nothing said of its content.
    fn mapped(kind: u32, index: u32, lengths: &[u32]) -> Self {
        let plane = |length: &u32| (0, *length, v4l2_memory_place::of_offset(0));
        let planes = lengths.iter().map(plane).collect();
        Self { kind, index, memory: uapi::V4L2_MEMORY_MMAP, planes, seconds: 0 }
    }

    /// Imported memory in a single plane.
    fn imported(kind: u32, index: u32, fd: i32, used: u32, length: u32) -> Self {
        let planes = vec![(used, length, v4l2_memory_place::of_fd(fd))];
        Self { kind, index, memory: uapi::V4L2_MEMORY_DMABUF, planes, seconds: 0 }
    }

    /// With so many bytes in each plane.
    fn used(mut self, used: &[u32]) -> Self {
        self.planes.iter_mut().zip(used).for_each(|(plane, used)| plane.0 = *used);
        self
    }

    fn at(self, seconds: i64) -> Self {
        Self { seconds, ..self }
    }
}

fn is_multi_planar(kind: u32) -> bool {
    kind >= uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
}

fn planes_of(kind: u32) -> Vec<v4l2_plane> {
    let count = if is_multi_planar(kind) { uapi::VIDEO_MAX_PLANES } else { 0 };
    vec![v4l2_plane::new_zeroed(); count]
}

fn buffer(kind: u32, index: u32, memory: u32) -> v4l2_buffer {
    let mut raw = v4l2_buffer::new_zeroed();
    (raw.r#type, raw.index, raw.memory) = (kind, index, memory);
    raw
}

/// Machines may be slow. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);
