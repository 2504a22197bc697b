/* SPDX-License-Identifier: Apache-2.0 */
/* What the sending side says at each step, and where the reply leads. */
#include "smtp_base64.h"
#include "smtp_client_impl.h"
#include "smtp_envelope.h"

#include <assert.h>
#include <string.h>

enum { CREDENTIALS_MAX = 2 * SMTP_CREDENTIAL_MAX + 2 };
_Static_assert(SMTP_BASE64_LEN(CREDENTIALS_MAX) + 16 <= SMTP_COMMAND_MAX, "AUTH PLAIN fits a command");
_Static_assert(SMTP_DOMAIN_MAX + 16 <= SMTP_COMMAND_MAX, "EHLO fits a command");

/* ---- refusals by us ---------------------------------------------------------------------------------- */

static const struct smtp_reply refused_no_tls = {
	.code = 451, .esc = {4, 7, 4}, .text = SMTP_LIT("4.7.4 TLS required but not offered")};
static const struct smtp_reply refused_tls = {
	.code = 451, .esc = {4, 7, 4}, .text = SMTP_LIT("4.7.4 TLS required but refused")};
static const struct smtp_reply refused_no_auth = {
	.code = 451, .esc = {4, 7, 0}, .text = SMTP_LIT("4.7.0 AUTH required but not offered")};
static const struct smtp_reply refused_clear = {.code = 451,
	.esc = {4, 7, 0},
	.text = SMTP_LIT("4.7.0 password not sent: the connection is not encrypted")};

/* ---- opening the session ----------------------------------------------------------------------------- */

enum step_id
smtp_client_next_mail(const struct smtp_client *c)
{
	if (c->mails_said < c->mail_count)
		return c->must_reset ? ST_RSET : ST_MAIL;
	return c->is_quitting ? ST_QUIT : ST_IDLE;
}

static enum step_id
refuse_session(struct smtp_client *c, enum smtp_client_phase phase, const struct smtp_reply *refusal)
{
	struct smtp_slice why = {
		refusal->text.ptr + 6, refusal->text.len - 6}; /* without the enhanced code */

	smtp_client_fall(c, SMTP_OUTCOME_REFUSED, refusal, why);
	c->down.phase = phase;
	return ST_STAY;
}

static enum step_id
become_ready(struct smtp_client *c)
{
	c->life = LIFE_READY;
	c->ready_due = true;
	return smtp_client_next_mail(c);
}

static enum step_id
log_in(struct smtp_client *c)
{
	if (c->conf.user.len == 0)
		return become_ready(c);
	if (!c->is_tls && !c->conf.auth_in_clear)
		return refuse_session(c, SMTP_PHASE_AUTH, &refused_clear);
	if ((c->ehlo.caps & SMTP_CAP_AUTH_PLAIN) != 0)
		return ST_AUTH_PLAIN;
	if ((c->ehlo.caps & SMTP_CAP_AUTH_LOGIN) != 0)
		return ST_AUTH_LOGIN;
	return refuse_session(c, SMTP_PHASE_AUTH, &refused_no_auth);
}

static enum step_id
secure(struct smtp_client *c)
{
	if (c->is_quitting)
		return ST_QUIT;
	if (c->is_tls || c->conf.tls == SMTP_CLIENT_TLS_NONE)
		return log_in(c);
	if ((c->ehlo.caps & SMTP_CAP_STARTTLS) != 0)
		return ST_STARTTLS;
	if (c->conf.tls == SMTP_CLIENT_TLS_MAY)
		return log_in(c);
	return refuse_session(c, SMTP_PHASE_STARTTLS, &refused_no_tls);
}

static enum step_id
hear_greeting(struct smtp_client *c, const struct smtp_reply *reply)
{
	if (reply->code >= 300)
		return smtp_client_fall_replied(c, reply);
	return c->conf.helo_only ? ST_HELO : ST_EHLO;
}

static enum step_id
say_hello(struct smtp_client *c, struct smtp_slice verb, enum step_id step)
{
	c->ehlo = (struct smtp_ehlo){0};
	smtp_pipe_put(&c->pipe, verb);
	smtp_pipe_put(&c->pipe, c->conf.ehlo_name);
	smtp_pipe_say(&c->pipe, step);
	return ST_WAIT;
}

static enum step_id
say_ehlo(struct smtp_client *c)
{
	return say_hello(c, SMTP_LIT("EHLO "), ST_EHLO);
}

static enum step_id
say_helo(struct smtp_client *c)
{
	return say_hello(c, SMTP_LIT("HELO "), ST_HELO);
}

/* Only the last line is still in the reply: the others were read as they came. */
static enum step_id
hear_ehlo(struct smtp_client *c, const struct smtp_reply *reply)
{
	if (reply->code >= 500)
		return ST_HELO;
	if (reply->code >= 300)
		return smtp_client_fall_replied(c, reply);
	smtp_ehlo_line(&c->ehlo, reply->text);
	return secure(c);
}

