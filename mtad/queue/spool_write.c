/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of one transaction of the spool. A step that finds its record gone (a batch repeated after a
 * failed commit that had reached the disk all the same) is done already and is skipped.
 */
#include "queue/spool_impl.h"

#include "queue/feedback.h"
#include "queue/job.h"
#include "queue/message.h"
#include "queue/suppressed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_FIRST_BYTES = 65536 };

static struct queue_blob
text(const char *s, size_t max)
{
	return (struct queue_blob){s, strnlen(s, max)};
}
#define TEXT(array) text(array, sizeof(array))

/* Room for one more event with its head. False: no memory. */
static bool
events_room(struct spool *s)
{
	size_t need = sizeof(*s->events) + (s->events != NULL ? s->events->len : 0) + QUEUE_EVENT_MAX + 16,
	       max;
	struct event_batch *grown;

	if (s->events != NULL && need <= s->events_max)
		return true;
	max = s->events_max == 0 ? EVENTS_FIRST_BYTES : s->events_max * 2;
	if ((grown = realloc(s->events, max)) == NULL)
		return false;
	if (s->events == NULL)
		grown->len = 0;
	s->events = grown;
	s->events_max = max;
	return true;
}

/* Encodes into the batch and writes the same bytes to the outbox. */
static int
write_event(struct spool *s, const struct event *e)
{
	uint64_t seq;
	uint32_t len;
	char *at;
	int n, err;

	if (!events_room(s))
		return QUEUE_ENOMEM;
	at = s->events->bytes + s->events->len;
	if ((n = event_encode(e, at + 12, QUEUE_EVENT_MAX)) < 0)
		return n;
	if ((err = queue_store_event(s->store, (struct queue_blob){at + 12, (size_t)n}, &seq)) < 0)
		return err;
	len = (uint32_t)n;
	memcpy(at, &seq, 8);
	memcpy(at + 8, &len, 4);
	s->events->len += 12 + len;
	return QUEUE_OK;
}

static void
event_of_message(struct event *e, const struct message *m)
{
	e->id = m->meta.id;
	e->queued_us = m->meta.arrived_us;
	e->message_bytes = m->meta.body_bytes;
	e->sender = m->meta.sender;
	e->envid = m->meta.envid;
	e->user = m->meta.user;
	e->job = m->meta.job;
	e->pool = m->meta.pool;
	e->message_id = m->meta.message_id;
	e->headers = m->meta.headers;
	e->klass = m->meta.klass;
	e->from_domain = m->meta.from_domain;
}

/* What is kept of recipients besides themselves. */
static int
write_received(struct spool *s, const struct message *m)
{
	struct event e = {.type = EVENT_RECEIVED};
	uint32_t i;
	int err = QUEUE_OK;

	event_of_message(&e, m);
	e.logged_us = m->meta.arrived_us;
	for (i = 0; i < m->rcpt_count && err == QUEUE_OK; i++) {
		e.n = m->rcpts[i].n;
		e.rcpt = m->rcpts[i].address;
		e.orcpt = m->rcpts[i].orcpt;
		if (m->meta.nonce != 0)
			err = feedback_issue(s->store, m->meta.nonce, &e);
		if (err == QUEUE_OK && s->record_received)
			err = write_event(s, &e);
	}
	return err;
}

static const enum event_type event_types[] = {
	[QUEUE_VERDICT_DELIVERED] = EVENT_DELIVERED,
	[QUEUE_VERDICT_FAILED] = EVENT_BOUNCED,
	[QUEUE_VERDICT_LATER] = EVENT_TRANSIENT,
	[QUEUE_VERDICT_UNCERTAIN] = EVENT_TRANSIENT,
	[QUEUE_VERDICT_EXPIRED] = EVENT_EXPIRED,
	[QUEUE_VERDICT_DROPPED] = EVENT_DROPPED,
};
static const enum queue_end ends[] = {
	[QUEUE_VERDICT_DELIVERED] = QUEUE_END_DELIVERED,
	[QUEUE_VERDICT_FAILED] = QUEUE_END_BOUNCED,
	[QUEUE_VERDICT_EXPIRED] = QUEUE_END_EXPIRED,
	[QUEUE_VERDICT_DROPPED] = QUEUE_END_DROPPED,
};

/* Of the first attempt that counted, this one or one before; 0: none has, or an older mtad made it. */
static int64_t
first_attempt_us(const struct spool *s, const struct job_rcpt *jr, const struct queue_rcpt *known)
{
	if (known->first_us != 0)
		return known->first_us;
	return known->attempts == 0 && jr->settled.attempts == 1 ? clock_now(s->clock) : 0;
}

/* INTERNALS step 2: the recipient waits. */
static int
write_later(struct spool *s, const struct job *job, uint32_t i, const struct queue_rcpt *known)
{
	const struct job_rcpt *jr = &job->rcpts[i];
	struct queue_rcpt r = *known;

	r.attempts = jr->settled.attempts;
	r.flags = jr->settled.flags; /* the store knows better whether it is held */
	r.due_us = jr->settled.due_us;
	r.last_us = clock_now(s->clock);
	r.first_us = first_attempt_us(s, jr, known);
	r.reply = job_reply(job, i);
	r.source = TEXT(job->source);
	r.host = TEXT(job->host);
	return queue_store_update(s->store, job->id, &r);
}

