/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server says to a command line. Each command has a function that checks it, writes the reply or
 * leaves that to the host, and returns the next state; which states a command is in order in stands in the
 * table at the end.
 *
 * Values are decoded where they stand in s->line, so what a fact points to lives until the next line is read.
 */
#include "smtp_server_impl.h"

#include "smtp_addr.h"
#include "smtp_base64.h"
#include "smtp_cmd.h"
#include "smtp_date.h"
#include "smtp_params.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- commands ---- */

static bool
helo_is_valid(struct smtp_slice name)
{
	static const char others[] = "-_.:[]";

	/* Lenient about what a name is, strict about bytes: it goes into the Received field and the log. */
	if (name.len > SMTP_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i], low = (char)(c | 0x20);

		if (!(c >= '0' && c <= '9') && !(low >= 'a' && low <= 'z') &&
			memchr(others, c, sizeof(others) - 1) == NULL)
			return false;
	}
	return true;
}

static bool
offers_auth(const struct smtp_server *s)
{
	return s->conf->has_auth && (s->is_tls || s->conf->auth_in_clear);
}

/* RFC 4865: for how long, and until when. */
static void
write_hold(const struct smtp_server *s, char *buf, size_t max)
{
	char until[SMTP_DATE_STAMP_LEN];
	int len = smtp_date_write_stamp(s->hold_until, until, sizeof(until));

	assert(len == SMTP_DATE_STAMP_LEN);
	buf[0] = '\0';
	if (s->hold_max_s != 0)
		snprintf(buf, max, "250-FUTURERELEASE %u %.*s\r\n", s->hold_max_s, len, until);
}

static void
say_extensions(struct smtp_server *s)
{
	const struct smtp_server_conf *conf = s->conf;
	char text[EHLO_MAX], limits[64] = "", hold[64];
	int len, limits_len = 0;

	if (conf->rcpt_max != 0)
		limits_len = snprintf(limits, sizeof(limits), " RCPTMAX=%u", conf->rcpt_max);
	if (conf->mail_max != 0)
		snprintf(limits + limits_len, sizeof(limits) - (size_t)limits_len, " MAILMAX=%u",
			conf->mail_max);
	write_hold(s, hold, sizeof(hold));
	len = snprintf(text, sizeof(text),
		"250-%.*s\r\n250-PIPELINING\r\n250-SIZE "
		"%llu\r\n%s%s250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
		"250-SMTPUTF8\r\n250-DSN\r\n250-DELIVERBY\r\n250-MT-PRIORITY MIXER\r\n%s%s%s%s"
		"250 CHUNKING\r\n",
		(int)conf->hostname.len, conf->hostname.ptr, (unsigned long long)conf->message_bytes_max,
		conf->has_starttls && !s->is_tls ? "250-STARTTLS\r\n" : "",
		offers_auth(s) ? "250-AUTH PLAIN LOGIN\r\n" : "", hold, limits[0] != '\0' ? "250-LIMITS" : "",
		limits, limits[0] != '\0' ? "\r\n" : "");
	assert(len > 0 && len < EHLO_MAX);
	smtp_server_put(s, text, (size_t)len);
}

static enum state
say_hello(struct smtp_server *s, struct smtp_slice name, bool is_esmtp)
{
	char text[SMTP_DOMAIN_MAX + 1];

	if (!helo_is_valid(name)) {
		smtp_server_say(s, 501, "5.5.4", "that is no domain name or address literal");
		return s->state;
	}
	memcpy(s->helo, name.ptr, name.len);
	s->helo_len = name.len;
	s->is_esmtp = is_esmtp;
	s->fact.text = smtp_server_helo(s);
	s->due |= DUE_HELO;
	if (is_esmtp) {
		say_extensions(s);
	} else {
		snprintf(text, sizeof(text), "%.*s", (int)s->conf->hostname.len, s->conf->hostname.ptr);
		smtp_server_say(s, 250, NULL, text);
	}
	return ST_READY;
}

static enum state
on_ehlo(struct smtp_server *s, struct smtp_slice arg)
{
	return say_hello(s, arg, true);
}

