/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_REPORT_H
#define MTAD_REPORT_REPORT_H
/*
 * report - the thread that writes what happened: accounting CSV, JSON lines, one log line for each event
 *
 * Exactly once: events come from the outbox of the spool and stay there until the files that hold them are
 * fsynced; the byte offsets reached are stored with the last event's number. Start: files are cut back to
 * those offsets and the events behind them are written again. A file that cannot be written stops nothing:
 * its events wait in the spool.
 *
 * It also keeps how far each webhook and pipe has come, which tell it by letters, and cuts the outbox behind
 * the last of all. One that is new begins with the next event; one that has gone gives up its place.
 *
 * Files rotate by size and age through rename, never in the middle of a record.
 *
 * Owner    main. Thread: its own; letters in and out as queue/letters.h lists them.
 */
#include "base/log.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "queue_store.h"
#include "report/event.h"

struct outlets;
struct report;

struct report_conf {
	const struct clock *clock;
	struct log *log;
	const struct conf *conf; /* a reference is taken */
	struct queue_store *store;
};
/* Opens the files, repairs them from the outbox (as above). NULL and words on failure. */
struct report *report_create(const struct report_conf *conf, char *why, size_t why_max);
/* outlets: NULL when there is no such thread; what the configuration names waits then. */
void report_connect(struct report *r, struct worker *spool, struct outlets *outlets);
struct worker *report_worker(struct report *r);
/* In the thread. */
void report_reconfigure(struct report *r, const struct conf *conf);
/* Now, or when what is behind has been written. false and words: the files are in trouble. */
bool report_rotate(struct report *r, char *why, size_t why_max);
/* In the thread: everything that came so far is written, fsynced and reported to the spool. */
void report_flush(struct report *r);
struct report_stats {
	uint64_t events[EVENT_TYPE_COUNT]; /* since the start */
	bool is_failed;
};
void report_stats(const struct report *r, struct report_stats *out); /* any thread */
void report_destroy(struct report **rp);
#endif
