/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators do to recipients chosen by a filter.
 *
 * A filter with an id looks at one message, one with a domain at the domain's cells, any other at the table
 * of all cells, bucket by bucket. A cell matches or does not as a whole; only `n` and the states tell
 * recipients of a cell apart.
 *
 * Portions: a place (a bucket, or the cells of the domain) is left only when all is done there. What changes
 * recipients takes them out of the lists it looks at, so that a place can be begun anew where the portion
 * before had to stop; what is done to whole cells is done when the place is entered.
 */
#include "queue_sched_int.h"

#include <assert.h>

enum { TAKE_MAX = 1000, ALL_STATES = (1 << SCHED_STATES) - 1, TAKE_SCAN = 4096 };

#define IN(state) (1u << (state))

/* Returns false to stop. It may move the recipient to another state of its cell, but not end it. */
typedef bool on_rcpt(struct queue_sched *q, struct sched_rcpt *r, void *arg);

struct scan {
	struct queue_sched *q;
	const struct queue_filter *f;
	unsigned states;  /* which lists of a cell are looked at */
	on_rcpt *on_rcpt; /* for each recipient in them; NULL: for none */
	/* For each cell, before its recipients; NULL: nothing. With an id it is not called. */
	void (*on_cell)(const struct scan *sc, struct sched_cell *cell);
	const struct scan *after; /* what follows in a place when all is done there; NULL: nothing */
	void *arg;
};

static unsigned
filter_states(const struct queue_filter *f)
{
	unsigned states = ALL_STATES;

	if (f->held_only)
		states &= IN(SCHED_HELD) | IN(SCHED_LEASED); /* a leased one may be held after */
	if (f->waiting_only)
		states &= IN(SCHED_WAITING);
	return states;
}

static bool
cell_matches(const struct sched_cell *cell, const struct queue_filter *f)
{
	const struct sched_domain *d = cell->domain;
	const struct sched_stream *s = cell->stream;

	return (f->domain.len == 0 || sched_name_is(d->name, d->name_len, f->domain)) &&
	       (f->site.len == 0 ||
		       (d->site != NULL && sched_name_is(d->site->name, d->site->name_len, f->site))) &&
	       (f->user.len == 0 || sched_name_is(s->names, s->user_len, f->user)) &&
	       (f->job.len == 0 || sched_name_is(s->names + s->user_len, s->job_len, f->job));
}

static bool
rcpt_matches(const struct sched_rcpt *r, const struct scan *sc)
{
	const struct queue_filter *f = sc->f;

	return r->state < SCHED_STATES && (sc->states & IN(r->state)) != 0 &&
	       (f->n < 0 || f->id == 0 || r->n == f->n) &&
	       (!f->held_only || (r->flags & QUEUE_RCPT_HELD) != 0);
}

static bool
scan_cell(const struct scan *sc, struct sched_cell *cell)
{
	struct queue_link *l, *next;
	int state;

	for (state = 0; state < SCHED_STATES; state++) {
		if ((sc->states & IN(state)) == 0)
			continue;
		for (l = cell->lists[state].next; l != &cell->lists[state]; l = next) {
			struct sched_rcpt *r = QUEUE_OF(l, struct sched_rcpt, link);

			next = l->next;
			if (rcpt_matches(r, sc) && !sc->on_rcpt(sc->q, r, sc->arg))
				return false;
		}
	}
	return true;
}

static bool
enter_cell(const struct scan *sc, struct sched_cell *cell)
{
	sc->on_cell(sc, cell);
	return true;
}

typedef bool visit_cell(const struct scan *sc, struct sched_cell *cell);

