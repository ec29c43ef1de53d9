//! Ends the wait for a device from another thread.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::{Errno, read, write},
};

/// Makes [`crate::Device::wait`] return, from whichever thread; clones are the same waker.
///
/// Having been used is remembered until [`Waker::reset`], so that a wait that begins afterwards
/// ends at once. Used many times it is as used once.
#[derive(Clone, Debug)]
pub struct Waker {
    counter: Arc<OwnedFd>,
}

impl Waker {
    /// A new one, not used yet.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { counter: Arc::new(counter) })
    }

    /// Ends the wait that is going on, or else the next one.
    pub fn wake(&self) {
        // A counter that is full has been used, too; nothing else can be wrong with it.
        while write(&self.counter, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    /// Forgets that it was used; whether it was.
    pub fn reset(&self) -> bool {
        let mut counter = [0; size_of::<u64>()];
        loop {
            match read(&self.counter, &mut counter) {
                Err(Errno::INTR) => {}
                result => return result.is_ok(),
            }
        }
    }
}

/// Readable while it has been used.
impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::{
        calls::{Calls, Interest, Readiness},
        sys::Kernel,
    };

    /// Waits for a device that never has anything.
    fn wait(waker: Option<&Waker>, timeout: Duration) -> Readiness {
        let silent = Waker::new().unwrap();
        let interest = Interest { readable: true, ..Interest::default() };
        Kernel.wait(silent.as_fd(), interest, waker.map(AsFd::as_fd), timeout).unwrap()
    }

    #[test]
    fn a_waker_that_was_used_ends_each_wait_until_it_is_reset() {
        let waker = Waker::new().unwrap();
        assert_eq!(wait(Some(&waker), Duration::ZERO), Readiness::default());
        waker.wake();
        waker.clone().wake();
        let woken = Readiness { woken: true, ..Readiness::default() };
        assert_eq!(wait(Some(&waker), FOREVER), woken);
        assert_eq!(wait(Some(&waker), FOREVER), woken);
        assert!(waker.reset());
        assert!(!waker.reset());
        assert_eq!(wait(Some(&waker), Duration::ZERO), Readiness::default());
        assert_eq!(wait(None, Duration::ZERO), Readiness::default());
    }

    #[test]
    fn another_thread_ends_a_wait() {
        let waker = Waker::new().unwrap();
        let other = waker.clone();
        let waits = thread::spawn(move || wait(Some(&other), FOREVER));
        waker.wake();
        assert!(waits.join().unwrap().woken);
    }

    const FOREVER: Duration = Duration::from_secs(600);
}
