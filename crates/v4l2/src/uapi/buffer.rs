//! Buffers and what they are asked for with.

use std::fmt;

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// `struct v4l2_requestbuffers`: for VIDIOC_REQBUFS.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_requestbuffers {
    /// How many; the driver may give another number.
    pub count: u32,
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// V4L2_MEMORY_*.
    pub memory: u32,
    /// V4L2_BUF_CAP_*, from the driver.
    pub capabilities: u32,
    /// V4L2_MEMORY_FLAG_*.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// `struct v4l2_plane`: one piece of a multi-planar buffer.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_plane {
    /// Bytes that hold data, `data_offset` included.
    pub bytesused: u32,
    /// Bytes of the plane.
    pub length: u32,
    /// Offset for mmap, address, or file descriptor, by the kind of memory.
    pub m: v4l2_memory_place,
    /// Bytes before the data.
    pub data_offset: u32,
    /// Zero.
    pub reserved: [u32; 11],
}

/// `struct timeval` with 64-bit seconds.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct timeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds.
    pub tv_usec: i64,
}

/// `struct v4l2_timecode`: nobody sets it.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_timecode {
    /// V4L2_TC_TYPE_*.
    pub r#type: u32,
    /// V4L2_TC_FLAG_*.
    pub flags: u32,
    /// Frames, seconds, minutes, hours.
    pub counts: [u8; 4],
    /// Of the user.
    pub userbits: [u8; 4],
}

/// `struct v4l2_buffer`: for VIDIOC_QUERYBUF, QBUF, DQBUF.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_buffer {
    /// Which of the queue's buffers.
    pub index: u32,
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// Bytes that hold data; of a multi-planar buffer its planes say that.
    pub bytesused: u32,
    /// V4L2_BUF_FLAG_*.
    pub flags: u32,
    /// V4L2_FIELD_*.
    pub field: u32,
    #[doc(hidden)]
    pub _padding: u32,
    /// When its first byte was taken, or what the caller put there (by V4L2_BUF_FLAG_TIMESTAMP_*).
    pub timestamp: timeval,
    /// With V4L2_BUF_FLAG_TIMECODE.
    pub timecode: v4l2_timecode,
    /// Counts pictures, also those that were lost.
    pub sequence: u32,
    /// V4L2_MEMORY_*.
    pub memory: u32,
    /// Offset for mmap, file descriptor, or the planes' address.
    pub m: v4l2_memory_place,
    /// Bytes of the buffer; the number of planes for a multi-planar one.
    pub length: u32,
    /// Zero.
    pub reserved2: u32,
    /// Zero without the request API.
    pub request_fd: i32,
    #[cfg(target_pointer_width = "64")]
    #[doc(hidden)]
    pub _tail: u32,
}

/// The union `m` of buffers and planes: `mem_offset`, `userptr`, `planes` or `fd`.
#[repr(transparent)]
#[derive(Copy, Clone, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_memory_place(usize);

impl v4l2_memory_place {
    /// The union with `fd` in it.
    pub(crate) fn of_fd(fd: i32) -> Self {
        Self::of_word(fd as u32)
    }

    /// The union with `mem_offset` in it, which only a driver sets.
    pub fn of_offset(offset: u32) -> Self {
        Self::of_word(offset)
    }

    /// The union with `planes` in it.
    pub(crate) fn of_address(address: usize) -> Self {
        Self(address)
    }

    /// As `mem_offset`.
    pub fn offset(self) -> u32 {
        self.word()
    }

    /// As `fd`.
    pub fn fd(self) -> i32 {
        self.word() as i32
    }

    fn of_word(word: u32) -> Self {
        let mut memory = [0; size_of::<usize>()];
        memory[..4].copy_from_slice(&word.to_ne_bytes());
        Self(usize::from_ne_bytes(memory))
    }

    fn word(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d])
    }
}

impl fmt::Debug for v4l2_memory_place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// `struct v4l2_exportbuffer`: for VIDIOC_EXPBUF.
#[repr(C)]
#[derive(Copy, Clone, Debug, FromBytes, Immutable, KnownLayout)]
pub struct v4l2_exportbuffer {
    /// V4L2_BUF_TYPE_*.
    pub r#type: u32,
    /// Which buffer.
    pub index: u32,
    /// Which plane of it.
    pub plane: u32,
    /// O_CLOEXEC and the access mode.
    pub flags: u32,
    /// From the driver.
    pub fd: i32,
    /// Zero.
    pub reserved: [u32; 11],
}
