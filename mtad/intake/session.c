/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SMTP engine asks, this file decides. Invariants: identity lives in the session object and nowhere else;
 * a session is freed only when no letter of it is out; 250 is answered only to a letter that came back from a
 * commit.
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

#include <assert.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MEMORY_PERCENT_MAX = 100,
	DATA_BLOCK_BYTES =
		4096, /* progress that renews the data timer: a floor under the receiving rate (A10) */
	REJECTED_LINES_MAX = 10, /* of commands, between two messages taken: a client cannot fill the log */
	SAID_MAX = 200,          /* of a client's line in the log */
};

/* --- the end --- */

static void
drop_message(struct intake_session *s)
{
	message_unref(s->message);
	s->message = NULL;
	rcpt_set_clear(&s->rcpt_set);
}

void
intake_session_free_if_over(struct intake_session *s)
{
	if (s->wire != NULL || s->waiting == WAIT_SPOOL || s->waiting == WAIT_PASSWORD)
		return;
	*s->prev = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	s->in->count--;
	if (s->is_counted)
		intake_session_uncount(s);
	if (s->user != NULL)
		limits_disconnect(s->in->conf.limits, s->user_name);
	if (s->delay != NULL)
		event_free(s->delay);
	drop_message(s);
	if (s->smtp != NULL)
		smtp_server_destroy(&s->smtp);
	intake_settings_unref(s->settings);
	s->magic = 0;
	free(s->password);
	free(s->unsubscribe);
	free(s);
}

void
intake_session_close(struct intake_session *s)
{
	log_event(s->in->conf.log, LOG_EVENT_client_closed, "client=%s", s->client_ip);
	if (s->waiting == WAIT_DELAY)
		s->waiting = WAIT_NOTHING;
	wire_destroy(&s->wire);
	intake_session_free_if_over(s);
}

/* --- answers --- */

/* `r` says whether the whole of a message or of the session is refused, which always has a line. */
static void
log_rejected(struct intake_session *s, const struct smtp_server_refusal *r)
{
	char said[SAID_MAX];

	if (!r->is_message && !r->is_end && s->rejected_count++ >= REJECTED_LINES_MAX)
		return;
	log_event(s->in->conf.log, LOG_EVENT_rejected,
		"client=%s user=%s command=%.*s code=%d esc=%s text=\"%s\"%s%s%s", s->client_ip,
		s->user != NULL ? s->user->name : "", (int)r->command.len, r->command.ptr, r->code, r->esc,
		r->text, r->said.len > 0 ? " said=\"" : "",
		log_escape(said, sizeof(said), r->said.ptr, r->said.len), r->said.len > 0 ? "\"" : "");
}

static void
refuse(struct intake_session *s, const char *command, int code, const char *esc, const char *text)
{
	const struct smtp_server_refusal r = {.is_message = strcmp(command, "DATA") == 0,
		.code = code,
		.esc = esc,
		.text = text,
		.command = {command, strnlen(command, SMTP_COMMAND_MAX)}};

	log_rejected(s, &r);
	smtp_server_answer(s->smtp, code, esc, text);
}

static bool
has_memory(const struct intake_session *s)
{
	return memory_percent(s->in->conf.memory) < MEMORY_PERCENT_MAX;
}

/* Reasons to take no message at all just now. False: answered. */
static bool
may_begin(struct intake_session *s)
{
	struct spool_stats spool;
	char words[QUOTA_WORDS_MAX];

	spool_stats(s->in->conf.spool, &spool);
	if (spool.is_failed)
		refuse(s, "MAIL", 451, "4.3.0", "Local storage trouble, try again later");
	else if (spool.is_full)
		refuse(s, "MAIL", 452, "4.3.1", "Insufficient system storage");
	else if (!has_memory(s))
		refuse(s, "MAIL", 452, "4.3.1", "Too much mail in flight, try again later");
	/* 452 4.5.3 (too many recipients of this message) would be split and sent again at once, and for
	 * 452 4.3.1 somebody looks for a full disk: this is policy that passes, as the rates below
	 * (RFC 5321 4.2.3, RFC 3463 3.8). */
	else if (s->quota != NULL && quota_is_full(s->quota, clock_now(s->in->conf.clock), words))
		refuse(s, "MAIL", 451, "4.7.1", words);
	else if (!limits_message(s->in->conf.limits, s->client_name, s->listen->accept_rate, mono(s)))
		refuse(s, "MAIL", 451, "4.7.1", "Message rate of this client is used up, try again later");
	else if (s->user != NULL &&
		 !limits_message(s->in->conf.limits, s->user_name, s->user->accept_rate, mono(s)))
		refuse(s, "MAIL", 451, "4.7.1", "Message rate of this user is used up, try again later");
	else
		return true;
	return false;
}

