//! `cargo xtask test`: the stages, one after the other, and how long each took.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{
    stages::{self, Name, Stage},
    tools,
    workspace::Workspace,
};

/// What `cargo xtask test` is asked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Install what is missing: packages by apt-get, cargo-nextest by cargo, the rest into target/
    #[arg(long)]
    install: bool,
    /// Take the long form of what has one
    #[arg(long)]
    full: bool,
    /// Run this stage alone; may be given several times
    #[arg(long, value_name = "STAGE", value_enum)]
    only: Vec<Name>,
}

/// Runs the stages.
///
/// # Errors
///
/// When something is missing, before any work; else when a stage failed, after all that can run
/// without it.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let begin = Instant::now();
    let chosen = |stage: &&Stage| match &arguments.only[..] {
        [] => true,
        named => named.contains(&stage.name),
    };
    let chosen: Vec<&Stage> = stages::ALL.iter().filter(chosen).collect();
    let names: Vec<Name> = chosen.iter().map(|stage| stage.name).collect();
    let mut table = Table::default();
    if arguments.install {
        heading("install");
        let settled = tools::settle(workspace, &names, true);
        let outcome = Outcome::of(&settled);
        table.rows.push(Row { name: "install".to_owned(), took: begin.elapsed(), outcome });
        if let Err(error) = settled {
            println!("\n{table}");
            return Err(error);
        }
    } else {
        tools::settle(workspace, &names, false)?;
    }
    let mut failures = Vec::new();
    let mut skipped = Vec::new();
    for stage in chosen {
        let name = stage.name.to_string();
        if failures.iter().any(|failed| stage.name.is_void_without(*failed)) {
            let outcome = Outcome::NotRun;
            table.rows.push(Row { name, took: Duration::ZERO, outcome });
            continue;
        }
        heading(&name);
        let from = Instant::now();
        let result =
            (stage.run)(workspace, arguments.full).with_context(|| format!("stage {}", stage.name));
        if let Err(error) = &result {
            eprintln!("xtask: {error:#}");
            // What --install could not bring about here is not proved here.
            if arguments.install || error.downcast_ref::<Skip>().is_none() {
                failures.push(stage.name);
            } else {
                skipped.push(stage.name);
            }
        }
        let outcome = Outcome::of(&result);
        table.rows.push(Row { name, took: from.elapsed(), outcome });
    }
    println!("\n{table}");
    if !failures.is_empty() {
        bail!("failed: {}", list(&failures));
    }
    if skipped.is_empty() {
        println!("everything passed");
    } else {
        println!("NOT PROVED HERE: {}; all else passed", list(&skipped));
    }
    Ok(())
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a stage cannot be run on this machine at all. It is a failure for those who asked for
/// everything to be installed; for others the stage is left out, and they are told.
#[derive(Debug)]
pub(crate) struct Skip(String);

impl Skip {
    /// For `reason`, which ends a sentence like "it is skipped: …".
    pub(crate) fn because(reason: &str) -> anyhow::Error {
        Self(reason.to_owned()).into()
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be run here: {}", self.0)
    }
}

impl std::error::Error for Skip {}

fn heading(name: &str) {
    println!("\n──── {name} ────");
}

/// Where the time went.
#[derive(Default)]
struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    /// With a few words on what was found.
    Passed(String),
    Failed,
    /// With the reason.
    Skipped(String),
    NotRun,
}

impl Outcome {
    fn of(result: &anyhow::Result<String>) -> Self {
        match result {
            Ok(summary) => Self::Passed(summary.clone()),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(Skip(reason)) => Self::Skipped(reason.clone()),
                None => Self::Failed,
            },
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:>8}", "stage", "seconds")?;
        for Row { name, took, outcome } in &self.rows {
            let outcome = match outcome {
                Outcome::Passed(summary) => format!("ok    {summary}"),
                Outcome::Failed => "FAILED".to_owned(),
                Outcome::Skipped(reason) => format!("SKIPPED  {reason}"),
                Outcome::NotRun => "not run".to_owned(),
            };
            writeln!(f, "{name:<12} {:>8.1}  {}", took.as_secs_f64(), outcome.trim_end())?;
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        writeln!(f, "{:<12} {:>8.1}", "total", total.as_secs_f64())
    }
}
