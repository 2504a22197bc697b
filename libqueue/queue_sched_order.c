/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do next: which way, which lane, which lease.
 *
 * Only ways that may have something to hand out are looked at (queue_sched.active). A lane that can take
 * nothing is not able until the event that changes that: a session becomes free, a wait ends, a gate opens.
 * So a call costs the same with one lane and with 100,000 lanes of which most wait.
 *
 * A way that has sessions to hand its mail to keeps its turn for WAY_RUN orders: what is known of a site is
 * in no cache when a hundred thousand others had their turn since, so a visit costs more than the orders do.
 * New connections go round one by one, for they may be scarce.
 *
 * When to open another connection: never while a session of the lane can take the mail, and only while fewer
 * sessions are being opened than half of what is ready. A burst therefore opens connections in proportion,
 * and a single message opens one; as long as all sessions are busy and mail waits, the lane grows up to its
 * cap.
 *
 * When connections_total is used up, lanes wait among the starved, longest first, and get what becomes free.
 * A lane without any session does not depend on luck: the session that is idle longest is closed for it, or,
 * when none is idle, the next one that finishes and has had its share. The same holds for the connections of
 * a site or source.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <string.h>

enum {
	IDLE_SCAN = 64, /* sessions looked at for one that may make room */
	WAY_RUN = 4
};

static void
name_order(struct queue_order *out, enum queue_order_kind kind, const struct sched_domain *d)
{
	out->kind = kind;
	out->domain = (struct queue_blob){d->name, d->name_len};
}

static bool
next_close(struct queue_sched *q, struct queue_order *out)
{
	struct queue_session *s;

	/* Make room for lanes without any session, as many as are not being made room for already; and for a
	 * lower total after a reload. */
	while ((q->starved_none_count > q->closing_count ||
		       q->session_count - q->closing_count > q->conf.connections_total) &&
		!queue_link_is_alone(&q->idle))
		sched_session_order_close(q, QUEUE_OF(q->idle.next, struct queue_session, idle));
	if (queue_link_is_alone(&q->closing))
		return false;
	s = QUEUE_OF(q->closing.next, struct queue_session, place);
	queue_link_remove(&s->place);
	out->kind = QUEUE_ORDER_CLOSE;
	out->session = s;
	return true;
}

static bool
order_reject(struct queue_sched *q, struct sched_domain *d, struct queue_order *out)
{
	struct sched_cell *cell = QUEUE_OF(d->runnable.next, struct sched_cell, ring);

	if ((out->lease = sched_lease_from(q, cell, UINT32_MAX)) == NULL)
		return false;
	name_order(out, QUEUE_ORDER_REJECT, d);
	out->why = sched_text_blob(d->why);
	return true;
}

static bool
look_at_domain(struct queue_sched *q, struct sched_domain *d, struct queue_order *out)
{
	bool is_valid = d->route != SCHED_ROUTE_NONE && d->until_us > q->now_us;

	assert(!d->is_resolving);
	queue_link_remove(&d->todo);
	if (d->site == NULL && queue_link_is_alone(&d->runnable))
		return false;
	if (is_valid && d->route == SCHED_ROUTE_FAIL) {
		sched_domain_want(q, d);
		return order_reject(q, d, out);
	}
	if (is_valid) {
		sched_domain_arm(q, d);
		return false;
	}
	d->is_resolving = true;
	name_order(out, QUEUE_ORDER_RESOLVE, d);
	return true;
}

static bool
next_domain(struct queue_sched *q, struct queue_order *out)
{
	while (!queue_link_is_alone(&q->todo) && q->stalled_until_us <= q->now_us)
		if (look_at_domain(q, QUEUE_OF(q->todo.next, struct sched_domain, todo), out))
			return true;
	return false;
}

/* What a turn has come to: this mail, over this lane. */
struct turn {
	struct queue_lane *lane;
	struct sched_flow *flow;
	struct queue_session *session; /* NULL: a new one */
	bool is_urgent;
	struct sched_gate *way_gate; /* what all lanes of the way share keeps the mail; NULL: nothing does */
	enum sched_want way_want;
};

