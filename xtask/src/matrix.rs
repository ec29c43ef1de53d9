//! `cargo xtask matrix`: the table of clients in docs/interop.md, made of what the interop tests
//! wrote down (a line of JSON for each cell), never by hand.
//!
//! `cargo xtask test` makes the same table and holds it against the document. Versions may differ
//! there: they are those of the machine the document was made on.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    fs, io,
    path::PathBuf,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use crate::{
    stages::{Name, nextest},
    tools,
    workspace::Workspace,
};

/// What `cargo xtask matrix` is asked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Install what is missing, as `cargo xtask test --install` does
    #[arg(long)]
    install: bool,
}

/// Runs the cells and writes the table into the document.
///
/// # Errors
///
/// When a client is missing, a cell fails, or the document has no place for the table.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    tools::settle(workspace, &[Name::Interop], arguments.install)?;
    forget(workspace)?;
    let mut cells = workspace.cargo("nextest run --workspace --locked --profile interop -E");
    nextest(cells.arg("test(matrix::)"))?;
    let table = Table::read(workspace)?;
    table.ensure_whole()?;
    println!("\n{table}");
    let path = workspace.root.join(DOCUMENT);
    let document = fs::read_to_string(&path).context(DOCUMENT)?;
    let (before, _, after) = parts(&document)?;
    fs::write(&path, format!("{before}{table}{after}")).context(DOCUMENT)
}

