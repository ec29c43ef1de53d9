//! One task per stream that keeps its source running: what the [`Lifecycle`] says is done here.

use std::{fmt, sync::Arc};

use media::{Clock, I420Layout};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug, error, info, info_span, warn};
use v4l2::Trouble;

use super::lifecycle::{Ended, Lifecycle, Policy, Step};
use crate::{
    entropy::Entropy,
    live::{Condition, Mount, Publisher},
    pipeline::{self, End, Event, Pipeline, Purpose},
};

/// How a stream's source is started, as often as it has to be.
pub struct Recipe {
    /// A run of it.
    pub source: Box<dyn Fn() -> pipeline::Config + Send>,
    /// A card in the stream's size that says that there are no pictures. Needed where the policy
    /// wants one.
    pub card: Option<Card>,
    /// The size of the stream's pictures, where it is known before its source was ever open.
    pub layout: Option<I420Layout>,
}

/// A run that shows a card of this size.
pub type Card = Box<dyn Fn(I420Layout) -> pipeline::Config + Send>;

/// Keeps a stream's source. Dropping it ends the stream.
pub struct Keeper {
    mount: Arc<Mount>,
    recipe: Recipe,
    lifecycle: Lifecycle,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    /// Here while nobody publishes.
    publisher: Option<Box<Publisher>>,
    run: Option<Pipeline>,
    /// Whether the run has pictures, and waits for the publisher.
    is_run_ready: bool,
    card: Option<Pipeline>,
    /// Of the stream's pictures.
    layout: Option<I420Layout>,
    end: Option<End>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("lifecycle", &self.lifecycle).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Of a stream whose source does not run yet.
    pub fn new(
        recipe: Recipe,
        policy: Policy,
        publisher: Publisher,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
    ) -> Self {
        Self {
            mount: Arc::clone(publisher.mount()),
            layout: recipe.layout,
            recipe,
            lifecycle: Lifecycle::new(policy),
            clock,
            entropy,
            publisher: Some(Box::new(publisher)),
            run: None,
            is_run_ready: false,
            card: None,
            end: None,
        }
    }

    /// Runs until the source is over for good, or has stopped after `stop` was sent. `nodes`
    /// changes when a device may have appeared.
    pub async fn run(self, nodes: watch::Receiver<u64>, stop: watch::Receiver<bool>) -> End {
        let span = info_span!("stream", name = self.mount.name());
        self.keep(nodes, stop).instrument(span).await
    }

    async fn keep(
        mut self,
        mut nodes: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        let mut demand = self.mount.demand();
        loop {
            let now = Instant::now().into_std();
            self.lifecycle.watched(*demand.borrow_and_update() > 0, now);
            while let Some(step) = self.lifecycle.step(now) {
                self.take(step);
            }
            self.hand_over();
            self.report();
            if self.lifecycle.is_over() && self.run.is_none() && self.card.is_none() {
                // What went wrong before it was stopped has been said.
                let is_over = self.lifecycle.condition() == Condition::Over;
                let end = self.end.filter(|_| is_over).unwrap_or(End::Stopped);
                match &end {
                    End::Finished | End::Stopped => info!(reason = %end, "stream over"),
                    failure => error!(reason = %failure, "stream failed"),
                }
                return end;
            }
            let deadline = self.lifecycle.deadline();
            let wake_up = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as the mount.
                _ = demand.changed() => {}
                event = next(&mut self.run) => self.heard(event),
                event = next(&mut self.card) => self.heard_of_card(event),
                () = wake_up => {}
                Ok(()) = nodes.changed(), if self.lifecycle.is_waiting() => {
                    debug!("a device has appeared");
                    self.lifecycle.retry(Instant::now().into_std());
                }
                // Sent once; without a sender there is no server any more.
                _ = stop.changed(), if !self.lifecycle.is_closing() => self.lifecycle.close(),
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Try => self.start(Purpose::Try),
            Step::Start => self.start(Purpose::Serve),
            Step::Stop => self.run.iter_mut().for_each(Pipeline::stop),
            Step::ShowCard => {
                // Nobody knows how large it should be before there were pictures.
                if let (Some(layout), Some(card)) = (self.layout, &self.recipe.card)
                    && self.card.is_none()
                {
                    info!("a card is shown until the source is back");
                    let (card, clock) = (card(layout), self.clock.clone());
                    self.card = Some(Pipeline::start(card, Purpose::Serve, &self.mount, clock));
                }
            }
            Step::HideCard => self.card.iter_mut().for_each(Pipeline::stop),
        }
    }

