/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of any bytes, its form and languages, and the page that answers it. Oracle: a request is whole at
 * one length only, what is refused stays refused when more comes, and slices stay inside.
 */
#include "feedback/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static int
read_part(const uint8_t *data, size_t len)
{
	char *exact = malloc(len + 1);
	struct http_request r;
	int got;

	REQUIRE(exact != NULL);
	memcpy(exact + 1, data, len);
	got = http_read((struct smtp_slice){exact + 1, len}, &r);
	free(exact);
	return got;
}

static void
use(const struct http_request *r)
{
	struct smtp_slice rest = r->fields, name, value;
	struct page_input page = {.kind = PAGE_CONFIRM, .language = page_language(r), .address = r->target};
	char buf[PAGE_MAX];

	REQUIRE(r->body.len <= HTTP_BODY_MAX && r->target.len > 0);
	while (http_next_field(&rest, &name, &value))
		REQUIRE(name.len > 0);
	if (http_form_has(r, SMTP_LIT("List-Unsubscribe"), SMTP_LIT("One-Click")))
		REQUIRE(r->body.len >= 16);
	page.is_head = r->method == HTTP_HEAD;
	REQUIRE(page_write(&page, buf) <= PAGE_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = malloc(size + 1);
	struct http_request r;
	int whole, part;

	REQUIRE(exact != NULL);
	memcpy(exact + 1, data, size);
	whole = http_read((struct smtp_slice){exact + 1, size}, &r);
	if (whole == 1)
		use(&r);
	for (size_t len = 0; len < size && size < 600; len++) {
		part = read_part(data, len);
		REQUIRE(part == 0 || part == whole);
	}
	free(exact);
	return 0;
}
