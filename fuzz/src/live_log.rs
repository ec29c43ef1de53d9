//! The live log: whatever is appended, read and joined, in whatever order, it does what a list of
//! everything that ever was appended would say; and it stays within its limits.
//!
//! Input: three bytes of limits, then one operation after the other.

use std::{sync::Arc, time::Duration};

use lenscast::live::log::{Cursor, Item, Limits, Log};
use media::MediaTime;

use crate::input::Input;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = limits(&mut input);
    let mut log = Log::new(limits);
    let mut model = Model::new(limits);
    let mut viewers: Vec<Viewer> = Vec::new();
    let mut now = 0u64;
    while !input.is_empty() {
        let operation = input.byte();
        let viewer = usize::from(operation >> 3 & 3);
        match operation & 7 {
            0..=2 => {
                let shape = input.byte();
                now += u64::from(shape & 7) * 100;
                let entry = Arc::new(Picture {
                    number: model.end(),
                    keyframe: operation & 7 == 0,
                    size: usize::from(shape >> 3) * usize::from(operation >> 3),
                    published: MediaTime::from_nanos(now * 1_000_000),
                });
                log.push(Arc::clone(&entry));
                model.push(entry);
                model.check(&log);
            }
            3 | 4 => {
                for _ in 0..=operation >> 5 {
                    if let Some(viewer) = viewers.get_mut(viewer) {
                        viewer.read(&log, &model);
                    }
                }
            }
            5 => model.join_newest(&log, |cursor| join(&mut viewers, viewer, cursor)),
            6 => {
                let cursor = log.from_next_keyframe();
                join(&mut viewers, viewer, Viewer::new(cursor, Want::Keyframe(model.end())));
            }
            // The source is interrupted, and all that was there is forgotten as a beginning.
            _ if operation == u8::MAX => {
                log.forget_keyframe();
                model.forget_keyframe();
            }
            // A copy goes its own way.
            _ => {
                if let Some(viewer) = viewers.get(viewer).cloned() {
                    join(&mut viewers, 3, viewer);
                }
            }
        }
        for viewer in &viewers {
            assert_eq!(viewer.cursor.behind(&log), model.end().saturating_sub(viewer.want.from()));
        }
    }
}

fn limits(input: &mut Input<'_>) -> Limits {
    let (times, bytes, entries) = (input.byte(), input.byte(), input.byte());
    let soft_span = Duration::from_millis(u64::from(times & 15) * 200);
    let soft_bytes = usize::from(bytes & 15) * 16;
    let catch_up = Duration::from_millis(u64::from(entries / 40) * 500);
    Limits {
        soft_span,
        catch_up,
        soft_bytes,
        hard_span: soft_span + Duration::from_millis(u64::from(times >> 4) * 400),
        hard_bytes: soft_bytes + usize::from(bytes >> 4) * 64,
        hard_entries: 1 + usize::from(entries % 40),
    }
}

fn join(viewers: &mut Vec<Viewer>, at: usize, viewer: Viewer) {
    match viewers.get_mut(at) {
        Some(place) => *place = viewer,
        None => viewers.push(viewer),
    }
}

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

/// Everything that was appended, and what of it is still to be there.
struct Model {
    limits: Limits,
    entries: Vec<Arc<Picture>>,
    first: usize,
    /// When the newest keyframe came.
    longest_group: Duration,
    /// Keyframes before this are no beginning any more.
    interrupted: u64,
}

impl Model {
    fn new(limits: Limits) -> Self {
        let longest_group = Duration::ZERO;
        Self { limits, entries: Vec::new(), first: 0, longest_group, interrupted: 0 }
    }

    fn end(&self) -> u64 {
        self.entries.len() as u64
    }

    fn held(&self) -> &[Arc<Picture>] {
        &self.entries[self.first..]
    }

    fn push(&mut self, entry: Arc<Picture>) {
        let is_keyframe = entry.keyframe;
        self.entries.push(entry);
        if is_keyframe {
            self.longest_group = self.longest_group();
        }
        while self.held().len() > 1 && self.is_over() {
            self.first += 1;
        }
    }

