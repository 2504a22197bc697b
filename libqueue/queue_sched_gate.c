/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates: limits with who waits for them.
 *
 * A gate exists where there is a limit, and stays while one of its long windows counts for something, whether
 * or not the lane or stream it is about is still there; so nothing is forgotten by mail that comes and goes.
 *
 * Waiters stand in two queues, one for a message and one for a connection, urgent ones in front. The gate's
 * timer goes off when the first of either may go; then the gate is in queue_sched.open, and next() wakes one
 * waiter at a time until the gate is shut again. Who was woken and cannot go for another reason leaves its
 * turn to the next.
 *
 * Invariants: a waiter is in the queue of at most one gate. A gate is in queue_sched.open or its timer is no
 * later than when its first waiter may go. connections counts what sched_gate_connected() was told.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <string.h>

enum { RATES_MAX = 32 /* of one gate */ };

/* --- find and make --- */

static uint64_t
gate_hash(const struct queue_sched *q, enum queue_level level, struct queue_blob a, struct queue_blob b)
{
	return queue_map_mix(
		queue_map_hash(q->seed, a), queue_map_mix(queue_map_hash(q->seed, b), (uint64_t)level));
}

static bool
gate_is(const struct sched_gate *g, enum queue_level level, struct queue_blob a, struct queue_blob b)
{
	return g->level == level && g->name_len == a.len + 1 + b.len && sched_name_is(g->name, a.len, a) &&
	       g->name[a.len] == '\0' && sched_name_is(g->name + a.len + 1, b.len, b);
}

struct sched_gate *
sched_gate_find(const struct queue_sched *q, enum queue_level level, struct queue_blob a, struct queue_blob b)
{
	struct queue_map_node *n = queue_map_find(&q->gates, gate_hash(q, level, a, b));

	for (; n != NULL; n = queue_map_find_next(n))
		if (gate_is(QUEUE_OF(n, struct sched_gate, node), level, a, b))
			return QUEUE_OF(n, struct sched_gate, node);
	return NULL;
}

static size_t
meters_bytes(uint32_t count)
{
	return count * sizeof(struct queue_meter);
}

static struct sched_gate *
gate_create(struct queue_sched *q, enum queue_level level, struct queue_blob a, struct queue_blob b)
{
	struct sched_gate *g;
	int i;

	if (queue_heap_reserve(&q->gate_timers, q->gates.count + 1) < 0 ||
		(g = sched_alloc(q, sizeof(*g) + a.len + 1 + b.len)) == NULL)
		return NULL;
	g->level = (uint8_t)level;
	g->name_len = (uint16_t)(a.len + 1 + b.len);
	if (a.len > 0)
		memcpy(g->name, a.ptr, a.len);
	if (b.len > 0)
		memcpy(g->name + a.len + 1, b.ptr, b.len);
	for (i = 0; i < SCHED_WANTS; i++)
		queue_link_init(&g->waiters[i]);
	queue_link_init(&g->open);
	queue_link_init(&g->noting.link);
	g->noting.kind = SCHED_NOTE_GATE;
	g->factor = 1000;
	queue_map_insert(&q->gates, &g->node, gate_hash(q, level, a, b));
	return g;
}

static void
gate_free(struct queue_sched *q, struct sched_gate *g)
{
	assert(queue_link_is_alone(&g->waiters[0]) && queue_link_is_alone(&g->waiters[1]));
	queue_link_remove(&g->open);
	queue_link_remove(&g->noting.link);
	queue_heap_set(&q->gate_timers, &g->timer, INT64_MAX);
	queue_map_remove(&q->gates, &g->node);
	if (g->meters != NULL)
		sched_free(q, g->meters, meters_bytes(g->meter_count));
	if (g->warm != NULL)
		sched_free(q, g->warm, sizeof(*g->warm));
	sched_free(q, g, sizeof(*g) + g->name_len);
}

/* --- what it lets through --- */

