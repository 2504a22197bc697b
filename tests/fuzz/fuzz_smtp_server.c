/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server engine under a client and a host that both do as they like. Input is read as orders: most send
 * one of the commands below, so that sessions get deep; some send raw bytes, drain output, close, or set how
 * the host answers. The oracle is the order of events that smtp_server.h promises, kept by an independent
 * little model.
 */
#include "smtp_server.h"

#include "base/smtp_heap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct smtp_slice phrases[] = {
	SMTP_LIT("EHLO c.test\r\n"),
	SMTP_LIT("HELO c.test\r\n"),
	SMTP_LIT("MAIL FROM:<a@b.test>\r\n"),
	SMTP_LIT("MAIL FROM:<> SIZE=10 BODY=8BITMIME RET=FULL ENVID=x SMTPUTF8\r\n"),
	SMTP_LIT("RCPT TO:<c@d.test>\r\n"),
	SMTP_LIT("RCPT TO:<\"x y\"@d> NOTIFY=NEVER ORCPT=rfc822;a+40b\r\n"),
	SMTP_LIT("DATA\r\n"),
	SMTP_LIT("a line\r\n"),
	SMTP_LIT("..dots\r\n.\r\n"),
	SMTP_LIT("bare\n.\n\r"),
	SMTP_LIT("\r\n.\r\n"),
	SMTP_LIT("BDAT 5\r\nab\r\nc"),
	SMTP_LIT("BDAT 3 LAST\r\nx\r\n"),
	SMTP_LIT("BDAT 0 LAST\r\n"),
	SMTP_LIT("BDAT 900\r\n"),
	SMTP_LIT("RSET\r\n"),
	SMTP_LIT("NOOP\r\n"),
	SMTP_LIT("QUIT\r\n"),
	SMTP_LIT("STARTTLS\r\n"),
	SMTP_LIT("AUTH PLAIN AHUAcA==\r\n"),
	SMTP_LIT("AUTH PLAIN\r\n"),
	SMTP_LIT("AUTH LOGIN\r\n"),
	SMTP_LIT("dXNlcg==\r\n"),
	SMTP_LIT("*\r\n"),
	SMTP_LIT("VRFY x\r\n"),
	SMTP_LIT("GET / HTTP/1.1\r\n"),
};
#define PHRASES (sizeof(phrases) / sizeof(phrases[0]))

/* Orders above the phrases. */
enum { RAW = PHRASES, DRAIN, DRAIN_SOME, ANSWER, CLOSE, CHUNKY, ORDERS };

struct host {
	struct smtp_server *s;
	const struct smtp_server_conf *conf;
	uint8_t mood;   /* how the next answers come out */
	size_t portion; /* bytes a next() call gets */
	bool owes;      /* an asking event is unanswered */
	bool in_mail, has_rcpt, in_body, is_authenticated, is_tls, wants_tls, is_closed;
	enum smtp_server_event asked;
	uint64_t body_bytes;
	char last; /* byte of the body */
};

static void
answer(struct host *h)
{
	int refusal = h->mood & 1 ? 0 : h->mood & 2 ? 421 : h->mood & 4 ? 550 : 452;
	int good = h->asked == SMTP_SERVER_DATA ? 354 : h->asked == SMTP_SERVER_AUTH ? 235 : 250;

	/* Mostly accepted, or nothing deep is ever reached. */
	if (h->mood % 8 != 2 && h->mood % 8 != 4 && h->mood % 8 != 0)
		refusal = 0;
	h->owes = false;
	if (refusal == 550 && h->asked == SMTP_SERVER_RCPT && (h->mood & 8) != 0)
		smtp_server_decline_rcpt(h->s, refusal, "5.7.1", "text");
	else
		smtp_server_answer(
			h->s, refusal != 0 ? refusal : good, h->mood & 16 ? "2.0.0" : NULL, "text\r\n\x80");
	if (refusal != 0) {
		h->in_body = false;
		return;
	}
	if (h->asked == SMTP_SERVER_MAIL)
		h->in_mail = true;
	if (h->asked == SMTP_SERVER_RCPT)
		h->has_rcpt = true;
	if (h->asked == SMTP_SERVER_DATA) {
		h->in_body = true;
		h->body_bytes = 0;
		h->last = '\n';
	}
	if (h->asked == SMTP_SERVER_AUTH)
		h->is_authenticated = true;
}

