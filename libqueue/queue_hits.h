/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_HITS_H
#define LIBQUEUE_QUEUE_HITS_H
/*
 * queue_hits - "n in T": has something happened n times within the last T?
 *
 * Owner    whoever embeds the struct.
 * Memory   fixed, about 150 bytes. Up to QUEUE_HITS_EXACT each time is kept and the answer is exact. Above it
 *          the window is QUEUE_HITS_EXACT slices with a count each: a hit counts for T at least and for
 *          T / QUEUE_HITS_EXACT longer at most.
 * Thread   its owner's.
 * Fails    never. A clock that is set back makes what lay in its future happen now; set forward, it lets hits
 *          lapse early. Neither makes hits out of nothing.
 */
#include "queue_types.h"

enum { QUEUE_HITS_EXACT = 16, QUEUE_HITS_MAX = 1000000 };

/* The members are its own. */
struct queue_hits {
	int64_t window_us;
	uint32_t want;
	uint32_t next; /* the oldest time, or the slice of `at_us`; in a ring */
	int64_t at_us; /* of the last hit; slices: where the present one began. INT64_MIN: none yet */
	union {
		int64_t times_us[QUEUE_HITS_EXACT];
		uint32_t slices[QUEUE_HITS_EXACT + 1];
	};
};

/* want 1 to QUEUE_HITS_MAX, window_us 16 or more. */
void queue_hits_init(struct queue_hits *h, uint32_t want, int64_t window_us);
/* One more. True: with it there are `want` within the window; so it is for each further one as long as there
 * are. */
bool queue_hits_add(struct queue_hits *h, int64_t now_us);
/* As if nothing had happened. */
void queue_hits_clear(struct queue_hits *h);
#endif
