//! RTSP 1.0 (RFC 2326) as a server speaks it: wire format, typed headers, authentication and
//! sessions.
//!
//! ```text
//!                 ┌────────────────────── Connection ──────────────────────┐
//!  socket ─bytes─▶│ wire::parse        a head, scanned as it arrives        │
//!   (BytesMut)    │ wire::interleaved  `$` channel length payload           │
//!                 │        │                                                │
//!                 │        ▼           what RTSP itself forbids             │
//!                 │ server::request    is answered here                     │
//!                 └───┬───────────┬──────────────┬──────────────────┬───────┘
//!                     ▼           ▼              ▼                  ▼
//!              Event::Request  Event::Refused  Event::Interleaved   Fatal
//!                     │           │              │                  │
//!        uri, header::*, auth     │          RTCP of the         answer(), close
//!                     │           │          client
//!                     ▼           │
//!     policy (the caller; may wait for a camera)
//!                     │           │
//!              server::Session    │
//!                     │           │
//!                     ▼           ▼
//!  socket ◀─bytes── server::Reply::write ◀── wire::write (no line can be smuggled in)
//!   (BytesMut)
//! ```
//!
//! Everything is told to it: bytes, time (`now`) and entropy come as arguments; events, bytes and
//! the next deadline come back. No sockets, clocks, random numbers, threads or async in here.
//!
//! A connection and a session are two machines: a session whose media travel over UDP outlives
//! the connection that set it up.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod auth;
pub mod header;
pub mod server;
pub mod uri;
pub mod wire;

pub use server::{
    Connection, Event, Fatal, Method, PUBLIC, Refusal, Reply, Request, Session, Status,
};
pub use uri::{RequestUri, Target};
