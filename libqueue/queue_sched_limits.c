/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which limits hold for what: the settings, brought to the gates of lanes, sites, sources, pools, streams,
 * users and all.
 *
 * Invariant: what exists has its gate, unless queue_sched.lacks_limits; then next() orders nothing until
 * there is memory for them: a limit is not forgotten because it cannot be kept.
 */
#include "queue_sched_int.h"

#include <assert.h>
#include <string.h>

static const struct queue_blob nothing = {"", 0};

struct queue_blob
sched_source_name(const struct queue_sched *q, uint32_t source)
{
	return source < q->conf.source_count ? q->conf.sources[source].name : nothing;
}

static const struct queue_policy *
site_policy(const struct queue_sched *q, const struct sched_site *site)
{
	return q->conf.policy(q->conf.arg, nothing, (struct queue_blob){site->name, site->name_len});
}

void
sched_lane_find_own(struct queue_sched *q, struct queue_lane *lane)
{
	struct queue_blob site = {lane->site->name, lane->site->name_len};

	lane->own = q->conf.lane != NULL ? q->conf.lane(q->conf.arg, site, lane->source) : NULL;
}

bool
sched_lane_set_limits(struct queue_sched *q, struct queue_lane *lane)
{
	const struct queue_policy *p = site_policy(q, lane->site);
	const struct sched_gate_spec spec = {
		.level = QUEUE_LEVEL_LANE,
		.a = {lane->site->name, lane->site->name_len},
		.b = sched_source_name(q, lane->source),
		.limits = lane->own != NULL ? lane->own->limits : p->lane,
		.urgent_percent = p->urgent_percent,
		.connections = lane->sessions,
	};

	return sched_gate_set(q, &lane->gate, &spec) && sched_lane_set_profile_limits(q, lane) &&
	       sched_lane_set_warmup(q, lane);
}

bool
sched_site_set_limits(struct queue_sched *q, struct sched_site *site)
{
	const struct queue_policy *p = site_policy(q, site);
	const struct sched_gate_spec spec = {
		.level = QUEUE_LEVEL_SITE,
		.a = {site->name, site->name_len},
		.b = nothing,
		.limits = p->site,
		.urgent_percent = p->urgent_percent,
		.connections = site->sessions,
	};

	site->quiet_until_us = 0;
	return sched_gate_set(q, &site->gate, &spec);
}

bool
sched_site_is_quiet(struct queue_sched *q, struct sched_site *site)
{
	const struct queue_hours *hours;

	if (q->now_us < site->quiet_until_us)
		return site->is_quiet;
	hours = site_policy(q, site)->hours;
	site->quiet_until_us = INT64_MAX;
	site->is_quiet = hours != NULL && queue_hours_quiet(hours, q->now_us, &site->quiet_until_us);
	return site->is_quiet;
}

bool
sched_stream_set_limits(struct queue_sched *q, struct sched_stream *s)
{
	struct queue_stream_policy p = {.weight = 1, .user_weight = 1};
	struct queue_limits slow;
	struct queue_blob user = {s->names, s->user_len}, job = {s->names + s->user_len, s->job_len};
	/* The class is part of the name; the job cannot end with it, for no job has control characters. */
	struct sched_gate_spec spec = {.level = QUEUE_LEVEL_STREAM, .connections = s->transactions};
	char name[2 * SCHED_NAME_MAX + 2];

	if (q->conf.stream != NULL)
		q->conf.stream(q->conf.arg, user, job, (enum queue_class)s->klass, &p);
	assert(p.weight > 0 && p.user_weight > 0);
	s->weight = p.weight;
	s->user->weight = p.user_weight;
	assert((size_t)s->user_len + s->job_len + 2 <= sizeof(name));
	memcpy(name, s->names, s->user_len);
	name[s->user_len] = '/';
	memcpy(name + s->user_len + 1, job.ptr, job.len);
	name[s->user_len + 1 + s->job_len] = (char)('0' + s->klass);
	spec.a = (struct queue_blob){name, (size_t)s->user_len + s->job_len + 2};
	spec.b = nothing;
	spec.limits = sched_guard_limits(s->guard, p.limits, &slow);
	if (!sched_gate_set(q, &s->gate, &spec))
		return false;
	spec = (struct sched_gate_spec){.level = QUEUE_LEVEL_USER,
		.a = user,
		.b = nothing,
		.limits = sched_guard_limits(s->user->guard, p.user_limits, &slow),
		.connections = s->user->transactions};
	if (!sched_gate_set(q, &s->user->gate, &spec))
		return false;
	sched_user_look(q, s->user);
	return true;
}

struct sched_share *
sched_source(struct queue_sched *q, uint32_t source)
{
	assert(source < q->source_count);
	return &q->sources[source];
}

struct sched_share *
sched_pool(struct queue_sched *q, uint32_t pool)
{
	assert(pool < q->pool_count);
	return &q->pools[pool];
}

/* --- what is used --- */

