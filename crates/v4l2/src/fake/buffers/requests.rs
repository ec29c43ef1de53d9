//! What the requests that are about buffers do.

use std::{io, os::fd::OwnedFd};

use rustix::io::Errno;

use super::{Buffer, Buffers, Plane, State};
use crate::{
    fake::memory::Memory,
    uapi::{
        self, timeval, v4l2_buffer, v4l2_exportbuffer, v4l2_memory_place, v4l2_plane,
        v4l2_requestbuffers,
    },
};

impl Buffers {
    /// VIDIOC_REQBUFS, with room of `sizes` in each buffer.
    pub(in crate::fake) fn allocate(
        &mut self,
        raw: &mut v4l2_requestbuffers,
        sizes: &[u32],
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        raw.capabilities = uapi::V4L2_BUF_CAP_SUPPORTS_MMAP;
        if self.imports {
            raw.capabilities |= uapi::V4L2_BUF_CAP_SUPPORTS_DMABUF;
        }
        let is_known = match raw.memory {
            uapi::V4L2_MEMORY_MMAP => true,
            uapi::V4L2_MEMORY_DMABUF => self.imports,
            _ => false,
        };
        if raw.r#type != self.kind || !is_known {
            return Err(Errno::INVAL.into());
        }
        if self.is_streaming {
            return Err(Errno::BUSY.into());
        }
        if self.memory == uapi::V4L2_MEMORY_MMAP {
            let memories = self.buffers.iter().flat_map(|buffer| &buffer.planes);
            for memory in memories.filter_map(|plane| plane.memory.as_ref()) {
                if memory.is_mapped()? {
                    complaints.push("buffers are given up that are still mapped".to_owned());
                    if !self.orphans {
                        return Err(Errno::BUSY.into());
                    }
                    break;
                }
            }
        }
        self.cancel();
        self.buffers.clear();
        self.memory = 0;
        if raw.count == 0 {
            return Ok(());
        }
        raw.count = raw.count.clamp(self.least.max(1), MOST);
        self.memory = raw.memory;
        for index in 0..raw.count {
            let planes = sizes.iter().enumerate().map(|(plane, size)| {
                let memory = match raw.memory {
                    uapi::V4L2_MEMORY_MMAP => Some(Memory::new(*size)?),
                    _ => None,
                };
                let length = memory.as_ref().map_or(0, |_| *size);
                Ok(Plane {
                    least: *size,
                    memory,
                    length,
                    used: 0,
                    start: 0,
                    offset: self.base() + (index * PLANES + plane as u32) * PAGE,
                })
            });
            self.buffers.push(Buffer {
                state: State::Dequeued,
                planes: planes.collect::<io::Result<_>>()?,
                timestamp: timeval::default(),
                flags: 0,
                sequence: 0,
            });
        }
        Ok(())
    }

    /// VIDIOC_QUERYBUF.
    pub(in crate::fake) fn query(
        &self,
        raw: &mut v4l2_buffer,
        planes: &mut [v4l2_plane],
    ) -> io::Result<()> {
        let buffer = self.find(raw)?;
        self.check_planes(planes, buffer)?;
        self.describe(raw.index as usize, raw, planes);
        Ok(())
    }

    /// VIDIOC_QBUF.
    pub(in crate::fake) fn queue(
        &mut self,
        raw: &v4l2_buffer,
        planes: &[v4l2_plane],
        complaints: &mut Vec<String>,
    ) -> io::Result<()> {
        let buffer = self.find(raw)?;
        if raw.memory != self.memory {
            return Err(Errno::INVAL.into());
        }
        self.check_planes(planes, buffer)?;
        let is_output = self.is_output();
        let is_imported = self.memory == uapi::V4L2_MEMORY_DMABUF;
        let mut given = Vec::new();
        for (number, plane) in buffer.planes.iter().enumerate() {
            let (used, length, place, start) = match planes.get(number) {
                Some(raw) => (raw.bytesused, raw.length, raw.m, raw.data_offset),
                None => (raw.bytesused, raw.length, raw.m, 0),
            };
            if length == 0 {
                complaints.push("QBUF does not say how long a buffer is".to_owned());
            }
            if is_output && used == 0 {
                complaints.push("QBUF of OUTPUT does not say how many bytes are used".to_owned());
            }
            // What the data are held against: for imported memory of the multi-planar kind it is
            // the caller's word.
            let bound = match planes.is_empty() {
                _ if !is_imported => plane.length,
                true => plane.length.max(plane.least),
                false => length,
            };
            let is_wrong = used > bound || (start > 0 && start >= used);
            if is_output && is_wrong {
                return Err(Errno::INVAL.into());
            }
            given.push((used, length, place, start));
        }
        if is_output && raw.field == uapi::V4L2_FIELD_ANY {
            complaints.push("QBUF of OUTPUT does not say which fields there are".to_owned());
        }
        if buffer.state != State::Dequeued {
            return Err(Errno::INVAL.into());
        }
        let mut imported = Vec::new();
        for (plane, (used, length, place, start)) in buffer.planes.iter().zip(&given) {
            let (memory, length) = if is_imported {
                let memory = Memory::import(place.fd())?;
                let length = if *length == 0 { memory.length } else { *length };
                if length < plane.least {
                    return Err(Errno::INVAL.into());
                }
                if memory.length < length {
                    return Err(Errno::FAULT.into());
                }
                (Some(memory), length)
            } else {
                (None, plane.length)
            };
            let used = if is_output && *used == 0 { length } else { *used };
            imported.push((memory, length, used, *start));
        }
        let index = raw.index as usize;
        let buffer = &mut self.buffers[index];
        for (plane, (memory, length, used, start)) in buffer.planes.iter_mut().zip(imported) {
            if let Some(memory) = memory {
                plane.memory = Some(memory);
            }
            plane.length = length;
            (plane.used, plane.start) = if is_output { (used, start) } else { (0, 0) };
        }
        buffer.state = State::Queued;
        buffer.timestamp = if is_output { raw.timestamp } else { timeval::default() };
        buffer.flags = 0;
        if !is_output {
            // The driver may write there from now on, and so it does: nobody should look.
            for plane in &buffer.planes {
                if let Some(memory) = &plane.memory {
                    memory.write(0, &vec![POISON; plane.length as usize])?;
                }
            }
        }
        self.waiting.push_back(index);
        self.is_untouched = false;
        self.begin();
        Ok(())
    }

    /// VIDIOC_DQBUF.
    pub(in crate::fake) fn dequeue(
        &mut self,
        raw: &mut v4l2_buffer,
        planes: &mut [v4l2_plane],
    ) -> io::Result<()> {
        if raw.r#type != self.kind || !self.is_streaming {
            return Err(Errno::INVAL.into());
        }
        if self.last_given {
            return Err(Errno::PIPE.into());
        }
        let index = *self.done.front().ok_or(Errno::AGAIN)?;
        self.check_planes(planes, &self.buffers[index])?;
        self.done.pop_front();
        self.describe(index, raw, planes);
        self.buffers[index].state = State::Dequeued;
        if !self.is_output() && raw.flags & uapi::V4L2_BUF_FLAG_LAST != 0 {
            self.last_given = true;
        }
        Ok(())
    }

    /// VIDIOC_EXPBUF.
    pub(in crate::fake) fn export(&self, raw: &v4l2_exportbuffer) -> io::Result<OwnedFd> {
        if self.memory != uapi::V4L2_MEMORY_MMAP || raw.r#type != self.kind {
            return Err(Errno::INVAL.into());
        }
        let buffer = self.buffers.get(raw.index as usize).ok_or(Errno::INVAL)?;
        let plane = buffer.planes.get(raw.plane as usize).ok_or(Errno::INVAL)?;
        plane.memory.as_ref().ok_or(Errno::INVAL)?.export()
    }

    /// What mmap(2) at `offset` maps; `None` when it is not one of these buffers.
    pub(in crate::fake) fn mapped(
        &self,
        offset: u32,
        length: usize,
    ) -> Option<io::Result<&Memory>> {
        if self.memory != uapi::V4L2_MEMORY_MMAP {
            return None;
        }
        let mut planes = self.buffers.iter().flat_map(|buffer| &buffer.planes);
        let plane = planes.find(|plane| plane.offset == offset)?;
        let memory = plane.memory.as_ref()?;
        let fits = length <= plane.length.next_multiple_of(PAGE) as usize;
        Some(if fits { Ok(memory) } else { Err(Errno::INVAL.into()) })
    }

    /// VIDIOC_STREAMON.
    pub(in crate::fake) fn start(&mut self) -> io::Result<()> {
        if self.is_streaming {
            return Ok(());
        }
        if self.buffers.is_empty() || (self.buffers.len() as u32) < self.least {
            return Err(Errno::INVAL.into());
        }
        self.is_streaming = true;
        self.begin();
        Ok(())
    }

    fn find(&self, raw: &v4l2_buffer) -> io::Result<&Buffer> {
        if raw.r#type != self.kind {
            return Err(Errno::INVAL.into());
        }
        Ok(self.buffers.get(raw.index as usize).ok_or(Errno::INVAL)?)
    }

    fn check_planes(&self, planes: &[v4l2_plane], buffer: &Buffer) -> io::Result<()> {
        let is_right = match self.is_multi_planar() {
            true => planes.len() >= buffer.planes.len() && planes.len() <= uapi::VIDEO_MAX_PLANES,
            false => planes.is_empty(),
        };
        if is_right { Ok(()) } else { Err(Errno::INVAL.into()) }
    }

    fn describe(&self, index: usize, raw: &mut v4l2_buffer, planes: &mut [v4l2_plane]) {
        let buffer = &self.buffers[index];
        raw.index = index as u32;
        raw.r#type = self.kind;
        raw.memory = self.memory;
        raw.field = uapi::V4L2_FIELD_NONE;
        raw.timestamp = buffer.timestamp;
        raw.sequence = buffer.sequence;
        raw.flags = buffer.flags | self.timestamps;
        let place = |plane: &Plane| match self.memory {
            uapi::V4L2_MEMORY_MMAP => v4l2_memory_place::of_offset(plane.offset),
            // Whose descriptor it was is the caller's to know.
            _ => v4l2_memory_place::of_offset(0),
        };
        for (raw, plane) in planes.iter_mut().zip(&buffer.planes) {
            (raw.bytesused, raw.length) = (plane.used, plane.length);
            (raw.m, raw.data_offset) = (place(plane), plane.start);
        }
        if self.is_multi_planar() {
            (raw.bytesused, raw.length) = (0, buffer.planes.len() as u32);
        } else if let Some(plane) = buffer.planes.first() {
            (raw.bytesused, raw.length, raw.m) = (plane.used, plane.length, place(plane));
        }
    }

    /// Where its places for mmap begin: two queues of a device have different ones.
    fn base(&self) -> u32 {
        if self.is_output() { 0 } else { 1 << 30 }
    }
}

/// VIDEO_MAX_FRAME.
const MOST: u32 = 32;
const PLANES: u32 = uapi::VIDEO_MAX_PLANES as u32;
const PAGE: u32 = 4096;
/// What nobody wrote.
const POISON: u8 = 0xa5;
