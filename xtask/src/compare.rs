//! `cargo xtask compare`: what lenscast costs, as a multiple of the floor.
//!
//! The floor is a bare loop that sends the same file to the same viewers (`benches/src/bin/floor`).
//! Server and viewers have a processor each, and all contenders take turns in one run: a ratio of two
//! figures of one round is worth telling where the figures themselves are not, because machines
//! differ, and the same machine differs from minute to minute.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::{
    tools,
    workspace::{Workspace, run as run_shown, succeeds},
};

mod contender;
mod duel;
mod figures;
mod film;
mod growth;
mod joins;
mod machine;
mod plot;
mod record;
mod stage;
mod table;

use contender::Contender;
use record::Record;
use stage::Stage;

/// What `cargo xtask compare` is asked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many viewers the contenders are compared with; may be given several times
    #[arg(long, default_values_t = [100])]
    viewers: Vec<usize>,
    /// How RTP travels; may be given several times
    #[arg(long, value_enum, default_values_t = [Transport::Udp, Transport::Tcp])]
    transport: Vec<Transport>,
    /// Who takes part, beside the floor; may be given several times. Without it all who can
    #[arg(long, value_enum)]
    contender: Vec<Contender>,
    /// How often each contender has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long all viewers watch, once the last has joined
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Show how cost and memory of floor and lenscast grow with the viewers, and where the limit is
    #[arg(long)]
    grow: bool,
    /// With so many viewers, one after the other
    #[arg(long, value_name = "VIEWERS", value_delimiter = ',', default_values_t = GROWTH)]
    grow_to: Vec<usize>,
    /// Show how long viewers wait for their first picture, at each phase of the group of pictures
    #[arg(long)]
    joins: bool,
    /// Leave out the comparison itself, which otherwise comes first
    #[arg(long)]
    no_duel: bool,
    /// Have the kernel part the packets before the viewers get them, at the server's cost
    #[arg(long)]
    no_offload: bool,
    /// The server; built when not given
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// The static build of the server, which is what is shipped
    #[arg(long = "static", conflicts_with = "binary")]
    is_static: bool,
    /// Take what was built before
    #[arg(long)]
    no_build: bool,
    /// Install gst-rtsp-server by apt-get where it is missing
    #[arg(long)]
    install: bool,
    /// Write tables and plots into docs/
    #[arg(long)]
    write: bool,
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

/// Measures what was asked for and prints what came out.
///
/// # Errors
///
/// When something cannot be built or started. Losses, and viewers that were refused, are no error:
/// they stand in the table.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    if thread::available_parallelism()?.get() < 2 {
        bail!("server and viewers need a processor each");
    }
    let counts = arguments.viewers.iter().chain(&arguments.grow_to);
    if arguments.seconds < 2 || arguments.rounds == 0 || counts.min() == Some(&0) {
        bail!("at least 2 seconds, 1 round and 1 viewer");
    }
    if arguments.seconds > film::LONG_SECONDS / 2 {
        bail!("at most {} seconds: the film of gst-rtsp-server ends", film::LONG_SECONDS / 2);
    }
    // Before minutes of building.
    for (program, package) in [("ffmpeg", "ffmpeg"), ("taskset", "util-linux")] {
        if !succeeds(workspace.command(program).arg("--help")) {
            bail!("{program} is missing: apt-get install {package}");
        }
    }
    let contenders = contenders(arguments)?;
    let stage = Stage::set(workspace, arguments)?;
    let record = Record::new(workspace, arguments.write);
    if !arguments.no_duel {
        duel::run(&stage, &contenders, arguments, &record)?;
    }
    if arguments.grow {
        growth::run(&stage, arguments, &record)?;
    }
    if arguments.joins {
        joins::run(&stage, &record)?;
    }
    Ok(())
}

/// Those who take part, in the order of their turns.
fn contenders(arguments: &Arguments) -> anyhow::Result<Vec<Contender>> {
    let is_wanted = |contender: &Contender| {
        arguments.contender.is_empty()
            || *contender == Contender::Floor
            || arguments.contender.contains(contender)
    };
    let mut contenders: Vec<_> = Contender::ALL.into_iter().filter(is_wanted).collect();
    if contenders.contains(&Contender::Gst) && !stage::has_gst_rtsp_server() {
        let packages = stage::GST_PACKAGES;
        if arguments.install {
            tools::install_packages(&packages.split(' ').collect::<Vec<_>>())?;
        }
        if !stage::has_gst_rtsp_server() {
            println!(
                "gst-rtsp-server does not take part, because it is not here: `cargo xtask compare \
                 --install` installs it (Debian: {packages})"
            );
            contenders.retain(|contender| *contender != Contender::Gst);
        }
    }
    Ok(contenders)
}

/// Builds the server unless it was given, and what it is measured with.
fn build(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<PathBuf> {
    if !arguments.no_build {
        let build = "build --release --locked -p lenscast -p testkit -p benches";
        run_shown(&mut workspace.cargo(build))?;
    }
    match &arguments.binary {
        Some(binary) => Ok(binary.clone()),
        None if !arguments.is_static => Ok(workspace.target.join("release/lenscast")),
        None if arguments.no_build => Ok(crate::stages::static_path(workspace)),
        None => crate::stages::build_static(workspace),
    }
}

/// How long `viewers` take to join: a few each second at most, so that joining is not what is
/// measured.
fn join_over(viewers: usize) -> Duration {
    Duration::from_secs_f64((viewers as f64 / JOINS_PER_SECOND).max(1.0))
}

const JOINS_PER_SECOND: f64 = 200.0;
const GROWTH: [usize; 10] = [1, 10, 50, 100, 200, 500, 1000, 2000, 3000, 4000];
