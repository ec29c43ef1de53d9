/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes parameter sets and pictures (ITU-T H.264, 7.3.2, 7.3.3, 7.3.5). An IDR picture is all
 * I_PCM macroblocks: its decoded samples are the input's, bit for bit. A P picture skips every
 * macroblock but a run of I_PCM ones, which goes on where the last picture's run ended. Knows
 * nothing of V4L2.
 */
#ifndef PICTURE_H
#define PICTURE_H

#include <linux/types.h>

#include "bits.h"

/* One of the three kinds of samples of a raw picture. */
struct samples {
	const u8 *first;
	/* Bytes from one row to the next, and from one sample to the next. */
	unsigned int stride;
	unsigned int step;
};

/* A raw picture: luma, Cb, Cr. */
struct raw_picture {
	struct samples component[3];
	/* Chroma has as many rows as luma (4:2:2): two rows are averaged to one. */
	bool chroma_rows_full;
};

/* What a sequence is like. */
struct sequence {
	unsigned int width;
	unsigned int height;
	/* profile_idc, constraint_set flags (the first in bit 7), level_idc */
	u8 profile;
	u8 constraints;
	u8 level;
	/* 0 or 2 */
	u8 poc_type;
	/* bitstream_restriction: no picture is reordered */
	bool restriction;
	/* Frames per second are rate_scale / rate_ticks; none of it is written if 0. */
	u32 rate_scale;
	u32 rate_ticks;
};

/* Where in the sequence a picture is. */
struct position {
	/* Pictures since the IDR picture. */
	u32 since_idr;
	u32 idr_id;
	/* The macroblock that the next run starts at. */
	u32 next_macroblock;
};

#define MACROBLOCK 16
/* Samples of a macroblock. */
#define PCM_BYTES 384
/* A coded macroblock, with its type and alignment, if nothing is escaped. */
#define CODED_BYTES (PCM_BYTES + 3)
/* The same if every third byte is there to escape, as in a picture all zero. */
#define CODED_BYTES_AT_WORST (CODED_BYTES * 3 / 2 + 1)
/* Parameter sets and the slice's header. */
#define HEADER_BYTES 256

unsigned int macroblocks(const struct sequence *sequence);
void write_parameter_sets(struct bits *bits, const struct sequence *sequence);
void write_idr(struct bits *bits, const struct sequence *sequence, struct position *position,
	       const struct raw_picture *raw);
/* @run: how many macroblocks are coded */
void write_p(struct bits *bits, const struct sequence *sequence, struct position *position,
	     const struct raw_picture *raw, unsigned int run);

#endif
