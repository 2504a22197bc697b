/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pauses: what an operator has stopped for a while; and sources the host cannot send from.
 *
 * A pause is a record by kind and name, and a flag in the object it is about. The object may come later than
 * the pause (mail for a paused domain) or go before it, so whatever is made asks the records for its flag
 * once. What belongs to a stream may be paused at one site alone: then the flag is in the flows, which are of
 * one stream and one site, and costs the others nothing.
 *
 * Invariants: a record exists exactly while its flag is set in the object, if there is one (lanes also have
 * it while their source is down); every record has a place among the timers; pauses_at_sites counts the
 * records with a site.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A stream's is the longest, with a site. */
enum { PAUSE_NAME_MAX = 3 * SCHED_NAME_MAX + 16 };
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

static bool
is_of_streams(enum queue_pause_kind kind)
{
	return kind == QUEUE_PAUSE_JOB || kind == QUEUE_PAUSE_USER || kind == QUEUE_PAUSE_STREAM ||
	       kind == QUEUE_PAUSE_SENDER;
}

/* Cuts it off the name; empty: all sites. */
static struct queue_blob
cut_site(enum queue_pause_kind kind, struct queue_blob *name)
{
	const char *zero = is_of_streams(kind) && name->len > 0 ? memchr(name->ptr, '\0', name->len) : NULL;
	struct queue_blob site = {"", 0};

	if (zero == NULL)
		return site;
	site.ptr = zero + 1;
	site.len = name->len - (size_t)(zero + 1 - (const char *)name->ptr);
	name->len -= site.len + 1;
	return site;
}