static enum state
on_helo(struct smtp_server *s, struct smtp_slice arg)
{
	return say_hello(s, arg, false);
}

static enum state
refuse_address(struct smtp_server *s, const char *esc, int err)
{
	smtp_server_say(s, 501, esc, err == SMTP_ETOOLONG ? "address is too long" : "bad address syntax");
	return s->state;
}

/* False: it was answered. */
static bool
params_are_fine(struct smtp_server *s, int got, const char *why)
{
	if (got == SMTP_PARAMS_UNKNOWN)
		smtp_server_say(s, 555, "5.5.4", "unsupported parameter");
	else if (got < 0)
		smtp_server_say(s, 501, "5.5.4", why);
	return got == SMTP_OK;
}

/* RFC 4865 4.2, 7 and 8: by the letter of the offer, however long ago it was made. */
static bool
is_within_offer(const struct smtp_server *s, const struct smtp_server_mail *mail)
{
	return mail->hold_for_s != 0 ? mail->hold_for_s <= s->hold_max_s : mail->hold_until <= s->hold_until;
}

static enum state
on_mail(struct smtp_server *s, struct smtp_slice arg)
{
	const struct smtp_server_conf *conf = s->conf;
	struct smtp_server_mail *mail = &s->fact.mail;
	struct smtp_addr addr = {.is_utf8 = false};
	const char *why = NULL;
	int err;

	if (conf->mail_max != 0 && s->mail_count >= conf->mail_max)
		return smtp_server_close_with(
			s, 421, "4.7.0", "enough messages for one connection, please reconnect");
	if (conf->tls_required && !s->is_tls) {
		smtp_server_say(s, 530, "5.7.0", "must issue STARTTLS first");
		return s->state;
	}
	if (conf->auth_required && !s->is_authenticated) {
		smtp_server_say(s, 530, "5.7.0", "authentication required");
		return s->state;
	}
	if ((err = smtp_cmd_path(&arg, SMTP_LIT("FROM:"), &mail->sender)) < 0)
		return refuse_address(s, "5.1.7", err);
	if (mail->sender.len > 0 && (err = smtp_addr_parse(mail->sender, &addr)) < 0)
		return refuse_address(s, "5.1.7", err);
	mail->sender = addr.whole;
	/* The parameters lie in s->line, so their decoding may write there. */
	err = smtp_params_mail(s->line + (arg.ptr - s->line), arg.len, mail, &why);
	if (!params_are_fine(s, err, why))
		return s->state;
	if (mail->has_hold && s->hold_max_s == 0) {
		smtp_server_say(s, 555, "5.5.4", "HOLDFOR and HOLDUNTIL are not offered to this client");
		return s->state;
	}
	if (mail->has_hold && !is_within_offer(s, mail)) {
		smtp_server_say(s, 501, "5.5.4", "HOLDFOR or HOLDUNTIL is beyond what EHLO offers");
		return s->state;
	}
	if (mail->size > conf->message_bytes_max) {
		smtp_server_say(s, 552, "5.3.4", "message is larger than allowed");
		return s->state;
	}
	if (addr.is_utf8 && !mail->is_utf8) {
		smtp_server_say(s, 553, "5.6.7", "address needs SMTPUTF8");
		return s->state;
	}
	s->mail_is_utf8 = mail->is_utf8;
	return ST_ASK_MAIL;
}

/* RFC 5321 4.5.1: the one mailbox that needs no domain. It means ours. */
static void
complete_postmaster(struct smtp_server *s, struct smtp_slice *path)
{
	int len;

	if (!smtp_slice_is_nocase(*path, SMTP_LIT("postmaster")))
		return;
	len = snprintf(s->scratch, sizeof(s->scratch), "%.*s@%.*s", (int)path->len, path->ptr,
		(int)s->conf->hostname.len, s->conf->hostname.ptr);
	assert(len > 0 && (size_t)len < sizeof(s->scratch));
	*path = (struct smtp_slice){s->scratch, (size_t)len};
}

