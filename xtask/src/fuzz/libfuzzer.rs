//! What libFuzzer and the kernel say of a target that runs.

use std::{fmt, time::Duration};

/// How far a target has come.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Inputs that were run.
    pub(super) runs: u64,
    /// Edges between blocks of code that were taken.
    pub(super) edges: u64,
    /// Edges, told apart by how often they were taken.
    pub(super) features: u64,
    /// Inputs that reach something no other does.
    pub(super) corpus: u64,
    /// The most memory, in MB.
    pub(super) peak: u64,
}

impl Progress {
    /// Learns from a line; false when it says nothing of this.
    ///
    /// ```text
    /// #8192 pulse  cov: 512 ft: 1024 corp: 99/12Kb lim: 4096 exec/s: 4096 rss: 61Mb
    /// stat::number_of_executed_units: 10000
    /// ```
    pub(super) fn take(&mut self, line: &str) -> bool {
        if let Some(statistic) = line.strip_prefix("stat::") {
            match statistic
                .split_once(':')
                .map(|(name, value)| (name, leading_number(value.trim())))
            {
                Some(("number_of_executed_units", runs)) => self.runs = runs,
                Some(("peak_rss_mb", peak)) => self.peak = peak,
                _ => {}
            }
            return true;
        }
        let Some(rest) = line.strip_prefix('#').filter(|rest| rest.starts_with(is_digit)) else {
            return false;
        };
        self.runs = leading_number(rest);
        let mut words = rest.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let field = match word {
                "cov:" => &mut self.edges,
                "ft:" => &mut self.features,
                "corp:" => &mut self.corpus,
                "rss:" => &mut self.peak,
                _ => continue,
            };
            *field = leading_number(words.next().unwrap_or_default());
        }
        true
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, edges, features, corpus, .. } = self;
        write!(f, "{runs} runs, {edges} edges, {features} features, {corpus} inputs")
    }
}

/// User and system time in what `/proc/PID/stat` says of a process: the 14th and 15th field, in
/// hundredths of a second on every Linux. The second field is a name in parentheses, in which
/// anything may stand.
pub(super) fn processor_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

fn leading_number(text: &str) -> u64 {
    let end = text.find(|character| !is_digit(character)).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_progress_are_read_and_others_are_not() {
        let mut progress = Progress::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "==7== ERROR: libFuzzer: deadly signal",
            "#",
            "#0 0x55 in main",
            "thread '<unnamed>' panicked at fuzz/src/rtcp.rs:30:5:",
        ] {
            let before = progress;
            let taken = progress.take(line);
            assert!(!taken || line.starts_with("#0"), "{line}");
            assert_eq!(Progress { runs: 0, ..progress }, before, "{line}");
        }
        assert!(progress.take("#2\tINITED cov: 5 ft: 7 corp: 1/1b exec/s: 0 rss: 30Mb"));
        let line = "#8192\tpulse  cov: 512 ft: 1024 corp: 99/12Kb lim: 21 exec/s: 40 rss: 61Mb";
        assert!(progress.take(line));
        let expected = Progress { runs: 8192, edges: 512, features: 1024, corpus: 99, peak: 61 };
        assert_eq!(progress, expected);
        assert!(progress.take("stat::number_of_executed_units: 10000"));
        assert!(progress.take("stat::peak_rss_mb:              70"));
        assert!(progress.take("stat::slowest_unit_time_sec:    0"));
        assert_eq!(progress, Progress { runs: 10_000, peak: 70, ..expected });
    }

    #[test]
    fn processor_time_stands_behind_whatever_name() {
        let stat = "12 (a) R 1 (b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0";
        assert_eq!(processor_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(processor_time("12 (a) S 1 2"), None);
    }
}
