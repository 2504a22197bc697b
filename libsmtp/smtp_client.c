/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending side of SMTP. The conversation is a table of steps; a step says a command and hears its reply.
 * Three cursors run over the ring of commands, in this order and never past each other: said (written to the
 * buffer), sent (handed to the network whole), heard (answered). Without PIPELINING a step is said only when
 * everything said was heard; that is the whole difference. Invariants:
 *
 * - replies answer commands in order; a reply to a command that was not sent yet is a reply out of step,
 * however well its code would fit (D23);
 * - a mail ends in one place, the silent step "end", which comes to be heard after everything said for the
 * mail;
 * - a recipient is answered by settle() alone, and `answered` has a bit for each RESULT that went out;
 * - once the session falls, nothing more is sent, and what is inside is answered mail by mail before DOWN.
 */
#include "smtp_client.h"
#include "smtp_base64.h"
#include "smtp_envelope.h"
#include "smtp_pipe.h"
#include "smtp_reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define B(step) (1u << (step))

enum { CREDENTIALS_MAX = 2 * SMTP_CREDENTIAL_MAX + 2, WORDS_MAX = 256 };
_Static_assert(SMTP_BASE64_LEN(CREDENTIALS_MAX) + 16 <= SMTP_COMMAND_MAX, "AUTH PLAIN fits a command");
_Static_assert(SMTP_DOMAIN_MAX + 16 <= SMTP_COMMAND_MAX, "EHLO fits a command");

enum step_id {
	ST_STAY, /* as a next step: the cursor stays where it is */
	ST_WAIT, /* the cursor rests until a reply moves it */
	ST_GREETING,
	ST_EHLO,
	ST_HELO,
	ST_STARTTLS,
	ST_TLS,
	ST_AUTH_PLAIN,
	ST_AUTH_LOGIN,
	ST_AUTH_USER,
	ST_AUTH_PASS,
	ST_IDLE,
	ST_RSET,
	ST_MAIL,
	ST_UNFIT, /* silent: the mail is refused by us */
	ST_RCPT,
	ST_SKIP, /* silent: the recipient is refused by us */
	ST_REST, /* silent: recipients beyond the peer's RCPTMAX, for another transaction */
	ST_DATA,
	ST_BODY,     /* the message, its final dot, and the reply to that */
	ST_LONE_DOT, /* D19: 354 although no recipient was accepted */
	ST_END,      /* silent: the mail is over */
	ST_QUIT,
	ST_COUNT,
};

struct step {
	enum smtp_client_phase phase; /* the timer, RFC 5321 4.5.3.2 */
	bool is_piped;                /* may be said while replies are outstanding (RFC 2920 3.1) */
	enum step_id (*say)(struct smtp_client *c);
	enum step_id (*hear)(struct smtp_client *c, const struct smtp_reply *reply);
	unsigned codes; /* first digits of replies that fit; 0: silent, heard without a reply */
	uint32_t next;  /* where saying and hearing may lead, besides ST_WAIT */
};
static const struct step steps[ST_COUNT];

enum life { LIFE_OPENING, LIFE_READY, LIFE_FALLING, LIFE_DOWN };

/* RESULTs due: recipients next..end-1 without those already answered. */
struct settle {
	uint32_t next, end;
	enum smtp_client_outcome outcome;
	enum smtp_client_phase phase;
	struct smtp_reply reply;
};

/* What is known about the first mail inside, the one that replies are about. */
struct heard {
	uint32_t rcpts; /* replies to RCPT so far */
	uint32_t accepted;
	uint32_t answered;
	bool has_reply;  /* to MAIL or later */
	bool mail_is_ok; /* MAIL was accepted: the peer has a transaction open */
};

struct smtp_client {
	struct smtp_alloc alloc;
	struct smtp_client_conf conf;
	struct smtp_ehlo ehlo;
	enum life life;
	enum step_id cursor; /* the next step to say */
	bool is_tls;
	bool is_quitting;
	bool ready_due; /* events owed to the host */
	bool starttls_due;
	bool must_reset;  /* a transaction was left open: RSET before the next MAIL */
	bool no_mail_yet; /* the first mail inside is the first of this session */

