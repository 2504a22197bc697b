/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An outlet is in one of three states: idle (nothing to send), sending (one batch is out), waiting (a batch
 * is to be tried again, or the next is not due yet). go_on() is the one place that leaves idle and waiting,
 * and on_answer() the one that leaves sending.
 *
 * Invariants: `seq` moves on only when a batch was taken or is in the dead-letter file, fsynced; a batch
 * stays the same over its tries; no read of the spool lasts longer than one portion of events.
 */
#include "report/outlets.h"

#include "queue/letters.h"
#include "report/columns.h"
#include "report/file.h"
#include "report/format.h"
#include "report/program.h"
#include "report/webhook.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORTION = 500,     /* events looked at in one read of the spool */
	LOOK_PORTIONS = 8, /* and before other outlets have their turn */
	GAP_US = 200000,   /* between batches that are not full: they fill meanwhile */
	STUCK_US = 10000000,
	BACKOFF_FIRST_US = 1000000,
	BACKOFF_MAX_US = 300000000,
	RETRY_AFTER_MAX_S = 3600,
	STOP_S = 2, /* what is being sent when the thread is to end may be answered for so long */
};

/* Lines, with room for a bracket in front. CSV begins with its line of names, so that each batch is whole. */
struct batch {
	char *bytes;
	size_t len, max;
	bool is_csv;
	uint32_t count;
	uint64_t to;       /* its last event, or the last that was looked at */
	int64_t oldest_us; /* of its events */
};

enum outlet_state { OUTLET_IDLE, OUTLET_SENDING, OUTLET_WAITING };

struct outlet {
	struct outlets *all;
	struct outlet *next;
	char name[CONF_CONSUMER_NAME_MAX + 1];
	const struct conf_webhook *webhook; /* of all->conf; one of the two */
	const struct conf_pipe *pipe;
	struct columns *columns; /* of the pipe's configuration, made when they are needed */
	enum outlet_state state;
	uint64_t seq; /* all up to here are settled */
	struct batch batch;
	struct webhook_request *request; /* sending: one of the two */
	struct program *program;
	struct event *timer; /* waiting */
	unsigned refusals;   /* of this batch */
	unsigned failures;   /* in a row */
	bool is_stuck;
	uint64_t sent, batches, dead;
	int64_t next_us, taken_us, failed_us;
	char error[300];
	bool is_kept; /* while a configuration is taken over */
};

struct outlets {
	struct worker *worker, *report;
	struct log *log;
	const struct clock *clock;
	struct queue_store *store;
	const struct conf *conf;
	struct outlet *first;
	struct webhook_client *client;
	struct event *stop_timer;
	bool is_ending, is_cut;
	struct call wake;
	uint64_t spool_id;
	_Atomic bool is_woken;
	_Atomic uint64_t newest;
	_Atomic uint64_t sent, dead;
	_Atomic unsigned count, failing;
	char line[FORMAT_LINE_MAX];
};

static const char *const state_names[] = {
	[OUTLET_IDLE] = "idle",
	[OUTLET_SENDING] = "sending",
	[OUTLET_WAITING] = "waiting",
};

static const struct conf_outlet *
settings(const struct outlet *o)
{
	return o->webhook != NULL ? &o->webhook->outlet : &o->pipe->outlet;
}

static uint64_t
behind(const struct outlet *o)
{
	uint64_t newest = atomic_load_explicit(&o->all->newest, memory_order_relaxed);

	return newest > o->seq ? newest - o->seq : 0;
}

static void
wait_for(struct outlet *o, int64_t us)
{
	struct timeval tv = {us / 1000000, us % 1000000};

	o->state = OUTLET_WAITING;
	o->next_us = clock_now(o->all->clock) + us;
	event_add(o->timer, &tv);
}

/* --- batches --- */