/* NULL: it has no limits. */
static struct sched_gate *
pool_gate(struct queue_sched *q, const struct sched_way *way)
{
	return sched_pool(q, way->choice.pool)->gate;
}

/* The most recipients that all limits allow in this transaction; every one of them was asked on the way here
 * whether it lets one through: the flow's in queue_sched_way.c, the way's and the lane's in find_lane(). */
static uint32_t
rcpts_max(struct queue_sched *q, const struct turn *t, const struct sched_cell *cell)
{
	struct sched_gate *gates[SCHED_GATES];
	uint32_t max = UINT32_MAX, room;
	size_t i;

	sched_gates_of(q, t->lane, t->flow->way->choice.pool, cell, gates);
	for (i = 0; i < SCHED_GATES; i++) {
		room = sched_gate_rcpts(q, gates[i], t->is_urgent);
		max = room < max ? room : max;
	}
	assert(max > 0);
	return max;
}

static void
order_lease(struct queue_sched *q, const struct turn *t, struct queue_lease *l, struct queue_order *out)
{
	const struct sched_cell *cell = l->message->rcpts[l->index[0]].cell;
	struct queue_session *s = t->session;
	struct queue_lane *lane = t->lane;

	name_order(out, s->state == SCHED_OPENING ? QUEUE_ORDER_OPEN : QUEUE_ORDER_GIVE, cell->domain);
	out->site = (struct queue_blob){lane->site->name, lane->site->name_len};
	out->source = lane->source;
	out->session = s;
	out->lease = l;
	l->session = s;
	l->pool = t->flow->way->choice.pool;
	lane->busy += s->leases == 0;
	s->leases++;
	s->given++;
	sched_limits_leased(q, l, lane, cell);
	sched_flow_served(q, t->flow, l->count);
	sched_session_place(q, s);
}

static bool
give(struct queue_sched *q, const struct turn *t, struct sched_cell *cell, struct queue_order *out)
{
	struct queue_lease *l = sched_lease_from(q, cell, rcpts_max(q, t, cell));

	if (l == NULL)
		return false;
	order_lease(q, t, l, out);
	return true;
}

static bool
open_session(struct queue_sched *q, struct turn *t, struct sched_cell *cell, struct queue_order *out)
{
	struct queue_session *s = sched_alloc(q, sizeof(*s));
	struct queue_lease *l = s != NULL ? sched_lease_from(q, cell, rcpts_max(q, t, cell)) : NULL;

	if (l == NULL) {
		if (s != NULL)
			sched_free(q, s, sizeof(*s));
		sched_stall(q);
		return false;
	}
	s->lane = t->lane;
	s->way = t->flow->way;
	s->pool = s->way->choice.pool;
	s->state = SCHED_OPENING;
	s->opened_us = q->now_us;
	s->is_probe = t->lane->is_probing;
	queue_link_init(&s->all);
	queue_link_init(&s->place);
	queue_link_init(&s->idle);
	queue_link_back(&q->sessions, &s->all);
	t->lane->opening++;
	s->way->opening++;
	sched_limits_connected(q, t->lane, s->pool, 1);
	if (t->lane->starved_state != SCHED_FED)
		sched_lane_able(q, t->lane, false);
	t->session = s;
	order_lease(q, t, l, out);
	return true;
}

/* Connections of the lane kept free for urgent mail. */
static uint32_t
urgent_reserve(const struct queue_sched *q, const struct queue_lane *lane)
{
	uint32_t max = sched_lane_connections(lane), part = max * lane->policy->urgent_percent / 100;

	if (q->urgent_until_us <= q->now_us || lane->policy->urgent_percent == 0 || max < 2)
		return 0;
	return part > 0 ? part : 1;
}

/* Whether another session of the lane may be set to work. */
static bool
may_be_busier(const struct queue_sched *q, const struct queue_lane *lane, bool is_urgent)
{
	return is_urgent || lane->busy + urgent_reserve(q, lane) < sched_lane_connections(lane);
}

