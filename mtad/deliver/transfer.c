/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the queue's nouns (job, recipient number, message) and the engine's (mail, recipient, result).
 * Bodies of mail that is not fresh are read here, in the io thread, one short read transaction each.
 */
#include "deliver/transfer.h"

#include "deliver/outbound.h"
#include "feedback/token.h"
#include "queue/suppressed.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_US = 1000000, AGAIN_US = 60 * SECOND_US };

static struct smtp_slice
slice(struct queue_blob b)
{
	return (struct smtp_slice){b.ptr, b.len};
}

/* Not "returned": what comes back to the front is handed out again at once, and a message that does not fit
 * into memory would go round between the threads and let nothing past it. */
static void
again(struct job *job, const char *why)
{
	job_answer_all(job, QUEUE_VERDICT_LATER, BOUNCE_CLASS_SYSTEM_ERROR, "4.3.0", AGAIN_US, why);
}

static bool
load(struct job *job, struct queue_store *store, struct memory *memory)
{
	int err = job_load(job, store, memory, true);

	if (err == QUEUE_EDAMAGED) {
		job_answer_all(job, QUEUE_VERDICT_DROPPED, BOUNCE_CLASS_SYSTEM_ERROR, "5.3.0", 0,
			"message is damaged in the spool");
		return false;
	}
	if (err == QUEUE_OK)
		return true;
	again(job, err == QUEUE_ENOMEM ? "no memory to load the message"
				       : "message cannot be read from the spool");
	return false;
}

/* RFC 2852 4.1.3: no attempt after the time of BY= with R. One that was over when the job was handed out has
 * a grace of the schedule, which doubts the clock. */
static bool
is_late(const struct job *job, int64_t now_us)
{
	int64_t at_us = job->message->meta.expire_us;

	return at_us != 0 && job->started_us < at_us && now_us >= at_us;
}

/* RFC 2852 4.1.4: what is left of the time, told when it is sent. */
static void
fill_by(struct smtp_client_mail *mail, const struct queue_message *m, int64_t now_us)
{
	int64_t at_us = message_deliver_by(m), left_us = at_us - now_us;
	int64_t left_s = (left_us + (left_us > 0 ? SECOND_US - 1 : 0)) / SECOND_US;

	if (at_us == 0 || (m->expire_us != 0 && left_s <= 0))
		return;
	if (left_s > SMTP_BY_MAX_S)
		left_s = SMTP_BY_MAX_S;
	else if (left_s < -SMTP_BY_MAX_S)
		left_s = -SMTP_BY_MAX_S;
	mail->by = m->expire_us != 0 ? SMTP_BY_RETURN : SMTP_BY_NOTIFY;
	mail->by_s = (int32_t)left_s;
	mail->by_trace = (m->flags & QUEUE_MESSAGE_TRACE) != 0;
}

/* Accounting, bounces of our own and the schedule know the application's sender; sites see this one. Where a
 * reload has taken the domain or the secret away, they see the application's again. */
static struct smtp_slice
return_path(struct transfer *t)
{
	const struct queue_message *m = &t->job->message->meta;
	const struct conf *c = t->job->outbound != NULL ? t->job->outbound->conf : NULL;
	struct token token;

	if ((m->flags & QUEUE_MESSAGE_VERP) == 0 || m->nonce == 0 || c == NULL ||
		c->return_path_domain[0] == '\0' || c->token_secrets[0][0] == '\0')
		return slice(m->sender);
	assert(t->job->rcpt_count == 1);
	token = token_of(TOKEN_RETURN_PATH, m, t->job->rcpts[0].n);
	return (struct smtp_slice){t->return_path, (size_t)token_return_path(c, &token, t->return_path)};
}

static void
fill_mail(struct transfer *t, uint32_t rcpt_count, int64_t now_us)
{
	const struct message *m = t->job->message;
	struct smtp_client_mail *mail = &t->mail;
	unsigned i;

	mail->sender = return_path(t);
	mail->rcpts = t->rcpts;
	mail->rcpt_count = rcpt_count;
	for (i = 0; i < QUEUE_BODY_PIECES; i++)
		mail->body[i] = slice(m->body[i]);
	mail->envid = slice(m->meta.envid);
	mail->ret = (enum smtp_ret)m->meta.ret;
	mail->is_8bit = (m->meta.flags & QUEUE_MESSAGE_8BIT) != 0;
	mail->is_utf8 = (m->meta.flags & QUEUE_MESSAGE_UTF8) != 0;
	mail->priority = m->meta.priority;
	fill_by(mail, &m->meta, now_us);
	mail->user = t;
}

/* What the list has against the recipients. False: the job is answered. */
static bool
ask_list(struct job *job, struct suppress *suppress, int64_t now_us, uint32_t *out_suppressed)
{
	*out_suppressed = 0;
	if (!suppressed_applies(suppress, &job->message->meta))
		return true;
	if (suppressed_answer(suppress, job, now_us, out_suppressed) == QUEUE_OK)
		return *out_suppressed < job->rcpt_count;
	again(job, "the list of suppressed addresses cannot be read");
	return false;
}

