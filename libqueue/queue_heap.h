/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_HEAP_H
#define LIBQUEUE_QUEUE_HEAP_H
/*
 * queue_heap - what comes due first: a 4-ary heap of (time, node), the nodes inside the objects
 *
 * The times stand beside the pointers, so comparing touches one cache line a level and not four objects.
 *
 * Owner    the schedule.
 * Memory   16 bytes a reserved place, 4 in the object.
 * Thread   the owner's.
 * Fails    only queue_heap_reserve; whoever reserved a place for each of its objects can never fail to set
 * one.
 */
#include "queue_types.h"

/* All zero: in no heap. */
struct queue_heap_node {
	uint32_t place; /* 1.. */
};
struct queue_heap_entry {
	int64_t at_us;
	struct queue_heap_node *node;
};
struct queue_heap {
	struct queue_heap_entry *entries; /* entries[0] is not used */
	uint32_t count, room;
};

void queue_heap_init(struct queue_heap *h);
void queue_heap_fini(struct queue_heap *h);
/* Room for `count` nodes in all. */
QUEUE_MUST_USE int queue_heap_reserve(struct queue_heap *h, uint64_t count);
/* Puts it in, or moves it; INT64_MAX takes it out. */
void queue_heap_set(struct queue_heap *h, struct queue_heap_node *n, int64_t at_us);
/* INT64_MAX: it is in no heap. */
int64_t queue_heap_at(const struct queue_heap *h, const struct queue_heap_node *n);
/* The earliest; INT64_MAX and NULL when empty. */
int64_t queue_heap_first_us(const struct queue_heap *h);
struct queue_heap_node *queue_heap_first(const struct queue_heap *h);
#endif
