/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few hundred expressions, most of which cannot match: each is tried only when the reply has what it needs
 * (feedback/needs.h), and numbers are compared before that. In the order of the file the first that holds is
 * the answer, so nothing behind it is looked at.
 */
#include "feedback/classify.h"

#include "base/pattern.h"
#include "feedback/needs.h"
#include "feedback/status.h"
#include "smtp_esc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct expression {
	struct pattern *pattern;
	struct needs *needs;
};
struct classifier {
	_Atomic unsigned refs;
	const struct conf *conf;
	struct expression *expressions; /* of all blocks, one after another */
	size_t *first;                  /* of each block */
	size_t count;
};

/* --- making it --- */

static bool
compile(struct classifier *c)
{
	const struct conf *conf = c->conf;
	size_t total = 0, offset;
	char why[200];

	for (size_t n = 0; n < conf->bounce_count; n++)
		total += conf->bounces[n].text.count;
	c->expressions = calloc(total + 1, sizeof(*c->expressions));
	c->first = calloc(conf->bounce_count + 1, sizeof(*c->first));
	if (c->expressions == NULL || c->first == NULL)
		return false;
	for (size_t n = 0; n < conf->bounce_count; n++) {
		const struct conf_list *text = &conf->bounces[n].text;

		c->first[n] = c->count;
		for (size_t i = 0; i < text->count; i++) {
			struct expression *e = &c->expressions[c->count++];

			e->pattern = pattern_create(text->items[i], &offset, why, sizeof(why));
			e->needs = needs_create(text->items[i], strnlen(text->items[i], PATTERN_BYTES_MAX));
			if (e->pattern == NULL || e->needs == NULL)
				return false;
		}
	}
	return true;
}

struct classifier *
classifier_create(const struct conf *conf)
{
	struct classifier *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	atomic_init(&c->refs, 1);
	c->conf = conf_ref(conf);
	if (!compile(c)) {
		classifier_unref(c);
		return NULL;
	}
	return c;
}

struct classifier *
classifier_ref(struct classifier *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void
classifier_unref(struct classifier *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) > 1)
		return;
	for (size_t i = 0; i < c->count; i++) {
		pattern_destroy(&c->expressions[i].pattern);
		needs_destroy(&c->expressions[i].needs);
	}
	free(c->expressions);
	free(c->first);
	conf_unref(c->conf);
	free(c);
}

const struct conf *
classifier_conf(const struct classifier *c)
{
	return c->conf;
}

/* --- reading --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

/* "550" at `at`, with none of its neighbours a digit. */
static bool
has_code(const char *at, const char *end)
{
	return end - at >= 3 && (at[0] == '4' || at[0] == '5') && is_digit(at[1]) && is_digit(at[2]) &&
	       (end - at == 3 || !is_letter(at[3]));
}

/* "5.1.1" at `at`; its length, or 0. */
static size_t
read_esc(const char *at, const char *end, struct smtp_esc *out)
{
	char text[SMTP_ESC_TEXT_MAX + 1];
	size_t len = 0;
	int n;

	while (at + len < end && len < SMTP_ESC_TEXT_MAX && (is_digit(at[len]) || at[len] == '.'))
		len++;
	while (len > 0 && at[len - 1] == '.')
		len--;
	if (len < 5 || (at[0] != '4' && at[0] != '5') || (at + len < end && is_letter(at[len])))
		return 0;
	memcpy(text, at, len);
	n = smtp_esc_parse((struct smtp_slice){text, len}, out);
	return n == (int)len ? len : 0;
}

/* The first code that stands where one is quoted: behind "said:", "smtp;", "(", "#", "<<<". */
static uint16_t
find_code(const char *text, size_t len)
{
	const char *end = text + len;
	char before = '\0';

	for (const char *at = text; at < end; at++) {
		if (has_code(at, end) && before != '\0' && strchr(":;(#<", before) != NULL &&
			(end - at == 3 || at[3] == ' ' || at[3] == '-'))
			return (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + at[2] - '0');
		if (*at != ' ')
			before = *at;
	}
	return 0;
}

static void
find_esc(const char *text, size_t len, struct smtp_esc *out)
{
	for (size_t i = 0; i + 5 <= len; i++)
		if ((i == 0 || (!is_letter(text[i - 1]) && text[i - 1] != '.')) &&
			read_esc(text + i, text + len, out) > 0)
			return;
}

void
classify_read(const char *text, size_t len, struct classify_input *out)
{
	const char *at = text, *end = text + len;
	size_t n;

	out->code = 0;
	out->esc = (struct smtp_esc){0};
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	if (has_code(at, end)) {
		out->code = (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + at[2] - '0');
		at += 3;
		while (at < end && (*at == ' ' || *at == '-' || *at == ':'))
			at++;
	}
	if ((n = read_esc(at, end, &out->esc)) > 0) {
		at += n;
		while (at < end && *at == ' ')
			at++;
	}
	out->text = (struct smtp_slice){at, (size_t)(end - at)};
}

/* Exchange Online's reports name a reply in words of their own and then quote it: "5.4.300 Message expired ->
 * 451 4.3.0 Temporary server error". The quoted one is the reason. */
static void
read_quoted(struct classify_input *in)
{
	static const char arrow[] = "-> ";
	const char *end = in->text.ptr + in->text.len;

	for (size_t i = in->text.len; i >= sizeof(arrow) - 1; i--) {
		const char *at = in->text.ptr + i;

		if (memcmp(at - (sizeof(arrow) - 1), arrow, sizeof(arrow) - 1) == 0 && has_code(at, end)) {
			classify_read(at, (size_t)(end - at), in);
			return;
		}
	}
}

