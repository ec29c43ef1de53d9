// SPDX-License-Identifier: GPL-2.0
/*
 * See picture.h.
 */
#include <linux/minmax.h>
#include <linux/math.h>
#include <linux/string.h>

#include "picture.h"

#define NAL_SLICE 1
#define NAL_IDR 5
#define NAL_SPS 7
#define NAL_PPS 8
#define REF_IDC 1
#define PROFILE_HIGH 100
#define SLICE_ALL_P 5
#define SLICE_ALL_I 7
/* mb_type of I_PCM in I slices; in P slices five types come before those (Tables 7-11, 7-13). */
#define MB_I_PCM 25
#define MB_I_PCM_IN_P 30
#define FRAME_NUM_BITS 8
#define POC_LSB_BITS 8

static unsigned int columns(const struct sequence *sequence)
{
	return DIV_ROUND_UP(sequence->width, MACROBLOCK);
}

static unsigned int rows(const struct sequence *sequence)
{
	return DIV_ROUND_UP(sequence->height, MACROBLOCK);
}

unsigned int macroblocks(const struct sequence *sequence)
{
	return columns(sequence) * rows(sequence);
}

/* E.1.1 */
static void write_vui(struct bits *bits, const struct sequence *sequence)
{
	bool timing = sequence->rate_scale && sequence->rate_ticks;

	bits_u(bits, 1, 0); /* aspect_ratio_info_present_flag */
	bits_u(bits, 1, 0); /* overscan_info_present_flag */
	bits_u(bits, 1, 0); /* video_signal_type_present_flag */
	bits_u(bits, 1, 0); /* chroma_loc_info_present_flag */
	bits_u(bits, 1, timing);
	if (timing) {
		bits_u(bits, 16, sequence->rate_ticks >> 16);
		bits_u(bits, 16, sequence->rate_ticks);
		/* time_scale counts fields. */
		bits_u(bits, 16, (2 * sequence->rate_scale) >> 16);
		bits_u(bits, 16, 2 * sequence->rate_scale);
		bits_u(bits, 1, 1); /* fixed_frame_rate_flag */
	}
	bits_u(bits, 1, 0); /* nal_hrd_parameters_present_flag */
	bits_u(bits, 1, 0); /* vcl_hrd_parameters_present_flag */
	bits_u(bits, 1, 0); /* pic_struct_present_flag */
	bits_u(bits, 1, sequence->restriction);
	if (sequence->restriction) {
		bits_u(bits, 1, 1); /* motion_vectors_over_pic_boundaries_flag */
		bits_ue(bits, 0); /* max_bytes_per_pic_denom */
		bits_ue(bits, 0); /* max_bits_per_mb_denom */
		bits_ue(bits, 8); /* log2_max_mv_length_horizontal */
		bits_ue(bits, 8); /* log2_max_mv_length_vertical */
		bits_ue(bits, 0); /* max_num_reorder_frames */
		bits_ue(bits, 1); /* max_dec_frame_buffering */
	}
}

/* 7.3.2.1.1 */
static void write_sps(struct bits *bits, const struct sequence *sequence)
{
	/* In units of two samples, since chroma is subsampled both ways. */
	unsigned int right = (columns(sequence) * MACROBLOCK - sequence->width) / 2;
	unsigned int bottom = (rows(sequence) * MACROBLOCK - sequence->height) / 2;
	bool vui = sequence->restriction || (sequence->rate_scale && sequence->rate_ticks);

	bits_nal(bits, REF_IDC, NAL_SPS);
	bits_u(bits, 8, sequence->profile);
	bits_u(bits, 8, sequence->constraints);
	bits_u(bits, 8, sequence->level);
	bits_ue(bits, 0); /* seq_parameter_set_id */
	if (sequence->profile == PROFILE_HIGH) {
		bits_ue(bits, 1); /* chroma_format_idc: 4:2:0 */
		bits_ue(bits, 0); /* bit_depth_luma_minus8 */
		bits_ue(bits, 0); /* bit_depth_chroma_minus8 */
		bits_u(bits, 1, 0); /* qpprime_y_zero_transform_bypass_flag */
		bits_u(bits, 1, 0); /* seq_scaling_matrix_present_flag */
	}
	bits_ue(bits, FRAME_NUM_BITS - 4);
	bits_ue(bits, sequence->poc_type);
	if (sequence->poc_type == 0)
		bits_ue(bits, POC_LSB_BITS - 4);
	bits_ue(bits, 1); /* max_num_ref_frames */
	bits_u(bits, 1, 0); /* gaps_in_frame_num_value_allowed_flag */
	bits_ue(bits, columns(sequence) - 1);
	bits_ue(bits, rows(sequence) - 1);
	bits_u(bits, 1, 1); /* frame_mbs_only_flag */
	bits_u(bits, 1, 1); /* direct_8x8_inference_flag */
	bits_u(bits, 1, right || bottom);
	if (right || bottom) {
		bits_ue(bits, 0);
		bits_ue(bits, right);
		bits_ue(bits, 0);
		bits_ue(bits, bottom);
	}
	bits_u(bits, 1, vui);
	if (vui)
		write_vui(bits, sequence);
	bits_trailing(bits);
}

