/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_ISSUE_H
#define MTAD_FEEDBACK_ISSUE_H
/*
 * issue - which tokens a message gets when it is accepted, and the header fields that show them to readers
 *
 * Thread   the session's io thread; pure functions of the configuration and the message.
 * Spec     RFC 2369 3.2 (List-Unsubscribe), RFC 8058 (one click), RFC 9477 (CFBL).
 */
#include "conf/conf.h"
#include "queue_types.h"

enum {
	ISSUE_FIELDS_MAX = 1024, /* room for any issue_fields() */
	ISSUE_CFBL_MAX = 512,    /* and issue_cfbl() */
};

/* What the message's stream says, or else its user, or else the pool it names, or else keep and no. */
struct conf_feedback issue_wanted(const struct conf *c, const struct queue_message *m);
/* The message has tokens from now on: its nonce is set, of `random`. */
void issue_begin(struct queue_message *m, uint32_t random);
/* List-Unsubscribe and, where there is a link, List-Unsubscribe-Post, for recipient n; folded, with CRLF and
 * NUL. Returns their length. */
int issue_fields(const struct conf *c, const struct queue_message *m, uint16_t n, char buf[ISSUE_FIELDS_MAX]);
/* CFBL-Address and CFBL-Feedback-ID, the same way. */
int issue_cfbl(const struct conf *c, const struct queue_message *m, uint16_t n, char buf[ISSUE_CFBL_MAX]);
#endif
