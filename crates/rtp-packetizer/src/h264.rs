//! H.264 over RTP (RFC 6184): packets, and what the session description says of them.

pub mod packetizer;
mod params;
mod payload;
pub mod sdp;

pub use packetizer::{Config, ConfigError, Packetizer, Totals};
