/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most replies are for rules of other providers or for other codes, so the rules are put into lists
 * beforehand: for each provider those that name it, and one list of those for every site, each list once for
 * 4xx and once for 5xx. A reply goes through two of them side by side, in the order of the file; numbers are
 * compared before an expression is tried.
 *
 * Invariants: lists ascend; a rule is in the list of a provider or in that for every site, never in both.
 */
#include "shape/rules.h"

#include "base/pattern.h"
#include "shape/hint.h"
#include "smtp_esc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TELL_AGAIN_US (INT64_C(3600) * 1000000)

struct rule_list {
	uint32_t *rules;
	uint32_t count;
};
/* Of one provider, or of every site: [0] for 4xx, [1] for 5xx. */
struct rule_lists {
	struct rule_list of_class[2];
};
struct rules {
	_Atomic unsigned refs;
	const struct conf *conf;
	struct pattern ***texts;         /* for each rule text.count of them, in one array */
	struct rule_lists *of_providers; /* provider_count of them, then the one for every site */
	struct pattern **all_texts;
	size_t text_count;
	uint32_t *all_lists;
	_Atomic uint64_t gave_up;
	struct patience *patience; /* of each rule */
	uint64_t looked;           /* gave_up when rules_gave_up_next() went through all */
};
/* How often its expressions gave up, and when that was told last. */
struct patience {
	_Atomic uint64_t gave_up;
	uint64_t told;
	int64_t told_us;
};

/* --- making it --- */

static bool
has_class(const struct conf_rule *rule, int class_digit)
{
	const struct conf_rule_when *w = &rule->when;

	for (size_t i = 0; i < w->code_count; i++)
		if (w->codes[i].min / 100 == class_digit)
			return true;
	return w->code_count == 0;
}

static bool
compile_texts(struct rules *r)
{
	const struct conf *c = r->conf;
	size_t n = 0, offset;
	char why[200];

	for (size_t i = 0; i < c->rule_count; i++)
		r->text_count += c->rules[i].text.count;
	r->all_texts = calloc(r->text_count + 1, sizeof(struct pattern *));
	r->texts = calloc(c->rule_count + 1, sizeof(struct pattern **));
	if (r->all_texts == NULL || r->texts == NULL)
		return false;
	for (size_t i = 0; i < c->rule_count; i++) {
		r->texts[i] = r->all_texts + n;
		for (size_t k = 0; k < c->rules[i].text.count; k++, n++)
			if ((r->all_texts[n] = pattern_create(
				     c->rules[i].text.items[k], &offset, why, sizeof(why))) == NULL)
				return false;
	}
	return true;
}

/* The lists that rule n belongs into. */
static size_t
list_count(const struct conf_rule *rule)
{
	return rule->providers.count > 0 ? rule->providers.count : 1;
}

static struct rule_lists *
list_at(const struct rules *r, const struct conf_rule *rule, size_t i)
{
	return &r->of_providers[rule->providers.count > 0 ? rule->when.provider_index[i]
							  : r->conf->provider_count];
}

/* Counted, then filled. */
static bool
make_lists(struct rules *r)
{
	const struct conf *c = r->conf;
	size_t lists = c->provider_count + 1, total = 0;
	uint32_t *at;

	r->of_providers = calloc(lists, sizeof(*r->of_providers));
	if (r->of_providers == NULL)
		return false;
	for (size_t n = 0; n < c->rule_count; n++)
		for (size_t i = 0; i < list_count(&c->rules[n]); i++)
			for (int k = 0; k < 2; k++)
				list_at(r, &c->rules[n], i)->of_class[k].count +=
					has_class(&c->rules[n], 4 + k);
	for (size_t n = 0; n < lists * 2; n++)
		total += r->of_providers[n / 2].of_class[n % 2].count;
	r->all_lists = at = calloc(total + 1, sizeof(*at));
	if (at == NULL)
		return false;
	for (size_t n = 0; n < lists * 2; n++) {
		struct rule_list *l = &r->of_providers[n / 2].of_class[n % 2];

		l->rules = at;
		at += l->count;
		l->count = 0;
	}
	for (size_t n = 0; n < c->rule_count; n++)
		for (size_t i = 0; i < list_count(&c->rules[n]); i++)
			for (int k = 0; k < 2; k++) {
				struct rule_list *l = &list_at(r, &c->rules[n], i)->of_class[k];

				if (has_class(&c->rules[n], 4 + k))
					l->rules[l->count++] = (uint32_t)n;
			}
	return true;
}

