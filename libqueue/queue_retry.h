/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_RETRY_H
#define LIBQUEUE_QUEUE_RETRY_H
/*
 * queue_retry - when to try again: the arithmetic of the retry schedule, free of overflow
 *
 * Thread   any; pure functions.
 * Fails    never: times that do not fit stay at INT64_MAX.
 */
#include "queue_sched.h"

/* An explicit wait (queue_verdict.wait_us) may exceed the retry schedule, up to this. */
#define QUEUE_RETRY_WAIT_MAX_US (INT64_C(24) * 3600 * 1000000)

/* now + wait without overflow. */
int64_t queue_retry_add(int64_t at_us, int64_t wait_us);
/* A point in time after the clock was set by step: 0 and INT64_MAX are no points in time. */
int64_t queue_retry_move(int64_t at_us, int64_t step_us);
/* wait moved by up to +- percent (100 at most); random 0 is the shortest, UINT32_MAX the longest. */
int64_t queue_retry_jitter(int64_t wait_us, uint32_t percent, uint32_t random);
/* The wait after attempt number `attempts` (from 1), without jitter. */
int64_t queue_retry_wait(const struct queue_policy *p, uint32_t attempts);
/* No recipient waits longer than this, jitter included; later due times come from a wrong clock. */
int64_t queue_retry_longest(const struct queue_policy *p, uint32_t percent);
#endif
