/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message. After a successful scan the fields must tile the block, and putting the block in
 * two pieces, cut where a field begins, must give the same fields.
 */
#include "smtp_header.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool is_true)
{
	if (!is_true)
		abort();
}

static void
check_field(const struct smtp_field *f, const char *at)
{
	char buf[2048];
	int len = smtp_header_unfold(f->value, buf, sizeof(buf));

	require(f->whole.ptr == at && f->name.ptr == at && f->name.len > 0);
	require(f->value.ptr == at + f->name.len + 1 && at[f->name.len] == ':');
	require(f->value.ptr + f->value.len + 2 == at + f->whole.len);
	require(memcmp(f->value.ptr + f->value.len, "\r\n", 2) == 0);
	require(len == SMTP_ENOSPACE || (len >= 0 && (size_t)len <= f->value.len));
	require(len <= 0 ||
		(memchr(buf, '\r', (size_t)len) == NULL && memchr(buf, '\n', (size_t)len) == NULL));
	smtp_header_domain(f->value);
}

/* The block from field `first` on, scanned alone. */
static void
check_rest(const struct smtp_header *h, uint32_t first, struct smtp_slice message)
{
	static struct smtp_field fields[FIELDS];
	struct smtp_header rest = {.fields = fields, .fields_max = FIELDS};
	size_t before = (size_t)(h->fields[first].whole.ptr - message.ptr), at;

	require(smtp_header_scan(&rest, (struct smtp_slice){message.ptr + before, message.len - before},
			&at) == SMTP_OK);
	require(rest.count == h->count - first && rest.is_closed == h->is_closed);
	require(rest.header_bytes == h->header_bytes - before);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smtp_field fields[FIELDS];
	struct smtp_header h = {.fields = fields, .fields_max = FIELDS};
	struct smtp_slice message = {(const char *)data, size};
	const char *p = message.ptr;
	size_t at = 0;
	int err = smtp_header_scan(&h, message, &at);

	if (err < 0) {
		require(err == SMTP_ESYNTAX || err == SMTP_ETOOLONG);
		require(at <= size);
		return 0;
	}
	for (uint32_t i = 0; i < h.count; i++) {
		check_field(&fields[i], p);
		p += fields[i].whole.len;
	}
	require(h.header_bytes == (size_t)(p - message.ptr) + (h.is_closed ? 2 : 0));
	require(h.header_bytes <= size && h.hops <= h.count);
	require(smtp_header_find(&h, SMTP_LIT("received"), 0) >= 0 || h.hops == 0);
	if (h.count > 0)
		check_rest(&h, h.count / 2, message);
	return 0;
}
