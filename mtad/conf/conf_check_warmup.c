/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Curves and who goes by them. A source or sender domain gets the block its curve is in; for a built-in one
 * without a block one is made, so that whoever reads the configuration need not know which is which.
 */
#include "conf/conf_check.h"

#include "base/domain.h"
#include "queue_warmup.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* A step that sites take for an attack rather than for growth; the built-in curves stay below 2.5. */
#define STEP_FACTOR 3
#define NAME_BYTES  256 /* conf_check_names() has seen to it */

static const struct queue_warmup_curve *
curve_find(const char *name)
{
	const struct queue_warmup_curve *c;

	for (size_t i = 0; (c = queue_warmup_curve_at(i)) != NULL; i++)
		if (strncmp(c->name, name, NAME_BYTES) == 0)
			return c;
	return NULL;
}

static void
check_volumes(struct conf_loader *l, struct conf_place at, const struct conf_counts *v)
{
	for (size_t i = 1; i < v->count; i++) {
		if (v->items[i] < v->items[i - 1]) {
			conf_error(&l->report, at,
				"volumes shrink from %" PRId64 " to %" PRId64
				"; each is at least the one before it",
				v->items[i - 1], v->items[i]);
			return;
		}
		if (v->items[i] / STEP_FACTOR > v->items[i - 1] ||
			(v->items[i] / STEP_FACTOR == v->items[i - 1] && v->items[i] % STEP_FACTOR > 0)) {
			conf_warn(&l->report, at,
				"from %" PRId64 " to %" PRId64
				" is more than three times as much in one step; sites "
				"may block the address",
				v->items[i - 1], v->items[i]);
			return;
		}
	}
}

/* The block of this name, or one made for a built-in curve; NULL: there is neither. */
static const struct conf_warmup *
find_plan(struct conf_loader *l, const struct conf_index *names, const char *name)
{
	const struct conf *c = l->conf;
	const struct queue_warmup_curve *curve = curve_find(name);
	int64_t n = conf_index_find(names, name, strnlen(name, NAME_BYTES));
	struct conf_warmup *made;

	assert(c->warmups != NULL); /* without a block there are the defaults */
	if (n >= 0)
		return &c->warmups[n];
	if (curve == NULL)
		return NULL;
	made = conf_arena_alloc(&l->owner->arena, sizeof(*made));
	*made = c->warmups[c->warmup_count]; /* the defaults, which conf_fill() puts behind the last block */
	made->name = curve->name;
	made->at = "";
	made->volumes = (struct conf_counts){curve->volumes, curve->count};
	return made;
}

/* The built-in curve or block whose name is nearest to a word that names none. */
static const char *
nearest(const struct conf *c, const char *word)
{
	const char *best = NULL;
	int least = 3, distance;

	for (size_t i = 0; queue_warmup_curve_at(i) != NULL; i++)
		if ((distance = conf_word_distance(word, queue_warmup_curve_at(i)->name)) < least) {
			least = distance;
			best = queue_warmup_curve_at(i)->name;
		}
	for (size_t i = 0; i < c->warmup_count; i++)
		if ((distance = conf_word_distance(word, c->warmups[i].name)) < least) {
			least = distance;
			best = c->warmups[i].name;
		}
	return best;
}

/* What warms up: a source or a sender domain, by the same two settings. */
struct newcomer {
	int kind;
	size_t n;
	const char *warmup, *start;
	const struct conf_warmup **plan;
	int32_t *start_day;
};

static void
check_newcomer(struct conf_loader *l, const struct conf_index *names, const struct newcomer *w, bool *used)
{
	struct conf_place at = conf_place_of(l, w->kind, w->n, "warmup");
	struct conf_place start_at = conf_place_of(l, w->kind, w->n, "warmup-start");
	const struct conf_warmup *plan;
	struct conf_why why;

	if (w->start[0] != '\0' && !conf_value_day(w->start, w->start_day, &why))
		conf_error(&l->report, start_at, "warmup-start: %s", why.text);
	if (w->warmup[0] == '\0') {
		if (w->start[0] != '\0')
			conf_warn(&l->report, start_at, "warmup-start does nothing without warmup");
		return;
	}
	*w->plan = plan = find_plan(l, names, w->warmup);
	if (plan == NULL) {
		const char *near = nearest(l->conf, w->warmup);

		conf_error(&l->report, at, "there is no curve \"%.60s\"%s%.60s%s", w->warmup,
			near != NULL ? "; did you mean \""
				     : "; write gentle, steady, brisk or the name of a warmup block",
			near != NULL ? near : "", near != NULL ? "\"?" : "");
	} else if (plan >= l->conf->warmups && plan < l->conf->warmups + l->conf->warmup_count) {
		used[plan - l->conf->warmups] = true;
	}
}

/* In its normal spelling, with the name of its warm-up before it. */
static void
name_sender(struct conf_loader *l, size_t n)
{
	struct conf_sender *s = &l->conf->senders[n];
	char domain[DOMAIN_MAX];

	s->warmup_name = "";
	if (s->name[0] == '[' ||
		domain_normalise(s->name, strnlen(s->name, 65536), domain, sizeof(domain)) < 0)
		conf_error(&l->report, l->blocks[CONF_KIND_SENDER][n]->at,
			"\"%.60s\" is no domain: sender example.com { } is about example.com and its "
			"subdomains",
			s->name);
	else
		s->warmup_name = conf_arena_printf(&l->owner->arena, "@%s", domain);
	if (s->warmup_name[0] != '\0')
		s->name = s->warmup_name + 1;
}

void
conf_check_warmups(struct conf_loader *l)
{
	struct conf *c = l->conf;
	bool *used = conf_arena_alloc(&l->scratch, (c->warmup_count + 1) * sizeof(*used));
	struct conf_index names;

	conf_check_names(l, CONF_KIND_WARMUP, &names);
	for (size_t n = 0; n < c->warmup_count; n++) {
		struct conf_warmup *w = &c->warmups[n];
		const struct queue_warmup_curve *curve = curve_find(w->name);

		if (w->volumes.count == 0 && curve != NULL)
			w->volumes = (struct conf_counts){curve->volumes, curve->count};
		else if (w->volumes.count == 0)
			conf_error(&l->report, l->blocks[CONF_KIND_WARMUP][n]->at,
				"warmup \"%.60s\" has no volumes: volumes = { 200, 500, 1000 }", w->name);
		check_volumes(l, conf_place_of(l, CONF_KIND_WARMUP, n, "volumes"), &w->volumes);
	}
	for (size_t n = 0; n < l->raw.counts[CONF_KIND_SOURCE]; n++) {
		struct conf_source *s = &c->sources[n];

		check_newcomer(l, &names,
			&(struct newcomer){CONF_KIND_SOURCE, n, s->warmup, s->warmup_start, &s->warmup_plan,
				&s->warmup_start_day},
			used);
	}
	for (size_t n = 0; n < c->sender_count; n++) {
		struct conf_sender *s = &c->senders[n];

		name_sender(l, n);
		check_newcomer(l, &names,
			&(struct newcomer){CONF_KIND_SENDER, n, s->warmup, s->warmup_start, &s->warmup_plan,
				&s->warmup_start_day},
			used);
	}
	conf_check_names(l, CONF_KIND_SENDER, &l->owner->senders);
	for (size_t n = 0; n < c->warmup_count; n++)
		if (!used[n])
			conf_warn(&l->report, l->blocks[CONF_KIND_WARMUP][n]->at,
				"warmup \"%.60s\" is not used", c->warmups[n].name);
}
