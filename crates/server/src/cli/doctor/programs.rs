//! Which programs run, and what each has open: `/proc/PID/fd`, as far as this user may look.

use std::{fmt, fs, path::Path};

use super::machine::Machine;

/// Programs and what they have open.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// What is open, as `/dev/video0` or `socket:[4711]`, and by whom.
    open: Vec<(String, Program)>,
    /// How many there are whose files this user may not see.
    pub hidden: usize,
}

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The number of its process.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The unit of systemd that it belongs to, where there is one.
    pub unit: Option<Unit>,
}

/// A service of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// As `motion.service`.
    pub name: String,
    /// It is one of a user's own, and none of the system's.
    pub is_users: bool,
}

impl Programs {
    /// All that run on `machine`, but this one.
    pub fn of(machine: &Machine) -> Self {
        let mut programs = Self::default();
        let own = std::process::id();
        for name in machine.names("proc") {
            let Ok(id) = name.parse::<u32>() else { continue };
            if id == own {
                continue;
            }
            let process = Path::new("proc").join(&name);
            let Ok(entries) = fs::read_dir(machine.path(process.join("fd"))) else {
                // Those that have ended meanwhile have no directory.
                programs.hidden += usize::from(machine.path(&process).exists());
                continue;
            };
            let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
            let open: Vec<String> =
                links.filter_map(|link| link.into_os_string().into_string().ok()).collect();
            let is_of_interest = |target: &String| {
                target.starts_with("socket:") || target.starts_with(&*device_prefix(machine))
            };
            if open.iter().any(is_of_interest) {
                let text = |file| machine.text(process.join(file)).unwrap_or_default();
                let program = Program { id, name: text("comm"), unit: Unit::of(&text("cgroup")) };
                let open = open.into_iter().filter(is_of_interest);
                programs.open.extend(open.map(|target| (target, program.clone())));
            }
        }
        programs
    }

    /// Those that have `target` open, each once.
    pub fn with(&self, target: &str) -> Vec<Program> {
        let mut found: Vec<Program> = Vec::new();
        for (_, program) in self.open.iter().filter(|(open, _)| open == target) {
            if !found.contains(program) {
                found.push(program.clone());
            }
        }
        found
    }
}

fn device_prefix(machine: &Machine) -> String {
    machine.path("dev/").to_string_lossy().into_owned()
}

impl Program {
    /// Whether it is lenscast, too.
    pub fn is_lenscast(&self) -> bool {
        self.name == "lenscast"
    }

    /// What ends it.
    pub fn stop_command(&self) -> String {
        match &self.unit {
            Some(Unit { name, is_users: false }) => format!("sudo systemctl stop {name}"),
            Some(Unit { name, is_users: true }) => format!("systemctl --user stop {name}"),
            None => format!("kill {}", self.id),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {}", self.name, self.id)?;
        if let Some(unit) = &self.unit {
            write!(f, ", {}", unit.name)?;
        }
        f.write_str(")")
    }
}

/// `one (process 1), other (process 2)`.
pub(super) fn list(programs: &[Program]) -> String {
    programs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Unit {
    /// From what `/proc/PID/cgroup` says.
    fn of(cgroup: &str) -> Option<Self> {
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mut parts = path.split('/').filter(|part| part.ends_with(".service"));
        let name = parts.next_back().filter(|name| !name.starts_with("user@"))?;
        Some(Self { name: name.to_owned(), is_users: path.contains("/user@") })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cli::doctor::machine::made_of;

    #[test]
    fn programs_are_found_by_what_they_have_open() {
        let (root, machine) = made_of(&[
            ("dev/video0", ""),
            ("proc/812/comm", "motion\n"),
            ("proc/812/cgroup", "0::/system.slice/motion.service\n"),
            ("proc/812/fd/none", ""),
            ("proc/813/comm", "cat\n"),
            ("proc/813/fd/none", ""),
            ("proc/900/comm", "hidden\n"),
            ("proc/self/comm", "no number\n"),
        ]);
        for (link, target) in [
            ("proc/812/fd/4", root.path().join("dev/video0")),
            ("proc/812/fd/5", root.path().join("dev/video0")),
            ("proc/812/fd/6", "socket:[4711]".into()),
            ("proc/813/fd/0", "/dev/null".into()),
        ] {
            symlink(target, root.path().join(link)).unwrap();
        }
        let programs = Programs::of(&machine);
        let unit = Some(Unit { name: "motion.service".to_owned(), is_users: false });
        let motion = Program { id: 812, name: "motion".to_owned(), unit };
        let camera = root.path().join("dev/video0");
        assert_eq!(programs.with(camera.to_str().unwrap()), std::slice::from_ref(&motion));
        assert_eq!(programs.with("socket:[4711]"), [motion]);
        assert_eq!(programs.with("socket:[4712]"), []);
        assert_eq!(programs.hidden, 1);
    }

    #[test]
    fn what_ends_a_program() {
        for (cgroup, command) in [
            ("0::/system.slice/motion.service", "sudo systemctl stop motion.service"),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/cheese.service",
                "systemctl --user stop cheese.service",
            ),
            ("0::/user.slice/user-1000.slice/session-3.scope", "kill 7"),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope", "kill 7"),
            ("12:cpu:/x.service", "kill 7"),
            ("", "kill 7"),
        ] {
            let program = Program { id: 7, name: "x".to_owned(), unit: Unit::of(cgroup) };
            assert_eq!(program.stop_command(), command, "{cgroup}");
        }
    }
}
