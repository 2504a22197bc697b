/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators do to recipients chosen by a filter.
 *
 * A filter is narrowed first by the index it names (id, domain, site, streams of a user or job) to cells, and
 * a cell matches or does not as a whole; only `n` and the states tell recipients of a cell apart. So the work
 * is that of the recipients concerned, plus the cells looked at.
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
	unsigned states;    /* which lists of a cell are looked at */
	on_rcpt *on_rcpt;   /* either this for each recipient ... */
	uint64_t *cell_sum; /* ... or only the sum of the cells' counts */
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

	if (!cell_matches(cell, sc->f))
		return true;
	for (state = 0; state < SCHED_STATES; state++) {
		if ((sc->states & IN(state)) == 0)
			continue;
		if (sc->on_rcpt == NULL) {
			*sc->cell_sum += cell->counts[state];
			continue;
		}
		for (l = cell->lists[state].next; l != &cell->lists[state]; l = next) {
			struct sched_rcpt *r = QUEUE_OF(l, struct sched_rcpt, link);

			next = l->next;
			if (rcpt_matches(r, sc) && !sc->on_rcpt(sc->q, r, sc->arg))
				return false;
		}
	}
	return true;
}

/* What was found in goes to the front of its list: who comes back for more, as take does, finds it at once.
 */
static bool
scan_cells_of_domain(const struct scan *sc, struct sched_domain *d)
{
	struct queue_link *l;

	for (l = d->cells.next; l != &d->cells; l = l->next)
		if (!scan_cell(sc, QUEUE_OF(l, struct sched_cell, of_domain))) {
			queue_link_remove(l);
			queue_link_front(&d->cells, l);
			return false;
		}
	return true;
}

