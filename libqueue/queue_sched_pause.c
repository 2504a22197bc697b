/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pauses: what an operator has stopped for a while; and sources the host cannot send from.
 *
 * A pause is a record by kind and name, and a flag in the object it is about. The object may come later than
 * the pause (mail for a paused domain) or go before it, so whatever is made asks the records for its flag
 * once.
 *
 * Invariants: a record exists exactly while its flag is set in the object, if there is one (lanes also have
 * it while their source is down); every record has a place among the timers.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A stream's is the longest. */
enum { PAUSE_NAME_MAX = 2 * SCHED_NAME_MAX + 16 };
#define PAUSED(kind) ((uint16_t)(1U << (kind)))

struct sched_pause {
	struct queue_map_node node;
	struct queue_heap_node timer;
	enum queue_pause_kind kind;
	uint32_t source;
	int64_t until_us;
	struct sched_text *reason;
	uint16_t name_len;
	char name[];
};

static uint64_t
pause_hash(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source)
{
	return queue_map_mix(queue_map_hash(q->seed, name), (uint64_t)kind << 32 | source);
}

static struct sched_pause *
pause_find(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source)
{
	struct queue_map_node *n;

	if (q->pauses.count == 0)
		return NULL;
	n = queue_map_find(&q->pauses, pause_hash(q, kind, name, source));
	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_pause *p = QUEUE_OF(n, struct sched_pause, node);

		if (p->kind == kind && p->source == source && sched_name_is(p->name, p->name_len, name))
			return p;
	}
	return NULL;
}

bool
sched_is_paused(
	const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source)
{
	return pause_find(q, kind, name, source) != NULL;
}

static bool
is_down(const struct queue_sched *q, uint32_t source)
{
	return source < q->source_count && q->sources[source].is_down;
}

bool
sched_source_is_paused(const struct queue_sched *q, uint32_t source)
{
	return is_down(q, source) ||
	       sched_is_paused(q, QUEUE_PAUSE_SOURCE, (struct queue_blob){"", 0}, source);
}

void
sched_pause_view(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name,
	uint32_t source, int64_t *out_until_us, struct queue_blob *out_reason)
{
	const struct sched_pause *p = pause_find(q, kind, name, source);

	if (p == NULL)
		return;
	*out_until_us = p->until_us;
	*out_reason = sched_text_blob(p->reason);
}

/* The part of a stream that a pause of this kind names. */
static struct queue_blob
stream_name(const struct sched_stream *s, enum queue_pause_kind kind, char buf[PAUSE_NAME_MAX])
{
	int len;

	switch (kind) {
	case QUEUE_PAUSE_USER:
		return (struct queue_blob){s->names, s->user_len};
	case QUEUE_PAUSE_JOB:
		return (struct queue_blob){s->names + s->user_len, s->job_len};
	case QUEUE_PAUSE_SENDER:
		return (struct queue_blob){s->names + s->user_len + s->job_len, s->sender_len};
	default:
		len = snprintf(buf, PAUSE_NAME_MAX, "%.*s/%.*s/%s", (int)s->user_len, s->names,
			(int)s->job_len, s->names + s->user_len,
			queue_class_text((enum queue_class)s->klass));
		return (struct queue_blob){buf, (size_t)len};
	}
}

void
sched_stream_ask_pauses(struct queue_sched *q, struct sched_stream *s)
{
	static const enum queue_pause_kind kinds[] = {
		QUEUE_PAUSE_USER, QUEUE_PAUSE_JOB, QUEUE_PAUSE_STREAM, QUEUE_PAUSE_SENDER};
	char buf[PAUSE_NAME_MAX];
	size_t i;

	for (i = 0; q->pauses.count > 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sched_is_paused(q, kinds[i], stream_name(s, kinds[i], buf), 0))
			s->paused |= PAUSED(kinds[i]);
}

bool
sched_stream_pause_view(const struct queue_sched *q, const struct sched_stream *s, enum queue_pause_kind kind,
	struct queue_pause_view *out)
{
	char buf[PAUSE_NAME_MAX];
	const struct sched_pause *p;

	if ((s->paused & PAUSED(kind)) == 0 ||
		(p = pause_find(q, kind, stream_name(s, kind, buf), 0)) == NULL)
		return false;
	*out = (struct queue_pause_view){.kind = kind,
		.name = {p->name, p->name_len},
		.reason = sched_text_blob(p->reason),
		.until_us = p->until_us};
	return true;
}