	struct smtp_client_mail *mails[2];
	uint32_t mail_count;
	uint32_t mails_taken; /* in all */
	uint32_t replies;
	uint32_t mails_said;        /* of those inside: all of their commands were said */
	uint32_t rcpts_said;        /* of the mail whose commands are being said */
	struct smtp_data_look look; /* of the same mail */
	struct smtp_data_out body;
	struct heard heard_mail;
	struct settle settle;
	struct smtp_client_fact down; /* DOWN as it will be told, from LIFE_FALLING on */

	uint8_t answered[SMTP_CLIENT_RCPT_MAX / 8];
	struct smtp_reply_parser parser;
	struct smtp_pipe pipe;
	char words[WORDS_MAX]; /* of DOWN */
};
_Static_assert(sizeof(struct smtp_client) <= 8192, "ten thousand sessions are planned for");

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

static const struct smtp_reply no_reply;

static bool
has_pipelining(const struct smtp_client *c)
{
	return c->conf.may_pipeline && (c->ehlo.caps & SMTP_CAP_PIPELINING) != 0;
}

/* ---- results and the end of a session ---------------------------------------------------------------- */

static bool
is_answered(const struct smtp_client *c, uint32_t index)
{
	return (c->answered[index / 8] >> index % 8 & 1) != 0;
}

static void
settle(struct smtp_client *c, uint32_t first, uint32_t end, enum smtp_client_outcome outcome,
	enum smtp_client_phase phase, const struct smtp_reply *reply)
{
	assert(c->settle.next == c->settle.end);
	assert(first <= end && end <= c->mails[0]->rcpt_count);
	c->settle = (struct settle){first, end, outcome, phase, *reply};
}

static void
settle_all(struct smtp_client *c, enum smtp_client_outcome outcome, enum smtp_client_phase phase,
	const struct smtp_reply *reply)
{
	settle(c, 0, c->mails[0]->rcpt_count, outcome, phase, reply);
}

/* The next RESULT due; false: none. */
static bool
take_result(struct smtp_client *c, struct smtp_client_fact *out_fact)
{
	struct settle *s = &c->settle;

	while (s->next < s->end && is_answered(c, s->next))
		s->next++;
	if (s->next == s->end)
		return false;
	c->answered[s->next / 8] |= (uint8_t)(1u << s->next % 8);
	c->heard_mail.answered++;
	*out_fact = (struct smtp_client_fact){
		.mail = c->mails[0],
		.rcpt_index = s->next++,
		.outcome = s->outcome,
		.phase = s->phase,
		.reply = s->reply,
		.text = c->down.text,
	};
	return true;
}

/* The first mail is answered for and goes back to the host. */
static enum smtp_client_event
finish_mail(struct smtp_client *c, struct smtp_client_fact *out_fact)
{
	struct smtp_client_mail *mail = c->mails[0];

	assert(c->mail_count > 0 && c->heard_mail.answered == mail->rcpt_count);
	memset(c->answered, 0, (mail->rcpt_count + 7) / 8);
	/* A mail nobody spoke of does not prove the session alive; one that fell with it leaves no doubt it
	 * was. */
	if (c->heard_mail.has_reply || c->life == LIFE_FALLING)
		c->no_mail_yet = false;
	c->heard_mail = (struct heard){0};
	c->mails[0] = c->mails[1];
	c->mails[1] = NULL;
	c->mail_count--;
	c->mails_said -= c->mails_said > 0;
	*out_fact = (struct smtp_client_fact){.mail = mail};
	return SMTP_CLIENT_MAIL_DONE;
}

enum smtp_client_phase
smtp_client_phase(const struct smtp_client *c)
{
	if (c->life >= LIFE_FALLING)
		return c->down.phase;
	if (smtp_pipe_is_empty(&c->pipe))
		return steps[c->cursor].phase;
	if (smtp_pipe_front(&c->pipe) == ST_BODY && !smtp_pipe_front_is_sent(&c->pipe))
		return SMTP_PHASE_BODY;
	return steps[smtp_pipe_front(&c->pipe)].phase;
}

