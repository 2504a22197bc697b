/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Through the queue in slices of the queue thread's time.
 *
 * The spool knows senders, the schedule does not: with a sender the ids of some thousand messages are read in
 * the control side's thread, then used in the queue thread, and so on to the end of the spool. Without one
 * the schedule's own walk is enough.
 */
#include "control/ctl_request.h"
#include "queue/dispatch.h"
#include "queue_store.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	PORTION = 256, /* cells looked at, and recipients changed, between two looks at the clock */
	SCAN_PORTION = 1000,
	SPOOL_WAIT_US = 5000,
};

struct ctl_walk {
	struct ctl_request *r;
	ctl_apply *apply;
	bool (*end)(struct ctl_request *r);
	struct queue_filter filter;
	struct queue_walk walk;
	queue_id last;     /* of the messages read from the spool */
	bool is_last_read; /* there are no more */
	uint32_t count, at;
	queue_id ids[];
};

static bool
match_sender(void *arg, const struct queue_message *m, const struct queue_rcpt *rcpts, uint32_t rcpt_count)
{
	struct ctl_walk *w = arg;
	const struct ctl_request *r = w->r;

	if ((r->filter.id == 0 || r->filter.id == m->id) && m->sender.len == r->sender.len &&
		strncasecmp(m->sender.ptr, r->sender.ptr, r->sender.len) == 0)
		w->ids[w->count++] = m->id;
	return true;
}

static bool step(struct ctl_request *r);

/* In the control side's thread. */
static bool
read_senders(struct ctl_request *r)
{
	struct ctl_walk *w = r->walk;
	uint32_t max = r->filter.id != 0 ? 1 : SCAN_PORTION;
	int n;

	w->at = w->count = 0;
	n = queue_store_scan(r->app->store, w->last, max, match_sender, w, &w->last);
	w->is_last_read = r->filter.id != 0 || n < (int)max;
	if (n < 0)
		(void)ctl_error(r, "the spool cannot be read: %s", queue_err_text(n));
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), step);
}

/* In the control side's thread, where nobody waits for us. */
static bool
wait_for_spool(struct ctl_request *r)
{
	usleep(SPOOL_WAIT_US);
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), step);
}

static void
next_message(struct ctl_walk *w)
{
	w->filter.id = w->ids[w->at++];
	w->walk = (struct queue_walk){.limit = PORTION};
}

/* In the queue thread. */
static bool
step(struct ctl_request *r)
{
	struct ctl_walk *w = r->walk;
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;

	do {
		if (w->walk.is_end && w->at < w->count)
			next_message(w);
		else if (w->walk.is_end)
			return w->is_last_read ? w->end(r) : ctl_go_on(r, r->slow, read_senders);
		switch (w->apply(r, &w->filter)) {
		case CTL_ON:
			break;
		case CTL_WAIT:
			return ctl_go_on(r, r->slow, wait_for_spool);
		case CTL_ENOUGH:
			return w->end(r);
		}
	} while (clock_mono(r->app->clock) < until_us);
	return false;
}

bool
ctl_walk(struct ctl_request *r, ctl_apply *apply, bool (*end)(struct ctl_request *r))
{
	size_t ids = r->has_sender ? SCAN_PORTION : 0;
	struct ctl_walk *w = calloc(1, sizeof(*w) + ids * sizeof(w->ids[0]));

	if (w == NULL)
		return ctl_error(r, "out of memory");
	ctl_walk_free(r->walk);
	r->walk = w;
	w->r = r;
	w->apply = apply;
	w->end = end;
	w->filter = r->filter;
	w->filter.walk = &w->walk;
	w->walk.limit = PORTION;
	w->walk.is_end = r->has_sender;
	w->is_last_read = !r->has_sender;
	w->last = r->filter.id != 0 ? r->filter.id - 1 : 0;
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), step);
}

void
ctl_walk_free(struct ctl_walk *w)
{
	free(w);
}

enum ctl_next
ctl_apply_count(struct ctl_request *r, const struct queue_filter *f)
{
	r->done += queue_sched_count(dispatch_sched(r->app->dispatch), f);
	return CTL_ON;
}
