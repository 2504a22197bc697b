/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell may hold a million recipients, and the queue thread has milliseconds: counts are there, and what
 * they do not say (how many recipients a message has, how large it is, when attempts are due) is taken from
 * the first of each list.
 */
#include "queue_sched_snapshot.h"
#include "queue_sched_int.h"

#include <assert.h>

enum {
	MESSAGES_LOOKED_AT = 256, /* recipients of a list */
	DUES_LOOKED_AT = 1024,
	TABLE_SHIFT = 60, /* in walk->at: which table; no table has as many buckets */
	TABLES = 3,
};
#define MINUTE_US (INT64_C(60) * 1000000)

const int64_t queue_due_ends_us[QUEUE_DUE_BUCKETS - 1] = {1 * MINUTE_US, 3 * MINUTE_US, 6 * MINUTE_US,
	10 * MINUTE_US, 20 * MINUTE_US, 40 * MINUTE_US, 80 * MINUTE_US, 160 * MINUTE_US, 320 * MINUTE_US,
	720 * MINUTE_US, 1440 * MINUTE_US};

/* --- cells --- */

/* Recipients of a message that were added together stand together. */
static void
look_at_messages(const struct sched_cell *cell, enum sched_state state, struct queue_cell_view *v)
{
	const struct queue_link *list = &cell->lists[state], *l;
	const struct sched_message *last = NULL;
	uint32_t left = MESSAGES_LOOKED_AT;

	for (l = list->next; l != list && left > 0; l = l->next, left--) {
		struct sched_rcpt *r = QUEUE_OF(l, struct sched_rcpt, link);
		const struct sched_message *m = sched_message_of(r);

		v->looked_at++;
		if (m == last)
			continue;
		v->messages++;
		v->bytes += m->body_bytes;
		last = m;
	}
}

static void
note_due(struct queue_due_view due[QUEUE_DUE_BUCKETS], int64_t due_us, int64_t now_us)
{
	int i;

	for (i = 0; i < QUEUE_DUE_BUCKETS - 1 && due_us - now_us > queue_due_ends_us[i]; i++)
		;
	if (due[i].rcpts == 0 || due_us < due[i].first_us)
		due[i].first_us = due_us;
	if (due[i].rcpts == 0 || due_us > due[i].last_us)
		due[i].last_us = due_us;
	due[i].rcpts++;
}

/* The rest is taken to be spread like the first; what division leaves over is with the last of them. */
static void
scale_dues(struct queue_due_view due[QUEUE_DUE_BUCKETS], uint64_t seen, uint64_t all)
{
	uint64_t given = 0;
	int i, last = 0;

	if (seen == 0 || seen == all)
		return;
	for (i = 0; i < QUEUE_DUE_BUCKETS; i++) {
		due[i].rcpts = due[i].rcpts * all / seen;
		given += due[i].rcpts;
		last = due[i].rcpts > 0 ? i : last;
	}
	assert(given <= all);
	due[last].rcpts += all - given;
}

static void
look_at_dues(const struct queue_sched *q, const struct sched_cell *cell, struct queue_cell_view *v)
{
	const struct queue_link *list = &cell->lists[SCHED_WAITING], *l;
	uint64_t seen = 0;

	for (l = list->next; l != list && seen < DUES_LOOKED_AT; l = l->next, seen++)
		note_due(v->due, QUEUE_OF(l, struct sched_rcpt, link)->due_us, q->now_us);
	scale_dues(v->due, seen, cell->counts[SCHED_WAITING]);
}

struct cell_viewer {
	struct queue_sched *q;
	queue_sched_visit_cell *visit;
	void *arg;
};

static bool
show_cell(void *arg, struct queue_map_node *n)
{
	const struct cell_viewer *w = arg;
	const struct sched_cell *cell = QUEUE_OF(n, struct sched_cell, node);
	const struct sched_domain *d = cell->domain;
	const struct sched_stream *s = cell->stream;
	const struct queue_blob none = {"", 0};
	uint32_t sticky = cell->sticky & ~SCHED_STRICT;
	struct queue_cell_view v = {.domain = {d->name, d->name_len},
		.site = d->site != NULL ? (struct queue_blob){d->site->name, d->site->name_len} : none,
		.user = {s->names, s->user_len},
		.job = {s->names + s->user_len, s->job_len},
		.sender = {s->names + s->user_len + s->job_len, s->sender_len},
		.from_domain = {s->names + s->user_len + s->job_len + s->sender_len, s->from_len},
		.pool = cell->pool > 0 ? w->q->conf.pools[cell->pool].name : none,
		.source = sticky > 0 ? sched_source_name(w->q, sticky - 1) : none,
		.klass = (enum queue_class)s->klass,
		.is_strict = (cell->sticky & SCHED_STRICT) != 0,
		.is_rejected = d->route == SCHED_ROUTE_FAIL,
		.ready = cell->counts[SCHED_READY],
		.leased = cell->counts[SCHED_LEASED],
		.held = cell->counts[SCHED_HELD]};

	look_at_messages(cell, SCHED_READY, &v);
	look_at_messages(cell, SCHED_WAITING, &v);
	if (v.looked_at == 0)
		look_at_messages(cell, SCHED_LEASED, &v);
	look_at_dues(w->q, cell, &v);
	return w->visit(w->arg, &v);
}

void
queue_sched_walk_cells(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_cell *visit, void *arg)
{
	struct cell_viewer w = {q, visit, arg};

	sched_walk_table(&q->cells, walk, show_cell, &w);
}

/* --- records --- */

struct record_viewer {
	struct queue_sched *q;
	queue_sched_visit_record *visit;
	void *arg;
};

static bool
show_value(const struct record_viewer *w, struct queue_blob value)
{
	if (value.len > 0)
		w->visit(w->arg, value);
	return true;
}

static bool
show_gate(void *arg, struct queue_map_node *n)
{
	const struct record_viewer *w = arg;

	return show_value(w, sched_note_gate_now(w->q, QUEUE_OF(n, struct sched_gate, node)));
}

static bool
show_lane(void *arg, struct queue_map_node *n)
{
	const struct record_viewer *w = arg;

	return show_value(w, sched_note_lane_now(w->q, QUEUE_OF(n, struct queue_lane, node)));
}

static bool
show_guard(void *arg, struct queue_map_node *n)
{
	const struct record_viewer *w = arg;

	return show_value(w, sched_note_guard_now(w->q, QUEUE_OF(n, struct sched_guard, node)));
}

void
queue_sched_walk_records(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_record *visit, void *arg)
{
	const struct {
		const struct queue_map *table;
		bool (*show)(void *arg, struct queue_map_node *n);
	} all[TABLES] = {{&q->gates, show_gate}, {&q->lanes, show_lane}, {&q->guards, show_guard}};
	uint64_t table = walk->at >> TABLE_SHIFT;
	struct queue_walk inner = {.limit = walk->limit, .at = walk->at & ((UINT64_C(1) << TABLE_SHIFT) - 1)};
	struct record_viewer w = {q, visit, arg};

	assert(table < TABLES && walk->limit > 0);
	sched_walk_table(all[table].table, &inner, all[table].show, &w);
	if (inner.is_end)
		table++;
	walk->is_end = table == TABLES;
	walk->at = table << TABLE_SHIFT | inner.at;
}
