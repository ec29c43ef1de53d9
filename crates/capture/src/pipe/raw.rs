//! Raw pictures laid end to end.

use std::{io::Read, sync::Arc, time::Duration};

use media::{Clock, Colours, Frame, FramePool, FrameRate, I420Layout, MediaTime};

use super::fill;
use crate::{Captured, Description, Error, Source};

/// Raw pictures from a pipe.
pub(super) struct Raw {
    reader: Box<dyn Read + Send>,
    clock: Arc<dyn Clock>,
    pool: FramePool,
    /// Where a picture goes while every buffer of the pool is in use; made when first needed.
    aside: Vec<u8>,
    description: Description,
    dropped: u64,
    speed: SpeedCheck,
}

impl Raw {
    pub(super) fn new(
        reader: Box<dyn Read + Send>,
        layout: I420Layout,
        rate: FrameRate,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            reader,
            clock,
            pool: FramePool::new(layout, BUFFERS),
            aside: Vec::new(),
            description: Description::Raw { layout, rate, colours: Colours::assumed(layout) },
            dropped: 0,
            speed: SpeedCheck { rate, arrived: 0, since: None },
        }
    }

    /// A picture that has arrived whole and found a buffer.
    fn read(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            let mut frame = self.pool.take(MediaTime::ZERO);
            let buffer = match &mut frame {
                Some(frame) => frame.bytes_mut(),
                None => {
                    self.aside.resize(self.pool.layout().size(), 0);
                    &mut self.aside[..]
                }
            };
            let size = buffer.len();
            let filled = fill(&mut *self.reader, buffer)?;
            if filled < size {
                if filled > 0 {
                    tracing::warn!(
                        bytes = filled,
                        of = size,
                        "the last picture is cut short and dropped: do size and format match?",
                    );
                }
                return Ok(None);
            }
            let now = self.clock.now();
            self.speed.note(now);
            let frame = match frame {
                Some(frame) => Some(frame),
                None => self.pool.take(now).map(|mut frame| {
                    frame.bytes_mut().copy_from_slice(&self.aside);
                    frame
                }),
            };
            if let Some(mut frame) = frame {
                frame.set_time(now);
                return Ok(Some(frame));
            }
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::warn!(dropped = self.dropped, "pictures come faster than they are used");
            }
        }
    }
}

impl Source for Raw {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        Ok(self.read()?.map(Captured::Raw))
    }
}

/// Tells once when the pipe delivers much faster than it was said to: a file that is decoded as
/// fast as the machine can.
struct SpeedCheck {
    rate: FrameRate,
    arrived: u64,
    since: Option<MediaTime>,
}

impl SpeedCheck {
    fn note(&mut self, now: MediaTime) {
        let since = *self.since.get_or_insert(now);
        self.arrived += 1;
        let frames = u64::from(self.rate.frames_in(CHECK_SPAN));
        let taken = now.saturating_since(since);
        if self.arrived == frames + 1 && taken < self.rate.offset_of(frames) / 2 {
            tracing::warn!(
                frames, ?taken, said = %self.rate,
                "the pipe is much faster than its rate: does the command before it lack -re?",
            );
        }
    }
}

/// Pictures in flight: one with the encoder, one waiting for it, one being read, one spare.
const BUFFERS: usize = 4;

/// How long the pipe is watched before its speed is judged.
const CHECK_SPAN: Duration = Duration::from_secs(5);
