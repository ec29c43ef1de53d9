//! Says in an SPS what an encoder has left unsaid: that pictures come in the order in which they
//! are shown (ITU-T H.264 7.3.2.1.1, E.1.1).
//!
//! Without `bitstream_restriction` a decoder has to expect pictures out of order, and careful ones
//! hold back as many as the level allows: up to sixteen, half a second. Whoever knows that the
//! encoder does not reorder may write it down. Nothing but that is touched, bit for bit.

/// `sps`, a NAL unit with its header, with a bitstream restriction that rules reordering out.
///
/// `None` when it has a restriction of its own, or cannot be read.
///
/// Only for streams without B-frames: what is written must be true.
pub fn without_reordering(sps: &[u8]) -> Option<Vec<u8>> {
    let (&header, rest) = sps.split_first()?;
    let rbsp = unescape(rest);
    let mut reader = Reader { bytes: &rbsp, at: 0 };
    let found = find(&mut reader)?;
    let mut writer = Writer::default();
    writer.copy(&rbsp, found.restriction);
    if !found.has_vui {
        writer.bit(true); // vui_parameters_present_flag
        // aspect_ratio_info, overscan_info, video_signal_type, chroma_loc_info, timing_info,
        // nal_hrd_parameters, vcl_hrd_parameters, pic_struct: none.
        (0..8).for_each(|_| writer.bit(false));
    }
    writer.bit(true); // bitstream_restriction_flag
    writer.bit(true); // motion_vectors_over_pic_boundaries_flag, as where nothing is said
    writer.golomb(0); // max_bytes_per_pic_denom: no limit
    writer.golomb(0); // max_bits_per_mb_denom: no limit
    writer.golomb(LONGEST_VECTOR); // log2_max_mv_length_horizontal
    writer.golomb(LONGEST_VECTOR); // log2_max_mv_length_vertical
    writer.golomb(0); // max_num_reorder_frames
    writer.golomb(found.reference_frames); // max_dec_frame_buffering
    writer.bit(true); // rbsp_stop_one_bit
    let mut nal = vec![header];
    escape(&writer.bytes, &mut nal);
    Some(nal)
}

/// What is in the way to the restriction.
struct Found {
    /// The position of `vui_parameters_present_flag`, or with VUI of `bitstream_restriction_flag`.
    restriction: usize,
    has_vui: bool,
    reference_frames: u32,
}

