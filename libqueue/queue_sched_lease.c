/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: recipients of one message that go the same way, taken from their cells.
 *
 * Invariant: what is in a lease is in state LEASED and in no other.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>

enum { BATCH_SCAN = 2048 /* recipients of one message looked at for the same transaction */ };
#define STALL_US INT64_C(1000000)

/* No memory: next() stays quiet for a second. */
void
sched_stall(struct queue_sched *q)
{
	q->stalled_until_us = queue_retry_add(q->now_us, STALL_US);
}

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
		sched_stall(q);
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
transaction_max(struct sched_rcpt *r)
{
	uint32_t max = r->cell->domain->policy->rcpts_per_transaction, own = sched_message_of(r)->lease_max;

	if (max > own)
		max = own;
	return max > 0 ? max : 1;
}

static bool
fits(const struct sched_cell *with, const struct sched_rcpt *r)
{
	if (r->state != SCHED_READY || !r->cell->is_runnable)
		return false;
	if (with->flow == NULL)
		return r->cell->domain == with->domain;
	return r->cell->flow == with->flow;
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
struct queue_lease *
sched_lease_from(struct queue_sched *q, struct sched_cell *cell, uint32_t rcpts_max)
{
	struct sched_rcpt *r = QUEUE_OF(cell->lists[SCHED_READY].next, struct sched_rcpt, link);
	struct sched_message *m = sched_message_of(r);
	uint32_t max = transaction_max(r) < rcpts_max ? transaction_max(r) : rcpts_max, first = r->index, i;
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
