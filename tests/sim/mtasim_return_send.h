/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_RETURN_SEND_H
#define MTASIM_RETURN_SEND_H
/*
 * mtasim_return_send - one attempt to hand a mail to an SMTP server, or a request to an HTTP server
 *
 * Owner    the caller, who destroys it, inside `done` or before. Memory: the client engine's 8 KB.
 * Thread   the base's.
 * Fails    through `done`, with code 0 and words when there was no answer.
 */
#include "smtp_types.h"

#include <netinet/in.h>

struct event_base;
struct attempt;

struct attempt_work {
	struct sockaddr_in server;
	bool is_http;
	struct smtp_slice sender, rcpt; /* SMTP */
	struct smtp_slice bytes;        /* the mail, or the whole request */
};

/* Once, from the base's loop, never from inside attempt_begin(). `answer`: "250 2.0.0 ok"; borrowed. */
typedef void (*attempt_done)(void *arg, int code, const char *answer);

/* The work is borrowed until the end. NULL: no socket or no memory. */
struct attempt *attempt_begin(
	struct event_base *base, const struct attempt_work *work, attempt_done done, void *arg);
void attempt_destroy(struct attempt **ap);
#endif