/* Whether the lane itself would open a connection now; connections_total comes after. */
static bool
wants_connection(const struct queue_sched *q, const struct queue_lane *lane, bool is_urgent)
{
	if (lane->wait_until_us > q->now_us) /* its timer goes off then */
		return false;
	if (lane->sessions >= sched_lane_connections(lane) || (lane->is_probing && lane->opening > 0))
		return false;
	return may_be_busier(q, lane, is_urgent);
}

/* As fast as a burst needs, and no faster. */
static bool
is_ramping(const struct sched_way *way)
{
	return way->opening >= (way->ready + 1) / 2;
}

/* The last eighth of the connections is for lanes that have none: however many sites are slow and would take
 * ever more of them, the next site gets its first at once (D40). */
static bool
is_total_used_up(const struct queue_sched *q, bool for_the_first)
{
	uint32_t total = q->conf.connections_total;

	return q->session_count >= (for_the_first ? total : total - total / 8);
}

/* The lane that has starved longest and can have a connection now; NULL: none. */
static struct queue_lane *
starved_next(const struct queue_sched *q)
{
	if (!queue_link_is_alone(&q->starved_none) && !is_total_used_up(q, true))
		return QUEUE_OF(q->starved_none.next, struct queue_lane, starved);
	if (!queue_link_is_alone(&q->starved_more) && !is_total_used_up(q, false))
		return QUEUE_OF(q->starved_more.next, struct queue_lane, starved);
	return NULL;
}

static struct queue_session *
session_for(struct queue_sched *q, struct queue_lane *lane, bool is_urgent)
{
	struct queue_session *s;

	while (!queue_link_is_alone(&lane->idle) && may_be_busier(q, lane, is_urgent)) {
		s = QUEUE_OF(lane->idle.next, struct queue_session, place);
		if (!sched_session_is_spent(s) && !sched_session_should_yield(q, s))
			return s;
		sched_session_order_close(q, s);
	}
	while (!queue_link_is_alone(&lane->half) && !sched_lane_is_careful(lane)) {
		s = QUEUE_OF(lane->half.next, struct queue_session, place);
		if (!sched_session_is_spent(s) && !sched_session_should_yield(q, s))
			return s;
		queue_link_remove(&s->place); /* it comes back with its lease */
	}
	return NULL;
}

/* The gate that keeps the lane from what it wants; NULL: none. */
static struct sched_gate *
shut_gate(struct queue_sched *q, const struct queue_lane *lane, enum sched_want want, bool is_urgent)
{
	struct sched_gate *gates[SCHED_GATES];
	int i;

	/* The pool is the way's affair: any will do. */
	sched_gates_of(q, lane, 0, NULL, gates);
	for (i = 0; i < SCHED_GATES_OF_LANE; i++)
		if (i != SCHED_GATE_POOL && !sched_gate_lets(q, gates[i], want, is_urgent))
			return gates[i];
	return NULL;
}

/* The gate that keeps a message from all lanes of the way alike; NULL: none. There the way waits and not its
 * lanes, so that its sources go on by their weights. */
static struct sched_gate *
shut_gate_of_way(struct queue_sched *q, const struct sched_way *way, bool is_urgent)
{
	struct sched_gate *gates[] = {pool_gate(q, way), way->site->gate, q->gate};
	size_t i;

	for (i = 0; i < sizeof(gates) / sizeof(gates[0]); i++)
		if (!sched_gate_lets(q, gates[i], SCHED_WANT_MAIL, is_urgent))
			return gates[i];
	return NULL;
}