/* --- the flags --- */

static void
flag_domain(struct queue_sched *q, struct queue_blob name, bool on)
{
	struct sched_domain *d = sched_domain_find(q, name);
	struct queue_link *l;

	if (d == NULL)
		return;
	d->is_paused = on;
	for (l = d->cells.next; l != &d->cells; l = l->next)
		sched_cell_update(q, QUEUE_OF(l, struct sched_cell, of_domain));
}

static void
flag_streams(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, bool on)
{
	struct queue_link *l, *c;
	char buf[PAUSE_NAME_MAX];

	for (l = q->all_streams.next; l != &q->all_streams; l = l->next) {
		struct sched_stream *s = QUEUE_OF(l, struct sched_stream, all);

		struct queue_blob own = stream_name(s, kind, buf);

		if (!sched_name_is(own.ptr, own.len, name))
			continue;
		s->paused = on ? s->paused | PAUSED(kind) : s->paused & (uint16_t)~PAUSED(kind);
		for (c = s->cells.next; c != &s->cells; c = c->next)
			sched_cell_update(q, QUEUE_OF(c, struct sched_cell, of_stream));
	}
}

/* A paused lane lets its idle sessions go; those at work go when they are done. */
static void
lane_changed(struct queue_sched *q, struct queue_lane *lane)
{
	if (!sched_lane_is_paused(lane)) {
		sched_lane_able(q, lane, false);
		return;
	}
	while (!queue_link_is_alone(&lane->idle))
		sched_session_order_close(q, QUEUE_OF(lane->idle.next, struct queue_session, place));
}

static void
flag_site(struct queue_sched *q, struct queue_blob name, bool on)
{
	struct sched_site *s = sched_site_find(q, name);
	struct queue_link *l;

	if (s == NULL)
		return;
	s->is_paused = on;
	for (l = s->lanes.next; l != &s->lanes; l = l->next)
		lane_changed(q, QUEUE_OF(l, struct queue_lane, of_site));
}

static void
flag_source(struct queue_sched *q, uint32_t source, bool on)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->lanes, NULL); n != NULL; n = queue_map_each(&q->lanes, n)) {
		struct queue_lane *lane = QUEUE_OF(n, struct queue_lane, node);

		if (lane->source != source)
			continue;
		lane->is_source_paused = on;
		lane_changed(q, lane);
	}
	/* What would rather use it again takes another meanwhile. */
	for (n = queue_map_each(&q->cells, NULL); n != NULL; n = queue_map_each(&q->cells, n)) {
		struct sched_cell *cell = QUEUE_OF(n, struct sched_cell, node);

		if (cell->sticky == source + 1)
			sched_cell_reroute(q, cell);
	}
}

void
queue_sched_source_down(struct queue_sched *q, uint32_t source, bool down, int64_t now_us)
{
	struct sched_share *s = sched_source(q, source);

	sched_clock(q, now_us);
	if (s->is_down == down)
		return;
	s->is_down = down;
	flag_source(q, source, sched_source_is_paused(q, source));
}

static void
flag(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source, bool on)
{
	switch (kind) {
	case QUEUE_PAUSE_ALL:
		q->is_paused = on;
		return;
	case QUEUE_PAUSE_DOMAIN:
		flag_domain(q, name, on);
		return;
	case QUEUE_PAUSE_SITE:
		flag_site(q, name, on);
		return;
	case QUEUE_PAUSE_SOURCE:
		flag_source(q, source, on || is_down(q, source));
		return;
	case QUEUE_PAUSE_JOB:
	case QUEUE_PAUSE_USER:
	case QUEUE_PAUSE_STREAM:
	case QUEUE_PAUSE_SENDER:
		flag_streams(q, kind, name, on);
		return;
	case QUEUE_PAUSE_KINDS:
		return;
	}
}

/* --- the records --- */

/* Only the part that tells one pause of a kind from another; false: there is no such pause. */
static bool
normalise(enum queue_pause_kind kind, struct queue_blob *name, uint32_t *source)
{
	if (kind != QUEUE_PAUSE_SOURCE)
		*source = 0;
	switch (kind) {
	case QUEUE_PAUSE_ALL:
	case QUEUE_PAUSE_SOURCE:
		*name = (struct queue_blob){"", 0};
		return true;
	case QUEUE_PAUSE_DOMAIN:
	case QUEUE_PAUSE_SITE:
	case QUEUE_PAUSE_JOB:
	case QUEUE_PAUSE_USER:
	case QUEUE_PAUSE_STREAM:
	case QUEUE_PAUSE_SENDER:
		return name->len > 0 && name->len <= PAUSE_NAME_MAX;
	case QUEUE_PAUSE_KINDS:
		break;
	}
	return false;
}

