/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are matched one by one: an expression then never sees more than a line, whatever the mail, and a
 * block needs no more than "this line begins it", "this line names somebody", "this line ends it".
 *
 * Reports differ in where the reason stands: on the recipient's line, below it, above it. So there is one
 * text for each recipient, and one for what stood above the first; who has none of his own gets that.
 *
 * Invariant: an address in a report has passed smtp_addr_parse, whatever an expression took for one.
 */
#include "feedback/report_rules.h"

#include "base/pattern.h"
#include "smtp_addr.h"
#include "smtp_esc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX    65536 /* no word of a configuration is longer */
#define GAVE_UP_MAX 16

/* The expressions of a block; those of its lists stand behind each other. */
struct form {
	struct pattern *begin, *end; /* NULL: none */
	struct pattern **headers, **recipients, **diagnostics;
};
struct report_rules {
	_Atomic unsigned refs;
	const struct conf *conf;
	struct form *forms;
};

/* --- making it --- */

static struct pattern **
compile(const struct conf_list *list, bool *ok)
{
	struct pattern **all = calloc(list->count + 1, sizeof(struct pattern *));
	char why[200];
	size_t offset;

	for (size_t i = 0; all != NULL && i < list->count; i++)
		if ((all[i] = pattern_create(list->items[i], &offset, why, sizeof(why))) == NULL)
			*ok = false;
	*ok = *ok && all != NULL;
	return all;
}

static struct pattern *
compile_one(const char *text, bool *ok)
{
	char why[200];
	size_t offset;
	struct pattern *p;

	if (text[0] == '\0')
		return NULL;
	p = pattern_create(text, &offset, why, sizeof(why));
	*ok = *ok && p != NULL;
	return p;
}

static void
destroy_all(struct pattern **all, size_t count)
{
	for (size_t i = 0; all != NULL && i < count; i++)
		pattern_destroy(&all[i]);
	free(all);
}

