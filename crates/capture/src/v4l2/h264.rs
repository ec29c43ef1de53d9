//! H.264 of cameras: from buffers to access units that can be shown.
//!
//! A buffer holds one access unit, as the kernel's page on V4L2_PIX_FMT_H264 has it, and so it is
//! passed on at once. Some cameras put parameter sets into buffers of their own, or a picture's
//! slices into several: those are joined, from when the first was seen, at the cost of one buffer's
//! delay. Nothing is passed on before the first IDR picture with parameter sets.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use media::{
    AccessUnit, MediaTime, annexb,
    h264::{NalType, ParameterSets, SpsDescription, without_reordering},
};
use tracing::{info, warn};

use crate::file::splitter::{Splitter, begins_unit};

/// Buffers in, access units out.
#[derive(Default)]
pub(super) struct Units {
    splitter: Splitter,
    ready: VecDeque<AccessUnit>,
    /// When the buffer was filled with which the picture being gathered began.
    begun: Option<MediaTime>,
    /// The last time given.
    last: Option<MediaTime>,
    /// Pictures come in several buffers.
    in_pieces: bool,
    /// Parameter sets have come.
    has_sets: bool,
    /// A picture that decoding can begin with has been given.
    joined: bool,
    skipped: u64,
}

impl Units {
    /// Takes what was in a buffer that was filled at `time`.
    ///
    /// # Errors
    ///
    /// When it is not H.264 with start codes.
    pub(super) fn push(&mut self, data: &[u8], time: MediaTime) -> Result<(), String> {
        // What comes before a camera's first start code belongs to nothing.
        let Some(start) = annexb::find_start_code(data, 0) else {
            return match data.is_empty() {
                true => Ok(()),
                false => Err("it has no start code".to_owned()),
            };
        };
        let mut data = &data[start..];
        if !self.in_pieces && continues(data) {
            info!("pictures come in several buffers: they are joined, at the cost of one's delay");
            self.in_pieces = true;
            // The picture it belongs to has been given without it.
            self.joined = false;
            let Some(next) = next_unit(data) else { return Ok(()) };
            data = &data[next..];
        }
        self.splitter.push(data);
        loop {
            match self.splitter.next_unit() {
                Ok(Some(unit)) => {
                    let begun = self.begun.replace(time).unwrap_or(time);
                    self.give(&unit, begun);
                }
                Ok(None) => break,
                Err(error) => {
                    self.splitter = Splitter::default();
                    return Err(error.to_string());
                }
            }
        }
        self.begun.get_or_insert(time);
        // Parameter sets alone wait for their picture.
        if !self.in_pieces && self.splitter.has_picture() {
            let begun = self.begun.take().unwrap_or(time);
            if let Some(unit) = self.splitter.finish() {
                self.give(&unit, begun);
            }
        }
        Ok(())
    }

    /// The next unit that is whole.
    pub(super) fn pop(&mut self) -> Option<AccessUnit> {
        self.ready.pop_front()
    }

    fn give(&mut self, unit: &Bytes, begun: MediaTime) {
        let unit = AccessUnit::from_annexb(without_doubt(unit), MediaTime::ZERO);
        self.has_sets |= matches!(ParameterSets::in_band(&unit), Ok(Some(_)));
        if !self.joined {
            self.joined = unit.is_keyframe() && self.has_sets;
            if !self.joined {
                self.skipped += 1;
                if self.skipped == LONG_WAIT {
                    warn!(
                        pictures = self.skipped,
                        "the camera sends no IDR picture with parameter sets"
                    );
                }
                return;
            }
        }
        // Two pictures of one buffer were taken one after the other.
        let time = self.last.map_or(begun, |last| begun.max(last + LEAST_SPACING));
        self.last = Some(time);
        self.ready.push_back(unit.at(time));
    }
}

/// Whether `data` begins within a picture.
fn continues(data: &[u8]) -> bool {
    let first = annexb::nal_units(data).next();
    first.is_some_and(|nal| match data[nal] {
        [header, second, ..] => NalType::of(header).is_vcl() && !begins_unit(header, second),
        _ => false,
    })
}

