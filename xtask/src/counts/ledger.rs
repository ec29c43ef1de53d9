//! The file of counts: TOML, of which only what is written here is read.

use std::{collections::BTreeMap, fmt, str::FromStr};

use anyhow::{Context, bail};

/// Instructions of each bench, and on what they depend beside the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Versions and the like, by name.
    pub(super) conditions: BTreeMap<String, String>,
    /// Instructions, by the name of the bench.
    pub(super) counts: BTreeMap<String, u64>,
}

impl FromStr for Ledger {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut ledger = Self::default();
        let mut section = "";
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let line_is_wrong = || format!("line {number}, `{line}`");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with('[') {
                section = line;
                continue;
            }
            let (name, value) = line.split_once(" = ").with_context(line_is_wrong)?;
            let name = unquoted(name).unwrap_or(name).to_owned();
            let is_new = match section {
                CONDITIONS => {
                    let value = unquoted(value).with_context(line_is_wrong)?.to_owned();
                    ledger.conditions.insert(name, value).is_none()
                }
                COUNTS => {
                    let digits = value.replace('_', "");
                    let value = digits.parse().with_context(line_is_wrong)?;
                    ledger.counts.insert(name, value).is_none()
                }
                _ => bail!("{}: it is in neither {CONDITIONS} nor {COUNTS}", line_is_wrong()),
            };
            if !is_new {
                bail!("{}: it is there twice", line_is_wrong());
            }
        }
        if ledger.conditions.is_empty() || ledger.counts.is_empty() {
            bail!("it has no {CONDITIONS}, or no {COUNTS}");
        }
        Ok(ledger)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        writeln!(f, "{CONDITIONS}")?;
        for (name, value) in &self.conditions {
            writeln!(f, "{name} = \"{value}\"")?;
        }
        writeln!(f, "\n{COUNTS}")?;
        for (name, count) in &self.counts {
            writeln!(f, "\"{name}\" = {count}")?;
        }
        Ok(())
    }
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

const HEAD: &str = "\
# Instructions of each bench of benches/counts, with this compiler, processor and C library. Made by
# `cargo xtask counts --update`; what takes 3 % more than this is refused by `cargo xtask test`.
";
const CONDITIONS: &str = "[conditions]";
const COUNTS: &str = "[instructions]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ledger = Ledger {
            conditions: [("rustc", "1.95.0"), ("libc", "glibc 2.36")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            counts: [("a.b.c", 7), ("a.b.d", 123_456_789)]
                .map(|(name, count)| (name.to_owned(), count))
                .into(),
        };
        assert_eq!(ledger.to_string().parse::<Ledger>().unwrap(), ledger);
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let good = "[conditions]\nrustc = \"1\"\n[instructions]\n";
        for (line, reason) in [
            ("\"a\" = many", "line 4, `\"a\" = many`"),
            ("\"a\" 5", "line 4, `\"a\" 5`"),
            ("[other]\n\"a\" = 5", "neither [conditions] nor [instructions]"),
            ("\"a\" = 5\n\"a\" = 5", "line 5, `\"a\" = 5`: it is there twice"),
            ("", "no [instructions]"),
        ] {
            let error = format!("{good}{line}").parse::<Ledger>().unwrap_err();
            assert!(error.to_string().contains(reason), "{error:#}");
        }
        let written_by_people = "# why\n[conditions]\nrustc = \"1\"\n[instructions]\na = 1_000\n";
        assert_eq!(written_by_people.parse::<Ledger>().unwrap().counts["a"], 1000);
    }
}
