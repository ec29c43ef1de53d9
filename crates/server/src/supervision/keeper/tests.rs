use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use capture::{Captured, Description, Source};
use media::{AccessUnit, Colours, FramePool, FrameRate};
use rtp_packetizer::Sequence;
use tokio::time::timeout;

use super::*;
use crate::{
    clock::SystemClock,
    live::{
        Cursor, Picture, Stage,
        mount::{Identity, Start, tests::identity},
    },
};

/// What a source does when it is asked for a picture.
#[derive(Clone, Copy, Debug)]
enum Act {
    Keyframe,
    Delta,
    /// A plain picture of 320x240.
    Raw,
    Fail,
    Panic,
    Finish,
    /// Goes on when what was before has been seen.
    Seen,
    /// Nothing, until it is stopped.
    Hold,
}
use Act::{Delta, Fail, Finish, Hold, Keyframe, Panic, Raw, Seen};

/// Runs of a source, each as it is scripted; one without a script cannot be opened.
#[derive(Default)]
struct Script {
    runs: Mutex<VecDeque<Vec<Act>>>,
    description: Option<Description>,
    opened: AtomicUsize,
    asked: AtomicUsize,
    open_now: AtomicUsize,
    is_seen: AtomicBool,
}

struct Scripted {
    script: Arc<Script>,
    acts: VecDeque<Act>,
    description: Description,
    stop: Arc<AtomicBool>,
}

