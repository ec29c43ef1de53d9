//! What a driver puts into coded buffers, made into access units.
//!
//! Drivers put parameter sets into a buffer of their own, in front of the first picture only, or in
//! front of each IDR; here each IDR gets those that hold, and no other picture does, unless they
//! have changed. What a driver says of a buffer besides is not looked at: keyframes are known by
//! their NAL units.

use bytes::Bytes;
use media::{
    AccessUnit, Colours, MediaTime, annexb,
    h264::{NalType, SpsDescription, pps_id, with_colours, without_reordering},
};
use tracing::debug;

/// What a coded buffer held.
#[derive(Debug)]
pub(super) enum Coded {
    /// A picture.
    Picture(AccessUnit),
    /// Something that belongs to the pictures that follow.
    Headers,
    /// Nothing at all.
    Nothing,
    /// A keyframe for which no parameter sets ever came.
    Undecodable,
}

/// The parameter sets that hold.
#[derive(Debug)]
pub(super) struct Units {
    colours: Colours,
    /// As the encoder wrote it.
    sps: Bytes,
    /// As it is sent.
    sent_sps: Bytes,
    pps: Vec<Bytes>,
    /// Whether they came or changed since the last picture.
    are_new: bool,
}

impl Units {
    /// Of pictures of these colours, which the SPS is made to say.
    pub(super) fn new(colours: Colours) -> Self {
        let (sps, sent_sps) = (Bytes::new(), Bytes::new());
        Self { colours, sps, sent_sps, pps: Vec::new(), are_new: false }
    }

    /// Takes a buffer apart and puts the sets in front where they are needed.
    pub(super) fn take(&mut self, data: &[u8], time: MediaTime) -> Coded {
        let mut nals = Vec::new();
        let mut has_picture = false;
        let mut is_keyframe = false;
        let mut is_empty = true;
        for nal in annexb::nal_units(data).filter_map(|range| data.get(range)) {
            is_empty = false;
            let Some(kind) = nal.first().map(|header| NalType::of(*header)) else { continue };
            match kind {
                NalType::Sps => self.learn_sps(nal),
                NalType::Pps => self.learn_pps(nal),
                NalType::Aud | NalType::Filler => {}
                _ => {
                    has_picture |= kind.is_vcl();
                    is_keyframe |= kind == NalType::Idr;
                    nals.push(nal);
                }
            }
        }
        if !has_picture {
            return if is_empty { Coded::Nothing } else { Coded::Headers };
        }
        let has_sets = std::mem::take(&mut self.are_new) || is_keyframe;
        if is_keyframe && (self.sps.is_empty() || self.pps.is_empty()) {
            return Coded::Undecodable;
        }
        let sets = [&self.sent_sps].into_iter().chain(&self.pps).filter(|_| has_sets);
        let sets = sets.map(|set| &set[..]).filter(|set| !set.is_empty());
        let all = || sets.clone().chain(nals.iter().copied());
        let size = all().map(|nal| annexb::START_CODE.len() + nal.len()).sum();
        let mut unit = Vec::with_capacity(size);
        for nal in all() {
            unit.extend_from_slice(&annexb::START_CODE);
            unit.extend_from_slice(nal);
        }
        Coded::Picture(AccessUnit::from_annexb(unit.into(), time))
    }

    fn learn_sps(&mut self, nal: &[u8]) {
        if self.sps == nal {
            return;
        }
        self.sps = Bytes::copy_from_slice(nal);
        self.sent_sps = self.sps.clone();
        // What is written must be readable, or it is better left alone.
        let is_readable = |sps: &Vec<u8>| SpsDescription::parse(sps).is_ok();
        if let Some(sps) = with_colours(&self.sent_sps, self.colours).filter(is_readable) {
            self.sent_sps = sps.into();
        }
        if let Some(sps) = without_reordering(&self.sent_sps).filter(is_readable) {
            self.sent_sps = sps.into();
        }
        debug!(rewritten = self.sent_sps != self.sps, "a new sequence parameter set");
        // What belonged to the one before must not be sent for ever.
        self.pps.clear();
        self.are_new = true;
    }

