//! Annex B byte streams (ITU-T H.264 Annex B): NAL units between start codes.
//!
//! ```text
//!  [00…] 00 00 01 | NAL unit | [00…] 00 00 01 | NAL unit | [00…]
//! ```
//!
//! A NAL unit never ends in a zero byte (H.264 7.4.1), so zeros before a start code, and at the
//! end, are padding and belong to no unit.

use std::ops::Range;

/// The ranges of the NAL units in `stream`, start codes and padding left out. Bytes before the
/// first start code belong to no unit.
pub fn nal_units(stream: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut next = find_start_code(stream, 0).map(|at| at + START_CODE.len());
    std::iter::from_fn(move || {
        loop {
            let start = next?;
            let code = find_start_code(stream, start);
            next = code.map(|at| at + START_CODE.len());
            let end = trim_zeros(stream, start, code.unwrap_or(stream.len()));
            if start < end {
                return Some(start..end);
            }
        }
    })
}

/// Where the first `00 00 01` at or after `from` begins.
pub fn find_start_code(stream: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    // Two neighbours that are both zero are rare, and looked for in many bytes at a time.
    while let Some(block) = stream.get(at..).and_then(<[u8]>::first_chunk::<{ BLOCK + 1 }>) {
        let pairs = block.iter().zip(&block[1..]);
        let least = pairs.fold(u8::MAX, |least, (one, next)| least.min(one | next));
        if least == 0
            && let Some(found) = find_within(stream, at, at + BLOCK)
        {
            return Some(found);
        }
        at += BLOCK;
    }
    find_within(stream, at, stream.len())
}

/// The same, if it begins before `end`.
fn find_within(stream: &[u8], from: usize, end: usize) -> Option<usize> {
    let mut at = from;
    // The third byte decides: over 1, no start code can begin at any of the three positions.
    while at < end
        && let Some(&third) = stream.get(at + 2)
    {
        if third > 1 {
            at += 3;
        } else if third == 1 && stream[at] == 0 && stream[at + 1] == 0 {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// The three bytes before every NAL unit.
pub const START_CODE: [u8; 3] = [0, 0, 1];

/// Positions that are looked at together.
const BLOCK: usize = 64;

fn trim_zeros(stream: &[u8], start: usize, end: usize) -> usize {
    stream[start..end].iter().rposition(|&byte| byte != 0).map_or(start, |last| start + last + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(stream: &[u8]) -> Vec<&[u8]> {
        nal_units(stream).map(|range| &stream[range]).collect()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes() {
        assert_eq!(units(&[0, 0, 1, 9, 0, 0, 0, 1, 7, 8, 0, 0]), [&[9][..], &[7, 8][..]]);
        assert_eq!(units(&[5, 5, 0, 0, 1, 9]), [&[9][..]]);
        assert!(units(&[]).is_empty());
        assert!(units(&[0, 0, 1]).is_empty());
        assert!(units(&[0, 0, 1, 0, 0, 1, 0, 0]).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_joined_comes_apart(
            nals in prop::collection::vec(prop::collection::vec(2u8.., 1..40), 0..8),
            zeros in prop::collection::vec(0usize..4, 9),
        ) {
            let mut stream = Vec::new();
            for (nal, zeros) in nals.iter().zip(&zeros) {
                stream.extend(std::iter::repeat_n(0, *zeros));
                stream.extend(START_CODE);
                stream.extend(nal);
            }
            stream.extend(std::iter::repeat_n(0, zeros[8]));
            prop_assert_eq!(units(&stream), nals);
        }

        #[test]
        fn start_codes_found_where_a_plain_search_finds_them(
            // Of few values, so that there are some; and with long stretches that have none.
            stream in prop::collection::vec(
                prop_oneof![prop::collection::vec(0u8..3, 0..20), prop::collection::vec(2u8.., 0..90)],
                0..8,
            ).prop_map(|parts| parts.concat()),
            from in 0usize..400,
        ) {
            let plain = stream.windows(3).enumerate().skip(from)
                .find(|(_, window)| *window == START_CODE).map(|(at, _)| at);
            prop_assert_eq!(find_start_code(&stream, from), plain);
        }
    }
}