    fn start(&mut self, purpose: Purpose) {
        self.mount.set_health(|health| health.starts += 1);
        let config = (self.recipe.source)();
        self.run = Some(Pipeline::start(config, purpose, &self.mount, self.clock.clone()));
    }

    /// Gives a run that has pictures the publisher, as soon as nobody else publishes.
    fn hand_over(&mut self) {
        let Some(run) = &self.run else { return };
        if self.is_run_ready
            && self.lifecycle.is_running()
            && let Some(publisher) = self.publisher.take()
        {
            self.is_run_ready = false;
            // Given back when the run is over already, which it will say.
            self.publisher = run.give(publisher).err();
        }
    }

    fn heard(&mut self, event: Event) {
        let now = Instant::now().into_std();
        match event {
            Event::Opened(description) => {
                if let capture::Description::Raw { layout, .. } = description {
                    self.layout = Some(layout);
                }
            }
            Event::Ready => {
                self.is_run_ready = true;
                if self.lifecycle.failures() > 0 {
                    info!("the source is back");
                }
                self.lifecycle.flows(now);
            }
            Event::Ended { end, publisher } => {
                self.run = None;
                self.is_run_ready = false;
                let was_flowing = self.lifecycle.condition() == Condition::Running;
                let was_wanted = !self.lifecycle.is_stopping();
                self.take_back(publisher);
                let how = match &end {
                    End::Finished => Ended::Finished,
                    End::Stopped => Ended::Stopped,
                    failure => Ended::Failed(trouble(failure)),
                };
                self.lifecycle.ended(how, self.entropy.u32(), now);
                if matches!(how, Ended::Failed(_)) && was_wanted {
                    self.failed(&end, was_flowing);
                }
                self.end = Some(end);
            }
        }
    }

    fn heard_of_card(&mut self, event: Event) {
        match event {
            Event::Opened(_) => {}
            Event::Ready => {
                let Some(card) = &self.card else { return };
                if let Some(publisher) = self.publisher.take() {
                    self.publisher = card.give(publisher).err();
                }
            }
            Event::Ended { end, publisher } => {
                self.card = None;
                self.take_back(publisher);
                if !matches!(end, End::Stopped) {
                    warn!(reason = %end, "there is no card");
                }
            }
        }
    }

    /// From a run that is over.
    fn take_back(&mut self, publisher: Option<Box<Publisher>>) {
        if let Some(mut publisher) = publisher {
            // What a camera's own H.264 is, it says itself.
            if let Some(announced) = publisher.announced() {
                let shown = announced.parameter_sets.description();
                self.layout = I420Layout::new(shown.width & !1, shown.height & !1).or(self.layout);
            }
            publisher.interrupt();
            self.publisher = Some(publisher);
        }
    }

    /// Tells what people should know of it, and does not tell it with every try.
    fn failed(&self, end: &End, was_running: bool) {
        let reason: Arc<str> = end.to_string().into();
        let mut is_new = false;
        self.mount.set_health(|health| {
            health.failures += 1;
            health.panics += u64::from(matches!(end, End::Panicked(_)));
            is_new = health.last_failure.as_ref() != Some(&reason);
            health.last_failure = Some(reason.clone());
        });
        if self.lifecycle.condition() == Condition::Over {
            // Said at the end.
            return;
        }
        let tries = self.lifecycle.failures();
        if was_running {
            warn!(%reason, "the source is lost; it is opened again as soon as it can be");
        } else if is_new || tries == 1 || tries.is_power_of_two() {
            warn!(%reason, tries, "the source cannot be opened; it is tried again");
        } else {
            debug!(%reason, tries, "not back yet");
        }
    }

    fn report(&self) {
        let condition = self.lifecycle.condition();
        if self.mount.health().borrow().condition != condition {
            debug!(?condition, "source");
            self.mount.set_health(|health| health.condition = condition);
        }
    }
}

async fn next(run: &mut Option<Pipeline>) -> Event {
    match run {
        Some(run) => run.event().await,
        None => std::future::pending().await,
    }
}

/// What kind of trouble a failure is.
fn trouble(end: &End) -> Trouble {
    match end {
        End::Source(error) => error.trouble(),
        End::Encoder(encode::Error::Unsupported { .. }) | End::NotEncoded { .. } => {
            Trouble::Unsupported
        }
        End::Encoder(encode::Error::Device(error)) => error.trouble(),
        End::Finished | End::Stopped | End::Encoder(_) | End::Thread(_) | End::Panicked(_) => {
            Trouble::Broken
        }
    }
}

#[cfg(test)]
mod tests;
