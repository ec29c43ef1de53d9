//! RTSP 1.0 (RFC 2326) as a server speaks it: wire format, typed headers, authentication and
//! sessions. Bytes and time go in, events and bytes come out; no I/O, clock, RNG or threads.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

pub mod auth;
pub mod header;