/* What only urgent mail may use. */
int64_t
sched_gate_reserve(const struct queue_sched *q, const struct sched_gate *g, int64_t count, bool is_urgent)
{
	int64_t part;

	if (is_urgent || q->urgent_until_us <= q->now_us || g->urgent_percent == 0 || count < 2)
		return 0;
	part = count / 100 * g->urgent_percent + count % 100 * g->urgent_percent / 100;
	return part > 0 ? part : 1;
}

static bool
is_for(const struct sched_gate *g, const struct queue_meter *m, enum sched_want want)
{
	return (m->unit == QUEUE_UNIT_CONNECTIONS) == (want == SCHED_WANT_CONNECTION);
}

/* Of streams and users, what is counted as a connection is a transaction. */
static bool
has_connection_for(
	const struct queue_sched *q, const struct sched_gate *g, enum sched_want want, bool is_urgent)
{
	bool counts = want == SCHED_WANT_CONNECTION || g->level == QUEUE_LEVEL_STREAM ||
		      g->level == QUEUE_LEVEL_USER;

	return !counts || g->connections_max == 0 ||
	       g->connections + sched_gate_reserve(q, g, g->connections_max, is_urgent) < g->connections_max;
}

/* now or before: at once. INT64_MAX: not by time alone. */
static int64_t
ready_us(const struct queue_sched *q, const struct sched_gate *g, enum sched_want want, bool is_urgent)
{
	int64_t at_us = 0, ready;
	uint32_t i;

	if (!has_connection_for(q, g, want, is_urgent))
		return INT64_MAX;
	/* Asking moves a warm-up on to the present day; what it decides is the same. */
	if (g->warm != NULL)
		return want == SCHED_WANT_MAIL ? sched_warm_ready_us((struct queue_sched *)(uintptr_t)q,
							 (struct sched_gate *)(uintptr_t)g)
					       : 0;
	for (i = 0; i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (!is_for(g, m, want))
			continue;
		ready = queue_meter_ready_us(
			m, q->now_us, sched_gate_reserve(q, g, m->rate.count, is_urgent));
		if (ready > at_us)
			at_us = ready;
	}
	return at_us;
}

bool
sched_gate_lets(const struct queue_sched *q, const struct sched_gate *g, enum sched_want want, bool is_urgent)
{
	return g == NULL || ready_us(q, g, want, is_urgent) <= q->now_us;
}

uint32_t
sched_gate_rcpts(const struct queue_sched *q, const struct sched_gate *g, bool is_urgent)
{
	int64_t max = UINT32_MAX, room;
	uint32_t i;

	if (g != NULL && g->warm != NULL) {
		room = sched_warm_room((struct queue_sched *)(uintptr_t)q, (struct sched_gate *)(uintptr_t)g);
		return room < max ? (uint32_t)room : (uint32_t)max;
	}
	for (i = 0; g != NULL && i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (m->unit != QUEUE_UNIT_RECIPIENTS)
			continue;
		room = queue_meter_room(m, q->now_us, sched_gate_reserve(q, g, m->rate.count, is_urgent));
		if (room < max)
			max = room;
	}
	return max > 0 ? (uint32_t)max : 1;
}

/* --- who waits --- */

static struct sched_waiter *
first_waiter(const struct sched_gate *g, int want)
{
	const struct queue_link *list = &g->waiters[want];

	return queue_link_is_alone(list) ? NULL : QUEUE_OF(list->next, struct sched_waiter, link);
}

static bool
has_waiters(const struct sched_gate *g)
{
	return first_waiter(g, SCHED_WANT_MAIL) != NULL || first_waiter(g, SCHED_WANT_CONNECTION) != NULL;
}

