//! A buffer on its way to the driver, and as it comes back.

use std::{ops::Range, os::fd::BorrowedFd, time::Duration};

use crate::uapi::{self, VIDEO_MAX_PLANES, timeval, v4l2_buffer, v4l2_plane};

/// What is queued with a buffer.
#[derive(Copy, Clone, Debug, Default)]
pub struct Content<'a> {
    /// Bytes of data in each plane; of no meaning for capture.
    pub used: &'a [u32],
    /// What an encoder copies to the buffer it makes of this one; whole microseconds.
    pub timestamp: Duration,
    /// For [`crate::Memory::Shared`]: the memory of each plane, and its length in bytes.
    pub shared: &'a [(BorrowedFd<'a>, u32)],
}

/// A buffer that came back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Dequeued {
    /// Which one.
    pub index: usize,
    /// Where the data are in each plane, as start and end.
    spans: [(u32, u32); VIDEO_MAX_PLANES],
    /// When the picture was taken, or what was queued with it: by [`Dequeued::clock`].
    pub timestamp: Duration,
    /// What the timestamp is.
    pub clock: Clock,
    /// Counts pictures; a gap is a picture lost.
    pub sequence: u32,
    /// What the driver says it is.
    pub picture: Option<Picture>,
    /// The data are damaged or incomplete.
    pub is_damaged: bool,
    /// Nothing comes after it until the encoder is started again.
    pub is_last: bool,
}

/// Where a timestamp comes from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CLOCK_MONOTONIC, when the picture began or ended.
    Monotonic,
    /// Copied from the buffer that this one was made of.
    Copied,
    /// The driver does not say.
    Unknown,
}

/// What kind of picture a driver says it is. Not to be relied on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Decodable by itself.
    Key,
    /// Decodable after those before it.
    Predicted,
    /// Decodable after one that follows it.
    Bidirectional,
}

/// What asking for a buffer gave.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A buffer.
    Buffer(Dequeued),
    /// None is done yet.
    NotYet,
    /// None will come: the last one was given.
    Drained,
}

impl Dequeued {
    pub(super) fn of(raw: &v4l2_buffer, planes: &[v4l2_plane]) -> Self {
        let mut spans = [(0, raw.bytesused); VIDEO_MAX_PLANES];
        for (span, plane) in spans.iter_mut().zip(planes.iter()) {
            *span = (plane.data_offset.min(plane.bytesused), plane.bytesused);
        }
        let flag = |flag| raw.flags & flag != 0;
        Self {
            index: raw.index as usize,
            spans,
            timestamp: duration(raw.timestamp),
            clock: match raw.flags & uapi::V4L2_BUF_FLAG_TIMESTAMP_MASK {
                uapi::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC => Clock::Monotonic,
                uapi::V4L2_BUF_FLAG_TIMESTAMP_COPY => Clock::Copied,
                _ => Clock::Unknown,
            },
            sequence: raw.sequence,
            picture: match () {
                () if flag(uapi::V4L2_BUF_FLAG_KEYFRAME) => Some(Picture::Key),
                () if flag(uapi::V4L2_BUF_FLAG_PFRAME) => Some(Picture::Predicted),
                () if flag(uapi::V4L2_BUF_FLAG_BFRAME) => Some(Picture::Bidirectional),
                () => None,
            },
            is_damaged: flag(uapi::V4L2_BUF_FLAG_ERROR),
            is_last: flag(uapi::V4L2_BUF_FLAG_LAST),
        }
    }

    /// Which bytes of a plane are its data.
    pub fn span(&self, plane: usize) -> Option<Range<usize>> {
        let (start, end) = *self.spans.get(plane)?;
        Some(start as usize..end as usize)
    }
}

/// Drivers of the copying kind give back what they were given; no other gives times before the
/// machine was started.
fn duration(time: timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros))
}
