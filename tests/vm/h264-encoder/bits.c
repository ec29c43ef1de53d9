// SPDX-License-Identifier: GPL-2.0
/*
 * See bits.h.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "bits.h"

static void raw_byte(struct bits *bits, u8 byte)
{
	if (bits->at == bits->end) {
		bits->overflowed = true;
		return;
	}
	*bits->at++ = byte;
}

/* 7.3.1: no three bytes in a NAL unit may look like a start code. */
static void escaped_byte(struct bits *bits, u8 byte)
{
	if (bits->zeros == 2 && byte <= 3) {
		raw_byte(bits, 3);
		bits->zeros = 0;
	}
	raw_byte(bits, byte);
	bits->zeros = byte ? 0 : bits->zeros + 1;
}

void bits_init(struct bits *bits, void *buffer, size_t size)
{
	memset(bits, 0, sizeof(*bits));
	bits->start = buffer;
	bits->at = buffer;
	bits->end = bits->start + size;
}

void bits_nal(struct bits *bits, unsigned int ref_idc, unsigned int type)
{
	raw_byte(bits, 0);
	raw_byte(bits, 0);
	raw_byte(bits, 0);
	raw_byte(bits, 1);
	raw_byte(bits, ref_idc << 5 | type);
	bits->zeros = 0;
	bits->pending = 0;
	bits->pending_bits = 0;
}

void bits_u(struct bits *bits, unsigned int n, u32 value)
{
	if (!n)
		return;
	bits->pending = bits->pending << n | (value & GENMASK(n - 1, 0));
	bits->pending_bits += n;
	while (bits->pending_bits >= 8) {
		bits->pending_bits -= 8;
		escaped_byte(bits, bits->pending >> bits->pending_bits);
	}
}

void bits_ue(struct bits *bits, u32 value)
{
	unsigned int length = fls(value + 1);

	bits_u(bits, length - 1, 0);
	bits_u(bits, length, value + 1);
}

void bits_se(struct bits *bits, s32 value)
{
	bits_ue(bits, value > 0 ? 2 * value - 1 : -2 * value);
}

void bits_align(struct bits *bits)
{
	if (bits->pending_bits)
		bits_u(bits, 8 - bits->pending_bits, 0);
}

void bits_bytes(struct bits *bits, const u8 *bytes, size_t n)
{
	size_t i;

	/* Most samples are well above 3, and then nothing needs to be escaped. */
	for (i = 0; i < n && bytes[i] > 3; i++)
		;
	if (i == n && bits->end - bits->at >= n) {
		memcpy(bits->at, bytes, n);
		bits->at += n;
		if (n)
			bits->zeros = 0;
		return;
	}
	for (i = 0; i < n; i++)
		escaped_byte(bits, bytes[i]);
}

void bits_trailing(struct bits *bits)
{
	bits_u(bits, 1, 1);
	bits_align(bits);
}

size_t bits_length(const struct bits *bits)
{
	return bits->at - bits->start;
}
