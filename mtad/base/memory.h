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
	_Atomic int64_t peak_bytes; /* since memory was given back last */
	int low_looks;              /* main's */
};

static inline void
memory_add(struct memory *m, int64_t bytes)
{
	int64_t used = atomic_fetch_add_explicit(&m->used_bytes, bytes, memory_order_relaxed) + bytes;

	if (used > atomic_load_explicit(&m->peak_bytes, memory_order_relaxed))
		atomic_store_explicit(&m->peak_bytes, used, memory_order_relaxed);
}
/* Called every few seconds: what bodies have held goes back to the system once they take much less for a
 * while; malloc alone keeps it for as long as the daemon runs. True when it did. Main thread. */
bool memory_give_back(struct memory *m);
/* The share of the bound that is taken, in percent. */
static inline int
memory_percent(const struct memory *m)
{
	int64_t max = atomic_load_explicit(&m->max_bytes, memory_order_relaxed);

	return max > 0 ? (int)(atomic_load_explicit(&m->used_bytes, memory_order_relaxed) * 100 / max) : 0;
}
#endif
