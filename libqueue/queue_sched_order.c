/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do next: sessions, lanes and leases.
 *
 * Only lanes that may have something to hand out are looked at (queue_sched.active). A lane that can do
 * nothing leaves the ring, and comes back with the event that changes that: ready mail, a free session, the
 * end of a wait. So a call costs the same with one lane and with 100,000 lanes of which most wait.
 *
 * When to open another connection: never while a session of the lane can take the mail, and only while fewer
 * sessions are being opened than half of what is ready. A burst therefore opens connections in proportion,
 * and a single message opens one; as long as all sessions are busy and mail waits, the lane grows up to its
 * cap.
 *
 * When connections_total is used up, lanes wait in .starved, longest first, and get what becomes free. A lane
 * without any session does not depend on luck: the session that is idle longest is closed for it, or, when
 * none is idle, the next one that finishes and has had its share.
 *
 * Invariants: a session is in lane->idle (and queue_sched.idle) when it is open without a lease, in
 * lane->half when it can take a second one, in queue_sched.closing until its CLOSE is ordered; else in none.
 * Caps count a session from OPEN to queue_sched_session_closed().
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <string.h>

enum {
	LEASES_A_SESSION = 2,
	BATCH_SCAN = 2048, /* recipients of one message looked at for the same transaction */
	SHARE_MESSAGES =
		20, /* what the only session of a lane may send before it makes room for a lane without */
};
#define STALL_US INT64_C(1000000)

/* --- leases --- */

static size_t
lease_bytes(uint32_t room)
{
	struct queue_lease *l;

	return sizeof(*l) + room * sizeof(l->index[0]);
}

struct queue_lease *
sched_lease_create(struct queue_sched *q, struct sched_message *m, uint32_t room)
{
	struct queue_lease *l = sched_alloc(q, lease_bytes(room));

	if (l == NULL) {
		q->stalled_until_us = queue_retry_add(q->now_us, STALL_US);
		return NULL;
	}
	l->message = m;
	l->room = room;
	queue_link_init(&l->all);
	queue_link_back(&q->leases, &l->all);
	queue_link_remove(&m->fresh);
	m->leases++;
	return l;
}

void
sched_lease_add(struct queue_sched *q, struct queue_lease *l, struct sched_rcpt *r)
{
	assert(l->count < l->room && r->state != SCHED_LEASED);
	l->index[l->count++] = r->index;
	l->open++;
	sched_rcpt_move(q, r, SCHED_LEASED);
}

void
sched_lease_free(struct queue_sched *q, struct queue_lease *l)
{
	queue_link_remove(&l->all);
	sched_free(q, l, lease_bytes(l->room));
}

static uint32_t
transaction_max(const struct sched_rcpt *r)
{
	uint32_t max = r->cell->domain->policy->rcpts_per_transaction;

	return max > 0 ? max : 1;
}

static bool
fits(const struct sched_cell *with, const struct sched_rcpt *r)
{
	if (r->state != SCHED_READY || !r->cell->is_runnable)
		return false;
	if (with->lane == NULL)
		return r->cell->domain == with->domain;
	return r->cell->lane == with->lane;
}

/* The cell's next turn comes soon, and its next message was last touched when it arrived: fetched now, a
 * queue of a million costs what a short one does. */
static void
prefetch_next(struct sched_cell *cell)
{
	struct queue_link *next = cell->lists[SCHED_READY].next;

	if (next == &cell->lists[SCHED_READY])
		return;
	__builtin_prefetch(next, 1);
	/* Nearly always the only recipient of its message, right behind it. */
	__builtin_prefetch(QUEUE_OF(QUEUE_OF(next, struct sched_rcpt, link), struct sched_message, rcpts), 1);
}

/* The first ready recipient of the cell, and others of its message that can go the same way. Its own cell has
 * them side by side; those of other domains of the site are looked for in the message, within a bound. */
