//! A queue of buffers: memory that goes to the driver and comes back.
//!
//! A buffer belongs either to the driver ("queued") or to this side; only on this side can its
//! bytes be seen. Memory is the driver's own, mapped here, or another device's, passed as a
//! DMABUF file descriptor.

mod buffer;

use std::{
    fmt,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::io::Errno;
use zerocopy::FromZeros;

use crate::{
    calls::Request,
    device::{Device, Direction, QueueKind, is_errno},
    error::Error,
    sys::Mapping,
    uapi::{
        self, VIDEO_MAX_PLANES, timeval, v4l2_buffer, v4l2_exportbuffer, v4l2_memory_place,
        v4l2_plane, v4l2_requestbuffers,
    },
};

pub use self::buffer::{Clock, Content, Dequeued, Next, Picture};

/// Buffers of one queue of a device. Dropping it stops the stream and gives the buffers up.
pub struct Queue {
    device: Device,
    kind: QueueKind,
    memory: Memory,
    planes: usize,
    slots: Vec<Slot>,
    is_streaming: bool,
}

/// Whose memory the buffers are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The driver's, mapped here.
    Mapped,
    /// Another's, as DMABUF.
    Shared,
}

struct Slot {
    is_queued: bool,
    /// Another device may write into it: its bytes are not seen here any more.
    is_exported: bool,
    /// Empty for shared memory.
    mappings: Vec<Mapping>,
}

impl Queue {
    /// Has the driver allocate about `count` buffers and maps them.
    ///
    /// # Errors
    ///
    /// When the driver refuses, as while another program has buffers (EBUSY).
    pub fn allocate(device: &Device, kind: QueueKind, count: u32) -> Result<Self, Error> {
        let mut queue = Self::request(device, kind, Memory::Mapped, count)?;
        for index in 0..queue.slots.len() {
            let mappings = queue.map(index)?;
            queue.slots[index].mappings = mappings;
        }
        Ok(queue)
    }

    /// Prepares to queue up to about `count` buffers of others' memory at a time.
    ///
    /// # Errors
    ///
    /// When the driver refuses, as one that cannot import memory does (EINVAL).
    pub fn import(device: &Device, kind: QueueKind, count: u32) -> Result<Self, Error> {
        Self::request(device, kind, Memory::Shared, count)
    }

    /// How many buffers there are.
    #[allow(clippy::len_without_is_empty, reason = "a queue has at least one")]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Pieces of memory of each buffer.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// The device it is of.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A buffer that is not queued, if there is one.
    pub fn free(&self) -> Option<usize> {
        self.slots.iter().position(|slot| !slot.is_queued)
    }

