//! Test tools: virtual clock, transcripts, synthetic streams, a scripted viewer. Never published.

pub mod depacketizer;
pub mod server_process;
pub mod transcript;
pub mod viewer;
