/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators see of pace: what mail waits for, lanes, sources, streams and limits.
 *
 * The schedule says it in numbers and names (queue_sched_why.h); here they become JSON, under the same names
 * wherever a reason stands. Words are the client's.
 */
#include "control/ctl_reason.h"
#include "control/ctl_table.h"
#include "queue/dispatch.h"
#include "queue_sched_why.h"
#include "queue_store.h"
#include "shape/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	REASONS_MAX = 200, /* of a domain or site, told apart */
	PORTION = 64,
	RCPTS_DEFAULT = 100, /* of a message */
	RCPTS_MAX = 10000,
	TEXT_MAX = 2200, /* a user and a job, and what stands around them */
};
#define HOUR_US (INT64_C(3600) * 1000000)

static void
set(json_t *o, const char *name, json_t *take_value)
{
	(void)json_object_set_new(o, name, take_value);
}

static struct queue_sched *
sched_of(const struct ctl_request *r)
{
	return dispatch_sched(r->app->dispatch);
}

static struct queue_blob
arg_text(const struct ctl_request *r, const char *name)
{
	const char *s = ctl_arg(r, name);

	return (struct queue_blob){s, strnlen(s, TEXT_MAX)};
}

static bool
is_same(struct queue_blob a, struct queue_blob b)
{
	return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* --- reasons --- */

/* The block that limits a stream, by its name; empty: none, or another level. */
static const char *
block_of_stream(const struct ctl_request *r, const struct queue_reason *reason)
{
	const struct queue_blob name = reason->name;
	const char *slash = name.len > 0 ? memchr(name.ptr, '/', name.len) : NULL;
	const struct conf_stream *s;
	size_t user_len;

	if (reason->level != QUEUE_LEVEL_STREAM || slash == NULL)
		return "";
	user_len = (size_t)(slash - (const char *)name.ptr);
	s = conf_stream_find(dispatch_current_conf(r->app->dispatch), name.ptr, user_len, slash + 1,
		name.len - user_len - 1, (enum conf_class)reason->klass);
	return s != NULL ? s->name : "";
}

/* What an operator has set of the limit that keeps the mail, if it is one. */
static json_t *
override_of(const struct ctl_request *r, const struct queue_reason *reason, struct queue_blob name)
{
	const char *source = dispatch_source_name(r->app->dispatch, reason->source);
	struct queue_blob from = {source, strnlen(source, QUEUE_NAME_MAX)};
	enum override_setting setting = override_setting_of(reason->unit, true);

	switch (reason->why) {
	case QUEUE_WHY_RATE:
	case QUEUE_WHY_DISK:
		return ctl_override_of(r, reason->level, from, name, setting);
	case QUEUE_WHY_CONNECTIONS:
		return ctl_override_of(r, reason->level, from, name, OVERRIDE_CONNECTIONS);
	case QUEUE_WHY_BUSY:
		return ctl_override_of(r, QUEUE_LEVEL_LANE, from, reason->site, OVERRIDE_CONNECTIONS);
	case QUEUE_WHY_TOTAL:
		return ctl_override_of(
			r, QUEUE_LEVEL_ALL, from, (struct queue_blob){"", 0}, OVERRIDE_CONNECTIONS);
	default:
		return NULL;
	}
}

/* The text of a value that is one. */
static struct queue_blob
json_text(const json_t *v)
{
	return (struct queue_blob){json_string_value(v), json_string_length(v)};
}

static json_t *
plain_text(const char *s)
{
	return ctl_blob((struct queue_blob){s, strnlen(s, TEXT_MAX)});
}

/* What the schedule does not know of a source that is down: since when, why, and when it is looked at again.
 */
static void
set_down(const struct ctl_request *r, json_t *o, uint32_t source)
{
	struct source_view v;

	dispatch_source_view(r->app->dispatch, source, &v);
	set(o, "since_us", json_integer((json_int_t)v.since_us));
	set(o, "until_us", json_integer((json_int_t)v.next_us));
	set(o, "reason", plain_text(v.why));
}

/* Into o, always under the same names. */
static void
set_reason(const struct ctl_request *r, json_t *o, const struct queue_reason *reason)
{
	json_t *override;

	ctl_reason(o, reason, dispatch_source_name(r->app->dispatch, reason->source),
		block_of_stream(r, reason));
	set(o, "sandbox", json_boolean(ctl_is_of_sandbox(r, reason)));
	if ((override = override_of(r, reason, json_text(json_object_get(o, "name")))) != NULL)
		set(o, "override", override);
	if (reason->why == QUEUE_WHY_DOWN)
		set_down(r, o, reason->source);
}

/* A long limit that is used up says more about the hours to come than the last minutes do: the time it leaves
 * for each recipient, over all sources together. 0: none is. */
static int64_t
limit_each_us(const struct queue_reason *r)
{
	bool is_of_source = r->level == QUEUE_LEVEL_LANE || r->level == QUEUE_LEVEL_SOURCE;
	int64_t each_us;

	if (r->why != QUEUE_WHY_RATE || !queue_rate_is_long(&r->rate) ||
		(r->unit != QUEUE_UNIT_MESSAGES && r->unit != QUEUE_UNIT_RECIPIENTS))
		return 0;
	each_us = r->rate.per_us / r->rate.count;
	if (is_of_source && r->sources > 1)
		each_us /= r->sources;
	return each_us > 0 ? each_us : 1;
}

/* What the site takes, and how long what is ready there will last at that, or at the limit. */
static void
set_pace(const struct ctl_request *r, json_t *o, struct queue_blob name, uint64_t ready, int64_t limit_us)
{
	struct queue_site_view site = {.ready = 0};
	__int128 empty_us = 0;

	if (name.len > 0)
		(void)queue_sched_site_find(sched_of(r), name, &site);
	if (site.ready > ready)
		ready = site.ready;
	if (limit_us > 0)
		empty_us = (__int128)ready * limit_us;
	else if (site.delivered_per_hour > 0)
		empty_us = (__int128)ready * HOUR_US / site.delivered_per_hour;
	set(o, "connections", json_integer(site.sessions));
	set(o, "site_ready", json_integer(ctl_number(site.ready)));
	set(o, "delivered_per_hour", json_integer(ctl_number(site.delivered_per_hour)));
	set(o, "limit_each_us", json_integer((json_int_t)limit_us));
	set(o, "empty_us", json_integer(empty_us < INT64_MAX ? (json_int_t)empty_us : INT64_MAX));
}

static void
set_earlier(json_t *o, int64_t until_us)
{
	int64_t now = json_integer_value(json_object_get(o, "until_us"));

	if (until_us != 0 && until_us != INT64_MAX && (now == 0 || until_us < now))
		set(o, "until_us", json_integer((json_int_t)until_us));
}

/* Into r->sums: the same reasons are one row. */
static bool
add_reason(void *arg, const struct queue_reason *reason)
{
	const struct queue_blob none = {"", 0};
	struct queue_reason what = *reason;
	struct ctl_request *r = arg;
	char key[TEXT_MAX];
	json_t *o;

	if (json_object_size(r->sums) >= REASONS_MAX)
		what = (struct queue_reason){.why = reason->why,
			.until_us = reason->until_us,
			.name = none,
			.sender = none,
			.reason = none,
			.site = none,
			.pool = none,
			.source = UINT32_MAX};
	snprintf(key, sizeof(key), "%d %s %d %lld %lld %u %d %.*s %.*s", (int)what.why,
		ctl_reason_about(&what), (int)what.unit, (long long)what.rate.count,
		(long long)what.rate.per_us, (unsigned)what.source, (int)what.klass, (int)what.name.len,
		(const char *)what.name.ptr, (int)what.sender.len, (const char *)what.sender.ptr);
	if ((o = json_object_get(r->sums, key)) == NULL) {
		o = json_object();
		set_reason(r, o, &what);
		set(o, "limit_each_us", json_integer((json_int_t)limit_each_us(&what)));
		(void)json_object_set_new_nocheck(r->sums, key, o);
	}
	set(o, "recipients",
		json_integer(
			json_integer_value(json_object_get(o, "recipients")) + ctl_number(reason->rcpts)));
	set_earlier(o, reason->until_us);
	return true;
}

/* --- why: a domain or a site --- */

static int64_t
integer(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

/* The rows, those that keep most first; what they keep in all, by state, into the summary. */
static void
send_reasons(struct ctl_request *r, json_t *summary, struct queue_blob site)
{
	static const char *const states[] = {"leased", "waiting", "held"};
	static const enum queue_why of_states[] = {QUEUE_WHY_LEASED, QUEUE_WHY_RETRY, QUEUE_WHY_HELD};
	uint64_t counts[3] = {0}, ready = 0, most = 0;
	int64_t limit_us = 0;
	const char *key;
	json_t *row;
	size_t i;

	json_object_foreach(r->sums, key, row)
	{
		const char *why = json_string_value(json_object_get(row, "why"));
		uint64_t rcpts = (uint64_t)integer(row, "recipients");

		for (i = 0; i < 3 && strcmp(why, ctl_whys[of_states[i]]) != 0; i++)
			;
		if (i < 3)
			counts[i] += rcpts;
		else
			ready += rcpts;
		if (i == 3 && rcpts > most) {
			most = rcpts;
			limit_us = integer(row, "limit_each_us");
		}
		ctl_row(r, json_incref(row));
	}
	for (i = 0; i < 3; i++)
		set(summary, states[i], json_integer(ctl_number(counts[i])));
	set(summary, "ready", json_integer(ctl_number(ready)));
	set_pace(r, summary, site, ready, limit_us);
}

static json_t *
why_summary(const struct ctl_request *r)
{
	return json_pack("{s:I,s:s,s:b}", "now_us", (json_int_t)clock_now(r->app->clock), "configuration",
		dispatch_current_conf(r->app->dispatch)->file, "recovering",
		(int)dispatch_is_recovering(r->app->dispatch));
}

/* Where what is not in the queue can be looked for. */
static bool
not_here(struct ctl_request *r, const char *what, const char *name)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);
	const char *file = strcmp(c->accounting_file, "none") != 0 ? c->accounting_file : c->accounting_json;

	if (dispatch_is_recovering(r->app->dispatch))
		return ctl_error(r,
			"%s%s is not in the queue as far as the spool has been read; again in a moment", what,
			name);
	if (strcmp(file, "none") == 0)
		return ctl_error(r, "%s%s is not in the queue, and there is no accounting file to look in",
			what, name);
	return ctl_error(r, "%s%s is not in the queue: what became of mail stands in the accounting file, %s",
		what, name, file);
}

