/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names only grow: there are as many as there were different sources and pools since the start. What the
 * schedule borrows stands in one block a configuration; the old block goes when the new one is complete.
 */
#include "shape/pace.h"

#include "base/descriptors.h"
#include "base/domain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_DEFAULT = 0 };
static const struct queue_blob nothing = {"", 0};
static const char default_pool[] = "default";

struct names {
	char (*items)[QUEUE_NAME_MAX];
	uint32_t count;
};

/* A stream with limits of its own, whatever block it falls under. */
struct stream_override {
	struct queue_blob name; /* "user/job/class" */
	struct queue_limits limits;
};

/* One configuration's. */
struct tables {
	struct queue_source *sources;
	struct queue_pool *pools;
	struct queue_pool_member *members; /* of all pools, one after the other */
	struct queue_limits *source_limits, *pool_limits, *user_limits, *stream_limits, *profile_limits,
		total;
	struct queue_profile *profiles;
	struct queue_guard_conf *guards; /* of conf->guards; the last is guard "*" over the defaults */
	struct stream_override *streams; /* those for which something is overridden */
	size_t stream_count;
	struct queue_warmup_plan *plans; /* of conf->sources, then of conf->senders; volumes NULL: none */
	uint32_t *source_index;
};

struct pace {
	const struct conf *conf;
	const struct overrides *overrides; /* NULL: none */
	struct sandbox *sandbox;
	struct names sources, pools;
	struct tables now;
};

/* --- names --- */

static bool
names_find(const struct names *n, const char *name, size_t len, uint32_t *out)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (strnlen(n->items[i], QUEUE_NAME_MAX) == len && memcmp(n->items[i], name, len) == 0) {
			*out = i;
			return true;
		}
	return false;
}

/* A name longer than a note takes is cut; two sources are not told apart by what comes after. */
static bool
names_add(struct names *n, const char *name)
{
	size_t len = strnlen(name, QUEUE_NAME_MAX - 1);
	char(*grown)[QUEUE_NAME_MAX];
	uint32_t at;

	if (names_find(n, name, len, &at))
		return true;
	if ((grown = realloc(n->items, (n->count + 1) * sizeof(*grown))) == NULL)
		return false;
	n->items = grown;
	memset(grown[n->count], 0, sizeof(grown[0]));
	memcpy(grown[n->count++], name, len);
	return true;
}

bool
pace_source_number(const struct pace *p, const char *name, size_t len, uint32_t *out)
{
	return names_find(&p->sources, name, len, out);
}

bool
pace_pool_number(const struct pace *p, const char *name, size_t len, uint32_t *out)
{
	return names_find(&p->pools, name, len, out);
}

const char *
pace_source_name(const struct pace *p, uint32_t source)
{
	return source < p->sources.count ? p->sources.items[source] : "";
}

uint32_t
pace_source_index(const struct pace *p, uint32_t source)
{
	return source < p->sources.count && p->now.source_index != NULL ? p->now.source_index[source] : 0;
}

/* --- limits --- */

static void
unit_limits(struct queue_limits *out, enum queue_unit unit, const struct conf_rates *from)
{
	/* The same two numbers under two names: a library does not know the configuration. */
	_Static_assert(sizeof(struct conf_rate) == sizeof(struct queue_rate) &&
			       offsetof(struct conf_rate, count) == offsetof(struct queue_rate, count) &&
			       offsetof(struct conf_rate, per_us) == offsetof(struct queue_rate, per_us),
		"a rate of the configuration is one of the queue");
	out->units[unit].rates = (const struct queue_rate *)(const void *)from->items;
	out->units[unit].count = (uint32_t)from->count;
}

void
pace_limits(const struct conf_limits *from, struct queue_limits *out)
{
	*out = (struct queue_limits){.connections = (uint32_t)from->connections};
	unit_limits(out, QUEUE_UNIT_CONNECTIONS, &from->connect_rate);
	unit_limits(out, QUEUE_UNIT_MESSAGES, &from->rate);
	unit_limits(out, QUEUE_UNIT_RECIPIENTS, &from->recipient_rate);
	unit_limits(out, QUEUE_UNIT_BYTES, &from->byte_rate);
}

void
pace_lane_limits(const struct conf_delivery *from, struct queue_limits *out)
{
	*out = (struct queue_limits){0}; /* connections: the policy's own */
	unit_limits(out, QUEUE_UNIT_CONNECTIONS, &from->connect_rate);
	unit_limits(out, QUEUE_UNIT_MESSAGES, &from->rate);
	unit_limits(out, QUEUE_UNIT_RECIPIENTS, &from->recipient_rate);
	unit_limits(out, QUEUE_UNIT_BYTES, &from->byte_rate);
}

