//! What a driver puts into coded buffers, made into access units.
//!
//! Drivers put parameter sets into a buffer of their own, in front of the first picture only, or in
//! front of each IDR; here each IDR gets those that hold, and no other picture does, unless they
//! have changed. What a driver says of a buffer besides is not looked at: keyframes are known by
//! their NAL units.

use bytes::Bytes;
use media::{
    AccessUnit, MediaTime, annexb,
    h264::{NalType, SpsDescription, pps_id, without_reordering},
};
use tracing::{debug, warn};

/// What a coded buffer held.
#[derive(Debug)]
pub(super) enum Coded {
    /// A picture.
    Picture(AccessUnit),
    /// Something that belongs to the pictures that follow.
    Headers,
    /// Nothing at all.
    Nothing,
}

/// The parameter sets that hold.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// As the encoder wrote it.
    sps: Bytes,
    /// As it is sent.
    sent_sps: Bytes,
    pps: Vec<Bytes>,
    /// Whether they came or changed since the last picture.
    are_new: bool,
    has_warned: bool,
}

impl Units {
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
        if is_keyframe && self.pps.is_empty() && !std::mem::replace(&mut self.has_warned, true) {
            warn!("the encoder gives no parameter sets: nobody can decode what it makes");
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
        self.sent_sps = match without_reordering(nal) {
            // What is written must be readable, or it is better left alone.
            Some(rewritten) if SpsDescription::parse(&rewritten).is_ok() => rewritten.into(),
            _ => self.sps.clone(),
        };
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
