/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail of applications: who may send, as whom and to whom, and the way of a message to the disk.
 */
#include "intake/intake_impl.h"

#include "base/domain.h"
#include "intake/prepare.h"
#include "intake/wish.h"
#include "queue/message.h"
#include "queue/quota.h"
#include "queue/spool.h"
#include "queue/suppressed.h"
#include "smtp_addr.h"

#include <stdio.h>
#include <string.h>

/* Quotas and rates of the user. False: answered. */
static bool
may_user_begin(struct intake_session *s)
{
	char words[QUOTA_WORDS_MAX];

	if (s->quota != NULL && quota_is_full(s->quota, clock_now(s->in->conf.clock), words))
		intake_refuse(s, "MAIL", 451, "4.7.1", words);
	else if (s->user != NULL &&
		 !limits_message(s->in->conf.limits, s->user_name, s->user->accept_rate, mono(s)))
		intake_refuse(
			s, "MAIL", 451, "4.7.1", "Message rate of this user is used up, try again later");
	else
		return true;
	return false;
}

/* Who may send, and as whom. False: answered. */
static bool
may_send(struct intake_session *s, const struct smtp_server_mail *mail)
{
	if (s->user == NULL && !s->in_networks)
		intake_refuse(s, "MAIL", 530, "5.7.0", "Authentication required");
	else if (s->user != NULL && mail->sender.len > 0 && !auth_may_send_as(s->user, mail->sender))
		intake_refuse(s, "MAIL", 553, "5.7.1", "This user may not use that sender address");
	else if (s->user != NULL && s->user->message_max > 0 && mail->size > (uint64_t)s->user->message_max)
		intake_refuse(s, "MAIL", 552, "5.3.4", "Message is larger than this user may send");
	else
		return true;
	return false;
}

/* May choose how its mail goes. */
static bool
is_trusted(const struct intake_session *s)
{
	return s->listen->trusted && (s->user != NULL || s->in_networks);
}

void
intake_offer_hold(struct intake_session *s)
{
	smtp_server_offer_hold(
		s->smtp, is_trusted(s) ? WISH_HOLD_MAX_S : 0, clock_now(s->in->conf.clock) / 1000000);
}

/* RFC 6710 4.1: a priority of a client that is not trusted does not count. Nobody fails for having asked. */
static void
answer_mail(struct intake_session *s, const struct smtp_server_mail *mail)
{
	if (mail->priority != s->message->meta.priority)
		smtp_server_answer(s->smtp, 250, "2.3.6", "0 is the priority of what this client sends");
	else
		smtp_server_answer(s->smtp, 250, "2.1.0", "Sender ok");
}

/* The configuration's classes are the queue's, number by number. */
static enum queue_class
class_of_user(const struct intake_session *s)
{
	_Static_assert((int)CONF_CLASS_NORMAL == (int)QUEUE_CLASS_NORMAL &&
			       (int)CONF_CLASS_URGENT == (int)QUEUE_CLASS_URGENT &&
			       (int)CONF_CLASS_BULK == (int)QUEUE_CLASS_BULK,
		"a class has one number");
	return s->user != NULL ? (enum queue_class)s->user->class : QUEUE_CLASS_NORMAL;
}

static void
on_mail(struct intake_session *s, const struct smtp_server_mail *mail)
{
	struct queue_message wishes = {.ret = (uint8_t)mail->ret};
	const char *user = s->user != NULL ? s->user->name : "", *why;
	struct message *m;

	intake_drop_message(s);
	if (!may_send(s, mail))
		return;
	if (!wish_of_mail(mail, clock_now(s->in->conf.clock), &wishes, &why)) {
		intake_refuse(s, "MAIL", 501, "5.5.4", why);
		return;
	}
	if (!intake_may_begin(s) || !may_user_begin(s))
		return;
	if ((m = message_create(s->in->conf.memory)) == NULL) {
		intake_refuse(s, "MAIL", 452, "4.3.1", "Out of memory");
		return;
	}
	m->meta = wishes;
	m->meta.klass = class_of_user(s);
	if ((s->has_priority = mail->has_priority && is_trusted(s))) {
		m->meta.priority = (int8_t)mail->priority;
		m->meta.klass = wish_class_of_priority(mail->priority);
	}
	m->meta.sender = message_keep(m, mail->sender.ptr, mail->sender.len);
	m->meta.envid = message_keep(m, mail->envid.ptr, mail->envid.len);
	m->meta.user = message_keep(m, user, strnlen(user, QUEUE_NAME_MAX));
	if (m->meta.sender.ptr == NULL || m->meta.envid.ptr == NULL || m->meta.user.ptr == NULL) {
		message_unref(m);
		intake_refuse(s, "MAIL", 452, "4.3.1", "Out of memory");
		return;
	}
	s->message = m;
	s->message_is_utf8 = mail->is_utf8;
	s->has_no_memory = false;
	answer_mail(s, mail);
}

