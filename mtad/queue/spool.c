/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Natural batching: letters that arrive while a commit runs are the next batch. Invariants: a job leaves
 * `jobs` only when its commit is on disk; an accept is answered exactly once; events are shown to the report
 * thread only after the commit that holds them. A step that finds its record gone (a batch repeated after a
 * failed commit that had reached the disk all the same) is done already and is skipped.
 */
#include "queue/spool.h"

#include "queue/feedback.h"
#include "queue/job.h"
#include "queue/message.h"
#include "queue/suppressed.h"
#include "report/event.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_SECONDS = 1,
	SWEEP_SECONDS = 1,
	TOKEN_SWEEPS = 60, /* of suppressed addresses for one of tokens */
	FORGET_SECONDS = 3600,
	EVENTS_FIRST_BYTES = 65536,
};

struct list {
	struct letter *head, *tail;
};

/* What goes into one commit. */
struct batch {
	struct list jobs, accepts, feedbacks, changes;
	size_t messages, bytes;
};

struct spool {
	struct worker *worker;
	struct worker *queue, *report;
	struct log *log;
	const struct conf *conf;
	struct queue_store *store;
	struct suppress *suppress;
	const struct clock *clock;
	struct event *retry_timer, *space_timer, *forget_timer, *sweep_timer;
	struct event *more; /* work is left for the next turn of the loop */
	struct list jobs, accepts, feedbacks;
	struct list changes;        /* holds and notes: kept like jobs until a commit has them */
	struct reported *reported;  /* the newest report not yet in the store */
	struct event_batch *events; /* of the open transaction */
	size_t events_max;
	bool record_received;
	unsigned sweeps;  /* turns of sweep_timer */
	bool is_sweeping; /* there may be issued tokens that are over */
	bool is_failed, is_full;
	_Atomic uint64_t pending_jobs, commits, accepted, settled, holds_written, failed_commits;
	_Atomic bool failed_view, full_view;
};

static void
list_add(struct list *l, struct letter *take_letter)
{
	take_letter->next = NULL;
	if (l->tail != NULL)
		l->tail->next = take_letter;
	else
		l->head = take_letter;
	l->tail = take_letter;
}

static struct letter *
list_take(struct list *l)
{
	struct letter *first = l->head;

	if (first != NULL && (l->head = first->next) == NULL)
		l->tail = NULL;
	return first;
}

static void
list_put_back(struct list *l, struct list *taken)
{
	if (taken->tail == NULL)
		return;
	taken->tail->next = l->head;
	if (l->tail == NULL)
		l->tail = taken->tail;
	l->head = taken->head;
}

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

	event_of_message(&e, job->message);
	e.is_uncertain = jr->settled.kind == QUEUE_VERDICT_UNCERTAIN;
	e.logged_us = clock_now(s->clock);
	e.code = jr->code;
	e.n = jr->n;
	e.attempts = jr->settled.attempts;
	e.next_us = jr->settled.due_us;
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
	return write_event(s, &e);
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

	if (err == QUEUE_OK && (s->record_received || m->meta.nonce != 0))
		err = write_received(s, m);
	return err == QUEUE_OK && m->suppressed_count > 0 ? end_suppressed(s, m) : err;
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

/* What a put says of its message alone; the transaction is as good as before. */
static bool
is_refusal(int err)
{
	return err == QUEUE_ENOSPACE || err == QUEUE_EINVAL;
}

/* A notification the store will not have must not hold up the recipients it reports: it is given up, loudly.
 */
