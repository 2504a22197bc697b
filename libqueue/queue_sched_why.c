/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same questions that a turn asks (queue_sched_order.c), in the same order, asked without taking
 * anything. Where a turn has left its answer behind (a lane that is not able, a way that waits), that is
 * what is told, so that no rule stands here a second time.
 */
#include "queue_sched_why.h"

#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <string.h>

static const struct queue_blob nothing = {"", 0};
static const struct queue_reason no_reason = {.why = QUEUE_WHY_GOING,
	.source = UINT32_MAX,
	.name = {"", 0},
	.sender = {"", 0},
	.reason = {"", 0},
	.site = {"", 0},
	.pool = {"", 0}};

static struct queue_blob
site_name(const struct sched_site *site)
{
	return (struct queue_blob){site->name, site->name_len};
}

/* --- how fast --- */

enum {
	TALLY_ONE = 65536,
	TALLY_HALF_LIFE = 300,   /* seconds */
	TALLY_FADE = 433,        /* a second takes this part of a count: (1 - 1/433)^300 is a half */
	TALLY_SECONDS_MIN = 60,  /* what came in less is taken as come in so long */
	TALLY_HALVINGS_MAX = 40, /* nothing is left */
};
#define LAST_MAX_US (INT64_C(3600) * 1000000)
#define SECOND_US   INT64_C(1000000)

/* The clock may have been set back; then nothing fades. */
static void
tally_fade(struct sched_tally *t, int64_t now_us)
{
	int64_t seconds = now_us > t->at_us ? (now_us - t->at_us) / SECOND_US : 0;
	int i;

	if (t->at_us == 0 || t->at_us > now_us ||
		seconds > INT64_C(1) * TALLY_HALVINGS_MAX * TALLY_HALF_LIFE) {
		*t = (struct sched_tally){
			t->at_us > now_us ? t->rcpts : 0, t->at_us > now_us ? t->seconds : 0, now_us};
		return;
	}
	t->at_us += seconds * SECOND_US;
	for (i = 0; seconds >= TALLY_HALF_LIFE; seconds -= TALLY_HALF_LIFE, i++) {
		t->rcpts /= 2;
		t->seconds = (t->seconds + UINT64_C(1) * TALLY_FADE * TALLY_ONE) / 2;
	}
	for (; seconds > 0; seconds--) {
		t->rcpts -= t->rcpts / TALLY_FADE;
		t->seconds += TALLY_ONE - t->seconds / TALLY_FADE;
	}
}

void
sched_tally_add(struct sched_tally *t, int64_t now_us)
{
	tally_fade(t, now_us);
	t->rcpts += TALLY_ONE;
}

uint64_t
sched_tally_per_hour(const struct sched_tally *t, int64_t now_us)
{
	struct sched_tally now = *t;
	uint64_t least = UINT64_C(1) * TALLY_SECONDS_MIN * TALLY_ONE;

	tally_fade(&now, now_us);
	return now.rcpts * 3600 / (now.seconds > least ? now.seconds : least);
}

/* An eighth of the way towards the last. A clock that was set tells nothing. */
static void
smooth(int64_t *average_us, int64_t last_us)
{
	if (last_us <= 0 || last_us > LAST_MAX_US)
		return;
	*average_us = *average_us == 0 ? last_us : *average_us + (last_us - *average_us) / 8;
	if (*average_us <= 0)
		*average_us = 1;
}

void
sched_session_timed(struct queue_sched *q, struct queue_session *s, const struct queue_lease *l)
{
	struct sched_site *site = s->lane->site;
	int64_t from_us;

	if (l == NULL) {
		smooth(&site->connect_us, q->now_us - s->opened_us);
	} else if (l->is_good && s->free_us != 0) {
		/* The second lease of two waits for the first. */
		from_us = l->taken_us > s->free_us ? l->taken_us : s->free_us;
		smooth(&site->transaction_us, q->now_us - from_us);
	}
	s->free_us = q->now_us;
}

/* --- gates --- */

/* Up to the zero, and behind it. The last letter of a stream's is its class (queue_sched_limits.c). */
static struct queue_blob
gate_name(const struct sched_gate *g, bool second)
{
	struct queue_blob names[2];

	sched_gate_names(g, &names[0], &names[1]);
	if (second)
		return names[1];
	if (g->level == QUEUE_LEVEL_STREAM && names[0].len > 0)
		names[0].len--;
	return names[0];
}

