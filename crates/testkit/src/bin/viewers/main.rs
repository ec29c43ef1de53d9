//! Watches a stream with many viewers at once, and says what they and the server went through.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use futures::future::join_all;
use testkit::viewer::{self, Config, Login, Process, Transport};
use tokio::time::sleep_until;
use url::Url;

mod joins;
mod open_files;
mod outcome;
mod span;

use joins::Joins;
use outcome::Outcome;
use span::Span;

/// Watches an RTSP stream with many viewers at once; fails when anything was lost or out of order.
#[derive(Parser)]
struct Arguments {
    /// What to watch: rtsp://host[:port]/stream
    url: Url,
    /// How many viewers
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// How RTP travels; mixed is every other viewer
    #[arg(long, value_enum, default_value_t = Transports::Mixed)]
    transport: Transports,
    /// How long each viewer watches; with --joins, until those are over
    #[arg(long, default_value_t = 60.0, conflicts_with = "joins")]
    seconds: f64,
    /// Further viewers that play over TCP and then never read again
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Let the viewers join one by one over this time, as 5s or 500ms
    #[arg(long, default_value = "1s", value_parser = duration)]
    join_over: Duration,
    /// How long after the last has joined the server's cost is counted from: viewers that begin with
    /// a cached keyframe are sent twice as much until they have caught up
    #[arg(long, default_value = "0s", value_parser = duration)]
    settle: Duration,
    /// Further viewers that join one after another while the others watch, and leave with their
    /// first whole keyframe
    #[arg(long, default_value_t = 0)]
    joins: usize,
    /// The least time from one of these joins to the next
    #[arg(long, default_value = "250ms", value_parser = duration)]
    join_spacing: Duration,
    /// What may come on top of it, another part of it each time: as long as from one keyframe to
    /// the next, to join at every phase in between
    #[arg(long, default_value = "1s", value_parser = duration)]
    join_spread: Duration,
    /// Log in as NAME:PASSWORD
    #[arg(long, value_parser = login)]
    user: Option<Login>,
    /// Take UDP datagrams one by one, as ordinary players do, and not the packets of a segmented
    /// send together (UDP_GRO); on loopback it is the server who pays for parting them
    #[arg(long)]
    no_offload: bool,
    /// The server's process on this machine, to see what it uses
    #[arg(long)]
    server_pid: Option<u32>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, ValueEnum)]
enum Transports {
    Udp,
    Tcp,
    Mixed,
}

impl Transports {
    fn of_viewer(self, number: usize) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Mixed if number.is_multiple_of(2) => Transport::Udp,
            Self::Mixed => Transport::Tcp,
        }
    }
}

impl Arguments {
    /// How many files must be open at once.
    fn open_files(&self) -> u64 {
        let all = (0..self.count + self.stalled.max(usize::from(self.joins > 0)))
            .map(|number| match self.transport.of_viewer(number) {
                // The connection, and a pair of ports.
                Transport::Udp => 3,
                Transport::Tcp => 1,
            })
            .sum::<u64>();
        all + OTHER_FILES
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = runtime.context("cannot start the runtime").and_then(|r| r.block_on(run(&arguments)));
    match run {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("viewers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was well.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    open_files::raise_to(arguments.open_files())?;
    if !(arguments.seconds >= 0.0 && arguments.seconds < 1e6) {
        bail!("--seconds {}: not a time to watch", arguments.seconds);
    }
    let server = arguments.server_pid.map(Process::new);
    let idle = match &server {
        Some(server) => Some(Span::of(server, BASELINE).await.context("--server-pid")?),
        None => None,
    };
    let joins = Joins::planned(arguments.joins, arguments.join_spacing, arguments.join_spread);
    let watch_for = match arguments.joins {
        0 => Duration::from_secs_f64(arguments.seconds),
        _ => arguments.join_over + SETTLE + joins.time(),
    };
    let config = |number, transport| Config {
        url: arguments.url.clone(),
        transport,
        login: arguments.user.clone(),
        duration: watch_for,
        offload: !arguments.no_offload,
        from: own_address(&arguments.url, number),
    };
    let begin = Instant::now();
    let times = viewer::join_times(arguments.count, arguments.join_over);
    let watching = times.enumerate().map(|(number, after)| {
        let config = config(number, arguments.transport.of_viewer(number));
        async move {
            sleep_until((begin + after).into()).await;
            viewer::watch(&config).await
        }
    });
    let patience = (arguments.join_over + watch_for).max(STALL_PATIENCE);
    let stalling = (0..arguments.stalled).map(|number| {
        let config = config(arguments.count + number, Transport::Tcp);
        async move { viewer::stall(&config, patience).await }
    });
    let joining = joins.run(begin + arguments.join_over + SETTLE, |number| {
        let transport = arguments.transport.of_viewer(number);
        config(arguments.count + arguments.stalled + number, transport)
    });
    // While all of them watch.
    let busy = async {
        let from = arguments.join_over + arguments.settle;
        sleep_until((begin + from).into()).await;
        let steady = watch_for.saturating_sub(from).max(LEAST_SPAN);
        let server = async {
            let Some(server) = &server else { return anyhow::Ok(None) };
            Ok(Some(Span::of(server, steady).await.context("the server is gone")?))
        };
        let own = Process::current();
        let (server, own) = tokio::join!(server, Span::of(&own, steady));
        anyhow::Ok((server?, own?))
    };
    let (watched, stalled, joined, busy) =
        tokio::join!(join_all(watching), join_all(stalling), joining, busy);
    let (busy, own) = busy?;
    let outcome = Outcome { watched, stalled, joined, idle, busy, own };
    if arguments.json {
        println!("{:#}", outcome.json());
    } else {
        outcome.print();
    }
    Ok(outcome.is_good())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = f64::from_str(number).map_err(|_| "write 5s or 500ms".to_owned())? * scale;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn login(text: &str) -> Result<Login, String> {
    let (user, password) = text.split_once(':').ok_or("write NAME:PASSWORD")?;
    Ok(Login { user: user.to_owned(), password: password.to_owned() })
}

/// Where viewer `number` comes from: within this machine, some from each of many addresses, because
/// a server does not let one have all of its connections.
fn own_address(url: &Url, number: usize) -> Option<IpAddr> {
    let server: Ipv4Addr = url.host_str()?.parse().ok().filter(Ipv4Addr::is_loopback)?;
    let share = u32::try_from(number / VIEWERS_PER_ADDRESS).ok()?;
    Some(Ipv4Addr::from_bits(server.to_bits().checked_add(share)?).into())
}

/// How long to look at the server before the viewers come.
const BASELINE: Duration = Duration::from_secs(2);
/// The runtime's, those of proc(5), and one pair that may be tried in vain.
const OTHER_FILES: u64 = 32;
const VIEWERS_PER_ADDRESS: usize = 200;
/// How long the watchers have been there when the first further viewer joins.
const SETTLE: Duration = Duration::from_secs(1);
const LEAST_SPAN: Duration = Duration::from_millis(500);
/// At least so long a server has to close a stalled viewer.
const STALL_PATIENCE: Duration = Duration::from_secs(30);
