//! Gets the kernel and builds the modules it comes without, once for each version.
//!
//! The packages come from Debian's backports of bookworm: the kernel there has the DMA heap, which
//! bookworm's own has not, and this release's compiler suits it. apt keeps its state for this in
//! `target/vm/apt`. Of the kernel's source only `v4l2-mem2mem.c` is taken: Debian ships no module
//! of it, since no driver it ships needs one.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{
    apt::Apt,
    test::Skip,
    workspace::{Workspace, output},
};

use super::{initramfs, say, step};

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// As `uname -r` prints it.
    pub(super) release: String,
    /// What is known of this kernel: `target/vm/VERSION`.
    pub(super) directory: PathBuf,
}

impl Kernel {
    /// The kernel as QEMU boots it.
    pub(super) fn image(&self) -> PathBuf {
        self.tree().join("boot").join(format!("vmlinuz-{}", self.release))
    }

    pub(super) fn initramfs(&self) -> PathBuf {
        self.directory.join("initramfs")
    }

    /// What depmod and modprobe call the root, above `lib/modules`.
    pub(super) fn module_root(&self) -> PathBuf {
        let merged = self.tree().join("usr");
        if merged.join("lib/modules").exists() { merged } else { self.tree() }
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.module_root().join("lib/modules").join(&self.release)
    }

    fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    fn build(&self) -> PathBuf {
        self.directory.join("modules")
    }

    fn headers(&self) -> PathBuf {
        self.tree().join("usr/src").join(format!("linux-headers-{}", self.release))
    }
}

/// The kernel, its modules and its initramfs; made where they are not there, or not those of these
/// sources.
///
/// # Errors
///
/// When a package cannot be had, or something does not build.
pub(super) fn ready(workspace: &Workspace, update: bool) -> anyhow::Result<Kernel> {
    let home = workspace.target.join("vm");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    // Two at once would write the same files.
    let lock = File::create(home.join("lock"))?;
    lock.lock().context("cannot lock target/vm")?;
    let known = if update { None } else { known(&home)? };
    let kernel = match known {
        Some(kernel) => kernel,
        None => fetch(&home)?,
    };
    let built = build_modules(workspace, &kernel)?;
    initramfs::ready(workspace, &kernel, built)?;
    Ok(kernel)
}

/// The one that was fetched last.
fn known(home: &Path) -> anyhow::Result<Option<Kernel>> {
    let Some(version) = read_if_there(&home.join("version"))? else { return Ok(None) };
    let directory = home.join(version.trim());
    let Some(release) = read_if_there(&directory.join("release"))? else { return Ok(None) };
    Ok(Some(Kernel { release: release.trim().to_owned(), directory }))
}

fn fetch(home: &Path) -> anyhow::Result<Kernel> {
    let apt = step("asking Debian for its newest backported kernel", || {
        Apt::updated(home.join("apt"), SOURCES, &["amd64"])
            .map_err(|error| Skip::because(&format!("Debian cannot be asked for it: {error:#}")))
    })?;
    let image = Image::parse(&apt.show("linux-image-amd64")?)?;
    let directory = home.join(&image.version);
    let kernel = Kernel { release: image.release.clone(), directory };
    if !kernel.directory.join("release").exists() {
        let packages = kernel.directory.join("packages");
        remove_if_there(&kernel.directory)?;
        fs::create_dir_all(&packages)?;
        step(&format!("downloading kernel {}", image.version), || {
            apt.download(&image.packages(), &packages)
        })?;
        step("unpacking it", || unpack(&kernel, &packages))?;
        step("taking v4l2-mem2mem.c out of its source", || {
            take_framework(&kernel, &packages, &image.series)
        })?;
        remove_if_there(&packages)?;
        // Last: from now on it counts as complete.
        fs::write(kernel.directory.join("release"), &kernel.release)?;
    }
    fs::write(home.join("version"), &image.version)?;
    say(&format!("this is {}", kernel.release));
    Ok(kernel)
}

fn unpack(kernel: &Kernel, packages: &Path) -> anyhow::Result<()> {
    for package in fs::read_dir(packages)? {
        let package = package?.path();
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("linux-source-") {
            output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(kernel.tree()))?;
        }
    }
    // The build would make type information from it with pahole, which few have.
    remove_file_if_there(&kernel.headers().join("vmlinux"))?;
    // Its one absolute path, made relative: the packages are not where they think.
    let makefile = kernel.headers().join("Makefile");
    let text = fs::read_to_string(&makefile)
        .with_context(|| format!("cannot read {}", makefile.display()))?;
    fs::write(&makefile, text.replace("/usr/src/", "$(dir $(lastword $(MAKEFILE_LIST)))../"))?;
    Ok(())
}