/// Reads on until there is nothing before the restriction; `None` when there is one.
fn find(bits: &mut Reader<'_>) -> Option<Found> {
    let profile_idc = bits.number(8)?;
    bits.skip(16)?; // constraint_set flags, level_idc
    bits.golomb()?; // seq_parameter_set_id
    if HIGH_PROFILES.contains(&profile_idc) {
        let chroma_format_idc = bits.golomb()?;
        if chroma_format_idc == 3 {
            bits.skip(1)?; // separate_colour_plane_flag
        }
        bits.golomb()?; // bit_depth_luma_minus8
        bits.golomb()?; // bit_depth_chroma_minus8
        bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            let lists = if chroma_format_idc == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?; // log2_max_frame_num_minus4
    match bits.golomb()? {
        0 => {
            bits.golomb()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.golomb()?; // offset_for_non_ref_pic
            bits.golomb()?; // offset_for_top_to_bottom_field
            let cycle = bits.golomb()?;
            for _ in 0..cycle {
                bits.golomb()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    let reference_frames = bits.golomb()?;
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    bits.golomb()?; // pic_width_in_mbs_minus1
    bits.golomb()?; // pic_height_in_map_units_minus1
    if !bits.flag()? {
        bits.skip(1)?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1)?; // direct_8x8_inference_flag
    if bits.flag()? {
        for _ in 0..4 {
            bits.golomb()?; // frame_crop_*_offset
        }
    }
    let before_vui = bits.at;
    if !bits.flag()? {
        return Some(Found { restriction: before_vui, has_vui: false, reference_frames });
    }
    skip_vui(bits)?;
    let restriction = bits.at;
    let is_there = bits.flag()?;
    (!is_there).then_some(Found { restriction, has_vui: true, reference_frames })
}

/// E.1.1, up to `bitstream_restriction_flag`.
fn skip_vui(bits: &mut Reader<'_>) -> Option<()> {
    if bits.flag()? && bits.number(8)? == EXTENDED_SAR {
        bits.skip(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.skip(24)?; // colour_primaries, transfer_characteristics, matrix_coefficients
        }
    }
    if bits.flag()? {
        bits.golomb()?; // chroma_sample_loc_type_top_field
        bits.golomb()?; // chroma_sample_loc_type_bottom_field
    }
    if bits.flag()? {
        bits.skip(65)?; // num_units_in_tick, time_scale, fixed_frame_rate_flag
    }
    let has_nal_hrd = bits.flag()?;
    if has_nal_hrd {
        skip_hrd(bits)?;
    }
    let has_vcl_hrd = bits.flag()?;
    if has_vcl_hrd {
        skip_hrd(bits)?;
    }
    if has_nal_hrd || has_vcl_hrd {
        bits.skip(1)?; // low_delay_hrd_flag
    }
    bits.skip(1) // pic_struct_present_flag
}

/// E.1.2.
fn skip_hrd(bits: &mut Reader<'_>) -> Option<()> {
    let cpb_cnt_minus1 = bits.golomb()?;
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..=cpb_cnt_minus1 {
        bits.golomb()?; // bit_rate_value_minus1
        bits.golomb()?; // cpb_size_value_minus1
        bits.skip(1)?; // cbr_flag
    }
    bits.skip(20) // four lengths of five bits
}

/// 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Reader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            let delta = bits.signed_golomb()?;
            next = (last + delta + 256).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Reads bits, the most significant first.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn skip(&mut self, bits: usize) -> Option<()> {
        self.at += bits;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    fn number(&mut self, bits: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// `ue(v)`: 9.1.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.number(zeros)?;
        // 2^31 - 1 and as much again at most.
        Some(((1 << zeros) - 1) + rest)
    }

    /// `se(v)`: 9.1.1.
    fn signed_golomb(&mut self) -> Option<i32> {
        let code = self.golomb()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        // No field that is read this way goes beyond 2^31 / 256, and a sum of such stays in range.
        let value = if code % 2 == 1 { magnitude } else { -magnitude };
        (-MOST_SIGNED..=MOST_SIGNED).contains(&value).then_some(value)
    }
}

/// Writes bits, the most significant first.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    bits: usize,
}

impl Writer {
    fn bit(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let (true, Some(byte)) = (bit, self.bytes.last_mut()) {
            *byte |= 0x80 >> (self.bits % 8);
        }
        self.bits += 1;
    }

    /// The first bits of `bytes`.
    fn copy(&mut self, bytes: &[u8], bits: usize) {
        let mut reader = Reader { bytes, at: 0 };
        for _ in 0..bits {
            self.bit(reader.flag().unwrap_or(false));
        }
    }

    /// `ue(v)`: 9.1.
    fn golomb(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = u64::BITS - code.leading_zeros();
        (1..length).for_each(|_| self.bit(false));
        (0..length).rev().for_each(|at| self.bit(code >> at & 1 == 1));
    }
}

/// Takes out the bytes of emulation prevention: 7.4.1.
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == EMULATION_PREVENTION {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

/// Puts them in: 7.4.1.
fn escape(rbsp: &[u8], nal: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= EMULATION_PREVENTION {
            nal.push(EMULATION_PREVENTION);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
}

const EMULATION_PREVENTION: u8 = 3;
/// Those whose SPS says what chroma is like: 7.3.2.1.1.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// Table E-1.
const EXTENDED_SAR: u32 = 255;
/// The greatest that E.2.1 allows, and what holds where nothing is said.
const LONGEST_VECTOR: u32 = 15;
const MOST_SIGNED: i32 = 1 << 20;

#[cfg(test)]
mod tests;
