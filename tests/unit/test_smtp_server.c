/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server engine as a table of conversations. '|' in a script is where the client waits and reads our
 * answers. Every conversation runs whole, byte by byte, and cut at each position: events and replies must be
 * the same.
 */
#include "smtp_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the host saw and what the client read. */
struct trace {
	char events[4096], replies[4096], body[4096], refused[4096];
	size_t events_len, replies_len, body_len, refused_len;
};

static void
add(char *buf, size_t *len, size_t max, struct smtp_slice text)
{
	assert_true(*len + text.len < max);
	if (text.len > 0)
		memcpy(buf + *len, text.ptr, text.len);
	*len += text.len;
	buf[*len] = '\0';
}

static void
note(struct trace *t, struct smtp_slice text)
{
	add(t->events, &t->events_len, sizeof(t->events), text);
}

/* Replies as "250 2.1.0;": words are for people. A line of EHLO's answer stays whole. */
static void
drain(struct smtp_server *s, struct trace *t)
{
	struct smtp_slice out = smtp_server_output(s);

	for (size_t at = 0; at < out.len;) {
		const char *lf = memchr(out.ptr + at, '\n', out.len - at);
		struct smtp_slice line = {out.ptr + at, (size_t)(lf - out.ptr) - at - 1};

		assert_non_null(lf);
		assert_true(lf[-1] == '\r');
		at = (size_t)(lf - out.ptr) + 1;
		if (line.len > 9 && line.ptr[3] == ' ' && line.ptr[5] == '.' && line.ptr[7] == '.') {
			const char *blank = memchr(line.ptr + 4, ' ', line.len - 4);

			line.len = blank != NULL ? (size_t)(blank - line.ptr) : line.len;
		}
		add(t->replies, &t->replies_len, sizeof(t->replies), line);
		add(t->replies, &t->replies_len, sizeof(t->replies), SMTP_LIT(";"));
	}
	smtp_server_drained(s, out.len);
}

