/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same questions that a turn asks (queue_sched_order.c), in the same order, asked without taking
 * anything.
 */
#include "queue_sched_why.h"

#include "queue_retry.h"
#include "queue_sched_int.h"

#include <string.h>

enum { WAITERS_COUNTED = 10000 };

static const struct queue_blob nothing = {"", 0};

static struct queue_blob
site_name(const struct sched_site *site)
{
	return (struct queue_blob){site->name, site->name_len};
}

/* --- gates --- */

/* Up to the zero, and behind it. */
static struct queue_blob
gate_name(const struct sched_gate *g, bool second)
{
	const char *zero = memchr(g->name, '\0', g->name_len);
	size_t len = (size_t)(zero - g->name);

	return second ? (struct queue_blob){zero + 1, g->name_len - len - 1}
		      : (struct queue_blob){g->name, len};
}

static void
name_gate(const struct sched_gate *g, struct queue_reason *out)
{
	out->level = (enum queue_level)g->level;
	out->name = gate_name(g, false);
}

/* Which of its meters lets the next one through last. */
static void
gate_reason(const struct queue_sched *q, const struct sched_gate *g, enum sched_want want,
	struct queue_reason *out)
{
	int64_t latest_us = 0, ready_us;
	uint32_t i;

	name_gate(g, out);
	if (g->warm != NULL) {
		out->why = QUEUE_WHY_WARMUP;
		out->until_us = sched_warm_ready_us(
			(struct queue_sched *)(uintptr_t)q, (struct sched_gate *)(uintptr_t)g);
		return;
	}
	if (sched_gate_is_full(g) && (want == SCHED_WANT_CONNECTION || g->level == QUEUE_LEVEL_STREAM ||
					     g->level == QUEUE_LEVEL_USER)) {
		out->why = QUEUE_WHY_CONNECTIONS;
		out->count = g->connections;
		return;
	}
	for (i = 0; i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if ((m->unit == QUEUE_UNIT_CONNECTIONS) != (want == SCHED_WANT_CONNECTION))
			continue;
		ready_us = queue_meter_ready_us(m, q->now_us, sched_gate_reserve(q, g, m->rate.count, false));
		if (ready_us <= latest_us)
			continue;
		latest_us = ready_us;
		out->why = ready_us == INT64_MAX ? QUEUE_WHY_DISK : QUEUE_WHY_RATE;
		out->unit = (enum queue_unit)m->unit;
		out->rate = m->rate;
		out->until_us = ready_us;
	}
}

static bool
is_shut(const struct queue_sched *q, const struct sched_gate *g, enum sched_want want,
	struct queue_reason *out)
{
	if (sched_gate_lets(q, g, want, false))
		return false;
	gate_reason(q, g, want, out);
	return true;
}

/* --- lanes, flows, cells --- */

static void
pause_reason(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source,
	struct queue_reason *out)
{
	out->why = QUEUE_WHY_PAUSED;
	out->name = name;
	sched_pause_view(q, kind, name, source, &out->until_us, &out->reason);
}

static void
lane_reason(struct queue_sched *q, struct queue_lane *lane, struct queue_reason *out)
{
	struct sched_gate *gates[] = {lane->gate, lane->profile_gate, lane->warm_gate, lane->site->gate,
		sched_source(q, lane->source)->gate, q->gate};
	const size_t count = sizeof(gates) / sizeof(gates[0]);
	size_t i;

	out->source = lane->source;
	if (lane->site->is_paused) {
		pause_reason(q, QUEUE_PAUSE_SITE, site_name(lane->site), 0, out);
		return;
	}
	if (lane->is_source_paused) {
		pause_reason(q, QUEUE_PAUSE_SOURCE, nothing, lane->source, out);
		return;
	}
	if (sched_lane_is_stopped(lane)) {
		out->why = QUEUE_WHY_RULE;
		out->until_us = lane->recovery.until_us;
		out->reason = sched_text_blob(lane->why != NULL ? lane->why : lane->site->why);
		return;
	}
	for (i = 0; i < count; i++)
		if (is_shut(q, gates[i], SCHED_WANT_MAIL, out))
			return;
	if (!queue_link_is_alone(&lane->idle) || !queue_link_is_alone(&lane->half))
		return;
	out->count = lane->sessions;
	if (lane->wait_until_us > q->now_us) {
		out->why = QUEUE_WHY_BACKOFF;
		out->until_us = lane->wait_until_us;
		out->reason = sched_text_blob(lane->site->why);
	} else if (lane->opening > 0) {
		out->why = QUEUE_WHY_OPENING;
		out->count = lane->opening;
	} else if (lane->starved_state != SCHED_FED) {
		out->why = QUEUE_WHY_TOTAL;
	} else if (lane->sessions >= sched_lane_connections(lane)) {
		out->why = QUEUE_WHY_BUSY;
	} else {
		for (i = 0; i < count; i++)
			if (is_shut(q, gates[i], SCHED_WANT_CONNECTION, out))
				return;
	}
}

