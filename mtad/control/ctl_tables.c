/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of destinations: domains, sites, states.
 */
#include "control/ctl_table.h"
#include "queue/dispatch.h"

#include <string.h>

struct table {
	struct ctl_table table; /* first: the request's state is either */
	bool by_state;
	struct queue_domain_view sum;
	uint64_t waiting_domains, held_domains, leased_domains, paused_domains, unrouted_domains,
		quota_domains, ready_domains;
};

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

	t->table.rows++;
	sum->ready += v->ready;
	sum->waiting += v->waiting;
	sum->leased += v->leased;
	sum->held += v->held;
	sum->paused += v->paused;
	sum->unrouted += v->unrouted;
	sum->quota += v->quota;
	t->ready_domains += v->ready > v->paused + v->unrouted + v->quota;
	t->waiting_domains += v->waiting > 0;
	t->leased_domains += v->leased > 0;
	t->held_domains += v->held > 0;
	t->paused_domains += v->paused > 0;
	t->unrouted_domains += v->unrouted > 0;
	t->quota_domains += v->quota > 0;
	if (v->next_us != 0 && (sum->next_us == 0 || v->next_us < sum->next_us))
		sum->next_us = v->next_us;
	if (v->oldest_us != 0 && (sum->oldest_us == 0 || v->oldest_us < sum->oldest_us))
		sum->oldest_us = v->oldest_us;
}

static json_t *
counts(const struct queue_domain_view *v)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "recipients",
		ctl_number(v->ready + v->waiting + v->leased + v->held), "ready", ctl_number(v->ready),
		"waiting", ctl_number(v->waiting), "leased", ctl_number(v->leased), "held",
		ctl_number(v->held), "paused", ctl_number(v->paused), "unrouted", ctl_number(v->unrouted),
		"quota", ctl_number(v->quota), "next_us", (json_int_t)v->next_us, "oldest_us",
		(json_int_t)v->oldest_us);
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
	if (t->by_state || !ctl_table_wants(&t->table, weight))
		return true;
	o = counts(v);
	(void)json_object_set_new(o, "domain", ctl_blob(v->domain));
	(void)json_object_set_new(o, "site", ctl_blob(v->site));
	(void)json_object_set_new(o, "is_paused", json_boolean(v->is_paused));
	(void)json_object_set_new(o, "code", json_integer(v->last_code));
	(void)json_object_set_new(o, "reply", reply_of(v->why, v->last_reply));
	ctl_table_keep(&t->table, weight, o);
	return true;
}

static void
walk_domains(struct ctl_table *t)
{
	queue_sched_walk_domains(dispatch_sched(t->r->app->dispatch), &t->position, on_domain, t);
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

	state_row(
		t->table.r, "ready", sum->ready - sum->paused - sum->unrouted - sum->quota, t->ready_domains);
	state_row(t->table.r, "quota", sum->quota, t->quota_domains);
	state_row(t->table.r, "unrouted", sum->unrouted, t->unrouted_domains);
	state_row(t->table.r, "paused", sum->paused, t->paused_domains);
	state_row(t->table.r, "leased", sum->leased, t->leased_domains);
	state_row(t->table.r, "waiting", sum->waiting, t->waiting_domains);
	state_row(t->table.r, "held", sum->held, t->held_domains);
}

/* --- sites --- */

static bool
on_site(void *arg, const struct queue_site_view *v)
{
	uint64_t weight = v->ready + v->sessions;
	struct table *t = arg;
	json_t *o;

	t->table.rows++;
	t->sum.ready += v->ready;
	if (!ctl_table_wants(&t->table, weight))
		return true;
	o = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b}", "site", ctl_blob(v->site), "domains",
		ctl_number(v->domains), "ready", ctl_number(v->ready), "sessions", ctl_number(v->sessions),
		"sessions_ready", ctl_number(v->sessions_ready), "delivered_per_hour",
		ctl_number(v->delivered_per_hour), "wait_until_us", (json_int_t)v->wait_until_us, "is_paused",
		(int)v->is_paused, "starved", (int)v->is_starved);
	(void)json_object_set_new(o, "reply", reply_of(v->why, v->last_reply));
	ctl_table_keep(&t->table, weight, o);
	return true;
}

static void
walk_sites(struct ctl_table *t)
{
	queue_sched_walk_sites(dispatch_sched(t->r->app->dispatch), &t->position, on_site, t);
}

/* --- both --- */

static json_t *
summary(struct ctl_table *ct)
{
	struct table *t = (struct table *)ct;

	if (t->by_state)
		state_rows(t);
	return counts(&t->sum);
}

bool
ctl_queue(struct ctl_request *r)
{
	struct table *t = ctl_table_create(r, sizeof(*t));

	if (t == NULL)
		return ctl_error(r, "out of memory");
	t->table.walk = walk_domains;
	t->table.summary = summary;
	t->table.noun = "domains";
	t->by_state = strcmp(ctl_arg(r, "by"), "state") == 0;
	return ctl_table_step(r);
}

bool
ctl_sites(struct ctl_request *r)
{
	struct table *t = ctl_table_create(r, sizeof(*t));

	if (t == NULL)
		return ctl_error(r, "out of memory");
	t->table.walk = walk_sites;
	t->table.summary = summary;
	t->table.noun = "sites";
	return ctl_table_step(r);
}
