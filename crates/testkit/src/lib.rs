//! Test tools: depacketizers, transcripts, viewers, the running binary, networks of one's own. Never
//! published.

pub mod depacketizer;
pub mod namespace;
pub mod retina;
pub mod server_process;
pub mod transcript;
pub mod viewer;
