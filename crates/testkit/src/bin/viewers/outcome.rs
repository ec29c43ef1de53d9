//! What all viewers together found out, and how it is told.

use std::time::Duration;

use serde_json::json;
use testkit::viewer::{self, Closed, Error, Report, Spread, Summary, Transport};

use crate::{
    joins::{self, Join},
    span::Span,
};

pub(crate) struct Outcome {
    pub(crate) watched: Vec<Result<Report, Error>>,
    pub(crate) stalled: Vec<Result<viewer::Stalled, Error>>,
    pub(crate) joined: Vec<Result<Report, Error>>,
    pub(crate) idle: Option<Span>,
    pub(crate) busy: Option<Span>,
    pub(crate) own: Span,
}

impl Outcome {
    fn reports(&self, transport: Option<Transport>) -> impl Iterator<Item = &Report> {
        let is_asked = move |report: &&Report| transport.is_none_or(|t| t == report.transport);
        self.watched.iter().filter_map(|watched| watched.as_ref().ok()).filter(is_asked)
    }

    fn failures(&self) -> impl Iterator<Item = &Error> {
        let watched = self.watched.iter().filter_map(|watched| watched.as_ref().err());
        let joined = self.joined.iter().filter_map(|joined| joined.as_ref().err());
        let stalled = self.stalled.iter().filter_map(|stalled| stalled.as_ref().err());
        watched.chain(joined).chain(stalled)
    }

    fn joins(&self) -> Vec<Join> {
        let joined = self.joined.iter().flatten();
        joined.map(|report| Join::of(report, self.reports(None))).collect()
    }

    /// Whether nothing was wrong with any viewer.
    pub(crate) fn is_good(&self) -> bool {
        let is_closed = |closed| !matches!(closed, Closed::NotWithin(_));
        self.failures().next().is_none()
            && self
                .reports(None)
                .chain(self.joined.iter().flatten())
                .all(|report| report.faults().is_empty())
            && self.reports(None).all(|report| report.counts.lost == 0)
            && self.stalled.iter().flatten().all(|stalled| is_closed(stalled.closed))
    }

    /// Milliseconds of processor time the server spends on one viewer in a second.
    fn cost_per_viewer(&self) -> Option<f64> {
        let (idle, busy) = (self.idle.as_ref()?, self.busy.as_ref()?);
        let viewers = self.reports(None).count();
        (viewers > 0).then(|| (busy.load() - idle.load()) * 1000.0 / viewers as f64)
    }

