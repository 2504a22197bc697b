/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A letter asks more than "does the thread live": it comes back only when the loop turns and the mailbox is
 * drained.
 */
#include "base/watchdog.h"

#include "queue/letters.h"

#include <stdlib.h>

enum { WATCHED_MAX = 160 };

struct watched {
	struct call call;
	struct worker *worker;
	const char *name;
	int64_t asked_us;
	bool is_late;
	_Atomic bool is_out;
};

struct watchdog {
	struct log *log;
	const struct clock *clock;
	size_t count;
	struct watched items[WATCHED_MAX];
};

static void
answer(struct call *c)
{
	atomic_store_explicit(&((struct watched *)c)->is_out, false, memory_order_release);
}

struct watchdog *
watchdog_create(struct log *log, const struct clock *clock)
{
	struct watchdog *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->log = log;
	w->clock = clock;
	return w;
}

void
watchdog_add(struct watchdog *w, struct worker *worker, const char *name)
{
	struct watched *t = &w->items[w->count];

	if (w->count == WATCHED_MAX)
		return;
	w->count++;
	t->call.letter.kind = LETTER_CALL;
	t->call.run = answer;
	t->worker = worker;
	t->name = name;
}

bool
watchdog_ask(struct watchdog *w, int64_t limit_us)
{
	int64_t now_us = clock_mono(w->clock);
	bool all = true;
	size_t i;

	for (i = 0; i < w->count; i++) {
		struct watched *t = &w->items[i];

		if (!atomic_load_explicit(&t->is_out, memory_order_acquire)) {
			t->is_late = false;
			t->asked_us = now_us;
			atomic_store_explicit(&t->is_out, true, memory_order_relaxed);
			worker_post(t->worker, &t->call.letter);
			continue;
		}
		if (now_us - t->asked_us < limit_us)
			continue;
		all = false;
		if (!t->is_late)
			log_event(w->log, LOG_EVENT_watchdog, "thread=%s silent-ms=%lld", t->name,
				(long long)(now_us - t->asked_us) / 1000);
		t->is_late = true;
	}
	return all;
}

void
watchdog_destroy(struct watchdog **wp)
{
	free(*wp);
	*wp = NULL;
}
