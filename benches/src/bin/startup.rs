//! How soon a server serves: it is started again and again, and asked as soon as it listens.
//!
//! ```text
//!  exec ──▶ OPTIONS is answered ──▶ DESCRIBE is answered 200
//! ```
//!
//! Time runs from just before the process is made, so that loading the program is in it. Each start
//! is of a new process with a state directory of its own and nothing in it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;

/// Measure how soon a server serves.
#[derive(Parser)]
struct Arguments {
    /// The server
    binary: PathBuf,
    /// What it serves
    #[arg(long = "source", value_name = "NAME=URL", default_value = "cam=test:")]
    source: String,
    /// How often it is started
    #[arg(long, default_value_t = 50)]
    starts: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (name, _) = arguments.source.split_once('=').context("the source has no name")?;
    let scratch = tempfile::tempdir()?;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..arguments.starts {
        let [options, describe] = start(&arguments, name, scratch.path())?;
        times[0].push(options);
        times[1].push(describe);
    }
    println!("{} starts with {}", arguments.starts, arguments.source);
    println!("| from exec to | median ms | p99 ms | longest ms |\n|---|--:|--:|--:|");
    for (what, times) in ["OPTIONS answered", "DESCRIBE answered 200"].iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
        println!("| {what} | {:.1} | {:.1} | {:.1} |", at(50), at(99), at(100));
    }
    Ok(())
}

/// Starts the server and ends it; how long it took until each of the two was answered.
fn start(arguments: &Arguments, name: &str, scratch: &Path) -> anyhow::Result<[Duration; 2]> {
    let address = free_port()?;
    let state = tempfile::tempdir_in(scratch)?;
    let mut command = Command::new(&arguments.binary);
    command.args(["serve", "--open", "--udp-port", "0", "--log", "warn", "--listen"]);
    command.arg(address.to_string()).args(["--source", &arguments.source, "--state-dir"]);
    command.arg(state.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let server = Running(command.spawn().context("the server cannot be started")?);
    let mut connection = connect(address, begin)?;
    ask(&mut connection, &format!("OPTIONS rtsp://{address}/{name} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
    let options = begin.elapsed();
    ask(&mut connection, &format!("DESCRIBE rtsp://{address}/{name} RTSP/1.0\r\nCSeq: 2\r\n\r\n"))?;
    let describe = begin.elapsed();
    drop(server);
    Ok([options, describe])
}

/// A port of loopback that nobody has.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Tries until somebody listens.
fn connect(address: SocketAddr, begin: Instant) -> anyhow::Result<TcpStream> {
    loop {
        match TcpStream::connect(address) {
            Ok(connection) => {
                connection.set_read_timeout(Some(PATIENCE))?;
                connection.set_nodelay(true)?;
                return Ok(connection);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                if begin.elapsed() > PATIENCE {
                    bail!("nobody listens at {address} after {PATIENCE:?}");
                }
                thread::sleep(LOOK);
            }
            Err(error) => return Err(error).context("cannot connect"),
        }
    }
}

/// Asks, and reads the head of the answer, which has to be 200.
fn ask(connection: &mut TcpStream, request: &str) -> anyhow::Result<()> {
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        let length = connection.read(&mut buffer).context("there is no answer")?;
        if length == 0 {
            bail!("the server has closed the connection");
        }
        answer.extend_from_slice(&buffer[..length]);
    }
    if !answer.starts_with(b"RTSP/1.0 200 ") {
        bail!("{request}\nis answered\n{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether somebody listens: what it may add to a time.
const LOOK: Duration = Duration::from_micros(100);
