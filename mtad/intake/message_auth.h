/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_MESSAGE_AUTH_H
#define MTAD_INTAKE_MESSAGE_AUTH_H
/*
 * message_auth - who vouches for a mail that came in: DKIM and SPF
 *
 * It asks DNS what dkim_verifier and spf want to know, and lets them judge again until nothing is open: at
 * most AUTH_FACTS_MAX questions and MESSAGE_AUTH_SECONDS_MAX, then what is left open is a temperror.
 *
 * Owner    whoever has the event base. The caller owns the question, and the bytes it names until its answer.
 * Memory   about 100 KB and the resolver's; a question 6 KB and the answers it got.
 * Thread   the base's. A last round takes what dkim_verifier.h says; the mail's size is bounded by the
 *          listener that took it.
 * Fails    create: NULL, with no memory. A question is answered exactly once, from the loop, never inside
 *          begin; after destroy none is.
 */
#include "base/clock.h"
#include "conf/conf.h"
#include "intake/dkim_verifier.h"
#include "intake/spf.h"

#include <netinet/in.h>
#include <sys/queue.h>

#define MESSAGE_AUTH_SECONDS_MAX 10

struct event_base;
struct message_auth;
struct message_auth_question;

struct message_auth_mail {
	struct smtp_slice bytes;       /* as received: CRLF, dots undone */
	const struct sockaddr *client; /* AF_INET or AF_INET6; copied */
	struct smtp_slice helo;        /* as said */
	struct smtp_slice mail_from;   /* without brackets; empty: the null sender */
};

struct message_auth_answer {
	struct dkim_answer dkim;
	struct spf_answer spf;
};

/* The question may be begun anew or given up from here on. */
typedef void message_auth_done(struct message_auth_question *q, const struct message_auth_answer *answer);

/* Embedded in the caller's object; its fields are message_auth's. */
struct message_auth_question {
	TAILQ_ENTRY(message_auth_question) link;
	struct message_auth *auth;
	message_auth_done *done;
	struct message_auth_mail mail;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} client;
	int64_t deadline_us; /* monotonic */
	uint32_t open_count; /* questions to DNS under way */
	bool is_ready;       /* for a round */
	bool has_dkim, has_spf;
	struct message_auth_answer answer;
	struct auth_facts facts;
};

/* resolv_path: "/etc/resolv.conf", asked for when dns-servers is not set. */
struct message_auth *message_auth_create(
	struct event_base *base, const struct clock *clock, const struct conf *conf, const char *resolv_path);
void message_auth_destroy(struct message_auth **ap);
void message_auth_reconfigure(struct message_auth *a, const struct conf *conf);

void message_auth_begin(struct message_auth *a, struct message_auth_question *q,
	const struct message_auth_mail *mail, message_auth_done *done);
#endif
