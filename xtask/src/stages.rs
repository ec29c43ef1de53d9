//! What is proved, stage by stage. docs/testing.md tells people the same.
//!
//! One set of flags for all builds of the dev profile, so that nothing is built twice: always the
//! whole workspace, because a part of it has other features and hence other dependencies.

use std::{
    fmt, fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::{
    aarch64, counts, layers, matrix,
    server::{Server, probe},
    vm,
    workspace::{Workspace, run, run_marking},
};

/// A stage of `cargo xtask test`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Is it formatted?
    Fmt,
    /// Do crates use only those below them, and are the pure ones pure?
    Layers,
    /// Is clippy content?
    Clippy,
    /// Does everything compile?
    Build,
    /// Units, properties, transcripts
    Units,
    /// The examples in the documentation
    Docs,
    /// Real players and the real binary
    Interop,
    /// The commands of the README
    Readme,
    /// Many viewers at once
    Soak,
    /// Instructions, compared with those that were kept
    Counts,
    /// The static binary
    Static,
    /// Tests and binary for 64-bit Arm, emulated
    Aarch64,
    /// Cameras and encoders, on a real kernel in a virtual machine
    Vm,
}

/// A stage and how it is run. It is given the workspace and whether to take its long form, and
/// returns a few words on what it found.
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: Name,
    /// What it does.
    pub(crate) run: fn(&Workspace, bool) -> anyhow::Result<String>,
}

impl Stage {
    const fn new(name: Name, run: fn(&Workspace, bool) -> anyhow::Result<String>) -> Self {
        Self { name, run }
    }
}

/// In the order in which they run: the quick ones first, then those that wait for a build.
pub(crate) const ALL: &[Stage] = &[
    Stage::new(Name::Fmt, fmt),
    Stage::new(Name::Layers, |workspace, _| layers::check(workspace)),
    Stage::new(Name::Clippy, clippy),
    Stage::new(Name::Build, build),
    Stage::new(Name::Units, units),
    Stage::new(Name::Docs, docs),
    Stage::new(Name::Interop, interop),
    Stage::new(Name::Readme, readme),
    Stage::new(Name::Soak, soak),
    Stage::new(Name::Counts, counts::run_stage),
    Stage::new(Name::Static, static_binary),
    Stage::new(Name::Aarch64, aarch64::run_stage),
    Stage::new(Name::Vm, vm::run_stage),
];

impl Name {
    /// Whether running it makes no sense after `failed` has failed.
    pub(crate) fn is_void_without(self, failed: Self) -> bool {
        failed == Self::Build && self != failed
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => Ok(()),
        }
    }
}

fn fmt(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    run(&mut workspace.cargo("fmt --all --check")).map(|()| String::new())
}

fn clippy(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    let command = "clippy --workspace --locked --all-targets -- -D warnings";
    run(&mut workspace.cargo(command)).map(|()| String::new())
}

/// Everything that the stages up to the soak need, in the dev profile.
fn build(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    run(&mut workspace.cargo("nextest run --workspace --locked --no-run"))?;
    run(&mut workspace.cargo("build --workspace --locked --bins")).map(|()| String::new())
}

fn units(workspace: &Workspace, full: bool) -> anyhow::Result<String> {
    let mut command = workspace.cargo("nextest run --workspace --locked");
    if full {
        command.env("PROPTEST_CASES", "4096");
    }
    nextest(&mut command)
}

fn docs(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    run(&mut workspace.cargo("test --workspace --locked --doc")).map(|()| String::new())
}

fn interop(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    let findings = workspace.target.join("tmp/interop.txt");
    match fs::remove_file(&findings) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    matrix::forget(workspace)?;
    let found = nextest(&mut workspace.cargo("nextest run --workspace --locked --profile interop"));
    if let Ok(findings) = fs::read_to_string(&findings) {
        let mut lines: Vec<&str> = findings.lines().collect();
        lines.sort_unstable();
        println!("how old live pictures were when players had decoded them:");
        lines.iter().for_each(|line| println!("  {line}"));
    }
    let table = matrix::show(workspace);
    // A test that failed says more than the table that lacks it.
    let found = found?;
    table?.hold(workspace)?;
    Ok(found)
}