static bool
why_domain(struct ctl_request *r)
{
	const char *name = ctl_arg(r, "domain");
	int len = domain_normalise(name, strnlen(name, TEXT_MAX), r->domain, sizeof(r->domain));
	struct queue_domain_view v;
	json_t *o;

	if (len < 0)
		return ctl_error(r, "\"%.200s\" is no domain", name);
	if (!queue_sched_domain_find(sched_of(r), (struct queue_blob){r->domain, (size_t)len}, &v) ||
		v.ready + v.waiting + v.leased + v.held == 0)
		return not_here(r, "mail for ", r->domain);
	o = why_summary(r);
	set(o, "domain", ctl_blob(v.domain));
	set(o, "site", ctl_blob(v.site));
	set(o, "next_us", json_integer((json_int_t)v.next_us));
	set(o, "oldest_us", json_integer((json_int_t)v.oldest_us));
	(void)queue_sched_why_domain(sched_of(r), v.domain, add_reason, r);
	send_reasons(r, o, v.site);
	ctl_summary(r, o);
	return true;
}

static bool
why_site_step(struct ctl_request *r)
{
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;
	struct queue_blob site = arg_text(r, "site");
	struct queue_walk *walk = r->state;
	json_t *o;

	while (!walk->is_end) {
		queue_sched_walk_why(sched_of(r), site, walk, add_reason, r);
		if (!walk->is_end && clock_mono(r->app->clock) >= until_us)
			return false;
	}
	o = why_summary(r);
	set(o, "site", ctl_blob(site));
	send_reasons(r, o, site);
	ctl_summary(r, o);
	return true;
}

