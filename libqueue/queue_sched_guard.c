/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guards in the schedule: what becomes of recipients is counted for their user, their stream and the source
 * they left by (queue_guard), and who sends too much to bad addresses is slowed down and stopped.
 *
 * A level takes effect before the next order and not in the settling that reached it: that may end the very
 * stream. Slow is one transaction at a time, stop a pause of the user or stream with the numbers as its
 * reason. The record on disk has the level, so the pause comes again with the next start. Whatever ends the
 * pause releases the guard, and a user's takes along what its streams have counted of the same mail, or the
 * next bounce would stop one of them. While a user is stopped, what still comes back of it counts nowhere.
 *
 * A source is never stopped, it is told of: the mail of everybody would stand still for that of one.
 *
 * Invariants: a guard lives while somebody has it (refs), or while it knows something. Its timer is never
 * later than what has to happen next, but may be earlier.
 */
#include "queue_bytes.h"
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 2 * SCHED_NAME_MAX + 16, REASON_MAX = 96 };
#define NOTE_US (INT64_C(60) * 1000000)
#define KEEP_US (INT64_C(86400) * 1000000) /* without settings to say so */

/* --- find and make --- */

static uint64_t
guard_hash(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name)
{
	return queue_map_mix(queue_map_hash(q->seed, name), (uint64_t)kind);
}

static struct sched_guard *
guard_find(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name)
{
	struct queue_map_node *n = queue_map_find(&q->guards, guard_hash(q, kind, name));

	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_guard *g = QUEUE_OF(n, struct sched_guard, node);

		if (g->kind == kind && sched_name_is(g->name, g->name_len, name))
			return g;
	}
	return NULL;
}

/* NULL: no memory. */
static struct sched_guard *
guard_create(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name)
{
	struct sched_guard *g;

	if (queue_heap_reserve(&q->guard_timers, q->guards.count + 1) < 0 ||
		(g = sched_alloc(q, sizeof(*g) + name.len)) == NULL)
		return NULL;
	g->kind = (uint8_t)kind;
	g->name_len = (uint16_t)name.len;
	memcpy(g->name, name.ptr, name.len);
	queue_link_init(&g->due);
	queue_link_init(&g->noting.link);
	g->noting.kind = SCHED_NOTE_GUARD;
	queue_map_insert(&q->guards, &g->node, guard_hash(q, kind, name));
	return g;
}

static void
guard_free(struct queue_sched *q, struct sched_guard *g)
{
	queue_link_remove(&g->due);
	queue_link_remove(&g->noting.link);
	queue_heap_set(&q->guard_timers, &g->timer, INT64_MAX);
	queue_map_remove(&q->guards, &g->node);
	sched_free(q, g, sizeof(*g) + g->name_len);
}

/* The user (or source), and behind the zero, of a stream, "job/class". */
static struct queue_blob
first_name(const struct sched_guard *g)
{
	const char *zero = memchr(g->name, '\0', g->name_len);

	return (struct queue_blob){g->name, (size_t)(zero - g->name)};
}

static struct queue_blob
single_key(struct queue_blob name, char buf[NAME_MAX_BYTES])
{
	size_t len = name.len < SCHED_NAME_MAX ? name.len : SCHED_NAME_MAX;

	if (len > 0)
		memcpy(buf, name.ptr, len);
	buf[len] = '\0';
	return (struct queue_blob){buf, len + 1};
}

static struct queue_blob
stream_key(struct queue_blob user, struct queue_blob job, enum queue_class klass, char buf[NAME_MAX_BYTES])
{
	struct queue_blob first = single_key(user, buf);
	int job_len = (int)(job.len < SCHED_NAME_MAX ? job.len : SCHED_NAME_MAX);
	int rest = snprintf(buf + first.len, NAME_MAX_BYTES - first.len, "%.*s/%s", job_len,
		(const char *)job.ptr, queue_class_text(klass));

	return (struct queue_blob){buf, first.len + (size_t)rest};
}

