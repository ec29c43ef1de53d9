//! `lenscast doctor`: what keeps this machine from serving well, and the command that mends it.
//!
//! Each topic has facts, which it gathers from the [`Machine`], and a judgement of them, which is
//! pure. Looks and changes nothing; ports are bound for a moment.

use std::io::{self, Write};

use capture::v4l2::name::Places;

pub use self::{
    finding::{Finding, Report, Topic, Verdict},
    machine::Machine,
};
use crate::cli::{DoctorArgs, Environment, load_libraries};

pub mod board;
pub mod build;
pub mod clock;
mod configuration;
pub mod devices;
mod finding;
pub mod limits;
mod machine;
pub mod memory;
pub mod person;
pub mod ports;
pub mod programs;

/// Writes what it found to `out`; returns the worst of it.
///
/// # Errors
///
/// When nothing can be written there.
pub fn run(
    args: &DoctorArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> io::Result<Verdict> {
    let report = examine(args, environment, &Machine::default());
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(report.verdict)
}

/// Everything that can be said of `machine`, for what `args` would serve.
pub fn examine(args: &DoctorArgs, environment: &Environment, machine: &Machine) -> Report {
    let places = Places::new(machine.path("dev"), machine.path("sys/class/video4linux"));
    let (config, mut findings) = match args.serve.config(environment) {
        Ok(config) => {
            let findings = configuration::judge(&config, &places);
            (config, findings)
        }
        Err(errors) => (Default::default(), configuration::judge_errors(&errors)),
    };
    if let Err(error) = load_libraries(&config.libraries) {
        findings.push(
            Finding::broken(Topic::Configuration, error.to_string())
                .advice("docs/configuration.md, v4l2-library"),
        );
    }
    let programs = programs::Programs::of(machine);
    let devices = devices::Facts::of(machine, &programs);
    findings.extend(devices.judge());
    findings.extend(memory::Facts::of(machine).judge(devices.has_encoder()));
    match ports::Facts::of(&config, machine, &programs) {
        Ok(ports) => findings.extend(ports.judge()),
        Err(error) => findings.push(
            Finding::broken(Topic::Ports, format!("no socket can be made: {error}"))
                .command("ulimit -n"),
        ),
    }
    findings.extend(limits::Facts::of(&config, machine).judge());
    findings.push(clock::Facts::of(machine).judge());
    findings.extend(board::Facts::of(machine).judge());
    findings.push(build::Facts::here().judge());
    findings.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_looked_at_in_its_order() {
        let (_root, machine) = machine::made_of(&[
            ("dev/video0", ""),
            ("dev/dma_heap/linux,cma", ""),
            ("proc/meminfo", "CmaTotal:  65536 kB\nCmaFree:  1024 kB\n"),
            ("proc/sys/net/core/wmem_max", "212992"),
            ("run/systemd/timesync/synchronized", ""),
            ("sys/class/hwmon/hwmon0/name", "rpi_volt"),
            ("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1"),
        ]);
        let mut args = DoctorArgs::default();
        args.serve.source = vec!["test:?fps=x".to_owned()];
        let report = examine(&args, &Environment::default(), &machine);
        let mut topics: Vec<Topic> = report.findings.iter().map(|finding| finding.topic).collect();
        topics.dedup();
        use Topic::*;
        let expected =
            [Configuration, Cameras, Encoders, Memory, Ports, Limits, Clock, Board, Build];
        assert_eq!(topics, expected, "{report}");
        assert_eq!(report.verdict, Verdict::Broken, "the rate is none");
        let seen = |topic| &report.findings.iter().find(|one| one.topic == topic).unwrap().seen;
        assert!(seen(Cameras).contains("video0 answers no request of V4L2"), "{report}");
        assert_eq!(
            seen(Memory),
            "64 MB are kept in one piece for devices (CMA), 1 MB of them free; DMA heaps: linux,cma"
        );
        assert!(seen(Board).contains("supply is too weak"), "{report}");
    }
}
