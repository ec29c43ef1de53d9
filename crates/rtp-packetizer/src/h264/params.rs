//! The parameter sets a stream has shown so far.
//!
//! Encoders write SPS and PPS into each IDR access unit, into the first only, into units of their
//! own, or change one PPS of several in passing. What must be sent before an IDR picture, and
//! announced in the session description, is the newest of each.

use bytes::Bytes;
use media::h264::{NalType, ParameterSets, SpsDescription, pps_id};
use smallvec::SmallVec;

/// The newest SPS, and the newest PPS under each identifier.
#[derive(Debug, Default)]
pub(crate) struct SeenSets {
    /// Only one that can be parsed: a broken one is passed on in its place in the stream, but must
    /// not replace a good one for all later viewers.
    sps: Option<Bytes>,
    /// At most one for each of the 256 identifiers.
    pps: SmallVec<[Bytes; 1]>,
    known: Option<ParameterSets>,
}

impl SeenSets {
    /// The newest sets; `None` until both an SPS and a PPS have been seen.
    pub(crate) fn known(&self) -> Option<&ParameterSets> {
        self.known.as_ref()
    }

    /// Replaces all that was seen.
    pub(crate) fn set(&mut self, sets: ParameterSets) {
        let plain = |nal: &Bytes| nal.slice_ref(without_padding(nal));
        self.sps = Some(plain(&sets.sps));
        self.pps = sets.pps.iter().map(plain).collect();
        let mut known = sets;
        known.sps = plain(&known.sps);
        known.pps.clone_from(&self.pps);
        self.known = Some(known);
    }

    /// Takes over the sets among `nals`. Costs a comparison of a few bytes while nothing changes.
    pub(crate) fn learn<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]> + Clone) {
        let of = |kind: NalType| {
            let is =
                move |nal: &&[u8]| nal.first().is_some_and(|&header| NalType::of(header) == kind);
            nals.clone().filter(is)
        };
        // Not short-circuited: each of them must be looked at.
        let new_sps = of(NalType::Sps).fold(false, |new, nal| self.learn_sps(nal) | new);
        if new_sps && of(NalType::Pps).next().is_some() {
            // A new beginning: what belonged to the SPS before must not be sent for ever.
            self.pps.clear();
        }
        let new_pps = of(NalType::Pps).fold(false, |new, nal| self.learn_pps(nal) | new);
        if (new_sps || new_pps)
            && let Some(sps) = &self.sps
        {
            // Without a PPS there is nothing to know yet; the SPS has been parsed once already.
            self.known = ParameterSets::new(sps.clone(), self.pps.iter().cloned()).ok();
        }
    }

    fn learn_sps(&mut self, nal: &[u8]) -> bool {
        if self.sps.as_deref() == Some(nal) || SpsDescription::parse(nal).is_err() {
            return false;
        }
        self.sps = Some(Bytes::copy_from_slice(nal));
        true
    }

    fn learn_pps(&mut self, nal: &[u8]) -> bool {
        let Some(id) = pps_id(nal) else { return false };
        match self.pps.iter_mut().find(|seen| pps_id(seen) == Some(id)) {
            Some(seen) if seen == nal => false,
            Some(seen) => {
                *seen = Bytes::copy_from_slice(nal);
                true
            }
            None => {
                self.pps.push(Bytes::copy_from_slice(nal));
                true
            }
        }
    }
}

/// `nal` without the zero bytes behind it. A NAL unit never ends in one (H.264 7.4.1): those are
/// padding of the stream or file it came from.
pub(crate) fn without_padding(nal: &[u8]) -> &[u8] {
    let length = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    nal.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 640x480, Constrained Baseline, level 3.0.
    const SPS: &[u8] =
        &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];

    #[test]
    fn sets_may_come_one_by_one_and_change_one_by_one() {
        let mut seen = SeenSets::default();
        seen.learn([PPS].into_iter());
        assert_eq!(seen.known(), None);
        seen.learn([SPS].into_iter());
        assert_eq!(seen.known().unwrap().sps, SPS);

        let second = [0x68, 0x40, 0x01];
        let changed = [0x68, 0x40, 0x02];
        seen.learn([&second[..]].into_iter());
        seen.learn([&changed[..]].into_iter());
        assert_eq!(&seen.known().unwrap().pps[..], [PPS, &changed]);
    }

    #[test]
    fn a_broken_sps_replaces_nothing() {
        let mut seen = SeenSets::default();
        seen.learn([SPS, PPS].into_iter());
        seen.learn([&SPS[..5]].into_iter());
        assert_eq!(seen.known().unwrap().sps, SPS);
    }

    #[test]
    fn sets_that_come_together_replace_all() {
        let mut seen = SeenSets::default();
        seen.learn([SPS, PPS, &[0x68, 0x40, 0x01]].into_iter());
        assert_eq!(seen.known().unwrap().pps.len(), 2);
        let mut changed = SPS.to_vec();
        changed[3] = 0x1f;
        seen.learn([&changed[..], PPS].into_iter());
        assert_eq!(&seen.known().unwrap().pps[..], [PPS]);
    }

    /// A unit may say what was and what will be.
    #[test]
    fn of_several_in_one_unit_the_last_counts() {
        let of_level = |level| [&SPS[..3], &[level], &SPS[4..]].concat();
        let mut seen = SeenSets::default();
        seen.learn([SPS, PPS].into_iter());
        seen.learn([&of_level(0x1f)[..], &of_level(0x20)].into_iter());
        assert_eq!(seen.known().unwrap().sps, of_level(0x20));
        let (second, third): (&[u8], &[u8]) = (&[0x68, 0x40, 0x01], &[0x68, 0x60, 0x01]);
        seen.learn([second, third].into_iter());
        assert_eq!(seen.known().unwrap().pps[..], [PPS, second, third]);
    }

    /// Most encoders repeat them before every IDR picture.
    #[test]
    fn sets_that_are_repeated_are_not_made_anew() {
        let mut seen = SeenSets::default();
        seen.learn([SPS, PPS].into_iter());
        let places = |seen: &SeenSets| {
            let known = seen.known().unwrap();
            (known.sps.as_ptr(), known.pps[0].as_ptr())
        };
        let before = places(&seen);
        seen.learn([SPS, PPS].into_iter());
        assert_eq!(places(&seen), before);
    }

    #[test]
    fn padding_of_sets_from_a_file_is_dropped() {
        let padded = |nal: &[u8]| [nal, &[0, 0]].concat().into();
        let mut seen = SeenSets::default();
        seen.set(ParameterSets::new(padded(SPS), [padded(PPS)]).unwrap());
        let plain = ParameterSets::new(Bytes::from_static(SPS), [Bytes::from_static(PPS)]);
        assert_eq!(seen.known(), plain.ok().as_ref());
    }

    #[test]
    fn a_changed_sps_alone_keeps_the_pps() {
        let mut seen = SeenSets::default();
        seen.learn([SPS, PPS].into_iter());
        let mut changed = SPS.to_vec();
        changed[3] = 0x1f;
        seen.learn([&changed[..]].into_iter());
        let known = seen.known().unwrap();
        assert_eq!((&known.sps[..], &known.pps[0][..]), (&changed[..], PPS));
        assert_eq!(known.description().profile_level_id, [0x42, 0xc0, 0x1f]);
    }
}
