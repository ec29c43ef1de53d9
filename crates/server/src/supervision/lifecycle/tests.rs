use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const CAMERA: Policy = Policy {
    on_demand: true,
    linger: Duration::from_secs(10),
    retries: true,
    card_after: Some(Duration::from_secs(1)),
};

/// What a keeper sees of the world: at most one run, and a card.
#[derive(Debug)]
struct World {
    lifecycle: Lifecycle,
    now: Instant,
    run: Run,
    has_card: bool,
    /// By how much it wakes up too late.
    late: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Run {
    None,
    Trying,
    /// Its source is being opened, or hangs.
    Opening,
    /// It gives pictures.
    Open,
    Stopping,
}

impl World {
    fn new(policy: Policy) -> Self {
        let lifecycle = Lifecycle::new(policy);
        let (now, late) = (Instant::now(), Duration::ZERO);
        let mut world = Self { lifecycle, now, run: Run::None, has_card: false, late };
        world.settle();
        world
    }

    /// Does what the lifecycle says, and holds it to what can be done.
    fn settle(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = self.lifecycle.step(self.now) {
            match step {
                Step::Try | Step::Start => {
                    assert_eq!(self.run, Run::None, "a second run beside the first");
                    self.run = if step == Step::Try { Run::Trying } else { Run::Opening };
                }
                Step::Stop => {
                    let is_there = matches!(self.run, Run::Trying | Run::Opening | Run::Open);
                    assert!(is_there, "nothing to stop");
                    self.run = Run::Stopping;
                }
                Step::ShowCard => {
                    assert!(!self.has_card && self.run != Run::Open, "in whose place?");
                    assert_ne!(self.run, Run::Trying, "nobody watches");
                    self.has_card = true;
                }
                Step::HideCard => {
                    assert!(self.has_card, "there is no card");
                    self.has_card = false;
                }
            }
            steps.push(step);
            assert!(steps.len() < 8, "it never rests: {steps:?}");
        }
        steps
    }

    fn watch(&mut self, is_watched: bool) -> Vec<Step> {
        self.lifecycle.watched(is_watched, self.now);
        self.settle()
    }

    fn flow(&mut self) -> Vec<Step> {
        if self.run == Run::Opening {
            self.run = Run::Open;
        }
        self.lifecycle.flows(self.now);
        self.settle()
    }

    fn end(&mut self, how: Ended) -> Vec<Step> {
        self.run = Run::None;
        self.lifecycle.ended(how, 0, self.now);
        self.settle()
    }

    fn fail(&mut self) -> Vec<Step> {
        self.end(Ended::Failed(Trouble::Gone))
    }

    /// Sleeps as the keeper does: to the deadlines, one after the other.
    fn pass(&mut self, time: Duration) -> Vec<Step> {
        let end = self.now + time;
        let mut steps = Vec::new();
        while let Some(deadline) = self.lifecycle.deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "a deadline that has passed and changes nothing");
            // Timers are late.
            self.now = deadline + self.late;
            let now = self.settle();
            assert!(self.lifecycle.deadline().is_none_or(|next| next > self.now), "it would spin");
            steps.extend(now);
        }
        self.now = self.now.max(end);
        assert_eq!(self.settle(), [], "it would have slept too long");
        steps
    }

    /// Opened once, and closed since nobody watches.
    fn idle(policy: Policy) -> Self {
        let mut world = Self::new(policy);
        assert_eq!(world.run, Run::Trying);
        assert_eq!(world.lifecycle.condition(), Condition::Starting);
        assert_eq!(world.end(Ended::Stopped), []);
        assert_eq!(world.lifecycle.condition(), Condition::Idle);
        world
    }

    fn running(policy: Policy) -> Self {
        let mut world = Self::idle(policy);
        assert_eq!(world.watch(true), [Step::Start]);
        assert_eq!(world.flow(), []);
        world
    }
}

#[test]
fn it_is_opened_once_at_the_start_and_then_off_while_nobody_watches() {
    let mut world = World::idle(CAMERA);
    assert_eq!(world.pass(1_000 * SECOND), []);
    assert_eq!(world.lifecycle.deadline(), None);
}

#[test]
fn who_comes_while_it_is_tried_waits_for_that() {
    let mut world = World::new(CAMERA);
    assert_eq!(world.watch(true), [], "a device can be opened once");
    assert_eq!(world.end(Ended::Stopped), [Step::Start]);
}

#[test]
fn what_does_not_run_on_demand_is_not_tried_and_runs_on() {
    let mut world = World::new(Policy { on_demand: false, ..CAMERA });
    assert_eq!(world.run, Run::Opening);
    assert_eq!(world.flow(), []);
    world.watch(true);
    world.watch(false);
    assert_eq!(world.pass(1_000 * SECOND), []);
    assert!(world.lifecycle.is_running());
}

