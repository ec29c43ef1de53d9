//! Instruction counts: `cargo xtask counts`, and the stage `counts` of `cargo xtask test`.
//!
//! benches/benches/counts is run under callgrind by gungraun-runner, and what it counts is compared
//! with benches/counts.toml. The same sources make the same instructions wherever compiler,
//! processor features and C library are the same: there, what has become worse is a failure.
//! Elsewhere it is only told.

use std::{fs, path::PathBuf, process::Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use crate::workspace::{Workspace, output};

mod conditions;
mod ledger;
mod verdict;

use ledger::Ledger;
use verdict::Verdict;

/// What `cargo xtask counts` is asked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Make what is counted now what later changes are compared with
    #[arg(long)]
    update: bool,
}

/// Counts and compares, or counts and keeps.
///
/// # Errors
///
/// When counting failed, or something has become worse.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.update {
        let counted = count(workspace)?;
        let path = place(workspace);
        fs::write(&path, counted.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{} counts are in {FILE} now", counted.counts.len());
        return Ok(());
    }
    check(workspace).map(|summary| println!("{summary}"))
}

/// The stage: counts and compares.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_stage(workspace: &Workspace, _: bool) -> anyhow::Result<String> {
    check(workspace)
}

/// Whether the runner is there, in the version of the library: they speak a language of their own.
pub(crate) fn has_runner(workspace: &Workspace) -> bool {
    let version = output(workspace.command(runner(workspace)).arg("--version"));
    version.is_ok_and(|version| version.trim() == format!("gungraun-runner {VERSION}"))
}

fn check(workspace: &Workspace) -> anyhow::Result<String> {
    let path = place(workspace);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    let committed: Ledger = text.parse().with_context(|| format!("{FILE} cannot be used"))?;
    let counted = count(workspace)?;
    let verdict = Verdict::of(&committed, &counted);
    print!("{verdict}");
    if verdict.is_bad() {
        bail!("{}\n{HOW_TO_UPDATE}", verdict.complaint());
    }
    Ok(verdict.summary())
}

/// Builds and runs the benches.
fn count(workspace: &Workspace) -> anyhow::Result<Ledger> {
    // What an earlier run left is no part of this one.
    let scratch = workspace.target.join("counts");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)
            .with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    let mut bench = workspace.cargo("bench --locked -p benches --bench counts");
    bench.args(["--", "--output-format=json", "--nosummary"]).stderr(Stdio::inherit());
    // The first is compiled in, of the bench alone. A path would do, but some build scripts look
    // at the path too, and all that is built on them would be built again.
    bench.env("GUNGRAUN_RUNNER", runner(workspace)).env("GUNGRAUN_HOME", &scratch);
    let lines = output(&mut bench)?;
    let mut counted = Ledger { conditions: conditions::here(workspace)?, ..Ledger::default() };
    for line in lines.lines().filter(|line| line.starts_with('{')) {
        let (name, instructions) =
            of_line(line).with_context(|| format!("gungraun has printed {line}"))?;
        counted.counts.insert(name, instructions);
    }
    if counted.counts.is_empty() {
        bail!("gungraun has counted nothing: {lines}");
    }
    Ok(counted)
}

/// The name of a bench and its instructions, from a line of gungraun's.
fn of_line(line: &str) -> anyhow::Result<(String, u64)> {
    let summary: Value = serde_json::from_str(line)?;
    let text = |key: &str| summary[key].as_str().with_context(|| format!("no {key}"));
    let (group, function, id) = (text("group")?, text("function_name")?, text("id")?);
    let instructions = &summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"];
    let instructions = instructions.as_u64().context("no instructions")?;
    Ok((format!("{group}.{function}.{id}"), instructions))
}

fn runner(workspace: &Workspace) -> PathBuf {
    workspace.target.join(PLACE).join("bin/gungraun-runner")
}

fn place(workspace: &Workspace) -> PathBuf {
    workspace.root.join(FILE)
}

/// Of gungraun, in Cargo.toml, and of gungraun-runner.
const VERSION: &str = "0.20.0";
/// What cargo installs.
pub(crate) const PACKAGE: &str = "gungraun-runner@0.20.0";
/// Where it is installed to, in target.
pub(crate) const PLACE: &str = "gungraun";
const FILE: &str = "benches/counts.toml";
const HOW_TO_UPDATE: &str = "where that is worth what it buys: `cargo xtask counts --update`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_gungraun_is_a_bench_and_its_instructions() {
        let line = r#"{"function_name":"packets","group":"picture","id":"keyframe_100_kb",
            "profiles":[{"data":{"parts":[],"total":{"metrics":{"Ir":{"values":{"new":29011}}},
            "regressions":[]}},"tool":"Callgrind"}]}"#;
        let (name, instructions) = of_line(line).unwrap();
        assert_eq!((&name[..], instructions), ("picture.packets.keyframe_100_kb", 29_011));
        assert!(of_line(&line.replace("new", "old")).is_err());
        assert!(of_line(&line.replace("group", "module")).is_err());
    }

    /// Library and runner speak a language of their own, another in each version.
    #[test]
    fn the_runner_is_of_the_version_of_the_library() {
        let workspace = Workspace::here().unwrap();
        let manifest = fs::read_to_string(workspace.root.join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("gungraun = \"={VERSION}\"")));
        assert_eq!(PACKAGE, format!("gungraun-runner@{VERSION}"));
    }

    #[test]
    fn the_committed_file_can_be_read() {
        let workspace = Workspace::here().unwrap();
        let text = fs::read_to_string(place(&workspace)).unwrap();
        let ledger: Ledger = text.parse().unwrap();
        assert_eq!(ledger.to_string(), text);
    }
}
