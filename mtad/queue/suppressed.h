/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_SUPPRESSED_H
#define MTAD_QUEUE_SUPPRESSED_H
/*
 * suppressed - mail and the list of suppressed addresses: what is on it when a message comes and before an
 * attempt, and what of a settlement it has to be told
 *
 * Thread   looking: any that holds the message or job. Settled: the spool thread, in its transaction.
 * Fails    enum queue_err.
 */
#include "feedback/suppress.h"
#include "queue/job.h"
#include "report/event.h"

/* Whether mail of this message is looked up at all: not with the null sender, nor while the list is empty. */
bool suppressed_applies(const struct suppress *s, const struct queue_message *m);

/* Before the message goes to the spool: recipients on the list are noted in it. */
QUEUE_MUST_USE int suppressed_note(struct suppress *s, struct message *m, int64_t now_us);
/* Before the attempt, its message loaded: answers the recipients on the list. *out_count: how many, and these
 * are is_suppressed. */
QUEUE_MUST_USE int suppressed_answer(
	struct suppress *s, struct job *job, int64_t now_us, uint32_t *out_count);

/* Recipient i has been settled: by the rules of its user the list gets it, or is told that it is well. `s`
 * may be NULL. */
QUEUE_MUST_USE int suppressed_on_settled(
	struct suppress *s, const struct conf *conf, const struct job *job, uint32_t i, int64_t now_us);
/* The same for what came back of mail that was delivered: an unsubscription or a complaint suppresses its
 * address for good, in the scope its user's bounces have, a report of a bounce as a bounce does. */
QUEUE_MUST_USE int suppressed_on_feedback(struct suppress *s, const struct conf *conf, const struct event *e);
#endif