static enum state
on_rcpt(struct smtp_server *s, struct smtp_slice arg)
{
	struct smtp_server_rcpt *rcpt = &s->fact.rcpt;
	struct smtp_addr addr;
	int err;

	s->rcpt_tried++;
	if (s->conf->rcpt_max != 0 && s->rcpt_count >= s->conf->rcpt_max) {
		smtp_server_put_off_rcpt(
			s, "4.5.3", "too many recipients, send the rest in another transaction");
		return s->state;
	}
	if ((err = smtp_cmd_path(&arg, SMTP_LIT("TO:"), &rcpt->address)) < 0)
		return refuse_address(s, "5.1.3", err);
	complete_postmaster(s, &rcpt->address);
	if ((err = smtp_addr_parse(rcpt->address, &addr)) < 0)
		return refuse_address(s, "5.1.3", err);
	rcpt->address = addr.whole;
	err = smtp_params_rcpt(s->line + (arg.ptr - s->line), arg.len, rcpt);
	if (!params_are_fine(s, err, "bad parameter value"))
		return s->state;
	if (addr.is_utf8 && !s->mail_is_utf8) {
		smtp_server_say(s, 553, "5.6.7", "address needs SMTPUTF8");
		return s->state;
	}
	return ST_ASK_RCPT;
}

/* There is no message because of whom it was for: what the client does about it is no error and no junk. */
static bool
is_declined(const struct smtp_server *s)
{
	assert(s->rcpt_declined <= s->rcpt_tried);
	return s->rcpt_declined > 0 && s->rcpt_declined == s->rcpt_tried;
}

static void
say_no_rcpt(struct smtp_server *s)
{
	smtp_server_say(s, 554, "5.5.1", "no valid recipients");
	s->error_count -= is_declined(s);
}

/* MAIL was accepted, no recipient was. Who tried some and failed is done with this message; who tried none
 * may go on. */
static enum state
refuse_without_rcpt(struct smtp_server *s)
{
	if (s->rcpt_tried == 0) {
		smtp_server_say(s, 503, "5.5.1", smtp_server_hint(s));
		return s->state;
	}
	say_no_rcpt(s);
	return ST_READY;
}

static enum state
on_data(struct smtp_server *s, struct smtp_slice arg)
{
	assert(arg.len == 0);
	if (s->state == ST_MAIL)
		return refuse_without_rcpt(s);
	return ST_ASK_DATA;
}

const struct refusal smtp_server_too_big = {552, "5.3.4", "message is larger than allowed"};

/* "1024" or "0 LAST". */
static bool
parse_chunk(struct smtp_server *s, struct smtp_slice arg)
{
	struct smtp_slice digits = smtp_cmd_word(&arg);
	uint64_t size = 0;

	for (size_t i = 0; i < digits.len; i++) {
		unsigned digit = (unsigned)(unsigned char)digits.ptr[i] - '0';

		if (digit > 9 || size > (UINT64_MAX - digit) / 10)
			return false;
		size = size * 10 + digit;
	}
	s->chunk_left = size;
	s->chunk_is_last = smtp_slice_is_nocase(arg, SMTP_LIT("LAST"));
	return digits.len > 0 && (arg.len == 0 || s->chunk_is_last);
}

/* The chunk is on its way, whatever we think of it: it is swallowed, if it is not too much, and the
 * transaction is over. */
static enum state
on_bdat(struct smtp_server *s, struct smtp_slice arg)
{
	uint64_t max = s->conf->message_bytes_max;

	if (!parse_chunk(s, arg))
		return smtp_server_close_with(s, 501, "5.5.4", "bad chunk size");
	s->refusal = NULL;
	if (s->state == ST_START)
		return smtp_server_close_with(s, 503, "5.5.1", smtp_server_hint(s));
	if (s->chunk_left / 2 > max)
		return smtp_server_close_with(
			s, smtp_server_too_big.code, smtp_server_too_big.esc, smtp_server_too_big.text);
	if (s->state == ST_MAIL && s->rcpt_tried > 0) {
		say_no_rcpt(s);
		return ST_BDAT_REFUSED;
	}
	if (s->state == ST_MAIL || s->state == ST_READY) {
		smtp_server_say(s, 503, "5.5.1", smtp_server_hint(s));
		return ST_BDAT_REFUSED;
	}
	assert(s->state == ST_RCPT || s->state == ST_CHUNK);
	if (s->chunk_left == 0 && !s->chunk_is_last)
		s->junk_count++;
	if (s->chunk_left > max - s->body_bytes) {
		s->refusal = &smtp_server_too_big;
		return ST_BDAT_REFUSED;
	}
	return s->state == ST_RCPT ? ST_ASK_BDAT : ST_BDAT;
}

