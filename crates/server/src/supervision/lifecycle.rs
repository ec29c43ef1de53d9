//! When a source runs: on demand, again after a failure, and not at all when it is over.
//!
//! ```text
//!               wanted              first picture
//!    ┌─ Idle ─────────▶ Starting ─────────────────▶ Running ─┐
//!    │  ▲ ▲ │              ▲  │ │                     │ │    │ nobody wants it,
//!    │  │ │ │ untried      │  │ │ nobody wants it     │ │    │ after a while
//!    │  │ │ ▼              │  │ └─────────────────────┼─┼──▶ ▼
//!    │  │ Trying   Waiting ┘  │ failed                │ │ Stopping
//!    │  │   │         ▲ ◀─────┴───────────────────────┘ │    │
//!    │  │   └ failed ─┘                                 │    │
//!    │  └───────────────────── stopped ─────────────────┼────┘
//!    └──────────────────────── regular end ─────────────┴──▶ Over
//! ```
//!
//! Pure: told what happens and when, it says what to do ([`Lifecycle::step`]) and when to ask again
//! ([`Lifecycle::deadline`]). It never asks for a second run beside the first: a device can be
//! opened once.

use std::time::{Duration, Instant};

use v4l2::Trouble;

use crate::live::Condition;

/// How a source is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether it runs only while somebody watches.
    pub on_demand: bool,
    /// For how long it runs on when nobody watches any more: who changes a player's settings comes
    /// back, and finds the stream warm.
    pub linger: Duration,
    /// Whether it is started again after a failure. A pipe cannot be.
    pub retries: bool,
    /// After how long without pictures a card takes their place; `None`: never.
    pub card_after: Option<Duration>,
}

/// What is to be done. Each is said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Open the source and close it again.
    Try,
    /// Start a run.
    Start,
    /// Stop the run.
    Stop,
    /// Show the card.
    ShowCard,
    /// Take the card away.
    HideCard,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is no more, as at the end of a pipe.
    Finished,
    /// It was told to stop.
    Stopped,
    /// It failed.
    Failed(Trouble),
}

/// A source's life. See the module.
#[derive(Debug)]
pub struct Lifecycle {
    policy: Policy,
    state: State,
    /// Somebody watches, or waits to.
    is_watched: bool,
    /// Since when nobody has; `None` when nobody ever did.
    left: Option<Instant>,
    /// It is to be opened once, to see whether it can be.
    is_untried: bool,
    /// It has given pictures: what it is asked for can be done.
    has_run: bool,
    /// The server ends.
    is_closing: bool,
    /// In a row.
    failures: u32,
    /// Since when there have been no pictures although there should be.
    away: Option<Instant>,
    has_card: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Trying,
    /// Its source is being opened, or is open and has given no picture yet: it may just as well hang.
    Starting,
    Running {
        since: Instant,
    },
    Stopping,
    Waiting {
        until: Instant,
    },
    Over,
}

