/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <malloc.h>

enum { LOOKS_MIN = 3 };
static const int64_t worth_bytes = INT64_C(64) << 20;

bool
memory_give_back(struct memory *m)
{
	int64_t used = atomic_load_explicit(&m->used_bytes, memory_order_relaxed);

	if (atomic_load_explicit(&m->peak_bytes, memory_order_relaxed) - used < worth_bytes) {
		m->low_looks = 0;
		return false;
	}
	if (++m->low_looks < LOOKS_MIN)
		return false;
	m->low_looks = 0;
	atomic_store_explicit(&m->peak_bytes, used, memory_order_relaxed);
	(void)malloc_trim(0);
	return true;
}
