//! RTP packets for H.264, and RTCP reports, as values: no sockets, clocks or random numbers.
//!
//! ```text
//!  AccessUnit ──▶ h264::Packetizer ──▶ PacketBatch ──▶ every viewer, the same bytes
//!  MediaTime  ──▶ RtpClock ──▶ RtpTimestamp ─┘
//!  Totals, NTP time ──▶ rtcp::write_sender_report ──▶ every viewer
//! ```
//!
//! Synchronization source, sequence numbers and RTP clock belong to the stream and not to a viewer:
//! an access unit is packetized once, into one buffer, and nothing is rewritten per viewer.
//! Implements the sending side of RFC 3550 and of RFC 6184 (packetization-mode 1). Entropy (SSRC,
//! first sequence number, first timestamp) comes in through the configuration.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod batch;
pub mod clock;
pub mod h264;
mod header;
pub mod numbers;
pub mod rtcp;

pub use batch::{PacketBatch, Run};
pub use clock::RtpClock;
pub use numbers::{RtpTimestamp, Sequence, Ssrc};
