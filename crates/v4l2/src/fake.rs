//! A stand-in for the kernel, for tests: cameras and encoders that do what they are told, and are
//! strict about what they are asked.
//!
//! It answers behind the same seam as the kernel does, so that everything above runs unchanged. It
//! refuses what videobuf2, the control framework and uvcvideo refuse, in every order and state.
//! What they let pass, but is wrong all the same, is a *complaint*: tests demand that there is none.
//! Memory is real (anonymous files), and can be mapped, exported and imported. Time is not: nothing
//! sleeps, a picture comes as soon as it was told to and has a buffer.
//!
//! The module `conformance` holds it against drivers of a real kernel.

mod buffers;
pub mod camera;
#[cfg(test)]
mod conformance;
mod controls;
pub mod encoder;
mod formats;
mod h264;
mod memory;
mod node;

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno as SystemErrno,
};

use self::node::{File, FileId, Node, Unit};
use crate::{
    Device, Error, Interest, PixelFormat, Readiness, Waker,
    calls::{Calls, Request},
    sys::Mapping,
};

pub use self::{
    camera::{Camera, Mode, Picture},
    controls::Setting,
    encoder::{Encoder, Misbehaviour},
    formats::Alignment,
};
/// The system's numbers for errors.
pub use rustix::io::Errno;

/// A kernel with the devices that a test gives it. Clones are the same one.
#[derive(Clone, Default)]
pub struct Kernel {
    state: Arc<Mutex<State>>,
}

/// Requests that fail whatever they ask.
#[derive(Copy, Clone, Debug)]
pub struct Errors {
    /// How many of them are answered first.
    pub after: u32,
    /// How many fail then.
    pub times: u32,
    /// With what.
    pub error: Errno,
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The node.
    pub path: PathBuf,
    /// The request, as `VIDIOC_QBUF`.
    pub name: &'static str,
    /// What it was about, as `OUTPUT 3`.
    pub what: String,
    /// What was said.
    pub answer: Result<(), Errno>,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    files: Vec<File>,
    log: Vec<Asked>,
    complaints: Vec<String>,
}

impl Kernel {
    /// One without devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a camera at `path`, as `/dev/video0`. No file needs to be there.
    ///
    /// # Panics
    ///
    /// When it is single-planar and has formats of several pieces of memory.
    pub fn add_camera(&self, path: impl Into<PathBuf>, config: camera::Config) -> Camera {
        check(config.is_multi_planar, config.modes.iter().map(|mode| mode.pixel_format));
        let unit = Unit::Camera(Box::new(camera::State::new(config)));
        Camera::new(self.clone(), self.add(path.into(), unit))
    }

    /// Adds an encoder.
    ///
    /// # Panics
    ///
    /// When it is single-planar and has formats of several pieces of memory.
    pub fn add_encoder(&self, path: impl Into<PathBuf>, config: encoder::Config) -> Encoder {
        check(config.is_multi_planar, config.formats.iter().copied());
        let unit = Unit::Encoder(encoder::Shared::new(config));
        Encoder::new(self.clone(), self.add(path.into(), unit))
    }

    /// Opens a device, as [`Device::open`] does with the system's kernel.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Device, Error> {
        Device::open_by(path.as_ref(), Arc::new(self.clone()))
    }

    /// What was asked until now.
    pub fn log(&self) -> Vec<Asked> {
        self.lock().log.clone()
    }

    /// What was wrong and yet let pass, until now.
    pub fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// How often devices are open.
    pub fn open_files(&self) -> usize {
        self.lock().files.len()
    }

    fn add(&self, path: PathBuf, unit: Unit) -> usize {
        let mut state = self.lock();
        state.nodes.push(Node::new(path, unit));
        state.nodes.len() - 1
    }

    fn unplug(&self, node: usize) {
        let mut state = self.lock();
        state.nodes[node].is_there = false;
        state.wake(node);
    }

    fn fail(&self, node: usize, name: &'static str, errors: Errors) {
        self.lock().nodes[node].faults.push((name, errors));
    }

    fn change(&self, node: usize, change: impl FnOnce(&mut Unit)) {
        let mut state = self.lock();
        let State { nodes, files, .. } = &mut *state;
        change(&mut nodes[node].unit);
        for file in files.iter_mut().filter(|file| file.node == node) {
            nodes[node].advance(file);
        }
        state.wake(node);
    }

    /// A test that failed elsewhere is told of there.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

