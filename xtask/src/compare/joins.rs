//! How long a viewer waits for its first picture, at each phase of the group of pictures: one after
//! another joins, while one watches all the time so that the source is warm.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    film,
    machine::{Conditions, Machine},
    plot::{Chart, Mark, Rule, Scale, Series, Style},
    record::Record,
    stage::{Source, Stage, USER},
};
use crate::server::Server;

/// One server, and how viewers join it.
#[derive(Copy, Clone, Debug)]
struct Case {
    name: &'static str,
    source: Source,
    /// What is wanted of the median, in milliseconds; of none where waiting is meant.
    wanted: Option<f64>,
    joins: usize,
    spacing: Duration,
    spread: Duration,
}

/// What the viewers of one case and transport waited, in milliseconds, and when in the group of
/// pictures they came.
struct Waits {
    case: Case,
    login: bool,
    transport: &'static str,
    /// Phase, and from connecting to the first whole keyframe.
    joins: Vec<(f64, f64)>,
    /// From connecting to the reply to PLAY.
    played: Vec<f64>,
    /// Of those that came.
    without_keyframe: usize,
}

/// Runs all of them, prints the table and records it.
pub(crate) fn run(stage: &Stage<'_>, record: &Record<'_>) -> anyhow::Result<()> {
    let begin = Machine::now()?;
    let mut all = Vec::new();
    let mut json_cases = Vec::new();
    for case in CASES {
        for login in [false, true] {
            let joins = joined(stage, case, login)?;
            for transport in ["udp", "tcp"] {
                let waits = Waits::of(case, login, transport, &joins);
                println!("{}", waits.line());
                all.push(waits);
            }
            json_cases.push(json!({ "case": case.name, "login": login, "joins": joins }));
        }
    }
    let of = format!("{}; a keyframe every {} s", stage.build(), film::GOP_SECONDS);
    let conditions = Conditions { begin, end: Machine::now()?, of };
    let text = table(&conditions, &all);
    println!("\n{text}");
    let mut json = conditions.json();
    json["cases"] = json_cases.into();
    record.json("compare-joins", &json)?;
    record.section("joins", &text)?;
    record.plot("joins", &charts(&all))
}

fn joined(stage: &Stage<'_>, case: Case, login: bool) -> anyhow::Result<Vec<Value>> {
    let server = Server::start(&mut stage.lenscast(case.source, login)?, START)?;
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let joins = case.joins.to_string();
    let (spacing, spread) = (millis(case.spacing), millis(case.spread));
    let mut arguments = vec!["--count=1", "--transport=mixed", "--joins", &joins];
    arguments.extend(["--join-spacing", &spacing, "--join-spread", &spread]);
    if login {
        arguments.extend(["--user", USER]);
    }
    let report = stage.watch(&server, &arguments)?;
    let joins = report["joins"].as_array().context("the viewers say nothing of joins")?;
    anyhow::ensure!(!joins.is_empty(), "nobody could join: {:#}", report["failures"]);
    Ok(joins.clone())
}

impl Waits {
    fn of(case: Case, login: bool, transport: &'static str, joins: &[Value]) -> Self {
        let own: Vec<_> = joins.iter().filter(|join| join["transport"] == transport).collect();
        let waited = own.iter().filter_map(|join| {
            Some((join["phase_ms"].as_f64()?, join["first_keyframe_ms"].as_f64()?))
        });
        let waited: Vec<_> = waited.collect();
        Self {
            case,
            login,
            transport,
            played: own.iter().filter_map(|join| join["played_ms"].as_f64()).collect(),
            without_keyframe: own.len() - waited.len(),
            joins: waited,
        }
    }

    /// Median, 99th percentile and longest wait.
    fn quantiles(&self) -> [f64; 3] {
        let times: Vec<_> = self.joins.iter().map(|(_, wait)| *wait).collect();
        [0.5, 0.99, 1.0].map(|share| quantile(&times, share))
    }

    fn line(&self) -> String {
        let Self { case, login, transport, joins, played, without_keyframe } = self;
        let [median, p99, most] = self.quantiles();
        let wanted = case.wanted.map_or("–".to_owned(), |median| format!("{median} / 100"));
        let login = if *login { "Digest" } else { "open" };
        format!(
            "| {} | {transport} | {login} | {} | {:.1} | {median:.1} | {p99:.1} | {most:.1} | \
             {wanted} | {without_keyframe} |",
            case.name,
            joins.len(),
            quantile(played, 0.5),
        )
    }
}

