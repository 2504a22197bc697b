/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_RCPT_SET_H
#define MTAD_INTAKE_RCPT_SET_H
/*
 * rcpt_set - which recipients a message has already, found by their address
 *
 * Two addresses are the same when their local parts are equal to the letter (RFC 5321 2.4) and their domains
 * are equal in normal form. The set holds indices of message->rcpts and no text of its own.
 *
 * Owner    the session, beside its message. All zero: empty.
 * Memory   8 to 16 bytes a recipient.
 * Thread   the session's.
 */
#include "queue/message.h"
#include "smtp_types.h"

struct rcpt_set {
	uint32_t *slots; /* index + 1; 0: free */
	uint32_t max;    /* a power of two, at least twice the recipients */
};

/* 1: `m` has it, 0: it has not, and there is room to add it; SMTP_ENOMEM. */
SMTP_MUST_USE int rcpt_set_find(
	struct rcpt_set *set, const struct message *m, struct smtp_slice local, struct smtp_slice domain);
/* The last recipient of `m` is new; rcpt_set_find() has just said 0 to it. */
void rcpt_set_add(struct rcpt_set *set, const struct message *m);
/* Empty again. */
void rcpt_set_clear(struct rcpt_set *set);
#endif