    /// For people.
    pub(crate) fn print(&self) {
        let (frame, times) = ("frame gap ms", "connect → first whole keyframe ms");
        println!(
            "     {:>7} {:>10} {:>7} {:>6} {:>5} {:>7} {:>7}  {times:<36} {frame:<36} longest of each",
            "viewers", "packets", "units", "lost", "late", "missing", "drops"
        );
        for (name, transport) in
            [("udp", Some(Transport::Udp)), ("tcp", Some(Transport::Tcp)), ("all", None)]
        {
            let summary = Summary::of(self.reports(transport));
            if summary.viewers == 0 {
                continue;
            }
            println!(
                "{name:<4} {:>7} {:>10} {:>7} {:>6} {:>5} {:>7} {:>7}  {:<36} {:<36} {}",
                summary.viewers,
                summary.packets,
                summary.units,
                summary.lost_at_server,
                summary.late,
                summary.missing_pictures,
                summary.own_drops,
                written(summary.first_keyframe),
                written(summary.frame_gap),
                written(summary.longest_gap),
            );
        }
        println!("times: median / 99 % / 99.9 % / largest; lost: packets the server did not send;");
        println!("missing: pictures; drops: how often a viewer's own socket had no room");
        for stalled in self.stalled.iter().flatten() {
            match stalled.closed {
                Closed::After(after) => println!("stalled: closed after {after:.1?}"),
                Closed::NotWithin(time) => println!("stalled: still open after {time:.1?}"),
                Closed::Unknown => println!("stalled: the server is not on this machine"),
            }
        }
        let joins = self.joins();
        for (name, time) in joins::STEPS {
            if let Some(times) = joins::spread(&joins, time) {
                println!("{} joins: {name} ms: {}", joins.len(), written(Some(times)));
            }
        }
        println!(
            "client: {:.1} % of a processor, {:.1} MB",
            self.own.load() * 100.0,
            megabytes(self.own.to.resident)
        );
        if let (Some(idle), Some(busy)) = (&self.idle, &self.busy) {
            println!(
                "server: {:.1} % of a processor, {:.1} % without viewers; {} a viewer and second; \
                 memory {:.1} MB before, {:.1} MB with viewers, {:.1} MB at most; {} threads, \
                 {} descriptors",
                busy.load() * 100.0,
                idle.load() * 100.0,
                self.cost_per_viewer().map_or("?".to_owned(), |cost| format!("{cost:.2} ms")),
                megabytes(idle.from.resident),
                megabytes(busy.to.resident),
                megabytes(busy.to.peak),
                busy.to.threads,
                busy.to.descriptors,
            );
        }
        let faulty = self.reports(None).chain(self.joined.iter().flatten()).map(Report::faults);
        let faulty = faulty.filter(|faults| !faults.is_empty());
        for faults in faulty.take(MOST_TOLD) {
            println!("fault: {}", faults.join("; "));
        }
        for failure in self.failures().take(MOST_TOLD) {
            println!("failed: {failure}");
        }
        let failed = self.failures().count();
        if failed > 0 {
            println!("{failed} viewers failed");
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let summary = |transport| {
            let summary = Summary::of(self.reports(transport));
            json!({
                "viewers": summary.viewers,
                "packets": summary.packets,
                "bytes": summary.bytes,
                "units": summary.units,
                "lost_at_server": summary.lost_at_server,
                "own_drops": summary.own_drops,
                "late": summary.late,
                "missing_pictures": summary.missing_pictures,
                "announced": summary.announced,
                "pace": summary.pace,
                "first_packet_ms": spread(summary.first_packet),
                "first_keyframe_ms": spread(summary.first_keyframe),
                "frame_gap_ms": spread(summary.frame_gap),
                "longest_gap_ms": spread(summary.longest_gap),
                "frame_interval_ms": summary.frame_interval.map(millis),
            })
        };
        let stalled = self.stalled.iter().flatten().map(|stalled| match stalled.closed {
            Closed::After(after) => json!(after.as_secs_f64()),
            Closed::NotWithin(_) | Closed::Unknown => json!(null),
        });
        let faults = self.reports(None).chain(self.joined.iter().flatten()).map(Report::faults);
        let faults: Vec<_> = faults.filter(|faults| !faults.is_empty()).collect();
        let failures: Vec<_> = self.failures().map(ToString::to_string).collect();
        json!({
            "good": self.is_good(),
            "udp": summary(Some(Transport::Udp)),
            "tcp": summary(Some(Transport::Tcp)),
            "all": summary(None),
            "stalled_closed_after_s": stalled.collect::<Vec<_>>(),
            "joins": self.joins().iter().map(Join::json).collect::<Vec<_>>(),
            "client_cpu": self.own.load(),
            "server_cpu_idle": self.idle.as_ref().map(Span::load),
            "server_cpu": self.busy.as_ref().map(Span::load),
            "server_cpu_ms_per_viewer_and_second": self.cost_per_viewer(),
            "server_threads": self.busy.as_ref().map(|busy| busy.to.threads),
            "server_resident_before": self.idle.as_ref().map(|idle| idle.from.resident),
            "server_resident": self.busy.as_ref().map(|busy| busy.to.resident),
            "server_resident_peak": self.busy.as_ref().map(|busy| busy.to.peak),
            "faults": faults,
            "failures": failures,
        })
    }
}

fn written(spread: Option<Spread>) -> String {
    spread.map_or("-".to_owned(), |Spread { median, p99, p999, max }| {
        let [median, p99, p999, max] = [median, p99, p999, max].map(millis);
        format!("{median:.1} / {p99:.1} / {p999:.1} / {max:.1}")
    })
}

fn spread(spread: Option<Spread>) -> serde_json::Value {
    spread.map_or(json!(null), |Spread { median, p99, p999, max }| {
        let [median, p99, p999, max] = [median, p99, p999, max].map(millis);
        json!({ "median": median, "p99": p99, "p999": p999, "max": max })
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

const MOST_TOLD: usize = 10;
