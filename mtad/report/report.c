/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sources of the same events: letters of the spool thread (fast, from memory) and the outbox itself
 * (after a start or while a file could not be written). Every event has a number; one is written only when it
 * is greater than the last one written, so the two never double. While `is_behind`, letters are ignored: what
 * they hold stands in the outbox.
 */
#include "report/report.h"

#include "queue/letters.h"
#include "report/file.h"
#include "report/format.h"

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
	STATE_VERSION = 1,
};

/* What goes into the spool with the number of the last event. */
struct state {
	uint32_t version, reserved;
	struct file_mark csv, json;
};

struct report {
	struct worker *worker, *spool;
	struct log *log;
	const struct clock *clock;
	struct queue_store *store;
	const struct conf *conf;
	const struct conf *paths; /* the first configuration: other paths need a restart (conf.def) */
	struct file csv, json;
	struct state marks;   /* of the last successful sync */
	uint64_t written_seq; /* in the files, perhaps not synced */
	uint64_t shown_seq;   /* logged and counted: once, however often a file has to be written again */
	uint64_t synced_seq;
	size_t unsynced_bytes;
	struct event *sync_timer, *retry_timer;
	bool is_timed, is_behind, is_failed, awaits_mark;
	bool is_told;        /* the spool, of synced_seq and marks */
	bool wants_rotation; /* when it is not behind any more */
	bool records[EVENT_TYPE_COUNT];
	_Atomic uint64_t counts[EVENT_TYPE_COUNT];
	_Atomic bool failed_view;
	struct call begin;
	char line[FORMAT_LINE_MAX];
};

static bool
has_file(const char *path)
{
	return path[0] != '\0' && strcmp(path, "none") != 0;
}

static void
apply_conf(struct report *r, const struct conf *conf)
{
	size_t i, k;

	r->conf = conf_ref(conf);
	for (i = 0; i < EVENT_TYPE_COUNT; i++) {
		r->records[i] = false;
		for (k = 0; k < conf->accounting_records.count; k++)
			if (strcmp(conf->accounting_records.items[k],
				    format_record_type((enum event_type)i)) == 0)
				r->records[i] = true;
	}
}

static const char *
trouble(const struct report *r)
{
	return r->csv.why[0] != '\0' ? r->csv.why : r->json.why;
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
	file_close(&r->csv);
	file_close(&r->json);
	r->awaits_mark = false;
	r->written_seq = r->synced_seq;
	r->unsynced_bytes = 0;
	event_add(r->retry_timer, &tv);
}

static bool
open_files(struct report *r)
{
	const char *csv = r->paths->accounting_file, *json = r->paths->accounting_json;
	int64_t now_us = clock_now(r->clock);

	r->csv.why[0] = r->json.why[0] = '\0';
	if (has_file(csv) && !file_open(&r->csv, csv, format_csv_head(), &r->marks.csv, now_us))
		return false;
	return !has_file(json) || file_open(&r->json, json, "", &r->marks.json, now_us);
}

static bool
add_line(struct report *r, struct file *f, size_t (*format)(const struct event *e, char *buf, size_t max),
	const struct event *e)
{
	size_t n;

	if (f->fd < 0 || !r->records[e->type])
		return true;
	if ((n = format(e, r->line, sizeof(r->line))) == 0) {
		snprintf(f->why, sizeof(f->why), "cannot make a record for %s: out of memory", f->path);
		return false;
	}
	r->unsynced_bytes += n;
	return file_add(f, r->line, n);
}

/* False: it may be buffered for one file and not for the other, so what is buffered must not be written. */
static bool
add_event(struct report *r, const struct event *e)
{
	return add_line(r, &r->csv, format_csv, e) && add_line(r, &r->json, format_json, e);
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
		show_event(r, seq, &e);
		if (!add_event(r, &e))
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

	if (r->is_timed || (r->written_seq == r->synced_seq && r->is_told))
		return;
	r->is_timed = true;
	event_add(r->sync_timer, &tv);
}

static bool
write_files(struct report *r)
{
	return (r->csv.fd < 0 || file_write(&r->csv)) && (r->json.fd < 0 || file_write(&r->json));
}

/* Both marks move or none: the file with the new one would keep what is written again after the other has
 * failed. */
static bool
sync_marks(struct report *r)
{
	struct state now = r->marks;

	if ((r->csv.fd >= 0 && !file_sync(&r->csv, &now.csv)) ||
		(r->json.fd >= 0 && !file_sync(&r->json, &now.json)))
		return false;
	r->marks = now;
	return true;
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
	p->seq = r->synced_seq;
	p->state_len = sizeof(r->marks);
	memcpy(p->state, &r->marks, sizeof(r->marks));
	worker_post(r->spool, &p->letter);
}

/* Files just opened or begun: their marks go to the spool, and records wait in the outbox until they are
 * there. */
static bool
begin_files(struct report *r)
{
	struct timeval tv = {0, MARK_POLL_US};

	if (!sync_marks(r)) {
		fail(r);
		return false;
	}
	r->is_behind = r->awaits_mark = true;
	r->is_told = false;
	tell_spool(r);
	event_add(r->retry_timer, &tv);
	return true;
}

