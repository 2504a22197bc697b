/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_FEEDBACK_H
#define MTAD_QUEUE_FEEDBACK_H
/*
 * feedback - what recipients and their sites answered to mail that was delivered: bounces, complaints,
 * unsubscriptions, on their way to the spool
 *
 * One letter is one transaction: all of its items are on disk when it comes back with QUEUE_OK, or none of
 * them. An item with a token counts once: when it comes again (a link pressed twice, a report sent twice, an
 * answer that was lost), nothing is written and is_repeat says so. On any error whoever sent it may send the
 * same again.
 *
 * Owner    who fills it; from the post of LETTER_FEEDBACK to LETTER_FEEDBACK_DONE the spool thread.
 * Memory   the owner's, the texts of the events too.
 */
#include "base/mailbox.h"
#include "feedback/token.h"
#include "queue_store.h"
#include "report/event.h"

struct worker;

struct feedback_item {
	struct event event; /* to be written */
	bool has_token;
	struct token token; /* whose use this is */
	bool is_repeat;     /* out: its token was used for this before */
};

struct feedback {
	struct letter letter;
	struct worker *reply_to; /* NULL: nobody waits, the spool thread frees it (one block) */
	int result;              /* out: enum queue_err */
	uint32_t count;
	struct feedback_item *items;
};

/* An item of this token: its event is that of the recipient's acceptance (EVENT_RECEIVED), to be made into
 * what happened; texts are in buf. is_repeat is right as far as the disk knows by now. QUEUE_ENOTFOUND: not
 * issued, or over; else an enum queue_err. Any thread. */
QUEUE_MUST_USE int feedback_find(struct queue_store *store, const struct token *t, struct feedback_item *out,
	char buf[QUEUE_EVENT_MAX]);
/* The same for somebody who wants no more of this: an EVENT_UNSUBSCRIBE. `how`: "one-click", "mailto";
 * static. */
QUEUE_MUST_USE int feedback_unsubscribe(struct queue_store *store, const struct token *t, int64_t now_us,
	const char *how, struct feedback_item *out, char buf[QUEUE_EVENT_MAX]);

/* --- inside a transaction of the spool thread --- */

/* INTERNALS step 12: a recipient of a message with this nonce has been put, of which `e` is the
 * EVENT_RECEIVED. */
QUEUE_MUST_USE int feedback_issue(struct queue_store *store, uint32_t nonce, const struct event *e);
/* INTERNALS step 13: sets is_repeat. A token that is not known counts each time it comes. */
QUEUE_MUST_USE int feedback_use(struct queue_store *store, struct feedback_item *item);
/* INTERNALS step 14. *out_more: there may be others. */
QUEUE_MUST_USE int feedback_sweep(
	struct queue_store *store, const struct conf *c, int64_t now_us, bool *out_more);
#endif
