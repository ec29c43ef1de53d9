//! The project's chores: `cargo xtask help`.

mod aarch64;
mod apt;
mod compare;
mod counts;
mod coverage;
mod fuzz;
mod layers;
mod matrix;
mod server;
mod stages;
mod test;
mod tools;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Prove that everything works; docs/testing.md says what each stage shows
    Test(test::Arguments),
    /// Measure what lenscast costs, as a multiple of a bare loop; docs/performance.md says how
    Compare(compare::Arguments),
    /// Count the instructions of what is done most, and compare with those that were kept
    Counts(counts::Arguments),
    /// Measure which lines the tests run; pure crates must have nearly all of them run
    Coverage(coverage::Arguments),
    /// Run the fuzz targets, each until it has used so much processor time
    Fuzz(fuzz::Arguments),
    /// Check that crates use only those below them, and that the pure ones stay pure
    Layers,
    /// Play every client in every way and write the table of docs/interop.md
    Matrix(matrix::Arguments),
    /// Run a command in a virtual machine with real V4L2 drivers; tests/vm/README.md says how
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workspace = match Workspace::here() {
        Ok(workspace) => workspace,
        Err(error) => return failed(&error),
    };
    let result = match &cli.chore {
        Chore::Test(arguments) => test::run(&workspace, arguments),
        Chore::Compare(arguments) => compare::run(&workspace, arguments),
        Chore::Counts(arguments) => counts::run(&workspace, arguments),
        Chore::Coverage(arguments) => coverage::run(&workspace, arguments),
        Chore::Fuzz(arguments) => fuzz::fuzz(&workspace, arguments),
        Chore::Layers => layers::check(&workspace).map(|summary| println!("{summary}")),
        Chore::Matrix(arguments) => matrix::run(&workspace, arguments),
        // What it ran has an exit code of its own.
        Chore::Vm(arguments) => return vm::run(&workspace, arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("xtask: {error:#}");
    ExitCode::FAILURE
}
