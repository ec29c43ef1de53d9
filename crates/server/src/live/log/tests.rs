use proptest::prelude::*;

use super::*;

#[derive(Debug)]
struct Picture {
    number: u64,
    keyframe: bool,
    size: usize,
    published: MediaTime,
}

impl Item for Picture {
    fn is_keyframe(&self) -> bool {
        self.keyframe
    }
    fn size(&self) -> usize {
        self.size
    }
    fn published(&self) -> MediaTime {
        self.published
    }
}

/// A log and the count of what was pushed; one picture each 100 ms.
struct Stream {
    log: Log<Picture>,
    pushed: u64,
}

impl Stream {
    fn new(limits: Limits) -> Self {
        Self { log: Log::new(limits), pushed: 0 }
    }

    fn push(&mut self, keyframe: bool, size: usize) {
        let number = self.pushed;
        let published = MediaTime::from_nanos(number * 100_000_000);
        self.log.push(Arc::new(Picture { number, keyframe, size, published }));
        self.pushed += 1;
    }

    fn read(&self, cursor: &mut Cursor) -> Option<(u64, u64)> {
        self.log.read(cursor).map(|delivery| (delivery.entry.number, delivery.skipped))
    }
}

#[test]
fn a_joiner_starts_at_a_keyframe_and_follows() {
    let mut stream = Stream::new(Limits::default());
    let mut early = stream.log.from_next_keyframe();
    stream.push(false, 1);
    assert_eq!(stream.read(&mut early), None);
    stream.push(true, 1);
    stream.push(false, 1);
    assert_eq!(stream.read(&mut early), Some((1, 0)));
    assert_eq!(stream.read(&mut early), Some((2, 0)));
    assert_eq!(stream.read(&mut early), None);

    let (mut cached, backlog) = stream.log.from_newest_keyframe().unwrap();
    assert_eq!((backlog.span, backlog.bytes), (Duration::from_millis(100), 2));
    assert_eq!(stream.read(&mut cached), Some((1, 0)));
    assert_eq!(cached.behind(&stream.log), 1);

    let mut fresh = stream.log.from_next_keyframe();
    stream.push(false, 1);
    assert_eq!(stream.read(&mut fresh), None);
    stream.push(true, 1);
    assert_eq!(stream.read(&mut fresh), Some((4, 0)));
}

#[test]
fn an_overrun_cursor_skips_to_the_newest_keyframe_and_counts() {
    let mut stream = Stream::new(Limits { soft_bytes: 4, ..Limits::default() });
    stream.push(true, 1);
    let (mut slow, _) = stream.log.from_newest_keyframe().unwrap();
    assert_eq!(stream.read(&mut slow), Some((0, 0)));
    for number in 1..=9 {
        stream.push(number % 3 == 0, 1);
    }
    // 6 to 9 are left; 1 to 8 were missed.
    assert_eq!(stream.read(&mut slow), Some((9, 8)));
}

#[test]
fn what_is_kept_to_catch_up_is_no_more_than_groups_are_long() {
    let catch_up = Duration::from_secs(12);
    let mut stream = Stream::new(Limits { catch_up, ..Limits::default() });
    let groups = |stream: &mut Stream, pictures: u64, groups: u64| {
        for number in 0..pictures * groups {
            stream.push(number % pictures == 0, 1);
        }
    };
    // Groups of 2 s: those, and the 3 s that anyone may lag.
    groups(&mut stream, 20, 10);
    assert_eq!(stream.log.entries.len(), 51);
    // One of 10 s, while it grows and for those who began with it.
    groups(&mut stream, 100, 1);
    let (mut slow, _) = stream.log.from_newest_keyframe().unwrap();
    let (mut read, mut skipped) = (0, 0);
    for _ in 0..10 {
        for number in 0..10 {
            stream.push(number == 0, 1);
            for _ in 0..2 {
                let Some((_, missed)) = stream.read(&mut slow) else { break };
                (read, skipped) = (read + 1, skipped + missed);
            }
        }
    }
    assert_eq!((read, skipped), (200, 0), "at twice the pace it has caught up");
    // Only when nobody can be on the way any more is it forgotten: now groups last 1 s.
    groups(&mut stream, 10, 15);
    assert_eq!(stream.log.entries.len(), 41);
}

#[test]
fn a_group_without_end_stays_within_the_hard_cap_and_its_viewers_wait() {
    let limits = Limits { hard_bytes: 10, ..Limits::default() };
    let mut stream = Stream::new(limits);
    stream.push(true, 1);
    let (mut slow, _) = stream.log.from_newest_keyframe().unwrap();
    assert_eq!(stream.read(&mut slow), Some((0, 0)));
    for _ in 0..100 {
        stream.push(false, 1);
        assert!(stream.log.bytes <= 10);
    }
    assert!(stream.log.from_newest_keyframe().is_none());
    assert_eq!(stream.read(&mut slow), None);
    stream.push(true, 1);
    assert_eq!(stream.read(&mut slow), Some((101, 100)));
}

