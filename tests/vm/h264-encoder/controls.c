// SPDX-License-Identifier: GPL-2.0
/*
 * Controls: those of bcm2835-codec's encoder, with its ranges and defaults. The QP limits have no
 * effect: nothing is quantized.
 */
#include "encoder.h"

/* ITU-T H.264, Table A-1, in the order of enum v4l2_mpeg_video_h264_level. */
static const struct {
	u8 level_idc;
	unsigned int macroblocks_per_second;
	unsigned int macroblocks_per_frame;
} levels[] = {
	{ 10, 1485, 99 },     { 9, 1485, 99 },	    { 11, 3000, 396 },	  { 12, 6000, 396 },
	{ 13, 11880, 396 },   { 20, 11880, 396 },   { 21, 19800, 792 },	  { 22, 20250, 1620 },
	{ 30, 40500, 1620 },  { 31, 108000, 3600 }, { 32, 216000, 5120 }, { 40, 245760, 8192 },
	{ 41, 245760, 8192 }, { 42, 522240, 8704 }, { 50, 589824, 22080 }, { 51, 983040, 36864 },
};

static int set_control(struct v4l2_ctrl *control)
{
	struct context *context = container_of(control->handler, struct context, controls);

	/* The others are read where they are used. */
	if (control->id == V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME)
		atomic_set(&context->force_key, 1);
	return 0;
}

static const struct v4l2_ctrl_ops control_ops = {
	.s_ctrl = set_control,
};

int init_controls(struct context *context)
{
	struct v4l2_ctrl_handler *h = &context->controls;
	const struct v4l2_ctrl_ops *ops = &control_ops;
	u32 period = gop_size ? V4L2_CID_MPEG_VIDEO_GOP_SIZE : V4L2_CID_MPEG_VIDEO_H264_I_PERIOD;

	v4l2_ctrl_handler_init(h, 14);
	context->bitrate_mode =
		v4l2_ctrl_new_std_menu(h, ops, V4L2_CID_MPEG_VIDEO_BITRATE_MODE,
				       V4L2_MPEG_VIDEO_BITRATE_MODE_CBR, 0,
				       V4L2_MPEG_VIDEO_BITRATE_MODE_VBR);
	context->bitrate = v4l2_ctrl_new_std(h, ops, V4L2_CID_MPEG_VIDEO_BITRATE, 25 * 1000,
					     25 * 1000 * 1000, 25 * 1000, 10 * 1000 * 1000);
	context->header_mode =
		v4l2_ctrl_new_std_menu(h, ops, V4L2_CID_MPEG_VIDEO_HEADER_MODE,
				       V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME, 0,
				       V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME);
	context->repeat_headers =
		v4l2_ctrl_new_std(h, ops, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 0, 1, 1, 0);
	context->period = v4l2_ctrl_new_std(h, ops, period, 0, 0x7fffffff, 1, 60);
	v4l2_ctrl_new_std(h, ops, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 0, 0, 0, 0);
	v4l2_ctrl_new_std(h, ops, V4L2_CID_MPEG_VIDEO_B_FRAMES, 0, 0, 1, 0);
	v4l2_ctrl_new_std(h, ops, V4L2_CID_MPEG_VIDEO_H264_MIN_QP, 0, 51, 1, 20);
	v4l2_ctrl_new_std(h, ops, V4L2_CID_MPEG_VIDEO_H264_MAX_QP, 0, 51, 1, 51);
	context->level = v4l2_ctrl_new_std_menu(h, ops, V4L2_CID_MPEG_VIDEO_H264_LEVEL,
						V4L2_MPEG_VIDEO_H264_LEVEL_5_1, 0,
						V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
	context->profile =
		v4l2_ctrl_new_std_menu(h, ops, V4L2_CID_MPEG_VIDEO_H264_PROFILE,
				       V4L2_MPEG_VIDEO_H264_PROFILE_HIGH,
				       BIT(V4L2_MPEG_VIDEO_H264_PROFILE_EXTENDED),
				       V4L2_MPEG_VIDEO_H264_PROFILE_HIGH);
	v4l2_ctrl_new_std(h, NULL, V4L2_CID_MIN_BUFFERS_FOR_OUTPUT, 1, 1, 1, 1);
	if (h->error) {
		int err = h->error;

		v4l2_ctrl_handler_free(h);
		return err;
	}
	return 0;
}

struct sequence sequence_of(const struct context *context)
{
	struct sequence sequence = {
		.width = context->crop.width,
		.height = context->crop.height,
		.level = levels[context->level->cur.val].level_idc,
		.poc_type = poc_type ? 2 : 0,
		.restriction = restriction,
	};

	if (timing) {
		sequence.rate_scale = context->frame_interval.denominator;
		sequence.rate_ticks = context->frame_interval.numerator;
	}
	switch (context->profile->cur.val) {
	case V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE:
		sequence.profile = 66;
		sequence.constraints = 0x80;
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE:
		sequence.profile = 66;
		sequence.constraints = 0xc0;
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_MAIN:
		sequence.profile = 77;
		sequence.constraints = 0x40;
		break;
	default:
		sequence.profile = 100;
	}
	/* A.3.1: level 1b is written thus where it is not High. */
	if (sequence.level == 9 && sequence.profile != 100) {
		sequence.level = 11;
		sequence.constraints |= 0x10;
	}
	return sequence;
}

bool level_suffices(const struct context *context)
{
	struct sequence sequence = sequence_of(context);
	unsigned int level = context->level->cur.val;
	u64 rate = (u64)macroblocks(&sequence) * context->frame_interval.denominator;

	return macroblocks(&sequence) <= levels[level].macroblocks_per_frame &&
	       rate <= (u64)levels[level].macroblocks_per_second *
			       context->frame_interval.numerator;
}
