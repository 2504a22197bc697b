/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warm-ups in the schedule: a gate that counts as queue_warmup says. All lanes of a source towards one group
 * of sites share one; mail that finds it shut goes by other sources of its pool, or waits. All flows of a
 * sender domain towards the group share another; there no other source helps, and the flows wait. Their names
 * are the group, and the source or the domain with an @ before it.
 *
 * Invariants: a warm-up lives as long as the schedule, for what it has learned must outlast any mail; a lease
 * is settled where it was counted, whatever the settings say by then; the demand of a sender domain's gate is
 * the sum over its flows. A gate lets mail through exactly when there is room for one recipient.
 */
#include "queue_sched_int.h"

#include <assert.h>

/* What was learned since the last note a crash forgets, though never a place. */
#define NOTE_US (INT64_C(300) * 1000000)

static void
want_note(struct queue_sched *q, struct sched_gate *g)
{
	g->is_wanted = true;
	g->noted_us = q->now_us;
	sched_note_want(q, &g->noting);
}

/* Up to the present day. */
static void
tick(struct queue_sched *q, struct sched_gate *g)
{
	const struct queue_warmup *w = g->warm;
	struct queue_blob names[2];

	if (g->plan == NULL || !queue_warmup_tick(g->warm, g->plan, q->now_us))
		return;
	sched_gate_want_write(q, g, false);
	assert(w->history_count > 0);
	sched_gate_names(g, &names[0], &names[1]);
	if (q->conf.on_warmup != NULL)
		q->conf.on_warmup(q->conf.arg, names[1], names[0], &w->history[w->history_count - 1]);
}

static struct queue_warmup_room
room_of(struct queue_sched *q, struct sched_gate *g)
{
	if (g->plan == NULL)
		return (struct queue_warmup_room){INT64_MAX, QUEUE_WARMUP_NO_LIMIT, q->now_us};
	tick(q, g);
	return queue_warmup_room(g->warm, g->demand);
}

void
sched_warm_demand(struct sched_gate *g, uint32_t rcpts)
{
	g->demand = rcpts;
}

/* Room for one is what the gate lets through, so there is always a time to come where there is none. */
int64_t
sched_warm_ready_us(struct queue_sched *q, struct sched_gate *g)
{
	struct queue_warmup_room room = room_of(q, g);

	if (room.count > 0)
		return q->now_us;
	if (room.limit == QUEUE_WARMUP_LIMIT_STORE)
		return INT64_MAX;
	return room.next_us > q->now_us ? room.next_us : q->now_us + 1;
}

int64_t
sched_warm_room(struct queue_sched *q, struct sched_gate *g)
{
	return room_of(q, g).count;
}

void
sched_warm_lease(struct queue_sched *q, struct sched_gate **slot, struct sched_gate *g, uint32_t rcpts)
{
	assert(*slot == NULL);
	if (g == NULL || g->plan == NULL)
		return;
	*slot = g;
	g->refs++;
	tick(q, g);
	queue_warmup_lease(g->warm, rcpts);
	sched_gate_want_write(q, g, false);
}

void
sched_warm_settle(struct queue_sched *q, struct sched_gate *g, enum queue_warmup_outcome outcome)
{
	tick(q, g);
	queue_warmup_settle(g->warm, outcome, 1);
	sched_gate_want_write(q, g, false);
	if (q->now_us - g->noted_us >= NOTE_US || q->now_us < g->noted_us)
		want_note(q, g);
	sched_gate_changed(q, g);
}

bool
sched_warm_wants_note(const struct sched_gate *g)
{
	return queue_warmup_wants_store(g->warm);
}

