//! What came out, as figures, and as a table for people.

use std::{fmt, fs};

use anyhow::Context;
use serde_json::{Value, json};

use super::{Contender, Transport};
use crate::workspace::output;

/// One turn of one contender.
pub(crate) struct Run {
    pub(crate) contender: Contender,
    pub(crate) transport: Transport,
    pub(crate) viewers: usize,
    pub(crate) round: usize,
    pub(crate) result: Figures,
}

/// What the viewers of one turn say.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Figures {
    /// Milliseconds of the server's processor for one viewer and second.
    cost: f64,
    /// Packets the server did not send.
    lost: f64,
    /// Pictures that viewers missed, for whatever reason.
    missing: f64,
    /// How often a viewer's own socket had no room.
    drops: f64,
    /// From connecting to the first whole keyframe, in milliseconds.
    keyframe: f64,
    keyframe_p99: f64,
    /// Between two pictures, in milliseconds.
    gap_p999: f64,
    /// The server's memory at its peak, in megabytes.
    memory: f64,
    /// Of the viewers' processor: 1 is all of it.
    client: f64,
    failed: usize,
}

impl Figures {
    /// From the report of the `viewers`; `None` when something is missing.
    pub(crate) fn read(report: &Value) -> Option<Self> {
        let all = &report["all"];
        Some(Self {
            cost: report["server_cpu_ms_per_viewer_and_second"].as_f64()?,
            lost: all["lost_at_server"].as_f64()?,
            missing: all["missing_pictures"].as_f64()?,
            drops: all["own_drops"].as_f64()?,
            keyframe: all["first_keyframe_ms"]["median"].as_f64()?,
            keyframe_p99: all["first_keyframe_ms"]["p99"].as_f64()?,
            gap_p999: all["frame_gap_ms"]["p999"].as_f64()?,
            memory: report["server_resident_peak"].as_f64()? / 1e6,
            client: report["client_cpu"].as_f64()?,
            failed: report["failures"].as_array()?.len(),
        })
    }

    /// For whoever waits.
    pub(crate) fn line(
        &self,
        contender: Contender,
        transport: Transport,
        viewers: usize,
    ) -> String {
        let name = contender.name(transport);
        let Self { cost, lost, drops, client, failed, .. } = *self;
        let client = client * 100.0;
        format!(
            "{viewers} {} {name}: {cost:.3} ms; {lost} lost, {drops} dropped by the viewers, {failed} \
             viewers failed; viewers took {client:.0} % of a processor",
            transport.name()
        )
    }

    fn json(&self) -> Value {
        json!({
            "cpu_ms_per_viewer_and_second": self.cost,
            "lost": self.lost,
            "missing_pictures": self.missing,
            "viewers_own_drops": self.drops,
            "first_keyframe_ms": self.keyframe,
            "first_keyframe_p99_ms": self.keyframe_p99,
            "frame_gap_p999_ms": self.gap_p999,
            "memory_mb": self.memory,
            "viewers_cpu": self.client,
            "viewers_failed": self.failed,
        })
    }
}

/// The machine at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    processors: usize,
    kernel: String,
    /// Of the last minute.
    load: String,
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

/// All turns.
pub(crate) struct Table<'a> {
    pub(crate) runs: &'a [Run],
    pub(crate) begin: Machine,
    pub(crate) end: Machine,
    pub(crate) seconds: u32,
}

