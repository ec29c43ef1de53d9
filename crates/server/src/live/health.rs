//! How the source of a stream does, as people are told it.

use std::sync::Arc;

/// Where a source stands, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nobody watches, and it does not run.
    Idle,
    /// It is being opened, or has given no picture yet.
    #[default]
    Starting,
    /// It gives pictures.
    Running,
    /// It has failed, and is tried again.
    Away,
    /// It is over for good.
    Over,
}

/// How a stream's source does, for people.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Where it stands.
    pub condition: Condition,
    /// How often it has been started.
    pub starts: u64,
    /// How often it has failed.
    pub failures: u64,
    /// How many of these were panics.
    pub panics: u64,
    /// Why it failed last.
    pub last_failure: Option<Arc<str>>,
}