void
sched_gates_of(struct queue_sched *q, const struct queue_lane *lane, uint32_t pool,
	const struct sched_cell *cell, struct sched_gate *gates[SCHED_GATES])
{
	const struct sched_stream *s = cell != NULL ? cell->stream : NULL;

	gates[SCHED_GATE_LANE] = lane->gate;
	gates[SCHED_GATE_PROFILE] = lane->profile_gate;
	gates[SCHED_GATE_SITE] = lane->site->gate;
	gates[SCHED_GATE_SOURCE] = sched_source(q, lane->source)->gate;
	gates[SCHED_GATE_POOL] = sched_pool(q, pool)->gate;
	gates[SCHED_GATE_ALL] = q->gate;
	gates[SCHED_GATE_WARM] = lane->warm_gate;
	gates[SCHED_GATE_STREAM] = s != NULL ? s->gate : NULL;
	gates[SCHED_GATE_USER] = s != NULL ? s->user->gate : NULL;
	gates[SCHED_GATE_SENDER] = cell != NULL && cell->flow != NULL ? cell->flow->warm_gate : NULL;
}

void
sched_limits_leased(
	struct queue_sched *q, struct queue_lease *l, struct queue_lane *lane, const struct sched_cell *cell)
{
	struct sched_stream *s = cell->stream;
	struct sched_gate *gates[SCHED_GATES];
	int i;

	assert(s != NULL);
	sched_gates_of(q, lane, l->pool, cell, gates);
	l->taken_us = q->now_us;
	for (i = 0; i < SCHED_GATES; i++) {
		sched_gate_take(q, gates[i], QUEUE_UNIT_MESSAGES, 1);
		sched_gate_take(q, gates[i], QUEUE_UNIT_RECIPIENTS, l->count);
		sched_gate_take(q, gates[i], QUEUE_UNIT_BYTES, l->message->body_bytes);
	}
	sched_warm_lease(q, &l->warm_gates[0], gates[SCHED_GATE_WARM], l->count);
	sched_warm_lease(q, &l->warm_gates[1], gates[SCHED_GATE_SENDER], l->count);
	s->transactions++;
	s->user->transactions++;
	sched_gate_connected(q, s->gate, 1);
	sched_gate_connected(q, s->user->gate, 1);
	sched_user_look(q, s->user);
}

/* What becomes of a place in the day of what is new. A reply that is about the recipient or the message
 * alone, greylisting among them, says nothing of the source or sender domain. */
static enum queue_warmup_outcome
outcome_of(const struct queue_verdict *v)
{
	switch (v->kind) {
	case QUEUE_VERDICT_DELIVERED:
		return QUEUE_WARMUP_DELIVERED;
	case QUEUE_VERDICT_UNCERTAIN:
		return QUEUE_WARMUP_UNCERTAIN;
	case QUEUE_VERDICT_FAILED:
		if (v->blame == QUEUE_BLAME_NOBODY)
			return QUEUE_WARMUP_UNTRIED;
		return v->blame == QUEUE_BLAME_US ? QUEUE_WARMUP_BLOCKED : QUEUE_WARMUP_BOUNCED;
	case QUEUE_VERDICT_LATER:
		if (v->blame == QUEUE_BLAME_US)
			return QUEUE_WARMUP_BLOCKED;
		return v->signal == QUEUE_SIGNAL_SLOWER || v->signal == QUEUE_SIGNAL_CROWDED
			       ? QUEUE_WARMUP_DEFERRED
			       : QUEUE_WARMUP_UNTRIED;
	case QUEUE_VERDICT_RETURN:
	case QUEUE_VERDICT_EXPIRED:
	case QUEUE_VERDICT_DROPPED:
		break;
	}
	return QUEUE_WARMUP_UNTRIED;
}

void
sched_limits_settled(struct queue_sched *q, struct queue_lease *l, const struct sched_cell *cell,
	const struct queue_verdict *v)
{
	enum queue_verdict_kind kind = v->kind;
	struct sched_stream *s = cell->stream;
	bool counts = kind != QUEUE_VERDICT_RETURN &&
		      (!q->conf.counts_deliveries || kind == QUEUE_VERDICT_DELIVERED);
	struct sched_gate *gates[SCHED_GATES];
	int i;

	assert(s != NULL);
	sched_gates_of(q, l->session->lane, l->pool, cell, gates);
	l->counted += counts;
	for (i = 0; i < SCHED_WARMUPS; i++)
		if (l->warm_gates[i] != NULL)
			sched_warm_settle(q, l->warm_gates[i], outcome_of(v));
	for (i = 0; i < SCHED_GATES && !counts; i++)
		sched_gate_give_back(q, gates[i], QUEUE_UNIT_RECIPIENTS, l->taken_us, 1);
	if (!counts)
		sched_user_look(q, s->user);
	if (l->open > 0)
		return;
	for (i = 0; i < SCHED_WARMUPS; i++)
		sched_gate_release(q, &l->warm_gates[i]);
	for (i = 0; i < SCHED_GATES && l->counted == 0; i++) {
		sched_gate_give_back(q, gates[i], QUEUE_UNIT_MESSAGES, l->taken_us, 1);
		sched_gate_give_back(q, gates[i], QUEUE_UNIT_BYTES, l->taken_us, l->message->body_bytes);
	}
	assert(s->transactions > 0 && s->user->transactions > 0);
	s->transactions--;
	s->user->transactions--;
	sched_gate_connected(q, s->gate, -1);
	sched_gate_connected(q, s->user->gate, -1);
}

