//! On what instruction counts depend beside the sources.
//!
//! Valgrind shows programs a processor of its own, which has AVX2 where this machine has it, and
//! never AVX-512; by that the C library and memchr choose among their variants.

use std::{collections::BTreeMap, process::Command};

use anyhow::Context;

use crate::workspace::{Workspace, output};

/// Asks the compiler, the C library and valgrind for their names and versions.
///
/// # Errors
///
/// When one of them does not say.
pub(super) fn here(workspace: &Workspace) -> anyhow::Result<BTreeMap<String, String>> {
    let rustc = output(workspace.command("rustc").arg("-vV"))?;
    let (rustc, target) = of_rustc(&rustc).context("rustc does not tell its version")?;
    let libc = output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let valgrind = output(Command::new("valgrind").arg("--version"))?;
    let all = [
        ("rustc", rustc),
        ("target", target),
        ("processor", processor().to_owned()),
        ("libc", libc.trim().to_owned()),
        ("valgrind", valgrind.trim().trim_start_matches("valgrind-").to_owned()),
    ];
    Ok(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Version with that of LLVM, and the host, from `rustc -vV`.
fn of_rustc(text: &str) -> Option<(String, String)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let version = text.lines().next()?.strip_prefix("rustc ")?;
    // Distributions say on the same line where they have it from.
    let version = version.split_inclusive(')').next()?;
    let llvm = field("LLVM version: ")?;
    Some((format!("{version}, LLVM {llvm}"), field("host: ")?.to_owned()))
}

fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "with AVX2";
    }
    "plain"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_its_version_and_that_of_llvm() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14) (built from a source tarball)\n\
            binary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        let version = "1.95.0 (59807616e 2026-04-14), LLVM 22.1.2".to_owned();
        assert_eq!(of_rustc(text), Some((version, "x86_64-unknown-linux-gnu".to_owned())));
        assert_eq!(of_rustc("cargo 1.95.0"), None);
    }
}