/* Why nothing of the flow goes: of its lanes, the one that may be first. */
static void
flow_reason(struct queue_sched *q, const struct sched_flow *f, struct queue_reason *out)
{
	const struct sched_way *way = f->way;
	const struct queue_reason empty = *out;
	struct sched_gate *gates[] = {f->stream->gate, f->stream->user->gate,
		(way->choice & SCHED_ONE_SOURCE) == 0 ? sched_pool(q, way->choice)->gate : NULL};
	uint32_t i;

	for (i = 0; i < sizeof(gates) / sizeof(gates[0]); i++)
		if (is_shut(q, gates[i], SCHED_WANT_MAIL, out))
			return;
	for (i = 0; i < way->option_count; i++) {
		struct queue_reason r = empty;

		r.source = way->options[i].source;
		if (way->options[i].lane != NULL)
			lane_reason(q, way->options[i].lane, &r);
		if (r.why == QUEUE_WHY_GOING) {
			*out = r;
			return;
		}
		if (i == 0 || (r.until_us != 0 && (out->until_us == 0 || r.until_us < out->until_us)))
			*out = r;
	}
}

static void
stream_pause_reason(struct queue_sched *q, const struct sched_stream *s, struct queue_reason *out)
{
	struct queue_pause_view v;
	int kind;

	for (kind = 0; kind < QUEUE_PAUSE_KINDS; kind++)
		if (sched_stream_pause_view(q, s, (enum queue_pause_kind)kind, &v)) {
			out->why = QUEUE_WHY_PAUSED;
			out->name = v.name;
			out->reason = v.reason;
			out->until_us = v.until_us;
			return;
		}
}

static void
ready_reason(struct queue_sched *q, const struct sched_cell *cell, struct queue_reason *out)
{
	const struct sched_domain *d = cell->domain;
	const struct sched_stream *s = cell->stream;

	if (q->is_paused)
		pause_reason(q, QUEUE_PAUSE_ALL, nothing, 0, out);
	else if (d->is_paused)
		pause_reason(q, QUEUE_PAUSE_DOMAIN, (struct queue_blob){d->name, d->name_len}, 0, out);
	else if (s->paused != 0)
		stream_pause_reason(q, s, out);
	else if (cell->flow != NULL)
		flow_reason(q, cell->flow, out);
	else {
		out->why = QUEUE_WHY_ROUTE;
		out->until_us = d->is_resolving ? 0 : d->until_us;
		out->reason = sched_text_blob(d->why);
	}
}

static const struct queue_reason no_reason = {
	.why = QUEUE_WHY_GOING, .source = UINT32_MAX, .name = {"", 0}, .reason = {"", 0}};

static bool
cell_reasons(struct queue_sched *q, struct sched_cell *cell, queue_sched_visit_reason *visit, void *arg)
{
	struct queue_reason r = no_reason;

	if (cell->counts[SCHED_READY] + cell->counts[SCHED_LEASED] > 0) {
		r.rcpts = cell->counts[SCHED_READY] + cell->counts[SCHED_LEASED];
		if (cell->counts[SCHED_READY] > 0)
			ready_reason(q, cell, &r);
		if (!visit(arg, &r))
			return false;
	}
	if (cell->counts[SCHED_WAITING] > 0) {
		r = no_reason;
		r.why = QUEUE_WHY_RETRY;
		r.rcpts = cell->counts[SCHED_WAITING];
		r.until_us = sched_cell_next_us(cell);
		r.reason = sched_text_blob(cell->domain->reply);
		if (!visit(arg, &r))
			return false;
	}
	if (cell->counts[SCHED_HELD] > 0) {
		r = no_reason;
		r.why = QUEUE_WHY_HELD;
		r.rcpts = cell->counts[SCHED_HELD];
		return visit(arg, &r);
	}
	return true;
}

bool
queue_sched_why_domain(
	struct queue_sched *q, struct queue_blob domain, queue_sched_visit_reason *visit, void *arg)
{
	struct sched_domain *d = sched_domain_find(q, domain);
	struct queue_link *l;

	if (d == NULL)
		return false;
	for (l = d->cells.next; l != &d->cells; l = l->next)
		if (!cell_reasons(q, QUEUE_OF(l, struct sched_cell, of_domain), visit, arg))
			break;
	return true;
}

static uint64_t
lane_ready(const struct queue_lane *lane)
{
	struct queue_link *l;
	uint64_t ready = 0;

	for (l = lane->options.next; l != &lane->options; l = l->next)
		ready += QUEUE_OF(l, struct sched_option, of_lane)->way->ready;
	return ready;
}