void
sched_limits_connected(struct queue_sched *q, struct queue_lane *lane, uint32_t pool, int by)
{
	struct sched_gate *gates[SCHED_GATES];
	int i;

	lane->sessions += (uint32_t)by;
	lane->site->sessions += (uint32_t)by;
	sched_source(q, lane->source)->sessions += (uint32_t)by;
	sched_pool(q, pool)->sessions += (uint32_t)by;
	q->session_count += (uint32_t)by;
	sched_gates_of(q, lane, pool, NULL, gates);
	for (i = 0; i < SCHED_GATES_CONNECTED; i++) {
		sched_gate_connected(q, gates[i], by);
		if (by > 0)
			sched_gate_take(q, gates[i], QUEUE_UNIT_CONNECTIONS, 1);
	}
}

/* --- all of them --- */

static bool
shares_grow(struct queue_sched *q, struct sched_share **shares, uint32_t *count, uint32_t to)
{
	struct sched_share *fresh;

	if (to <= *count)
		return true;
	if ((fresh = sched_alloc(q, to * sizeof(*fresh))) == NULL)
		return false;
	if (*count > 0) {
		memcpy(fresh, *shares, *count * sizeof(*fresh));
		sched_free(q, *shares, *count * sizeof(*fresh));
	}
	*shares = fresh;
	*count = to;
	return true;
}

static bool
apply_shares(struct queue_sched *q)
{
	struct sched_gate_spec spec = {.b = nothing, .urgent_percent = q->conf.urgent_percent};
	uint32_t i;

	for (i = 0; i < q->conf.source_count; i++) {
		spec.level = QUEUE_LEVEL_SOURCE;
		spec.a = q->conf.sources[i].name;
		spec.limits = q->conf.sources[i].limits;
		spec.connections = q->sources[i].sessions;
		if (!sched_gate_set(q, &q->sources[i].gate, &spec))
			return false;
	}
	for (i = 0; i < q->conf.pool_count; i++) {
		spec.level = QUEUE_LEVEL_POOL;
		spec.a = q->conf.pools[i].name;
		spec.limits = q->conf.pools[i].limits;
		spec.connections = q->pools[i].sessions;
		if (!sched_gate_set(q, &q->pools[i].gate, &spec))
			return false;
	}
	spec.level = QUEUE_LEVEL_ALL;
	spec.a = nothing;
	spec.limits = q->conf.limits;
	spec.connections = q->session_count;
	return sched_gate_set(q, &q->gate, &spec);
}

/* Sources and pools that are there may be used by number even if there is no memory for their limits. */
bool
sched_limits_apply(struct queue_sched *q)
{
	struct queue_map_node *n;
	struct queue_link *l;
	bool ok = shares_grow(q, &q->sources, &q->source_count, q->conf.source_count) &&
		  shares_grow(q, &q->pools, &q->pool_count, q->conf.pool_count) && apply_shares(q);

	for (n = queue_map_each(&q->sites, NULL); ok && n != NULL; n = queue_map_each(&q->sites, n))
		ok = sched_site_set_limits(q, QUEUE_OF(n, struct sched_site, node));
	for (n = queue_map_each(&q->lanes, NULL); ok && n != NULL; n = queue_map_each(&q->lanes, n))
		ok = sched_lane_set_limits(q, QUEUE_OF(n, struct queue_lane, node));
	for (l = q->all_streams.next; ok && l != &q->all_streams; l = l->next)
		ok = sched_stream_set_limits(q, QUEUE_OF(l, struct sched_stream, all));
	for (n = queue_map_each(&q->ways, NULL); ok && n != NULL; n = queue_map_each(&q->ways, n))
		ok = sched_way_reconfigure(q, QUEUE_OF(n, struct sched_way, node));
	for (n = queue_map_each(&q->flows, NULL); ok && n != NULL; n = queue_map_each(&q->flows, n))
		ok = sched_flow_set_warmup(q, QUEUE_OF(n, struct sched_flow, node));
	q->lacks_limits = !ok;
	return ok;
}

void
sched_limits_fini(struct queue_sched *q)
{
	uint32_t i;

	for (i = 0; i < q->source_count; i++) {
		sched_gate_release(q, &q->sources[i].gate);
		sched_guard_leave(&q->sources[i].guard);
	}
	for (i = 0; i < q->pool_count; i++)
		sched_gate_release(q, &q->pools[i].gate);
	sched_gate_release(q, &q->gate);
	if (q->sources != NULL)
		sched_free(q, q->sources, q->source_count * sizeof(*q->sources));
	if (q->pools != NULL)
		sched_free(q, q->pools, q->pool_count * sizeof(*q->pools));
}
