//! What came out of one turn, and of several.

use std::fmt;

use serde_json::{Value, json};

use super::{Contender, Transport};

/// One turn of one contender.
pub(crate) struct Run {
    pub(crate) contender: Contender,
    pub(crate) transport: Transport,
    pub(crate) viewers: usize,
    pub(crate) round: usize,
    /// Or why there are no figures.
    pub(crate) result: Result<Figures, String>,
}

impl Run {
    /// For whoever waits.
    pub(crate) fn line(&self) -> String {
        let (viewers, transport) = (self.viewers, self.transport.name());
        let name = self.contender.name(self.transport);
        match &self.result {
            Err(reason) => format!("{viewers} {transport} {name}: not carried: {reason}"),
            Ok(Figures { cost, lost, drops, client, failed, .. }) => format!(
                "{viewers} {transport} {name}: {cost:.3} ms; {lost} lost, {drops} dropped by the \
                 viewers, {failed} viewers failed; viewers took {:.0} % of a processor",
                client * 100.0
            ),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let mut json = match &self.result {
            Ok(figures) => figures.json(),
            Err(reason) => json!({ "not_carried": reason }),
        };
        json["contender"] = self.contender.name(self.transport).into();
        json["transport"] = self.transport.name().into();
        json["viewers"] = self.viewers.into();
        json["round"] = self.round.into();
        json
    }
}

/// What the viewers of one turn say.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Figures {
    /// Milliseconds of the server's processor for one viewer and second, beyond what it used
    /// without viewers.
    pub(crate) cost: f64,
    /// Milliseconds of the server's processor in a second, all in all.
    pub(crate) load: f64,
    /// Packets the server did not send.
    pub(crate) lost: f64,
    /// Pictures that viewers missed, for whatever reason.
    pub(crate) missing: f64,
    /// Seconds of pictures that viewers got in a second: under 1 where the server could not keep up.
    pub(crate) pace: f64,
    /// How often a viewer's own socket had no room.
    pub(crate) drops: f64,
    /// From connecting to the first whole keyframe, in milliseconds.
    pub(crate) keyframe: f64,
    pub(crate) keyframe_p99: f64,
    /// Between two pictures, in milliseconds.
    pub(crate) gap_p999: f64,
    /// The server's memory with all viewers, in megabytes.
    pub(crate) memory: f64,
    /// At its peak.
    pub(crate) memory_peak: f64,
    /// What one viewer adds to it, in kilobytes.
    pub(crate) memory_of_viewer: f64,
    /// Of the viewers' processor: 1 is all of it.
    pub(crate) client: f64,
    /// Viewers that came to no result.
    pub(crate) failed: f64,
}

impl Figures {
    /// From the report of the `viewers`.
    ///
    /// # Errors
    ///
    /// In words, when there is nothing to be told: all viewers failed.
    pub(crate) fn read(report: &Value) -> Result<Self, String> {
        Self::found(report).ok_or_else(|| {
            let failures = report["failures"].as_array().map_or(&[][..], Vec::as_slice);
            let first = failures.first().and_then(Value::as_str).unwrap_or("no reason given");
            format!("{} viewers failed, the first with: {first}", failures.len())
        })
    }

    fn found(report: &Value) -> Option<Self> {
        let all = &report["all"];
        let (memory, viewers) = (report["server_resident"].as_f64()?, all["viewers"].as_f64()?);
        Some(Self {
            cost: report["server_cpu_ms_per_viewer_and_second"].as_f64()?,
            load: report["server_cpu"].as_f64()? * 1000.0,
            lost: all["lost_at_server"].as_f64()?,
            missing: all["missing_pictures"].as_f64()?,
            pace: all["pace"].as_f64()?,
            drops: all["own_drops"].as_f64()?,
            keyframe: all["first_keyframe_ms"]["median"].as_f64()?,
            keyframe_p99: all["first_keyframe_ms"]["p99"].as_f64()?,
            gap_p999: all["frame_gap_ms"]["p999"].as_f64()?,
            memory: memory / 1e6,
            memory_peak: report["server_resident_peak"].as_f64()? / 1e6,
            memory_of_viewer: (memory - report["server_resident_before"].as_f64()?) / viewers / 1e3,
            client: report["client_cpu"].as_f64()?,
            failed: report["failures"].as_array()?.len() as f64,
        })
    }

    /// Whether every viewer got everything, and in time.
    pub(crate) fn is_whole(&self) -> bool {
        self.keeps_up()
            && self.lost == 0.0
            && self.missing == 0.0
            && self.drops == 0.0
            && self.failed == 0.0
    }

    /// Whether pictures came as fast as they were to be shown.
    pub(crate) fn keeps_up(&self) -> bool {
        self.pace >= LEAST_PACE
    }

    fn json(&self) -> Value {
        json!({
            "cpu_ms_per_viewer_and_second": self.cost,
            "cpu_ms_per_second": self.load,
            "lost": self.lost,
            "missing_pictures": self.missing,
            "pace": self.pace,
            "viewers_own_drops": self.drops,
            "first_keyframe_ms": self.keyframe,
            "first_keyframe_p99_ms": self.keyframe_p99,
            "frame_gap_p999_ms": self.gap_p999,
            "memory_mb": self.memory,
            "memory_peak_mb": self.memory_peak,
            "memory_kb_per_viewer": self.memory_of_viewer,
            "viewers_cpu": self.client,
            "viewers_failed": self.failed,
        })
    }
}

/// A figure of several rounds.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Not a number where there is none.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
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
        if median.is_nan() {
            return f.write_str("–");
        }
        if least == most {
            return write!(f, "{median:.places$}");
        }
        write!(f, "{median:.places$} ({least:.places$}–{most:.places$})")
    }
}

/// A little less than 1: a few seconds begin and end with part of a picture's time.
const LEAST_PACE: f64 = 0.98;

/// For tests here and beside it.
#[cfg(test)]
pub(crate) fn report(cost: f64) -> Value {
    json!({
        "all": {
            "viewers": 100, "lost_at_server": 1, "missing_pictures": 2, "own_drops": 3, "pace": 1.01,
            "first_keyframe_ms": { "median": 4.0, "p99": 5.0 },
            "frame_gap_ms": { "p999": cost * 10.0 },
        },
        "server_cpu_ms_per_viewer_and_second": cost,
        "server_cpu": cost / 10.0,
        "server_resident_before": 10_000_000,
        "server_resident": 12_000_000,
        "server_resident_peak": 13_000_000,
        "client_cpu": 0.25,
        "failures": ["SETUP: no reply"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_their_units() {
        let figures = Figures::read(&report(2.0)).unwrap();
        assert_eq!((figures.load, figures.memory, figures.memory_of_viewer), (200.0, 12.0, 20.0));
        assert_eq!((figures.memory_peak, figures.failed), (13.0, 1.0));
        assert!(!figures.is_whole());
    }

    #[test]
    fn a_report_without_the_servers_cost_says_why() {
        let mut report = report(1.0);
        report["server_cpu_ms_per_viewer_and_second"] = Value::Null;
        let reason = Figures::read(&report).unwrap_err();
        assert_eq!(reason, "1 viewers failed, the first with: SETUP: no reply");
    }

    #[test]
    fn a_spread_has_the_middle_of_the_two_in_the_middle() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0].into_iter());
        assert_eq!(spread, Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(spread.to_string(), "2.50 (1.00–4.00)");
        assert_eq!(Spread::of([1.0].into_iter()).to_string(), "1.00");
        assert_eq!(Spread::of([].into_iter()).to_string(), "–");
    }
}