static void
wake(struct queue_sched *q, struct sched_waiter *w)
{
	queue_link_remove(&w->link);
	w->gate = NULL;
	switch ((enum sched_waiter_kind)w->kind) {
	case SCHED_WAITS_LANE:
		sched_lane_able(q, QUEUE_OF(w, struct queue_lane, waiter), true);
		return;
	case SCHED_WAITS_FLOW:
		sched_flow_wake(q, QUEUE_OF(w, struct sched_flow, turn.waiter));
		return;
	case SCHED_WAITS_PARTY:
		sched_party_wake(q, QUEUE_OF(w, struct sched_party, turn.waiter));
		return;
	case SCHED_WAITS_WAY:
		sched_way_kick(q, QUEUE_OF(w, struct sched_way, waiter), true);
		return;
	}
}

static bool
wake_first(struct queue_sched *q, struct sched_gate *g)
{
	int want;

	for (want = 0; want < SCHED_WANTS; want++) {
		struct sched_waiter *w = first_waiter(g, want);

		if (w != NULL && sched_gate_lets(q, g, (enum sched_want)want, w->is_urgent)) {
			wake(q, w);
			return true;
		}
	}
	return false;
}

/* --- limits --- */

static bool
is_limited(const struct queue_limits *l)
{
	int u;

	if (l == NULL)
		return false;
	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		if (l->units[u].count > 0)
			return true;
	return l->connections > 0;
}

static bool
is_same_rate(const struct queue_meter *m, enum queue_unit unit, const struct queue_rate *r)
{
	return m->unit == unit && m->rate.per_us == r->per_us && m->rate.count == r->count;
}

/* Whether the meters are those of the limits already: then nothing has to be made. */
static bool
has_meters_of(const struct sched_gate *g, const struct queue_limits *l)
{
	uint32_t n = 0, i;
	int u;

	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		for (i = 0; i < l->units[u].count; i++, n++)
			if (n >= g->meter_count || !is_same_rate(&g->meters[n], u, &l->units[u].rates[i]))
				return false;
	return n == g->meter_count;
}

static void
meter_carry_over(const struct sched_gate *g, struct queue_meter *to)
{
	uint32_t i;

	for (i = 0; i < g->meter_count; i++) {
		struct queue_meter *from = &g->meters[i];

		if (from->unit != to->unit || from->rate.per_us != to->rate.per_us)
			continue;
		queue_meter_set_count(from, to->rate.count);
		*to = *from;
		return;
	}
}

/* Leases may be out that new meters do not know of. */
static bool
has_leases(const struct queue_sched *q, const struct sched_gate_spec *spec)
{
	/* Those of a pool may be with sessions that were opened for another. */
	return spec->connections > 0 || (spec->level == QUEUE_LEVEL_POOL && q->session_count > 0);
}

/* What was used in a window of the same length counts on. */
static bool
set_meters(struct queue_sched *q, struct sched_gate *g, const struct sched_gate_spec *spec)
{
	const struct queue_limits *l = spec->limits;
	struct queue_meter *fresh;
	uint32_t n = 0, i;
	int u;

	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		n += l->units[u].count;
	if (n > RATES_MAX)
		return false;
	if ((fresh = sched_alloc(q, meters_bytes(n > 0 ? n : 1))) == NULL)
		return false;
	n = 0;
	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		for (i = 0; i < l->units[u].count; i++, n++) {
			queue_meter_init(&fresh[n], u, l->units[u].rates[i]);
			fresh[n].factor = g->factor;
			fresh[n].from_us = has_leases(q, spec) ? q->now_us : 0;
			meter_carry_over(g, &fresh[n]);
		}
	if (g->meters != NULL)
		sched_free(q, g->meters, meters_bytes(g->meter_count));
	if (n == 0) {
		sched_free(q, fresh, meters_bytes(1));
		fresh = NULL;
	}
	g->meters = fresh;
	g->meter_count = n;
	return true;
}

static int64_t
windows_end_us(const struct queue_sched *q, const struct sched_gate *g)
{
	int64_t end_us = 0;
	uint32_t i;

	for (i = 0; i < g->meter_count; i++) {
		int64_t over_us = queue_meter_over_us(&g->meters[i]);

		if (over_us > q->now_us && over_us > end_us)
			end_us = over_us;
	}
	return end_us;
}

