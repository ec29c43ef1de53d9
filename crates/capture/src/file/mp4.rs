//! H.264 in MP4 and MOV files (ISO/IEC 14496-12, 14496-14 and 14496-15).
//!
//! The index is read once, into memory, wherever in the file it lies; then one sample at a time.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use media::{AccessUnit, Clock, MediaTime, h264::ParameterSets};

use super::{Failure, pacer::Pacer, refusal::Refusal};
use crate::{Captured, Description, Error, Source};

mod boxes;
mod edit_list;
mod track;

use boxes::{FourCc, Header};
use track::{Sample, Track};

/// Whether a file that begins with these bytes is of this family: the type of its first box tells.
pub(super) fn is_mp4(beginning: &[u8]) -> bool {
    const FIRST: [FourCc; 9] =
        [*b"ftyp", *b"moov", *b"mdat", *b"free", *b"skip", *b"wide", *b"pnot", *b"styp", *b"moof"];
    Header::parse(beginning).is_some_and(|header| FIRST.contains(&header.kind))
}

/// An open MP4 file, played round and round.
pub(super) struct Mp4 {
    path: PathBuf,
    file: File,
    track: Track,
    description: Description,
    pacer: Pacer,
    pass: u64,
    /// The next sample, counted from zero.
    next: u32,
}

impl Mp4 {
    /// Reads the index of `file` and its first picture.
    pub(super) fn open(
        mut file: File,
        path: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let file_size = file.seek(SeekFrom::End(0))?;
        let moov = read_index(&mut file, file_size)?;
        let track = Track::parse(&moov, file_size)?;
        drop(moov);

        let first = track.sample(0).ok_or(Refusal::NoPictures)?;
        let first = read_sample(&mut file, &track, first, 1)?;
        if !first.is_keyframe() {
            return Err(Refusal::NoIdr.into());
        }
        let in_band = || ParameterSets::in_band(&first).map_err(Refusal::from);
        let parameter_sets = match track.parameter_sets.clone() {
            Some(sets) => sets,
            None => in_band()?.ok_or(Refusal::NoParameterSets)?,
        };
        if track.ignored > 0 {
            tracing::info!(path = %path.display(), tracks = track.ignored, "only video is played");
        }
        if track.hidden > 0 {
            tracing::warn!(
                path = %path.display(), pictures = track.hidden,
                "pictures that the edit list hides are sent too: others may need them",
            );
        }
        let description =
            Description::H264 { parameter_sets: Some(parameter_sets), rate: track.rate };
        let pacer = Pacer::new(clock, track.timeline.lead());
        Ok(Self { path, file, track, description, pacer, pass: 0, next: 0 })
    }

    fn advance(&mut self) -> Result<AccessUnit, Failure> {
        loop {
            let Some(sample) = self.track.sample(self.next) else {
                // The first sample has a picture, so that no pass is empty.
                (self.pass, self.next) = (self.pass + 1, 0);
                continue;
            };
            self.next += 1;
            let unit = read_sample(&mut self.file, &self.track, sample, self.next)?;
            if unit.nals().len() == 0 {
                if self.next == 1 {
                    return Err(Refusal::NoIdr.into());
                }
                continue;
            }
            let timeline = &self.track.timeline;
            let due = timeline.due(self.pass, sample.decode);
            let stamp = timeline.stamp(self.pass, sample.presentation);
            let time = self.pacer.wait(due, stamp, unit.is_keyframe());
            return Ok(unit.at(time));
        }
    }
}

impl Source for Mp4 {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        let unit = self.advance().map_err(|failure| failure.of_file(&self.path, None))?;
        Ok(Some(Captured::Encoded(unit)))
    }
}

/// The payload of the `moov` box.
fn read_index(file: &mut File, file_size: u64) -> Result<Vec<u8>, Failure> {
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        file.seek(SeekFrom::Start(at))?;
        let mut beginning = Vec::with_capacity(Header::MAX_LENGTH);
        file.by_ref().take(Header::MAX_LENGTH as u64).read_to_end(&mut beginning)?;
        let Some(header) = Header::parse(&beginning) else { break };
        let size = header.size.unwrap_or(file_size - at);
        let Some(end) = at.checked_add(size).filter(|&end| end <= file_size) else { break };
        match &header.kind {
            b"moov" => {
                if size > MAX_INDEX {
                    return Err(Refusal::IndexTooLarge(size).into());
                }
                file.seek(SeekFrom::Start(at + header.length as u64))?;
                let mut moov = vec![0; size as usize - header.length];
                file.read_exact(&mut moov)?;
                return Ok(moov);
            }
            b"moof" => return Err(Refusal::Fragmented.into()),
            _ => at = end,
        }
    }
    Err(Refusal::NoIndex.into())
}

/// Reads a sample, the first being number 1.
fn read_sample(
    file: &mut File,
    track: &Track,
    sample: Sample,
    number: u32,
) -> Result<AccessUnit, Failure> {
    file.seek(SeekFrom::Start(sample.offset))?;
    let mut data = vec![0; sample.size as usize];
    file.read_exact(&mut data).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Failure::from(Refusal::BeyondEnd { number }),
        _ => Failure::from(error),
    })?;
    AccessUnit::from_length_prefixed(Bytes::from(data), track.prefix, MediaTime::ZERO)
        .ok_or_else(|| Refusal::Damaged { number }.into())
}

/// The largest index that is read into memory, in bytes: 3 million pictures, a day and a half at
/// 25 pictures per second.
const MAX_INDEX: u64 = 64 << 20;

/// The most boxes that are looked through for the index.
const MAX_BOXES: usize = 10_000;