static struct sched_gate *
warm_get(struct queue_sched *q, struct queue_blob group, struct queue_blob source)
{
	struct sched_gate *g = sched_gate_find(q, QUEUE_LEVEL_WARMUP, group, source);
	struct queue_warmup *w;

	if (g != NULL)
		return g;
	if ((w = sched_alloc(q, sizeof(*w))) == NULL)
		return NULL;
	if ((g = sched_gate_restore(q, QUEUE_LEVEL_WARMUP, group, source, 0)) == NULL) {
		sched_free(q, w, sizeof(*w));
		return NULL;
	}
	queue_warmup_init(w);
	g->warm = w;
	return g;
}

/* Whoever waits at the gate that was *slot before is the caller's affair. */
static bool
set_gate(struct queue_sched *q, struct sched_gate **slot, const struct queue_warmup_plan *plan,
	struct queue_blob group, struct queue_blob name)
{
	struct sched_gate *g = NULL;

	if (plan != NULL && (g = warm_get(q, group, name)) == NULL)
		return false;
	if (g != NULL) {
		g->plan = plan;
		tick(q, g);
	}
	if (*slot == g)
		return true;
	if (*slot != NULL)
		sched_gate_changed(q, *slot);
	sched_gate_release(q, slot);
	*slot = g;
	if (g != NULL)
		g->refs++;
	return true;
}

bool
sched_lane_set_warmup(struct queue_sched *q, struct queue_lane *lane)
{
	struct queue_blob site = {lane->site->name, lane->site->name_len}, group = {"", 0};
	const struct queue_warmup_plan *plan =
		q->conf.warmup == NULL ? NULL : q->conf.warmup(q->conf.arg, lane->source, site, &group);

	return set_gate(q, &lane->warm_gate, plan, group, sched_source_name(q, lane->source));
}

/* --- sender domains --- */

bool
sched_warm_is_of_sender(const struct sched_gate *g)
{
	struct queue_blob group, name;

	sched_gate_names(g, &group, &name);
	return name.len > 0 && *(const char *)name.ptr == '@';
}

bool
sched_flow_set_warmup(struct queue_sched *q, struct sched_flow *f)
{
	const struct sched_stream *s = f->stream;
	struct queue_blob from = {s->names + s->user_len + s->job_len + s->sender_len, s->from_len};
	struct queue_blob site = {f->way->site->name, f->way->site->name_len};
	struct queue_blob group = {"", 0}, name = {"", 0};
	const struct queue_warmup_plan *plan = NULL;
	struct sched_gate *old = f->warm_gate;
	uint32_t counted = f->paused == 0 ? f->ready : 0;

	if (q->conf.sender_warmup != NULL && from.len > 0)
		plan = q->conf.sender_warmup(q->conf.arg, from, site, &name, &group);
	if (!set_gate(q, &f->warm_gate, plan, group, name))
		return false;
	if (f->warm_gate == old)
		return true;
	if (old != NULL)
		old->demand -= counted;
	if (f->warm_gate != NULL)
		f->warm_gate->demand += counted;
	if (old != NULL && f->turn.waiter.gate == old) {
		sched_gate_leave(q, &f->turn.waiter);
		sched_flow_wake(q, f);
	}
	return true;
}

void
sched_flow_count(struct sched_flow *f, int64_t by)
{
	f->way->ready = (uint32_t)(f->way->ready + by);
	if (f->warm_gate != NULL)
		f->warm_gate->demand = (uint32_t)(f->warm_gate->demand + by);
}

/* --- complaints --- */

static void
complained(struct queue_sched *q, struct queue_blob group, struct queue_blob name)
{
	struct sched_gate *g = sched_gate_find(q, QUEUE_LEVEL_WARMUP, group, name);

	if (g == NULL || g->plan == NULL)
		return;
	tick(q, g);
	queue_warmup_complain(g->warm, 1);
	want_note(q, g);
	sched_gate_changed(q, g);
}