static enum queue_class
gate_class(const struct sched_gate *g)
{
	struct queue_blob name = gate_name(g, false);

	return g->level == QUEUE_LEVEL_STREAM ? (enum queue_class)(g->name[name.len] - '0')
					      : QUEUE_CLASS_NORMAL;
}

/* Of streams and users, what is counted as a connection is a transaction. */
static enum sched_want
at_once_want(const struct sched_gate *g)
{
	return g->level == QUEUE_LEVEL_STREAM || g->level == QUEUE_LEVEL_USER ? SCHED_WANT_MAIL
									      : SCHED_WANT_CONNECTION;
}

static enum sched_want
meter_want(const struct queue_meter *m)
{
	return m->unit == QUEUE_UNIT_CONNECTIONS ? SCHED_WANT_CONNECTION : SCHED_WANT_MAIL;
}

/* Which of its limits lets the next one through last. */
static void
gate_reason(const struct queue_sched *q, const struct sched_gate *g, enum sched_want want, bool is_urgent,
	struct queue_reason *out)
{
	int64_t reserve = sched_gate_reserve(q, g, g->connections_max, is_urgent), latest_us = 0, ready_us;
	uint32_t i;

	out->level = (enum queue_level)g->level;
	out->name = gate_name(g, false);
	out->klass = gate_class(g);
	if (g->warm != NULL) {
		out->why = QUEUE_WHY_WARMUP;
		out->sender = sched_warm_is_of_sender(g) ? gate_name(g, true) : nothing;
		ready_us = sched_warm_ready_us(
			(struct queue_sched *)(uintptr_t)q, (struct sched_gate *)(uintptr_t)g);
		out->until_us = ready_us == INT64_MAX ? 0 : ready_us;
		return;
	}
	if (g->connections_max > 0 && want == at_once_want(g) &&
		g->connections + reserve >= g->connections_max) {
		out->why = QUEUE_WHY_CONNECTIONS;
		out->count = g->connections_max;
		return;
	}
	for (i = 0; i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (meter_want(m) != want)
			continue;
		ready_us = queue_meter_ready_us(
			m, q->now_us, sched_gate_reserve(q, g, m->rate.count, is_urgent));
		if (ready_us <= latest_us)
			continue;
		latest_us = ready_us;
		out->why = ready_us == INT64_MAX ? QUEUE_WHY_DISK : QUEUE_WHY_RATE;
		out->unit = (enum queue_unit)m->unit;
		out->rate = m->rate;
		out->until_us = ready_us == INT64_MAX ? 0 : ready_us;
	}
}

static bool
is_shut(const struct queue_sched *q, const struct sched_gate *g, enum sched_want want, bool is_urgent,
	struct queue_reason *out)
{
	if (sched_gate_lets(q, g, want, is_urgent))
		return false;
	assert(g != NULL); /* where no gate is, all may go */
	gate_reason(q, g, want, is_urgent, out);
	return true;
}

/* --- lanes, flows, cells --- */

static void
pause_reason(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source,
	struct queue_reason *out)
{
	out->why = QUEUE_WHY_PAUSED;
	out->pause = kind;
	out->name = name;
	sched_pause_view(q, kind, name, source, &out->until_us, &out->reason);
}

static bool
is_source_paused(const struct queue_sched *q, uint32_t source, struct queue_reason *out)
{
	if (!sched_source_is_paused(q, source))
		return false;
	if (q->sources[source].is_down) {
		out->why = QUEUE_WHY_DOWN;
		out->until_us = INT64_MAX; /* whatever ends by itself is told in its place */
	} else {
		pause_reason(q, QUEUE_PAUSE_SOURCE, nothing, source, out);
	}
	return true;
}

/* A lane, made or not, and who would go by it. */
struct look {
	struct queue_sched *q;
	struct sched_site *site;
	const struct queue_lane *lane; /* NULL: it was not needed yet */
	const struct queue_policy *policy;
	uint32_t source;
	bool is_urgent;
};
enum { LANE_GATES = 6 };