/* Is it the lack of this reply, or its place, that points at pipelining? A peer which answered the first of
 * several commands and then no more, or nothing to a final dot with an envelope behind it, may have dropped
 * its input (D16). */
static bool
is_pipeline_suspect(const struct smtp_client *c)
{
	if (c->mail_count == 0 || smtp_pipe_unheard(&c->pipe) < 2)
		return false;
	return c->heard_mail.has_reply || smtp_pipe_front(&c->pipe) == ST_BODY;
}

static void
fall(struct smtp_client *c, enum smtp_client_outcome outcome, const struct smtp_reply *reply,
	struct smtp_slice why)
{
	enum smtp_client_phase phase = smtp_client_phase(c);
	int len;

	if (c->life >= LIFE_FALLING)
		return;
	c->down = (struct smtp_client_fact){.outcome = outcome, .phase = phase, .reply = *reply};
	if (outcome == SMTP_OUTCOME_LOST)
		c->down.pipeline_broken = is_pipeline_suspect(c);
	len = snprintf(c->words, sizeof(c->words), "%.*s in %s",
		(int)(why.len < WORDS_MAX / 2 ? why.len : WORDS_MAX / 2), why.ptr,
		smtp_client_phase_name(phase));
	c->down.text = (struct smtp_slice){c->words, len > 0 ? (size_t)len : 0};
	c->life = LIFE_FALLING;
}

/* The peer does not speak SMTP, or not in step. Whatever it says next means nothing. */
static void
fall_broken(struct smtp_client *c, struct smtp_slice why)
{
	bool was_piping = has_pipelining(c) && (c->mail_count > 0 || !c->no_mail_yet);

	fall(c, SMTP_OUTCOME_LOST, &no_reply, why);
	c->down.pipeline_broken = c->down.pipeline_broken || was_piping;
}

/* What the fall means for the first mail inside. */
static enum smtp_client_outcome
fallen_outcome(const struct smtp_client *c)
{
	if (c->down.outcome == SMTP_OUTCOME_LOST && smtp_pipe_front_is_sent(&c->pipe) &&
		smtp_pipe_front(&c->pipe) == ST_BODY)
		return SMTP_OUTCOME_UNCERTAIN;
	if (c->heard_mail.has_reply || c->no_mail_yet)
		return c->down.outcome;
	return SMTP_OUTCOME_UNTRIED;
}

static enum smtp_client_event
take_fall(struct smtp_client *c, struct smtp_client_fact *out_fact)
{
	if (c->mail_count > 0 && c->heard_mail.answered < c->mails[0]->rcpt_count) {
		enum smtp_client_outcome outcome = fallen_outcome(c);

		settle_all(c, outcome, outcome == SMTP_OUTCOME_UNTRIED ? SMTP_PHASE_MAIL : c->down.phase,
			outcome == SMTP_OUTCOME_REPLY ? &c->down.reply : &no_reply);
		if (take_result(c, out_fact))
			return SMTP_CLIENT_RESULT;
	}
	if (c->mail_count > 0) {
		/* The commands of this mail are void; those of the next are not looked at. */
		smtp_pipe_void(&c->pipe);
		return finish_mail(c, out_fact);
	}
	c->life = LIFE_DOWN;
	*out_fact = c->down;
	return SMTP_CLIENT_DOWN;
}

/* ---- opening the session ----------------------------------------------------------------------------- */

/* Between mails, and after the opening: what to say next. */
static enum step_id
next_mail(struct smtp_client *c)
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

	fall(c, SMTP_OUTCOME_REFUSED, refusal, why);
	c->down.phase = phase;
	return ST_STAY;
}

static enum step_id
fall_replied(struct smtp_client *c, const struct smtp_reply *reply)
{
	fall(c, SMTP_OUTCOME_REPLY, reply,
		reply->code == 421 ? SMTP_LIT("peer closes") : SMTP_LIT("refused"));
	return ST_STAY;
}