static bool
begins(struct smtp_slice text, const char *with)
{
	size_t len = strnlen(with, 64);

	return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

static void
answer_address(struct smtp_server *s, struct smtp_slice address)
{
	if (begins(address, "no@"))
		smtp_server_answer(s, 550, "5.7.1", "not you");
	else if (begins(address, "bye@"))
		smtp_server_answer(s, 421, "4.3.2", "not now");
	else if (begins(address, "dead@"))
		smtp_server_decline_rcpt(s, 550, "5.7.1", "nobody's any more");
	else
		smtp_server_answer(s, 250, "2.1.0", "fine\r\n250 never a second line");
}

static void
note_envelope(struct trace *t, const struct smtp_server_fact *fact, bool is_mail)
{
	char text[1024];
	const struct smtp_server_mail *m = &fact->mail;
	const struct smtp_server_rcpt *r = &fact->rcpt;

	if (is_mail)
		snprintf(text, sizeof(text), "MAIL<%.*s>%s%s%s%s", (int)m->sender.len, m->sender.ptr,
			m->is_8bit ? " 8bit" : "", m->is_utf8 ? " utf8" : "",
			m->ret == SMTP_RET_FULL   ? " full"
			: m->ret == SMTP_RET_HDRS ? " hdrs"
						  : "",
			m->size != 0 ? " size" : "");
	else
		snprintf(text, sizeof(text), "RCPT<%.*s>", (int)r->address.len, r->address.ptr);
	note(t, (struct smtp_slice){text, strnlen(text, sizeof(text))});
	if (m->envid.len > 0) {
		note(t, SMTP_LIT(" envid="));
		note(t, m->envid);
	}
	if (r->orcpt.len > 0) {
		note(t, SMTP_LIT(" orcpt="));
		note(t, r->orcpt);
	}
	note(t, SMTP_LIT(";"));
}

static void
on_end(struct smtp_server *s, struct trace *t, const struct smtp_server_fact *fact)
{
	char text[64];
	struct smtp_slice body = {t->body, t->body_len};

	assert_int_equal(fact->body_bytes, t->body_len);
	snprintf(text, sizeof(text), "END %zu=", t->body_len);
	note(t, (struct smtp_slice){text, strnlen(text, sizeof(text))});
	note(t, body);
	note(t, SMTP_LIT(";"));
	if (begins(body, "REFUSE"))
		smtp_server_answer(s, 554, "5.7.1", "not this");
	else
		smtp_server_answer(s, 250, "2.0.0", "kept");
}

/* Beside the events: what the log is told. "550 DATA message;" */
static void
note_refusal(struct trace *t, const struct smtp_server_refusal *r)
{
	char text[512];
	int len = snprintf(text, sizeof(text), "%d %s %.*s[%.*s]%s%s%s;", r->code, r->esc,
		(int)r->command.len, r->command.ptr, r->said.len < 99 ? (int)r->said.len : 99, r->said.ptr,
		r->is_login ? " login" : "", r->is_message ? " message" : "", r->is_end ? " end" : "");

	assert_true(len > 0 && (size_t)len < sizeof(text));
	assert_non_null(r->text);
	add(t->refused, &t->refused_len, sizeof(t->refused), (struct smtp_slice){text, (size_t)len});
}

static void
on_event(struct smtp_server *s, struct trace *t, enum smtp_server_event event,
	const struct smtp_server_fact *fact)
{
	switch (event) {
	case SMTP_SERVER_HELO:
		note(t, SMTP_LIT("HELO "));
		note(t, fact->text);
		note(t, SMTP_LIT(";"));
		return;
	case SMTP_SERVER_AUTH:
		note(t, SMTP_LIT("AUTH "));
		note(t, fact->user);
		note(t, SMTP_LIT("/"));
		note(t, fact->password);
		note(t, SMTP_LIT(";"));
		if (smtp_slice_is(fact->password, SMTP_LIT("secret")))
			smtp_server_answer(s, 235, "2.7.0", "welcome");
		else
			smtp_server_answer(s, 535, "5.7.8", "no");
		return;
	case SMTP_SERVER_MAIL:
		note_envelope(t, fact, true);
		answer_address(s, fact->mail.sender);
		t->body_len = begins(fact->mail.sender, "nodata@");
		return;
	case SMTP_SERVER_RCPT:
		note_envelope(t, fact, false);
		answer_address(s, fact->rcpt.address);
		return;
	case SMTP_SERVER_DATA:
		note(t, SMTP_LIT("DATA;"));
		if (t->body_len > 0)
			smtp_server_answer(s, 554, "5.7.1", "no");
		else
			smtp_server_answer(s, 354, NULL, "go on");
		t->body_len = 0;
		return;
	case SMTP_SERVER_BODY:
		add(t->body, &t->body_len, sizeof(t->body), fact->text);
		return;
	case SMTP_SERVER_END:
		on_end(s, t, fact);
		return;
	case SMTP_SERVER_ABORT:
		note(t, SMTP_LIT("ABORT;"));
		return;
	case SMTP_SERVER_STARTTLS:
		note(t, SMTP_LIT("TLS;"));
		return;
	case SMTP_SERVER_REFUSED:
		note_refusal(t, &fact->refused);
		return;
	default:
		fail_msg("unexpected event %d", event);
	}
}

/* Until the bytes are gone. True: the session is over. */
static bool
feed(struct smtp_server *s, struct trace *t, struct smtp_slice in)
{
	struct smtp_server_fact fact;

	for (;;) {
		enum smtp_server_event event = smtp_server_next(s, &in, &fact);

		if (event == SMTP_SERVER_MORE)
			return false;
		if (event == SMTP_SERVER_CLOSE)
			return true;
		if (event == SMTP_SERVER_WAIT)
			drain(s, t);
		else
			on_event(s, t, event, &fact);
		if (event == SMTP_SERVER_STARTTLS) {
			drain(s, t);
			smtp_server_tls_started(s);
			return false;
		}
	}
}

static void *
get(void *arg, size_t bytes)
{
	assert_true(bytes <= 8192);
	return malloc(bytes);
}

static void
put(void *arg, void *ptr)
{
	free(ptr);
}

static const struct smtp_alloc heap = {get, put, NULL};

/* cut 0: one byte at a time; else each turn in two parts, the first `cut` bytes long. */
static void
run(const struct smtp_server_conf *conf, struct smtp_slice script, size_t cut, struct trace *t)
{
	struct smtp_server *s = smtp_server_create(&heap, conf);
	bool is_over = false;

	memset(t, 0, sizeof(*t));
	while (script.len > 0 && !is_over) {
		const char *bar = memchr(script.ptr, '|', script.len);
		struct smtp_slice turn = {script.ptr, bar != NULL ? (size_t)(bar - script.ptr) : script.len};
		size_t next = turn.len + (bar != NULL), step = cut > 0 && cut < turn.len ? cut : turn.len;

		for (size_t at = 0; at < turn.len && !is_over; at += step) {
			if (at > 0)
				step = turn.len - at;
			if (cut == 0)
				step = 1;
			is_over = feed(s, t, (struct smtp_slice){turn.ptr + at, step});
		}
		drain(s, t);
		script = (struct smtp_slice){script.ptr + next, script.len - next};
	}
	add(t->replies, &t->replies_len, sizeof(t->replies), is_over ? SMTP_LIT("closed") : SMTP_LIT(""));
	smtp_server_destroy(&s);
	assert_null(s);
}

#define HOST .hostname = {"mx.test", 7}, .message_bytes_max = 64, .rcpt_max = 2, .error_max = 5, .junk_max = 6
static const struct smtp_server_conf plain = {HOST};
static const struct smtp_server_conf lax = {HOST, .allow_bare_lf = true, .text_line_max = 20};
static const struct smtp_server_conf tls = {
	HOST, .has_starttls = true, .has_auth = true, .tls_required = true};
static const struct smtp_server_conf auth = {
	HOST, .has_auth = true, .auth_in_clear = true, .auth_required = true};
static const struct smtp_server_conf shy = {HOST, .has_auth = true};
static const struct smtp_server_conf once = {HOST, .mail_max = 1};
static const struct smtp_server_conf busy = {HOST, .refuse_text = {"421 4.3.2 busy", 14}};

#define HI   "|HELO c.test\r\n|"
#define MAIL "MAIL FROM:<a@b.test>\r\n"
#define RCPT "RCPT TO:<c@d.test>\r\n"

#define E_HI   "HELO c.test;"
#define E_MAIL "MAIL<a@b.test>;"
#define E_RCPT "RCPT<c@d.test>;"
#define R_HI   "220 mx.test ESMTP;250 mx.test;"
#define OK     "250 2.1.0;"
#define DEAD   MAIL "RCPT TO:<dead@d>\r\nDATA\r\n|"
#define E_DEAD E_MAIL "RCPT<dead@d>;ABORT;"
#define R_DEAD OK "550 5.7.1;554 5.5.1;"
#define RSETS                                                                                                \
	MAIL "RCPT TO:<dead@d>\r\nRSET\r\n" MAIL "RCPT TO:<dead@d>\r\nRSET\r\n" MAIL                         \
	     "RCPT TO:<dead@d>\r\nRSET\r\n" MAIL "RCPT TO:<dead@d>\r\nRSET\r\n"
#define E_RSETS E_DEAD E_DEAD E_DEAD E_DEAD
#define R_RSETS                                                                                              \
	OK "550 5.7.1;250 2.0.0;" OK "550 5.7.1;250 2.0.0;" OK "550 5.7.1;250 2.0.0;" OK                     \
	   "550 5.7.1;250 2.0.0;"
#define EXT "250-DELIVERBY;250-MT-PRIORITY MIXER;"

static const struct {
	const char *name;
	const struct smtp_server_conf *conf;
	struct smtp_slice script;
	const char *events, *replies;
} cases[] = {
	{"one message", &plain, SMTP_LIT(HI MAIL RCPT "DATA\r\n|hi\r\n..\r\n.\r\nQUIT\r\n"),
		E_HI E_MAIL E_RCPT "DATA;END 7=hi\r\n.\r\n;",
		R_HI OK OK "354 go on;250 2.0.0;221 2.0.0;closed"},
	{"EHLO's answer, everything on", &tls, SMTP_LIT("|EHLO c.test\r\n|"), E_HI,
		"220 mx.test ESMTP;250-mx.test;250-PIPELINING;250-SIZE "
		"64;250-STARTTLS;250-ENHANCEDSTATUSCODES;"
		"250-8BITMIME;250-SMTPUTF8;250-DSN;" EXT "250-LIMITS RCPTMAX=2;250 CHUNKING;"},
	{"EHLO's answer, LIMITS", &once, SMTP_LIT("|EHLO c.test\r\n|"), E_HI,
		"220 mx.test ESMTP;250-mx.test;250-PIPELINING;250-SIZE 64;250-ENHANCEDSTATUSCODES;"
		"250-8BITMIME;250-SMTPUTF8;250-DSN;" EXT "250-LIMITS RCPTMAX=2 MAILMAX=1;250 CHUNKING;"},
	{"EHLO's answer, AUTH in clear", &auth, SMTP_LIT("|EHLO [192.0.2.1]\r\n|"), "HELO [192.0.2.1];",
		"220 mx.test ESMTP;250-mx.test;250-PIPELINING;250-SIZE 64;250-AUTH PLAIN LOGIN;"
		"250-ENHANCEDSTATUSCODES;250-8BITMIME;250-SMTPUTF8;250-DSN;" EXT "250-LIMITS RCPTMAX=2;250 "
		"CHUNKING;"},
	{"bad names in EHLO", &plain, SMTP_LIT("|EHLO a(b\r\n|EHLO\r\n|EHLO a b\r\n|EHLO \xc3\xa4\r\n|"), "",
		"220 mx.test ESMTP;501 5.5.4;501 5.5.4;501 5.5.4;501 5.5.4;"},
	{"out of order", &plain, SMTP_LIT("|" MAIL "|HELO c\r\n|" RCPT "BDAT 2\r\nxxDATA\r\n|"), "HELO c;",
		"220 mx.test ESMTP;503 5.5.1;250 mx.test;503 5.5.1;503 5.5.1;503 5.5.1;"},
	{"second MAIL; EHLO and RSET begin anew", &plain,
		SMTP_LIT(HI MAIL MAIL RCPT "RSET\r\n" MAIL "HELO c.test\r\n|" MAIL),
		E_HI E_MAIL E_RCPT "ABORT;" E_MAIL "ABORT;" E_HI E_MAIL,
		R_HI OK "503 5.5.1;" OK "250 2.0.0;" OK "250 mx.test;" OK},
	{"no recipient left", &plain, SMTP_LIT(HI MAIL "DATA\r\n|RCPT TO:<no@d>\r\nDATA\r\n|" MAIL),
		E_HI E_MAIL "RCPT<no@d>;ABORT;" E_MAIL, R_HI OK "503 5.5.1;550 5.7.1;554 5.5.1;" OK},
	{"some recipients", &plain,
		SMTP_LIT(HI MAIL "RCPT TO:<no@d>\r\n" RCPT "RCPT TO:<no@e>\r\nDATA\r\n|.\r\n"),
		E_HI E_MAIL "RCPT<no@d>;" E_RCPT "RCPT<no@e>;DATA;END 0=;",
		R_HI OK "550 5.7.1;" OK "550 5.7.1;354 go on;250 2.0.0;"},
	{"declined recipients are no errors, nor is DATA or RSET then", &plain,
		SMTP_LIT(HI DEAD DEAD DEAD DEAD DEAD DEAD MAIL
			"RCPT TO:<dead@d>\r\nBDAT 1 LAST\r\nx" RSETS RSETS),
		E_HI E_DEAD E_DEAD E_DEAD E_DEAD E_DEAD E_DEAD E_DEAD E_RSETS E_RSETS,
		R_HI R_DEAD R_DEAD R_DEAD R_DEAD R_DEAD R_DEAD R_DEAD R_RSETS R_RSETS},
	{"but where another one is refused they are", &plain,
		SMTP_LIT(HI MAIL "RCPT TO:<dead@d>\r\nRCPT TO:<no@d>\r\nDATA\r\n|" MAIL
				 "RCPT TO:<no@d>\r\nRCPT TO:<dead@d>\r\nDATA\r\n|" MAIL "RCPT TO:<no@d>\r\n"),
		E_HI E_MAIL "RCPT<dead@d>;RCPT<no@d>;ABORT;" E_MAIL "RCPT<no@d>;RCPT<dead@d>;ABORT;" E_MAIL
			    "RCPT<no@d>;ABORT;",
		R_HI OK "550 5.7.1;550 5.7.1;554 5.5.1;" OK "550 5.7.1;550 5.7.1;554 5.5.1;" OK
			"550 5.7.1;421 4.7.0;closed"},
	{"refused sender", &plain, SMTP_LIT(HI "MAIL FROM:<no@b>\r\n" RCPT MAIL), E_HI "MAIL<no@b>;" E_MAIL,
		R_HI "550 5.7.1;503 5.5.1;" OK},
	{"refused DATA", &plain,
		SMTP_LIT(HI "MAIL FROM:<nodata@b>\r\n" RCPT "DATA\r\n|" MAIL RCPT "DATA\r\n|.\r\n"),
		E_HI "MAIL<nodata@b>;" E_RCPT "DATA;ABORT;" E_MAIL E_RCPT "DATA;END 0=;",
		R_HI OK OK "554 5.7.1;" OK OK "354 go on;250 2.0.0;"},
	{"refused message", &plain, SMTP_LIT(HI MAIL RCPT "DATA\r\n|REFUSE\r\n.\r\n" MAIL),
		E_HI E_MAIL E_RCPT "DATA;END 8=REFUSE\r\n;" E_MAIL, R_HI OK OK "354 go on;554 5.7.1;" OK},
	{"421 from the host", &plain, SMTP_LIT(HI MAIL "RCPT TO:<bye@d>\r\nNOOP\r\n"),
		E_HI E_MAIL "RCPT<bye@d>;ABORT;", R_HI OK "421 4.3.2;closed"},
	{"next envelope with the final dot", &plain,
		SMTP_LIT(HI MAIL RCPT "DATA\r\n|x\r\n.\r\n" MAIL RCPT "DATA\r\n|y\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;END 3=x\r\n;" E_MAIL E_RCPT "DATA;END 3=y\r\n;",
		R_HI OK OK "354 go on;250 2.0.0;" OK OK "354 go on;250 2.0.0;"},
	{"too many recipients", &plain,
		SMTP_LIT(HI MAIL RCPT RCPT RCPT RCPT RCPT RCPT RCPT RCPT "DATA\r\n|.\r\n"),
		E_HI E_MAIL E_RCPT E_RCPT "DATA;END 0=;",
		R_HI OK OK OK
		"452 4.5.3;452 4.5.3;452 4.5.3;452 4.5.3;452 4.5.3;452 4.5.3;354 go on;250 2.0.0;"},
	{"one message for one connection", &once, SMTP_LIT(HI MAIL RCPT "DATA\r\n|.\r\n" MAIL),
		E_HI E_MAIL E_RCPT "DATA;END 0=;", R_HI OK OK "354 go on;250 2.0.0;421 4.7.0;closed"},
	{"refused connection", &busy, SMTP_LIT("|" MAIL), "", "421 4.3.2;closed"},

	/* Data (A1-A5, A47, A48, B2) */
	{"false ends", &plain,
		SMTP_LIT(HI MAIL RCPT "DATA\r\n|\n.\n\n.\r\n\r.\r\r\n.\r\r\n.\n\r\n.\r\n" MAIL),
		E_HI E_MAIL E_RCPT "DATA;ABORT;" E_MAIL, R_HI OK OK "354 go on;550 5.5.2;" OK},
	{"false end LF", &plain, SMTP_LIT(HI MAIL RCPT "DATA\r\n|a\n.\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "354 go on;550 5.5.2;"},
	{"false end CR", &plain, SMTP_LIT(HI MAIL RCPT "DATA\r\n|a\r\n.\r.\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "354 go on;550 5.5.2;"},
	{"NUL", &plain, SMTP_LIT(HI MAIL RCPT "DATA\r\n|a\r\n\0.\r\n.\r\n"), E_HI E_MAIL E_RCPT "DATA;ABORT;",
		R_HI OK OK "354 go on;550 5.6.0;"},
	{"bare LF made CRLF", &lax, SMTP_LIT(HI MAIL RCPT "DATA\r\n|a\n\n.\n.\r\nb\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;END 12=a\r\n\r\n\r\n\r\nb\r\n;", R_HI OK OK "354 go on;250 2.0.0;"},
	{"bare CR never", &lax, SMTP_LIT(HI MAIL RCPT "DATA\r\n|a\rb\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "354 go on;550 5.5.2;"},
	{"longest line", &lax, SMTP_LIT(HI MAIL RCPT "DATA\r\n|..2345678901234567890\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;END 22=.2345678901234567890\r\n;",
		R_HI OK OK "354 go on;250 2.0.0;"},
	{"too long a line", &lax, SMTP_LIT(HI MAIL RCPT "DATA\r\n|123456789012345678901\r\n.\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "354 go on;550 5.6.0;"},
	{"largest message", &plain,
		SMTP_LIT(HI MAIL RCPT
			"DATA\r\n|12345678901234567890123456789012345678901234567890123456789012\r\n.\r\n"),
		E_HI E_MAIL E_RCPT
		"DATA;END 64=12345678901234567890123456789012345678901234567890123456789012\r\n;",
		R_HI OK OK "354 go on;250 2.0.0;"},
	{"too large a message", &plain,
		SMTP_LIT(HI MAIL RCPT
			"DATA\r\n|123456789012345678901234567890123456789012345678901234567890123\r\n."
			"\r\nNOOP\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "354 go on;552 5.3.4;250 2.0.0;"},
	{"much too large a message", &plain,
		SMTP_LIT(HI MAIL RCPT
			"DATA\r\n|1234567890123456789012345678901234567890123456789012345678901234567890"
			"123456789012345678901234567890123456789012345678901234567890\r\n.\r\nNOOP\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "354 go on;552 5.3.4;closed"},

	/* BDAT (A49) */
	{"chunks", &plain,
		SMTP_LIT(HI MAIL RCPT "BDAT 3\r\na\r\nBDAT 4\r\n.\r\nbBDAT 0\r\nBDAT 0 LAST\r\n" MAIL),
		E_HI E_MAIL E_RCPT "DATA;END 9=a\r\n.\r\nb\r\n;" E_MAIL,
		R_HI OK OK "250 2.0.0;250 2.0.0;250 2.0.0;250 2.0.0;" OK},
	{"one chunk", &plain, SMTP_LIT(HI MAIL RCPT "BDAT 7 LAST\r\n.\r\n.\r\nxQUIT\r\n"),
		E_HI E_MAIL E_RCPT "DATA;END 9=.\r\n.\r\nx\r\n;", R_HI OK OK "250 2.0.0;221 2.0.0;closed"},
	{"chunk that ends in CR", &plain, SMTP_LIT(HI MAIL RCPT "BDAT 2 LAST\r\na\rNOOP\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "550 5.5.2;250 2.0.0;"},
	{"chunk with bare LF", &plain, SMTP_LIT(HI MAIL RCPT "BDAT 6\r\na\nRSETBDAT 1 LAST\r\nxNOOP\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "550 5.5.2;503 5.5.1;250 2.0.0;"},
	{"CRLF cut by chunks", &plain, SMTP_LIT(HI MAIL RCPT "BDAT 2\r\na\rBDAT 1 LAST\r\n\n"),
		E_HI E_MAIL E_RCPT "DATA;END 3=a\r\n;", R_HI OK OK "250 2.0.0;250 2.0.0;"},
	{"no DATA, MAIL, RCPT between chunks; RSET", &plain,
		SMTP_LIT(HI MAIL RCPT "BDAT 0\r\n" MAIL RCPT "DATA\r\n|RSET\r\n" MAIL),
		E_HI E_MAIL E_RCPT "DATA;ABORT;" E_MAIL,
		R_HI OK OK "250 2.0.0;503 5.5.1;503 5.5.1;503 5.5.1;250 2.0.0;" OK},
	{"chunk refused by the host", &plain,
		SMTP_LIT(HI "MAIL FROM:<nodata@b>\r\n" RCPT "BDAT 6\r\nRSET\r\nBDAT 2 LAST\r\nxx" MAIL),
		E_HI "MAIL<nodata@b>;" E_RCPT "DATA;ABORT;" E_MAIL, R_HI OK OK "554 5.7.1;503 5.5.1;" OK},
	{"chunks that are too large together", &plain,
		SMTP_LIT(HI MAIL RCPT
			"BDAT 4\r\nab\r\nBDAT 61\r\n123456789012345678901234567890123456789012345678901"
			"2345678901NOOP\r\n"),
		E_HI E_MAIL E_RCPT "DATA;ABORT;", R_HI OK OK "250 2.0.0;552 5.3.4;250 2.0.0;"},
	{"huge chunk", &plain, SMTP_LIT(HI MAIL RCPT "BDAT 9223372036854775808 LAST\r\nMAIL"),
		E_HI E_MAIL E_RCPT "ABORT;", R_HI OK OK "552 5.3.4;closed"},
	{"chunk beyond 64 bits", &plain, SMTP_LIT(HI MAIL RCPT "BDAT 18446744073709551616\r\nx"),
		E_HI E_MAIL E_RCPT "ABORT;", R_HI OK OK "501 5.5.4;closed"},
	{"negative chunk", &plain, SMTP_LIT(HI MAIL RCPT "BDAT -1\r\nx"), E_HI E_MAIL E_RCPT "ABORT;",
		R_HI OK OK "501 5.5.4;closed"},
	{"hex chunk", &plain, SMTP_LIT(HI "BDAT 0x10\r\n"), E_HI, R_HI "501 5.5.4;closed"},
	{"chunk of no size", &plain, SMTP_LIT(HI "BDAT\r\n"), E_HI, R_HI "501 5.5.4;closed"},
	{"chunk before EHLO", &plain, SMTP_LIT("|BDAT 6\r\nRSET\r\n"), "",
		"220 mx.test ESMTP;503 5.5.1;closed"},

	/* Turns (A11, A12, A14) */
	{"talks before the greeting", &plain, SMTP_LIT("HELO c\r\n"), "",
		"220 mx.test ESMTP;554 5.5.0;closed"},
	{"command behind EHLO", &plain, SMTP_LIT("|EHLO c\r\n" MAIL "|"), NULL, NULL},
	{"body behind DATA", &plain, SMTP_LIT(HI MAIL RCPT "DATA\r\n.\r\n"), NULL, NULL},
	{"command behind STARTTLS", &tls, SMTP_LIT(HI "STARTTLS\r\nHELO evil\r\n"), NULL, NULL},
	{"command behind AUTH", &auth, SMTP_LIT(HI "AUTH PLAIN AHUAc2VjcmV0\r\n" MAIL), NULL, NULL},
	{"password before its prompt", &auth, SMTP_LIT(HI "AUTH LOGIN\r\n|dQ==\r\nc2VjcmV0\r\n"), NULL, NULL},

	/* TLS (A15-A17) */
	{"STARTTLS forgets", &tls, SMTP_LIT(HI "STARTTLS\r\n|" MAIL "EHLO c.test\r\n|STARTTLS\r\n|" MAIL),
		E_HI "TLS;" E_HI E_MAIL,
		R_HI "220 2.0.0;503 5.5.1;250-mx.test;250-PIPELINING;250-SIZE 64;250-AUTH PLAIN LOGIN;"
		     "250-ENHANCEDSTATUSCODES;250-8BITMIME;250-SMTPUTF8;250-DSN;" EXT
		     "250-LIMITS RCPTMAX=2;250 CHUNKING;"
		     "503 5.5.1;" OK},
	{"mail and passwords need TLS", &tls,
		SMTP_LIT(HI MAIL "AUTH PLAIN AHUAc2VjcmV0\r\n|STARTTLS now\r\n|"), E_HI,
		R_HI "530 5.7.0;530 5.7.0;501 5.5.4;"},
	{"passwords need TLS", &shy, SMTP_LIT(HI "AUTH PLAIN AHUAc2VjcmV0\r\n|"), E_HI, R_HI "538 5.7.11;"},
	{"TLS not offered", &plain, SMTP_LIT("|STARTTLS\r\n|HELO c\r\n|STARTTLS\r\n|" MAIL "STARTTLS\r\n|"),
		"HELO c;" E_MAIL, "220 mx.test ESMTP;503 5.5.1;250 mx.test;502 5.5.1;" OK "503 5.5.1;"},

	/* AUTH (A18) */
	{"AUTH PLAIN", &auth,
		SMTP_LIT(HI MAIL "AUTH PLAIN AHUAc2VjcmV0\r\n|" MAIL "AUTH PLAIN\r\n|RSET\r\nAUTH PLAIN\r\n"),
		E_HI "AUTH u/secret;" E_MAIL "ABORT;",
		R_HI "530 5.7.0;235 2.7.0;" OK "503 5.5.1;250 2.0.0;503 5.5.1;"},
	{"AUTH PLAIN in two steps", &auth, SMTP_LIT(HI "auth plain\r\n|dQB1AHNlY3JldA==\r\n|"),
		E_HI "AUTH u/secret;", R_HI "334 ;235 2.7.0;"},
	{"AUTH LOGIN", &auth, SMTP_LIT(HI "AUTH LOGIN\r\n|dQ==\r\n|c2VjcmV0\r\n|"), E_HI "AUTH u/secret;",
		R_HI "334 VXNlcm5hbWU6;334 UGFzc3dvcmQ6;235 2.7.0;"},
	{"AUTH LOGIN with the user at once", &auth, SMTP_LIT(HI "AUTH LOGIN dQ==\r\n|eA==\r\n|NOOP\r\n"),
		E_HI "AUTH u/x;", R_HI "334 UGFzc3dvcmQ6;535 5.7.8;250 2.0.0;"},
	{"AUTH cancelled", &auth,
		SMTP_LIT(HI "AUTH LOGIN\r\n|*\r\n|AUTH LOGIN dQ==\r\n|*\r\n|AUTH PLAIN\r\n|*\r\n|"), E_HI,
		R_HI "334 VXNlcm5hbWU6;501 5.7.0;334 UGFzc3dvcmQ6;501 5.7.0;334 ;501 5.7.0;"},
	{"AUTH with nonsense", &auth,
		SMTP_LIT(HI "AUTH PLAIN x\r\n|AUTH PLAIN dQ==\r\n|AUTH PLAIN AAA=\r\n|AUTH PLAIN =\r\n|AUTH "
			    "CRAM-MD5\r\n|"),
		E_HI, R_HI "501 5.5.2;501 5.5.2;535 5.7.8;535 5.7.8;504 5.5.4;421 4.7.0;closed"},
	{"AUTH in another's name", &auth, SMTP_LIT(HI "AUTH PLAIN eAB1AHNlY3JldA==\r\n|"), E_HI,
		R_HI "535 5.7.8;"},
	{"AUTH LOGIN with nonsense", &auth,
		SMTP_LIT(HI "AUTH LOGIN\r\n|x\r\n|AUTH LOGIN\r\n|dQ==\r\n|x\r\n|AUTH "
			    "LOGIN\r\n|\r\n|c2VjcmV0\r\n|"),
		E_HI,
		R_HI "334 VXNlcm5hbWU6;501 5.5.2;334 VXNlcm5hbWU6;334 UGFzc3dvcmQ6;501 5.5.2;"
		     "334 VXNlcm5hbWU6;334 UGFzc3dvcmQ6;535 5.7.8;"},
	{"a bad line ends AUTH", &auth, SMTP_LIT(HI "AUTH PLAIN\r\n|AHUAc2VjcmV0\n|NOOP\r\n"), E_HI,
		R_HI "334 ;500 5.5.2;250 2.0.0;"},
	{"AUTH not offered", &plain, SMTP_LIT(HI "AUTH PLAIN AHUAc2VjcmV0\r\n|"), E_HI, R_HI "502 5.5.1;"},

	/* Lines (A4, A6, A7) and other protocols (A27, A51) */
	{"bytes that are no command", &plain, SMTP_LIT(HI "NO\0P\r\n\r\nNO\rOP\r\nNOOP\n\xff\r\n"), E_HI,
		R_HI "500 5.5.2;500 5.5.2;500 5.5.2;500 5.5.2;501 5.5.2;421 4.7.0;closed"},
	{"lenient blanks", &plain,
		SMTP_LIT(HI "mail\tfrom: <a@b.test> \t\r\nrCpT To:\t<c@d.test>\r\nquit  \r\n"),
		E_HI E_MAIL E_RCPT "ABORT;", R_HI OK OK "221 2.0.0;closed"},
	{"HTTP", &plain, SMTP_LIT("|POST / HTTP/1.1\r\nHELO x\r\n"), "",
		"220 mx.test ESMTP;554 5.5.0;closed"},
	{"SSH", &plain, SMTP_LIT("|SSH-2.0-OpenSSH_9.2\r\n"), "", "220 mx.test ESMTP;554 5.5.0;closed"},
	{"PROXY", &plain, SMTP_LIT("|PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), "",
		"220 mx.test ESMTP;554 5.5.0;closed"},
	{"TLS hello", &plain, SMTP_LIT("|\x16\x03\x01\x02"), "", "220 mx.test ESMTP;554 5.5.0;closed"},

	/* Odds and ends (A28-A30) */
	{"harmless commands", &plain,
		SMTP_LIT(HI MAIL "VRFY x\r\nEXPN y\r\nHELP\r\nNOOP z\r\nETRN q\r\n" RCPT), E_HI E_MAIL E_RCPT,
		R_HI OK "252 2.5.0;502 5.5.1;214 2.0.0;250 2.0.0;500 5.5.1;" OK},
	{"junk", &plain, SMTP_LIT(HI "NOOP\r\nRSET\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"), E_HI,
		R_HI "250 2.0.0;250 2.0.0;250 2.0.0;250 2.0.0;250 2.0.0;421 4.7.0;closed"},
	{"arguments where none belong", &plain, SMTP_LIT(HI MAIL RCPT "DATA x\r\n|RSET y\r\nQUIT z\r\n"),
		E_HI E_MAIL E_RCPT, R_HI OK OK "501 5.5.4;501 5.5.4;501 5.5.4;"},

	/* Envelope (A31-A38) */
	{"parameters", &plain,
		SMTP_LIT(HI
			"MAIL FROM:<a@b.test> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>\r\n"
			"RCPT TO:<c@d.test> NOTIFY=NEVER ORCPT=rfc822;x+40y\r\n"),
		E_HI "MAIL<a@b.test> 8bit utf8 hdrs size envid=a+b;RCPT<c@d.test> orcpt=rfc822;x@y;",
		R_HI OK OK},
	{"bad parameters", &plain,
		SMTP_LIT(HI "MAIL FROM:<a@b> SIZE=65\r\nMAIL FROM:<a@b> X=Y\r\nMAIL FROM:<a@b> ENVID=+0A\r\n"
			    "MAIL FROM:<a@b> SIZE=1 SIZE=1\r\n"),
		E_HI, R_HI "552 5.3.4;555 5.5.4;501 5.5.4;501 5.5.4;"},
	{"bad paths", &plain,
		SMTP_LIT(HI
			"MAIL FROM:a@b\r\nMAIL FROM:<a@>\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<a>\r\n"),
		E_HI "MAIL<>;", R_HI "501 5.1.7;501 5.1.7;" OK "501 5.1.3;501 5.1.3;"},
	{"bad recipients", &plain,
		SMTP_LIT(HI MAIL
			"RCPT TO:a@b\r\nRCPT TO:<a@b> NOTIFY=X\r\nRCPT TO:<a@b> SIZE=1\r\nBDAT 2\r\nxx" MAIL),
		E_HI E_MAIL "ABORT;" E_MAIL, R_HI OK "501 5.1.3;501 5.5.4;555 5.5.4;554 5.5.1;" OK},
	{"UTF-8 without SMTPUTF8", &plain,
		SMTP_LIT(HI "MAIL FROM:<\xc3\xa4@b>\r\n" MAIL "RCPT TO:<\xc3\xa4@b>\r\nRSET\r\n"
			    "MAIL FROM:<\xc3\xa4@b> SMTPUTF8\r\nRCPT TO:<\xc3\xa4@b>\r\n"),
		E_HI E_MAIL "ABORT;MAIL<\xc3\xa4@b> utf8;RCPT<\xc3\xa4@b>;",
		R_HI "553 5.6.7;" OK "553 5.6.7;250 2.0.0;" OK OK},
	{"the postmaster needs no domain", &plain, SMTP_LIT(HI MAIL "RCPT TO:<PostMaster>\r\n"),
		E_HI E_MAIL "RCPT<PostMaster@mx.test>;", R_HI OK OK},
};

static void
check_case(size_t i, size_t cut)
{
	const char *replies = cases[i].replies;
	struct trace t;

	/* Bytes that come after the hand-over are TLS's, so "behind STARTTLS" means in the same read. */
	if (cases[i].conf == &tls && replies == NULL && cut < cases[i].script.len)
		return;
	run(cases[i].conf, cases[i].script, cut, &t);
	/* No replies given: the peer spoke out of turn, which ends every such session the same way. */
	if (replies == NULL && strstr(t.replies, "554 5.5.0;closed") == NULL)
		fail_msg("%s, cut %zu: replies %s", cases[i].name, cut, t.replies);
	if (replies != NULL && strcmp(replies, t.replies) != 0)
		fail_msg("%s, cut %zu: replies\n%s\nwant\n%s", cases[i].name, cut, t.replies, replies);
	if (replies != NULL && strcmp(cases[i].events, t.events) != 0)
		fail_msg("%s, cut %zu: events\n%s\nwant\n%s", cases[i].name, cut, t.events, cases[i].events);
}

static void
test_conversations(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t cut = 0; cut <= cases[i].script.len; cut++)
			check_case(i, cut);
}

#define DATA_OF(body) HI MAIL RCPT "DATA\r\n|" body "\r\n.\r\n"
#define A_OF_LOGIN    "|EHLO c\r\n|AUTH LOGIN\r\n|"

/* What the host can log of refusals it had no part in, and that no password is in it (A14, A52). */
static const struct {
	const struct smtp_server_conf *conf;
	struct smtp_slice script;
	const char *refused;
} refusals[] = {
	{&plain, SMTP_LIT(DATA_OF("hi")), ""},
	{&plain, SMTP_LIT("|QUIT\r\n"), ""},
	{&plain, SMTP_LIT(HI "MAIL FROM:<no@b>\r\n"), ""}, /* the host's own */
	{&plain, SMTP_LIT("|EHLO a\001b\r\n|EHLO a b\r\n|"),
		"500 5.5.2 EHLO[EHLO a\001b];501 5.5.4 EHLO[EHLO a b];"},
	{&plain, SMTP_LIT("|EHLO \xff\r\n|N\0OP\r\n|c2VjcmV0\r\n|"),
		"501 5.5.2 EHLO[EHLO \xff];500 5.5.2 [];500 5.5.1 [];"},
	{&plain, SMTP_LIT("|PROXY TCP4 1 2 3 4\r\n"), "554 5.5.0 [PROXY TCP4 1 2 3 4] end;"},
	{&plain, SMTP_LIT("|\x16\x03\x01"), "554 5.5.0 [] end;"},
	{&plain, SMTP_LIT(HI MAIL "RCPT TO:<@>\r\n"), "501 5.1.3 RCPT[RCPT TO:<@>];"},
	{&plain, SMTP_LIT(HI "MAIL FROM:<a@b> SIZE=99\r\n"), "552 5.3.4 MAIL[MAIL FROM:<a@b> SIZE=99];"},
	{&plain, SMTP_LIT(DATA_OF("a\nb")), "550 5.5.2 DATA[] message;"},
	{&plain, SMTP_LIT(DATA_OF("a\rb")), "550 5.5.2 DATA[] message;"},
	{&plain, SMTP_LIT(DATA_OF("a\0b")), "550 5.6.0 DATA[] message;"},
	{&plain, SMTP_LIT(DATA_OF("0123456789012345678901234567890123456789012345678901234567890123")),
		"552 5.3.4 DATA[] message;"},
	{&plain, SMTP_LIT(HI MAIL RCPT "BDAT 3 LAST\r\na\nb"), "550 5.5.2 DATA[] message;"},
	{&plain, SMTP_LIT(HI MAIL RCPT "BDAT x\r\n"), "501 5.5.4 BDAT[BDAT x] end;"},
	/* Of those too many only the first. */
	{&plain, SMTP_LIT(HI MAIL RCPT RCPT RCPT RCPT "RSET\r\n" MAIL RCPT RCPT RCPT),
		"452 4.5.3 RCPT[RCPT TO:<c@d.test>];452 4.5.3 RCPT[RCPT TO:<c@d.test>];"},
	/* The end stands for the error that was one too many. */
	{&plain, SMTP_LIT("|A\r\nB\r\nC\r\nD\r\nEHLO\r\n"),
		"500 5.5.1 [];500 5.5.1 [];500 5.5.1 [];500 5.5.1 [];421 4.7.0 EHLO[EHLO] end;"},
	{&plain, SMTP_LIT("|NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"),
		"421 4.7.0 NOOP[NOOP] end;"},
	{&once, SMTP_LIT(DATA_OF("") MAIL), "421 4.7.0 MAIL[MAIL FROM:<a@b.test>] end;"},
	{&auth, SMTP_LIT("|EHLO c\r\n|AUTH PLAIN !secret\r\n|AUTH PLAIN AHMAcw==\r\n|AUTH PLAIN =\r\n|"),
		"501 5.5.2 AUTH[] login;535 5.7.8 AUTH[] login;"},
	{&auth, SMTP_LIT(A_OF_LOGIN "!secret\r\n|AUTH PLAIN\r\n|*\r\n|"),
		"501 5.5.2 AUTH[] login;501 5.7.0 AUTH[] login;"},
	{&auth, SMTP_LIT(A_OF_LOGIN "c2hvcA==\r\n|\r\n|"), "535 5.7.8 AUTH[] login;"},
	{&auth, SMTP_LIT(A_OF_LOGIN "c2hvcA==\r\n|c2VjcmV0\n|"), "500 5.5.2 AUTH[] login;"},
	/* Not a try: what was asked for is not offered. */
	{&auth, SMTP_LIT("|EHLO c\r\n|AUTH CRAM-MD5 c2VjcmV0\r\n|"), "504 5.5.4 AUTH[];"},
	{&shy, SMTP_LIT("|EHLO c\r\n|AUTH PLAIN c2VjcmV0\r\n|"), "538 5.7.11 AUTH[];"},
};

static void
test_refusals(void **state)
{
	struct trace t;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		for (size_t cut = 0; cut <= refusals[i].script.len; cut++) {
			run(refusals[i].conf, refusals[i].script, cut, &t);
			if (strcmp(refusals[i].refused, t.refused) != 0)
				fail_msg("%zu, cut %zu: %s\nwant %s", i, cut, t.refused, refusals[i].refused);
		}
}

/* Pipelined without end (A13): answered in order through a bounded buffer, the host drains on WAIT. */
static void
test_thousand_commands(void **state)
{
	static const struct smtp_server_conf roomy = {.hostname = {"mx.test", 7}, .message_bytes_max = 64};
	static char script[16384];
	struct smtp_server *s = smtp_server_create(&heap, &roomy);
	struct smtp_server_fact fact;
	struct smtp_slice in = {script, 0};
	size_t drained = 0, waits = 0;
	enum smtp_server_event event;

	for (int i = 0; i < 1000; i++)
		in.len += (size_t)snprintf(script + in.len, sizeof(script) - in.len, "NOOP %d\r\n", i);
	smtp_server_drained(s, smtp_server_output(s).len);
	while ((event = smtp_server_next(s, &in, &fact)) != SMTP_SERVER_MORE) {
		assert_int_equal(event, SMTP_SERVER_WAIT);
		/* No drain, no progress. */
		assert_int_equal(smtp_server_next(s, &in, &fact), SMTP_SERVER_WAIT);
		drained += smtp_server_output(s).len;
		smtp_server_drained(s, smtp_server_output(s).len);
		waits++;
	}
	drained += smtp_server_output(s).len;
	assert_int_equal(drained, 1000 * 14);
	assert_true(waits > 0 && waits < 20);
	smtp_server_destroy(&s);
}

/* Long lines (A7): to the limit fine, above it 500 and the session goes on. */
static void
test_long_lines(void **state)
{
	static const struct {
		size_t len;
		const char *replies;
	} lines[] = {
		{SMTP_COMMAND_MAX, "220 mx.test ESMTP;250 2.0.0;250 2.0.0;"},
		{SMTP_COMMAND_MAX + 1, "220 mx.test ESMTP;500 5.5.2;250 2.0.0;"},
		{16 * SMTP_COMMAND_MAX, "220 mx.test ESMTP;500 5.5.2;250 2.0.0;"},
	};
	static char script[1 + 16 * SMTP_COMMAND_MAX + 6];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct smtp_slice all = {script, 1 + lines[i].len + 6};
		struct trace t;

		memset(script, 'x', all.len);
		memcpy(script, "|NOOP ", 6);
		memcpy(script + all.len - 8, "\r\nNOOP\r\n", 8);
		for (size_t cut = 0; cut <= all.len; cut += 1 + all.len / 50) {
			run(&plain, all, cut, &t);
			assert_string_equal(t.replies, lines[i].replies);
		}
	}
}

/* A line that never ends (A8): memory stays as it is, and at some point we have seen enough. */
static void
test_endless_line(void **state)
{
	static char script[1 + 1048576];
	struct trace t;

	memset(script, 'x', sizeof(script));
	script[0] = '|';
	run(&plain, (struct smtp_slice){script, sizeof(script)}, 0, &t);
	assert_string_equal(t.replies, "220 mx.test ESMTP;500 5.5.2;closed");
}

static enum smtp_server_event
feed_one(struct smtp_server *s, struct smtp_slice in)
{
	struct smtp_server_fact fact;

	smtp_server_drained(s, smtp_server_output(s).len);
	return smtp_server_next(s, &in, &fact);
}

/* The spool may take its time: nothing is eaten meanwhile, and an answer after the end of the session is
 * ignored. */
static void
test_late_answer(void **state)
{
	struct smtp_server *s = smtp_server_create(&heap, &plain);
	struct smtp_slice in = SMTP_LIT("QUIT\r\n");
	struct smtp_server_fact fact;

	assert_true(smtp_server_is_idle(s));
	assert_int_equal(feed_one(s, SMTP_LIT("EHLO c\r\n")), SMTP_SERVER_HELO);
	assert_true(smtp_server_is_esmtp(s) && !smtp_server_is_tls(s));
	assert_true(smtp_slice_is(smtp_server_helo(s), SMTP_LIT("c")));
	assert_int_equal(feed_one(s, SMTP_LIT(MAIL)), SMTP_SERVER_MAIL);
	assert_string_equal(smtp_server_state_name(s), "ask-mail");
	smtp_server_answer(s, 250, "2.1.0", "ok");
	assert_int_equal(feed_one(s, SMTP_LIT(RCPT)), SMTP_SERVER_RCPT);
	smtp_server_answer(s, 250, "2.1.5", "ok");
	assert_int_equal(feed_one(s, SMTP_LIT("DATA\r\n")), SMTP_SERVER_DATA);
	smtp_server_answer(s, 354, NULL, "go on");
	assert_true(smtp_server_in_data(s) && !smtp_server_is_idle(s));
	assert_int_equal(feed_one(s, SMTP_LIT(".\r\n")), SMTP_SERVER_END);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(smtp_server_next(s, &in, &fact), SMTP_SERVER_WAIT);
		assert_int_equal(in.len, 6);
		assert_false(smtp_server_is_idle(s));
	}
	smtp_server_answer(s, 250, "2.0.0", "kept");
	assert_true(smtp_server_is_idle(s));
	smtp_server_close(s, "4.3.2", "going down");
	smtp_server_close(s, "4.3.2", "going down");
	smtp_server_answer(s, 250, "2.0.0", "too late");
	assert_memory_equal(smtp_server_output(s).ptr, "250 2.0.0 kept\r\n421 4.3.2 going down\r\n", 37);
	assert_int_equal(smtp_server_output(s).len, 38);
	assert_int_equal(smtp_server_next(s, &in, &fact), SMTP_SERVER_CLOSE);
	assert_int_equal(smtp_server_next(s, &in, &fact), SMTP_SERVER_CLOSE);
	smtp_server_destroy(&s);
	smtp_server_destroy(&s);
}

/* Closing from outside inside a transaction: ABORT, then CLOSE. */
static void
test_close_in_transaction(void **state)
{
	struct smtp_server *s = smtp_server_create(&heap, &plain);

	assert_int_equal(feed_one(s, SMTP_LIT("HELO c\r\n")), SMTP_SERVER_HELO);
	assert_int_equal(feed_one(s, SMTP_LIT(MAIL)), SMTP_SERVER_MAIL);
	smtp_server_answer(s, 250, "2.1.0", "ok");
	assert_int_equal(feed_one(s, SMTP_LIT(RCPT)), SMTP_SERVER_RCPT);
	smtp_server_close(s, "4.4.2", "timeout");
	assert_int_equal(feed_one(s, SMTP_LIT("")), SMTP_SERVER_ABORT);
	assert_int_equal(feed_one(s, SMTP_LIT("x")), SMTP_SERVER_CLOSE);
	smtp_server_destroy(&s);
}

/* FUTURERELEASE comes and goes with what the client may. */
static void
test_hold(void **state)
{
	static const struct smtp_slice hold = SMTP_LIT("MAIL FROM:<a@b.test> HOLDFOR=60\r\n");
	static const char keyword[] = "250-FUTURERELEASE 2592000 2027-01-23T08:00:00Z\r\n";
	struct smtp_server *s = smtp_server_create(&heap, &plain);
	struct smtp_server_fact fact;
	struct smtp_slice in, out;

	for (int may = 0; may < 3; may++) {
		bool is_offered = may == 1;

		smtp_server_offer_hold(s, is_offered ? 2592000 : 0, 1798099200);
		assert_int_equal(feed_one(s, SMTP_LIT("EHLO c\r\n")), SMTP_SERVER_HELO);
		out = smtp_server_output(s);
		assert_int_equal(memmem(out.ptr, out.len, keyword, sizeof(keyword) - 1) != NULL, is_offered);
		assert_int_equal(memmem(out.ptr, out.len, "FUTURE", 6) != NULL, is_offered);
		smtp_server_drained(s, out.len);
		in = hold;
		if (is_offered) {
			assert_int_equal(smtp_server_next(s, &in, &fact), SMTP_SERVER_MAIL);
			assert_true(fact.mail.has_hold && fact.mail.hold_for_s == 60);
			smtp_server_answer(s, 501, "5.5.4", "more than the host has time for");
		} else {
			assert_int_equal(smtp_server_next(s, &in, &fact), SMTP_SERVER_REFUSED);
			assert_int_equal(fact.refused.code, 555);
		}
	}
	smtp_server_destroy(&s);
}

/* RFC 4865 4.2, 7, 8, 10 and 11: nothing beyond what is told, up to it everything. */
static void
test_hold_is_within_the_offer(void **state)
{
	static const struct {
		const char *params;
		bool is_taken;
	} holds[] = {
		{"HOLDFOR=1", true},
		{"HOLDFOR=2592000", true},
		{"HOLDFOR=2592001", false},
		{"HOLDFOR=999999999", false},
		{"HOLDUNTIL=2027-01-23T08:00:00Z", true},
		{"HOLDUNTIL=2027-01-23T10:00:00+02:00", true},
		{"HOLDUNTIL=2027-01-23T08:00:01Z", false},
		{"HOLDUNTIL=2027-01-23T07:00:00-02:00", false},
		{"HOLDUNTIL=1999-12-31T23:59:59Z", true},
	};

	for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++) {
		struct smtp_server *s = smtp_server_create(&heap, &plain);
		struct smtp_server_fact fact;
		struct smtp_slice in;
		char line[100];
		int len = snprintf(line, sizeof(line), "MAIL FROM:<a@b.test> %s\r\n", holds[i].params);

		smtp_server_offer_hold(s, 2592000, 1798099200);
		assert_int_equal(feed_one(s, SMTP_LIT("EHLO c\r\n")), SMTP_SERVER_HELO);
		smtp_server_drained(s, smtp_server_output(s).len);
		in = (struct smtp_slice){line, (size_t)len};
		if (smtp_server_next(s, &in, &fact) !=
			(holds[i].is_taken ? SMTP_SERVER_MAIL : SMTP_SERVER_REFUSED))
			fail_msg("%s", holds[i].params);
		if (!holds[i].is_taken) {
			assert_int_equal(fact.refused.code, 501);
			assert_string_equal(fact.refused.esc, "5.5.4");
		}
		smtp_server_destroy(&s);
	}
}

static void *
get_nothing(void *arg, size_t bytes)
{
	return NULL;
}

static void
test_no_memory(void **state)
{
	static const struct smtp_alloc none = {get_nothing, put, NULL};

	assert_null(smtp_server_create(&none, &plain));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_thousand_commands),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_late_answer),
		cmocka_unit_test(test_close_in_transaction),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_hold_is_within_the_offer),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
