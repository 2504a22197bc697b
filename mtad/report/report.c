/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sources of the same events: letters of the spool thread (fast, from memory) and the outbox itself
 * (after a start or while a file could not be written). Every event has a number; one is written only when it
 * is greater than the last one written, so the two never double. While `is_behind`, letters are ignored: what
 * they hold stands in the outbox.
 */
#include "report/report.h"

#include "queue/letters.h"
#include "report/format.h"
#include "report/outlets.h"
#include "report/outputs.h"

#include <assert.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
	SYNC_US = 500000, /* events are fsynced at the latest after this: until then they also stand in the
			     outbox */
	SYNC_BYTES = 4 << 20,
	CATCH_UP = 500, /* events a turn */
	RETRY_S = 1,
	MARK_POLL_US = 10000,
};

struct report {
	struct worker *worker, *spool;
	struct log *log;
	const struct clock *clock;
	struct queue_store *store;
	const struct conf *conf;
	struct outputs outputs;
	char why[200];        /* trouble that is of no file */
	struct state state;   /* marks and files_seq: of the last successful sync */
	uint64_t written_seq; /* in the files, perhaps not synced */
	uint64_t shown_seq;   /* logged and counted: once, however often a file has to be written again */
	size_t unsynced_bytes;
	struct outlets *outlets;
	struct event *sync_timer, *retry_timer, *tell_timer;
	bool is_timed, is_behind, is_failed, awaits_mark;
	bool is_told;        /* the spool, of the state */
	bool wants_rotation; /* when it is not behind any more */
	_Atomic uint64_t counts[EVENT_TYPE_COUNT];
	_Atomic bool failed_view;
	struct call begin;
	char line[FORMAT_LINE_MAX];
};

static const char *
trouble(const struct report *r)
{
	return r->why[0] != '\0' ? r->why : outputs_trouble(&r->outputs);
}

/* The files are cut back to the last mark when they are opened again, and the outbox is read from there. */
static void
fail(struct report *r)
{
	struct timeval tv = {RETRY_S, 0};

	if (!r->is_failed)
		log_event(r->log, LOG_EVENT_accounting_failed, "why=\"%s\"", trouble(r));
	r->is_failed = true;
	r->is_behind = true;
	atomic_store(&r->failed_view, true);
	outputs_close(&r->outputs);
	r->awaits_mark = false;
	r->written_seq = r->state.files_seq;
	r->unsynced_bytes = 0;
	event_add(r->retry_timer, &tv);
}

static bool
open_files(struct report *r)
{
	r->why[0] = '\0';
	return outputs_open(&r->outputs, &r->state, clock_now(r->clock));
}

static void
show_event(struct report *r, uint64_t seq, const struct event *e)
{
	if (seq <= r->shown_seq)
		return;
	r->shown_seq = seq;
	format_log(e, r->log);
	atomic_fetch_add_explicit(&r->counts[e->type], 1, memory_order_relaxed);
}

/* An event of the outbox. One that cannot be read (damaged) is passed over, loudly: it must not hold up the
 * others. */
static bool
take_event(struct report *r, uint64_t seq, struct queue_blob bytes)
{
	struct event e;
	int err;

	if (seq <= r->written_seq)
		return true;
	if ((err = event_decode(bytes, &e)) == QUEUE_OK) {
		e.seq = seq;
		e.spool_id = r->state.spool_id;
		show_event(r, seq, &e);
		if (!outputs_add(&r->outputs, &e, r->line, &r->unsynced_bytes))
			return false;
	} else if (seq > r->shown_seq) {
		r->shown_seq = seq;
		log_event(r->log, LOG_EVENT_accounting_damaged, "event=%llu why=\"%s\"",
			(unsigned long long)seq, queue_err_text(err));
	}
	r->written_seq = seq;
	return true;
}

static void
plan_sync(struct report *r)
{
	struct timeval tv = {0, SYNC_US};

	if (r->is_timed || (r->written_seq == r->state.files_seq && r->is_told))
		return;
	r->is_timed = true;
	event_add(r->sync_timer, &tv);
}

/* What the spool has not been told yet; without memory for the letter not now, but whoever comes next tries
 * again. One letter is enough: the spool keeps it until it is on disk. */
static void
tell_spool(struct report *r)
{
	struct reported *p;

	if (r->is_told || (p = calloc(1, sizeof(*p))) == NULL)
		return;
	r->is_told = true;
	p->letter.kind = LETTER_REPORTED;
	p->seq = state_cut(&r->state);
	p->state_len = state_encode(&r->state, p->state);
	worker_post(r->spool, &p->letter);
}

