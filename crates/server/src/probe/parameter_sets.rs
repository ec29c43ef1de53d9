//! Which parameter sets have come, and whether the one a slice names can be used (ITU-T H.264,
//! 7.3.2.1, 7.3.2.2, 7.3.3 and 9.1).
//!
//! Pure. Of slices and picture parameter sets only the numbers that tie them together are used.

use std::collections::BTreeMap;

use media::h264::{NalType, SpsDescription};

/// All parameter sets seen, by id; the newest of an id holds, as for a decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct ParameterSetStore {
    sequence: BTreeMap<u32, SpsDescription>,
    /// Picture parameter set to sequence parameter set.
    picture: BTreeMap<u32, u32>,
    broken: Option<String>,
}

/// Why a picture cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// A parameter set has not come.
    Missing(String),
    /// One has come, but breaks the syntax.
    Broken(String),
}

impl ParameterSetStore {
    /// Takes in an SPS or PPS NAL unit; anything else changes nothing.
    pub(super) fn insert(&mut self, nal: &[u8]) {
        let Some(&header) = nal.first() else { return };
        let broken = match NalType::of(header) {
            NalType::Sps => match (SpsDescription::parse(nal), sequence_id(nal)) {
                (Ok(description), Some(id)) => {
                    self.sequence.insert(id, description);
                    None
                }
                (Err(error), _) => Some(error.to_string()),
                (Ok(_), None) => Some("the sequence parameter set has no valid id".into()),
            },
            NalType::Pps => match picture_ids(nal) {
                Some((id, sequence)) => {
                    self.picture.insert(id, sequence);
                    None
                }
                None => Some("the picture parameter set cannot be parsed".into()),
            },
            _ => None,
        };
        if let Some(broken) = broken {
            self.broken.get_or_insert(broken);
        }
    }

    /// What the sequence parameter set behind picture parameter set `id` says.
    pub(super) fn description(&self, id: u32) -> Result<&SpsDescription, Unusable> {
        let missing = |what: String| match &self.broken {
            Some(reason) => Unusable::Broken(reason.clone()),
            None => Unusable::Missing(what),
        };
        let sequence = self
            .picture
            .get(&id)
            .ok_or_else(|| missing(format!("picture parameter set {id} never came")))?;
        self.sequence
            .get(sequence)
            .ok_or_else(|| missing(format!("sequence parameter set {sequence} never came")))
    }
}

/// For the slice that begins a picture (`first_mb_in_slice` 0), the picture parameter set it names.
/// `nal` may be cut after the slice header's first three numbers.
pub(super) fn first_slice_of_picture(nal: &[u8]) -> Option<u32> {
    let mut bits = Bits::of_nal(nal);
    let first_macroblock = bits.unsigned()?;
    let _slice_type = bits.unsigned()?;
    let picture = bits.unsigned()?;
    (first_macroblock == 0).then_some(picture)
}

fn sequence_id(nal: &[u8]) -> Option<u32> {
    let mut bits = Bits::of_nal(nal);
    let _profile_and_level = bits.take(24)?;
    bits.unsigned().filter(|&id| id <= MOST_SEQUENCE_ID)
}

/// The ids of a picture parameter set and of the sequence parameter set it builds on, if its syntax
/// holds to the end of what every profile has. With slice groups, which no encoder of today makes,
/// only up to them.
fn picture_ids(nal: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::of_nal(nal);
    let id = bits.unsigned().filter(|&id| id <= MOST_PICTURE_ID)?;
    let sequence = bits.unsigned().filter(|&id| id <= MOST_SEQUENCE_ID)?;
    let _entropy_coding_and_field_order = bits.take(2)?;
    let slice_groups_minus_1 = bits.unsigned().filter(|&groups| groups <= 7)?;
    if slice_groups_minus_1 == 0 {
        for _list in 0..2 {
            let _references_minus_1 = bits.unsigned().filter(|&references| references <= 31)?;
        }
        let _weighted_prediction = bits.take(1)?;
        let _weighted_bipred_idc = bits.take(2).filter(|&idc| idc <= 2)?;
        for _parameter in 0..3 {
            let _qp_qs_or_chroma_offset = bits.unsigned()?;
        }
        let _three_flags = bits.take(3)?;
    }
    Some((id, sequence))
}