static struct queue_lease *
lease_from(struct queue_sched *q, struct sched_cell *cell)
{
	struct sched_rcpt *r = QUEUE_OF(cell->lists[SCHED_READY].next, struct sched_rcpt, link);
	struct sched_message *m = sched_message_of(r);
	uint32_t max = transaction_max(r), first = r->index, i;
	struct queue_lease *l = sched_lease_create(q, m, max < m->live ? max : m->live);

	if (l == NULL)
		return NULL;
	for (;;) {
		sched_lease_add(q, l, r);
		if (l->count == l->room || queue_link_is_alone(&cell->lists[SCHED_READY]))
			break;
		r = QUEUE_OF(cell->lists[SCHED_READY].next, struct sched_rcpt, link);
		if (sched_message_of(r) != m)
			break;
	}
	for (i = 1; i < m->rcpt_count && i <= BATCH_SCAN && l->count < l->room && l->count < max; i++) {
		r = &m->rcpts[(first + i) % m->rcpt_count];
		if (!fits(cell, r))
			continue;
		if (transaction_max(r) < max)
			max = transaction_max(r);
		if (l->count < max)
			sched_lease_add(q, l, r);
	}
	prefetch_next(cell);
	return l;
}

/* --- lanes --- */

bool
sched_lane_is_paused(const struct queue_lane *lane)
{
	return lane->is_source_paused || lane->site->is_paused;
}

void
sched_lane_stop_turn(struct queue_sched *q, struct queue_lane *lane)
{
	if (lane->turn_state == SCHED_TURN_STARVED && lane->sessions == 0)
		q->starved_none_count--;
	queue_link_remove(&lane->turn);
	lane->turn_state = SCHED_TURN_NONE;
}

static void
lane_starve(struct queue_sched *q, struct queue_lane *lane)
{
	assert(lane->turn_state == SCHED_TURN_NONE);
	lane->turn_state = SCHED_TURN_STARVED;
	queue_link_back(lane->sessions == 0 ? &q->starved_none : &q->starved_more, &lane->turn);
	if (lane->sessions == 0)
		q->starved_none_count++;
}

static void
lane_activate(struct queue_sched *q, struct queue_lane *lane, bool at_front)
{
	sched_lane_stop_turn(q, lane);
	lane->turn_state = SCHED_TURN_ACTIVE;
	if (at_front)
		queue_link_front(&q->active, &lane->turn);
	else
		queue_link_back(&q->active, &lane->turn);
}

/* It may have something to hand out. A starved lane keeps its place: more mail does not give it a connection.
 */
void
sched_lane_kick(struct queue_sched *q, struct queue_lane *lane)
{
	if (lane->turn_state == SCHED_TURN_NONE && !queue_link_is_alone(&lane->cells))
		lane_activate(q, lane, false);
}

/* One of its sessions can take a lease. */
static void
lane_has_session(struct queue_sched *q, struct queue_lane *lane)
{
	if (lane->turn_state != SCHED_TURN_ACTIVE && !queue_link_is_alone(&lane->cells))
		lane_activate(q, lane, false);
}

/* --- sessions --- */

static uint32_t
connections_max(const struct queue_policy *p)
{
	return p->connections > 0 ? p->connections : 1;
}

static bool
is_spent(const struct queue_session *s)
{
	uint32_t max = s->lane->policy->messages_per_connection;

	return max > 0 && s->given >= max;
}

/* There are too many, or somebody else needs the connection more. */
static bool
should_yield(const struct queue_sched *q, const struct queue_session *s)
{
	if (q->session_count - q->closing_count > q->conf.connections_total || s->lane->surplus > 0)
		return true;
	if (q->starved_none_count <= q->closing_count)
		return false;
	return s->lane->sessions > 1 || s->given >= SHARE_MESSAGES;
}

void
sched_session_order_close(struct queue_sched *q, struct queue_session *s)
{
	assert(s->state == SCHED_OPEN && s->leases == 0);
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	s->state = SCHED_CLOSING;
	s->lane->surplus -= s->lane->surplus > 0;
	q->closing_count++;
	queue_link_back(&q->closing, &s->place);
}

void
sched_session_place(struct queue_sched *q, struct queue_session *s)
{
	struct queue_lane *lane = s->lane;

	if (s->state != SCHED_OPEN)
		return;
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	if (s->leases == 0 && (is_spent(s) || sched_lane_is_paused(lane) || should_yield(q, s))) {
		sched_session_order_close(q, s);
		return;
	}
	if (is_spent(s) || (s->leases > 0 && !s->can_overlap) || s->leases >= LEASES_A_SESSION)
		return;
	if (s->leases > 0) {
		queue_link_back(&lane->half, &s->place);
	} else {
		s->idle_since_us = q->now_us;
		queue_link_front(&lane->idle, &s->place);
		queue_link_back(&q->idle, &s->idle);
		sched_lane_arm(q, lane);
	}
	lane_has_session(q, lane);
}

