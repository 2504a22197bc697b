/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_REQUEST_H
#define MTAD_CONTROL_CTL_REQUEST_H
/*
 * ctl_request - one request of mtactl on its way: main thread -> the thread that can answer it -> main thread
 *
 * Work that may be long is done in portions: `run` returns false to be called again after other letters had
 * their turn. The rows of a portion go to the client first and the next one waits until it has read them;
 * when the client has gone no further portion is begun.
 *
 * Owner    whichever thread has it. Memory: the rows of one portion, and what `state` says.
 */
#include "app.h"
#include "base/domain.h"
#include "queue/letters.h"
#include "queue_sched.h"
#include "queue_sched_admin.h"
#include "shape/override.h"

#include <jansson.h>
#include <stdatomic.h>

/* A portion: a slice of the queue thread's time, and rows. */
enum { CTL_SLICE_US = 2000, CTL_ROWS = 256 };

struct classifier;
struct ctl_walk;
struct queue_loaded;
struct queue_reason;

enum ctl_place {
	CTL_MAIN,   /* at once, in the main thread */
	CTL_QUEUE,  /* the schedule's owner */
	CTL_REPORT, /* the owner of the accounting files */
	CTL_SLOW,   /* a thread of the control side: reads of the spool */
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
	bool is_done;                       /* run() has returned true */
	bool is_stopping;                   /* the daemon, when it was asked */
	bool is_change;                     /* of mail: said in the log even when it is broken off */
	_Atomic bool is_left;               /* the client has gone; set by the main thread */
	/* Parsed filter; text lives in args. */
	struct queue_filter filter;
	struct queue_blob sender; /* when has_sender; empty: the null sender */
	bool has_sender;
	char domain[DOMAIN_MAX];       /* of the filter, normalised */
	uint64_t done, busy;           /* recipients, so far */
	uint64_t holds;                /* hold, release: the spool has to have written so many */
	size_t at;                     /* rows sent */
	struct ctl_walk *walk;         /* of ctl_walk(): freed with the request; so are: */
	void *state;                   /* of a command that takes several steps */
	json_t *part;                  /* likewise: JSON of it */
	json_t *sums;                  /* likewise: rows by what they are about, while they are added up */
	struct queue_loaded *loaded;   /* likewise: a message */
	struct classifier *classifier; /* likewise: a reference, of ctl_keep_classifier() */
	bool is_pending;               /* run() has begun something that will post the request back itself */
	char who[64];
};

struct ctl_command {
	const char *name;
	enum ctl_place place;
	bool (*run)(struct ctl_request *r);
};

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
/* Jansson has no unsigned integers; nothing here is as large as that. */
json_int_t ctl_number(uint64_t v);
json_t *ctl_id(queue_id id);
/* In the queue thread, for ctl_class() in another: the class of a reply by the configuration in force,
 * whichever provider it is of; "" without a reply. */
void ctl_keep_classifier(struct ctl_request *r);
json_t *ctl_class(const struct ctl_request *r, struct queue_blob reply);
/* NULL: it has ended. */
const struct queue_rcpt *ctl_loaded_rcpt(const struct queue_loaded *loaded, uint16_t n);
/* From args: all, id, n, domain, site, job, user, held, waiting, sender. False: an error was set: something
 * that is empty, of the wrong type or not known, or (but for list) no filter at all. */
bool ctl_filter(struct ctl_request *r);

/* Goes through what the filter and the sender name: `apply` is called in the queue thread, a portion a call
 * (f has a walk), and `end` after it. A step returns what this returns. */
enum ctl_next {
	CTL_ON,
	CTL_WAIT,   /* for the spool: the same portion again in a moment */
	CTL_ENOUGH, /* `end` now */
};
typedef enum ctl_next ctl_apply(struct ctl_request *r, const struct queue_filter *f);
bool ctl_walk(struct ctl_request *r, ctl_apply *apply, bool (*end)(struct ctl_request *r));
void ctl_walk_free(struct ctl_walk *w);
/* An apply: adds to r->done. */
enum ctl_next ctl_apply_count(struct ctl_request *r, const struct queue_filter *f);

/* A change is done: logs it when there was something to do, and answers with r->done. */
bool ctl_done(struct ctl_request *r, const char *what);
/* A limit of a user's recipients that is its sandbox's. */
bool ctl_is_of_sandbox(const struct ctl_request *r, const struct queue_reason *reason);
/* An error that names the sources there are. */
bool ctl_unknown_source(struct ctl_request *r, const char *name);
/* What an operator has set of a limit, an object as in the list of overrides; NULL: nothing. */
json_t *ctl_override_of(const struct ctl_request *r, enum queue_level level, struct queue_blob source,
	struct queue_blob name, enum override_setting setting);
/* The client has gone before the request was done: what it has changed is logged. */
void ctl_left(struct ctl_request *r);

bool ctl_status(struct ctl_request *r);
bool ctl_queue(struct ctl_request *r);
bool ctl_sites(struct ctl_request *r);
bool ctl_why(struct ctl_request *r);
bool ctl_lanes(struct ctl_request *r);
bool ctl_sources(struct ctl_request *r);
bool ctl_streams(struct ctl_request *r);
bool ctl_limits(struct ctl_request *r);
bool ctl_list(struct ctl_request *r);
bool ctl_show(struct ctl_request *r);
bool ctl_count(struct ctl_request *r);
bool ctl_change(struct ctl_request *r); /* all that is done to a filter */
bool ctl_pause(struct ctl_request *r);
bool ctl_resume(struct ctl_request *r);
bool ctl_pauses(struct ctl_request *r);
bool ctl_user(struct ctl_request *r);
bool ctl_user_act(struct ctl_request *r);
bool ctl_token(struct ctl_request *r);
bool ctl_warmup(struct ctl_request *r);
bool ctl_warmup_act(struct ctl_request *r);
bool ctl_suppress(struct ctl_request *r);
bool ctl_suppress_act(struct ctl_request *r);
bool ctl_clear(struct ctl_request *r);
bool ctl_set(struct ctl_request *r);
bool ctl_unset(struct ctl_request *r);
bool ctl_overrides(struct ctl_request *r);
bool ctl_simulate(struct ctl_request *r);
bool ctl_reload(struct ctl_request *r);
bool ctl_stop(struct ctl_request *r);
bool ctl_rotate(struct ctl_request *r);
bool ctl_webhooks(struct ctl_request *r);
bool ctl_webhook_test(struct ctl_request *r);
bool ctl_audit(struct ctl_request *r);
bool ctl_dkim_check(struct ctl_request *r);
#endif
