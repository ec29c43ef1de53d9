//! Runs the fuzz targets: each until it has used up so many minutes of processor time, however busy
//! the machine is.
//!
//! ```text
//!  fuzz/corpus/NAME   ──read──▶ NAME (libFuzzer, AddressSanitizer) ──▶ fuzz/artifacts/NAME/crash-…
//!  target/fuzz/corpus/NAME ◀── what it finds ──┘      --minimize: both ──▶ fuzz/corpus/NAME
//! ```
//!
//! libFuzzer needs a nightly compiler and `cargo fuzz`. What was found does not: plain tests replay
//! the corpora, and the example `run` of the package runs any other input.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;

use crate::workspace::{Workspace, run, succeeds};

mod libfuzzer;

use libfuzzer::Progress;

/// What `cargo xtask fuzz` is told.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Minutes of processor time for each target
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Run nothing; put a small set of inputs that reaches everything into fuzz/corpus
    #[arg(long)]
    minimize: bool,
    /// The targets; without any, all of them
    targets: Vec<String>,
}

/// Builds the targets and runs them, or minimizes their corpora.
///
/// # Errors
///
/// When a tool is missing, a target is not there or does not build, or an input broke one.
pub(crate) fn fuzz(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let known = known_targets(workspace)?;
    if let Some(unknown) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target {unknown:?}; there is {}", known.join(", "));
    }
    let targets = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    if !(arguments.minutes > 0.0 && arguments.minutes < 100_000.0) {
        bail!("--minutes {} is no time to run for", arguments.minutes);
    }
    check_tools(workspace)?;
    let place = Place { workspace, built: workspace.target.join("fuzz") };
    place.build(targets)?;
    if arguments.minimize {
        return targets.iter().try_for_each(|name| place.minimize(name));
    }
    let budget = Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut outcomes = Vec::new();
    for name in targets {
        outcomes.push(place.run(name, budget)?);
        // Rewritten each time: whoever stops this keeps what is done.
        place.report(&outcomes)?;
    }
    println!("\n{}", table(&outcomes));
    println!("this table is in {}", place.report_file().display());
    let broken: Vec<String> = outcomes.iter().filter_map(Outcome::complaint).collect();
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("\n")) }
}

/// The files of `fuzz/fuzz_targets`, which the package's tests hold to be all there are.
fn known_targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let directory = workspace.root.join("fuzz/fuzz_targets");
    let mut names: Vec<String> = files(&directory)?
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn check_tools(workspace: &Workspace) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !succeeds(workspace.command("rustup").args(["run", NIGHTLY, "rustc", "--version"])) {
        missing.push(format!(
            "a nightly compiler: rustup toolchain install {NIGHTLY} --profile minimal"
        ));
    }
    if !succeeds(workspace.command("cargo-fuzz").args(["fuzz", "--version"])) {
        missing.push("cargo-fuzz: cargo install --locked cargo-fuzz".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "fuzzing needs what is not here:\n  {}\n\
         (what fuzzing has found needs neither: `cargo nextest run -p fuzz` replays it)",
        missing.join("\n  ")
    )
}

/// Where things are.
struct Place<'a> {
    workspace: &'a Workspace,
    /// Where the targets are built: they have flags of their own, and so share nothing.
    built: PathBuf,
}