static bool
scan_cells_of_stream(const struct scan *sc, struct sched_stream *s)
{
	struct queue_link *l;

	for (l = s->cells.next; l != &s->cells; l = l->next)
		if (!scan_cell(sc, QUEUE_OF(l, struct sched_cell, of_stream))) {
			queue_link_remove(l);
			queue_link_front(&s->cells, l);
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

static bool
stream_matches(const struct sched_stream *s, const struct queue_filter *f)
{
	return (f->user.len == 0 || sched_name_is(s->names, s->user_len, f->user)) &&
	       (f->job.len == 0 || sched_name_is(s->names + s->user_len, s->job_len, f->job));
}

static bool
scan_site(const struct scan *sc, struct sched_site *site)
{
	struct queue_link *l;

	for (l = site->domains.next; l != &site->domains; l = l->next)
		if (!scan_cells_of_domain(sc, QUEUE_OF(l, struct sched_domain, of_site))) {
			queue_link_remove(l);
			queue_link_front(&site->domains, l);
			return false;
		}
	return true;
}

/* False: on_rcpt stopped it. */
static bool
scan_all(const struct scan *sc)
{
	struct queue_sched *q = sc->q;
	const struct queue_filter *f = sc->f;
	struct sched_domain *d;
	struct sched_site *site;
	struct queue_link *l;

	if (f->domain.len > 0) {
		d = sched_domain_find(q, f->domain);
		return d == NULL || scan_cells_of_domain(sc, d);
	}
	if (f->site.len > 0) {
		site = sched_site_find(q, f->site);
		return site == NULL || scan_site(sc, site);
	}
	for (l = q->all_streams.next; l != &q->all_streams; l = l->next) {
		struct sched_stream *s = QUEUE_OF(l, struct sched_stream, all);

		if (!stream_matches(s, f) || scan_cells_of_stream(sc, s))
			continue;
		queue_link_remove(l);
		queue_link_front(&q->all_streams, l);
		return false;
	}
	return true;
}

static bool
scan(const struct scan *sc)
{
	struct sched_message *m;

	if (sc->f->id == 0)
		return scan_all(sc);
	m = sched_message_find(sc->q, sc->f->id);
	return m == NULL || scan_message(sc, m);
}

/* --- look --- */

static bool
count_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	++*(uint64_t *)arg;
	return true;
}

uint64_t
queue_sched_count(struct queue_sched *q, const struct queue_filter *f)
{
	uint64_t count = 0;
	struct scan sc = {.q = q, .f = f, .states = filter_states(f), .on_rcpt = count_one, .arg = &count};

	if (f->id == 0 && !f->held_only) {
		sc.on_rcpt = NULL;
		sc.cell_sum = &count;
	}
	scan(&sc);
	return count;
}

static const char *
state_name(const struct queue_sched *q, const struct sched_rcpt *r)
{
	const struct sched_cell *cell = r->cell;

	switch ((enum sched_state)r->state) {
	case SCHED_WAITING:
		return "waiting";
	case SCHED_LEASED:
		return "leased";
	case SCHED_HELD:
		return "held";
	case SCHED_READY:
	case SCHED_ENDED:
		break;
	}
	if (q->is_paused || !cell->is_runnable || (cell->lane != NULL && sched_lane_is_paused(cell->lane)))
		return "paused";
	return cell->lane == NULL ? "unrouted" : "ready";
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

static bool
is_behind_wait(const struct queue_sched *q, const struct sched_cell *cell)
{
	if (cell->lane != NULL)
		return cell->lane->wait_until_us > q->now_us;
	return cell->domain->route == SCHED_ROUTE_WAIT && cell->domain->until_us > q->now_us;
}

static bool
count_retry(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	if (r->state == SCHED_WAITING || is_behind_wait(q, r->cell))
		++*(uint64_t *)arg;
	return true;
}

/* Retrying means retrying now: a wait for DNS or after failed connections ends too. Limits hold as ever. */
static bool
retry_one(struct queue_sched *q, struct sched_rcpt *r, void *arg)
{
	struct sched_cell *cell = r->cell;

	if (is_behind_wait(q, cell) && cell->lane != NULL) {
		cell->lane->wait_until_us = 0;
		sched_lane_kick(q, cell->lane);
	} else if (is_behind_wait(q, cell)) {
		cell->domain->until_us = q->now_us;
		sched_domain_want(q, cell->domain);
	}
	if (r->state == SCHED_WAITING) {
		r->due_us = q->now_us;
		sched_rcpt_move(q, r, SCHED_READY);
	}
	return true;
}

uint64_t
queue_sched_retry(struct queue_sched *q, const struct queue_filter *f, int64_t now_us)
{
	uint64_t count = 0;
	struct scan sc = {.q = q, .f = f, .on_rcpt = count_retry, .arg = &count};

	sched_clock(q, now_us);
	sc.states = filter_states(f) & (IN(SCHED_READY) | IN(SCHED_WAITING));
	scan(&sc);
	sc.on_rcpt = retry_one;
	scan(&sc);
	return count;
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
	struct holder h = {.hold = hold, .changed = {.visit = changed, .arg = arg}};
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

struct queue_lease *
queue_sched_take(struct queue_sched *q, const struct queue_filter *f, uint64_t *out_busy)
{
	struct sched_rcpt *r = NULL;
	struct scan sc = {.q = q, .f = f, .on_rcpt = find_one, .arg = &r};
	struct sched_message *m;
	struct queue_lease *l;
	uint32_t i;

	*out_busy = 0;
	sc.states = filter_states(f) & ~IN(SCHED_LEASED);
	if (scan(&sc)) {
		sc.states = filter_states(f) & IN(SCHED_LEASED);
		sc.on_rcpt = doom_one;
		sc.arg = out_busy;
		scan(&sc);
		return NULL;
	}
	m = sched_message_of(r);
	if ((l = sched_lease_create(q, m, m->live < TAKE_MAX ? m->live : TAKE_MAX)) == NULL)
		return NULL;
	sched_lease_add(q, l, r);
	for (i = 1; i < m->rcpt_count && i < TAKE_SCAN && l->count < l->room; i++) {
		r = &m->rcpts[(l->index[0] + i) % m->rcpt_count];
		if (rcpt_matches(r, &sc) && cell_matches(r->cell, f))
			sched_lease_add(q, l, r);
	}
	return l;
}
