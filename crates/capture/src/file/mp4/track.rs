//! The H.264 track of an MP4 file, from its index (the `moov` box, ISO/IEC 14496-12 8.2.1).
//!
//! Everything is checked here once, so that playing needs no more checks: what is in the tables
//! lies within the file and adds up. Pure.

use std::num::NonZeroU32;

use bytes::Bytes;
use media::{FrameRate, h264::ParameterSets};
use shiguredo_mp4::{
    BoxSize, BoxType, Either,
    aux::{SampleAccessor, SampleTableAccessor},
    boxes::{
        AvccBox, Co64Box, CttsBox, ElstBox, MdhdBox, MvhdBox, SampleEntry, StblBox, StcoBox,
        StscBox, StsdBox, StszBox, SttsBox, UnknownBox,
    },
};

use super::{
    boxes::{Child, FourCc, children, find, need, readable},
    edit_list::Mapping,
};
use crate::file::{
    refusal::{LONGEST_SECONDS, Refusal},
    splitter::MAX_UNIT,
    timeline::Timeline,
};

/// A track whose samples can be read and streamed.
#[derive(Debug)]
pub(super) struct Track {
    /// Parameter sets from its header, if they are there.
    pub(super) parameter_sets: Option<ParameterSets>,
    /// Bytes of a NAL unit's length: 1, 2 or 4.
    pub(super) prefix: usize,
    /// Pictures per second on average.
    pub(super) rate: Option<FrameRate>,
    /// Its times on the endless line.
    pub(super) timeline: Timeline,
    /// Samples that the edit list would have hidden.
    pub(super) hidden: u32,
    /// Tracks of the file that are not played.
    pub(super) ignored: usize,
    table: SampleTableAccessor<StblBox>,
    shift: i64,
}

/// Where a sample lies, and when it is decoded and shown, in ticks of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// First byte in the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u32,
    /// Decoding time.
    pub(super) decode: i64,
    /// Presentation time, edit list applied.
    pub(super) presentation: i64,
}