static bool
refuses_suppressed(const struct intake_session *s)
{
	const char *user = s->user != NULL ? s->user->name : "";

	return conf_suppression_find(s->settings->conf, user, strnlen(user, QUEUE_NAME_MAX))->suppressed ==
	       CONF_SUPPRESSED_REFUSE;
}

/* The job is not known yet: what is on the list for it alone is found before the first attempt. False:
 * answered. */
static bool
may_receive(struct intake_session *s, const struct queue_rcpt *r)
{
	const struct suppress_whose whose = {s->message->meta.user, {"", 0}};
	struct suppress *list = s->in->conf.suppress;
	char words[SUPPRESS_WORDS_MAX];
	struct suppress_hit hit;

	if (!suppressed_applies(list, &s->message->meta) || !refuses_suppressed(s))
		return true;
	if (suppress_find(list, &whose, clock_now(s->in->conf.clock), &r->address, 1, &hit) < 0) {
		intake_refuse(s, "RCPT", 451, "4.3.0", "Local storage trouble, try again later");
		return false;
	}
	if (hit.reason == SUPPRESS_NONE)
		return true;
	suppress_words(words, sizeof(words), &hit);
	intake_decline_rcpt(s, 550, "5.7.1", words);
	return false;
}

static void
on_rcpt(struct intake_session *s, const struct smtp_server_rcpt *rcpt)
{
	struct queue_rcpt r = {.notify = (uint8_t)rcpt->notify};
	struct smtp_addr addr;
	char domain[DOMAIN_MAX];
	int n, known;

	if (smtp_addr_parse(rcpt->address, &addr) != SMTP_OK || addr.domain.len == 0 ||
		(n = domain_normalise(addr.domain.ptr, addr.domain.len, domain, sizeof(domain))) <= 0) {
		intake_refuse(s, "RCPT", 501, "5.1.3", "Recipient needs a domain: local@example.com");
		return;
	}
	if (s->user != NULL && s->user->recipients_max > 0 &&
		s->message->rcpt_count >= s->user->recipients_max) {
		intake_refuse(s, "RCPT", 452, "4.5.3", "Too many recipients for this user");
		return;
	}
	if ((known = rcpt_set_find(
		     &s->rcpt_set, s->message, addr.local, (struct smtp_slice){domain, (size_t)n})) > 0) {
		/* The same address twice is delivered once (A40). */
		smtp_server_answer(s->smtp, 250, "2.1.5", "Recipient ok (given before)");
		return;
	}
	r.address = (struct queue_blob){rcpt->address.ptr, rcpt->address.len};
	r.orcpt = (struct queue_blob){rcpt->orcpt.ptr, rcpt->orcpt.len};
	if (!may_receive(s, &r))
		return;
	if (known < 0 || !intake_has_memory(s) ||
		!message_add_rcpt(s->message, &r, (struct queue_blob){domain, (size_t)n})) {
		intake_refuse(s, "RCPT", 452, "4.3.1", "Too much mail in flight, try again later");
		return;
	}
	rcpt_set_add(&s->rcpt_set, s->message);
	smtp_server_answer(s->smtp, 250, "2.1.5", "Recipient ok");
}

static void
send_to_spool(struct intake_session *s)
{
	struct worker *to = spool_worker(s->in->conf.spool);

	s->accept.message = s->message;
	s->message = NULL;
	rcpt_set_clear(&s->rcpt_set);
	s->accept.reply_to = s->in->conf.io;
	s->accept.letter.kind = LETTER_ACCEPT;
	/* Those of now: the keys of a reload sign what comes over older connections as well. */
	if (s->in->settings->has_keys) {
		s->accept.letter.kind = LETTER_SIGN;
		to = s->in->conf.signs[s->in->next_sign++ % s->in->conf.sign_count];
	}
	s->waiting = WAIT_SPOOL;
	wire_deadline(s->wire, 0);
	worker_post(to, &s->accept.letter);
}

