/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop is event_base_loop(EVLOOP_ONCE) by hand, so that "finished a turn" is a fact the watchdog can
 * read, and so that the mailbox is one ordinary event among the others. No libevent locks: a base is used by
 * its thread alone.
 */
#include "base/worker.h"

#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>

enum { RECEIVERS_MAX = 160 };

/* Letters of this turn for one receiver, newest first. */
struct outgoing {
	struct worker *to;
	struct letter *newest, *oldest;
};

struct worker {
	struct worker_conf conf;
	struct event_base *base;
	struct event *mail;
	struct mailbox box;
	struct letter stop;
	bool is_stopping; /* the thread's */
	pthread_t thread;
	bool has_thread;
	struct outgoing outgoing[RECEIVERS_MAX]; /* those with letters stand first */
	unsigned outgoing_count;
};

/* Rule zero: thread-local, so that worker_post knows whose turn it is; set once at the start of the thread.
 */
static _Thread_local struct worker *self;

/* Drained in one go; what arrives meanwhile wakes the loop again. */
static void
on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct letter *list = mailbox_take(&w->box), *next;

	for (; list != NULL; list = next) {
		next = list->next;
		if (list == &w->stop)
			w->is_stopping = true;
		else
			w->conf.on_letter(w->conf.arg, list);
	}
	if (w->conf.on_batch != NULL)
		w->conf.on_batch(w->conf.arg);
}

static void *
run(void *arg)
{
	struct worker *w = arg;

	self = w;
	pthread_setname_np(pthread_self(), w->conf.name);
	while (!w->is_stopping || (w->conf.is_busy != NULL && w->conf.is_busy(w->conf.arg))) {
		if (event_base_loop(w->base, EVLOOP_ONCE) < 0)
			break;
		worker_flush();
	}
	return NULL;
}

struct worker *
worker_create(const struct worker_conf *conf)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->conf = *conf;
	w->box.fd = -1;
	if ((w->base = event_base_new()) == NULL || !mailbox_init(&w->box) ||
		(w->mail = event_new(w->base, w->box.fd, EV_READ | EV_PERSIST, on_mail, w)) == NULL ||
		event_add(w->mail, NULL) != 0) {
		worker_destroy(&w);
		return NULL;
	}
	return w;
}

bool
worker_start(struct worker *w)
{
	assert(!w->has_thread);
	w->has_thread = pthread_create(&w->thread, NULL, run, w) == 0;
	return w->has_thread;
}

void
worker_flush(void)
{
	struct outgoing *o;

	if (self == NULL)
		return;
	while (self->outgoing_count > 0) {
		o = &self->outgoing[--self->outgoing_count];
		mailbox_post_all(&o->to->box, o->newest, o->oldest);
	}
}

void
worker_post(struct worker *w, struct letter *take_letter)
{
	struct outgoing *o;
	unsigned i;

	if (self == NULL) {
		mailbox_post(&w->box, take_letter);
		return;
	}
	for (i = 0; i < self->outgoing_count && self->outgoing[i].to != w; i++)
		;
	if (i == RECEIVERS_MAX) {
		mailbox_post(&w->box, take_letter);
		return;
	}
	o = &self->outgoing[i];
	if (i == self->outgoing_count) {
		self->outgoing_count++;
		*o = (struct outgoing){w, NULL, take_letter};
	}
	take_letter->next = o->newest;
	o->newest = take_letter;
}

void
worker_stop(struct worker *w)
{
	mailbox_post(&w->box, &w->stop);
}

void
worker_join(struct worker *w)
{
	if (!w->has_thread)
		return;
	pthread_join(w->thread, NULL);
	w->has_thread = false;
}

void
worker_destroy(struct worker **wp)
{
	struct worker *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	assert(!w->has_thread);
	if (w->mail != NULL)
		event_free(w->mail);
	if (w->base != NULL)
		event_base_free(w->base);
	if (w->box.fd >= 0)
		mailbox_fini(&w->box);
	free(w);
}

struct event_base *
worker_base(struct worker *w)
{
	return w->base;
}