static void
lane_view(struct queue_sched *q, struct queue_lane *lane, struct queue_lane_view *out)
{
	*out = (struct queue_lane_view){
		.site = site_name(lane->site),
		.source = lane->source,
		.sessions = lane->sessions,
		.opening = lane->opening,
		.busy = lane->busy,
		.connections_max = sched_lane_connections(lane),
		.ready = lane_ready(lane),
		.reason = no_reason,
	};
	lane_reason(q, lane, &out->reason);
	out->reason.rcpts = out->ready;
}

bool
queue_sched_why_site(
	struct queue_sched *q, struct queue_blob site, queue_sched_visit_reason *visit, void *arg)
{
	struct sched_site *s = sched_site_find(q, site);
	struct queue_link *l;

	if (s == NULL)
		return false;
	for (l = s->lanes.next; l != &s->lanes; l = l->next) {
		struct queue_lane_view v;

		lane_view(q, QUEUE_OF(l, struct queue_lane, of_site), &v);
		if (!visit(arg, &v.reason))
			break;
	}
	return true;
}

/* --- tables --- */

struct viewer {
	struct queue_sched *q;
	queue_sched_visit_lane *on_lane;
	queue_sched_visit_stream *on_stream;
	queue_sched_visit_limit *on_limit;
	void *arg;
};

static bool
show_lane(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	struct queue_lane_view out;

	lane_view(v->q, QUEUE_OF(n, struct queue_lane, node), &out);
	return v->on_lane(v->arg, &out);
}

void
queue_sched_walk_lanes(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_lane *visit, void *arg)
{
	struct viewer v = {.q = q, .on_lane = visit, .arg = arg};

	sched_walk_table(&q->lanes, walk, show_lane, &v);
}

static bool
show_stream(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	const struct sched_stream *s = QUEUE_OF(n, struct sched_stream, node);
	struct queue_stream_view out = {
		.user = {s->names, s->user_len},
		.job = {s->names + s->user_len, s->job_len},
		.klass = (enum queue_class)s->klass,
		.weight = s->weight,
		.transactions = s->transactions,
		.is_paused = s->paused != 0,
	};
	const struct queue_link *l;

	for (l = s->cells.next; l != &s->cells; l = l->next) {
		const struct sched_cell *cell = QUEUE_OF(l, struct sched_cell, of_stream);

		out.ready += cell->counts[SCHED_READY];
		out.waiting += cell->counts[SCHED_WAITING];
		out.leased += cell->counts[SCHED_LEASED];
		out.held += cell->counts[SCHED_HELD];
	}
	return v->on_stream(v->arg, &out);
}

void
queue_sched_walk_streams(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_stream *visit, void *arg)
{
	struct viewer v = {.q = q, .on_stream = visit, .arg = arg};

	sched_walk_table(&q->streams, walk, show_stream, &v);
}

static uint32_t
count_waiters(const struct sched_gate *g)
{
	const struct queue_link *l;
	uint32_t count = 0;
	int want;

	for (want = 0; want < SCHED_WANTS; want++)
		for (l = g->waiters[want].next; l != &g->waiters[want] && count < WAITERS_COUNTED;
			l = l->next)
			count++;
	return count;
}

static bool
show_limit(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	const struct sched_gate *g = QUEUE_OF(n, struct sched_gate, node);
	struct queue_limit_view out = {.level = (enum queue_level)g->level,
		.name = gate_name(g, false),
		.source = gate_name(g, true),
		.waiters = count_waiters(g)};
	int64_t now_us = v->q->now_us;
	uint32_t i;

	if (g->connections_max > 0) {
		out.unit = QUEUE_UNIT_CONNECTIONS;
		out.connections_max = g->connections_max;
		out.used = g->connections;
		if (!v->on_limit(v->arg, &out))
			return false;
		out.connections_max = 0;
	}
	for (i = 0; i < g->meter_count && g->refs > 0; i++) {
		const struct queue_meter *m = &g->meters[i];
		bool is_long = queue_rate_is_long(&m->rate);

		out.unit = (enum queue_unit)m->unit;
		out.rate = m->rate;
		out.used = is_long && !queue_meter_is_over(m, now_us) ? m->used : 0;
		out.until_us = queue_meter_ready_us(m, now_us, 0);
		if (is_long)
			out.until_us = queue_meter_is_over(m, now_us)
					       ? 0
					       : queue_retry_add(m->at_us, m->rate.per_us);
		if (!v->on_limit(v->arg, &out))
			return false;
	}
	return true;
}

void
queue_sched_walk_limits(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_limit *visit, void *arg)
{
	struct viewer v = {.q = q, .on_limit = visit, .arg = arg};

	sched_walk_table(&q->gates, walk, show_limit, &v);
}

uint32_t
queue_sched_source_sessions(const struct queue_sched *q, uint32_t source)
{
	return source < q->source_count ? q->sources[source].sessions : 0;
}