static void
on_end(struct intake_session *s)
{
	struct prepare_input in = {.conf = s->settings->conf,
		.listen = s->listen,
		.user = s->user,
		.clock = s->in->conf.clock,
		.client_ip = s->client_ip};
	struct prepare_reply reply;

	if (s->has_no_memory) {
		log_event(s->in->conf.log, LOG_EVENT_memory_full, "client=%s", s->client_ip);
		intake_refuse(s, "DATA", 452, "4.3.1", "Too much mail in flight, try again later");
		return;
	}
	in.is_trusted = is_trusted(s);
	in.has_priority = s->has_priority;
	in.is_tls = smtp_server_is_tls(s->smtp);
	in.is_esmtp = smtp_server_is_esmtp(s->smtp);
	in.is_smtputf8 = s->message_is_utf8;
	in.helo = smtp_server_helo(s->smtp);
	if (s->user != NULL && s->user->message_max > 0 &&
		s->message->buffer_len > (uint64_t)s->user->message_max) {
		intake_drop_message(s);
		intake_refuse(s, "DATA", 552, "5.3.4", "Message is larger than this user may send");
		return;
	}
	message_fit(s->message);
	prepare_message(s->message, &in, &reply);
	if (reply.code != 0) {
		intake_drop_message(s);
		intake_refuse(s, "DATA", reply.code, reply.esc, reply.text);
		return;
	}
	if (reply.lacks_unsubscribe)
		log_event(s->in->conf.log, LOG_EVENT_unsubscribe_left_out,
			"client=%s user=%s job=%.*s rcpts=%u", s->client_ip,
			in.user != NULL ? in.user->name : "", (int)s->message->meta.job.len,
			(const char *)s->message->meta.job.ptr, s->message->rcpt_count);
	if (suppressed_applies(s->in->conf.suppress, &s->message->meta) && !refuses_suppressed(s) &&
		suppressed_note(s->in->conf.suppress, s->message, clock_now(s->in->conf.clock)) < 0) {
		intake_drop_message(s);
		intake_refuse(s, "DATA", 451, "4.3.0", "Local storage trouble, try again later");
		return;
	}
	send_to_spool(s);
}
/* --- the answer --- */

static void
log_received(const struct intake_session *s, const struct message *m)
{
	const struct smtp_slice top = {m->body[0].ptr, m->body[0].len}, name = SMTP_LIT("DKIM-Signature:");
	char sender[SMTP_ADDRESS_MAX + 1];
	bool is_signed = top.len > name.len && memcmp(top.ptr, name.ptr, name.len) == 0;

	if (!log_wants(s->in->conf.log, LOG_EVENT_received))
		return;
	log_event(s->in->conf.log, LOG_EVENT_received,
		"msg=%llx client=%s user=%s job=%.*s size=%llu rcpts=%u priority=%d signed=%s from=\"%s\"",
		(unsigned long long)m->meta.id, s->client_ip, s->user != NULL ? s->user->name : "",
		(int)m->meta.job.len, (const char *)m->meta.job.ptr, (unsigned long long)m->meta.body_bytes,
		m->rcpt_count, m->meta.priority /* RFC 6710 4.1, 3 */, is_signed ? "yes" : "no",
		log_escape(sender, sizeof(sender), m->meta.sender.ptr, m->meta.sender.len));
}

/* Local trouble is always temporary (a full disk must not bounce mail); only what is wrong with the message
 * is not. */
static void
refuse_accept(struct intake_session *s)
{
	switch (s->accept.result) {
	case QUEUE_ENOSPACE:
		intake_refuse(s, "DATA", 452, "4.3.1", s->accept.why);
		return;
	case QUEUE_EINVAL:
		intake_refuse(s, "DATA", 550, "5.6.0", s->accept.why);
		return;
	default:
		intake_refuse(s, "DATA", 451, "4.3.0", s->accept.why);
	}
}

void
submission_on_letter(struct letter *l)
{
	struct intake_session *s =
		intake_session_of((char *)l - offsetof(struct intake_session, accept.letter));
	struct message *m = s->accept.message;
	char text[64];

	s->waiting = WAIT_NOTHING;
	if (s->accept.result == QUEUE_OK) {
		s->rejected_count = 0;
		log_received(s, m);
	}
	if (s->wire == NULL) {
		if (s->accept.result == QUEUE_OK)
			log_event(s->in->conf.log, LOG_EVENT_reply_lost, "msg=%llx client=%s",
				(unsigned long long)m->meta.id, s->client_ip);
		message_unref(m);
		intake_session_free_if_over(s);
		return;
	}
	if (s->accept.result == QUEUE_OK) {
		snprintf(text, sizeof(text), "Accepted as %llx", (unsigned long long)m->meta.id);
		smtp_server_answer(s->smtp, 250, "2.0.0", text);
	} else
		refuse_accept(s);
	message_unref(m);
	intake_session_pump(s);
}

const struct intake_role submission_role = {on_mail, on_rcpt, on_end};
