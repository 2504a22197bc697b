/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One read transaction for each portion (queue_store_scan): a long one would keep freed pages from being used
 * again and the spool would grow while it is read.
 */
#include "queue/recover.h"

#include "base/domain.h"
#include "queue/letters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MESSAGES = 500, CHUNK_BYTES = 65536 };

struct chunk {
	struct chunk *next;
	size_t used, max;
	char bytes[];
};

struct recover {
	struct recovered batch;
	struct recovered_message messages[BATCH_MESSAGES];
	struct queue_store *store;
	struct worker *queue;
	struct log *log;
	const struct clock *clock;
	struct chunk *chunks; /* of the present batch */
	queue_id last_id;     /* on disk when it started: later ones are fresh */
	queue_id seen_id;     /* so far has the scan come */
	sem_t taken;
	pthread_t thread;
	bool has_thread, is_out_of_memory, is_failing;
	_Atomic bool is_stopping;
};

static void *
keep(struct recover *r, size_t len)
{
	struct chunk *c = r->chunks;
	size_t max = len > CHUNK_BYTES ? len : CHUNK_BYTES;

	len = (len + 7) & ~(size_t)7;
	if (c == NULL || c->max - c->used < len) {
		if ((c = malloc(sizeof(*c) + max + 8)) == NULL) {
			r->is_out_of_memory = true;
			return NULL;
		}
		c->next = r->chunks;
		c->used = 0;
		c->max = max + 8;
		r->chunks = c;
	}
	c->used += len;
	return c->bytes + c->used - len;
}

static struct queue_blob
keep_blob(struct recover *r, struct queue_blob b)
{
	char *copy = keep(r, b.len + 1);

	if (copy == NULL)
		return (struct queue_blob){"", 0};
	if (b.len > 0)
		memcpy(copy, b.ptr, b.len);
	copy[b.len] = '\0';
	return (struct queue_blob){copy, b.len};
}

