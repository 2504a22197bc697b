/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules, bounces and profiles: small texts such as "lane 2h" and "3 in 10m" into numbers, so that nobody
 * behind has to parse anything, and expressions that PCRE2 takes. A rule that could never do anything is an
 * error: it is a mistake, and the operator believes to be protected by it.
 *
 * Invariant: numbers are within the ranges conf_rule.h gives.
 */
#include "conf/conf_check.h"

#include "base/pattern.h"
#include "smtp_client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define DAY_US    (INT64_C(24) * 3600 * SECOND_US)
#define HITS_MAX  100000
#define WORD_MAX  65536 /* no word of a file is longer */

#define PHASE(word) (UINT32_C(1) << SMTP_PHASE_##word)

uint32_t
conf_phase_bits(const char *word)
{
	/* Where a reply can come. Nobody answers the connection itself or the TLS handshake. */
	static const struct {
		const char *word;
		uint32_t phases;
	} table[] = {{"greeting", PHASE(GREETING)}, {"ehlo", PHASE(EHLO)}, {"starttls", PHASE(STARTTLS)},
		{"auth", PHASE(AUTH)}, {"mail", PHASE(MAIL)}, {"rcpt", PHASE(RCPT)},
		{"data", PHASE(DATA) | PHASE(BODY) | PHASE(DOT)},
		{"idle", PHASE(RSET) | PHASE(IDLE) | PHASE(QUIT)}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].word, word) == 0)
			return table[i].phases;
	return 0;
}

/* --- one text each; false: it is none --- */

/* "421", "45x", "4xx". */
static bool
parse_code(const char *text, struct conf_code_range *out)
{
	uint16_t min = 0, max = 0;
	bool is_open = false;

	if (strnlen(text, 4) != 3 || (text[0] != '4' && text[0] != '5'))
		return false;
	for (int i = 0; i < 3; i++) {
		bool is_digit = text[i] >= '0' && text[i] <= '9';

		if (is_digit ? is_open : text[i] != 'x' && text[i] != 'X')
			return false;
		is_open = !is_digit;
		min = (uint16_t)(min * 10 + (is_digit ? text[i] - '0' : 0));
		max = (uint16_t)(max * 10 + (is_digit ? text[i] - '0' : 9));
	}
	*out = (struct conf_code_range){min, max};
	return true;
}

/* A number up to 999 or "*" at *p, which moves behind it. */
static bool
parse_esc_part(const char **p, int16_t *out)
{
	int n = 0;
	const char *q = *p;

	if (*q == '*') {
		*out = -1;
		*p = q + 1;
		return true;
	}
	for (; *q >= '0' && *q <= '9' && q - *p < 3; q++)
		n = n * 10 + *q - '0';
	if (q == *p)
		return false;
	*p = q;
	*out = (int16_t)n;
	return true;
}

/* "4.7.28", "4.7.*", "*.7.1". */
static bool
parse_esc(const char *p, struct conf_esc_mask *out)
{
	return parse_esc_part(&p, &out->class_digit) && *p++ == '.' && parse_esc_part(&p, &out->subject) &&
	       *p++ == '.' && parse_esc_part(&p, &out->detail) && *p == '\0' &&
	       (out->class_digit == -1 || out->class_digit == 4 || out->class_digit == 5);
}

/* A time from 1 s to max_us. */
static bool
parse_time(const char *text, int64_t max_us, int64_t *out_us)
{
	struct conf_why why;

	return conf_value_duration(text, out_us, &why) && *out_us >= SECOND_US && *out_us <= max_us;
}

/* "3 in 10m". */
static bool
parse_count(const char *text, struct conf_rule_actions *out)
{
	size_t digits = strspn(text, "0123456789");
	uint32_t n = 0;

	if (digits == 0 || digits > 6 || strncmp(text + digits, " in ", 4) != 0)
		return false;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint32_t)(text[i] - '0');
	out->hits = n;
	return n >= 2 && n <= HITS_MAX && parse_time(text + digits + 4, 7 * DAY_US, &out->hits_us);
}

