/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client engine against a hostile server and a careless network. The input is a program: the first bytes
 * choose the conf and the mails, the rest are steps (feed so many of the bytes that follow, hand in a mail,
 * drain some output, quit, lose the connection). Oracles: every recipient one RESULT, every mail one
 * MAIL_DONE and only after its last RESULT, nothing after DOWN, output bounded and the same until drained,
 * every command one line, every message clean.
 */
#include "smtp_client.h"

#include "base/smtp_heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

enum { MAILS = 12, RCPTS = 300, OUTPUT_MAX = 1 << 20 };

struct slot {
	struct smtp_client_mail mail;
	struct smtp_client_rcpt rcpts[RCPTS];
	unsigned char results[RCPTS];
	uint32_t result_count;
	bool is_inside;
};

struct host {
	struct smtp_client *c;
	struct slot slots[MAILS];
	uint32_t given, inside;
	bool is_down, was_ready;
	char last;       /* byte sent */
	uint64_t output; /* bytes sent */
};

static const struct smtp_slice addresses[] = {SMTP_LIT("a@b.test"), SMTP_LIT("\"x y\"@b.test"),
	SMTP_LIT("bad\r\n@b"), SMTP_LIT("\xc3\xa9@b.test"), SMTP_LIT("a>@b")};
static const struct smtp_slice bodies[] = {SMTP_LIT("H: x\r\n\r\n.dot\r\n..\r\n"), SMTP_LIT("H: x\r\n\r\n"),
	SMTP_LIT("no end"), SMTP_LIT("bare\n"), SMTP_LIT(".\r\n.\r\n"), SMTP_LIT("")};

static void
hand_in(struct host *h, uint8_t kind)
{
	struct slot *s = &h->slots[h->given];

	if (h->given == MAILS || !smtp_client_can_take(h->c))
		return;
	REQUIRE(h->was_ready && !h->is_down);
	s->mail.sender = addresses[kind % 5 == 0 ? 0 : kind % 5];
	if (kind & 0x80)
		s->mail.sender = addresses[0];
	s->mail.rcpts = s->rcpts;
	s->mail.rcpt_count = kind % 7 == 6 ? RCPTS : 1 + kind % 7;
	for (uint32_t i = 0; i < s->mail.rcpt_count; i++) {
		s->rcpts[i].address = addresses[i % 5 == 4 || kind % 3 == 0 ? 0 : i % 5];
		s->rcpts[i].orcpt = SMTP_LIT("rfc822;a+b");
		s->rcpts[i].notify = i % 16;
	}
	s->mail.body[0] = bodies[1];
	s->mail.body[2] = bodies[kind % 6];
	s->mail.envid = SMTP_LIT("e=1");
	s->mail.ret = SMTP_RET_FULL;
	s->mail.is_8bit = kind % 11 == 3;
	s->mail.is_utf8 = kind % 13 == 5;
	s->mail.by = (enum smtp_by)(kind % 3);
	s->mail.by_s = s->mail.by == SMTP_BY_NOTIFY && kind % 2 == 0 ? -SMTP_BY_MAX_S : 1 + kind;
	s->mail.by_trace = kind % 4 == 0;
	s->mail.priority = kind % 19 - 9;
	s->is_inside = true;
	h->given++;
	h->inside++;
	smtp_client_mail(h->c, &s->mail);
}

static struct slot *
slot_of(struct host *h, const struct smtp_client_mail *mail)
{
	for (uint32_t i = 0; i < h->given; i++)
		if (&h->slots[i].mail == mail)
			return &h->slots[i];
	abort();
}

