//! lenscast: a camera server. Everything that touches the world lives here: sockets, threads, the
//! clock, randomness, files.
//!
//! ```text
//!  source thread ──▶ encoder ──▶ Packetizer ──▶ live::Publisher ─┐            (one per stream)
//!                                                                ▼
//!  listener ──▶ connection ──▶ control ──▶ sessions          live::Log
//!                   └── replies, reports                         │
//!       egress::lines: the cursors of all TCP viewers ◀──────────┤
//!      egress::fanout: the cursors of all UDP viewers ◀──────────┘
//! ```

pub mod banner;
pub mod census;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod control;
pub mod credentials;
pub mod egress;
pub mod entropy;
pub mod limits;
pub mod listener;
pub mod live;
pub mod pipeline;
pub mod probe;
pub mod resources;
pub mod sdp;
pub mod serve;
pub mod sessions;
pub mod shared;
pub mod sources;
pub mod status;
pub mod supervision;