/* The matching cells of a place. */
static bool
each_cell(const struct scan *sc, const struct sched_domain *d, uint64_t at, visit_cell *visit)
{
	const struct queue_map *cells = &sc->q->cells;
	struct queue_map_node *n = d == NULL ? cells->buckets[at & cells->mask] : NULL;
	struct queue_link *l;

	for (; n != NULL; n = n->next) {
		struct sched_cell *cell = QUEUE_OF(n, struct sched_cell, node);

		if (cell_matches(cell, sc->f) && !visit(sc, cell))
			return false;
	}
	if (d == NULL)
		return true;
	for (l = d->cells.next; l != &d->cells; l = l->next) {
		struct sched_cell *cell = QUEUE_OF(l, struct sched_cell, of_domain);

		if (cell_matches(cell, sc->f) && !visit(sc, cell))
			return false;
	}
	return true;
}

static bool
scan_message(const struct scan *sc, struct sched_message *m)
{
	uint32_t i;

	for (i = 0; i < m->rcpt_count; i++) {
		struct sched_rcpt *r = &m->rcpts[i];

		if (r->state < SCHED_STATES && cell_matches(r->cell, sc->f) && rcpt_matches(r, sc) &&
			!sc->on_rcpt(sc->q, r, sc->arg))
			return false;
	}
	return true;
}

/* One portion. False: on_rcpt stopped it, and the walk stands where it was. */
static bool
scan_cells(const struct scan *sc, struct queue_walk *w)
{
	const struct sched_domain *d = NULL;
	uint32_t left = w->limit;

	if (sc->f->domain.len > 0 && (d = sched_domain_find(sc->q, sc->f->domain)) == NULL) {
		w->is_end = true;
		return true;
	}
	do {
		if (!w->is_inside && sc->on_cell != NULL)
			(void)each_cell(sc, d, w->at, enter_cell);
		w->is_inside = true;
		if (sc->on_rcpt != NULL && !each_cell(sc, d, w->at, scan_cell))
			return false;
		if (sc->after != NULL)
			(void)each_cell(sc->after, d, w->at, scan_cell);
		w->is_inside = false;
		w->at = d != NULL ? 0 : sched_walk_next(&sc->q->cells, w->at);
	} while (w->at != 0 && --left > 0);
	w->is_end = w->at == 0;
	return true;
}

static bool
scan(const struct scan *sc)
{
	struct queue_walk whole = {.limit = UINT32_MAX}, *w = sc->f->walk != NULL ? sc->f->walk : &whole;
	struct sched_message *m;

	assert(!w->is_end && w->limit > 0);
	if (sc->f->id == 0)
		return scan_cells(sc, w);
	m = sched_message_find(sc->q, sc->f->id);
	if (m != NULL && !scan_message(sc, m))
		return false;
	if (m != NULL && sc->after != NULL)
		(void)scan_message(sc->after, m);
	w->is_end = true;
	return true;
}

/* What is changed in one call; 0: all. */
static uint64_t
portion(const struct queue_filter *f)
{
	return f->walk != NULL ? f->walk->limit : 0;
}

/* --- look --- */

static bool
count_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	++*(uint64_t *)arg;
	return true;
}

/* By the cells' own counts. Of the leased, only those are held that will be when they come back. */
static void
count_cell(const struct scan *sc, struct sched_cell *cell)
{
	struct queue_link *list = &cell->lists[SCHED_LEASED], *l;
	uint64_t *count = sc->arg;
	int state;

	for (state = 0; state < SCHED_STATES; state++)
		if ((sc->states & IN(state)) != 0 && (state != SCHED_LEASED || !sc->f->held_only))
			*count += cell->counts[state];
	if ((sc->states & IN(SCHED_LEASED)) != 0 && sc->f->held_only)
		for (l = list->next; l != list; l = l->next)
			*count += (QUEUE_OF(l, struct sched_rcpt, link)->flags & QUEUE_RCPT_HELD) != 0;
}

uint64_t
queue_sched_count(struct queue_sched *q, const struct queue_filter *f)
{
	uint64_t count = 0;
	struct scan sc = {.q = q, .f = f, .states = filter_states(f), .on_cell = count_cell, .arg = &count};

	if (f->id != 0)
		sc.on_rcpt = count_one;
	scan(&sc);
	return count;
}

