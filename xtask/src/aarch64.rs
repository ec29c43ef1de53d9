//! The stage `aarch64`: what differs on 64-bit Arm, shown by the tests themselves.
//!
//! ```text
//!  the C compilers for Arm ──▶ layouts of the kernel's structures, compared with the bindings
//!  rustc for aarch64 ──▶ tests and lenscast, static ──▶ QEMU's user mode on this machine
//!                                                            │ RTSP, loopback
//!                                    this machine's lenscast probe
//! ```
//!
//! Emulated programs call this machine's kernel: layouts and assembly are Arm's, drivers are not.
//! So nothing here opens a device. Nor is everything tested again: what runs are the tests within the
//! crates, and of those beside them the ones about bytes, pictures and the stand-in for the kernel.
//! The server's whole conversations, its sockets and its command line are the same Rust and the same
//! kernel as on this machine, and each program that holds them takes its time to link.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    server::Server,
    stages::{empty_directory, nextest},
    test::Skip,
    workspace::{Workspace, output, run},
};

mod toolchain;

use toolchain::Toolchain;

/// Runs the tests of all crates of the product, and the product, as 64-bit Arm has them. In full
/// with as many random cases as on this machine.
///
/// # Errors
///
/// When something does not build or hold; a [`Skip`] where no compiler can be had.
pub(crate) fn run_stage(workspace: &Workspace, full: bool) -> anyhow::Result<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(Skip::because("it is built and emulated on Linux on x86_64 only"));
    }
    let toolchain = Toolchain::ready(workspace)?;
    layouts(workspace)?;
    let build = Build { workspace, toolchain, target: workspace.target.join("aarch64/build") };
    run(build.cargo("build --locked --bins").args(["--profile", PROFILE]))?;
    let mut tests = build.cargo("nextest run --locked --profile emulated");
    tests.args(["--cargo-profile", PROFILE]).args(TESTS.split(' '));
    // What runs in a namespace is started there by the kernel, which runs no programs for Arm.
    tests.env("LENSCAST_TEST_WITHOUT_NAMESPACES", "1");
    if !full {
        // An emulated processor is ten times slower.
        tests.env("PROPTEST_CASES", "24");
    }
    let summary = nextest(&mut tests)?;
    let binary = build.target.join(TARGET).join(PROFILE).join("lenscast");
    must_be_static(&binary)?;
    let pictures = serve_and_probe(workspace, &binary)?;
    Ok(format!("{summary}; {pictures} pictures served"))
}

/// Ends when `binary` needs a library or a loader.
pub(crate) fn must_be_static(binary: &Path) -> anyhow::Result<()> {
    let headers = output(
        Command::new("readelf").args(["--wide", "--program-headers", "--dynamic"]).arg(binary),
    )?;
    for needs in ["INTERP", "(NEEDED)"] {
        if let Some(line) = headers.lines().find(|line| line.contains(needs)) {
            bail!("{} is not static: {}", binary.display(), line.trim());
        }
    }
    Ok(())
}

/// How cargo is run for this target, in a directory of its own: another compiler than the
/// workspace's would build its procedural macros and build scripts anew, too.
struct Build<'a> {
    workspace: &'a Workspace,
    toolchain: Toolchain,
    target: PathBuf,
}

impl Build<'_> {
    /// With the same flags and packages each time, so that nothing is built twice.
    fn cargo(&self, arguments: &str) -> Command {
        let mut cargo = self.workspace.cargo(arguments);
        cargo.args(PACKAGES.split(' ')).args(["--target", TARGET]);
        if let Some(rustc) = &self.toolchain.rustc {
            cargo.env("RUSTC", rustc);
        }
        cargo
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", COMPILER)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR)
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
                "-C target-feature=+crt-static",
            )
            // For the test of the bindings, which asks a C compiler.
            .env("CC", COMPILER)
            .env("HOST_CC", "cc");
        cargo
    }
}

