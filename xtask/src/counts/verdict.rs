//! What has become of the counts, and whether that may be. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::ledger::Ledger;

/// A comparison of what is counted with what was.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Why worse counts are not held against anyone: what differs, as people read it.
    excuses: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    before: Option<u64>,
    now: Option<u64>,
}

/// What became of one bench.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Change {
    Worse,
    Same,
    Better,
    /// It was not counted before.
    New,
    /// It is not counted any more.
    Gone,
}

impl Verdict {
    /// Of `now`, in the light of `before`.
    pub(super) fn of(before: &Ledger, now: &Ledger) -> Self {
        let names: BTreeSet<&String> = before.counts.keys().chain(now.counts.keys()).collect();
        let rows = names.into_iter().map(|name| Row {
            name: name.clone(),
            before: before.counts.get(name).copied(),
            now: now.counts.get(name).copied(),
        });
        Self { excuses: differences(&before.conditions, &now.conditions), rows: rows.collect() }
    }

    /// Whether somebody has to do something.
    pub(super) fn is_bad(&self) -> bool {
        self.rows.iter().any(|row| self.is_against(row))
    }

    /// What is bad, and by how much.
    pub(super) fn complaint(&self) -> String {
        let bad = self.rows.iter().filter(|row| self.is_against(row));
        let bad: Vec<String> = bad.map(Row::to_string).collect();
        format!("instruction counts have changed:\n  {}", bad.join("\n  "))
    }

    /// A few words on what was found.
    pub(super) fn summary(&self) -> String {
        let count = |change| self.rows.iter().filter(|row| row.change() == change).count();
        let (worse, better) = (count(Change::Worse), count(Change::Better));
        let judged = if self.excuses.is_empty() { "" } else { "; NOT JUDGED, other conditions" };
        format!("{} counts, {better} better, {worse} worse{judged}", self.rows.len())
    }

    /// What must not be: worse under the same conditions; or a list that is not that of the benches.
    fn is_against(&self, row: &Row) -> bool {
        match row.change() {
            Change::Worse => self.excuses.is_empty(),
            Change::New | Change::Gone => true,
            Change::Same | Change::Better => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "  {row}")?;
        }
        if !self.excuses.is_empty() {
            writeln!(
                f,
                "these are told, not judged, because it is not as it was when they were kept:"
            )?;
            self.excuses.iter().try_for_each(|excuse| writeln!(f, "  {excuse}"))?;
        }
        Ok(())
    }
}

impl Row {
    fn change(&self) -> Change {
        match (self.before, self.now) {
            (None, _) => Change::New,
            (_, None) => Change::Gone,
            (Some(before), Some(now)) => {
                let (before, now) = (u128::from(before), u128::from(now));
                if now * 100 > before * (100 + MOST_PERCENT) {
                    Change::Worse
                } else if before * 100 > now * (100 + MOST_PERCENT) {
                    Change::Better
                } else {
                    Change::Same
                }
            }
        }
    }
}

/// The name, what was, what is, and by how much that is more.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
        write!(f, "{:<44} {:>9} {:>9}", self.name, shown(self.before), shown(self.now))?;
        if let (Some(before), Some(now)) = (self.before, self.now) {
            let percent = 100.0 * (now as f64 - before as f64) / (before.max(1) as f64);
            write!(f, " {percent:+7.2} %")?;
        }
        match self.change() {
            Change::Worse => f.write_str("  WORSE"),
            Change::Better => f.write_str("  better"),
            Change::New => f.write_str("  not in the file yet"),
            Change::Gone => f.write_str("  not counted any more"),
            Change::Same => Ok(()),
        }
    }
}

/// What is not the same, as people read it.
fn differences(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let shown = |side: &BTreeMap<String, String>, name: &String| {
        side.get(name).map_or("unknown".to_owned(), Clone::clone)
    };
    names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| format!("{name}: {} was {}", shown(now, name), shown(before, name)))
        .collect()
}

/// More than so many percent more is worse.
const MOST_PERCENT: u128 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(rustc: &str, counts: &[(&str, u64)]) -> Ledger {
        Ledger {
            conditions: [("rustc".to_owned(), rustc.to_owned())].into(),
            counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    /// What is found for counts that were 1000 each.
    fn judged(rustc: &str, now: &[(&str, u64)]) -> Verdict {
        Verdict::of(&ledger("1.95.0", &[("a", 1000), ("b", 1000)]), &ledger(rustc, now))
    }

    #[test]
    fn three_percent_more_may_be_and_no_more() {
        assert!(!judged("1.95.0", &[("a", 1030), ("b", 970)]).is_bad());
        let worse = judged("1.95.0", &[("a", 1031), ("b", 500)]);
        assert!(worse.is_bad());
        let complaint = worse.complaint();
        assert!(complaint.contains("1000      1031   +3.10 %  WORSE"), "{complaint}");
        assert!(!complaint.contains('b') || !complaint.contains("500"), "{complaint}");
        assert_eq!(worse.summary(), "2 counts, 1 better, 1 worse");
    }

    #[test]
    fn with_another_compiler_it_is_told_and_not_judged() {
        let other = judged("1.96.0", &[("a", 2000), ("b", 1000)]);
        assert!(!other.is_bad());
        let told = other.to_string();
        assert!(told.contains("+100.00 %  WORSE"), "{told}");
        assert!(told.contains("rustc: 1.96.0 was 1.95.0"), "{told}");
        assert!(other.summary().ends_with("1 worse; NOT JUDGED, other conditions"));
    }

    #[test]
    fn the_file_has_all_benches_and_no_others_whatever_the_compiler() {
        for rustc in ["1.95.0", "1.96.0"] {
            let gone = judged(rustc, &[("a", 1000)]);
            assert!(gone.is_bad() && gone.complaint().contains("not counted any more"));
            let new = judged(rustc, &[("a", 1000), ("b", 1000), ("c", 1)]);
            assert!(new.is_bad() && new.complaint().contains("not in the file yet"));
        }
    }

    #[test]
    fn nothing_overflows_and_nothing_divides_by_zero() {
        let none = Verdict::of(&ledger("1", &[("a", 0)]), &ledger("1", &[("a", u64::MAX)]));
        assert!(none.is_bad() && none.complaint().contains("WORSE"));
        assert!(!Verdict::of(&ledger("1", &[("a", 0)]), &ledger("1", &[("a", 0)])).is_bad());
    }
}