void
pace_site_limits(const struct conf_delivery *from, struct queue_limits *out)
{
	*out = (struct queue_limits){.connections = (uint32_t)from->site_connections};
	unit_limits(out, QUEUE_UNIT_CONNECTIONS, &from->site_connect_rate);
	unit_limits(out, QUEUE_UNIT_MESSAGES, &from->site_rate);
	unit_limits(out, QUEUE_UNIT_RECIPIENTS, &from->site_recipient_rate);
	unit_limits(out, QUEUE_UNIT_BYTES, &from->site_byte_rate);
}

/* --- the tables --- */

static void
tables_free(struct tables *t)
{
	free(t->sources);
	free(t->pools);
	free(t->members);
	free(t->source_limits);
	free(t->pool_limits);
	free(t->user_limits);
	free(t->stream_limits);
	free(t->profile_limits);
	free(t->profiles);
	free(t->guards);
	free(t->streams);
	free(t->plans);
	free(t->source_index);
}

static bool
tables_create(const struct pace *p, const struct conf *c, struct tables *out)
{
	size_t members = 0;

	for (size_t i = 0; i < c->pool_count; i++)
		members += c->pools[i].sources.count;
	/* Pools that a reload took away have the members of the default. */
	members += 1;
	*out = (struct tables){
		.sources = calloc(p->sources.count, sizeof(*out->sources)),
		.pools = calloc(p->pools.count, sizeof(*out->pools)),
		.members = calloc(members, sizeof(*out->members)),
		.source_limits = calloc(c->source_count, sizeof(*out->source_limits)),
		.pool_limits = calloc(c->pool_count + 1, sizeof(*out->pool_limits)),
		.user_limits = calloc(c->user_count + 1, sizeof(*out->user_limits)),
		.stream_limits = calloc(c->stream_count + 1, sizeof(*out->stream_limits)),
		.profile_limits = calloc(c->profile_count + 1, sizeof(*out->profile_limits)),
		.profiles = calloc(c->profile_count + 1, sizeof(*out->profiles)),
		.guards = calloc(c->guard_count + 1, sizeof(*out->guards)),
		.streams = calloc(p->overrides != NULL ? p->overrides->count + 1 : 1, sizeof(*out->streams)),
		.plans = calloc(c->source_count + c->sender_count, sizeof(*out->plans)),
		.source_index = calloc(p->sources.count, sizeof(*out->source_index)),
	};
	if (out->sources != NULL && out->pools != NULL && out->members != NULL &&
		out->source_limits != NULL && out->pool_limits != NULL && out->user_limits != NULL &&
		out->stream_limits != NULL && out->profile_limits != NULL && out->profiles != NULL &&
		out->guards != NULL && out->streams != NULL && out->plans != NULL &&
		out->source_index != NULL)
		return true;
	tables_free(out);
	return false;
}

static struct queue_blob
name_at(const struct names *n, uint32_t i)
{
	return (struct queue_blob){n->items[i], strnlen(n->items[i], QUEUE_NAME_MAX)};
}

static uint32_t
number_of_source(const struct pace *p, const struct conf_source *s)
{
	uint32_t number = 0;

	(void)names_find(&p->sources, s->name, strnlen(s->name, QUEUE_NAME_MAX - 1), &number);
	return number;
}

static void
fill_sources(const struct pace *p, const struct conf *c, struct tables *t)
{
	for (uint32_t i = 0; i < p->sources.count; i++) {
		struct queue_blob name = name_at(&p->sources, i);
		int at = conf_source_find(c, name.ptr, name.len);

		t->sources[i].name = name;
		if (at < 0)
			continue;
		t->source_index[i] = (uint32_t)at;
		pace_limits(&c->sources[at].limits, &t->source_limits[at]);
		overrides_lay(p->overrides, QUEUE_LEVEL_SOURCE, nothing, name, &t->source_limits[at]);
		t->sources[i].limits = &t->source_limits[at];
	}
}

