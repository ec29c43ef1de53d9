//! A rustc that compiles for aarch64: this machine's, if rustup has given it the target, or else
//! Debian's.
//!
//! Debian's `rustc-web` is as new as its browsers need it, also in old releases, and its standard
//! library comes for every architecture. It is downloaded into `target/aarch64/rust`, not installed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    apt::Apt,
    test::Skip,
    workspace::{Workspace, output},
};

use super::TARGET;

/// A compiler that has the target's standard library.
pub(super) struct Toolchain {
    /// `None`: the one that cargo takes by itself.
    pub(super) rustc: Option<PathBuf>,
}

impl Toolchain {
    /// The compiler, downloaded where it is not there.
    ///
    /// # Errors
    ///
    /// A [`Skip`] when there is neither rustup's target nor Debian; else when a package cannot be
    /// unpacked or does not work.
    pub(super) fn ready(workspace: &Workspace) -> anyhow::Result<Self> {
        if has_target(&mut workspace.command("rustc")) {
            println!("this machine's rustc has {TARGET}");
            return Ok(Self { rustc: None });
        }
        let home = workspace.target.join("aarch64");
        let rustc = home.join("rust/rustc");
        if !rustc.exists() {
            let suite = debian_suite(&fs::read_to_string("/etc/os-release").unwrap_or_default())
                .ok_or_else(|| {
                    Skip::because(&format!(
                        "rustc has no {TARGET} here, and this is no Debian that has one: \
                         `rustup target add {TARGET}`"
                    ))
                })?;
            download(&home, &suite)?;
        }
        if !has_target(&mut Command::new(&rustc)) {
            bail!("{} does not compile for {TARGET}: remove {}", rustc.display(), home.display());
        }
        println!("{}", output(Command::new(&rustc).arg("--version"))?.trim());
        Ok(Self { rustc: Some(rustc) })
    }
}

/// Whether the standard library is where `rustc` looks for it.
fn has_target(rustc: &mut Command) -> bool {
    let Ok(place) = output(rustc.args(["--print", "target-libdir", "--target", TARGET])) else {
        return false;
    };
    let Ok(entries) = fs::read_dir(place.trim()) else { return false };
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    entries.filter_map(Result::ok).any(|entry| is_std(&entry.file_name().to_string_lossy()))
}

/// The release's name, on Debian.
fn debian_suite(os_release: &str) -> Option<String> {
    let value =
        |key: &str| os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    (value("ID") == Some("debian")).then(|| value("VERSION_CODENAME").map(str::to_owned))?
}

/// Into `home/rust`, which is there when all of it is.
fn download(home: &Path, suite: &str) -> anyhow::Result<()> {
    println!("downloading Debian's rustc for {TARGET} into {}", home.join("rust").display());
    let sources = SOURCES.replace("SUITE", suite);
    let apt = Apt::updated(home.join("apt"), &sources, &["amd64", "arm64"])
        .map_err(|error| Skip::because(&format!("Debian cannot be asked for rustc: {error:#}")))?;
    let library = apt.show("libstd-rust-web-dev:arm64")?;
    let version = field(&library, "Version").context("which rustc has Debian?")?;
    let shared = dependency(&library, "libstd-rust-web-").context("which libstd is it?")?;
    let shared = format!("{shared}:amd64={version}");
    let llvm = dependency(&apt.show(&shared)?, "libllvm").context("which LLVM is it?")?;
    let packages = [
        format!("rustc-web:amd64={version}"),
        // That of this machine too: build scripts and procedural macros run here.
        format!("libstd-rust-web-dev:amd64={version}"),
        format!("libstd-rust-web-dev:arm64={version}"),
        shared,
    ];
    let archives = home.join("packages");
    remove_if_there(&archives)?;
    fs::create_dir_all(&archives)?;
    apt.download(&packages, &archives)?;
    apt.download_missing(&llvm, &archives)?;

    let staging = home.join("rust.new");
    remove_if_there(&staging)?;
    fs::create_dir_all(&staging)?;
    for package in fs::read_dir(&archives)? {
        let package = package?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&staging))?;
        }
    }
    let wrapper = staging.join("rustc");
    fs::write(&wrapper, WRAPPER)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    remove_if_there(&archives)?;
    // In one go: half of it must not pass for all of it.
    fs::rename(&staging, home.join("rust")).context("cannot put Debian's rustc in its place")
}

/// Of the first paragraph that has it.
fn field<'a>(paragraphs: &'a str, name: &str) -> Option<&'a str> {
    paragraphs.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The first package that is needed whose name begins so.
fn dependency(paragraphs: &str, begin: &str) -> Option<String> {
    let names = field(paragraphs, "Depends")?.split(',');
    let mut names = names.filter_map(|name| name.split_whitespace().next());
    names.find(|name| name.starts_with(begin)).map(str::to_owned)
}

fn remove_if_there(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Finds its libraries where they have been unpacked.
const WRAPPER: &str = r#"#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
libraries=$here/usr/lib/x86_64-linux-gnu:$here/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries exec "$here/usr/bin/rustc" "$@"
"#;
const SOURCES: &str = "Types: deb
URIs: http://deb.debian.org/debian
Suites: SUITE
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: SUITE-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_debian_is_known_by_its_name() {
        let debian = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(debian_suite(debian).unwrap(), "bookworm");
        for other in ["", "ID=debian\n", "ID=ubuntu\nVERSION_CODENAME=noble\nID_LIKE=debian\n"] {
            assert_eq!(debian_suite(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_a_package_needs_is_read_of_its_newest_version() {
        let shown = "Package: a\nVersion: 1.96.0+dfsg1-1\nDepends: libc6 (>= 2.34), libllvm22\n\n\
                     Package: a\nVersion: 1.85\nDepends: libllvm19\n";
        assert_eq!(field(shown, "Version"), Some("1.96.0+dfsg1-1"));
        assert_eq!(dependency(shown, "libllvm").as_deref(), Some("libllvm22"));
        assert_eq!(dependency(shown, "libz3"), None);
    }
}