static bool
batch_add(struct batch *b, const char *line, size_t len)
{
	size_t need = b->len + len + 1, max = b->max > 0 ? b->max : 65536;
	char *grown;

	while (max < need)
		max *= 2;
	if (b->bytes == NULL || max > b->max) {
		if ((grown = realloc(b->bytes, max)) == NULL)
			return false;
		b->bytes = grown;
		b->max = max;
	}
	if (b->len == 0)
		b->bytes[b->len++] = '[';
	memcpy(b->bytes + b->len, line, len);
	b->len += len;
	return true;
}

static bool
wants_csv(const struct outlet *o)
{
	return o->pipe != NULL && o->pipe->format == CONF_PIPE_CSV;
}

/* Of the outlet, a line more. False: no memory. */
static bool
batch_event(struct outlet *o, struct batch *b, const struct event *e)
{
	char *line = o->all->line;
	const char *head;
	size_t n;

	b->is_csv = wants_csv(o);
	if (!b->is_csv) {
		n = format_json(e, line, sizeof(o->all->line));
		return n > 0 && batch_add(b, line, n);
	}
	if (o->columns == NULL && (o->columns = columns_create(&o->pipe->columns)) == NULL)
		return false;
	head = columns_head(o->columns);
	if (b->len == 0 && !batch_add(b, head, strnlen(head, FORMAT_LINE_MAX)))
		return false;
	n = columns_write(o->columns, e, line, sizeof(o->all->line));
	return batch_add(b, line, n);
}

static struct queue_blob
batch_lines(const struct batch *b)
{
	return (struct queue_blob){b->bytes + 1, b->len - 1};
}

struct look {
	struct outlet *outlet;
	bool is_full, has_failed;
};

/* A damaged event is the accounting's to complain of. */
static bool
visit(void *arg, uint64_t seq, struct queue_blob bytes)
{
	struct look *k = arg;
	struct outlet *o = k->outlet;
	struct batch *b = &o->batch;
	struct event e;

	if (event_decode(bytes, &e) == QUEUE_OK && format_fits(&settings(o)->which, &e)) {
		e.seq = seq;
		e.spool_id = o->all->spool_id;
		k->has_failed = !batch_event(o, b, &e);
		if (k->has_failed)
			return false;
		if (b->count++ == 0 || e.logged_us < b->oldest_us)
			b->oldest_us = e.logged_us;
	}
	b->to = seq;
	k->is_full = b->count >= settings(o)->batch || b->len >= OUTLETS_BATCH_BYTES;
	return !k->is_full;
}

static void
tell_report(struct outlet *o)
{
	struct passed *p = calloc(1, sizeof(*p));

	/* The next one tells it too; after a crash before that, events come twice. */
	if (p == NULL)
		return;
	p->letter.kind = LETTER_PASSED;
	p->seq = o->seq;
	memcpy(p->name, o->name, sizeof(p->name));
	worker_post(o->all->report, &p->letter);
}

static void
batch_drop(struct outlet *o)
{
	o->batch.count = 0;
	o->batch.len = 0;
	o->refusals = 0;
}

static void
batch_settled(struct outlet *o)
{
	o->seq = o->batch.to;
	batch_drop(o);
	if (o->batch.max > OUTLETS_BATCH_BYTES / 4) { /* a large one is no reason to keep as much for ever */
		free(o->batch.bytes);
		o->batch = (struct batch){.to = o->seq};
	}
	tell_report(o);
}

enum gathered { GATHERED, NOTHING, MORE, TROUBLE };

/* Events of the outbox behind `seq`, up to a batch of them. */
static enum gathered
gather(struct outlet *o)
{
	struct look k = {.outlet = o};
	int n = 0;

	o->batch.to = o->seq;
	for (int i = 0; i < LOOK_PORTIONS && !k.is_full && !k.has_failed; i++) {
		n = queue_store_scan_events(o->all->store, o->batch.to, PORTION, visit, &k);
		if (n < PORTION)
			break;
	}
	if (n < 0 || k.has_failed) {
		snprintf(o->error, sizeof(o->error), "cannot read events of the spool: %s",
			n < 0 ? queue_err_text(n) : "out of memory");
		batch_drop(o);
		return TROUBLE;
	}
	if (o->batch.count > 0)
		return GATHERED;
	if (o->batch.to == o->seq)
		return NOTHING;
	batch_settled(o); /* none of them was for this outlet */
	return n < PORTION ? NOTHING : MORE;
}