static struct sched_pause *
pause_create(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source)
{
	struct sched_pause *p;

	if (queue_heap_reserve(&q->pause_timers, q->pauses.count + 1) < 0 ||
		(p = sched_alloc(q, sizeof(*p) + name.len)) == NULL)
		return NULL;
	p->kind = kind;
	p->source = source;
	p->name_len = (uint16_t)name.len;
	if (name.len > 0)
		memcpy(p->name, name.ptr, name.len);
	queue_map_insert(&q->pauses, &p->node, pause_hash(q, kind, name, source));
	return p;
}

static void
pause_unlink(struct queue_sched *q, struct sched_pause *p)
{
	queue_heap_set(&q->pause_timers, &p->timer, INT64_MAX);
	queue_map_remove(&q->pauses, &p->node);
}

static void
pause_free(struct queue_sched *q, struct sched_pause *p)
{
	sched_text_free(q, &p->reason);
	sched_free(q, p, sizeof(*p) + p->name_len);
}

/* Nobody who asks for it on the way may find it still. */
static void
pause_end(struct queue_sched *q, struct sched_pause *p)
{
	struct queue_blob name = {p->name, p->name_len};

	pause_unlink(q, p);
	flag(q, p->kind, name, p->source, false);
	sched_guard_resumed(q, p->kind, name);
	pause_free(q, p);
}

int
queue_sched_pause(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source,
	int64_t until_us, struct queue_blob reason, int64_t now_us)
{
	struct sched_pause *p;

	sched_clock(q, now_us);
	if (!normalise(kind, &name, &source))
		return QUEUE_EINVAL;
	p = pause_find(q, kind, name, source);
	if (p == NULL && (p = pause_create(q, kind, name, source)) == NULL)
		return QUEUE_ENOMEM;
	p->until_us = until_us;
	sched_text_set(q, &p->reason, reason);
	queue_heap_set(&q->pause_timers, &p->timer, until_us);
	flag(q, kind, name, source, true);
	return QUEUE_OK;
}

bool
queue_sched_resume(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source,
	int64_t now_us)
{
	struct sched_pause *p;

	sched_clock(q, now_us);
	if (!normalise(kind, &name, &source) || (p = pause_find(q, kind, name, source)) == NULL)
		return false;
	pause_end(q, p);
	return true;
}

void
sched_pause_timers(struct queue_sched *q)
{
	while (queue_heap_first_us(&q->pause_timers) <= q->now_us)
		pause_end(q, QUEUE_OF(queue_heap_first(&q->pause_timers), struct sched_pause, timer));
}

/* The clock was set. */
void
sched_pauses_shift(struct queue_sched *q, int64_t step_us)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->pauses, NULL); n != NULL; n = queue_map_each(&q->pauses, n)) {
		struct sched_pause *p = QUEUE_OF(n, struct sched_pause, node);

		p->until_us = queue_retry_move(p->until_us, step_us);
		queue_heap_set(&q->pause_timers, &p->timer, p->until_us);
	}
}

void
sched_pauses_free(struct queue_sched *q)
{
	struct queue_map_node *n, *next;

	for (n = queue_map_each(&q->pauses, NULL); n != NULL; n = next) {
		struct sched_pause *p = QUEUE_OF(n, struct sched_pause, node);

		next = queue_map_each(&q->pauses, n);
		pause_unlink(q, p);
		pause_free(q, p);
	}
}

void
queue_sched_each_pause(
	struct queue_sched *q, bool (*visit)(void *arg, const struct queue_pause_view *v), void *arg)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->pauses, NULL); n != NULL; n = queue_map_each(&q->pauses, n)) {
		const struct sched_pause *p = QUEUE_OF(n, struct sched_pause, node);
		const struct queue_pause_view v = {.kind = p->kind,
			.name = {p->name, p->name_len},
			.reason = sched_text_blob(p->reason),
			.source = p->source,
			.until_us = p->until_us};

		if (!visit(arg, &v))
			return;
	}
}