#[test]
fn it_runs_on_for_a_while_when_the_last_viewer_has_left() {
    let mut world = World::running(CAMERA);
    world.watch(false);
    assert_eq!(world.pass(CAMERA.linger - SECOND), []);
    world.watch(true);
    assert_eq!(world.pass(2 * CAMERA.linger), []);
    world.watch(false);
    assert_eq!(world.pass(CAMERA.linger), [Step::Stop]);
    assert_eq!(world.end(Ended::Stopped), []);
}

#[test]
fn who_comes_while_it_stops_gets_a_run_of_its_own() {
    let mut world = World::running(CAMERA);
    world.watch(false);
    assert_eq!(world.pass(CAMERA.linger), [Step::Stop]);
    assert_eq!(world.watch(true), [], "the device is not free yet");
    assert_eq!(world.end(Ended::Stopped), [Step::Start]);
}

#[test]
fn who_leaves_while_it_starts_lets_it_linger() {
    let mut world = World::idle(CAMERA);
    world.watch(true);
    world.watch(false);
    assert_eq!(world.pass(SECOND), []);
    assert_eq!(world.flow(), []);
    assert_eq!(world.pass(CAMERA.linger), [Step::Stop]);
}

#[test]
fn nobody_waits_for_ever_for_a_source_that_hangs() {
    let mut world = World::idle(CAMERA);
    world.watch(true);
    world.pass(100 * SECOND);
    world.watch(false);
    assert_eq!(world.pass(CAMERA.linger), [Step::Stop]);
    assert_eq!(world.end(Ended::Failed(Trouble::Broken)), []);
    assert_eq!(world.lifecycle.condition(), Condition::Idle);
}

#[test]
fn tries_are_ever_further_apart_up_to_a_limit_and_at_random() {
    let times = |trouble, random| (1..=9).map(move |n| pause(n, trouble, random).as_millis());
    assert!(times(Trouble::Gone, 0).eq([250, 500, 1000, 1000, 1000, 1000, 1000, 1000, 1000]));
    assert!(times(Trouble::Gone, u32::MAX).eq([125, 250, 500, 500, 500, 500, 500, 500, 500]));
    assert_eq!(times(Trouble::Forbidden, 0).max(), Some(10_000));
    assert_eq!(pause(u32::MAX, Trouble::Unsupported, 0), Duration::from_secs(30));
}

#[test]
fn a_source_that_ran_for_long_is_tried_again_soon() {
    let mut world = World::running(CAMERA);
    for _ in 0..5 {
        world.fail();
        world.pass(2 * SECOND);
        assert_eq!(world.run, Run::Opening);
    }
    assert_eq!(world.lifecycle.failures(), 5);
    world.pass(HEALTHY);
    world.fail();
    assert_eq!(world.lifecycle.failures(), 6, "it was open, and gave nothing");
    world.pass(2 * SECOND);
    world.flow();
    world.pass(HEALTHY);
    world.fail();
    assert_eq!(world.lifecycle.failures(), 1);
    assert!(world.pass(SHORTEST_PAUSE).contains(&Step::Start));
}

#[test]
fn what_has_run_is_never_taken_for_unsupported() {
    let longest_after = |mut world: World| {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            world.end(Ended::Failed(Trouble::Unsupported));
            let until = world.lifecycle.deadline().expect("it is tried again");
            longest = longest.max(until - world.now);
            world.pass(until - world.now);
        }
        longest
    };
    let mut untried = World::idle(Policy { card_after: None, ..CAMERA });
    untried.watch(true);
    assert_eq!(longest_after(untried), longest_pause(Trouble::Unsupported));
    let running = World::running(Policy { card_after: None, ..CAMERA });
    assert_eq!(longest_after(running), longest_pause(Trouble::Broken));
}

#[test]
fn a_node_that_appears_is_tried_at_once() {
    let mut world = World::running(Policy { card_after: None, ..CAMERA });
    for _ in 0..4 {
        world.fail();
        world.pass(2 * SECOND);
    }
    world.fail();
    world.lifecycle.retry(world.now);
    assert_eq!(world.pass(SETTLE), [Step::Start]);
}

#[test]
fn nobody_tries_for_nobody() {
    let mut world = World::new(CAMERA);
    assert_eq!(world.fail(), [], "said once, at the start");
    assert_eq!(world.pass(1_000 * SECOND), []);
    assert_eq!(world.watch(true), [Step::Start]);
    world.fail();
    world.watch(false);
    assert!(world.pass(CAMERA.linger).contains(&Step::ShowCard));
    assert!(!world.has_card, "it is for viewers");
    world.fail();
    assert_eq!(world.pass(1_000 * SECOND), []);
}