static bool
why_site(struct ctl_request *r)
{
	struct queue_blob site = arg_text(r, "site");
	struct queue_site_view v;

	if (!queue_sched_site_find(sched_of(r), site, &v))
		return ctl_error(r, "no mail goes to a site %.200s now; mtactl sites lists those there are",
			ctl_arg(r, "site"));
	r->run = why_site_step;
	return why_site_step(r);
}

/* --- why: a message --- */

/* Lives in the request's state. */
struct why_message {
	struct queue_walk walk;
	struct ctl_request *r;
	queue_id id;
	int64_t n; /* -1: all */
	size_t limit, count;
};

static bool
on_rcpt(void *arg, uint16_t n, const struct queue_reason *reason)
{
	struct why_message *w = arg;
	json_t *o;

	if ((w->n >= 0 && n != w->n) || w->count++ >= w->limit)
		return true;
	o = json_pack("{s:i}", "n", (int)n);
	set_reason(w->r, o, reason);
	set_pace(w->r, o, reason->site, 0, limit_each_us(reason));
	(void)json_array_append_new(w->r->part, o);
	return true;
}

/* In the control side's thread: addresses and replies stand in the spool. */
static bool
why_message_rows(struct ctl_request *r)
{
	const struct why_message *w = r->state;
	const struct queue_message *m = &r->loaded->message;

	while (r->at < json_array_size(r->part) && json_array_size(r->frames) < CTL_ROWS) {
		json_t *row = json_array_get(r->part, r->at++);
		const struct queue_rcpt *rcpt = ctl_loaded_rcpt(r->loaded, (uint16_t)integer(row, "n"));

		if (rcpt == NULL)
			continue; /* it has ended meanwhile */
		set(row, "rcpt", ctl_blob(rcpt->address));
		set(row, "attempts", json_integer(rcpt->attempts));
		set(row, "last_us", json_integer((json_int_t)rcpt->last_us));
		set(row, "reply", ctl_blob(rcpt->reply));
		set(row, "class", ctl_class(r, rcpt->reply));
		ctl_row(r, json_incref(row));
	}
	if (r->at < json_array_size(r->part))
		return false;
	json_object_update_new(
		r->sums, json_pack("{s:o,s:o,s:o,s:o,s:s,s:I,s:I}", "id", ctl_id(m->id), "sender",
				 ctl_blob(m->sender), "user", ctl_blob(m->user), "job", ctl_blob(m->job),
				 "class", queue_class_text(m->klass), "arrived_us", (json_int_t)m->arrived_us,
				 "recipients", ctl_number(w->count)));
	ctl_summary(r, json_incref(r->sums));
	return true;
}

