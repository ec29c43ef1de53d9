//! Server and viewers, each on a processor of its own, and what they are started with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{
    Arguments, Contender, Transport, build,
    figures::{Figures, Run},
    film, join_over,
};
use crate::{
    server::Server,
    tools,
    workspace::{Workspace, succeeds},
};

/// Everything that a turn needs.
pub(crate) struct Stage<'a> {
    workspace: &'a Workspace,
    lenscast: PathBuf,
    /// Which build that is, in words.
    build: String,
    film: PathBuf,
    seconds: u32,
    offload: bool,
}

/// What lenscast serves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The film, and a keyframe of it that is there already.
    File,
    /// The test card, from an encoder that makes keyframes when asked.
    Card,
}

impl<'a> Stage<'a> {
    /// Builds what has to be built.
    pub(crate) fn set(workspace: &'a Workspace, arguments: &Arguments) -> anyhow::Result<Self> {
        let lenscast = build(workspace, arguments)?;
        if !succeeds(workspace.command(&lenscast).arg("--version")) {
            bail!("{} does not run: is it built?", lenscast.display());
        }
        let kind = match &arguments.binary {
            Some(_) => "a binary that was given",
            None if arguments.is_static => "the static release build",
            None => "the release build",
        };
        Ok(Self {
            workspace,
            lenscast,
            build: kind.to_owned(),
            film: film::short(workspace)?,
            seconds: arguments.seconds,
            offload: !arguments.no_offload,
        })
    }

    /// What it is that is measured, in words.
    pub(crate) fn conditions(&self) -> String {
        let offload = if self.offload { "" } else { " without offload" };
        format!(
            "{}; 1080p30 at 4 Mbit/s, {} s each, server and viewers{offload} on a processor each",
            self.build, self.seconds
        )
    }

    /// The build of lenscast, in words.
    pub(crate) fn build(&self) -> &str {
        &self.build
    }

    /// One turn: a new server, new viewers.
    pub(crate) fn play(
        &self,
        contender: Contender,
        transport: Transport,
        viewers: usize,
        round: usize,
    ) -> anyhow::Result<Run> {
        let server = Server::start(&mut self.server(contender)?, START)?;
        let joining = join_over(viewers).as_secs_f64();
        let report = self.watch(
            &server,
            &[
                &format!("--transport={}", transport.name()),
                &format!("--count={viewers}"),
                &format!("--join-over={joining}s"),
                &format!("--settle={SETTLE}s"),
                &format!("--seconds={}", joining + SETTLE + f64::from(self.seconds)),
            ],
        )?;
        let result = Figures::read(&report);
        Ok(Run { contender, transport, viewers, round, result })
    }

    /// lenscast with this source; with a login that [`USER`] has, or open.
    pub(crate) fn lenscast(&self, source: Source, login: bool) -> anyhow::Result<Command> {
        let tmp = self.workspace.target.join("tmp");
        let (state, limits) = (tmp.join("compare-state"), tmp.join("compare-limits.toml"));
        fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
        fs::write(&limits, LIMITS).with_context(|| format!("cannot write {}", limits.display()))?;
        let mut serve = self.pinned(SERVER_PROCESSOR, &self.lenscast);
        serve.args("serve --listen 127.0.0.1:0 --udp-port 0 --log warn".split(' '));
        serve.arg("--config").arg(limits).arg("--state-dir").arg(state);
        serve.arg("--source").arg(match source {
            Source::File => format!("film=file:{}", self.film.display()),
            Source::Card => format!("card=test:?gop={}s", film::GOP_SECONDS),
        });
        if login {
            serve.args(["--user", USER]);
        } else {
            serve.arg("--open");
        }
        Ok(serve)
    }

    /// Has viewers watch the server; what they say.
    pub(crate) fn watch(&self, server: &Server, arguments: &[&str]) -> anyhow::Result<Value> {
        let url = server.urls().first().context("no URL")?;
        let viewers = self.workspace.target.join("release/viewers");
        let mut watch = self.pinned(VIEWERS_PROCESSOR, &viewers);
        // Who may watch is told apart from the URL.
        let url = url.split_once('@').map_or(url.clone(), |(_, rest)| format!("rtsp://{rest}"));
        watch.arg(url).arg("--json").args(["--server-pid", &server.id().to_string()]);
        watch.args(arguments);
        if !self.offload {
            watch.arg("--no-offload");
        }
        // Losses make it fail; they are what is asked for here.
        let said = watch.stderr(Stdio::inherit()).output().context("cannot start the viewers")?;
        serde_json::from_slice(&said.stdout).context("the viewers said nothing that can be read")
    }

    fn server(&self, contender: Contender) -> anyhow::Result<Command> {
        let floor = |how: &str| {
            let floor = self.workspace.target.join("release/floor");
            let mut serve = self.pinned(SERVER_PROCESSOR, &floor);
            serve.arg(&self.film).args(how.split(' '));
            serve
        };
        Ok(match contender {
            Contender::Lenscast => self.lenscast(Source::File, false)?,
            Contender::Floor => floor("--udp each --tcp vectored"),
            Contender::LowerFloor => floor("--udp across --tcp contiguous"),
            Contender::Gst => {
                let python = Path::new(tools::system_python());
                let mut serve = self.pinned(SERVER_PROCESSOR, python);
                serve.arg(self.workspace.root.join(GST_SCRIPT));
                serve.arg(film::long(self.workspace, &self.film)?).arg(PACKET_SIZE);
                serve
            }
        })
    }

    /// `program` on this processor alone, with this process's number.
    fn pinned(&self, processor: &str, program: &Path) -> Command {
        let mut command = self.workspace.command("taskset");
        command.args(["--cpu-list", processor]).arg(program);
        command
    }
}

/// Whether Debian's gst-rtsp-server can be driven here.
pub(crate) fn has_gst_rtsp_server() -> bool {
    let imports = "import gi; gi.require_version('Gst', '1.0'); \
                   gi.require_version('GstRtspServer', '1.0'); \
                   from gi.repository import Gst, GstRtspServer; Gst.init(None); \
                   names = 'qtdemux h264parse rtph264pay'.split(); \
                   assert all(Gst.ElementFactory.find(name) for name in names)";
    succeeds(Command::new(tools::system_python()).args(["-c", imports]))
}

/// What it takes, by the names that Debian has for them.
pub(crate) const GST_PACKAGES: &str = "python3 python3-gi gir1.2-gst-rtsp-server-1.0 \
                                       gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
                                       gstreamer1.0-plugins-bad";
/// Who may watch, where not everyone may.
pub(crate) const USER: &str = "viewer:a password for the load client";
const GST_SCRIPT: &str = "xtask/src/compare/gst_rtsp_server.py";
/// Bytes of an RTP packet, lenscast's default.
const PACKET_SIZE: &str = "1372";
/// More viewers than the usual limits have room for.
const LIMITS: &str = "[limits]\nconnections = 10000\nsessions = 10000\n";
const SERVER_PROCESSOR: &str = "0";
const VIEWERS_PROCESSOR: &str = "1";
const START: Duration = Duration::from_secs(10);
/// Longer than a viewer takes to catch up with a group of pictures of two seconds, at twice their rate.
const SETTLE: f64 = 2.5;
