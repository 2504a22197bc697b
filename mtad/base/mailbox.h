/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_MAILBOX_H
#define MTAD_BASE_MAILBOX_H
/*
 * mailbox - messages from many threads to one, drained in batches
 *
 * A letter is embedded first in the message struct of whoever sends it; posting hands the whole struct over.
 * Bounded by construction: every kind of letter answers another or belongs to a session, so no more can be
 * under way than there are sessions, leases and messages being accepted, which are all capped.
 *
 * Owner    the receiving thread makes and destroys it; letters belong to the receiver once posted.
 * Thread   post: any. take: the receiver.
 * Memory   none of its own. One eventfd; it is written only when the box was empty (~0.2 us a letter).
 */
#include <stdbool.h>

struct letter {
	struct letter *next;
	int kind; /* the receiver's enum */
};

struct mailbox {
	_Atomic(struct letter *) head; /* newest first; take() reverses */
	int fd;                        /* readable when there may be letters */
};

/* False: no eventfd could be had. */
bool mailbox_init(struct mailbox *m);
/* Letters still inside are forgotten: at the end of the process they are memory only, what must last is in
 * the spool. */
void mailbox_fini(struct mailbox *m);
void mailbox_post(struct mailbox *m, struct letter *take_letter);
/* Several at once, one wake-up: linked by next from the newest to the oldest. */
void mailbox_post_all(struct mailbox *m, struct letter *take_newest, struct letter *oldest);
/* All letters in the order they were posted, linked by next; NULL when there are none. */
struct letter *mailbox_take(struct mailbox *m);
#endif