impl Place<'_> {
    fn build(&self, targets: &[String]) -> anyhow::Result<()> {
        // One alone is built alone; `cargo fuzz build` takes one name or none.
        let one = if let [one] = targets { Some(one) } else { None };
        let mut build = self.workspace.command("rustup");
        build.args(["run", NIGHTLY, "cargo", "fuzz", "build", "--fuzz-dir", "fuzz"]);
        build.args(["--features", "libfuzzer", "--target", TRIPLE, "--target-dir"]);
        build.arg(&self.built).args(one);
        // Instrumented code gains nothing by it, and takes minutes more.
        build.env("CARGO_PROFILE_RELEASE_LTO", "off");
        // What cargo sets for its own children names another compiler.
        build.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
        run(&mut build)
    }

    fn run(&self, name: &str, budget: Duration) -> anyhow::Result<Outcome> {
        let found = self.found(name);
        let artifacts = self.workspace.root.join("fuzz/artifacts").join(name);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&artifacts)?;
        let before = files(&artifacts)?;
        let mut command = self.libfuzzer(name);
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.args(["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=1024"]);
        let dictionary = self.workspace.root.join(format!("fuzz/dictionaries/{name}.dict"));
        if dictionary.exists() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command.arg(&found).arg(self.corpus(name));
        let began = Instant::now();
        let process = Process::start(command)?;
        let (used, progress, last_words, status) = process.watch(name, budget)?;
        let mut artifacts = files(&artifacts)?;
        artifacts.retain(|file| !before.contains(file));
        let outcome = Outcome {
            name: name.to_owned(),
            used,
            taken: began.elapsed(),
            progress,
            inputs: files(&found)?.len() + files(&self.corpus(name))?.len(),
            artifacts,
            failure: (!status.success()).then(|| format!("{status}\n{last_words}")),
        };
        println!("{}", outcome.line());
        Ok(outcome)
    }

    /// A small set of inputs, of those that are checked in and those that were found, which takes
    /// every edge that they take together. (How often each is taken does not count: that would
    /// keep several times as many.) Inputs that have a name of their own stay.
    fn minimize(&self, name: &str) -> anyhow::Result<()> {
        let (found, corpus) = (self.found(name), self.corpus(name));
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&corpus)?;
        let minimal = self.built.join("minimal").join(name);
        if minimal.exists() {
            fs::remove_dir_all(&minimal)?;
        }
        fs::create_dir_all(&minimal)?;
        let mut merge = self.libfuzzer(name);
        merge.args(["-merge=1", "-use_counters=0", "-timeout=20", "-rss_limit_mb=1024"]);
        merge.arg(&minimal).arg(&corpus).arg(&found).stderr(Stdio::null());
        if !merge.status()?.success() {
            bail!("an input of {name} breaks it; run `cargo xtask fuzz {name}` to see which");
        }
        for file in files(&corpus)?.iter().filter(|file| has_made_up_name(file)) {
            fs::remove_file(file)?;
        }
        let named: Vec<Vec<u8>> = files(&corpus)?.iter().map(fs::read).collect::<Result<_, _>>()?;
        for file in files(&minimal)? {
            let (content, name) = (fs::read(&file)?, file.file_name().context("a name")?);
            if !named.contains(&content) {
                fs::write(corpus.join(name), content)?;
            }
        }
        let kept = files(&corpus)?;
        let sizes = kept.iter().map(|file| Ok(fs::metadata(file)?.len()));
        let bytes = sizes.sum::<anyhow::Result<u64>>()?;
        println!("{name}: {} inputs, {} KiB", kept.len(), bytes.div_ceil(1024));
        Ok(())
    }

    fn report(&self, outcomes: &[Outcome]) -> anyhow::Result<()> {
        let file = self.report_file();
        fs::write(&file, table(outcomes))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    fn report_file(&self) -> PathBuf {
        self.built.join("report.md")
    }

    fn libfuzzer(&self, name: &str) -> Command {
        let program = self.built.join(TRIPLE).join("release").join(name);
        let mut command = self.workspace.command(program);
        // As `cargo fuzz run` has it: Rust's own symbols may be there twice.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0");
        // Of a panic the message is enough: libFuzzer shows the way there.
        command.env("RUST_BACKTRACE", "0");
        command
    }

    fn found(&self, name: &str) -> PathBuf {
        self.built.join("corpus").join(name)
    }

    fn corpus(&self, name: &str) -> PathBuf {
        self.workspace.root.join("fuzz/corpus").join(name)
    }
}