/* No session of the lane can take mail: why it has not another one. */
static void
connection_reason(const struct look *k, struct sched_gate *const gates[LANE_GATES], struct queue_reason *out)
{
	const struct queue_lane *lane = k->lane;
	uint32_t most = sched_lane_connections(lane);
	uint32_t set = lane->own != NULL && lane->own->connections > 0 ? lane->own->connections
								       : k->policy->connections;
	bool is_full = lane->sessions > 0 && lane->sessions >= (most < set ? most : set);
	int i;

	if (lane->wait_until_us > k->q->now_us) {
		out->why = QUEUE_WHY_BACKOFF;
		out->until_us = lane->wait_until_us;
		out->reason = sched_text_blob(lane->site->why);
		return;
	}
	if (is_full || (lane->is_probing && lane->opening > 0)) {
		out->why = lane->opening == lane->sessions || lane->is_probing ? QUEUE_WHY_OPENING
									       : QUEUE_WHY_BUSY;
		out->count = lane->sessions;
		return;
	}
	for (i = 0; i < LANE_GATES; i++)
		if (is_shut(k->q, gates[i], SCHED_WANT_CONNECTION, k->is_urgent, out))
			return;
	if (lane->starved_state != SCHED_FED) {
		out->why = QUEUE_WHY_TOTAL;
		out->count = k->q->conf.connections_total;
	} else if (!lane->is_able) {
		out->why = QUEUE_WHY_BUSY;
		out->count = lane->sessions;
	} else if (lane->opening > 0) {
		out->why = QUEUE_WHY_OPENING;
		out->count = lane->opening;
	}
}

static void
lane_reason(const struct look *k, struct queue_reason *out)
{
	const struct queue_lane *lane = k->lane;
	struct sched_gate *gates[LANE_GATES] = {lane != NULL ? lane->gate : NULL,
		lane != NULL ? lane->profile_gate : NULL, lane != NULL ? lane->warm_gate : NULL,
		k->site->gate, sched_source(k->q, k->source)->gate, k->q->gate};
	int i;

	out->source = k->source;
	out->site = site_name(k->site);
	if (k->site->is_paused) {
		pause_reason(k->q, QUEUE_PAUSE_SITE, site_name(k->site), 0, out);
		return;
	}
	if (is_source_paused(k->q, k->source, out))
		return;
	if (lane != NULL && sched_lane_is_stopped(lane)) {
		out->why = QUEUE_WHY_STOPPED;
		out->until_us = lane->recovery.until_us;
		out->reason = sched_text_blob(lane->why != NULL ? lane->why : lane->site->why);
		return;
	}
	if (!k->is_urgent && sched_site_is_quiet(k->q, k->site)) {
		out->why = QUEUE_WHY_QUIET;
		out->until_us = k->site->quiet_until_us;
		return;
	}
	for (i = 0; i < LANE_GATES; i++)
		if (is_shut(k->q, gates[i], SCHED_WANT_MAIL, k->is_urgent, out))
			return;
	if (lane == NULL ||
		(lane->is_able && (!queue_link_is_alone(&lane->idle) || !queue_link_is_alone(&lane->half))))
		return;
	connection_reason(k, gates, out);
}

/* The stream, its user and its sender domain. */
static bool
is_stream_shut(const struct queue_sched *q, const struct sched_cell *cell, struct queue_reason *out)
{
	const struct sched_stream *s = cell->stream;
	bool is_urgent = s->klass == QUEUE_CLASS_URGENT;

	return is_shut(q, s->gate, SCHED_WANT_MAIL, is_urgent, out) ||
	       is_shut(q, s->user->gate, SCHED_WANT_MAIL, is_urgent, out) ||
	       (cell->flow != NULL && is_shut(q, cell->flow->warm_gate, SCHED_WANT_MAIL, is_urgent, out));
}

/* Everywhere, or at the site of a flow of it (NULL: it has none there). */
static bool
is_stream_paused(const struct queue_sched *q, const struct sched_stream *s, const struct sched_flow *flow,
	struct queue_reason *out)
{
	struct queue_pause_view v;

	if (!sched_stream_pause_view(q, s, &v) && (flow == NULL || !sched_flow_pause_view(q, flow, &v)))
		return false;
	out->why = QUEUE_WHY_PAUSED;
	out->pause = v.kind;
	out->name = v.name;
	out->reason = v.reason;
	out->until_us = v.until_us;
	out->is_at_site = v.site.len > 0;
	if (out->is_at_site)
		out->site = site_name(flow->way->site);
	return true;
}

