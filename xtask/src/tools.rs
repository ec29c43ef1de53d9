//! The programs that stages need: whether they are there, and how they get there.

use std::{env, path::Path, process::Command};

use anyhow::{Context, bail};

use crate::{
    stages::Name,
    workspace::{Workspace, output, run, succeeds},
};

/// Returns when everything that `stages` need is there, having installed it if `install`; says what
/// was installed.
///
/// # Errors
///
/// The list of what is missing, each with the command that installs it.
pub(crate) fn settle(
    workspace: &Workspace,
    stages: &[Name],
    install: bool,
) -> anyhow::Result<String> {
    let missing = missing(workspace, stages);
    if missing.is_empty() {
        return Ok("nothing was missing".to_owned());
    }
    if !install {
        bail!("{}\n`cargo xtask test --install` does all of that", list(&missing));
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let names = names.join(", ");
    println!("missing: {names}");
    install_all(workspace, &missing)?;
    let missing = self::missing(workspace, stages);
    if !missing.is_empty() {
        bail!("after installing, {}", list(&missing));
    }
    Ok(names)
}

fn missing(workspace: &Workspace, stages: &[Name]) -> Vec<&'static Tool> {
    let needed = TOOLS.iter().filter(|tool| stages.iter().any(|stage| tool.stages.contains(stage)));
    needed.filter(|tool| !(tool.is_there)(workspace)).collect()
}

fn list(missing: &[&Tool]) -> String {
    let width = missing.iter().map(|tool| tool.name.len()).max().unwrap_or_default();
    let lines = missing.iter().map(|tool| {
        let how = match tool.how {
            How::Apt(packages) => format!("apt-get install {packages}"),
            How::Cargo(package) => format!("cargo install --locked {package}   (takes minutes)"),
            How::Rustup(component) => format!("rustup component add {component}"),
            How::PyAv => {
                format!("python3 -m venv target/python && target/python/bin/pip install {PYAV}")
            }
        };
        format!("\n  {:width$}   {how}", tool.name)
    });
    format!("this is missing here:{}", lines.collect::<String>())
}

fn install_all(workspace: &Workspace, missing: &[&Tool]) -> anyhow::Result<()> {
    let packages: Vec<&str> = missing
        .iter()
        .filter_map(|tool| if let How::Apt(packages) = tool.how { Some(packages) } else { None })
        .flat_map(|packages| packages.split(' '))
        .collect();
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    for tool in missing {
        match tool.how {
            // All at once, above.
            How::Apt(_) => {}
            How::Cargo(package) => {
                println!("{package} is built from source: that takes minutes");
                run(&mut workspace.cargo(&format!("install --locked {package}")))?;
            }
            How::Rustup(component) => {
                run(workspace.command("rustup").args(["component", "add", component]))?;
            }
            How::PyAv => {
                let place = workspace.target.join("python");
                run(workspace.command(system_python()).args(["-m", "venv"]).arg(&place))?;
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYAV];
                run(workspace.command(workspace.python()).args(pip))?;
            }
        }
    }
    Ok(())
}

fn install_packages(packages: &[&str]) -> anyhow::Result<()> {
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!(
            "there is no apt-get on this system to install packages with; Debian calls what is \
             missing {}",
            packages.join(", ")
        );
    }
    let user = output(Command::new("id").arg("-u")).context("who is this?")?;
    let apt_get = |arguments: &[&str]| {
        let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq"];
        if user.trim() != "0" {
            words.insert(0, "sudo");
        }
        words.extend(arguments);
        run(Command::new(words[0]).args(&words[1..]))
    };
    apt_get(&["update"])?;
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(packages);
    apt_get(&install)
}

/// Debian's own where there is one: its `venv` comes as a package.
fn system_python() -> &'static str {
    let debian = "/usr/bin/python3";
    if Path::new(debian).exists() { debian } else { "python3" }
}

struct Tool {
    name: &'static str,
    /// Those that cannot do without.
    stages: &'static [Name],
    is_there: fn(&Workspace) -> bool,
    how: How,
}