void
queue_sched_session_ready(struct queue_sched *q, struct queue_session *s, bool can_overlap)
{
	struct queue_lane *lane = s->lane;

	assert(s->state == SCHED_OPENING && lane->opening > 0);
	s->state = SCHED_OPEN;
	s->can_overlap = can_overlap;
	lane->opening--;
	/* Only a connection begun after the failure tells that the site is back. */
	if (s->is_probe) {
		lane->is_probing = false;
		lane->wait_until_us = 0;
		sched_text_free(q, &lane->site->why);
	}
	sched_session_place(q, s);
	sched_lane_kick(q, lane);
}

void
queue_sched_session_ends(struct queue_sched *q, struct queue_session *s)
{
	if (s->state != SCHED_OPEN)
		return;
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	s->state = SCHED_CLOSING;
	q->closing_count++;
}

void
queue_sched_session_closed(struct queue_sched *q, struct queue_session *s, bool failed,
	int64_t retry_after_us, struct queue_blob why, int64_t now_us)
{
	struct queue_lane *lane = s->lane;

	sched_clock(q, now_us);
	assert(s->leases == 0 && lane->sessions > 0);
	if (s->state == SCHED_OPENING)
		lane->opening--;
	if (s->state == SCHED_CLOSING)
		q->closing_count--;
	if (failed) {
		int64_t until_us = queue_retry_add(q->now_us, retry_after_us > 0 ? retry_after_us : 0);

		lane->is_probing = true;
		if (until_us > lane->wait_until_us)
			lane->wait_until_us = until_us;
		sched_text_set(q, &lane->site->why, why);
	}
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	queue_link_remove(&s->all);
	lane->sessions--;
	q->session_count--;
	if (lane->turn_state == SCHED_TURN_STARVED && lane->sessions == 0) {
		queue_link_remove(&lane->turn);
		lane->turn_state = SCHED_TURN_NONE;
		lane_starve(q, lane);
	}
	sched_free(q, s, sizeof(*s));
	sched_lane_kick(q, lane);
	sched_lane_arm(q, lane);
	sched_lane_release(q, lane);
}

void
queue_session_set_user(struct queue_session *s, void *user)
{
	s->user = user;
}

void *
queue_session_user(const struct queue_session *s)
{
	return s->user;
}

/* --- orders --- */

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

	if ((out->lease = lease_from(q, cell)) == NULL)
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

static void
order_lease(struct queue_sched *q, struct queue_lane *lane, struct queue_lease *l, struct queue_session *s,
	struct queue_order *out)
{
	struct sched_domain *d = l->message->rcpts[l->index[0]].cell->domain;

	name_order(out, s->state == SCHED_OPENING ? QUEUE_ORDER_OPEN : QUEUE_ORDER_GIVE, d);
	out->site = (struct queue_blob){lane->site->name, lane->site->name_len};
	out->source = lane->source;
	out->session = s;
	out->lease = l;
	l->session = s;
	s->leases++;
	s->given++;
	sched_session_place(q, s);
}

static bool
give(struct queue_sched *q, struct queue_lane *lane, struct sched_cell *cell, struct queue_session *s,
	struct queue_order *out)
{
	struct queue_lease *l = lease_from(q, cell);

	if (l == NULL)
		return false;
	order_lease(q, lane, l, s, out);
	return true;
}

static bool
open_session(struct queue_sched *q, struct queue_lane *lane, struct sched_cell *cell, struct queue_order *out)
{
	struct queue_session *s = sched_alloc(q, sizeof(*s));
	struct queue_lease *l = s != NULL ? lease_from(q, cell) : NULL;

	if (l == NULL) {
		if (s != NULL)
			sched_free(q, s, sizeof(*s));
		q->stalled_until_us = queue_retry_add(q->now_us, STALL_US);
		return false;
	}
	s->lane = lane;
	s->state = SCHED_OPENING;
	s->is_probe = lane->is_probing;
	queue_link_init(&s->all);
	queue_link_init(&s->place);
	queue_link_init(&s->idle);
	queue_link_back(&q->sessions, &s->all);
	q->session_count++;
	lane->sessions++;
	lane->opening++;
	order_lease(q, lane, l, s, out);
	return true;
}