/* --- giving up --- */

/* NULL: not yet. */
static const char *
why_give_up(const struct outlet *o)
{
	const struct conf_outlet *s = settings(o);

	if (o->refusals >= s->tries)
		return "refused too often";
	if (behind(o) > (uint64_t)s->backlog)
		return "more events wait than backlog";
	if (o->failures > 0 && clock_now(o->all->clock) - o->batch.oldest_us > s->keep)
		return "older than keep";
	return NULL;
}

static bool
write_dead(struct outlet *o, struct file *f)
{
	const struct file_mark none = {0, 0};
	struct file_mark mark;

	return file_open(f, settings(o)->dead_letter, "", &none, clock_now(o->all->clock)) &&
	       file_add(f, batch_lines(&o->batch).ptr, batch_lines(&o->batch).len) && file_write(f) &&
	       file_sync(f, &mark);
}

/* False: the file cannot be written, and the batch stays. */
static bool
give_up(struct outlet *o, const char *why)
{
	struct file f = {.fd = -1};
	bool ok = write_dead(o, &f);

	file_close(&f);
	if (!ok) {
		if (!o->is_stuck)
			log_event(o->all->log, LOG_EVENT_outlet_stuck, "name=%s why=\"%s\"", o->name, f.why);
		o->is_stuck = true;
		snprintf(o->error, sizeof(o->error), "%s", f.why);
		return false;
	}
	o->is_stuck = false;
	o->dead += o->batch.count;
	atomic_fetch_add(&o->all->dead, o->batch.count);
	log_event(o->all->log, LOG_EVENT_outlet_dead, "name=%s events=%u file=%s why=\"%s\" last=\"%s\"",
		o->name, (unsigned)o->batch.count, settings(o)->dead_letter, why, o->error);
	batch_settled(o);
	return true;
}

/* --- sending --- */

static void on_answer(void *arg, const struct outlet_answer *answer);

/* The lines as a JSON array: each line end is one of the record, as JSON keeps them out of itself. */
static struct webhook_request *
send_webhook(struct outlets *all, const struct conf_webhook *w, struct queue_blob lines,
	outlet_on_answer *on_done, void *arg)
{
	char *body = malloc(lines.len + 1);
	struct webhook_request *r;

	if (body == NULL)
		return NULL;
	body[0] = '[';
	memcpy(body + 1, lines.ptr, lines.len);
	for (size_t i = 1; i <= lines.len; i++)
		if (body[i] == '\n')
			body[i] = i == lines.len ? ']' : ',';
	r = webhook_send(all->client, w, (struct queue_blob){body, lines.len + 1}, clock_now(all->clock),
		on_done, arg);
	free(body);
	return r;
}

static bool
start(struct outlet *o)
{
	if (o->webhook != NULL)
		o->request = send_webhook(o->all, o->webhook, batch_lines(&o->batch), on_answer, o);
	else
		o->program = program_start(
			worker_base(o->all->worker), o->pipe, batch_lines(&o->batch), on_answer, o);
	o->state = OUTLET_SENDING;
	return o->request != NULL || o->program != NULL;
}

static int64_t
backoff_us(const struct outlet *o, const struct outlet_answer *a)
{
	int64_t us = BACKOFF_FIRST_US;

	if (a->retry_us > 0) {
		us = a->retry_us < INT64_C(1000000) * RETRY_AFTER_MAX_S
			     ? a->retry_us
			     : INT64_C(1000000) * RETRY_AFTER_MAX_S;
		return us + us * (clock_random(o->all->clock) % 11) / 100; /* never before it asked */
	}
	for (unsigned i = 1; i < o->failures && us < BACKOFF_MAX_US; i++)
		us *= 2;
	us = us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US;
	return us * (80 + clock_random(o->all->clock) % 41) / 100;
}