/* Why nothing of the cell goes by its way: of the lanes, the one that may be first. */
static void
way_reason(struct queue_sched *q, const struct sched_cell *cell, struct queue_reason *out)
{
	const struct sched_way *way = cell->flow->way;
	const bool is_urgent = cell->stream->klass == QUEUE_CLASS_URGENT;
	struct sched_share *pool = sched_pool(q, way->choice.pool);
	struct queue_reason empty;
	uint32_t i;

	out->site = site_name(way->site);
	out->sources = way->option_count;
	out->pool = q->conf.pools[way->choice.pool].name;
	if (is_stream_shut(q, cell, out))
		return;
	if ((is_shut(q, pool->gate, SCHED_WANT_MAIL, is_urgent, out) ||
		    (way->waiter.gate != NULL &&
			    is_shut(q, way->waiter.gate, (enum sched_want)way->waiter.want, is_urgent, out))))
		return;
	empty = *out;
	for (i = 0; i < way->option_count; i++) {
		const struct look k = {.q = q,
			.site = way->site,
			.lane = way->options[i].lane,
			.policy = cell->domain->policy,
			.source = way->options[i].source,
			.is_urgent = is_urgent};
		struct queue_reason r = empty;

		lane_reason(&k, &r);
		/* What nobody knows the time of may end at any moment. */
		if (i == 0 || r.why == QUEUE_WHY_GOING || r.until_us < out->until_us)
			*out = r;
		if (r.why == QUEUE_WHY_GOING)
			return;
	}
}

/* Of what is ready. */
static void
ready_reason(struct queue_sched *q, const struct sched_cell *cell, struct queue_reason *out)
{
	const struct sched_domain *d = cell->domain;

	if (d->site != NULL)
		out->site = site_name(d->site);
	if (q->is_paused)
		pause_reason(q, QUEUE_PAUSE_ALL, nothing, 0, out);
	else if (d->is_paused)
		pause_reason(q, QUEUE_PAUSE_DOMAIN, (struct queue_blob){d->name, d->name_len}, 0, out);
	else if (is_stream_paused(q, cell->stream, cell->flow, out))
		return;
	else if (cell->flow != NULL)
		way_reason(q, cell, out);
	else {
		out->why = QUEUE_WHY_ROUTE;
		out->until_us = d->is_resolving || d->until_us <= q->now_us ? 0 : d->until_us;
		out->reason = sched_text_blob(d->why);
	}
}

static bool
visit_state(struct queue_sched *q, struct sched_cell *cell, enum sched_state state,
	queue_sched_visit_reason *visit, void *arg)
{
	struct queue_reason r = no_reason;

	if ((r.rcpts = cell->counts[state]) == 0)
		return true;
	if (cell->domain->site != NULL)
		r.site = site_name(cell->domain->site);
	switch (state) {
	case SCHED_READY:
		ready_reason(q, cell, &r);
		break;
	case SCHED_WAITING:
		r.why = QUEUE_WHY_RETRY;
		r.until_us = sched_cell_next_us(cell);
		r.reason = sched_text_blob(cell->domain->reply);
		break;
	case SCHED_LEASED:
		r.why = QUEUE_WHY_LEASED;
		break;
	case SCHED_HELD:
		r.why = QUEUE_WHY_HELD;
		break;
	case SCHED_STATES:
		break;
	}
	return visit(arg, &r);
}

static bool
visit_cell(struct queue_sched *q, struct sched_cell *cell, queue_sched_visit_reason *visit, void *arg)
{
	int state;

	for (state = 0; state < SCHED_STATES; state++)
		if (!visit_state(q, cell, (enum sched_state)state, visit, arg))
			return false;
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
		if (!visit_cell(q, QUEUE_OF(l, struct sched_cell, of_domain), visit, arg))
			break;
	return true;
}

