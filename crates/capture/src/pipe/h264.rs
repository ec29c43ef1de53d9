//! An H.264 byte stream from a pipe.

use std::{io::Read, sync::Arc, time::Duration};

use media::{AccessUnit, Clock, FrameRate, MediaTime, h264::ParameterSets};

use super::read;
use crate::{
    Captured, Description, Error, Source,
    file::{refusal::Refusal, stream::Stream},
};

/// Access units from a pipe.
pub(super) struct H264 {
    reader: Box<dyn Read + Send>,
    clock: Arc<dyn Clock>,
    stream: Stream,
    chunk: Box<[u8]>,
    rate: Option<FrameRate>,
    description: Description,
    /// When the first byte of the unit being gathered came.
    begun: Option<MediaTime>,
    /// When the bytes read last came.
    arrived: MediaTime,
    /// The last stamp.
    last: Option<MediaTime>,
    /// A keyframe with parameter sets has been given.
    joined: bool,
    /// Units thrown away before it.
    skipped: u64,
    ended: bool,
}

impl H264 {
    pub(super) fn new(
        reader: Box<dyn Read + Send>,
        rate: Option<FrameRate>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            reader,
            clock,
            stream: Stream::default(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            rate,
            description: Description::H264 { parameter_sets: None, rate },
            begun: None,
            arrived: MediaTime::ZERO,
            last: None,
            joined: false,
            skipped: 0,
            ended: false,
        }
    }

    /// The next unit and when its first byte came.
    fn gather(&mut self) -> Result<Option<(AccessUnit, MediaTime)>, Error> {
        loop {
            let unit = self.stream.next_unit().map_err(Refusal::of_pipe)?;
            if let Some(unit) = unit {
                // The next one's first bytes, which told the end of this one, came just now.
                let begun = self.begun.replace(self.arrived).unwrap_or(self.arrived);
                return Ok(Some((unit, begun)));
            }
            if self.ended {
                return Ok(None);
            }
            let read = read(&mut *self.reader, &mut self.chunk)?;
            self.arrived = self.clock.now();
            if read > 0 {
                self.begun.get_or_insert(self.arrived);
                self.stream.push(&self.chunk[..read]);
                continue;
            }
            self.ended = true;
            let begun = self.begun.unwrap_or(self.arrived);
            let last = self.stream.finish().map_err(Refusal::of_pipe)?;
            return Ok(last.map(|unit| (unit, begun)));
        }
    }

    /// Whether decoding can begin here, or already has.
    fn join(&mut self, unit: &AccessUnit) -> Result<bool, Refusal> {
        if !self.joined {
            self.joined = unit.is_keyframe() && ParameterSets::in_band(unit)?.is_some();
            if !self.joined {
                if self.skipped == 0 {
                    tracing::info!("waiting for an IDR picture with parameter sets");
                }
                self.skipped += 1;
            }
        }
        Ok(self.joined)
    }

    /// The stamp of a unit that began to arrive at `begun`. Holds a pipe back that is too fast.
    fn stamp(&mut self, begun: MediaTime) -> MediaTime {
        let rate = self.rate.or(self.stream.rate());
        let spacing = rate.map_or(LEAST_SPACING, |rate| rate.interval() / 2).max(LEAST_SPACING);
        let time = match self.last {
            Some(last) => begun.max(last + spacing),
            None => begun,
        };
        self.last = Some(time);
        self.clock.sleep_until(time);
        time
    }
}

impl Source for H264 {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        while let Some((unit, begun)) = self.gather()? {
            if self.join(&unit).map_err(Refusal::of_pipe)? {
                let time = self.stamp(begun);
                return Ok(Some(Captured::Encoded(unit.at(time))));
            }
        }
        match (self.joined, self.begun, self.skipped) {
            (false, Some(_), 0) => Err(Refusal::NoPictures.of_pipe()),
            (false, _, 1..) => Err(Refusal::NeverBegan.of_pipe()),
            _ => Ok(None),
        }
    }
}

/// Bytes read at most at a time.
const CHUNK: usize = 64 << 10;

/// The least time between two pictures.
const LEAST_SPACING: Duration = Duration::from_millis(1);
