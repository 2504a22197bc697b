/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table with open addressing that is never full, because groups are bounded; the same of classes, only
 * that those are few enough to be looked through.
 */
#include "report/summary.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLOTS = 131072, /* a power of two, more than twice the groups */
	STEPS_LOG2 = 5,
	STEPS = 1 << STEPS_LOG2,
	GROUPS_FIRST = 64,
};
#define HOUR_US INT64_C(3600000000)

/* --- times --- */

/* Below STEPS each millisecond has its own step. */
static void
step_of(uint64_t ms, unsigned *out_octave, unsigned *out_step)
{
	unsigned bits = 0;

	if (ms < STEPS) {
		*out_octave = 0;
		*out_step = (unsigned)ms;
		return;
	}
	bits = 63 - (unsigned)__builtin_clzll(ms) - STEPS_LOG2;
	if (bits + 1 >= SUMMARY_OCTAVES) { /* years */
		*out_octave = SUMMARY_OCTAVES - 1;
		*out_step = STEPS - 1;
		return;
	}
	*out_octave = bits + 1;
	*out_step = (unsigned)(ms >> bits) - STEPS;
}

/* The middle of a step, in microseconds. */
static int64_t
middle_of(unsigned octave, unsigned step)
{
	if (octave == 0)
		return (int64_t)step * 1000 + 500;
	return ((int64_t)(2 * (STEPS + step) + 1) << (octave - 1)) * 500;
}

bool
summary_times_add(struct summary_times *t, int64_t us)
{
	unsigned octave, step;

	/* Negative: the clock was set back meanwhile. */
	step_of(us > 0 ? (uint64_t)us / 1000 : 0, &octave, &step);
	if (t->octaves[octave] == NULL &&
		(t->octaves[octave] = calloc(STEPS, sizeof(*t->octaves[octave]))) == NULL)
		return false;
	t->octaves[octave][step]++;
	t->count++;
	return true;
}

int64_t
summary_times_at(const struct summary_times *t, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)t->count), passed = 0;

	assert(share >= 0 && share <= 1);
	if (t->count == 0)
		return -1;
	wanted = wanted < t->count ? wanted : t->count - 1;
	for (unsigned o = 0; o < SUMMARY_OCTAVES; o++)
		for (unsigned step = 0; t->octaves[o] != NULL && step < STEPS; step++) {
			passed += t->octaves[o][step];
			if (passed > wanted)
				return middle_of(o, step);
		}
	return -1;
}

void
summary_times_fini(struct summary_times *t)
{
	for (unsigned o = 0; o < SUMMARY_OCTAVES; o++)
		free(t->octaves[o]);
	*t = (struct summary_times){0};
}

/* --- groups --- */

struct summary *
summary_create(void)
{
	struct summary *s = calloc(1, sizeof(*s));

	if (s != NULL && ((s->slots = calloc(SLOTS, sizeof(*s->slots))) == NULL ||
				 (s->hours = calloc(SUMMARY_HOURS_MAX, sizeof(*s->hours))) == NULL))
		summary_destroy(&s);
	return s;
}

static void
group_destroy(struct summary_group *g)
{
	summary_times_fini(&g->times);
	free(g->key);
}

void
summary_destroy(struct summary **sp)
{
	struct summary *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->group_count; i++) {
		group_destroy(s->groups[i]);
		free(s->groups[i]);
	}
	group_destroy(&s->total);
	group_destroy(&s->rest);
	free(s->groups);
	free(s->slots);
	free(s->hours);
	free(s);
}

static uint32_t
hash_of(const char *key, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * 16777619u;
	return h ^ (h >> 15);
}

static struct summary_group *
new_group(struct summary *s, const char *key, size_t len)
{
	struct summary_group *g = calloc(1, sizeof(*g)), **grown = s->groups;
	size_t n = s->group_count;

	if (g == NULL)
		return NULL;
	if (n % GROUPS_FIRST == 0)
		grown = realloc(s->groups, (n + GROUPS_FIRST) * sizeof(*s->groups));
	if (grown != NULL)
		s->groups = grown;
	if (grown == NULL || (g->key = malloc(len + 1)) == NULL) {
		free(g);
		return NULL;
	}
	memcpy(g->key, key, len);
	g->key[len] = '\0';
	g->key_len = len;
	s->groups[s->group_count++] = g;
	return g;
}

