/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_OUTLETS_H
#define MTAD_REPORT_OUTLETS_H
/*
 * outlets - the thread that hands events to applications: webhooks and pipes
 *
 * Each reads the outbox of the spool from where it has come to, in batches, one at a time: so events of one
 * recipient arrive in order, and each arrives at least once. A batch is sent until it is taken (backing off,
 * with jitter), or given up into the dead-letter file: refused `tries` times, failing and older than `keep`,
 * or because more than `backlog` events wait. Only then does the place move on; the report thread keeps it in
 * the spool. Nothing here is waited for by mail or by the accounting files.
 *
 * Owner    main. Thread: its own; letters in and out as queue/letters.h lists them.
 * Memory   one batch for each outlet, up to OUTLETS_BATCH_BYTES and a line.
 */
#include "base/log.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "queue_store.h"
#include "report/state.h"

enum { OUTLETS_BATCH_BYTES = 4 << 20 };

struct outlets;

struct outlets_conf {
	const struct clock *clock;
	struct log *log;
	struct queue_store *store;
};
/* Once in a process, before its threads begin: libcurl is made ready. NULL: no memory. */
struct outlets *outlets_create(const struct outlets_conf *conf);
void outlets_connect(struct outlets *o, struct worker *report);
struct worker *outlets_worker(struct outlets *o);
void outlets_destroy(struct outlets **op);

/* From the report thread: what there is to be, and where each begins that is new; those that are there go on
 * from where they are, and try again at once. False: no memory, nothing changes. */
bool outlets_change(struct outlets *o, const struct conf *conf, const struct state *positions);
/* From the report thread: events up to seq are in the outbox. */
void outlets_wake(struct outlets *o, uint64_t seq);

struct outlets_stats {
	unsigned count, failing; /* at present */
	uint64_t sent, dead;     /* events, since the start */
};
void outlets_stats(const struct outlets *o, struct outlets_stats *out); /* any thread */

/* What a batch came to. */
enum outlet_result {
	OUTLET_TAKEN,
	OUTLET_REFUSED, /* as it is, it will not be taken */
	OUTLET_LATER,
};
struct outlet_answer {
	enum outlet_result result;
	int64_t retry_us; /* as the receiver asked; 0: it did not */
	char why[300];    /* "200", "503 Service Unavailable: busy", "exit status 1" */
};
typedef void outlet_on_answer(void *arg, const struct outlet_answer *answer);

/* In the thread. */
struct outlet_view {
	const char *name, *kind, *state; /* "webhook", "pipe"; "idle", "sending", "waiting" */
	const char *to;                  /* url or command */
	uint64_t seq, behind;            /* events of the outbox it has still to look at */
	uint64_t sent, batches, dead;    /* since the start */
	unsigned failures;               /* in a row */
	int64_t next_us;                 /* waiting: next try; 0 */
	int64_t taken_us, failed_us;     /* last; 0: never */
	const char *error;               /* of the last failure; "": none since the last success */
};
typedef void outlet_visit(void *arg, const struct outlet_view *v);
void outlets_each(struct outlets *o, outlet_visit *visit, void *arg);
/* In the thread: hands one made-up event to the outlet, beside what it does otherwise. Begun: on_answer comes
 * later, or not at all if the thread ends. */
enum outlets_test { OUTLETS_TEST_BEGUN, OUTLETS_TEST_UNKNOWN, OUTLETS_TEST_FAILED };
enum outlets_test outlets_test(struct outlets *o, const char *name, outlet_on_answer *on_answer, void *arg);
#endif