static enum step_id
become_ready(struct smtp_client *c)
{
	c->life = LIFE_READY;
	c->ready_due = true;
	return next_mail(c);
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
		return fall_replied(c, reply);
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
		return fall_replied(c, reply);
	smtp_ehlo_line(&c->ehlo, reply->text);
	return secure(c);
}

static enum step_id
hear_helo(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code < 300 ? secure(c) : fall_replied(c, reply);
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
	return reply->code / 100 == 3 ? ST_AUTH_USER : fall_replied(c, reply);
}

static enum step_id
hear_auth_user(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code / 100 == 3 ? ST_AUTH_PASS : fall_replied(c, reply);
}

static enum step_id
hear_auth(struct smtp_client *c, const struct smtp_reply *reply)
{
	smtp_pipe_wipe(&c->pipe);
	return reply->code < 300 ? become_ready(c) : fall_replied(c, reply);
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
	return reply->code < 300 ? ST_STAY : fall_replied(c, reply);
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
	settle_all(c, SMTP_OUTCOME_REPLY, SMTP_PHASE_MAIL, reply);
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
	settle_all(c, SMTP_OUTCOME_REFUSED, SMTP_PHASE_MAIL, refusal);
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
		c->heard_mail.accepted += !is_answered(c, index);
	else
		settle(c, index, index + 1, SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, reply);
	return ST_STAY;
}