/// Where in `data`, which begins within a picture, the next one begins.
fn next_unit(data: &[u8]) -> Option<usize> {
    let begins = |nal: &[u8]| matches!(nal, [header, second, ..] if begins_unit(*header, *second));
    let next = annexb::nal_units(data).find(|nal| begins(&data[nal.clone()]))?;
    Some(next.start - annexb::START_CODE.len())
}

/// A camera sends pictures as it takes them; where its SPS leaves that open, it is written down, or
/// players would hold pictures back.
fn without_doubt(unit: &Bytes) -> Bytes {
    let is_open = |nal: &[u8]| {
        NalType::of(nal[0]) == NalType::Sps
            && SpsDescription::parse(nal).is_ok_and(|sps| sps.may_reorder)
    };
    if !annexb::nal_units(unit).any(|nal| is_open(&unit[nal])) {
        return unit.clone();
    }
    let mut rewritten = BytesMut::with_capacity(unit.len() + 32);
    for nal in annexb::nal_units(unit) {
        let nal = &unit[nal];
        rewritten.extend_from_slice(&annexb::START_CODE);
        match is_open(nal).then(|| without_reordering(nal)).flatten() {
            Some(sps) => rewritten.extend_from_slice(&sps),
            None => rewritten.extend_from_slice(nal),
        }
    }
    rewritten.freeze()
}

