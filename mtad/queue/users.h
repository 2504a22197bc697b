/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_USERS_H
#define MTAD_QUEUE_USERS_H
/*
 * users - users in the queue thread: their sandboxes, and what intake and the log are told of their quotas
 *
 * Thread   the queue's.
 */
#include "queue/dispatch.h"
#include "shape/sandbox.h"

struct user_state {
	enum { USER_SANDBOX, USER_LIFTED, USER_EXEMPT } kind;
	/* Not NULL when it is LIFTED, or would be were it not EXEMPT; valid until the next change. */
	const struct sandbox_lift *lift;
};
void dispatch_user_state(struct dispatch *d, const struct conf_user *user, struct user_state *out);
/* Whether this limit of a user's recipients is its sandbox's. */
bool dispatch_is_of_sandbox(struct dispatch *d, const struct conf_user *user, struct queue_rate rate);

/* Out of its sandbox, and in again; kept across restarts, in force at once. False: no memory; or it was not
 * out. */
bool dispatch_user_lift(struct dispatch *d, struct queue_blob user, const char *who, const char *reason);
bool dispatch_user_return(struct dispatch *d, struct queue_blob user);
#endif