static void
on_body(struct host *h, struct smtp_slice text)
{
	assert(h->in_body && text.len > 0);
	for (size_t i = 0; i < text.len; i++) {
		assert(text.ptr[i] != '\0');
		assert((text.ptr[i] == '\n') == (h->last == '\r'));
		h->last = text.ptr[i];
	}
	h->body_bytes += text.len;
	assert(h->body_bytes <= h->conf->message_bytes_max);
}

static void
on_event(struct host *h, enum smtp_server_event event, const struct smtp_server_fact *fact)
{
	assert(!h->is_closed || event == SMTP_SERVER_CLOSE);
	assert(!h->owes || event == SMTP_SERVER_WAIT || event == SMTP_SERVER_ABORT ||
		event == SMTP_SERVER_CLOSE || (event == SMTP_SERVER_REFUSED && fact->refused.is_end));
	switch (event) {
	case SMTP_SERVER_HELO:
		assert(!h->in_mail && fact->text.len > 0 && fact->text.len <= SMTP_DOMAIN_MAX);
		break;
	case SMTP_SERVER_STARTTLS:
		assert(!h->in_mail && !h->is_tls && !h->is_authenticated);
		h->wants_tls = true;
		break;
	case SMTP_SERVER_AUTH:
		assert(!h->in_mail && !h->is_authenticated && fact->user.len > 0);
		assert(fact->user.len <= SMTP_CREDENTIAL_MAX && fact->password.len <= SMTP_CREDENTIAL_MAX);
		h->owes = true;
		break;
	case SMTP_SERVER_MAIL:
		assert(!h->in_mail && fact->mail.sender.len <= SMTP_ADDRESS_MAX);
		h->owes = true;
		break;
	case SMTP_SERVER_RCPT:
		assert(h->in_mail && !h->in_body && fact->rcpt.address.len > 0);
		h->owes = true;
		break;
	case SMTP_SERVER_DATA:
		assert(h->in_mail && h->has_rcpt && !h->in_body);
		h->owes = true;
		break;
	case SMTP_SERVER_BODY:
		on_body(h, fact->text);
		break;
	case SMTP_SERVER_END:
		assert(h->in_mail && h->in_body && h->last == '\n' && fact->body_bytes == h->body_bytes);
		h->in_mail = h->in_body = h->has_rcpt = false;
		h->owes = true;
		break;
	case SMTP_SERVER_ABORT:
		assert(h->in_mail);
		h->in_mail = h->in_body = h->has_rcpt = h->owes = false;
		break;
	case SMTP_SERVER_REFUSED:
		assert(fact->refused.code >= 400 && fact->refused.said.len <= SMTP_COMMAND_MAX);
		assert(!fact->refused.is_login || fact->refused.said.len == 0);
		break;
	case SMTP_SERVER_CLOSE:
		assert(!h->in_mail && fact->text.len > 0);
		h->is_closed = true;
		h->owes = false;
		break;
	default:
		break;
	}
	h->asked = h->owes && event != SMTP_SERVER_WAIT ? event : h->asked;
}

static void
drain(struct host *h, size_t max)
{
	struct smtp_slice out = smtp_server_output(h->s);
	size_t n = out.len < max ? out.len : max, line = 0;

	assert(out.len <= 4096);
	for (size_t i = 0; i < out.len; i++) {
		char c = out.ptr[i];

		assert((c >= ' ' && c <= '~') || (c == '\r' && out.ptr[i + 1] == '\n') ||
			(c == '\n' && (line > 0 || i == 0)));
		line = c == '\n' ? 0 : line + 1;
		assert(line <= 512);
	}
	assert(line == 0);
	smtp_server_drained(h->s, n);
	if (h->wants_tls && n == out.len) {
		h->wants_tls = false;
		h->is_tls = true;
		h->is_authenticated = false;
		smtp_server_tls_started(h->s);
	}
}