/* "lane 2h"; what is paused and how long goes into its place. */
static bool
parse_pause(const char *text, int64_t pause_us[CONF_SCOPE_COUNT])
{
	static const char *const scopes[CONF_SCOPE_COUNT] = {"lane", "site", "source", "stream", "sender"};
	size_t len = strcspn(text, " ");

	for (int i = 0; i < CONF_SCOPE_COUNT; i++)
		if (strncmp(scopes[i], text, len) == 0 && scopes[i][len] == '\0' && text[len] == ' ')
			return pause_us[i] == 0 && parse_time(text + len + 1, 7 * DAY_US, &pause_us[i]);
	return false;
}

/* --- when it holds --- */

struct names {
	struct conf_index providers, profiles;
};
/* Of a rule or a bounce. */
struct when_check {
	struct conf_loader *l;
	int kind;
	size_t n; /* of the block */
	const struct names *names;
	const struct conf_list *providers, *code, *esc, *phase, *text;
	struct conf_rule_when *when;
};

static struct conf_place
place(const struct when_check *c, const char *setting)
{
	return conf_place_of(c->l, c->kind, c->n, setting);
}

/* The index of the block that a rule names; -1: said. */
static int64_t
find_named(const struct when_check *c, const char *setting, int kind, const char *name)
{
	const struct conf_index *index =
		kind == CONF_KIND_PROVIDER ? &c->names->providers : &c->names->profiles;
	int64_t found = conf_index_find(index, name, strnlen(name, WORD_MAX));

	if (found < 0)
		conf_check_missing(c->l, place(c, setting), kind, name);
	return found;
}

static void
check_providers(struct when_check *c)
{
	const struct conf_list *names = c->providers;
	uint32_t *index = conf_arena_alloc(&c->l->owner->arena, names->count * sizeof(*index));

	for (size_t i = 0; i < names->count; i++) {
		int64_t found = find_named(c, "providers", CONF_KIND_PROVIDER, names->items[i]);
		size_t at = i;

		if (found < 0)
			return;
		/* Ascending, and once each. */
		for (; at > 0 && index[at - 1] >= found; at--) {
			if (index[at - 1] == found)
				conf_error(&c->l->report, place(c, "providers"),
					"provider \"%.60s\" is in this %s twice", names->items[i],
					conf_kinds[c->kind].word);
			index[at] = index[at - 1];
		}
		index[at] = (uint32_t)found;
	}
	c->when->provider_index = index;
}

static void
check_codes(struct when_check *c)
{
	const struct conf_list *code = c->code, *esc = c->esc, *phase = c->phase;
	struct conf_arena *a = &c->l->owner->arena;
	struct conf_code_range *codes = conf_arena_alloc(a, code->count * sizeof(*codes));
	struct conf_esc_mask *escs = conf_arena_alloc(a, esc->count * sizeof(*escs));
	struct conf_rule_when *when = c->when;

	for (size_t i = 0; i < code->count; i++)
		if (!parse_code(code->items[i], &codes[i]))
			conf_error(&c->l->report, place(c, "code"),
				"\"%.60s\" is no reply code; write 421, 45x, 4xx or 5xx", code->items[i]);
	for (size_t i = 0; i < esc->count; i++)
		if (!parse_esc(esc->items[i], &escs[i]))
			conf_error(&c->l->report, place(c, "enhanced"),
				"\"%.60s\" is no enhanced code; write 4.7.28, 4.7.* or *.7.1", esc->items[i]);
	for (size_t i = 0; i < phase->count; i++) {
		uint32_t bits = conf_phase_bits(phase->items[i]);

		if (bits == 0)
			conf_error(&c->l->report, place(c, "phase"),
				"\"%.60s\": no reply comes there; there are %s", phase->items[i],
				CONF_PHASE_WORDS);
		when->phases |= bits;
	}
	when->codes = codes;
	when->code_count = code->count;
	when->escs = escs;
	when->esc_count = esc->count;
}

