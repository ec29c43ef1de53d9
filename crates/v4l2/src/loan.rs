//! Buffers that two devices share, and pictures in them on loan.
//!
//! ```text
//!  camera ──lend──▶ Loan ──▶ … ──▶ encoder, while it reads
//!    ▲                              │ dropped
//!    └────────── returned ──────────┘
//! ```
//!
//! The memory is one device's own; the other imports it. Buffers have the same numbers on both
//! sides. While a picture is on loan its buffer is queued with neither, or with the encoder; the
//! camera fills it again when it was returned.

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Error, Format, Queue, uapi::VIDEO_MAX_PLANES};

/// The memory of a queue's buffers, for another device to use.
#[derive(Debug)]
pub struct SharedBuffers(Vec<Vec<(OwnedFd, u32)>>);

impl SharedBuffers {
    /// Exports all buffers of `queue`, whose bytes are not seen here any more.
    ///
    /// # Errors
    ///
    /// When the driver cannot.
    pub fn of(queue: &mut Queue) -> Result<Self, Error> {
        let mut buffers = Vec::with_capacity(queue.len());
        for index in 0..queue.len() {
            let mut planes = Vec::with_capacity(queue.planes());
            for plane in 0..queue.planes() {
                // Before: afterwards it cannot be seen.
                let length = queue.bytes(index, plane).map_or(0, <[u8]>::len);
                planes.push((queue.export(index, plane)?, length as u32));
            }
            buffers.push(planes);
        }
        Ok(Self(buffers))
    }

    /// How many buffers there are.
    #[allow(clippy::len_without_is_empty, reason = "a queue has at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The pieces of memory of a buffer with their lengths in bytes, for [`crate::Content`]; none
    /// when there is no such buffer.
    pub fn planes(&self, index: usize) -> Vec<(BorrowedFd<'_>, u32)> {
        let planes = self.0.get(index).into_iter().flatten();
        planes.map(|(memory, length)| (memory.as_fd(), *length)).collect()
    }
}

/// Lends pictures, and hears when they are returned.
#[derive(Clone, Debug, Default)]
pub struct Lender {
    returned: Arc<Mutex<Vec<usize>>>,
}

impl Lender {
    /// Lends the picture in buffer `index`, which has so many bytes in each plane.
    pub fn lend(&self, index: usize, used: &[u32]) -> Loan {
        let mut all = [0; VIDEO_MAX_PLANES];
        all.iter_mut().zip(used).for_each(|(all, used)| *all = *used);
        let planes = used.len().min(VIDEO_MAX_PLANES);
        Loan { index, used: all, planes, returned: Arc::clone(&self.returned) }
    }

    /// The buffers whose pictures were returned since this was asked the last time.
    pub fn returned(&self) -> Vec<usize> {
        std::mem::take(&mut *self.returned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A picture in a buffer that two devices share. Dropping it returns it.
pub struct Loan {
    index: usize,
    used: [u32; VIDEO_MAX_PLANES],
    planes: usize,
    returned: Arc<Mutex<Vec<usize>>>,
}

impl Loan {
    /// Which buffer it is, on both sides.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Bytes of data in each plane.
    pub fn used(&self) -> &[u32] {
        &self.used[..self.planes]
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loan({})", self.index)
    }
}

/// A camera that can lend its pictures, before it gives the first or after.
///
/// Of the three ways the last one chosen counts.
pub trait Lend {
    /// How its pictures lie.
    fn format(&self) -> &Format;

    /// Makes it lend pictures in its own memory, which is returned: about `count` buffers.
    ///
    /// # Errors
    ///
    /// When its driver cannot.
    fn export(&mut self, count: u32) -> Result<Arc<SharedBuffers>, Error>;

    /// Makes it lend pictures in this memory of another device.
    ///
    /// # Errors
    ///
    /// When its driver does not take this memory.
    fn import(&mut self, buffers: Arc<SharedBuffers>) -> Result<(), Error>;

    /// Makes it copy its pictures, as at first.
    ///
    /// # Errors
    ///
    /// When its driver fails.
    fn copy(&mut self) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back_once_when_it_is_dropped() {
        let lender = Lender::default();
        let (first, second) = (lender.lend(3, &[640, 320]), lender.lend(1, &[]));
        assert_eq!((first.index(), first.used(), second.used()), (3, &[640, 320][..], &[][..]));
        assert!(lender.returned().is_empty());
        drop(second);
        drop(first);
        assert_eq!(lender.returned(), [1, 3]);
        assert!(lender.returned().is_empty());
    }

    #[test]
    fn a_loan_may_outlive_its_lender_and_cross_threads() {
        let loan = Lender::default().lend(0, &[1; 100]);
        assert_eq!(loan.used().len(), VIDEO_MAX_PLANES);
        std::thread::spawn(move || drop(loan)).join().unwrap();
    }
}
