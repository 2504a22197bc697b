/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_BYTES_H
#define LIBQUEUE_QUEUE_BYTES_H
/*
 * queue_bytes - numbers into little-endian bytes and back (inside libqueue only)
 *
 * A reader turns bad at the first byte it has not got and stays bad, so a decoder is a straight list of
 * fields with one test at its end.
 *
 * Owner    the caller. Memory: none. Thread: any. Fails: is_bad.
 */
#include "queue_types.h"

#include <assert.h>

struct queue_bytes {
	const uint8_t *p;
	size_t left;
	bool is_bad;
};

/* The byte behind what was written. */
static inline uint8_t *
queue_bytes_write(uint8_t *p, uint64_t v, int bytes)
{
	assert(bytes >= 1 && bytes <= 8);
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + bytes;
}

/* The next n bytes; NULL: they are not there. */
static inline const uint8_t *
queue_bytes_take(struct queue_bytes *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->is_bad || r->left < n) {
		r->is_bad = true;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

static inline uint64_t
queue_bytes_read(struct queue_bytes *r, int bytes)
{
	const uint8_t *p;
	uint64_t v = 0;

	assert(bytes >= 1 && bytes <= 8);
	p = queue_bytes_take(r, (size_t)bytes);
	for (int i = 0; p != NULL && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* The same for a number that is at most `max`; larger is bad. */
static inline uint64_t
queue_bytes_read_up_to(struct queue_bytes *r, int bytes, uint64_t max)
{
	uint64_t v = queue_bytes_read(r, bytes);

	if (v > max)
		r->is_bad = true;
	return r->is_bad ? 0 : v;
}

/* A point in time: from 1970 for the next 140,000 years, so that sums with it cannot overflow. */
static inline int64_t
queue_bytes_read_time(struct queue_bytes *r)
{
	return (int64_t)queue_bytes_read_up_to(r, 8, (uint64_t)INT64_MAX / 2);
}
#endif
