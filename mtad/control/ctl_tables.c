/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of destinations: domains, sites, states.
 *
 * The schedule is walked in slices. With a limit only the largest so many are kept, so that the answer about
 * a million domains is short; without one the rows go out as they are found, a portion at a time.
 */
#include "control/ctl_request.h"
#include "queue/dispatch.h"

#include <stdlib.h>
#include <string.h>

enum { TOP_MAX = 1000, PORTION = 64 };

/* Lives in the request's state; the rows kept are in its `part`, in the same order as weights. */
struct table {
	struct ctl_request *r;
	bool (*walk)(struct table *t);
	struct queue_walk position;
	bool by_state;
	size_t limit; /* 0: every row goes out at once */
	size_t least; /* of weights, when all places are taken */
	struct queue_domain_view sum;
	uint64_t rows, waiting_domains, held_domains, leased_domains, paused_domains, unrouted_domains,
		ready_domains;
	uint64_t weights[TOP_MAX];
};

static size_t
least_of(const struct table *t, size_t count)
{
	size_t least = 0, i;

	for (i = 1; i < count; i++)
		if (t->weights[i] < t->weights[least])
			least = i;
	return least;
}

/* Is a row of this weight among the largest so far? */
static bool
wants(const struct table *t, uint64_t weight)
{
	return t->limit == 0 || json_array_size(t->r->part) < t->limit || weight > t->weights[t->least];
}

static void
keep(struct table *t, uint64_t weight, json_t *take_row)
{
	size_t count = json_array_size(t->r->part);

	if (t->limit == 0) {
		ctl_row(t->r, take_row);
		return;
	}
	if (count < t->limit) {
		t->weights[count++] = weight;
		(void)json_array_append_new(t->r->part, take_row);
	} else {
		t->weights[t->least] = weight;
		(void)json_array_set_new(t->r->part, t->least, take_row);
	}
	if (count == t->limit)
		t->least = least_of(t, count);
}

static json_t *
reply_of(struct queue_blob why, struct queue_blob last_reply)
{
	return why.len > 0 ? ctl_blob(why) : ctl_blob(last_reply);
}

/* --- domains --- */

static void
add_up(struct table *t, const struct queue_domain_view *v)
{
	struct queue_domain_view *sum = &t->sum;

	t->rows++;
	sum->ready += v->ready;
	sum->waiting += v->waiting;
	sum->leased += v->leased;
	sum->held += v->held;
	sum->paused += v->paused;
	sum->unrouted += v->unrouted;
	t->ready_domains += v->ready > v->paused + v->unrouted;
	t->waiting_domains += v->waiting > 0;
	t->leased_domains += v->leased > 0;
	t->held_domains += v->held > 0;
	t->paused_domains += v->paused > 0;
	t->unrouted_domains += v->unrouted > 0;
	if (v->next_us != 0 && (sum->next_us == 0 || v->next_us < sum->next_us))
		sum->next_us = v->next_us;
	if (v->oldest_us != 0 && (sum->oldest_us == 0 || v->oldest_us < sum->oldest_us))
		sum->oldest_us = v->oldest_us;
}

static json_t *
counts(const struct queue_domain_view *v)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "recipients",
		ctl_number(v->ready + v->waiting + v->leased + v->held), "ready", ctl_number(v->ready),
		"waiting", ctl_number(v->waiting), "leased", ctl_number(v->leased), "held",
		ctl_number(v->held), "paused", ctl_number(v->paused), "unrouted", ctl_number(v->unrouted),
		"next_us", (json_int_t)v->next_us, "oldest_us", (json_int_t)v->oldest_us);
}

static bool
on_domain(void *arg, const struct queue_domain_view *v)
{
	uint64_t weight = v->ready + v->waiting + v->leased + v->held;
	struct table *t = arg;
	json_t *o;

	if (weight == 0)
		return true;
	add_up(t, v);
	if (t->by_state || !wants(t, weight))
		return true;
	o = counts(v);
	(void)json_object_set_new(o, "domain", ctl_blob(v->domain));
	(void)json_object_set_new(o, "site", ctl_blob(v->site));
	(void)json_object_set_new(o, "is_paused", json_boolean(v->is_paused));
	(void)json_object_set_new(o, "code", json_integer(v->last_code));
	(void)json_object_set_new(o, "reply", reply_of(v->why, v->last_reply));
	keep(t, weight, o);
	return true;
}