/* NULL: no memory. */
static struct summary_group *
find_group(struct summary *s, const char *key, size_t len)
{
	struct summary_group *g;
	uint32_t at;

	len = len < SUMMARY_KEY_MAX ? len : SUMMARY_KEY_MAX;
	for (at = hash_of(key, len) % SLOTS; s->slots[at] != 0; at = (at + 1) % SLOTS) {
		g = s->groups[s->slots[at] - 1];
		if (g->key_len == len && memcmp(g->key, key, len) == 0)
			return g;
	}
	if (s->group_count == SUMMARY_GROUPS_MAX)
		return &s->rest;
	if ((g = new_group(s, key, len)) != NULL)
		s->slots[at] = (uint32_t)s->group_count;
	return g;
}

/* --- classes --- */

struct queue_blob
summary_class_of(const struct record *r)
{
	const struct queue_blob *ours = &r->field[RECORD_CLASS];

	return ours->len > 0 ? *ours : r->field[RECORD_CATEGORY];
}

/* The last one takes what does not find a place. */
static size_t
find_class(struct summary *s, struct queue_blob name)
{
	size_t len, i;

	if (name.len == 0)
		name = (struct queue_blob){"other", 5};
	len = name.len < sizeof(s->classes[0].name) ? name.len : sizeof(s->classes[0].name) - 1;
	for (i = 0; i < s->class_count; i++)
		if (strncmp(s->classes[i].name, name.ptr, len) == 0 && s->classes[i].name[len] == '\0')
			return i;
	if (i == SUMMARY_CLASSES_MAX)
		return i - 1;
	memcpy(s->classes[i].name, name.ptr, len);
	s->class_count++;
	return i;
}

/* --- records --- */

static bool
add_to(struct summary_group *g, const struct record *r, size_t class)
{
	g->counts[r->type]++;
	if (r->type == RECORD_BOUNCED)
		g->bounced[class]++;
	return r->type != RECORD_DELIVERED || r->queued_us == 0 || r->logged_us == 0 ||
	       summary_times_add(&g->times, r->logged_us - r->queued_us);
}

static size_t
add_class(struct summary *s, const struct record *r)
{
	size_t class;

	if (r->type != RECORD_BOUNCED && r->type != RECORD_REMOTE && r->type != RECORD_TRANSIENT)
		return 0;
	class = find_class(s, summary_class_of(r));
	*(r->type == RECORD_BOUNCED        ? &s->classes[class].bounced
		: r->type == RECORD_REMOTE ? &s->classes[class].remote
					   : &s->classes[class].deferred) += 1;
	return class;
}

static void
add_hour(struct summary *s, const struct record *r)
{
	int64_t hour = r->logged_us / HOUR_US;
	struct summary_hour *h;

	if (r->logged_us == 0)
		return;
	if (s->first_us == 0) {
		s->first_hour = hour - SUMMARY_HOURS_MAX / 2;
		s->first_us = s->last_us = r->logged_us;
		s->least_hour = INT64_MAX;
		s->most_hour = -1;
	}
	s->first_us = r->logged_us < s->first_us ? r->logged_us : s->first_us;
	s->last_us = r->logged_us > s->last_us ? r->logged_us : s->last_us;
	if (r->type > RECORD_TRANSIENT || hour < s->first_hour || hour >= s->first_hour + SUMMARY_HOURS_MAX)
		return;
	h = &s->hours[hour - s->first_hour];
	h->delivered += r->type == RECORD_DELIVERED;
	h->bounced += r->type == RECORD_BOUNCED;
	h->deferred += r->type == RECORD_TRANSIENT;
	s->least_hour = hour < s->least_hour ? hour : s->least_hour;
	s->most_hour = hour > s->most_hour ? hour : s->most_hour;
}

bool
summary_add(struct summary *s, const struct record *r, const char *key, size_t key_len)
{
	struct summary_group *g = NULL;
	size_t class;

	if (key != NULL && (g = find_group(s, key, key_len)) == NULL)
		return false;
	class = add_class(s, r);
	add_hour(s, r);
	return add_to(&s->total, r, class) && (g == NULL || add_to(g, r, class));
}