/// Without unpacking the other gigabyte.
fn take_framework(kernel: &Kernel, packages: &Path, series: &str) -> anyhow::Result<()> {
    let source = format!("linux-source-{series}");
    let package = fs::read_dir(packages)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&source)))
        .with_context(|| format!("there is no {source} among the packages"))?;
    let mut files = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&package)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut archive = Command::new("tar")
        .args(["-xO", "--occurrence=1", &format!("./usr/src/{source}.tar.xz")])
        .stdin(files.stdout.take().context("dpkg-deb has no output")?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let build = kernel.build();
    fs::create_dir_all(&build)?;
    let framework = File::create(build.join(FRAMEWORK))?;
    let taken = Command::new("tar")
        .args(["-xJO", "--occurrence=1"])
        .arg(format!("{source}/drivers/media/v4l2-core/{FRAMEWORK}"))
        .stdin(archive.stdout.take().context("tar has no output")?)
        .stdout(framework)
        .status()?;
    // Those before it end with a broken pipe, once the last has what it wants.
    archive.wait()?;
    files.wait()?;
    if !taken.success() || fs::metadata(build.join(FRAMEWORK))?.len() == 0 {
        bail!("{FRAMEWORK} is not in {}", package.display());
    }
    Ok(())
}

/// Whether there was something to build.
fn build_modules(workspace: &Workspace, kernel: &Kernel) -> anyhow::Result<bool> {
    let sources = workspace.root.join("tests/vm/h264-encoder");
    let build = kernel.build();
    let installed = kernel.modules().join("updates");
    let mut changed = !installed.exists();
    for entry in fs::read_dir(&sources).with_context(|| sources.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_owned();
        let is_source =
            path.extension().is_some_and(|extension| extension == "c" || extension == "h");
        if !is_source && name != "Kbuild" {
            continue;
        }
        let mut text = fs::read(&path)?;
        if name == "Kbuild" {
            text.extend_from_slice(b"obj-m += v4l2-mem2mem.o\n");
        }
        // Only what changed, so that make builds only that.
        if fs::read(build.join(&name)).ok().as_ref() != Some(&text) {
            fs::write(build.join(&name), text)?;
            changed = true;
        }
    }
    if !changed {
        return Ok(false);
    }
    remove_if_there(&installed)?;
    step("building the modules", || {
        let mut make = Command::new("make");
        make.arg("-C").arg(kernel.headers()).arg(format!("M={}", build.display()));
        let made = output(make.arg("modules"))?;
        if let Some(warning) = made.lines().find(|line| line.contains("warning:")) {
            say(warning);
        }
        // In one go: an interrupted copy must not pass for all of them.
        let staging = kernel.modules().join("updates.new");
        remove_if_there(&staging)?;
        fs::create_dir_all(&staging)?;
        for module in ["v4l2-mem2mem.ko", "h264_test_encoder.ko"] {
            fs::copy(build.join(module), staging.join(module)).context(module)?;
        }
        Ok(fs::rename(&staging, &installed)?)
    })?;
    Ok(true)
}

/// The kernel that `linux-image-amd64` leads to.
#[derive(Debug, PartialEq)]
struct Image {
    /// Of the packages.
    version: String,
    /// As `uname -r` prints it.
    release: String,
    /// As in `linux-source-6.12`.
    series: String,
}

impl Image {
    /// From what `apt-cache show` prints of the package that depends on it.
    fn parse(shown: &str) -> anyhow::Result<Self> {
        let depends = shown
            .lines()
            .find_map(|line| line.strip_prefix("Depends: linux-image-"))
            .context("linux-image-amd64 depends on no kernel")?;
        let (release, version) = depends
            .split(',')
            .next()
            .and_then(|first| first.trim().split_once(" (= "))
            .and_then(|(release, version)| Some((release, version.strip_suffix(')')?)))
            .with_context(|| format!("which kernel is this: {depends:?}"))?;
        let series = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        if version.contains('/') || !release.ends_with("-amd64") {
            bail!("which kernel is this: {depends:?}");
        }
        Ok(Self { version: version.to_owned(), release: release.to_owned(), series })
    }

    fn packages(&self) -> Vec<String> {
        let build = self.release.trim_end_matches("-amd64");
        let names = [
            format!("linux-image-{}", self.release),
            format!("linux-headers-{}", self.release),
            format!("linux-headers-{build}-common"),
            format!("linux-kbuild-{build}"),
            format!("linux-source-{}", self.series),
        ];
        names.into_iter().map(|name| format!("{name}={}", self.version)).collect()
    }
}

fn read_if_there(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

pub(super) fn remove_if_there(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn remove_file_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

const FRAMEWORK: &str = "v4l2-mem2mem.c";
const SOURCES: &str = "Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_what_the_metapackage_depends_on() {
        let shown = "Package: linux-image-amd64\nVersion: 6.12.95-1~bpo12+1\n\
                     Depends: linux-image-6.12.95+deb12-amd64 (= 6.12.95-1~bpo12+1)\n";
        let image = Image::parse(shown).unwrap();
        assert_eq!(image.release, "6.12.95+deb12-amd64");
        assert_eq!(image.series, "6.12");
        assert_eq!(image.packages()[2], "linux-headers-6.12.95+deb12-common=6.12.95-1~bpo12+1");
    }

    #[test]
    fn metapackage_without_a_kernel_is_an_error() {
        for shown in ["", "Depends: linux-base\n", "Depends: linux-image-6.12-amd64\n"] {
            assert!(Image::parse(shown).is_err(), "{shown:?}");
        }
    }
}
