/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Report blocks: expressions that PCRE2 takes and that name what is looked for. A block that holds for every
 * mail, or names what nobody reads, is a mistake.
 *
 * Invariant: whoever compiles the expressions again finds them right, and their groups there.
 */
#include "conf/conf_check.h"

#include "base/pattern.h"
#include "smtp_esc.h"

#include <string.h>

#define WORD_MAX 65536 /* no word of a file is longer */

struct form_check {
	struct conf_loader *l;
	size_t n; /* of the block */
	const struct conf_report_form *form;
};

static struct conf_place
place(const struct form_check *c, const char *setting)
{
	return conf_place_of(c->l, CONF_KIND_REPORT_FORM, c->n, setting);
}

/* group: one it must have; NULL: none. */
static void
check_expression(struct form_check *c, const char *setting, const char *text, const char *group)
{
	char why[200];
	size_t offset;
	struct pattern *p = pattern_create(text, &offset, why, sizeof(why));

	if (p == NULL)
		conf_error(&c->l->report, place(c, setting),
			"\"%.200s\" is no regular expression: %s, at byte %zu", text, why, offset);
	else if (group != NULL && pattern_group(p, group) < 0)
		conf_error(&c->l->report, place(c, setting),
			"\"%.200s\" does not say what is looked for: write (?<%s>...) around it, once", text,
			group);
	pattern_destroy(&p);
}

static void
check_expressions(struct form_check *c, const char *setting, const struct conf_list *list, const char *group)
{
	for (size_t i = 0; i < list->count; i++)
		check_expression(c, setting, list->items[i], group);
}

static void
check_status(struct form_check *c)
{
	const char *text = c->form->status;
	struct smtp_slice slice = {text, strnlen(text, WORD_MAX)};
	struct smtp_esc esc;

	if (slice.len > 0 && smtp_esc_parse(slice, &esc) != (int)slice.len)
		conf_error(&c->l->report, place(c, "status"),
			"\"%.60s\" is no enhanced code; write 5.1.1 or 4.2.2", text);
}

static void
check_form(struct form_check *c)
{
	const struct conf_report_form *f = c->form;
	bool has_recipients = conf_report_has_recipients((enum conf_report_kind)f->kind);

	check_expressions(c, "header", &f->header, NULL);
	check_expressions(c, "recipient", &f->recipient, "rcpt");
	check_expressions(c, "diagnostic", &f->diagnostic, "text");
	if (f->begin[0] != '\0')
		check_expression(c, "begin", f->begin, NULL);
	if (f->end[0] != '\0')
		check_expression(c, "end", f->end, NULL);
	check_status(c);
	if (f->header.count == 0 && f->begin[0] == '\0')
		conf_error(&c->l->report, c->l->blocks[CONF_KIND_REPORT_FORM][c->n]->at,
			"report \"%.60s\" would hold for every mail: give it header or begin", f->name);
	if (!has_recipients && (f->recipient.count > 0 || f->diagnostic.count > 0 || f->status[0] != '\0'))
		conf_error(&c->l->report, c->l->blocks[CONF_KIND_REPORT_FORM][c->n]->at,
			"report \"%.60s\" is none of recipients: leave out recipient, diagnostic and status, "
			"or make its kind bounce, delay or delivered",
			f->name);
}

void
conf_check_reports(struct conf_loader *l)
{
	struct conf_index names;

	conf_check_names(l, CONF_KIND_REPORT_FORM, &names);
	for (size_t n = 0; n < l->conf->report_form_count; n++) {
		struct form_check c = {l, n, &l->conf->report_forms[n]};

		check_form(&c);
	}
}
