/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_SPOOL_H
#define MTAD_QUEUE_SPOOL_H
/*
 * spool - the thread that writes the store: group commit, failures, disk guard
 *
 * Everything that waits when a commit ends goes into the next one: settlements first (they free pages), then
 * accepted messages, at most SPOOL_BATCH_MESSAGES or SPOOL_BATCH_BYTES, then holds and notes; of each kind so
 * many recipients that the next commit is not far. Nobody is answered before the commit is on disk.
 *
 * When a commit fails, clients get 4xx, settlements are kept and tried again after the store was re-opened
 * and verified (once a second), and the queue is told to pause. Nothing is given up.
 *
 * Owner    main. Thread: its own; letters in and out as queue/letters.h lists them.
 */
#include "base/log.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "queue/letters.h"
#include "queue_store.h"

struct spool;
struct suppress;

enum {
	SPOOL_BATCH_MESSAGES = 512,
	SPOOL_BATCH_BYTES = 16 << 20,
	SPOOL_BATCH_RCPTS = 16384, /* of settlements, and as many of accepted messages */
	SPOOL_BATCH_CHANGES =
		4096, /* of them and feedback each: some 15 MB of pages at worst, which mail waits for */
};

/* To the queue thread when it changes. */
struct spool_state {
	struct letter letter;
	bool is_failed;
};

struct spool_conf {
	const struct clock *clock;
	struct log *log;
	const struct conf *conf; /* which events are recorded; a reference is taken */
	struct queue_store *store;
	struct suppress *suppress;     /* NULL: no list */
	struct worker *queue, *report; /* set by spool_connect */
};

struct spool *spool_create(const struct spool_conf *conf);
void spool_connect(struct spool *s, struct worker *queue, struct worker *report);
struct worker *spool_worker(struct spool *s);
/* In the spool's thread (by LETTER_CALL). */
void spool_reconfigure(struct spool *s, const struct conf *conf);
void spool_destroy(
	struct spool **sp); /* after its worker was joined; nothing may be pending unless the store failed */
/* In the spool's thread: a change of the list, with the next commit. */
void spool_suppress(struct spool *s, struct letter *take_batch);
/* Any thread: settlements not yet on disk (the queue bounds them). */
uint64_t spool_pending(const struct spool *s);
/* Any thread: recipients held or released on disk since the start, those that had ended counted too. */
uint64_t spool_holds_written(const struct spool *s);

struct spool_stats {
	uint64_t commits, accepted, settled, failed_commits;
	bool is_failed, is_full;
};
void spool_stats(const struct spool *s, struct spool_stats *out); /* any thread */
#endif