static void
pull(struct host *h, struct smtp_slice in)
{
	struct smtp_client_fact f;
	enum smtp_client_event event;
	struct slot *s;

	while ((event = smtp_client_next(h->c, &in, &f)) != SMTP_CLIENT_MORE) {
		REQUIRE(!h->is_down);
		switch (event) {
		case SMTP_CLIENT_RESULT:
			s = slot_of(h, f.mail);
			REQUIRE(s->is_inside && f.rcpt_index < s->mail.rcpt_count);
			REQUIRE(s->results[f.rcpt_index]++ == 0);
			s->result_count++;
			REQUIRE((f.outcome == SMTP_OUTCOME_REPLY || f.outcome == SMTP_OUTCOME_REFUSED) ==
				(f.reply.code != 0));
			REQUIRE(f.outcome != SMTP_OUTCOME_REFUSED || f.reply.code >= 400);
			/* Delivered is said at the final dot and nowhere else. */
			REQUIRE(f.reply.code == 0 || f.reply.code >= 400 || f.phase == SMTP_PHASE_DOT);
			break;
		case SMTP_CLIENT_MAIL_DONE:
			s = slot_of(h, f.mail);
			REQUIRE(s->is_inside && s->result_count == s->mail.rcpt_count);
			s->is_inside = false;
			h->inside--;
			/* The host may free it now. */
			memset(s->rcpts, 0xee, sizeof(s->rcpts));
			memset(&s->mail.body, 0xee, sizeof(s->mail.body));
			break;
		case SMTP_CLIENT_READY:
			h->was_ready = true;
			REQUIRE(smtp_client_can_take(h->c));
			break;
		case SMTP_CLIENT_STARTTLS:
			smtp_client_tls_started(h->c);
			break;
		case SMTP_CLIENT_DOWN:
			REQUIRE(h->inside == 0 && f.text.len > 0);
			h->is_down = true;
			break;
		default:
			abort();
		}
	}
	REQUIRE(in.len == 0);
	REQUIRE((unsigned)smtp_client_phase(h->c) < SMTP_PHASE_COUNT);
}

static size_t
flatten(const struct iovec *iov, int count, char *buf, size_t max)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		REQUIRE(iov[i].iov_len > 0);
		for (size_t k = 0; k < iov[i].iov_len && len < max; k++)
			buf[len++] = ((const char *)iov[i].iov_base)[k];
	}
	return len;
}

static void
drain(struct host *h, size_t portion)
{
	struct iovec iov[4];
	char first[512], again[512];
	int count = smtp_client_output(h->c, iov, 4);
	size_t len = flatten(iov, count, first, sizeof(first)), len_again;

	count = smtp_client_output(h->c, iov, 4);
	len_again = flatten(iov, count, again, sizeof(again));
	REQUIRE(len_again == len && memcmp(first, again, len) == 0);
	REQUIRE(count == 0 || !h->is_down);
	len = len < portion ? len : portion;
	for (size_t i = 0; i < len; i++) {
		REQUIRE(first[i] != '\0');
		REQUIRE((first[i] == '\n') == (h->last == '\r'));
		h->last = first[i];
	}
	h->output += len;
	REQUIRE(h->output < OUTPUT_MAX);
	smtp_client_drained(h->c, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_client_conf conf = {.ehlo_name = SMTP_LIT("me.test"), .password = SMTP_LIT("pw")};
	struct host *h;
	size_t at = 2;

	if (size < 2)
		return 0;
	conf.tls = data[0] % 3;
	conf.may_overlap = (data[0] & 4) == 0;
	conf.may_pipeline = (data[0] & 8) == 0;
	conf.helo_only = (data[0] & 0x30) == 0x30;
	conf.is_tls = (data[0] & 0x40) != 0;
	conf.auth_in_clear = (data[1] & 1) != 0;
	if ((data[1] & 6) == 6)
		conf.user = SMTP_LIT("user");
	h = calloc(1, sizeof(*h));
	h->c = smtp_client_create(&smtp_heap, &conf);
	while (at + 1 < size) {
		uint8_t op = data[at], argument = data[at + 1];
		size_t left = size - at - 2, part = argument < left ? argument : left;
		char *copy;

		at += 2;
		switch (op % 8) {
		case 0:
		case 1:
		case 2:
			copy = malloc(part + 1);
			memcpy(copy, data + at, part);
			at += part;
			pull(h, (struct smtp_slice){copy, part});
			free(copy);
			break;
		case 3:
		case 4:
			if (!h->is_down)
				hand_in(h, argument);
			break;
		case 5:
			drain(h, argument);
			break;
		case 6:
			drain(h, 512);
			drain(h, 512);
			break;
		default:
			if (argument < 8)
				smtp_client_lost(h->c, SMTP_LIT("connection lost"));
			else if (argument < 16)
				smtp_client_quit(h->c);
			else
				pull(h, (struct smtp_slice){"", 0});
			break;
		}
	}
	smtp_client_lost(h->c, SMTP_LIT("end of input"));
	pull(h, (struct smtp_slice){"", 0});
	REQUIRE(h->is_down && h->inside == 0);
	for (uint32_t i = 0; i < h->given; i++)
		REQUIRE(h->slots[i].result_count == h->slots[i].mail.rcpt_count);
	smtp_client_destroy(&h->c);
	free(h);
	return 0;
}
