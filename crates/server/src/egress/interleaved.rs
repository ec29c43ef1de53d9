//! What a connection still has to write: replies and RTCP, and the picture on its way.
//!
//! ```text
//!  picture on channel 0, as it lies in memory:   [$ 0 len packet][$ 0 len packet][$ 0 len packet]
//!                                                          ▲ written so far
//!  next write:                                   rest of packet │ urgent bytes │ rest of picture
//! ```
//!
//! A `$` frame once begun is finished (RFC 2326 section 10.12); replies go between frames, ahead of
//! media. One vectored write carries all of it, and nothing is copied per viewer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, BytesMut};
use rtsp_proto::wire::interleaved::{self, HEADER_LEN, MAGIC};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

use crate::live::Picture;

/// Bytes waiting for one RTSP connection.
#[derive(Debug, Default)]
pub struct Outbox {
    urgent: BytesMut,
    picture: Option<Interleaved>,
}

#[derive(Debug)]
struct Interleaved {
    picture: Arc<Picture>,
    /// `$` and the channel: the first two bytes of every frame.
    prefix: [u8; 2],
    /// Bytes of the interleaved image already written.
    written: usize,
}

impl Outbox {
    /// Replies are appended here.
    pub fn urgent(&mut self) -> &mut BytesMut {
        &mut self.urgent
    }

    /// Appends one `$` frame, ahead of the packets of the picture under way.
    pub fn push_frame(&mut self, channel: u8, payload: &[u8]) {
        let Ok(length) = u16::try_from(payload.len()) else { return };
        self.urgent.reserve(HEADER_LEN + payload.len());
        self.urgent.put_slice(&interleaved::header(channel, length));
        self.urgent.put_slice(payload);
    }

    /// Whether a picture can be given to [`Outbox::start_picture`].
    pub fn wants_picture(&self) -> bool {
        self.picture.is_none()
    }

    /// Writes `picture` on `channel` next. The one before must be done.
    pub fn start_picture(&mut self, picture: Arc<Picture>, channel: u8) {
        debug_assert!(self.picture.is_none(), "the picture before is finished first");
        self.picture = Some(Interleaved { picture, prefix: [MAGIC, channel], written: 0 });
    }

    /// Whether a picture is on its way on this channel.
    pub fn carries(&self, channel: u8) -> bool {
        self.picture.as_ref().is_some_and(|current| current.prefix[1] == channel)
    }

    /// Gives up the picture under way, but for the frame already begun.
    pub fn abandon_picture(&mut self) {
        let Some(current) = self.picture.take() else { return };
        let rest = current.rest_of_frame();
        if rest > 0 {
            let image = current.picture.batch.interleaved();
            let begun = image.get(current.written..current.written + rest).unwrap_or_default();
            // Only ever called with the frame's prefix written or not begun, or half: byte 1 is the
            // channel, which the shared image does not know.
            let mut tail = BytesMut::from(begun);
            if current.offset_in_frame() == 1
                && let Some(channel) = tail.first_mut()
            {
                *channel = current.prefix[1];
            }
            tail.extend_from_slice(&self.urgent);
            self.urgent = tail;
        }
    }

    /// Whether nothing is left to write.
    pub fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.picture.is_none()
    }

    /// Bytes of replies and RTCP that wait.
    pub fn urgent_len(&self) -> usize {
        self.urgent.len()
    }

    /// Writes as much as `io` takes at once; the number of bytes. Ready with zero only when there
    /// was nothing to write.
    ///
    /// # Errors
    ///
    /// What the write returned, `WriteZero` when it took nothing.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        io: &mut W,
    ) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = {
            let io = Pin::new(io);
            match self.slices().as_slice() {
                // Nearly always: what is in one piece is written with less ado.
                [piece] => ready!(io.poll_write(context, piece))?,
                pieces => ready!(io.poll_write_vectored(context, pieces))?,
            }
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn slices(&self) -> SmallVec<[IoSlice<'_>; 16]> {
        let mut slices = SmallVec::new();
        let rest = self.picture.as_ref().map_or(0, Interleaved::rest_of_frame);
        if let Some(current) = &self.picture
            && rest > 0
            && !self.urgent.is_empty()
        {
            current.append(&mut slices, current.written + rest);
        }
        if !self.urgent.is_empty() {
            slices.push(IoSlice::new(&self.urgent));
        }
        if let Some(current) = &self.picture {
            let from = if self.urgent.is_empty() { 0 } else { rest };
            current.skip(from).append(&mut slices, usize::MAX);
        }
        slices
    }

    fn advance(&mut self, mut written: usize) {
        if let Some(current) = &mut self.picture
            && !self.urgent.is_empty()
        {
            let rest = current.rest_of_frame().min(written);
            current.written += rest;
            written -= rest;
        }
        let urgent = self.urgent.len().min(written);
        self.urgent.advance(urgent);
        written -= urgent;
        if let Some(current) = &mut self.picture {
            current.written += written;
            if current.written >= current.picture.batch.interleaved().len() {
                self.picture = None;
            }
        }
    }
}

/// A part of an interleaved image that is still to be written.
struct Rest<'a> {
    current: &'a Interleaved,
    from: usize,
}

impl Interleaved {
    fn skip(&self, bytes: usize) -> Rest<'_> {
        Rest { current: self, from: self.written + bytes }
    }

    fn append<'a>(&'a self, slices: &mut SmallVec<[IoSlice<'a>; 16]>, end: usize) {
        self.skip(0).append(slices, end);
    }

    /// Bytes of a frame that was begun and not finished.
    fn rest_of_frame(&self) -> usize {
        match self.frame_at(self.written) {
            Some((start, end)) if self.written > start => end - self.written,
            _ => 0,
        }
    }

    fn offset_in_frame(&self) -> usize {
        self.frame_at(self.written).map_or(0, |(start, _)| self.written - start)
    }

    /// Where the frame that holds byte `at` of the image begins and ends.
    fn frame_at(&self, at: usize) -> Option<(usize, usize)> {
        self.frames().find(|&(_, end)| at < end)
    }

    fn frames(&self) -> impl Iterator<Item = (usize, usize)> {
        self.picture.batch.packets().scan(0, |at, packet| {
            let start = *at;
            *at += HEADER_LEN + packet.len();
            Some((start, *at))
        })
    }
}

impl<'a> Rest<'a> {
    /// Appends what lies before `end`. On channel 0 that is one piece of the shared image; on other
    /// channels the two bytes with the channel come from the connection, and the rest of each frame
    /// from the image.
    fn append(self, slices: &mut SmallVec<[IoSlice<'a>; 16]>, end: usize) {
        let image: &'a [u8] = self.current.picture.batch.interleaved();
        let end = end.min(image.len());
        if self.current.prefix[1] == 0 {
            if let Some(piece) = image.get(self.from..end).filter(|piece| !piece.is_empty()) {
                slices.push(IoSlice::new(piece));
            }
            return;
        }
        for (start, frame_end) in self.current.frames() {
            if frame_end <= self.from {
                continue;
            }
            if start >= end || slices.len() + 2 > MOST_SLICES {
                break;
            }
            let done = self.from.saturating_sub(start);
            let prefix = self.current.prefix.get(done..).unwrap_or_default();
            if !prefix.is_empty() {
                slices.push(IoSlice::new(prefix));
            }
            let body = image.get(start + done.max(self.current.prefix.len())..frame_end);
            slices.push(IoSlice::new(body.unwrap_or_default()));
        }
    }
}

/// `IOV_MAX` of Linux.
const MOST_SLICES: usize = 1024;

#[cfg(test)]
mod tests;