static bool
walk_domains(struct table *t)
{
	queue_sched_walk_domains(dispatch_sched(t->r->app->dispatch), &t->position, on_domain, t);
	return t->position.is_end;
}

static void
state_row(struct ctl_request *r, const char *state, uint64_t recipients, uint64_t domains)
{
	ctl_row(r, json_pack("{s:s,s:I,s:I}", "state", state, "recipients", ctl_number(recipients), "domains",
			   ctl_number(domains)));
}

static void
state_rows(const struct table *t)
{
	const struct queue_domain_view *sum = &t->sum;

	state_row(t->r, "ready", sum->ready - sum->paused - sum->unrouted, t->ready_domains);
	state_row(t->r, "unrouted", sum->unrouted, t->unrouted_domains);
	state_row(t->r, "paused", sum->paused, t->paused_domains);
	state_row(t->r, "leased", sum->leased, t->leased_domains);
	state_row(t->r, "waiting", sum->waiting, t->waiting_domains);
	state_row(t->r, "held", sum->held, t->held_domains);
}

/* --- sites --- */

static bool
on_site(void *arg, const struct queue_site_view *v)
{
	uint64_t weight = v->ready + v->sessions;
	struct table *t = arg;
	json_t *o;

	t->rows++;
	t->sum.ready += v->ready;
	if (!wants(t, weight))
		return true;
	o = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:b,s:b}", "site", ctl_blob(v->site), "domains",
		ctl_number(v->domains), "ready", ctl_number(v->ready), "sessions", ctl_number(v->sessions),
		"sessions_ready", ctl_number(v->sessions_ready), "wait_until_us",
		(json_int_t)v->wait_until_us, "is_paused", (int)v->is_paused, "starved", (int)v->is_starved);
	(void)json_object_set_new(o, "reply", reply_of(v->why, v->last_reply));
	keep(t, weight, o);
	return true;
}

static bool
walk_sites(struct table *t)
{
	queue_sched_walk_sites(dispatch_sched(t->r->app->dispatch), &t->position, on_site, t);
	return t->position.is_end;
}

/* --- both --- */

static bool
finish(struct table *t)
{
	struct ctl_request *r = t->r;
	json_t *o = counts(&t->sum), *row;
	size_t i;

	if (t->by_state)
		state_rows(t);
	json_array_foreach(r->part, i, row)
	{
		ctl_row(r, json_incref(row));
	}
	(void)json_object_set_new(
		o, t->walk == walk_sites ? "sites" : "domains", json_integer(ctl_number(t->rows)));
	(void)json_object_set_new(o, "now_us", json_integer((json_int_t)clock_now(r->app->clock)));
	ctl_summary(r, o);
	return true;
}

static bool
step(struct ctl_request *r)
{
	struct table *t = r->state;
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;

	do
		if (t->walk(t))
			return finish(t);
	while (clock_mono(r->app->clock) < until_us && json_array_size(r->frames) < CTL_ROWS);
	return false;
}

static bool
begin(struct ctl_request *r, bool (*walk)(struct table *t))
{
	int64_t limit = ctl_arg_int(r, "limit", 0);
	struct table *t = r->state = calloc(1, sizeof(*t));

	if (t == NULL || (r->part = json_array()) == NULL)
		return ctl_error(r, "out of memory");
	t->r = r;
	t->walk = walk;
	t->position.limit = PORTION;
	t->by_state = strcmp(ctl_arg(r, "by"), "state") == 0;
	t->limit = limit > 0 && limit <= TOP_MAX ? (size_t)limit : 0;
	return step(r);
}

bool
ctl_queue(struct ctl_request *r)
{
	r->run = step;
	return begin(r, walk_domains);
}

bool
ctl_sites(struct ctl_request *r)
{
	r->run = step;
	return begin(r, walk_sites);
}
