//! The encoding of one picture after the other: what comes out for what goes in, and how that is
//! spoilt on request.

use super::{Context, Drain, Hold};
use crate::{
    fake::{
        buffers::Done,
        encoder::{Headers, KeyFlags, LEVELS, Last, Shared},
        formats,
        h264::{self, Sequence},
    },
    uapi::{self, control as ctl, timeval},
};

/// What comes out.
pub(super) struct Coded {
    bytes: Vec<u8>,
    timestamp: timeval,
    flags: u32,
}

impl Context {
    /// Encodes what can be; whether the end of the stream is to be told, to whom `listens` for it.
    pub(in crate::fake) fn advance(&mut self, shared: &Shared, listens: bool) -> bool {
        while self.coded.is_running()
            && self.drain != Drain::Stopped
            && let Some(to) = self.coded.waiting.front().copied()
        {
            let is_flushing = self.drain == Drain::Left(0);
            if self.pipeline.len() > shared.config.latency || is_flushing {
                let is_last = is_flushing && self.pipeline.len() <= 1;
                if is_last && listens && shared.config.last == Last::AfterEvent {
                    match self.hold {
                        Hold::No => {
                            self.hold = Hold::ForEvent;
                            return true;
                        }
                        Hold::ForEvent | Hold::ForQuestion => return false,
                        Hold::Over => {}
                    }
                }
                let coded = self.pipeline.pop_front();
                let is_end = is_flushing && self.pipeline.is_empty();
                let bears_last = match &coded {
                    None => true,
                    Some(_) => is_end && shared.config.last != Last::Empty,
                };
                let nothing =
                    || Coded { bytes: Vec::new(), timestamp: timeval::default(), flags: 0 };
                self.give(to, coded.unwrap_or_else(nothing), bears_last);
                if bears_last {
                    self.drain = Drain::Stopped;
                    // Told already, if it was held back.
                    return self.hold != Hold::Over;
                }
                continue;
            }
            let is_due = self.source.is_running() && !self.is_stalled(shared);
            match self.source.waiting.front().copied() {
                Some(from) if is_due => self.encode(shared, from),
                _ => break,
            }
        }
        false
    }

    fn encode(&mut self, shared: &Shared, from: usize) {
        let nth = |count: u32, every: Option<u32>| {
            every.is_some_and(|every| every > 0 && count.is_multiple_of(every))
        };
        self.frames_in += 1;
        if let Drain::Left(left) = &mut self.drain {
            *left = left.saturating_sub(1);
        }
        let timestamp = self.source.timestamp(from);
        let content = self.source.content(from).unwrap_or_default();
        let done = Done { timestamp, sequence: self.frames_in - 1, flags: 0 };
        self.source.give_back(from, done);
        if nth(self.frames_in, shared.misbehaviour.drop_every) {
            return;
        }
        let Some(planes) = formats::picture(&self.raw, self.crop, &content) else {
            let flags = uapi::V4L2_BUF_FLAG_ERROR;
            self.pipeline.push_back(Coded { bytes: Vec::new(), timestamp, flags });
            self.force_key = true;
            return;
        };
        let number = |id| self.controls.number(id);
        let period = number(ctl::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD)
            .or_else(|| number(ctl::V4L2_CID_MPEG_VIDEO_GOP_SIZE))
            .unwrap_or(0);
        let is_forced = std::mem::take(&mut self.force_key) && !shared.misbehaviour.ignores_force;
        let is_over = period > 0 && i64::from(self.since_idr) >= period;
        let is_first = self.frames_out == 0 && !shared.misbehaviour.begins_anywhere;
        let is_key = is_forced || is_first || is_over;
        if is_key {
            self.since_idr = 0;
            self.idr_id += 1;
        } else {
            // Also of one that begins anywhere: 0 is that of a key picture.
            self.since_idr = self.since_idr.max(1);
        }
        let mut bytes = Vec::new();
        if self.are_headers_due(shared, is_key) {
            bytes = h264::parameter_sets(&self.sequence(shared));
            (self.wrote_headers, self.wrote_headers_ever) = (true, true);
            let mode = self.controls.number(ctl::V4L2_CID_MPEG_VIDEO_HEADER_MODE);
            if mode == Some(ctl::V4L2_MPEG_VIDEO_HEADER_MODE_SEPARATE) && self.frames_out == 0 {
                let bytes = std::mem::take(&mut bytes);
                self.pipeline.push_back(Coded { bytes, timestamp, flags: 0 });
            }
        }
        bytes.extend(h264::picture(&planes, self.since_idr, self.idr_id));
        self.since_idr += 1;
        self.frames_out += 1;
        let says_key = match shared.misbehaviour.key_flags {
            KeyFlags::Right => is_key,
            KeyFlags::Never => false,
            KeyFlags::Always => true,
            KeyFlags::Swapped => !is_key,
        };
        let mut flags = match says_key {
            true => uapi::V4L2_BUF_FLAG_KEYFRAME,
            false => uapi::V4L2_BUF_FLAG_PFRAME,
        };
        self.damage_count += 1;
        if nth(self.damage_count, shared.misbehaviour.damage_every) {
            bytes.truncate(bytes.len() / 2);
            flags |= uapi::V4L2_BUF_FLAG_ERROR;
        }
        self.pipeline.push_back(Coded { bytes, timestamp, flags });
    }

    fn give(&mut self, to: usize, mut coded: Coded, is_last: bool) {
        if coded.bytes.len() > self.coded.room(to) as usize {
            coded.bytes.clear();
            coded.flags |= uapi::V4L2_BUF_FLAG_ERROR;
            // What follows must not refer to what never came out.
            self.force_key = true;
        }
        if is_last {
            coded.flags |= uapi::V4L2_BUF_FLAG_LAST;
        }
        let Coded { bytes, timestamp, flags } = coded;
        let done = Done { timestamp, sequence: self.sequence, flags };
        self.sequence += 1;
        if self.coded.fill(to, &[bytes], done).is_err() {
            let flags = flags | uapi::V4L2_BUF_FLAG_ERROR;
            self.coded.give_back(to, Done { flags, ..done });
        }
    }

    pub(super) fn restart(&mut self) {
        (self.frames_out, self.sequence, self.since_idr) = (0, 0, 0);
        self.wrote_headers = false;
    }

    fn are_headers_due(&self, shared: &Shared, is_key: bool) -> bool {
        let is_on = |id| self.controls.number(id).is_some_and(|value| value != 0);
        let repeats = is_on(ctl::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER)
            || is_on(ctl::V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR);
        match shared.misbehaviour.headers {
            Headers::AsTold => !self.wrote_headers || (is_key && repeats),
            Headers::PerStart => !self.wrote_headers,
            Headers::PerOpen => !self.wrote_headers_ever,
            Headers::Never => false,
        }
    }

    fn sequence(&self, shared: &Shared) -> Sequence {
        let menu = |id| self.controls.number(id).and_then(|value| usize::try_from(value).ok());
        let level = menu(ctl::V4L2_CID_MPEG_VIDEO_H264_LEVEL);
        let (_, level) = LEVELS[level.unwrap_or(11).min(LEVELS.len() - 1)];
        let (profile, constraints) = match menu(ctl::V4L2_CID_MPEG_VIDEO_H264_PROFILE) {
            Some(0) => (66, 0x80),
            Some(1) => (66, 0xc0),
            Some(2) => (77, 0x40),
            _ => (100, 0),
        };
        let has_restriction = shared.config.has_restriction;
        Sequence { size: self.crop, profile, constraints, level, has_restriction }
    }
}