impl Calls for Kernel {
    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut state = self.lock();
        let State { nodes, files, .. } = &mut *state;
        let is_it = |node: &Node| node.is_there && node.path == path;
        let node = nodes.iter().rposition(is_it).ok_or(SystemErrno::NOENT)?;
        // Only its number is of interest.
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        files.push(nodes[node].open(fd.as_raw_fd(), node));
        Ok(fd)
    }

    fn close(&self, device: OwnedFd) {
        let mut state = self.lock();
        let State { nodes, files, complaints, .. } = &mut *state;
        let id = device.as_raw_fd();
        if let Some(at) = files.iter().position(|file| file.id == id) {
            let mut file = files.swap_remove(at);
            let node = &mut nodes[file.node];
            let mut said = Vec::new();
            node.close(&mut file, &mut said);
            // Nobody can stop what is gone.
            if node.is_there {
                let path = node.path.display();
                complaints.extend(said.into_iter().map(|what| format!("{path}: {what}")));
            }
        }
    }

    fn ioctl(&self, device: BorrowedFd<'_>, request: Request<'_>) -> io::Result<()> {
        let mut state = self.lock();
        let (name, what) = (request.name(), about(&request));
        let queued = queued(&request);
        let State { nodes, files, log, complaints } = &mut *state;
        let at = position(files, device)?;
        let file = &mut files[at];
        let (index, id) = (file.node, file.id);
        let node = &mut nodes[index];
        let set = match &request {
            Request::SetControl(raw, _) => Some((raw.id, node.shared_value(raw.id))),
            _ => None,
        };
        let mut said = Vec::new();
        let answer = match node.fault(name) {
            _ if !node.is_there => Err(Errno::NODEV.into()),
            Some(error) => Err(error.into()),
            None => node.ioctl(file, request, &mut said),
        };
        let path = node.path.clone();
        let is_changed = |(id, before)| (node.shared_value(id) != before).then_some(id);
        if let Some(control) = set.and_then(is_changed) {
            let others = files.iter_mut().filter(|file| file.node == index && file.id != id);
            others.for_each(|file| file.tell_of(control));
        }
        if let (Some((kind, buffer)), Ok(())) = (queued, &answer)
            && is_queued_twice(nodes, files, at, kind, buffer)
        {
            said.push("the memory is queued somewhere else, too".to_owned());
        }
        let said = said.into_iter();
        complaints.extend(said.map(|said| format!("{}: {name} {what}: {said}", path.display())));
        let code = |error: &io::Error| Errno::from_io_error(error).unwrap_or(Errno::IO);
        let answered = answer.as_ref().map_err(code).copied();
        log.push(Asked { path, name, what, answer: answered });
        state.wake(index);
        answer
    }

    fn map(&self, device: BorrowedFd<'_>, length: usize, offset: u32) -> io::Result<Mapping> {
        let state = self.lock();
        let file = &state.files[position(&state.files, device)?];
        let node = &state.nodes[file.node];
        if !node.is_there {
            return Err(Errno::NODEV.into());
        }
        let memory = node.queues(file).find_map(|buffers| buffers.mapped(offset, length));
        Mapping::new(memory.ok_or(Errno::INVAL)??.as_fd(), length, 0)
    }

    fn wait(
        &self,
        device: BorrowedFd<'_>,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Readiness> {
        let called = Waker::new()?;
        let begin = Instant::now();
        loop {
            let mut state = self.lock();
            let at = position(&state.files, device)?;
            called.reset();
            let State { nodes, files, .. } = &mut *state;
            let node = &nodes[files[at].node];
            let ready = node.readiness(&files[at], interest);
            let left = timeout.saturating_sub(begin.elapsed());
            let is_over = left.is_zero() || node.is_stalled(&files[at]);
            let is_settled = ready != Readiness::default() || is_over;
            files[at].waiting.push(called.clone());
            drop(state);
            let left = if is_settled { Duration::ZERO } else { left };
            let woken = wait_for(&called, wake, left)?;
            self.forget(device, &called);
            if is_settled || woken {
                return Ok(Readiness { woken, ..ready });
            }
        }
    }
}