static int
put_dsn(struct spool *s, struct job *job)
{
	int err = put(s, job->dsn);

	if (!is_refusal(err))
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

static size_t
body_bytes(const struct message *m)
{
	return m->body[0].len + m->body[1].len + m->body[2].len;
}

static const char *
refusal_words(int result)
{
	switch (result) {
	case QUEUE_OK:
		return NULL;
	case QUEUE_ENOSPACE:
		return "Insufficient system storage";
	case QUEUE_EINVAL:
		return "Message has more recipients or longer addresses than the spool can hold";
	default:
		return "Local storage trouble";
	}
}

static void
answer(struct accept *a, int result, const char *why)
{
	a->result = result;
	a->why = why;
	a->letter.kind = LETTER_ACCEPTED;
	worker_post(a->reply_to, &a->letter);
}

static void
answer_feedback(struct feedback *f, int result)
{
	if (f->reply_to == NULL) {
		free(f);
		return;
	}
	f->result = result;
	f->letter.kind = LETTER_FEEDBACK_DONE;
	worker_post(f->reply_to, &f->letter);
}

static bool
has_room(const struct batch *b, uint32_t rcpts)
{
	return b->messages < SPOOL_BATCH_MESSAGES && b->bytes < SPOOL_BATCH_BYTES &&
	       rcpts < SPOOL_BATCH_RCPTS;
}

/* How many records it writes. */
static uint32_t
change_size(const struct letter *l)
{
	return l->kind == LETTER_HOLD       ? ((const struct hold_batch *)l)->count
	       : l->kind == LETTER_SUPPRESS ? ((const struct suppress_batch *)l)->count
					    : 1;
}

/* Moves up to a batch of letters out of the lists, settlements first. Their bounce mails count: more than a
 * transaction holds would be refused and never sent. */
static void
choose(struct spool *s, struct batch *b)
{
	uint32_t rcpts;
	struct letter *l;

	*b = (struct batch){.messages = 0};
	for (rcpts = 0; has_room(b, rcpts) && (l = list_take(&s->jobs)) != NULL; b->messages++) {
		const struct job *job = (const struct job *)l;

		b->bytes += job->dsn != NULL ? body_bytes(job->dsn) : 0;
		rcpts += job->rcpt_count;
		list_add(&b->jobs, l);
	}
	/* New mail does not wait until large settlements are through. */
	for (rcpts = 0; has_room(b, rcpts) && (l = list_take(&s->accepts)) != NULL; b->messages++) {
		const struct message *m = ((const struct accept *)l)->message;

		b->bytes += body_bytes(m);
		rcpts += m->rcpt_count;
		list_add(&b->accepts, l);
	}
	for (rcpts = 0; rcpts < SPOOL_BATCH_CHANGES && (l = list_take(&s->feedbacks)) != NULL;) {
		rcpts += ((const struct feedback *)l)->count;
		list_add(&b->feedbacks, l);
	}
	for (rcpts = 0; rcpts < SPOOL_BATCH_CHANGES && (l = list_take(&s->changes)) != NULL;) {
		rcpts += change_size(l);
		list_add(&b->changes, l);
	}
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

/* INTERNALS step 6, with 13. */
static int
write_feedback(struct spool *s, struct feedback *f)
{
	int err = QUEUE_OK;

	for (uint32_t i = 0; i < f->count && err == QUEUE_OK; i++)
		if ((err = feedback_use(s->store, &f->items[i])) == QUEUE_OK && !f->items[i].is_repeat)
			err = write_event(s, &f->items[i].event);
	return err;
}

/* Everything between begin and commit. */
static int
write_batch(struct spool *s, const struct batch *b)
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
		if (a->result != QUEUE_OK && !is_refusal(a->result))
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

/* Nobody waits at a disk that may never come back: what no commit has begun with is refused as well. */
static void
refuse_all(struct spool *s)
{
	struct letter *l;

	while ((l = list_take(&s->accepts)) != NULL)
		answer((struct accept *)l, QUEUE_EIO, refusal_words(QUEUE_EIO));
	while ((l = list_take(&s->feedbacks)) != NULL)
		answer_feedback((struct feedback *)l, QUEUE_EIO);
}

static void
set_failed(struct spool *s, bool is_failed)
{
	struct spool_state *state;
	struct timeval tv = {RETRY_SECONDS, 0};

	if (is_failed) {
		event_add(s->retry_timer, &tv);
		refuse_all(s);
	}
	if (s->is_failed == is_failed)
		return;
	/* Without the letter the queue would still stop, by its own count of unrecorded jobs; but it would
	 * not go on again. */
	if ((state = calloc(1, sizeof(*state))) == NULL && !is_failed) {
		event_add(s->retry_timer, &tv);
		return;
	}
	s->is_failed = is_failed;
	atomic_store(&s->failed_view, is_failed);
	if (is_failed)
		log_event(s->log, LOG_EVENT_spool_failed, "why=\"%s\"", queue_store_error_text(s->store));
	else
		log_event(s->log, LOG_EVENT_spool_recovered, "pending=%llu",
			(unsigned long long)spool_pending(s));
	if (state == NULL)
		return;
	state->letter.kind = LETTER_SPOOL_STATE;
	state->is_failed = is_failed;
	worker_post(s->queue, &state->letter);
}

static void
set_full(struct spool *s, bool is_full)
{
	struct queue_space space = {0};
	struct timeval tv = {RETRY_SECONDS, 0};

	if (s->is_full == is_full)
		return;
	s->is_full = is_full;
	atomic_store(&s->full_view, is_full);
	if (is_full)
		event_add(s->space_timer, &tv);
	(void)queue_store_space(s->store, &space);
	log_event(s->log, is_full ? LOG_EVENT_spool_full : LOG_EVENT_spool_has_room,
		"used=%llu disk-free=%llu inodes-free=%llu why=\"%s\"", (unsigned long long)space.used_bytes,
		(unsigned long long)space.disk_free_bytes, (unsigned long long)space.disk_free_inodes,
		space.why != NULL ? space.why : "");
}

/* The commit is on disk: everybody may know. */
static void
tell(struct spool *s, struct batch *b)
{
	bool was_full = false;
	struct accept *a;
	struct letter *l;

	while ((l = list_take(&b->jobs)) != NULL) {
		l->kind = LETTER_RECORDED;
		atomic_fetch_sub(&s->pending_jobs, 1);
		atomic_fetch_add(&s->settled, 1);
		worker_post(s->queue, l);
	}
	while ((l = list_take(&b->changes)) != NULL) {
		if (l->kind == LETTER_HOLD)
			atomic_fetch_add(&s->holds_written, change_size(l));
		if (l->kind == LETTER_NOTE &&
			(((struct note *)l)->noting != NULL || ((struct note *)l)->is_last)) {
			l->kind = LETTER_NOTED;
			worker_post(s->queue, l);
			continue;
		}
		if (l->kind == LETTER_SUPPRESS && ((struct suppress_batch *)l)->done != NULL)
			((struct suppress_batch *)l)->done((struct suppress_batch *)l);
		else
			free(l);
	}
	while ((l = list_take(&b->accepts)) != NULL) {
		a = (struct accept *)l;
		if (a->result == QUEUE_OK) {
			atomic_fetch_add(&s->accepted, 1);
			if (a->message->suppressed_count < a->message->rcpt_count) {
				message_ref(a->message)->letter.kind = LETTER_FRESH;
				worker_post(s->queue, &a->message->letter);
			}
		} else if (a->result == QUEUE_ENOSPACE)
			was_full = true;
		answer(a, a->result, refusal_words(a->result));
	}
	while ((l = list_take(&b->feedbacks)) != NULL)
		answer_feedback((struct feedback *)l, QUEUE_OK);
	if (s->events != NULL && s->events->len > 0) {
		s->events->letter.kind = LETTER_EVENTS;
		worker_post(s->report, &s->events->letter);
		s->events = NULL;
		s->events_max = 0;
	}
	free(s->reported);
	s->reported = NULL;
	atomic_fetch_add(&s->commits, 1);
	if (was_full)
		set_full(s, true);
	worker_flush(); /* nobody waits for the next commit */
}

/* The commit failed: jobs and changes go back to the front, clients are told to come again. */
static void
take_back(struct spool *s, struct batch *b, int err)
{
	struct letter *l;

	queue_store_abort(s->store);
	if (s->events != NULL)
		s->events->len = 0;
	list_put_back(&s->jobs, &b->jobs);
	list_put_back(&s->changes, &b->changes);
	while ((l = list_take(&b->accepts)) != NULL)
		answer((struct accept *)l, err, refusal_words(err));
	while ((l = list_take(&b->feedbacks)) != NULL)
		answer_feedback((struct feedback *)l, err);
	atomic_fetch_add(&s->failed_commits, 1);
}

/* Nobody may put while it is full, so the guard is asked instead. */
static void
on_space(evutil_socket_t fd, short what, void *arg)
{
	struct spool *s = arg;
	struct queue_space space = {0};
	struct timeval tv = {RETRY_SECONDS, 0};

	if (!s->is_full)
		return;
	queue_store_forget_dead(s->store); /* may be what fills it */
	if (queue_store_space(s->store, &space) == QUEUE_OK && !space.is_full)
		set_full(s, false);
	else
		event_add(s->space_timer, &tv);
}

/* A copy that was killed; see mtad(8). What fails here is tried again, and shows elsewhere if it matters. */
static void
on_forget(evutil_socket_t fd, short what, void *arg)
{
	struct spool *s = arg;

	queue_store_forget_dead(s->store);
}

static bool
commit_some(struct spool *s)
{
	struct batch b;
	bool had_accepts;
	int err;

	choose(s, &b);
	had_accepts = b.accepts.head != NULL;
	err = write_batch(s, &b);
	if (err == QUEUE_OK) {
		tell(s, &b);
		return true;
	}
	take_back(s, &b, err);
	/* A full map: the settlements may fit without the new mail. */
	if (err == QUEUE_ENOSPACE && had_accepts) {
		set_full(s, true);
		return true;
	}
	set_failed(s, true);
	return false;
}

static bool
has_work(const struct spool *s)
{
	return s->jobs.head != NULL || s->accepts.head != NULL || s->feedbacks.head != NULL ||
	       s->changes.head != NULL || s->reported != NULL || s->is_sweeping;
}

void
spool_suppress(struct spool *s, struct letter *take_batch)
{
	take_batch->kind = LETTER_SUPPRESS;
	list_add(&s->changes, take_batch);
}

/* One commit. The next in the next turn of the loop, after the letters that came meanwhile: an event that
 * makes itself active would come before them until there is no more work. */
static void
on_batch(void *arg)
{
	static const struct timeval at_once = {0, 0};
	struct spool *s = arg;

	if (s->is_failed)
		refuse_all(s);
	else if (has_work(s) && commit_some(s) && has_work(s))
		event_add(s->more, &at_once);
}

static bool
is_busy(void *arg)
{
	struct spool *s = arg;

	return !s->is_failed && has_work(s);
}

/* What is over: a portion a second of suppressed addresses, while there is any; and each minute of tokens. */
static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct suppress_batch *b = NULL;
	struct spool *s = arg;

	if (s->is_failed)
		return;
	if (s->sweeps++ % TOKEN_SWEEPS == 0)
		s->is_sweeping = true;
	if (s->suppress != NULL && s->changes.head == NULL)
		b = suppress_sweep(s->suppress, clock_now(s->clock));
	if (b != NULL)
		spool_suppress(s, &b->letter);
	if (b != NULL || s->is_sweeping)
		on_batch(s);
}

static void
on_more(evutil_socket_t fd, short what, void *arg)
{
	on_batch(arg);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct spool *s = arg;
	struct timeval tv = {RETRY_SECONDS, 0};

	if (!s->is_failed)
		return;
	/* After a reopen the failed transaction never happened (queue_store.h), so everything is simply done
	 * again. */
	if (queue_store_reopen(s->store) < 0) {
		event_add(s->retry_timer, &tv);
		return;
	}
	/* Proof before the good news: what waits is written, or a commit of nothing. */
	if (!commit_some(s))
		return;
	set_failed(s, false);
	on_batch(s);
}

static void
take_reported(struct spool *s, struct reported *take_reported)
{
	free(s->reported);
	s->reported = take_reported;
}

static void
on_letter(void *arg, struct letter *l)
{
	struct spool *s = arg;

	switch ((enum letter_kind)l->kind) {
	case LETTER_ACCEPT:
		list_add(&s->accepts, l);
		return;
	case LETTER_RECORD:
		atomic_fetch_add(&s->pending_jobs, 1);
		list_add(&s->jobs, l);
		return;
	case LETTER_FEEDBACK:
		list_add(&s->feedbacks, l);
		return;
	case LETTER_HOLD:
	case LETTER_NOTE:
	case LETTER_SUPPRESS:
		list_add(&s->changes, l);
		return;
	case LETTER_REPORTED:
		take_reported(s, (struct reported *)l);
		return;
	case LETTER_CALL:
		((struct call *)l)->run((struct call *)l);
		return;
	default:
		assert(!"a letter the spool thread does not take");
	}
}

static void
apply_conf(struct spool *s, const struct conf *conf)
{
	const struct queue_store_limits limits = {.spool_bytes_max = (uint64_t)conf->spool_max,
		.disk_free_min_bytes = (uint64_t)conf->disk_free_min,
		.disk_free_min_inodes = (uint64_t)conf->disk_free_min_inodes};

	queue_store_set_limits(s->store, &limits);
	if (s->suppress != NULL)
		suppress_set_hashed(s->suppress, conf->suppression_storage == CONF_SUPPRESSION_HASHED);

	s->conf = conf_ref(conf);
	s->record_received = (conf->consumers.record_set >> CONF_RECORD_R & 1) != 0;
}

struct spool *
spool_create(const struct spool_conf *conf)
{
	struct worker_conf wc = {.name = "spool",
		.clock = conf->clock,
		.on_letter = on_letter,
		.on_batch = on_batch,
		.is_busy = is_busy};
	const struct timeval forget = {FORGET_SECONDS, 0}, sweep = {SWEEP_SECONDS, 0};
	struct spool *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	wc.arg = s;
	s->log = conf->log;
	s->store = conf->store;
	s->suppress = conf->suppress;
	s->clock = conf->clock;
	apply_conf(s, conf->conf);
	if ((s->worker = worker_create(&wc)) == NULL ||
		(s->retry_timer = event_new(worker_base(s->worker), -1, 0, on_retry, s)) == NULL ||
		(s->more = event_new(worker_base(s->worker), -1, 0, on_more, s)) == NULL ||
		(s->space_timer = event_new(worker_base(s->worker), -1, 0, on_space, s)) == NULL ||
		(s->forget_timer = event_new(worker_base(s->worker), -1, EV_PERSIST, on_forget, s)) == NULL ||
		event_add(s->forget_timer, &forget) != 0 ||
		(s->sweep_timer = event_new(worker_base(s->worker), -1, EV_PERSIST, on_sweep, s)) == NULL ||
		event_add(s->sweep_timer, &sweep) != 0)
		spool_destroy(&s);
	return s;
}

void
spool_connect(struct spool *s, struct worker *queue, struct worker *report)
{
	s->queue = queue;
	s->report = report;
}

struct worker *
spool_worker(struct spool *s)
{
	return s->worker;
}

void
spool_reconfigure(struct spool *s, const struct conf *conf)
{
	const struct conf *old = s->conf;

	apply_conf(s, conf);
	conf_unref(old);
}

void
spool_destroy(struct spool **sp)
{
	struct spool *s = *sp;
	struct letter *l;

	*sp = NULL;
	if (s == NULL)
		return;
	/* What a failed store could not record is delivered again after the next start: it was leased, not
	 * settled. */
	while ((l = list_take(&s->jobs)) != NULL)
		job_free((struct job *)l);
	while ((l = list_take(&s->changes)) != NULL)
		free(l);
	assert(s->accepts.head == NULL && s->feedbacks.head == NULL);
	if (s->retry_timer != NULL)
		event_free(s->retry_timer);
	if (s->more != NULL)
		event_free(s->more);
	if (s->space_timer != NULL)
		event_free(s->space_timer);
	if (s->forget_timer != NULL)
		event_free(s->forget_timer);
	if (s->sweep_timer != NULL)
		event_free(s->sweep_timer);
	worker_destroy(&s->worker);
	free(s->reported);
	free(s->events);
	conf_unref(s->conf);
	free(s);
}

uint64_t
spool_pending(const struct spool *s)
{
	return atomic_load_explicit(&s->pending_jobs, memory_order_relaxed);
}

uint64_t
spool_holds_written(const struct spool *s)
{
	return atomic_load_explicit(&s->holds_written, memory_order_relaxed);
}

void
spool_stats(const struct spool *s, struct spool_stats *out)
{
	out->commits = atomic_load(&s->commits);
	out->accepted = atomic_load(&s->accepted);
	out->settled = atomic_load(&s->settled);
	out->failed_commits = atomic_load(&s->failed_commits);
	out->is_failed = atomic_load(&s->failed_view);
	out->is_full = atomic_load(&s->full_view);
}
