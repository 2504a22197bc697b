/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reply parser. Oracles: cut differently, the same bytes give the same replies and the same end; codes
 * are in range; texts are bounded and hold no NUL and no CR.
 */
#include "smtp_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

struct tally {
	uint64_t hash;
	int end;
};

static void
check_reply(const struct smtp_reply *r, struct tally *t)
{
	REQUIRE(r->code >= SMTP_REPLY_CODE_MIN && r->code <= SMTP_REPLY_CODE_MAX);
	REQUIRE(r->text.len <= SMTP_REPLY_TEXT_MAX);
	REQUIRE(memchr(r->text.ptr, '\0', r->text.len) == NULL &&
		memchr(r->text.ptr, '\r', r->text.len) == NULL);
	t->hash = t->hash * 31 + r->code;
	t->hash = t->hash * 31 + r->esc.class_digit * 1000003u + r->esc.subject * 1009u + r->esc.detail;
	for (size_t i = 0; i < r->text.len; i++)
		t->hash = t->hash * 31 + (unsigned char)r->text.ptr[i];
	t->hash = t->hash * 31 + r->text_cut;
}

static struct tally
parse(const uint8_t *data, size_t size, size_t step)
{
	struct smtp_reply_parser p;
	struct tally t = {0};

	smtp_reply_init(&p);
	for (size_t at = 0; at < size && t.end == 0; at += step) {
		struct smtp_slice in = {(const char *)data + at, step < size - at ? step : size - at};

		while (in.len > 0) {
			struct smtp_reply r;
			int found = smtp_reply_feed(&p, &in, &r);

			if (found == SMTP_REPLY_WHOLE || found == SMTP_REPLY_LINE)
				check_reply(&r, &t);
			if (found < 0) {
				t.end = found;
				break;
			}
		}
	}
	return t;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tally whole, single, cut;

	if (size < 2)
		return 0;
	whole = parse(data + 1, size - 1, size);
	single = parse(data + 1, size - 1, 1);
	cut = parse(data + 1, size - 1, 1u + data[0]);
	REQUIRE(whole.hash == single.hash && whole.end == single.end);
	REQUIRE(whole.hash == cut.hash && whole.end == cut.end);
	return 0;
}