/// The bindings against what C compilers for Arm, 64 and 32 bits, make of the kernel's headers.
fn layouts(workspace: &Workspace) -> anyhow::Result<()> {
    // Of the whole workspace, which is built as it is: v4l2 alone would be built again.
    let tests = "nextest run --workspace --locked --run-ignored all -E binary(layout)";
    nextest(&mut workspace.cargo(tests)).map(|_| ())
}

/// Serves the test card emulated, counts the pictures that a viewer on this machine gets over each
/// transport, and stops it by Ctrl-C.
fn serve_and_probe(workspace: &Workspace, binary: &Path) -> anyhow::Result<u64> {
    let mut serve = workspace.command(EMULATOR);
    serve.arg(binary).args(SERVE.split(' '));
    serve.arg("--state-dir").arg(empty_directory(workspace, "aarch64-state")?);
    let server = Server::start(&mut serve, START)?;
    let url = server.urls().first().context("the server prints no URL")?;
    let mut pictures = 0;
    for transport in ["udp", "tcp"] {
        let mut probe = workspace.command(workspace.target.join("debug/lenscast"));
        probe.args(["probe", url, "--json", "--seconds", "3", "--transport", transport]);
        pictures += judge(&output(&mut probe)?).with_context(|| format!("over {transport}"))?;
    }
    server.interrupt()?;
    Ok(pictures)
}

/// How many pictures came, if all of them were as sent. How fast they came is not judged.
fn judge(report: &str) -> anyhow::Result<u64> {
    let report: Value = serde_json::from_str(report).context("the probe's report")?;
    let wanted = [
        ("verdict", Value::from("good")),
        ("width", Value::from(320)),
        ("height", Value::from(240)),
        ("lost_packets", Value::from(0)),
        ("malformed_packets", Value::from(0)),
        ("damaged_frames", Value::from(0)),
    ];
    for (key, value) in wanted {
        if report.get(key) != Some(&value) {
            bail!("{key} is not {value}: {report}");
        }
    }
    let frames = report.get("frames").and_then(Value::as_u64).context("no `frames`")?;
    if frames < FEWEST_PICTURES {
        bail!("{frames} pictures are too few: {report}");
    }
    Ok(frames)
}

/// As cargo calls it.
const TARGET: &str = "aarch64-unknown-linux-gnu";
/// The C compiler, which links too.
const COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Static itself, so that it needs nothing of the system it emulates.
const EMULATOR: &str = "qemu-aarch64-static";
/// Neither the chores, nor the fuzz targets, nor the benchmarks.
const PACKAGES: &str = "--workspace --exclude xtask --exclude fuzz --exclude benches";
/// Of cargo: Cargo.toml says what it is.
const PROFILE: &str = "emulated";
/// Those of all libraries; then of capture and encode (with openh264's assembly), v4l2's stand-in for
/// the kernel, and RTP.
const TESTS: &str =
    "--lib --test camera --test openh264 --test v4l2_m2m --test fake --test roundtrip";
/// Small and slow, for an emulated encoder.
const SERVE: &str =
    "serve --listen 127.0.0.1:0 --udp-port 0 --open --source test:?size=320x240&fps=10";
const START: Duration = Duration::from_secs(60);
/// Of thirty, in three seconds; less by what joining took and a busy machine leaves out.
const FEWEST_PICTURES: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_report_has_its_pictures_counted() {
        assert_eq!(judge(&report("good", 0, 28)).unwrap(), 28);
    }

    #[test]
    fn loss_a_bad_start_and_too_few_pictures_are_failures() {
        for bad in [report("no_keyframe", 0, 28), report("good", 1, 28), report("good", 0, 4)] {
            assert!(judge(&bad).is_err(), "{bad}");
        }
        assert!(judge("").is_err());
    }

    fn report(verdict: &str, lost: u32, frames: u32) -> String {
        format!(
            r#"{{"verdict":"{verdict}","width":320,"height":240,"lost_packets":{lost},
                 "malformed_packets":0,"damaged_frames":0,"frames":{frames}}}"#
        )
    }
}
