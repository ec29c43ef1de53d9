//! Lines of the product, and which of them ran.
//!
//! A test that runs covers itself, so tests do not count: no file of tests (`tests.rs`, or in a
//! directory `tests`), and in any other no line from its `#[cfg(test)] mod tests` on, which is the
//! last thing in every file here.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    fs, iter,
    path::Path,
};

use anyhow::Context;

/// What was measured, by crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    crates: BTreeMap<String, CrateCoverage>,
}

/// The files of one crate, by their path in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CrateCoverage {
    files: BTreeMap<String, FileCoverage>,
}

/// The lines of one file that hold code.
#[derive(Debug, Default, PartialEq, Eq)]
struct FileCoverage {
    /// Line numbers, and whether they ran.
    lines: BTreeMap<usize, bool>,
}

/// A part of a whole.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    covered: u64,
    of: u64,
}

impl Coverage {
    /// Reads the format of lcov (geninfo(1)), as far as lines go; the sources are under `root`.
    ///
    /// # Errors
    ///
    /// When a line is not of that format, or a source cannot be read.
    pub(super) fn parse(lcov: &str, root: &Path) -> anyhow::Result<Self> {
        Self::parse_with(lcov, |path| {
            let path = Path::new(path);
            let Ok(path) = path.strip_prefix(root).or_else(|_| path.strip_prefix("./")) else {
                return Ok(None);
            };
            let source = fs::read_to_string(root.join(path));
            let source = source.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some((path.display().to_string(), end_of_product(&source))))
        })
    }

    /// `look_up` says for a path where it lies under the root and how many lines of it are the
    /// product's; nothing for one that is not ours.
    fn parse_with(
        lcov: &str,
        look_up: impl Fn(&str) -> anyhow::Result<Option<(String, usize)>>,
    ) -> anyhow::Result<Self> {
        let mut coverage = Self::default();
        let mut current = None;
        for record in lcov.lines() {
            if let Some(path) = record.strip_prefix("SF:") {
                current = look_up(path)?
                    .and_then(|(path, end)| Some((Place::of(&path)?, end)))
                    .filter(|(place, _)| !place.is_test());
            } else if let Some(data) = record.strip_prefix("DA:")
                && let Some((place, end)) = &current
            {
                let mut fields = data.split(',');
                let mut next = || fields.next().context("too few fields in a DA record");
                let (line, count): (usize, &str) = (next()?.parse()?, next()?);
                if line <= *end {
                    coverage.add(place, line, count != "0");
                }
            }
        }
        Ok(coverage)
    }

    fn add(&mut self, place: &Place, line: usize, ran: bool) {
        let files = &mut self.crates.entry(place.crate_name.clone()).or_default().files;
        *files.entry(place.file.clone()).or_default().lines.entry(line).or_default() |= ran;
    }

    /// One crate, by its name; `None`: no line of it was measured.
    pub(super) fn of_crate(&self, name: &str) -> Option<&CrateCoverage> {
        self.crates.get(name)
    }
}

impl CrateCoverage {
    /// How many of its lines ran.
    pub(super) fn share(&self) -> Share {
        self.files.values().map(FileCoverage::share).fold(Share::default(), |sum, share| Share {
            covered: sum.covered + share.covered,
            of: sum.of + share.of,
        })
    }

    /// Whether fewer than `percent` of its lines ran.
    pub(super) fn is_below(&self, percent: u64) -> bool {
        let Share { covered, of } = self.share();
        covered * 100 < of * percent
    }

    /// A line of text for each file, with the lines of it that did not run.
    pub(super) fn files(&self) -> String {
        let mut text = String::new();
        for (name, file) in &self.files {
            let missed = file.missed();
            let missed = if missed.is_empty() { missed } else { format!("  not: {missed}") };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{} {name}{missed}", file.share());
        }
        text
    }
}

impl FileCoverage {
    fn share(&self) -> Share {
        let covered = self.lines.values().filter(|ran| **ran).count() as u64;
        Share { covered, of: self.lines.len() as u64 }
    }