/* The gate has no connection left for somebody's first one: an idle session there makes room. */
static void
make_room(struct queue_sched *q, const struct sched_gate *g)
{
	struct sched_gate *gates[SCHED_GATES];
	struct queue_link *l;
	int i = 0, k;

	if (!sched_gate_is_full(g) || q->closing_count > 0)
		return;
	for (l = q->idle.next; l != &q->idle && i < IDLE_SCAN; l = l->next, i++) {
		struct queue_session *s = QUEUE_OF(l, struct queue_session, idle);

		sched_gates_of(q, s->lane, s->pool, NULL, gates);
		for (k = 0; k < SCHED_GATES_CONNECTED; k++)
			if (gates[k] == g) {
				sched_session_order_close(q, s);
				return;
			}
	}
}

enum offer { OFFER_GIVE, OFFER_OPEN, OFFER_LATER /* not for this way, though it is able */, OFFER_UNABLE };

/* What the lane can do for mail of the way now. Unable: it waits for what keeps it. */
static enum offer
lane_offer(struct queue_sched *q, struct turn *t, struct queue_lane *lane)
{
	struct sched_gate *g;
	bool is_quiet;

	if (lane->warm_gate != NULL)
		sched_warm_demand(lane->warm_gate, t->flow->way->ready);
	is_quiet = !t->is_urgent && sched_site_is_quiet(q, lane->site);
	g = shut_gate(q, lane, SCHED_WANT_MAIL, t->is_urgent);
	t->lane = lane;
	if (sched_lane_is_halted(lane) || is_quiet || g != NULL) {
		sched_lane_waits(q, lane, sched_lane_is_halted(lane) || is_quiet ? NULL : g, SCHED_WANT_MAIL,
			t->is_urgent);
		lane->is_quiet = is_quiet;
		sched_lane_arm(q, lane);
		return OFFER_UNABLE;
	}
	if ((t->session = session_for(q, lane, t->is_urgent)) != NULL)
		return OFFER_GIVE;
	if (!wants_connection(q, lane, t->is_urgent)) {
		sched_lane_waits(q, lane, NULL, SCHED_WANT_CONNECTION, t->is_urgent);
		return OFFER_UNABLE;
	}
	if (is_ramping(t->flow->way))
		return OFFER_LATER;
	if ((g = shut_gate(q, lane, SCHED_WANT_CONNECTION, t->is_urgent)) != NULL) {
		sched_lane_waits(q, lane, g, SCHED_WANT_CONNECTION, t->is_urgent);
		if (lane->sessions == 0)
			make_room(q, g);
		return OFFER_UNABLE;
	}
	if (is_total_used_up(q, lane->sessions == 0 || t->is_urgent)) {
		sched_lane_waits(q, lane, NULL, SCHED_WANT_CONNECTION, t->is_urgent);
		sched_lane_starve(q, lane);
		return OFFER_UNABLE;
	}
	if (!sched_gate_lets(q, pool_gate(q, t->flow->way), SCHED_WANT_CONNECTION, t->is_urgent)) {
		t->way_gate = pool_gate(q, t->flow->way);
		t->way_want = SCHED_WANT_CONNECTION;
		return OFFER_LATER;
	}
	return OFFER_OPEN;
}

/* The lane of an option; NULL: no memory. */
static struct queue_lane *
lane_of_option(struct queue_sched *q, struct sched_option *o)
{
	struct queue_lane *lane = o->lane;

	if (lane == NULL && (lane = sched_lane_get(q, o->way->site, o->source)) != NULL)
		sched_option_attach(o, lane);
	if (lane == NULL)
		sched_stall(q);
	return lane;
}

/* The option has had a message: after as many as its weight says it is the next one's turn. */
static void
option_served(struct sched_option *o)
{
	if (--o->credit > 0 || queue_link_is_alone(&o->able))
		return;
	o->credit = o->weight;
	queue_link_remove(&o->able);
	queue_link_back(&o->way->able, &o->able);
}

/* Whether what the lane offers to urgent mail holds for this mail too: it is of another domain, and has no
 * share in what is kept for urgent mail. */
