/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_FEEDBACK_H
#define MTAD_QUEUE_FEEDBACK_H
/*
 * feedback - what recipients and their sites answered to mail that was delivered: bounces, complaints,
 * unsubscriptions, on their way to the spool
 *
 * One letter is one transaction: all of its items are on disk when it comes back with QUEUE_OK, or none of
 * them. An item with a token counts once of each type: when it comes again (a link pressed twice, a report
 * sent twice, an answer that was lost), nothing is written and is_repeat says so. On any error whoever sent
 * it may send the same again.
 *
 * Owner    who fills it; from the post of LETTER_FEEDBACK to LETTER_FEEDBACK_DONE the spool thread.
 * Memory   the owner's, the texts of the events too.
 */
#include "base/mailbox.h"
#include "feedback/token.h"
#include "queue_sched.h"
#include "queue_store.h"
#include "report/event.h"

struct worker;

struct feedback_item {
	struct event event; /* to be written */
	bool has_token;     /* it is about a recipient that is known here */
	struct token token; /* its; the kind says nothing here */
	uint8_t used;       /* of feedback_find: for what the token has been used */
	int64_t sent_us;    /* likewise: when it was delivered, or as far as that is not known, accepted */
	bool is_repeat;     /* out: its token was used for this before */
};

struct feedback {
	struct letter letter;
	struct worker *reply_to; /* NULL: nobody waits, the spool thread frees it (one block) */
	int result;              /* out: enum queue_err */
	uint32_t count;
	struct feedback_item *items;
};

/* An item of this token: its event is the recipient's delivery or, before that, its acceptance, to be made
 * into what happened (feedback_make); texts are in buf. QUEUE_ENOTFOUND: not issued, or over; else an enum
 * queue_err. Any thread. */
QUEUE_MUST_USE int feedback_find(struct queue_store *store, const struct token *t, struct feedback_item *out,
	char buf[QUEUE_EVENT_MAX]);
/* The item is about this, and no more about how it was delivered. is_repeat is right as far as the disk knows
 * by now. */
void feedback_make(struct feedback_item *item, enum event_type type, int64_t now_us);
/* Whether that has come of its recipient before. */
bool feedback_has_come(const struct feedback_item *item, enum event_type type);
/* The same for somebody who wants no more of this: an EVENT_UNSUBSCRIBE. `how`: "one-click", "mailto";
 * static. */
QUEUE_MUST_USE int feedback_unsubscribe(struct queue_store *store, const struct token *t, int64_t now_us,
	const char *how, struct feedback_item *out, char buf[QUEUE_EVENT_MAX]);

/* What of a message came back with a report that shows no token. */
struct feedback_trace {
	int64_t from_us, before_us;   /* when it was accepted */
	uint32_t nonce;               /* 0: not known */
	struct queue_blob message_id; /* empty: not known */
	struct queue_blob rcpt; /* empty: not known, and then only a message to one recipient is found */
};
enum { FEEDBACK_TRACE_MAX = 100000 }; /* recipients looked through: some 30 ms */
/* feedback_find by that: nonce or message_id is known. *left: how many recipients may be looked through, in
 * all searches of one report together; each takes its own off. */
QUEUE_MUST_USE int feedback_find_trace(struct queue_store *store, const struct feedback_trace *trace,
	uint32_t *left, struct feedback_item *out, char buf[QUEUE_EVENT_MAX]);

/* For guards and warm-ups: LETTER_FEEDBACK_NEWS, to the queue thread, which frees it. */
struct feedback_news {
	struct letter letter;
	struct queue_feedback feedback;
	char texts[]; /* of it */
};
/* Of an item that is on record. NULL: there is nothing they count, or no memory. */
struct feedback_news *feedback_news_of(const struct feedback_item *item);

/* --- inside a transaction of the spool thread --- */

/* INTERNALS step 12: a recipient of a message with this nonce has been put, of which `e` is the
 * EVENT_RECEIVED. */
QUEUE_MUST_USE int feedback_issue(struct queue_store *store, uint32_t nonce, const struct event *e);
/* INTERNALS step 12 again: it has been delivered, by which source and to which site `e`, an EVENT_DELIVERED,
 * says. One that is over is no error. */
QUEUE_MUST_USE int feedback_delivered(struct queue_store *store, uint32_t nonce, const struct event *e);
/* INTERNALS step 13: sets is_repeat. A token that is not known counts each time it comes. */
QUEUE_MUST_USE int feedback_use(struct queue_store *store, struct feedback_item *item);
/* INTERNALS step 14. *out_more: there may be others. */
QUEUE_MUST_USE int feedback_sweep(
	struct queue_store *store, const struct conf *c, int64_t now_us, bool *out_more);
#endif
