//! `cargo xtask compare`: what lenscast costs, as a multiple of the floor.
//!
//! The floor is a bare loop that sends the same file to the same viewers (`benches/src/bin/floor`).
//! Server and viewers have a processor each, and all contenders take turns in one run: a ratio of two
//! figures of one round is worth telling where the figures themselves are not, because machines
//! differ, and the same machine differs from minute to minute.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    server::Server,
    workspace::{Workspace, output, run as run_shown},
};

mod table;

use table::{Machine, Run, Table};

/// What `cargo xtask compare` is asked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many viewers; may be given several times
    #[arg(long, default_values_t = [100])]
    viewers: Vec<usize>,
    /// How RTP travels; may be given several times
    #[arg(long, value_enum, default_values_t = [Transport::Udp, Transport::Tcp])]
    transport: Vec<Transport>,
    /// How often each contender has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long viewers watch, of which one second is for joining
    #[arg(long, default_value_t = 11)]
    seconds: u32,
    /// Have the kernel part the packets before the viewers get them, at the server's cost
    #[arg(long)]
    no_offload: bool,
    /// The server; built when not given
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// How RTP travels.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Who sends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// A bare loop, one call for each viewer and run of packets.
    Floor,
    /// A bare loop with as few calls, or as little in each, as there is a way to.
    LowerFloor,
    Lenscast,
}

impl Contender {
    /// In the order of their turns.
    const ALL: [Self; 3] = [Self::Floor, Self::Lenscast, Self::LowerFloor];

    fn name(self, transport: Transport) -> &'static str {
        match (self, transport) {
            (Self::Lenscast, _) => "lenscast",
            (Self::Floor, Transport::Udp) => "floor: sendmsg, segmented",
            (Self::LowerFloor, Transport::Udp) => "floor: sendmmsg, segmented",
            (Self::Floor, Transport::Tcp) => "floor: writev",
            (Self::LowerFloor, Transport::Tcp) => "floor: write, contiguous",
        }
    }
}

/// Runs all contenders in turn and prints what came out.
///
/// # Errors
///
/// When something cannot be built or started, or viewers say nothing. Losses are no error: they
/// stand in the table.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    if thread::available_parallelism()?.get() < 2 {
        bail!("server and viewers need a processor each");
    }
    if arguments.seconds < 3 || arguments.rounds == 0 || arguments.viewers.contains(&0) {
        bail!("at least 3 seconds, 1 round and 1 viewer");
    }
    // Before minutes of building.
    for (program, package) in [("ffmpeg", "ffmpeg"), ("taskset", "util-linux")] {
        let help = workspace.command(program).arg("--help").output();
        if !help.is_ok_and(|help| help.status.success()) {
            bail!("{program} is missing: apt-get install {package}");
        }
    }
    run_shown(&mut workspace.cargo("build --release --locked -p lenscast -p testkit -p benches"))?;
    let stage = Stage {
        workspace,
        arguments,
        lenscast: match &arguments.binary {
            Some(binary) => binary.clone(),
            None => workspace.target.join("release/lenscast"),
        },
        film: film(workspace)?,
    };
    let begin = Machine::now()?;
    let mut runs = Vec::new();
    for &viewers in &arguments.viewers {
        for &transport in &arguments.transport {
            for round in 0..arguments.rounds {
                let mut turns = Contender::ALL;
                // Nobody always comes first, or after the same one.
                if round % 2 == 1 {
                    turns.reverse();
                }
                for contender in turns {
                    let result = stage.play(contender, transport, viewers)?;
                    println!("{}", result.line(contender, transport, viewers));
                    runs.push(Run { contender, transport, viewers, round, result });
                }
            }
        }
    }
    let table = Table { runs: &runs, begin, end: Machine::now()?, seconds: arguments.seconds };
    println!("\n{table}");
    let record = workspace.target.join("compare.json");
    fs::write(&record, format!("{:#}\n", table.json()))
        .with_context(|| format!("cannot write {}", record.display()))?;
    println!("all figures: {}", record.display());
    Ok(())
}

