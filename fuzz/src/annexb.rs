//! Annex B: the NAL units of a byte stream, against the definition read literally, and the same
//! units with length prefixes.
//!
//! Input: a byte stream.

use bytes::Bytes;
use media::{AccessUnit, MediaTime, annexb, h264::NalType};

/// Runs one input.
pub fn run(data: &[u8]) {
    let units: Vec<&[u8]> = annexb::nal_units(data).map(|range| &data[range]).collect();
    assert_eq!(units, literally(data));
    for from in (0..data.len()).take(64) {
        let found = data.get(from..).and_then(|rest| rest.windows(3).position(|w| w == [0, 0, 1]));
        assert_eq!(annexb::find_start_code(data, from), found.map(|at| from + at));
    }

    let joined: Vec<u8> = units.iter().flat_map(|unit| [&[0, 0, 1], *unit].concat()).collect();
    let again: Vec<&[u8]> = annexb::nal_units(&joined).map(|range| &joined[range]).collect();
    assert_eq!(again, units, "joined and split again");

    let unit = AccessUnit::from_annexb(Bytes::copy_from_slice(data), MediaTime::ZERO);
    assert!(unit.nals().eq(units.iter().copied()));
    assert_eq!(unit.size(), units.iter().map(|unit| unit.len()).sum::<usize>());
    let keyframe = units.iter().any(|unit| NalType::of(unit[0]) == NalType::Idr);
    assert_eq!(unit.is_keyframe(), keyframe);

    for prefix in [1, 2, 3, 4] {
        // The input as it stands: every unit lies in it, or there are none.
        let raw = Bytes::copy_from_slice(data);
        if let Some(read) = AccessUnit::from_length_prefixed(raw, prefix, MediaTime::ZERO) {
            let (count, size) = (read.nals().len(), read.size());
            assert!(count * prefix + size <= data.len());
            assert!(read.nals().all(|nal| !nal.is_empty()));
        }
        // The units that were found, with the prefix before them.
        let longest = (1u64 << (8 * prefix)) - 1;
        let short = || units.iter().filter(|unit| unit.len() as u64 <= longest);
        let prefixed: Vec<u8> = short()
            .flat_map(|unit| {
                let length = (unit.len() as u32).to_be_bytes();
                [&length[4 - prefix..], *unit].concat()
            })
            .collect();
        let read = AccessUnit::from_length_prefixed(prefixed.into(), prefix, MediaTime::ZERO);
        assert!(read.expect("right lengths").nals().eq(short().copied()), "prefix {prefix}");
    }
}

/// What stands between start codes, without zeros at its end, where anything is left.
fn literally(stream: &[u8]) -> Vec<&[u8]> {
    let codes: Vec<usize> =
        (0..stream.len()).filter(|&at| stream[at..].starts_with(&[0, 0, 1])).collect();
    let ends = codes.iter().skip(1).copied().chain([stream.len()]);
    codes
        .iter()
        .zip(ends)
        .filter_map(|(&code, end)| {
            let mut unit = &stream[code + 3..end];
            while let [before @ .., 0] = unit {
                unit = before;
            }
            (!unit.is_empty()).then_some(unit)
        })
        .collect()
}
