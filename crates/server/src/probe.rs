//! `lenscast probe URL`: a viewer that measures instead of showing.
//!
//! ```text
//!  resolve ─▶ retina: DESCRIBE, SETUP, PLAY ─▶ RTP and RTCP packets ─▶ Measurement ─▶ Report
//!                                                   └▶ assembly: access units
//! ```
//!
//! RTSP, digest and packet reception are retina's: another author's reading of the standards, so
//! that client and server do not share one misunderstanding. Packets are taken one by one rather
//! than as retina's finished frames, because the first packet, jitter and what stands in band are
//! to be seen, and because one bad packet is a finding here and not the end.

use std::{
    io::{self, Write},
    time::Duration,
};

use url::Url;

mod error;
mod report;

pub use error::{ProbeError, Step};
pub use report::{Report, Verdict};

/// What to probe and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// `rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH`; user and password percent-encoded.
    pub url: Url,
    /// How the packets are to come.
    pub transport: Transport,
    /// How long to watch, from the answer to PLAY.
    pub seconds: Duration,
    /// The report as one JSON object (see [`Report`]) instead of lines for people.
    pub json: bool,
    /// How long one step (DESCRIBE, SETUP, PLAY) may take.
    pub timeout: Duration,
}

impl Options {
    /// Five seconds over TCP, for people, ten seconds for each step.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            transport: Transport::default(),
            seconds: DEFAULT_SECONDS,
            json: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// How RTP packets travel.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams to a pair of ports of ours.
    Udp,
    /// Interleaved in the RTSP connection: passes every firewall that lets RTSP through.
    #[default]
    Tcp,
}

/// Plays the stream, measures it, and writes the report to `out`. While it runs, one line of
/// progress is kept on standard error if that is a terminal.
///
/// With [`Options::json`] a failure is written to `out` too, as an object with `error` and
/// `message`, and then returned.
///
/// # Errors
///
/// When the stream cannot be played at all. A stream that plays badly is a report whose
/// [`Report::verdict`] says so.
pub async fn run(options: &Options, out: &mut dyn Write) -> Result<Report, ProbeError> {
    let _ = (options, out);
    Err(ProbeError::Write(io::ErrorKind::Unsupported.into()))
}

/// How long a probe watches unless told.
pub const DEFAULT_SECONDS: Duration = Duration::from_secs(5);
/// How long a step may take unless told: longer than a server that first has to start its camera.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