static enum step_id
hear_helo(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code < 300 ? secure(c) : smtp_client_fall_replied(c, reply);
}

static enum step_id
say_starttls(struct smtp_client *c)
{
	smtp_pipe_put(&c->pipe, SMTP_LIT("STARTTLS"));
	smtp_pipe_say(&c->pipe, ST_STARTTLS);
	return ST_WAIT;
}

static enum step_id
hear_starttls(struct smtp_client *c, const struct smtp_reply *reply)
{
	if (reply->code < 300) {
		c->starttls_due = true;
		return ST_TLS;
	}
	if (c->conf.tls == SMTP_CLIENT_TLS_MUST)
		return refuse_session(c, SMTP_PHASE_STARTTLS, &refused_tls);
	return log_in(c);
}

static enum step_id
say_auth_plain(struct smtp_client *c)
{
	char text[CREDENTIALS_MAX];
	size_t user = c->conf.user.len, password = c->conf.password.len;

	/* RFC 4616 2: no authorization identity, NUL, user, NUL, password. */
	text[0] = text[1 + user] = '\0';
	memcpy(text + 1, c->conf.user.ptr, user);
	if (password > 0)
		memcpy(text + 2 + user, c->conf.password.ptr, password);
	smtp_pipe_put(&c->pipe, SMTP_LIT("AUTH PLAIN "));
	smtp_pipe_put_base64(&c->pipe, (struct smtp_slice){text, user + password + 2});
	smtp_pipe_say(&c->pipe, ST_AUTH_PLAIN);
	explicit_bzero(text, sizeof(text));
	return ST_WAIT;
}

static enum step_id
say_auth_login(struct smtp_client *c)
{
	smtp_pipe_put(&c->pipe, SMTP_LIT("AUTH LOGIN"));
	smtp_pipe_say(&c->pipe, ST_AUTH_LOGIN);
	return ST_WAIT;
}

static enum step_id
say_auth_user(struct smtp_client *c)
{
	smtp_pipe_put_base64(&c->pipe, c->conf.user);
	smtp_pipe_say(&c->pipe, ST_AUTH_USER);
	return ST_WAIT;
}

static enum step_id
say_auth_pass(struct smtp_client *c)
{
	smtp_pipe_put_base64(&c->pipe, c->conf.password);
	smtp_pipe_say(&c->pipe, ST_AUTH_PASS);
	return ST_WAIT;
}

static enum step_id
hear_auth_login(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code / 100 == 3 ? ST_AUTH_USER : smtp_client_fall_replied(c, reply);
}

static enum step_id
hear_auth_user(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code / 100 == 3 ? ST_AUTH_PASS : smtp_client_fall_replied(c, reply);
}

static enum step_id
hear_auth(struct smtp_client *c, const struct smtp_reply *reply)
{
	smtp_pipe_wipe(&c->pipe);
	return reply->code < 300 ? become_ready(c) : smtp_client_fall_replied(c, reply);
}

/* ---- a mail ------------------------------------------------------------------------------------------ */

static enum step_id
say_rset(struct smtp_client *c)
{
	c->must_reset = false;
	smtp_pipe_put(&c->pipe, SMTP_LIT("RSET"));
	smtp_pipe_say(&c->pipe, ST_RSET);
	return ST_MAIL;
}

/* A peer that cannot even reset is of no use for the next mail, which was not tried. */
static enum step_id
hear_rset(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code < 300 ? ST_STAY : smtp_client_fall_replied(c, reply);
}

static enum step_id
say_mail(struct smtp_client *c)
{
	const struct smtp_client_mail *mail = c->mails[c->mails_said];
	c->rcpts_said = 0;
	c->look = smtp_data_look(mail->body);
	if (smtp_envelope_mail_refusal(mail, &c->ehlo, &c->look) != NULL) {
		smtp_pipe_say_nothing(&c->pipe, ST_UNFIT);
		return ST_END;
	}
	smtp_envelope_put_mail(&c->pipe, mail, &c->ehlo, &c->look);
	smtp_pipe_say(&c->pipe, ST_MAIL);
	return ST_RCPT;
}

static enum step_id
hear_mail(struct smtp_client *c, const struct smtp_reply *reply)
{
	c->heard_mail.has_reply = true;
	if (reply->code < 300) {
		c->heard_mail.mail_is_ok = true;
		return ST_STAY;
	}
	smtp_client_settle_all(c, SMTP_OUTCOME_REPLY, SMTP_PHASE_MAIL, reply);
	/* If DATA is out already its reply must be awaited: it could be 354 (D19). */
	return c->cursor == ST_WAIT ? ST_STAY : ST_END;
}

