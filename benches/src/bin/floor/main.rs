//! The floor: what it costs to send a stream to many viewers when nothing else is done. The same
//! file, the same packets, the same viewers as a server has; but one loop, no queue, no pacing, no
//! report of receivers read, no thought for a viewer that is slow (it holds up all others), and just
//! enough RTSP (RFC 2326) for the project's load client to join.
//!
//! ```text
//!  file ─▶ packetizer ─▶ one picture ─▶ for each viewer: sendmsg with UDP_SEGMENT, or writev
//! ```
//!
//! A server's figure divided by the floor's, from one run on one machine, is what is worth telling.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, thread};

use anyhow::{Context, bail};
use capture::{Captured, Description, file};
use clap::{Parser, ValueEnum};
use lenscast::{clock::SystemClock, resources::raise_open_files};
use media::Clock;
use rtp_packetizer::{
    RtpClock, RtpTimestamp, Ssrc,
    h264::{self, Packetizer},
};

mod hall;
mod rtsp;

use hall::Hall;
use rtsp::Stream;

/// Sends a file to whoever asks, in a bare loop: the floor that a server is held against.
#[derive(Parser)]
struct Arguments {
    /// An H.264 file, Annex B or MP4
    file: PathBuf,
    /// Where to wait for viewers
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How a picture goes to UDP viewers
    #[arg(long, value_enum, default_value_t = UdpSend::Each)]
    udp: UdpSend,
    /// How a picture goes to TCP viewers
    #[arg(long, value_enum, default_value_t = TcpSend::Vectored)]
    tcp: TcpSend,
}

/// How a picture goes to UDP viewers, as a segmented send (UDP_SEGMENT).
#[derive(Copy, Clone, PartialEq, Eq, ValueEnum)]
enum UdpSend {
    /// One sendmsg for each viewer
    Each,
    /// One sendmmsg for 64 viewers
    Across,
}

/// How a picture goes to TCP viewers.
#[derive(Copy, Clone, PartialEq, Eq, ValueEnum)]
enum TcpSend {
    /// One writev for each viewer: header, packet, header, packet
    Vectored,
    /// One write for each viewer, of a copy made once
    Contiguous,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends when the file cannot be read any more, or the process is told to.
fn run(arguments: &Arguments) -> anyhow::Result<()> {
    raise_open_files();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut source = file::open(&arguments.file, Arc::clone(&clock), file::Config::default())?;
    let mut packetizer = Packetizer::new(h264::Config { ssrc: SSRC, ..h264::Config::default() })?;
    match source.description() {
        Description::H264 { parameter_sets: Some(sets), .. } => {
            packetizer.set_parameter_sets(sets.clone());
        }
        _ => bail!("{}: SPS and PPS do not stand at its beginning", arguments.file.display()),
    }
    let sets = packetizer.parameter_sets().context("no parameter sets")?;
    let hall = Arc::new(Hall::open(arguments.listen.ip(), arguments.udp, arguments.tcp)?);
    let stream = Stream::new(h264::sdp::fmtp(sets), SSRC, Arc::clone(&hall), Arc::clone(&clock));
    let url = stream.listen(arguments.listen)?;
    println!("{url}\nready");

    let rtp_clock = RtpClock::new(clock.now(), RtpTimestamp(0));
    // Pictures come when they are due.
    while let Some(captured) = source.next()? {
        let Captured::Encoded(unit) = captured else { bail!("a raw picture in a file") };
        let timestamp = rtp_clock.timestamp(unit.time());
        if let Some(batch) = packetizer.packetize(&unit, timestamp) {
            hall.send(&batch);
        }
    }
    Ok(())
}

/// Starts a thread that lasts as long as the process, with as little stack as will do: there is one
/// for each connection.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    thread.spawn(run).context("cannot start a thread")?;
    Ok(())
}

const SSRC: Ssrc = Ssrc(0x0f10_0012);
const STACK: usize = 256 * 1024;
