/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_SMTP_HEAP_H
#define MTAD_BASE_SMTP_HEAP_H
/*
 * smtp_heap - the engines of libsmtp, which ask nobody for memory themselves, from malloc()
 */
#include "smtp_types.h"

#include <stdlib.h>

static inline void *
smtp_heap_get(void *arg, size_t bytes)
{
	return malloc(bytes);
}

static inline void
smtp_heap_put(void *arg, void *ptr)
{
	free(ptr);
}

static const struct smtp_alloc smtp_heap = {smtp_heap_get, smtp_heap_put, NULL};
#endif
