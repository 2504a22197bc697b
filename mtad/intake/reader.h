/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_READER_H
#define MTAD_INTAKE_READER_H
/*
 * reader - the thread that reads what came back: judges it, has it recorded or keeps it unread, and only then
 * lets its session answer
 *
 * One thread, and none of those that sign: a report may be a megabyte of nonsense, and no mail that goes out
 * waits for it.
 *
 * Owner    main. Thread: its own.
 */
#include "base/log.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "feedback/finding.h"
#include "queue_store.h"

struct reader;

struct reader_conf {
	const struct clock *clock;
	struct log *log;
	struct queue_store *store;
};
struct reader *reader_create(const struct reader_conf *conf);
void reader_connect(struct reader *r, struct worker *spool, struct worker *queue);
struct worker *reader_worker(struct reader *r);
/* In the thread (or before it starts). False: no memory, it goes on with what it had. */
bool reader_reconfigure(struct reader *r, const struct conf *conf);

struct reader_stats {
	uint64_t kinds[FINDING_KIND_COUNT]; /* mails, by what they were */
	uint64_t unread;                    /* of these, kept for the operator */
	uint64_t trimmed;                   /* of those, gone again since the folder was full */
};
void reader_stats(const struct reader *r, struct reader_stats *out); /* any thread, a moment old */
void reader_destroy(struct reader **rp);
#endif
