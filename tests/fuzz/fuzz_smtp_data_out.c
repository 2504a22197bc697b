/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message on its way out, in three pieces and random portions. Oracles: the look agrees with a slow one
 * byte by byte; what comes out is the message with dots doubled, found by taking the dots away again; no line
 * of it is a lone dot, so nothing in a message can end it.
 */
#include "smtp_data_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static bool
is_clean_slowly(const struct smtp_slice *pieces)
{
	for (int i = 0; i < SMTP_DATA_PIECES; i++) {
		const struct smtp_slice p = pieces[i];
		bool has_more = false;

		for (int k = i + 1; k < SMTP_DATA_PIECES; k++)
			has_more |= pieces[k].len > 0;
		for (size_t at = 0; at < p.len; at++) {
			if (p.ptr[at] == '\0' || (p.ptr[at] == '\n' && (at == 0 || p.ptr[at - 1] != '\r')))
				return false;
			if (p.ptr[at] == '\r' && (at + 1 == p.len || p.ptr[at + 1] != '\n'))
				return false;
		}
		if (p.len > 0 && has_more && p.ptr[p.len - 1] != '\n')
			return false;
	}
	return true;
}

static size_t
write_out(struct smtp_data_out *o, size_t portion, int iov_max, char *out, size_t out_max)
{
	size_t len = 0;

	while (!smtp_data_out_is_done(o)) {
		struct iovec iov[5];
		bool reaches_end;
		int count = smtp_data_out_iov(o, iov, iov_max, &reaches_end);
		size_t left = portion, taken = 0, all = 0;

		REQUIRE(count > 0 && count <= iov_max);
		for (int i = 0; i < count; i++) {
			size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

			REQUIRE(iov[i].iov_len > 0 && len + part <= out_max);
			memcpy(out + len, iov[i].iov_base, part);
			len += part;
			taken += part;
			left -= part;
			all += iov[i].iov_len;
		}
		REQUIRE(smtp_data_out_drained(o, taken) == 0);
		REQUIRE(smtp_data_out_is_done(o) == (reaches_end && taken == all));
	}
	REQUIRE(smtp_data_out_drained(o, 7) == 7);
	return len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice pieces[SMTP_DATA_PIECES] = {{NULL, 0}};
	struct smtp_data_look look;
	struct smtp_data_out o;
	size_t first, second, len, at = 0;
	char *message, *out;

	if (size < 3)
		return 0;
	message = malloc(size);
	memcpy(message, data + 3, size - 3);
	first = data[2] < size - 3 ? data[2] : size - 3;
	second = (size - 3 - first) / 2;
	/* Pieces are meant to end with lines. */
	while (second > 0 && second < size - 3 - first && message[first + second - 1] != '\n')
		second++;
	pieces[0] = (struct smtp_slice){message, first};
	pieces[1] = (struct smtp_slice){message + first, second};
	pieces[2] = (struct smtp_slice){message + first + second, size - 3 - first - second};
	look = smtp_data_look(pieces);
	REQUIRE(look.byte_count == size - 3);
	REQUIRE(look.is_clean == is_clean_slowly(pieces));
	if (look.is_clean) {
		out = malloc(size * 2);
		smtp_data_out_init(&o, pieces, look.has_dots);
		len = write_out(&o, 1u + data[0], 1 + data[1] % 5, out, size * 2);
		REQUIRE(look.has_dots == (len > size - 3));
		for (size_t i = 0; i < len; i++) {
			bool at_line = i == 0 || out[i - 1] == '\n';

			if (at_line && out[i] == '.') {
				REQUIRE(i + 1 < len && out[i + 1] == '.');
				i++;
			}
			REQUIRE(at < size - 3 && message[at++] == out[i]);
		}
		REQUIRE(at == size - 3);
		free(out);
	}
	free(message);
	return 0;
}
