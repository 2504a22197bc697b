/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_TEXT_H
#define MTASIM_TEXT_H
/*
 * mtasim_text - what mtasim and mtasim-load must agree on: the checksum in the ledgers, the numbered domain
 * names
 *
 * Header only, because each program is built from its own sources. No state, no failure but the false that is
 * named.
 *
 * The checksum is the CRC-32 of zlib, PNG and Python's zlib.crc32, so that a checker needs no code of ours.
 * Sliced by eight it costs 5 us for 10 KB, a fifth of a SHA-256 without hardware help.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

struct sim_crc {
	uint32_t table[8][256];
	bool has_clmul;
};

static inline void
sim_crc_init(struct sim_crc *crc)
{
	uint32_t i, k, value;

	for (i = 0; i < 256; i++) {
		value = i;
		for (k = 0; k < 8; k++)
			value = (value & 1) != 0 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
		crc->table[0][i] = value;
	}
#ifdef __x86_64__
	crc->has_clmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
	for (k = 1; k < 8; k++) {
		for (i = 0; i < 256; i++) {
			value = crc->table[k - 1][i];
			crc->table[k][i] = crc->table[0][value & 255] ^ (value >> 8);
		}
	}
}

/* Table look-up, eight bytes a step; `value` is the register as it is, not inverted. */
static inline uint32_t
sim_crc_tables(const struct sim_crc *crc, uint32_t value, const char *bytes, size_t len)
{
	const uint32_t(*t)[256] = crc->table;
	uint32_t low, high;

	for (; len >= 8; bytes += 8, len -= 8) {
		memcpy(&low, bytes, 4);
		memcpy(&high, bytes + 4, 4);
		low ^= value; /* little endian, as every machine this runs on */
		value = t[7][low & 255] ^ t[6][(low >> 8) & 255] ^ t[5][(low >> 16) & 255] ^ t[4][low >> 24] ^
			t[3][high & 255] ^ t[2][(high >> 8) & 255] ^ t[1][(high >> 16) & 255] ^
			t[0][high >> 24];
	}
	for (; len > 0; bytes++, len--)
		value = t[0][(value ^ (unsigned char)*bytes) & 255] ^ (value >> 8);
	return value;
}

#ifdef __x86_64__
__attribute__((target("pclmul,sse4.1"))) static inline __m128i
sim_crc_fold(__m128i x, __m128i by, __m128i with)
{
	return _mm_xor_si128(
		_mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11)), with);
}

/*
 * Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009),
 * bit-reflected: folds 64 bytes a step into 512 bits, those into 128, reduces them to 32. `len` is a multiple
 * of 16, at least 64.
 */
__attribute__((target("pclmul,sse4.1"))) static inline uint32_t
sim_crc_clmul(uint32_t value, const char *bytes, size_t len)
{
	const __m128i by4 = _mm_set_epi64x(0x01C6E41596, 0x0154442BD4),
		      by1 = _mm_set_epi64x(0x00CCAA009E, 0x01751997D0);
	const __m128i poly = _mm_set_epi64x(0x01F7011641, 0x01DB710641), low = _mm_setr_epi32(-1, 0, -1, 0);
	const __m128i *in = (const __m128i *)(const void *)bytes;
	__m128i x[4], y;
	int i;

	for (i = 0; i < 4; i++)
		x[i] = _mm_loadu_si128(in++);
	x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)value));
	for (len -= 64; len >= 64; len -= 64) {
		for (i = 0; i < 4; i++)
			x[i] = sim_crc_fold(x[i], by4, _mm_loadu_si128(in++));
	}
	for (i = 1; i < 4; i++)
		x[0] = sim_crc_fold(x[0], by1, x[i]);
	for (; len >= 16; len -= 16)
		x[0] = sim_crc_fold(x[0], by1, _mm_loadu_si128(in++));
	y = _mm_xor_si128(_mm_srli_si128(x[0], 8), _mm_clmulepi64_si128(x[0], by1, 0x10));
	y = _mm_xor_si128(_mm_srli_si128(y, 4),
		_mm_clmulepi64_si128(_mm_and_si128(y, low), _mm_set_epi64x(0, 0x0163CD6124), 0x00));
	x[0] = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(y, low), poly, 0x10), low);
	y = _mm_xor_si128(y, _mm_clmulepi64_si128(x[0], poly, 0x00));
	return (uint32_t)_mm_extract_epi32(y, 1);
}
#endif

/* Begin with 0, hand in the result for the next piece. */
static inline uint32_t
sim_crc_add(const struct sim_crc *crc, uint32_t value, const char *bytes, size_t len)
{
	value = ~value;
#ifdef __x86_64__
	if (len >= 64 && crc->has_clmul) {
		value = sim_crc_clmul(value, bytes, len & ~(size_t)15);
		bytes += len & ~(size_t)15;
		len &= 15;
	}
#endif
	return ~sim_crc_tables(crc, value, bytes, len);
}

/* Case-blind, because domains are. */
static inline uint64_t
sim_hash(uint64_t seed, const char *text, size_t len)
{
	uint64_t h = 0xCBF29CE484222325u ^ seed;
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 0x100000001B3u;
	}
	h ^= h >> 30;
	h *= 0xBF58476D1CE4E5B9u;
	h ^= h >> 27;
	h *= 0x94D049BB133111EBu;
	return h ^ (h >> 31);
}

/* "d%04d.test": a name with one number in it. Borrows the text. */
struct sim_pattern {
	const char *prefix, *suffix;
	size_t prefix_len, suffix_len;
	unsigned width;
};

/* False: not exactly one %d, %Nd or %0Nd in it. */
static inline bool
sim_pattern_parse(const char *text, size_t len, struct sim_pattern *out_pattern)
{
	const char *percent = memchr(text, '%', len), *at, *end = text + len;
	unsigned width = 0;

	if (percent == NULL)
		return false;
	for (at = percent + 1; at < end && *at >= '0' && *at <= '9' && width < 10; at++)
		width = width * 10 + (unsigned)(*at - '0');
	if (at >= end || *at != 'd' || width > 9 || memchr(at, '%', (size_t)(end - at)) != NULL)
		return false;
	*out_pattern =
		(struct sim_pattern){text, at + 1, (size_t)(percent - text), (size_t)(end - at - 1), width};
	return true;
}

/* Bytes written, as snprintf counts them. */
static inline int
sim_pattern_write(const struct sim_pattern *p, uint32_t number, char *buf, size_t max)
{
	return snprintf(buf, max, "%.*s%0*u%.*s", (int)p->prefix_len, p->prefix, (int)p->width, number,
		(int)p->suffix_len, p->suffix);
}

/* The number in a name of this form, written just so (no missing or further zeros). */
static inline bool
sim_pattern_read(const struct sim_pattern *p, const char *name, size_t len, uint32_t *out_number)
{
	char again[320];
	uint32_t number = 0;
	size_t i;
	int written;

	if (len <= p->prefix_len + p->suffix_len || len - p->prefix_len - p->suffix_len > 9)
		return false;
	for (i = p->prefix_len; i < len - p->suffix_len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(name[i] - '0');
	}
	written = sim_pattern_write(p, number, again, sizeof(again));
	if (written < 0 || (size_t)written != len || strncasecmp(again, name, len) != 0)
		return false;
	*out_number = number;
	return true;
}
#endif
