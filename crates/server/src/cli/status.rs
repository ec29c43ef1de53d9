//! `lenscast status`: how a running server does, once or each second.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use media::Clock;

use crate::{
    cli::StatusArgs,
    status::client::{self, Client},
};

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server says it.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// It cannot be written.
    #[error("cannot write the status: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// 2 when several servers run and it is not clear which is meant, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(client::Error::Several { .. }) => 2,
            Self::Client(_) | Self::Output(_) => 1,
        }
    }
}

/// Writes the status of the server found in one of `directories` to `out`; with `--watch` each
/// second, on a screen over the one before, until the server is gone.
///
/// # Errors
///
/// When there is no such server, it does not answer, or nothing can be written.
pub fn run(
    args: &StatusArgs,
    directories: &[PathBuf],
    clock: &dyn Clock,
    is_screen: bool,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut client = Client::find(directories, args.server)?;
    let mut due = clock.now();
    loop {
        let text = describe(args, &mut client)?;
        let clear = if args.watch && is_screen { CLEAR } else { "" };
        match write!(out, "{clear}{text}").and_then(|()| out.flush()) {
            // Who read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        if !args.watch {
            return Ok(());
        }
        due = due + INTERVAL;
        clock.sleep_until(due);
    }
}

fn describe(args: &StatusArgs, client: &mut Client) -> Result<String, Error> {
    if !args.json {
        return Ok(client.ask()?.to_string());
    }
    let document = client.ask_for_document()?;
    // One in a line, where there are several.
    let text = if args.watch { document.to_string() } else { format!("{document:#}") };
    Ok(text + "\n")
}

/// Of `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);
/// Moves to the upper left corner, and clears what is behind it.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[cfg(test)]
mod tests;
