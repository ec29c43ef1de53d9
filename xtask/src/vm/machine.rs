//! One boot of the virtual machine: the shares it is given, how long each part may take, and what
//! comes back.
//!
//! A directory of the run goes in and out over 9p: `modules` and `job` in; `ready`, `seconds`,
//! `failed` and `code` out, which `tests/vm/init` writes. Output comes through a virtio console,
//! which is QEMU's standard output, and so this program's.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::workspace::Workspace;

use super::{
    kernel::{Kernel, remove_if_there},
    say,
};

/// What to boot, and with what.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Kernel,
    /// Each a module with its parameters.
    pub(super) load: Vec<String>,
    /// Directories of this machine; each is there under its own path.
    pub(super) writable: Vec<PathBuf>,
    /// Each a `NAME=VALUE`.
    pub(super) environment: Vec<String>,
    /// As QEMU's `hostfwd`.
    pub(super) forwards: Vec<String>,
    pub(super) memory_mebibytes: u32,
    /// How long the command may take.
    pub(super) limit: Duration,
    /// What the command prints is shown below this, all at once when it has ended: for several
    /// machines at a time. `None`: while it runs.
    pub(super) heading: Option<&'static str>,
}

/// What a command did.
pub(super) struct Outcome {
    /// Its exit code.
    pub(super) code: u8,
    /// What was on the console.
    pub(super) console: String,
    /// Where that is kept.
    pub(super) log: PathBuf,
    /// What was done, and how many seconds it took.
    pub(super) steps: Vec<(String, f64)>,
}

impl Machine<'_> {
    /// Boots, and runs `command` in the current directory.
    ///
    /// # Errors
    ///
    /// When the virtual machine does not start, or does not bring back an exit code; the error has
    /// what was on its console.
    pub(super) fn run(&self, workspace: &Workspace, command: &[String]) -> anyhow::Result<Outcome> {
        let runs = workspace.target.join("vm/runs");
        forget_old_runs(&runs)?;
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let run = runs.join(format!("{}-{number}", std::process::id()));
        remove_if_there(&run)?;
        fs::create_dir_all(&run)?;
        let mut writable = vec![workspace.target.join("vm/share")];
        writable.extend(self.writable.iter().cloned());
        for directory in &mut writable {
            fs::create_dir_all(&directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
            *directory = directory.canonicalize()?;
        }
        fs::write(run.join("modules"), lines(&self.load))?;
        fs::write(run.join("writable"), lines(writable.iter().map(|path| path.display())))?;
        fs::write(run.join("limit"), self.limit.as_secs().to_string())?;
        fs::write(run.join("job"), self.job(command, &writable)?)?;

        let mut qemu = Qemu::start(self, &run, &writable)?;
        let ended = qemu
            .wait_for(&run.join("ready"), BOOT_LIMIT)
            .and_then(|()| qemu.wait(self.limit + STOP_LIMIT));
        if let Some(heading) = self.heading {
            let said = fs::read(run.join(OUTPUT)).unwrap_or_default();
            println!("──── {heading}\n{}", String::from_utf8_lossy(&said));
        }
        let console = fs::read(run.join("console")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console).into_owned();
        if let Ok(reason) = fs::read_to_string(run.join("failed")) {
            bail!("{}\n---- console\n{console}----", reason.trim());
        }
        ended.with_context(|| format!("console:\n{console}"))?;
        let code = fs::read_to_string(run.join("code"))
            .ok()
            .and_then(|code| code.trim().parse().ok())
            .with_context(|| format!("it ended without an exit code; console:\n{console}"))?;
        Ok(Outcome { code, console, log: run.join("console"), steps: steps(&run) })
    }

    /// For bash: what the command needs around it, and then the command.
    fn job(&self, command: &[String], writable: &[PathBuf]) -> anyhow::Result<String> {
        let here = env::current_dir().context("cannot tell where this is run")?;
        let mut job = format!("cd {} || exit 125\n", quoted(&here.to_string_lossy()));
        let share = writable.first().context("there is a share")?;
        job.push_str(&format!("export VM_SHARE={}\n", quoted(&share.to_string_lossy())));
        for variable in ["PATH", "LANG", "RUST_LOG", "RUST_BACKTRACE"] {
            if let Ok(value) = env::var(variable) {
                job.push_str(&format!("export {variable}={}\n", quoted(&value)));
            }
        }
        for variable in &self.environment {
            let (name, value) = variable
                .split_once('=')
                .with_context(|| format!("--env {variable:?} is no NAME=VALUE"))?;
            job.push_str(&format!("export {name}={}\n", quoted(value)));
        }
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        job.push_str(&format!("exec {}\n", words.join(" ")));
        Ok(job)
    }
}

/// A running QEMU, which ends with this.
struct Qemu(Child);

