//! A slot of one picture between two threads: the newest wins.
//!
//! Only for raw pictures; an encoded one must never be dropped silently.

use std::{
    io,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use encode::Picture;
use media::MediaTime;
use tracing::debug;
use v4l2::Waker;

/// The slot. One thread puts, one takes.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Both tell that there is a picture, or that the slot was closed: the one to who waits for the
    /// slot alone, the other to who waits for an encoder as well.
    changed: Condvar,
    waker: Waker,
    /// Pictures that were replaced or lost, and nobody has heard of.
    skipped: AtomicU64,
}

/// A picture that is to be encoded.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) picture: Picture,
    /// When it had left the driver.
    pub(super) arrived: MediaTime,
    /// When it was put in.
    pub(super) ready: MediaTime,
}

#[derive(Debug, Default)]
struct State {
    picture: Option<Waiting>,
    closed: bool,
}

/// The other side is gone.
#[derive(Debug)]
pub(super) struct Closed;

impl Slot {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        let (state, changed, waker) = (Mutex::default(), Condvar::new(), Waker::new()?);
        Ok(Self { state, changed, waker, skipped: AtomicU64::new(0) })
    }

    /// Puts a picture in, in the place of one that nobody has taken.
    pub(super) fn put(&self, picture: Waiting) -> Result<(), Closed> {
        let replaced = {
            let mut state = self.lock();
            if state.closed {
                return Err(Closed);
            }
            state.picture.replace(picture)
        };
        self.tell();
        if let Some(replaced) = replaced {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            debug!(picture = ?replaced.picture, "encoder too slow: a picture was skipped");
        }
        Ok(())
    }

    /// The newest picture, if one is there.
    pub(super) fn take(&self) -> Result<Option<Waiting>, Closed> {
        // Before looking: what is put in afterwards wakes again.
        self.waker.reset();
        self.lock().take()
    }

    /// The newest picture; waits for one.
    pub(super) fn wait(&self) -> Result<Waiting, Closed> {
        self.waker.reset();
        let mut state = self.lock();
        loop {
            if let Some(picture) = state.take()? {
                return Ok(picture);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Pictures were lost before they could be put in.
    pub(super) fn note_lost(&self, pictures: u64) {
        self.skipped.fetch_add(pictures, Ordering::Relaxed);
    }

    /// How many pictures were replaced or lost since the last call.
    pub(super) fn take_skipped(&self) -> u64 {
        self.skipped.swap(0, Ordering::Relaxed)
    }

    /// Used when [`Slot::take`] has something to say.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// No more pictures are put in, or taken out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.tell();
    }

    fn tell(&self) {
        self.changed.notify_one();
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Result<Option<Waiting>, Closed> {
        match self.picture.take() {
            None if self.closed => Err(Closed),
            picture => Ok(picture),
        }
    }
}

/// Closes the slot when the thread that holds it ends, even by a panic.
pub(super) struct CloseOnDrop<'a>(pub(super) &'a Slot);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use media::{Frame, FramePool, I420Layout};

    use super::*;

    impl From<Frame> for Waiting {
        fn from(frame: Frame) -> Self {
            Self { arrived: frame.time(), ready: frame.time(), picture: frame.into() }
        }
    }

    fn time(waiting: &Waiting) -> MediaTime {
        let Picture::Raw(frame) = &waiting.picture else { panic!("{waiting:?} was not put in") };
        frame.time()
    }

    #[test]
    fn the_newest_picture_wins_and_a_closed_slot_still_gives_its_last() {
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 3);
        let slot = Slot::new().unwrap();
        assert!(matches!(slot.take(), Ok(None)));
        for nanos in 1..=2 {
            slot.put(pool.take(MediaTime::from_nanos(nanos)).unwrap().into()).unwrap();
        }
        slot.close();
        assert!(slot.put(pool.take(MediaTime::ZERO).unwrap().into()).is_err());
        assert_eq!(time(&slot.wait().unwrap()), MediaTime::from_nanos(2));
        assert!(slot.wait().is_err() && slot.take().is_err());
        assert_eq!((slot.take_skipped(), slot.take_skipped()), (1, 0));
    }

    /// Whoever waits for an encoder hears of a picture once, and of no picture that it has taken.
    #[test]
    fn the_waker_stands_for_what_nobody_has_looked_at() {
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 3);
        let slot = Slot::new().unwrap();
        let mut put = || slot.put(pool.take(MediaTime::ZERO).unwrap().into()).unwrap();
        put();
        assert!(slot.wait().is_ok());
        assert!(!slot.waker().reset());
        put();
        put();
        assert!(slot.waker().reset());
        assert!(matches!(slot.take(), Ok(Some(_))));
        slot.close();
        assert!(slot.waker().reset());
    }
}
