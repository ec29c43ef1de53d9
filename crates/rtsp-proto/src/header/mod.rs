//! Typed headers, one file each: `parse` what a client sent, write what we answer.

pub mod authorization;
pub mod range;
pub mod rtp_info;
pub mod session;
pub mod transport;

pub use range::Range;
pub use rtp_info::RtpInfo;
pub use session::{SessionHeader, SessionId};
pub use transport::{Alternative, Chosen, Lower, TransportList, TransportSpec};