/* Those of the job that are to be sent to. False: the job is answered. */
static bool
fill_rcpts(struct transfer *t, struct job *job, bool has_suppressed, uint32_t *out_count)
{
	const struct queue_rcpt *r;
	uint32_t i, count = 0;

	for (i = 0; i < job->rcpt_count; i++) {
		if (has_suppressed && job->rcpts[i].is_suppressed)
			continue;
		if ((r = message_rcpt(job->message, job->rcpts[i].n)) == NULL) {
			/* The schedule knows a recipient the spool does not: the records do not belong
			 * together. */
			job->is_damaged = true;
			job_answer_all(job, QUEUE_VERDICT_DROPPED, BOUNCE_CLASS_SYSTEM_ERROR, "5.3.0", 0,
				"recipient is missing in the spool");
			return false;
		}
		t->rcpts[count] = (struct smtp_client_rcpt){slice(r->address), slice(r->orcpt), r->notify};
		if (has_suppressed)
			t->of_job[count] = i;
		count++;
	}
	*out_count = count;
	return true;
}

static void
free_rcpts(struct transfer *t)
{
	free(t->rcpts);
	free(t->of_job);
	t->rcpts = NULL;
	t->of_job = NULL;
}

bool
transfer_begin(struct transfer *t, struct job *job, struct queue_store *store, struct suppress *suppress,
	struct memory *memory, int64_t now_us)
{
	uint32_t suppressed, count;

	assert(t->job == NULL);
	if (job->message == NULL && !load(job, store, memory))
		return false;
	if (is_late(job, now_us)) {
		/* "Later": that there will be no later is for the schedule to say, as always. */
		job_answer_all(job, QUEUE_VERDICT_LATER, BOUNCE_CLASS_MESSAGE_EXPIRED, "4.4.7", AGAIN_US,
			"the time the message was given is over");
		return false;
	}
	if (!ask_list(job, suppress, now_us, &suppressed))
		return false;
	t->rcpts = calloc(job->rcpt_count, sizeof(*t->rcpts));
	t->of_job = suppressed > 0 ? calloc(job->rcpt_count, sizeof(*t->of_job)) : NULL;
	if (t->rcpts == NULL || (suppressed > 0 && t->of_job == NULL)) {
		free_rcpts(t);
		again(job, "no memory to load the message");
		return false;
	}
	if (!fill_rcpts(t, job, suppressed > 0, &count)) {
		free_rcpts(t);
		return false;
	}
	t->job = job;
	t->refused = 0;
	fill_mail(t, count, now_us);
	return true;
}

/* What is kept and shown: "550 5.1.1 no such user", or our words when no reply came. */
static int
reply_words(const struct smtp_client_fact *fact, char *buf, size_t max)
{
	if (fact->reply.code == 0)
		return snprintf(buf, max, "%.*s", (int)fact->text.len, fact->text.ptr);
	return snprintf(buf, max, "%u %.*s", (unsigned)fact->reply.code, (int)fact->reply.text.len,
		fact->reply.text.ptr);
}

/* Replies to RCPT come in order, and the result of an accepted recipient only with that of the whole message:
 * all before this one that were not refused, the site took. */
static uint32_t
accepted_before(const struct transfer *t, const struct smtp_client_fact *fact)
{
	return fact->phase == SMTP_PHASE_RCPT && fact->rcpt_index > t->refused ? fact->rcpt_index - t->refused
									       : 0;
}

/* A site that says "no such user" with a 4xx may mean that its directory is down, for some hours and some
 * times that it is asked. */
static bool
has_been_patient(const struct job *job, uint32_t index)
{
	const struct queue_rcpt *r = message_rcpt(job->message, job->rcpts[index].n);
	const struct conf_delivery *settings;

	if (job->outbound == NULL || r == NULL)
		return false;
	settings = &job->outbound->settings;
	return settings->unknown_user_attempts > 0 && r->attempts + 1 >= settings->unknown_user_attempts &&
	       job->started_us - job->message->meta.arrived_us >= settings->unknown_user_wait;
}

void
transfer_result(struct transfer *t, const struct smtp_client_fact *fact)
{
	const struct outbound *o = t->job->outbound;
	uint32_t index = t->of_job != NULL ? t->of_job[fact->rcpt_index] : fact->rcpt_index; /* in the job */
	struct verdict_input in = {fact->outcome, fact->phase, fact->reply.code, fact->reply.esc,
		accepted_before(t, fact), o != NULL ? o->rules : NULL,
		o != NULL ? o->route->provider : RULES_PROVIDER_NONE, &fact->reply,
		o != NULL ? o->classifier : NULL, has_been_patient(t->job, index)};
	struct verdict_output out;
	char words[QUEUE_REPLY_MAX + 1];
	int len;

	verdict_decide(&in, &out);
	for (uint16_t i = 0; i < out.rules.count; i++)
		job_rules_add(&t->job->rules, out.rules.items[i]);
	t->refused += fact->phase == SMTP_PHASE_RCPT;
	len = reply_words(fact, words, sizeof(words));
	if (len >= (int)sizeof(words))
		len = sizeof(words) - 1;
	job_answer(t->job, index, &out.verdict, out.bounce_class, out.esc,
		(struct queue_blob){words, (size_t)len});
}

struct job *
transfer_end(struct transfer *t)
{
	struct job *job = t->job;

	free_rcpts(t);
	*t = (struct transfer){0};
	return job;
}
