//! How to go on when an encoder has failed in mid-stream, so that viewers notice a pause at most.
//!
//! ```text
//!  the machine's own ──fails──▶ opened again ──fails──▶ … ──third time in a minute──▶ openh264
//! ```
//!
//! Pure: it is told what failed, and when. It knows one run of a stream: the next one, with a new
//! [`Recovery`], begins with the machine's own encoder again, and no run does so by itself.

use std::{collections::VecDeque, time::Duration};

use media::MediaTime;

use crate::{Choice, Error};

/// Which encoder a stream is to be encoded by, as its encoders fail.
///
/// ```no_run
/// # fn stream(
/// #     choice: encode::Choice,
/// #     config: encode::Config,
/// #     run: impl Fn(Box<dyn encode::Encoder>) -> encode::Error,
/// #     now: impl Fn() -> media::MediaTime,
/// # ) -> Result<(), encode::Error> {
/// use encode::recovery::{Recovery, Remedy};
///
/// let mut recovery = Recovery::new(choice);
/// let mut encoder = encode::open(recovery.choice(), &config, None)?;
/// loop {
///     let mut error = run(encoder);
///     encoder = loop {
///         if recovery.failed(&error, now()) == Remedy::GiveUp {
///             return Err(error);
///         }
///         // A failure to open it again is one more failure.
///         match encode::open(recovery.choice(), &config, None) {
///             Ok(encoder) => break encoder,
///             Err(again) => error = again,
///         }
///     };
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Recovery {
    choice: Choice,
    /// When hardware has failed; those that count.
    failures: VecDeque<MediaTime>,
}

/// What to do about a failure.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Open the same encoder again; the first picture it gives is a keyframe.
    Reopen,
    /// Open openh264, for the rest of this run.
    Openh264,
    /// Another encoder would not help: software itself has failed, or the camera.
    GiveUp,
}

impl Recovery {
    /// For a stream that begins with `choice`.
    pub fn new(choice: Choice) -> Self {
        Self { choice, failures: VecDeque::new() }
    }

    /// Which encoder to open now.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The encoder has failed, or could not be opened again: what to do, which
    /// [`Recovery::choice`] reckons with from then on. Not for [`Error::NotShared`], after which the
    /// same encoder goes on with copies.
    ///
    /// An encoder that was chosen by its device is no exception: whoever chose it is told when it
    /// cannot be opened at first; whoever watches wants to go on watching.
    pub fn failed(&mut self, error: &Error, now: MediaTime) -> Remedy {
        // That of openh264, whatever was chosen: `Auto` may have come to it by itself.
        let is_software = self.choice == Choice::Openh264 || error.is_of_software();
        if is_software || matches!(error, Error::Camera(_)) {
            return Remedy::GiveUp;
        }
        self.failures.push_back(now);
        self.failures.retain(|failure| now.saturating_since(*failure) < MEMORY);
        if self.failures.len() < MOST_FAILURES {
            return Remedy::Reopen;
        }
        self.choice = Choice::Openh264;
        Remedy::Openh264
    }
}

/// Failures of hardware within [`MEMORY`] that are one too many.
const MOST_FAILURES: usize = 3;
/// How long a failure counts.
const MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn stall() -> Error {
        Error::Stalled { encoder: "venc".to_owned(), seconds: 2.0, pictures: 2 }
    }

    fn at(seconds: u64) -> MediaTime {
        MediaTime::from_nanos(seconds * 1_000_000_000)
    }

    fn remedies(recovery: &mut Recovery, seconds: &[u64]) -> Vec<Remedy> {
        seconds.iter().map(|second| recovery.failed(&stall(), at(*second))).collect()
    }

    #[test]
    fn the_third_failure_within_a_minute_is_the_last_of_hardware() {
        for choice in [Choice::Auto, Choice::V4l2("/dev/video11".into())] {
            let mut recovery = Recovery::new(choice.clone());
            assert_eq!(remedies(&mut recovery, &[100, 130]), [Remedy::Reopen; 2]);
            assert_eq!(recovery.choice(), &choice);
            assert_eq!(recovery.failed(&stall(), at(159)), Remedy::Openh264);
            assert_eq!(recovery.choice(), &Choice::Openh264);
        }
    }

    #[test]
    fn failures_that_are_far_apart_do_not_add_up() {
        let mut recovery = Recovery::new(Choice::Auto);
        assert_eq!(remedies(&mut recovery, &[0, 30, 60, 90, 1000]), [Remedy::Reopen; 5]);
        assert_eq!(remedies(&mut recovery, &[1001, 1002]), [Remedy::Reopen, Remedy::Openh264]);
    }

    #[test]
    fn at_the_same_moment_they_count_each() {
        let mut recovery = Recovery::new(Choice::Auto);
        let given = remedies(&mut recovery, &[5, 5, 5]);
        assert_eq!(given, [Remedy::Reopen, Remedy::Reopen, Remedy::Openh264]);
    }

    #[test]
    fn nothing_follows_software_and_hardware_never_by_itself() {
        let mut recovery = Recovery::new(Choice::Auto);
        remedies(&mut recovery, &[1, 2, 3]);
        assert_eq!(recovery.failed(&stall(), at(100_000)), Remedy::GiveUp);
        assert_eq!(recovery.choice(), &Choice::Openh264);
        let mut chosen = Recovery::new(Choice::Openh264);
        assert_eq!(chosen.failed(&stall(), at(1)), Remedy::GiveUp);
        // To which `Auto` had come because there was nothing else.
        let of_software =
            Error::Failed { encoder: crate::openh264::NAME.to_owned(), reason: String::new() };
        assert_eq!(Recovery::new(Choice::Auto).failed(&of_software, at(1)), Remedy::GiveUp);
    }
}
