//! A queue of buffers, as the kernel's videobuf2 keeps it: whose each buffer is, and what may be
//! asked of it when.

mod requests;

use std::{collections::VecDeque, io};

use rustix::io::Errno;

use super::memory::Memory;
use crate::uapi::{self, timeval};

/// Buffers of one direction.
#[derive(Debug)]
pub(super) struct Buffers {
    /// V4L2_BUF_TYPE_*.
    pub(super) kind: u32,
    /// V4L2_BUF_FLAG_TIMESTAMP_*.
    pub(super) timestamps: u32,
    /// Buffers that must be queued before the stream can start.
    pub(super) least: u32,
    /// Whether DMABUF is taken.
    pub(super) imports: bool,
    /// Whether buffers that are still mapped or exported can be given up.
    pub(super) orphans: bool,
    /// V4L2_MEMORY_*.
    memory: u32,
    buffers: Vec<Buffer>,
    /// Queued and not done.
    pub(super) waiting: VecDeque<usize>,
    done: VecDeque<usize>,
    pub(super) is_streaming: bool,
    has_begun: bool,
    /// DQBUF gave the last one: EPIPE from then on.
    last_given: bool,
    /// Nothing was queued since the stream was stopped: poll(2) reports an error.
    is_untouched: bool,
}

#[derive(Debug)]
struct Buffer {
    state: State,
    planes: Vec<Plane>,
    timestamp: timeval,
    flags: u32,
    sequence: u32,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Dequeued,
    Queued,
    Done,
}

#[derive(Debug)]
struct Plane {
    /// Bytes that the format asks for.
    least: u32,
    /// What it has for itself, or what was queued last.
    memory: Option<Memory>,
    length: u32,
    used: u32,
    start: u32,
    /// For mmap.
    offset: u32,
}

/// What is said of a buffer that is done.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Done {
    pub(super) timestamp: timeval,
    pub(super) sequence: u32,
    /// V4L2_BUF_FLAG_* but for the timestamp's.
    pub(super) flags: u32,
}

impl Buffers {
    pub(super) fn new(kind: u32, timestamps: u32, least: u32, imports: bool) -> Self {
        Self {
            kind,
            timestamps,
            least,
            imports,
            orphans: true,
            memory: 0,
            buffers: Vec::new(),
            waiting: VecDeque::new(),
            done: VecDeque::new(),
            is_streaming: false,
            has_begun: false,
            last_given: false,
            is_untouched: true,
        }
    }

    pub(super) fn is_output(&self) -> bool {
        matches!(
            self.kind,
            uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT | uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
        )
    }

    fn is_multi_planar(&self) -> bool {
        matches!(
            self.kind,
            uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE | uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
        )
    }

    /// Whether there are any.
    pub(super) fn is_busy(&self) -> bool {
        !self.buffers.is_empty()
    }

    /// Whether it streams, and once had as many buffers queued as it needs.
    pub(super) fn is_running(&self) -> bool {
        self.has_begun
    }

    fn begin(&mut self) {
        self.has_begun |= self.is_streaming && self.waiting.len() as u32 >= self.least;
    }

    /// Whether a buffer is done.
    pub(super) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Whether DQBUF would say that the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.last_given && self.done.is_empty()
    }

    /// Whether any buffer is on the driver's side.
    pub(super) fn has_queued(&self) -> bool {
        !self.waiting.is_empty() || !self.done.is_empty()
    }

    /// Whether poll(2) has nothing to wait for as long as nothing was queued.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched && !self.is_output()
    }

    /// VIDIOC_STREAMOFF: all buffers are back.
    pub(super) fn cancel(&mut self) {
        self.is_streaming = false;
        self.has_begun = false;
        self.last_given = false;
        self.is_untouched = true;
        self.waiting.clear();
        self.done.clear();
        self.buffers.iter_mut().for_each(|buffer| buffer.state = State::Dequeued);
    }

    /// As [`Buffers::cancel`], and without buffers.
    pub(super) fn release(&mut self) {
        self.cancel();
        self.buffers.clear();
        self.memory = 0;
    }

    /// DQBUF of a stream that had ended gives buffers again.
    pub(super) fn forget_end(&mut self) {
        self.last_given = false;
    }

    /// The bytes in use of each plane of a buffer.
    pub(super) fn content(&self, index: usize) -> io::Result<Vec<Vec<u8>>> {
        let planes = self.buffers[index].planes.iter();
        let read = |plane: &Plane| {
            let memory = plane.memory.as_ref().ok_or(Errno::FAULT)?;
            memory.read(plane.start, plane.used.saturating_sub(plane.start))
        };
        planes.map(read).collect()
    }

    pub(super) fn timestamp(&self, index: usize) -> timeval {
        self.buffers[index].timestamp
    }

    /// Bytes that fit into the first plane of a buffer.
    pub(super) fn room(&self, index: usize) -> u32 {
        self.buffers[index].planes.first().map_or(0, |plane| plane.length)
    }

    /// Which memory a buffer has.
    pub(super) fn memories(&self, index: usize) -> impl Iterator<Item = u64> {
        let planes = self.buffers.get(index).into_iter().flat_map(|buffer| &buffer.planes);
        planes.filter_map(|plane| Some(plane.memory.as_ref()?.identity))
    }

    /// Which memory the buffers have that were queued and not dequeued, but for one of them.
    pub(super) fn in_use(&self, but: Option<usize>) -> impl Iterator<Item = u64> {
        let buffers = self.buffers.iter().enumerate();
        let queued = buffers
            .filter(move |(index, buffer)| buffer.state != State::Dequeued && Some(*index) != but);
        queued.flat_map(|(index, _)| self.memories(index))
    }

    /// Fills the planes of a waiting buffer, as far as `content` goes and fits, and gives it back.
    pub(super) fn fill(&mut self, index: usize, content: &[Vec<u8>], done: Done) -> io::Result<()> {
        let planes = &mut self.buffers[index].planes;
        for (number, plane) in planes.iter_mut().enumerate() {
            let bytes = content.get(number).map_or(&[][..], |bytes| &bytes[..]);
            let bytes = &bytes[..bytes.len().min(plane.length as usize)];
            if let Some(memory) = &plane.memory {
                memory.write(0, bytes)?;
            }
            plane.used = bytes.len() as u32;
        }
        self.give_back(index, done);
        Ok(())
    }

    /// Gives a waiting buffer back as it is.
    pub(super) fn give_back(&mut self, index: usize, done: Done) {
        self.waiting.retain(|waiting| *waiting != index);
        let buffer = &mut self.buffers[index];
        buffer.state = State::Done;
        buffer.sequence = done.sequence;
        buffer.flags = done.flags;
        if !matches!(
            self.kind,
            uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT | uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
        ) {
            buffer.timestamp = done.timestamp;
        }
        self.done.push_back(index);
    }
}
