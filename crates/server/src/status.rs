//! How a running server does: one document, for people and for programs.
//!
//! ```text
//!  server:   Shared ──gather──▶ Snapshot ──JSON──▶ Unix socket ──▶ lenscast status, as a table or as it came
//! ```
//!
//! Gathering stops nobody: it reads counters, and holds each lock no longer than a request does.
//! docs/status.md describes the document and the socket.

pub mod client;
pub mod place;
mod render;
pub mod snapshot;
pub mod socket;

pub use snapshot::{About, Snapshot};
