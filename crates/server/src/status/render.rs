//! The document as tables, for people. What clients say of themselves is shown without what would
//! steer a terminal.

use std::fmt;

use super::snapshot::{Delays, Snapshot, State, Step, Stream, Transport, Viewer};

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, streams, viewers, counters, .. } = self;
        let addresses: Vec<_> = server.listening.iter().map(ToString::to_string).collect();
        writeln!(
            f,
            "lenscast {}, process {}, on {}, for {}",
            Plain(&server.version),
            server.pid,
            addresses.join(" "),
            Age(server.uptime)
        )?;
        writeln!(
            f,
            "{} connections ({} so far, {} refused), {} sessions, {} wrong logins",
            counters.open,
            counters.connections,
            counters.refused,
            counters.sessions,
            counters.wrong_logins
        )?;
        for stream in streams {
            writeln!(f, "\n{stream}")?;
        }
        if viewers.is_empty() {
            return writeln!(f, "\nNobody watches.");
        }
        let rows = viewers.iter().map(row).collect();
        write!(f, "\n{}", Table { heads: &VIEWER_COLUMNS, texts: VIEWER_TEXTS, rows })
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "waits for a viewer",
            State::Starting => "is starting",
            State::Running => "runs",
            State::Away => "is away, and tried again",
            State::Over => "is over",
        };
        writeln!(f, "{}: {}; {state}", Plain(&self.name), Plain(&self.source))?;
        if let Some((width, height)) = self.size {
            write!(f, "  {width}x{height}")?;
            match &self.encoder {
                Some(encoder) => write!(f, " encoded by {}", Plain(encoder))?,
                None => write!(f, " encoded by the source")?,
            }
            write!(f, ", {:.1} fps", self.fps)?;
            if let Some(nominal) = self.nominal_fps {
                write!(f, " of {nominal:.1}")?;
            }
            writeln!(f, ", {:.2} Mbit/s", self.bitrate / 1e6)?;
        }
        write!(
            f,
            "  {} pictures, {} keyframes, {} gaps, {} starts, {} failures, {} watching",
            self.pictures, self.keyframes, self.gaps, self.starts, self.failures, self.viewers
        )?;
        if let Some(failure) = &self.last_failure {
            write!(f, "\n  failed last: {}", Plain(failure))?;
        }
        if !self.delays.is_empty() {
            let rows = self.delays.iter().map(|Step { step, delays }| {
                let Delays { count, p50, p90, p99, max } = delays;
                let mut row = vec![step.clone()];
                row.extend([p50, p90, p99, max].map(|millis| format!("{millis:.2}")));
                row.push(count.to_string());
                row
            });
            let table = Table { heads: &DELAY_COLUMNS, texts: 1, rows: rows.collect() };
            for line in table.to_string().lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

fn row(viewer: &Viewer) -> Vec<String> {
    let transport = match viewer.transport {
        Transport::None => "-",
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    let optional = |text: &Option<String>| match text {
        Some(text) => Plain(text).to_string(),
        None => "-".to_owned(),
    };
    let (lost, jitter) = match &viewer.reported {
        Some(reported) => (reported.lost.to_string(), format!("{:.1}", reported.jitter)),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let added = match viewer.added.count {
        0 => "-".to_owned(),
        _ => format!("{:.2}/{:.2}", viewer.added.p50, viewer.added.p99),
    };
    vec![
        Plain(&viewer.stream).to_string(),
        viewer.address.to_string(),
        optional(&viewer.user),
        optional(&viewer.agent),
        if viewer.playing { transport.to_owned() } else { format!("{transport}, paused") },
        Age(viewer.age).to_string(),
        viewer.packets.to_string(),
        format!("{:.1}", viewer.bytes as f64 / 1e6),
        lost,
        jitter,
        viewer.skipped.to_string(),
        added,
    ]
}

/// Columns as wide as what is in them.
struct Table<'a> {
    heads: &'a [&'a str],
    /// So many columns are text; numbers behind them stand to the right.
    texts: usize,
    rows: Vec<Vec<String>>,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let rows: Vec<&Vec<String>> = std::iter::once(&heads).chain(&self.rows).collect();
        let width = |at: usize| {
            rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<_> = (0..heads.len()).map(|at| width(at).unwrap_or(0)).collect();
        for row in rows {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                line += &match at < self.texts {
                    true => format!("{gap}{cell:<width$}"),
                    false => format!("{gap}{cell:>width$}"),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Text of others: one short line of it, and nothing that a terminal would obey.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_long = self.0.chars().nth(MOST_TEXT).is_some();
        for character in self.0.chars().take(MOST_TEXT) {
            // Those that change the direction of writing are no control characters.
            let is_plain =
                character.is_ascii_graphic() || character == ' ' || character.is_alphanumeric();
            write!(f, "{}", if is_plain { character } else { '·' })?;
        }
        if is_long { f.write_str("…") } else { Ok(()) }
    }
}

/// In the two largest units that say something.
struct Age(f64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0.0) as u64;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match () {
            () if days > 0 => write!(f, "{days} d {} h", hours % 24),
            () if hours > 0 => write!(f, "{hours} h {} min", minutes % 60),
            () if minutes > 0 => write!(f, "{minutes} min {} s", seconds % 60),
            () => write!(f, "{seconds} s"),
        }
    }
}

const VIEWER_COLUMNS: [&str; 12] = [
    "stream",
    "address",
    "user",
    "agent",
    "transport",
    "age",
    "packets",
    "MB",
    "lost",
    "jitter ms",
    "skipped",
    "added ms p50/p99",
];
const VIEWER_TEXTS: usize = 6;
const DELAY_COLUMNS: [&str; 6] = ["delay in ms", "p50", "p90", "p99", "max", "pictures"];
/// Characters of what others say.
const MOST_TEXT: usize = 60;

#[cfg(test)]
mod tests;