static bool
why_message_load(struct ctl_request *r)
{
	const struct why_message *w = r->state;
	int err = queue_store_load(r->app->store, w->id, false, &r->loaded);

	if (err != QUEUE_OK)
		return ctl_error(r, "message %llx: %s", (unsigned long long)w->id,
			err == QUEUE_ENOTFOUND ? "it has ended just now" : queue_err_text(err));
	return ctl_go_on(r, r->slow, why_message_rows);
}

static bool
why_message_step(struct ctl_request *r)
{
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;
	struct why_message *w = r->state;
	char name[48];

	while (!w->walk.is_end) {
		(void)queue_sched_why_message(sched_of(r), w->id, &w->walk, on_rcpt, w);
		if (!w->walk.is_end && clock_mono(r->app->clock) >= until_us)
			return false;
	}
	if (w->count == 0) {
		if (w->n >= 0)
			snprintf(name, sizeof(name), "recipient %llx/%lld", (unsigned long long)w->id,
				(long long)w->n);
		else
			snprintf(name, sizeof(name), "message %llx", (unsigned long long)w->id);
		return not_here(r, "", name);
	}
	(void)json_object_update_new(r->sums, why_summary(r));
	return ctl_go_on(r, r->slow, why_message_load);
}

static bool
why_message(struct ctl_request *r)
{
	int64_t limit = ctl_arg_int(r, "limit", RCPTS_DEFAULT);
	struct why_message *w = r->state;

	ctl_keep_classifier(r);
	w->r = r;
	w->id = (queue_id)ctl_arg_int(r, "id", 0);
	w->n = ctl_arg_int(r, "n", -1);
	w->limit = limit > 0 && limit < RCPTS_MAX ? (size_t)limit : RCPTS_MAX;
	r->run = why_message_step;
	return why_message_step(r);
}

bool
ctl_why(struct ctl_request *r)
{
	struct why_message *w = r->state = calloc(1, sizeof(*w));

	if (w == NULL || (r->sums = json_object()) == NULL || (r->part = json_array()) == NULL)
		return ctl_error(r, "out of memory");
	w->walk.limit = PORTION;
	if (ctl_arg_int(r, "id", 0) > 0)
		return why_message(r);
	if (ctl_arg(r, "domain")[0] != '\0')
		return why_domain(r);
	if (ctl_arg(r, "site")[0] != '\0')
		return why_site(r);
	return ctl_error(r, "why what? Give a message's id, a domain, or a site");
}

/* --- lanes --- */

