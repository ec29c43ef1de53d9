//! Video4Linux2, typed and safe: devices, formats, controls, buffer queues.
//!
//! The kernel's Linux Media Infrastructure userspace API, part I, as far as cameras and
//! memory-to-memory encoders need it: single- and multi-planar queues, the driver's memory mapped
//! and other devices' memory imported (DMABUF), controls, events, selections, encoder commands.
//!
//! Everything unsafe is in the module `sys`. Which calls reach a device is a seam within the crate: the
//! kernel's own, or those of a [`library`].
//! Nothing here decides anything: which format, which encoder, what to do when a camera is gone is
//! for those above.

mod calls;
pub mod control;
pub mod device;
pub mod error;
#[cfg(feature = "fake-kernel")]
pub mod fake;
pub mod format;
pub mod library;
pub mod loan;
pub mod queue;
mod sys;
pub mod uapi;
mod waker;

pub use self::{
    calls::{Interest, Readiness},
    control::{Control, ControlId, ControlKind, Value},
    device::{Capability, Device, Direction, Event, QueueKind},
    error::{Error, Trouble},
    format::{Format, FormatDescription, Interval, Intervals, PixelFormat, Size, Sizes},
    queue::{Content, Dequeued, Memory, Next, Queue},
    waker::Waker,
};
