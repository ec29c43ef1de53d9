//! A second reader of sequence parameter sets (ITU-T H.264 7.3.2.1.1), as far as the size of the
//! picture: written from the tables of the standard, and sharing nothing with the one under test.

/// What this reader looks for.
pub(super) struct Sps {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames_only: bool,
    /// `pic_order_cnt_type` 2: pictures are shown in the order they come (8.2.1.3).
    pub(super) order_is_decoding_order: bool,
}

/// `None` where bits are missing or a number is too large to be meant.
pub(super) fn read(nal: &[u8]) -> Option<Sps> {
    let payload = without_emulation_prevention(nal.get(1..)?);
    let mut bits = Bits { bytes: &payload, at: 0 };
    let profile = bits.number(8)?;
    bits.number(16)?;
    let _id = bits.exp_golomb()?;
    let mut chroma_format = 1;
    let mut separate_planes = false;
    if WITH_CHROMA_FORMAT.contains(&profile) {
        chroma_format = bits.exp_golomb()?;
        if chroma_format == 3 {
            separate_planes = bits.number(1)? == 1;
        }
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.number(1)?;
        if bits.number(1)? == 1 {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.number(1)? == 1 {
                    bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let _log2_max_frame_num_minus4 = bits.exp_golomb()?;
    let order = bits.exp_golomb()?;
    match order {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.number(1)?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            for _ in 0..bits.exp_golomb()?.min(256) {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    let _max_num_ref_frames = bits.exp_golomb()?;
    bits.number(1)?;
    let width_in_macroblocks = bits.exp_golomb()?.checked_add(1)?;
    let height_in_map_units = bits.exp_golomb()?.checked_add(1)?;
    let frames_only = bits.number(1)? == 1;
    if !frames_only {
        bits.number(1)?;
    }
    bits.number(1)?;
    let mut crop = [0; 4];
    if bits.number(1)? == 1 {
        for side in &mut crop {
            *side = bits.exp_golomb()?;
        }
    }
    // Table 6-1, and equations 7-19 to 7-22.
    let fields = if frames_only { 1 } else { 2 };
    let (crop_x, crop_y) = match chroma_format {
        _ if separate_planes => (1, fields),
        0 | 3 => (1, fields),
        1 => (2, 2 * fields),
        2 => (2, fields),
        _ => return None,
    };
    let [left, right, top, bottom] = crop;
    let cut = |full: u32, one: u32, other: u32, unit: u32| {
        full.checked_sub(one.checked_add(other)?.checked_mul(unit)?)
    };
    let width = cut(width_in_macroblocks.checked_mul(16)?, left, right, crop_x)?;
    let full_height = height_in_map_units.checked_mul(16)?.checked_mul(fields)?;
    let height = cut(full_height, top, bottom, crop_y)?;
    Some(Sps { width, height, frames_only, order_is_decoding_order: order == 2 })
}

/// Leaves out each 3 that follows two zeros (7.4.1).
fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let kept = bytes.iter().filter(|&&byte| {
        let is_extra = zeros >= 2 && byte == 3;
        zeros = if byte == 0 && !is_extra { zeros + 1 } else { 0 };
        !is_extra
    });
    kept.copied().collect()
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |number, _| Some(number << 1 | self.bit()?))
    }

    /// 9.1.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1u32 << zeros) - 1 + self.number(zeros)?)
    }

    /// 9.1.1.
    fn signed_exp_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.exp_golomb()?);
        Some(if code % 2 == 0 { -(code / 2) } else { (code + 1) / 2 })
    }

    /// 7.3.2.1.1.1.
    fn skip_scaling_list(&mut self, size: usize) -> Option<()> {
        let (mut last, mut next) = (8, 8);
        for _ in 0..size {
            if next != 0 {
                next = (last + self.signed_exp_golomb()? + 256).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
        Some(())
    }
}

/// 7.3.2.1.1: the profiles whose sets say what the chroma format is.
const WITH_CHROMA_FORMAT: &[u32] = &[100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