/// The smallest that at least this share of all do not exceed; not a number of none.
fn quantile(times: &[f64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let rank = (times.len() as f64 * share).ceil().max(1.0) as usize;
    times.get(rank - 1).copied().unwrap_or(f64::NAN)
}

fn table(conditions: &Conditions, all: &[Waits]) -> String {
    let mut text = format!(
        "{conditions}\n\n| joining | | login | joins | connect → reply to PLAY ms, median | connect → \
         first whole keyframe ms, median | p99 | longest | wanted: median / p99 ≤ | without a \
         keyframe |\n{}|\n",
        "|---".repeat(10)
    );
    for waits in all {
        let _ = writeln!(text, "{}", waits.line());
    }
    text
}

fn charts(all: &[Waits]) -> Vec<Chart> {
    let chart = |source: Source, title: &str| {
        let cases = CASES.iter().filter(|case| case.source == source).enumerate();
        let series = cases.flat_map(|(number, case)| {
            [("udp", false), ("tcp", true)].map(|(transport, hollow)| {
                let own = all
                    .iter()
                    .filter(|waits| waits.case.name == case.name && waits.transport == transport);
                let joins = own.flat_map(|waits| &waits.joins);
                let mark = |&(x, y): &(f64, f64)| Mark { x, y, range: None };
                Series {
                    name: format!("{}, {}", case.name, transport.to_uppercase()),
                    style: Style::Dots { colour: 1 + 2 * number, hollow },
                    marks: joins.map(mark).collect(),
                }
            })
        });
        let mut rules = vec![Rule { at: 100.0, name: "wanted of 99 in 100".to_owned() }];
        let wanted = CASES.iter().find(|case| case.source == source).and_then(|case| case.wanted);
        rules.extend(wanted.map(|at| Rule { at, name: "wanted of the median".to_owned() }));
        Chart {
            title: title.to_owned(),
            x: ("ms from the keyframe before to connecting".to_owned(), Scale::Linear),
            y: ("ms from connecting to the first whole keyframe".to_owned(), Scale::Logarithmic),
            rules,
            series: series.filter(|series| !series.marks.is_empty()).collect(),
        }
    };
    vec![chart(Source::Card, "Live encoder"), chart(Source::File, "Keyframe of a file, cached")]
}

const CASES: [Case; 3] = [
    Case {
        name: "live encoder",
        source: Source::Card,
        wanted: Some(40.0),
        joins: 24,
        // A forced keyframe may come every two seconds.
        spacing: Duration::from_millis(2050),
        spread: Duration::from_secs(film::GOP_SECONDS as u64),
    },
    Case {
        name: "live encoder, crowded",
        source: Source::Card,
        wanted: None,
        joins: 60,
        spacing: Duration::from_millis(250),
        spread: Duration::from_millis(300),
    },
    Case {
        name: "file",
        source: Source::File,
        wanted: Some(15.0),
        joins: 120,
        spacing: Duration::from_millis(150),
        spread: Duration::from_millis(300),
    },
];
const START: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_one_transport() {
        let join = |transport: &str, phase: f64, wait: Option<f64>| {
            json!({ "transport": transport, "phase_ms": phase, "played_ms": 2.0,
                    "first_keyframe_ms": wait })
        };
        let joins = [
            join("udp", 0.0, Some(30.0)),
            join("udp", 500.0, Some(10.0)),
            join("tcp", 9.0, Some(99.0)),
            join("udp", 700.0, Some(20.0)),
            join("udp", 800.0, None),
        ];
        let waits = Waits::of(CASES[0], true, "udp", &joins);
        assert_eq!(waits.quantiles(), [20.0, 30.0, 30.0]);
        let line = "| live encoder | udp | Digest | 3 | 2.0 | 20.0 | 30.0 | 30.0 | 40 / 100 | 1 |";
        assert_eq!(waits.line(), line);
        let [live, _] = &charts(&[waits])[..] else { panic!("two charts") };
        assert_eq!(live.series.len(), 1);
        assert_eq!(live.series[0].marks.len(), 3);
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| quantile(&times, share)), [100.0, 198.0, 200.0]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