/* As pauses have it: "user/job/class", or the one name. */
static struct queue_blob
pause_name(const struct sched_guard *g, char buf[NAME_MAX_BYTES])
{
	struct queue_blob first = first_name(g);

	assert(g->name_len <= NAME_MAX_BYTES);
	memcpy(buf, g->name, g->name_len);
	if (g->kind == QUEUE_PAUSE_STREAM)
		buf[first.len] = '/';
	else
		return (struct queue_blob){buf, first.len};
	return (struct queue_blob){buf, g->name_len};
}

/* Takes a reference where there is one, made or, with `make`, made now. */
static void
attach(struct queue_sched *q, struct sched_guard **slot, enum queue_pause_kind kind, struct queue_blob key,
	bool make)
{
	if (*slot != NULL)
		return;
	if ((*slot = guard_find(q, kind, key)) == NULL && make)
		*slot = guard_create(q, kind, key);
	if (*slot != NULL)
		(*slot)->refs++;
}

static void
attach_stream(struct queue_sched *q, struct sched_stream *s, bool make)
{
	struct queue_blob user = {s->names, s->user_len};
	char buf[NAME_MAX_BYTES];

	if (s->guard != NULL && (s->user->guard != NULL || user.len == 0))
		return;
	/* Mail without a user is nobody's; its streams are told apart by job. */
	if (user.len > 0)
		attach(q, &s->user->guard, QUEUE_PAUSE_USER, single_key(user, buf), make);
	attach(q, &s->guard, QUEUE_PAUSE_STREAM,
		stream_key(user, (struct queue_blob){s->names + s->user_len, s->job_len},
			(enum queue_class)s->klass, buf),
		make);
}

void
sched_stream_find_guards(struct queue_sched *q, struct sched_stream *s)
{
	if (q->guards.count > 0)
		attach_stream(q, s, false);
}

void
sched_guard_leave(struct sched_guard **slot)
{
	if (*slot == NULL)
		return;
	assert((*slot)->refs > 0);
	(*slot)->refs--;
	*slot = NULL;
}

const struct sched_guard *
sched_guard_of_user(const struct queue_sched *q, struct queue_blob user)
{
	char buf[NAME_MAX_BYTES];

	return guard_find(q, QUEUE_PAUSE_USER, single_key(user, buf));
}

/* --- what it says --- */

/* False: nobody is guarded. */
static bool
conf_of(const struct queue_sched *q, const struct sched_guard *g, struct queue_guard_conf *out)
{
	bool is_source = g->kind == QUEUE_PAUSE_SOURCE;
	struct queue_blob user = is_source ? (struct queue_blob){"", 0} : first_name(g);
	const struct queue_guard_conf *c = q->conf.guard != NULL ? q->conf.guard(q->conf.arg, user) : NULL;

	if (c == NULL)
		return false;
	*out = *c;
	for (int r = 0; is_source && r < QUEUE_GUARD_RATES; r++)
		out->limit_ppm[r][QUEUE_GUARD_STOP] = QUEUE_GUARD_PPM;
	return true;
}

/* From when on nothing it has counted matters. */
static int64_t
ends_us(const struct queue_sched *q, const struct sched_guard *g)
{
	struct queue_guard_conf c;
	int64_t keep_us = conf_of(q, g, &c) ? c.window_us + 2 * (c.window_us / QUEUE_GUARD_BUCKETS) : KEEP_US;

	if (queue_guard_level(&g->guard) != QUEUE_GUARD_OK)
		return INT64_MAX;
	return queue_retry_add(g->fed_us > g->guard.since_us ? g->fed_us : g->guard.since_us, keep_us);
}

static void
arm(struct queue_sched *q, struct sched_guard *g)
{
	int64_t at_us = ends_us(q, g), next_us = queue_guard_next_us(&g->guard);

	at_us = next_us < at_us ? next_us : at_us;
	if (at_us < queue_heap_at(&q->guard_timers, &g->timer))
		queue_heap_set(&q->guard_timers, &g->timer, at_us);
}

static void
want_note(struct queue_sched *q, struct sched_guard *g)
{
	if (g->noting.is_under_way)
		g->noting.is_again = true;
	else
		sched_note_want(q, &g->noting);
	g->noted_us = q->now_us;
}

