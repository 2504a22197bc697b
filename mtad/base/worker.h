/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_WORKER_H
#define MTAD_BASE_WORKER_H
/*
 * worker - a thread with an event loop and a mailbox
 *
 * Owner    whoever creates it; everything the thread touches is its own.
 * Thread   create, start and join by the owner; post by anybody; the rest only inside the thread.
 * Fails    create returns NULL when out of memory or descriptors.
 */
#include "base/clock.h"
#include "base/mailbox.h"

#include <stdatomic.h>

struct event_base;
struct worker;

/* Called in the thread for each letter, in order; the letter is the callee's. */
typedef void worker_on_letter(void *arg, struct letter *take_letter);
/* Called in the thread after each batch of letters was handled (flush what was collected). */
typedef void worker_on_batch(void *arg);
/* True while work of earlier letters goes on in later turns of the loop: the thread does not end before. */
typedef bool worker_is_busy(void *arg);

struct worker_conf {
	const char *name; /* of the thread, up to 15 bytes */
	const struct clock *clock;
	worker_on_letter *on_letter;
	worker_on_batch *on_batch; /* may be NULL */
	void *arg;
	worker_is_busy *is_busy; /* may be NULL: never */
};

struct worker *worker_create(const struct worker_conf *conf);
/* Starts the thread's loop. False: no thread could be had. */
bool worker_start(struct worker *w);
/* Any thread. Inside a worker's thread letters are collected and posted when its present turn of the loop
 * ends, so that a busy thread wakes another once a turn and not once a letter; order is kept for each
 * receiver. */
void worker_post(struct worker *w, struct letter *take_letter);
/* Inside a worker's thread: post what was collected now (before something that takes long). */
void worker_flush(void);
/* Ends the loop after the letters posted so far, and when it is not busy with them; any thread. */
void worker_stop(struct worker *w);
void worker_join(struct worker *w);
/* After join. */
void worker_destroy(struct worker **wp);

struct event_base *worker_base(struct worker *w);
#endif