/* Nothing else of this mail was said: the look at it can be repeated instead of being kept. */
static enum step_id
hear_unfit(struct smtp_client *c, const struct smtp_reply *reply)
{
	const struct smtp_client_mail *mail = c->mails[0];
	struct smtp_data_look look = smtp_data_look(mail->body);
	const struct smtp_reply *refusal = smtp_envelope_mail_refusal(mail, &c->ehlo, &look);

	assert(refusal != NULL);
	smtp_client_settle_all(c, SMTP_OUTCOME_REFUSED, SMTP_PHASE_MAIL, refusal);
	return ST_STAY;
}

static enum step_id
say_rcpt(struct smtp_client *c)
{
	const struct smtp_client_mail *mail = c->mails[c->mails_said];

	if (smtp_envelope_rcpt_refusal(mail, c->rcpts_said) != NULL) {
		smtp_pipe_say_nothing(&c->pipe, ST_SKIP);
	} else {
		smtp_envelope_put_rcpt(&c->pipe, mail, &c->ehlo, c->rcpts_said);
		smtp_pipe_say(&c->pipe, ST_RCPT);
	}
	if (++c->rcpts_said == mail->rcpt_count)
		return ST_DATA;
	return c->rcpts_said == c->ehlo.rcpt_max ? ST_REST : ST_RCPT;
}

static enum step_id
hear_rcpt(struct smtp_client *c, const struct smtp_reply *reply)
{
	uint32_t index = c->heard_mail.rcpts++;

	/* Answered already when MAIL was refused; this reply is then only the echo of that. */
	if (reply->code < 300)
		c->heard_mail.accepted += !smtp_client_is_answered(c, index);
	else
		smtp_client_settle(c, index, index + 1, SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, reply);
	return ST_STAY;
}

static enum step_id
hear_skip(struct smtp_client *c, const struct smtp_reply *reply)
{
	uint32_t index = c->heard_mail.rcpts++;
	const struct smtp_reply *refusal = smtp_envelope_rcpt_refusal(c->mails[0], index);

	assert(refusal != NULL);
	smtp_client_settle(c, index, index + 1, SMTP_OUTCOME_REFUSED, SMTP_PHASE_RCPT, refusal);
	return ST_STAY;
}

static enum step_id
say_rest(struct smtp_client *c)
{
	smtp_pipe_say_nothing(&c->pipe, ST_REST);
	return ST_DATA;
}

static enum step_id
hear_rest(struct smtp_client *c, const struct smtp_reply *reply)
{
	smtp_client_settle(c, c->heard_mail.rcpts, c->mails[0]->rcpt_count, SMTP_OUTCOME_UNTRIED,
		SMTP_PHASE_RCPT, &(struct smtp_reply){0});
	return ST_STAY;
}

/* With nobody accepted and nothing outstanding there is no reason to ask for data. */
static enum step_id
say_data(struct smtp_client *c)
{
	if (smtp_pipe_is_empty(&c->pipe) && c->heard_mail.accepted == 0) {
		c->must_reset = c->heard_mail.mail_is_ok;
		return ST_END;
	}
	smtp_pipe_put(&c->pipe, SMTP_LIT("DATA"));
	smtp_pipe_say(&c->pipe, ST_DATA);
	return ST_WAIT;
}

static enum step_id
hear_data(struct smtp_client *c, const struct smtp_reply *reply)
{
	if (reply->code < 400)
		return c->heard_mail.accepted > 0 ? ST_BODY : ST_LONE_DOT;
	smtp_client_settle_all(c, SMTP_OUTCOME_REPLY, SMTP_PHASE_DATA, reply);
	c->must_reset = c->heard_mail.mail_is_ok;
	return ST_END;
}

/* DATA was answered, so the buffer is empty: output() sends the body first, then the buffer, which begins
 * with the dot. */
static enum step_id
say_body(struct smtp_client *c)
{
	assert(smtp_pipe_output(&c->pipe).len == 0 && smtp_data_out_is_done(&c->body));
	smtp_data_out_init(&c->body, c->mails[c->mails_said]->body, c->look.has_dots);
	/* RFC 5321 4.1.1.4: a last line without its line end gets one, or the dot would belong to it. */
	smtp_pipe_put(&c->pipe, c->look.ends_line ? SMTP_LIT(".") : SMTP_LIT("\r\n."));
	smtp_pipe_say(&c->pipe, ST_BODY);
	return ST_END;
}

static enum step_id
hear_body(struct smtp_client *c, const struct smtp_reply *reply)
{
	smtp_client_settle_all(c, SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, reply);
	return ST_STAY;
}

static enum step_id
say_lone_dot(struct smtp_client *c)
{
	smtp_pipe_put(&c->pipe, SMTP_LIT("."));
	smtp_pipe_say(&c->pipe, ST_LONE_DOT);
	return ST_END;
}