static void
on_tell(evutil_socket_t fd, short what, void *arg)
{
	tell_spool(arg);
}

/* --- outlets --- */

static const char *
outlet_name(const struct conf *c, size_t n)
{
	const struct conf_consumers *all = &c->consumers;

	if (n < all->webhook_count)
		return all->webhooks[n].name;
	n -= all->webhook_count;
	return n < all->pipe_count ? all->pipes[n].name : NULL;
}

static bool
is_configured(const struct conf *c, const char *name)
{
	const char *known;

	for (size_t i = 0; (known = outlet_name(c, i)) != NULL; i++)
		if (strcmp(known, name) == 0)
			return true;
	return false;
}

/* Those of the configuration, each at its place; a new one at the end of what is in the files. */
static void
set_outlets(struct report *r)
{
	struct state *st = &r->state;
	const char *name;
	size_t kept = 0;

	for (size_t i = 0; i < st->outlet_count; i++)
		if (is_configured(r->conf, st->outlets[i].name))
			st->outlets[kept++] = st->outlets[i];
		else
			log_event(r->log, LOG_EVENT_outlet_removed, "name=%s after=%llu behind=%llu",
				st->outlets[i].name, (unsigned long long)st->outlets[i].seq,
				(unsigned long long)(r->written_seq > st->outlets[i].seq
							     ? r->written_seq - st->outlets[i].seq
							     : 0));
	st->outlet_count = kept;
	for (size_t i = 0; (name = outlet_name(r->conf, i)) != NULL; i++) {
		struct state_outlet *o = &st->outlets[st->outlet_count];

		if (state_outlet_find(st, name) != NULL)
			continue;
		memset(o, 0, sizeof(*o));
		snprintf(o->name, sizeof(o->name), "%s", name);
		o->seq = r->written_seq;
		st->outlet_count++;
		log_event(r->log, LOG_EVENT_outlet_added, "name=%s after=%llu", name,
			(unsigned long long)o->seq);
	}
	r->is_told = false;
	if (r->outlets != NULL && !outlets_change(r->outlets, r->conf, st))
		log_event(r->log, LOG_EVENT_outlet_failed, "name=all why=\"out of memory, reload again\"");
}

static void
on_passed(struct report *r, struct passed *p)
{
	struct state_outlet *o = state_outlet_find(&r->state, p->name);
	struct timeval tv = {0, SYNC_US};

	/* One that has just been removed may still tell. */
	if (o != NULL && o->seq < p->seq) {
		o->seq = p->seq;
		r->is_told = false;
		if (!event_pending(r->tell_timer, EV_TIMEOUT, NULL))
			event_add(r->tell_timer, &tv);
	}
	free(p);
}

/* Files just opened or begun: their marks go to the spool, and records wait in the outbox until they are
 * there. */
static bool
begin_files(struct report *r)
{
	struct timeval tv = {0, MARK_POLL_US};

	if (!outputs_sync(&r->outputs, &r->state)) {
		fail(r);
		return false;
	}
	r->is_behind = r->awaits_mark = true;
	r->is_told = false;
	tell_spool(r);
	event_add(r->retry_timer, &tv);
	return true;
}

/* QUEUE_ENOTFOUND: none, or one that cannot be read. */
static int
read_state(const struct report *r, struct state *out)
{
	char bytes[STATE_BYTES_MAX];
	uint64_t seq;
	int n = queue_store_report_state(r->store, &seq, bytes, sizeof(bytes));

	if (n < 0)
		return n;
	if (!state_decode((struct queue_blob){bytes, (size_t)n}, seq, out)) {
		*out = (struct state){.files_seq = seq};
		return QUEUE_ENOTFOUND;
	}
	return QUEUE_OK;
}

static bool
spool_has_marks(const struct report *r)
{
	struct state st;

	if (read_state(r, &st) != QUEUE_OK || st.file_count != r->state.file_count)
		return false;
	for (size_t i = 0; i < st.file_count; i++)
		if (strcmp(st.files[i].name, r->state.files[i].name) != 0 ||
			st.files[i].mark.inode != r->state.files[i].mark.inode ||
			st.files[i].mark.offset != r->state.files[i].mark.offset)
			return false;
	return true;
}

