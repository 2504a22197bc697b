/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SMTP engine asks, this file decides. Invariants: identity lives in the session object and nowhere else;
 * a session is freed only when no letter of it is out; 250 is answered only to a letter that came back from a
 * commit.
 */
#include "intake/intake_impl.h"

#include "queue/message.h"
#include "queue/spool.h"

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

void
intake_drop_message(struct intake_session *s)
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
	intake_drop_message(s);
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
log_answer(struct intake_session *s, const char *command, int code, const char *esc, const char *text)
{
	const struct smtp_server_refusal r = {.is_message = strcmp(command, "DATA") == 0,
		.code = code,
		.esc = esc,
		.text = text,
		.command = {command, strnlen(command, SMTP_COMMAND_MAX)}};

	log_rejected(s, &r);
}

void
intake_refuse(struct intake_session *s, const char *command, int code, const char *esc, const char *text)
{
	log_answer(s, command, code, esc, text);
	smtp_server_answer(s->smtp, code, esc, text);
}

void
intake_decline_rcpt(struct intake_session *s, int code, const char *esc, const char *text)
{
	log_answer(s, "RCPT", code, esc, text);
	smtp_server_decline_rcpt(s->smtp, code, esc, text);
}

bool
intake_has_memory(const struct intake_session *s)
{
	return memory_percent(s->in->conf.memory) < MEMORY_PERCENT_MAX;
}

bool
intake_may_begin(struct intake_session *s)
{
	struct spool_stats spool;

	spool_stats(s->in->conf.spool, &spool);
	if (spool.is_failed)
		intake_refuse(s, "MAIL", 451, "4.3.0", "Local storage trouble, try again later");
	else if (spool.is_full)
		intake_refuse(s, "MAIL", 452, "4.3.1", "Insufficient system storage");
	else if (!intake_has_memory(s))
		intake_refuse(s, "MAIL", 452, "4.3.1", "Too much mail in flight, try again later");
	/* 452 4.5.3 (too many recipients of this message) would be split and sent again at once, and for
	 * 452 4.3.1 somebody looks for a full disk: this is policy that passes (RFC 5321 4.2.3, RFC 3463
	 * 3.8). */
	else if (!limits_message(s->in->conf.limits, s->client_name, s->listen->accept_rate, mono(s)))
		intake_refuse(
			s, "MAIL", 451, "4.7.1", "Message rate of this client is used up, try again later");
	else
		return true;
	return false;
}

static void
on_body(struct intake_session *s, struct smtp_slice bytes)
{
	if (s->has_no_memory || s->message == NULL)
		return;
	/* The rest is read and thrown away; the answer to the whole message is 452. */
	if (!intake_has_memory(s) || !message_append(s->message, bytes.ptr, bytes.len)) {
		intake_drop_message(s);
		s->has_no_memory = true;
	}
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
	intake_drop_message(s);
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
		s->role->mail(s, &fact->mail);
		return true;
	case SMTP_SERVER_RCPT:
		s->role->rcpt(s, &fact->rcpt);
		return true;
	case SMTP_SERVER_DATA:
		smtp_server_answer(s->smtp, 354, NULL, "Go ahead, end with a dot on a line of its own");
		return true;
	case SMTP_SERVER_BODY:
		on_body(s, fact->text);
		return true;
	case SMTP_SERVER_END:
		s->role->end(s);
		return true;
	case SMTP_SERVER_ABORT:
		intake_drop_message(s);
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

	if (s->user != NULL || s->in_networks || s->listen->kind == CONF_LISTEN_REPORTS)
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

void
intake_on_letter(struct intake *in, struct letter *l)
{
	switch ((enum letter_kind)l->kind) {
	case LETTER_ACCEPTED:
		submission_on_letter(l);
		return;
	case LETTER_RETURNED_DONE:
		reports_on_letter(l);
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
