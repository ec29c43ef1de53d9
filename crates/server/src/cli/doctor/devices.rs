//! Cameras and encoders: what each node is by its own words, whether it may be opened, who has it.
//!
//! That a node is there says nothing: boards have stubs, and NVIDIA's answer nobody but NVIDIA's own
//! library. So each is opened and asked (VIDIOC_QUERYCAP); none is started.

use std::path::{Path, PathBuf};

use ::v4l2::Device;
use capture::v4l2::{choice::Wanted, name::Places, survey::Survey, survey::survey};
use encode::v4l2_m2m::{self, Candidate};
use nix::errno::Errno;

use super::{
    finding::{Finding, Topic},
    machine::Machine,
    person::{self, Owner, Person},
    programs::{Program, Programs, list},
};

/// All video nodes, and who looks at them.
#[derive(Clone, Debug)]
pub struct Facts {
    /// By number; then those of names known to be stubs.
    pub nodes: Vec<Node>,
    /// Who asks.
    pub person: Person,
    /// Programs of which cannot be said what they have open.
    pub hidden: usize,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// What it said.
    pub state: State,
    /// Who has it open.
    pub programs: Vec<Program>,
}

/// What a node said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is a camera that can be served.
    Camera {
        /// The device, for people.
        card: String,
        /// What is served of it.
        gives: String,
        /// Another program takes pictures from it.
        is_taken: bool,
    },
    /// It makes H.264.
    Encoder {
        /// The device, for people.
        card: String,
        /// From pictures of these formats.
        takes: Vec<String>,
    },
    /// It is something else, or a camera that cannot be served.
    Other,
    /// EACCES: its permissions are against it.
    Forbidden,
    /// EPERM: a container, or a service's rules, are against it.
    Withheld,
    /// It opens, and answers no request of V4L2.
    Stub,
    /// Anything else.
    Failed(String),
}

impl Facts {
    /// Looks at every node of `machine`.
    pub fn of(machine: &Machine, programs: &Programs) -> Self {
        let devices = machine.path("dev");
        let places = Places::new(devices.clone(), machine.path("sys/class/video4linux"));
        let survey = survey(&places, &Wanted::default());
        let numbered = places.nodes().unwrap_or_default().into_iter().map(|node| node.path);
        let numbered: Vec<_> = numbered.collect();
        let known = OTHER_ENCODERS.iter().map(|name| devices.join(name));
        let known = known.filter(|path| path.exists());
        let of_libraries = ::v4l2::library::nodes();
        let known: Vec<_> = known.filter(|path| !of_libraries.contains(path)).collect();
        let others = of_libraries.into_iter().filter(|path| !numbered.contains(path));
        let others: Vec<_> = others.collect();
        let node = |path: PathBuf| Node {
            owner: Owner::of(machine, &path),
            state: State::of(&path, &survey),
            programs: programs.with(&path.to_string_lossy()),
            path,
        };
        Self {
            nodes: numbered.into_iter().chain(known).chain(others).map(node).collect(),
            person: Person::here(machine),
            hidden: programs.hidden,
        }
    }

