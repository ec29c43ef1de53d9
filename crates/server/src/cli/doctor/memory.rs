//! Memory that devices share: what the kernel keeps in one piece (CMA), of which the buffers of
//! many boards' encoders and cameras are made, and the heaps of it that programs may have.

use super::{
    finding::{Finding, Topic},
    machine::Machine,
};

/// What there is of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Kilobytes kept in one piece; `None` where the kernel keeps none.
    pub total: Option<u64>,
    /// Kilobytes of these that nobody uses.
    pub free: u64,
    /// Names in `/dev/dma_heap`.
    pub heaps: Vec<String>,
    /// The machine starts as Raspberry Pis do: where its settings are.
    pub pi_settings: Option<&'static str>,
}

impl Facts {
    /// Of `machine`.
    pub fn of(machine: &Machine) -> Self {
        let text = machine.text("proc/meminfo").unwrap_or_default();
        let kilobytes = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
        };
        Self {
            total: kilobytes("CmaTotal").filter(|total| *total > 0),
            free: kilobytes("CmaFree").unwrap_or_default(),
            heaps: machine.names("dev/dma_heap"),
            pi_settings: PI_SETTINGS.into_iter().find(|path| machine.path(&path[1..]).exists()),
        }
    }

    /// What is to be said of it; `has_encoder`: the machine has one of its own.
    pub fn judge(&self, has_encoder: bool) -> Vec<Finding> {
        let heaps = match self.heaps.is_empty() {
            true => String::new(),
            false => format!("; DMA heaps: {}", self.heaps.join(", ")),
        };
        let Some(total) = self.total else {
            return match heaps.strip_prefix("; ") {
                Some(heaps) => vec![Finding::ok(Topic::Memory, heaps)],
                None => Vec::new(),
            };
        };
        let seen = format!(
            "{} MB are kept in one piece for devices (CMA), {} MB of them free{heaps}",
            total / 1024,
            self.free / 1024
        );
        if !has_encoder || total >= ENOUGH {
            return vec![Finding::ok(Topic::Memory, seen)];
        }
        let least = ENOUGH / 1024;
        let finding = Finding::warning(
            Topic::Memory,
            format!("{seen}: less than {least} MB, and an encoder may find no room for buffers"),
        );
        vec![match self.pi_settings {
            Some(path) => finding
                .command(format!("echo dtoverlay=cma,cma-{CHOSEN} | sudo tee -a {path}"))
                .advice("then start the machine again"),
            None => finding
                .command("cat /proc/cmdline")
                .advice(format!("add cma={CHOSEN}M to it in your boot loader, and start again")),
        }]
    }
}

/// Kilobytes: buffers for two streams of 1920x1080 through camera and encoder.
const ENOUGH: u64 = 64 << 10;
/// Megabytes that are asked for where it is too little: a size that the overlay knows.
const CHOSEN: u64 = 128;
/// Since Debian 12, and before.
const PI_SETTINGS: [&str; 2] = ["/boot/firmware/config.txt", "/boot/config.txt"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{finding::Verdict, machine::made_of};

    #[test]
    fn what_is_said_of_memory() {
        let facts = |total: u64, pi_settings| Facts {
            total: Some(total << 10),
            free: 5 << 10,
            heaps: vec!["linux,cma".to_owned()],
            pi_settings,
        };
        let pi = Some(PI_SETTINGS[0]);
        for (facts, has_encoder, verdict, command) in [
            (facts(64, None), true, Verdict::Ok, None),
            (facts(16, None), false, Verdict::Ok, None),
            (facts(16, None), true, Verdict::Warning, Some("cat /proc/cmdline")),
            (
                facts(16, pi),
                true,
                Verdict::Warning,
                Some("echo dtoverlay=cma,cma-128 | sudo tee -a /boot/firmware/config.txt"),
            ),
        ] {
            let findings = facts.judge(has_encoder);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!((finding.verdict, finding.command.as_deref()), (verdict, command));
            assert!(finding.seen.contains("5 MB of them free; DMA heaps: linux,cma"), "{finding}");
        }
        assert_eq!(Facts::default().judge(true), []);
    }

    #[test]
    fn what_the_kernel_tells() {
        let (_root, machine) = made_of(&[
            (
                "proc/meminfo",
                "MemTotal: 100 kB\nCmaTotal:          65536 kB\nCmaFree:    1024 kB\n",
            ),
            ("dev/dma_heap/system", ""),
            ("dev/dma_heap/linux,cma", ""),
            ("boot/config.txt", ""),
        ]);
        let heaps = vec!["linux,cma".to_owned(), "system".to_owned()];
        let pi_settings = Some("/boot/config.txt");
        let expected = Facts { total: Some(65536), free: 1024, heaps, pi_settings };
        assert_eq!(Facts::of(&machine), expected);
        let (_root, machine) = made_of(&[("proc/meminfo", "CmaTotal:              0 kB\n")]);
        assert_eq!(Facts::of(&machine), Facts::default());
    }
}
