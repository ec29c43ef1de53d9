//! The writing half of a connection: its stream, what waits to be written, and the viewers who see
//! to it that there is something.
//!
//! Two tasks write. The connection's own writes replies and reports, and whatever the client did
//! not take at once. Pictures come by the task that serves all connections of a stream
//! ([`Line::advance`]), which never waits: where the client does not take all of a picture, it is
//! the connection that is woken when there is room. So the lock is held for as long as it takes to
//! write, and never while anyone waits.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use rtsp_proto::header::SessionId;
use tokio::{io::AsyncWrite, time::Instant};

use super::playing::Viewers;
use crate::{
    control::InterleavedViewer,
    egress::{interleaved::Outbox, lines::Line},
};

/// The writing half, shared by the two tasks.
pub(super) struct Output<W>(Mutex<Half<W>>);

/// What is behind the lock.
pub(super) struct Half<W> {
    pub(super) outbox: Outbox,
    pub(super) viewers: Viewers,
    writer: W,
    /// The connection's task.
    owner: Option<Waker>,
    /// Since when the client has taken nothing of what waits for it.
    stuck: Option<Instant>,
    /// What the connection has not been told yet.
    news: News,
}

/// What became of the writing half.
#[derive(Debug, Default)]
pub(super) struct News {
    /// It cannot be written to any more.
    pub(super) error: Option<io::Error>,
    /// The last stream has ended.
    pub(super) is_over: bool,
    /// Bytes were written, or for the first time not taken.
    has_moved: bool,
}

impl<W> Output<W> {
    pub(super) fn new(writer: W, viewers: Viewers) -> Self {
        let outbox = Outbox::default();
        let (owner, stuck, news) = (None, None, News::default());
        Self(Mutex::new(Half { outbox, viewers, writer, owner, stuck, news }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Half<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsyncWrite + Unpin> Output<W> {
    /// Writes, as the connection's own task; ready when there is something new to know.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<News> {
        let mut half = self.lock();
        if !half.owner.as_ref().is_some_and(|owner| owner.will_wake(context.waker())) {
            half.owner = Some(context.waker().clone());
        }
        // One at a time: others may want to write meanwhile.
        half.write(context, 1);
        // Another viewer may have come since.
        half.news.is_over &= half.viewers.is_empty();
        if half.news.is_any() { Poll::Ready(std::mem::take(&mut half.news)) } else { Poll::Pending }
    }

    /// Writes what is left and closes the stream's writing side. There must be no viewers any more.
    pub(super) fn poll_close(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Half { outbox, writer, .. } = &mut *self.lock();
        while !outbox.is_empty() {
            ready!(outbox.poll_write(context, writer))?;
        }
        Pin::new(writer).poll_shutdown(context)
    }
}

impl<W> Half<W> {
    /// Begins to fill the outbox for a viewer.
    pub(super) fn start(&mut self, viewer: InterleavedViewer) {
        self.viewers.start(viewer, &mut self.outbox);
    }

    /// Stops sending a session's stream.
    pub(super) fn stop(&mut self, session: SessionId, goodbye: bool) {
        self.viewers.stop(session, goodbye, &mut self.outbox);
    }

    /// Stops everything, with a goodbye to each viewer.
    pub(super) fn stop_all(&mut self) {
        self.viewers.stop_all(&mut self.outbox);
    }

    /// Stops everything, and says nothing.
    pub(super) fn quieten(&mut self) {
        self.viewers.clear();
        self.outbox.abandon_picture();
    }

    /// Says what is due at `now`.
    pub(super) fn report(&mut self, now: Instant) {
        self.viewers.report(now, &mut self.outbox);
    }

    /// Since when the client has taken nothing of what waits for it.
    pub(super) fn stuck(&self) -> Option<Instant> {
        self.stuck
    }
}

impl<W: AsyncWrite + Unpin> Half<W> {
    /// Writes until there is nothing left, the client takes no more, or it has taken something so
    /// many times.
    fn write(&mut self, context: &mut Context<'_>, most: usize) {
        let (mut has_moved, mut writes) = (false, 0);
        while self.news.error.is_none() && writes < most {
            self.news.is_over |= self.viewers.load(&mut self.outbox);
            if self.outbox.is_empty() {
                self.stuck = None;
                break;
            }
            match self.outbox.poll_write(context, &mut self.writer) {
                Poll::Ready(Ok(_)) => {
                    self.viewers.written(&self.outbox);
                    self.stuck = None;
                    has_moved = true;
                    writes += 1;
                }
                Poll::Ready(Err(error)) => self.news.error = Some(error),
                Poll::Pending => {
                    if self.stuck.is_none() {
                        self.stuck = Some(Instant::now());
                        has_moved = true;
                    }
                    break;
                }
            }
        }
        self.news.has_moved |= has_moved;
    }
}

impl News {
    fn is_any(&self) -> bool {
        self.has_moved || self.is_over || self.error.is_some()
    }
}

impl<W: AsyncWrite + Unpin + Send> Line for Output<W> {
    fn advance(&self) {
        let mut half = self.lock();
        // Without an owner the connection has not looked yet, and will. While something waits, it
        // is the connection that goes on as soon as there is room.
        if !half.outbox.is_empty() || half.news.error.is_some() {
            return;
        }
        let Some(owner) = half.owner.take() else { return };
        half.write(&mut Context::from_waker(&owner), usize::MAX);
        if half.outbox.is_empty() && !half.news.is_over && half.news.error.is_none() {
            // All is as it was: nothing the connection would have to do.
            half.news.has_moved = false;
        } else {
            owner.wake_by_ref();
        }
        half.owner = Some(owner);
    }
}

#[cfg(test)]
mod tests;