impl Kernel {
    fn forget(&self, device: BorrowedFd<'_>, called: &Waker) {
        let mut state = self.lock();
        let fd = called.as_fd().as_raw_fd();
        if let Ok(at) = position(&state.files, device) {
            state.files[at].waiting.retain(|other| other.as_fd().as_raw_fd() != fd);
        }
    }
}

impl State {
    /// Has all look again who wait for something of `node`.
    fn wake(&self, node: usize) {
        let files = self.files.iter().filter(|file| file.node == node);
        files.flat_map(|file| &file.waiting).for_each(Waker::wake);
    }
}

impl Node {
    /// With what a request fails that was told to.
    fn fault(&mut self, name: &'static str) -> Option<Errno> {
        let mut error = None;
        for (_, errors) in self.faults.iter_mut().filter(|(of, _)| *of == name) {
            if errors.after > 0 {
                errors.after -= 1;
            } else if errors.times > 0 && error.is_none() {
                errors.times -= 1;
                error = Some(errors.error);
            }
        }
        error
    }
}

fn check(is_multi_planar: bool, mut formats: impl Iterator<Item = PixelFormat>) {
    let wrong = formats.find(|format| !is_multi_planar && formats::has_several_planes(*format));
    assert_eq!(wrong, None, "the single-planar API has no such format");
}

/// Waits for either; whether it was `wake`.
fn wait_for(called: &Waker, wake: Option<BorrowedFd<'_>>, timeout: Duration) -> io::Result<bool> {
    let called = called.as_fd();
    let mut fds = [
        PollFd::from_borrowed_fd(called, PollFlags::IN),
        PollFd::from_borrowed_fd(wake.unwrap_or(called), PollFlags::IN),
    ];
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(wake.is_some() && !fds[1].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

fn position(files: &[File], device: BorrowedFd<'_>) -> io::Result<usize> {
    let id: FileId = device.as_raw_fd();
    Ok(files.iter().position(|file| file.id == id).ok_or(Errno::BADF)?)
}

/// Which buffer QBUF is about.
fn queued(request: &Request<'_>) -> Option<(u32, usize)> {
    match request {
        Request::QueueBuffer(raw, _) => Some((raw.r#type, raw.index as usize)),
        _ => None,
    }
}

/// Whether the memory of a buffer that was just queued is also with somebody else.
fn is_queued_twice(nodes: &[Node], files: &[File], at: usize, kind: u32, index: usize) -> bool {
    let own = nodes[files[at].node].queues(&files[at]).find(|buffers| buffers.kind == kind);
    let Some(own) = own else { return false };
    let others = files.iter().enumerate().flat_map(|(number, file)| {
        nodes[file.node].queues(file).flat_map(move |buffers| {
            let is_own = number == at && buffers.kind == kind;
            buffers.in_use(is_own.then_some(index))
        })
    });
    let others: Vec<u64> = others.collect();
    own.memories(index).any(|memory| others.contains(&memory))
}

/// What a request is about, for people.
fn about(request: &Request<'_>) -> String {
    let direction = |kind: u32| match kind {
        crate::uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT
        | crate::uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE => "OUTPUT",
        _ => "CAPTURE",
    };
    match request {
        Request::GetFormat(raw) | Request::SetFormat(raw) | Request::TryFormat(raw) => {
            format!("{} {}", direction(raw.r#type), node::read(raw))
        }
        Request::GetParameters(raw) | Request::SetParameters(raw) => {
            direction(raw.r#type).to_owned()
        }
        Request::AllocateBuffers(raw) => {
            format!("{} {} of memory {}", direction(raw.r#type), raw.count, raw.memory)
        }
        Request::QueryBuffer(raw, _) | Request::QueueBuffer(raw, _) => {
            format!("{} {}", direction(raw.r#type), raw.index)
        }
        Request::DequeueBuffer(raw, _) => direction(raw.r#type).to_owned(),
        Request::ExportBuffer(raw, _) => format!("{} {}", direction(raw.r#type), raw.index),
        Request::StreamOn(kind) | Request::StreamOff(kind) => direction(*kind as u32).to_owned(),
        Request::EncoderCommand(raw) => raw.cmd.to_string(),
        Request::SetControl(raw, _) | Request::GetControl(raw, _) => {
            let (id, value) = (raw.id, raw.value());
            format!("{id:#x} = {value}")
        }
        _ => String::new(),
    }
}
