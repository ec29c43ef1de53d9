//! Watches a stream with many viewers at once, and says what they and the server went through.

use std::{
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use futures::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use testkit::viewer::{
    self, Closed, Config, Error, Login, Process, Report, Spread, Summary, Transport, Usage,
};
use tokio::time::sleep_until;
use url::Url;

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
    /// How long each viewer watches
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Further viewers that play over TCP and then never read again
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Let the viewers join one by one over this time, as 5s or 500ms
    #[arg(long, default_value = "1s", value_parser = duration)]
    join_over: Duration,
    /// Log in as NAME:PASSWORD
    #[arg(long, value_parser = login)]
    user: Option<Login>,
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
    raise_open_files();
    if !(arguments.seconds >= 0.0 && arguments.seconds < 1e6) {
        bail!("--seconds {}: not a time to watch", arguments.seconds);
    }
    let server = arguments.server_pid.map(Process::new);
    let idle = match &server {
        Some(server) => Some(Span::of(server, BASELINE).await.context("--server-pid")?),
        None => None,
    };
    let config = |transport| Config {
        url: arguments.url.clone(),
        transport,
        login: arguments.user.clone(),
        duration: Duration::from_secs_f64(arguments.seconds),
    };
    let begin = Instant::now();
    let joins = viewer::join_times(arguments.count, arguments.join_over);
    let watching = joins.enumerate().map(|(number, after)| {
        let config = config(arguments.transport.of_viewer(number));
        async move {
            sleep_until((begin + after).into()).await;
            viewer::watch(&config).await
        }
    });
    let patience = arguments.join_over + Duration::from_secs_f64(arguments.seconds);
    let patience = patience.max(STALL_PATIENCE);
    let stalling = (0..arguments.stalled).map(|_| {
        let config = config(Transport::Tcp);
        async move { viewer::stall(&config, patience).await }
    });
    let own_before = Process::current().usage()?;
    let measured = async {
        let Some(server) = &server else { return anyhow::Ok(None) };
        // While all of them watch.
        let from = begin + arguments.join_over;
        sleep_until(from.into()).await;
        let steady = Duration::from_secs_f64(arguments.seconds).saturating_sub(arguments.join_over);
        Ok(Some(Span::of(server, steady.max(LEAST_SPAN)).await.context("the server is gone")?))
    };
    let (watched, stalled, measured) =
        tokio::join!(join_all(watching), join_all(stalling), measured);
    let own = Span { from: own_before, to: Process::current().usage()?, time: begin.elapsed() };
    let outcome = Outcome { watched, stalled, idle, busy: measured?, own };
    if arguments.json {
        println!("{:#}", outcome.json());
    } else {
        outcome.print();
    }
    Ok(outcome.is_good())
}

/// What a process used over some time.
struct Span {
    from: Usage,
    to: Usage,
    time: Duration,
}

impl Span {
    async fn of(process: &Process, time: Duration) -> anyhow::Result<Self> {
        let (begin, from) = (Instant::now(), process.usage()?);
        sleep_until((begin + time).into()).await;
        Ok(Self { from, to: process.usage()?, time: begin.elapsed() })
    }

    /// Of one processor: 1 is all of it.
    fn load(&self) -> f64 {
        (self.to.cpu.saturating_sub(self.from.cpu)).as_secs_f64() / self.time.as_secs_f64()
    }
}

struct Outcome {
    watched: Vec<Result<Report, Error>>,
    stalled: Vec<Result<viewer::Stalled, Error>>,
    idle: Option<Span>,
    busy: Option<Span>,
    own: Span,
}

impl Outcome {
    fn reports(&self, transport: Option<Transport>) -> impl Iterator<Item = &Report> {
        let is_asked = move |report: &&Report| transport.is_none_or(|t| t == report.transport);
        self.watched.iter().filter_map(|watched| watched.as_ref().ok()).filter(is_asked)
    }

    fn failures(&self) -> impl Iterator<Item = &Error> {
        let watched = self.watched.iter().filter_map(|watched| watched.as_ref().err());
        watched.chain(self.stalled.iter().filter_map(|stalled| stalled.as_ref().err()))
    }

    fn is_good(&self) -> bool {
        let is_closed = |closed| !matches!(closed, Closed::NotWithin(_));
        self.failures().next().is_none()
            && self.reports(None).all(|report| report.faults().is_empty())
            && self.reports(None).all(|report| report.counts.lost == 0)
            && self.stalled.iter().flatten().all(|stalled| is_closed(stalled.closed))
    }

    /// Milliseconds of processor time the server spends on one viewer in a second.
    fn cost_per_viewer(&self) -> Option<f64> {
        let (idle, busy) = (self.idle.as_ref()?, self.busy.as_ref()?);
        let viewers = self.reports(None).count();
        (viewers > 0).then(|| (busy.load() - idle.load()) * 1000.0 / viewers as f64)
    }

