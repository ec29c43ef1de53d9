//! The programs that stages need: whether they are there, and how they get there.

use std::{env, path::Path, process::Command};

use anyhow::{Context, bail};

use crate::{
    counts,
    stages::Name,
    vm,
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
            How::CargoInto { package, place } => {
                format!("cargo install --locked --debug --root target/{place} {package}")
            }
            How::Rustup(component) => format!("rustup component add {component}"),
            How::Pip { packages, .. } => {
                format!("python3 -m venv target/python && target/python/bin/pip install {packages}")
            }
            How::Npm(packages) => format!("npm install --prefix target/node {packages}"),
            How::CaptureRight => {
                "setcap cap_net_raw,cap_net_admin+ep $(command -v dumpcap)   (as root)".to_owned()
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
            How::CargoInto { package, place } => {
                let mut install = workspace.cargo("install --locked --debug --force --root");
                run(install.arg(workspace.target.join(place)).arg(package))?;
            }
            How::Rustup(component) => {
                run(workspace.command("rustup").args(["component", "add", component]))?;
            }
            How::Pip { packages, .. } => {
                if !workspace.python().exists() {
                    let place = workspace.target.join("python");
                    run(workspace.command(system_python()).args(["-m", "venv"]).arg(&place))?;
                }
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
                run(workspace.command(workspace.python()).args(pip).args(packages.split(' ')))?;
            }
            How::Npm(packages) => {
                let mut npm = workspace.command("npm");
                npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
                run(npm.arg(workspace.target.join("node")).args(packages.split(' ')))?;
            }
            How::CaptureRight => {
                let dumpcap = output(Command::new("sh").args(["-c", "command -v dumpcap"]))?;
                as_root(&["setcap", "cap_net_raw,cap_net_admin+ep", dumpcap.trim()])?;
            }
        }
    }
    Ok(())
}

/// Installs Debian's packages, as root.
///
/// # Errors
///
/// When there is no apt-get, or it fails.
pub(crate) fn install_packages(packages: &[&str]) -> anyhow::Result<()> {
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!(
            "there is no apt-get on this system to install packages with; Debian calls what is \
             missing {}",
            packages.join(", ")
        );
    }
    let apt_get = |arguments: &[&str]| {
        let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq"];
        words.extend(arguments);
        as_root(&words)
    };
    apt_get(&["update"])?;
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(packages);
    apt_get(&install)
}

fn as_root(words: &[&str]) -> anyhow::Result<()> {
    let user = output(Command::new("id").arg("-u")).context("who is this?")?;
    let sudo = if user.trim() == "0" { None } else { Some(&"sudo") };
    let mut words = sudo.into_iter().chain(words);
    let program = words.next().context("nothing to run")?;
    run(Command::new(program).args(words))
}