static void
changed(struct queue_sched *q, struct sched_guard *g, const struct queue_guard_change *change)
{
	char buf[NAME_MAX_BYTES];

	if (q->conf.on_guard != NULL)
		q->conf.on_guard(q->conf.arg, (enum queue_pause_kind)g->kind, pause_name(g, buf), change);
	if (queue_link_is_alone(&g->due))
		queue_link_back(&q->guards_due, &g->due);
	want_note(q, g);
}

static void
feed(struct queue_sched *q, struct sched_guard *g, const struct queue_guard_fact *fact)
{
	struct queue_guard_change change;
	struct queue_guard_conf c;

	if (g == NULL || !conf_of(q, g, &c))
		return;
	g->fed_us = q->now_us;
	if (queue_guard_feed(&g->guard, &c, fact, q->now_us, &change))
		changed(q, g, &change);
	else if (q->now_us - g->noted_us >= NOTE_US)
		want_note(q, g);
	if (queue_heap_at(&q->guard_timers, &g->timer) == INT64_MAX ||
		queue_guard_next_us(&g->guard) != INT64_MAX)
		arm(q, g);
}

static bool
is_stopped(const struct sched_guard *g)
{
	return g != NULL && queue_guard_level(&g->guard) == QUEUE_GUARD_STOP;
}

void
sched_guards_settled(struct queue_sched *q, const struct queue_lease *l, struct sched_stream *s,
	const struct queue_verdict *v)
{
	struct sched_share *source = sched_source(q, l->session->lane->source);
	struct queue_guard_fact fact = {.outcome = QUEUE_GUARD_DELIVERED, .count = 1};
	char buf[NAME_MAX_BYTES];

	if (q->conf.guard == NULL)
		return;
	if (v->kind == QUEUE_VERDICT_FAILED && v->blame == QUEUE_BLAME_RECIPIENT && v->code != 0)
		fact.outcome = QUEUE_GUARD_BOUNCED;
	else if (v->kind != QUEUE_VERDICT_DELIVERED)
		return;
	attach_stream(q, s, true);
	if (is_stopped(s->user->guard))
		return;
	feed(q, s->user->guard, &fact);
	if (is_stopped(s->user->guard))
		return;
	feed(q, s->guard, &fact);
	if (source->guard == NULL)
		attach(q, &source->guard, QUEUE_PAUSE_SOURCE,
			single_key(sched_source_name(q, l->session->lane->source), buf), true);
	feed(q, source->guard, &fact);
}

/* Its guard, made if it has none; without a reference, as nothing of it need be queued. */
static struct sched_guard *
guard_get(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob key)
{
	struct sched_guard *g = guard_find(q, kind, key);

	return g != NULL ? g : guard_create(q, kind, key);
}

void
sched_guards_fed_back(struct queue_sched *q, const struct queue_feedback *f)
{
	bool is_bounce = f->kind == QUEUE_FEEDBACK_BAD_ADDRESS;
	const struct queue_guard_fact fact = {
		.outcome = is_bounce ? QUEUE_GUARD_BOUNCED : QUEUE_GUARD_COMPLAINED,
		.count = 1,
		.sent_us = f->sent_us,
		.was_delivered = is_bounce,
	};
	struct sched_guard *user = NULL;
	char buf[NAME_MAX_BYTES];

	if (q->conf.guard == NULL)
		return;
	if (f->user.len > 0)
		user = guard_get(q, QUEUE_PAUSE_USER, single_key(f->user, buf));
	if (is_stopped(user))
		return;
	feed(q, user, &fact);
	if (is_stopped(user))
		return;
	if (f->user.len > 0 || f->job.len > 0)
		feed(q, guard_get(q, QUEUE_PAUSE_STREAM, stream_key(f->user, f->job, f->klass, buf)), &fact);
	if (f->source.len > 0)
		feed(q, guard_get(q, QUEUE_PAUSE_SOURCE, single_key(f->source, buf)), &fact);
}

/* --- what it does --- */

