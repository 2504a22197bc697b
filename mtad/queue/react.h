/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_REACT_H
#define MTAD_QUEUE_REACT_H
/*
 * react - what rules make of replies once they came often enough: lanes, sites, sources, streams and senders
 * are slowed or paused
 *
 * A reply to a message pauses streams and senders at its site alone; a 421 that no message was told pauses
 * none.
 *
 * A reply counts once for each transaction, in the lane it came from; "3 in 10m" is three transactions.
 *
 * Owner    the queue thread. Memory: a counter for each (rule, lane) that counts at present, some 200 bytes;
 *          without memory a rule that counts acts at the first hit.
 */
#include "queue/dispatch.h"
#include "queue/job.h"

struct outbound;
struct react;

struct react *react_create(void); /* NULL: no memory */
void react_destroy(struct react **rp);
/* A job of an outbound session that is answered, before it is settled. */
void dispatch_react(struct dispatch *d, const struct job *job);
/* A session that its io thread has closed, before the schedule forgets it. */
void dispatch_react_to_end(struct dispatch *d, const struct outbound *o);
#endif