static void
set_failures(struct outlet *o, unsigned failures)
{
	if (failures > 0 && o->failures == 0)
		atomic_fetch_add(&o->all->failing, 1);
	else if (failures == 0 && o->failures > 0)
		atomic_fetch_sub(&o->all->failing, 1);
	o->failures = failures;
}

static void
taken(struct outlet *o)
{
	bool is_full = o->batch.count >= settings(o)->batch;

	o->sent += o->batch.count;
	atomic_fetch_add(&o->all->sent, o->batch.count);
	o->batches++;
	o->taken_us = clock_now(o->all->clock);
	if (o->failures > 0)
		log_event(o->all->log, LOG_EVENT_outlet_recovered, "name=%s after=%u behind=%llu", o->name,
			o->failures, (unsigned long long)behind(o));
	set_failures(o, 0);
	o->error[0] = '\0';
	batch_settled(o);
	wait_for(o, is_full ? 0 : GAP_US);
}

static void
on_answer(void *arg, const struct outlet_answer *a)
{
	struct outlet *o = arg;

	assert(o->state == OUTLET_SENDING);
	o->request = NULL;
	o->program = NULL;
	if (a->result == OUTLET_TAKEN) {
		taken(o);
		return;
	}
	set_failures(o, o->failures + 1);
	o->refusals += a->result == OUTLET_REFUSED;
	o->failed_us = clock_now(o->all->clock);
	snprintf(o->error, sizeof(o->error), "%s", a->why);
	if (o->failures == 1)
		log_event(o->all->log, LOG_EVENT_outlet_failed, "name=%s events=%u why=\"%s\"", o->name,
			(unsigned)o->batch.count, o->error);
	wait_for(o, why_give_up(o) != NULL ? 0 : backoff_us(o, a));
}

static void
cannot_start(struct outlet *o)
{
	struct outlet_answer a = {.result = OUTLET_LATER};

	snprintf(a.why, sizeof(a.why), "cannot begin: %s", strerror(errno != 0 ? errno : ENOMEM));
	on_answer(o, &a);
}

/* Idle or waiting: what is next? */
static void
go_on(struct outlet *o)
{
	const char *why;

	assert(o->state != OUTLET_SENDING);
	o->state = OUTLET_IDLE;
	o->next_us = 0;
	event_del(o->timer);
	if (o->all->is_ending)
		return;
	if (o->batch.count > 0 && o->batch.is_csv != wants_csv(o)) /* the configuration has changed */
		batch_drop(o);
	if (o->batch.count == 0)
		switch (gather(o)) {
		case GATHERED:
			break;
		case NOTHING:
			return;
		case MORE:
			wait_for(o, 0);
			return;
		case TROUBLE:
			wait_for(o, BACKOFF_FIRST_US);
			return;
		}
	if ((why = why_give_up(o)) != NULL) {
		wait_for(o, give_up(o, why) ? 0 : STUCK_US);
		return;
	}
	errno = 0;
	if (!start(o))
		cannot_start(o);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	go_on(arg);
}

/* --- which there are --- */

static void
outlet_free(struct outlet *o)
{
	webhook_cancel(&o->request);
	program_cancel(&o->program);
	if (o->timer != NULL)
		event_free(o->timer);
	columns_destroy(&o->columns);
	free(o->batch.bytes);
	free(o);
}

