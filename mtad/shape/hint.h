/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_SHAPE_HINT_H
#define MTAD_SHAPE_HINT_H
/*
 * hint - how long a reply asks us to wait: "try again in 5 minutes"
 *
 * Owner    nobody: a pure function. Memory: none. Thread: any.
 * Fails    never: without a time in the text it is 0.
 */
#include "smtp_types.h"

/* A reply asks for no less than that, and gets no more. */
#define HINT_MIN_US (INT64_C(10) * 1000000)
#define HINT_MAX_US (INT64_C(4) * 3600 * 1000000)

/* The first time of the text that stands behind "in", "after", "for", "wait" or "least": "300 seconds",
 * "5 mins", "1 hour", "00:04:59", "90s"; within the bounds above. 0: there is none. */
int64_t hint_wait(struct smtp_slice text);
#endif
