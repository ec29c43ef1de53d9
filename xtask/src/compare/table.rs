//! All turns of a comparison as a table for people, and held against what was set as a goal.

use std::fmt;

use serde_json::Value;

use super::{
    Contender, Transport,
    figures::{Figures, Run, Spread},
    machine::Conditions,
};

/// All turns.
pub(crate) struct Table<'a> {
    pub(crate) runs: &'a [Run],
    pub(crate) conditions: Conditions,
}

/// What one line of the table is of.
pub(crate) type Row = (usize, Transport, Contender);

impl Table<'_> {
    /// Every figure of every turn.
    pub(crate) fn json(&self) -> Value {
        let mut json = self.conditions.json();
        json["runs"] = self.runs.iter().map(Run::json).collect();
        json
    }

    /// Each combination once, in the order of the runs.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for run in self.runs {
            for contender in Contender::ROWS {
                let row = (run.viewers, run.transport, contender);
                if !rows.contains(&row) && self.runs_of(row).next().is_some() {
                    rows.push(row);
                }
            }
        }
        rows
    }

    fn runs_of(&self, row: Row) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| (run.viewers, run.transport, run.contender) == row)
    }

    fn figures_of(&self, row: Row) -> impl Iterator<Item = &Figures> {
        self.runs_of(row).filter_map(|run| run.result.as_ref().ok())
    }

    fn spread(&self, row: Row, figure: fn(&Figures) -> f64) -> Spread {
        Spread::of(self.figures_of(row).map(figure))
    }

    /// This contender's figure by the floor's, round by round.
    pub(crate) fn ratios(&self, row: Row, figure: fn(&Figures) -> f64) -> Spread {
        let (viewers, transport, _) = row;
        let ratios = self.runs_of((viewers, transport, Contender::Floor)).filter_map(|floor| {
            let own = self.runs_of(row).find(|run| run.round == floor.round)?;
            Some(figure(own.result.as_ref().ok()?) / figure(floor.result.as_ref().ok()?))
        });
        Spread::of(ratios)
    }

    fn line(&self, row: Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (viewers, transport, contender) = row;
        write!(f, "| {viewers} {} | {} ", transport.name(), contender.name(transport))?;
        let refused = self.runs_of(row).filter_map(|run| run.result.as_ref().err());
        if let Some(reason) = refused.last() {
            let reason = reason.replace('|', "/");
            return writeln!(f, "| not carried: {reason} {}", "| ".repeat(COLUMNS - 2).trim_end());
        }
        let sum = |figure: fn(&Figures) -> f64| -> f64 { self.figures_of(row).map(figure).sum() };
        writeln!(
            f,
            "| {:.3} | {:.2} | {:.2} | {} | {} | {} | {} | {:.0} / {:.0} | {:.1} | {:.2} | {:.1} | {:.1} | \
             {:.0} | {:.0} % |",
            self.spread(row, |figures| figures.cost),
            self.ratios(row, |figures| figures.cost),
            self.spread(row, |figures| figures.pace).least,
            sum(|figures| figures.lost),
            sum(|figures| figures.missing),
            sum(|figures| figures.drops),
            sum(|figures| figures.failed),
            self.spread(row, |figures| figures.keyframe).median,
            self.spread(row, |figures| figures.keyframe_p99).median,
            self.spread(row, |figures| figures.gap_p999).median,
            self.ratios(row, |figures| figures.gap_p999),
            self.spread(row, |figures| figures.memory).median,
            self.spread(row, |figures| figures.memory_peak).median,
            self.spread(row, |figures| figures.memory_of_viewer).median,
            self.spread(row, |figures| figures.client * 100.0).median,
        )
    }

    /// What lenscast reached of what was set as a goal: the figures alone.
    fn goals(&self) -> Vec<(String, &'static str, String)> {
        let mut goals = Vec::new();
        for row @ (viewers, transport, contender) in self.rows() {
            if contender != Contender::Lenscast || self.figures_of(row).next().is_none() {
                continue;
            }
            let of = format!("{viewers} {}", transport.name());
            let mut goal = |what: &str, wanted, reached| {
                goals.push((format!("{of}: {what}"), wanted, reached));
            };
            goal(
                "CPU by the floor's",
                "≤ 1.25, then < 1",
                format!("{:.2}", self.ratios(row, |figures| figures.cost)),
            );
            goal(
                "p99.9 frame gap by the floor's",
                "≤ 1.5",
                format!("{:.2}", self.ratios(row, |figures| figures.gap_p999)),
            );
            let missed = self.figures_of(row).map(|figures| figures.lost + figures.missing);
            goal("packets lost and pictures missing", "0", missed.sum::<f64>().to_string());
            if viewers == 1 {
                let load = self.spread(row, |figures| figures.load);
                goal("CPU, ms per second, all in all", "≤ 4", format!("{load:.2}"));
            }
            if viewers == 200 {
                let memory = self.spread(row, |figures| figures.memory);
                goal("RSS, MB", "≤ 12", format!("{memory:.1}"));
            }
        }
        goals
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.conditions)?;
        writeln!(
            f,
            "| viewers | | CPU ms per viewer and second | × floor | pace | lost | missing \
             pictures | viewers' drops | failed | connect → keyframe ms, median / p99 | frame gap p99.9 ms | \
             × floor | RSS MB | at its peak | KB per viewer | viewers' CPU |"
        )?;
        writeln!(f, "{}|", "|---".repeat(COLUMNS))?;
        for row in self.rows() {
            self.line(row, f)?;
        }
        writeln!(
            f,
            "\nMedian of the rounds (least–most); × floor: round by round, by the first floor of the \
             same kind; lost, missing, drops, failed: all rounds together.\n"
        )?;
        writeln!(f, "| lenscast, viewers | wanted | reached |\n|---|---|---|")?;
        for (what, wanted, reached) in self.goals() {
            writeln!(f, "| {what} | {wanted} | {reached} |")?;
        }
        Ok(())
    }
}

