//! Where the sources are, where things are built, and how programs are run there.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, bail};

/// The checkout and its target directory.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The root of the sources.
    pub(crate) root: PathBuf,
    /// Where cargo builds, wherever that is configured.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built from.
    ///
    /// # Errors
    ///
    /// When this program is not where cargo puts it.
    pub(crate) fn here() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent")?;
        // target/debug/xtask: asking cargo would take a parser of JSON.
        let own = env::current_exe().context("cannot tell where this program is")?;
        let target = own.ancestors().nth(2).context("this program is in no target directory")?;
        Ok(Self { root: root.to_owned(), target: target.to_owned() })
    }

    /// `program`, to be run at the root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// `cargo` with `arguments`, a text parted by blanks.
    pub(crate) fn cargo(&self, arguments: &str) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments.split(' '));
        command
    }

    /// The Python with what tests import, which `--install` makes.
    pub(crate) fn python(&self) -> PathBuf {
        self.target.join("python/bin/python")
    }
}

/// Runs `command` with what it prints shown.
///
/// # Errors
///
/// When it cannot be started, or fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed with {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` with what it prints shown, and returns the lines of its standard error that
/// contain `mark`.
///
/// # Errors
///
/// When it cannot be started, or fails; the error has those lines.
pub(crate) fn run_marking(command: &mut Command, mark: &str) -> anyhow::Result<Vec<String>> {
    println!("$ {}", shown(command));
    let spawned = command.stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| format!("cannot start {}", shown(command)))?;
    let mut marked = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if line.contains(mark) {
                marked.push(line.trim().to_owned());
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed with {status}. {}", shown(command), marked.join("; "));
    }
    Ok(marked)
}

/// Runs `command` silently, for what it prints.
///
/// # Errors
///
/// When it cannot be started, or fails; the error has what it said.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!("`{}` failed with {status}: {}", shown(command), stderr.trim());
    }
    String::from_utf8(stdout).with_context(|| format!("`{}` prints no text", shown(command)))
}

/// Whether `command` runs and is content.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// As one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut words: Vec<String> = variables
        .map(|(name, value)| format!("{}={:?}", name.display(), value.to_string_lossy()))
        .collect();
    words.push(program.display().to_string());
    words.extend(command.get_args().map(|argument| argument.display().to_string()));
    words.join(" ")
}