static const char *
state_name(const struct queue_sched *q, struct sched_rcpt *r)
{
	const struct sched_cell *cell = r->cell;

	switch ((enum sched_state)r->state) {
	case SCHED_WAITING:
		return sched_rcpt_is_scheduled(r) ? "scheduled" : "waiting";
	case SCHED_LEASED:
		return "leased";
	case SCHED_HELD:
		return "held";
	case SCHED_READY:
	case SCHED_ENDED:
		break;
	}
	if (sched_cell_is_paused(q, cell))
		return "paused";
	if (cell->flow == NULL)
		return "unrouted";
	return sched_stream_is_used_up(q, cell->stream) ? "quota" : "ready";
}

static void
view(const struct queue_sched *q, struct sched_rcpt *r, struct queue_view *out)
{
	const struct sched_message *m = sched_message_of(r);
	const struct sched_domain *d = r->cell->domain;
	const struct sched_stream *s = r->cell->stream;

	*out = (struct queue_view){
		.id = m->node.hash,
		.n = r->n,
		.attempts = r->attempts,
		.flags = r->flags,
		.state = state_name(q, r),
		.due_us = r->due_us,
		.arrived_us = m->arrived_us,
		.release_us = m->release_us,
		.notice_us = m->notice_us,
		.expire_us = sched_rcpt_expires_us(q, r),
		.domain = {d->name, d->name_len},
		.site = {d->site != NULL ? d->site->name : "", d->site != NULL ? d->site->name_len : 0},
		.user = {s->names, s->user_len},
		.job = {s->names + s->user_len, s->job_len},
	};
}

struct visitor {
	queue_sched_visit *visit;
	void *arg;
	uint64_t count, limit;
};

static bool
visit_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	struct visitor *v = arg;
	struct queue_view out;

	view(q, r, &out);
	v->count++;
	return v->visit(v->arg, &out) && v->count != v->limit;
}

void
queue_sched_each(struct queue_sched *q, const struct queue_filter *f, uint32_t limit,
	queue_sched_visit *visit, void *arg)
{
	struct visitor v = {.visit = visit, .arg = arg, .limit = limit};
	const struct scan sc = {.q = q, .f = f, .states = filter_states(f), .on_rcpt = visit_one, .arg = &v};

	scan(&sc);
}

/* --- retry --- */

struct retry {
	uint64_t count, limit;
	bool is_message;
};

/* Retrying means retrying now: a wait for DNS or after failed connections ends too. Limits hold as ever. */
static void
end_wait(struct queue_sched *q, struct sched_cell *cell)
{
	struct sched_way *way = cell->flow != NULL ? cell->flow->way : NULL;
	uint32_t i;

	for (i = 0; way != NULL && i < way->option_count; i++) {
		struct queue_lane *lane = way->options[i].lane;

		if (lane == NULL || lane->wait_until_us <= q->now_us)
			continue;
		lane->wait_until_us = 0;
		sched_lane_able(q, lane, false);
	}
	if (way == NULL && cell->domain->route == SCHED_ROUTE_WAIT && cell->domain->until_us > q->now_us) {
		cell->domain->until_us = q->now_us;
		sched_domain_want(q, cell->domain);
	}
}

static void
retry_cell(const struct scan *sc, struct sched_cell *cell)
{
	struct retry *retry = sc->arg;

	if (cell->counts[SCHED_READY] + cell->counts[SCHED_WAITING] > 0)
		end_wait(sc->q, cell);
	if (!sc->f->waiting_only)
		retry->count += cell->counts[SCHED_READY];
}

/* Who retries what waits for a site does not mean what waits for a date. */
static bool
retry_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	struct retry *retry = arg;

	if (!retry->is_message && sched_rcpt_is_scheduled(r))
		return true;
	if (r->state == SCHED_WAITING) {
		r->due_us = q->now_us;
		sched_rcpt_move(q, r, SCHED_READY);
	}
	retry->count++;
	return --retry->limit != 0;
}

/* With an id there are no cells to go through. */
static bool
retry_of_message(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	end_wait(q, r->cell);
	(void)retry_one(q, r, arg);
	return true;
}