/// Reads the bits of a NAL unit after its header, emulation prevention bytes left out (7.4.1).
struct Bits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    zeros: u32,
    current: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    fn of_nal(nal: &'a [u8]) -> Self {
        Self { bytes: nal.get(1..).unwrap_or_default().iter(), zeros: 0, current: 0, left: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            let mut byte = *self.bytes.next()?;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = *self.bytes.next()?;
            }
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            self.current = byte;
            self.left = 8;
        }
        self.left -= 1;
        Some(u32::from(self.current >> self.left) & 1)
    }

    /// `count` bits, at most 32, most significant first.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// ue(v), Exp-Golomb (9.1). Also steps over se(v), which is as long.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1u32 << zeros) - 1) + self.take(zeros)?)
    }
}

/// H.264 7.4.2.1.1 and 7.4.2.2.
const MOST_SEQUENCE_ID: u32 = 31;
const MOST_PICTURE_ID: u32 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// 640x480, Constrained Baseline, level 3.0, written by openh264.
    const SPS: &[u8] =
        &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn store(nals: &[&[u8]]) -> ParameterSetStore {
        let mut store = ParameterSetStore::default();
        nals.iter().for_each(|nal| store.insert(nal));
        store
    }

    #[test]
    fn exp_golomb_numbers() {
        // Table 9-2: 1, 010, 011, 00100, 00101; then the bits left.
        let mut bits = Bits::of_nal(&[0, 0b1010_0110, 0b0100_0010, 0b1100_0000]);
        let numbers: Vec<u32> = (0..5).map_while(|_| bits.unsigned()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(Bits::of_nal(&[0, 0, 0, 0, 0, 0xff]).unsigned(), None);
        let largest = [0, 0, 0, 3, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Bits::of_nal(&largest).unsigned(), Some(u32::MAX - 1));
    }

    #[test]
    fn a_set_is_found_through_the_picture_set() {
        assert_eq!(store(&[SPS, PPS]).description(0).unwrap().width, 640);
        let missing = |nals: &[&[u8]], id| store(nals).description(id).cloned().unwrap_err();
        assert!(matches!(missing(&[], 0), Unusable::Missing(what) if what.starts_with("picture")));
        assert!(matches!(missing(&[PPS], 0), Unusable::Missing(what) if what.starts_with("seq")));
        assert!(matches!(missing(&[SPS, PPS], 1), Unusable::Missing(_)));
    }

    #[test]
    fn broken_sets_are_said_to_be_broken() {
        for nals in [[&SPS[..6], PPS], [SPS, &PPS[..1]], [SPS, &PPS[..2]], [SPS, &[0x68, 0, 0, 0]]]
        {
            let error = store(&nals).description(0).cloned().unwrap_err();
            assert!(matches!(error, Unusable::Broken(_)), "{nals:x?}");
        }
        // A good one that comes later holds.
        assert!(store(&[&SPS[..6], SPS, PPS]).description(0).is_ok());
    }

    #[test]
    fn the_first_slice_names_its_set() {
        // first_mb 0, slice_type 7 (0001000), pps 0.
        assert_eq!(first_slice_of_picture(&[0x65, 0b1000_1000, 0b1000_0000]), Some(0));
        // pps 2 (011).
        assert_eq!(first_slice_of_picture(&[0x65, 0b1000_1000, 0b0110_0000]), Some(2));
        // first_mb 1 (010).
        assert_eq!(first_slice_of_picture(&[0x65, 0b0100_0010, 0b0010_0000]), None);
        assert_eq!(first_slice_of_picture(&[0x65]), None);
        assert_eq!(first_slice_of_picture(&[]), None);
    }
}