static void
fill_pools(const struct pace *p, const struct conf *c, struct tables *t)
{
	struct queue_pool_member *next = t->members;

	*next = (struct queue_pool_member){number_of_source(p, &c->sources[0]), 1};
	t->pools[POOL_DEFAULT] = (struct queue_pool){
		.name = name_at(&p->pools, POOL_DEFAULT), .members = next++, .member_count = 1};
	for (uint32_t i = 0; i < p->pools.count; i++) {
		struct queue_blob name = name_at(&p->pools, i);
		int at = conf_pool_find(c, name.ptr, name.len);
		const struct conf_pool *from = at >= 0 ? &c->pools[at] : NULL;

		if (from == NULL) {
			t->pools[i] = t->pools[POOL_DEFAULT];
			t->pools[i].name = name;
			t->pools[i].limits = NULL;
			if (i == POOL_DEFAULT) {
				t->pools[i].limits = &t->pool_limits[c->pool_count];
				overrides_lay(p->overrides, QUEUE_LEVEL_POOL, nothing, name,
					&t->pool_limits[c->pool_count]);
			}
			continue;
		}
		pace_limits(&from->limits, &t->pool_limits[at]);
		overrides_lay(p->overrides, QUEUE_LEVEL_POOL, nothing, name, &t->pool_limits[at]);
		t->pools[i] = (struct queue_pool){.name = name,
			.members = next,
			.member_count = (uint32_t)from->sources.count,
			.limits = &t->pool_limits[at]};
		for (size_t n = 0; n < from->sources.count; n++)
			*next++ = (struct queue_pool_member){
				number_of_source(p, &c->sources[from->source_index[n]]),
				from->source_weight[n]};
	}
}

static void
fill_plan(const struct conf_warmup *from, int32_t start_day, struct queue_warmup_plan *out)
{
	if (from == NULL)
		return;
	*out = (struct queue_warmup_plan){
		.volumes = from->volumes.items,
		.count = from->volumes.count,
		.hold_ppm = {[QUEUE_WARMUP_RATE_DEFERRED] = from->hold_deferred,
			[QUEUE_WARMUP_RATE_BLOCKED] = from->hold_blocked,
			[QUEUE_WARMUP_RATE_BOUNCED] = from->hold_bounced,
			[QUEUE_WARMUP_RATE_COMPLAINED] = from->hold_complained},
		.start_day = start_day,
	};
}

static void
fill_plans(const struct conf *c, struct tables *t)
{
	for (size_t i = 0; i < c->source_count; i++)
		fill_plan(c->sources[i].warmup_plan, c->sources[i].warmup_start_day, &t->plans[i]);
	for (size_t i = 0; i < c->sender_count; i++)
		fill_plan(c->senders[i].warmup_plan, c->senders[i].warmup_start_day,
			&t->plans[c->source_count + i]);
}

static void
fill_guard(const struct conf_guard *from, struct queue_guard_conf *out)
{
	*out = (struct queue_guard_conf){
		.window_us = from->window,
		.volume_min = (uint32_t)from->volume_min,
		.limit_ppm = {[QUEUE_GUARD_BOUNCE] = {0, (uint32_t)from->bounce_warn,
				      (uint32_t)from->bounce_slow, (uint32_t)from->bounce_stop},
			[QUEUE_GUARD_COMPLAINT] = {0, (uint32_t)from->complaint_warn,
				(uint32_t)from->complaint_slow, (uint32_t)from->complaint_stop}},
	};
}

static void
fill_guards(const struct conf *c, struct tables *t)
{
	for (size_t i = 0; i < c->guard_count; i++)
		fill_guard(&c->guards[i], &t->guards[i]);
	fill_guard(&c->guard, &t->guards[c->guard_count]);
}

static void
fill_profiles(const struct conf *c, struct tables *t)
{
	for (size_t i = 0; i < c->profile_count; i++) {
		const struct conf_profile *from = &c->profiles[i];

		unit_limits(&t->profile_limits[i], QUEUE_UNIT_CONNECTIONS, &from->connect_rate);
		unit_limits(&t->profile_limits[i], QUEUE_UNIT_MESSAGES, &from->rate);
		t->profiles[i] = (struct queue_profile){
			.name = {from->name, strnlen(from->name, 256)},
			.connections = (uint32_t)from->connections,
			.messages_per_connection = (uint32_t)from->messages_per_connection,
			.limits = &t->profile_limits[i],
		};
	}
}

static const struct conf_stream *
stream_of(const struct conf *c, struct queue_blob user, struct queue_blob job, enum queue_class klass)
{
	return conf_stream_find(c, user.ptr, user.len, job.ptr, job.len, (enum conf_class)klass);
}

/* "user/job/class": no user has a slash in its name, a job may. */
bool
pace_stream_split(
	struct queue_blob name, struct queue_blob *user, struct queue_blob *job, enum queue_class *klass)
{
	const char *text = name.ptr, *first, *last;