static int
write_settled_event(struct spool *s, const struct job *job, uint32_t i, const struct queue_rcpt *known)
{
	const struct job_rcpt *jr = &job->rcpts[i];
	struct event e = {.type = event_types[jr->settled.kind]};
	const char *category = job_category((enum bounce_class)jr->bounce_class, jr->settled.kind);
	uint32_t nonce = job->message->meta.nonce;
	int err = QUEUE_OK;

	event_of_message(&e, job->message);
	e.is_uncertain = jr->settled.kind == QUEUE_VERDICT_UNCERTAIN;
	e.logged_us = clock_now(s->clock);
	e.code = jr->code;
	e.n = jr->n;
	e.attempts = jr->settled.attempts;
	e.next_us = jr->settled.due_us;
	e.first_us = first_attempt_us(s, jr, known);
	e.rcpt = known->address;
	e.orcpt = known->orcpt;
	e.esc = TEXT(jr->esc);
	e.reply = job_reply(job, i);
	e.bounce_class = jr->bounce_class;
	e.category = text(category, 64);
	e.source = TEXT(job->source);
	e.host = TEXT(job->host);
	e.peer_ip = TEXT(job->peer_ip);
	e.local_ip = TEXT(job->local_ip);
	e.tls = TEXT(job->tls);
	e.caps = TEXT(job->caps);
	e.site = TEXT(job->site);
	if (e.type == EVENT_DELIVERED && nonce != 0)
		err = feedback_delivered(s->store, nonce, &e);
	return err == QUEUE_OK ? write_event(s, &e) : err;
}

/* INTERNALS steps 2, 3: one recipient of a job. */
static int
write_settled(struct spool *s, const struct job *job, uint32_t i)
{
	const struct job_rcpt *jr = &job->rcpts[i];
	const struct queue_rcpt *known;
	int err;

	if (jr->settled.kind == QUEUE_VERDICT_RETURN)
		return QUEUE_OK;
	known = message_rcpt(job->message, jr->n);
	if (known == NULL) /* loaded after a repeated batch: it has ended already */
		return QUEUE_OK;
	if (jr->settled.kind == QUEUE_VERDICT_LATER || jr->settled.kind == QUEUE_VERDICT_UNCERTAIN)
		err = write_later(s, job, i, known);
	else
		err = queue_store_end(s->store, job->id, jr->n, ends[jr->settled.kind]);
	if (err == QUEUE_ENOTFOUND)
		return QUEUE_OK;
	if (err == QUEUE_OK)
		err = suppressed_on_settled(s->suppress, s->conf, job, i, clock_now(s->clock));
	return err == QUEUE_OK ? write_settled_event(s, job, i, known) : err;
}

/* INTERNALS steps 3, 4: recipients that are on the list end with the accept of their message. */
static int
end_suppressed(struct spool *s, const struct message *m)
{
	struct event e = {.type = EVENT_BOUNCED, .esc = {"5.7.1", 5}, .logged_us = m->meta.arrived_us};
	uint32_t i;
	int err = QUEUE_OK;

	event_of_message(&e, m);
	for (i = 0; i < m->suppressed_count && err == QUEUE_OK; i++) {
		const struct message_suppressed *w = &m->suppressed[i];
		const struct queue_rcpt *r = message_rcpt(m, w->n);

		e.n = w->n;
		e.rcpt = r->address;
		e.orcpt = r->orcpt;
		e.reply = TEXT(w->words);
		e.bounce_class = w->bounce_class;
		e.category = text(bounce_class_pmta((enum bounce_class)w->bounce_class), 64);
		if ((err = queue_store_end(s->store, m->meta.id, w->n, QUEUE_END_BOUNCED)) == QUEUE_OK)
			err = write_event(s, &e);
	}
	return err == QUEUE_OK && m->suppressed_count == m->rcpt_count
		       ? queue_store_remove(s->store, m->meta.id)
		       : err;
}

static int
put(struct spool *s, struct message *m)
{
	int err = queue_store_put(s->store, &m->meta, m->rcpts, m->rcpt_count, m->body);

	if (err != QUEUE_OK)
		return err;
	if (s->record_received || m->meta.nonce != 0)
		err = write_received(s, m);
	if (err == QUEUE_OK && m->suppressed_count > 0)
		err = end_suppressed(s, m);
	/* A refusal would leave the message in the transaction, and tell its client otherwise. */
	assert(!spool_is_refusal(err));
	return err;
}

/* INTERNALS step 5. A second job of the same message finds it gone. */
static int
quarantine(struct spool *s, const struct job *job)
{
	uint32_t rcpts = 0;
	int err = queue_store_quarantine(s->store, job->id, &rcpts);

	if (err == QUEUE_ENOTFOUND)
		return QUEUE_OK;
	if (err == QUEUE_OK)
		log_event(s->log, LOG_EVENT_quarantined, "msg=%llx rcpts=%u", (unsigned long long)job->id,
			rcpts);
	return err;
}

