/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Natural batching: letters that arrive while a commit runs are the next batch. Invariants: a job leaves
 * `jobs` only when its commit is on disk; an accept is answered exactly once; events are shown to the report
 * thread only after the commit that holds them.
 */
#include "queue/spool_impl.h"

#include "queue/feedback.h"
#include "queue/job.h"
#include "queue/message.h"
#include "queue/suppressed.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_SECONDS = 1,
	SWEEP_SECONDS = 1,
	TOKEN_SWEEPS = 60, /* of suppressed addresses for one of tokens */
	FORGET_SECONDS = 3600,
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
	err = spool_write_batch(s, &b);
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
