/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMTP is libsmtp's client engine, in clear and one mail a connection, as small systems do it. HTTP is one
 * request; the status line is all that is read of its answer, and the end of the connection its end.
 *
 * Invariant: `done` is called once, as the last thing that is done with the attempt.
 */
#include "mtasim_return_send.h"

#include "smtp_client.h"

#include "base/smtp_heap.h"
#include "base/wire.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATTEMPT_US = 30 * 1000000, ANSWER_MAX = 300 };

struct attempt {
	const struct attempt_work *work;
	attempt_done done;
	void *arg;
	struct wire *wire;
	struct smtp_client *smtp; /* NULL: HTTP */
	struct smtp_client_mail mail;
	struct smtp_client_rcpt rcpt;
	bool is_handed_in; /* the engine has had the mail */
	size_t sent;       /* of the request */
	int code;
	char answer[ANSWER_MAX];
	size_t answer_len;
};

static void
note(struct attempt *a, const struct smtp_client_fact *fact)
{
	struct smtp_slice text = fact->reply.code != 0 ? fact->reply.text : fact->text;

	a->code = fact->reply.code;
	if (a->code != 0)
		snprintf(a->answer, sizeof(a->answer), "%d %.*s", a->code, (int)text.len, text.ptr);
	else
		snprintf(a->answer, sizeof(a->answer), "%.*s", (int)text.len, text.ptr);
}

/* True: the conversation is over. */
static bool
pump(struct attempt *a, struct smtp_slice *in)
{
	enum smtp_client_event event;
	struct smtp_client_fact fact;
	bool is_over = false, has_result = a->answer[0] != '\0';

	while ((event = smtp_client_next(a->smtp, in, &fact)) != SMTP_CLIENT_MORE) {
		if (event == SMTP_CLIENT_READY && !a->is_handed_in) {
			a->is_handed_in = true;
			smtp_client_mail(a->smtp, &a->mail);
			smtp_client_quit(a->smtp);
		}
		/* What became of the mail; not what is said of QUIT after it. */
		if ((event == SMTP_CLIENT_RESULT || event == SMTP_CLIENT_DOWN) && !has_result) {
			note(a, &fact);
			has_result = true;
		}
		is_over |= event == SMTP_CLIENT_DOWN;
	}
	return is_over;
}

static void
on_connected(void *arg)
{
	struct attempt *a = arg;

	wire_send(a->wire);
}

static size_t
take_status_line(struct attempt *a, const char *bytes, size_t len)
{
	size_t room = sizeof(a->answer) - 1 - a->answer_len, part = len < room ? len : room;
	char *end = memchr(a->answer, '\r', a->answer_len);

	if (end != NULL)
		return len;
	memcpy(a->answer + a->answer_len, bytes, part);
	a->answer_len += part;
	if ((end = memchr(a->answer, '\r', a->answer_len)) != NULL &&
		sscanf(a->answer, "HTTP/1.%*1u %3d", &a->code) != 1)
		a->code = 0;
	return len;
}

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	struct attempt *a = arg;
	struct smtp_slice in = {bytes, len};

	if (a->smtp == NULL)
		return take_status_line(a, bytes, len);
	if (pump(a, &in)) {
		a->done(a->arg, a->code, a->answer);
		return len;
	}
	wire_send(a->wire);
	return len - in.len;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct attempt *a = arg;
	struct smtp_slice bytes = a->work->bytes;

	if (a->smtp != NULL)
		return smtp_client_output(a->smtp, iov, iov_max);
	iov[0] = (struct iovec){(char *)(uintptr_t)bytes.ptr + a->sent, bytes.len - a->sent};
	return a->sent < bytes.len;
}

static void
on_sent(void *arg, size_t bytes)
{
	struct attempt *a = arg;

	if (a->smtp != NULL)
		smtp_client_drained(a->smtp, bytes);
	else
		a->sent += bytes;
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	struct attempt *a = arg;
	struct smtp_slice none = {"", 0};
	char *end;

	if (a->smtp != NULL) {
		smtp_client_lost(a->smtp, (struct smtp_slice){detail, strnlen(detail, ANSWER_MAX)});
		(void)pump(a, &none);
	} else if (a->code == 0) {
		snprintf(a->answer, sizeof(a->answer), "%s", detail);
	} else if ((end = memchr(a->answer, '\r', a->answer_len)) != NULL) {
		*end = '\0';
		memmove(a->answer, a->answer + 9, sizeof(a->answer) - 9); /* "HTTP/1.1 " */
	}
	a->done(a->arg, a->code, a->answer);
}

static const struct wire_ops ops = {.on_connected = on_connected,
	.on_bytes = on_bytes,
	.pull = on_pull,
	.on_sent = on_sent,
	.on_down = on_down};

struct attempt *
attempt_begin(struct event_base *base, const struct attempt_work *work, attempt_done done, void *arg)
{
	const struct smtp_client_conf conf = {.ehlo_name = SMTP_LIT("returns.mtasim.test"),
		.tls = SMTP_CLIENT_TLS_NONE,
		.may_pipeline = true};
	struct attempt *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->work = work;
	a->done = done;
	a->arg = arg;
	a->rcpt = (struct smtp_client_rcpt){.address = work->rcpt};
	a->mail = (struct smtp_client_mail){
		.sender = work->sender, .rcpts = &a->rcpt, .rcpt_count = 1, .body = {work->bytes}};
	if (!work->is_http && (a->smtp = smtp_client_create(&smtp_heap, &conf)) == NULL) {
		attempt_destroy(&a);
		return NULL;
	}
	a->wire = wire_connect(base, (const struct sockaddr *)&work->server, NULL, &ops, a);
	if (a->wire == NULL)
		attempt_destroy(&a);
	else
		wire_deadline(a->wire, ATTEMPT_US);
	return a;
}

void
attempt_destroy(struct attempt **ap)
{
	struct attempt *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	wire_destroy(&a->wire);
	smtp_client_destroy(&a->smtp);
	free(a);
}
