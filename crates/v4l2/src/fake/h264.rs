//! H.264 that shows the input bit for bit: every macroblock is I_PCM (ITU-T H.264, 7.3).
//!
//! One slice a picture, no deblocking, `pic_order_cnt_type` 2. A picture that is not IDR has P
//! slices, so that decoders need what was before it, though nothing of that is seen.

use crate::Size;

/// What the parameter sets say.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Of the picture that is seen.
    pub(super) size: Size,
    /// `profile_idc`.
    pub(super) profile: u8,
    /// The eight bits after it.
    pub(super) constraints: u8,
    /// `level_idc`.
    pub(super) level: u8,
    /// Whether there is a `bitstream_restriction`, which says that nothing is reordered.
    pub(super) has_restriction: bool,
}

/// A picture in 4:2:0: luma, then both chroma components at half the size, without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) size: Size,
    pub(super) components: [Vec<u8>; 3],
}

/// SPS and PPS.
pub(super) fn parameter_sets(sequence: &Sequence) -> Vec<u8> {
    let mut stream = Vec::new();
    sps(sequence).end(SPS, &mut stream);
    pps().end(PPS, &mut stream);
    stream
}

/// A picture, `number` after the IDR picture, which is number 0.
pub(super) fn picture(planes: &Planes, number: u32, idr_id: u32) -> Vec<u8> {
    let is_idr = number == 0;
    let mut bits = Bits::default();
    bits.ue(0); // first_mb_in_slice
    bits.ue(if is_idr { SLICE_ALL_I } else { SLICE_ALL_P });
    bits.ue(0); // pic_parameter_set_id
    bits.u(FRAME_NUM_BITS, number % (1 << FRAME_NUM_BITS));
    if is_idr {
        bits.ue(idr_id % 2);
        bits.u(1, 0); // no_output_of_prior_pics_flag
        bits.u(1, 0); // long_term_reference_flag
    } else {
        bits.u(1, 0); // num_ref_idx_active_override_flag
        bits.u(1, 0); // ref_pic_list_modification_flag_l0
        bits.u(1, 0); // adaptive_ref_pic_marking_mode_flag
    }
    bits.ue(0); // slice_qp_delta
    bits.ue(1); // disable_deblocking_filter_idc
    let (columns, rows) = macroblocks(planes.size);
    for row in 0..rows {
        for column in 0..columns {
            if is_idr {
                bits.ue(I_PCM);
            } else {
                bits.ue(0); // mb_skip_run
                bits.ue(I_PCM_IN_P);
            }
            bits.align();
            for (component, side) in planes.components.iter().zip([16, 8, 8]) {
                let width = if side == 16 { planes.size.width } else { planes.size.width / 2 };
                block(&mut bits.bytes, component, width as usize, (column, row), side);
            }
        }
    }
    let mut stream = Vec::with_capacity(bits.bytes.len() + 16);
    bits.end(if is_idr { IDR } else { SLICE }, &mut stream);
    stream
}

/// Macroblocks in a row, and rows of them.
pub(super) fn macroblocks(size: Size) -> (u32, u32) {
    (size.width.div_ceil(16), size.height.div_ceil(16))
}