static struct outlet *
outlet_find(struct outlets *all, const char *name)
{
	for (struct outlet *o = all->first; o != NULL; o = o->next)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

/* The outlet of this name, made if need be. NULL: no memory; its events stay in the spool. */
static struct outlet *
outlet_keep(struct outlets *all, const char *name, const struct state *positions)
{
	const struct state_outlet *known = state_outlet_find((struct state *)(uintptr_t)positions, name);
	struct outlet *o = outlet_find(all, name);

	if (o == NULL && (o = calloc(1, sizeof(*o))) != NULL) {
		snprintf(o->name, sizeof(o->name), "%s", name);
		o->all = all;
		o->seq = known != NULL ? known->seq : 0;
		if ((o->timer = event_new(worker_base(all->worker), -1, 0, on_timer, o)) == NULL) {
			free(o);
			o = NULL;
		} else {
			o->next = all->first;
			all->first = o;
			atomic_fetch_add(&all->count, 1);
		}
	}
	if (o == NULL) {
		log_event(all->log, LOG_EVENT_outlet_failed, "name=%s why=\"out of memory, reload again\"",
			name);
		return NULL;
	}
	o->is_kept = true;
	o->webhook = NULL;
	o->pipe = NULL;
	columns_destroy(&o->columns);
	return o;
}

static void
drop_others(struct outlets *all)
{
	struct outlet **at = &all->first, *o;

	while ((o = *at) != NULL) {
		if (o->is_kept) {
			o->is_kept = false;
			at = &o->next;
			continue;
		}
		*at = o->next;
		set_failures(o, 0);
		atomic_fetch_sub(&all->count, 1);
		outlet_free(o);
	}
}

static bool
has_too_many(const struct outlet *o)
{
	return o->batch.count > 0 && !o->is_stuck && behind(o) > (uint64_t)settings(o)->backlog;
}

static void
go_on_all(struct outlets *all, bool waiting_too)
{
	for (struct outlet *o = all->first; o != NULL; o = o->next)
		if (o->state == OUTLET_IDLE ||
			(o->state == OUTLET_WAITING && (waiting_too || has_too_many(o))))
			go_on(o);
}

static void
take_conf(struct outlets *all, const struct conf *conf, const struct state *positions)
{
	const struct conf_consumers *c = &conf->consumers;
	const struct conf *old = all->conf;
	struct outlet *o;

	all->conf = conf_ref(conf);
	all->spool_id = positions->spool_id;
	for (size_t i = 0; i < c->webhook_count; i++)
		if ((o = outlet_keep(all, c->webhooks[i].name, positions)) != NULL)
			o->webhook = &c->webhooks[i];
	for (size_t i = 0; i < c->pipe_count; i++)
		if ((o = outlet_keep(all, c->pipes[i].name, positions)) != NULL)
			o->pipe = &c->pipes[i];
	drop_others(all);
	conf_unref(old);
}

/* What was in the outbox before this process began. */
static void
learn_newest(struct outlets *all)
{
	struct queue_totals t;
	uint64_t seq, newest = atomic_load(&all->newest);

	if (queue_store_report_state(all->store, &seq, NULL, 0) < 0)
		seq = 0;
	if (queue_store_totals(all->store, &t) == QUEUE_OK && seq + t.events_pending > newest)
		atomic_compare_exchange_strong(&all->newest, &newest, seq + t.events_pending);
}

/* --- letters --- */

struct outlets_part {
	struct call call;
	struct outlets *outlets;
	const struct conf *conf;
	struct state positions;
};

static void
run_change(struct call *c)
{
	struct outlets_part *p = (struct outlets_part *)c;

	take_conf(p->outlets, p->conf, &p->positions);
	learn_newest(p->outlets);
	conf_unref(p->conf);
	go_on_all(p->outlets, true);
	free(p);
}

bool
outlets_change(struct outlets *o, const struct conf *conf, const struct state *positions)
{
	struct outlets_part *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return false;
	p->call.letter.kind = LETTER_CALL;
	p->call.run = run_change;
	p->outlets = o;
	p->conf = conf_ref(conf);
	p->positions = *positions;
	worker_post(o->worker, &p->call.letter);
	return true;
}

static void
run_wake(struct call *c)
{
	struct outlets *o = (struct outlets *)(void *)((char *)c - offsetof(struct outlets, wake));

	/* First, so that what comes from now on wakes again. */
	atomic_store(&o->is_woken, false);
	go_on_all(o, false);
}

void
outlets_wake(struct outlets *o, uint64_t seq)
{
	atomic_store_explicit(&o->newest, seq, memory_order_relaxed);
	if (!atomic_exchange(&o->is_woken, true))
		worker_post(o->worker, &o->wake.letter);
}

static void
on_letter(void *arg, struct letter *l)
{
	assert(l->kind == LETTER_CALL);
	((struct call *)l)->run((struct call *)l);
}

static void
on_stop_time(evutil_socket_t fd, short what, void *arg)
{
	struct outlets *o = arg;

	o->is_cut = true;
}

/* Asked once the thread is to end: a batch that is out would come again after the start. */
static bool
is_busy(void *arg)
{
	const struct timeval tv = {STOP_S, 0};
	struct outlets *all = arg;

	if (!all->is_ending)
		event_add(all->stop_timer, &tv);
	all->is_ending = true;
	for (const struct outlet *o = all->first; o != NULL; o = o->next)
		if (o->state == OUTLET_SENDING && !all->is_cut)
			return true;
	return false;
}

struct outlets *
outlets_create(const struct outlets_conf *conf)
{
	struct worker_conf wc = {
		.name = "outlets", .clock = conf->clock, .on_letter = on_letter, .is_busy = is_busy};
	struct outlets *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	wc.arg = o;
	o->log = conf->log;
	o->clock = conf->clock;
	o->store = conf->store;
	o->wake.letter.kind = LETTER_CALL;
	o->wake.run = run_wake;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (o->worker = worker_create(&wc)) == NULL ||
		(o->stop_timer = event_new(worker_base(o->worker), -1, 0, on_stop_time, o)) == NULL ||
		(o->client = webhook_client_create(worker_base(o->worker))) == NULL)
		outlets_destroy(&o);
	return o;
}

