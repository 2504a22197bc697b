/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency holds for portions, not for replies: what was said within one turn travels together, as in a
 * segment, so a pipelining client pays it once and one that waits for each reply pays it each time.
 *
 * Invariant: bytes leave in the order in which they were put. With all marks in use a new portion joins the
 * last one: it goes a little late, never early.
 */
#include "mtasim_output.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool
sim_output_put(struct sim_output *o, struct smtp_slice bytes, int64_t now_us)
{
	size_t need = o->end + bytes.len, max = o->max > 0 ? o->max : 1024;
	unsigned last;
	char *grown;

	if (bytes.len == 0)
		return true;
	while (max < need)
		max *= 2;
	if (max > o->max) {
		if ((grown = realloc(o->bytes, max)) == NULL)
			return false;
		o->bytes = grown;
		o->max = max;
	}
	memcpy(o->bytes + o->end, bytes.ptr, bytes.len);
	o->end += bytes.len;
	if (o->latency_us == 0)
		return true;
	if (o->mark_count < SIM_OUTPUT_MARKS)
		o->mark_count++;
	last = (o->first_mark + o->mark_count - 1) % SIM_OUTPUT_MARKS;
	o->marks[last].end = o->sent + (o->end - o->start);
	o->marks[last].at_us = now_us + o->latency_us;
	return true;
}

struct smtp_slice
sim_output_ready(struct sim_output *o, int64_t now_us)
{
	size_t len = o->end - o->start;

	if (len == 0 || (o->drip_us > 0 && now_us < o->drip_at_us))
		return (struct smtp_slice){NULL, 0};
	while (o->mark_count > 0 && o->marks[o->first_mark].at_us <= now_us) {
		o->released = o->marks[o->first_mark].end;
		o->first_mark = (o->first_mark + 1) % SIM_OUTPUT_MARKS;
		o->mark_count--;
	}
	if (o->latency_us > 0)
		len = (size_t)(o->released - o->sent);
	if (o->drip_us > 0 && len > 1)
		len = 1;
	assert(len <= o->end - o->start);
	return (struct smtp_slice){o->bytes + o->start, len};
}

void
sim_output_sent(struct sim_output *o, size_t bytes, int64_t now_us)
{
	assert(bytes <= o->end - o->start);
	o->start += bytes;
	o->sent += bytes;
	o->drip_at_us = now_us + o->drip_us;
	if (o->start == o->end)
		o->start = o->end = 0;
}

bool
sim_output_is_empty(const struct sim_output *o)
{
	return o->start == o->end;
}

int64_t
sim_output_due(const struct sim_output *o)
{
	if (sim_output_is_empty(o))
		return 0;
	if (o->drip_us > 0)
		return o->drip_at_us > 0 ? o->drip_at_us : 1;
	return o->mark_count > 0 ? o->marks[o->first_mark].at_us : 0;
}

void
sim_output_fini(struct sim_output *o)
{
	free(o->bytes);
	o->bytes = NULL;
	o->start = o->end = o->max = 0;
}