    fn learn_pps(&mut self, nal: &[u8]) {
        if self.pps.iter().any(|known| known == nal) {
            return;
        }
        let number = pps_id(nal);
        self.pps.retain(|known| pps_id(known) != number);
        self.pps.push(Bytes::copy_from_slice(nal));
        self.are_new = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1920x1080, High, level 4.0, one reference frame, without VUI.
    const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x28, 0xac, 0xb4, 0x03, 0xc0, 0x11, 0x3f, 0x2a];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    const OTHER_PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];
    const SECOND_PPS: &[u8] = &[0x68, 0x53, 0x3c];
    const IDR: &[u8] = &[0x65, 0x88, 0x84];
    const SLICE: &[u8] = &[0x41, 0x9a, 0x02];
    const AUD: &[u8] = &[0x09, 0x10];
    const SEI: &[u8] = &[0x06, 0x05, 0x01, 0x00, 0x80];

    /// A buffer with start codes of both lengths by turns.
    fn buffer(nals: &[&[u8]]) -> Vec<u8> {
        let codes: [&[u8]; 2] = [&[0, 0, 0, 1], &[0, 0, 1]];
        nals.iter()
            .zip(codes.iter().cycle())
            .flat_map(|(nal, code)| [code, *nal].concat())
            .collect()
    }

    fn picture(units: &mut Units, nals: &[&[u8]]) -> Vec<Vec<u8>> {
        let time = MediaTime::from_nanos(5);
        match units.take(&buffer(nals), time) {
            Coded::Picture(unit) => {
                assert_eq!(unit.time(), time);
                unit.nals().map(<[u8]>::to_vec).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn sent(sps: &[u8]) -> Vec<u8> {
        without_reordering(&with_colours(sps, Colours::BT601).unwrap()).unwrap()
    }

    fn sent_sps() -> Vec<u8> {
        sent(SPS)
    }

    #[test]
    fn sets_come_before_each_keyframe_and_before_no_other_picture() {
        let mut units = Units::new(Colours::BT601);
        let sps = sent_sps();
        assert_eq!(
            picture(&mut units, &[AUD, SPS, PPS, SEI, IDR, IDR]),
            [&sps, PPS, SEI, IDR, IDR]
        );
        assert_eq!(picture(&mut units, &[SLICE, SLICE]), [SLICE, SLICE]);
        assert_eq!(picture(&mut units, &[IDR]), [&sps, PPS, IDR]);
        // Those that the encoder repeats are not sent twice.
        assert_eq!(picture(&mut units, &[SPS, PPS, IDR]), [&sps, PPS, IDR]);
        assert_eq!(picture(&mut units, &[SPS, PPS, SLICE]), [SLICE]);
    }

    #[test]
    fn sets_in_a_buffer_of_their_own_go_with_what_follows() {
        let mut units = Units::new(Colours::BT601);
        assert!(matches!(units.take(&buffer(&[SPS, PPS]), MediaTime::ZERO), Coded::Headers));
        assert_eq!(picture(&mut units, &[IDR]), [&sent_sps(), PPS, IDR]);
        // Even if that is no keyframe.
        assert!(matches!(units.take(&buffer(&[OTHER_PPS]), MediaTime::ZERO), Coded::Headers));
        assert_eq!(picture(&mut units, &[SLICE]), [&sent_sps(), OTHER_PPS, SLICE]);
        assert_eq!(picture(&mut units, &[SLICE]), [SLICE]);
    }

    #[test]
    fn sets_that_change_take_the_place_of_those_of_their_number() {
        let mut units = Units::new(Colours::BT601);
        picture(&mut units, &[SPS, PPS, SECOND_PPS, IDR]);
        let changed = picture(&mut units, &[OTHER_PPS, IDR]);
        assert_eq!(changed, [&sent_sps(), SECOND_PPS, OTHER_PPS, IDR]);
        let mut other_sps = SPS.to_vec();
        other_sps[3] = 0x29;
        let restarted = picture(&mut units, &[&other_sps, PPS, IDR]);
        assert_eq!(restarted[0], sent(&other_sps));
        assert_eq!(restarted[1..], [PPS, IDR]);
    }

    #[test]
    fn a_set_that_cannot_be_read_is_sent_as_it_is() {
        let mut units = Units::new(Colours::BT601);
        let broken = &SPS[..6];
        assert_eq!(picture(&mut units, &[broken, PPS, IDR]), [broken, PPS, IDR]);
    }

    #[test]
    fn a_keyframe_without_both_sets_is_of_no_use() {
        for sets in [&[][..], &[SPS], &[PPS]] {
            let data = buffer(&[sets, &[IDR]].concat());
            let taken = Units::new(Colours::BT601).take(&data, MediaTime::ZERO);
            assert!(matches!(taken, Coded::Undecodable), "{sets:?}: {taken:?}");
        }
    }

    #[test]
    fn nothing_is_told_from_headers_and_headers_from_pictures() {
        let mut units = Units::new(Colours::BT601);
        for empty in [&[][..], &[0, 0, 0, 1], &[0; 40], &[7, 8, 9]] {
            assert!(matches!(units.take(empty, MediaTime::ZERO), Coded::Nothing), "{empty:?}");
        }
        for nals in [&[AUD][..], &[SEI], &[PPS]] {
            assert!(matches!(units.take(&buffer(nals), MediaTime::ZERO), Coded::Headers));
        }
    }
}
