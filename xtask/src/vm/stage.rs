//! The stage `vm`: what is proved with real V4L2 drivers, in as few boots as can be, all at once:
//! much of their time is waiting.
//!
//! What runs in there is Python and the workspace's own programs, built before; each line that it
//! prints is a claim, and whether it holds. It is emulated and ten to thirty times slower than this
//! machine, so no claim is about how fast anything is, but for the one about trouble.

use std::{
    env, fs,
    path::PathBuf,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use crate::{
    test::Skip,
    workspace::{Workspace, output, run},
};

use super::{
    kernel::{self, Kernel},
    machine::Machine,
    say,
};

/// Boots once for each group of parts, and runs all of it.
///
/// # Errors
///
/// When a claim does not hold; a [`Skip`] where no virtual machine can be had.
pub(crate) fn run_stage(workspace: &Workspace, full: bool) -> anyhow::Result<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(Skip::because("the virtual machine runs programs of Linux on x86_64"));
    }
    // Where commands run, wherever this is run.
    env::set_current_dir(&workspace.root).context("cannot go to the sources")?;
    let kernel = kernel::ready(workspace, false)?;
    let media = workspace.target.join("usb-camera");
    run(workspace.command("tests/vm/usb-camera/make_media.sh").arg(&media))?;
    let programs = Programs::built(workspace, media)?;
    let (kernel, programs) = (&kernel, &programs);
    let run = |boot: &Boot| {
        let begin = Instant::now();
        let failed = boot.run(workspace, kernel, programs, full);
        say(&format!("{:6.1} s  {}", begin.elapsed().as_secs_f64(), boot.name));
        failed
    };
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = BOOTS.iter().map(|boot| scope.spawn(move || run(boot))).collect();
        running.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let mut failed = Vec::new();
    for result in results {
        failed.extend(result.map_err(|_| anyhow!("a thread of this panicked"))??);
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
    /// camera's clips are, `TESTS:` and a name the program of those tests, as nextest names it.
    command: &'static str,
    only_in_full: bool,
}

impl Boot {
    /// The names of those parts that failed.
    fn run(
        &self,
        workspace: &Workspace,
        kernel: &Kernel,
        programs: &Programs,
        full: bool,
    ) -> anyhow::Result<Vec<&'static str>> {
        let parts = self.parts.iter().filter(|part| full || !part.only_in_full);
        let parts: Vec<&Part> = parts.collect();
        let results = workspace.target.join("vm/share").join(self.name.replace(' ', "-"));
        let machine = Machine {
            kernel,
            load: self.load.iter().map(|line| (*line).to_owned()).collect(),
            writable: Vec::new(),
            environment: Vec::new(),
            forwards: Vec::new(),
            memory_mebibytes: MEMORY_MEBIBYTES,
            limit: if full { FULL_LIMIT } else { LIMIT },
            heading: Some(self.name),
        };
        let mut words = vec!["bash".to_owned(), "-c".to_owned(), RUN_ALL.to_owned()];
        words.push(results.to_string_lossy().into_owned());
        for part in &parts {
            words.push(part.name.to_owned());
            words.push(programs.command(part.command)?);
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
        let said = fs::read_to_string(&results).unwrap_or_default();
        let failed = parts.iter().map(|part| part.name);
        let failed: Vec<_> = failed.filter(|name| said.lines().any(|line| line == *name)).collect();
        if failed.is_empty() {
            bail!("{} ended with {}; console:\n{}", self.name, outcome.code, outcome.console);
        }
        Ok(failed)
    }
}

/// What commands are made of.
struct Programs {
    target: PathBuf,
    media: PathBuf,
    /// As nextest describes them.
    tests: Value,
}

impl Programs {
    /// Those that the stage `build` has built.
    fn built(workspace: &Workspace, media: PathBuf) -> anyhow::Result<Self> {
        let list = "nextest list --workspace --locked --list-type binaries-only \
                    --message-format json";
        let listed = output(&mut workspace.cargo(list))?;
        let listed: Value = serde_json::from_str(&listed).context("nextest's list")?;
        let tests = listed.get("rust-binaries").context("nextest lists no programs")?.clone();
        Ok(Self { target: workspace.target.clone(), media, tests })
    }

    fn command(&self, template: &str) -> anyhow::Result<String> {
        let words = template.split(' ').map(|word| {
            if let Some(name) = word.strip_prefix("TESTS:") {
                let path = self.tests.get(name).and_then(|test| test.get("binary-path")?.as_str());
                return path.map(str::to_owned).with_context(|| format!("no tests are {name}"));
            }
            let word = word.replace("TARGET", &self.target.to_string_lossy());
            Ok(word.replace("MEDIA", &self.media.to_string_lossy()))
        });
        Ok(words.collect::<anyhow::Result<Vec<String>>>()?.join(" "))
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
                name: "what the stand-in for the kernel is held against",
                command: "env V4L2_CAMERA=/dev/video0 V4L2_ENCODER=/dev/video4 V4L2_LIBRARY=libv4l2.so.0 TESTS:v4l2 conformance --ignored --test-threads=1",
                only_in_full: false,
            },
            Part {
                name: "the machine's own encoder",
                command: "env V4L2_ENCODER=/dev/video4 TESTS:encode::hardware --ignored",
                only_in_full: false,
            },
            Part {
                name: "cameras and encoders",
                command: "python3 tests/vm/proof/cameras.py TARGET/debug/lenscast",
                only_in_full: false,
            },
            Part {
                name: "what camera and encoder share",
                command: "tests/vm/proof/sharing.sh TESTS:encode::sharing",
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
        name: "encoders",
        load: ONE_OF_EACH,
        parts: &[Part {
            name: "encoders that misbehave",
            command: "python3 tests/vm/proof/encoders.py TARGET/debug/lenscast",
            only_in_full: false,
        }],
    },
    Boot {
        name: "trouble",
        load: ONE_OF_EACH,
        parts: &[
            Part {
                name: "trouble at random",
                command: "python3 tests/vm/proof/trouble.py TARGET/debug/lenscast --seed 1",
                only_in_full: false,
            },
            Part {
                name: "trouble for long",
                command: "python3 tests/vm/proof/trouble.py TARGET/debug/lenscast --seconds 600",
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
/// A camera and an encoder.
const ONE_OF_EACH: &[&str] =
    &["vivid n_devs=1 node_types=1 num_inputs=1 input_types=0", "h264_test_encoder"];
const MEMORY_MEBIBYTES: u32 = 2048;
/// Far more than it takes: it ends what hangs.
const LIMIT: Duration = Duration::from_secs(900);
const FULL_LIMIT: Duration = Duration::from_secs(3600);
/// What `timeout` says.
const TOOK_TOO_LONG: u8 = 124;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_programs_where_they_are() {
        let tests = r#"{"encode::hardware":{"binary-path":"/t/deps/hardware-1"}}"#;
        let programs = Programs {
            target: "/t".into(),
            media: "/t/usb".into(),
            tests: serde_json::from_str(tests).unwrap(),
        };
        let command = programs.command("a TARGET/b MEDIA TESTS:encode::hardware -c").unwrap();
        assert_eq!(command, "a /t/b /t/usb /t/deps/hardware-1 -c");
        assert!(programs.command("TESTS:none").is_err());
    }
}