static bool
can_take_other(struct queue_sched *q, const struct turn *t, const struct sched_flow *other)
{
	const struct sched_cell *cell = QUEUE_OF(other->cells.next, struct sched_cell, ring);
	const struct queue_policy *of_urgent = t->lane->policy;
	const struct sched_gate *pool = pool_gate(q, other->way);
	bool can = shut_gate(q, t->lane, SCHED_WANT_MAIL, false) == NULL &&
		   shut_gate_of_way(q, other->way, false) == NULL;

	t->lane->policy = cell->domain->policy;
	if (t->session != NULL)
		can = can && !sched_session_is_spent(t->session) && may_be_busier(q, t->lane, false);
	else
		can = can && wants_connection(q, t->lane, false) &&
		      shut_gate(q, t->lane, SCHED_WANT_CONNECTION, false) == NULL &&
		      sched_gate_lets(q, pool, SCHED_WANT_CONNECTION, false);
	if (!can)
		t->lane->policy = of_urgent;
	return can;
}

/* Mail and a lane for it; false: none can go now. Urgent mail first, unless it is the turn of the others and
 * the lane can take them. */
static bool
find_lane(struct queue_sched *q, struct sched_way *way, struct turn *t)
{
	struct sched_flow *urgent = sched_flow_urgent(q, way), *other = sched_flow_other(q, way);
	enum offer offer = OFFER_UNABLE;
	uint32_t later = 0;

	if (urgent == NULL && other == NULL)
		return false;
	t->is_urgent = urgent != NULL;
	t->flow = urgent != NULL ? urgent : other;
	t->way_want = SCHED_WANT_MAIL;
	if ((t->way_gate = shut_gate_of_way(q, way, t->is_urgent)) != NULL)
		return false;
	while (!queue_link_is_alone(&way->able) && later < way->option_count) {
		struct sched_option *o = QUEUE_OF(way->able.next, struct sched_option, able);
		struct queue_lane *lane = lane_of_option(q, o);
		struct sched_cell *cell = QUEUE_OF(t->flow->cells.next, struct sched_cell, ring);

		if (lane == NULL)
			return false;
		if (!sched_lane_is_able(lane, t->is_urgent)) {
			queue_link_remove(&o->able);
			continue;
		}
		lane->policy = cell->domain->policy;
		offer = lane_offer(q, t, lane);
		if (offer == OFFER_GIVE || offer == OFFER_OPEN) {
			option_served(o);
			break;
		}
		if (offer == OFFER_LATER) {
			later++;
			queue_link_remove(&o->able);
			queue_link_back(&way->able, &o->able);
		}
	}
	if (offer != OFFER_GIVE && offer != OFFER_OPEN)
		return false;
	if (urgent != NULL && other != NULL && !sched_way_prefers_urgent(way) &&
		!sched_site_is_quiet(q, t->lane->site) && can_take_other(q, t, other)) {
		t->flow = other;
		t->is_urgent = false;
	}
	return true;
}

static void
way_waits(struct queue_sched *q, struct sched_way *way, const struct turn *t)
{
	sched_gate_wait(q, t->way_gate, &way->waiter, t->way_want, t->is_urgent);
	if (t->way_want == SCHED_WANT_CONNECTION && !sched_way_has_session(way))
		make_room(q, t->way_gate);
}

/* What the order has taken was the last there is of the site for now: the way waits at once, while all it
 * needs for that is at hand, and not when its next turn comes. */
static void
wait_if_shut(struct queue_sched *q, struct sched_way *way)
{
	bool is_urgent = !queue_link_is_alone(&way->turns[QUEUE_CLASS_URGENT]);
	struct sched_gate *g = way->site->gate;

	if (queue_link_is_alone(&way->turn) || sched_gate_lets(q, g, SCHED_WANT_MAIL, is_urgent))
		return;
	queue_link_remove(&way->turn);
	sched_gate_wait(q, g, &way->waiter, SCHED_WANT_MAIL, is_urgent);
}

