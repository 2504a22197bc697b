/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SLAB_H
#define LIBQUEUE_QUEUE_SLAB_H
/*
 * queue_slab - memory for very many small objects of few sizes
 *
 * malloc() merges what is freed with its neighbours, and so touches the memory of objects that have nothing
 * to do with the one that goes: with a million messages each time one that is in no cache. Here objects of a
 * size lie side by side in slabs; freeing one touches it and the head of its slab (Bonwick, The Slab
 * Allocator, USENIX 1994).
 *
 * Owner    the schedule.
 * Memory   8 bytes an object besides, sizes go up in steps of 16; a slab is given back when it is empty, but
 * for one of each size. What is larger than QUEUE_SLAB_OBJECT_MAX comes from malloc().
 * Thread   the owner's.
 * Fails    only queue_slabs_alloc, without memory.
 */
#include <stdint.h>

#include "queue_list.h"

enum {
	QUEUE_SLAB_BYTES = 64 << 10,
	QUEUE_SLAB_OBJECT_MAX = 1024,
	QUEUE_SLAB_STEP = 16,
	QUEUE_SLAB_SIZES = QUEUE_SLAB_OBJECT_MAX / QUEUE_SLAB_STEP
};

/* The members are its own. */
struct queue_slabs {
	struct queue_link usable[QUEUE_SLAB_SIZES]; /* slabs with room for one more at least */
	size_t bytes;
};

/* bytes: of a slab; 0: each object gets one of its own, for sanitizers, which know what malloc() gave. */
void queue_slabs_init(struct queue_slabs *s, size_t bytes);
/* All objects have been freed. */
void queue_slabs_fini(struct queue_slabs *s);
/* All zero, aligned for pointers and 64-bit numbers; NULL: no memory. size: from 1. */
void *queue_slabs_alloc(struct queue_slabs *s, size_t size);
/* size: as it was asked for. */
void queue_slabs_free(struct queue_slabs *s, void *object, size_t size);
#endif
