//! The live log: the last few seconds of a stream, which every viewer reads at its own pace.
//!
//! ```text
//!             first                newest keyframe            end
//!               │                         │                    │
//!   trimmed ┄┄┄ [ P ][ P ][ P ][ P ][ P ][ K ][ P ][ P ][ P ] ◀── push
//!                            ▲                    ▲          ▲
//!                        cursor A              cursor B   cursor C (waits)
//! ```
//!
//! Fan-out, the cache for instant starts and the policy for slow viewers are this one structure. A
//! viewer is a [`Cursor`], a position; it owns no queue. Pure: no lock, clock or task here.
//!
//! The law, held by a property test: *a cursor never delivers an entry whose predecessor it
//! withheld, unless that entry is a keyframe.*

use std::{collections::VecDeque, sync::Arc, time::Duration};

use media::MediaTime;

/// What a log holds: something with a size, that may be a keyframe.
pub trait Item {
    /// Whether decoding can begin here.
    fn is_keyframe(&self) -> bool;
    /// Bytes of memory.
    fn size(&self) -> usize;
    /// When it was published.
    fn published(&self) -> MediaTime;
}

/// How much a log keeps.
#[derive(Copy, Clone, Debug)]
pub struct Limits {
    /// Entries older than this and [`Limits::catch_up`] are dropped once a newer keyframe is there.
    /// Default 3 s: a viewer may lag this far before it skips. Raising it costs memory: bitrate ×
    /// span.
    pub soft_span: Duration,
    /// How far back a viewer may begin. So long more entries are kept, but no longer than the longest
    /// group of pictures has been whose end is still here, because nobody begins further back.
    /// Default 0. Raising it costs memory, bitrate × span, where keyframes are that far apart.
    pub catch_up: Duration,
    /// Bytes above which entries before the newest keyframe are dropped. Default 8 MiB.
    pub soft_bytes: usize,
    /// Entries older than this are dropped whatever they are: a group of pictures without end must
    /// not grow memory. Default 15 s; a file whose keyframes are further apart cannot start viewers
    /// from the cache.
    pub hard_span: Duration,
    /// Bytes above which the oldest entries are dropped whatever they are. Default 32 MiB.
    pub hard_bytes: usize,
    /// Entries above which the oldest are dropped whatever they are. Default 4096.
    pub hard_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            soft_span: Duration::from_secs(3),
            catch_up: Duration::ZERO,
            soft_bytes: 8 << 20,
            hard_span: Duration::from_secs(15),
            hard_bytes: 32 << 20,
            hard_entries: 4096,
        }
    }
}

/// The last entries of a stream, numbered from the stream's beginning.
#[derive(Debug)]
pub struct Log<T> {
    limits: Limits,
    entries: VecDeque<Arc<T>>,
    /// The number of `entries[0]`.
    first: u64,
    /// The number of the newest keyframe, if it is still here.
    newest_keyframe: Option<u64>,
    /// The number and time of each keyframe here, and of the one before them.
    groups: VecDeque<(u64, MediaTime)>,
    /// [`Limits::soft_span`], and what is needed to catch up.
    soft_span: Duration,
    bytes: usize,
}