static bool
on_lane(void *arg, const struct queue_lane_view *v)
{
	struct queue_blob site = arg_text(((struct ctl_table *)arg)->r, "site");
	uint64_t weight = v->ready + v->sessions;
	struct ctl_table *t = arg;
	json_t *o;

	if (site.len > 0 && !is_same(site, v->site))
		return true;
	t->rows++;
	if (!ctl_table_wants(t, weight))
		return true;
	o = json_pack("{s:I,s:I,s:I,s:I,s:I}", "busy", (json_int_t)v->busy, "opening", (json_int_t)v->opening,
		"sessions", (json_int_t)v->sessions, "connections_max", (json_int_t)v->connections_max,
		"ready", ctl_number(v->ready));
	set_reason(t->r, o, &v->reason);
	ctl_table_keep(t, weight, o);
	return true;
}

static void
walk_lanes(struct ctl_table *t)
{
	queue_sched_walk_lanes(sched_of(t->r), &t->position, on_lane, t);
}

static bool
begin_table(struct ctl_request *r, void (*walk)(struct ctl_table *t), const char *noun)
{
	struct ctl_table *t = ctl_table_create(r, sizeof(*t));

	if (t == NULL)
		return ctl_error(r, "out of memory");
	t->walk = walk;
	t->noun = noun;
	return ctl_table_step(r);
}

bool
ctl_lanes(struct ctl_request *r)
{
	return begin_table(r, walk_lanes, "lanes");
}

/* --- streams --- */

static void
add_to(json_t *o, const char *name, uint64_t more)
{
	set(o, name, json_integer(integer(o, name) + ctl_number(more)));
}

/* One of the places where the stream has mail. */
static bool
on_stream(void *arg, const struct queue_stream_view *v)
{
	struct ctl_request *r = ((struct ctl_table *)arg)->r;
	struct queue_blob user = arg_text(r, "user");
	char key[TEXT_MAX];
	json_t *o;

	if (user.len > 0 && !is_same(user, v->user))
		return true;
	snprintf(key, sizeof(key), "%.*s/%.*s/%d", (int)v->user.len, (const char *)v->user.ptr,
		(int)v->job.len, (const char *)v->job.ptr, (int)v->klass);
	if ((o = json_object_get(r->sums, key)) == NULL) {
		o = json_pack("{s:o,s:o,s:s,s:I,s:I,s:I}", "user", ctl_blob(v->user), "job", ctl_blob(v->job),
			"class", queue_class_text(v->klass), "user_weight", (json_int_t)v->user_weight,
			"weight", (json_int_t)v->weight, "transactions", (json_int_t)v->transactions);
		set_reason(r, o, &v->reason);
		(void)json_object_set_new_nocheck(r->sums, key, o);
	}
	add_to(o, "ready", v->ready);
	add_to(o, "waiting", v->waiting);
	add_to(o, "leased", v->leased);
	add_to(o, "held", v->held);
	add_to(o, "recipients", v->ready + v->waiting + v->leased + v->held);
	return true;
}

static void
walk_streams(struct ctl_table *t)
{
	const char *key;
	json_t *o;

	queue_sched_walk_streams(sched_of(t->r), &t->position, on_stream, t);
	if (!t->position.is_end)
		return;
	t->rows = json_object_size(t->r->sums);
	json_object_foreach(t->r->sums, key, o)
	{
		uint64_t weight = (uint64_t)integer(o, "recipients");

		/* Without a limit they are many, and sent in portions. */
		if (t->limit == 0)
			(void)json_array_append(t->r->part, o);
		else if (ctl_table_wants(t, weight))
			ctl_table_keep(t, weight, json_incref(o));
	}
}

bool
ctl_streams(struct ctl_request *r)
{
	if ((r->sums = json_object()) == NULL)
		return ctl_error(r, "out of memory");
	return begin_table(r, walk_streams, "streams");
}

/* --- limits --- */

/* Who is waited for most; of the others, who is nearest to its end. */
static uint64_t
limit_weight(const struct queue_limit_view *v)
{
	return (uint64_t)v->waiters * 1001 +
	       (uint64_t)((__int128)(v->rate.count - v->left) * 1000 / v->rate.count);
}

static bool
on_limit(void *arg, const struct queue_limit_view *v)
{
	struct ctl_table *t = arg;
	const char *level = ctl_arg(t->r, "level");
	json_t *o, *override;

	if (level[0] != '\0' && strcmp(level, ctl_levels[v->level]) != 0)
		return true;
	t->rows++;
	if (!ctl_table_wants(t, limit_weight(v)))
		return true;
	o = json_pack("{s:s,s:o,s:o,s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "level", ctl_levels[v->level], "name",
		ctl_level_name(v->level, v->name, v->klass), "source", ctl_blob(v->source), "unit",
		ctl_units[v->unit], "limit", (json_int_t)v->rate.count, "per_us", (json_int_t)v->rate.per_us,
		"used", (json_int_t)v->used, "left", (json_int_t)v->left, "until_us", (json_int_t)v->until_us,
		"waiters", (json_int_t)v->waiters);
	override = ctl_override_of(t->r, v->level, v->source, json_text(json_object_get(o, "name")),
		override_setting_of(v->unit, v->rate.per_us > 0));
	if (override != NULL)
		set(o, "override", override);
	ctl_table_keep(t, limit_weight(v), o);
	return true;
}

