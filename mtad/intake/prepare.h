/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_PREPARE_H
#define MTAD_INTAKE_PREPARE_H
/*
 * prepare - a received message made ready for the spool: checked, trace field and missing fields added,
 * control fields taken out; everything that has to happen before it is signed
 *
 * Thread   the session's io thread.
 * Fails    with the reply the client gets.
 * Spec     RFC 5321 4.4 (Received), 6.3 (loops); RFC 6710 4.1 (its clause PRIORITY, unless that is 0); RFC
 * 6409 6, 8 (what a submission server may repair); RFC 5322 3.6.
 */
#include "base/clock.h"
#include "conf/conf.h"
#include "queue/message.h"
#include "smtp_types.h"

struct prepare_input {
	const struct conf *conf;
	const struct conf_listen *listen;
	const struct conf_user *user; /* NULL: not logged in */
	const struct clock *clock;
	bool is_trusted;   /* may name job, pool, class and time */
	bool has_priority; /* MAIL asked for one, and may */
	bool is_tls, is_esmtp, is_smtputf8;
	struct smtp_slice helo;
	const char *client_ip;
};

struct prepare_reply {
	int code; /* 0: ready */
	const char *esc;
	char text[200];
	bool lacks_unsubscribe; /* ready, without the fields that list-unsubscribe asks for: several
				   recipients */
};

/* m->buffer holds what was received; m->meta has what MAIL asked for (wish.h). Fills m->body, flags, job,
 * pool and the domain of From, and what the header asks for; a message that gets tokens (feedback/token.h)
 * has a nonce. */
void prepare_message(struct message *m, const struct prepare_input *in, struct prepare_reply *out);
#endif
