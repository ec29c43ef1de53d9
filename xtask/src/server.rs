//! A server that a stage starts, as a person would, and stops.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::workspace::{output, run};

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    urls: Vec<String>,
}

impl Server {
    /// Starts `command`, which may first build, and waits for the URLs it prints.
    pub(crate) fn start(command: &mut Command, patience: Duration) -> anyhow::Result<Self> {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut server = Self { child, urls: Vec::new() };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("{line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let deadline = Instant::now() + patience;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let line = line.trim();
                    if line.starts_with("rtsp://") {
                        server.urls.push(line.to_owned());
                    } else if !server.urls.is_empty() {
                        return Ok(server);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no URL from the server in {patience:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the server ended with {} instead of printing a URL",
                        server.child.wait()?
                    )
                }
            }
        }
    }

    /// The URLs it printed.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it what Ctrl-C sends, and waits for its end.
    pub(crate) fn interrupt(mut self) -> anyhow::Result<()> {
        let mut kill = Command::new("sh");
        output(kill.args(["-c", "kill -INT \"$0\"", &self.id().to_string()]))?;
        let asked = Instant::now();
        let status = self.child.wait()?;
        let took = asked.elapsed();
        if !status.success() {
            bail!("the server ended with {status} on Ctrl-C");
        }
        if took > GOODBYE {
            bail!("the server took {took:?} to end on Ctrl-C");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays `url` with `probe`, the server's own test client, over both transports.
pub(crate) fn probe(probe: impl Fn() -> Command, url: &str) -> anyhow::Result<()> {
    for transport in ["udp", "tcp"] {
        run(probe().args(["probe", url, "--seconds", "2", "--transport", transport]))?;
    }
    Ok(())
}

/// What the server promises.
const GOODBYE: Duration = Duration::from_secs(1);