/* Who may send, and as whom. False: answered. */
static bool
may_send(struct intake_session *s, const struct smtp_server_mail *mail)
{
	if (s->user == NULL && !s->in_networks)
		refuse(s, "MAIL", 530, "5.7.0", "Authentication required");
	else if (s->user != NULL && mail->sender.len > 0 && !auth_may_send_as(s->user, mail->sender))
		refuse(s, "MAIL", 553, "5.7.1", "This user may not use that sender address");
	else if (s->user != NULL && s->user->message_max > 0 && mail->size > (uint64_t)s->user->message_max)
		refuse(s, "MAIL", 552, "5.3.4", "Message is larger than this user may send");
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

	drop_message(s);
	if (!may_send(s, mail))
		return;
	if (!wish_of_mail(mail, clock_now(s->in->conf.clock), &wishes, &why)) {
		refuse(s, "MAIL", 501, "5.5.4", why);
		return;
	}
	if (!may_begin(s))
		return;
	if ((m = message_create(s->in->conf.memory)) == NULL) {
		refuse(s, "MAIL", 452, "4.3.1", "Out of memory");
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
		refuse(s, "MAIL", 452, "4.3.1", "Out of memory");
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
		refuse(s, "RCPT", 451, "4.3.0", "Local storage trouble, try again later");
		return false;
	}
	if (hit.reason == SUPPRESS_NONE)
		return true;
	suppress_words(words, sizeof(words), &hit);
	refuse(s, "RCPT", 550, "5.7.1", words);
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
		refuse(s, "RCPT", 501, "5.1.3", "Recipient needs a domain: local@example.com");
		return;
	}
	if (s->user != NULL && s->user->recipients_max > 0 &&
		s->message->rcpt_count >= s->user->recipients_max) {
		refuse(s, "RCPT", 452, "4.5.3", "Too many recipients for this user");
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
	if (known < 0 || !has_memory(s) ||
		!message_add_rcpt(s->message, &r, (struct queue_blob){domain, (size_t)n})) {
		refuse(s, "RCPT", 452, "4.3.1", "Too much mail in flight, try again later");
		return;
	}
	rcpt_set_add(&s->rcpt_set, s->message);
	smtp_server_answer(s->smtp, 250, "2.1.5", "Recipient ok");
}

static void
on_body(struct intake_session *s, struct smtp_slice bytes)
{
	if (s->has_no_memory || s->message == NULL)
		return;
	/* The rest is read and thrown away; the answer to the whole message is 452. */
	if (!has_memory(s) || !message_append(s->message, bytes.ptr, bytes.len)) {
		drop_message(s);
		s->has_no_memory = true;
	}
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
		refuse(s, "DATA", 452, "4.3.1", "Too much mail in flight, try again later");
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
		drop_message(s);
		refuse(s, "DATA", 552, "5.3.4", "Message is larger than this user may send");
		return;
	}
	message_fit(s->message);
	prepare_message(s->message, &in, &reply);
	if (reply.code != 0) {
		drop_message(s);
		refuse(s, "DATA", reply.code, reply.esc, reply.text);
		return;
	}
	if (reply.lacks_unsubscribe)
		log_event(s->in->conf.log, LOG_EVENT_unsubscribe_left_out,
			"client=%s user=%s job=%.*s rcpts=%u", s->client_ip,
			in.user != NULL ? in.user->name : "", (int)s->message->meta.job.len,
			(const char *)s->message->meta.job.ptr, s->message->rcpt_count);
	if (suppressed_applies(s->in->conf.suppress, &s->message->meta) && !refuses_suppressed(s) &&
		suppressed_note(s->in->conf.suppress, s->message, clock_now(s->in->conf.clock)) < 0) {
		drop_message(s);
		refuse(s, "DATA", 451, "4.3.0", "Local storage trouble, try again later");
		return;
	}
	send_to_spool(s);
}

/* --- the conversation --- */

/* What the engine refused by itself. A login that failed has a line of its own; words that are no command
 * have none until they were one too many. */
static void
on_refused(struct intake_session *s, const struct smtp_server_refusal *r)
{
	if (r->is_login)
		(void)intake_count_login_failure(s, r->text, "");
	if (r->is_end || (r->command.len > 0 && !r->is_login))
		log_rejected(s, r);
}