uint64_t
queue_sched_retry(struct queue_sched *q, const struct queue_filter *f, int64_t now_us)
{
	struct retry retry = {.limit = portion(f), .is_message = f->id != 0};
	struct scan sc = {.q = q,
		.f = f,
		.states = IN(SCHED_WAITING),
		.on_rcpt = retry_one,
		.on_cell = retry_cell,
		.arg = &retry};

	sched_clock(q, now_us);
	sc.states &= filter_states(f);
	if (f->id != 0) {
		sc.on_rcpt = retry_of_message;
		sc.states = filter_states(f) & (IN(SCHED_READY) | IN(SCHED_WAITING));
	}
	scan(&sc);
	return retry.count;
}

/* --- hold and release --- */

struct holder {
	bool hold;
	struct visitor changed;
};

static bool
hold_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	struct holder *h = arg;
	bool is_held = (r->flags & QUEUE_RCPT_HELD) != 0;

	if (is_held == h->hold)
		return true;
	r->flags ^= QUEUE_RCPT_HELD;
	if (r->state != SCHED_LEASED && h->hold)
		sched_rcpt_move(q, r, SCHED_HELD);
	else if (r->state != SCHED_LEASED)
		sched_rcpt_move(q, r, r->due_us > q->now_us ? SCHED_WAITING : SCHED_READY);
	return visit_one(q, r, &h->changed);
}

uint64_t
queue_sched_hold(struct queue_sched *q, const struct queue_filter *f, bool hold, int64_t now_us,
	queue_sched_visit *changed, void *arg)
{
	struct holder h = {.hold = hold, .changed = {.visit = changed, .arg = arg, .limit = portion(f)}};
	struct scan sc = {.q = q, .f = f, .on_rcpt = hold_one, .arg = &h};

	sched_clock(q, now_us);
	/* Not the lists the recipients go to: each is met once. */
	sc.states = hold ? IN(SCHED_READY) | IN(SCHED_WAITING) | IN(SCHED_LEASED)
			 : IN(SCHED_HELD) | IN(SCHED_LEASED);
	sc.states &= filter_states(f);
	scan(&sc);
	return h.changed.count;
}

/* --- take --- */

static bool
find_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	*(struct sched_rcpt **)arg = r;
	return false;
}

/* It ends when it comes back, if the session did not end it. */
static bool
doom_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	r->is_doomed = 1;
	++*(uint64_t *)arg;
	return true;
}

/* All of the message that the filter names, but not more than a lease holds. */
static struct queue_lease *
lease_of(struct scan *sc, struct sched_rcpt *r)
{
	struct sched_message *m = sched_message_of(r);
	struct queue_lease *l = sched_lease_create(sc->q, m, m->live < TAKE_MAX ? m->live : TAKE_MAX);
	uint32_t i;

	if (l == NULL)
		return NULL;
	sched_lease_add(sc->q, l, r);
	for (i = 1; i < m->rcpt_count && i < TAKE_SCAN && l->count < l->room; i++) {
		r = &m->rcpts[(l->index[0] + i) % m->rcpt_count];
		if (rcpt_matches(r, sc) && cell_matches(r->cell, sc->f))
			sched_lease_add(sc->q, l, r);
	}
	return l;
}

/* What is leased is marked last in each place: what comes back before is found there, what comes back after
 * is marked, and between two portions the schedule may lease as it likes. */
struct queue_lease *
queue_sched_take(struct queue_sched *q, const struct queue_filter *f, uint64_t *out_busy)
{
	struct sched_rcpt *found = NULL;
	const struct scan doom = {.q = q,
		.f = f,
		.states = filter_states(f) & IN(SCHED_LEASED),
		.on_rcpt = doom_one,
		.arg = out_busy};
	struct scan sc = {.q = q,
		.f = f,
		.states = filter_states(f) & ~IN(SCHED_LEASED),
		.on_rcpt = find_one,
		.after = &doom,
		.arg = &found};

	assert(f->walk != NULL);
	*out_busy = 0;
	return scan(&sc) ? NULL : lease_of(&sc, found);
}