void
outlets_connect(struct outlets *o, struct worker *report)
{
	o->report = report;
}

struct worker *
outlets_worker(struct outlets *o)
{
	return o->worker;
}

void
outlets_destroy(struct outlets **op)
{
	struct outlets *all = *op;

	*op = NULL;
	if (all == NULL)
		return;
	drop_others(all); /* none is kept */
	webhook_client_destroy(&all->client);
	if (all->stop_timer != NULL)
		event_free(all->stop_timer);
	if (all->worker != NULL)
		worker_destroy(&all->worker);
	conf_unref(all->conf);
	curl_global_cleanup();
	free(all);
}

/* --- for mtactl --- */

void
outlets_stats(const struct outlets *o, struct outlets_stats *out)
{
	out->count = atomic_load(&o->count);
	out->failing = atomic_load(&o->failing);
	out->sent = atomic_load(&o->sent);
	out->dead = atomic_load(&o->dead);
}

void
outlets_each(struct outlets *all, outlet_visit *each, void *arg)
{
	for (const struct outlet *o = all->first; o != NULL; o = o->next) {
		const struct outlet_view v = {o->name, o->webhook != NULL ? "webhook" : "pipe",
			state_names[o->state], o->webhook != NULL ? o->webhook->url : o->pipe->command,
			o->seq, behind(o), o->sent, o->batches, o->dead, o->failures, o->next_us, o->taken_us,
			o->failed_us, o->error};

		each(arg, &v);
	}
}

enum outlets_test
outlets_test(struct outlets *all, const char *name, outlet_on_answer *on_done, void *arg)
{
	static const char words[] = "250 2.0.0 a test event: nothing was sent";
	struct outlet *o = outlet_find(all, name);
	struct event e = {.type = EVENT_DELIVERED,
		.logged_us = clock_now(all->clock),
		.queued_us = clock_now(all->clock),
		.code = 250,
		.sender = {"test@example.invalid", 20},
		.rcpt = {"test@example.invalid", 20},
		.job = {"mtad-test", 9},
		.esc = {"2.0.0", 5},
		.reply = {words, sizeof(words) - 1}};
	struct batch b = {0};
	bool is_begun;

	if (o == NULL)
		return OUTLETS_TEST_UNKNOWN;
	is_begun = batch_event(o, &b, &e);
	if (is_begun && o->webhook != NULL)
		is_begun = send_webhook(all, o->webhook, batch_lines(&b), on_done, arg) != NULL;
	else if (is_begun)
		is_begun = program_start(worker_base(all->worker), o->pipe, batch_lines(&b), on_done, arg) !=
			   NULL;
	free(b.bytes);
	return is_begun ? OUTLETS_TEST_BEGUN : OUTLETS_TEST_FAILED;
}
