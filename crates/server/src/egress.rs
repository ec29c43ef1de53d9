//! From the live log to sockets.
//!
//! A mount's pictures are taken to all its TCP viewers by one task ([`lines`]), into the connection
//! of each ([`interleaved`]); to all its UDP viewers by another ([`fanout`]), through the one pair of
//! ports of their address family ([`udp`]).

pub mod fanout;
pub mod interleaved;
pub mod lines;
pub mod pacer;
pub mod udp;