impl Source for Scripted {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, capture::Error> {
        self.script.asked.fetch_add(1, Ordering::SeqCst);
        let unit = |nal: u8| {
            let time = SystemClock.now();
            Ok(Some(Captured::Encoded(AccessUnit::from_annexb(
                [&[0, 0, 1][..], SPS, &[0, 0, 1], PPS, &[0, 0, 1, nal, 0x88]].concat().into(),
                time,
            ))))
        };
        let mut act = self.acts.pop_front().unwrap_or(Hold);
        if matches!(act, Seen) {
            while !self.script.is_seen.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            act = self.acts.pop_front().unwrap_or(Hold);
        }
        match act {
            Keyframe => unit(0x65),
            Delta => unit(0x41),
            Raw => {
                let mut pool = FramePool::new(I420Layout::new(320, 240).unwrap(), 1);
                Ok(pool.take(SystemClock.now()).map(Captured::Raw))
            }
            Fail => Err(gone()),
            Panic => panic!("on purpose"),
            Finish => Ok(None),
            // One of these is enough.
            Hold | Seen => {
                while !self.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(None)
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.script.open_now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn gone() -> capture::Error {
    capture::Error::Unavailable {
        path: "v4l2:test".into(),
        trouble: Trouble::Gone,
        reason: "unplugged".into(),
        remedy: None,
    }
}

/// A kept stream, and what a test sees of it.
struct Kept {
    script: Arc<Script>,
    mount: Arc<Mount>,
    stop: watch::Sender<bool>,
    _nodes: watch::Sender<u64>,
    task: tokio::task::JoinHandle<End>,
}

impl Kept {
    fn start(runs: &[&[Act]], policy: Policy) -> Self {
        Self::start_as(None, runs, policy)
    }

    fn start_as(description: Option<Description>, runs: &[&[Act]], policy: Policy) -> Self {
        let runs = Mutex::new(runs.iter().map(|acts| acts.to_vec()).collect());
        let script = Arc::new(Script { runs, description, ..Script::default() });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // Nothing wraps here.
        let identity = Identity { first_sequence: Sequence(100), ..identity() };
        let start = Start::Cached { span: Duration::from_secs(2), bytes: 1 << 20 };
        let (mount, publisher) = Mount::new(identity, start, clock.clone()).unwrap();
        let own = script.clone();
        let card_clock = clock.clone();
        let recipe = Recipe {
            source: Box::new(move || run_of(&own)),
            card: Some(Box::new(move |layout| card(layout, card_clock.clone()))),
            layout: None,
        };
        let keeper = Keeper::new(recipe, policy, publisher, clock, Entropy::from_system());
        let (stop, stopped) = watch::channel(false);
        let (nodes, appeared) = watch::channel(0);
        let task = tokio::spawn(keeper.run(appeared, stopped));
        Self { script, mount, stop, _nodes: nodes, task }
    }

    fn join(&self) -> Cursor {
        self.mount.join(SystemClock.now())
    }

    async fn next(&self, cursor: &mut Cursor) -> Arc<Picture> {
        let mut published = self.mount.subscribe();
        let read = async {
            loop {
                published.mark_unchanged();
                if let Some(delivery) = self.mount.read(cursor) {
                    return delivery.entry;
                }
                published.changed().await.expect("the mount lives");
            }
        };
        timeout(LIMIT, read).await.expect("a picture comes in time")
    }

    async fn until(&self, condition: Condition) {
        let mut health = self.mount.health();
        let reached = health.wait_for(|health| health.condition == condition);
        timeout(LIMIT, reached).await.expect("it comes to it in time").expect("the mount lives");
    }

    async fn end(self) -> End {
        self.stop.send_replace(true);
        let end = timeout(LIMIT, self.task).await.expect("it stops in time").expect("no panic");
        assert_eq!(self.script.open_now.load(Ordering::SeqCst), 0, "its device is free");
        assert!(matches!(*self.mount.stage().borrow(), Stage::Ended));
        end
    }
}

fn run_of(script: &Arc<Script>) -> pipeline::Config {
    let stop = Arc::new(AtomicBool::new(false));
    let (script, stopped) = (script.clone(), stop.clone());
    let h264 = Description::H264 { parameter_sets: None, rate: None };
    pipeline::Config {
        open: Box::new(move || {
            let acts = script.runs.lock().unwrap().pop_front().ok_or_else(gone)?.into();
            script.opened.fetch_add(1, Ordering::SeqCst);
            script.open_now.fetch_add(1, Ordering::SeqCst);
            let description = script.description.clone().unwrap_or(h264);
            Ok(Box::new(Scripted { script, acts, description, stop: stopped }))
        }),
        encoding: Some(Box::new(|layout, rate| encode::Config::new(layout, rate, 200_000, 10))),
        encoder: encode::Choice::Openh264,
        wake: Some(Box::new(move || stop.store(true, Ordering::SeqCst))),
    }
}

fn card(layout: I420Layout, clock: Arc<dyn Clock>) -> pipeline::Config {
    let rate = FrameRate::new(20, 1).unwrap();
    let config = capture::synthetic::Config { layout, rate, title: "no signal".to_owned() };
    let encoder = encode::Config::new(layout, rate, 200_000, 20);
    pipeline::Config {
        open: Box::new(move || {
            Ok(Box::new(capture::synthetic::TestCard::new(config, clock).expect("large enough")))
        }),
        encoding: Some(Box::new(move |_, _| encoder)),
        encoder: encode::Choice::Openh264,
        wake: None,
    }
}

#[tokio::test]
async fn a_source_that_nobody_watches_is_opened_once_and_gives_no_picture() {
    let kept = Kept::start(&[&[Keyframe], &[Keyframe]], ON_DEMAND);
    kept.until(Condition::Idle).await;
    assert_eq!(kept.script.opened.load(Ordering::SeqCst), 1);
    assert_eq!(kept.script.asked.load(Ordering::SeqCst), 0, "a camera would have streamed");
    assert_eq!(kept.script.open_now.load(Ordering::SeqCst), 0);
    let mut cursor = kept.join();
    assert!(kept.next(&mut cursor).await.batch.is_keyframe());
    drop(cursor);
    kept.until(Condition::Idle).await;
    assert!(matches!(kept.end().await, End::Stopped));
}

#[tokio::test]
async fn a_wish_alone_makes_it_run() {
    let kept = Kept::start(&[&[Keyframe], &[Keyframe]], ON_DEMAND);
    kept.until(Condition::Idle).await;
    let wish = kept.mount.want();
    let mut stage = kept.mount.stage();
    let live = stage.wait_for(|stage| matches!(stage, Stage::Live(_)));
    timeout(LIMIT, live).await.expect("in time").expect("the mount lives");
    drop(wish);
    kept.until(Condition::Idle).await;
    assert!(matches!(*kept.mount.stage().borrow(), Stage::Dark), "nothing can be seen now");
    kept.end().await;
}

#[tokio::test]
async fn viewers_stay_when_a_source_fails_and_go_on_with_its_next_keyframe() {
    // Delta: a camera may begin in the middle.
    let kept = Kept::start(&[&[Keyframe, Delta, Seen, Fail], &[Delta, Keyframe, Delta]], ALWAYS);
    let mut cursor = kept.join();
    let mut seen = Vec::new();
    for number in 0..4 {
        seen.push(kept.next(&mut cursor).await);
        kept.script.is_seen.store(number >= 1, Ordering::SeqCst);
    }
    let kinds: Vec<bool> = seen.iter().map(|picture| picture.batch.is_keyframe()).collect();
    assert_eq!(kinds, [true, false, true, false]);
    let sequences: Vec<u16> = seen.iter().map(|p| p.batch.first_sequence().0).collect();
    assert!(sequences.is_sorted() && sequences[0] == 100, "{sequences:?}");
    let packets: usize = seen[..3].iter().map(|picture| picture.batch.packets().count()).sum();
    assert_eq!(usize::from(sequences[3] - sequences[0]), packets, "numbers run on");
    assert!(seen.is_sorted_by_key(|picture| picture.batch.timestamp().0), "time runs on");
    let health = kept.mount.health().borrow().clone();
    assert_eq!((health.starts, health.failures, health.panics), (2, 1, 0));
    assert!(health.last_failure.unwrap().contains("unplugged"));
    kept.end().await;
}

#[tokio::test]
async fn a_panic_costs_a_run_and_not_the_stream() {
    let kept = Kept::start(&[&[Keyframe, Seen, Panic], &[Keyframe]], ALWAYS);
    let mut cursor = kept.join();
    assert!(kept.next(&mut cursor).await.batch.is_keyframe());
    kept.script.is_seen.store(true, Ordering::SeqCst);
    assert!(kept.next(&mut cursor).await.batch.is_keyframe());
    let health = kept.mount.health().borrow().clone();
    assert_eq!((health.failures, health.panics), (1, 1));
    assert_eq!(health.last_failure.as_deref(), Some("a worker thread panicked: on purpose"));
    kept.end().await;
}

#[tokio::test]
async fn nobody_begins_with_what_was_before_an_interruption() {
    let kept = Kept::start(&[&[Keyframe, Delta], &[Keyframe]], ON_DEMAND);
    kept.until(Condition::Idle).await;
    kept.script.runs.lock().unwrap().push_back(vec![Keyframe, Delta]);
    let mut early = kept.join();
    let first = kept.next(&mut early).await;
    drop(early);
    kept.until(Condition::Idle).await;
    let mut late = kept.join();
    assert!(kept.next(&mut late).await.published > first.published);
    kept.end().await;
}

#[tokio::test]
async fn a_card_is_shown_while_a_source_is_away() {
    let layout = I420Layout::new(320, 240).unwrap();
    let rate = FrameRate::new(20, 1).unwrap();
    let policy = Policy { card_after: Some(Duration::ZERO), ..ALWAYS };
    let raw = Description::Raw { layout, rate, colours: Colours::assumed(layout) };
    let kept = Kept::start_as(Some(raw), &[&[Fail]], policy);
    let mut cursor = kept.join();
    assert!(kept.next(&mut cursor).await.batch.is_keyframe());
    kept.next(&mut cursor).await;
    let Stage::Live(announcement) = kept.mount.stage().borrow().clone() else {
        panic!("who comes now can watch the card");
    };
    let sps = announcement.parameter_sets.description();
    assert_eq!((sps.width, sps.height), (320, 240), "it has the size of the stream");
    // It is back, and the card makes room for it.
    kept.script.runs.lock().unwrap().push_back(vec![Raw]);
    kept.until(Condition::Running).await;
    let mut picture = kept.next(&mut cursor).await;
    while !(picture.batch.is_keyframe() && picture.batch.octets() < 1500) {
        picture = kept.next(&mut cursor).await;
    }
    kept.end().await;
}

#[tokio::test]
async fn a_source_that_opens_and_hangs_leaves_the_card_where_it_is() {
    let policy = Policy { card_after: Some(Duration::ZERO), ..ALWAYS };
    let kept = Kept::start(&[&[Keyframe, Seen, Fail]], policy);
    let mut cursor = kept.join();
    let mut seen = vec![kept.next(&mut cursor).await];
    kept.script.is_seen.store(true, Ordering::SeqCst);
    kept.until(Condition::Away).await;
    kept.script.is_seen.store(false, Ordering::SeqCst);
    let hangs = [Seen, Delta, Keyframe, Delta].to_vec();
    kept.script.runs.lock().unwrap().push_back(hangs);
    while kept.script.asked.load(Ordering::SeqCst) < 3 {
        seen.push(kept.next(&mut cursor).await);
    }
    let hangs_since = SystemClock.now();
    while seen.iter().filter(|picture| picture.published > hangs_since).count() < 3 {
        seen.push(kept.next(&mut cursor).await);
    }
    assert_eq!(kept.mount.health().borrow().condition, Condition::Away);
    // Now it gives pictures, of a moment when the card was still there.
    kept.script.is_seen.store(true, Ordering::SeqCst);
    let before = seen.len();
    while !seen[before..].iter().any(|picture| is_scripted(picture)) {
        seen.push(kept.next(&mut cursor).await);
    }
    seen.push(kept.next(&mut cursor).await);
    let [.., first, second] = &seen[..] else { panic!("{} pictures", seen.len()) };
    assert!(is_scripted(first) && first.batch.is_keyframe());
    assert!(is_scripted(second) && !second.batch.is_keyframe(), "none is lost in between");
    let times: Vec<u32> = seen.iter().map(|picture| picture.batch.timestamp().0).collect();
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "time runs on: {times:?}");
    assert_eq!(kept.mount.health().borrow().condition, Condition::Running);
    kept.end().await;
}

#[tokio::test]
async fn a_regular_end_ends_the_stream() {
    let kept = Kept::start(&[&[Keyframe, Finish]], Policy { retries: false, ..ALWAYS });
    let mut stage = kept.mount.stage();
    let over = stage.wait_for(|stage| matches!(stage, Stage::Ended));
    timeout(LIMIT, over).await.expect("in time").expect("the mount lives");
    assert!(matches!(kept.end().await, End::Finished));
}

#[tokio::test]
async fn a_server_that_ends_waits_for_no_source_that_is_away() {
    let kept = Kept::start(&[], ALWAYS);
    kept.until(Condition::Away).await;
    kept.end().await;
}

/// Not of the card, whose pictures are larger.
fn is_scripted(picture: &Picture) -> bool {
    picture.batch.octets() < 64
}

/// 640x480, Constrained Baseline, level 3.0.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];
const ALWAYS: Policy =
    Policy { on_demand: false, linger: Duration::ZERO, retries: true, card_after: None };
const ON_DEMAND: Policy = Policy { on_demand: true, ..ALWAYS };
const LIMIT: Duration = Duration::from_secs(20);