impl Qemu {
    fn start(machine: &Machine<'_>, run: &Path, writable: &[PathBuf]) -> anyhow::Result<Self> {
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args("-accel tcg,thread=single -cpu max,-cx16 -machine q35 -smp 2".split(' '))
            .args(["-icount", ITS_OWN_TIME])
            .args(["-m", &machine.memory_mebibytes.to_string()])
            .args("-nodefaults -no-user-config -no-reboot -display none".split(' '))
            .arg("-serial")
            .arg(format!("file:{}", run.join("console").display()))
            .args("-device virtio-serial-pci -chardev stdio,id=output,signal=off".split(' '))
            .args("-device virtconsole,chardev=output -device virtio-rng-pci".split(' '))
            .arg("-kernel")
            .arg(machine.kernel.image())
            .arg("-initrd")
            .arg(machine.kernel.initramfs())
            .args(["-append", KERNEL_LINE]);
        share(&mut command, Path::new("/"), "root", true);
        share(&mut command, run, "run", false);
        for (index, directory) in writable.iter().enumerate() {
            share(&mut command, directory, &format!("writable{index}"), false);
        }
        let forwards = machine.forwards.iter().map(|forward| format!(",hostfwd={forward}"));
        command.args(["-netdev", &format!("user,id=net{}", forwards.collect::<String>())]);
        command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        if machine.heading.is_some() {
            command.stdout(File::create(run.join(OUTPUT))?);
        }
        let child = command.stdin(Stdio::null()).spawn().context("cannot start QEMU")?;
        Ok(Self(child))
    }

    /// # Errors
    ///
    /// When `limit` passes, or QEMU ends, before `file` is there.
    fn wait_for(&mut self, file: &Path, limit: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while !file.exists() {
            if let Some(status) = self.0.try_wait()? {
                // It may have been written, and all be over, since the last look.
                if file.exists() {
                    return Ok(());
                }
                bail!("QEMU ended with {status} before the machine was ready");
            }
            if start.elapsed() > limit {
                bail!("the machine was not ready within {} s", limit.as_secs());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When `limit` passes before QEMU ends, or it fails.
    fn wait(&mut self, limit: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                if !status.success() {
                    bail!("QEMU failed with {status}");
                }
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!("the machine did not stop within {} s", limit.as_secs());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Nothing is to be done about a process that neither ends nor can be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory, over 9p. A comma would end a path in QEMU's options: it is doubled.
fn share(command: &mut Command, directory: &Path, tag: &str, read_only: bool) {
    let path = directory.to_string_lossy().replace(',', ",,");
    let read_only = if read_only { ",readonly=on" } else { "" };
    command
        .arg("-fsdev")
        .arg(format!("local,id={tag},path={path},security_model=none,multidevs=remap{read_only}"));
    command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
}

/// From the times since boot that init noted: `NAME SECONDS`.
fn steps(run: &Path) -> Vec<(String, f64)> {
    let noted = fs::read_to_string(run.join("seconds")).unwrap_or_default();
    let mut before = 0.0;
    let mut steps = Vec::new();
    for line in noted.lines() {
        let Some((seconds, name)) = line.split_once(' ') else { continue };
        let Ok(since_boot) = seconds.parse::<f64>() else { continue };
        steps.push((name.to_owned(), since_boot - before));
        before = since_boot;
    }
    steps
}

/// The logs of the last few runs are kept.
fn forget_old_runs(runs: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(runs) else { return Ok(()) };
    let mut known = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        // Another machine's start may have removed it.
        if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) {
            known.push((modified, entry.path()));
        }
    }
    known.sort();
    let old = known.len().saturating_sub(RUNS_KEPT);
    for (_, path) in known.iter().take(old) {
        if let Err(error) = remove_if_there(path) {
            say(&format!("{error:#}"));
        }
    }
    Ok(())
}

fn lines(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    items.into_iter().map(|item| format!("{item}\n")).collect()
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

const BOOT_LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const RUNS_KEPT: usize = 20;
/// In the directory of a run, where the command's output is kept for later.
const OUTPUT: &str = "output";
/// While a processor in there has something to do, time in there is instructions, 4 ns each (for both
/// processors together, so about as much as one of 250 MHz); else it is this machine's. So what is
/// late in there is slow, and not this machine busy.
const ITS_OWN_TIME: &str = "shift=2,sleep=on";
/// A panic ends QEMU at once; what guards a processor from its programs costs time and guards
/// nothing here. The kernel patches its own code while it starts, which QEMU 7.2 does not always
/// show to a second processor in time (`Oops: int3`): that one is started by init. How fast the
/// timestamp counter is the kernel measures while it starts, and on a busy machine it was four times
/// wrong, and time in there four times too fast: the HPET's speed is known.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 maxcpus=1 mitigations=off audit=0 \
                           tsc=unstable clocksource=hpet no_timer_check random.trust_cpu=on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_are() {
        let words = ["a b", "it's", "$HOME", "`x`", ""];
        let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let printed = Command::new("sh")
            .args(["-c", &format!("printf '%s|' {}", line.join(" "))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), "a b|it's|$HOME|`x`||");
    }
}
