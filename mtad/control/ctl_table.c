/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule is walked in slices; what is kept is sent when it was seen whole, a portion at a time too.
 */
#include "control/ctl_table.h"

#include <assert.h>
#include <stdlib.h>

enum { PORTION = 64 };

static size_t
least_of(const struct ctl_table *t, size_t count)
{
	size_t least = 0, i;

	for (i = 1; i < count; i++)
		if (t->weights[i] < t->weights[least])
			least = i;
	return least;
}

bool
ctl_table_wants(const struct ctl_table *t, uint64_t weight)
{
	return t->limit == 0 || json_array_size(t->r->part) < t->limit || weight > t->weights[t->least];
}

void
ctl_table_keep(struct ctl_table *t, uint64_t weight, json_t *take_row)
{
	size_t count = json_array_size(t->r->part);

	if (t->limit == 0) {
		ctl_row(t->r, take_row);
		return;
	}
	if (count < t->limit) {
		t->weights[count++] = weight;
		(void)json_array_append_new(t->r->part, take_row);
	} else {
		t->weights[t->least] = weight;
		(void)json_array_set_new(t->r->part, t->least, take_row);
	}
	if (count == t->limit)
		t->least = least_of(t, count);
}

/* False: there are more rows than a portion. */
static bool
send_rows(struct ctl_table *t)
{
	struct ctl_request *r = t->r;

	while (t->sent < json_array_size(r->part)) {
		if (json_array_size(r->frames) >= CTL_ROWS)
			return false;
		ctl_row(r, json_incref(json_array_get(r->part, t->sent++)));
	}
	return true;
}

static bool
finish(struct ctl_table *t)
{
	struct ctl_request *r = t->r;
	json_t *o;

	t->is_through = true;
	if (!send_rows(t))
		return false;
	o = t->summary != NULL ? t->summary(t) : json_object();
	(void)json_object_set_new(o, t->noun, json_integer(ctl_number(t->rows)));
	(void)json_object_set_new(o, "now_us", json_integer((json_int_t)clock_now(r->app->clock)));
	ctl_summary(r, o);
	return true;
}

bool
ctl_table_step(struct ctl_request *r)
{
	struct ctl_table *t = r->state;
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;

	while (!t->is_through) {
		t->walk(t);
		if (t->position.is_end)
			return finish(t);
		if (clock_mono(r->app->clock) >= until_us || json_array_size(r->frames) >= CTL_ROWS)
			return false;
	}
	return finish(t);
}

void *
ctl_table_create(struct ctl_request *r, size_t size)
{
	int64_t limit = ctl_arg_int(r, "limit", 0);
	struct ctl_table *t;

	assert(size >= sizeof(*t));
	if ((t = r->state = calloc(1, size)) == NULL || (r->part = json_array()) == NULL)
		return NULL;
	t->r = r;
	t->position.limit = PORTION;
	t->limit = limit > 0 && limit <= CTL_TABLE_TOP_MAX ? (size_t)limit : 0;
	r->run = ctl_table_step;
	return t;
}
