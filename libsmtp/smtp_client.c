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
#include "smtp_params.h"
#include "smtp_reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define B(step) (1u << (step))

enum {
	COMMAND_BYTES = 2 * SMTP_COMMAND_MAX, /* a step is said while there is room for the longest command */
	RING = SMTP_CLIENT_OUTSTANDING_MAX,
	CREDENTIALS_MAX = 2 * SMTP_CREDENTIAL_MAX + 2,
	REASON_MAX = 200,
};
_Static_assert((RING & (RING - 1)) == 0, "positions in the ring are taken modulo its size");
_Static_assert(SMTP_BASE64_LEN(CREDENTIALS_MAX) + 16 <= SMTP_COMMAND_MAX, "AUTH PLAIN fits a command");
_Static_assert(SMTP_ADDRESS_MAX + 3 * SMTP_ORCPT_MAX + 64 <= SMTP_COMMAND_MAX, "RCPT fits a command");

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
	ST_AUTH_PASSWORD,
	ST_IDLE,
	ST_RSET,
	ST_MAIL,
	ST_UNFIT, /* silent: the mail is refused by us */
	ST_RCPT,
	ST_SKIP, /* silent: the recipient is refused by us */
	ST_DATA,
	ST_BODY,     /* the message, its final dot, and the reply to that */
	ST_LONE_DOT, /* D19: 354 although no recipient was accepted */
	ST_END,      /* silent: the mail is over */
	ST_QUIT,
	ST_COUNT,
};

struct step {
	const char *name;
	enum smtp_client_phase phase; /* the timer, RFC 5321 4.5.3.2 */
	bool is_piped;                /* may be said while replies are outstanding (RFC 2920 3.1) */
	enum step_id (*say)(struct smtp_client *c);
	enum step_id (*hear)(struct smtp_client *c, const struct smtp_reply *reply);
	unsigned codes; /* first digits of replies that fit; 0: silent, heard without a reply */
	uint32_t next;  /* where saying and hearing may lead */
};
static const struct step steps[ST_COUNT];

/* A command on its way: what it was, and how many bytes of the buffer it is. */
struct said {
	uint8_t step;
	uint16_t bytes;
};

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
	uint32_t mails_said;        /* of those inside: all of their commands were said */
	uint32_t rcpts_said;        /* of the mail whose commands are being said */
	struct smtp_data_look look; /* of the same mail */
	struct smtp_data_out body;
	struct heard heard_mail;
	struct settle settle;
	struct smtp_client_fact down; /* DOWN as it will be told, from LIFE_FALLING on */

	uint32_t said, sent, heard;        /* counts of commands; modulo RING they are places in the ring */
	uint32_t sent_bytes;               /* of the command at `sent` */
	uint32_t command_from, command_to; /* what is to be sent in command[] */
	struct said ring[RING];
	uint8_t answered[SMTP_CLIENT_RCPT_MAX / 8];
	struct smtp_reply_parser parser;
	char command[COMMAND_BYTES]; /* from LIFE_FALLING on: the words of DOWN */
};
_Static_assert(sizeof(struct smtp_client) <= 8192, "ten thousand sessions are planned for");

/* ---- refusals by us ---------------------------------------------------------------------------------- */

#define REFUSAL(code_, class_, subject_, detail_, text_)                                                     \
	{                                                                                                    \
		.code = (code_), .esc = {(class_), (subject_), (detail_)}, .text = {                         \
			(text_),                                                                             \
			sizeof(text_) - 1                                                                    \
		}                                                                                            \
	}

static const struct smtp_reply refused_size =
	REFUSAL(552, 5, 3, 4, "5.3.4 message is larger than the receiving server takes");
static const struct smtp_reply refused_8bit =
	REFUSAL(554, 5, 6, 3, "5.6.3 message is 8-bit and the receiving server does not offer 8BITMIME");
static const struct smtp_reply refused_utf8 =
	REFUSAL(553, 5, 6, 7, "5.6.7 message needs SMTPUTF8 and the receiving server does not offer it");
static const struct smtp_reply refused_body =
	REFUSAL(554, 5, 6, 0, "5.6.0 message has a NUL, a bare CR or a bare LF and cannot be sent");