/* Nobody is at it any more: it goes when it has nothing left to remember, on disk either. */
void
sched_gate_retire(struct queue_sched *q, struct sched_gate *g)
{
	int64_t end_us = windows_end_us(q, g);

	if (g->refs > 0 || g->noting.is_under_way || g->warm != NULL)
		return; /* a warm-up is never forgotten */
	if (end_us > q->now_us) {
		queue_heap_set(&q->gate_timers, &g->timer, end_us);
		return;
	}
	if (!g->noting.is_on_disk) {
		gate_free(q, g);
		return;
	}
	if (queue_link_is_alone(&g->noting.link))
		queue_link_back(&q->unwritten, &g->noting.link);
}

void
sched_gate_release(struct queue_sched *q, struct sched_gate **slot)
{
	struct sched_gate *g = *slot;

	*slot = NULL;
	if (g == NULL)
		return;
	assert(g->refs > 0);
	g->refs--;
	sched_gate_retire(q, g);
}

static void
gate_open(struct queue_sched *q, struct sched_gate *g)
{
	if (queue_link_is_alone(&g->open))
		queue_link_back(&q->open, &g->open);
}

/* No limit any more. Who waits may go. What was used is remembered: the limit may come back. */
static void
gate_lift(struct queue_sched *q, struct sched_gate **slot)
{
	struct sched_gate *g = *slot;
	uint32_t count;

	if (g == NULL)
		return;
	count = g->meter_count;
	g->meter_count = 0;
	g->connections_max = 0;
	while (wake_first(q, g))
		;
	g->meter_count = count;
	sched_gate_release(q, slot);
}

bool
sched_gate_set(struct queue_sched *q, struct sched_gate **slot, const struct sched_gate_spec *spec)
{
	struct sched_gate *g = *slot;

	if (!is_limited(spec->limits)) {
		gate_lift(q, slot);
		return true;
	}
	if (g == NULL && (g = sched_gate_find(q, spec->level, spec->a, spec->b)) == NULL &&
		(g = gate_create(q, spec->level, spec->a, spec->b)) == NULL)
		return false;
	if (!has_meters_of(g, spec->limits) && !set_meters(q, g, spec)) {
		if (*slot == NULL)
			sched_gate_retire(q, g);
		return false;
	}
	g->connections_max = spec->limits->connections;
	g->urgent_percent = (uint8_t)spec->urgent_percent;
	if (*slot == NULL) {
		*slot = g;
		/* Streams of one name but with several senders share their gate. */
		g->connections = spec->connections + (g->refs > 0 ? g->connections : 0);
		g->refs++;
	}
	gate_open(q, g);
	return true;
}

/* --- taking --- */

/* Asks for a write where a meter is short of what the disk knows. */
void
sched_gate_want_write(struct queue_sched *q, struct sched_gate *g, bool is_waiting)
{
	uint32_t i;

	if (g->warm != NULL) {
		if (sched_warm_wants_note(g))
			sched_note_want(q, &g->noting);
		return;
	}
	g->is_wanted = g->is_wanted || is_waiting;
	if (g->noting.is_under_way || !queue_link_is_alone(&g->noting.link))
		return;
	for (i = 0; i < g->meter_count; i++)
		if (queue_meter_wants_write(&g->meters[i], q->now_us)) {
			queue_link_back(&q->unwritten, &g->noting.link);
			return;
		}
}

void
sched_gate_take(struct queue_sched *q, struct sched_gate *g, enum queue_unit unit, int64_t n)
{
	bool is_long = false;
	uint32_t i;

	for (i = 0; g != NULL && i < g->meter_count; i++)
		if (g->meters[i].unit == unit) {
			queue_meter_take(&g->meters[i], q->now_us, n);
			is_long = is_long || queue_rate_is_long(&g->meters[i].rate);
		}
	if (is_long)
		sched_gate_want_write(q, g, false);
}

