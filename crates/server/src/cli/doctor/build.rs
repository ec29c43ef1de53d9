//! This binary: what it was built for, and whether its software encoder is as fast as it can be.

use encode::openh264::Assembly;

use super::finding::{Finding, Topic};

/// How it was built.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether openh264 has its hand-written code for this processor.
    pub assembly: Assembly,
}

impl Facts {
    /// Of this binary.
    pub const fn here() -> Self {
        Self { assembly: Assembly::HERE }
    }

    /// What is to be said of it.
    pub fn judge(&self) -> Finding {
        let (version, processor) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        let built = format!("lenscast {version} for {processor}");
        match self.assembly {
            Assembly::Present => Finding::ok(
                Topic::Build,
                format!("{built}; openh264 has its code for this processor's SIMD"),
            ),
            Assembly::Unknown => Finding::ok(
                Topic::Build,
                format!("{built}, for which openh264 has no code of its own"),
            ),
            Assembly::Absent => Finding::warning(
                Topic::Build,
                format!(
                    "{built} was built without nasm: encoding in software is two to three times \
                     slower"
                ),
            )
            .command(
                "sudo apt install nasm && cargo clean -p openh264-sys2 --release && \
                 cargo build --release",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn what_is_said_of_the_build() {
        for (assembly, verdict) in [
            (Assembly::Present, Verdict::Ok),
            (Assembly::Unknown, Verdict::Ok),
            (Assembly::Absent, Verdict::Warning),
        ] {
            let finding = Facts { assembly }.judge();
            assert_eq!(
                (finding.verdict, finding.command.is_some()),
                (verdict, verdict != Verdict::Ok)
            );
        }
    }
}
