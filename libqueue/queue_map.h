/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_MAP_H
#define LIBQUEUE_QUEUE_MAP_H
/*
 * queue_map - find an object by a 64-bit hash; chained, the nodes inside the objects
 *
 * The caller compares what the hash was made of. A map of messages uses the id itself as the hash: ids that
 * follow each other lie side by side, which is the order in which they are used.
 *
 * Owner    the schedule.
 * Memory   16 bytes in the object, 8 to 16 in the table. The table grows and does not shrink.
 * Thread   the owner's.
 * Fails    only queue_map_init; a table that cannot grow works on with longer chains.
 */
#include "queue_types.h"

struct queue_map_node {
	struct queue_map_node *next;
	uint64_t hash;
};
struct queue_map {
	struct queue_map_node **buckets;
	uint64_t mask, count;
};

QUEUE_MUST_USE int queue_map_init(struct queue_map *m);
void queue_map_fini(struct queue_map *m);
void queue_map_insert(struct queue_map *m, struct queue_map_node *n, uint64_t hash);
void queue_map_remove(struct queue_map *m, struct queue_map_node *n);

/* The nodes with this hash: the first, then the next after n. NULL: no more. */
struct queue_map_node *queue_map_find(const struct queue_map *m, uint64_t hash);
struct queue_map_node *queue_map_find_next(const struct queue_map_node *n);
/* All nodes, in no order. NULL starts and ends; what was returned may be removed once its successor is known.
 */
struct queue_map_node *queue_map_each(const struct queue_map *m, const struct queue_map_node *n);

/* A hash of some bytes that nobody who does not know `seed` can steer. */
uint64_t queue_map_hash(uint64_t seed, struct queue_blob bytes);
/* Mixes two values, for keys made of pointers and numbers. */
uint64_t queue_map_mix(uint64_t a, uint64_t b);
#endif