/* What a line begins with that is in front already: "550-5.1.1 ", or the enhanced code alone. */
static size_t
repeated_len(const struct classify_input *in, const char *at, const char *end)
{
	const char *p = at;
	struct smtp_esc esc;
	size_t n;

	if (has_code(p, end) && end - p > 3 && (p[3] == '-' || p[3] == ' '))
		p += 4;
	if ((n = read_esc(p, end, &esc)) > 0 && esc.class_digit == in->esc.class_digit &&
		esc.subject == in->esc.subject && esc.detail == in->esc.detail)
		p += n;
	return (size_t)(p - at);
}

size_t
classify_text(const struct classify_input *in, char out[CLASSIFY_TEXT_MAX])
{
	const char *at = in->text.ptr, *end = at + in->text.len;
	char esc[SMTP_ESC_TEXT_MAX + 1];
	size_t n = 0;

	if (in->code != 0)
		n += (size_t)snprintf(out, CLASSIFY_TEXT_MAX, "%03u ", (unsigned)in->code % 1000);
	if (in->esc.class_digit != 0) {
		int len = smtp_esc_write(in->esc, esc, sizeof(esc));

		if (len > 0) {
			memcpy(out + n, esc, (size_t)len);
			n += (size_t)len;
			out[n++] = ' ';
		}
	}
	at += repeated_len(in, at, end);
	while (at < end && n < CLASSIFY_TEXT_MAX) {
		unsigned char c = (unsigned char)*at++;

		if (c == '\n')
			at += repeated_len(in, at, end);
		if (c > ' ' && c != 127)
			out[n++] = (char)c;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	return n;
}

/* --- asking --- */

static bool
is_for(const struct conf_bounce *b, int provider)
{
	if (b->providers.count == 0 || provider == CLASSIFY_PROVIDER_ANY)
		return true;
	for (size_t i = 0; i < b->providers.count; i++)
		if (provider >= 0 && b->when.provider_index[i] == (uint32_t)provider)
			return true;
	return false;
}

static bool
has_codes(const struct conf_rule_when *when, const struct classify_input *in)
{
	bool is_code = when->code_count == 0, is_esc = when->esc_count == 0;

	for (size_t i = 0; i < when->code_count && !is_code; i++)
		is_code = in->code >= when->codes[i].min && in->code <= when->codes[i].max;
	for (size_t i = 0; is_code && i < when->esc_count && !is_esc; i++) {
		const struct conf_esc_mask *m = &when->escs[i];

		is_esc = in->esc.class_digit != 0 &&
			 (m->class_digit < 0 || m->class_digit == in->esc.class_digit) &&
			 (m->subject < 0 || m->subject == in->esc.subject) &&
			 (m->detail < 0 || m->detail == in->esc.detail);
	}
	return is_code && is_esc;
}

struct asked {
	const struct classifier *c;
	struct pattern_block *block; /* NULL: no memory; expressions do not match */
	struct needs_set has;
	size_t len;
	char text[CLASSIFY_TEXT_MAX];
};

static bool
has_text(const struct asked *a, size_t n)
{
	size_t count = a->c->conf->bounces[n].text.count;

	for (size_t i = 0; i < count; i++) {
		const struct expression *e = &a->c->expressions[a->c->first[n] + i];

		if (needs_are_met(e->needs, &a->has) && a->block != NULL &&
			pattern_match(e->pattern, a->block, a->text, a->len) == PATTERN_YES)
			return true;
	}
	return count == 0;
}

void
classify(const struct classifier *c, const struct classify_input *given, struct classify_result *out)
{
	struct classify_input quoted = *given;
	const struct classify_input *in = &quoted;
	struct asked a = {.c = c};

	read_quoted(&quoted);
	if (quoted.code == 0)
		quoted.code = find_code(quoted.text.ptr, quoted.text.len);
	if (quoted.esc.class_digit == 0)
		find_esc(quoted.text.ptr, quoted.text.len, &quoted.esc);
	assert(in->provider >= CLASSIFY_PROVIDER_ANY && in->provider < (int64_t)c->conf->provider_count);
	a.len = classify_text(in, a.text);
	needs_of_text(&a.has, a.text, a.len);
	a.block = pattern_block_create();
	*out = (struct classify_result){status_class(in->esc, in->code), CLASSIFY_BY_CODE};
	for (size_t n = 0; n < c->conf->bounce_count; n++) {
		const struct conf_bounce *b = &c->conf->bounces[n];

		if (!is_for(b, in->provider) || (b->when.phases != 0 && (b->when.phases & in->phases) == 0) ||
			!has_codes(&b->when, in) || !has_text(&a, n))
			continue;
		*out = (struct classify_result){b->means, (int32_t)n};
		break;
	}
	pattern_block_destroy(&a.block);
}

const char *
classify_fault(enum bounce_class c)
{
	switch (c) {
	case BOUNCE_CLASS_SPAM_BLOCK:
		return "our address or domain";
	case BOUNCE_CLASS_SPAM_CONTENT:
	case BOUNCE_CLASS_VIRUS_RELATED:
		return "what the message says";
	case BOUNCE_CLASS_POLICY_RELATED:
		return "a rule over there";
	default:
		break;
	}
	switch (bounce_class_group(c)) {
	case BOUNCE_GROUP_SUPPRESS:
	case BOUNCE_GROUP_QUOTA:
		return "the recipient";
	case BOUNCE_GROUP_BLOCK:
		return "the sender";
	case BOUNCE_GROUP_MESSAGE:
		return "the message";
	case BOUNCE_GROUP_THROTTLE:
		return "our pace";
	case BOUNCE_GROUP_TRANSIENT:
		return "the site or the network";
	case BOUNCE_GROUP_PROTOCOL:
		return "how we speak";
	default:
		return "nothing that it names";
	}
}
