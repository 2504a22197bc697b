/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_H
#define MTAD_CONTROL_CTL_H
/*
 * ctl - one request of mtactl on its way through the daemon; for control.c and the commands (ctl_*.c) alone
 *
 * A command is a row of steps. Each runs in the control thread; ctl_ask() runs one in another thread and goes on with the
 * next when that is done. While a request is away, nobody else touches it; when its client goes meanwhile, it is freed
 * on its return. Every command ends with exactly one ctl_end or ctl_fail, and touches nothing after it.
 *
 * Owner    control.c.
 * Memory   output is bounded: before a long answer goes on, ctl_when_room waits for the client to read.
 * Thread   control's, but for steps given to ctl_ask.
 */
#include "app.h"
#include "base/worker.h"
#include "control/ctl_proto.h"
#include "queue/letters.h"
#include "queue_sched.h"

#include <sys/types.h>

enum {
	CTL_SLICE_US = 5000, /* longest work on behalf of an operator in the queue thread at a time */
	CTL_ID_MAX = 17,
};

struct bufferevent;
struct ctl_request;
struct event;

/* In another thread. False: not done yet, ctl_return() will be called there. */
typedef bool ctl_work(struct ctl_request *r);
typedef void ctl_step(struct ctl_request *r);

struct ctl_request {
	struct call call;
	struct ctl_request *next, *previous;
	struct control *control;
	struct app *app;
	const struct conf *conf; /* a reference, of when the client came */
	struct bufferevent *wire;
	struct event *deadline;
	json_t *request;
	const json_t *args;  /* inside request; never NULL once a command runs */
	const char *command; /* likewise */
	uid_t uid;
	char who[64];
	ctl_work *work;
	ctl_step *then;     /* when the work is back, or when there is room */
	void *state;        /* the command's */
	ctl_step *end_state; /* frees it; called once */
	bool is_away, is_waiting_for_room, is_gone, is_ended;
};

/* Runs `work` in the thread of `to` (NULL: the main thread), then `then` here. */
void ctl_ask(struct ctl_request *r, struct worker *to, ctl_work *work, ctl_step *then);
/* The work of r is done; called in the thread it was given to. */
void ctl_return(struct ctl_request *r);
/* Goes on with `then` when the client has read most of what was said. */
void ctl_when_room(struct ctl_request *r, ctl_step *then);
/* Says one object. NULL (no memory when it was made) ends the request; then the result is false. */
bool ctl_item(struct ctl_request *r, json_t *take_item);
/* The end of the answer; `take_fields` may be NULL, "exit" is added. */
void ctl_end(struct ctl_request *r, int exit_code, json_t *take_fields);
void ctl_fail(struct ctl_request *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One log line that says who did what. */
void ctl_log(struct ctl_request *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

json_t *ctl_blob(struct queue_blob b);
json_t *ctl_seconds(int64_t us); /* null for 0 and INT64_MAX */
void ctl_id_text(char buf[CTL_ID_MAX], queue_id id);

/* What came and went in the last minute: differences of counters. */
struct ctl_rates {
	double accepted, settled; /* a second; messages in, recipients out */
};
void ctl_rates(const struct control *c, struct ctl_rates *out);

/* --- filters: the words of an operator --- */

struct ctl_filter {
	struct queue_filter queue; /* what the schedule knows; blobs point into the request */
	const char *sender;        /* "": any; "<>": the null sender; "@domain": all of it */
	const char *state;         /* "": any */
	char domain[256];
	bool is_all; /* asked for by that word */
};
/* False: it makes no sense, and the request has been answered so. */
bool ctl_filter_read(struct ctl_request *r, struct ctl_filter *out);
/* Whether it names anything but "all". */
bool ctl_filter_is_empty(const struct ctl_filter *f);
bool ctl_filter_takes_message(const struct ctl_filter *f, const struct queue_message *m);
/* By its domain; what cannot be told here passes. */
bool ctl_filter_takes_rcpt(const struct ctl_filter *f, const struct queue_rcpt *rcpt);
void ctl_filter_text(const struct ctl_filter *f, char *buf, size_t max);

/* --- the commands: first steps --- */

ctl_step ctl_status, ctl_queue, ctl_list, ctl_show, ctl_change, ctl_pause, ctl_resume, ctl_pauses, ctl_reload, ctl_stop,
	ctl_rotate, ctl_audit, ctl_dkim_check;
#endif