impl Track {
    /// Finds the first H.264 track in `moov`, the payload of that box, of a file of `file_size`
    /// bytes.
    pub(super) fn parse(moov: &[u8], file_size: u64) -> Result<Self, Refusal> {
        if find(moov, b"cmov").is_some() {
            return Err(Refusal::CompressedIndex);
        }
        if find(moov, b"mvex").is_some() {
            return Err(Refusal::Fragmented);
        }
        let movie: MvhdBox = need(moov, b"mvhd")?.decode()?;
        let tracks = || children(moov).filter(|child| child.kind == *b"trak");
        let mut refusal = Refusal::NoVideo;
        for track in tracks() {
            match Candidate::parse(track.payload) {
                Ok(Some(candidate)) => {
                    let ignored = tracks().count() - 1;
                    return candidate.index(movie.timescale, file_size, ignored);
                }
                Ok(None) => {}
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    /// The sample at `index`, counted from zero; `None` behind the last.
    pub(super) fn sample(&self, index: u32) -> Option<Sample> {
        let number = NonZeroU32::new(index.checked_add(1)?)?;
        self.table.get_sample(number).map(|sample| sample_of(&sample, self.shift))
    }
}

fn sample_of(sample: &SampleAccessor<'_, StblBox>, shift: i64) -> Sample {
    let decode = i64::try_from(sample.timestamp()).unwrap_or(i64::MAX);
    let presentation =
        decode.saturating_add(sample.composition_time_offset().unwrap_or(0)).saturating_add(shift);
    Sample { offset: sample.data_offset(), size: sample.data_size(), decode, presentation }
}

/// A video track with an H.264 sample entry.
struct Candidate<'a> {
    track: &'a [u8],
    media: MdhdBox,
    samples: &'a [u8],
    configuration: AvccBox,
    entries: usize,
}

impl<'a> Candidate<'a> {
    /// `None` when the track is not of pictures; a refusal when they are not H.264.
    fn parse(track: &'a [u8]) -> Result<Option<Self>, Refusal> {
        let media = need(track, b"mdia")?.payload;
        // Version, flags and a QuickTime type stand before the handler.
        if need(media, b"hdlr")?.payload.get(8..12) != Some(b"vide") {
            return Ok(None);
        }
        let information = need(media, b"minf")?.payload;
        let samples = need(information, b"stbl")?.payload;
        let description = need(samples, b"stsd")?.payload;
        let entries: Vec<_> = children(description.get(8..).unwrap_or_default()).collect();
        let mut configuration = None;
        for entry in &entries {
            let box_of_entry = configuration_of(entry)?;
            if *configuration.get_or_insert(box_of_entry.whole) != box_of_entry.whole {
                return Err(Refusal::SeveralEntries);
            }
        }
        let Some(first) = entries.first() else { return Err(Refusal::NoVideo) };
        if let Some(references) = find(information, b"dinf").and_then(|b| find(b.payload, b"dref"))
            && children(references.payload.get(8..).unwrap_or_default())
                .any(|reference| reference.payload.get(3).is_some_and(|flags| flags & 1 == 0))
        {
            return Err(Refusal::Elsewhere);
        }
        Ok(Some(Self {
            track,
            media: need(media, b"mdhd")?.decode()?,
            samples,
            configuration: configuration_of(first)?.decode()?,
            entries: entries.len(),
        }))
    }

    fn index(
        self,
        movie_timescale: NonZeroU32,
        file_size: u64,
        ignored: usize,
    ) -> Result<Track, Refusal> {
        let timescale = self.media.timescale;
        let edits = match find(self.track, b"edts").and_then(|edits| find(edits.payload, b"elst")) {
            Some(list) => list.decode::<ElstBox>()?.entries,
            None => Vec::new(),
        };
        let mapping = Mapping::new(&edits, movie_timescale, timescale)?;
        let prefix = usize::from(self.configuration.length_size_minus_one.get()) + 1;
        if prefix == 3 {
            return Err(Refusal::LengthSize(prefix));
        }
        let table = SampleTableAccessor::new(self.tables()?)
            .map_err(|error| Refusal::Index(error.to_string()))?;
        let survey = Survey::of(&table, &mapping, timescale, file_size)?;
        Ok(Track {
            parameter_sets: parameter_sets(&self.configuration)?,
            prefix,
            rate: survey.rate,
            timeline: survey.timeline,
            hidden: survey.hidden,
            ignored,
            table,
            shift: mapping.shift,
        })
    }

    /// The tables that say where and when samples are. Which of them are keyframes is read from
    /// the samples themselves, and their descriptions are all the same.
    fn tables(&self) -> Result<StblBox, Refusal> {
        let need = |kind| need(self.samples, kind);
        let chunks = match find(self.samples, b"co64") {
            Some(offsets) => Either::B(offsets.decode::<Co64Box>()?),
            None => Either::A(need(b"stco")?.decode::<StcoBox>()?),
        };
        let mut composition =
            find(self.samples, b"ctts").map(|offsets| offsets.decode::<CttsBox>()).transpose()?;
        for entry in composition.iter_mut().flat_map(|offsets| &mut offsets.entries) {
            // QuickTime has signed offsets in version 0 as well.
            if entry.sample_offset > i64::from(i32::MAX) {
                entry.sample_offset -= 1 << 32;
            }
        }
        let placeholder = SampleEntry::Unknown(UnknownBox {
            box_type: BoxType::Normal(*b"avc1"),
            box_size: BoxSize::U32(8),
            payload: Vec::new(),
        });
        Ok(StblBox {
            stsd_box: StsdBox { entries: vec![placeholder; self.entries] },
            stts_box: need(b"stts")?.decode::<SttsBox>()?,
            ctts_box: composition,
            cslg_box: None,
            stsc_box: need(b"stsc")?.decode::<StscBox>()?,
            stsz_box: need(b"stsz")?.decode::<StszBox>()?,
            stco_or_co64_box: chunks,
            stss_box: None,
            sdtp_box: None,
            unknown_boxes: Vec::new(),
        })
    }
}

/// The decoder configuration (ISO/IEC 14496-15 5.3.3) in a sample entry.
fn configuration_of<'a>(entry: &Child<'a>) -> Result<Child<'a>, Refusal> {
    const H264: [FourCc; 2] = [*b"avc1", *b"avc3"];
    const ENCRYPTED: [FourCc; 2] = [*b"encv", *b"drmi"];
    let inside = entry.payload.get(VISUAL_FIELDS..).unwrap_or_default();
    if ENCRYPTED.contains(&entry.kind) || find(inside, b"sinf").is_some() {
        return Err(Refusal::Encrypted);
    }
    if !H264.contains(&entry.kind) {
        return Err(Refusal::Codec(readable(entry.kind)));
    }
    need(inside, b"avcC")
}

/// In `avc3` tracks the header may leave them to the pictures.
fn parameter_sets(configuration: &AvccBox) -> Result<Option<ParameterSets>, Refusal> {
    let copy = |nal: &Vec<u8>| Bytes::copy_from_slice(nal);
    let Some(sps) = configuration.sps_list.first() else { return Ok(None) };
    if configuration.pps_list.is_empty() {
        return Ok(None);
    }
    let pps = configuration.pps_list.iter().map(copy);
    Ok(Some(ParameterSets::new(copy(sps), pps)?))
}

