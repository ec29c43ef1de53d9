//! The command line: what can be typed, and the help that teaches it.
//!
//! Reads nothing but the arguments; values are left to [`crate::config`], so that a flag, a key of
//! a file and a key of a source are one thing with one set of rules and messages.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind,
};
use url::Url;

use crate::probe::Transport;

pub use self::serve::{Environment, load_libraries};

pub mod check;
pub mod control;
pub mod devices;
pub mod doctor;
mod help;
mod serve;
pub mod status;

/// The whole command line; [`Parser::parse`] reads it and answers `--help` and `--version`.
#[derive(Clone, Debug)]
pub struct Cli {
    /// What to do; `None`: serve, with [`Cli::serve`].
    pub command: Option<Command>,
    /// What follows when no command is named.
    pub serve: ServeArgs,
    /// What to log, as directives; `None`: not said here.
    pub log: Option<String>,
}

/// The command line as clap reads it. Its own `args_conflicts_with_subcommands` would refuse
/// `--log` before a command too, so [`Cli`] looks for flags that would go unheard by itself.
#[derive(Debug, Parser)]
#[command(
    name = "lenscast",
    version,
    about = "A camera server: RTSP from a camera, a file, a test card or a pipe, for every player",
    after_help = "Without a command, lenscast serves; all flags of `serve` may follow directly.\n\
                  `lenscast --help` shows worked examples.",
    after_long_help = help::EXAMPLES,
    disable_help_subcommand = true
)]
struct Words {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
    /// What to log: error, warn, info, debug, trace, or directives as info,lenscast=debug
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Everywhere")]
    log: Option<String>,
}

impl Parser for Cli {}

impl CommandFactory for Cli {
    fn command() -> clap::Command {
        Words::command()
    }

    fn command_for_update() -> clap::Command {
        Words::command_for_update()
    }
}

impl FromArgMatches for Cli {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Words { command, serve, log } = Words::from_arg_matches(matches)?;
        if command.is_some() && serve != ServeArgs::default() {
            let message = "flags of serve stand before another command: write them after `serve`";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        Ok(Self { command, serve, log })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What lenscast can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve streams until Ctrl-C (what happens without a command, too)
    #[command(after_long_help = help::EXAMPLES)]
    Serve(ServeArgs),
    /// Say what is wrong with a configuration file, by line and key, or what it would serve
    Check(CheckArgs),
    /// List the cameras and encoders of this machine: formats, sizes, rates, controls
    Devices(DevicesArgs),
    /// Say what keeps this machine from serving well, and the command that mends it
    Doctor(DoctorArgs),
    /// Show or set the controls of a camera, also while it is served
    Control(ControlArgs),
    /// Play an RTSP URL as a player would, and report what came: times, frames, loss, clock
    Probe(ProbeArgs),
    /// Show how a running server does: streams, viewers, where a picture's time goes
    Status(StatusArgs),
    /// Give a user a new password
    Passwd(PasswdArgs),
}

/// The flags of `serve`, as they were typed: [`ServeArgs::config`] makes sense of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ServeArgs {
    /// What to stream: [NAME=]KIND:ARG[?key=value&…]; may be given several times
    #[arg(long, value_name = "SOURCE", long_help = help::SOURCE)]
    pub source: Vec<String>,
    /// Where to accept RTSP: a port, an address or both; may be given several times
    #[arg(long, value_name = "ADDRESS", long_help = help::LISTEN)]
    pub listen: Vec<String>,
    /// The even UDP port for RTP; RTCP takes the next [default: 8000]
    #[arg(long, value_name = "PORT")]
    pub udp_port: Option<String>,
    /// The largest RTP packet, in bytes of UDP payload [default: 1372]
    #[arg(long, value_name = "BYTES")]
    pub packet_size: Option<String>,
    /// Who may watch; may be given several times. Others on this machine can read it (ps): better
    /// LENSCAST_USER and LENSCAST_PASSWORD, or a file
    #[arg(long, value_name = "NAME:PASSWORD", long_help = help::USER)]
    pub user: Vec<NameAndPassword>,
    /// Let everyone watch, without user and password
    #[arg(long)]
    pub open: bool,
    /// Also offer Digest with SHA-256, which some players cannot bear
    #[arg(long)]
    pub auth_sha256: bool,
    /// Also offer Basic, which sends the password in clear
    #[arg(long)]
    pub auth_basic: bool,
    /// A file that says all this and more (docs/configuration.md); flags add to it or win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where hashes of passwords are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Devices that a library answers for.
    #[command(flatten)]
    pub libraries: LibraryArgs,
}

/// Which libraries answer for devices, of those commands that open some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct LibraryArgs {
    /// A device that a library answers for in the kernel's place; may be given several times
    #[arg(long, value_name = "NODE=LIBRARY", long_help = help::LIBRARY)]
    pub v4l2_library: Vec<String>,
}

/// What stands after `--user`; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct NameAndPassword(String);

impl From<&str> for NameAndPassword {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for NameAndPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameAndPassword(…)")
    }
}

/// What `check` is asked.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The file to look at
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
}

/// What `devices` is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct DevicesArgs {
    /// Print JSON in place of lines for people
    #[arg(long)]
    pub json: bool,
    /// Devices that a library answers for.
    #[command(flatten)]
    pub libraries: LibraryArgs,
}

/// What `doctor` is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArgs {
    /// Print JSON in place of lines for people
    #[arg(long)]
    pub json: bool,
    /// What would be served.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What `control` is asked.
#[derive(Clone, Debug, Args)]
pub struct ControlArgs {
    /// A node, as /dev/video0, or a name that stays, as `devices` lists them
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// Controls to set, as brightness=10 auto_exposure="Manual Mode"; without, all are listed
    #[arg(value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
    /// Devices that a library answers for.
    #[command(flatten)]
    pub libraries: LibraryArgs,
}

/// What `probe` is asked.
#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// The stream, as rtsp://name:password@host:8554/cam
    #[arg(value_name = "URL", value_parser = rtsp_url)]
    pub url: Url,
    /// How packets travel
    #[arg(long, value_enum, default_value_t)]
    pub transport: Transport,
    /// How long to play
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// Print one JSON object in place of lines for people
    #[arg(long)]
    pub json: bool,
}

/// What `status` is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct StatusArgs {
    /// Which, where several run: the port it listens on, or its process
    #[arg(value_name = "SERVER")]
    pub server: Option<u32>,
    /// Print the JSON document in place of tables (docs/status.md)
    #[arg(long)]
    pub json: bool,
    /// Show it again each second, until the server is gone or Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// What the server was given as its --state-dir, where there is no runtime directory
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// What `passwd` is asked.
#[derive(Clone, Debug, Args)]
pub struct PasswdArgs {
    /// Whose password; without it, that of the user lenscast made
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Where hashes of passwords are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

fn rtsp_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() != "rtsp" {
        return Err(format!("it begins with {}:, not with rtsp:", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host: write rtsp://host:8554/cam".to_owned());
    }
    Ok(url)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a time between 0.1 and {MAX_PROBE_SECONDS} seconds");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.1..=MAX_PROBE_SECONDS).contains(&seconds) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// An hour: the probe keeps figures of every frame.
const MAX_PROBE_SECONDS: f64 = 3600.0;