struct rules *
rules_ref(struct rules *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

const struct conf *
rules_conf(const struct rules *r)
{
	return r->conf;
}

void
rules_unref(struct rules *r)
{
	if (r == NULL || atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	for (size_t n = 0; r->all_texts != NULL && n < r->text_count; n++)
		pattern_destroy(&r->all_texts[n]);
	free(r->all_texts);
	free(r->texts);
	free(r->all_lists);
	free(r->of_providers);
	free(r->patience);
	conf_unref(r->conf);
	free(r);
}

struct rules *
rules_create(const struct conf *conf)
{
	struct rules *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	atomic_init(&r->refs, 1);
	r->conf = conf_ref(conf);
	r->patience = calloc(conf->rule_count + 1, sizeof(*r->patience));
	if (r->patience == NULL || !compile_texts(r) || !make_lists(r)) {
		rules_unref(r);
		return NULL;
	}
	return r;
}

uint64_t
rules_gave_up(const struct rules *r, uint32_t rule)
{
	return atomic_load_explicit(&r->patience[rule].gave_up, memory_order_relaxed);
}

int64_t
rules_gave_up_next(struct rules *r, int64_t now_us)
{
	uint64_t total = atomic_load_explicit(&r->gave_up, memory_order_relaxed);

	if (total == r->looked)
		return -1;
	for (size_t n = 0; n < r->conf->rule_count; n++) {
		struct patience *p = &r->patience[n];
		uint64_t count = atomic_load_explicit(&p->gave_up, memory_order_relaxed);

		if (count == p->told || (p->told > 0 && llabs(now_us - p->told_us) < TELL_AGAIN_US))
			continue;
		p->told = count;
		p->told_us = now_us;
		return (int64_t)n;
	}
	r->looked = total;
	return -1;
}

/* --- matching --- */

bool
rules_is_for(const struct conf *conf, uint32_t rule, int provider)
{
	const struct conf_rule *r = &conf->rules[rule];

	for (size_t i = 0; i < r->providers.count; i++)
		if (provider >= 0 && r->when.provider_index[i] == (uint32_t)provider)
			return true;
	return r->providers.count == 0;
}

size_t
rules_text(const struct smtp_reply *reply, char out[RULES_TEXT_MAX])
{
	char esc[SMTP_ESC_TEXT_MAX + 1];
	size_t n = (size_t)snprintf(out, RULES_TEXT_MAX, "%03u ", (unsigned)reply->code);
	int esc_len = reply->esc.class_digit != 0 ? smtp_esc_write(reply->esc, esc, sizeof(esc)) : 0;

	for (size_t i = 0; i < reply->text.len && n < RULES_TEXT_MAX; i++) {
		char c = reply->text.ptr[i];

		out[n++] = c == '\n' ? ' ' : c;
		if (c == '\n' && esc_len > 0 && reply->text.len - i > (size_t)esc_len + 1 &&
			memcmp(reply->text.ptr + i + 1, esc, (size_t)esc_len) == 0 &&
			reply->text.ptr[i + 1 + (size_t)esc_len] == ' ')
			i += (size_t)esc_len + 1;
	}
	return n;
}

/* One reply on its way through the rules. */
struct walk {
	const struct rules *r;
	const struct rules_reply *in;
	struct pattern_block *block; /* NULL: no memory; expressions do not match */
	char text[RULES_TEXT_MAX];
	size_t len;
};

static bool
has_code(const struct conf_rule_when *when, const struct smtp_reply *reply)
{
	bool is_code = when->code_count == 0, is_esc = when->esc_count == 0;

	for (size_t i = 0; i < when->code_count && !is_code; i++)
		is_code = reply->code >= when->codes[i].min && reply->code <= when->codes[i].max;
	for (size_t i = 0; is_code && i < when->esc_count && !is_esc; i++) {
		const struct conf_esc_mask *m = &when->escs[i];

		is_esc = reply->esc.class_digit != 0 &&
			 (m->class_digit < 0 || m->class_digit == reply->esc.class_digit) &&
			 (m->subject < 0 || m->subject == reply->esc.subject) &&
			 (m->detail < 0 || m->detail == reply->esc.detail);
	}
	return is_code && is_esc;
}

static bool
has_text(struct walk *w, uint32_t n)
{
	size_t count = w->r->conf->rules[n].text.count;

	for (size_t i = 0; i < count; i++) {
		enum pattern_result result =
			w->block != NULL ? pattern_match(w->r->texts[n][i], w->block, w->text, w->len)
					 : PATTERN_GAVE_UP;

		if (result == PATTERN_YES)
			return true;
		if (result == PATTERN_GAVE_UP) {
			atomic_fetch_add_explicit(&w->r->patience[n].gave_up, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(
				&((struct rules *)(uintptr_t)w->r)->gave_up, 1, memory_order_relaxed);
		}
	}
	return count == 0;
}

static bool
holds(struct walk *w, uint32_t n)
{
	const struct conf_rule_when *when = &w->r->conf->rules[n].when;

	return (when->phases == 0 || (when->phases & w->in->phases) != 0) && has_code(when, w->in->reply) &&
	       has_text(w, n);
}

static void
add(const struct walk *w, uint32_t n, struct rules_match *out)
{
	const struct conf_rule_actions *a = &w->r->conf->rules[n].actions;

	out->rules[out->count++] = n;
	if (out->treat == CONF_TREAT_UNSET)
		out->treat = a->treat;
	if (out->retry_us == 0)
		out->retry_us =
			a->retry_by_hint ? hint_wait((struct smtp_slice){w->text, w->len}) : a->retry_us;
	out->next_source = out->next_source || a->next_source;
}

/* Two lists as one, in the order of the file. */
static void
walk_lists(struct walk *w, const struct rule_list *a, const struct rule_list *b, struct rules_match *out)
{
	const struct conf_rule *rules = w->r->conf->rules;
	uint32_t i = 0, k = 0;

	while ((i < a->count || k < b->count) && out->count < RULES_MATCH_MAX) {
		bool from_a = k == b->count || (i < a->count && a->rules[i] < b->rules[k]);
		uint32_t n = from_a ? a->rules[i++] : b->rules[k++];

		if (!holds(w, n))
			continue;
		add(w, n, out);
		if (rules[n].last)
			return;
	}
}

void
rules_match(const struct rules *r, const struct rules_reply *in, struct rules_match *out)
{
	static const struct rule_list none = {NULL, 0};
	const struct rule_lists *of_all = &r->of_providers[r->conf->provider_count];
	int class_digit = in->reply->code / 100;
	struct walk w = {.r = r, .in = in};

	assert(in->provider >= RULES_PROVIDER_ANY && in->provider < (int64_t)r->conf->provider_count);
	*out = (struct rules_match){.treat = CONF_TREAT_UNSET};
	if (class_digit != 4 && class_digit != 5)
		return;
	w.block = pattern_block_create();
	w.len = rules_text(in->reply, w.text);
	if (in->provider == RULES_PROVIDER_ANY)
		for (uint32_t n = 0; n < r->conf->rule_count && out->count < RULES_MATCH_MAX; n++) {
			if (holds(&w, n))
				add(&w, n, out);
		}
	else
		walk_lists(&w, &of_all->of_class[class_digit - 4],
			in->provider >= 0 ? &r->of_providers[in->provider].of_class[class_digit - 4] : &none,
			out);
	pattern_block_destroy(&w.block);
}

/* --- for people --- */

/* A whole reply as it goes over the network. */
struct wire {
	char bytes[4096];
	size_t len;
};

/* One line as a peer would send it. */
static bool
read_line(struct smtp_slice line, const char code[3], bool is_last, struct wire *w)
{
	bool has_code = line.len >= 3 && memcmp(line.ptr, code, 3) == 0 &&
			(line.len == 3 || line.ptr[3] == ' ' || line.ptr[3] == '-');
	size_t skip = !has_code ? 0 : line.len == 3 ? 3 : 4;

	if (line.len - skip + 6 > sizeof(w->bytes) - w->len)
		return false;
	memcpy(w->bytes + w->len, code, 3);
	w->bytes[w->len + 3] = is_last ? ' ' : '-';
	memcpy(w->bytes + w->len + 4, line.ptr + skip, line.len - skip);
	w->len += 4 + line.len - skip;
	memcpy(w->bytes + w->len, "\r\n", 2);
	w->len += 2;
	return true;
}

bool
rules_read(const char *text, size_t len, struct smtp_reply_parser *p, struct smtp_reply *out_reply)
{
	struct wire w = {.len = 0};
	struct smtp_reply reply;
	struct smtp_slice in;
	const char *code = text;
	bool is_last = false;
	int found;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len < 3 || (len > 3 && text[3] != ' ' && text[3] != '-' && text[3] != '\n' && text[3] != '\r'))
		return false;
	while (!is_last) {
		const char *end = memchr(text, '\n', len);
		size_t line_len = end != NULL ? (size_t)(end - text) : len;
		size_t shown = line_len > 0 && text[line_len - 1] == '\r' ? line_len - 1 : line_len;

		is_last = end == NULL;
		if (!read_line((struct smtp_slice){text, shown}, code, is_last, &w))
			return false;
		text += line_len + !is_last;
		len -= line_len + !is_last;
	}
	in = (struct smtp_slice){w.bytes, w.len};
	smtp_reply_init(p);
	do
		found = smtp_reply_feed(p, &in, &reply);
	while (found == SMTP_REPLY_LINE);
	if (found != SMTP_REPLY_WHOLE || in.len > 0)
		return false;
	*out_reply = reply;
	return true;
}

/* Two numbers of the largest units: "2h", "1h30m". */
static const char *
time_words(int64_t us, char *buf, size_t max)
{
	int64_t s = us / 1000000, d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;
	size_t n = 0;

	buf[0] = '\0';
	if (d > 0)
		n += (size_t)snprintf(buf + n, max - n, "%dd", (int)d);
	if (h > 0)
		n += (size_t)snprintf(buf + n, max - n, "%dh", (int)h);
	if (m > 0)
		n += (size_t)snprintf(buf + n, max - n, "%dm", (int)m);
	if (s % 60 > 0)
		(void)snprintf(buf + n, max - n, "%ds", (int)(s % 60));
	return buf;
}

/* Text that grows at its end and is cut at its bound. */
struct words {
	char *buf;
	size_t max, len;
};

__attribute__((format(printf, 2, 3))) static void
say(struct words *w, const char *format, ...)
{
	va_list ap;
	int n;

	if (w->len > 0 && w->len + 2 < w->max) {
		memcpy(w->buf + w->len, "; ", 3);
		w->len += 2;
	}
	va_start(ap, format);
	n = vsnprintf(w->buf + w->len, w->max - w->len, format, ap);
	va_end(ap);
	w->len += n > 0 ? (size_t)n : 0;
	if (w->len >= w->max)
		w->len = w->max - 1;
}

void
rules_say(const struct conf *conf, uint32_t rule, char *buf, size_t max)
{
	static const char *const scopes[CONF_SCOPE_COUNT] = {"the lane", "the site", "the source",
		"the stream at the site", "the sender's domain at the site"};
	const struct conf_rule *r = &conf->rules[rule];
	const struct conf_rule_actions *a = &r->actions;
	struct words w = {buf, max, 0};
	char after[80] = "", time[40];

	buf[0] = '\0';
	if (a->hits > 1)
		(void)snprintf(after, sizeof(after), " after %u in %s", (unsigned)a->hits,
			time_words(a->hits_us, time, sizeof(time)));
	if (a->profile >= 0)
		say(&w, "profile %.60s for %s%s", r->profile, time_words(a->duration_us, time, sizeof(time)),
			after);
	if (a->slow_ppm > 0)
		say(&w, "slow the lane to %g%% for %s%s", a->slow_ppm / 1e4,
			time_words(a->duration_us, time, sizeof(time)), after);
	for (int i = 0; i < CONF_SCOPE_COUNT; i++)
		if (a->pause_us[i] > 0)
			say(&w, "pause %s for %s%s", scopes[i],
				time_words(a->pause_us[i], time, sizeof(time)), after);
	if (a->has_alert)
		say(&w, "alert%s", after);
	if (a->treat != CONF_TREAT_UNSET)
		say(&w, a->treat == CONF_TREAT_TEMPORARY ? "treat as temporary" : "treat as permanent");
	if (a->retry_by_hint)
		say(&w, "retry when the reply says");
	else if (a->retry_us > 0)
		say(&w, "retry in %s", time_words(a->retry_us, time, sizeof(time)));
	if (a->next_source)
		say(&w, "retry from another source");
	if (r->last)
		say(&w, "no further rule");
	if (w.len == 0)
		say(&w, "nothing");
}