/* Some bytes, until they are gone or the engine waits for something; then they are lost, as on a bad day. */
static void
feed(struct host *h, struct smtp_slice bytes)
{
	struct smtp_server_fact fact;

	while (bytes.len > 0) {
		struct smtp_slice in = {bytes.ptr, bytes.len < h->portion ? bytes.len : h->portion};
		size_t before = in.len;
		enum smtp_server_event event = smtp_server_next(h->s, &in, &fact);

		assert(in.len <= before && in.ptr + in.len == bytes.ptr + before);
		on_event(h, event, &fact);
		bytes.ptr += before - in.len;
		bytes.len -= before - in.len;
		if (event == SMTP_SERVER_MORE)
			assert(in.len == 0);
		if (h->owes && (h->mood & 32) == 0)
			answer(h);
		if (event == SMTP_SERVER_WAIT && (h->owes || h->wants_tls))
			return;
		if (event == SMTP_SERVER_WAIT)
			drain(h, 4096);
	}
	/* What is due without input. */
	for (;;) {
		struct smtp_slice none = {NULL, 0};
		enum smtp_server_event event = smtp_server_next(h->s, &none, &fact);

		on_event(h, event, &fact);
		if (h->owes && (h->mood & 32) == 0)
			answer(h);
		else if (event == SMTP_SERVER_MORE || event == SMTP_SERVER_WAIT || event == SMTP_SERVER_CLOSE)
			return;
	}
}

static void
obey(struct host *h, const uint8_t **data, size_t *size)
{
	unsigned order = **data % ORDERS;
	uint8_t operand = *size > 1 ? (*data)[1] : 0;
	size_t used = order < PHRASES ? 1 : *size < 2 ? *size : 2;

	(*data) += used;
	(*size) -= used;
	if (order < PHRASES) {
		feed(h, phrases[order]);
	} else if (order == RAW) {
		size_t n = operand < *size ? operand : *size;

		feed(h, (struct smtp_slice){(const char *)*data, n});
		(*data) += n;
		(*size) -= n;
	} else if (order == DRAIN) {
		drain(h, 4096);
	} else if (order == DRAIN_SOME) {
		drain(h, operand);
	} else if (order == ANSWER) {
		h->mood = operand;
		if (h->owes)
			answer(h);
	} else if (order == CLOSE && operand > 200) {
		smtp_server_close(h->s, "4.3.2", "closing");
		h->wants_tls = h->owes = false;
	} else if (order == CHUNKY) {
		h->portion = 1 + operand;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_server_conf conf = {.hostname = {"mx.test", 7}, .message_bytes_max = 40, .rcpt_max = 3};
	struct host h = {.portion = 1000, .mood = 1};

	if (size < 2)
		return 0;
	conf.has_starttls = data[0] & 1;
	conf.has_auth = data[0] & 2;
	conf.auth_in_clear = data[0] & 4;
	conf.auth_required = (data[0] & 24) == 24;
	conf.tls_required = (data[0] & 96) == 96;
	conf.allow_bare_lf = data[0] & 128;
	conf.mail_max = data[1] & 15;
	conf.error_max = data[1] & 16 ? 10 : 0;
	conf.junk_max = data[1] & 32 ? 20 : 0;
	conf.text_line_max = data[1] & 64 ? 10 : 0;
	h.conf = &conf;
	h.s = smtp_server_create(&smtp_heap, &conf);
	assert(h.s != NULL);
	if (data[1] & 128)
		smtp_server_offer_hold(h.s, UINT32_MAX, INT64_C(1) << (data[1] & 15));
	drain(&h, 4096);
	data += 2;
	size -= 2;
	while (size > 0) {
		obey(&h, &data, &size);
		/* A client that waits its turn, half of the time. */
		if ((h.mood & 64) == 0)
			drain(&h, 4096);
	}
	smtp_server_close(h.s, "4.3.2", "end");
	h.owes = false;
	feed(&h, SMTP_LIT("x"));
	assert(h.is_closed && !h.in_mail);
	smtp_server_destroy(&h.s);
	return 0;
}