	first = name.len > 0 ? memchr(text, '/', name.len) : NULL;
	last = first != NULL ? memrchr(text, '/', name.len) : NULL;
	if (first == last)
		return false;
	*user = (struct queue_blob){text, (size_t)(first - text)};
	*job = (struct queue_blob){first + 1, (size_t)(last - first - 1)};
	for (int i = 0; i < CONF_CLASS_COUNT; i++) {
		const char *word = queue_class_text((enum queue_class)i);
		size_t len = strnlen(word, 16);

		*klass = (enum queue_class)i;
		if (len == name.len - (size_t)(last + 1 - text) && memcmp(last + 1, word, len) == 0)
			return true;
	}
	return false;
}

static const struct stream_override *
stream_override_find(
	const struct tables *t, struct queue_blob user, struct queue_blob job, enum queue_class klass)
{
	const char *word = queue_class_text(klass);
	size_t len = strnlen(word, 16);

	for (size_t i = 0; i < t->stream_count; i++) {
		struct queue_blob name = t->streams[i].name;
		const char *at = name.ptr;

		/* Its parts have been told apart before, so their lengths are enough to tell where each is.
		 */
		if (name.len != user.len + job.len + len + 2 || at[user.len] != '/' ||
			memcmp(at + name.len - len, word, len) != 0)
			continue;
		if ((user.len == 0 || memcmp(at, user.ptr, user.len) == 0) &&
			(job.len == 0 || memcmp(at + user.len + 1, job.ptr, job.len) == 0))
			return &t->streams[i];
	}
	return NULL;
}

static void
fill_stream_overrides(const struct pace *p, const struct conf *c, struct tables *t)
{
	for (size_t i = 0; p->overrides != NULL && i < p->overrides->count; i++) {
		const struct override *o = &p->overrides->items[i];
		struct stream_override *to = &t->streams[t->stream_count];
		struct queue_blob user, job;
		const struct conf_stream *s;
		enum queue_class klass;

		to->name = (struct queue_blob){o->name, strnlen(o->name, sizeof(o->name))};
		if (o->level != QUEUE_LEVEL_STREAM || !pace_stream_split(to->name, &user, &job, &klass) ||
			stream_override_find(t, user, job, klass) != NULL)
			continue;
		if ((s = stream_of(c, user, job, klass)) != NULL)
			pace_limits(&s->limits, &to->limits);
		overrides_lay(p->overrides, QUEUE_LEVEL_STREAM, nothing, to->name, &to->limits);
		t->stream_count++;
	}
}

/* How many connections there may be in all is a number of its own, with a share of the descriptors. */
static void
fill_total(const struct pace *p, const struct conf *c, struct tables *t)
{
	t->total = (struct queue_limits){0};
	unit_limits(&t->total, QUEUE_UNIT_CONNECTIONS, &c->connect_rate_total);
	unit_limits(&t->total, QUEUE_UNIT_MESSAGES, &c->rate_total);
	unit_limits(&t->total, QUEUE_UNIT_RECIPIENTS, &c->recipient_rate_total);
	unit_limits(&t->total, QUEUE_UNIT_BYTES, &c->byte_rate_total);
	overrides_lay(p->overrides, QUEUE_LEVEL_ALL, nothing, nothing, &t->total);
	t->total.connections = 0;
}

static void
fill_streams(const struct pace *p, const struct conf *c, struct tables *t)
{
	for (size_t i = 0; i < c->user_count; i++) {
		const struct conf_user *u = &c->users[i];

		pace_limits(&u->limits, &t->user_limits[i]);
		overrides_lay(p->overrides, QUEUE_LEVEL_USER, nothing,
			(struct queue_blob){u->name, strnlen(u->name, OVERRIDE_NOTE_MAX)},
			&t->user_limits[i]);
	}
	for (size_t i = 0; i < c->stream_count; i++)
		pace_limits(&c->streams[i].limits, &t->stream_limits[i]);
	fill_stream_overrides(p, c, t);
	fill_total(p, c, t);
}

void
pace_stream(const struct pace *p, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	const struct conf *c = p->conf;
	const struct conf_user *u = user.len > 0 ? conf_user_find(c, user.ptr, user.len) : NULL;
	const struct conf_stream *s = stream_of(c, user, job, klass);
	const struct stream_override *o = stream_override_find(&p->now, user, job, klass);

	*out = (struct queue_stream_policy){.weight = s != NULL ? (uint32_t)s->weight : 1,
		.user_weight = u != NULL ? (uint32_t)u->weight : 1};
	if (u != NULL)
		out->user_limits = &p->now.user_limits[u - c->users];
	if (u != NULL && u->sandbox.count > 0 && sandbox_lifted(p->sandbox, user) == NULL)
		out->user_limits = sandbox_limits(p->sandbox, out->user_limits, &u->sandbox);
	if (s != NULL)
		out->limits = &p->now.stream_limits[s - c->streams];
	if (o != NULL)
		out->limits = &o->limits;
}