/// Between two pictures of one buffer.
const LEAST_SPACING: Duration = Duration::from_millis(1);
/// Pictures after which a missing beginning is told.
const LONG_WAIT: u64 = 300;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The access units of a small file of Baseline, an IDR every six pictures.
    fn pictures() -> Vec<Vec<u8>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/slices.h264");
        let mut splitter = Splitter::default();
        splitter.push(&fs::read(path).unwrap());
        let mut units: Vec<Vec<u8>> = Vec::new();
        while let Some(unit) = splitter.next_unit().unwrap() {
            units.push(unit.to_vec());
        }
        units.extend(splitter.finish().map(|unit| unit.to_vec()));
        units
    }

    fn time(index: usize) -> MediaTime {
        MediaTime::from_nanos(1_000_000_000 + index as u64 * 40_000_000)
    }

    /// All units out of buffers that come at [`time`] of their index.
    fn units(buffers: &[Vec<u8>]) -> Vec<AccessUnit> {
        let mut units = Units::default();
        let mut all = Vec::new();
        for (index, buffer) in buffers.iter().enumerate() {
            units.push(buffer, time(index)).unwrap();
            all.extend(std::iter::from_fn(|| units.pop()));
        }
        all
    }

    fn nals(data: &[u8]) -> Vec<Vec<u8>> {
        annexb::nal_units(data).map(|nal| data[nal].to_vec()).collect()
    }

    fn of_units(units: &[AccessUnit]) -> Vec<Vec<Vec<u8>>> {
        units.iter().map(|unit| unit.nals().map(<[u8]>::to_vec).collect()).collect()
    }

    #[test]
    fn a_buffer_is_a_picture_and_passed_on_at_once() {
        let pictures = pictures();
        let given = units(&pictures);
        assert_eq!(of_units(&given), pictures.iter().map(|p| nals(p)).collect::<Vec<_>>());
        for (index, unit) in given.iter().enumerate() {
            assert_eq!(unit.time(), time(index));
        }
    }

    #[test]
    fn nothing_is_passed_on_before_a_picture_that_decoding_can_begin_with() {
        let pictures = pictures();
        let given = units(&pictures[2..]);
        assert_eq!(given.len(), pictures.len() - 6);
        assert!(given[0].is_keyframe());
        assert_eq!(given[0].time(), time(4));
        // An IDR picture without parameter sets is none.
        let bare = |picture: &Vec<u8>| {
            let kept = nals(picture).into_iter().filter(|nal| NalType::of(nal[0]).is_vcl());
            kept.flat_map(|nal| [&annexb::START_CODE[..], &nal].concat()).collect::<Vec<u8>>()
        };
        assert!(units(&pictures.iter().map(bare).collect::<Vec<_>>()).is_empty());
    }

    #[test]
    fn parameter_sets_in_buffers_of_their_own_come_with_their_picture() {
        let pictures = pictures();
        let mut buffers = Vec::new();
        for picture in &pictures {
            let (own, rest): (Vec<_>, Vec<_>) = nals(picture)
                .into_iter()
                .partition(|nal| matches!(NalType::of(nal[0]), NalType::Sps | NalType::Pps));
            buffers.extend(own.iter().chain([&Vec::new()]).map(|nal| {
                if nal.is_empty() { Vec::new() } else { [&[0, 0, 0, 1], &nal[..]].concat() }
            }));
            buffers.push(
                rest.iter().flat_map(|nal| [&annexb::START_CODE[..], nal].concat()).collect(),
            );
        }
        let given = units(&buffers);
        assert_eq!(given.len(), pictures.len());
        let first: Vec<_> = given[0].nals().map(|nal| NalType::of(nal[0])).collect();
        assert!(first.starts_with(&[NalType::Sps, NalType::Pps]), "{first:?}");
    }

    #[test]
    fn pictures_in_pieces_are_joined_from_the_next_beginning_on() {
        let pictures = pictures();
        let mut buffers = Vec::new();
        for picture in &pictures {
            let nals = nals(picture);
            assert!(nals.len() > 2);
            let (first, second) = nals.split_at(nals.len() - 1);
            for half in [first, second] {
                buffers.push(
                    half.iter().flat_map(|nal| [&annexb::START_CODE[..], nal].concat()).collect(),
                );
            }
        }
        let given = units(&buffers);
        // The first came without its second half; the last is not known to be whole.
        assert_eq!(of_units(&given)[0], nals(&buffers[0]));
        let whole: Vec<_> = pictures[6..pictures.len() - 1].iter().map(|p| nals(p)).collect();
        assert_eq!(of_units(&given)[1..], whole);
        assert_eq!(given[1].time(), time(12));
        assert!(given[1].is_keyframe());
    }

    #[test]
    fn several_pictures_in_a_buffer_are_parted_and_follow_each_other() {
        let pictures = pictures();
        let buffers: Vec<Vec<u8>> = pictures.chunks(2).map(<[Vec<u8>]>::concat).collect();
        let given = units(&buffers);
        assert_eq!(of_units(&given), pictures.iter().map(|p| nals(p)).collect::<Vec<_>>());
        assert!(given.is_sorted_by(|a, b| a.time() < b.time()));
        assert_eq!(given[2].time(), time(1));
    }

    #[test]
    fn what_is_no_h264_is_refused_and_an_empty_buffer_is_nothing() {
        let mut units = Units::default();
        assert!(units.push(&[], time(0)).is_ok());
        assert!(units.push(b"GIF89a", time(0)).is_err());
        assert!(units.pop().is_none());
    }

    #[test]
    fn an_sps_that_leaves_the_order_open_is_completed() {
        // Main, level 1, pic_order_cnt_type 0, one reference frame, 64x64, no VUI.
        let sps = [0x67, 0x4d, 0x00, 0x0a, 0xf4, 0x21, 0x32];
        assert!(SpsDescription::parse(&sps).unwrap().may_reorder);
        let unit =
            [&[0, 0, 1], &sps[..], &[0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb, 0, 0, 1, 0x65, 0x88, 0x84]];
        let given = units(&[unit.concat()]);
        let written: Vec<_> = given[0].nals().collect();
        assert!(!SpsDescription::parse(written[0]).unwrap().may_reorder);
        assert_eq!(&written[1..], [&[0x68, 0xeb, 0xe3, 0xcb][..], &[0x65, 0x88, 0x84]]);
    }
}