static bool
spool_has_marks(const struct report *r)
{
	struct state st;
	uint64_t seq;

	return queue_store_report_state(r->store, &seq, &st, sizeof(st)) == (int)sizeof(st) &&
	       memcmp(&st, &r->marks, sizeof(st)) == 0;
}

static bool
sync_files(struct report *r)
{
	if (!write_files(r) || !sync_marks(r)) {
		fail(r);
		return false;
	}
	r->unsynced_bytes = 0;
	if (r->synced_seq != r->written_seq) {
		r->synced_seq = r->written_seq;
		r->is_told = false;
	}
	tell_spool(r);
	return true;
}

static bool
rotate_one(struct report *r, struct file *f)
{
	char name[4200];

	if (!file_rotate(f, clock_now(r->clock), name, sizeof(name))) {
		fail(r);
		return false;
	}
	log_event(r->log, LOG_EVENT_rotated, "file=%s", name);
	return true;
}

/* Only between syncs: nothing is buffered, so no record is split and none is lost. */
static void
rotate(struct report *r, bool forced)
{
	int64_t now_us = clock_now(r->clock), age = r->conf->accounting_rotate_age;
	int64_t size = r->conf->accounting_rotate_size;
	struct file *files[] = {&r->csv, &r->json};
	size_t head[] = {strnlen(format_csv_head(), 4096), 0}, i;
	bool rotated = false;

	for (i = 0; i < 2; i++) {
		struct file *f = files[i];

		if (f->fd < 0 || f->written <= head[i])
			continue;
		if (!forced && !(size > 0 && f->written >= (uint64_t)size) &&
			!(age > 0 && now_us - f->opened_us >= age))
			continue;
		if (!rotate_one(r, f))
			return;
		rotated = true;
	}
	if (rotated)
		(void)begin_files(r);
}

/* Somebody moved a file away (logrotate without a signal): a new one is begun at its path. */
static void
check_places(struct report *r)
{
	const struct file_mark none = {0, 0};
	struct file *files[] = {&r->csv, &r->json};
	bool begun = false;
	size_t i;

	for (i = 0; i < 2; i++) {
		struct file *f = files[i];

		if (f->fd < 0 || file_is_in_place(f))
			continue;
		file_close(f);
		if (!file_open(f, f->path, f->head, &none, clock_now(r->clock))) {
			fail(r);
			return;
		}
		begun = true;
	}
	if (begun)
		(void)begin_files(r);
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
		snprintf(r->csv.why, sizeof(r->csv.why), "cannot read events of the spool: %s",
			queue_err_text(n));
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
			(unsigned long long)r->synced_seq);
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

	if (r->is_failed && r->csv.fd < 0 && r->json.fd < 0) {
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

	(void)begin_files(r);
}

/* --- letters --- */

static void
on_events(struct report *r, struct event_batch *b)
{
	size_t at = 0;
	uint32_t len;
	uint64_t seq;

	while (!r->is_behind && at < b->len) {
		memcpy(&seq, b->bytes + at, 8);
		memcpy(&len, b->bytes + at + 8, 4);
		if (!take_event(r, seq, (struct queue_blob){b->bytes + at + 12, len}))
			fail(r);
		at += 12 + len;
	}
	free(b);
}

static void
on_batch(void *arg)
{
	struct report *r = arg;

	if (r->is_behind)
		return;
	/* Written at once, so that who follows the file sees records soon; made safe a little later. */
	if (!write_files(r)) {
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
}

void
report_reconfigure(struct report *r, const struct conf *conf)
{
	const struct conf *old = r->conf;

	apply_conf(r, conf);
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
	r->is_timed = true;
	return r->sync_timer != NULL && r->retry_timer != NULL && event_add(r->sync_timer, &tv) == 0;
}

static bool
read_marks(struct report *r, char *why, size_t why_max)
{
	struct state st;
	int n = queue_store_report_state(r->store, &r->synced_seq, &st, sizeof(st));

	if (n < 0 && n != QUEUE_ENOTFOUND) {
		snprintf(why, why_max, "spool: %s", queue_err_text(n));
		return false;
	}
	if (n == (int)sizeof(st) && st.version == STATE_VERSION)
		r->marks = st;
	r->marks.version = STATE_VERSION;
	r->written_seq = r->synced_seq;
	return true;
}

struct report *
report_create(const struct report_conf *conf, char *why, size_t why_max)
{
	struct worker_conf wc = {
		.name = "report", .clock = conf->clock, .on_letter = on_letter, .on_batch = on_batch};
	struct report *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	wc.arg = r;
	r->csv.fd = r->json.fd = -1;
	r->log = conf->log;
	r->clock = conf->clock;
	r->store = conf->store;
	r->is_behind = true;
	apply_conf(r, conf->conf);
	r->paths = conf_ref(conf->conf);
	if ((r->worker = worker_create(&wc)) == NULL || !make_timers(r) || !read_marks(r, why, why_max)) {
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
report_connect(struct report *r, struct worker *spool)
{
	r->spool = spool;
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
	file_close(&r->csv);
	file_close(&r->json);
	if (r->sync_timer != NULL)
		event_free(r->sync_timer);
	if (r->retry_timer != NULL)
		event_free(r->retry_timer);
	worker_destroy(&r->worker);
	conf_unref(r->conf);
	conf_unref(r->paths);
	free(r);
}
