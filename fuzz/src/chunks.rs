//! Cuts bytes into pieces, by a plan that one byte stands for.

/// Pieces of `bytes` whose lengths `seed` decides: of one byte, of a few, or of up to a few
/// hundred.
pub(crate) fn chunks(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u64::from(seed);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let longest = match seed & 3 {
            0 => 1,
            1 => 4,
            2 => 40,
            _ => 400,
        };
        let length = 1 + usize::try_from(next(&mut state) % longest).unwrap_or(0);
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// SplitMix64.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