/// libFuzzer at work, and what it says.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.with_context(|| format!("cannot start {command:?}"))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (says, lines) = mpsc::channel();
        thread::spawn(move || {
            // What a target prints of an input need not be text.
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                if says.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Until it has used its time or ends by itself: what it used, how far it came, what it said
    /// last beside that, and how it ended.
    fn watch(
        mut self,
        name: &str,
        budget: Duration,
    ) -> anyhow::Result<(Duration, Progress, String, ExitStatus)> {
        let (mut progress, mut last_words) = (Progress::default(), Vec::new());
        let (mut used, mut shown, mut asked) = (Duration::ZERO, Instant::now(), false);
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => {
                    if !progress.take(&line) {
                        last_words.push(line);
                        let surplus = last_words.len().saturating_sub(LAST_WORDS);
                        last_words.drain(..surplus);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            used = processor_time(&self.child).unwrap_or(used);
            if used >= budget && !asked {
                asked = true;
                // libFuzzer ends after the input in hand, with status 0.
                let id = self.child.id().to_string();
                run_quietly(Command::new("kill").args(["-s", "USR1", &id]))?;
            }
            if shown.elapsed() >= SHOW {
                shown = Instant::now();
                let (done, all) = (used.as_secs(), budget.as_secs());
                println!("{name}: {done} of {all} s, {progress}");
            }
        }
        Ok((used, progress, last_words.join("\n"), self.child.wait()?))
    }
}

/// A target that ran.
struct Outcome {
    name: String,
    /// Processor time.
    used: Duration,
    /// Time on the wall.
    taken: Duration,
    progress: Progress,
    /// Inputs, checked in and found.
    inputs: usize,
    /// Inputs that broke it.
    artifacts: Vec<PathBuf>,
    /// How it ended, when not as it should.
    failure: Option<String>,
}

impl Outcome {
    fn line(&self) -> String {
        let Progress { runs, features, edges, peak, .. } = self.progress;
        let rate = runs as f64 / self.used.as_secs_f64().max(0.01);
        format!(
            "| `{}` | {:.0} | {runs} | {rate:.0} | {edges} | {features} | {} | {peak} MB | {} |",
            self.name,
            self.used.as_secs_f64(),
            self.inputs,
            self.artifacts.len()
        )
    }

    /// What to do about it, when an input broke the target.
    fn complaint(&self) -> Option<String> {
        let Self { name, failure, artifacts, .. } = self;
        let failure = failure.as_ref()?;
        let again = artifacts.iter().map(|file| {
            format!(
                "\n  once more, with any toolchain:  cargo run -p fuzz --example run -- {name} {}\n  \
                 made smaller:                   cargo +{NIGHTLY} fuzz tmin --fuzz-dir fuzz \
                 --features libfuzzer {name} {}",
                file.display(),
                file.display()
            )
        });
        let again = again.collect::<String>();
        let after = self.taken.as_secs();
        Some(format!("{name} broke after {after} s, with {failure}{again}"))
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table =
        "| target | CPU s | runs | runs/s | edges | features | inputs | peak | broken by |\n\
                     |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for outcome in outcomes {
        table += &outcome.line();
        table.push('\n');
    }
    table
}

fn processor_time(child: &Child) -> Option<Duration> {
    libfuzzer::processor_time(&fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?)
}

fn run_quietly(command: &mut Command) -> anyhow::Result<()> {
    if succeeds(command) { Ok(()) } else { bail!("{command:?} failed") }
}

/// The files in `directory`; none when that is not there.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(Vec::new()) };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}

/// libFuzzer calls inputs by their SHA-1.
fn has_made_up_name(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const NIGHTLY: &str = "nightly";
/// AddressSanitizer cannot be linked statically.
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
#[cfg(not(target_arch = "x86_64"))]
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
/// How long to wait for a line before looking at the clock.
const LOOK: Duration = Duration::from_millis(200);
const SHOW: Duration = Duration::from_secs(15);
/// Lines of a crash that are worth showing.
const LAST_WORDS: usize = 60;
