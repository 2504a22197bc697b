/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a recipient stands: the cells of a domain, and the one place that moves a recipient.
 *
 * Invariants: a recipient that has not ended is in exactly one list, cell->lists[state], and counted once in
 * the cell and once in the schedule; leave() and enter() are the only code that touches them. A cell is in a
 * ring exactly when it has ready recipients and neither its domain nor its stream is paused; the ring is its
 * flow's when it is routed, else its domain's.
 */
#include "queue_sched_int.h"

#include <assert.h>

/* --- cells --- */

static void
cell_start(struct queue_sched *q, struct sched_cell *cell)
{
	cell->is_runnable = true;
	if (cell->flow != NULL) {
		sched_flow_start(q, cell);
		return;
	}
	queue_link_back(&cell->domain->runnable, &cell->ring);
	sched_domain_want(q, cell->domain);
}

static void
cell_stop(struct queue_sched *q, struct sched_cell *cell)
{
	cell->is_runnable = false;
	if (cell->flow != NULL)
		sched_flow_stop(q, cell);
	else
		queue_link_remove(&cell->ring);
}

void
sched_cell_update(struct queue_sched *q, struct sched_cell *cell)
{
	bool runnable =
		cell->counts[SCHED_READY] > 0 && !cell->domain->is_paused && cell->stream->paused == 0;

	if (runnable && !cell->is_runnable)
		cell_start(q, cell);
	else if (!runnable && cell->is_runnable)
		cell_stop(q, cell);
}

void
sched_cell_set_flow(struct queue_sched *q, struct sched_cell *cell, struct sched_flow *flow)
{
	struct sched_flow *old = cell->flow;

	if (old == flow)
		return;
	if (cell->is_runnable)
		cell_stop(q, cell);
	if (flow != NULL)
		flow->cell_count++;
	cell->flow = flow;
	if (old != NULL) {
		old->cell_count--;
		sched_flow_release(q, old);
	}
	sched_cell_update(q, cell);
}

struct sched_choice
sched_cell_choice(const struct queue_sched *q, const struct sched_cell *cell)
{
	struct sched_choice choice = {.pool = cell->pool > 0 ? cell->pool : cell->domain->policy->pool};
	uint32_t source = cell->sticky & ~SCHED_STRICT;

	if (cell->sticky > 0 &&
		((cell->sticky & SCHED_STRICT) != 0 || !sched_source_is_paused(q, source - 1)))
		choice.source = source;
	return choice;
}

struct sched_flow *
sched_cell_flow(struct queue_sched *q, struct sched_site *site, const struct sched_cell *cell)
{
	struct sched_flow *f = sched_flow_get(q, site, sched_cell_choice(q, cell), cell->stream);

	if (f == NULL || f->cell_count > 0 || sched_flow_set_warmup(q, f))
		return f;
	sched_flow_release(q, f);
	return NULL;
}

/* The settings may say other sources now. Without memory it stays where it is. */
void
sched_cell_reroute(struct queue_sched *q, struct sched_cell *cell)
{
	struct sched_flow *flow = cell->flow == NULL ? NULL : sched_cell_flow(q, cell->flow->way->site, cell);

	if (flow != NULL)
		sched_cell_set_flow(q, cell, flow);
}

static bool
cell_is(const struct sched_cell *cell, const struct sched_stream *s, uint32_t pool, uint32_t sticky)
{
	return cell->stream == s && cell->sticky == sticky && cell->pool == pool;
}

static struct sched_cell *
cell_find(const struct queue_sched *q, const struct sched_domain *d, const struct sched_stream *s,
	uint32_t pool, uint32_t sticky, uint64_t hash)
{
	struct queue_link *l = d->cells.next;
	struct queue_map_node *n;
	struct sched_cell *cell;
	int i;

	/* Most domains have one or two cells; those are found without the table. */
	for (i = 0; i < 2 && l != &d->cells; i++, l = l->next) {
		cell = QUEUE_OF(l, struct sched_cell, of_domain);
		if (cell_is(cell, s, pool, sticky))
			return cell;
	}
	if (l == &d->cells)
		return NULL;
	for (n = queue_map_find(&q->cells, hash); n != NULL; n = queue_map_find_next(n)) {
		cell = QUEUE_OF(n, struct sched_cell, node);
		if (cell->domain == d && cell_is(cell, s, pool, sticky))
			return cell;
	}
	return NULL;
}

