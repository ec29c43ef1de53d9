//! The stage `vm`: what is proved with real V4L2 drivers, in as few boots as can be.
//!
//! What runs in there is Python and the workspace's own programs, built before; each line that it
//! prints is a claim, and whether it holds. It is emulated and ten to thirty times slower than this
//! machine, so no claim is about how fast anything is.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};

use crate::{
    test::Skip,
    workspace::{Workspace, run},
};

use super::{
    kernel::{self, Kernel},
    machine::Machine,
    say,
};

/// Boots once for each part, and runs all of it.
///
/// # Errors
///
/// When a claim does not hold; a [`Skip`] where no virtual machine can be had.
pub(crate) fn run_stage(workspace: &Workspace, full: bool) -> anyhow::Result<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(Skip::because("the virtual machine runs programs of Linux on x86_64"));
    }
    let kernel = kernel::ready(workspace, false)?;
    let media = workspace.target.join("usb-camera");
    run(workspace.command("tests/vm/usb-camera/make_media.sh").arg(&media))?;
    let mut failed = Vec::new();
    for boot in BOOTS {
        let begin = std::time::Instant::now();
        failed.extend(boot.run(workspace, &kernel, &media, full)?);
        say(&format!("{:6.1} s  {}", begin.elapsed().as_secs_f64(), boot.name));
    }
    if !failed.is_empty() {
        bail!("failed in the virtual machine: {}", failed.join(", "));
    }
    Ok(format!("{} boots of {}", BOOTS.len(), kernel.release))
}

/// One start of the virtual machine.
struct Boot {
    name: &'static str,
    /// Modules with their parameters.
    load: &'static [&'static str],
    parts: &'static [Part],
}

/// A command in there.
struct Part {
    name: &'static str,
    /// Words parted by blanks. `TARGET` is where the workspace is built, `MEDIA` where the USB
    /// camera's clips are.
    command: &'static str,
    only_in_full: bool,
}

impl Boot {
    /// The names of those parts that failed.
    fn run(
        &self,
        workspace: &Workspace,
        kernel: &Kernel,
        media: &Path,
        full: bool,
    ) -> anyhow::Result<Vec<&'static str>> {
        let parts = self.parts.iter().filter(|part| full || !part.only_in_full);
        let parts: Vec<&Part> = parts.collect();
        let results = workspace.target.join("vm/share/results");
        let machine = Machine {
            kernel,
            load: self.load.iter().map(|line| (*line).to_owned()).collect(),
            writable: Vec::new(),
            environment: Vec::new(),
            forwards: Vec::new(),
            memory_mebibytes: MEMORY_MEBIBYTES,
            limit: if full { FULL_LIMIT } else { LIMIT },
        };
        let mut words = vec!["bash".to_owned(), "-c".to_owned(), RUN_ALL.to_owned()];
        words.push(results.to_string_lossy().into_owned());
        for part in &parts {
            words.push(part.name.to_owned());
            words.push(
                part.command
                    .replace("TARGET", &workspace.target.to_string_lossy())
                    .replace("MEDIA", &media.to_string_lossy()),
            );
        }
        let boot = || machine.run(workspace, &words);
        // QEMU's own end says nothing about what was to be shown; a claim's does, and is not tried
        // again.
        let outcome = boot().or_else(|error| {
            eprintln!("vm: THE VIRTUAL MACHINE FAILED, once more: {error:#}");
            boot()
        });
        let outcome = outcome.context("the virtual machine failed twice")?;
        match outcome.code {
            0 => return Ok(Vec::new()),
            TOOK_TOO_LONG => bail!("{} took longer than {:?}", self.name, machine.limit),
            _ => {}
        }
        let said = std::fs::read_to_string(&results).unwrap_or_default();
        let failed = parts.iter().map(|part| part.name);
        let failed: Vec<_> = failed.filter(|name| said.lines().any(|line| line == *name)).collect();
        if failed.is_empty() {
            bail!("{} ended with {}; console:\n{}", self.name, outcome.code, outcome.console);
        }
        Ok(failed)
    }
}

/// For bash: a file for the names of those that fail, then names and commands by turns.
const RUN_ALL: &str = r#"
results=$0
: > "$results"
while [ $# -gt 0 ]; do
    echo "──── $1"
    $2 || { echo "failed with $?: $1"; echo "$1" >> "$results"; }
    shift 2
done
[ ! -s "$results" ]
"#;
const BOOTS: &[Boot] = &[
    Boot {
        name: "vivid and the encoder",
        load: &[
            "vivid n_devs=4 node_types=1,1,1,1 num_inputs=1,1,1,1 input_types=0,0,0,0",
            "h264_test_encoder",
        ],
        parts: &[
            Part {
                name: "cameras and encoders",
                command: "python3 tests/vm/proof/cameras.py TARGET/debug/lenscast",
                only_in_full: false,
            },
            Part {
                name: "the test encoder",
                command: "python3 tests/vm/self_test.py --brief",
                only_in_full: false,
            },
            Part {
                name: "all of the test encoder",
                command: "python3 tests/vm/self_test.py",
                only_in_full: true,
            },
        ],
    },
    Boot {
        name: "the USB camera",
        load: &["vhci-hcd", "uvcvideo"],
        parts: &[
            Part {
                name: "USB cameras",
                command: "python3 tests/vm/proof/usb.py TARGET/debug/lenscast --media MEDIA",
                only_in_full: false,
            },
            Part {
                name: "the emulated camera",
                command: "python3 tests/vm/usb-camera/prove.py MEDIA formats",
                only_in_full: false,
            },
            Part {
                name: "all of the emulated camera",
                command: "python3 tests/vm/usb-camera/prove.py MEDIA",
                only_in_full: true,
            },
        ],
    },
];
const MEMORY_MEBIBYTES: u32 = 2048;
/// Far more than it takes: it ends what hangs.
const LIMIT: Duration = Duration::from_secs(600);
const FULL_LIMIT: Duration = Duration::from_secs(1800);
/// What `timeout` says.
const TOOK_TOO_LONG: u8 = 124;