    /// Whether the oldest has to go, by the words of [`Limits`].
    fn is_over(&self) -> bool {
        let held = self.held();
        let (oldest, newest) = (&held[0], &held[held.len() - 1]);
        let age = newest.published.saturating_since(oldest.published);
        let bytes: usize = held.iter().map(|entry| entry.size).sum();
        let is_before_keyframe = held[1..].iter().any(|entry| self.is_beginning(entry));
        let Limits { soft_span, catch_up, soft_bytes, hard_span, hard_bytes, hard_entries } =
            self.limits;
        let soft_span = soft_span + catch_up.min(self.longest_group);
        (is_before_keyframe && (age > soft_span || bytes > soft_bytes))
            || age > hard_span
            || bytes > hard_bytes
            || held.len() > hard_entries
    }

    /// Of the groups whose end is held.
    fn longest_group(&self) -> Duration {
        let mut longest = Duration::ZERO;
        let mut begin = None;
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.keyframe) {
            if let Some(begin) = begin.filter(|_| at >= self.first) {
                longest = longest.max(entry.published.saturating_since(begin));
            }
            begin = Some(entry.published);
        }
        longest
    }

    fn newest_keyframe(&self) -> Option<&Arc<Picture>> {
        self.held().iter().rev().find(|entry| self.is_beginning(entry))
    }

    fn is_beginning(&self, entry: &Picture) -> bool {
        entry.keyframe && entry.number >= self.interrupted
    }

    fn forget_keyframe(&mut self) {
        self.interrupted = self.end();
    }

    fn check(&self, log: &Log<Picture>) {
        assert_eq!(log.end(), self.end());
        let held = self.held();
        let bytes: usize = held.iter().map(|entry| entry.size).sum();
        assert!(held.len() <= self.limits.hard_entries);
        assert!(held.len() == 1 || bytes <= self.limits.hard_bytes);
        // What has been dropped is really gone.
        for (at, entry) in self.entries.iter().enumerate() {
            let owners = if at < self.first { 1 } else { 2 };
            assert_eq!(Arc::strong_count(entry), owners, "entry {at}");
        }
    }

    fn join_newest(&self, log: &Log<Picture>, join: impl FnOnce(Viewer)) {
        let (Some((cursor, backlog)), Some(keyframe)) =
            (log.from_newest_keyframe(), self.newest_keyframe())
        else {
            assert!(log.from_newest_keyframe().is_none() && self.newest_keyframe().is_none());
            return;
        };
        let from = usize::try_from(keyframe.number).expect("few");
        let newest = &self.entries[self.entries.len() - 1];
        assert_eq!(backlog.since, keyframe.published);
        assert_eq!(backlog.span, newest.published.saturating_since(keyframe.published));
        let bytes: usize = self.entries[from..].iter().map(|entry| entry.size).sum();
        assert_eq!(backlog.bytes, bytes);
        join(Viewer::new(cursor, Want::Next(keyframe.number)));
    }
}

/// A cursor, and what it has to give next.
#[derive(Clone)]
struct Viewer {
    cursor: Cursor,
    want: Want,
    last: Option<u64>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Want {
    Next(u64),
    /// The newest keyframe, when it has this number or a higher one.
    Keyframe(u64),
}

impl Want {
    fn from(self) -> u64 {
        match self {
            Self::Next(number) | Self::Keyframe(number) => number,
        }
    }
}

impl Viewer {
    fn new(cursor: Cursor, want: Want) -> Self {
        Self { cursor, want, last: None }
    }

    fn read(&mut self, log: &Log<Picture>, model: &Model) {
        if let Want::Next(number) = self.want
            && number < model.first as u64
        {
            self.want = Want::Keyframe(number);
        }
        let expected = match self.want {
            Want::Next(number) => model.entries.get(usize::try_from(number).expect("few")),
            Want::Keyframe(from) => model.newest_keyframe().filter(|entry| entry.number >= from),
        };
        let delivered = log.read(&mut self.cursor);
        let numbers = (delivered.as_ref().map(|d| d.entry.number), expected.map(|e| e.number));
        assert_eq!(numbers.0, numbers.1, "{:?}", self.want);
        let Some(delivered) = delivered else { return };
        let number = delivered.entry.number;
        // The law: nothing whose predecessor was withheld, unless it is a keyframe.
        let follows = self.last.is_some_and(|last| last + 1 == number);
        assert!(follows || delivered.entry.keyframe);
        let missed = self.last.map_or(0, |last| number - last - 1);
        assert_eq!(delivered.skipped, missed);
        (self.last, self.want) = (Some(number), Want::Next(number + 1));
    }
}