static void
check_text(struct when_check *c)
{
	const struct conf_list *text = c->text;

	for (size_t i = 0; i < text->count; i++) {
		char why[200];
		size_t offset;
		struct pattern *p = pattern_create(text->items[i], &offset, why, sizeof(why));

		if (p == NULL)
			conf_error(&c->l->report, place(c, "text"),
				"\"%.200s\" is no regular expression: %s, at byte %zu", text->items[i], why,
				offset);
		pattern_destroy(&p);
	}
}

static void
check_when(struct when_check *c)
{
	check_providers(c);
	check_codes(c);
	check_text(c);
}

/* --- what a rule does --- */

struct rule_check {
	struct when_check when;
	struct conf_loader *l;
	struct conf_rule *rule;
};

static bool
is_given(const struct rule_check *c, const char *setting)
{
	return conf_raw_find(c->l->blocks[CONF_KIND_RULE][c->when.n], &conf_kinds[CONF_KIND_RULE], setting) !=
	       NULL;
}

static void
check_rule_slowing(struct rule_check *c)
{
	struct conf_report *r = &c->l->report;
	struct conf_rule_actions *a = &c->rule->actions;
	const struct conf_rule *rule = c->rule;

	if (rule->count[0] != '\0' && !parse_count(rule->count, a))
		conf_error(r, place(&c->when, "count"),
			"\"%.60s\" is no count; write \"3 in 10m\" (from 2 to %d in 1s to 7d), or leave the "
			"line out",
			rule->count, HITS_MAX);
	if (rule->profile[0] != '\0')
		a->profile = (int32_t)find_named(&c->when, "profile", CONF_KIND_PROFILE, rule->profile);
	a->slow_ppm = (int32_t)rule->slow;
	for (size_t i = 0; i < rule->pause.count; i++)
		if (!parse_pause(rule->pause.items[i], a->pause_us))
			conf_error(r, place(&c->when, "pause"),
				"\"%.60s\" is no pause; write \"lane 2h\" (lane, site, source, stream or "
				"sender, "
				"each once; from 1s to 7d)",
				rule->pause.items[i]);
	if (rule->profile[0] == '\0' && rule->slow == 0 && is_given(c, "duration"))
		conf_error(r, place(&c->when, "duration"),
			"duration is that of profile and slow; a pause has its own: pause = \"lane 2h\"");
}

static void
check_rule_recipient(struct rule_check *c)
{
	struct conf_report *r = &c->l->report;
	struct conf_rule_actions *a = &c->rule->actions;
	const char *retry = c->rule->retry;

	a->retry_by_hint = strcmp(retry, "hint") == 0;
	if (retry[0] != '\0' && !a->retry_by_hint && !parse_time(retry, DAY_US, &a->retry_us))
		conf_error(r, place(&c->when, "retry"),
			"\"%.60s\": write a time from 1s to 1d such as 15m, or hint", retry);
	if (c->rule->treat == CONF_TREAT_PERMANENT && (retry[0] != '\0' || c->rule->next_source))
		conf_error(r, place(&c->when, "treat"),
			"treat = permanent ends the recipient: there is no attempt for retry and "
			"next-source");
}

static bool
does_something(const struct conf_rule *rule)
{
	return rule->profile[0] != '\0' || rule->slow > 0 || rule->pause.count > 0 || rule->next_source ||
	       rule->treat != CONF_TREAT_UNSET || rule->retry[0] != '\0' || rule->note[0] != '\0' ||
	       rule->alert || rule->last;
}

