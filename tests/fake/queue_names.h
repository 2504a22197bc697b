/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_QUEUE_NAMES_H
#define FAKE_QUEUE_NAMES_H
/*
 * queue_names - times and numbered names ("d7", "site3") for the tests of the schedule
 *
 * Owner    the test. Memory: the last eight names are valid. Thread: one.
 */
#include "queue_types.h"

#include <stdio.h>

#define SEC    INT64_C(1000000)
#define MINUTE (60 * SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  (INT64_C(1700000000) * SEC)

static inline struct queue_blob
name_of(const char *kind, int i)
{
	static char names[8][24];
	static int next;
	char *at = names[next++ % 8];

	return (struct queue_blob){at, (size_t)snprintf(at, sizeof(names[0]), "%s%d", kind, i)};
}

static inline struct queue_blob
blob_of(const char *s)
{
	size_t len = 0;

	while (s[len] != '\0')
		len++;
	return (struct queue_blob){s, len};
}

/* The number in a name; -1 when it is empty. */
static inline int
number_of(struct queue_blob b)
{
	const char *p = b.ptr;
	size_t i;
	int n = 0;

	for (i = 0; i < b.len; i++)
		if (p[i] >= '0' && p[i] <= '9')
			n = n * 10 + (p[i] - '0');
	return b.len == 0 ? -1 : n;
}
#endif
