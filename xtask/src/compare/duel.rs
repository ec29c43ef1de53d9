//! The comparison: all contenders in turn, round after round.

use super::{
    Arguments, Contender,
    machine::{Conditions, Machine},
    plot::{Chart, Mark, Rule, Scale, Series, Style},
    record::Record,
    stage::Stage,
    table::Table,
};
use crate::compare::Transport;

/// Runs it, prints the table and records it.
pub(crate) fn run(
    stage: &Stage<'_>,
    contenders: &[Contender],
    arguments: &Arguments,
    record: &Record<'_>,
) -> anyhow::Result<()> {
    let begin = Machine::now()?;
    let mut runs = Vec::new();
    for &viewers in &arguments.viewers {
        for &transport in &arguments.transport {
            for round in 0..arguments.rounds {
                for contender in Contender::turns(contenders, round) {
                    let run = stage.play(contender, transport, viewers, round)?;
                    println!("{}", run.line());
                    runs.push(run);
                }
            }
        }
    }
    let of = format!("{}; rounds: {}", stage.conditions(), arguments.rounds);
    let conditions = Conditions { begin, end: Machine::now()?, of };
    let table = Table { runs: &runs, conditions };
    println!("\n{table}");
    record.json("compare", &table.json())?;
    record.section("duel", &table.to_string())?;
    record.plot("ratios", &charts(&table))
}

/// Cost by the floor's, for each transport.
fn charts(table: &Table<'_>) -> Vec<Chart> {
    let rows = table.rows();
    let chart = |transport: Transport| {
        let all = rows.iter().filter(|(_, of, _)| *of == transport);
        let series =
            Contender::ROWS.into_iter().filter(|who| *who != Contender::Floor).map(|who| {
                let marks = all.clone().filter(|(_, _, contender)| *contender == who).map(|&row| {
                    let ratio = table.ratios(row, |figures| figures.cost);
                    Mark {
                        x: row.0 as f64,
                        y: ratio.median,
                        range: Some((ratio.least, ratio.most)),
                    }
                });
                Series {
                    name: who.name(transport).to_owned(),
                    style: Style::Line { colour: who as usize, dashed: false },
                    marks: marks.filter(|mark| mark.y.is_finite()).collect(),
                }
            });
        Chart {
            title: format!("CPU by the floor's, {}", transport.name().to_uppercase()),
            x: ("viewers".to_owned(), Scale::Logarithmic),
            y: ("× floor".to_owned(), Scale::Logarithmic),
            rules: vec![
                Rule { at: 1.0, name: "the floor".to_owned() },
                Rule { at: 1.25, name: "wanted".to_owned() },
            ],
            series: series.filter(|series| !series.marks.is_empty()).collect(),
        }
    };
    let charts = [Transport::Udp, Transport::Tcp].map(chart);
    charts.into_iter().filter(|chart| !chart.series.is_empty()).collect()
}
