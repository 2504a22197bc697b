/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_MEMORY_H
#define MTAD_BASE_MEMORY_H
/*
 * memory - how many bytes the bodies in flight take, and when that is enough (memory-max)
 *
 * Owner    main; everybody borrows it. Thread: any; counters are relaxed, the bound is soft by one message a
 * thread.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct memory {
	_Atomic int64_t used_bytes;
	_Atomic int64_t max_bytes;
};

static inline void
memory_add(struct memory *m, int64_t bytes)
{
	atomic_fetch_add_explicit(&m->used_bytes, bytes, memory_order_relaxed);
}
/* The share of the bound that is taken, in percent. */
static inline int
memory_percent(const struct memory *m)
{
	int64_t max = atomic_load_explicit(&m->max_bytes, memory_order_relaxed);

	return max > 0 ? (int)(atomic_load_explicit(&m->used_bytes, memory_order_relaxed) * 100 / max) : 0;
}
#endif
