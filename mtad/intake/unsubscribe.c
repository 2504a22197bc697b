/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation of an unsubscribe listener: one request, one answer, the end. It runs in the session that
 * every listener's clients have, so that its sockets, limits, reloads and stops are those of submissions.
 *
 * Invariants: 200 to a POST is said only when the unsubscription is on disk; who only looks changes nothing
 * (mail scanners follow every link); a session has its time for the whole request and not for each byte of
 * it.
 */
#include "feedback/page.h"
#include "feedback/token.h"
#include "intake/intake_impl.h"
#include "queue/feedback.h"
#include "queue/spool.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ANSWER_US = 30000000, /* to take the answer */
	LINGER_US = 2000000,  /* to close, once it has it: who is reset loses what is under way */
	REFUSED_MAX = 20,     /* links that are not of ours, of one client in ten minutes */
	FORWARDED_MAX = 16,   /* of addresses in X-Forwarded-For, the last ones */
};

/* A session's, from its begin to its end. */
struct unsubscribe {
	struct feedback feedback; /* first: a letter is found back by it */
	struct feedback_item item;
	struct intake_session *session;
	bool is_proxy; /* the peer is a web server of ours */
	bool is_answered;
	char name[LIMITS_CLIENT_MAX +
		  8]; /* what the client is counted under: not what log-ins from there are */
	struct page_input page;
	size_t answer_len, sent;
	char answer[PAGE_MAX];
	char texts[QUEUE_EVENT_MAX]; /* of the item's event */
};

static struct intake_session *
session_of(void *arg)
{
	struct intake_session *s = arg;

	assert(s->magic == INTAKE_MAGIC && s->unsubscribe != NULL);
	return s;
}

bool
unsubscribe_create(struct intake_session *s, const struct sockaddr_storage *peer)
{
	struct unsubscribe *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return false;
	u->session = s;
	u->is_proxy = conf_network_has(&s->listen->proxy_nets, (const struct sockaddr *)peer);
	s->unsubscribe = u;
	return true;
}

/* --- answers --- */

static void
answer(struct intake_session *s, enum page_kind kind)
{
	struct unsubscribe *u = s->unsubscribe;

	u->page.kind = kind;
	u->answer_len = page_write(&u->page, u->answer);
	u->is_answered = true;
	wire_deadline(s->wire, ANSWER_US);
	wire_send(s->wire);
}

static void
answer_status(struct intake_session *s, unsigned status)
{
	s->unsubscribe->page.status = status;
	answer(s, PAGE_INCOMPLETE);
}

/* --- who asks --- */

static bool
read_address(struct smtp_slice text, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	char buf[INET6_ADDRSTRLEN];

	memset(out, 0, sizeof(*out));
	if (text.len == 0 || text.len >= sizeof(buf))
		return false;
	memcpy(buf, text.ptr, text.len);
	buf[text.len] = '\0';
	if (inet_pton(AF_INET, buf, &v4->sin_addr) == 1)
		v4->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, buf, &v6->sin6_addr) == 1)
		v6->sin6_family = AF_INET6;
	else
		return false;
	return true;
}

/* All X-Forwarded-For in one row, the last FORWARDED_MAX of them; each web server adds whom it speaks to at
 * the end.
 */
static size_t
forwarded(const struct http_request *r, struct smtp_slice out[FORWARDED_MAX])
{
	struct smtp_slice rest = r->fields, name, value;
	size_t count = 0;

	while (http_next_field(&rest, &name, &value)) {
		if (!smtp_slice_is_nocase(name, SMTP_LIT("X-Forwarded-For")))
			continue;
		for (const char *end = value.ptr + value.len, *p = value.ptr; p < end;) {
			const char *comma = memchr(p, ',', (size_t)(end - p)),
				   *to = comma != NULL ? comma : end;

			while (p < to && (*p == ' ' || *p == '\t'))
				p++;
			out[count++ % FORWARDED_MAX] = (struct smtp_slice){p, (size_t)(to - p)};
			p = to + 1;
		}
	}
	return count;
}

/* The last that is not one of ours: what stands before it anybody may have written. */
static void
describe_client(struct intake_session *s, const struct http_request *r)
{
	struct smtp_slice addresses[FORWARDED_MAX];
	struct sockaddr_storage address;
	char name[LIMITS_CLIENT_MAX];
	size_t count, i;

	snprintf(s->unsubscribe->name, sizeof(s->unsubscribe->name), "link %s", s->client_name);
	if (!s->unsubscribe->is_proxy)
		return;
	count = forwarded(r, addresses);
	for (i = 0; i < count && i < FORWARDED_MAX; i++) {
		struct smtp_slice text = addresses[(count - 1 - i) % FORWARDED_MAX];

		if (!read_address(text, &address))
			return;
		snprintf(s->client_ip, sizeof(s->client_ip), "%.*s", (int)text.len, text.ptr);
		if (!conf_network_has(&s->listen->proxy_nets, (const struct sockaddr *)&address))
			break;
	}
	if (i == count || i == FORWARDED_MAX)
		return;
	limits_client(&address, name);
	snprintf(s->unsubscribe->name, sizeof(s->unsubscribe->name), "link %s", name);
}