/// What one walk over all samples tells.
struct Survey {
    timeline: Timeline,
    rate: Option<FrameRate>,
    hidden: u32,
}

impl Survey {
    fn of(
        table: &SampleTableAccessor<StblBox>,
        mapping: &Mapping,
        timescale: NonZeroU32,
        file_size: u64,
    ) -> Result<Self, Refusal> {
        let count = table.sample_count();
        if count > MAX_SAMPLES {
            return Err(Refusal::TooManySamples(count));
        }
        let longest = LONGEST_SECONDS * u64::from(timescale.get());
        let (mut shown, mut lag) = (Extent::default(), Extent::default());
        let (mut ticks, mut step, mut hidden) = (0u64, 1u32, 0);
        for accessor in table.samples() {
            let number = accessor.index().get();
            let duration = accessor.duration();
            if u64::from(duration) > longest {
                return Err(Refusal::TooLong { number });
            }
            let sample = sample_of(&accessor, mapping.shift);
            if sample.size as usize > MAX_UNIT {
                return Err(Refusal::SampleTooLarge { number, size: sample.size });
            }
            let end = sample.offset.checked_add(u64::from(sample.size));
            if end.is_none_or(|end| end > file_size) {
                return Err(Refusal::BeyondEnd { number });
            }
            shown.include(sample.presentation);
            lag.include(sample.presentation.saturating_sub(sample.decode));
            let media_time = sample.presentation.saturating_sub(mapping.shift);
            hidden += u32::from(!mapping.shown.contains(&media_time));
            // Some writers do not know how long the last one lasts, and write zero.
            if duration > 0 || number == count {
                step = if duration > 0 { duration } else { step };
                ticks += u64::from(step);
            }
        }
        let (Some((first, last)), Some((shortest_lag, longest_lag))) = (shown.0, lag.0) else {
            return Err(Refusal::NoPictures);
        };
        let reordering = longest_lag.saturating_sub(shortest_lag);
        if reordering > i64::from(timescale.get()).saturating_mul(MAX_REORDERING_SECONDS) {
            let why = "a picture is shown more than a minute after others that come with it";
            return Err(Refusal::Index(why.into()));
        }
        // A pass must end after its last picture, or the next pass would begin within this one.
        let span = last.saturating_sub(first).saturating_add(i64::from(step));
        let pass = ticks.max(u64::try_from(span).unwrap_or(0));
        if u128::from(pass) * MAX_RATE < u128::from(count) * u128::from(timescale.get()) {
            let milliseconds = pass * 1000 / u64::from(timescale.get());
            return Err(Refusal::TooFast { count, milliseconds });
        }
        Ok(Self {
            timeline: Timeline { timescale, pass, longest_lag, shortest_lag },
            rate: average_rate(count, pass, timescale),
            hidden,
        })
    }
}

/// The least and the greatest of some numbers.
#[derive(Default)]
struct Extent(Option<(i64, i64)>);

impl Extent {
    fn include(&mut self, value: i64) {
        let (least, greatest) = self.0.unwrap_or((value, value));
        self.0 = Some((least.min(value), greatest.max(value)));
    }
}

/// Pictures per second, exact where that fits into a [`FrameRate`], else to a thousandth.
fn average_rate(count: u32, pass: u64, timescale: NonZeroU32) -> Option<FrameRate> {
    let pictures = u64::from(count) * u64::from(timescale.get());
    let (mut divisor, mut rest) = (pictures, pass);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let exact = (u32::try_from(pictures / divisor), u32::try_from(pass / divisor));
    if let (Ok(numerator), Ok(denominator)) = exact {
        return FrameRate::new(numerator, denominator);
    }
    let thousandths = u128::from(pictures) * 1000 / u128::from(pass);
    FrameRate::new(u32::try_from(thousandths).ok()?, 1000)
}

/// Bytes of a visual sample entry before the boxes in it (ISO/IEC 14496-12 12.1.3).
const VISUAL_FIELDS: usize = 78;

/// The most samples that are surveyed: 77 hours at 60 pictures per second.
const MAX_SAMPLES: u32 = 1 << 24;

/// The longest that reordering may take, in seconds: 16 pictures, the most that H.264 allows, one
/// every four seconds.
const MAX_REORDERING_SECONDS: i64 = 64;

/// The most pictures per second, on average: beyond it the times are damaged, and sending would
/// keep a processor busy.
const MAX_RATE: u128 = 1000;

#[cfg(test)]
mod tests;