/* Somebody may be able to go who was not before. */
void
sched_gate_changed(struct queue_sched *q, struct sched_gate *g)
{
	if (has_waiters(g))
		gate_open(q, g);
}

void
sched_gate_give_back(
	struct queue_sched *q, struct sched_gate *g, enum queue_unit unit, int64_t taken_us, int64_t n)
{
	uint32_t i;

	if (g == NULL || n == 0)
		return;
	for (i = 0; i < g->meter_count; i++)
		if (g->meters[i].unit == unit)
			queue_meter_give_back(&g->meters[i], taken_us, q->now_us, n);
	sched_gate_want_write(q, g, false);
	sched_gate_changed(q, g);
}

void
sched_gate_connected(struct queue_sched *q, struct sched_gate *g, int by)
{
	if (g == NULL)
		return;
	assert(by > 0 || g->connections > 0);
	g->connections += (uint32_t)by;
	if (by < 0)
		sched_gate_changed(q, g);
}

bool
sched_gate_is_over(const struct sched_gate *g)
{
	return g != NULL && g->connections_max > 0 && g->connections > g->connections_max;
}

bool
sched_gate_is_full(const struct sched_gate *g)
{
	return g != NULL && g->connections_max > 0 && g->connections >= g->connections_max;
}

bool
sched_gate_is_wanted(const struct sched_gate *g)
{
	const struct sched_waiter *w = sched_gate_is_full(g) ? first_waiter(g, SCHED_WANT_CONNECTION) : NULL;

	if (w == NULL)
		return false;
	if (w->kind == SCHED_WAITS_WAY)
		return !sched_way_has_session(QUEUE_OF(w, struct sched_way, waiter));
	return w->kind == SCHED_WAITS_LANE && QUEUE_OF(w, struct queue_lane, waiter)->sessions == 0;
}

/* --- waiting --- */

int64_t
sched_gate_opens_us(const struct queue_sched *q, const struct sched_gate *g)
{
	int64_t at_us = INT64_MAX, us;
	int want;

	for (want = 0; want < SCHED_WANTS; want++) {
		const struct sched_waiter *w = first_waiter(g, want);

		if (w != NULL && (us = ready_us(q, g, (enum sched_want)want, w->is_urgent)) < at_us)
			at_us = us;
	}
	return at_us;
}

static void
gate_arm(struct queue_sched *q, struct sched_gate *g)
{
	int64_t at_us = sched_gate_opens_us(q, g);

	/* A window that is over, or a limit that was raised, leaves room that the disk does not know of. */
	if (has_waiters(g))
		sched_gate_want_write(q, g, true);
	if (at_us <= q->now_us) {
		gate_open(q, g);
		at_us = INT64_MAX;
	} else if (g->refs == 0 && windows_end_us(q, g) > 0) {
		at_us = windows_end_us(q, g);
	}
	queue_heap_set(&q->gate_timers, &g->timer, at_us);
}

void
sched_gate_wait(struct queue_sched *q, struct sched_gate *g, struct sched_waiter *w, enum sched_want want,
	bool is_urgent)
{
	assert(w->gate == NULL && g != NULL);
	w->gate = g;
	w->want = (uint8_t)want;
	w->is_urgent = is_urgent;
	if (is_urgent)
		queue_link_front(&g->waiters[want], &w->link);
	else
		queue_link_back(&g->waiters[want], &w->link);
	gate_arm(q, g);
}

void
sched_gate_leave(struct queue_sched *q, struct sched_waiter *w)
{
	struct sched_gate *g = w->gate;

	if (g == NULL)
		return;
	w->gate = NULL;
	queue_link_remove(&w->link);
	gate_arm(q, g);
}

bool
sched_gate_wake_one(struct queue_sched *q)
{
	while (!queue_link_is_alone(&q->open)) {
		struct sched_gate *g = QUEUE_OF(q->open.next, struct sched_gate, open);

		if (wake_first(q, g))
			return true;
		queue_link_remove(&g->open);
		gate_arm(q, g);
	}
	return false;
}

