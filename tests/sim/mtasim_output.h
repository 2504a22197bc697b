/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_OUTPUT_H
#define MTASIM_OUTPUT_H
/*
 * mtasim_output - replies on their way to the client: held back as distance would, or dripping byte by byte
 *
 * Owner    a session. Memory: grows to the largest unsent reply; freed by fini.
 * Thread   the session's. Time is handed in.
 * Fails    false from put: no memory.
 */
#include "smtp_types.h"

enum { SIM_OUTPUT_MARKS = 32 };

struct sim_output {
	char *bytes;
	size_t start, end, max;
	uint64_t sent;     /* position of bytes[start] in the stream */
	uint64_t released; /* with latency: position up to which they may go */
	int64_t latency_us;
	int64_t drip_us, drip_at_us;
	/* Bytes up to `end` may go from `at_us` on; the oldest first. */
	struct {
		uint64_t end;
		int64_t at_us;
	} marks[SIM_OUTPUT_MARKS];
	unsigned first_mark, mark_count;
};

bool sim_output_put(struct sim_output *o, struct smtp_slice bytes, int64_t now_us);
/* What may go now; empty: nothing yet, or nothing at all. */
struct smtp_slice sim_output_ready(struct sim_output *o, int64_t now_us);
void sim_output_sent(struct sim_output *o, size_t bytes, int64_t now_us);
bool sim_output_is_empty(const struct sim_output *o);
/* When more may go; 0: nothing waits for time. */
int64_t sim_output_due(const struct sim_output *o);
void sim_output_fini(struct sim_output *o);
#endif