impl Lifecycle {
    /// Of a source that nobody watches yet. One that runs on demand is opened at once, and closed
    /// again: what is wrong with it is known before somebody waits.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Idle,
            is_watched: false,
            left: None,
            is_untried: true,
            has_run: false,
            is_closing: false,
            failures: 0,
            away: None,
            has_card: false,
        }
    }

    /// Somebody watches from now on, or nobody does.
    pub fn watched(&mut self, is_watched: bool, now: Instant) {
        if self.is_watched && !is_watched {
            self.left = Some(now);
        }
        self.is_watched = is_watched;
    }

    /// The run has given its first picture.
    pub fn flows(&mut self, now: Instant) {
        if self.state == State::Starting {
            self.state = State::Running { since: now };
            self.has_run = true;
            self.away = None;
        }
    }

    /// The run is over. `random` is any number, so that many servers do not try in step.
    pub fn ended(&mut self, how: Ended, random: u32, now: Instant) {
        self.state = match (self.state, how) {
            // No run, no end.
            (state @ (State::Idle | State::Waiting { .. } | State::Over), _) => state,
            (_, Ended::Finished) => State::Over,
            // It could be opened; or whatever it was, it was not wanted any more.
            (State::Trying, Ended::Stopped) | (State::Stopping, _) => State::Idle,
            _ if !self.policy.retries => State::Over,
            (state, how) => {
                self.forgive(state, now);
                let trouble = match how {
                    // Drivers in trouble say EINVAL as well.
                    Ended::Failed(Trouble::Unsupported) if self.has_run => Trouble::Broken,
                    Ended::Failed(trouble) => trouble,
                    Ended::Finished | Ended::Stopped => Trouble::Broken,
                };
                self.failures = self.failures.saturating_add(1);
                self.away.get_or_insert(now);
                State::Waiting { until: now + pause(self.failures, trouble, random) }
            }
        };
        if self.state == State::Over {
            self.away = None;
        }
    }

    /// A device has appeared: it may be worth a try.
    pub fn retry(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = (*until).min(now + SETTLE);
        }
    }

    /// The server ends.
    pub fn close(&mut self) {
        self.is_closing = true;
    }

    /// Whether the server ends.
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// What is to be done next; to be asked again until there is nothing.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        let is_wanted = self.is_wanted(now);
        if self.has_card && !self.wants_card(now) {
            self.has_card = false;
            if !is_wanted {
                // Nobody misses anything any more.
                self.away = None;
            }
            return Some(Step::HideCard);
        }
        match self.state {
            State::Idle if is_wanted => return Some(self.start()),
            State::Idle if self.is_untried && !self.is_closing => {
                self.is_untried = false;
                self.state = State::Trying;
                return Some(Step::Try);
            }
            State::Waiting { until } if is_wanted && now >= until => return Some(self.start()),
            State::Waiting { .. } if !is_wanted => {
                self.state = State::Idle;
                self.away = None;
            }
            State::Trying if self.is_closing => return Some(self.stop(now)),
            State::Starting | State::Running { .. } if !is_wanted => return Some(self.stop(now)),
            _ => {}
        }
        if !self.has_card && self.wants_card(now) {
            self.has_card = true;
            return Some(Step::ShowCard);
        }
        None
    }

    /// When to ask again if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let retry = match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        };
        let left = self.left.filter(|_| self.policy.on_demand && !self.is_watched);
        let lonely = match self.state {
            State::Starting | State::Running { .. } | State::Waiting { .. } => {
                left.map(|at| at + self.policy.linger)
            }
            _ => None,
        };
        let card = match (self.away, self.policy.card_after) {
            (Some(away), Some(after)) if !self.has_card => {
                Some(away + after).filter(|due| self.is_wanted(*due))
            }
            _ => None,
        };
        [retry, lonely, card].into_iter().flatten().min()
    }

    /// Whether a run gives pictures.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether the run is not wanted any more, and not over yet.
    pub fn is_stopping(&self) -> bool {
        self.state == State::Stopping
    }

    /// Whether a source that comes back is waited for.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Whether nothing will happen any more.
    pub fn is_over(&self) -> bool {
        let is_at_rest = matches!(self.state, State::Idle | State::Over);
        !self.has_card && (self.state == State::Over || self.is_closing && is_at_rest)
    }

    /// Failures in a row, since it last ran for a while.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Where it stands.
    pub fn condition(&self) -> Condition {
        match self.state {
            State::Idle => Condition::Idle,
            State::Trying => Condition::Starting,
            State::Starting if self.away.is_none() => Condition::Starting,
            State::Starting | State::Waiting { .. } => Condition::Away,
            State::Running { .. } | State::Stopping => Condition::Running,
            State::Over => Condition::Over,
        }
    }

    fn is_wanted(&self, now: Instant) -> bool {
        let lingers = || self.left.is_some_and(|left| now < left + self.policy.linger);
        !self.is_closing && (!self.policy.on_demand || self.is_watched || lingers())
    }

    fn wants_card(&self, now: Instant) -> bool {
        let (Some(away), Some(after)) = (self.away, self.policy.card_after) else { return false };
        self.is_wanted(now) && now >= away + after
    }

    /// What has run for a while has not failed in a row.
    fn forgive(&mut self, state: State, now: Instant) {
        if let State::Running { since } = state
            && now.saturating_duration_since(since) >= HEALTHY
        {
            self.failures = 0;
        }
    }

    fn start(&mut self) -> Step {
        self.is_untried = false;
        self.state = State::Starting;
        Step::Start
    }

    fn stop(&mut self, now: Instant) -> Step {
        self.forgive(self.state, now);
        self.state = State::Stopping;
        self.away = None;
        Step::Stop
    }
}

/// Doubled with each failure, and shortened at random by up to a half.
fn pause(failures: u32, trouble: Trouble, random: u32) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(longest_pause(trouble));
    let share = f64::from(random) / f64::from(u32::MAX);
    pause.mul_f64(1.0 - share / 2.0)
}

/// Between two tries.
fn longest_pause(trouble: Trouble) -> Duration {
    match trouble {
        // Cheap to ask for, and awaited by those who watch.
        Trouble::Gone | Trouble::Busy | Trouble::Broken => Duration::from_secs(1),
        Trouble::Forbidden => Duration::from_secs(10),
        // Only another device would do, or another setting.
        Trouble::Unsupported => Duration::from_secs(30),
    }
}

/// Before the first try: a bus that was reset needs about as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// Between a node's appearance and the try: the system sets its permissions meanwhile.
const SETTLE: Duration = Duration::from_millis(50);
/// A source that has run so long before it failed is not failing in a row: who watches one that fails
/// now and then sees most of it.
const HEALTHY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