/// Before the tests: drops what earlier ones wrote down.
///
/// # Errors
///
/// When it cannot be removed.
pub(crate) fn forget(workspace: &Workspace) -> anyhow::Result<()> {
    match fs::remove_file(records(workspace)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// After the tests: prints the table.
///
/// # Errors
///
/// When what they wrote down cannot be read.
pub(crate) fn show(workspace: &Workspace) -> anyhow::Result<Table> {
    let table = Table::read(workspace)?;
    println!("the clients and what they were seen to do:\n\n{table}");
    Ok(table)
}

/// Which client was tried in which way, and what came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// By their place in the table.
    rows: BTreeMap<u64, Row>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    client: String,
    version: String,
    proof: String,
    cells: BTreeMap<Way, Cell>,
}

/// Transport, access, address family, in words.
type Way = [&'static str; 3];

#[derive(Debug, PartialEq, Eq)]
enum Cell {
    Proved,
    /// It cannot be, for this reason.
    Gap(String),
}

impl Table {
    /// Checks that every client was tried in every way, or that there is a reason why not, and that
    /// the document says the same.
    ///
    /// # Errors
    ///
    /// What is missing; or that the document is of another time.
    pub(crate) fn hold(&self, workspace: &Workspace) -> anyhow::Result<()> {
        self.ensure_whole()?;
        let document = fs::read_to_string(workspace.root.join(DOCUMENT)).context(DOCUMENT)?;
        let (_, written, _) = parts(&document)?;
        if without_versions(written) != without_versions(&self.to_string()) {
            bail!(
                "the table in {DOCUMENT} is not what was seen just now; `cargo xtask matrix` \
                 writes it anew"
            );
        }
        Ok(())
    }

    fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let path = records(workspace);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("no test has written {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(lines: &str) -> anyhow::Result<Self> {
        let mut table = Self::default();
        for line in lines.lines() {
            table.add(line).with_context(|| format!("of a cell was written: {line}"))?;
        }
        Ok(table)
    }

    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let line: Value = serde_json::from_str(line)?;
        let text = |key: &str| line[key].as_str().with_context(|| format!("no {key}"));
        let (transport, access, family) = (text("transport")?, text("access")?, text("family")?);
        let way = WAYS.into_iter().find(|way| *way == [transport, access, family]);
        let row = self.rows.entry(line["row"].as_u64().context("no row")?).or_default();
        row.client = text("client")?.to_owned();
        let cell = if let Ok(why) = text("gap") {
            Cell::Gap(why.to_owned())
        } else {
            (row.version, row.proof) = (text("version")?.to_owned(), text("proof")?.to_owned());
            Cell::Proved
        };
        // A gap that was proved is none, and a reader must not be told the one or the other by chance.
        match row.cells.insert(way.context("no way to try a client")?, cell) {
            Some(_) => bail!("something else was written already"),
            None => Ok(()),
        }
    }

    fn ensure_whole(&self) -> anyhow::Result<()> {
        let mut missing = Vec::new();
        for row in self.rows.values() {
            let of_row = WAYS.iter().filter(|way| !row.cells.contains_key(*way));
            missing.extend(of_row.map(|way| format!("{} {}", row.client, way.join(" "))));
        }
        if !missing.is_empty() {
            bail!("neither a test nor a reason for none: {}", missing.join(", "));
        }
        Ok(())
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<&str> = Vec::new();
        let mut head = String::from("| client | version | the same as the file's |");
        let mut rule = String::from("|---|---|---|");
        for [transport, access, family] in WAYS {
            write!(head, " {} {access} {family} |", transport.to_uppercase())?;
            rule.push_str(":-:|");
        }
        writeln!(f, "{head}\n{rule}")?;
        for Row { client, version, proof, cells } in self.rows.values() {
            write!(f, "| {client} | {version} | {proof} |")?;
            for way in &WAYS {
                match cells.get(way) {
                    Some(Cell::Proved) => f.write_str(" ✓ |")?,
                    Some(Cell::Gap(why)) => {
                        let known = reasons.iter().position(|reason| reason == why);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(why);
                            reasons.len() - 1
                        });
                        write!(f, " – ({}) |", number + 1)?;
                    }
                    None => f.write_str(" not seen |")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "\n✓: proved by a test that runs it. –: cannot be:\n")?;
        for (index, reason) in reasons.iter().enumerate() {
            writeln!(f, "{}. {reason}", index + 1)?;
        }
        Ok(())
    }
}

/// What is before the table with its marker, the table, and the rest from the marker behind it on.
fn parts(document: &str) -> anyhow::Result<(&str, &str, &str)> {
    let place = || format!("{DOCUMENT} has no table between `{BEGIN}` and `{END}`");
    let begin = document.find(BEGIN).map(|at| at + BEGIN.len()).with_context(place)?;
    let length = document[begin..].find(END).with_context(place)?;
    let (before, rest) = document.split_at(begin);
    let (table, after) = rest.split_at(length);
    Ok((before, table, after))
}

/// The lines of a table, each without its second column.
fn without_versions(table: &str) -> Vec<String> {
    let line = |line: &str| {
        let is_row = line.starts_with('|');
        let fields = line.split('|').enumerate();
        let kept =
            fields.filter(|(column, _)| !is_row || *column != 2).map(|(_, text)| text.trim());
        kept.collect::<Vec<_>>().join("|")
    };
    table.lines().map(line).filter(|line| !line.is_empty()).collect()
}

/// Where the tests write.
fn records(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tmp/matrix.jsonl")
}

const WAYS: [Way; 8] = [
    ["udp", "open", "IPv4"],
    ["udp", "open", "IPv6"],
    ["udp", "digest", "IPv4"],
    ["udp", "digest", "IPv6"],
    ["tcp", "open", "IPv4"],
    ["tcp", "open", "IPv6"],
    ["tcp", "digest", "IPv4"],
    ["tcp", "digest", "IPv6"],
];
const DOCUMENT: &str = "docs/interop.md";
const BEGIN: &str = "<!-- Written by `cargo xtask matrix`. -->\n\n";
const END: &str = "\n<!-- The end of what it writes. -->";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn lines(skip: &str) -> String {
        let line = |[transport, access, family]: Way| {
            let rest = if transport == "udp" {
                r#""gap":"it has none""#
            } else {
                r#""version":"1.2","proof":"9 pictures""#
            };
            format!(
                r#"{{"client":"a","row":3,"transport":"{transport}","access":"{access}",{rest},"#
            ) + &format!("\"family\":\"{family}\"}}\n")
        };
        WAYS.into_iter().map(line).filter(|line| skip.is_empty() || !line.contains(skip)).collect()
    }

    #[test]
    fn a_table_has_a_line_for_each_client_and_each_reason_once() {
        let table = Table::parse(&lines("")).unwrap();
        table.ensure_whole().unwrap();
        let text = table.to_string();
        assert!(text.contains("\n| a | 1.2 | 9 pictures | – (1) | – (1) | – (1) | – (1) | ✓ |"));
        assert_eq!(text.matches("it has none").count(), 1, "{text}");
    }

    #[test]
    fn what_was_not_seen_is_told() {
        let table = Table::parse(&lines("\"digest\"")).unwrap();
        let error = table.ensure_whole().unwrap_err().to_string();
        assert!(error.contains("a tcp digest IPv6"), "{error}");
        assert!(table.to_string().contains("| not seen |"));
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        for line in ["{}", "x", r#"{"row":1,"client":"a","transport":"smoke"}"#] {
            assert!(Table::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_gap_that_was_proved_is_told() {
        let twice = lines("") + lines("").lines().last().unwrap();
        let error = format!("{:#}", Table::parse(&twice).unwrap_err());
        assert!(error.contains("already"), "{error}");
    }

    #[test]
    fn versions_are_not_compared_and_all_else_is() {
        let table = Table::parse(&lines("")).unwrap().to_string();
        let newer = table.replace("| 1.2 |", "| 1.3 |");
        assert_ne!(table, newer);
        assert_eq!(without_versions(&table), without_versions(&newer));
        for (from, to) in [("| a |", "| b |"), (" ✓ |", " – |"), ("it has none", "it has some")]
        {
            let other = table.replacen(from, to, 1);
            assert_ne!(without_versions(&table), without_versions(&other), "{from}");
        }
    }

    #[test]
    fn a_document_without_markers_is_refused() {
        let document = format!("a\n{BEGIN}b\n{END}\nc\n");
        assert_eq!(parts(&document).unwrap().1, "b\n");
        assert!(parts("a\nb\n").is_err());
    }

    /// Facts are tested by names: one that is renamed must be renamed in the document too.
    #[test]
    fn what_the_document_cites_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let document = fs::read_to_string(root.join(DOCUMENT)).unwrap();
        let (_, facts) = document.split_once("\n## Facts of the field\n").unwrap();
        let mut sources = String::new();
        read_sources(&root.join("crates"), &mut sources);
        let (mut cited, mut numbers) = (0, Vec::new());
        for line in facts.lines() {
            numbers.extend(line.strip_prefix("| ").and_then(|rest| {
                let (number, _) = rest.split_once(" | ")?;
                number.parse::<u32>().ok()
            }));
            for word in line.split('`').skip(1).step_by(2) {
                let is_test = word.contains('_') && !word.contains(['.', '/']);
                let exists = match word.rsplit_once('.') {
                    Some(("", _)) => continue,
                    Some((_, "rtsp")) => {
                        root.join("crates/server/tests/transcripts").join(word).exists()
                    }
                    Some((_, "rs")) => root.join("crates").join(word).exists(),
                    _ if is_test => is_tested(&sources, word),
                    _ => continue,
                };
                assert!(exists, "there is no {word} any more: {line}");
                cited += 1;
            }
        }
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        assert!(cited > 100, "only {cited} names were recognized");
    }

    /// Whether there is a test of that name, or a line of a table of tests.
    fn is_tested(sources: &str, name: &str) -> bool {
        let is_test = |at: usize| {
            let before = sources[..at].lines().rev().take(4);
            before.map(str::trim).any(|line| line.starts_with("#[") && line.contains("test"))
        };
        sources.match_indices(&format!("fn {name}(")).any(|(at, _)| is_test(at))
    }

    fn read_sources(directory: &Path, sources: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_sources(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
}
