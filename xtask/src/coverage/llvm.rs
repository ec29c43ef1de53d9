//! LLVM's two programs for coverage, of the version that rustc is made with: older ones cannot read
//! its profiles.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    coverage::line,
    workspace::{Workspace, output, succeeds},
};

/// Where they are.
#[derive(Debug)]
pub(super) struct Llvm {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Llvm {
    /// Looks in rustc's sysroot (rustup's component llvm-tools), and where Debian puts them.
    ///
    /// # Errors
    ///
    /// When they are not there; says how to install them.
    pub(super) fn find(workspace: &Workspace) -> anyhow::Result<Self> {
        let rustc = || workspace.command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let version = output(rustc().arg("-vV"))?;
        let Version { release, host, llvm } = Version::parse(&version)
            .with_context(|| format!("rustc -vV does not name its LLVM: {version}"))?;
        let sysroot = line(rustc().args(["--print", "sysroot"]))?;
        let tools = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin");
        let places: [&dyn Fn(&str) -> PathBuf; 3] =
            [&|name| tools.join(name), &|name| PathBuf::from(format!("{name}-{llvm}")), &|name| {
                PathBuf::from(format!("/usr/lib/llvm-{llvm}/bin/{name}"))
            }];
        let runs = |program: &Path| succeeds(Command::new(program).arg("--version"));
        for place in places {
            let (profdata, cov) = (place("llvm-profdata"), place("llvm-cov"));
            if runs(&profdata) && runs(&cov) {
                return Ok(Self { profdata, cov });
            }
        }
        bail!(
            "llvm-profdata and llvm-cov of LLVM {llvm}, which rustc {release} is made with, are \
             missing here. Either of these brings them:\n  \
             rustup component add llvm-tools\n  \
             apt-get install llvm-{llvm}   (Debian, where it has this version)"
        );
    }

    /// Adds up all of `profiles`; the file that holds the sum.
    ///
    /// # Errors
    ///
    /// When the tests left none, or they cannot be read.
    pub(super) fn merge(&self, profiles: &Path) -> anyhow::Result<PathBuf> {
        let raw: Vec<PathBuf> = fs::read_dir(profiles)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        if raw.is_empty() {
            bail!("the tests left no profiles in {}", profiles.display());
        }
        let merged = profiles.with_extension("profdata");
        let mut merge = Command::new(&self.profdata);
        output(merge.args(["merge", "--sparse", "-o"]).arg(&merged).args(raw))?;
        Ok(merged)
    }

    /// What `profile` says of the lines in `binaries`, in the format of lcov.
    ///
    /// # Errors
    ///
    /// When profile and binaries do not go together.
    pub(super) fn export(&self, profile: &Path, binaries: &[PathBuf]) -> anyhow::Result<String> {
        let mut export = Command::new(&self.cov);
        export.args(["export", "--format=lcov", "--skip-functions", "--skip-branches"]);
        export.arg("--instr-profile").arg(profile);
        let binaries = binaries.iter().flat_map(|binary| [Path::new("--object"), binary]);
        output(export.args(binaries))
    }
}

/// What `rustc -vV` says.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    release: &'a str,
    host: &'a str,
    /// The major version: what profiles depend on.
    llvm: &'a str,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            release: field("release: ")?,
            host: field("host: ")?,
            llvm: field("LLVM version: ")?.split('.').next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_llvm_is_read() {
        let text = "rustc 1.95.0 (1234567 2026-04-14)\nbinary: rustc\ncommit-hash: 1234567\n\
                    host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        let version = Version { release: "1.95.0", host: "x86_64-unknown-linux-gnu", llvm: "22" };
        assert_eq!(Version::parse(text), Some(version));
        assert_eq!(Version::parse("rustc 1.95.0"), None);
    }
}