void
sched_warm_complained(struct queue_sched *q, const struct queue_feedback *f)
{
	struct queue_blob group = {"", 0}, name = {"", 0};

	for (uint32_t i = 0; q->conf.warmup != NULL && i < q->conf.source_count; i++) {
		struct queue_blob source = q->conf.sources[i].name;

		if (sched_name_is(f->source.ptr, f->source.len, source) &&
			q->conf.warmup(q->conf.arg, i, f->site, &group) != NULL)
			complained(q, group, source);
	}
	if (q->conf.sender_warmup != NULL && f->from_domain.len > 0 &&
		q->conf.sender_warmup(q->conf.arg, f->from_domain, f->site, &name, &group) != NULL)
		complained(q, group, name);
}

/* --- settings and notes --- */

/* A provider's first site has its name; all other sites are one group. So the group can be asked for as a
 * site. */
static void
find_plan(struct queue_sched *q, struct sched_gate *g)
{
	struct queue_blob group, name, found = {"", 0}, found_name;
	const struct queue_warmup_plan *plan = NULL;
	uint32_t i;

	sched_gate_names(g, &group, &name);
	found_name = name;
	if (sched_warm_is_of_sender(g) && q->conf.sender_warmup != NULL)
		plan = q->conf.sender_warmup(q->conf.arg,
			(struct queue_blob){(const char *)name.ptr + 1, name.len - 1}, group, &found_name,
			&found);
	for (i = 0; q->conf.warmup != NULL && i < q->conf.source_count; i++)
		if (sched_name_is(q->conf.sources[i].name.ptr, q->conf.sources[i].name.len, name))
			plan = q->conf.warmup(q->conf.arg, i, group, &found);
	if (plan != NULL && (!sched_name_is(found.ptr, found.len, group) ||
				    !sched_name_is(found_name.ptr, found_name.len, name)))
		plan = NULL;
	g->plan = plan;
	tick(q, g);
	sched_gate_changed(q, g);
}

/* The settings are others: also of warm-ups that have no lane now. */
void
sched_warm_find_plans(struct queue_sched *q)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->gates, NULL); n != NULL; n = queue_map_each(&q->gates, n))
		if (QUEUE_OF(n, struct sched_gate, node)->warm != NULL)
			find_plan(q, QUEUE_OF(n, struct sched_gate, node));
}

int
sched_warm_restore(
	struct queue_sched *q, struct queue_blob group, struct queue_blob source, struct queue_blob record)
{
	struct queue_warmup w;
	struct sched_gate *g;
	int err = queue_warmup_decode(record, &w);

	if (err < 0)
		return err;
	if (sched_gate_find(q, QUEUE_LEVEL_WARMUP, group, source) != NULL)
		return QUEUE_EINVAL;
	if ((g = warm_get(q, group, source)) == NULL)
		return QUEUE_ENOMEM;
	*g->warm = w;
	g->noting.is_on_disk = true;
	find_plan(q, g);
	return QUEUE_OK;
}

/* --- for operators --- */

void
queue_sched_each_warmup(struct queue_sched *q, queue_sched_visit_warmup *visit, void *arg)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->gates, NULL); n != NULL; n = queue_map_each(&q->gates, n)) {
		struct sched_gate *g = QUEUE_OF(n, struct sched_gate, node);
		struct queue_warmup_view v = {.warmup = g->warm, .plan = g->plan};

		if (g->warm == NULL)
			continue;
		tick(q, g);
		sched_gate_names(g, &v.group, &v.source);
		if (!visit(arg, &v))
			return;
	}
}

bool
queue_sched_warmup_act(struct queue_sched *q, struct queue_blob source, struct queue_blob group,
	enum queue_warmup_act act, struct queue_blob words, int64_t now_us)
{
	struct sched_gate *g = sched_gate_find(q, QUEUE_LEVEL_WARMUP, group, source);

	sched_clock(q, now_us);
	if (g == NULL || g->plan == NULL)
		return false;
	tick(q, g);
	if (!queue_warmup_operate(g->warm, g->plan, act, words))
		return false;
	want_note(q, g);
	sched_gate_changed(q, g);
	return true;
}
