/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server says: lines into the output, which has room for them (OUT_RESERVE), and of each refusal
 * what the host hears and what counts as an error.
 */
#include "smtp_server.h"

#include "smtp_cmd.h"
#include "smtp_server_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

void
smtp_server_put(struct smtp_server *s, const char *bytes, size_t len)
{
	assert(len <= OUT_MAX - s->out_len);
	memcpy(s->out + s->out_len, bytes, len);
	s->out_len += len;
}

/* One line; whatever is not printable ASCII in the host's words could split it in two. */
void
smtp_server_reply(struct smtp_server *s, int code, const char *esc, const char *text)
{
	char reply[REPLY_MAX];
	int len;

	assert(code >= 200 && code <= 599);
	if (esc != NULL)
		len = snprintf(reply, sizeof(reply) - 2, "%d %.11s %.*s", code, esc, REPLY_TEXT_MAX, text);
	else
		len = snprintf(reply, sizeof(reply) - 2, "%d %.*s", code, REPLY_TEXT_MAX, text);
	assert(len > 0 && len < REPLY_MAX - 2);
	for (int i = 0; i < len; i++)
		if (reply[i] < ' ' || reply[i] > '~')
			reply[i] = '?';
	reply[len++] = '\r';
	reply[len++] = '\n';
	smtp_server_put(s, reply, (size_t)len);
}

/* ---- refusing ---- */

/* What the refused line was; a word that is no command may be half of a password, so it is not shown. */
static void
describe_line(const struct smtp_server *s, struct smtp_server_refusal *out)
{
	struct smtp_slice line = {s->line, SMTP_COMMAND_MAX};
	enum smtp_verb verb;

	if ((B(s->state) & AUTH_STATES) != 0)
		out->command = SMTP_LIT("AUTH");
	else if (smtp_server_in_data(s))
		out->command = SMTP_LIT("DATA");
	else if ((B(s->state) & COMMAND_STATES) != 0 && s->line_bytes > 0) {
		if (s->line_bytes < line.len)
			line.len = (size_t)s->line_bytes;
		verb = smtp_cmd_verb(line);
		if (verb > SMTP_VERB_FOREIGN)
			out->command = smtp_cmd_rule(verb)->name;
		if (verb != SMTP_VERB_UNKNOWN && verb != SMTP_VERB_AUTH)
			out->said = line;
	}
}

/* The host hears of one refusal a step; the one that ends the session stands for the command before it. */
static void
tell_refusal(struct smtp_server *s, int code, const char *esc, const char *text)
{
	struct smtp_server_refusal r = {.is_login = false};

	if ((s->due & DUE_REFUSED) != 0)
		r = s->fact.refused;
	else
		describe_line(s, &r);
	r.code = code;
	r.esc = esc;
	r.text = text;
	s->fact = (struct smtp_server_fact){.refused = r};
	s->due |= DUE_REFUSED;
}

void
smtp_server_count_error(struct smtp_server *s, int code)
{
	if (code >= 400 && code != 421)
		s->error_count++;
}

void
smtp_server_say(struct smtp_server *s, int code, const char *esc, const char *text)
{
	smtp_server_count_error(s, code);
	if (code >= 400)
		tell_refusal(s, code, esc, text);
	smtp_server_reply(s, code, esc, text);
}

void
smtp_server_mark_login(struct smtp_server *s)
{
	assert((s->due & DUE_REFUSED) != 0);
	s->fact.refused.is_login = true;
}

void
smtp_server_reply_452(struct smtp_server *s, const char *esc, const char *text)
{
	if (s->rcpt_tried - s->rcpt_count > RCPT_OVERSHOOT)
		s->error_count++;
	smtp_server_reply(s, 452, esc, text);
}

void
smtp_server_put_off_rcpt(struct smtp_server *s, const char *esc, const char *text)
{
	if (!s->has_put_off)
		tell_refusal(s, 452, esc, text);
	s->has_put_off = true;
	smtp_server_reply_452(s, esc, text);
}

enum state
smtp_server_close_with(struct smtp_server *s, int code, const char *esc, const char *text)
{
	tell_refusal(s, code, esc, text);
	s->fact.refused.is_end = true;
	smtp_server_reply(s, code, esc, text);
	s->why = (struct smtp_slice){text, strnlen(text, REPLY_TEXT_MAX)};
	return ST_CLOSED;
}

void
smtp_server_hush(struct smtp_server *s)
{
	s->quiet_bytes = s->out_len;
}

/* RFC 2920 3.1: nothing may follow such a command. Who does so anyway is being smuggled, or not listening. */
enum state
smtp_server_spoke_too_early(struct smtp_server *s)
{
	return smtp_server_close_with(s, 554, "5.5.0", "improper pipelining: commands before our answer");
}