#[test]
fn a_card_takes_the_place_of_pictures_until_they_are_back() {
    let mut world = World::running(CAMERA);
    world.fail();
    let steps = world.pass(SECOND);
    assert_eq!(steps, [Step::Start, Step::ShowCard], "tried, and then too late");
    assert_eq!(world.fail(), [], "it stays");
    assert_eq!(world.pass(2 * SECOND), [Step::Start]);
    assert_eq!(world.pass(100 * SECOND), [], "it may be open by now, and hang");
    assert_eq!(world.flow(), [Step::HideCard]);
    assert_eq!(world.pass(100 * SECOND), []);
}

#[test]
fn a_source_that_opens_and_gives_nothing_is_away_all_the_while() {
    let mut world = World::running(CAMERA);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        world.fail();
        let (failed, mut waited) = (world.now, Duration::ZERO);
        while world.run != Run::Opening {
            world.pass(Duration::from_millis(50));
            waited = world.now - failed;
        }
        pauses.push(waited);
        assert_eq!(world.lifecycle.condition(), Condition::Away);
        world.pass(5 * SECOND);
        assert!(world.has_card, "nothing else can be seen");
    }
    assert!(pauses.is_sorted() && pauses[5] >= longest_pause(Trouble::Gone), "{pauses:?}");
}

#[test]
fn a_healthy_run_that_stops_on_demand_has_made_good() {
    let mut world = World::running(CAMERA);
    world.fail();
    world.pass(SHORTEST_PAUSE);
    world.flow();
    world.watch(false);
    assert_eq!(world.pass(CAMERA.linger), [Step::Stop]);
    world.end(Ended::Stopped);
    assert_eq!(world.lifecycle.failures(), 0);
}

#[test]
fn who_wakes_late_does_not_spin() {
    let mut world = World::running(CAMERA);
    world.late = CAMERA.linger;
    world.fail();
    world.watch(false);
    world.pass(60 * SECOND);
    assert_eq!(world.lifecycle.deadline(), None);
}

#[test]
fn a_short_blink_shows_no_card() {
    let mut world = World::running(CAMERA);
    world.fail();
    assert_eq!(world.pass(SHORTEST_PAUSE), [Step::Start]);
    assert_eq!(world.flow(), []);
    assert_eq!(world.pass(100 * SECOND), []);
}

#[test]
fn a_regular_end_is_the_end_and_so_is_a_failure_of_what_cannot_be_opened_again() {
    let mut world = World::running(CAMERA);
    assert_eq!(world.end(Ended::Finished), []);
    assert!(world.lifecycle.is_over());
    assert_eq!(world.watch(false), []);
    assert_eq!(world.watch(true), []);

    let mut world = World::new(Policy { on_demand: false, retries: false, ..CAMERA });
    world.flow();
    world.fail();
    assert!(world.lifecycle.is_over());
}

#[test]
fn a_closing_server_stops_what_runs_and_starts_nothing() {
    for prepare in [
        |world: &mut World| drop(world.flow()),
        |_: &mut World| {},
        |world: &mut World| {
            world.fail();
            world.pass(SECOND);
        },
    ] {
        let mut world = World::idle(CAMERA);
        world.watch(true);
        prepare(&mut world);
        world.lifecycle.close();
        world.settle();
        if world.run != Run::None {
            assert_eq!(world.run, Run::Stopping);
            assert!(!world.lifecycle.is_over());
            assert_eq!(world.end(Ended::Stopped), []);
        }
        assert!(world.lifecycle.is_over() && !world.has_card);
    }
}

/// What may happen, in whichever order.
#[derive(Clone, Copy, Debug)]
enum Input {
    Watch(bool),
    Flow,
    End(Ended),
    Retry,
    Pass(Duration),
    Close,
}

const INPUTS: [Input; 12] = [
    Input::Watch(true),
    Input::Watch(false),
    Input::Flow,
    Input::End(Ended::Stopped),
    Input::End(Ended::Failed(Trouble::Gone)),
    Input::End(Ended::Failed(Trouble::Unsupported)),
    Input::Retry,
    Input::Pass(Duration::from_millis(100)),
    Input::Pass(Duration::from_secs(3)),
    Input::Pass(Duration::from_secs(11)),
    // Those after which little else happens.
    Input::End(Ended::Finished),
    Input::Close,
];

