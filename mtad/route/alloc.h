/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_ALLOC_H
#define MTAD_ROUTE_ALLOC_H
/*
 * alloc - memory for look-ups, or the end of the process
 *
 * Every look-up is answered exactly once. One that cannot be remembered would strand its mail for ever
 * without a word; a process that ends is started again and finds its mail in the spool. All that is
 * allocated here is small and bounded.
 *
 * Owner    the caller; free() gives it back. Thread: any.
 */
#include <stdlib.h>

/* Zeroed. */
static inline void *
route_alloc(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p == NULL)
		abort();
	return p;
}
#endif
