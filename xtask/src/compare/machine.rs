//! The machine that was measured on, without which figures mean nothing.

use std::{fmt, fs};

use anyhow::Context;
use serde_json::{Value, json};

use crate::workspace::output;

/// The machine at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// Of the last minute.
    pub(crate) load: String,
}

impl Machine {
    /// This machine now.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let read = |path| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let processors = read("/proc/cpuinfo")?;
        let value =
            |name| processors.lines().find_map(|line| line.strip_prefix(name)?.split_once(": "));
        let mut date = std::process::Command::new("date");
        let load = read("/proc/loadavg")?;
        Ok(Self {
            date: output(date.args(["-u", "+%Y-%m-%d %H:%M"]))?.trim().to_owned(),
            processor: value("model name").map_or("?", |(_, name)| name).to_owned(),
            processors: processors.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: load.split(' ').next().unwrap_or("?").to_owned(),
        })
    }
}

/// When and where something was measured.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) begin: Machine,
    pub(crate) end: Machine,
    /// What else must be known: what was sent, for how long, by which build.
    pub(crate) of: String,
}

impl Conditions {
    pub(crate) fn json(&self) -> Value {
        let Machine { date, processor, processors, kernel, load } = &self.begin;
        json!({
            "date": date,
            "processor": processor,
            "processors": processors,
            "kernel": kernel,
            "load_before": load,
            "load_after": self.end.load,
            "of": self.of,
        })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { date, processor, processors, kernel, load } = &self.begin;
        write!(
            f,
            "{date} UTC; {processor}, {processors} processors, Linux {kernel}; load {load} before, {} \
             after; {}",
            self.end.load, self.of
        )
    }
}