bool
spool_is_refusal(int err)
{
	return err == QUEUE_ENOSPACE || err == QUEUE_EINVAL;
}

/* A notification the store will not have must not hold up the recipients it reports: it is given up, loudly.
 */
static int
put_dsn(struct spool *s, struct job *job)
{
	int err = put(s, job->dsn);

	if (!spool_is_refusal(err))
		return err;
	log_event(s->log, LOG_EVENT_rejected, "msg=%llx text=\"its bounce mail cannot be stored: %s\"",
		(unsigned long long)job->id, queue_err_text(err));
	message_unref(job->dsn);
	job->dsn = NULL;
	return QUEUE_OK;
}

static int
write_job(struct spool *s, struct job *job)
{
	bool has_end = false;
	uint32_t i;
	int err = QUEUE_OK;

	if (job->is_damaged)
		return quarantine(s, job);
	for (i = 0; i < job->rcpt_count && err == QUEUE_OK; i++) {
		err = write_settled(s, job, i);
		has_end = has_end || job->rcpts[i].settled.kind != QUEUE_VERDICT_RETURN;
	}
	/* INTERNALS step 4. Jobs of one message may pass each other on their way here, so the store decides
	 * whether this was the last recipient. */
	if (err == QUEUE_OK && has_end) {
		err = queue_store_remove(s->store, job->id);
		if (err == QUEUE_EINVAL || err == QUEUE_ENOTFOUND)
			err = QUEUE_OK;
	}
	return err == QUEUE_OK && job->dsn != NULL ? put_dsn(s, job) : err;
}

/* INTERNALS step 11. A recipient that has ended meanwhile needs no hold; one whose record is damaged is found
 * by the next load. */
static int
write_holds(struct spool *s, const struct hold_batch *b)
{
	uint32_t i;
	int err;

	for (i = 0; i < b->count; i++) {
		err = queue_store_hold(s->store, b->items[i].id, b->items[i].n, b->hold);
		if (err < 0 && err != QUEUE_ENOTFOUND && err != QUEUE_EDAMAGED && err != QUEUE_EVERSION)
			return err;
	}
	return QUEUE_OK;
}

static int
write_change(struct spool *s, struct letter *l)
{
	const struct note *n = (const struct note *)l;
	int err;

	if (l->kind == LETTER_HOLD)
		return write_holds(s, (const struct hold_batch *)l);
	if (l->kind == LETTER_SUPPRESS)
		return suppress_write(s->suppress, (struct suppress_batch *)l, clock_now(s->clock));
	err = queue_store_note(s->store, (struct queue_blob){n->bytes, n->name_len},
		(struct queue_blob){n->bytes + n->name_len, n->value_len});
	return err == QUEUE_EINVAL ? QUEUE_OK : err; /* it would be refused for ever, and all mail with it */
}

/* INTERNALS step 6, with 13 and 15. */
static int
write_feedback(struct spool *s, struct feedback *f)
{
	int err = QUEUE_OK;

	for (uint32_t i = 0; i < f->count && err == QUEUE_OK; i++) {
		struct feedback_item *item = &f->items[i];

		if ((err = feedback_use(s->store, item)) != QUEUE_OK || item->is_repeat)
			continue;
		if ((err = write_event(s, &item->event)) == QUEUE_OK)
			err = suppressed_on_feedback(s->suppress, s->conf, &item->event);
	}
	return err;
}

int
spool_write_batch(struct spool *s, const struct batch *b)
{
	struct letter *l;
	struct accept *a;
	int err;

	if ((err = queue_store_begin(s->store)) < 0)
		return err;
	for (l = b->jobs.head; l != NULL; l = l->next)
		if ((err = write_job(s, (struct job *)l)) < 0)
			return err;
	for (l = b->accepts.head; l != NULL; l = l->next) {
		a = (struct accept *)l;
		a->result = put(s, a->message);
		if (a->result != QUEUE_OK && !spool_is_refusal(a->result))
			return a->result;
	}
	for (l = b->feedbacks.head; l != NULL; l = l->next)
		if ((err = write_feedback(s, (struct feedback *)l)) < 0)
			return err;
	for (l = b->changes.head; l != NULL; l = l->next)
		if ((err = write_change(s, l)) < 0)
			return err;
	if (s->is_sweeping &&
		(err = feedback_sweep(s->store, s->conf, clock_now(s->clock), &s->is_sweeping)) < 0)
		return err;
	if (s->reported != NULL) {
		struct queue_blob state = {s->reported->state, s->reported->state_len};

		/* A number the store does not know would be refused for ever, and all mail with it. */
		err = queue_store_reported(s->store, s->reported->seq, state);
		if (err < 0 && err != QUEUE_EINVAL)
			return err;
	}
	return queue_store_commit(s->store);
}
