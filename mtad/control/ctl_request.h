/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_REQUEST_H
#define MTAD_CONTROL_CTL_REQUEST_H
/*
 * ctl_request - one request of mtactl on its way: main thread -> the thread that can answer it -> main thread
 *
 * Work that may be long is done in portions: `run` returns false to be called again after other letters had
 * their turn.
 *
 * Owner    whichever thread has it. Memory: rows are bounded by the request's limit.
 */
#include "app.h"
#include "base/domain.h"
#include "queue/letters.h"
#include "queue_sched.h"
#include "queue_sched_admin.h"

#include <jansson.h>

enum ctl_place {
	CTL_MAIN,  /* at once, in the main thread */
	CTL_QUEUE, /* the schedule's owner */
	CTL_SLOW,  /* a thread of the control side: reads of the spool */
};

struct ctl_request {
	struct call call; /* first: it travels as a letter */
	struct app *app;
	struct mailbox *back;
	struct worker *worker; /* where it runs; run() may name another thread, and another run, before it
				  returns false */
	struct worker *slow;   /* the control side's own thread */
	uint64_t client;
	json_t *args;
	json_t *frames; /* array: rows and texts */
	int exit_code;
	bool (*run)(struct ctl_request *r); /* true: done */
	/* Parsed filter; text lives in args. */
	struct queue_filter filter;
	const char *sender;
	char domain[DOMAIN_MAX]; /* of the filter, normalised */
	uint64_t done, busy;     /* of work in portions */
	uint64_t cursor;
	void *state;     /* of a command that goes through several threads: freed with it */
	json_t *part;    /* likewise: of the summary */
	bool is_pending; /* run() has begun something that will post the request back itself */
	char who[64];
};

struct ctl_command {
	const char *name;
	enum ctl_place place;
	bool (*run)(struct ctl_request *r);
};
/* NULL: unknown. */
const struct ctl_command *ctl_command_find(const char *name);

/* An object with a "row" member; takes it. */
void ctl_row(struct ctl_request *r, json_t *take_row);
/* {"summary": {...}}; takes it. */
void ctl_summary(struct ctl_request *r, json_t *take_summary);
/* {"error": text} and the exit code 1. */
bool ctl_error(struct ctl_request *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Goes on with `next` in another thread: a step returns what this returns. */
bool ctl_go_on(struct ctl_request *r, struct worker *worker, bool (*next)(struct ctl_request *r));
/* "" when absent. */
const char *ctl_arg(const struct ctl_request *r, const char *name);
int64_t ctl_arg_int(const struct ctl_request *r, const char *name, int64_t absent);
json_t *ctl_blob(struct queue_blob b);
/* From args: all, id, n, domain, site, job, user, held, waiting, sender. False: an error was set: something
 * that is empty, of the wrong type or not known, or (but for list) no filter at all. */
bool ctl_filter(struct ctl_request *r);

bool ctl_status(struct ctl_request *r);
bool ctl_queue(struct ctl_request *r);
bool ctl_sites(struct ctl_request *r);
bool ctl_list(struct ctl_request *r);
bool ctl_show(struct ctl_request *r);
bool ctl_change(struct ctl_request *r); /* and count: all that is done to a filter */
bool ctl_pause(struct ctl_request *r);
bool ctl_resume(struct ctl_request *r);
bool ctl_pauses(struct ctl_request *r);
bool ctl_reload(struct ctl_request *r);
bool ctl_stop(struct ctl_request *r);
bool ctl_rotate(struct ctl_request *r);
bool ctl_audit(struct ctl_request *r);
bool ctl_dkim_check(struct ctl_request *r);
#endif
