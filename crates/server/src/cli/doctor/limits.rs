//! What the system allows: open files, of which each connection is one, and how much a socket may
//! hold back.

use nix::sys::resource::{Resource, getrlimit};

use super::{
    finding::{Finding, Topic},
    machine::Machine,
};
use crate::{config::Config, egress::udp::SEND_BUFFER};

/// The limits that matter here.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How many files this process may have open at most; `None` when nobody says.
    pub files: Option<u64>,
    /// How many connections the configuration allows.
    pub connections: u64,
    /// The most bytes that the kernel lets a socket hold back; `None` when nobody says.
    pub send_buffer: Option<u64>,
}

impl Facts {
    /// For `config` on `machine`.
    pub fn of(config: &Config, machine: &Machine) -> Self {
        let size = machine.number("proc/sys/net/core/wmem_max");
        Self {
            files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard),
            connections: config.limits.connections as u64,
            send_buffer: size.and_then(|size| size.try_into().ok()),
        }
    }

    /// What is to be said of them.
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(files) = self.files {
            let (needed, connections) = (self.connections + OTHER_FILES, self.connections);
            findings.push(match files >= needed {
                true => Finding::ok(
                    Topic::Limits,
                    format!("{files} open files, enough for {connections} connections"),
                ),
                false => Finding::warning(
                    Topic::Limits,
                    format!(
                        "{files} open files at most, and {connections} connections \
                         (limits.connections) need {needed}"
                    ),
                )
                .command(format!("sudo prlimit --pid $$ --nofile={needed}:{needed}"))
                .advice(format!("of this shell; of a service of systemd: LimitNOFILE={needed}")),
            });
        }
        let wanted = SEND_BUFFER as u64;
        if let Some(size) = self.send_buffer.filter(|size| *size < wanted) {
            let seen = format!(
                "UDP sockets hold {} KB back at most (net.core.wmem_max); {} KB ease keyframes to \
                 many viewers",
                size >> 10,
                wanted >> 10
            );
            let command = format!("sudo sysctl -w net.core.wmem_max={wanted}");
            findings.push(Finding::note(Topic::Limits, seen).command(command));
        }
        findings
    }
}

/// Descriptors for all else: devices, buffers, sockets to listen on, the runtime.
const OTHER_FILES: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{finding::Verdict, machine::made_of};

    #[test]
    fn what_is_said_of_limits() {
        use Verdict::{Note, Ok, Warning};
        for (files, send_buffer, expected) in [
            (Some(4096), Some(4 << 20), &[Ok][..]),
            (Some(1152), None, &[Ok]),
            (Some(1151), Some(212_992), &[Warning, Note]),
            (None, None, &[]),
        ] {
            let findings = Facts { files, connections: 1024, send_buffer }.judge();
            let verdicts: Vec<_> = findings.iter().map(|finding| finding.verdict).collect();
            assert_eq!(verdicts, expected);
        }
        let facts = Facts { files: Some(100), connections: 10, send_buffer: Some(1024) };
        let commands: Vec<_> =
            facts.judge().into_iter().filter_map(|finding| finding.command).collect();
        assert_eq!(
            commands,
            ["sudo prlimit --pid $$ --nofile=138:138", "sudo sysctl -w net.core.wmem_max=4194304"]
        );
    }

    #[test]
    fn what_the_system_says() {
        let (_root, machine) = made_of(&[("proc/sys/net/core/wmem_max", "212992\n")]);
        let facts = Facts::of(&Config::default(), &machine);
        assert_eq!((facts.connections, facts.send_buffer), (1024, Some(212_992)));
        assert!(facts.files.is_some());
    }
}
