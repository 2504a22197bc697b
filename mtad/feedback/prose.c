/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finding is either unknown, and becomes what the blocks say, or has recipients of whom a standard report
 * forgot the address or the status, and gets those. What a standard report said stays as it is: its fields
 * are meant for machines.
 */
#include "feedback/prose.h"

#include "feedback/report_text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct prose {
	struct report_text text;
	struct report report;
};

static enum finding_kind
kind_of(enum conf_report_kind kind)
{
	switch (kind) {
	case CONF_REPORT_BOUNCE:
		return FINDING_BOUNCE;
	case CONF_REPORT_DELAY:
		return FINDING_DELAY;
	case CONF_REPORT_DELIVERED:
		return FINDING_DELIVERED;
	case CONF_REPORT_AUTO_REPLY:
		return FINDING_AUTO_REPLY;
	case CONF_REPORT_CHALLENGE:
		return FINDING_CHALLENGE;
	case CONF_REPORT_ADDRESS_CHANGED:
		return FINDING_ADDRESS_CHANGED;
	}
	return FINDING_UNKNOWN;
}

static void
put(char *buf, size_t max, const char *text, size_t text_max)
{
	finding_put(buf, max, (struct smtp_slice){text, strnlen(text, text_max)});
}

static void
put_words(struct finding_rcpt *to, const struct report_rcpt *from)
{
	to->status = from->status;
	to->code = from->code;
	put(to->text, sizeof(to->text), from->text, REPORT_TEXT_MAX);
}

static void
add_rcpts(const struct report *r, struct finding *f)
{
	for (uint32_t i = 0; i < r->rcpt_count; i++) {
		struct finding_rcpt *rcpt = finding_add(f, kind_of(r->kind));

		if (rcpt == NULL)
			return;
		put(rcpt->address, sizeof(rcpt->address), r->rcpts[i].address, REPORT_ADDRESS_MAX);
		put_words(rcpt, &r->rcpts[i]);
	}
}

/* Who has no address is the one of the text, if both are alone; who has no status gets that of the same
 * address. */
static void
fill_rcpts(const struct report *r, struct finding *f)
{
	if (f->rcpt_count == 1 && f->rcpts[0].address[0] == '\0' && r->rcpt_count == 1)
		put(f->rcpts[0].address, sizeof(f->rcpts[0].address), r->rcpts[0].address,
			REPORT_ADDRESS_MAX);
	for (uint16_t n = 0; n < f->rcpt_count; n++)
		for (uint32_t i = 0; i < r->rcpt_count && f->rcpts[n].status.class_digit == 0; i++)
			if (strcasecmp(f->rcpts[n].address, r->rcpts[i].address) == 0) {
				if (f->rcpts[n].text[0] == '\0')
					put_words(&f->rcpts[n], &r->rcpts[i]);
				else
					f->rcpts[n].status = r->rcpts[i].status;
				break;
			}
}

static void
put_report(const struct report *r, struct finding *f)
{
	/* The message came back in the text; the text is gone when we are. */
	if (f->original.header.len == 0 && r->returned.len > 0) {
		size_t len = r->returned.len < sizeof(f->header) ? r->returned.len : sizeof(f->header);

		memcpy(f->header, r->returned.ptr, len);
		feedback_read_original(&f->original, (struct smtp_slice){f->header, len});
	}
	if (f->kind != FINDING_UNKNOWN)
		fill_rcpts(r, f);
	else if (conf_report_has_recipients(r->kind))
		add_rcpts(r, f);
	else
		f->kind = kind_of(r->kind);
}

void
prose_read(void *arg, struct smtp_slice mail, const struct smtp_mime *m, struct finding *f)
{
	struct prose *p = malloc(sizeof(*p));

	if (p == NULL)
		return;
	report_text_read(m, f->kind == FINDING_UNKNOWN, &p->text);
	if (report_rules_read(arg, &p->text.mail, &p->report))
		put_report(&p->report, f);
	free(p);
}