static const struct smtp_reply refused_sender = REFUSAL(553, 5, 1, 7, "5.1.7 sender address cannot be sent");
static const struct smtp_reply refused_rcpt = REFUSAL(553, 5, 1, 3, "5.1.3 recipient address cannot be sent");
static const struct smtp_reply refused_no_tls = REFUSAL(451, 4, 7, 4, "4.7.4 TLS required but not offered");
static const struct smtp_reply refused_tls = REFUSAL(451, 4, 7, 4, "4.7.4 TLS required but refused");
static const struct smtp_reply refused_no_auth = REFUSAL(451, 4, 7, 0, "4.7.0 AUTH required but not offered");
static const struct smtp_reply refused_clear =
	REFUSAL(451, 4, 7, 0, "4.7.0 password not sent: the connection is not encrypted");

/*
 * An address between angle brackets must stay between them: a control character would begin another command,
 * a '>' outside quotes another parameter. The parsers at intake refuse such addresses; this is the last look
 * before the wire.
 */
static bool
is_sayable(struct smtp_slice address)
{
	bool quoted = false, escaped = false;

	if (address.len > SMTP_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < address.len; i++) {
		unsigned char byte = (unsigned char)address.ptr[i];

		if (byte < 0x20 || byte == 0x7f)
			return false;
		if (escaped)
			escaped = false;
		else if (byte == '\\')
			escaped = true;
		else if (byte == '"')
			quoted = !quoted;
		else if (!quoted && (byte == ' ' || byte == '<' || byte == '>'))
			return false;
	}
	return !quoted && !escaped;
}

static bool
is_ascii(struct smtp_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] > 127)
			return false;
	return true;
}

/* NULL: the mail can be sent to this peer. */
static const struct smtp_reply *
mail_refusal(
	const struct smtp_client *c, const struct smtp_client_mail *mail, const struct smtp_data_look *look)
{
	if (!look->is_clean)
		return &refused_body;
	if (c->ehlo.size_max != 0 && look->byte_count > c->ehlo.size_max)
		return &refused_size;
	if (mail->is_utf8 && (c->ehlo.caps & SMTP_CAP_SMTPUTF8) == 0)
		return &refused_utf8;
	if (mail->is_8bit && (c->ehlo.caps & SMTP_CAP_8BITMIME) == 0)
		return &refused_8bit;
	if (!is_sayable(mail->sender))
		return &refused_sender;
	if (!mail->is_utf8 && !is_ascii(mail->sender))
		return &refused_utf8;
	return NULL;
}

static const struct smtp_reply *
rcpt_refusal(const struct smtp_client_mail *mail, uint32_t index)
{
	struct smtp_slice address = mail->rcpts[index].address;

	if (address.len == 0 || !is_sayable(address))
		return &refused_rcpt;
	if (!mail->is_utf8 && !is_ascii(address))
		return &refused_utf8;
	return NULL;
}

/* ---- the ring and the command buffer ----------------------------------------------------------------- */

static struct said *
said_at(struct smtp_client *c, uint32_t count)
{
	return &c->ring[count % RING];
}

static const struct step *
front(const struct smtp_client *c)
{
	assert(c->heard != c->said);
	return &steps[c->ring[c->heard % RING].step];
}

static bool
has_pipelining(const struct smtp_client *c)
{
	return c->conf.may_pipeline && (c->ehlo.caps & SMTP_CAP_PIPELINING) != 0;
}

static bool
may_say(struct smtp_client *c)
{
	const struct step *step = &steps[c->cursor];

	if (c->life >= LIFE_FALLING || step->say == NULL || c->said - c->heard == RING)
		return false;
	if (c->said != c->heard && !(step->is_piped && has_pipelining(c)))
		return false;
	if (sizeof(c->command) - c->command_to >= SMTP_COMMAND_MAX)
		return true;
	memmove(c->command, c->command + c->command_from, c->command_to - c->command_from);
	c->command_to -= c->command_from;
	c->command_from = 0;
	return sizeof(c->command) - c->command_to >= SMTP_COMMAND_MAX;
}

static void
put(struct smtp_client *c, struct smtp_slice text)
{
	assert(text.len <= sizeof(c->command) - c->command_to);
	if (text.len > 0)
		memcpy(c->command + c->command_to, text.ptr, text.len);
	c->command_to += (uint32_t)text.len;
}

/* After an encoder wrote `len` bytes at the end of the buffer. The room was reserved: it cannot have failed.
 */