const struct queue_guard_conf *
pace_guard(const struct pace *p, struct queue_blob user)
{
	const struct conf *c = p->conf;
	const struct conf_guard *g = conf_guard_find(c, user.ptr, user.len);

	return &p->now.guards[g != &c->guard ? (size_t)(g - c->guards) : c->guard_count];
}

/* The provider's name, or one for the sites of none. */
static struct queue_blob
group_of(const char *provider)
{
	static const char others[] = "other";

	return provider != NULL ? (struct queue_blob){provider, strnlen(provider, QUEUE_NAME_MAX)}
				: (struct queue_blob){others, sizeof(others) - 1};
}

const struct queue_warmup_plan *
pace_warmup(const struct pace *p, uint32_t source, const char *provider, struct queue_blob *out_group)
{
	const struct queue_warmup_plan *plan;

	/* A source that a reload took away has no plan of its own. */
	if (source >= p->sources.count || conf_source_find(p->conf, p->sources.items[source],
						  strnlen(p->sources.items[source], QUEUE_NAME_MAX)) < 0)
		return NULL;
	plan = &p->now.plans[p->now.source_index[source]];
	if (plan->volumes == NULL)
		return NULL;
	*out_group = group_of(provider);
	return plan;
}

const struct queue_warmup_plan *
pace_sender_warmup(const struct pace *p, struct queue_blob domain, const char *provider,
	struct queue_blob *out_sender, struct queue_blob *out_group)
{
	char normal[DOMAIN_MAX];
	int len = domain_normalise(domain.ptr, domain.len, normal, sizeof(normal));
	const struct conf_sender *s = len > 0 ? conf_sender_find(p->conf, normal, (size_t)len) : NULL;

	if (s == NULL || s->warmup_plan == NULL)
		return NULL;
	*out_sender = (struct queue_blob){s->warmup_name, strnlen(s->warmup_name, DOMAIN_MAX)};
	*out_group = group_of(provider);
	return &p->now.plans[p->conf->source_count + (size_t)(s - p->conf->senders)];
}

/* --- life --- */

struct pace *
pace_create(void)
{
	struct pace *p = calloc(1, sizeof(*p));

	if (p != NULL && (p->sandbox = sandbox_create()) == NULL)
		pace_destroy(&p);
	return p;
}

struct sandbox *
pace_sandbox(const struct pace *p)
{
	return p->sandbox;
}

void
pace_destroy(struct pace **pp)
{
	struct pace *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	tables_free(&p->now);
	sandbox_destroy(&p->sandbox);
	free(p->sources.items);
	free(p->pools.items);
	free(p);
}

static bool
learn_names(struct pace *p, const struct conf *c)
{
	if (!names_add(&p->pools, default_pool))
		return false;
	for (size_t i = 0; i < c->source_count; i++)
		if (!names_add(&p->sources, c->sources[i].name))
			return false;
	for (size_t i = 0; i < c->pool_count; i++)
		if (!names_add(&p->pools, c->pools[i].name))
			return false;
	return true;
}

void
pace_override(struct pace *p, const struct overrides *overrides)
{
	p->overrides = overrides;
}

const struct overrides *
pace_overrides(const struct pace *p)
{
	return p->overrides;
}

bool
pace_apply(struct pace *p, const struct conf *conf, struct queue_sched_conf *out)
{
	const struct override *total =
		overrides_find(p->overrides, QUEUE_LEVEL_ALL, nothing, nothing, OVERRIDE_CONNECTIONS);
	struct tables fresh;

	if (!learn_names(p, conf) || !tables_create(p, conf, &fresh))
		return false;
	fill_sources(p, conf, &fresh);
	fill_pools(p, conf, &fresh);
	fill_streams(p, conf, &fresh);
	fill_profiles(conf, &fresh);
	fill_plans(conf, &fresh);
	fill_guards(conf, &fresh);
	tables_free(&p->now);
	p->now = fresh;
	p->conf = conf;
	out->sources = fresh.sources;
	out->source_count = p->sources.count;
	out->pools = fresh.pools;
	out->pool_count = p->pools.count;
	out->profiles = fresh.profiles;
	out->profile_count = (uint32_t)conf->profile_count;
	out->limits = &p->now.total;
	if (total != NULL)
		out->connections_total = (uint32_t)descriptors_share(total->count).outbound;
	out->urgent_percent = (uint32_t)conf->delivery.urgent_share;
	out->counts_deliveries = conf->rates_count == CONF_RATES_COUNT_DELIVERIES;
	return true;
}
