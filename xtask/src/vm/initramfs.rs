//! Makes the initramfs: busybox, `tests/vm/init`, and every module that may be loaded, with those
//! it needs. All else comes over 9p.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::workspace::{Workspace, output};

use super::{
    kernel::{Kernel, remove_if_there},
    step,
};

/// Makes it, unless it is there, and made from the same.
///
/// # Errors
///
/// When a module is not in the kernel, or a tool fails.
pub(super) fn ready(
    workspace: &Workspace,
    kernel: &Kernel,
    modules_changed: bool,
) -> anyhow::Result<()> {
    let init = workspace.root.join("tests/vm/init");
    let init = fs::read_to_string(&init).with_context(|| init.display().to_string())?;
    let made_from = format!("{}\n{init}", MODULES.join(" "));
    let note = kernel.directory.join("initramfs.from");
    let is_same = fs::read_to_string(&note).is_ok_and(|noted| noted == made_from);
    if is_same && !modules_changed && kernel.initramfs().exists() {
        return Ok(());
    }
    // Noted when done: what is interrupted is made again.
    match fs::remove_file(&note) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    step("making the initramfs", || make(kernel, &init))?;
    fs::write(&note, made_from)?;
    Ok(())
}

fn make(kernel: &Kernel, init: &str) -> anyhow::Result<()> {
    let root = kernel.directory.join("initramfs.d");
    remove_if_there(&root)?;
    for directory in ["bin", "proc", "sys", "dev", "lower", "upper", "root"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    fs::write(root.join("init"), init)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    copy_modules(kernel, &root)?;
    pack(&root, &kernel.initramfs())?;
    remove_if_there(&root)
}

fn copy_modules(kernel: &Kernel, root: &Path) -> anyhow::Result<()> {
    let release = kernel.release.as_str();
    output(sbin("depmod").arg("-b").arg(kernel.module_root()).arg(release))?;
    let mut files = BTreeSet::new();
    for module in MODULES {
        let mut show = sbin("modprobe");
        show.args(["-S", release, "--show-depends", module]).arg("-d").arg(kernel.module_root());
        let shown = output(&mut show)?;
        // `insmod PATH`, or `builtin NAME`
        let paths = shown.lines().filter_map(|line| line.strip_prefix("insmod "));
        files.extend(paths.map(|path| PathBuf::from(path.trim())));
    }
    let target = root.join("lib/modules").join(release);
    for file in files {
        let below = file
            .strip_prefix(kernel.modules())
            .with_context(|| format!("{} is elsewhere", file.display()))?;
        let to = target.join(below);
        fs::create_dir_all(to.parent().context("a module has a directory")?)?;
        copy_module(&file, &to)?;
    }
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(kernel.modules().join(list), target.join(list)).context(list)?;
    }
    output(sbin("depmod").arg("-b").arg(root).arg(release))?;
    Ok(())
}

/// Plain, since busybox's insmod takes no other; and without what only a debugger reads.
fn copy_module(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.extension().is_some_and(|extension| extension == "xz") {
        let to = to.with_extension("");
        let plain = File::create(&to)?;
        let status = Command::new("xz").arg("-dc").arg(from).stdout(plain).status()?;
        if !status.success() {
            bail!("cannot unpack {}", from.display());
        }
        return Ok(());
    }
    fs::copy(from, to)?;
    output(Command::new("strip").arg("--strip-debug").arg(to))?;
    Ok(())
}

/// Uncompressed: an emulated processor takes longer to unpack it than this one to load it.
fn pack(root: &Path, to: &Path) -> anyhow::Result<()> {
    let mut names = String::new();
    list(root, root, &mut names)?;
    let mut cpio = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet", "-R", "0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(File::create(to)?)
        .spawn()?;
    cpio.stdin.take().context("cpio has no input")?.write_all(names.as_bytes())?;
    if !cpio.wait()?.success() {
        bail!("cpio failed");
    }
    Ok(())
}

fn list(root: &Path, directory: &Path, names: &mut String) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        names.push_str(path.strip_prefix(root)?.to_str().context("a name that is no text")?);
        names.push('\n');
        if path.is_dir() && !path.is_symlink() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}

fn sbin(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

const MODULES: &[&str] = &[
    // To boot.
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "9pnet_virtio",
    "9p",
    "overlay",
    "configfs",
    // To test with.
    "vivid",
    "h264_test_encoder",
    "uvcvideo",
    "vhci-hcd",
    "snd-aloop",
];