const struct queue_limits *
sched_guard_limits(const struct sched_guard *g, const struct queue_limits *limits, struct queue_limits *buf)
{
	if (g == NULL || queue_guard_level(&g->guard) < QUEUE_GUARD_SLOW)
		return limits;
	*buf = limits != NULL ? *limits : (struct queue_limits){0};
	buf->connections = 1;
	return buf;
}

static bool
pause_it(struct queue_sched *q, const struct sched_guard *g)
{
	enum queue_guard_rate rate = g->guard.level[QUEUE_GUARD_BOUNCE] == QUEUE_GUARD_STOP
					     ? QUEUE_GUARD_BOUNCE
					     : QUEUE_GUARD_COMPLAINT;
	const struct queue_guard_numbers n = queue_guard_numbers(&g->guard, rate);
	char buf[NAME_MAX_BYTES], reason[REASON_MAX];
	struct queue_blob name = pause_name(g, buf);
	int len;

	assert(g->kind == QUEUE_PAUSE_USER || g->kind == QUEUE_PAUSE_STREAM);
	if (sched_is_paused(q, (enum queue_pause_kind)g->kind, name, 0))
		return true;
	len = snprintf(reason, sizeof(reason), QUEUE_PAUSE_BY_GUARD "%ss %u.%u %% of %llu recipients",
		queue_guard_rate_text(rate), n.ppm / 10000, n.ppm / 1000 % 10,
		(unsigned long long)n.recipients);
	return queue_sched_pause(q, (enum queue_pause_kind)g->kind, name, 0, INT64_MAX,
		       (struct queue_blob){reason, (size_t)len}, q->now_us) == QUEUE_OK;
}

static bool
take_effect(struct queue_sched *q, const struct sched_guard *g)
{
	bool ok = !is_stopped(g) || pause_it(q, g);
	struct queue_link *l;

	for (l = q->all_streams.next; ok && l != &q->all_streams; l = l->next) {
		struct sched_stream *s = QUEUE_OF(l, struct sched_stream, all);

		if (s->guard == g || s->user->guard == g)
			ok = sched_stream_set_limits(q, s);
	}
	return ok;
}

/* Without memory for it nothing goes out for a second. */
void
sched_guards_apply(struct queue_sched *q)
{
	while (!queue_link_is_alone(&q->guards_due)) {
		struct sched_guard *g = QUEUE_OF(q->guards_due.next, struct sched_guard, due);

		if (!take_effect(q, g)) {
			q->stalled_until_us = queue_retry_add(q->now_us, INT64_C(1000000));
			return;
		}
		queue_link_remove(&g->due);
	}
}

static void
release(struct queue_sched *q, struct sched_guard *g)
{
	struct queue_guard_change change;

	if (queue_guard_release(&g->guard, q->now_us, &change))
		changed(q, g, &change);
	else
		want_note(q, g);
	arm(q, g);
}

void
sched_guard_resumed(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name)
{
	struct queue_map_node *n;
	char buf[NAME_MAX_BYTES];
	bool is_released = false;

	if (kind != QUEUE_PAUSE_USER && kind != QUEUE_PAUSE_STREAM)
		return;
	/* A name with a site is nobody's here: a guard stops at all sites. */
	for (n = queue_map_each(&q->guards, NULL); n != NULL; n = queue_map_each(&q->guards, n)) {
		struct sched_guard *g = QUEUE_OF(n, struct sched_guard, node);
		struct queue_blob own = pause_name(g, buf);

		if (g->kind != kind || !is_stopped(g) || !sched_name_is(own.ptr, own.len, name))
			continue;
		release(q, g);
		is_released = true;
	}
	for (n = queue_map_each(&q->guards, NULL); kind == QUEUE_PAUSE_USER && is_released && n != NULL;
		n = queue_map_each(&q->guards, n)) {
		struct sched_guard *g = QUEUE_OF(n, struct sched_guard, node);
		struct queue_blob user = first_name(g);

		if (g->kind == QUEUE_PAUSE_STREAM && !is_stopped(g) &&
			sched_name_is(user.ptr, user.len, name))
			release(q, g);
	}
}

/* --- time and settings --- */