struct report_rules *
report_rules_ref(struct report_rules *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void
report_rules_unref(struct report_rules *r)
{
	if (r == NULL || atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	for (size_t n = 0; r->forms != NULL && n < r->conf->report_form_count; n++) {
		const struct conf_report_form *c = &r->conf->report_forms[n];

		pattern_destroy(&r->forms[n].begin);
		pattern_destroy(&r->forms[n].end);
		destroy_all(r->forms[n].headers, c->header.count);
		destroy_all(r->forms[n].recipients, c->recipient.count);
		destroy_all(r->forms[n].diagnostics, c->diagnostic.count);
	}
	free(r->forms);
	conf_unref(r->conf);
	free(r);
}

struct report_rules *
report_rules_create(const struct conf *conf)
{
	struct report_rules *r = calloc(1, sizeof(*r));
	bool ok = true;

	if (r == NULL)
		return NULL;
	atomic_init(&r->refs, 1);
	r->conf = conf_ref(conf);
	r->forms = calloc(conf->report_form_count + 1, sizeof(*r->forms));
	ok = r->forms != NULL;
	for (size_t n = 0; ok && n < conf->report_form_count; n++) {
		const struct conf_report_form *c = &conf->report_forms[n];

		r->forms[n] = (struct form){.begin = compile_one(c->begin, &ok),
			.end = compile_one(c->end, &ok),
			.headers = compile(&c->header, &ok),
			.recipients = compile(&c->recipient, &ok),
			.diagnostics = compile(&c->diagnostic, &ok)};
	}
	if (!ok) {
		report_rules_unref(r);
		return NULL;
	}
	return r;
}

/* --- lines --- */

struct lines {
	struct smtp_slice at[REPORT_LINES_MAX];
	size_t count;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* A forwarded report is quoted with "> "; ">>> RCPT" is what a transcript of a session looks like. */
static struct smtp_slice
unquoted(struct smtp_slice line)
{
	if (line.len >= 1 && line.ptr[0] == '>' && (line.len == 1 || line.ptr[1] == ' ')) {
		line.ptr += line.len == 1 ? 1 : 2;
		line.len -= line.len == 1 ? 1 : 2;
	}
	return line;
}

static void
split(struct smtp_slice text, struct lines *out)
{
	out->count = 0;
	if (text.len > REPORT_BYTES_MAX)
		text.len = REPORT_BYTES_MAX;
	while (text.len > 0 && out->count < REPORT_LINES_MAX) {
		const char *end = memchr(text.ptr, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
		struct smtp_slice line = {text.ptr, len};

		while (line.len > 0 && is_blank(line.ptr[line.len - 1]))
			line.len--;
		line = unquoted(line);
		if (line.len > REPORT_LINE_MAX)
			line.len = REPORT_LINE_MAX;
		out->at[out->count++] = line;
		len += end != NULL;
		text.ptr += len;
		text.len -= len;
	}
}

/* --- the reply in a text --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/* "5.1.1" at `i`: not part of a longer number, a name or an address. Its length; 0: none. */
static size_t
esc_at(struct smtp_slice text, size_t i, struct smtp_esc *out)
{
	unsigned part[2];
	size_t n = i + 1;

	if ((text.ptr[i] != '2' && text.ptr[i] != '4' && text.ptr[i] != '5') ||
		(i > 0 && (is_word(text.ptr[i - 1]) || text.ptr[i - 1] == '.')))
		return 0;
	for (int k = 0; k < 2; k++) {
		size_t first;

		if (n >= text.len || text.ptr[n] != '.')
			return 0;
		first = ++n;
		for (part[k] = 0; n < text.len && is_digit(text.ptr[n]) && n - first < 3; n++)
			part[k] = part[k] * 10 + (unsigned)(text.ptr[n] - '0');
		if (n == first)
			return 0;
	}
	if (n < text.len && (is_word(text.ptr[n]) ||
				    (text.ptr[n] == '.' && n + 1 < text.len && is_word(text.ptr[n + 1]))))
		return 0;
	*out = (struct smtp_esc){(uint8_t)(text.ptr[i] - '0'), (uint16_t)part[0], (uint16_t)part[1]};
	return n - i;
}

/* "550" at `i`, and what follows is not more of a number or a name. */
static bool
code_at(struct smtp_slice text, size_t i, uint16_t *out)
{
	const char *p = text.ptr + i;

	if (text.len - i < 3 || p[0] < '2' || p[0] > '5' || p[0] == '3' || p[1] < '0' || p[1] > '7' ||
		!is_digit(p[2]))
		return false;
	if (i > 0 && p[-1] != ' ' && p[-1] != '\t' && p[-1] != ':' && p[-1] != '[' && p[-1] != '\'' &&
		p[-1] != '"' && p[-1] != '(' && p[-1] != '<' && p[-1] != '#' && p[-1] != ';' && p[-1] != ',')
		return false;
	if (text.len - i > 3 && p[3] != ' ' && p[3] != '-' && p[3] != ':' && p[3] != '\t' && p[3] != ',' &&
		p[3] != '>' && p[3] != ')' && p[3] != ']' && p[3] != '\'')
		return false;
	*out = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	return true;
}

void
report_reply_find(struct smtp_slice text, uint16_t *out_code, struct smtp_esc *out_esc)
{
	struct smtp_esc esc;

	*out_code = 0;
	*out_esc = (struct smtp_esc){0, 0, 0};
	for (size_t i = 0; i < text.len; i++) {
		size_t len = esc_at(text, i, &esc);
		uint16_t code;

		/* 2.x.x without a code is the version of a program. */
		if (len > 0 && out_esc->class_digit == 0 && esc.class_digit != 2 &&
			(*out_code == 0 || *out_code / 100 == esc.class_digit))
			*out_esc = esc;
		if (len > 0) {
			i += len - 1;
			continue;
		}
		if (*out_code != 0 || !code_at(text, i, &code))
			continue;
		len = i + 4 < text.len ? esc_at(text, i + 4, &esc) : 0;
		if (code < 400 && (len == 0 || esc.class_digit != 2))
			continue;
		/* What follows the code is what the site said, whatever was written around it. */
		*out_code = code;
		if (len > 0)
			*out_esc = esc;
	}
}

/* --- one block against one mail --- */

struct reading {
	struct pattern_block *block;
	struct lines header, text;
	size_t first, end; /* of the text: the report's lines */
	const struct conf_report_form *conf;
	const struct form *form;
	const struct report_mail *mail;
	struct report *out;
	int gave_up;
	bool has_own[REPORT_RCPTS_MAX]; /* stood with its words on one line */
	/* The words that were looked for are in out->rcpts; all of them here. above: before the first
	 * recipient. */
	char all[REPORT_RCPTS_MAX][REPORT_TEXT_MAX + 1];
	char above[REPORT_TEXT_MAX + 1], all_above[REPORT_TEXT_MAX + 1];
};

/* Whether it is found in the line at or behind `from`. */
static bool
find(struct reading *r, const struct pattern *p, struct smtp_slice line, size_t from)
{
	enum pattern_result result;

	if (r->gave_up >= GAVE_UP_MAX)
		return false;
	result = pattern_find(p, r->block, line.ptr, line.len, from);
	r->gave_up += result == PATTERN_GAVE_UP;
	return result == PATTERN_YES;
}

static bool
has_header(struct reading *r)
{
	for (size_t i = 0; i < r->conf->header.count; i++) {
		bool found = false;

		for (size_t n = 0; n < r->header.count && !found; n++)
			found = find(r, r->form->headers[i], r->header.at[n], 0);
		if (!found)
			return false;
	}
	return true;
}

static bool
has_begin(struct reading *r)
{
	r->first = 0;
	while (r->form->begin != NULL && r->first < r->text.count &&
		!find(r, r->form->begin, r->text.at[r->first], 0))
		r->first++;
	if (r->form->begin != NULL && r->first == r->text.count)
		return false;
	r->end = r->text.count;
	r->out->returned = (struct smtp_slice){NULL, 0};
	for (size_t n = r->first + 1; r->form->end != NULL && n < r->text.count; n++)
		if (find(r, r->form->end, r->text.at[n], 0)) {
			const char *from = r->text.at[n].ptr + r->text.at[n].len;

			r->end = n;
			r->out->returned = (struct smtp_slice){
				from, (size_t)(r->mail->text.ptr + r->mail->text.len - from)};
			break;
		}
	return true;
}

/* --- addresses --- */

/* "<a@b.test>", "\"a@b.test\"", "a@b.test.", "mailto:a@b.test": the mailbox in it. */
static bool
address_in(struct smtp_slice text, struct smtp_addr *out)
{
	static const char around[] = "<>\"'()[]{},;: \t";

	if (text.len > 7 && memcmp(text.ptr, "mailto:", 7) == 0)
		text = (struct smtp_slice){text.ptr + 7, text.len - 7};
	if (smtp_addr_parse(text, out) >= 0 && !out->is_literal)
		return true;
	while (text.len > 0 && memchr(around, text.ptr[0], sizeof(around) - 1) != NULL)
		text = (struct smtp_slice){text.ptr + 1, text.len - 1};
	while (text.len > 0 && (text.ptr[text.len - 1] == '.' ||
				       memchr(around, text.ptr[text.len - 1], sizeof(around) - 1) != NULL))
		text.len--;
	return smtp_addr_parse(text, out) >= 0;
}

static bool
is_same_address(const char *a, struct smtp_slice b)
{
	for (size_t i = 0; i < b.len; i++)
		if ((a[i] | 0x20) != (b.ptr[i] | 0x20))
			return false;
	return a[b.len] == '\0';
}

/* The recipient of that address, a new one if it is not there yet. NULL: no address, or too many. */
static struct report_rcpt *
rcpt_of(struct report *out, struct smtp_slice text)
{
	struct smtp_addr a;
	struct report_rcpt *rcpt;

	if (!address_in(text, &a) || a.whole.len > REPORT_ADDRESS_MAX)
		return NULL;
	for (uint32_t i = 0; i < out->rcpt_count; i++)
		if (is_same_address(out->rcpts[i].address, a.whole))
			return &out->rcpts[i];
	if (out->rcpt_count == REPORT_RCPTS_MAX)
		return NULL;
	rcpt = &out->rcpts[out->rcpt_count++];
	memcpy(rcpt->address, a.whole.ptr, a.whole.len);
	rcpt->address[a.whole.len] = '\0';
	rcpt->text[0] = '\0';
	return rcpt;
}

/* --- texts --- */

/* Behind what is there, with one blank between; runs of blanks become one; cut at REPORT_TEXT_MAX. */
static void
append(char text[REPORT_TEXT_MAX + 1], struct smtp_slice line)
{
	size_t n = strnlen(text, REPORT_TEXT_MAX);

	for (size_t i = 0; i <= line.len && n < REPORT_TEXT_MAX; i++) {
		char c = i == 0 ? ' ' : line.ptr[i - 1];

		if (is_blank(c) || (unsigned char)c < ' ') {
			if (n > 0 && text[n - 1] != ' ')
				text[n++] = ' ';
		} else {
			text[n++] = c;
		}
	}
	while (n > 0 && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
}

static struct smtp_slice
captured(const struct reading *r, const struct pattern *p, const char *name, struct smtp_slice line)
{
	size_t start, len;

	if (!pattern_captured(r->block, pattern_group(p, name), &start, &len))
		return (struct smtp_slice){line.ptr, 0};
	return (struct smtp_slice){line.ptr + start, len};
}

/* What the lines so far have led to. */
struct walk {
	struct report_rcpt *rcpt; /* the last one named; NULL: none yet */
	bool is_closed;           /* lines below are not its own */
	bool is_going_on;         /* the last line was words, and those below may belong to them */
};

static void
name(struct reading *r, struct report_rcpt *rcpt, struct smtp_slice text, struct walk *w)
{
	ptrdiff_t i = rcpt - r->out->rcpts;
	const char *said = r->has_own[i] || r->conf->diagnostic.count > 0 ? rcpt->text : r->all[i];

	/* Named again: what was said first counts, but words on the line of a name are surely its own. */
	w->is_closed = text.len > 0 || said[0] != '\0';
	w->is_going_on = text.len > 0 && !r->has_own[i];
	w->rcpt = rcpt;
	if (!w->is_going_on)
		return;
	rcpt->text[0] = '\0';
	append(rcpt->text, text);
	r->has_own[i] = true;
}

/* Every recipient of the line. */
static bool
read_recipients(struct reading *r, struct smtp_slice line, struct walk *w)
{
	for (size_t i = 0; i < r->conf->recipient.count; i++) {
		const struct pattern *p = r->form->recipients[i];
		bool is_named = false;
		size_t from = 0, start, len;

		while (from <= line.len && find(r, p, line, from)) {
			struct smtp_slice text = captured(r, p, "text", line);
			struct report_rcpt *rcpt = rcpt_of(r->out, captured(r, p, "rcpt", line));

			if (!pattern_captured(r->block, 0, &start, &len))
				break;
			from = start + len + (len == 0);
			if (rcpt == NULL)
				continue;
			is_named = true;
			name(r, rcpt, text, w);
		}
		if (is_named)
			return true;
	}
	return false;
}

static void
read_words(struct reading *r, struct smtp_slice line, struct walk *w)
{
	char *text = w->rcpt != NULL ? w->rcpt->text : r->above;
	char *all = w->rcpt != NULL ? r->all[w->rcpt - r->out->rcpts] : r->all_above;

	if (!w->is_closed)
		append(all, line);
	for (size_t i = 0; !w->is_closed && i < r->conf->diagnostic.count; i++)
		if (find(r, r->form->diagnostics[i], line, 0)) {
			append(text, captured(r, r->form->diagnostics[i], "text", line));
			w->is_going_on = true;
			return;
		}
	w->is_going_on = w->is_going_on && line.len > 0 && is_blank(line.ptr[0]);
	if (w->is_going_on)
		append(text, line);
}

static void
read_lines(struct reading *r)
{
	struct walk w = {NULL, false, false};

	r->out->rcpt_count = 0;
	r->above[0] = r->all_above[0] = '\0';
	memset(r->has_own, 0, sizeof(r->has_own));
	memset(r->all, 0, sizeof(r->all));
	for (size_t n = r->first; n < r->end; n++)
		if (!read_recipients(r, r->text.at[n], &w))
			read_words(r, r->text.at[n], &w);
}

/* --- recipients that the text does not name --- */

static bool
is_field(struct smtp_slice line, const char *name, struct smtp_slice *out_value)
{
	size_t len = strnlen(name, 64);

	if (line.len <= len || line.ptr[len] != ':')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((line.ptr[i] | 0x20) != (name[i] | 0x20))
			return false;
	*out_value = (struct smtp_slice){line.ptr + len + 1, line.len - len - 1};
	return true;
}

/* Each address between blanks, commas and brackets. */
static void
add_addresses(struct report *out, struct smtp_slice value)
{
	size_t n = 0;

	for (size_t i = 0; i <= value.len; i++)
		if (i == value.len || is_blank(value.ptr[i]) || memchr(",;<>", value.ptr[i], 4) != NULL) {
			(void)rcpt_of(out, (struct smtp_slice){value.ptr + n, i - n});
			n = i + 1;
		}
}

static void
add_fields(struct report *out, const struct lines *lines, size_t first, const char *name)
{
	struct smtp_slice value;

	for (size_t n = first; n < lines->count; n++)
		if (is_field(lines->at[n], name, &value))
			add_addresses(out, value);
}

/* A message that came back had one recipient: then that is who the report is about. */
static bool
add_returned(struct report *out, const struct lines *lines, size_t first)
{
	static const char *const names[] = {"X-Failed-Recipients", "X-Original-To", "Envelope-To", "To"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		out->rcpt_count = 0;
		add_fields(out, lines, first, names[i]);
		if (out->rcpt_count == 1)
			return true;
	}
	out->rcpt_count = 0;
	return false;
}

static bool
recover(struct reading *r)
{
	struct lines *returned;
	bool is_found;

	r->out->rcpt_count = 0;
	add_fields(r->out, &r->header, 0, "X-Failed-Recipients");
	if (r->out->rcpt_count == 0)
		add_fields(r->out, &r->text, 0, "Final-Recipient");
	if (r->out->rcpt_count > 0)
		return true;
	if (r->end < r->text.count && add_returned(r->out, &r->text, r->end))
		return true;
	returned = malloc(sizeof(*returned));
	if (returned == NULL)
		return false;
	split(r->mail->returned, returned);
	is_found = add_returned(r->out, returned, 0);
	free(returned);
	return is_found;
}

/* --- one after the other --- */

static void
finish(struct reading *r)
{
	struct smtp_esc fixed = {0, 0, 0};
	const char *status = r->conf->status;

	if (smtp_esc_parse((struct smtp_slice){status, strnlen(status, WORD_MAX)}, &fixed) < 0)
		fixed.class_digit = 0;
	for (uint32_t i = 0; i < r->out->rcpt_count; i++) {
		struct report_rcpt *rcpt = &r->out->rcpts[i];

		const char *const texts[] = {r->above, r->all[i], r->all_above};

		for (size_t k = 0; k < 3 && rcpt->text[0] == '\0'; k++)
			memcpy(rcpt->text, texts[k], sizeof(rcpt->text));
		report_reply_find((struct smtp_slice){rcpt->text, strnlen(rcpt->text, REPORT_TEXT_MAX)},
			&rcpt->code, &rcpt->status);
		if (rcpt->status.class_digit == 0)
			rcpt->status = fixed;
	}
}

static bool
holds(struct reading *r, const struct report_rules *rules, size_t n)
{
	r->conf = &rules->conf->report_forms[n];
	r->form = &rules->forms[n];
	r->out->form = (uint32_t)n;
	r->out->kind = (enum conf_report_kind)r->conf->kind;
	r->out->rcpt_count = 0;
	return has_header(r) && has_begin(r);
}

/* is_last: recipients may be looked for elsewhere, as no block finds any in the text. */
static bool
read_form(struct reading *r, bool is_last)
{
	if (!conf_report_has_recipients(r->out->kind))
		return true;
	read_lines(r);
	if (r->out->rcpt_count == 0 && (!is_last || !recover(r)))
		return false;
	finish(r);
	return true;
}

bool
report_rules_read(const struct report_rules *rules, const struct report_mail *mail, struct report *out)
{
	struct reading *r = calloc(1, sizeof(*r));
	bool is_read = false, has_held = false;
	size_t held = 0;

	if (r == NULL || (r->block = pattern_block_create()) == NULL) {
		free(r);
		return false;
	}
	r->mail = mail;
	r->out = out;
	split(mail->header, &r->header);
	split(mail->text, &r->text);
	for (size_t n = 0; n < rules->conf->report_form_count && !is_read; n++) {
		if (!holds(r, rules, n))
			continue;
		is_read = read_form(r, r->conf->recipient.count == 0);
		if (!is_read && !has_held)
			held = n;
		has_held = true;
	}
	if (!is_read && has_held && holds(r, rules, held))
		is_read = read_form(r, true);
	pattern_block_destroy(&r->block);
	free(r);
	return is_read;
}