/* --- what is asked --- */

/* Guessing is pointless, but fills logs and takes time. */
static void
refuse(struct intake_session *s, enum page_kind kind, const char *why)
{
	(void)limits_login_failed(s->in->conf.limits, s->unsubscribe->name, mono(s));
	log_event(s->in->conf.log, LOG_EVENT_unsubscribe_refused, "client=%s why=\"%s\"", s->client_ip, why);
	answer(s, kind);
}

/* False: answered. */
static bool
is_welcome(struct intake_session *s)
{
	struct limits *limits = s->in->conf.limits;

	if (limits_login_failures(limits, s->unsubscribe->name, mono(s)) < REFUSED_MAX &&
		limits_message(limits, s->unsubscribe->name, s->listen->accept_rate, mono(s)))
		return true;
	answer(s, PAGE_BUSY);
	return false;
}

/* The item of the token in the target. False: answered. */
static bool
find_item(struct intake_session *s, const struct http_request *r)
{
	struct unsubscribe *u = s->unsubscribe;
	int64_t now_us = clock_now(s->in->conf.clock);
	struct token token;
	enum token_verdict verdict = token_find(s->settings->conf, r->target, now_us, &token);
	int err;

	if (verdict == TOKEN_EXPIRED) {
		answer(s, PAGE_EXPIRED);
		return false;
	}
	if (verdict == TOKEN_NONE) { /* somebody looked around */
		answer(s, PAGE_UNKNOWN);
		return false;
	}
	if (verdict != TOKEN_GOOD || token.kind != TOKEN_UNSUBSCRIBE) {
		refuse(s, PAGE_UNKNOWN,
			verdict == TOKEN_GOOD ? "of another kind" : token_verdict_text(verdict));
		return false;
	}
	err = feedback_unsubscribe(s->in->conf.store, &token, now_us, "one-click", &u->item, u->texts);
	if (err == QUEUE_OK)
		return true;
	/* Signed by us and not known: of a spool that is gone. */
	answer(s, err == QUEUE_ENOTFOUND ? PAGE_EXPIRED : PAGE_TROUBLE);
	return false;
}

static void
send_to_spool(struct intake_session *s)
{
	struct unsubscribe *u = s->unsubscribe;

	u->feedback = (struct feedback){.letter = {.kind = LETTER_FEEDBACK},
		.reply_to = s->in->conf.io,
		.count = 1,
		.items = &u->item};
	s->waiting = WAIT_SPOOL;
	wire_deadline(s->wire, 0);
	worker_post(spool_worker(s->in->conf.spool), &u->feedback.letter);
}

static void
on_request(struct intake_session *s, const struct http_request *r)
{
	struct unsubscribe *u = s->unsubscribe;

	u->page.language = page_language(r);
	u->page.is_head = r->method == HTTP_HEAD;
	describe_client(s, r);
	if (r->method == HTTP_OTHER) {
		answer_status(s, 405);
		return;
	}
	if (!is_welcome(s) || !find_item(s, r))
		return;
	if (r->method != HTTP_POST) {
		u->page.address = (struct smtp_slice){u->item.event.rcpt.ptr, u->item.event.rcpt.len};
		answer(s, PAGE_CONFIRM);
	} else if (!http_form_has(r, SMTP_LIT("List-Unsubscribe"), SMTP_LIT("One-Click")))
		answer(s, PAGE_INCOMPLETE);
	else if (u->item.is_repeat)
		answer(s, PAGE_DONE);
	else
		send_to_spool(s);
}

void
unsubscribe_on_letter(struct letter *l)
{
	struct unsubscribe *u = (struct unsubscribe *)l;
	struct intake_session *s = session_of(u->session);

	s->waiting = WAIT_NOTHING;
	if (s->wire == NULL)
		intake_session_free_if_over(s);
	else
		answer(s, u->feedback.result == QUEUE_OK ? PAGE_DONE : PAGE_TROUBLE);
}

/* --- the wire --- */

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	struct intake_session *s = session_of(arg);
	struct http_request request;
	int got;

	if (s->unsubscribe->is_answered || s->waiting != WAIT_NOTHING)
		return len;
	got = http_read((struct smtp_slice){bytes, len}, &request);
	if (got == 1)
		on_request(s, &request);
	else if (got != 0)
		answer_status(s, (unsigned)got);
	return got != 0 ? len : 0;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct unsubscribe *u = session_of(arg)->unsubscribe;

	if (u->sent == u->answer_len)
		return 0;
	iov[0] = (struct iovec){u->answer + u->sent, u->answer_len - u->sent};
	return 1;
}

static void
on_sent(void *arg, size_t bytes)
{
	struct intake_session *s = session_of(arg);
	struct unsubscribe *u = s->unsubscribe;

	u->sent += bytes;
	if (u->sent < u->answer_len)
		return;
	(void)shutdown(wire_fd(s->wire), SHUT_WR);
	wire_deadline(s->wire, LINGER_US);
}

static void
on_tls(void *arg)
{
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	intake_session_close(session_of(arg));
}

const struct wire_ops unsubscribe_wire_ops = {NULL, on_tls, on_bytes, on_pull, on_sent, on_down};
