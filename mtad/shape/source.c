/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source is probed again when as much time has gone by as it has been in its state, so that the waits
 * double, within the two limits.
 *
 * Invariants: state is what the errors of its addresses say. next_us is never later than a source is due.
 */
#include "shape/source.h"

#include "base/local.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MIN_US   INT64_C(1000000)
#define WAIT_MAX_US   INT64_C(60000000)
#define SAID_AGAIN_US INT64_C(3600000000)

enum { NAME_MAX_BYTES = 65536 };
enum family { V4, V6, FAMILIES };

struct source {
	int errors[FAMILIES]; /* of the last probes; 0: the address is there, or it has none */
	enum source_state state;
	int64_t since_us, next_us, said_us;
	int64_t shortage_us; /* when something else it lacked was last told; 0: never */
	char addresses[SOURCE_ADDRESSES_MAX], why[SOURCE_WHY_MAX];
};

struct sources {
	struct sources_conf conf;
	int64_t next_us;
	struct source items[]; /* as many as conf.conf->sources */
};

/* NULL: it has none. */
static const struct sockaddr *
address_of(const struct conf_source *c, enum family family)
{
	if (family == V4)
		return c->has_v4 ? (const struct sockaddr *)&c->v4 : NULL;
	return c->has_v6 ? (const struct sockaddr *)&c->v6 : NULL;
}

/* As it is written in the configuration. */
static const char *
address_text(const struct conf_source *c, enum family family)
{
	for (size_t i = 0; i < c->address.count; i++)
		if ((strchr(c->address.items[i], ':') != NULL) == (family == V6))
			return c->address.items[i];
	return "";
}

/* --- one source --- */

static void
probe(const struct sources *s, const struct conf_source *c, struct source *item)
{
	for (int i = 0; i < FAMILIES; i++) {
		const struct sockaddr *address = address_of(c, (enum family)i);
		int err = address != NULL ? s->conf.probe(address) : 0;

		if (!local_is_shortage(err))
			item->errors[i] = err;
	}
}

static enum source_state
state_of(const struct conf_source *c, const struct source *item)
{
	int missing = (item->errors[V4] != 0) + (item->errors[V6] != 0);

	return missing == 0 ? SOURCE_UP : missing < c->has_v4 + c->has_v6 ? SOURCE_DEGRADED : SOURCE_DOWN;
}

static void
describe(const struct conf_source *c, struct source *item)
{
	size_t at = 0, why_at = 0;

	item->addresses[0] = item->why[0] = '\0';
	for (int i = 0; i < FAMILIES; i++) {
		const char *text = address_text(c, (enum family)i);

		if (item->errors[i] == 0)
			continue;
		at += (size_t)snprintf(
			item->addresses + at, sizeof(item->addresses) - at, "%s%s", at > 0 ? ", " : "", text);
		why_at += (size_t)snprintf(item->why + why_at, sizeof(item->why) - why_at,
			"%scannot bind %s: %s", why_at > 0 ? "; " : "", text, strerror(item->errors[i]));
	}
	assert(at < sizeof(item->addresses) && why_at < sizeof(item->why));
}

static int64_t
wait_us(const struct conf_source *c, const struct source *item, int64_t mono_us)
{
	int64_t age_us = mono_us - item->since_us;

	if (!c->has_v4 && !c->has_v6)
		return INT64_MAX - mono_us;
	if (item->state == SOURCE_UP || age_us > WAIT_MAX_US)
		return WAIT_MAX_US;
	return age_us > WAIT_MIN_US ? age_us : WAIT_MIN_US;
}

static void
check(struct sources *s, size_t n, int64_t mono_us)
{
	const struct conf_source *c = &s->conf.conf->sources[n];
	struct source *item = &s->items[n];
	enum source_state from = item->state;
	int64_t from_us = item->since_us;
	char before[SOURCE_WHY_MAX];

	memcpy(before, item->why, sizeof(before));
	probe(s, c, item);
	describe(c, item);
	item->state = state_of(c, item);
	if (item->state != from || item->since_us == 0)
		item->since_us = mono_us;
	item->next_us = mono_us + wait_us(c, item, mono_us);
	if (item->next_us < s->next_us)
		s->next_us = item->next_us;
	if (item->state == from && strcmp(before, item->why) == 0 &&
		(item->state == SOURCE_UP || mono_us - item->said_us < SAID_AGAIN_US))
		return;
	item->said_us = mono_us;
	s->conf.tell(s->conf.arg, n, from, from_us);
}

/* --- all --- */

void
sources_check(struct sources *s, int64_t mono_us)
{
	if (mono_us < s->next_us)
		return;
	s->next_us = INT64_MAX;
	for (size_t i = 0; i < s->conf.conf->source_count; i++)
		if (s->items[i].next_us <= mono_us)
			check(s, i, mono_us);
		else if (s->items[i].next_us < s->next_us)
			s->next_us = s->items[i].next_us;
}

bool
sources_suspect(struct sources *s, size_t source, int64_t mono_us)
{
	struct source *item = &s->items[source];

	assert(source < s->conf.conf->source_count);
	if (item->state != SOURCE_DOWN)
		check(s, source, mono_us);
	if (item->state != SOURCE_UP || (item->shortage_us != 0 && mono_us - item->shortage_us < WAIT_MAX_US))
		return false;
	item->shortage_us = mono_us;
	return true;
}

void
sources_view(const struct sources *s, size_t source, struct source_view *out)
{
	const struct source *item = &s->items[source];

	assert(source < s->conf.conf->source_count);
	*out = (struct source_view){.name = s->conf.conf->sources[source].name,
		.state = item->state,
		.since_us = item->since_us,
		.next_us = item->next_us,
		.lacks_v4 = item->errors[V4] != 0,
		.lacks_v6 = item->errors[V6] != 0,
		.addresses = item->addresses,
		.why = item->why};
}

/* --- life --- */

struct sources *
sources_create(const struct sources_conf *conf, const struct sources *old)
{
	const struct conf *c = conf->conf;
	struct sources *s = calloc(1, sizeof(*s) + c->source_count * sizeof(s->items[0]));
	int at;

	if (s == NULL)
		return NULL;
	s->conf = *conf;
	(void)conf_ref(c);
	for (size_t i = 0; old != NULL && i < c->source_count; i++) {
		const char *name = c->sources[i].name;

		if ((at = conf_source_find(old->conf.conf, name, strnlen(name, NAME_MAX_BYTES))) < 0)
			continue;
		s->items[i] = old->items[at];
		s->items[i].next_us = 0;
	}
	return s;
}

void
sources_destroy(struct sources **sp)
{
	struct sources *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	conf_unref(s->conf.conf);
	free(s);
}