#[test]
fn after_an_interruption_nobody_begins_with_what_was_before() {
    let mut stream = Stream::new(Limits { hard_entries: 3, ..Limits::default() });
    stream.push(true, 1);
    let (mut watching, _) = stream.log.from_newest_keyframe().unwrap();
    let mut slow = watching.clone();
    stream.push(false, 1);
    stream.log.forget_keyframe();
    assert!(stream.log.from_newest_keyframe().is_none());
    assert_eq!(stream.read(&mut watching), Some((0, 0)), "who watches sees the rest");
    assert_eq!(stream.read(&mut watching), Some((1, 0)));
    for keyframe in [true, false, false] {
        stream.push(keyframe, 1);
    }
    assert_eq!(stream.read(&mut watching), Some((2, 0)));
    assert_eq!(stream.read(&mut slow), Some((2, 0)), "whose place is gone");
}

#[test]
fn one_entry_larger_than_every_limit_is_still_delivered() {
    let mut stream = Stream::new(Limits { hard_bytes: 10, soft_bytes: 5, ..Limits::default() });
    let mut cursor = stream.log.from_next_keyframe();
    stream.push(true, 1000);
    assert_eq!(stream.read(&mut cursor), Some((0, 0)));
}

#[derive(Clone, Debug)]
enum Step {
    Push { keyframe: bool, size: usize },
    Read { cursor: usize, times: usize },
    JoinNewest(usize),
    JoinNext(usize),
    Interrupt,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::bool::weighted(0.15), 1usize..40)
            .prop_map(|(keyframe, size)| Step::Push { keyframe, size }),
        3 => (0usize..3, 1usize..6).prop_map(|(cursor, times)| Step::Read { cursor, times }),
        1 => (0usize..3).prop_map(Step::JoinNewest),
        1 => (0usize..3).prop_map(Step::JoinNext),
        1 => Just(Step::Interrupt),
    ]
}

proptest! {
    #[test]
    fn the_law_of_cursors(steps in prop::collection::vec(step(), 1..400)) {
        let limits = Limits {
            soft_span: Duration::from_secs(1),
            catch_up: Duration::from_secs(1),
            soft_bytes: 100,
            hard_span: Duration::from_secs(4),
            hard_bytes: 300,
            hard_entries: 20,
        };
        let mut stream = Stream::new(limits);
        let mut keyframes = Vec::new();
        let mut interrupted = 0;
        let mut cursors: Vec<(Cursor, Option<u64>)> =
            (0..3).map(|_| (stream.log.from_next_keyframe(), None)).collect();
        for step in steps {
            match step {
                Step::Push { keyframe, size } => {
                    keyframes.push(keyframe);
                    stream.push(keyframe, size);
                    prop_assert!(stream.log.entries.len() <= limits.hard_entries);
                    prop_assert!(stream.log.bytes <= limits.hard_bytes.max(size));
                }
                Step::Read { cursor, times } => {
                    let (cursor, last) = &mut cursors[cursor];
                    for _ in 0..times {
                        let Some((number, skipped)) = stream.read(cursor) else { break };
                        match *last {
                            Some(last) => {
                                prop_assert_eq!(number, last + 1 + skipped);
                                prop_assert!(skipped == 0 || keyframes[number as usize]);
                            }
                            None => prop_assert!(keyframes[number as usize]),
                        }
                        *last = Some(number);
                    }
                }
                Step::JoinNewest(cursor) => {
                    if let Some((joined, _)) = stream.log.from_newest_keyframe() {
                        let mut at = joined.clone();
                        prop_assert!(stream.read(&mut at).unwrap().0 >= interrupted);
                        cursors[cursor] = (joined, None);
                    }
                }
                Step::Interrupt => {
                    stream.log.forget_keyframe();
                    interrupted = stream.log.end();
                }
                Step::JoinNext(cursor) => cursors[cursor] = (stream.log.from_next_keyframe(), None),
            }
        }
        // Nobody starves: after one more keyframe every cursor reads on.
        stream.push(true, 1);
        for (cursor, _) in &mut cursors {
            prop_assert!(stream.read(cursor).is_some());
        }
    }
}

#[test]
fn how_fast_entries_come_is_told_of_the_last_alone() {
    let mut stream = Stream::new(Limits::default());
    let (second, now) =
        (Duration::from_secs(1), |millis: u64| MediaTime::from_nanos(millis * 1_000_000));
    assert_eq!(stream.log.recent(now(0), second), Recent::default());
    stream.push(true, 9_999);
    assert_eq!(stream.log.recent(now(0), second), Recent::default(), "one has no rate");
    for _ in 1..=20 {
        stream.push(false, 1_000);
    }
    // 1000 ms to 2000 ms: eleven, ten of which came after the first.
    let recent = stream.log.recent(now(2_000), second);
    assert_eq!(recent, Recent { entries_per_second: 10.0, bits_per_second: 80_000.0 });
    assert_eq!(stream.log.recent(now(2_950), second), Recent::default(), "one again");
    assert_eq!(stream.log.recent(now(9_000), second), Recent::default());
}
