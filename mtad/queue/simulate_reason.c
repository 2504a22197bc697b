/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps a site's mail changes all the time: a limit is used up, connections open, a window begins. So it
 * is asked often at first and more seldom the longer it takes, each answer stands for the time until the next
 * one, and the reason that stood longest is told.
 */
#include "queue/simulate_impl.h"

#include <stdio.h>
#include <string.h>

enum { SAMPLE_PART = 20, GROUPS_ASKED = 4 };
#define SAMPLE_MIN_US INT64_C(500000)

struct asked {
	struct queue_reason most;
	char name[SIMULATE_NAME_MAX], words[SIMULATE_NAME_MAX];
	bool is_any;
};

static void
copy(char to[SIMULATE_NAME_MAX], struct queue_blob from)
{
	snprintf(to, SIMULATE_NAME_MAX, "%.*s", (int)from.len, from.len > 0 ? (const char *)from.ptr : "");
}

/* Mail that is in a session waits for nothing. */
static bool
on_reason(void *arg, const struct queue_reason *r)
{
	struct asked *a = arg;

	if (r->why == QUEUE_WHY_LEASED || (a->is_any && r->rcpts <= a->most.rcpts))
		return true;
	a->is_any = true;
	a->most = *r;
	copy(a->name, r->name);
	copy(a->words, r->reason);
	return true;
}

/* The same limit of another source is the same reason. */
static bool
is_same(const struct simulate_reason *have, const struct asked *a)
{
	const struct queue_reason *x = &have->reason, *y = &a->most;

	return x->why == y->why && x->level == y->level && x->unit == y->unit && x->pause == y->pause &&
	       x->klass == y->klass && x->rate.count == y->rate.count && x->rate.per_us == y->rate.per_us &&
	       (x->level != QUEUE_LEVEL_LANE || x->count == y->count) &&
	       strncmp(have->name, a->name, SIMULATE_NAME_MAX) == 0;
}

static void
add_reason(const struct model *m, struct simulate_reason *reasons, const struct asked *a, int64_t us)
{
	int i, least = 0;

	for (i = 0; i < SIMULATE_REASONS && reasons[i].us > 0 && !is_same(&reasons[i], a); i++)
		least = reasons[i].us < reasons[least].us ? i : least;
	if (i == SIMULATE_REASONS)
		reasons[i = least].us = 0;
	if (reasons[i].us == 0) {
		reasons[i].reason = a->most;
		snprintf(reasons[i].name, SIMULATE_NAME_MAX, "%s", a->name);
		snprintf(reasons[i].words, SIMULATE_NAME_MAX, "%s", a->words);
		snprintf(reasons[i].source, SIMULATE_NAME_MAX, "%s",
			pace_source_name(m->settings.pace, a->most.source));
	}
	reasons[i].us += us;
}

static void
sample_row(const struct model *m, const struct model_row *row, int64_t us)
{
	const struct queue_blob none = {"", 0};
	struct asked a = {.is_any = false};
	const struct model_group *g;
	int asked = 0;
	bool has_queued = false;

	for (g = row->groups; g != NULL && asked < GROUPS_ASKED; g = g->next) {
		if (g->queued == 0)
			continue;
		has_queued = true;
		asked++;
		(void)queue_sched_why_domain(m->q, g->of->domain, on_reason, &a);
	}
	if (!a.is_any) /* all of it is in sessions, or waits for its next attempt */
		a.most = (struct queue_reason){.why = has_queued ? QUEUE_WHY_GOING : QUEUE_WHY_RETRY,
			.name = none,
			.reason = none,
			.source = UINT32_MAX};
	add_reason(m, row->reasons, &a, us);
}

void
simulate_sample(struct model *m, int64_t next_us)
{
	int64_t us = next_us - m->sampled_us, passed_us = m->now_us - m->s->now_us;
	size_t i;

	if (us < SAMPLE_MIN_US || us < passed_us / SAMPLE_PART)
		return;
	m->sampled_us = next_us;
	for (i = 0; i < m->s->row_count; i++)
		if (m->rows[i].reasons != NULL && m->rows[i].left > 0)
			sample_row(m, &m->rows[i], us);
}

void
simulate_limit(const struct model_row *row, struct simulate_reason *out)
{
	int i, most = 0;

	*out = (struct simulate_reason){.us = 0};
	if (row->reasons == NULL)
		return;
	for (i = 1; i < SIMULATE_REASONS; i++)
		most = row->reasons[i].us > row->reasons[most].us ? i : most;
	*out = row->reasons[most];
	out->reason.name = out->reason.reason = out->reason.site = out->reason.pool =
		(struct queue_blob){"", 0};
}
