/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes back, by SMTP: anybody may bring it, and it goes nowhere from here. Invariants: no address is
 * taken that was not issued or named in the configuration; nothing is ever sent in answer but the reply.
 */
#include "intake/intake_impl.h"

#include "intake/reader.h"
#include "queue/message.h"

#include <string.h>

static void
on_mail(struct intake_session *s, const struct smtp_server_mail *mail)
{
	struct message *m;

	intake_drop_message(s);
	if (!intake_may_begin(s))
		return;
	if ((m = message_create(s->in->conf.memory)) == NULL ||
		(m->meta.sender = message_keep(m, mail->sender.ptr, mail->sender.len)).ptr == NULL) {
		message_unref(m);
		intake_refuse(s, "MAIL", 452, "4.3.1", "Out of memory");
		return;
	}
	s->message = m;
	s->has_no_memory = false;
	smtp_server_answer(s->smtp, 250, "2.1.0", "Sender ok");
}

static void
refuse_rcpt(struct intake_session *s, const struct returned_address *to)
{
	switch (to->verdict) {
	case TOKEN_EXPIRED:
		intake_refuse(s, "RCPT", 550, "5.1.6", "This address was for one message and has expired");
		return;
	case TOKEN_FORGED:
		intake_refuse(s, "RCPT", 550, "5.1.1", "This address was not issued here");
		return;
	default:
		intake_refuse(s, "RCPT", 550, "5.7.1", "No such address; reports alone are taken here");
	}
}

static void
on_rcpt(struct intake_session *s, const struct smtp_server_rcpt *rcpt)
{
	const struct queue_rcpt r = {.address = {rcpt->address.ptr, rcpt->address.len}};
	const struct returned_address to =
		returned_address(s->settings->conf, rcpt->address, clock_now(s->in->conf.clock));

	if (to.to == RETURNED_TO_NOBODY) {
		refuse_rcpt(s, &to);
		return;
	}
	/* A report is of one message to one recipient; the client tries the others again in a moment. */
	if (s->message->rcpt_count > 0) {
		intake_refuse(s, "RCPT", 452, "4.5.3", "One recipient at a time");
		return;
	}
	if (!message_add_rcpt(s->message, &r, (struct queue_blob){"", 0})) {
		intake_refuse(s, "RCPT", 452, "4.3.1", "Out of memory");
		return;
	}
	s->returned.to = to;
	smtp_server_answer(s->smtp, 250, "2.1.5", "Recipient ok");
}

/* Where it came in: with several addresses operators see which one reporters use. */
static void
look_up_local_ip(const struct intake_session *s, char *buf, size_t max)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	socklen_t len = sizeof(address);

	buf[0] = '\0';
	if (getsockname(wire_fd(s->wire), (struct sockaddr *)&address, &len) == 0)
		intake_address_text(&address, buf, max);
}

static void
on_end(struct intake_session *s)
{
	struct returned *r = &s->returned;

	if (s->has_no_memory) {
		intake_refuse(s, "DATA", 452, "4.3.1", "Too much mail in flight, try again later");
		return;
	}
	message_fit(s->message);
	r->letter.kind = LETTER_RETURNED;
	r->message = s->message;
	s->message = NULL;
	r->client_ip = s->client_ip;
	look_up_local_ip(s, r->local_ip, sizeof(r->local_ip));
	r->helo = smtp_server_helo(s->smtp);
	r->reply_to = s->in->conf.io;
	s->waiting = WAIT_SPOOL;
	wire_deadline(s->wire, 0);
	worker_post(s->in->conf.reader, &r->letter);
}

void
reports_on_letter(struct letter *l)
{
	struct intake_session *s =
		intake_session_of((char *)l - offsetof(struct intake_session, returned.letter));

	s->waiting = WAIT_NOTHING;
	message_unref(s->returned.message);
	s->returned.message = NULL;
	if (s->wire == NULL) {
		intake_session_free_if_over(s);
		return;
	}
	if (s->returned.result == QUEUE_OK) {
		s->rejected_count = 0;
		smtp_server_answer(s->smtp, 250, "2.0.0", "Report taken");
	} else
		intake_refuse(s, "DATA", 451, "4.3.0", "Local storage trouble, try again later");
	intake_session_pump(s);
}

const struct intake_role reports_role = {on_mail, on_rcpt, on_end};
