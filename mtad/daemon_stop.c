/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stop is asked for, then looked for: sessions finish or are cut, the queue gives nothing out any more, and
 * when all have been quiet twice the loop ends. Nothing that was accepted depends on it; a kill is only less
 * polite.
 */
#include "daemon.h"

#include "io.h"
#include "queue/dispatch.h"
#include "queue/letters.h"

#include <event2/event.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
	TICK_US = 50000,
	FORCE_EXTRA_US = 5000000, /* after sessions were cut */
};

struct object_call {
	struct call call;
	void *object;
	void (*run)(void *object, bool flag);
	bool flag;
};

static void
run_call(struct call *c)
{
	struct object_call *s = (struct object_call *)c;

	s->run(s->object, s->flag);
	free(s);
}

bool
daemon_call(struct worker *w, void *object, void (*run)(void *object, bool flag), bool flag)
{
	struct object_call *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return false;
	s->call.letter.kind = LETTER_CALL;
	s->call.run = run_call;
	s->object = object;
	s->run = run;
	s->flag = flag;
	worker_post(w, &s->call.letter);
	return true;
}

static void
stop_io(void *object, bool cut)
{
	io_stop(object, cut);
}

static void
stop_dispatch(void *object, bool flag)
{
	dispatch_stop(object);
}

static void
stop_sessions(struct daemon *d, bool cut)
{
	size_t i;

	d->is_cut = cut;
	for (i = 0; i < d->app.io_count; i++)
		(void)daemon_call(d->io_workers[i], d->app.ios[i], stop_io, cut);
}

void
app_stop(struct app *a)
{
	struct daemon *d = (struct daemon *)a;
	struct timeval tv = {0, TICK_US};

	if (a->is_stopping) {
		stop_sessions(d, true);
		return;
	}
	a->is_stopping = true;
	d->stop_begun_us = clock_mono(a->clock);
	log_event(a->log, LOG_EVENT_stopping, "within=%llds", (long long)a->conf->stop_timeout / 1000000);
	(void)sd_notify(0, "STOPPING=1");
	(void)daemon_call(dispatch_worker(a->dispatch), a->dispatch, stop_dispatch, false);
	stop_sessions(d, a->conf->stop_timeout == 0);
	event_add(d->tick, &tv);
}

/* Asked in the owning threads; the answers are a moment old, so two quiet ticks in a row are wanted. */
struct quiet {
	struct call call;
	struct dispatch *dispatch;
	struct io *io;
	_Atomic bool is_out;
	_Atomic int is_quiet;
};

static void
run_quiet(struct call *c)
{
	struct quiet *q = (struct quiet *)c;
	bool quiet = q->dispatch != NULL ? dispatch_is_idle(q->dispatch) : io_count(q->io) == 0;

	atomic_store(&q->is_quiet, quiet ? atomic_load(&q->is_quiet) + 1 : 0);
	atomic_store(&q->is_out, false);
}

/* Asks everybody; true when all were quiet twice. The questions live as long as the process. */
static bool
all_quiet(struct daemon *d)
{
	static struct quiet *questions; /* rule zero: made once, at the end of the process */
	size_t count = 1 + d->app.io_count, i;
	bool quiet = true;

	if (questions == NULL && (questions = calloc(count, sizeof(*questions))) == NULL)
		return false;
	for (i = 0; i < count; i++) {
		struct quiet *q = &questions[i];

		quiet = quiet && atomic_load(&q->is_quiet) >= 2;
		if (atomic_load(&q->is_out))
			continue;
		q->call.letter.kind = LETTER_CALL;
		q->call.run = run_quiet;
		q->dispatch = i == 0 ? d->app.dispatch : NULL;
		q->io = i == 0 ? NULL : d->app.ios[i - 1];
		atomic_store(&q->is_out, true);
		worker_post(
			i == 0 ? dispatch_worker(d->app.dispatch) : d->io_workers[i - 1], &q->call.letter);
	}
	return quiet;
}

void
daemon_on_tick(int fd, short what, void *arg)
{
	struct daemon *d = arg;
	int64_t gone_us = clock_mono(d->app.clock) - d->stop_begun_us;
	struct timeval tv = {0, TICK_US};

	if (all_quiet(d)) {
		event_base_loopbreak(d->app.base);
		return;
	}
	if (!d->is_cut && gone_us > d->app.conf->stop_timeout)
		stop_sessions(d, true);
	if (gone_us > d->app.conf->stop_timeout + FORCE_EXTRA_US) {
		/* A store that cannot be written or a thread that hangs. Nothing accepted is lost by leaving
		 * now. */
		log_event(d->app.log, LOG_EVENT_stopped, "forced=yes");
		_exit(1);
	}
	event_add(d->tick, &tv);
}
