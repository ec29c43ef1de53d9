//! Where a picture's time goes, from the camera's shutter to the last byte handed to the kernel.
//!
//! ```text
//!  taken ──▶ arrived ──▶ ready ──▶ given ──▶ encoded ──▶ published ──▶ turn ──▶ sent
//!     capture     convert     wait     encode     packetize      queue      send      (pacing: part of it)
//! ```
//!
//! The first half is a picture's own, the second is counted for each viewer that gets it. All of it
//! is in histograms of fixed size that nobody waits for. Pure: instants are arguments.

use std::{fmt, time::Duration};

use media::{Delays, MediaTime, SharedDelays};

/// When a picture came how far before it was published, on the capture clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// It had left the driver, as it was.
    pub arrived: MediaTime,
    /// It was ready to be encoded: converted, where need be.
    pub ready: MediaTime,
    /// The encoder was given it.
    pub given: MediaTime,
    /// It came out of the encoder.
    pub encoded: MediaTime,
}

impl Stamps {
    /// Of a picture that came encoded.
    pub fn of_encoded(arrived: MediaTime) -> Self {
        Self { arrived, ready: arrived, given: arrived, encoded: arrived }
    }
}

/// What a published picture needs to know of its past, so that each viewer's delay can be told.
#[derive(Copy, Clone, Debug, Default)]
pub struct Past {
    /// When it was taken.
    pub taken: MediaTime,
    /// What capture and encoding took.
    pub unavoidable: Duration,
}

/// A picture that is next for one viewer: the second half begins.
#[derive(Copy, Clone, Debug)]
pub struct Turn {
    /// What went before.
    pub past: Past,
    /// When all viewers could have it.
    pub published: MediaTime,
    /// Since when it is this viewer's next.
    pub since: MediaTime,
    /// For how long from then on its last byte is held back on purpose, so that packets do not
    /// overrun the receiver.
    pub pacing: Duration,
}

/// The delays of one stream's pictures, step by step.
#[derive(Debug, Default)]
pub struct Stages {
    delays: [SharedDelays; Step::ALL.len()],
}

impl Stages {
    /// Counts a picture that is published now.
    pub fn published(&self, taken: MediaTime, stamps: &Stamps, now: MediaTime) -> Past {
        let Stamps { arrived, ready, given, encoded } = *stamps;
        // Some drivers say when a picture will have been taken (vivid), and files when it is shown.
        let taken = taken.min(arrived);
        let capture = arrived.saturating_since(taken);
        let encode = encoded.saturating_since(given);
        self.note(Step::Capture, capture);
        self.note(Step::Convert, ready.saturating_since(arrived));
        self.note(Step::Wait, given.saturating_since(ready));
        self.note(Step::Encode, encode);
        self.note(Step::Packetize, now.saturating_since(encoded));
        Past { taken, unavoidable: capture + encode }
    }

    /// Counts a picture of which a viewer's last byte has been handed to the kernel now. Returns
    /// what the server added: what is neither capture nor encoding nor pacing.
    pub fn sent(&self, turn: &Turn, now: MediaTime) -> Duration {
        let Turn { past, published, since, pacing } = *turn;
        let send = now.saturating_since(since);
        let pacing = pacing.min(send);
        let total = now.saturating_since(past.taken);
        let added = total.saturating_sub(past.unavoidable).saturating_sub(pacing);
        self.note(Step::Queue, since.saturating_since(published));
        self.note(Step::Send, send);
        self.note(Step::Pacing, pacing);
        self.note(Step::Added, added);
        self.note(Step::Total, total);
        added
    }

    /// What has been counted of one step so far.
    pub fn of(&self, step: Step) -> Delays {
        self.delays[step as usize].read()
    }

    fn note(&self, step: Step, delay: Duration) {
        self.delays[step as usize].note(delay);
    }
}

