//! The vocabulary that capture, encoding and packetizing share.
//!
//! ```text
//!  capture ──Frame──▶ encode ──AccessUnit──▶ rtp-packetizer
//!     └────────────AccessUnit (already H.264)──────▲
//! ```
//!
//! Pure: nothing here reads a clock, sleeps, or does I/O. Time comes in through [`Clock`].

pub mod access_unit;
pub mod annexb;
mod colours;
pub mod convert;
mod delays;
pub mod frame;
pub mod h264;
mod nal;
pub mod time;

pub use access_unit::AccessUnit;
pub use colours::Colours;
pub use delays::{Delays, SharedDelays};
pub use frame::{Frame, FramePool, I420Layout};
pub use time::{Clock, FrameRate, MediaTime, WallTime};
