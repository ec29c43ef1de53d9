//! Fuzz targets: what strangers' bytes can reach, one module for each door.
//!
//! A target is a plain function of bytes that panics when a promise is broken. Every one asserts
//! more than that nothing panics: the module says what. libFuzzer is only one way to call them
//! (`fuzz_targets/`, behind the feature `libfuzzer`); the test `replay` runs the inputs of
//! `corpus/` through them with any toolchain, and the example `run` any other file.
//!
//! How long each has been run, and what was found, is in `docs/testing.md`.

pub mod annexb;
pub mod authorization;
pub mod config;
pub mod connection;
pub mod control;
pub mod credentials;
pub mod h264_stream;
pub mod headers;
pub mod live_log;
pub mod mjpeg;
pub mod mp4;
pub mod packetizer;
pub mod parameter_sets;
pub mod rtcp;
pub mod rtsp_request;

mod chunks;
mod clock;
mod input;
mod replies;
mod server;

/// A target: its name, which is also that of its directory in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, those nearest to strangers first.
pub const TARGETS: &[Target] = &[
    ("connection", connection::run),
    ("control", control::run),
    ("rtsp_request", rtsp_request::run),
    ("headers", headers::run),
    ("authorization", authorization::run),
    ("rtcp", rtcp::run),
    ("mp4", mp4::run),
    ("h264_stream", h264_stream::run),
    ("mjpeg", mjpeg::run),
    ("parameter_sets", parameter_sets::run),
    ("annexb", annexb::run),
    ("packetizer", packetizer::run),
    ("live_log", live_log::run),
    ("config", config::run),
    ("credentials", credentials::run),
];

/// Runs one input through the target called `name`; `None` when there is no such target.
pub fn run(name: &str, data: &[u8]) -> Option<()> {
    let (_, run) = TARGETS.iter().find(|(known, _)| *known == name)?;
    run(data);
    Some(())
}
