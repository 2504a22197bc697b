/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_TABLE_H
#define MTAD_CONTROL_CTL_TABLE_H
/*
 * ctl_table - rows of the schedule, found in slices of the queue thread's time
 *
 * With a limit only the heaviest so many are kept, so that the answer about a million is short; without one
 * the rows go out as they are found, a portion at a time.
 *
 * Owner    the request, whose state it is. Thread: the queue thread.
 */
#include "control/ctl_request.h"

enum { CTL_TABLE_TOP_MAX = 1000 };

/* The command's own struct begins with it. */
struct ctl_table {
	struct ctl_request *r;
	/* A portion, from `position`; sets its is_end. */
	void (*walk)(struct ctl_table *t);
	/* When all is through: a new object, which gets `noun` and now_us; it may add rows. NULL: those
	 * alone. */
	json_t *(*summary)(struct ctl_table *t);
	const char *noun; /* in the summary: how many rows there are in all */
	uint64_t rows;    /* so many */
	struct queue_walk position;
	size_t limit; /* 0: every row goes out at once */
	size_t least; /* of weights, when all places are taken */
	size_t sent;  /* of the rows kept */
	bool is_through;
	uint64_t weights[CTL_TABLE_TOP_MAX]; /* of the rows kept, which are in r->part */
};

/* Sets the request's state and run; NULL: no memory. size: of the command's own struct. */
void *ctl_table_create(struct ctl_request *r, size_t size);
/* Begins, and goes on: a request's run. */
bool ctl_table_step(struct ctl_request *r);
/* Is a row of this weight among the heaviest so far? */
bool ctl_table_wants(const struct ctl_table *t, uint64_t weight);
/* Only when it is wanted. */
void ctl_table_keep(struct ctl_table *t, uint64_t weight, json_t *take_row);
#endif