static void
free_chunks(struct recover *r)
{
	struct chunk *c, *next;

	for (c = r->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	r->chunks = NULL;
}

/* The domain of an address as the schedule names it. */
static struct queue_blob
domain_of(struct recover *r, struct queue_blob address)
{
	const char *at = memrchr(address.ptr, '@', address.len);
	size_t skip = at != NULL ? (size_t)(at - (const char *)address.ptr) + 1 : 0;
	char name[DOMAIN_MAX];
	int n = domain_normalise((const char *)address.ptr + skip, address.len - skip, name, sizeof(name));

	return n > 0 ? keep_blob(r, (struct queue_blob){name, (size_t)n})
		     : keep_blob(
			       r, (struct queue_blob){(const char *)address.ptr + skip, address.len - skip});
}

static bool
keep_rcpts(struct recover *r, struct recovered_message *to, const struct queue_rcpt *rcpts, uint32_t count)
{
	static const char nothing[] = "";
	uint32_t i;

	to->rcpts = keep(r, count * sizeof(to->rcpts[0]));
	to->sources = keep(r, count * sizeof(to->sources[0]));
	to->hosts = keep(r, count * sizeof(to->hosts[0]));
	if (r->is_out_of_memory)
		return false;
	for (i = 0; i < count; i++) {
		bool is_uncertain = (rcpts[i].flags & QUEUE_RCPT_UNCERTAIN) != 0;

		to->rcpts[i] = (struct queue_sched_rcpt){.n = rcpts[i].n,
			.attempts = rcpts[i].attempts,
			.flags = rcpts[i].flags,
			.due_us = rcpts[i].due_us,
			.domain = domain_of(r, rcpts[i].address)};
		/* Greylisting knows it by its source too (D33). */
		to->sources[i] = rcpts[i].attempts > 0 ? keep_blob(r, rcpts[i].source).ptr : nothing;
		to->hosts[i] = is_uncertain ? keep_blob(r, rcpts[i].host).ptr : nothing;
	}
	to->rcpt_count = count;
	return !r->is_out_of_memory;
}

static bool
on_message(void *arg, const struct queue_message *m, const struct queue_rcpt *rcpts, uint32_t rcpt_count)
{
	struct recover *r = arg;
	struct recovered_message *to = &r->messages[r->batch.count];

	/* A later number is fresh mail, unless nothing sound stands there: then it is a key in which a bit
	 * has flipped, and its recipient would be neither sent nor missed. */
	if (m->id > r->last_id && rcpts != NULL) {
		r->seen_id = m->id;
		return true;
	}
	*to = (struct recovered_message){.meta = *m, .is_damaged = rcpts == NULL};
	if (rcpts != NULL) {
		to->meta.sender = keep_blob(r, m->sender);
		to->meta.user = keep_blob(r, m->user);
		to->meta.job = keep_blob(r, m->job);
		to->meta.pool = keep_blob(r, m->pool);
		to->meta.envid = keep_blob(r, m->envid);
		to->meta.from_domain = keep_blob(r, m->from_domain);
		/* Records are made of the message when it is loaded. */
		to->meta.message_id = to->meta.headers = (struct queue_blob){NULL, 0};
		if (!keep_rcpts(r, to, rcpts, rcpt_count))
			return false;
	}
	r->batch.count++;
	r->seen_id = m->id;
	return true;
}

static void
post(struct recover *r)
{
	r->batch.letter.kind = LETTER_RECOVERED;
	r->batch.recover = r;
	r->batch.messages = r->messages;
	worker_post(r->queue, &r->batch.letter);
	while (sem_wait(&r->taken) != 0)
		; /* EINTR */
}

/* The store is failed at present, or memory is short: not the end of the index. Said once. */
static void
wait_for_better(struct recover *r, int err)
{
	const struct timespec second = {1, 0};

	if (!r->is_failing)
		log_event(r->log, LOG_EVENT_spool_failed, "why=\"the index cannot be read: %s\" after=%llx",
			queue_err_text(err), (unsigned long long)r->seen_id);
	r->is_failing = true;
	nanosleep(&second, NULL);
}

static void *
run(void *arg)
{
	struct recover *r = arg;
	int64_t begun_us = clock_mono(r->clock);
	uint64_t messages = 0, rcpts = 0;
	queue_id last;
	size_t i;
	int n;

	pthread_setname_np(pthread_self(), "recover");
	log_event(r->log, LOG_EVENT_recovering, "up-to=%llu", (unsigned long long)r->last_id);
	while (!atomic_load(&r->is_stopping)) {
		r->batch.count = 0;
		r->is_out_of_memory = false;
		n = queue_store_scan(r->store, r->seen_id, BATCH_MESSAGES, on_message, r, &last);
		if (n == 0)
			break;
		if (r->batch.count > 0) {
			messages += r->batch.count;
			for (i = 0; i < r->batch.count; i++)
				rcpts += r->messages[i].rcpt_count;
			post(r);
		}
		free_chunks(r);
		if (n < 0 || r->is_out_of_memory)
			wait_for_better(r, n < 0 ? n : QUEUE_ENOMEM);
		else
			r->is_failing = false;
	}
	log_event(r->log, LOG_EVENT_recovered, "messages=%llu rcpts=%llu ms=%lld",
		(unsigned long long)messages, (unsigned long long)rcpts,
		(long long)(clock_mono(r->clock) - begun_us) / 1000);
	r->batch.count = 0;
	post(r);
	return NULL;
}

struct recover *
recover_create(struct queue_store *store, struct worker *queue, struct log *log, const struct clock *clock)
{
	struct recover *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->store = store;
	r->queue = queue;
	r->log = log;
	r->clock = clock;
	r->last_id = queue_store_last_id(store);
	sem_init(&r->taken, 0, 0);
	return r;
}

bool
recover_start(struct recover *r)
{
	r->has_thread = pthread_create(&r->thread, NULL, run, r) == 0;
	return r->has_thread;
}

void
recover_taken(struct recovered *batch)
{
	sem_post(&batch->recover->taken);
}

void
recover_destroy(struct recover **rp)
{
	struct recover *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	atomic_store(&r->is_stopping, true);
	if (r->has_thread)
		pthread_join(r->thread, NULL);
	free_chunks(r);
	sem_destroy(&r->taken);
	free(r);
}