static struct queue_pause_view
view_of(const struct sched_pause *p)
{
	struct queue_pause_view v = {.kind = p->kind,
		.name = {p->name, p->name_len},
		.reason = sched_text_blob(p->reason),
		.source = p->source,
		.until_us = p->until_us};

	v.site = cut_site(p->kind, &v.name);
	return v;
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

bool
queue_sched_pause_find(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name,
	uint32_t source, struct queue_pause_view *out)
{
	const struct sched_pause *p = pause_find(q, kind, name, source);

	if (p != NULL)
		*out = view_of(p);
	return p != NULL;
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

/* The same, and the site of its flow. */
static struct queue_blob
flow_name(const struct sched_flow *f, enum queue_pause_kind kind, char buf[PAUSE_NAME_MAX])
{
	const struct sched_site *site = f->way->site;
	struct queue_blob name = stream_name(f->stream, kind, buf);

	if (name.ptr != buf)
		memcpy(buf, name.ptr, name.len);
	buf[name.len] = '\0';
	memcpy(buf + name.len + 1, site->name, site->name_len);
	return (struct queue_blob){buf, name.len + 1 + site->name_len};
}

static const enum queue_pause_kind kinds_of_streams[] = {
	QUEUE_PAUSE_USER, QUEUE_PAUSE_JOB, QUEUE_PAUSE_STREAM, QUEUE_PAUSE_SENDER};
enum { KINDS_OF_STREAMS = sizeof(kinds_of_streams) / sizeof(kinds_of_streams[0]) };

void
sched_stream_ask_pauses(struct queue_sched *q, struct sched_stream *s)
{
	char buf[PAUSE_NAME_MAX];
	size_t i;

	for (i = 0; q->pauses.count > 0 && i < KINDS_OF_STREAMS; i++)
		if (sched_is_paused(q, kinds_of_streams[i], stream_name(s, kinds_of_streams[i], buf), 0))
			s->paused |= PAUSED(kinds_of_streams[i]);
}

uint16_t
sched_flow_ask_pauses(const struct queue_sched *q, const struct sched_flow *f)
{
	char buf[PAUSE_NAME_MAX];
	uint16_t paused = 0;
	size_t i;

	for (i = 0; q->pauses_at_sites > 0 && i < KINDS_OF_STREAMS; i++)
		if (sched_is_paused(q, kinds_of_streams[i], flow_name(f, kinds_of_streams[i], buf), 0))
			paused |= PAUSED(kinds_of_streams[i]);
	return paused;
}

bool
sched_cell_is_paused(const struct queue_sched *q, const struct sched_cell *cell)
{
	return q->is_paused || !cell->is_runnable ||
	       (cell->flow != NULL && (cell->flow->paused != 0 || sched_way_is_paused(q, cell->flow->way)));
}

bool
sched_stream_pause_view(
	const struct queue_sched *q, const struct sched_stream *s, struct queue_pause_view *out)
{
	char buf[PAUSE_NAME_MAX];
	size_t i;

	for (i = 0; s->paused != 0 && i < KINDS_OF_STREAMS; i++)
		if ((s->paused & PAUSED(kinds_of_streams[i])) != 0)
			return queue_sched_pause_find(
				q, kinds_of_streams[i], stream_name(s, kinds_of_streams[i], buf), 0, out);
	return false;
}

bool
sched_flow_pause_view(const struct queue_sched *q, const struct sched_flow *f, struct queue_pause_view *out)
{
	char buf[PAUSE_NAME_MAX];
	size_t i;

	for (i = 0; f->paused != 0 && i < KINDS_OF_STREAMS; i++)
		if ((f->paused & PAUSED(kinds_of_streams[i])) != 0)
			return queue_sched_pause_find(
				q, kinds_of_streams[i], flow_name(f, kinds_of_streams[i], buf), 0, out);
	return false;
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

static uint16_t
with_flag(uint16_t paused, enum queue_pause_kind kind, bool on)
{
	return on ? paused | PAUSED(kind) : paused & (uint16_t)~PAUSED(kind);
}

static void
flag_flows(struct queue_sched *q, struct sched_site *site, enum queue_pause_kind kind,
	const struct sched_stream *s, bool on)
{
	struct queue_link *l;

	for (l = site->ways.next; l != &site->ways; l = l->next) {
		const struct sched_way *way = QUEUE_OF(l, struct sched_way, of_site);
		struct sched_flow *f = sched_flow_find(q, site, way->choice, s);

		if (f != NULL)
			sched_flow_pause(q, f, with_flag(f->paused, kind, on));
	}
}

static void
flag_streams(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, bool on)
{
	struct queue_blob at = cut_site(kind, &name);
	struct sched_site *site = at.len > 0 ? sched_site_find(q, at) : NULL;
	struct queue_link *l, *c;
	char buf[PAUSE_NAME_MAX];

	if (at.len > 0 && site == NULL)
		return;
	for (l = q->all_streams.next; l != &q->all_streams; l = l->next) {
		struct sched_stream *s = QUEUE_OF(l, struct sched_stream, all);

		struct queue_blob own = stream_name(s, kind, buf);

		if (!sched_name_is(own.ptr, own.len, name))
			continue;
		if (site != NULL) {
			flag_flows(q, site, kind, s, on);
			continue;
		}
		s->paused = with_flag(s->paused, kind, on);
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
	struct queue_blob first = *name, site;

	if (kind != QUEUE_PAUSE_SOURCE)
		*source = 0;
	switch (kind) {
	case QUEUE_PAUSE_ALL:
	case QUEUE_PAUSE_SOURCE:
		*name = (struct queue_blob){"", 0};
		return true;
	case QUEUE_PAUSE_DOMAIN:
	case QUEUE_PAUSE_SITE:
		return name->len > 0 && name->len <= PAUSE_NAME_MAX;
	case QUEUE_PAUSE_JOB:
	case QUEUE_PAUSE_USER:
	case QUEUE_PAUSE_STREAM:
	case QUEUE_PAUSE_SENDER:
		site = cut_site(kind, &first);
		return first.len > 0 && name->len <= PAUSE_NAME_MAX &&
		       (site.len > 0 || first.len == name->len);
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
	q->pauses_at_sites += cut_site(kind, &name).len > 0;
	return p;
}

static void
pause_unlink(struct queue_sched *q, struct sched_pause *p)
{
	q->pauses_at_sites -= view_of(p).site.len > 0;
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
	bool is_new;

	sched_clock(q, now_us);
	if (!normalise(kind, &name, &source))
		return QUEUE_EINVAL;
	p = pause_find(q, kind, name, source);
	is_new = p == NULL;
	if (is_new && (p = pause_create(q, kind, name, source)) == NULL)
		return QUEUE_ENOMEM;
	p->until_us = until_us;
	sched_text_set(q, &p->reason, reason);
	queue_heap_set(&q->pause_timers, &p->timer, until_us);
	/* Each reply of a site may make it longer: that must not cost a walk. */
	if (is_new)
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
		const struct queue_pause_view v = view_of(QUEUE_OF(n, struct sched_pause, node));

		if (!visit(arg, &v))
			return;
	}
}