/// 7.3.2.1.1
fn sps(sequence: &Sequence) -> Bits {
    let (columns, rows) = macroblocks(sequence.size);
    let mut bits = Bits::default();
    bits.u(8, sequence.profile.into());
    bits.u(8, sequence.constraints.into());
    bits.u(8, sequence.level.into());
    bits.ue(0); // seq_parameter_set_id
    if sequence.profile == HIGH {
        bits.ue(1); // chroma_format_idc
        bits.ue(0); // bit_depth_luma_minus8
        bits.ue(0); // bit_depth_chroma_minus8
        bits.u(1, 0); // qpprime_y_zero_transform_bypass_flag
        bits.u(1, 0); // seq_scaling_matrix_present_flag
    }
    bits.ue(FRAME_NUM_BITS - 4);
    bits.ue(2); // pic_order_cnt_type
    bits.ue(1); // max_num_ref_frames
    bits.u(1, 0); // gaps_in_frame_num_value_allowed_flag
    bits.ue(columns - 1);
    bits.ue(rows - 1);
    bits.u(1, 1); // frame_mbs_only_flag
    bits.u(1, 1); // direct_8x8_inference_flag
    // In units of two samples, chroma being at half the size.
    let right = (columns * 16 - sequence.size.width) / 2;
    let bottom = (rows * 16 - sequence.size.height) / 2;
    let is_cropped = right > 0 || bottom > 0;
    bits.u(1, is_cropped.into());
    if is_cropped {
        [0, right, 0, bottom].into_iter().for_each(|edge| bits.ue(edge));
    }
    bits.u(1, sequence.has_restriction.into()); // vui_parameters_present_flag
    if sequence.has_restriction {
        // Nothing else is said: aspect, overscan, signal, chroma place, timing, NAL and VCL HRD,
        // pic_struct.
        bits.u(8, 0);
        bits.u(1, 1); // bitstream_restriction_flag
        bits.u(1, 1); // motion_vectors_over_pic_boundaries_flag
        // Bytes a picture and bits a macroblock without limit, vectors of 2^8 quarter samples,
        // nothing reordered, one picture kept.
        [0, 0, 8, 8, 0, 1].into_iter().for_each(|value| bits.ue(value));
    }
    bits
}

/// 7.3.2.2
fn pps() -> Bits {
    let mut bits = Bits::default();
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.u(1, 0); // entropy_coding_mode_flag: CAVLC
    bits.u(1, 0); // bottom_field_pic_order_in_frame_present_flag
    bits.ue(0); // num_slice_groups_minus1
    bits.ue(0); // num_ref_idx_l0_default_active_minus1
    bits.ue(0); // num_ref_idx_l1_default_active_minus1
    bits.u(1, 0); // weighted_pred_flag
    bits.u(2, 0); // weighted_bipred_idc
    bits.ue(0); // pic_init_qp_minus26
    bits.ue(0); // pic_init_qs_minus26
    bits.ue(0); // chroma_qp_index_offset
    bits.u(1, 1); // deblocking_filter_control_present_flag
    bits.u(1, 0); // constrained_intra_pred_flag
    bits.u(1, 0); // redundant_pic_cnt_present_flag
    bits
}

/// The samples of a macroblock; beyond the picture its last row and column go on.
fn block(to: &mut Vec<u8>, from: &[u8], width: usize, at: (u32, u32), side: usize) {
    let (left, top) = (at.0 as usize * side, at.1 as usize * side);
    let height = from.len() / width;
    for y in top..top + side {
        let row = &from[y.min(height - 1) * width..][..width];
        let inside = row.len().saturating_sub(left).min(side);
        to.extend_from_slice(&row[left.min(width)..][..inside]);
        to.extend((inside..side).map(|_| row[width - 1]));
    }
}

/// The payload of a NAL unit.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Of the last byte; 0 when it is full.
    used: u32,
}

impl Bits {
    fn u(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// 9.1; `se(0)` is the same.
    fn ue(&mut self, value: u32) {
        let length = (value + 1).ilog2();
        self.u(length, 0);
        self.u(length + 1, value + 1);
    }

    /// With zeros: pcm_alignment_zero_bit.
    fn align(&mut self) {
        self.used = 0;
    }

    /// Start code, header byte, and the payload with rbsp_trailing_bits and emulation prevention.
    fn end(mut self, header: u8, stream: &mut Vec<u8>) {
        self.u(1, 1);
        stream.extend([0, 0, 0, 1, header]);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                stream.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            stream.push(byte);
        }
    }
}

// nal_ref_idc 3 for all: everything is referred to.
const SLICE: u8 = 0x61;
const IDR: u8 = 0x65;
const SPS: u8 = 0x67;
const PPS: u8 = 0x68;
const HIGH: u8 = 100;
const FRAME_NUM_BITS: u32 = 8;
// Table 7-6: all slices of the picture are such.
const SLICE_ALL_P: u32 = 5;
const SLICE_ALL_I: u32 = 7;
// Tables 7-11 and 7-13.
const I_PCM: u32 = 25;
const I_PCM_IN_P: u32 = 30;
