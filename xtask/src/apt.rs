//! Debian's packages without installing them: apt with a state of its own, in a directory of its own.
//!
//! The machine's package sources stay as they are, nothing is written outside that directory, and no
//! rights are needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::workspace::output;

/// apt that knows some suites of Debian as they were when this was made.
pub(crate) struct Apt {
    state: PathBuf,
    architectures: String,
}

impl Apt {
    /// Asks for the lists of `sources`, in the form of deb822, and of `architectures`, of which the
    /// first is this machine's.
    ///
    /// # Errors
    ///
    /// When a list cannot be had.
    pub(crate) fn updated(
        state: PathBuf,
        sources: &str,
        architectures: &[&str],
    ) -> anyhow::Result<Self> {
        for directory in ["lists/partial", "cache/archives/partial", "etc", "dpkg"] {
            fs::create_dir_all(state.join(directory))
                .with_context(|| format!("cannot make {}", state.display()))?;
        }
        fs::write(state.join("dpkg/status"), "")?;
        fs::write(state.join("debian.sources"), sources)?;
        let apt = Self { state, architectures: architectures.join(",") };
        output(apt.command("apt-get").args(["update", "-qq", "--error-on=any"]))?;
        Ok(apt)
    }

    /// What the lists say of a package, its newest version first.
    pub(crate) fn show(&self, package: &str) -> anyhow::Result<String> {
        output(self.command("apt-cache").args(["show", package]))
    }

    /// Downloads these packages, and none that they need, `into` a directory that is there.
    pub(crate) fn download(&self, packages: &[String], into: &Path) -> anyhow::Result<()> {
        let mut download = self.command("apt-get");
        output(download.current_dir(into).args(["download", "-qq"]).args(packages))?;
        Ok(())
    }

    /// Downloads `package` and those it needs, unless they are installed on this machine, `into` a
    /// directory that is there.
    pub(crate) fn download_missing(&self, package: &str, into: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(into.join("partial"))?;
        let mut install = self.command("apt-get");
        install.args(["-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Debug::NoLocking=1"]);
        install.args(["-o", &format!("Dir::Cache::archives={}", into.display())]);
        install.args(["install", "-qq", "-y", "--download-only", "--no-install-recommends"]);
        output(install.arg(package))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args([LIMIT_SECONDS, program]);
        let place = |key: &str, path: &str| format!("{key}={}", self.state.join(path).display());
        for option in [
            place("Dir::Etc", "etc"),
            place("Dir::Etc::sourcelist", "debian.sources"),
            place("Dir::State", ""),
            place("Dir::State::lists", "lists"),
            place("Dir::State::status", "dpkg/status"),
            place("Dir::Cache", "cache"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            format!("APT::Architectures={}", self.architectures),
            // It would drop to a user who may not write there.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

const LIMIT_SECONDS: &str = "600";