impl Table<'_> {
    /// Every figure of every turn.
    pub(crate) fn json(&self) -> Value {
        let Machine { date, processor, processors, kernel, load } = &self.begin;
        let run = |run: &Run| {
            let mut json = run.result.json();
            json["contender"] = run.contender.name(run.transport).into();
            json["transport"] = run.transport.name().into();
            json["viewers"] = run.viewers.into();
            json["round"] = run.round.into();
            json
        };
        json!({
            "date": date,
            "processor": processor,
            "processors": processors,
            "kernel": kernel,
            "load_before": load,
            "load_after": self.end.load,
            "seconds": self.seconds,
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }

    /// Each combination once, in the order of the runs.
    fn rows(&self) -> Vec<(usize, Transport, Contender)> {
        let mut rows = Vec::new();
        for run in self.runs {
            for contender in [Contender::Floor, Contender::LowerFloor, Contender::Lenscast] {
                let row = (run.viewers, run.transport, contender);
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
        rows
    }

    fn of(&self, row: (usize, Transport, Contender)) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| (run.viewers, run.transport, run.contender) == row)
    }

    /// This contender's figure by the floor's, round by round.
    fn ratios(
        &self,
        (viewers, transport, contender): (usize, Transport, Contender),
        figure: fn(&Figures) -> f64,
    ) -> Spread {
        let floors = self.of((viewers, transport, Contender::Floor));
        let ratios = floors.filter_map(|floor| {
            let mut own = self.of((viewers, transport, contender));
            let own = own.find(|run| run.round == floor.round)?;
            Some(figure(&own.result) / figure(&floor.result))
        });
        Spread::of(ratios)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { date, processor, processors, kernel, load } = &self.begin;
        writeln!(
            f,
            "{date} UTC; {processor}, {processors} processors, Linux {kernel}; load {load} before, {} \
             after; each turn {} s\n",
            self.end.load, self.seconds
        )?;
        writeln!(
            f,
            "| viewers | | CPU ms per viewer and second | × floor | lost | missing pictures | \
             viewers' drops | connect → keyframe ms, median / p99 | frame gap p99.9 ms | × floor | \
             memory MB | viewers' CPU |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for row @ (viewers, transport, contender) in self.rows() {
            let spread = |figure: fn(&Figures) -> f64| {
                Spread::of(self.of(row).map(|run| figure(&run.result)))
            };
            let sum = |figure: fn(&Figures) -> f64| -> f64 {
                self.of(row).map(|run| figure(&run.result)).sum()
            };
            writeln!(
                f,
                "| {viewers} {} | {} | {:.2} | {:.2} | {} | {} | {} | {:.0} / {:.0} | {:.0} | {:.2} | \
                 {:.1} | {:.0} % |",
                transport.name(),
                contender.name(transport),
                spread(|figures| figures.cost),
                self.ratios(row, |figures| figures.cost),
                sum(|figures| figures.lost),
                sum(|figures| figures.missing),
                sum(|figures| figures.drops),
                spread(|figures| figures.keyframe).median,
                spread(|figures| figures.keyframe_p99).median,
                spread(|figures| figures.gap_p999).median,
                self.ratios(row, |figures| figures.gap_p999).median,
                spread(|figures| figures.memory).median,
                spread(|figures| figures.client * 100.0).median,
            )?;
        }
        write!(
            f,
            "\nmedian of the rounds (least–most); × floor: round by round, by the first floor of the \
             same kind; lost, missing, drops: all rounds together"
        )
    }
}

/// A figure of several rounds.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Not a number where there is none.
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        Self { median: (at(last / 2) + at(last.div_ceil(2))) / 2.0, least: at(0), most: at(last) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        write!(f, "{median:.places$} ({least:.places$}–{most:.places$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            date: "2026-01-01 00:00".to_owned(),
            processor: "abacus".to_owned(),
            processors: 2,
            kernel: "6.0".to_owned(),
            load: "0.00".to_owned(),
        }
    }

    fn report(cost: f64) -> Value {
        json!({
            "all": {
                "lost_at_server": 1, "missing_pictures": 2, "own_drops": 3,
                "first_keyframe_ms": { "median": 4.0, "p99": 5.0 },
                "frame_gap_ms": { "p999": cost * 10.0 },
            },
            "server_cpu_ms_per_viewer_and_second": cost,
            "server_resident_peak": 12_000_000,
            "client_cpu": 0.25,
            "failures": [],
        })
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was twice as slow in round 1; the ratio is the same.
        let cost = [(Contender::Floor, 0, 1.0), (Contender::Lenscast, 0, 3.0)]
            .into_iter()
            .chain([(Contender::Lenscast, 1, 6.0), (Contender::Floor, 1, 2.0)]);
        let runs: Vec<Run> = cost
            .map(|(contender, round, cost)| {
                let result = Figures::read(&report(cost)).unwrap();
                Run { contender, transport: Transport::Udp, viewers: 100, round, result }
            })
            .collect();
        let table = Table { runs: &runs, begin: machine(), end: machine(), seconds: 10 };
        let ratio = table.ratios((100, Transport::Udp, Contender::Lenscast), |f| f.cost);
        assert_eq!(ratio, Spread { median: 3.0, least: 3.0, most: 3.0 });
        let text = table.to_string();
        let row =
            "| 100 udp | lenscast | 4.50 (3.00–6.00) | 3.00 (3.00–3.00) | 2 | 4 | 6 | 4 / 5 |";
        assert!(text.lines().any(|line| line.starts_with(row)), "{text}");
        assert_eq!(table.json()["runs"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_report_without_the_servers_cost_is_none() {
        let mut report = report(1.0);
        report["server_cpu_ms_per_viewer_and_second"] = Value::Null;
        assert!(Figures::read(&report).is_none());
    }
}