/// The README's first command, run as written, and its URL played; the second is this program.
fn readme(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    let text = fs::read_to_string(workspace.root.join("README.md")).context("README.md")?;
    let commands = shell_commands(&text);
    for wanted in [SERVE, TEST] {
        if !commands.contains(&wanted) {
            bail!("README.md has no `{wanted}` in a ```sh block any more");
        }
    }
    run(&mut workspace.cargo("build --release --locked"))?;
    let state = empty_directory(workspace, "readme-state")?;
    let mut serve = workspace.cargo(SERVE.trim_start_matches("cargo "));
    serve.env("STATE_DIRECTORY", &state);
    serve.env_remove("LENSCAST_USER").env_remove("LENSCAST_PASSWORD");
    if TcpListener::bind("[::]:8554").is_err() {
        println!("port 8554 is taken here: a free one is used in its place");
        serve.args(["--", "--listen", "0", "--udp-port", "0"]);
    }
    let server = Server::start(&mut serve, BUILD_AND_START)?;
    let with_password = |url: &&String| url.contains('@');
    let url = server.urls().iter().find(with_password).context("no URL has a password in it")?;
    probe(|| workspace.command(workspace.target.join("release/lenscast")), url)?;
    server.interrupt()?;
    Ok(format!("`{SERVE}` plays"))
}

/// Commands in ```` ```sh ```` blocks, without comments.
fn shell_commands(text: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut is_shell = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_shell = line == "```sh";
        } else if is_shell {
            commands.push(line.split_once(" #").map_or(line, |(command, _)| command).trim());
        }
    }
    commands
}

/// A hundred viewers, one more that stops reading and harms nobody, and joins at every phase of the
/// group of pictures. In full for a minute, and then with a table of what it costs.
fn soak(workspace: &Workspace, full: bool) -> anyhow::Result<String> {
    run(&mut workspace.cargo("build --release --locked"))?;
    let release = workspace.target.join("release/lenscast");
    let mut soak = workspace.cargo("nextest run --workspace --locked --profile soak");
    soak.env("LENSCAST_BINARY", &release);
    if full {
        soak.env("LENSCAST_SOAK_SECONDS", "60");
    }
    let summary = nextest(&mut soak)?;
    if full {
        cost(workspace, &release)?;
    }
    Ok(summary)
}

fn cost(workspace: &Workspace, release: &Path) -> anyhow::Result<()> {
    let mut serve = workspace.command(release);
    serve.args("serve --listen 127.0.0.1:0 --udp-port 0 --open --state-dir".split(' '));
    serve.arg(empty_directory(workspace, "soak-state")?);
    let server = Server::start(&mut serve, START)?;
    let url = server.urls().first().context("the server prints no URL")?;
    let mut viewers = workspace.command(workspace.target.join("debug/viewers"));
    viewers.arg(url).args("--count 100 --transport mixed --stalled 1 --seconds 60".split(' '));
    run(viewers.args(["--server-pid", &server.id().to_string()]))?;
    server.interrupt()?;
    Ok(())
}

/// The binary for everywhere: nothing of this system is needed to run it.
fn static_binary(workspace: &Workspace, full: bool) -> anyhow::Result<String> {
    let binary = build_static(workspace)?;
    run(Command::new(&binary).arg("--version"))?;
    let mut players = workspace.cargo("nextest run --workspace --locked --profile interop");
    players.env("LENSCAST_BINARY", &binary);
    if !full {
        players.args(["-E", "test(live::probe)"]);
    }
    nextest(&mut players)?;
    let megabytes = fs::metadata(&binary)?.len() as f64 / 1e6;
    Ok(format!("{megabytes:.1} MB, needs nothing"))
}

/// Builds that binary; where it is.
///
/// # Errors
///
/// When it cannot be built here, or is not static.
pub(crate) fn build_static(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!("the static binary is built on Linux on x86_64 only");
    }
    // Into the same target directory: what runs in the compiler is there already.
    let mut build = workspace.cargo("build --release --locked -p lenscast --target");
    run(build.arg(STATIC_TARGET).env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let binary = static_path(workspace);
    aarch64::must_be_static(&binary)?;
    Ok(binary)
}

/// Where it is built.
pub(crate) fn static_path(workspace: &Workspace) -> PathBuf {
    workspace.target.join(STATIC_TARGET).join("release/lenscast")
}

/// Runs nextest; its last line but one, `Summary […]`, is what there is to say.
///
/// # Errors
///
/// When a test failed, or nothing ran.
pub(crate) fn nextest(command: &mut Command) -> anyhow::Result<String> {
    let summary = run_marking(command, "Summary [")?.pop().context("nextest has no summary")?;
    Ok(summary.split_once("] ").map_or("", |(_, summary)| summary).to_owned())
}

/// `name` in target/tmp, with nothing in it.
pub(crate) fn empty_directory(workspace: &Workspace, name: &str) -> anyhow::Result<PathBuf> {
    let path = workspace.target.join("tmp").join(name);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

const SERVE: &str = "cargo run --release";
const TEST: &str = "cargo xtask test --install";
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";
/// There is nothing left to build.
const BUILD_AND_START: Duration = Duration::from_secs(60);
const START: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_in_shell_blocks() {
        let text =
            "cargo a\n```text\ncargo b\n```\n```sh\ncargo c  # why\n\nx '#1'\n```\ncargo d\n";
        assert_eq!(shell_commands(text), ["cargo c", "", "x '#1'"]);
    }
}
