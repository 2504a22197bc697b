/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_BOUNCE_H
#define MTAD_QUEUE_BOUNCE_H
/*
 * bounce - the mail that tells a sender what became of recipients: failed, expired, still waiting, relayed
 * without DSN
 *
 * Attached to the job, so that the spool puts it on disk in the transaction that ends the recipients: never
 * lost, never sent twice. One notification for a job. Never to the null sender, never where NOTIFY or the
 * user's `bounces = no` says no (RFC 3461 5.2, RFC 5321 6.1).
 *
 * Thread   a sign thread.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "conf/conf.h"
#include "queue/job.h"

struct bounce_conf {
	const struct conf *conf;
	const struct clock *clock;
	struct memory *memory;
	struct queue_store *store;
};

/* Makes sure the job's message is in memory: the records need its addresses, a notification also its text,
 * unless that does not fit into memory; then nothing is quoted. False: the spool cannot be read just now. */
bool bounce_load(struct job *job, const struct bounce_conf *c);
/* True when some recipient of the settled job asks for a notification. */
bool bounce_is_wanted(const struct job *job);
/* Sets job->dsn when it is wanted; without memory for the whole message its header is returned, and
 * without memory for that the recipients still end, with a log line in place of the mail. */
bool bounce_write(struct job *job, const struct bounce_conf *c);
#endif