    /// How many buffers the driver has.
    pub fn queued(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_queued).count()
    }

    /// The bytes of a plane of a buffer, all of them; `None` while the driver has it, and when it
    /// is not mapped or was exported.
    pub fn bytes(&self, index: usize, plane: usize) -> Option<&[u8]> {
        let slot = self.slots.get(index).filter(|slot| slot.is_ours())?;
        Some(slot.mappings.get(plane)?.bytes())
    }

    /// The same, to write.
    pub fn bytes_mut(&mut self, index: usize, plane: usize) -> Option<&mut [u8]> {
        let slot = self.slots.get_mut(index).filter(|slot| slot.is_ours())?;
        Some(slot.mappings.get_mut(plane)?.bytes_mut())
    }

    /// The data that came back in a plane of `buffer`.
    pub fn data(&self, buffer: &Dequeued, plane: usize) -> Option<&[u8]> {
        self.bytes(buffer.index, plane)?.get(buffer.span(plane)?)
    }

    /// Gives a buffer to the driver.
    ///
    /// # Errors
    ///
    /// When the driver refuses it; the buffer stays here.
    ///
    /// # Panics
    ///
    /// When there is no such buffer, or the driver has it already, or of shared memory not every
    /// plane is given.
    pub fn enqueue(&mut self, index: usize, content: Content<'_>) -> Result<(), Error> {
        assert!(!self.slots[index].is_queued, "buffer {index} is queued already");
        let is_shared = self.memory == Memory::Shared;
        assert!(!is_shared || content.shared.len() == self.planes, "{} planes", self.planes);
        let (mut raw, mut planes) = self.raw(index);
        // Times before the epoch or beyond its end have nobody sent.
        raw.timestamp = timeval {
            tv_sec: i64::try_from(content.timestamp.as_secs()).unwrap_or(i64::MAX),
            tv_usec: content.timestamp.subsec_micros().into(),
        };
        if self.kind.direction == Direction::Output {
            raw.field = uapi::V4L2_FIELD_NONE;
        }
        for (number, plane) in planes[..self.planes].iter_mut().enumerate() {
            plane.bytesused = content.used.get(number).copied().unwrap_or(0);
            if let Some((memory, length)) = content.shared.get(number) {
                plane.m = v4l2_memory_place::of_fd(memory.as_raw_fd());
                plane.length = *length;
            } else if let Some(mapping) = self.slots[index].mappings.get(number) {
                plane.length = mapping.bytes().len() as u32;
            }
        }
        let planes = if self.kind.is_multi_planar {
            &mut planes[..self.planes]
        } else {
            (raw.bytesused, raw.length, raw.m) =
                (planes[0].bytesused, planes[0].length, planes[0].m);
            &mut []
        };
        let asked = self.device.node().ioctl(Request::QueueBuffer(&mut raw, planes));
        self.device.done(asked, || format!("VIDIOC_QBUF {} {index}", self.kind))?;
        self.slots[index].is_queued = true;
        Ok(())
    }

    /// Takes back a buffer that the driver is done with.
    ///
    /// # Errors
    ///
    /// When the driver fails, or gives what it does not have.
    pub fn dequeue(&mut self) -> Result<Next, Error> {
        let (mut raw, mut planes) = self.raw(0);
        let planes = if self.kind.is_multi_planar { &mut planes[..self.planes] } else { &mut [] };
        match self.device.node().ioctl(Request::DequeueBuffer(&mut raw, planes)) {
            Ok(()) => {}
            Err(error) if is_errno(&error, &[Errno::AGAIN]) => return Ok(Next::NotYet),
            Err(error) if is_errno(&error, &[Errno::PIPE]) => return Ok(Next::Drained),
            Err(error) => {
                return Err(self.device.error(format!("VIDIOC_DQBUF {}", self.kind), error));
            }
        }
        let index = raw.index as usize;
        match self.slots.get_mut(index) {
            Some(slot) if slot.is_queued => slot.is_queued = false,
            _ => {
                let wrong = std::io::Error::other(format!("buffer {index} was not queued"));
                return Err(self.device.error(format!("VIDIOC_DQBUF {}", self.kind), wrong));
            }
        }
        Ok(Next::Buffer(Dequeued::of(&raw, planes)))
    }

    /// Makes a plane of a buffer available to other devices. Its bytes are not seen here from then
    /// on.
    ///
    /// # Errors
    ///
    /// When the driver cannot.
    ///
    /// # Panics
    ///
    /// When there is no such buffer.
    pub fn export(&mut self, index: usize, plane: usize) -> Result<OwnedFd, Error> {
        let mut raw = v4l2_exportbuffer::new_zeroed();
        raw.r#type = self.kind.buffer_type();
        raw.index = index as u32;
        raw.plane = plane as u32;
        let mut exported = None;
        let asked = self.device.node().ioctl(Request::ExportBuffer(&mut raw, &mut exported));
        self.device.done(asked, || format!("VIDIOC_EXPBUF {} {index}", self.kind))?;
        self.slots[index].is_exported = true;
        let nothing = || std::io::Error::other("no file descriptor came");
        exported.ok_or_else(|| self.device.error("VIDIOC_EXPBUF".to_owned(), nothing()))
    }

    /// Starts the stream.
    ///
    /// # Errors
    ///
    /// When the driver fails, as for want of bandwidth on the bus (ENOSPC).
    pub fn start(&mut self) -> Result<(), Error> {
        let kind = self.kind.buffer_type() as i32;
        let asked = self.device.node().ioctl(Request::StreamOn(kind));
        self.device.done(asked, || format!("VIDIOC_STREAMON {}", self.kind))?;
        self.is_streaming = true;
        Ok(())
    }

    /// Stops the stream; all buffers are back.
    ///
    /// # Errors
    ///
    /// When the driver fails.
    pub fn stop(&mut self) -> Result<(), Error> {
        let kind = self.kind.buffer_type() as i32;
        self.is_streaming = false;
        let asked = self.device.node().ioctl(Request::StreamOff(kind));
        self.device.done(asked, || format!("VIDIOC_STREAMOFF {}", self.kind))?;
        self.slots.iter_mut().for_each(|slot| slot.is_queued = false);
        Ok(())
    }

    fn request(
        device: &Device,
        kind: QueueKind,
        memory: Memory,
        count: u32,
    ) -> Result<Self, Error> {
        let planes = device.format(kind)?.planes.len().clamp(1, VIDEO_MAX_PLANES);
        // Two would have the same buffers, and each take those the other gave to the driver for its
        // own.
        let taken = device.node().take_queue(kind.buffer_type());
        device.done(taken, || format!("a second queue for {kind}"))?;
        let queue = Self {
            device: device.clone(),
            kind,
            memory,
            planes,
            slots: Vec::new(),
            is_streaming: false,
        };
        queue.fill(count)
    }

    fn fill(mut self, count: u32) -> Result<Self, Error> {
        let Self { device, kind, memory, .. } = &self;
        let (kind, memory) = (*kind, *memory);
        let mut raw = request_buffers(kind, memory, count);
        let asked = device.node().ioctl(Request::AllocateBuffers(&mut raw));
        device.done(asked, || format!("VIDIOC_REQBUFS {kind} {count} {memory:?}"))?;
        if raw.count == 0 {
            let none = std::io::Error::other("the driver gave no buffers");
            return Err(device.error(format!("VIDIOC_REQBUFS {kind} {count}"), none));
        }
        let slot = || Slot { is_queued: false, is_exported: false, mappings: Vec::new() };
        self.slots = (0..raw.count).map(|_| slot()).collect();
        Ok(self)
    }

    fn map(&self, index: usize) -> Result<Vec<Mapping>, Error> {
        let (mut raw, mut planes) = self.raw(index);
        let planes = if self.kind.is_multi_planar { &mut planes[..self.planes] } else { &mut [] };
        let asked = self.device.node().ioctl(Request::QueryBuffer(&mut raw, planes));
        self.device.done(asked, || format!("VIDIOC_QUERYBUF {} {index}", self.kind))?;
        let places: Vec<(u32, u32)> = if self.kind.is_multi_planar {
            planes.iter().map(|plane| (plane.length, plane.m.offset())).collect()
        } else {
            vec![(raw.length, raw.m.offset())]
        };
        let map = |(length, offset): (u32, u32)| {
            let mapped = self.device.node().map(length as usize, offset);
            self.device.done(mapped, || format!("mmap of {} buffer {index}", self.kind))
        };
        places.into_iter().map(map).collect()
    }

    fn raw(&self, index: usize) -> (v4l2_buffer, [v4l2_plane; VIDEO_MAX_PLANES]) {
        let mut raw = v4l2_buffer::new_zeroed();
        raw.index = index as u32;
        raw.r#type = self.kind.buffer_type();
        raw.memory = self.memory.number();
        (raw, [v4l2_plane::new_zeroed(); VIDEO_MAX_PLANES])
    }
}

impl Slot {
    fn is_ours(&self) -> bool {
        !self.is_queued && !self.is_exported
    }
}

impl Memory {
    const fn number(self) -> u32 {
        match self {
            Self::Mapped => uapi::V4L2_MEMORY_MMAP,
            Self::Shared => uapi::V4L2_MEMORY_DMABUF,
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // A device that is gone refuses all of it, and has given everything up by itself.
        if self.is_streaming {
            let _ = self.stop();
        }
        // Buffers that are mapped cannot be given up.
        self.slots.clear();
        let mut raw = request_buffers(self.kind, self.memory, 0);
        let _ = self.device.node().ioctl(Request::AllocateBuffers(&mut raw));
        self.device.node().leave_queue(self.kind.buffer_type());
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("kind", &self.kind)
            .field("memory", &self.memory)
            .field("buffers", &self.slots.len())
            .finish_non_exhaustive()
    }
}

fn request_buffers(kind: QueueKind, memory: Memory, count: u32) -> v4l2_requestbuffers {
    let mut raw = v4l2_requestbuffers::new_zeroed();
    raw.count = count;
    raw.r#type = kind.buffer_type();
    raw.memory = memory.number();
    raw
}