/* 7.3.2.2 */
static void write_pps(struct bits *bits)
{
	bits_nal(bits, REF_IDC, NAL_PPS);
	bits_ue(bits, 0); /* pic_parameter_set_id */
	bits_ue(bits, 0); /* seq_parameter_set_id */
	bits_u(bits, 1, 0); /* entropy_coding_mode_flag: CAVLC */
	bits_u(bits, 1, 0); /* bottom_field_pic_order_in_frame_present_flag */
	bits_ue(bits, 0); /* num_slice_groups_minus1 */
	bits_ue(bits, 0); /* num_ref_idx_l0_default_active_minus1 */
	bits_ue(bits, 0); /* num_ref_idx_l1_default_active_minus1 */
	bits_u(bits, 1, 0); /* weighted_pred_flag */
	bits_u(bits, 2, 0); /* weighted_bipred_idc */
	bits_se(bits, 0); /* pic_init_qp_minus26 */
	bits_se(bits, 0); /* pic_init_qs_minus26 */
	bits_se(bits, 0); /* chroma_qp_index_offset */
	bits_u(bits, 1, 1); /* deblocking_filter_control_present_flag */
	bits_u(bits, 1, 0); /* constrained_intra_pred_flag */
	bits_u(bits, 1, 0); /* redundant_pic_cnt_present_flag */
	bits_trailing(bits);
}

void write_parameter_sets(struct bits *bits, const struct sequence *sequence)
{
	write_sps(bits, sequence);
	write_pps(bits);
}

/* A block's samples, row by row; past the picture's edge its last row and column go on. */
static void gather(u8 *to, const struct samples *from, unsigned int size, unsigned int x,
		   unsigned int y, unsigned int width, unsigned int height, bool average_rows)
{
	unsigned int row, column;

	for (row = 0; row < size; row++) {
		unsigned int line = min(y + row, height - 1);
		const u8 *at = from->first + (average_rows ? 2 : 1) * line * from->stride;

		if (from->step == 1 && x + size <= width && !average_rows) {
			memcpy(to, at + x, size);
			to += size;
			continue;
		}
		for (column = 0; column < size; column++) {
			const u8 *sample = at + min(x + column, width - 1) * from->step;

			*to++ = average_rows ? (sample[0] + sample[from->stride] + 1) / 2 : *sample;
		}
	}
}

/* 7.3.5, the part of I_PCM */
static void write_pcm(struct bits *bits, const struct sequence *sequence,
		      const struct raw_picture *raw, unsigned int macroblock)
{
	unsigned int x = macroblock % columns(sequence) * MACROBLOCK;
	unsigned int y = macroblock / columns(sequence) * MACROBLOCK;
	u8 pcm[PCM_BYTES];

	gather(pcm, &raw->component[0], 16, x, y, sequence->width, sequence->height, false);
	gather(pcm + 256, &raw->component[1], 8, x / 2, y / 2, sequence->width / 2,
	       sequence->height / 2, raw->chroma_rows_full);
	gather(pcm + 320, &raw->component[2], 8, x / 2, y / 2, sequence->width / 2,
	       sequence->height / 2, raw->chroma_rows_full);
	bits_align(bits);
	bits_bytes(bits, pcm, sizeof(pcm));
}

/* 7.3.3, up to what differs between IDR and P */
static void write_slice_start(struct bits *bits, const struct sequence *sequence,
			      const struct position *position, unsigned int slice_type)
{
	bits_ue(bits, 0); /* first_mb_in_slice */
	bits_ue(bits, slice_type);
	bits_ue(bits, 0); /* pic_parameter_set_id */
	bits_u(bits, FRAME_NUM_BITS, position->since_idr);
	if (slice_type == SLICE_ALL_I)
		bits_ue(bits, position->idr_id & 1);
	if (sequence->poc_type == 0)
		bits_u(bits, POC_LSB_BITS, 2 * position->since_idr);
}

/* 7.3.3, the end */
static void write_slice_qp(struct bits *bits)
{
	bits_se(bits, 0); /* slice_qp_delta */
	bits_ue(bits, 1); /* disable_deblocking_filter_idc: or decoded samples were not the input's */
}

void write_idr(struct bits *bits, const struct sequence *sequence, struct position *position,
	       const struct raw_picture *raw)
{
	unsigned int i, n = macroblocks(sequence);

	position->since_idr = 0;
	position->next_macroblock = 0;
	bits_nal(bits, REF_IDC, NAL_IDR);
	write_slice_start(bits, sequence, position, SLICE_ALL_I);
	bits_u(bits, 1, 0); /* no_output_of_prior_pics_flag */
	bits_u(bits, 1, 0); /* long_term_reference_flag */
	write_slice_qp(bits);
	for (i = 0; i < n; i++) {
		bits_ue(bits, MB_I_PCM);
		write_pcm(bits, sequence, raw, i);
	}
	bits_trailing(bits);
	position->idr_id++;
	position->since_idr++;
}

void write_p(struct bits *bits, const struct sequence *sequence, struct position *position,
	     const struct raw_picture *raw, unsigned int run)
{
	unsigned int i, skipped = 0, n = macroblocks(sequence);

	run = min(run, n);
	bits_nal(bits, REF_IDC, NAL_SLICE);
	write_slice_start(bits, sequence, position, SLICE_ALL_P);
	bits_u(bits, 1, 0); /* num_ref_idx_active_override_flag */
	bits_u(bits, 1, 0); /* ref_pic_list_modification_flag_l0 */
	bits_u(bits, 1, 0); /* adaptive_ref_pic_marking_mode_flag */
	write_slice_qp(bits);
	for (i = 0; i < n; i++) {
		/* The run may go round from the last macroblock to the first. */
		if ((i + n - position->next_macroblock) % n >= run) {
			skipped++;
			continue;
		}
		bits_ue(bits, skipped);
		bits_ue(bits, MB_I_PCM_IN_P);
		write_pcm(bits, sequence, raw, i);
		skipped = 0;
	}
	if (skipped)
		bits_ue(bits, skipped);
	bits_trailing(bits);
	position->next_macroblock = (position->next_macroblock + run) % n;
	position->since_idr++;
}