/* Whether the lane itself would open a connection now; connections_total comes after. */
static bool
wants_connection(const struct queue_sched *q, const struct queue_lane *lane)
{
	if (lane->wait_until_us > q->now_us) /* its timer goes off then */
		return false;
	if (lane->sessions >= connections_max(lane->policy) || (lane->is_probing && lane->opening > 0))
		return false;
	return lane->opening < (lane->ready + 1) / 2;
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
		return QUEUE_OF(q->starved_none.next, struct queue_lane, turn);
	if (!queue_link_is_alone(&q->starved_more) && !is_total_used_up(q, false))
		return QUEUE_OF(q->starved_more.next, struct queue_lane, turn);
	return NULL;
}

static struct queue_session *
session_for(struct queue_sched *q, struct queue_lane *lane)
{
	struct queue_session *s;

	while (!queue_link_is_alone(&lane->idle)) {
		s = QUEUE_OF(lane->idle.next, struct queue_session, place);
		if (!is_spent(s) && !should_yield(q, s))
			return s;
		sched_session_order_close(q, s);
	}
	while (!queue_link_is_alone(&lane->half)) {
		s = QUEUE_OF(lane->half.next, struct queue_session, place);
		if (!is_spent(s) && !should_yield(q, s))
			return s;
		queue_link_remove(&s->place); /* it comes back with its lease */
	}
	return NULL;
}

/* True: *out is an order. False: the lane has left the ring. */
static bool
lane_turn(struct queue_sched *q, struct queue_lane *lane, struct queue_order *out)
{
	struct queue_session *s;
	struct sched_cell *cell;

	sched_lane_stop_turn(q, lane);
	if (queue_link_is_alone(&lane->cells) || sched_lane_is_paused(lane)) {
		sched_lane_arm(q, lane);
		return false;
	}
	cell = QUEUE_OF(lane->cells.next, struct sched_cell, ring);
	lane->policy = cell->domain->policy;
	s = session_for(q, lane);
	if (s == NULL && !wants_connection(q, lane))
		return false;
	if (s == NULL && is_total_used_up(q, lane->sessions == 0)) {
		lane_starve(q, lane);
		return false;
	}
	/* The next turn is another cell's and another lane's; handing out may end the cell's part in the
	 * ring. */
	queue_link_remove(&cell->ring);
	queue_link_back(&lane->cells, &cell->ring);
	lane_activate(q, lane, false);
	/* The old route serves until the new one is known. */
	if (cell->domain->until_us <= q->now_us)
		sched_domain_want(q, cell->domain);
	return s != NULL ? give(q, lane, cell, s, out) : open_session(q, lane, cell, out);
}

static bool
next_lane(struct queue_sched *q, struct queue_order *out)
{
	struct queue_lane *starved;

	while (q->stalled_until_us <= q->now_us) {
		if ((starved = starved_next(q)) != NULL)
			lane_activate(q, starved, true);
		if (queue_link_is_alone(&q->active))
			return false;
		if (lane_turn(q, QUEUE_OF(q->active.next, struct queue_lane, turn), out))
			return true;
	}
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
		if (!q->is_paused && (next_domain(q, out) || next_lane(q, out)))
			return;
		/* A lane may have starved just now, and an idle session elsewhere can make room. */
		if (next_close(q, out))
			return;
	}
}

int64_t
queue_sched_wake_us(const struct queue_sched *q)
{
	const int64_t times[] = {queue_heap_first_us(&q->rcpt_timers), queue_heap_first_us(&q->domain_timers),
		queue_heap_first_us(&q->lane_timers), queue_heap_first_us(&q->pause_timers)};
	int64_t at_us = INT64_MAX;
	size_t i;

	if (q->stalled_until_us > q->now_us)
		return q->stalled_until_us;
	if (!queue_link_is_alone(&q->closing) ||
		(!q->is_paused && (!queue_link_is_alone(&q->active) || !queue_link_is_alone(&q->todo))))
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