    /// `7, 12-14`: lines without code in between do not part a range.
    fn missed(&self) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let before = iter::once(true).chain(self.lines.values().copied());
        for ((&line, &ran), ran_before) in self.lines.iter().zip(before) {
            match ranges.last_mut() {
                _ if ran => {}
                Some((_, last)) if !ran_before => *last = line,
                _ => ranges.push((line, line)),
            }
        }
        let ranges = ranges.into_iter().map(|(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        });
        ranges.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.covered as f64 / self.of.max(1) as f64;
        write!(f, "{:>7} {percent:>7.1}", self.of)
    }
}

/// Where a source lies.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    crate_name: String,
    /// Within the crate.
    file: String,
}

impl Place {
    /// From a path under the root; `None` for what is no crate of `crates/`.
    fn of(path: &str) -> Option<Self> {
        let (directory, file) = path.strip_prefix("crates/")?.split_once('/')?;
        // The one crate whose directory is not called as it is.
        let crate_name = if directory == "server" { "lenscast" } else { directory };
        Some(Self { crate_name: crate_name.to_owned(), file: file.to_owned() })
    }

    fn is_test(&self) -> bool {
        self.file.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

/// How many lines of `source` come before its tests.
fn end_of_product(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines.windows(2).position(
        |pair| matches!(pair, ["#[cfg(test)]", module] if module.starts_with("mod tests")),
    );
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LCOV: &str = "\
SF:crates/media/src/nal.rs
DA:3,0
DA:4,17
DA:8,0
DA:9,0
DA:30,0
LF:5
end_of_record
SF:crates/media/src/nal/tests.rs
DA:1,0
end_of_record
SF:crates/media/tests/whole.rs
DA:1,0
end_of_record
SF:crates/server/src/main.rs
DA:1,1
end_of_record
SF:not/ours.rs
DA:1,1
end_of_record
SF:crates/media/src/nal.rs
DA:8,1
end_of_record
";

    fn parsed() -> Coverage {
        let look_up = |path: &str| Ok((path != "not/ours.rs").then(|| (path.to_owned(), 20)));
        Coverage::parse_with(LCOV, look_up).unwrap()
    }

    #[test]
    fn lines_are_counted_by_crate_and_tests_are_not() {
        let coverage = parsed();
        let media = coverage.of_crate("media").unwrap();
        assert_eq!(media.files.keys().collect::<Vec<_>>(), ["src/nal.rs"]);
        assert_eq!(media.share(), Share { covered: 2, of: 4 }, "line 30 is in the tests");
        assert_eq!(coverage.of_crate("lenscast").unwrap().share(), Share { covered: 1, of: 1 });
        assert_eq!(coverage.crates.len(), 2);
    }

    #[test]
    fn the_floor_is_the_least_that_will_do() {
        let coverage = parsed();
        let media = coverage.of_crate("media").unwrap();
        assert!(!media.is_below(50));
        assert!(media.is_below(51));
    }

    #[test]
    fn lines_that_did_not_run_are_named() {
        let file =
            |lines: &[(usize, bool)]| FileCoverage { lines: lines.iter().copied().collect() };
        let lines = [(1, false), (3, true), (7, false), (9, false), (10, true), (11, false)];
        assert_eq!(file(&lines).missed(), "1, 7-9, 11");
        assert_eq!(file(&[(1, true)]).missed(), "");
        let coverage = parsed();
        let files = coverage.of_crate("media").unwrap().files();
        assert_eq!(files, "      4    50.0 src/nal.rs  not: 3, 9\n");
    }

    #[test]
    fn the_product_ends_where_its_tests_begin() {
        assert_eq!(end_of_product("a\nb\n\n#[cfg(test)]\nmod tests {\n}\n"), 3);
        assert_eq!(end_of_product("a\n#[cfg(test)]\nmod tests;\n"), 1);
        assert_eq!(end_of_product("a\n#[cfg(test)]\nfn only_in_tests() {}\nb\n"), 4);
    }

    #[test]
    fn what_is_no_lcov_is_said_so() {
        let look_up = |path: &str| Ok(Some((path.to_owned(), 20)));
        for bad in ["SF:crates/a/b.rs\nDA:1", "SF:crates/a/b.rs\nDA:x,1"] {
            assert!(Coverage::parse_with(bad, look_up).is_err(), "{bad}");
        }
    }
}