static void
start_tls(struct intake_session *s, size_t leftover)
{
	wire_send(s->wire);
	/* A14, RFC 3207 4.2: commands glued behind STARTTLS came in clear and may be somebody else's. */
	if (leftover > 0 || wire_start_tls_server(s->wire, s->settings->tls[s->listen_index])) {
		log_event(s->in->conf.log, LOG_EVENT_rejected,
			"client=%s command=STARTTLS text=\"bytes behind STARTTLS\"", s->client_ip);
		intake_session_close(s);
		return;
	}
	s->is_conversing = false;
	drop_message(s);
	if (s->user != NULL)
		limits_disconnect(s->in->conf.limits, s->user_name);
	s->user = NULL;
	s->quota = NULL;
	intake_offer_hold(s);
	wire_deadline(s->wire, s->listen->command_timeout);
}

/* One event. False: the session has gone or its stream is another one. */
static bool
react(struct intake_session *s, enum smtp_server_event event, const struct smtp_server_fact *fact,
	size_t leftover)
{
	switch (event) {
	case SMTP_SERVER_HELO:
		return true;
	case SMTP_SERVER_STARTTLS:
		start_tls(s, leftover);
		return false;
	case SMTP_SERVER_AUTH:
		intake_on_auth(s, fact);
		return true;
	case SMTP_SERVER_MAIL:
		on_mail(s, &fact->mail);
		return true;
	case SMTP_SERVER_RCPT:
		on_rcpt(s, &fact->rcpt);
		return true;
	case SMTP_SERVER_DATA:
		smtp_server_answer(s->smtp, 354, NULL, "Go ahead, end with a dot on a line of its own");
		return true;
	case SMTP_SERVER_BODY:
		on_body(s, fact->text);
		return true;
	case SMTP_SERVER_END:
		on_end(s);
		return true;
	case SMTP_SERVER_ABORT:
		drop_message(s);
		return true;
	case SMTP_SERVER_REFUSED:
		on_refused(s, &fact->refused);
		return true;
	case SMTP_SERVER_CLOSE:
		s->is_closing = true;
		return true;
	case SMTP_SERVER_MORE:
	case SMTP_SERVER_WAIT:
		return true;
	}
	return true;
}

/* Strangers have the time of one command for all of them until their log-in, or their NOOPs would keep places
 * others need (A9). */
static int64_t
time_for(const struct intake_session *s, bool in_data)
{
	int64_t left_us = s->login_by_us - mono(s);

	if (s->user != NULL || s->in_networks)
		return in_data ? s->listen->data_timeout : s->listen->command_timeout;
	return left_us > 1 ? left_us : 1;
}

/* A timer for each command, not for each byte (A9); in data one for each block (A10); none while we owe an
 * answer. */
static void
set_timer(struct intake_session *s, bool progress)
{
	bool in_data = smtp_server_in_data(s->smtp);
	uint64_t have = wire_bytes_in(s->wire);

	if (s->waiting != WAIT_NOTHING)
		return;
	if (in_data && have - s->timed_bytes >= DATA_BLOCK_BYTES)
		progress = true;
	if (!progress && in_data == s->timed_data)
		return;
	s->timed_data = in_data;
	s->timed_bytes = have;
	wire_deadline(s->wire, time_for(s, in_data));
}

/* True: all said, the connection can go. */
static bool
is_over(const struct intake_session *s)
{
	return s->is_closing && smtp_server_output(s->smtp).len == 0;
}

/* Events of the given bytes, until the engine wants more or waits. False as in converse(). */
static bool
take_events(struct intake_session *s, struct smtp_slice *in, bool *progress)
{
	size_t said = smtp_server_output(s->smtp).len;
	struct smtp_server_fact fact;
	enum smtp_server_event event;

	while (s->waiting == WAIT_NOTHING && !s->is_closing &&
		(event = smtp_server_next(s->smtp, in, &fact)) != SMTP_SERVER_MORE) {
		if (event == SMTP_SERVER_WAIT)
			break;
		*progress = *progress || (event != SMTP_SERVER_BODY && event != SMTP_SERVER_REFUSED);
		if (!react(s, event, &fact, in->len))
			return false;
	}
	/* Commands that are no event (NOOP, a chunk that is not the last) have an answer. */
	*progress = *progress || smtp_server_output(s->smtp).len > said;
	return true;
}

/* Eats from the front of *in and answers. False: the session has gone or its stream is another one. */
static bool
converse(struct intake_session *s, struct smtp_slice *in)
{
	bool progress = false, had_output;

	s->is_conversing = true;
	do {
		if (!take_events(s, in, &progress))
			return false;
		had_output = smtp_server_output(s->smtp).len > 0;
		wire_send(s->wire);
		/* A13: the engine stops when replies fill its buffer; once they are out, it goes on. */
	} while (s->waiting == WAIT_NOTHING && !s->is_closing && in->len > 0 && had_output &&
		 smtp_server_output(s->smtp).len == 0);
	s->is_conversing = false;
	if (is_over(s)) {
		intake_session_close(s);
		return false;
	}
	if (s->is_closing)
		in->len = 0;
	else if (s->in->is_stopping && s->waiting == WAIT_NOTHING && smtp_server_is_idle(s->smtp)) {
		/* Between two messages; what it says next belongs to another connection. */
		smtp_server_close(s->smtp, "4.3.2", "Service is stopping");
		return converse(s, in);
	}
	set_timer(s, progress);
	return true;
}