/* True: *out is an order. False: the way has left the ring. */
static bool
way_turn(struct queue_sched *q, struct sched_way *way, struct queue_order *out)
{
	struct sched_cell *cell;
	struct turn t = {0};

	queue_link_remove(&way->turn);
	if (!find_lane(q, way, &t)) {
		if (t.way_gate != NULL)
			way_waits(q, way, &t);
		return false;
	}
	/* The next turn is another cell's and another way's; handing out may end the cell's part in the ring.
	 */
	cell = QUEUE_OF(t.flow->cells.next, struct sched_cell, ring);
	queue_link_remove(&cell->ring);
	queue_link_back(&t.flow->cells, &cell->ring);
	way->run = t.session != NULL && way->run + 1 < WAY_RUN ? way->run + 1 : 0;
	sched_way_kick(q, way, way->run > 0);
	/* The old route serves until the new one is known. */
	if (cell->domain->until_us <= q->now_us)
		sched_domain_want(q, cell->domain);
	if (t.session != NULL ? !give(q, &t, cell, out) : !open_session(q, &t, cell, out))
		return false;
	wait_if_shut(q, way);
	return true;
}

static bool
next_way(struct queue_sched *q, struct queue_order *out)
{
	struct queue_lane *starved;

	while (q->stalled_until_us <= q->now_us) {
		if ((starved = starved_next(q)) != NULL)
			sched_lane_able(q, starved, true);
		else
			(void)sched_gate_wake_one(q);
		if (queue_link_is_alone(&q->active)) {
			if (queue_link_is_alone(&q->open) && starved_next(q) == NULL)
				return false;
			continue;
		}
		if (way_turn(q, QUEUE_OF(q->active.next, struct sched_way, turn), out))
			return true;
	}
	return false;
}

/* There was no memory for the limits; true: there is now, or nothing is lacking. */
static bool
has_limits(struct queue_sched *q)
{
	if (!q->lacks_limits || sched_limits_apply(q))
		return true;
	sched_stall(q);
	return false;
}

void
queue_sched_next(struct queue_sched *q, int64_t now_us, struct queue_order *out)
{
	bool more = true;

	*out = (struct queue_order){.kind = QUEUE_ORDER_NONE};
	sched_clock(q, now_us);
	while (more && q->stalled_until_us <= q->now_us) {
		more = false;
		if (sched_timers(q, out, &more) || next_close(q, out))
			return;
		sched_guards_apply(q);
		if (sched_note_next(q, out))
			return;
		if (!q->is_paused && has_limits(q) && (next_domain(q, out) || next_way(q, out)))
			return;
		/* A lane may have starved just now, and an idle session elsewhere can make room; or wait for
		 * the disk. */
		if (next_close(q, out) || sched_note_next(q, out))
			return;
		/* Idle sessions that were kept for mail that could not go. */
		more = more || queue_heap_first_us(&q->lane_timers) <= q->now_us;
	}
}

int64_t
queue_sched_wake_us(const struct queue_sched *q)
{
	const int64_t times[] = {queue_heap_first_us(&q->rcpt_timers), queue_heap_first_us(&q->domain_timers),
		queue_heap_first_us(&q->lane_timers), queue_heap_first_us(&q->gate_timers),
		queue_heap_first_us(&q->pause_timers), queue_heap_first_us(&q->guard_timers)};
	int64_t at_us = INT64_MAX;
	size_t i;

	if (q->stalled_until_us > q->now_us)
		return q->stalled_until_us;
	if (!queue_link_is_alone(&q->closing) || !queue_link_is_alone(&q->unwritten) ||
		!queue_link_is_alone(&q->guards_due) ||
		(!q->is_paused && (!queue_link_is_alone(&q->active) || !queue_link_is_alone(&q->todo) ||
					  !queue_link_is_alone(&q->open))))
		return q->now_us;
	if (!q->is_paused && starved_next(q) != NULL)
		return q->now_us;
	/* A call now and then, so that a clock that jumps can be told from a schedule with nothing to do. */
	if (q->rcpts > 0)
		at_us = queue_retry_add(q->now_us, SCHED_CALL_US);
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] < at_us)
			at_us = times[i];
	return at_us;
}
