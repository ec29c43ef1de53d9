//! Runs one command of this machine in a small virtual machine with real V4L2 drivers.
//!
//! ```text
//!  Debian's kernel packages ─┐
//!  tests/vm/h264-encoder ────┼─ once ─▶ target/vm/VERSION/{vmlinuz, initramfs}
//!  tests/vm/init ────────────┘                   │
//!                                                ▼
//!  COMMAND ──▶ QEMU: `/` of this machine (9p, read-only) under a tmpfs; output and exit code back
//! ```
//!
//! `tests/vm/README.md` says what is in there and what to mind. The machine's own package sources
//! stay as they are, and nothing is written outside `target/vm`.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{
    tools,
    workspace::{Workspace, succeeds},
};

mod initramfs;
mod kernel;
mod machine;
mod stage;

pub(crate) use stage::run_stage;

use machine::{Machine, Outcome};

/// What `cargo xtask vm` is told.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Install what is missing here with apt-get
    #[arg(long)]
    install: bool,
    /// Look for a newer kernel, where one is set up already
    #[arg(long)]
    update: bool,
    /// A module to load, with parameters, as in 'vivid n_devs=2'; may be repeated. Without any:
    /// vivid with one camera, and h264_test_encoder
    #[arg(long, value_name = "MODULE [NAME=VALUE…]")]
    load: Vec<String>,
    /// Load no module
    #[arg(long, conflicts_with = "load")]
    load_none: bool,
    /// A directory that the command may write to, under its own path; may be repeated
    #[arg(long, value_name = "DIRECTORY")]
    writable: Vec<PathBuf>,
    /// A variable for the command's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A port of this machine that leads into the virtual one, as in tcp:127.0.0.1:18554-:8554
    #[arg(long, value_name = "PROTOCOL:HOST:PORT-:PORT")]
    forward: Vec<String>,
    /// How long the command may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    seconds: u64,
    /// Memory of the virtual machine
    #[arg(long, value_name = "MEBIBYTES", default_value_t = 2048)]
    memory: u32,
    /// Show the console's log also if all went well
    #[arg(long)]
    console: bool,
    /// What to run, as on this machine; without it, all is set up and nothing is run
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command, and returns its exit code: 124 when it took too long, 125 when it did not get
/// to run or the virtual machine broke.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> ExitCode {
    match set_up_and_run(workspace, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::from(BROKEN)
        }
    }
}

fn set_up_and_run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!("the virtual machine runs this machine's programs: it is for Linux on x86_64");
    }
    settle_tools(arguments.install)?;
    let kernel = kernel::ready(workspace, arguments.update)?;
    if arguments.command.is_empty() {
        say(&format!("kernel {} is ready in {}", kernel.release, kernel.directory.display()));
        return Ok(0);
    }
    let load = match (arguments.load_none, arguments.load.as_slice()) {
        (true, _) => Vec::new(),
        (false, []) => DEFAULT_MODULES.iter().map(|line| (*line).to_owned()).collect(),
        (false, load) => load.to_vec(),
    };
    let machine = Machine {
        kernel: &kernel,
        load,
        writable: arguments.writable.clone(),
        environment: arguments.env.clone(),
        forwards: arguments.forward.clone(),
        memory_mebibytes: arguments.memory,
        limit: Duration::from_secs(arguments.seconds),
        heading: None,
    };
    let started = Instant::now();
    let outcome = machine.run(workspace, &arguments.command)?;
    report(&outcome, arguments.console);
    say(&format!("exit code {}, {:.1} s in all", outcome.code, started.elapsed().as_secs_f64()));
    Ok(outcome.code)
}

fn report(outcome: &Outcome, console: bool) {
    if outcome.code != 0 || console {
        eprintln!("---- console ({})\n{}----", outcome.log.display(), outcome.console);
    }
    for (step, seconds) in &outcome.steps {
        say(&format!("{seconds:6.1} s  {step}"));
    }
}

/// # Errors
///
/// The packages that are missing and the command that installs them.
fn settle_tools(install: bool) -> anyhow::Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !install {
        bail!(
            "this is missing here: {packages}\n  \
             apt-get install --no-install-recommends {packages}\n\
             `cargo xtask vm --install` does that"
        );
    }
    tools::install_packages(&missing)?;
    let missing = missing_packages();
    if !missing.is_empty() {
        bail!("after installing, this is still missing: {}", missing.join(" "));
    }
    Ok(())
}

/// Whether everything is there.
pub(crate) fn has_tools() -> bool {
    missing_packages().is_empty()
}

fn missing_packages() -> Vec<&'static str> {
    let is_there = |program: &str| {
        if program.starts_with('/') {
            return Path::new(program).exists();
        }
        succeeds(Command::new("sh").args(["-c", &format!("command -v {program}")]).env(
            "PATH",
            // depmod and modprobe are not on everybody's path.
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()),
        ))
    };
    let missing = TOOLS.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Progress; standard output is the command's.
fn say(text: &str) {
    eprintln!("vm: {text}");
}

/// Does `work`, and says how long it took.
fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say(what);
    let start = Instant::now();
    let done = work().with_context(|| what.to_owned())?;
    say(&format!("{:6.1} s  {what}", start.elapsed().as_secs_f64()));
    Ok(done)
}

/// The virtual machine failed, not the command.
const BROKEN: u8 = 125;
const DEFAULT_MODULES: &[&str] =
    &["vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00", "h264_test_encoder"];
/// Programs and libraries, and the packages that have them; the same package side by side.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("/bin/busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
    ("gcc", "gcc"),
    ("make", "make"),
    ("strip", "binutils"),
    // objtool, of the kernel's own tools to build modules, is linked with it.
    ("/usr/lib/x86_64-linux-gnu/libelf.so.1", "libelf1"),
    ("timeout", "coreutils"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
];
/// All of those, for who installs them with others.
pub(crate) const PACKAGES: &str = "qemu-system-x86 busybox-static kmod cpio xz-utils gcc make \
                                   binutils libelf1 coreutils dpkg apt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_those_of_the_tools() {
        let mut packages: Vec<&str> = TOOLS.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        assert_eq!(PACKAGES.split_whitespace().collect::<Vec<_>>(), packages);
    }
}