#[derive(Copy, Clone)]
enum How {
    Apt(&'static str),
    Cargo(&'static str),
    Rustup(&'static str),
    PyAv,
}

fn prints_version(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn has_element(name: &str) -> bool {
    succeeds(Command::new("gst-inspect-1.0").args(["--exists", name]))
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "rustfmt",
        stages: &[Name::Fmt],
        is_there: |workspace| succeeds(&mut workspace.cargo("fmt --version")),
        how: How::Rustup("rustfmt"),
    },
    Tool {
        name: "clippy",
        stages: &[Name::Clippy],
        is_there: |workspace| succeeds(&mut workspace.cargo("clippy --version")),
        how: How::Rustup("clippy"),
    },
    Tool {
        name: "a C++ compiler",
        stages: BUILDING,
        is_there: |_| prints_version(&env::var("CXX").unwrap_or_else(|_| "c++".to_owned())),
        how: How::Apt("g++"),
    },
    Tool {
        // Without it openh264 is built without SIMD, and everything is measured slower than it is.
        name: "nasm",
        stages: BUILDING,
        is_there: |_| {
            !cfg!(any(target_arch = "x86", target_arch = "x86_64"))
                || succeeds(Command::new("nasm").arg("-v"))
        },
        how: How::Apt("nasm"),
    },
    Tool {
        name: "cargo-nextest",
        stages: &[Name::Build, Name::Units, Name::Interop, Name::Soak, Name::Static],
        is_there: |workspace| succeeds(&mut workspace.cargo("nextest --version")),
        how: How::Cargo("cargo-nextest"),
    },
    Tool {
        name: "FFmpeg with libx264",
        stages: PLAYING,
        is_there: |_| {
            let mut help = Command::new("ffmpeg");
            help.args(["-hide_banner", "-h", "encoder=libx264"]);
            output(&mut help).is_ok_and(|help| help.contains("Encoder libx264"))
        },
        how: How::Apt("ffmpeg"),
    },
    Tool {
        name: "GStreamer's command line",
        stages: PLAYING,
        is_there: |_| prints_version("gst-launch-1.0") && prints_version("gst-inspect-1.0"),
        how: How::Apt("gstreamer1.0-tools"),
    },
    Tool {
        name: "GStreamer's base plugins",
        stages: PLAYING,
        is_there: |_| has_element("videoconvert"),
        how: How::Apt("gstreamer1.0-plugins-base"),
    },
    Tool {
        name: "GStreamer's good plugins",
        stages: PLAYING,
        is_there: |_| ["rtspsrc", "udpsrc", "rtph264depay"].into_iter().all(has_element),
        how: How::Apt("gstreamer1.0-plugins-good"),
    },
    Tool {
        name: "GStreamer's bad plugins",
        stages: PLAYING,
        is_there: |_| has_element("h264parse"),
        how: How::Apt("gstreamer1.0-plugins-bad"),
    },
    Tool {
        name: "GStreamer's libav plugin",
        stages: PLAYING,
        is_there: |_| has_element("avdec_h264"),
        how: How::Apt("gstreamer1.0-libav"),
    },
    Tool {
        name: "mpv",
        stages: PLAYING,
        is_there: |_| prints_version("mpv"),
        how: How::Apt("mpv"),
    },
    Tool {
        name: "Python's venv",
        stages: PLAYING,
        is_there: |workspace| {
            let imports = ["-c", "import venv, ensurepip"];
            has_pyav(workspace) || succeeds(Command::new(system_python()).args(imports))
        },
        how: How::Apt("python3 python3-venv"),
    },
    Tool { name: "PyAV", stages: PLAYING, is_there: has_pyav, how: How::PyAv },
];

fn has_pyav(workspace: &Workspace) -> bool {
    let wanted = PYAV.rsplit('=').next().unwrap_or_default();
    let imports = format!("import av; assert av.__version__ == {wanted:?}");
    succeeds(Command::new(workspace.python()).args(["-c", &imports]))
}

const BUILDING: &[Name] = &[
    Name::Clippy,
    Name::Build,
    Name::Units,
    Name::Docs,
    Name::Interop,
    Name::Readme,
    Name::Soak,
    Name::Static,
];
const PLAYING: &[Name] = &[Name::Interop];
const PYAV: &str = "av==18.1.0";
