//! H.264 byte streams in files (ITU-T H.264 Annex B), which have no times of their own: picture
//! `n` is due at `n` frame intervals.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use media::{AccessUnit, Clock, FrameRate, h264::ParameterSets};

use super::{Failure, pacer::Pacer, refusal::Refusal, stream::Stream};
use crate::{Captured, Description, Error, Source};

/// What follows the start code that a byte stream begins with, which zeros may precede; `None`
/// when these bytes begin with something else.
pub(super) fn first_unit(beginning: &[u8]) -> Option<&[u8]> {
    let zeros = beginning.iter().take_while(|&&byte| byte == 0).count();
    let (&one, rest) = beginning.get(zeros..)?.split_first()?;
    (zeros >= 2 && one == 1).then_some(rest)
}

/// An open byte stream, played round and round.
pub(super) struct AnnexB {
    path: PathBuf,
    reader: Reader,
    /// What opening has read already.
    first: Option<AccessUnit>,
    rate: FrameRate,
    /// Pictures sent, over all passes.
    sent: u64,
    description: Description,
    pacer: Pacer,
}

impl AnnexB {
    /// Reads the first picture of `file`, which must be at its beginning.
    pub(super) fn open(
        file: File,
        path: PathBuf,
        clock: Arc<dyn Clock>,
        rate: Option<FrameRate>,
    ) -> Result<Self, Failure> {
        let mut reader = Reader {
            file,
            stream: Stream::default(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            in_pass: 0,
        };
        let first = reader.next_unit()?;
        let parameter_sets = ParameterSets::in_band(&first).map_err(Refusal::from)?;
        let parameter_sets = parameter_sets.ok_or(Refusal::NoParameterSets)?;
        let rate = rate.or(reader.stream.rate()).unwrap_or_else(|| {
            tracing::warn!(
                path = %path.display(),
                "nothing says how many pictures per second this is: taken for {DEFAULT_RATE}",
            );
            DEFAULT_RATE
        });
        let description =
            Description::H264 { parameter_sets: Some(parameter_sets), rate: Some(rate) };
        let pacer = Pacer::new(clock, 0);
        Ok(Self { path, reader, first: Some(first), rate, sent: 0, description, pacer })
    }

    fn advance(&mut self) -> Result<AccessUnit, Failure> {
        let unit = match self.first.take() {
            Some(unit) => unit,
            None => self.reader.next_unit()?,
        };
        let due = i64::try_from(self.rate.offset_of(self.sent).as_nanos()).unwrap_or(i64::MAX);
        self.sent += 1;
        let time = self.pacer.wait(due, due, unit.is_keyframe());
        Ok(unit.at(time))
    }
}

impl Source for AnnexB {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        let rate = self.rate;
        let unit = self.advance().map_err(|failure| failure.of_file(&self.path, Some(rate)))?;
        Ok(Some(Captured::Encoded(unit)))
    }
}

/// The file as access units without end.
struct Reader {
    file: File,
    stream: Stream,
    chunk: Box<[u8]>,
    /// Units given since the file's beginning.
    in_pass: u64,
}

impl Reader {
    fn next_unit(&mut self) -> Result<AccessUnit, Failure> {
        loop {
            if let Some(unit) = self.stream.next_unit()? {
                return self.accept(unit);
            }
            let read = self.file.read(&mut self.chunk)?;
            if read > 0 {
                self.stream.push(&self.chunk[..read]);
                continue;
            }
            let last = self.stream.finish()?;
            let last = last.map(|unit| self.accept(unit)).transpose()?;
            if self.in_pass == 0 {
                return Err(Refusal::NoPictures.into());
            }
            self.in_pass = 0;
            self.file.seek(SeekFrom::Start(0))?;
            if let Some(unit) = last {
                return Ok(unit);
            }
        }
    }

    /// Each pass must begin where decoding can: the file may have been written anew meanwhile.
    fn accept(&mut self, unit: AccessUnit) -> Result<AccessUnit, Failure> {
        if self.in_pass == 0 && !unit.is_keyframe() {
            return Err(Refusal::NoIdr.into());
        }
        self.in_pass += 1;
        Ok(unit)
    }
}

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// When nobody says: what ffmpeg takes as well.
const DEFAULT_RATE: FrameRate = FrameRate::new(25, 1).expect("neither is zero");