    /// What is to be said of them.
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.nodes.iter().filter_map(|node| self.judge_node(node)).collect();
        let others = self.nodes.iter().filter(|node| node.state == State::Other).count();
        // What is broken is camera enough.
        if !findings.iter().any(|finding| finding.topic == Topic::Cameras) {
            let finding = match others {
                0 => Finding::note(Topic::Cameras, "there is no camera: the test card is served")
                    .command("sudo modprobe uvcvideo && lsusb")
                    .advice("in a container, pass the camera on: --device /dev/video0"),
                1 => Finding::note(Topic::Cameras, "the one video device is no camera to serve")
                    .command("lenscast devices")
                    .advice("says why it is not"),
                _ => Finding::note(
                    Topic::Cameras,
                    format!("none of {others} video devices is a camera that can be served"),
                )
                .command("lenscast devices")
                .advice("says of each why it is not"),
            };
            findings.push(finding);
        }
        if !self.has_encoder() {
            let seen = "no device makes H.264: openh264 encodes, in software";
            findings.push(Finding::ok(Topic::Encoders, seen));
        }
        findings
    }

    /// Whether the machine has an encoder of its own.
    pub fn has_encoder(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.state, State::Encoder { .. }))
    }

    fn judge_node(&self, node: &Node) -> Option<Finding> {
        let path = node.path.display();
        let topic = match is_encoders_name(&node.path) {
            true => Topic::Encoders,
            false => Topic::Cameras,
        };
        Some(match &node.state {
            State::Camera { card, gives, is_taken: true } => {
                self.judge_taken(node, &format!("{path}: {card}, {gives}"))
            }
            State::Camera { card, gives, is_taken: false } => {
                let open = match node.programs.is_empty() {
                    true => String::new(),
                    false => {
                        format!("; open in {}, which takes no pictures", list(&node.programs))
                    }
                };
                Finding::ok(Topic::Cameras, format!("{path}: {card}, {gives}{open}"))
            }
            State::Encoder { card, takes } => Finding::ok(
                Topic::Encoders,
                format!("{path}: {card} makes H.264 from {}", takes.join(", ")),
            ),
            State::Other => return None,
            State::Forbidden => match &node.owner {
                Some(owner) => person::judge(topic, &node.path, owner, &self.person),
                None => return None,
            },
            State::Withheld => Finding::broken(
                topic,
                format!("{path} is withheld by a container or by the rules of a service (EPERM)"),
            )
            .command(format!("docker run --device {path} …"))
            .advice(format!("of a service of systemd: DeviceAllow={path} rw")),
            State::Stub if topic == Topic::Encoders => Finding::note(
                topic,
                format!(
                    "{path} answers no request of V4L2 (VIDIOC_QUERYCAP): it is a stub, or \
                     NVIDIA's, whose library alone is answered"
                ),
            )
            .command(format!("lenscast --v4l2-library {path}={NVIDIAS}"))
            .advice(
                "of NVIDIA's, in a build that is not static; else openh264 encodes, in software",
            ),
            State::Stub => Finding::note(
                topic,
                format!("{path} answers no request of V4L2 (VIDIOC_QUERYCAP): it is a stub"),
            ),
            State::Failed(said) => Finding::warning(topic, format!("{path}: {said}"))
                .command("sudo dmesg | tail -n 30"),
        })
    }

    fn judge_taken(&self, node: &Node, seen: &str) -> Finding {
        let topic = Topic::Cameras;
        let (own, others): (Vec<_>, Vec<_>) =
            node.programs.iter().cloned().partition(Program::is_lenscast);
        match (&others[..], &own[..]) {
            (_, [own, ..]) => Finding::ok(topic, format!("{seen}; served by {own}")),
            ([other, ..], _) => {
                let all = list(&others);
                Finding::broken(topic, format!("{seen}; in use by {all}"))
                    .command(other.stop_command())
            }
            ([], []) => {
                let finding = Finding::broken(topic, format!("{seen}; in use by another program"));
                match self.hidden {
                    0 => {
                        finding.advice("which cannot be seen from here: outside of this container")
                    }
                    hidden => finding.command("sudo lenscast doctor").advice(format!(
                        "says which: what {hidden} processes of others have open, {} may not see",
                        self.person.name
                    )),
                }
            }
        }
    }
}

impl State {
    fn of(path: &Path, survey: &Survey) -> Self {
        let device = match Device::open(path) {
            Ok(device) => device,
            Err(error) => {
                let said = error.error.raw_os_error().map(Errno::from_raw);
                return match said {
                    Some(Errno::EACCES) => Self::Forbidden,
                    Some(Errno::EPERM) => Self::Withheld,
                    Some(Errno::ENOTTY | Errno::EINVAL) => Self::Stub,
                    _ => Self::Failed(format!("{}: {}", error.doing, error.error)),
                };
            }
        };
        let card = device.capability().card.clone();
        if let Ok(Candidate { formats, .. }) = v4l2_m2m::examine(&device) {
            let takes = formats.iter().map(ToString::to_string).collect();
            return Self::Encoder { card, takes };
        }
        let usable = survey.usable.iter().find(|usable| usable.path == path);
        match (usable, device.capability().camera()) {
            (Some(usable), Some(queue)) => {
                let gives = usable.reasoned.choice.to_string();
                let is_taken = device.is_taken(queue).unwrap_or(false);
                Self::Camera { card, gives, is_taken }
            }
            _ => Self::Other,
        }
    }
}

fn is_encoders_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| OTHER_ENCODERS.iter().any(|known| name == *known))
}

/// Where NVIDIA's encoders are, which are no nodes of V4L2 to anybody but NVIDIA's library.
const OTHER_ENCODERS: [&str; 2] = ["nvhost-msenc", "v4l2-nvenc"];

