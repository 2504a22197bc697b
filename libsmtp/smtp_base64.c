/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 for AUTH. It is strict because lenient decoders have been the way into mail servers (CVE-2018-6789
 * wrote one byte past a buffer sized for well-formed input): the output size is known from the input size
 * before a byte is written, and four input bytes always give exactly three output bytes, save in the last
 * group.
 */
#include "smtp_base64.h"

#include <assert.h>
#include <limits.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or -1 for a byte that has no value. */
static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int
smtp_base64_encode(struct smtp_slice in, char *buf, size_t buf_max)
{
	size_t out = 0;

	if (in.len > INT_MAX / 2 || SMTP_BASE64_LEN(in.len) > buf_max)
		return SMTP_ENOSPACE;
	for (size_t i = 0; i < in.len; i += 3) {
		size_t left = in.len - i;
		uint32_t bits = (uint32_t)(unsigned char)in.ptr[i] << 16;

		if (left > 1)
			bits |= (uint32_t)(unsigned char)in.ptr[i + 1] << 8;
		if (left > 2)
			bits |= (unsigned char)in.ptr[i + 2];
		buf[out++] = alphabet[bits >> 18];
		buf[out++] = alphabet[bits >> 12 & 63];
		buf[out++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		buf[out++] = left > 2 ? alphabet[bits & 63] : '=';
	}
	assert(out == SMTP_BASE64_LEN(in.len));
	return (int)out;
}

/* The group's 24 bits, or -1. `digits` of the four bytes count, the rest is padding. */
static int32_t
decode_group(const char *group, size_t digits)
{
	int32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < digits ? digit_value(group[i]) : 0;

		if (value < 0)
			return -1;
		bits = bits << 6 | value;
	}
	/* Bits behind the last whole byte must be zero: 16 when two digits count, 8 when three do. */
	if (bits & ((1 << (4 - digits) * 8) - 1))
		return -1;
	return bits;
}

int
smtp_base64_decode(struct smtp_slice in, char *buf, size_t buf_max)
{
	size_t padding = 0, out = 0, len;

	if (in.len == 0)
		return 0;
	if (in.len % 4 != 0 || in.len > INT_MAX)
		return SMTP_ESYNTAX;
	while (padding < 2 && in.ptr[in.len - 1 - padding] == '=')
		padding++;
	len = in.len / 4 * 3 - padding;
	if (len > buf_max)
		return SMTP_ENOSPACE;
	for (size_t i = 0; i < in.len; i += 4) {
		int32_t bits = decode_group(in.ptr + i, i + 4 < in.len ? 4 : 4 - padding);

		if (bits < 0)
			return SMTP_ESYNTAX;
		for (int shift = 16; shift >= 0 && out < len; shift -= 8)
			buf[out++] = (char)(bits >> shift & 255);
	}
	assert(out == len);
	return (int)len;
}
