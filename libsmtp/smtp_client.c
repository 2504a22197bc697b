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
 * - a recipient is answered by smtp_client_settle() alone, and `answered` has a bit for each RESULT that went
 * out;
 * - once the session falls, nothing more is sent, and what is inside is answered mail by mail before DOWN.
 */
#include "smtp_client_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct smtp_reply no_reply;

static bool
has_pipelining(const struct smtp_client *c)
{
	return c->conf.may_pipeline && (c->ehlo.caps & SMTP_CAP_PIPELINING) != 0;
}

/* ---- results and the end of a session ---------------------------------------------------------------- */

bool
smtp_client_is_answered(const struct smtp_client *c, uint32_t index)
{
	return (c->answered[index / 8] >> index % 8 & 1) != 0;
}

void
smtp_client_settle(struct smtp_client *c, uint32_t first, uint32_t end, enum smtp_client_outcome outcome,
	enum smtp_client_phase phase, const struct smtp_reply *reply)
{
	assert(c->settle.next == c->settle.end);
	assert(first <= end && end <= c->mails[0]->rcpt_count);
	c->settle = (struct settle){first, end, outcome, phase, *reply};
}

void
smtp_client_settle_all(struct smtp_client *c, enum smtp_client_outcome outcome, enum smtp_client_phase phase,
	const struct smtp_reply *reply)
{
	smtp_client_settle(c, 0, c->mails[0]->rcpt_count, outcome, phase, reply);
}

/* The next RESULT due; false: none. */
static bool
take_result(struct smtp_client *c, struct smtp_client_fact *out_fact)
{
	struct settle *s = &c->settle;

	while (s->next < s->end && smtp_client_is_answered(c, s->next))
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
		return smtp_client_steps[c->cursor].phase;
	if (smtp_pipe_front(&c->pipe) == ST_BODY && !smtp_pipe_front_is_sent(&c->pipe))
		return SMTP_PHASE_BODY;
	return smtp_client_steps[smtp_pipe_front(&c->pipe)].phase;
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

void
smtp_client_fall(struct smtp_client *c, enum smtp_client_outcome outcome, const struct smtp_reply *reply,
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

enum step_id
smtp_client_fall_replied(struct smtp_client *c, const struct smtp_reply *reply)
{
	smtp_client_fall(c, SMTP_OUTCOME_REPLY, reply,
		reply->code == 421 ? SMTP_LIT("peer closes") : SMTP_LIT("refused"));
	return ST_STAY;
}

/* The peer does not speak SMTP, or not in step. Whatever it says next means nothing. */
static void
fall_broken(struct smtp_client *c, struct smtp_slice why)
{
	bool was_piping = has_pipelining(c) && (c->mail_count > 0 || !c->no_mail_yet);

	smtp_client_fall(c, SMTP_OUTCOME_LOST, &no_reply, why);
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

		smtp_client_settle_all(c, outcome,
			outcome == SMTP_OUTCOME_UNTRIED ? SMTP_PHASE_MAIL : c->down.phase,
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

/* ---- the loop ---------------------------------------------------------------------------------------- */

/* The one place where the cursor moves. `by` is the step whose say or hear decided. */
static void
move(struct smtp_client *c, enum step_id by, enum step_id next)
{
	if (next == ST_STAY)
		return;
	assert(next < ST_COUNT && (next == ST_WAIT || (smtp_client_steps[by].next & B(next)) != 0));
	c->cursor = next;
}

static bool
may_say(struct smtp_client *c)
{
	const struct step *step = &smtp_client_steps[c->cursor];

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

		move(c, step, smtp_client_steps[step].say(c));
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
		smtp_client_fall_replied(c, reply);
	} else if (step == ST_STAY) {
		fall_broken(c, SMTP_LIT("reply out of step"));
	} else if ((smtp_client_steps[step].codes & B(reply->code / 100)) == 0) {
		len = snprintf(why, sizeof(why), "unexpected reply %u", reply->code);
		fall_broken(c, (struct smtp_slice){why, len > 0 ? (size_t)len : 0});
	} else {
		/* A session that falls here does so in the phase of this command: it is heard first, gone
		 * after. */
		c->replies++;
		next = smtp_client_steps[step].hear(c, reply);
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
		if (!smtp_pipe_is_empty(&c->pipe) &&
			smtp_client_steps[smtp_pipe_front(&c->pipe)].codes == 0) {
			enum step_id step = smtp_pipe_front(&c->pipe);

			smtp_pipe_hear(&c->pipe);
			if (step == ST_END) {
				c->ready_due = true;
				return finish_mail(c, out_fact);
			}
			move(c, step, smtp_client_steps[step].hear(c, NULL));
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
		move(c, ST_IDLE, smtp_client_next_mail(c));
}

void
smtp_client_quit(struct smtp_client *c)
{
	c->is_quitting = true;
	if (c->cursor == ST_IDLE)
		move(c, ST_IDLE, smtp_client_next_mail(c));
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
	smtp_client_fall(c, SMTP_OUTCOME_LOST, &no_reply, text);
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
