//! How cost and memory grow with the viewers, and where it ends.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Arguments, Contender, Transport,
    figures::{Figures, Run},
    machine::{Conditions, Machine},
    plot::{Chart, Mark, Rule, Scale, Series, Style},
    record::Record,
    stage::Stage,
};

/// Runs it, prints the table and records it.
pub(crate) fn run(
    stage: &Stage<'_>,
    arguments: &Arguments,
    record: &Record<'_>,
) -> anyhow::Result<()> {
    let begin = Machine::now()?;
    let mut counts = arguments.grow_to.clone();
    counts.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    for &transport in &arguments.transport {
        for &viewers in &counts {
            for contender in CONTENDERS {
                let mut before = runs.iter().filter(|run| is_of(run, contender, transport));
                if before.any(|run| limit(&run.result).is_some()) {
                    continue;
                }
                let run = stage.play(contender, transport, viewers, 0)?;
                println!("{}", run.line());
                runs.push(run);
            }
        }
    }
    let conditions = Conditions { begin, end: Machine::now()?, of: stage.conditions() };
    let text = table(&conditions, &runs);
    println!("\n{text}");
    let mut json = conditions.json();
    json["runs"] = runs.iter().map(Run::json).collect::<Value>();
    record.json("compare-growth", &json)?;
    record.section("growth", &text)?;
    record.plot("viewers", &charts(&runs))
}

fn is_of(run: &Run, contender: Contender, transport: Transport) -> bool {
    (run.contender, run.transport) == (contender, transport)
}

/// What it was that there was too little of; `None` while all was well.
fn limit(result: &Result<Figures, String>) -> Option<String> {
    let figures = match result {
        Ok(figures) => figures,
        Err(reason) => return Some(reason.clone()),
    };
    let (server, client) = (figures.load / 10.0, figures.client * 100.0);
    let what = if server >= FULL {
        "the server's processor is full"
    } else if client >= FULL {
        "the load client's processor is full"
    } else if figures.is_whole() {
        return None;
    } else if figures.drops > 0.0 {
        "the load client's sockets have no room"
    } else if !figures.keeps_up() {
        "pictures come later and later"
    } else if figures.failed > 0.0 {
        "viewers failed"
    } else {
        "viewers missed something"
    };
    Some(what.to_owned())
}

fn table(conditions: &Conditions, runs: &[Run]) -> String {
    let mut text = format!(
        "{conditions}\n\n| viewers | | CPU ms per second | RSS MB | KB per viewer | pace | lost | \
         missing pictures | viewers' drops | failed | viewers' CPU | limit |\n{}|\n",
        "|---".repeat(12)
    );
    for run in runs {
        let (viewers, transport) = (run.viewers, run.transport.name());
        let name = run.contender.name(run.transport);
        let limit = limit(&run.result).unwrap_or_default();
        let line = match &run.result {
            Ok(figures) => format!(
                "| {viewers} {transport} | {name} | {:.1} | {:.1} | {:.0} | {:.2} | {} | {} | {} | \
                 {} | {:.0} % | {limit} |",
                figures.load,
                figures.memory,
                figures.memory_of_viewer,
                figures.pace,
                figures.lost,
                figures.missing,
                figures.drops,
                figures.failed,
                figures.client * 100.0,
            ),
            Err(_) => {
                let blank = "| ".repeat(9);
                format!("| {viewers} {transport} | {name} {blank}| {limit} |")
            }
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

fn charts(runs: &[Run]) -> Vec<Chart> {
    let chart = |title: &str, unit: &str, figure: fn(&Figures) -> f64, rules| {
        let series = CONTENDERS.into_iter().flat_map(|contender| {
            [Transport::Udp, Transport::Tcp].map(|transport| {
                let own = runs.iter().filter(|run| is_of(run, contender, transport));
                let marks = own.filter_map(|run| {
                    let y = figure(run.result.as_ref().ok()?);
                    Some(Mark { x: run.viewers as f64, y, range: None })
                });
                let who = if contender == Contender::Floor { "floor" } else { "lenscast" };
                Series {
                    name: format!("{who}, {}", transport.name().to_uppercase()),
                    style: Style::Line {
                        colour: contender as usize,
                        dashed: transport == Transport::Tcp,
                    },
                    marks: marks.filter(|mark| mark.y > 0.0).collect(),
                }
            })
        });
        Chart {
            title: title.to_owned(),
            x: ("viewers".to_owned(), Scale::Logarithmic),
            y: (unit.to_owned(), Scale::Logarithmic),
            rules,
            series: series.filter(|series| !series.marks.is_empty()).collect(),
        }
    };
    let full = Rule { at: 1000.0, name: "one processor".to_owned() };
    let all = vec![
        chart("The server's CPU", "ms per second", |figures| figures.load, vec![full]),
        chart("The server's memory", "RSS in MB", |figures| figures.memory, Vec::new()),
    ];
    all.into_iter().filter(|chart| !chart.series.is_empty()).collect()
}

const CONTENDERS: [Contender; 2] = [Contender::Floor, Contender::Lenscast];
/// Percent of a processor at which nothing is left of it.
const FULL: f64 = 95.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::report;

    #[test]
    fn the_limit_is_what_there_was_too_little_of() {
        let mut figures = Figures::read(&report(2.0)).unwrap();
        let limit = |figures: Figures| limit(&Ok(figures)).unwrap_or_default();
        assert_eq!(limit(figures), "the load client's sockets have no room");
        figures.drops = 0.0;
        assert_eq!(limit(figures), "viewers failed");
        figures.failed = 0.0;
        assert_eq!(limit(figures), "viewers missed something");
        (figures.lost, figures.missing) = (0.0, 0.0);
        assert_eq!(limit(figures), "");
        figures.pace = 0.9;
        assert_eq!(limit(figures), "pictures come later and later");
        figures.client = 0.96;
        assert_eq!(limit(figures), "the load client's processor is full");
        figures.load = 980.0;
        assert_eq!(limit(figures), "the server's processor is full");
        assert_eq!(super::limit(&Err("refused".to_owned())).as_deref(), Some("refused"));
    }
}