/// Does it, where it can happen; then holds what must always hold.
fn happen(world: &mut World, input: Input, policy: &Policy) {
    match (input, world.run) {
        (Input::Watch(is_watched), _) => drop(world.watch(is_watched)),
        (Input::Flow, Run::Opening) => drop(world.flow()),
        // Said before it heard that it is to stop.
        (Input::Flow, Run::Stopping) => world.lifecycle.flows(world.now),
        (Input::Flow, _) => {}
        (Input::End(Ended::Stopped), Run::Opening | Run::Open) => {}
        (Input::End(Ended::Finished), Run::Trying) => {}
        (Input::End(how), run) if run != Run::None => drop(world.end(how)),
        (Input::Retry, _) => world.lifecycle.retry(world.now),
        (Input::Pass(time), _) => drop(world.pass(time)),
        (Input::Close, _) => {
            world.lifecycle.close();
            world.settle();
        }
        (Input::End(_), _) => {}
    }
    let lifecycle = &world.lifecycle;
    let is_over = lifecycle.condition() == Condition::Over;
    assert_eq!(lifecycle.is_running(), world.run == Run::Open, "{world:?}");
    assert_eq!(lifecycle.has_card, world.has_card);
    if lifecycle.is_watched && !is_over && !lifecycle.is_closing && world.run == Run::None {
        assert!(lifecycle.deadline().is_some(), "nobody will ever start it: {world:?}");
    }
    let is_served = matches!(world.run, Run::Opening | Run::Open);
    if policy.on_demand && !lifecycle.is_watched && is_served {
        assert!(lifecycle.deadline().is_some(), "nobody will ever stop it: {world:?}");
    }
    if world.has_card {
        assert!(lifecycle.is_wanted(world.now) && world.run != Run::Open, "{world:?}");
    }
    if lifecycle.is_closing {
        assert!(matches!(world.run, Run::None | Run::Stopping), "{world:?}");
    }
    if is_over || lifecycle.is_over() {
        assert!(world.run == Run::None && !world.has_card, "{world:?}");
    }
}

/// Every order of up to six things that may happen; orders that lead to the same are followed once.
#[test]
fn every_interleaving_is_right() {
    for policy in [
        CAMERA,
        Policy { on_demand: false, ..CAMERA },
        Policy { card_after: None, ..CAMERA },
        Policy { retries: false, ..CAMERA },
    ] {
        let mut ways: Vec<Vec<Input>> = vec![Vec::new()];
        let mut seen = HashSet::new();
        for _ in 0..6 {
            let mut longer = Vec::new();
            for way in ways {
                for input in INPUTS {
                    let mut world = World::new(policy);
                    let start = world.now;
                    for step in way.iter().chain([&input]) {
                        happen(&mut world, *step, &policy);
                    }
                    let lifecycle = &world.lifecycle;
                    let after = |at: Option<Instant>| at.map(|at| at - start);
                    let place = (
                        format!("{:?}", lifecycle.condition()),
                        (world.run, world.has_card, lifecycle.is_watched, lifecycle.is_closing),
                        (after(lifecycle.left), after(lifecycle.away), lifecycle.failures),
                        (after(lifecycle.deadline()), world.now - start),
                        (format!("{:?}", lifecycle.state), lifecycle.has_run, lifecycle.is_untried),
                    );
                    if seen.insert(place) {
                        longer.push([&way[..], &[input]].concat());
                    }
                }
            }
            ways = longer;
        }
        assert!(seen.len() > 1_000, "{} places are too few to mean anything", seen.len());
    }
}

proptest! {
    #[test]
    fn long_lives_are_right(
        inputs in prop::collection::vec(prop::sample::select(&INPUTS[..10]), 0..200),
        on_demand: bool,
        with_card: bool,
        late in 0..500u64,
    ) {
        let card_after = with_card.then_some(SECOND);
        let policy = Policy { on_demand, card_after, ..CAMERA };
        let mut world = World::new(policy);
        world.late = Duration::from_millis(late);
        for input in inputs {
            happen(&mut world, input, &policy);
        }
        // Whatever was: who watches gets pictures when the source can be opened, unless it is over.
        world.watch(true);
        for _ in 0..4 {
            world.pass(31 * SECOND);
            match world.run {
                Run::Opening => drop(world.flow()),
                Run::Trying | Run::Stopping => drop(world.end(Ended::Stopped)),
                Run::None | Run::Open => {}
            }
        }
        let is_over = world.lifecycle.condition() == Condition::Over;
        prop_assert!(is_over || world.run == Run::Open, "{world:?}");
        world.lifecycle.close();
        world.settle();
        if world.run != Run::None {
            world.end(Ended::Stopped);
        }
        prop_assert!(world.lifecycle.is_over());
    }
}