/// All steps of which anything is known: the median, and what 99 of 100 did not exceed.
impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("median/p99 in ms: ")?;
        let mut separator = "";
        for step in Step::ALL {
            let delays = self.of(step);
            if delays.count() > 0 {
                let [median, most] = typical(&delays);
                write!(f, "{separator}{step} {median:.2}/{most:.2}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Shows the median, and what 99 of 100 did not exceed.
#[derive(Debug)]
pub struct Typical(pub Delays);

impl fmt::Display for Typical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.count() == 0 {
            return f.write_str("unknown");
        }
        let [median, most] = typical(&self.0);
        write!(f, "median {median:.2} ms, p99 {most:.2} ms")
    }
}

/// In milliseconds.
fn typical(delays: &Delays) -> [f64; 2] {
    [delays.median(), delays.quantile(99, 100)].map(|delay| delay.as_secs_f64() * 1000.0)
}

/// A part of a picture's way.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// From the driver's time, or when the picture was due, to when it had left the driver.
    Capture,
    /// Until it could be encoded.
    Convert,
    /// Until the encoder took it.
    Wait,
    /// Until it came out of the encoder.
    Encode,
    /// Until all viewers could have it.
    Packetize,
    /// For each viewer: until it was next for that viewer.
    Queue,
    /// For each viewer: until its last byte was handed to the kernel.
    Send,
    /// Of [`Step::Send`], what packets were held back on purpose.
    Pacing,
    /// For each viewer: all but capture, encoding and pacing.
    Added,
    /// For each viewer: all of it.
    Total,
}

impl Step {
    /// All, in the order of a picture's way; sums last.
    pub const ALL: [Self; 10] = [
        Self::Capture,
        Self::Convert,
        Self::Wait,
        Self::Encode,
        Self::Packetize,
        Self::Queue,
        Self::Send,
        Self::Pacing,
        Self::Added,
        Self::Total,
    ];

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Convert => "convert",
            Self::Wait => "wait",
            Self::Encode => "encode",
            Self::Packetize => "packetize",
            Self::Queue => "queue",
            Self::Send => "send",
            Self::Pacing => "pacing",
            Self::Added => "added",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> MediaTime {
        MediaTime::from_nanos(1_000_000_000 + micros * 1000)
    }

    fn stamps() -> Stamps {
        Stamps { arrived: at(5), ready: at(7), given: at(10), encoded: at(17) }
    }

    /// Of one picture, exactly.
    fn told(stages: &Stages) -> [u128; 10] {
        Step::ALL.map(|step| {
            let delays = stages.of(step);
            assert_eq!(delays.count(), 1, "{step}");
            delays.longest().as_micros()
        })
    }

    #[test]
    fn the_parts_are_the_whole() {
        let stages = Stages::default();
        let past = stages.published(at(0), &stamps(), at(18));
        let pacing = Duration::from_micros(3);
        let turn = Turn { past, published: at(18), since: at(20), pacing };
        let added = stages.sent(&turn, at(26));
        assert_eq!(added, Duration::from_micros(26 - 5 - 7 - 3));
        //  capture convert wait encode packetize queue send pacing added total
        assert_eq!(told(&stages), [5, 2, 3, 7, 1, 2, 6, 3, 11, 26]);
        assert_eq!(5 + 2 + 3 + 7 + 1 + 2 + 6, 26);
    }

    #[test]
    fn what_came_encoded_was_not_waited_for_and_nobody_is_held_back_for_longer_than_it_took() {
        let stages = Stages::default();
        let past = stages.published(at(0), &Stamps::of_encoded(at(4)), at(6));
        let pacing = Duration::from_secs(1);
        let turn = Turn { past, published: at(6), since: at(6), pacing };
        assert_eq!(stages.sent(&turn, at(9)), Duration::from_micros(2));
        assert_eq!(told(&stages), [4, 0, 0, 0, 2, 0, 3, 3, 2, 9]);
    }

    #[test]
    fn a_picture_from_the_future_was_taken_when_it_arrived() {
        let stages = Stages::default();
        let past = stages.published(at(60), &stamps(), at(18));
        let turn = Turn { past, published: at(18), since: at(18), pacing: Duration::ZERO };
        assert_eq!(stages.sent(&turn, at(20)), Duration::from_micros(20 - 5 - 7));
        assert_eq!(told(&stages), [0, 2, 3, 7, 1, 0, 2, 0, 8, 15]);
    }

    #[test]
    fn only_steps_that_were_taken_are_shown() {
        let stages = Stages::default();
        assert_eq!(Typical(stages.of(Step::Added)).to_string(), "unknown");
        stages.published(at(0), &stamps(), at(18));
        assert_eq!(
            stages.to_string(),
            "median/p99 in ms: capture 0.01/0.01, convert 0.00/0.00, wait 0.00/0.00, \
             encode 0.01/0.01, packetize 0.00/0.00"
        );
        let mut delays = Delays::default();
        (0..99).for_each(|_| delays.note(Duration::from_micros(400)));
        (0..2).for_each(|_| delays.note(Duration::from_millis(7)));
        // Told in steps.
        assert_eq!(Typical(delays).to_string(), "median 0.40 ms, p99 6.91 ms");
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
    }
}