static enum state
on_rset(struct smtp_server *s, struct smtp_slice arg)
{
	smtp_server_say(s, 250, "2.0.0", "ok");
	return s->state == ST_START ? ST_START : ST_READY;
}

static enum state
on_noop(struct smtp_server *s, struct smtp_slice arg)
{
	smtp_server_say(s, 250, "2.0.0", "ok");
	return s->state;
}

static enum state
on_vrfy(struct smtp_server *s, struct smtp_slice arg)
{
	/* RFC 5321 7.3: neither yes nor no, for all. */
	smtp_server_say(s, 252, "2.5.0", "send mail and see");
	return s->state;
}

static enum state
on_expn(struct smtp_server *s, struct smtp_slice arg)
{
	smtp_server_say(s, 502, "5.5.1", "there are no lists here");
	return s->state;
}

static enum state
on_help(struct smtp_server *s, struct smtp_slice arg)
{
	smtp_server_say(s, 214, "2.0.0", "see RFC 5321 and RFC 6409");
	return s->state;
}

static enum state
on_quit(struct smtp_server *s, struct smtp_slice arg)
{
	smtp_server_reply(s, 221, "2.0.0", "bye");
	s->why = SMTP_LIT("quit");
	return ST_CLOSED;
}

static enum state
on_starttls(struct smtp_server *s, struct smtp_slice arg)
{
	if (s->is_tls || s->is_authenticated) {
		smtp_server_say(s, 503, "5.5.1", s->is_tls ? "TLS is on already" : "too late for TLS");
		return s->state;
	}
	if (!s->conf->has_starttls) {
		smtp_server_say(s, 502, "5.5.1", "TLS is not offered");
		return s->state;
	}
	smtp_server_say(s, 220, "2.0.0", "ready to start TLS");
	return ST_TLS;
}

/* ---- AUTH ---- */

static enum state
refuse_auth(struct smtp_server *s, int code, const char *esc, const char *text)
{
	smtp_server_say(s, code, esc, text);
	explicit_bzero(s->line, sizeof(s->line));
	explicit_bzero(s->scratch, sizeof(s->scratch));
	return ST_READY;
}

/* A try that failed, and counts as such: who sends rubbish on purpose learns no more than who guesses. */
static enum state
refuse_login(struct smtp_server *s, int code, const char *esc, const char *text)
{
	enum state next = refuse_auth(s, code, esc, text);

	smtp_server_mark_login(s);
	return next;
}

static enum state
refuse_credentials(struct smtp_server *s)
{
	return refuse_login(s, 535, "5.7.8", "authentication failed");
}

static bool
user_is_fine(struct smtp_slice user)
{
	return user.len > 0 && user.len <= SMTP_CREDENTIAL_MAX && smtp_utf8_is_text(user);
}

/* RFC 4616 2: it has at least one byte. */
static bool
password_is_fine(struct smtp_slice password)
{
	return password.len > 0 && password.len <= SMTP_CREDENTIAL_MAX;
}

/* Decoded where it stands in s->line. <0: answered with 501 by the caller. */
static int
decode_response(struct smtp_server *s, struct smtp_slice text, struct smtp_slice *out_plain)
{
	char *at = s->line + (text.ptr - s->line);
	int len = smtp_base64_decode(text, at, text.len);

	if (len >= 0)
		*out_plain = (struct smtp_slice){at, (size_t)len};
	return len;
}

