//! Each configured source: how it is opened, and where its viewers start.

use std::{io, sync::Arc, time::Duration};

use capture::{Source, file, pipe, synthetic};
use media::Clock;

use crate::{
    config::{self, Config},
    live::{Publisher, mount::Start},
    pipeline::{self, Pipeline},
};

/// Opens each file once and closes it again: what cannot be played is said before anything else is
/// done, and by name.
///
/// # Errors
///
/// The first file that cannot be played.
pub fn check_files(config: &Config, clock: &Arc<dyn Clock>) -> Result<(), capture::Error> {
    for stream in &config.streams {
        if let config::Source::File(config::File { path, rate }) = &stream.source {
            file::open(path, clock.clone(), file::Config { rate: *rate })?;
        }
    }
    Ok(())
}

/// Where the viewers of a source start.
pub(crate) fn start(source: &config::Source) -> Start {
    match source {
        config::Source::Test(_) | config::Source::Stdin(config::Pipe::Yuv420p(_)) => {
            Start::OnDemand
        }
        // Nobody minds seeing a file some seconds later than others, but a black window.
        config::Source::File(_) => Start::Cached { span: Duration::from_secs(12), bytes: 16 << 20 },
        config::Source::Stdin(config::Pipe::H264 { .. }) => {
            Start::Cached { span: Duration::from_secs(2), bytes: 2 << 20 }
        }
    }
}

/// Starts the threads that open a stream's source and bring its pictures to `publisher`.
pub(crate) fn start_pipeline(
    stream: &config::Stream,
    publisher: Publisher,
    clock: &Arc<dyn Clock>,
) -> Pipeline {
    let title = stream.name.as_str().to_owned();
    let source_clock = clock.clone();
    let (open, encoding): (pipeline::Open, _) = match stream.source.clone() {
        config::Source::Test(encoder) => {
            let card = synthetic::Config { layout: encoder.layout, rate: encoder.rate, title };
            let open = move || {
                let card = synthetic::TestCard::new(card, source_clock).map_err(|error| {
                    capture::Error::Unusable {
                        path: "test:".into(),
                        reason: error.to_string().into(),
                        remedy: None,
                    }
                })?;
                Ok(Box::new(card) as Box<dyn Source>)
            };
            (Box::new(open), Some(as_configured(encoder)))
        }
        config::Source::File(config::File { path, rate }) => {
            (Box::new(move || file::open(&path, source_clock, file::Config { rate })), None)
        }
        config::Source::Stdin(config::Pipe::Yuv420p(encoder)) => {
            let format = pipe::Format::Yuv420p { layout: encoder.layout, rate: encoder.rate };
            (
                Box::new(move || pipe::open(Box::new(io::stdin()), format, source_clock)),
                Some(as_configured(encoder)),
            )
        }
        config::Source::Stdin(config::Pipe::H264 { rate }) => {
            let format = pipe::Format::H264 { rate };
            (Box::new(move || pipe::open(Box::new(io::stdin()), format, source_clock)), None)
        }
    };
    let encoder = encode::Choice::Auto;
    let config = pipeline::Config { open, encoding, encoder, wake: None };
    Pipeline::start(config, publisher, clock.clone())
}

/// For sources whose size and rate are configured.
fn as_configured(encoder: encode::Config) -> pipeline::Encoding {
    Box::new(move |_, _| encoder)
}