static void
walk_limits(struct ctl_table *t)
{
	queue_sched_walk_limits(sched_of(t->r), &t->position, on_limit, t);
}

bool
ctl_limits(struct ctl_request *r)
{
	const char *level = ctl_arg(r, "level");
	size_t i;

	for (i = 0; i < QUEUE_LEVEL_COUNT && strcmp(level, ctl_levels[i]) != 0; i++)
		;
	if (level[0] != '\0' && i == QUEUE_LEVEL_COUNT)
		return ctl_error(r, "--level takes lane, site, source, pool, stream, user or all");
	return begin_table(r, walk_limits, "limits");
}

/* --- sources --- */

/* Without a pool "default" the first source is it. */
static json_t *
pools_of(const struct conf *c, size_t source)
{
	json_t *pools = json_array();
	size_t i, k;

	if (source == 0 && conf_pool_find(c, "default", 7) < 0)
		(void)json_array_append_new(pools, json_pack("{s:s,s:i}", "pool", "default", "weight", 1));
	for (i = 0; i < c->pool_count; i++)
		for (k = 0; k < c->pools[i].sources.count; k++)
			if (c->pools[i].source_index[k] == source)
				(void)json_array_append_new(
					pools, json_pack("{s:s,s:I}", "pool", c->pools[i].name, "weight",
						       (json_int_t)c->pools[i].source_weight[k]));
	return pools;
}

/* Its own names: a source that is paused, or at its limit, may be degraded or down too. */
static void
set_state(const struct ctl_request *r, json_t *o, uint32_t number)
{
	static const char *const states[] = {
		[SOURCE_UP] = "up", [SOURCE_DEGRADED] = "degraded", [SOURCE_DOWN] = "down"};
	struct source_view v;

	dispatch_source_view(r->app->dispatch, number, &v);
	set(o, "state", json_string(states[v.state]));
	set(o, "state_since_us", json_integer((json_int_t)v.since_us));
	set(o, "next_probe_us", json_integer(v.next_us == INT64_MAX ? 0 : (json_int_t)v.next_us));
	set(o, "problem", plain_text(v.why));
}

static void
source_row(struct ctl_request *r, uint32_t number, const struct conf *c, size_t at)
{
	const struct conf_source *s = &c->sources[at];
	json_t *addresses = json_array(), *o;
	struct queue_source_view v;
	size_t i;

	queue_sched_source_view(sched_of(r), number, &v);
	for (i = 0; i < s->address.count; i++)
		(void)json_array_append_new(addresses, json_string(s->address.items[i]));
	o = json_pack("{s:o,s:s,s:o,s:I,s:I}", "addresses", addresses, "ehlo",
		s->ehlo[0] != '\0' ? s->ehlo : c->hostname, "pools", pools_of(c, at), "sessions",
		(json_int_t)v.sessions, "connections_max", (json_int_t)v.connections_max);
	set_reason(r, o, &v.reason);
	set_state(r, o, number);
	set(o, "at", json_string(s->at));
	ctl_row(r, o);
}

/* The schedule's numbers also have names that a reload took away. */
static bool
sources_step(struct ctl_request *r)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);
	const char *name;
	int at;

	for (; (name = dispatch_source_name(r->app->dispatch, (uint32_t)r->at))[0] != '\0'; r->at++) {
		if (json_array_size(r->frames) >= PORTION)
			return false;
		if ((at = conf_source_find(c, name, strnlen(name, QUEUE_NAME_MAX))) >= 0)
			source_row(r, (uint32_t)r->at, c, (size_t)at);
	}
	ctl_summary(r, json_pack("{s:I,s:I}", "sources", ctl_number(c->source_count), "now_us",
			       (json_int_t)clock_now(r->app->clock)));
	return true;
}

bool
ctl_sources(struct ctl_request *r)
{
	r->run = sources_step;
	return sources_step(r);
}