/// Where NVIDIA's systems have their library.
const NVIDIAS: &str = "/usr/lib/aarch64-linux-gnu/tegra/libnvv4l2.so";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cli::doctor::{finding::Verdict, machine::made_of, programs::Unit};

    fn facts(nodes: Vec<(&str, State, &[&str])>, hidden: usize) -> Facts {
        let program = |name: &&str| Program {
            id: 812,
            name: (*name).to_owned(),
            unit: (*name == "motion")
                .then(|| Unit { name: "motion.service".to_owned(), is_users: false }),
        };
        let node = |(path, state, programs): (&str, State, &[&str])| Node {
            path: path.into(),
            owner: Some(Owner { mode: 0o660, group: 44, group_name: Some("video".to_owned()) }),
            state,
            programs: programs.iter().map(program).collect(),
        };
        let person = Person { name: "pi".to_owned(), groups: [1000].into(), listed: [1000].into() };
        Facts { nodes: nodes.into_iter().map(node).collect(), person, hidden }
    }

    fn camera(is_taken: bool) -> State {
        State::Camera { card: "C920".to_owned(), gives: "H264 1280x720".to_owned(), is_taken }
    }

    /// The first finding: its verdict, whether `word` is in it, and its command.
    #[track_caller]
    fn assert_first(facts: &Facts, verdict: Verdict, word: &str, command: Option<&str>) {
        let findings = facts.judge();
        let first = &findings[0];
        assert_eq!(first.verdict, verdict, "{first}");
        assert!(first.seen.contains(word), "{first}");
        assert_eq!(first.command.as_deref(), command, "{first}");
    }

    #[test]
    fn what_is_said_of_a_node() {
        use Verdict::{Broken, Note, Ok, Warning};
        let at = "/dev/video0";
        for (state, programs, hidden, verdict, word, command) in [
            (camera(false), &[][..], 0, Ok, "C920", None),
            (camera(false), &["wireplumber"], 0, Ok, "takes no pictures", None),
            (camera(true), &["lenscast"], 0, Ok, "served by lenscast (process 812)", None),
            (camera(true), &["cheese"], 0, Broken, "in use by cheese", Some("kill 812")),
            (
                camera(true),
                &["motion"],
                0,
                Broken,
                "motion",
                Some("sudo systemctl stop motion.service"),
            ),
            (camera(true), &[], 3, Broken, "another program", Some("sudo lenscast doctor")),
            (camera(true), &[], 0, Broken, "another program", None),
            (State::Forbidden, &[], 0, Broken, "group video", Some("sudo usermod -aG video pi")),
            (
                State::Withheld,
                &[],
                0,
                Broken,
                "container",
                Some("docker run --device /dev/video0 …"),
            ),
            (State::Stub, &[], 0, Note, "stub", None),
            (
                State::Failed("EIO".to_owned()),
                &[],
                0,
                Warning,
                "EIO",
                Some("sudo dmesg | tail -n 30"),
            ),
            (State::Other, &[], 0, Note, "no camera to serve", Some("lenscast devices")),
        ] {
            assert_first(&facts(vec![(at, state, programs)], hidden), verdict, word, command);
        }
        assert_first(&facts(vec![], 0), Note, "test card", Some("sudo modprobe uvcvideo && lsusb"));
    }

    #[test]
    fn an_encoder_is_what_says_so_and_not_what_has_the_name() {
        let said = |nodes| {
            let findings = facts(nodes, 0).judge().into_iter();
            let encoders = findings.filter(|finding| finding.topic == Topic::Encoders);
            encoders.map(|finding| finding.seen).collect::<Vec<_>>()
        };
        let software = "no device makes H.264: openh264 encodes, in software";
        let [stub, second] = &said(vec![("/dev/v4l2-nvenc", State::Stub, &[])])[..] else {
            panic!("not two findings")
        };
        assert!(stub.starts_with("/dev/v4l2-nvenc answers no request"), "{stub}");
        assert_eq!(second, software);
        let encoder = State::Encoder { card: "bcm2835".to_owned(), takes: vec!["YU12".to_owned()] };
        assert_eq!(
            said(vec![("/dev/video11", encoder, &[])]),
            ["/dev/video11: bcm2835 makes H.264 from YU12"]
        );
        assert_eq!(said(vec![]), [software]);
    }

    #[test]
    fn nodes_are_asked_and_not_believed() {
        let (root, machine) = made_of(&[("dev/video0", ""), ("dev/video7x", "")]);
        for node in ["video3", "v4l2-nvenc"] {
            symlink("/dev/null", root.path().join("dev").join(node)).unwrap();
        }
        symlink("nowhere", root.path().join("dev/video4")).unwrap();
        let facts = Facts::of(&machine, &Programs::default());
        let found = facts
            .nodes
            .iter()
            .map(|node| (node.path.file_name().unwrap().to_str().unwrap(), node.state.clone()));
        let found: Vec<_> = found.collect();
        assert_eq!(
            found[..2],
            [("video0", State::Stub), ("video3", State::Stub)],
            "a file and /dev/null"
        );
        assert!(matches!(found[2], ("video4", State::Failed(_))), "{found:?}");
        assert_eq!(found[3], ("v4l2-nvenc", State::Stub));
    }
}