void
sched_gate_timers(struct queue_sched *q)
{
	while (queue_heap_first_us(&q->gate_timers) <= q->now_us) {
		struct sched_gate *g = QUEUE_OF(queue_heap_first(&q->gate_timers), struct sched_gate, timer);

		queue_heap_set(&q->gate_timers, &g->timer, INT64_MAX);
		if (g->refs == 0)
			sched_gate_retire(q, g);
		else
			gate_open(q, g);
	}
}

void
sched_gates_shift(struct queue_sched *q, int64_t step_us)
{
	struct queue_map_node *n;
	uint32_t i;

	for (n = queue_map_each(&q->gates, NULL); n != NULL; n = queue_map_each(&q->gates, n)) {
		struct sched_gate *g = QUEUE_OF(n, struct sched_gate, node);

		for (i = 0; i < g->meter_count; i++)
			queue_meter_move(&g->meters[i], step_us);
		gate_arm(q, g);
	}
}

void
sched_gates_free(struct queue_sched *q)
{
	struct queue_map_node *n, *next;

	for (n = queue_map_each(&q->gates, NULL); n != NULL; n = next) {
		struct sched_gate *g = QUEUE_OF(n, struct sched_gate, node);

		next = queue_map_each(&q->gates, n);
		assert(g->refs == 0);
		gate_free(q, g);
	}
}

/* --- on disk (queue_sched_note.c) --- */

bool
sched_gate_is_spent(const struct queue_sched *q, const struct sched_gate *g)
{
	return windows_end_us(q, g) <= q->now_us;
}

bool
sched_gate_ask(struct queue_sched *q, struct sched_gate *g)
{
	bool any = false;
	uint32_t i;

	if (g->warm != NULL) {
		any = !g->warm->is_storing && (g->is_wanted || sched_warm_wants_note(g));
		g->is_wanted = g->is_wanted && !any;
		return any;
	}
	for (i = 0; i < g->meter_count; i++)
		any = queue_meter_ask(&g->meters[i], q->now_us, g->is_wanted) || any;
	g->is_wanted = false;
	return any;
}

void
sched_gate_noted(struct queue_sched *q, struct sched_gate *g, bool failed)
{
	uint32_t i;

	if (g->warm != NULL)
		queue_warmup_stored(g->warm, !failed);
	for (i = 0; i < g->meter_count; i++)
		if (queue_rate_is_long(&g->meters[i].rate))
			queue_meter_written(&g->meters[i], failed);
	sched_gate_want_write(q, g, failed || has_waiters(g));
	sched_gate_changed(q, g);
	sched_gate_retire(q, g);
}

struct sched_gate *
sched_gate_restore(struct queue_sched *q, enum queue_level level, struct queue_blob a, struct queue_blob b,
	uint32_t meters)
{
	struct sched_gate *g = sched_gate_find(q, level, a, b) == NULL ? gate_create(q, level, a, b) : NULL;

	if (g == NULL)
		return NULL;
	if (meters > 0 && (g->meters = sched_alloc(q, meters_bytes(meters))) == NULL) {
		gate_free(q, g);
		return NULL;
	}
	g->meter_count = meters;
	return g;
}

void
sched_gate_set_factor(struct queue_sched *q, struct sched_gate *g, uint32_t per_mille)
{
	uint32_t i;

	if (g == NULL || g->factor == per_mille)
		return;
	assert(per_mille >= 1 && per_mille <= 1000);
	g->factor = (uint16_t)per_mille;
	for (i = 0; i < g->meter_count; i++)
		g->meters[i].factor = g->factor;
	gate_open(q, g);
}

void
sched_gate_names(const struct sched_gate *g, struct queue_blob *out_a, struct queue_blob *out_b)
{
	const char *zero = memchr(g->name, '\0', g->name_len);
	size_t len = (size_t)(zero - g->name);

	*out_a = (struct queue_blob){g->name, len};
	*out_b = (struct queue_blob){zero + 1, g->name_len - len - 1};
}