    fn print(&self) {
        println!(
            "{:<5} {:>7} {:>10} {:>8} {:>6} {:>9}  {:<26} {:<26} {:<26}",
            "",
            "viewers",
            "packets",
            "units",
            "lost",
            "own drops",
            "first packet ms",
            "first keyframe ms",
            "frame gap ms"
        );
        for (name, transport) in
            [("udp", Some(Transport::Udp)), ("tcp", Some(Transport::Tcp)), ("all", None)]
        {
            let summary = Summary::of(self.reports(transport));
            if summary.viewers == 0 {
                continue;
            }
            println!(
                "{name:<5} {:>7} {:>10} {:>8} {:>6} {:>9}  {:<26} {:<26} {:<26}",
                summary.viewers,
                summary.packets,
                summary.units,
                summary.lost_at_server,
                summary.own_drops,
                written(summary.first_packet),
                written(summary.first_keyframe),
                written(summary.frame_gap),
            );
        }
        println!("(times: median / 99 % / largest)");
        for stalled in self.stalled.iter().flatten() {
            match stalled.closed {
                Closed::After(after) => println!("stalled: closed after {after:.1?}"),
                Closed::NotWithin(time) => println!("stalled: still open after {time:.1?}"),
                Closed::Unknown => println!("stalled: the server is not on this machine"),
            }
        }
        println!("client: {:.1} % of a processor", self.own.load() * 100.0);
        if let (Some(idle), Some(busy)) = (&self.idle, &self.busy) {
            println!(
                "server: {:.1} % of a processor, {:.1} % without viewers; {} a viewer and second; \
                 memory {:.1} MB before, {:.1} MB with viewers, {:.1} MB at most; {} threads, \
                 {} descriptors",
                busy.load() * 100.0,
                idle.load() * 100.0,
                self.cost_per_viewer().map_or("?".to_owned(), |cost| format!("{cost:.2} ms")),
                megabytes(idle.from.resident),
                megabytes(busy.to.resident),
                megabytes(busy.to.peak),
                busy.to.threads,
                busy.to.descriptors,
            );
        }
        let faulty = self.reports(None).map(Report::faults).filter(|faults| !faults.is_empty());
        for faults in faulty.take(MOST_TOLD) {
            println!("fault: {}", faults.join("; "));
        }
        for failure in self.failures().take(MOST_TOLD) {
            println!("failed: {failure}");
        }
        let failed = self.failures().count();
        if failed > 0 {
            println!("{failed} viewers failed");
        }
    }

    fn json(&self) -> serde_json::Value {
        let summary = |transport| {
            let summary = Summary::of(self.reports(transport));
            json!({
                "viewers": summary.viewers,
                "packets": summary.packets,
                "bytes": summary.bytes,
                "units": summary.units,
                "lost_at_server": summary.lost_at_server,
                "own_drops": summary.own_drops,
                "announced": summary.announced,
                "first_packet_ms": spread(summary.first_packet),
                "first_keyframe_ms": spread(summary.first_keyframe),
                "frame_gap_ms": spread(summary.frame_gap),
            })
        };
        let stalled = self.stalled.iter().flatten().map(|stalled| match stalled.closed {
            Closed::After(after) => json!(after.as_secs_f64()),
            Closed::NotWithin(_) | Closed::Unknown => json!(null),
        });
        let faults: Vec<_> =
            self.reports(None).map(Report::faults).filter(|faults| !faults.is_empty()).collect();
        let failures: Vec<_> = self.failures().map(ToString::to_string).collect();
        json!({
            "good": self.is_good(),
            "udp": summary(Some(Transport::Udp)),
            "tcp": summary(Some(Transport::Tcp)),
            "all": summary(None),
            "stalled_closed_after_s": stalled.collect::<Vec<_>>(),
            "client_cpu": self.own.load(),
            "server_cpu_idle": self.idle.as_ref().map(Span::load),
            "server_cpu": self.busy.as_ref().map(Span::load),
            "server_cpu_ms_per_viewer_and_second": self.cost_per_viewer(),
            "server_resident_before": self.idle.as_ref().map(|idle| idle.from.resident),
            "server_resident": self.busy.as_ref().map(|busy| busy.to.resident),
            "server_resident_peak": self.busy.as_ref().map(|busy| busy.to.peak),
            "faults": faults,
            "failures": failures,
        })
    }
}

fn written(spread: Option<Spread>) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    spread.map_or("-".to_owned(), |Spread { median, p99, max }| {
        format!("{:.1} / {:.1} / {:.1}", millis(median), millis(p99), millis(max))
    })
}

fn spread(spread: Option<Spread>) -> serde_json::Value {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    spread.map_or(json!(null), |Spread { median, p99, max }| {
        json!({ "median": millis(median), "p99": millis(p99), "max": millis(max) })
    })
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
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

/// Each viewer has two or three sockets. Without more of them, those there are must do.
fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// How long to look at the server before the viewers come.
const BASELINE: Duration = Duration::from_secs(2);
const LEAST_SPAN: Duration = Duration::from_millis(500);
/// At least so long a server has to close a stalled viewer.
const STALL_PATIENCE: Duration = Duration::from_secs(30);
const MOST_TOLD: usize = 10;