/* An empty message to nobody: each recipient has been answered at RCPT. */
static enum step_id
hear_lone_dot(struct smtp_client *c, const struct smtp_reply *reply)
{
	assert(c->heard_mail.answered == c->mails[0]->rcpt_count);
	return ST_STAY;
}

static enum step_id
say_end(struct smtp_client *c)
{
	smtp_pipe_say_nothing(&c->pipe, ST_END);
	c->mails_said++;
	return smtp_client_next_mail(c);
}

static enum step_id
say_quit(struct smtp_client *c)
{
	smtp_pipe_put(&c->pipe, SMTP_LIT("QUIT"));
	smtp_pipe_say(&c->pipe, ST_QUIT);
	return ST_WAIT;
}

/* Whatever the answer is, we are done (D31). */
static enum step_id
hear_quit(struct smtp_client *c, const struct smtp_reply *reply)
{
	smtp_client_fall(c, SMTP_OUTCOME_REPLY, reply, SMTP_LIT("closed"));
	c->down.is_clean = true;
	return ST_STAY;
}

/* ---- the table --------------------------------------------------------------------------------------- */

#define P(phase) SMTP_PHASE_##phase
#define TO(step) B(ST_##step)
#define OK_NO    (B(2) | B(4) | B(5))
#define GO_NO    (B(3) | B(4) | B(5))
#define ANY      (B(2) | B(3) | B(4) | B(5))
#define NEXT     (TO(RSET) | TO(MAIL) | TO(QUIT) | TO(IDLE))
#define LOGIN    (TO(AUTH_PLAIN) | TO(AUTH_LOGIN) | NEXT)
#define GIVEN    (TO(REST) | TO(DATA))
#define GO       (TO(BODY) | TO(LONE_DOT))
#define SECURE   (TO(STARTTLS) | LOGIN)

const struct step smtp_client_steps[ST_COUNT] = {
	/* clang-format off */
	/*                 timer         piped  says            hears            codes  may go to */
	[ST_WAIT]       = {P(IDLE),     false, NULL,           NULL,            0,     0},
	[ST_GREETING]   = {P(GREETING), false, NULL,           hear_greeting,   OK_NO, TO(EHLO) | TO(HELO)},
	[ST_EHLO]       = {P(EHLO),     false, say_ehlo,       hear_ehlo,       OK_NO, TO(HELO) | SECURE},
	[ST_HELO]       = {P(EHLO),     false, say_helo,       hear_helo,       OK_NO, LOGIN},
	[ST_STARTTLS]   = {P(STARTTLS), false, say_starttls,   hear_starttls,   OK_NO, TO(TLS) | LOGIN},
	[ST_TLS]        = {P(TLS),      false, NULL,           NULL,            0,     TO(EHLO)},
	[ST_AUTH_PLAIN] = {P(AUTH),     false, say_auth_plain, hear_auth,       ANY,   NEXT},
	[ST_AUTH_LOGIN] = {P(AUTH),     false, say_auth_login, hear_auth_login, GO_NO, TO(AUTH_USER)},
	[ST_AUTH_USER]  = {P(AUTH),     false, say_auth_user,  hear_auth_user,  GO_NO, TO(AUTH_PASS)},
	[ST_AUTH_PASS]  = {P(AUTH),     false, say_auth_pass,  hear_auth,       OK_NO, NEXT},
	[ST_IDLE]       = {P(IDLE),     false, NULL,           NULL,            0,     NEXT},
	[ST_RSET]       = {P(RSET),     true,  say_rset,       hear_rset,       OK_NO, TO(MAIL)},
	[ST_MAIL]       = {P(MAIL),     true,  say_mail,       hear_mail,       OK_NO, TO(RCPT) | TO(END)},
	[ST_UNFIT]      = {P(MAIL),     true,  NULL,           hear_unfit,      0,     0},
	[ST_RCPT]       = {P(RCPT),     true,  say_rcpt,       hear_rcpt,       OK_NO, TO(RCPT) | GIVEN},
	[ST_SKIP]       = {P(RCPT),     true,  NULL,           hear_skip,       0,     0},
	[ST_REST]       = {P(RCPT),     true,  say_rest,       hear_rest,       0,     TO(DATA)},
	[ST_DATA]       = {P(DATA),     true,  say_data,       hear_data,       GO_NO, GO | TO(END)},
	[ST_BODY]       = {P(DOT),      false, say_body,       hear_body,       OK_NO, TO(END)},
	[ST_LONE_DOT]   = {P(DOT),      false, say_lone_dot,   hear_lone_dot,   OK_NO, TO(END)},
	[ST_END]        = {P(IDLE),     true,  say_end,        NULL,            0,     NEXT},
	[ST_QUIT]       = {P(QUIT),     false, say_quit,       hear_quit,       ANY,   0},
	/* clang-format on */
};