void
intake_session_pump(struct intake_session *s)
{
	struct smtp_slice none = {"", 0};

	s->timed_data = !s->timed_data; /* a timer again */
	if (converse(s, &none))
		wire_resume(s->wire);
}

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	struct smtp_slice in = {bytes, len};

	return converse(intake_session_of(arg), &in) ? len - in.len : len;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct smtp_slice out = smtp_server_output(intake_session_of(arg)->smtp);

	if (out.len == 0)
		return 0;
	iov[0] = (struct iovec){(void *)(uintptr_t)out.ptr, out.len};
	return 1;
}

static void
on_sent(void *arg, size_t bytes)
{
	struct intake_session *s = intake_session_of(arg);

	smtp_server_drained(s->smtp, bytes);
	if (s->is_conversing)
		return;
	if (is_over(s))
		intake_session_close(s);
	else if (s->waiting == WAIT_NOTHING && smtp_server_output(s->smtp).len == 0)
		wire_resume(s->wire); /* kept input that waited for room for its replies */
}

static void
on_tls(void *arg)
{
	struct intake_session *s = intake_session_of(arg);

	smtp_server_tls_started(s->smtp);
	wire_deadline(s->wire, s->listen->command_timeout);
}

/* The wire writes no more, but the socket may: one try, for a client that waits for us without knowing it. */
static void
say_last_words(struct intake_session *s)
{
	struct smtp_slice out = smtp_server_output(s->smtp);
	SSL *ssl = wire_ssl(s->wire);

	if (ssl == NULL)
		(void)!send(wire_fd(s->wire), out.ptr, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	else if (smtp_server_is_tls(s->smtp))
		(void)!SSL_write(ssl, out.ptr, (int)out.len);
	ERR_clear_error();
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	struct intake_session *s = intake_session_of(arg);

	if (why == WIRE_TIMEOUT && !s->is_closing) {
		smtp_server_close(s->smtp, "4.4.2", "Timeout, closing connection");
		say_last_words(s);
		log_event(s->in->conf.log, LOG_EVENT_client_closed, "client=%s why=timeout state=%s",
			s->client_ip, smtp_server_state_name(s->smtp));
	}
	intake_session_close(s);
}

const struct wire_ops intake_wire_ops = {NULL, on_tls, on_bytes, on_pull, on_sent, on_down};

/* --- letters --- */

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
		refuse(s, "DATA", 452, "4.3.1", s->accept.why);
		return;
	case QUEUE_EINVAL:
		refuse(s, "DATA", 550, "5.6.0", s->accept.why);
		return;
	default:
		refuse(s, "DATA", 451, "4.3.0", s->accept.why);
	}
}

static void
on_accepted(struct intake_session *s)
{
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

void
intake_on_letter(struct intake *in, struct letter *l)
{
	switch ((enum letter_kind)l->kind) {
	case LETTER_ACCEPTED:
		on_accepted(intake_session_of((char *)l - offsetof(struct intake_session, accept.letter)));
		return;
	case LETTER_FEEDBACK_DONE:
		unsubscribe_on_letter(l);
		return;
	case LETTER_PASSWORD:
		intake_on_password(in, (struct password *)l);
		return;
	default:
		assert(!"a letter intake does not take");
	}
}

void
intake_stop(struct intake *in, bool cut)
{
	struct intake_session *s, *next;
	size_t i;

	in->is_stopping = true;
	for (i = 0; i < in->accepter_count; i++)
		event_del(in->accepters[i].event);
	for (s = in->first; s != NULL; s = next) {
		next = s->next;
		if (s->wire == NULL || s->waiting == WAIT_SPOOL)
			continue; /* it gets its answer, then 421 */
		/* In the middle of a handshake nothing can be said, and the engine waits for its end; and who
		 * guessed wrong is not waited for. */
		if (cut || s->waiting == WAIT_DELAY || s->smtp == NULL ||
			(wire_ssl(s->wire) != NULL && !smtp_server_is_tls(s->smtp)))
			intake_session_close(s);
		else if (s->waiting == WAIT_NOTHING)
			intake_session_pump(s);
	}
}