static bool
sync_files(struct report *r)
{
	if (!outputs_write(&r->outputs) || !outputs_sync(&r->outputs, &r->state)) {
		fail(r);
		return false;
	}
	r->unsynced_bytes = 0;
	if (r->state.files_seq != r->written_seq) {
		r->state.files_seq = r->written_seq;
		r->is_told = false;
	}
	tell_spool(r);
	return true;
}

/* Files were begun, or could not be. */
static void
take_begun(struct report *r, enum outputs_begun begun)
{
	if (begun == OUTPUTS_FAILED)
		fail(r);
	else if (begun == OUTPUTS_BEGUN)
		(void)begin_files(r);
}

static void
rotate(struct report *r, bool is_forced)
{
	const struct outputs_rotation when = {clock_now(r->clock), (uint64_t)r->conf->accounting_rotate_size,
		r->conf->accounting_rotate_age, is_forced};

	take_begun(r, outputs_rotate(&r->outputs, &when, r->log));
}

static void
check_places(struct report *r)
{
	take_begun(r, outputs_check_places(&r->outputs, clock_now(r->clock)));
}

static void
on_sync(evutil_socket_t fd, short what, void *arg)
{
	struct report *r = arg;

	r->is_timed = false;
	if (r->is_behind || !sync_files(r))
		return;
	check_places(r);
	if (!r->is_behind)
		rotate(r, false);
	plan_sync(r);
}

/* --- the outbox itself --- */

struct portion {
	struct report *report;
	bool has_failed;
};

static bool
visit(void *arg, uint64_t seq, struct queue_blob bytes)
{
	struct portion *p = arg;

	p->has_failed = !take_event(p->report, seq, bytes);
	return !p->has_failed;
}

/* A portion; again until nothing is left, then letters are listened to. */
static void
catch_up(struct report *r)
{
	struct timeval now = {0, 0};
	struct portion p = {r, false};
	int n = queue_store_scan_events(r->store, r->written_seq, CATCH_UP, visit, &p);

	if (n < 0)
		snprintf(r->why, sizeof(r->why), "cannot read events of the spool: %s", queue_err_text(n));
	if (n < 0 || p.has_failed) {
		fail(r);
		return;
	}
	if (!sync_files(r))
		return;
	if (n > 0) {
		event_add(r->retry_timer, &now);
		return;
	}
	r->is_behind = false;
	if (r->is_failed) {
		r->is_failed = false;
		atomic_store(&r->failed_view, false);
		log_event(r->log, LOG_EVENT_accounting_recovered, "up-to=%llu",
			(unsigned long long)r->state.files_seq);
	}
	if (r->wants_rotation) {
		r->wants_rotation = false;
		rotate(r, true);
	}
	plan_sync(r);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct report *r = arg;
	struct timeval tv = {0, MARK_POLL_US};

	if (r->is_failed && !outputs_are_open(&r->outputs)) {
		if (!open_files(r))
			fail(r);
		else
			(void)begin_files(r);
		return;
	}
	if (r->awaits_mark && !spool_has_marks(r)) {
		tell_spool(r);
		event_add(r->retry_timer, &tv);
		return;
	}
	r->awaits_mark = false;
	catch_up(r);
}

/* First thing in the thread. */
static void
on_begin(struct call *c)
{
	struct report *r = (struct report *)(void *)((char *)c - offsetof(struct report, begin));

	set_outlets(r);
	(void)begin_files(r);
}

/* --- letters --- */

static void
on_events(struct report *r, struct event_batch *b)
{
	size_t at = 0;
	uint32_t len;
	uint64_t seq = 0;

	for (; at < b->len; at += 12 + len) {
		memcpy(&seq, b->bytes + at, 8);
		memcpy(&len, b->bytes + at + 8, 4);
		if (!r->is_behind && !take_event(r, seq, (struct queue_blob){b->bytes + at + 12, len}))
			fail(r);
	}
	if (r->outlets != NULL)
		outlets_wake(r->outlets, seq);
	free(b);
}

static void
on_batch(void *arg)
{
	struct report *r = arg;

	if (r->is_behind)
		return;
	/* Written at once, so that who follows the file sees records soon; made safe a little later. */
	if (!outputs_write(&r->outputs)) {
		fail(r);
		return;
	}
	if (r->unsynced_bytes >= SYNC_BYTES)
		(void)sync_files(r);
	else
		plan_sync(r);
}

