//! Where results go: every figure into the target directory, and on request tables and plots into
//! docs/.

use std::fs;

use anyhow::Context;
use serde_json::Value;

use super::plot::{self, Chart};
use crate::workspace::Workspace;

/// Where results go.
pub(crate) struct Record<'a> {
    workspace: &'a Workspace,
    writes_docs: bool,
}

impl<'a> Record<'a> {
    pub(crate) fn new(workspace: &'a Workspace, writes_docs: bool) -> Self {
        Self { workspace, writes_docs }
    }

    /// Keeps every figure of the last run.
    pub(crate) fn json(&self, name: &str, json: &Value) -> anyhow::Result<()> {
        let path = self.workspace.target.join(name).with_extension("json");
        fs::write(&path, format!("{json:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("all figures: {}", path.display());
        Ok(())
    }

    /// Puts `text` into the place that docs/performance.md has for it.
    pub(crate) fn section(&self, name: &str, text: &str) -> anyhow::Result<()> {
        if !self.writes_docs {
            return Ok(());
        }
        let path = self.workspace.root.join(PAGE);
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
        let page = with_section(&page, name, text).with_context(|| {
            format!("{PAGE} has no lines {:?} and {:?}", begin(name), end(name))
        })?;
        fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))?;
        println!("written: {PAGE}, {name}");
        Ok(())
    }

    /// Draws `charts` side by side.
    pub(crate) fn plot(&self, name: &str, charts: &[Chart]) -> anyhow::Result<()> {
        let directory = match self.writes_docs {
            true => self.workspace.root.join(PLOTS),
            false => self.workspace.target.join("compare"),
        };
        let path = directory.join(name).with_extension("svg");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&path, plot::svg(charts)))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("plot: {}", path.display());
        Ok(())
    }
}

/// `page` with `text` between the two lines that mark the place; `None` when they are not there.
fn with_section(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(&begin(name))?;
    let (_, after) = rest.split_once(&end(name))?;
    let (begin, end, text) = (begin(name), end(name), text.trim());
    Some(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
}

fn begin(name: &str) -> String {
    format!("<!-- {name}: written by cargo xtask compare --write -->")
}

fn end(name: &str) -> String {
    format!("<!-- end of {name} -->")
}

const PAGE: &str = "docs/performance.md";
const PLOTS: &str = "docs/performance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let page = format!("# A\n\n{}\nold\n{}\n\nrest\n", begin("duel"), end("duel"));
        let new = with_section(&page, "duel", "| new |\n").unwrap();
        let expected = format!("# A\n\n{}\n\n| new |\n\n{}\n\nrest\n", begin("duel"), end("duel"));
        assert_eq!(new, expected);
        assert_eq!(with_section(&new, "duel", "| new |").unwrap(), expected);
        assert!(with_section(&page, "joins", "").is_none());
    }

    #[test]
    fn the_page_has_a_place_for_each_section() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
        let page = fs::read_to_string(path).unwrap();
        for name in ["duel", "growth", "joins"] {
            assert!(with_section(&page, name, "x").is_some(), "{name}");
        }
    }
}
