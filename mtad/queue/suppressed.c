/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between messages and jobs and the list, which knows addresses. Of mail that was not tried (an operator's
 * bounce, a suppressed address itself) nothing is learned.
 */
#include "queue/suppressed.h"

#include "feedback/classify.h"
#include "feedback/status.h"

#include <stdlib.h>
#include <string.h>

bool
suppressed_applies(const struct suppress *s, const struct queue_message *m)
{
	return m->sender.len > 0 && !suppress_is_empty(s);
}

int
suppressed_note(struct suppress *s, struct message *m, int64_t now_us)
{
	struct queue_blob *addresses = calloc(m->rcpt_count, sizeof(*addresses));
	struct suppress_hit *hits = calloc(m->rcpt_count, sizeof(*hits));
	const struct suppress_whose whose = {m->meta.user, m->meta.job};
	struct message_suppressed *noted = NULL;
	uint32_t count = 0, i;
	int err = QUEUE_ENOMEM;

	for (i = 0; addresses != NULL && i < m->rcpt_count; i++)
		addresses[i] = m->rcpts[i].address;
	if (addresses != NULL && hits != NULL)
		err = suppress_find(s, &whose, now_us, addresses, m->rcpt_count, hits);
	for (i = 0; err == QUEUE_OK && i < m->rcpt_count; i++)
		count += hits[i].reason != SUPPRESS_NONE;
	if (count > 0 && (noted = calloc(count, sizeof(*noted))) == NULL)
		err = QUEUE_ENOMEM;
	for (i = 0, count = 0; noted != NULL && i < m->rcpt_count; i++)
		if (hits[i].reason != SUPPRESS_NONE) {
			noted[count].n = m->rcpts[i].n;
			noted[count].bounce_class = (uint8_t)suppress_class(&hits[i]);
			suppress_words(noted[count].words, sizeof(noted[count].words), &hits[i]);
			count++;
		}
	m->suppressed = noted;
	m->suppressed_count = noted != NULL ? count : 0;
	free(addresses);
	free(hits);
	return err;
}

static void
answer(struct job *job, uint32_t i, const struct suppress_hit *hit)
{
	const struct queue_verdict v = {.kind = QUEUE_VERDICT_FAILED, .signal = QUEUE_SIGNAL_NONE};
	char words[SUPPRESS_WORDS_MAX];

	suppress_words(words, sizeof(words), hit);
	job_answer(job, i, &v, suppress_class(hit), "5.7.1",
		(struct queue_blob){words, strnlen(words, sizeof(words))});
	job->rcpts[i].is_suppressed = true;
}

int
suppressed_answer(struct suppress *s, struct job *job, int64_t now_us, uint32_t *out_count)
{
	enum { PORTION = 64 };
	const struct queue_message *m = &job->message->meta;
	const struct suppress_whose whose = {m->user, m->job};
	struct queue_blob addresses[PORTION];
	struct suppress_hit hits[PORTION];
	uint32_t i, n, count = 0;
	int err;

	for (i = 0; i < job->rcpt_count; i += n) {
		for (n = 0; n < PORTION && i + n < job->rcpt_count; n++) {
			const struct queue_rcpt *r = message_rcpt(job->message, job->rcpts[i + n].n);

			addresses[n] = r != NULL ? r->address : (struct queue_blob){"", 0};
		}
		if ((err = suppress_find(s, &whose, now_us, addresses, n, hits)) < 0)
			return err;
		for (uint32_t k = 0; k < n; k++)
			if (hits[k].reason != SUPPRESS_NONE) {
				answer(job, i + k, &hits[k]);
				count++;
			}
	}
	*out_count = count;
	return QUEUE_OK;
}

/* Of a recipient that got too old, what the site had said of it last. */
static enum bounce_class
class_of(const struct job_rcpt *jr, const struct queue_rcpt *r)
{
	struct classify_input last = {0};

	if (jr->settled.kind != QUEUE_VERDICT_EXPIRED)
		return (enum bounce_class)jr->bounce_class;
	if (r == NULL || r->reply.len == 0)
		return BOUNCE_CLASS_NONE;
	classify_read(r->reply.ptr, r->reply.len, &last);
	return status_class(last.esc, last.code);
}

int
suppressed_on_settled(
	struct suppress *s, const struct conf *conf, const struct job *job, uint32_t i, int64_t now_us)
{
	const struct job_rcpt *jr = &job->rcpts[i];
	const struct queue_message *m = &job->message->meta;
	const struct queue_rcpt *r = message_rcpt(job->message, jr->n);
	struct suppress_end end = {.address = r != NULL ? r->address : (struct queue_blob){"", 0},
		.user = m->user,
		.job = m->job,
		.is_delivered = jr->settled.kind == QUEUE_VERDICT_DELIVERED,
		.is_expired = jr->settled.kind == QUEUE_VERDICT_EXPIRED,
		.reply = job_reply(job, i),
		.now_us = now_us};

	if (s == NULL || m->sender.len == 0 || jr->is_suppressed ||
		(!end.is_delivered && !end.is_expired && jr->settled.kind != QUEUE_VERDICT_FAILED))
		return QUEUE_OK;
	if (!end.is_delivered && (end.bounce_class = class_of(jr, r)) == BOUNCE_CLASS_NONE)
		return QUEUE_OK;
	return suppress_on_end(s, conf_suppression_find(conf, m->user.ptr, m->user.len), &end);
}

int
suppressed_on_feedback(struct suppress *s, const struct conf *conf, const struct event *e)
{
	const struct conf_suppression *rules = conf_suppression_find(conf, e->user.ptr, e->user.len);
	const struct suppress_end end = {.address = e->rcpt,
		.user = e->user,
		.job = e->job,
		.bounce_class = (enum bounce_class)e->bounce_class,
		.reply = e->reply,
		.now_us = e->logged_us};
	const struct suppress_addition a = {.address = e->rcpt,
		.user = e->user,
		.job = e->job,
		/* Of a message that is not known nobody knows whose it was. */
		.level = e->id == 0 ? SUPPRESS_GLOBAL : suppress_level_of(rules),
		.reason = e->type == EVENT_COMPLAINT ? SUPPRESS_COMPLAINT : SUPPRESS_UNSUBSCRIBE,
		.now_us = e->logged_us};

	if (s == NULL)
		return QUEUE_OK;
	if (e->type == EVENT_REMOTE)
		return suppress_on_end(s, rules, &end);
	return e->type == EVENT_COMPLAINT || e->type == EVENT_UNSUBSCRIBE ? suppress_add(s, &a) : QUEUE_OK;
}