impl<T: Item> Log<T> {
    /// An empty log.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 0,
            newest_keyframe: None,
            groups: VecDeque::new(),
            soft_span: limits.soft_span,
            bytes: 0,
        }
    }

    /// The number the next entry will get.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Appends an entry and drops what is over the limits. The newest entry always stays.
    pub fn push(&mut self, entry: Arc<T>) {
        let now = entry.published();
        if entry.is_keyframe() {
            self.newest_keyframe = Some(self.end());
            self.begin_group(now);
        }
        self.bytes += entry.size();
        self.entries.push_back(entry);
        while self.entries.len() > 1 && self.front_is_over(now) {
            self.drop_front();
        }
    }

    /// The entry at the cursor, which moves past it. `None` when the cursor waits for an entry that
    /// is not there yet.
    pub fn read(&self, cursor: &mut Cursor) -> Option<Delivery<T>> {
        let at = match cursor.position {
            Position::At(number) if number >= self.first => number,
            // Overrun, or not begun: only a keyframe will do.
            Position::At(from) | Position::Keyframe { from } => {
                match self.newest_keyframe.filter(|&keyframe| keyframe >= from) {
                    Some(keyframe) => keyframe,
                    None => {
                        cursor.position = Position::Keyframe { from };
                        return None;
                    }
                }
            }
        };
        let entry = self.entries.get(usize::try_from(at - self.first).ok()?)?;
        let skipped = cursor.delivered_any.then_some(cursor.from()).map_or(0, |from| at - from);
        cursor.position = Position::At(at + 1);
        cursor.delivered_any = true;
        Some(Delivery { entry: Arc::clone(entry), skipped })
    }

    /// A cursor that begins at the newest keyframe, and what it would have to catch up. `None` when
    /// there is no keyframe here.
    pub fn from_newest_keyframe(&self) -> Option<(Cursor, Backlog)> {
        let keyframe = self.newest_keyframe?;
        let skip = usize::try_from(keyframe - self.first).ok()?;
        let first = self.entries.get(skip)?;
        let newest = self.entries.back()?;
        let backlog = Backlog {
            since: first.published(),
            span: newest.published().saturating_since(first.published()),
            bytes: self.entries.range(skip..).map(|entry| entry.size()).sum(),
        };
        Some((Cursor { position: Position::At(keyframe), delivered_any: false }, backlog))
    }

    /// A cursor that begins at the next keyframe to be published.
    pub fn from_next_keyframe(&self) -> Cursor {
        Cursor { position: Position::Keyframe { from: self.end() }, delivered_any: false }
    }

    /// The source is interrupted: nobody begins with what was there before, nor goes back to it.
    pub fn forget_keyframe(&mut self) {
        self.newest_keyframe = None;
    }

    /// What has been appended in the last `span`.
    pub fn recent(&self, now: MediaTime, span: Duration) -> Recent {
        let newest_first = self.entries.iter().rev();
        let mut young = newest_first.take_while(|entry| entry.published() + span >= now);
        let Some(last) = young.next() else { return Recent::default() };
        let (mut count, mut bytes, mut first, mut size) = (0, 0, last, last.size());
        for entry in young {
            // Sizes are those of what came after the first.
            bytes += size;
            count += 1;
            (first, size) = (entry, entry.size());
        }
        let seconds = last.published().saturating_since(first.published()).as_secs_f64();
        if seconds == 0.0 {
            return Recent::default();
        }
        Recent {
            entries_per_second: f64::from(count) / seconds,
            bits_per_second: bytes as f64 * 8.0 / seconds,
        }
    }

    fn front_is_over(&self, now: MediaTime) -> bool {
        let Some(front) = self.entries.front() else { return false };
        let age = now.saturating_since(front.published());
        let limits = &self.limits;
        let over_soft = age > self.soft_span || self.bytes > limits.soft_bytes;
        let over_hard = age > limits.hard_span
            || self.bytes > limits.hard_bytes
            || self.entries.len() > limits.hard_entries;
        over_hard || (over_soft && self.newest_keyframe.is_some_and(|k| self.first < k))
    }

    /// Sets how long entries are kept by the groups there are, of which one is remembered until the
    /// next one's keyframe has gone too. The newest needs no room: what follows its keyframe is kept
    /// as long as there is no newer one.
    #[cold]
    fn begin_group(&mut self, now: MediaTime) {
        while self.groups.get(1).is_some_and(|(next, _)| *next < self.first) {
            self.groups.pop_front();
        }
        self.groups.push_back((self.end(), now));
        let begins = self.groups.iter().map(|(_, begin)| *begin);
        let ends = begins.clone().skip(1);
        let longest = begins.zip(ends).map(|(begin, end)| end.saturating_since(begin)).max();
        let catch_up = longest.unwrap_or_default().min(self.limits.catch_up);
        self.soft_span = self.limits.soft_span + catch_up;
    }

    fn drop_front(&mut self) {
        if let Some(front) = self.entries.pop_front() {
            self.bytes -= front.size();
            self.newest_keyframe = self.newest_keyframe.filter(|&keyframe| keyframe != self.first);
            self.first += 1;
        }
    }
}

/// A viewer's position in a [`Log`].
#[derive(Clone, Debug)]
pub struct Cursor {
    position: Position,
    delivered_any: bool,
}

impl Cursor {
    /// How many entries the log holds that this cursor has not read.
    pub fn behind<T: Item>(&self, log: &Log<T>) -> u64 {
        log.end().saturating_sub(self.from())
    }

    fn from(&self) -> u64 {
        match self.position {
            Position::At(from) | Position::Keyframe { from } => from,
        }
    }
}

/// What a cursor read.
#[derive(Debug)]
pub struct Delivery<T> {
    /// The entry.
    pub entry: Arc<T>,
    /// How many entries the cursor missed before it, because it was too slow.
    pub skipped: u64,
}

/// How fast entries come.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Recent {
    /// From the first to the last of them.
    pub entries_per_second: f64,
    /// The same of their sizes.
    pub bits_per_second: f64,
}

/// What lies between a keyframe and the end of the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// When the keyframe was published.
    pub since: MediaTime,
    /// From the keyframe to the newest entry.
    pub span: Duration,
    /// Bytes of all of it.
    pub bytes: usize,
}

#[derive(Clone, Debug)]
enum Position {
    /// The entry of this number is next.
    At(u64),
    /// The newest keyframe is next, once there is one of this number or above.
    Keyframe { from: u64 },
}

#[cfg(test)]
mod tests;
