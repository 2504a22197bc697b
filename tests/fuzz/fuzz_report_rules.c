/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any report blocks on any mail: what stands before the first NUL is blocks of a configuration, what stands
 * behind it the mail. Oracles: recipients are mailboxes, each once; their words are bounded and without
 * control characters or runs of blanks; kinds that are none of recipients have none; a second reading says
 * the same.
 */
#include "conf/conf_load.h"
#include "feedback/prose.h"
#include "feedback/report_text.h"
#include "smtp_addr.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static const char head[] = "hostname = mta1.example.com\n";

struct reading {
	struct smtp_mime mime;
	struct report_text text;
	struct report first, again;
	struct finding finding;
};

static void
check_rcpt(const struct report *r, uint32_t n)
{
	const struct report_rcpt *rcpt = &r->rcpts[n];
	size_t len = strnlen(rcpt->text, sizeof(rcpt->text));
	struct smtp_addr a;

	REQUIRE(smtp_addr_parse(
			(struct smtp_slice){rcpt->address, strnlen(rcpt->address, sizeof(rcpt->address))},
			&a) >= 0);
	for (uint32_t i = 0; i < n; i++)
		REQUIRE(strcmp(r->rcpts[i].address, rcpt->address) != 0);
	REQUIRE(len < sizeof(rcpt->text));
	for (size_t i = 0; i < len; i++)
		REQUIRE((unsigned char)rcpt->text[i] >= ' ' &&
			(rcpt->text[i] != ' ' || (i > 0 && rcpt->text[i - 1] != ' ')));
	REQUIRE(rcpt->code == 0 || (rcpt->code >= 200 && rcpt->code < 600));
}

static void
read_mail(const struct report_rules *rules, struct smtp_slice mail, struct reading *r)
{
	smtp_mime_read(&r->mime, mail);
	report_text_read(&r->mime, true, &r->text);
	if (!report_rules_read(rules, &r->text.mail, &r->first))
		return;
	REQUIRE(report_rules_read(rules, &r->text.mail, &r->again));
	REQUIRE(r->first.form == r->again.form && r->first.rcpt_count == r->again.rcpt_count);
	REQUIRE(r->first.rcpt_count <= REPORT_RCPTS_MAX);
	REQUIRE(conf_report_has_recipients(r->first.kind) == (r->first.rcpt_count > 0));
	for (uint32_t i = 0; i < r->first.rcpt_count; i++)
		check_rcpt(&r->first, i);
	finding_clear(&r->finding);
	prose_read((void *)(uintptr_t)rules, mail, &r->mime, &r->finding);
	REQUIRE(r->finding.kind != FINDING_UNKNOWN && r->finding.rcpt_count == r->first.rcpt_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size < 4096 ? size : 4096);
	struct reading *r;
	struct report_rules *rules;
	const struct conf *c;
	char *bytes;
	size_t len;
	FILE *out;

	if (nul == NULL || size > 16384)
		return 0;
	out = fopen("/dev/null", "we");
	len = (size_t)(nul - data);
	bytes = malloc(sizeof(head) + len);
	r = calloc(1, sizeof(*r));
	REQUIRE(out != NULL && bytes != NULL && r != NULL);
	memcpy(bytes, head, sizeof(head) - 1);
	memcpy(bytes + sizeof(head) - 1, data, len);
	c = conf_load_bytes("/nonexistent/fuzz.conf", bytes, sizeof(head) - 1 + len, out);
	free(bytes);
	fclose(out);
	if (c != NULL) {
		rules = report_rules_create(c);
		REQUIRE(rules != NULL);
		read_mail(rules, (struct smtp_slice){(const char *)nul + 1, size - len - 1}, r);
		report_rules_unref(rules);
		conf_unref(c);
	}
	free(r);
	return 0;
}