static void
on_letter(void *arg, struct letter *l)
{
	struct report *r = arg;

	switch ((enum letter_kind)l->kind) {
	case LETTER_EVENTS:
		on_events(r, (struct event_batch *)l);
		return;
	case LETTER_PASSED:
		on_passed(r, (struct passed *)l);
		return;
	case LETTER_CALL:
		((struct call *)l)->run((struct call *)l);
		return;
	default:
		assert(!"a letter the report thread does not take");
	}
}

bool
report_rotate(struct report *r, char *why, size_t why_max)
{
	if (r->is_behind && !r->is_failed) { /* just begun, or read again: in a moment */
		r->wants_rotation = true;
		return true;
	}
	if (!r->is_failed && sync_files(r))
		check_places(r);
	if (!r->is_behind)
		rotate(r, true);
	if (r->is_failed)
		snprintf(why, why_max, "the accounting files are in trouble: %s", trouble(r));
	return !r->is_failed;
}

void
report_flush(struct report *r)
{
	if (!r->is_behind)
		(void)sync_files(r);
	else
		tell_spool(r);
}

void
report_reconfigure(struct report *r, const struct conf *conf)
{
	const struct conf *old = r->conf;

	r->conf = conf_ref(conf);
	outputs_choose(&r->outputs, conf);
	set_outlets(r);
	plan_sync(r);
	conf_unref(old);
}

void
report_stats(const struct report *r, struct report_stats *out)
{
	size_t i;

	for (i = 0; i < EVENT_TYPE_COUNT; i++)
		out->events[i] = atomic_load_explicit(&r->counts[i], memory_order_relaxed);
	out->is_failed = atomic_load(&r->failed_view);
}

/* With the first one libevent's room for timers is made, for more than there are here: a timer that could not
 * be added later would be one that never comes. */
static bool
make_timers(struct report *r)
{
	const struct timeval tv = {0, SYNC_US};

	r->sync_timer = event_new(worker_base(r->worker), -1, 0, on_sync, r);
	r->retry_timer = event_new(worker_base(r->worker), -1, 0, on_retry, r);
	r->tell_timer = event_new(worker_base(r->worker), -1, 0, on_tell, r);
	r->is_timed = true;
	return r->sync_timer != NULL && r->retry_timer != NULL && r->tell_timer != NULL &&
	       event_add(r->sync_timer, &tv) == 0;
}

static bool
begin_state(struct report *r, char *why, size_t why_max)
{
	int err = read_state(r, &r->state);

	if (err < 0 && err != QUEUE_ENOTFOUND) {
		snprintf(why, why_max, "spool: %s", queue_err_text(err));
		return false;
	}
	while (r->state.spool_id == 0)
		r->state.spool_id = (uint64_t)clock_random(r->clock) << 32 | clock_random(r->clock);
	r->written_seq = r->state.files_seq;
	return true;
}

struct report *
report_create(const struct report_conf *conf, char *why, size_t why_max)
{
	struct worker_conf wc = {
		.name = "report", .clock = conf->clock, .on_letter = on_letter, .on_batch = on_batch};
	struct report *r = calloc(1, sizeof(*r));
	bool is_made;

	if (r == NULL)
		return NULL;
	wc.arg = r;
	r->log = conf->log;
	r->clock = conf->clock;
	r->store = conf->store;
	r->is_behind = true;
	r->conf = conf_ref(conf->conf);
	is_made = outputs_init(&r->outputs, r->conf);
	outputs_choose(&r->outputs, r->conf);
	if (!is_made || (r->worker = worker_create(&wc)) == NULL || !make_timers(r) ||
		!begin_state(r, why, why_max)) {
		report_destroy(&r);
		return NULL;
	}
	if (!open_files(r)) {
		snprintf(why, why_max, "accounting: %s", trouble(r));
		report_destroy(&r);
		return NULL;
	}
	r->begin.letter.kind = LETTER_CALL;
	r->begin.run = on_begin;
	worker_post(r->worker, &r->begin.letter);
	return r;
}

void
report_connect(struct report *r, struct worker *spool, struct outlets *outlets)
{
	r->spool = spool;
	r->outlets = outlets;
}

struct worker *
report_worker(struct report *r)
{
	return r->worker;
}

void
report_destroy(struct report **rp)
{
	struct report *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	outputs_fini(&r->outputs);
	if (r->sync_timer != NULL)
		event_free(r->sync_timer);
	if (r->retry_timer != NULL)
		event_free(r->retry_timer);
	if (r->tell_timer != NULL)
		event_free(r->tell_timer);
	worker_destroy(&r->worker);
	conf_unref(r->conf);
	free(r);
}