static enum step_id
hear_skip(struct smtp_client *c, const struct smtp_reply *reply)
{
	uint32_t index = c->heard_mail.rcpts++;
	const struct smtp_reply *refusal = smtp_envelope_rcpt_refusal(c->mails[0], index);

	assert(refusal != NULL);
	settle(c, index, index + 1, SMTP_OUTCOME_REFUSED, SMTP_PHASE_RCPT, refusal);
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
	settle(c, c->heard_mail.rcpts, c->mails[0]->rcpt_count, SMTP_OUTCOME_UNTRIED, SMTP_PHASE_RCPT,
		&no_reply);
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
	settle_all(c, SMTP_OUTCOME_REPLY, SMTP_PHASE_DATA, reply);
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
	settle_all(c, SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, reply);
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
	return next_mail(c);
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
	fall(c, SMTP_OUTCOME_REPLY, reply, SMTP_LIT("closed"));
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

static const struct step steps[ST_COUNT] = {
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

/* ---- the loop ---------------------------------------------------------------------------------------- */

/* The one place where the cursor moves. `by` is the step whose say or hear decided. */
static void
move(struct smtp_client *c, enum step_id by, enum step_id next)
{
	if (next == ST_STAY)
		return;
	assert(next < ST_COUNT && (next == ST_WAIT || (steps[by].next & B(next)) != 0));
	c->cursor = next;
}

static bool
may_say(struct smtp_client *c)
{
	const struct step *step = &steps[c->cursor];

	if (c->life >= LIFE_FALLING || step->say == NULL)
		return false;
	if (!smtp_pipe_is_empty(&c->pipe) && !(step->is_piped && has_pipelining(c)))
		return false;
	return smtp_pipe_has_room(&c->pipe);
}

/* Says what may be said: bounded by the ring, as nothing is heard meanwhile. */
static void
speak(struct smtp_client *c)
{
	while (may_say(c)) {
		enum step_id step = c->cursor;

		move(c, step, steps[step].say(c));
	}
}

static void
on_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
	enum step_id step = smtp_pipe_front_is_sent(&c->pipe) ? smtp_pipe_front(&c->pipe) : ST_STAY;
	enum step_id next;
	char why[48];
	int len;

	/* RFC 5321 3.8: 421 may come at any time, asked for or not. A refusal in the middle of the message is
	 * no answer to its dot, but it says what the peer thinks of the mail. An acceptance of what was not
	 * sent yet is never believed. */
	if ((reply->code == 421 && step != ST_QUIT) ||
		(reply->code >= 400 && smtp_client_phase(c) == SMTP_PHASE_BODY)) {
		fall_replied(c, reply);
	} else if (step == ST_STAY) {
		fall_broken(c, SMTP_LIT("reply out of step"));
	} else if ((steps[step].codes & B(reply->code / 100)) == 0) {
		len = snprintf(why, sizeof(why), "unexpected reply %u", reply->code);
		fall_broken(c, (struct smtp_slice){why, len > 0 ? (size_t)len : 0});
	} else {
		/* A session that falls here does so in the phase of this command: it is heard first, gone
		 * after. */
		c->replies++;
		next = steps[step].hear(c, reply);
		smtp_pipe_hear(&c->pipe);
		move(c, step, next);
	}
}

/* One reply, or all of *in. */
static void
listen(struct smtp_client *c, struct smtp_slice *in)
{
	struct smtp_reply reply;
	int found = smtp_reply_feed(&c->parser, in, &reply);

	if (found < 0) {
		fall_broken(c,
			found == SMTP_ETOOLONG ? SMTP_LIT("endless reply") : SMTP_LIT("not an SMTP reply"));
	} else if (found == SMTP_REPLY_WHOLE) {
		on_reply(c, &reply);
		/* E4: what is glued behind the go-ahead would be read as if it had come through TLS. */
		if (c->starttls_due && in->len > 0)
			fall_broken(c, SMTP_LIT("bytes behind the reply"));
	} else if (found == SMTP_REPLY_LINE && reply.code / 100 == 2 && smtp_pipe_front_is_sent(&c->pipe) &&
		   smtp_pipe_front(&c->pipe) == ST_EHLO) {
		/* reply.text is this line: the ones before were forgotten; its line feed is not counted yet.
		 */
		smtp_ehlo_line(&c->ehlo, reply.text);
		smtp_reply_forget_text(&c->parser);
	}
}

enum smtp_client_event
smtp_client_next(struct smtp_client *c, struct smtp_slice *in, struct smtp_client_fact *out_fact)
{
	*out_fact = (struct smtp_client_fact){0};
	for (;;) {
		if (take_result(c, out_fact))
			return SMTP_CLIENT_RESULT;
		if (c->life == LIFE_FALLING)
			return take_fall(c, out_fact);
		if (c->life == LIFE_DOWN) {
			in->ptr += in->len;
			in->len = 0;
			return SMTP_CLIENT_MORE;
		}
		if (c->starttls_due) {
			c->starttls_due = false;
			return SMTP_CLIENT_STARTTLS;
		}
		if (c->ready_due) {
			c->ready_due = false;
			if (smtp_client_can_take(c))
				return SMTP_CLIENT_READY;
		}
		speak(c);
		if (!smtp_pipe_is_empty(&c->pipe) && steps[smtp_pipe_front(&c->pipe)].codes == 0) {
			enum step_id step = smtp_pipe_front(&c->pipe);

			smtp_pipe_hear(&c->pipe);
			if (step == ST_END) {
				c->ready_due = true;
				return finish_mail(c, out_fact);
			}
			move(c, step, steps[step].hear(c, NULL));
			continue;
		}
		if (in->len == 0)
			return SMTP_CLIENT_MORE;
		listen(c, in);
	}
}

/* ---- the host's side --------------------------------------------------------------------------------- */

struct smtp_client *
smtp_client_create(const struct smtp_alloc *alloc, const struct smtp_client_conf *conf)
{
	struct smtp_client *c = alloc->get(alloc->arg, sizeof(*c));

	assert(conf->ehlo_name.len > 0 && conf->ehlo_name.len <= SMTP_DOMAIN_MAX);
	assert(conf->user.len <= SMTP_CREDENTIAL_MAX && conf->password.len <= SMTP_CREDENTIAL_MAX);
	if (c == NULL)
		return NULL;
	memset(c, 0, offsetof(struct smtp_client, parser));
	smtp_reply_init(&c->parser);
	smtp_pipe_init(&c->pipe);
	c->alloc = *alloc;
	c->conf = *conf;
	c->is_tls = conf->is_tls;
	c->no_mail_yet = true;
	c->body.index = SMTP_DATA_PIECES;
	/* The greeting is the reply to a command of no bytes. */
	c->cursor = ST_WAIT;
	smtp_pipe_say_nothing(&c->pipe, ST_GREETING);
	return c;
}

void
smtp_client_destroy(struct smtp_client **cp)
{
	struct smtp_client *c = *cp;
	struct smtp_alloc alloc;

	*cp = NULL;
	if (c == NULL)
		return;
	alloc = c->alloc;
	/* A session cut during AUTH leaves the password in the buffer. */
	if (c->conf.user.len > 0)
		smtp_pipe_void(&c->pipe);
	alloc.put(alloc.arg, c);
}

bool
smtp_client_can_take(const struct smtp_client *c)
{
	uint32_t room = c->conf.may_overlap && has_pipelining(c) ? 2 : 1;

	return c->life == LIFE_READY && !c->is_quitting && c->mail_count < room;
}

void
smtp_client_mail(struct smtp_client *c, struct smtp_client_mail *take_mail)
{
	assert(smtp_client_can_take(c));
	assert(take_mail->rcpt_count > 0 && take_mail->rcpt_count <= SMTP_CLIENT_RCPT_MAX);
	c->mails[c->mail_count++] = take_mail;
	/* RFC 9422: MAILMAX; the last one it takes is followed by QUIT. */
	if (++c->mails_taken == c->ehlo.mail_max)
		c->is_quitting = true;
	if (c->cursor == ST_IDLE)
		move(c, ST_IDLE, next_mail(c));
}

void
smtp_client_quit(struct smtp_client *c)
{
	c->is_quitting = true;
	if (c->cursor == ST_IDLE)
		move(c, ST_IDLE, next_mail(c));
}

void
smtp_client_tls_started(struct smtp_client *c)
{
	if (c->life >= LIFE_FALLING)
		return;
	assert(c->cursor == ST_TLS);
	/* The beginning of a reply, sent in clear, must not be finished by one that comes through TLS. */
	if (c->parser.byte_count > 0) {
		fall_broken(c, SMTP_LIT("bytes behind the reply"));
		return;
	}
	/* RFC 3207 4.2: all that was learnt in clear is forgotten. */
	c->ehlo = (struct smtp_ehlo){0};
	c->is_tls = true;
	move(c, ST_TLS, ST_EHLO);
}

void
smtp_client_lost(struct smtp_client *c, struct smtp_slice text)
{
	fall(c, SMTP_OUTCOME_LOST, &no_reply, text);
}

int
smtp_client_output(struct smtp_client *c, struct iovec *iov, int iov_max)
{
	struct smtp_slice commands;
	bool reaches_end = true;
	int count = 0;

	if (c->life >= LIFE_FALLING || iov_max <= 0)
		return 0;
	speak(c);
	if (!smtp_data_out_is_done(&c->body))
		count = smtp_data_out_iov(&c->body, iov, iov_max, &reaches_end);
	commands = smtp_pipe_output(&c->pipe);
	if (reaches_end && count < iov_max && commands.len > 0)
		iov[count++] = (struct iovec){(void *)commands.ptr, commands.len};
	return count;
}

void
smtp_client_drained(struct smtp_client *c, size_t bytes)
{
	if (c->life >= LIFE_FALLING)
		return;
	if (!smtp_data_out_is_done(&c->body))
		bytes = smtp_data_out_drained(&c->body, bytes);
	if (bytes > 0)
		smtp_pipe_drained(&c->pipe, bytes);
}

uint32_t
smtp_client_replies(const struct smtp_client *c)
{
	return c->replies;
}

unsigned
smtp_client_caps(const struct smtp_client *c)
{
	return c->ehlo.caps;
}

const char *
smtp_client_phase_name(enum smtp_client_phase phase)
{
	static const char *const names[SMTP_PHASE_COUNT] = {"connect", "greeting", "ehlo", "starttls", "tls",
		"auth", "mail", "rcpt", "data", "body", "final dot", "rset", "idle", "quit"};

	assert(phase >= 0 && phase < SMTP_PHASE_COUNT);
	return names[phase];
}