static void
put_encoded(struct smtp_client *c, int len)
{
	assert(len >= 0);
	c->command_to += (uint32_t)len;
}

static void
put_base64(struct smtp_client *c, struct smtp_slice text)
{
	put_encoded(
		c, smtp_base64_encode(text, c->command + c->command_to, sizeof(c->command) - c->command_to));
}

static void
put_xtext(struct smtp_client *c, struct smtp_slice text)
{
	put_encoded(
		c, smtp_xtext_encode(text, c->command + c->command_to, sizeof(c->command) - c->command_to));
}

/* Ends what was put since `from`, as a command of that step; nothing was put for the silent ones. */
static void
say(struct smtp_client *c, enum step_id step, uint32_t from)
{
	bool is_all_sent = c->sent == c->said;

	assert(c->said - c->heard < RING);
	assert(c->command_to - from <= SMTP_COMMAND_MAX);
	*said_at(c, c->said++) = (struct said){(uint8_t)step, (uint16_t)(c->command_to - from)};
	if (is_all_sent && c->command_to == from)
		c->sent++;
}

static void
say_line(struct smtp_client *c, enum step_id step, struct smtp_slice line)
{
	uint32_t from = c->command_to;

	put(c, line);
	put(c, SMTP_LIT("\r\n"));
	say(c, step, from);
}

/* `bytes` of the command buffer are out: forward over the commands they complete. */
static void
count_sent(struct smtp_client *c, size_t bytes)
{
	assert(bytes <= c->command_to - c->command_from);
	c->command_from += (uint32_t)bytes;
	c->sent_bytes += (uint32_t)bytes;
	while (c->sent != c->said && c->sent_bytes >= said_at(c, c->sent)->bytes)
		c->sent_bytes -= said_at(c, c->sent++)->bytes;
	if (c->command_from == c->command_to)
		c->command_from = c->command_to = 0;
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
	if (c->said == c->heard)
		return steps[c->cursor].phase;
	if (c->ring[c->heard % RING].step == ST_BODY && c->sent == c->heard)
		return SMTP_PHASE_BODY;
	return front(c)->phase;
}

/* Is it the lack of this reply, or its place, that points at pipelining? A peer which answered the first of
 * several commands and then no more, or nothing to a final dot with an envelope behind it, may have dropped
 * its input (D16). */
static bool
is_pipeline_suspect(struct smtp_client *c)
{
	uint32_t behind = 0;

	if (c->mail_count == 0)
		return false;
	for (uint32_t i = c->heard; i != c->sent; i++)
		behind += steps[said_at(c, i)->step].codes != 0;
	return behind > 1 && (c->heard_mail.has_reply || front(c) == &steps[ST_BODY]);
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
	len = snprintf(c->command, sizeof(c->command), "%.*s in %s",
		(int)(why.len < REASON_MAX ? why.len : REASON_MAX), why.ptr, smtp_client_phase_name(phase));
	c->down.text = (struct smtp_slice){c->command, len > 0 ? (size_t)len : 0};
	c->life = LIFE_FALLING;
}

/* The peer does not speak SMTP, or not in step. Whatever it says next means nothing. */
static void
fall_broken(struct smtp_client *c, struct smtp_slice why)
{
	static const struct smtp_reply none;
	bool was_piping = has_pipelining(c) && (c->mail_count > 0 || !c->no_mail_yet);

	fall(c, SMTP_OUTCOME_LOST, &none, why);
	c->down.pipeline_broken = c->down.pipeline_broken || was_piping;
}

/* What the fall means for the first mail inside. */
static enum smtp_client_outcome
fallen_outcome(struct smtp_client *c)
{
	if (c->heard != c->sent && said_at(c, c->heard)->step == ST_BODY &&
		c->down.outcome == SMTP_OUTCOME_LOST)
		return SMTP_OUTCOME_UNCERTAIN;
	if (c->heard_mail.has_reply || c->no_mail_yet)
		return c->down.outcome;
	return SMTP_OUTCOME_UNTRIED;
}

