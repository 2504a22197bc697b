/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retry schedule of a million recipients, and the few timers of domains and lanes.
 *
 * Invariants: entries[1..count] are in use; an entry is never later than its four children;
 * entries[i].node->place is i. Four children a node halve the depth of a binary heap, and they share a cache
 * line.
 */
#include "queue_heap.h"

#include <assert.h>
#include <stdlib.h>

enum { CHILDREN = 4, FIRST_ROOM = 64 };

void
queue_heap_init(struct queue_heap *h)
{
	*h = (struct queue_heap){0};
}

void
queue_heap_fini(struct queue_heap *h)
{
	free(h->entries);
	*h = (struct queue_heap){0};
}

int
queue_heap_reserve(struct queue_heap *h, uint64_t count)
{
	uint64_t room = h->room < FIRST_ROOM ? FIRST_ROOM : h->room;
	struct queue_heap_entry *entries;

	if (count <= h->room)
		return QUEUE_OK;
	while (room < count)
		room += room / 2;
	if (room >= UINT32_MAX)
		return QUEUE_ENOMEM;
	entries = realloc(h->entries, (room + 1) * sizeof(*entries));
	if (entries == NULL)
		return QUEUE_ENOMEM;
	h->entries = entries;
	h->room = (uint32_t)room;
	return QUEUE_OK;
}

static void
put(struct queue_heap *h, uint32_t place, struct queue_heap_entry e)
{
	h->entries[place] = e;
	e.node->place = place;
}

static uint32_t
parent_of(uint32_t place)
{
	return (place + CHILDREN - 2) / CHILDREN;
}

static void
rise(struct queue_heap *h, uint32_t place, struct queue_heap_entry e)
{
	for (; place > 1 && h->entries[parent_of(place)].at_us > e.at_us; place = parent_of(place))
		put(h, place, h->entries[parent_of(place)]);
	put(h, place, e);
}

static void
sink(struct queue_heap *h, uint32_t place, struct queue_heap_entry e)
{
	for (;;) {
		uint64_t first = (uint64_t)(place - 1) * CHILDREN + 2, least = first, i;

		if (first > h->count)
			break;
		for (i = first + 1; i < first + CHILDREN && i <= h->count; i++)
			if (h->entries[i].at_us < h->entries[least].at_us)
				least = i;
		if (h->entries[least].at_us >= e.at_us)
			break;
		put(h, place, h->entries[least]);
		place = (uint32_t)least;
	}
	put(h, place, e);
}

static void
settle_at(struct queue_heap *h, uint32_t place, struct queue_heap_entry e)
{
	if (place > 1 && h->entries[parent_of(place)].at_us > e.at_us)
		rise(h, place, e);
	else
		sink(h, place, e);
}

static void
take_out(struct queue_heap *h, struct queue_heap_node *n)
{
	uint32_t place = n->place;
	struct queue_heap_entry last = h->entries[h->count];

	h->count--;
	n->place = 0;
	if (last.node != n)
		settle_at(h, place, last);
}

void
queue_heap_set(struct queue_heap *h, struct queue_heap_node *n, int64_t at_us)
{
	struct queue_heap_entry e = {at_us, n};

	assert(n->place <= h->count);
	if (n->place == 0) {
		if (at_us == INT64_MAX)
			return;
		assert(h->count < h->room);
		rise(h, ++h->count, e);
		return;
	}
	assert(h->entries[n->place].node == n);
	if (at_us == INT64_MAX)
		take_out(h, n);
	else if (h->entries[n->place].at_us != at_us)
		settle_at(h, n->place, e);
}

int64_t
queue_heap_at(const struct queue_heap *h, const struct queue_heap_node *n)
{
	assert(n->place <= h->count);
	return n->place == 0 ? INT64_MAX : h->entries[n->place].at_us;
}

int64_t
queue_heap_first_us(const struct queue_heap *h)
{
	return h->count == 0 ? INT64_MAX : h->entries[1].at_us;
}

struct queue_heap_node *
queue_heap_first(const struct queue_heap *h)
{
	return h->count == 0 ? NULL : h->entries[1].node;
}
