//! Says in the VUI of an SPS what an encoder has left unsaid (ITU-T H.264 7.3.2.1.1, E.1.1): that
//! pictures come in the order in which they are shown, and what their colours are.
//!
//! Without `bitstream_restriction` a decoder has to expect pictures out of order, and careful ones
//! hold back as many as the level allows: up to sixteen, half a second. Without `video_signal_type`
//! it guesses colours by the size of the picture. Whoever knows may write it down. Nothing but that
//! is touched, bit for bit.

use super::bits::{Reader, Writer, escape, stop_bit, unescape};
use crate::colours::Colours;

/// `sps`, a NAL unit with its header, with a bitstream restriction that rules reordering out.
///
/// `None` when it has a restriction of its own, or cannot be read.
///
/// Only for streams without B-frames: what is written must be true.
pub fn without_reordering(sps: &[u8]) -> Option<Vec<u8>> {
    let (&header, rest) = sps.split_first()?;
    let rbsp = unescape(rest);
    let mut bits = Reader::new(&rbsp);
    let reference_frames = skip_to_vui(&mut bits)?;
    let mut writer = Writer::default();
    let before_vui = bits.at;
    if bits.flag()? {
        skip_to_signal_type(&mut bits)?;
        signal_type(&mut bits)?;
        skip_to_restriction(&mut bits)?;
        let before_restriction = bits.at;
        if bits.flag()? {
            return None;
        }
        writer.copy(&rbsp, 0..before_restriction);
    } else {
        writer.copy(&rbsp, 0..before_vui);
        writer.bit(true); // vui_parameters_present_flag
        // aspect_ratio_info, overscan_info, video_signal_type, chroma_loc_info, timing_info,
        // nal_hrd_parameters, vcl_hrd_parameters, pic_struct: none.
        writer.number(8, 0);
    }
    writer.bit(true); // bitstream_restriction_flag
    writer.bit(true); // motion_vectors_over_pic_boundaries_flag, as where nothing is said
    writer.golomb(0); // max_bytes_per_pic_denom: no limit
    writer.golomb(0); // max_bits_per_mb_denom: no limit
    writer.golomb(LONGEST_VECTOR); // log2_max_mv_length_horizontal
    writer.golomb(LONGEST_VECTOR); // log2_max_mv_length_vertical
    writer.golomb(0); // max_num_reorder_frames
    writer.golomb(reference_frames); // max_dec_frame_buffering
    Some(nal_unit(header, writer))
}

/// `sps`, a NAL unit with its header, with these colours, whatever it says of them itself.
///
/// `None` when it says so already, or cannot be read.
pub fn with_colours(sps: &[u8], colours: Colours) -> Option<Vec<u8>> {
    let (&header, rest) = sps.split_first()?;
    let rbsp = unescape(rest);
    let mut bits = Reader::new(&rbsp);
    skip_to_vui(&mut bits)?;
    let mut writer = Writer::default();
    let before_vui = bits.at;
    if bits.flag()? {
        skip_to_signal_type(&mut bits)?;
        let before = bits.at;
        if signal_type(&mut bits)? == Some(colours) {
            return None;
        }
        let behind = bits.at;
        writer.copy(&rbsp, 0..before);
        write_signal_type(&mut writer, colours);
        writer.copy(&rbsp, behind..stop_bit(&rbsp).filter(|end| *end > behind)?);
    } else {
        writer.copy(&rbsp, 0..before_vui);
        writer.bit(true); // vui_parameters_present_flag
        writer.number(2, 0); // aspect_ratio_info, overscan_info: none
        write_signal_type(&mut writer, colours);
        // chroma_loc_info, timing_info, nal_hrd_parameters, vcl_hrd_parameters, pic_struct,
        // bitstream_restriction: none.
        writer.number(6, 0);
    }
    Some(nal_unit(header, writer))
}

/// ```text
///  |present|video_format 3|full_range 1|description 1|primaries 8|transfer 8|matrix 8|
/// ```
fn write_signal_type(writer: &mut Writer, colours: Colours) {
    writer.bit(true); // video_signal_type_present_flag
    writer.number(3, UNSPECIFIED_FORMAT);
    writer.bit(colours.full_range);
    writer.bit(true); // colour_description_present_flag
    writer.number(8, colours.primaries.into());
    writer.number(8, colours.transfer.into());
    writer.number(8, colours.matrix.into());
}

/// The same read; `None` within when nothing is said.
fn signal_type(bits: &mut Reader<'_>) -> Option<Option<Colours>> {
    if !bits.flag()? {
        return Some(None);
    }
    bits.skip(3)?; // video_format
    let full_range = bits.flag()?;
    let mut points = [Colours::UNSPECIFIED; 3];
    if bits.flag()? {
        for point in &mut points {
            *point = u8::try_from(bits.number(8)?).ok()?;
        }
    }
    let [primaries, transfer, matrix] = points;
    Some(Some(Colours { primaries, transfer, matrix, full_range }))
}

fn nal_unit(header: u8, mut writer: Writer) -> Vec<u8> {
    writer.bit(true); // rbsp_stop_one_bit
    let mut nal = vec![header];
    escape(&writer.bytes, &mut nal);
    nal
}

/// Up to `vui_parameters_present_flag`; returns `max_num_ref_frames`.
fn skip_to_vui(bits: &mut Reader<'_>) -> Option<u32> {
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
    Some(reference_frames)
}

/// E.1.1, from its beginning to `video_signal_type_present_flag`.
fn skip_to_signal_type(bits: &mut Reader<'_>) -> Option<()> {
    if bits.flag()? && bits.number(8)? == EXTENDED_SAR {
        bits.skip(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    Some(())
}

/// E.1.1, from `chroma_loc_info_present_flag` to `bitstream_restriction_flag`.
fn skip_to_restriction(bits: &mut Reader<'_>) -> Option<()> {
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

/// Those whose SPS says what chroma is like: 7.3.2.1.1.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// `video_format`, table E-2.
const UNSPECIFIED_FORMAT: u32 = 5;
/// Table E-1.
const EXTENDED_SAR: u32 = 255;
/// The greatest that E.2.1 allows, and what holds where nothing is said.
const LONGEST_VECTOR: u32 = 15;

#[cfg(test)]
mod tests;