struct Stage<'a> {
    workspace: &'a Workspace,
    arguments: &'a Arguments,
    lenscast: PathBuf,
    film: PathBuf,
}

impl Stage<'_> {
    fn play(
        &self,
        contender: Contender,
        transport: Transport,
        viewers: usize,
    ) -> anyhow::Result<table::Figures> {
        let release = self.workspace.target.join("release");
        let film = self.film.display();
        let mut serve = match contender {
            Contender::Lenscast => {
                let mut serve = self.pinned(SERVER_PROCESSOR, &self.lenscast);
                let arguments = "serve --listen 127.0.0.1:0 --udp-port 0 --open --log warn";
                serve.args(arguments.split(' ')).arg("--source").arg(format!("film=file:{film}"));
                let state = self.workspace.target.join("tmp/compare-state");
                fs::create_dir_all(&state)
                    .with_context(|| format!("cannot make {}", state.display()))?;
                serve.arg("--state-dir").arg(state);
                serve
            }
            Contender::Floor | Contender::LowerFloor => {
                let mut serve = self.pinned(SERVER_PROCESSOR, &release.join("floor"));
                let how = match contender {
                    Contender::LowerFloor => "--udp across --tcp contiguous",
                    _ => "--udp each --tcp vectored",
                };
                serve.arg(&self.film).args(how.split(' '));
                serve
            }
        };
        let server = Server::start(&mut serve, START)?;
        let url = server.urls().first().context("no URL")?;
        let mut watch = self.pinned(VIEWERS_PROCESSOR, &release.join("viewers"));
        watch.arg(url).args(["--transport", transport.name(), "--json"]);
        watch.args(["--count", &viewers.to_string()]);
        watch.args(["--seconds", &self.arguments.seconds.to_string()]);
        watch.args(["--server-pid", &server.id().to_string()]);
        if self.arguments.no_offload {
            watch.arg("--no-offload");
        }
        // Losses make it fail; they are what is asked for here.
        let said = watch.stderr(Stdio::inherit()).output().context("cannot start the viewers")?;
        let json: Value = serde_json::from_slice(&said.stdout)
            .with_context(|| format!("the viewers of {contender:?} said nothing to be read"))?;
        table::Figures::read(&json).with_context(|| format!("the viewers say {json:#}"))
    }

    /// `program` on this processor alone, with this process's number.
    fn pinned(&self, processor: &str, program: &Path) -> Command {
        let mut command = self.workspace.command("taskset");
        command.args(["--cpu-list", processor]).arg(program);
        command
    }
}

/// Ten seconds of 1080p30 at 4 Mbit/s, a keyframe every two seconds, made once. Noise keeps the
/// encoder from saving bits where nothing moves.
fn film(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let directory = workspace.target.join("tmp");
    let film = directory.join("compare-1080p30-4M.mp4");
    if film.exists() {
        return Ok(film);
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let unfinished = directory.join("compare-unfinished.mp4");
    let picture = "testsrc2=size=1920x1080:rate=30,noise=alls=12:allf=t";
    let encoder = "-t 10 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 4M -minrate 4M \
                   -maxrate 4M -bufsize 2M -g 60 -keyint_min 60 -sc_threshold 0 -bf 0";
    let mut ffmpeg = workspace.command("ffmpeg");
    ffmpeg.args("-hide_banner -loglevel error -y -f lavfi -i".split(' ')).arg(picture);
    output(ffmpeg.args(encoder.split_ascii_whitespace()).arg(&unfinished))?;
    fs::rename(&unfinished, &film).with_context(|| format!("cannot make {}", film.display()))?;
    Ok(film)
}

const SERVER_PROCESSOR: &str = "0";
const VIEWERS_PROCESSOR: &str = "1";
const START: Duration = Duration::from_secs(10);