static void
rcpt_reason(struct queue_sched *q, struct sched_rcpt *r, struct queue_reason *out)
{
	*out = no_reason;
	out->rcpts = 1;
	if (r->cell->domain->site != NULL)
		out->site = site_name(r->cell->domain->site);
	switch ((enum sched_state)r->state) {
	case SCHED_READY:
		ready_reason(q, r->cell, out);
		return;
	case SCHED_WAITING:
		out->why = sched_rcpt_is_scheduled(r) ? QUEUE_WHY_SCHEDULED : QUEUE_WHY_RETRY;
		out->until_us = r->due_us;
		return;
	case SCHED_LEASED:
		out->why = QUEUE_WHY_LEASED;
		return;
	case SCHED_HELD:
		out->why = QUEUE_WHY_HELD;
		return;
	case SCHED_ENDED:
		return;
	}
}

bool
queue_sched_why_message(
	struct queue_sched *q, queue_id id, struct queue_walk *walk, queue_sched_visit_why *visit, void *arg)
{
	struct sched_message *m = sched_message_find(q, id);
	uint32_t left = walk->limit;
	struct queue_reason reason;

	walk->is_end = m == NULL;
	for (; !walk->is_end && left > 0; left--) {
		struct sched_rcpt *r = &m->rcpts[walk->at++];

		if (r->state != SCHED_ENDED) {
			rcpt_reason(q, r, &reason);
			walk->is_end = !visit(arg, r->n, &reason);
		}
		walk->is_end = walk->is_end || walk->at >= m->rcpt_count;
	}
	return m != NULL;
}

/* --- tables --- */

struct viewer {
	struct queue_sched *q;
	const struct sched_site *site;
	queue_sched_visit_reason *on_reason;
	queue_sched_visit_lane *on_lane;
	queue_sched_visit_stream *on_stream;
	queue_sched_visit_limit *on_limit;
	void *arg;
};

static bool
show_why(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	struct sched_cell *cell = QUEUE_OF(n, struct sched_cell, node);

	return cell->domain->site != v->site || visit_cell(v->q, cell, v->on_reason, v->arg);
}

void
queue_sched_walk_why(struct queue_sched *q, struct queue_blob site, struct queue_walk *walk,
	queue_sched_visit_reason *visit, void *arg)
{
	struct viewer v = {.q = q, .site = sched_site_find(q, site), .on_reason = visit, .arg = arg};

	if (v.site != NULL)
		sched_walk_table(&q->cells, walk, show_why, &v);
	else
		walk->is_end = true;
}

static bool
show_lane(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	struct queue_lane *lane = QUEUE_OF(n, struct queue_lane, node);
	const struct look k = {
		.q = v->q, .site = lane->site, .lane = lane, .policy = lane->policy, .source = lane->source};
	struct queue_lane_view out = {.site = site_name(lane->site),
		.source = lane->source,
		.sessions = lane->sessions,
		.opening = lane->opening,
		.busy = lane->busy,
		.connections_max = sched_lane_connections_max(lane),
		.reason = no_reason};
	struct queue_link *l;

	for (l = lane->options.next; l != &lane->options; l = l->next)
		out.ready += QUEUE_OF(l, struct sched_option, of_lane)->way->ready;
	lane_reason(&k, &out.reason);
	out.reason.rcpts = out.ready;
	return v->on_lane(v->arg, &out);
}

void
queue_sched_walk_lanes(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_lane *visit, void *arg)
{
	struct viewer v = {.q = q, .on_lane = visit, .arg = arg};

	sched_walk_table(&q->lanes, walk, show_lane, &v);
}

/* By cells, of which a stream may have a million. */
static bool
show_stream(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	const struct sched_cell *cell = QUEUE_OF(n, struct sched_cell, node);
	const struct sched_stream *s = cell->stream;
	struct queue_stream_view out = {
		.user = {s->names, s->user_len},
		.job = {s->names + s->user_len, s->job_len},
		.klass = (enum queue_class)s->klass,
		.weight = s->weight,
		.user_weight = s->user->weight,
		.transactions = s->transactions,
		.ready = cell->counts[SCHED_READY],
		.waiting = cell->counts[SCHED_WAITING],
		.leased = cell->counts[SCHED_LEASED],
		.held = cell->counts[SCHED_HELD],
		.reason = no_reason,
	};

	if (v->q->is_paused)
		pause_reason(v->q, QUEUE_PAUSE_ALL, nothing, 0, &out.reason);
	else if (!is_stream_paused(v->q, s, cell->flow, &out.reason))
		(void)is_stream_shut(v->q, cell, &out.reason);
	return v->on_stream(v->arg, &out);
}

