//! From the live log to sockets.
//!
//! TCP viewers are written to by their own connection ([`interleaved`]); all UDP viewers of a mount
//! by one task ([`fanout`]), through the one pair of ports of their address family ([`udp`]).

pub mod fanout;
pub mod interleaved;
pub mod pacer;
pub mod udp;
