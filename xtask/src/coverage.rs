//! `cargo xtask coverage`: which lines of the product the tests run, file by file, by rustc's own
//! instrumentation (`-C instrument-coverage`) and LLVM's tools. Too few in a pure crate is a failure.
//!
//! ```text
//!  tests ──▶ target/coverage/profiles/*.profraw ──llvm-profdata──▶ one profile
//!                                                                      │
//!  test binaries, lenscast ────────────llvm-cov export───────────────▶ lines ──▶ table
//! ```
//!
//! Only crates of the workspace are instrumented: what a dependency runs is of no interest, and
//! would make tests slow and profiles large.

mod lines;
mod llvm;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use crate::{
    coverage::{
        lines::{Coverage, CrateCoverage},
        llvm::Llvm,
    },
    layers,
    workspace::{self, Workspace, output},
};

/// What `cargo xtask coverage` is asked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Run and judge this crate alone; may be given several times [default: the whole workspace]
    #[arg(short, long, value_name = "CRATE")]
    package: Vec<String>,
}

/// Runs the tests and shows the table.
///
/// # Errors
///
/// When LLVM's tools are missing, a test fails, or a pure crate has fewer than [`PURE_FLOOR`] of
/// its lines covered.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let llvm = Llvm::find(workspace)?;
    let place = workspace.target.join("coverage");
    let profiles = place.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles).context("cannot remove the profiles of an earlier run")?;
    }
    fs::create_dir_all(&profiles).context("cannot make a place for profiles")?;
    let wrapper = write_wrapper(&place)?;

    let instrumented = |subcommand: &str| {
        let mut command = workspace.cargo(&format!("nextest {subcommand} --locked"));
        command.arg("--target-dir").arg(&place);
        match arguments.package.as_slice() {
            [] => command.arg("--workspace"),
            packages => command.args(packages.iter().flat_map(|package| ["-p", package])),
        };
        command.env("RUSTC_WORKSPACE_WRAPPER", &wrapper);
        // A pool of a few files for each binary, into which its processes add up their counts.
        command.env("LLVM_PROFILE_FILE", profiles.join("%4m.profraw"));
        command
    };
    workspace::run(&mut instrumented("run"))?;
    let listed = output(instrumented("list").args([
        "--list-type",
        "binaries-only",
        "--message-format",
        "json",
    ]))?;
    let binaries = binaries(&listed).context("cargo nextest list")?;

    let profile = llvm.merge(&profiles)?;
    let lcov = llvm.export(&profile, &binaries)?;
    let coverage = Coverage::parse(&lcov, &workspace.root)?;
    report(&coverage, &arguments.package)
}

/// A program for `RUSTC_WORKSPACE_WRAPPER`: cargo has no stable way of giving flags to the crates
/// of the workspace alone.
fn write_wrapper(place: &Path) -> anyhow::Result<PathBuf> {
    let wrapper = place.join("instrumented-rustc");
    fs::write(&wrapper, "#!/bin/sh\nexec \"$@\" -C instrument-coverage\n")?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(wrapper)
}

/// The binaries of `cargo nextest list --list-type binaries-only`: those that hold tests, and those
/// that tests start.
fn binaries(listed: &str) -> anyhow::Result<Vec<PathBuf>> {
    let listed: Value = serde_json::from_str(listed)?;
    let tests = listed["rust-binaries"].as_object().context("no rust-binaries")?;
    let tests = tests.values().filter_map(|binary| binary["binary-path"].as_str());
    let meta = &listed["rust-build-meta"];
    let place = meta["target-directory"].as_str().context("no target-directory")?;
    let others = meta["non-test-binaries"].as_object().into_iter().flat_map(|by_crate| {
        by_crate.values().filter_map(Value::as_array).flatten().filter_map(|binary| {
            (binary["kind"] == "bin-exe").then(|| binary["path"].as_str()).flatten()
        })
    });
    let mut found: Vec<PathBuf> = tests.map(PathBuf::from).collect();
    found.extend(others.map(|path| Path::new(place).join(path)));
    if found.is_empty() {
        bail!("no binaries");
    }
    found.retain(|path| path.exists());
    found.sort();
    found.dedup();
    Ok(found)
}

fn report(coverage: &Coverage, asked: &[String]) -> anyhow::Result<()> {
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    let mut too_low = Vec::new();
    println!("\n{:>7} {:>7}  lines covered", "of", "percent");
    for name in layers::pure().filter(|name| is_asked(name)) {
        let Some(measured) = coverage.of_crate(name) else {
            bail!("nothing was measured in {name}");
        };
        print!("{}", measured.files());
        println!("{} {name}\n", measured.share());
        if measured.is_below(PURE_FLOOR) {
            too_low.push(name);
        }
    }
    // These are held by no number: much of what they do is with sockets, devices and players.
    for name in REPORTED.iter().filter(|name| is_asked(name)) {
        if let Some(share) = coverage.of_crate(name).map(CrateCoverage::share) {
            println!("{share} {name}");
        }
    }
    if !too_low.is_empty() {
        bail!("below {PURE_FLOOR} % of lines: {}", too_low.join(", "));
    }
    Ok(())
}

/// The program's output without its last line feed.
fn line(command: &mut Command) -> anyhow::Result<String> {
    output(command).map(|text| text.trim_end().to_owned())
}

/// Percent of the lines of a pure crate: everything in it can be reached by giving it bytes.
const PURE_FLOOR: u64 = 95;

/// Crates that ship and are not pure.
const REPORTED: [&str; 3] = ["capture", "encode", "lenscast"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_those_with_tests_and_those_they_start() {
        let own = std::env::current_exe().unwrap();
        let (place, name) = (own.parent().unwrap(), own.file_name().unwrap().to_str().unwrap());
        let listed = serde_json::json!({
            "rust-build-meta": {
                "target-directory": place,
                "non-test-binaries": { "lenscast": [
                    { "name": "lenscast", "kind": "bin-exe", "path": name },
                    { "name": "library", "kind": "dylib", "path": "never looked at" },
                ] },
            },
            "rust-binaries": { "media": { "binary-path": place.join("gone") } },
        });
        assert_eq!(binaries(&listed.to_string()).unwrap(), [own]);
        assert!(binaries("{}").is_err());
    }
}
