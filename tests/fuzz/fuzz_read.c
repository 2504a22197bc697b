/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a mail that came back. Oracles: what is reported is clean (UTF-8 of one line, ended) and says
 * the same when the mail is read again; the gravest recipient gives the kind.
 */
#include "feedback/read.h"
#include "smtp_addr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void
check_text(const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	REQUIRE(len < max && smtp_utf8_is_text((struct smtp_slice){text, len}));
}

#define CHECK_TEXT(member) check_text(member, sizeof(member))

static void
check(const struct finding *f)
{
	bool has_kind = f->rcpt_count == 0;

	REQUIRE(f->rcpt_count <= FINDING_RCPTS_MAX);
	CHECK_TEXT(f->reporter);
	CHECK_TEXT(f->feedback_type);
	CHECK_TEXT(f->auth_failure);
	CHECK_TEXT(f->delivery_result);
	CHECK_TEXT(f->reported_domain);
	CHECK_TEXT(f->original.message_id);
	CHECK_TEXT(f->original.return_path);
	CHECK_TEXT(f->original.from);
	CHECK_TEXT(f->original.to);
	CHECK_TEXT(f->original.feedback_id);
	CHECK_TEXT(f->original.list_id);
	CHECK_TEXT(f->original.list_unsubscribe);
	CHECK_TEXT(f->original.source_ip);
	CHECK_TEXT(f->original.arrival_date);
	CHECK_TEXT(f->original.envid);
	for (uint16_t i = 0; i < f->rcpt_count; i++) {
		const struct finding_rcpt *r = &f->rcpts[i];

		has_kind |= r->kind == f->kind;
		CHECK_TEXT(r->address);
		CHECK_TEXT(r->original);
		CHECK_TEXT(r->remote_mta);
		CHECK_TEXT(r->text);
	}
	REQUIRE(has_kind);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct feedback_reader *r;
	static char first[FINDING_TEXT_MAX];
	struct smtp_slice mail = {(const char *)data, size};
	const struct finding *f;
	enum finding_kind kind;
	uint16_t count;

	if (r == NULL)
		REQUIRE((r = feedback_reader_create(NULL, NULL)) != NULL);
	f = feedback_read(r, mail);
	check(f);
	kind = f->kind;
	count = f->rcpt_count;
	memcpy(first, f->original.message_id, sizeof(first));
	f = feedback_read(r, mail);
	REQUIRE(f->kind == kind && f->rcpt_count == count && strcmp(f->original.message_id, first) == 0);
	return 0;
}
