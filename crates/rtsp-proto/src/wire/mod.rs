//! Bytes of the wire: where a message ends, and what one looks like when written.

pub mod interleaved;
pub mod limits;
pub(crate) mod parse;
pub(crate) mod write;

pub use limits::Limits;
