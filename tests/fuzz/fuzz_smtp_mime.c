/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a mail, and its parts as texts. Oracles: all that is found lies inside the mail, and inside of
 * the part it belongs to; parts stand in their order; fields are in the header they are of; texts fit their
 * buffers, and do not change when there is more room.
 */
#include "smtp_mime_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

enum { SMALL = 40 };

static bool
is_inside(struct smtp_slice s, struct smtp_slice all)
{
	return s.len == 0 || (s.ptr >= all.ptr && s.ptr + s.len <= all.ptr + all.len);
}

static void
check_header(struct smtp_slice header)
{
	struct smtp_slice rest = header;
	struct smtp_field f;
	const char *at = header.ptr;

	while (smtp_mime_field(&rest, &f)) {
		char small[SMALL], *large = malloc(f.value.len * 2 + 1);
		bool is_cut = false, is_large_cut = false;
		size_t len = smtp_mime_value(f.value, small, sizeof(small), &is_cut), large_len;

		REQUIRE(large != NULL);
		large_len = smtp_mime_value(f.value, large, f.value.len * 2 + 1, &is_large_cut);
		REQUIRE(!is_large_cut && len <= large_len && memcmp(small, large, len) == 0);
		REQUIRE(is_cut == (large_len > sizeof(small)));
		REQUIRE(f.name.ptr >= at && f.name.len > 0 && is_inside(f.whole, header));
		REQUIRE(is_inside(f.name, f.whole) && is_inside(f.value, f.whole));
		REQUIRE(is_inside(smtp_mime_parameter(f.value, SMTP_LIT("x")), f.value));
		at = f.whole.ptr + f.whole.len;
		free(large);
	}
}

static void
check_text(const struct smtp_mime_part *p)
{
	char small[SMALL], *large = malloc(p->body.len * 2 + 1);
	bool is_cut = false, is_large_cut = false;
	size_t len;

	REQUIRE(large != NULL);
	len = smtp_mime_decode(p->body, p->encoding, large, p->body.len * 2 + 1, &is_large_cut);
	REQUIRE(len <= p->body.len);
	REQUIRE(smtp_mime_html(large, len) <= len);
	REQUIRE(smtp_mime_text(p, large, p->body.len * 2 + 1, &is_large_cut) <= p->body.len * 2);
	REQUIRE(smtp_mime_text(p, small, sizeof(small), &is_cut) <= sizeof(small));
	REQUIRE(!is_large_cut);
	free(large);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smtp_mime m;
	struct smtp_slice mail = {(const char *)data, size};

	smtp_mime_read(&m, mail);
	REQUIRE(m.count >= 1 && m.count <= SMTP_MIME_PARTS_MAX && m.parts[0].parent == -1);
	for (int i = 0; i < m.count; i++) {
		const struct smtp_mime_part *p = &m.parts[i];

		REQUIRE(p->parent < i && (p->parent >= 0) == (i > 0));
		REQUIRE(is_inside(p->header, mail) && is_inside(p->body, mail));
		REQUIRE(p->header.len == 0 || p->body.len == 0 ||
			p->header.ptr + p->header.len <= p->body.ptr);
		REQUIRE(is_inside(p->boundary, mail) && is_inside(p->charset, p->header));
		if (i > 0) {
			REQUIRE(p->depth == m.parts[p->parent].depth + 1);
			REQUIRE(is_inside(p->header, m.parts[p->parent].body));
			REQUIRE(is_inside(p->body, m.parts[p->parent].body));
		}
		check_header(p->header);
		check_text(p);
		(void)smtp_mime_is_inside(&m, i);
	}
	REQUIRE(smtp_mime_message(&m) < m.count);
	return 0;
}