/* RFC 4616 2: [authzid] NUL authcid NUL password. Acting for somebody else is not offered. */
static enum state
take_plain(struct smtp_server *s, struct smtp_slice text)
{
	struct smtp_slice plain, part[3] = {{NULL, 0}};

	if (decode_response(s, text, &plain) < 0)
		return refuse_login(s, 501, "5.5.2", "that is not base64");
	for (int i = 0; i < 3; i++) {
		const char *nul = memchr(plain.ptr, '\0', plain.len);

		if ((nul == NULL) != (i == 2))
			return refuse_login(s, 501, "5.5.2", "malformed response");
		part[i] = (struct smtp_slice){plain.ptr, nul != NULL ? (size_t)(nul - plain.ptr) : plain.len};
		if (nul != NULL)
			plain = (struct smtp_slice){nul + 1, plain.len - part[i].len - 1};
	}
	if (part[0].len > 0 && !smtp_slice_is(part[0], part[1]))
		return refuse_credentials(s);
	if (!user_is_fine(part[1]) || !password_is_fine(part[2]))
		return refuse_credentials(s);
	s->fact.user = part[1];
	s->fact.password = part[2];
	return ST_ASK_AUTH;
}

static enum state
take_user(struct smtp_server *s, struct smtp_slice text)
{
	struct smtp_slice user;

	if (decode_response(s, text, &user) < 0)
		return refuse_login(s, 501, "5.5.2", "that is not base64");
	/* A user that cannot be is found out with the password, as any other wrong one. */
	s->user_len = user.len <= SMTP_CREDENTIAL_MAX ? user.len : 0;
	memcpy(s->scratch, user.ptr, s->user_len);
	smtp_server_say(s, 334, NULL, "UGFzc3dvcmQ6");
	return ST_AUTH_PASS;
}

static enum state
take_pass(struct smtp_server *s, struct smtp_slice text)
{
	struct smtp_slice password, user = {s->scratch, s->user_len};

	if (decode_response(s, text, &password) < 0)
		return refuse_login(s, 501, "5.5.2", "that is not base64");
	if (!user_is_fine(user) || !password_is_fine(password))
		return refuse_credentials(s);
	s->fact.user = user;
	s->fact.password = password;
	return ST_ASK_AUTH;
}

static enum state
on_auth(struct smtp_server *s, struct smtp_slice arg)
{
	struct smtp_slice mechanism = smtp_cmd_word(&arg);

	if (!s->conf->has_auth)
		return refuse_auth(s, 502, "5.5.1", "authentication is not offered");
	if (s->is_authenticated)
		return refuse_auth(s, 503, "5.5.1", "already authenticated");
	if (s->conf->tls_required && !s->is_tls)
		return refuse_auth(s, 530, "5.7.0", "must issue STARTTLS first");
	if (!offers_auth(s))
		return refuse_auth(s, 538, "5.7.11", "encryption is required for authentication");
	/* RFC 4954 4: "=" is an initial response of no bytes. */
	if (smtp_slice_is_nocase(mechanism, SMTP_LIT("PLAIN"))) {
		if (arg.len > 0)
			return smtp_slice_is(arg, SMTP_LIT("=")) ? refuse_credentials(s) : take_plain(s, arg);
		smtp_server_say(s, 334, NULL, "");
		return ST_AUTH_PLAIN;
	}
	if (smtp_slice_is_nocase(mechanism, SMTP_LIT("LOGIN"))) {
		if (arg.len > 0)
			return smtp_slice_is(arg, SMTP_LIT("=")) ? refuse_credentials(s) : take_user(s, arg);
		smtp_server_say(s, 334, NULL, "VXNlcm5hbWU6");
		return ST_AUTH_USER;
	}
	return refuse_auth(s, 504, "5.5.4", "mechanism is not offered");
}

/* A line of the AUTH dialogue. */
enum state
smtp_server_on_auth_line(struct smtp_server *s, struct smtp_slice *in)
{
	struct smtp_slice text = {s->line, (size_t)s->line_bytes};
	enum state next;

	s->fact = (struct smtp_server_fact){.body_bytes = 0};
	if (in->len > 0)
		return smtp_server_spoke_too_early(s);
	if (smtp_slice_is(text, SMTP_LIT("*")))
		next = refuse_login(s, 501, "5.7.0", "authentication cancelled");
	else if (s->state == ST_AUTH_PLAIN)
		next = take_plain(s, text);
	else
		next = s->state == ST_AUTH_USER ? take_user(s, text) : take_pass(s, text);
	smtp_server_hush(s);
	return next;
}