/// Of the table of figures.
const COLUMNS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{figures::report, machine::Machine};

    fn conditions() -> Conditions {
        let machine = Machine {
            date: "2026-01-01 00:00".to_owned(),
            processor: "abacus".to_owned(),
            processors: 2,
            kernel: "6.0".to_owned(),
            load: "0.00".to_owned(),
        };
        Conditions { begin: machine.clone(), end: machine, of: "a film".to_owned() }
    }

    fn run(contender: Contender, round: usize, cost: f64) -> Run {
        let result = Figures::read(&report(cost));
        Run { contender, transport: Transport::Udp, viewers: 100, round, result }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was twice as slow in round 1; the ratio is the same.
        let runs = [
            run(Contender::Floor, 0, 1.0),
            run(Contender::Lenscast, 0, 3.0),
            run(Contender::Lenscast, 1, 6.0),
            run(Contender::Floor, 1, 2.0),
        ];
        let table = Table { runs: &runs, conditions: conditions() };
        let ratio = table.ratios((100, Transport::Udp, Contender::Lenscast), |f| f.cost);
        assert_eq!(ratio, Spread { median: 3.0, least: 3.0, most: 3.0 });
        let text = table.to_string();
        for line in [
            "| 100 udp | lenscast | 4.500 (3.000–6.000) | 3.00 | 1.01 | 2 | 4 | 6 | 2 | 4 / 5 | 45.0 | 3.00 | \
             12.0 | 13.0 | 20 | 25 % |",
            "| 100 udp: CPU by the floor's | ≤ 1.25, then < 1 | 3.00 |",
            "| 100 udp: p99.9 frame gap by the floor's | ≤ 1.5 | 3.00 |",
            "| 100 udp: packets lost and pictures missing | 0 | 6 |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
        assert_eq!(table.json()["runs"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn who_could_not_carry_the_viewers_stands_in_the_table_with_the_reason() {
        let mut gst = run(Contender::Gst, 0, 1.0);
        gst.result = Err("100 viewers failed, the first with: SETUP: no reply".to_owned());
        let runs = [run(Contender::Floor, 0, 1.0), gst];
        let table = Table { runs: &runs, conditions: conditions() };
        let text = table.to_string();
        let line = text.lines().find(|line| line.contains("gst-rtsp-server")).unwrap();
        assert!(line.contains("not carried: 100 viewers failed"), "{line}");
        let columns = |line: &str| line.matches('|').count();
        let floor = text.lines().find(|line| line.contains("floor: sendmsg")).unwrap();
        assert_eq!((columns(line), columns(floor)), (COLUMNS + 1, COLUMNS + 1));
        assert!(table.json()["runs"][1]["not_carried"].is_string());
    }
}