static enum smtp_client_event
take_fall(struct smtp_client *c, struct smtp_client_fact *out_fact)
{
	static const struct smtp_reply none;

	if (c->mail_count > 0 && c->heard_mail.answered < c->mails[0]->rcpt_count) {
		enum smtp_client_outcome outcome = fallen_outcome(c);

		settle_all(c, outcome, outcome == SMTP_OUTCOME_UNTRIED ? SMTP_PHASE_MAIL : c->down.phase,
			outcome == SMTP_OUTCOME_REPLY ? &c->down.reply : &none);
		if (take_result(c, out_fact))
			return SMTP_CLIENT_RESULT;
	}
	if (c->mail_count > 0) {
		/* The commands of this mail are void; those of the next are not looked at. */
		c->heard = c->sent = c->said;
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
	uint32_t from = c->command_to;

	c->ehlo = (struct smtp_ehlo){0};
	put(c, verb);
	put(c, c->conf.ehlo_name);
	put(c, SMTP_LIT("\r\n"));
	say(c, step, from);
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
	say_line(c, ST_STARTTLS, SMTP_LIT("STARTTLS"));
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
	uint32_t from = c->command_to;
	size_t user = c->conf.user.len, password = c->conf.password.len;

	/* RFC 4616 2: no authorization identity, NUL, user, NUL, password. */
	text[0] = text[1 + user] = '\0';
	memcpy(text + 1, c->conf.user.ptr, user);
	if (password > 0)
		memcpy(text + 2 + user, c->conf.password.ptr, password);
	put(c, SMTP_LIT("AUTH PLAIN "));
	put_base64(c, (struct smtp_slice){text, user + password + 2});
	put(c, SMTP_LIT("\r\n"));
	say(c, ST_AUTH_PLAIN, from);
	explicit_bzero(text, sizeof(text));
	return ST_WAIT;
}

static enum step_id
say_auth_login(struct smtp_client *c)
{
	say_line(c, ST_AUTH_LOGIN, SMTP_LIT("AUTH LOGIN"));
	return ST_WAIT;
}

static enum step_id
say_auth_user(struct smtp_client *c)
{
	uint32_t from = c->command_to;

	put_base64(c, c->conf.user);
	put(c, SMTP_LIT("\r\n"));
	say(c, ST_AUTH_USER, from);
	return ST_WAIT;
}

static enum step_id
say_auth_password(struct smtp_client *c)
{
	uint32_t from = c->command_to;

	put_base64(c, c->conf.password);
	put(c, SMTP_LIT("\r\n"));
	say(c, ST_AUTH_PASSWORD, from);
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
	return reply->code / 100 == 3 ? ST_AUTH_PASSWORD : fall_replied(c, reply);
}

static enum step_id
hear_auth(struct smtp_client *c, const struct smtp_reply *reply)
{
	explicit_bzero(c->command, sizeof(c->command));
	return reply->code < 300 ? become_ready(c) : fall_replied(c, reply);
}

/* ---- a mail ------------------------------------------------------------------------------------------ */

static enum step_id
say_rset(struct smtp_client *c)
{
	c->must_reset = false;
	say_line(c, ST_RSET, SMTP_LIT("RSET"));
	return ST_MAIL;
}

/* A peer that cannot even reset is of no use for the next mail, which was not tried. */
static enum step_id
hear_rset(struct smtp_client *c, const struct smtp_reply *reply)
{
	return reply->code < 300 ? ST_STAY : fall_replied(c, reply);
}

static void
put_mail_parameters(struct smtp_client *c, const struct smtp_client_mail *mail)
{
	char size[32];
	int len;

	if ((c->ehlo.caps & SMTP_CAP_SIZE) != 0) {
		len = snprintf(size, sizeof(size), " SIZE=%llu", (unsigned long long)c->look.byte_count);
		assert(len > 0 && (size_t)len < sizeof(size));
		put(c, (struct smtp_slice){size, (size_t)len});
	}
	if (mail->is_8bit)
		put(c, SMTP_LIT(" BODY=8BITMIME"));
	if (mail->is_utf8)
		put(c, SMTP_LIT(" SMTPUTF8"));
	if ((c->ehlo.caps & SMTP_CAP_DSN) == 0)
		return;
	if (mail->ret != SMTP_RET_NONE)
		put(c, mail->ret == SMTP_RET_FULL ? SMTP_LIT(" RET=FULL") : SMTP_LIT(" RET=HDRS"));
	if (mail->envid.len > 0 && mail->envid.len <= SMTP_ENVID_MAX) {
		put(c, SMTP_LIT(" ENVID="));
		put_xtext(c, mail->envid);
	}
}

static enum step_id
say_mail(struct smtp_client *c)
{
	const struct smtp_client_mail *mail = c->mails[c->mails_said];
	uint32_t from = c->command_to;

	c->rcpts_said = 0;
	c->look = smtp_data_look(mail->body);
	if (mail_refusal(c, mail, &c->look) != NULL) {
		say(c, ST_UNFIT, from);
		return ST_END;
	}
	put(c, SMTP_LIT("MAIL FROM:<"));
	put(c, mail->sender);
	put(c, SMTP_LIT(">"));
	put_mail_parameters(c, mail);
	put(c, SMTP_LIT("\r\n"));
	say(c, ST_MAIL, from);
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
	const struct smtp_reply *refusal = mail_refusal(c, mail, &look);

	assert(refusal != NULL);
	settle_all(c, SMTP_OUTCOME_REFUSED, SMTP_PHASE_MAIL, refusal);
	return ST_STAY;
}

/* RFC 3461 4.1: NEVER stands alone. */
static void
put_notify(struct smtp_client *c, unsigned notify)
{
	static const struct {
		unsigned bit;
		struct smtp_slice word;
	} words[] = {
		{SMTP_NOTIFY_SUCCESS, {"SUCCESS", 7}},
		{SMTP_NOTIFY_FAILURE, {"FAILURE", 7}},
		{SMTP_NOTIFY_DELAY, {"DELAY", 5}},
	};
	struct smtp_slice lead = SMTP_LIT(" NOTIFY=");

	if ((notify & SMTP_NOTIFY_NEVER) != 0) {
		put(c, SMTP_LIT(" NOTIFY=NEVER"));
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((notify & words[i].bit) == 0)
			continue;
		put(c, lead);
		put(c, words[i].word);
		lead = SMTP_LIT(",");
	}
}

static enum step_id
say_rcpt(struct smtp_client *c)
{
	const struct smtp_client_mail *mail = c->mails[c->mails_said];
	const struct smtp_client_rcpt *rcpt = &mail->rcpts[c->rcpts_said];
	uint32_t from = c->command_to;

	if (rcpt_refusal(mail, c->rcpts_said) != NULL) {
		say(c, ST_SKIP, from);
	} else {
		put(c, SMTP_LIT("RCPT TO:<"));
		put(c, rcpt->address);
		put(c, SMTP_LIT(">"));
		if ((c->ehlo.caps & SMTP_CAP_DSN) != 0) {
			put_notify(c, rcpt->notify);
			if (rcpt->orcpt.len > 0 && rcpt->orcpt.len <= SMTP_ORCPT_MAX) {
				put(c, SMTP_LIT(" ORCPT="));
				put_xtext(c, rcpt->orcpt);
			}
		}
		put(c, SMTP_LIT("\r\n"));
		say(c, ST_RCPT, from);
	}
	return ++c->rcpts_said < mail->rcpt_count ? ST_RCPT : ST_DATA;
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
	const struct smtp_reply *refusal = rcpt_refusal(c->mails[0], index);

	assert(refusal != NULL);
	settle(c, index, index + 1, SMTP_OUTCOME_REFUSED, SMTP_PHASE_RCPT, refusal);
	return ST_STAY;
}

/* With nobody accepted and nothing outstanding there is no reason to ask for data. */
static enum step_id
say_data(struct smtp_client *c)
{
	if (c->said == c->heard && c->heard_mail.accepted == 0) {
		c->must_reset = c->heard_mail.mail_is_ok;
		return ST_END;
	}
	say_line(c, ST_DATA, SMTP_LIT("DATA"));
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
	assert(c->command_from == c->command_to && smtp_data_out_is_done(&c->body));
	smtp_data_out_init(&c->body, c->mails[c->mails_said]->body, c->look.has_dots);
	/* RFC 5321 4.1.1.4: a last line without its line end gets one, or the dot would belong to it. */
	say_line(c, ST_BODY, c->look.ends_line ? SMTP_LIT(".") : SMTP_LIT("\r\n."));
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
	say_line(c, ST_LONE_DOT, SMTP_LIT("."));
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
	say(c, ST_END, c->command_to);
	c->mails_said++;
	return next_mail(c);
}

static enum step_id
say_quit(struct smtp_client *c)
{
	say_line(c, ST_QUIT, SMTP_LIT("QUIT"));
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

#define OK_NO  (B(2) | B(4) | B(5))
#define GO_NO  (B(3) | B(4) | B(5))
#define ANY    (B(2) | B(3) | B(4) | B(5))
#define LOGIN  (B(ST_AUTH_PLAIN) | B(ST_AUTH_LOGIN) | READY)
#define READY  (B(ST_IDLE) | NEXT)
#define NEXT   (B(ST_RSET) | B(ST_MAIL) | B(ST_QUIT) | B(ST_IDLE))
#define SECURE (B(ST_STARTTLS) | LOGIN)

static const struct step steps[ST_COUNT] = {
	/* clang-format off */
	/*                    name          timer                piped  says            hears            codes  may go to */
	[ST_WAIT]          = {"wait",       SMTP_PHASE_IDLE,     false, NULL,           NULL,            0,     0},
	[ST_GREETING]      = {"greeting",   SMTP_PHASE_GREETING, false, NULL,           hear_greeting,   OK_NO, B(ST_EHLO) | B(ST_HELO)},
	[ST_EHLO]          = {"ehlo",       SMTP_PHASE_EHLO,     false, say_ehlo,       hear_ehlo,       OK_NO, B(ST_WAIT) | B(ST_HELO) | SECURE},
	[ST_HELO]          = {"helo",       SMTP_PHASE_EHLO,     false, say_helo,       hear_helo,       OK_NO, B(ST_WAIT) | LOGIN},
	[ST_STARTTLS]      = {"starttls",   SMTP_PHASE_STARTTLS, false, say_starttls,   hear_starttls,   OK_NO, B(ST_WAIT) | B(ST_TLS) | LOGIN},
	[ST_TLS]           = {"tls",        SMTP_PHASE_TLS,      false, NULL,           NULL,            0,     B(ST_EHLO)},
	[ST_AUTH_PLAIN]    = {"auth plain", SMTP_PHASE_AUTH,     false, say_auth_plain, hear_auth,       ANY,   B(ST_WAIT) | READY},
	[ST_AUTH_LOGIN]    = {"auth login", SMTP_PHASE_AUTH,     false, say_auth_login, hear_auth_login, GO_NO, B(ST_WAIT) | B(ST_AUTH_USER)},
	[ST_AUTH_USER]     = {"auth user",  SMTP_PHASE_AUTH,     false, say_auth_user,  hear_auth_user,  GO_NO, B(ST_WAIT) | B(ST_AUTH_PASSWORD)},
	[ST_AUTH_PASSWORD] = {"password",   SMTP_PHASE_AUTH,     false, say_auth_password, hear_auth,    OK_NO, B(ST_WAIT) | READY},
	[ST_IDLE]          = {"idle",       SMTP_PHASE_IDLE,     false, NULL,           NULL,            0,     NEXT},
	[ST_RSET]          = {"rset",       SMTP_PHASE_RSET,     true,  say_rset,       hear_rset,       OK_NO, B(ST_MAIL)},
	[ST_MAIL]          = {"mail",       SMTP_PHASE_MAIL,     true,  say_mail,       hear_mail,       OK_NO, B(ST_RCPT) | B(ST_END)},
	[ST_UNFIT]         = {"unfit",      SMTP_PHASE_MAIL,     true,  NULL,           hear_unfit,      0,     0},
	[ST_RCPT]          = {"rcpt",       SMTP_PHASE_RCPT,     true,  say_rcpt,       hear_rcpt,       OK_NO, B(ST_RCPT) | B(ST_DATA)},
	[ST_SKIP]          = {"skip",       SMTP_PHASE_RCPT,     true,  NULL,           hear_skip,       0,     0},
	[ST_DATA]          = {"data",       SMTP_PHASE_DATA,     true,  say_data,       hear_data,       GO_NO, B(ST_WAIT) | B(ST_BODY) | B(ST_LONE_DOT) | B(ST_END)},
	[ST_BODY]          = {"body",       SMTP_PHASE_DOT,      false, say_body,       hear_body,       OK_NO, B(ST_END)},
	[ST_LONE_DOT]      = {"lone dot",   SMTP_PHASE_DOT,      false, say_lone_dot,   hear_lone_dot,   OK_NO, B(ST_END)},
	[ST_END]           = {"end",        SMTP_PHASE_IDLE,     true,  say_end,        NULL,            0,     NEXT},
	[ST_QUIT]          = {"quit",       SMTP_PHASE_QUIT,     false, say_quit,       hear_quit,       ANY,   B(ST_WAIT)},
	/* clang-format on */
};

/* ---- the loop ---------------------------------------------------------------------------------------- */

/* The one place where the cursor moves. `by` is the step whose say or hear decided. */
static void
move(struct smtp_client *c, enum step_id by, enum step_id next)
{
	if (next == ST_STAY)
		return;
	assert(next < ST_COUNT && (steps[by].next & B(next)) != 0);
	c->cursor = next;
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
	const struct step *step;
	enum step_id next;
	char why[48];
	int len;

	/* RFC 5321 3.8: 421 may come at any time, asked for or not. */
	if (reply->code == 421 && (c->heard == c->sent || front(c) != &steps[ST_QUIT])) {
		fall_replied(c, reply);
		return;
	}
	/* A refusal in the middle of the message is no answer to its dot, but it says what the peer thinks of
	 * the mail. An acceptance of what was not sent yet is never believed. */
	if (reply->code >= 400 && smtp_client_phase(c) == SMTP_PHASE_BODY) {
		fall_replied(c, reply);
		return;
	}
	if (c->heard == c->sent) {
		fall_broken(c, SMTP_LIT("reply out of step"));
		return;
	}
	step = front(c);
	if ((step->codes & B(reply->code / 100)) == 0) {
		len = snprintf(why, sizeof(why), "unexpected reply %u", reply->code);
		fall_broken(c, (struct smtp_slice){why, len > 0 ? (size_t)len : 0});
		return;
	}
	/* A session that falls here does so in the phase of this reply, so the handler runs before the ring
	 * moves. */
	next = step->hear(c, reply);
	c->heard++;
	move(c, (enum step_id)(step - steps), next);
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
	} else if (found == SMTP_REPLY_LINE && c->heard != c->sent && front(c) == &steps[ST_EHLO] &&
		   reply.code / 100 == 2) {
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
		if (c->heard != c->said && front(c)->codes == 0) {
			enum step_id step = (enum step_id)said_at(c, c->heard++)->step;

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
	c->alloc = *alloc;
	c->conf = *conf;
	c->is_tls = conf->is_tls;
	c->no_mail_yet = true;
	c->body.index = SMTP_DATA_PIECES;
	/* The greeting is the reply to a command of no bytes. */
	c->cursor = ST_WAIT;
	say(c, ST_GREETING, c->command_to);
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
		explicit_bzero(c->command, sizeof(c->command));
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
	static const struct smtp_reply none;

	fall(c, SMTP_OUTCOME_LOST, &none, text);
}

int
smtp_client_output(struct smtp_client *c, struct iovec *iov, int iov_max)
{
	bool reaches_end = true;
	int count = 0;

	if (c->life >= LIFE_FALLING || iov_max <= 0)
		return 0;
	speak(c);
	if (!smtp_data_out_is_done(&c->body))
		count = smtp_data_out_iov(&c->body, iov, iov_max, &reaches_end);
	if (reaches_end && count < iov_max && c->command_from < c->command_to)
		iov[count++] = (struct iovec){c->command + c->command_from, c->command_to - c->command_from};
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
		count_sent(c, bytes);
}

unsigned
smtp_client_caps(const struct smtp_client *c)
{
	return c->ehlo.caps;
}

uint64_t
smtp_client_size_max(const struct smtp_client *c)
{
	return c->ehlo.size_max;
}

uint32_t
smtp_client_rcpt_max(const struct smtp_client *c)
{
	return c->ehlo.rcpt_max;
}

uint32_t
smtp_client_mail_max(const struct smtp_client *c)
{
	return c->ehlo.mail_max;
}

const char *
smtp_client_phase_name(enum smtp_client_phase phase)
{
	static const char *const names[SMTP_PHASE_COUNT] = {"connect", "greeting", "ehlo", "starttls", "tls",
		"auth", "mail", "rcpt", "data", "body", "final dot", "rset", "idle", "quit"};

	assert(phase >= 0 && phase < SMTP_PHASE_COUNT);
	return names[phase];
}