struct sched_cell *
sched_cell_get(
	struct queue_sched *q, struct sched_domain *d, struct sched_stream *s, uint32_t pool, uint32_t sticky)
{
	uint64_t hash = queue_map_mix(d->node.hash + sticky, s->node.hash + pool);
	struct sched_cell *cell = cell_find(q, d, s, pool, sticky, hash);
	int i;

	if (cell != NULL)
		return cell;
	if ((cell = sched_alloc(q, sizeof(*cell))) == NULL)
		return NULL;
	cell->domain = d;
	cell->stream = s;
	cell->pool = pool;
	cell->sticky = sticky;
	if (d->site != NULL && (cell->flow = sched_cell_flow(q, d->site, cell)) == NULL) {
		sched_free(q, cell, sizeof(*cell));
		return NULL;
	}
	if (cell->flow != NULL)
		cell->flow->cell_count++;
	for (i = 0; i < SCHED_STATES; i++)
		queue_link_init(&cell->lists[i]);
	queue_link_init(&cell->ring);
	queue_link_init(&cell->of_domain);
	queue_link_init(&cell->of_stream);
	queue_link_front(&d->cells, &cell->of_domain);
	queue_link_front(&s->cells, &cell->of_stream);
	queue_map_insert(&q->cells, &cell->node, hash);
	return cell;
}

void
sched_cell_release(struct queue_sched *q, struct sched_cell *cell)
{
	if (cell->rcpts > 0)
		return;
	assert(!cell->is_runnable);
	queue_link_remove(&cell->of_domain);
	queue_link_remove(&cell->of_stream);
	queue_map_remove(&q->cells, &cell->node);
	sched_cell_set_flow(q, cell, NULL);
	sched_stream_release(q, cell->stream);
	sched_domain_linger(q, cell->domain);
	sched_free(q, cell, sizeof(*cell));
}

/* --- recipients --- */

static void
leave(struct queue_sched *q, struct sched_rcpt *r)
{
	struct sched_cell *cell = r->cell;

	assert(r->state < SCHED_STATES && cell->counts[r->state] > 0);
	queue_link_remove(&r->link);
	cell->counts[r->state]--;
	q->counts[r->state]--;
	if (r->state == SCHED_READY)
		sched_message_of(r)->ready--;
	if (r->state == SCHED_READY && cell->is_runnable && cell->flow != NULL)
		sched_flow_ready(q, cell->flow, -1);
	if (r->state == SCHED_WAITING && r->due_us <= cell->next_due_us)
		cell->next_due_us = 0;
}

static void
enter(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state, bool at_front)
{
	struct sched_cell *cell = r->cell;

	r->state = state;
	if (at_front)
		queue_link_front(&cell->lists[state], &r->link);
	else
		queue_link_back(&cell->lists[state], &r->link);
	if (state == SCHED_WAITING &&
		(cell->counts[state] == 0 || (cell->next_due_us != 0 && r->due_us < cell->next_due_us)))
		cell->next_due_us = r->due_us;
	cell->counts[state]++;
	q->counts[state]++;
	if (state == SCHED_READY)
		sched_message_of(r)->ready++;
	if (state == SCHED_READY && cell->is_runnable && cell->flow != NULL)
		sched_flow_ready(q, cell->flow, 1);
	sched_rcpt_arm(q, r);
	sched_cell_update(q, cell);
}

/* A recipient of a new message. */
void
sched_rcpt_enter(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state)
{
	enter(q, r, state, false);
}

void
sched_rcpt_move(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state)
{
	struct sched_cell *cell = r->cell;

	leave(q, r);
	if (state != SCHED_ENDED) {
		enter(q, r, state, false);
		return;
	}
	r->state = SCHED_ENDED;
	queue_link_remove(&r->age);
	r->is_timed = 0;
	sched_rcpt_arm(q, r);
	q->rcpts--;
	cell->rcpts--;
	sched_message_of(r)->live--;
	sched_cell_update(q, cell);
	sched_cell_release(q, cell);
}

/* Ready, before all others of its cell: it was first once already. */
void
sched_rcpt_move_front(struct queue_sched *q, struct sched_rcpt *r)
{
	leave(q, r);
	enter(q, r, SCHED_READY, true);
}

/* To another cell of the same domain. */
void
sched_rcpt_rehome(struct queue_sched *q, struct sched_rcpt *r, struct sched_cell *cell)
{
	struct sched_cell *old = r->cell;
	enum sched_state state = r->state;

	assert(old->domain == cell->domain);
	if (old == cell)
		return;
	leave(q, r);
	sched_cell_update(q, old);
	old->rcpts--;
	cell->rcpts++;
	r->cell = cell;
	enter(q, r, state, false);
	sched_cell_release(q, old);
}
