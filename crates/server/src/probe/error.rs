//! Why a stream could not be played at all, said so that a person can act on it.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

/// A request of the conversation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connecting and asking what there is.
    Describe,
    /// Agreeing on the transport.
    Setup,
    /// Starting the packets.
    Play,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
        })
    }
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The URL is not one that can be played.
    #[error("{0}")]
    Url(String),
    /// The host's name has no address.
    #[error("no address for {host:?}: {reason}")]
    Name {
        /// The host as written in the URL.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nothing listens there.
    #[error("{0} refuses the connection: is the server running, and is this its port?")]
    Refused(SocketAddr),
    /// The address cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server does not answer a request in time.
    #[error("no answer to {step} within {} s: {hint}", after.as_secs_f64())]
    Timeout {
        /// Which request.
        step: Step,
        /// How long was waited.
        after: Duration,
        /// What may be the reason.
        hint: &'static str,
    },
    /// 401: a login is wanted, or another one.
    #[error("{}", unauthorized(*with_credentials))]
    Unauthorized {
        /// Whether the URL had a user and password.
        with_credentials: bool,
    },
    /// 404: there is no such stream.
    #[error(
        "the server has no stream at {path:?} (404): compare with the URL it prints when it starts"
    )]
    NotFound {
        /// The path asked for.
        path: String,
    },
    /// The server refuses a request for another reason.
    #[error("the server answered {step} with {status}{hint}")]
    Status {
        /// Which request.
        step: Step,
        /// The status code.
        status: u16,
        /// What can be done, from ": " on; may be empty.
        hint: &'static str,
    },
    /// There is no H.264 track.
    #[error("no H.264 video in what the server offers ({offered})")]
    NoVideo {
        /// The tracks there are, as `audio/pcmu, video/h265`.
        offered: String,
    },
    /// The server says something that is not RTSP, or breaks off.
    #[error("{step} failed: {reason}")]
    Protocol {
        /// Which request.
        step: Step,
        /// What is wrong.
        reason: String,
    },
    /// The report cannot be written.
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}

impl ProbeError {
    /// 3: not even measured. (1 is for a stream that plays, but without a usable keyframe; 2 for a
    /// command line that makes no sense.)
    pub fn exit_code(&self) -> u8 {
        3
    }

    /// The error's name in JSON; stays as it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Name { .. } => "name",
            Self::Refused(_) => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Unauthorized { .. } => "unauthorized",
            Self::NotFound { .. } => "not_found",
            Self::Status { .. } => "status",
            Self::NoVideo { .. } => "no_video",
            Self::Protocol { .. } => "protocol",
            Self::Write(_) => "write",
        }
    }

    /// One line of JSON: `error` ([`kind`](Self::kind)) and `message`.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let object = serde_json::json!({ "error": self.kind(), "message": self.to_string() });
        writeln!(out, "{object}")
    }
}

fn unauthorized(with_credentials: bool) -> &'static str {
    if with_credentials {
        "the server refuses this user and password (401); in a URL, write @ : / and % of a password \
         as %40 %3A %2F and %25"
    } else {
        "the server wants a user and password (401): rtsp://USER:PASSWORD@HOST:PORT/PATH"
    }
}
