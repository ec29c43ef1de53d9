//! Where a run is given the stream's one publisher, so that it is never lost: whoever comes too late
//! keeps it, and what nobody has taken is there at the end.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::live::Publisher;

/// The place, for one publisher.
#[derive(Debug, Default)]
pub(super) struct Handover {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    publisher: Option<Box<Publisher>>,
    is_closed: bool,
}

impl Handover {
    /// Gives it to the run.
    ///
    /// # Errors
    ///
    /// The publisher, when the run does not take it any more.
    pub(super) fn give(&self, publisher: Box<Publisher>) -> Result<(), Box<Publisher>> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(publisher);
        }
        state.publisher = Some(publisher);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes it; waits for it until there is no hope any more, but no longer than `patience`.
    pub(super) fn wait(&self, patience: Duration) -> Option<Box<Publisher>> {
        let is_due = |state: &mut State| state.publisher.is_none() && !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_due);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.publisher.take()
    }

    /// Nothing is given any more, and nobody waits.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Closes it; what was given and not taken.
    pub(super) fn clear(&self) -> Option<Box<Publisher>> {
        self.close();
        self.lock().publisher.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::mount::{Start, tests::Stream};

    const LONG: Duration = Duration::from_secs(60);

    fn publisher() -> Box<Publisher> {
        Box::new(Stream::new(Start::OnDemand).publisher)
    }

    #[tokio::test]
    async fn it_is_given_once_and_to_who_waits() {
        let handover = Handover::default();
        assert!(handover.wait(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| handover.wait(LONG));
            handover.give(publisher()).unwrap();
            assert!(waiting.join().unwrap().is_some());
        });
        assert!(handover.clear().is_none());
    }

    #[tokio::test]
    async fn it_is_lost_by_nobody() {
        let handover = Handover::default();
        handover.give(publisher()).unwrap();
        handover.close();
        assert!(handover.clear().is_some(), "given in time, and not taken");
        assert!(handover.give(publisher()).is_err(), "too late");
        assert!(handover.clear().is_none());
    }

    #[tokio::test]
    async fn nobody_waits_in_vain() {
        let handover = Handover::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| handover.wait(LONG));
            handover.close();
            assert!(waiting.join().unwrap().is_none());
        });
    }
}