static void
on_timer(struct queue_sched *q, struct sched_guard *g)
{
	struct queue_guard_change change;
	struct queue_guard_conf c;

	queue_heap_set(&q->guard_timers, &g->timer, INT64_MAX);
	if (conf_of(q, g, &c) && queue_guard_look(&g->guard, &c, q->now_us, &change))
		changed(q, g, &change);
	if (ends_us(q, g) > q->now_us)
		arm(q, g);
	else if (g->refs == 0 && queue_link_is_alone(&g->due)) {
		if (g->noting.is_on_disk)
			want_note(q, g);
		else if (!g->noting.is_under_way)
			guard_free(q, g);
	} else
		queue_heap_set(&q->guard_timers, &g->timer, queue_retry_add(q->now_us, KEEP_US));
}

void
sched_guard_timers(struct queue_sched *q)
{
	while (queue_heap_first_us(&q->guard_timers) <= q->now_us)
		on_timer(q, QUEUE_OF(queue_heap_first(&q->guard_timers), struct sched_guard, timer));
}

/* Each is looked at again: the clock or the thresholds are others. */
static void
look_again(struct queue_sched *q, struct sched_guard *g)
{
	queue_heap_set(&q->guard_timers, &g->timer, q->now_us);
}

void
sched_guards_reconfigured(struct queue_sched *q)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->guards, NULL); n != NULL; n = queue_map_each(&q->guards, n))
		look_again(q, QUEUE_OF(n, struct sched_guard, node));
}

void
sched_guards_shift(struct queue_sched *q, int64_t step_us)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->guards, NULL); n != NULL; n = queue_map_each(&q->guards, n)) {
		struct sched_guard *g = QUEUE_OF(n, struct sched_guard, node);

		queue_guard_shift(&g->guard, step_us);
		g->fed_us = queue_retry_move(g->fed_us, step_us);
		g->noted_us = queue_retry_move(g->noted_us, step_us);
		look_again(q, g);
	}
}

void
sched_guards_free(struct queue_sched *q)
{
	struct queue_map_node *n, *next;

	for (n = queue_map_each(&q->guards, NULL); n != NULL; n = next) {
		next = queue_map_each(&q->guards, n);
		assert(QUEUE_OF(n, struct sched_guard, node)->refs == 0);
		guard_free(q, QUEUE_OF(n, struct sched_guard, node));
	}
}

/* --- on disk (queue_sched_note.c) --- */

bool
sched_guard_is_over(const struct queue_sched *q, const struct sched_guard *g)
{
	return g->refs == 0 && ends_us(q, g) <= q->now_us;
}

void
sched_guard_noted(struct queue_sched *q, struct sched_guard *g, bool failed)
{
	if (failed || g->noting.is_again)
		want_note(q, g);
	look_again(q, g);
}

int
sched_guard_restore(struct queue_sched *q, struct queue_blob name, struct queue_blob record)
{
	const char *kind_and_name = name.ptr;
	struct queue_blob key = {kind_and_name + 1, name.len - 1};
	struct queue_guard guard;
	struct sched_guard *g;
	enum queue_pause_kind kind;
	int err;

	if (name.len < 2 || name.len > NAME_MAX_BYTES || kind_and_name[0] < '0' ||
		kind_and_name[0] > '0' + QUEUE_PAUSE_STREAM)
		return QUEUE_EDAMAGED;
	kind = (enum queue_pause_kind)(kind_and_name[0] - '0');
	if (kind != QUEUE_PAUSE_USER && kind != QUEUE_PAUSE_STREAM && kind != QUEUE_PAUSE_SOURCE)
		return QUEUE_EDAMAGED;
	if ((err = queue_guard_decode(record, &guard)) < 0)
		return err;
	if (guard_find(q, kind, key) != NULL || (g = guard_create(q, kind, key)) == NULL)
		return QUEUE_EINVAL;
	g->guard = guard;
	g->fed_us = guard.newest_us < q->now_us ? guard.newest_us : q->now_us;
	g->noted_us = q->now_us;
	g->noting.is_on_disk = true;
	queue_link_back(&q->guards_due, &g->due);
	look_again(q, g);
	return QUEUE_OK;
}