static void
check_rule(struct rule_check *c)
{
	struct conf_rule *rule = c->rule;

	rule->actions = (struct conf_rule_actions){.hits = 1,
		.profile = -1,
		.duration_us = rule->duration,
		.treat = (enum conf_treat)rule->treat,
		.next_source = rule->next_source,
		.has_alert = rule->alert};
	check_when(&c->when);
	check_rule_slowing(c);
	check_rule_recipient(c);
	if (!does_something(rule))
		conf_error(&c->l->report, c->l->blocks[CONF_KIND_RULE][c->when.n]->at,
			"rule \"%.60s\" does nothing: give it profile, slow, pause, next-source, treat, "
			"retry, "
			"note, alert or last",
			rule->name);
}

/* The names were checked where their blocks were; here they are only found again. */
static void
index_names(struct conf_loader *l, int kind, struct conf_index *index)
{
	conf_index_init(index, &l->scratch, l->raw.counts[kind] + 1);
	for (size_t n = 0; n < l->raw.counts[kind]; n++) {
		const char *name = l->blocks[kind][n]->title;

		(void)conf_index_add(index, name, strnlen(name, WORD_MAX), (uint32_t)n);
	}
}

void
conf_check_profiles(struct conf_loader *l)
{
	struct conf_index names;

	conf_check_names(l, CONF_KIND_PROFILE, &names);
	for (size_t n = 0; n < l->conf->profile_count; n++) {
		const struct conf_profile *p = &l->conf->profiles[n];

		if (p->connections == 0 && p->connect_rate.count == 0 && p->rate.count == 0 &&
			p->messages_per_connection == 0)
			conf_error(&l->report, l->blocks[CONF_KIND_PROFILE][n]->at,
				"profile \"%.60s\" has no limit: it would change nothing", p->name);
	}
}

/* --- what a bounce means --- */

static void
check_bounce(struct when_check *c, struct conf_bounce *b)
{
	struct conf_report *r = &c->l->report;
	char words[600] = "";
	size_t len = 0;

	check_when(c);
	if (c->text->count + c->code->count + c->esc->count + c->phase->count == 0)
		conf_error(r, c->l->blocks[CONF_KIND_BOUNCE][c->n]->at,
			"bounce \"%.60s\" holds for everything: give it text, code, enhanced or phase",
			b->name);
	b->means = bounce_class_find(b->class, strnlen(b->class, WORD_MAX));
	if (b->means != BOUNCE_CLASS_NONE)
		return;
	for (int i = BOUNCE_CLASS_NONE + 1; i < BOUNCE_CLASS_COUNT && len < sizeof(words); i++)
		len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s", len > 0 ? ", " : "",
			bounce_class_name((enum bounce_class)i));
	if (b->class[0] == '\0')
		conf_error(r, c->l->blocks[CONF_KIND_BOUNCE][c->n]->at,
			"bounce \"%.60s\" has no class: give it one of %s", b->name, words);
	else
		conf_error(r, place(c, "class"), "\"%.60s\" is no class; there are %s", b->class, words);
}

void
conf_check_rules(struct conf_loader *l)
{
	struct conf_index index;
	struct names names;

	index_names(l, CONF_KIND_PROVIDER, &names.providers);
	index_names(l, CONF_KIND_PROFILE, &names.profiles);
	conf_check_names(l, CONF_KIND_RULE, &index);
	for (size_t n = 0; n < l->conf->rule_count; n++) {
		struct conf_rule *r = &l->conf->rules[n];
		struct rule_check c = {{l, CONF_KIND_RULE, n, &names, &r->providers, &r->code, &r->enhanced,
					       &r->phase, &r->text, &r->when},
			l, r};

		check_rule(&c);
	}
	conf_check_names(l, CONF_KIND_BOUNCE, &index);
	for (size_t n = 0; n < l->conf->bounce_count; n++) {
		struct conf_bounce *b = &l->conf->bounces[n];
		struct when_check c = {l, CONF_KIND_BOUNCE, n, &names, &b->providers, &b->code, &b->enhanced,
			&b->phase, &b->text, &b->when};

		check_bounce(&c, b);
	}
}
