//! The clock: sender reports carry the time of day (RFC 3550, section 6.4.1), and recorders file
//! pictures by it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    finding::{Finding, Topic},
    machine::Machine,
};

/// What is known of the clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Seconds since 1970.
    pub now: u64,
    /// Whether something keeps it right; `None` when nobody says.
    pub is_synchronized: Option<bool>,
    /// There is a clock that runs while the machine is off.
    pub has_hardware_clock: bool,
}

impl Facts {
    /// Of `machine`, at this time.
    pub fn of(machine: &Machine) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // systemd's own service makes the file; of the kernel's state, which chrony and others set,
        // timedatectl tells.
        let is_synchronized = if machine.path("run/systemd/timesync/synchronized").exists() {
            Some(true)
        } else {
            let words = ["show", "--property=NTPSynchronized", "--value"];
            match machine.ask("timedatectl", &words).as_deref() {
                Some("yes") => Some(true),
                Some("no") => Some(false),
                _ => None,
            }
        };
        let has_hardware_clock = !machine.names("sys/class/rtc").is_empty();
        Self { now, is_synchronized, has_hardware_clock }
    }

    /// What is to be said of it.
    pub fn judge(&self) -> Finding {
        let year = 1970 + self.now / SECONDS_IN_YEAR;
        if self.now < EARLIEST {
            let why = match self.has_hardware_clock {
                true => "",
                false => " (this machine has no clock that runs while it is off)",
            };
            let seen = format!("it is {year} by the clock{why}: recorders file pictures wrongly");
            return Finding::warning(Topic::Clock, seen).command(SET);
        }
        match self.is_synchronized {
            Some(true) => Finding::ok(Topic::Clock, "kept right over the network"),
            Some(false) => Finding::warning(
                Topic::Clock,
                "nothing keeps it right: times of pictures drift from those of recorders",
            )
            .command(SET),
            None => Finding::note(Topic::Clock, "whether something keeps it right, nobody says")
                .command("chronyc tracking")
                .advice("of chrony; `ntpq -p` of ntpd; in a container it is the host's affair"),
        }
    }
}

const SET: &str = "sudo timedatectl set-ntp true";
const SECONDS_IN_YEAR: u64 = 31_556_952;
/// 2026-01-01: this program is younger.
const EARLIEST: u64 = 1_767_225_600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{finding::Verdict, machine::made_of};

    #[test]
    fn what_is_said_of_the_clock() {
        let right = EARLIEST + 5_000_000;
        for (now, is_synchronized, has_hardware_clock, verdict, word) in [
            (right, Some(true), true, Verdict::Ok, "kept right"),
            (right, Some(false), true, Verdict::Warning, "drift"),
            (right, None, true, Verdict::Note, "nobody says"),
            (100, None, false, Verdict::Warning, "it is 1970 by the clock (this machine"),
            (100, Some(true), true, Verdict::Warning, "it is 1970 by the clock: rec"),
            (1_600_000_000, None, true, Verdict::Warning, "it is 2020"),
        ] {
            let finding = Facts { now, is_synchronized, has_hardware_clock }.judge();
            assert_eq!(finding.verdict, verdict, "{finding}");
            assert!(finding.seen.contains(word), "{finding}");
            assert_eq!(finding.command.is_some(), verdict != Verdict::Ok, "{finding}");
        }
    }

    #[test]
    fn who_keeps_it_right() {
        let (_root, machine) = made_of(&[
            ("run/systemd/timesync/synchronized", ""),
            ("sys/class/rtc/rtc0/name", "rtc_cmos"),
        ]);
        let facts = Facts::of(&machine);
        assert_eq!((facts.is_synchronized, facts.has_hardware_clock), (Some(true), true));
        let (_root, machine) = made_of(&[]);
        let facts = Facts::of(&machine);
        assert_eq!((facts.is_synchronized, facts.has_hardware_clock), (None, false));
    }
}