/* ---- command dispatch ---- */

/* Who answers a command, and in which states it is in order. */
static const struct verb {
	enum state (*on)(struct smtp_server *s, struct smtp_slice arg);
	uint32_t states;
} verbs[SMTP_VERB_COUNT] = {
	[SMTP_VERB_EHLO] = {on_ehlo, COMMAND_STATES},
	[SMTP_VERB_HELO] = {on_helo, COMMAND_STATES},
	[SMTP_VERB_MAIL] = {on_mail, B(ST_READY)},
	[SMTP_VERB_RCPT] = {on_rcpt, B(ST_MAIL) | B(ST_RCPT)},
	[SMTP_VERB_DATA] = {on_data, B(ST_MAIL) | B(ST_RCPT)},
	[SMTP_VERB_BDAT] = {on_bdat, COMMAND_STATES},
	[SMTP_VERB_RSET] = {on_rset, COMMAND_STATES},
	[SMTP_VERB_NOOP] = {on_noop, COMMAND_STATES},
	[SMTP_VERB_VRFY] = {on_vrfy, COMMAND_STATES},
	[SMTP_VERB_EXPN] = {on_expn, COMMAND_STATES},
	[SMTP_VERB_HELP] = {on_help, COMMAND_STATES},
	[SMTP_VERB_QUIT] = {on_quit, COMMAND_STATES},
	[SMTP_VERB_STARTTLS] = {on_starttls, B(ST_READY)},
	[SMTP_VERB_AUTH] = {on_auth, B(ST_READY)},
};

static enum state
on_known_command(struct smtp_server *s, const struct smtp_cmd *cmd, bool has_more)
{
	const struct smtp_cmd_rule *rule = smtp_cmd_rule(cmd->verb);
	enum state next = s->state;

	if (rule->ends_turn && has_more)
		return smtp_server_spoke_too_early(s);
	s->junk_count += rule->is_junk && (cmd->verb != SMTP_VERB_RSET || !is_declined(s));
	if (s->conf->junk_max != 0 && s->junk_count > s->conf->junk_max)
		return smtp_server_close_with(s, 421, "4.7.0", "too many commands without a message");
	if (rule->argument == SMTP_ARGUMENT_NONE && cmd->arg.len > 0)
		smtp_server_say(s, 501, "5.5.4", "this command has no argument");
	else if (rule->argument == SMTP_ARGUMENT_SOME && cmd->arg.len == 0)
		smtp_server_say(s, 501, "5.5.4", "this command needs an argument");
	else if ((verbs[cmd->verb].states & B(s->state)) == 0)
		smtp_server_say(s, 503, "5.5.1", smtp_server_hint(s));
	else
		next = verbs[cmd->verb].on(s, cmd->arg);
	if (rule->ends_turn)
		smtp_server_hush(s);
	return next;
}

enum state
smtp_server_on_command(struct smtp_server *s, struct smtp_slice *in)
{
	struct smtp_cmd cmd;
	int err = smtp_cmd_parse((struct smtp_slice){s->line, (size_t)s->line_bytes}, &cmd);

	s->fact = (struct smtp_server_fact){.body_bytes = 0};
	if (err == SMTP_EUTF8)
		smtp_server_say(s, 501, "5.5.2", "bytes that are not UTF-8");
	else if (err < 0)
		smtp_server_say(s, 500, "5.5.2", "not a command line");
	else if (cmd.verb == SMTP_VERB_FOREIGN)
		return smtp_server_close_with(s, 554, "5.5.0", "this is a mail server");
	else if (cmd.verb == SMTP_VERB_UNKNOWN)
		smtp_server_say(s, 500, "5.5.1", "unknown command");
	else
		return on_known_command(s, &cmd, in->len > 0);
	return s->state;
}