/// Debian's own where there is one: its `venv` comes as a package.
pub(crate) fn system_python() -> &'static str {
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
    /// Into a place in target; it does not have to be fast.
    CargoInto {
        /// With its version, which must be that.
        package: &'static str,
        place: &'static str,
    },
    Rustup(&'static str),
    /// Into target/python, made where it is not there.
    Pip {
        /// With versions, parted by blanks; the first is the one that is asked for.
        packages: &'static str,
        /// What the first is imported as.
        module: &'static str,
    },
    /// Into target/node; with versions, parted by blanks.
    Npm(&'static str),
    /// That of dumpcap to open a device.
    CaptureRight,
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
        stages: &[Name::Build, Name::Units, Name::Interop, Name::Soak, Name::Static, Name::Aarch64],
        is_there: |workspace| succeeds(&mut workspace.cargo("nextest --version")),
        how: How::Cargo("cargo-nextest"),
    },
    Tool {
        name: "valgrind",
        stages: &[Name::Counts],
        is_there: |_| prints_version("valgrind"),
        how: How::Apt("valgrind"),
    },
    Tool {
        name: "gungraun-runner",
        stages: &[Name::Counts],
        is_there: counts::has_runner,
        how: How::CargoInto { package: counts::PACKAGE, place: counts::PLACE },
    },
    Tool {
        name: "FFmpeg with libx264",
        stages: &[Name::Interop, Name::Vm],
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
        // For a window: without it, GStreamer would choose OpenGL, which a bare display has not.
        name: "GStreamer's X11 plugin",
        stages: PLAYING,
        is_there: |_| has_element("ximagesink"),
        how: How::Apt("gstreamer1.0-x"),
    },
    Tool {
        name: "Xvfb",
        stages: PLAYING,
        is_there: |_| succeeds(Command::new("Xvfb").arg("-help")),
        how: How::Apt("xvfb"),
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
            workspace.python().exists() || succeeds(Command::new(system_python()).args(imports))
        },
        how: How::Apt("python3 python3-venv"),
    },
    Tool { name: "PyAV", stages: PLAYING, is_there: |at| has_package(at, PYAV), how: PYAV },
    Tool { name: "OpenCV", stages: PLAYING, is_there: |at| has_package(at, OPENCV), how: OPENCV },
    Tool {
        name: "aiortsp",
        stages: PLAYING,
        is_there: |at| has_package(at, AIORTSP),
        how: AIORTSP,
    },
    Tool { name: "libcurl", stages: PLAYING, is_there: |at| has_package(at, PYCURL), how: PYCURL },
    Tool {
        name: "Node.js",
        stages: PLAYING,
        is_there: |_| prints_version("node"),
        how: How::Apt("nodejs"),
    },
    Tool {
        name: "npm",
        stages: PLAYING,
        is_there: |at| has_package(at, YELLOWSTONE) || prints_version("npm"),
        how: How::Apt("npm"),
    },
    Tool {
        name: "yellowstone",
        stages: PLAYING,
        is_there: |at| has_package(at, YELLOWSTONE),
        how: YELLOWSTONE,
    },
    Tool {
        name: "tshark",
        stages: PLAYING,
        is_there: |_| prints_version("tshark") && prints_version("dumpcap"),
        how: How::Apt("tshark libcap2-bin"),
    },
    Tool {
        name: "what the virtual machine is made with",
        stages: &[Name::Vm],
        is_there: |_| vm::has_tools(),
        how: How::Apt(vm::PACKAGES),
    },
    Tool {
        name: "v4l2-ctl",
        stages: &[Name::Vm],
        is_there: |_| prints_version("v4l2-ctl"),
        how: How::Apt("v4l-utils"),
    },
    Tool {
        // Loaded at run time, in the kernel's place.
        name: "libv4l2",
        stages: &[Name::Vm],
        is_there: |_| {
            let listed = output(Command::new("/sbin/ldconfig").arg("-p"));
            listed.is_ok_and(|listed| listed.contains("libv4l2.so.0"))
        },
        how: How::Apt("libv4l-0"),
    },
    Tool {
        name: "a C++ compiler for 64-bit Arm",
        stages: &[Name::Aarch64],
        is_there: |_| prints_version("aarch64-linux-gnu-g++"),
        how: How::Apt("g++-aarch64-linux-gnu"),
    },
    Tool {
        // With the C library's headers: only layouts are asked of it.
        name: "a C compiler for 32-bit Arm",
        stages: &[Name::Aarch64],
        is_there: |_| prints_version("arm-linux-gnueabihf-gcc"),
        how: How::Apt("gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
    },
    Tool {
        name: "QEMU's user mode",
        stages: &[Name::Aarch64],
        is_there: |_| prints_version("qemu-aarch64-static"),
        how: How::Apt("qemu-user-static"),
    },
    Tool {
        name: "the right to capture packets",
        stages: PLAYING,
        is_there: |_| succeeds(Command::new("dumpcap").args(["-i", "lo", "-L"])),
        how: How::CaptureRight,
    },
];

/// Whether the first of the packages is there, in its very version.
fn has_package(workspace: &Workspace, how: How) -> bool {
    let first = |packages: &'static str| packages.split(' ').next().unwrap_or_default();
    match how {
        How::Pip { packages, module } => {
            let (name, version) = first(packages).split_once("==").unwrap_or_default();
            let imports = format!(
                "import {module}; from importlib.metadata import version; \
                 assert version({name:?}) == {version:?}"
            );
            succeeds(Command::new(workspace.python()).args(["-c", &imports]))
        }
        How::Npm(packages) => {
            let (name, version) = first(packages).split_once('@').unwrap_or_default();
            let requires = format!(
                "require({name:?}); \
                 if (require('{name}/package.json').version !== {version:?}) process.exit(1)"
            );
            let mut node = Command::new("node");
            node.env("NODE_PATH", workspace.target.join("node/node_modules"));
            succeeds(node.args(["-e", &requires]))
        }
        _ => false,
    }
}

const BUILDING: &[Name] = &[
    Name::Clippy,
    Name::Build,
    Name::Units,
    Name::Docs,
    Name::Interop,
    Name::Readme,
    Name::Soak,
    Name::Counts,
    Name::Static,
    Name::Aarch64,
    Name::Vm,
];
const PLAYING: &[Name] = &[Name::Interop];
const PYAV: How = How::Pip { packages: "av==18.1.0", module: "av" };
const OPENCV: How =
    How::Pip { packages: "opencv-python-headless==5.0.0.93 numpy==2.4.6", module: "cv2" };
const AIORTSP: How = How::Pip { packages: "aiortsp==1.4.0 dpkt==1.9.8", module: "aiortsp" };
const PYCURL: How = How::Pip { packages: "pycurl==7.49.0", module: "pycurl" };
const YELLOWSTONE: How = How::Npm("yellowstone@2.1.0 sdp-transform@1.7.0");
