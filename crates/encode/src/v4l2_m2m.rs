//! Hardware encoding: the kernel's stateful encoders, which work from memory to memory.
//!
//! "Memory-to-Memory Stateful Video Encoder Interface" in the kernel's Linux Media Infrastructure
//! userspace API.

mod find;

pub use self::find::{Candidate, Found, Reason, Rejected, examine, find};
