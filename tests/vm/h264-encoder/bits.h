/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes NAL units in Annex B's byte stream: bits, Exp-Golomb codes and emulation prevention
 * (ITU-T H.264, 7.3.1, 9.1, Annex B). Knows nothing of pictures.
 */
#ifndef BITS_H
#define BITS_H

#include <linux/types.h>

/* Where bits go. What does not fit is not written, and remembered. */
struct bits {
	u8 *at;
	u8 *start;
	u8 *end;
	/* Bits not yet in a whole byte, and how many. */
	u32 pending;
	unsigned int pending_bits;
	/* Zero bytes just before @at, within the NAL unit. */
	unsigned int zeros;
	bool overflowed;
};

void bits_init(struct bits *bits, void *buffer, size_t size);
/* Start code and the first byte of a NAL unit. */
void bits_nal(struct bits *bits, unsigned int ref_idc, unsigned int type);
/* u(n), n at most 24 */
void bits_u(struct bits *bits, unsigned int n, u32 value);
/* ue(v) */
void bits_ue(struct bits *bits, u32 value);
/* se(v) */
void bits_se(struct bits *bits, s32 value);
/* Zero bits up to the next whole byte. */
void bits_align(struct bits *bits);
/* Whole bytes; only where bits are aligned. */
void bits_bytes(struct bits *bits, const u8 *bytes, size_t n);
/* rbsp_trailing_bits() */
void bits_trailing(struct bits *bits);
/* Bytes written. */
size_t bits_length(const struct bits *bits);

#endif