void
queue_sched_walk_streams(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_stream *visit, void *arg)
{
	struct viewer v = {.q = q, .on_stream = visit, .arg = arg};

	sched_walk_table(&q->cells, walk, show_stream, &v);
}

static uint32_t
count_waiters(const struct queue_link *list)
{
	const struct queue_link *l;
	uint32_t count = 0;

	for (l = list->next; l != list && count < QUEUE_WAITERS_COUNTED; l = l->next)
		count++;
	return count;
}

static bool
show_at_once(const struct viewer *v, const struct sched_gate *g, struct queue_limit_view *out)
{
	out->unit = QUEUE_UNIT_CONNECTIONS;
	out->rate = (struct queue_rate){.count = g->connections_max};
	out->used = g->connections;
	out->left = g->connections < g->connections_max ? g->connections_max - g->connections : 0;
	out->waiters = out->left == 0 ? count_waiters(&g->waiters[at_once_want(g)]) : 0;
	return v->on_limit(v->arg, out);
}

static bool
show_meter(const struct viewer *v, const struct sched_gate *g, const struct queue_meter *m,
	struct queue_limit_view *out)
{
	int64_t now_us = v->q->now_us, ready_us = queue_meter_ready_us(m, now_us, 0);
	bool is_long = queue_rate_is_long(&m->rate), is_over = queue_meter_over_us(m) <= now_us;

	out->unit = (enum queue_unit)m->unit;
	out->rate = m->rate;
	out->used = is_long && !is_over ? m->used : 0;
	out->left = queue_meter_room_unwritten(m, now_us, 0);
	if (out->left > m->rate.count)
		out->left = m->rate.count; /* bytes: a message goes whole */
	out->until_us = ready_us > now_us ? ready_us : 0;
	if (is_long)
		out->until_us = is_over ? 0 : queue_retry_add(m->at_us, m->rate.per_us);
	out->waiters = ready_us > now_us ? count_waiters(&g->waiters[meter_want(m)]) : 0;
	return v->on_limit(v->arg, out);
}

/* A gate that only remembers what was used limits nothing. */
static bool
show_gate(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	const struct sched_gate *g = QUEUE_OF(n, struct sched_gate, node);
	struct queue_limit_view out = {.level = (enum queue_level)g->level,
		.name = gate_name(g, false),
		.klass = gate_class(g),
		.source = gate_name(g, true)};
	uint32_t i;

	if (g->refs == 0)
		return true;
	if (g->connections_max > 0 && !show_at_once(v, g, &out))
		return false;
	for (i = 0; i < g->meter_count; i++)
		if (!show_meter(v, g, &g->meters[i], &out))
			return false;
	return true;
}

static bool
show_total(const struct viewer *v)
{
	const struct queue_sched *q = v->q;
	struct queue_limit_view out = {.level = QUEUE_LEVEL_ALL,
		.name = nothing,
		.source = nothing,
		.unit = QUEUE_UNIT_CONNECTIONS,
		.rate = {.count = q->conf.connections_total},
		.used = q->session_count,
		.left = q->session_count < q->conf.connections_total
				? q->conf.connections_total - q->session_count
				: 0,
		.waiters = count_waiters(&q->starved_none) + count_waiters(&q->starved_more)};

	return v->on_limit(v->arg, &out);
}

void
queue_sched_walk_limits(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_limit *visit, void *arg)
{
	struct viewer v = {.q = q, .on_limit = visit, .arg = arg};

	if (walk->at == 0 && !show_total(&v))
		walk->is_end = true;
	else
		sched_walk_table(&q->gates, walk, show_gate, &v);
}

void
queue_sched_source_view(struct queue_sched *q, uint32_t source, struct queue_source_view *out)
{
	const struct sched_share *s = sched_source(q, source);

	*out = (struct queue_source_view){.sessions = s->sessions, .reason = no_reason};
	out->reason.source = source;
	if (s->gate != NULL)
		out->connections_max = s->gate->connections_max;
	if (!is_source_paused(q, source, &out->reason) &&
		!is_shut(q, s->gate, SCHED_WANT_MAIL, false, &out->reason))
		(void)is_shut(q, s->gate, SCHED_WANT_CONNECTION, false, &out->reason);
}
