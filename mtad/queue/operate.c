/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators ask of the queue thread: pauses that outlive a restart, holds that stand in the spool,
 * removals that end in a record like any other recipient's end.
 */
#include "queue/operate.h"

#include "queue/dispatch_impl.h"
#include "queue_sched_why.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- pauses on disk: "pause/KIND/NAME" -> times, reason; and a zero and NAME, when that is too long --- */

struct pause_times {
	int64_t made_us, until_us; /* wall clock; INT64_MAX: until it is ended */
};
enum { NOTE_NAME_MAX = 180, NOTE_NAME_KEPT = 160 };

/* A note's name may have 200 bytes: of a longer one its beginning, and a hash to tell it from others. */
static struct queue_blob
pause_name(char buf[256], enum queue_pause_kind kind, struct queue_blob name)
{
	size_t len = (size_t)snprintf(buf, 256, "pause/%d/", (int)kind);
	size_t kept = name.len <= NOTE_NAME_MAX ? name.len : NOTE_NAME_KEPT;
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	if (kept > 0)
		memcpy(buf + len, name.ptr, kept);
	len += kept;
	for (size_t i = kept; i < name.len; i++)
		h = (h ^ ((const unsigned char *)name.ptr)[i]) * UINT64_C(1099511628211);
	if (kept < name.len)
		len += (size_t)snprintf(buf + len, 256 - len, "#%016llx", (unsigned long long)h);
	return (struct queue_blob){buf, len};
}

struct queue_blob
dispatch_at_site(char *buf, size_t max, struct queue_blob name, struct queue_blob site)
{
	assert(name.len + 1 + site.len <= max);
	memcpy(buf, name.ptr, name.len);
	buf[name.len] = '\0';
	memcpy(buf + name.len + 1, site.ptr, site.len);
	return (struct queue_blob){buf, name.len + 1 + site.len};
}

static struct note *
make_note(struct queue_blob name, struct queue_blob value)
{
	struct note *n = calloc(1, sizeof(*n) + name.len + value.len);

	if (n == NULL)
		return NULL;
	n->letter.kind = LETTER_NOTE;
	n->name_len = name.len;
	n->value_len = value.len;
	memcpy(n->bytes, name.ptr, name.len);
	if (value.len > 0)
		memcpy(n->bytes + name.len, value.ptr, value.len);
	return n;
}

bool
dispatch_post_note(
	struct dispatch *d, struct queue_blob name, struct queue_blob value, struct queue_noting *noting)
{
	struct note *n = make_note(name, value);

	if (n == NULL)
		return false;
	n->noting = noting;
	worker_post(d->peers.spool, &n->letter);
	return true;
}

/* Without memory what was asked for ahead is not given back. */
static void
post_last(void *arg, struct queue_blob name, struct queue_blob value)
{
	struct dispatch *d = arg;
	struct note *n = make_note(name, value);

	if (n == NULL)
		return;
	n->is_last = true;
	d->last_notes_out++;
	worker_post(d->peers.spool, &n->letter);
}

bool
dispatch_last_notes(struct dispatch *d)
{
	if (!d->has_last_notes)
		queue_sched_last_notes(d->sched, post_last, d, dispatch_now(d));
	d->has_last_notes = true;
	return d->last_notes_out == 0;
}

/* Without memory the pause holds until the next restart. */
static void
note_pause(struct dispatch *d, struct queue_blob name, const void *value, size_t value_len)
{
	(void)dispatch_post_note(d, name, (struct queue_blob){value, value_len}, NULL);
}

static bool
apply_pause(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name, int64_t until_us,
	struct queue_blob reason)
{
	uint32_t number = 0;

	if (kind == QUEUE_PAUSE_SOURCE) {
		if (conf_source_find(policy_conf(d->settings.policy), name.ptr, name.len) < 0 ||
			!pace_source_number(d->settings.pace, name.ptr, name.len, &number))
			return false;
		name.len = 0;
	}
	return queue_sched_pause(d->sched, kind, name, number, until_us, reason, dispatch_now(d)) == QUEUE_OK;
}

int64_t
dispatch_paused_until(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name)
{
	struct queue_pause_view v = {.until_us = 0};
	uint32_t number = 0;

	if (kind == QUEUE_PAUSE_SOURCE) {
		if (!pace_source_number(d->settings.pace, name.ptr, name.len, &number))
			return 0;
		name.len = 0;
	}
	(void)queue_sched_pause_find(d->sched, kind, name, number, &v);
	return v.until_us;
}

bool
dispatch_pause(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name, int64_t until_us,
	struct queue_blob reason)
{
	char note[256], value[PAUSE_NOTE_MAX + 1 + DISPATCH_PAUSE_NAME_MAX];
	const struct pause_times times = {dispatch_now(d), until_us};
	size_t room = PAUSE_NOTE_MAX - sizeof(times), len = reason.len < room ? reason.len : room;

	if (name.len > DISPATCH_PAUSE_NAME_MAX || !apply_pause(d, kind, name, until_us, reason))
		return false;
	memcpy(value, &times, sizeof(times));
	memcpy(value + sizeof(times), reason.ptr, len);
	len += sizeof(times);
	if (name.len > NOTE_NAME_MAX) {
		value[len++] = '\0';
		memcpy(value + len, name.ptr, name.len);
		len += name.len;
	}
	note_pause(d, pause_name(note, kind, name), value, len);
	dispatch_wake(d);
	return true;
}

bool
dispatch_resume(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name)
{
	char note[256];
	uint32_t number = 0;

	note_pause(d, pause_name(note, kind, name), NULL, 0);
	if (kind == QUEUE_PAUSE_SOURCE) {
		if (!pace_source_number(d->settings.pace, name.ptr, name.len, &number))
			return false;
		name.len = 0;
	}
	dispatch_wake(d);
	return queue_sched_resume(d->sched, kind, name, number, dispatch_now(d));
}

bool
dispatch_warmup(struct dispatch *d, struct queue_blob source, struct queue_blob group,
	enum queue_warmup_act act, struct queue_blob words)
{
	dispatch_wake(d);
	return queue_sched_warmup_act(d->sched, source, group, act, words, dispatch_now(d));
}

bool
dispatch_clear(struct dispatch *d, struct queue_blob site, struct queue_blob source, uint32_t *out_count)
{
	uint32_t number = UINT32_MAX;

	if (source.len > 0 && !pace_source_number(d->settings.pace, source.ptr, source.len, &number))
		return false;
	*out_count = queue_sched_clear(d->sched, site, number, dispatch_now(d));
	dispatch_wake(d);
	return true;
}

/* Leaves the reason in *value. An earlier version kept no time of making, and the reason stood where the end
 * does now: eight bytes of text, none of them zero, are two thousand years at least, which no pause lasts. */
static bool
read_times(struct queue_blob *value, struct pause_times *out)
{
	struct pause_times times;
	size_t len = sizeof(times);
	bool is_old;

	if (value->len < sizeof(times.until_us))
		return false;
	memset(&times, 0, sizeof(times));
	memcpy(&times, value->ptr, value->len < len ? value->len : len);
	is_old = value->len < len ||
		 (times.until_us != INT64_MAX &&
			 (times.until_us < times.made_us || times.until_us - times.made_us > PAUSE_MAX_US));
	if (is_old) {
		times = (struct pause_times){0, times.made_us};
		len = sizeof(times.until_us);
	}
	*value = (struct queue_blob){(const char *)value->ptr + len, value->len - len};
	*out = times;
	return true;
}

bool
dispatch_restore_pause(void *arg, struct queue_blob name, struct queue_blob value)
{
	struct dispatch *d = arg;
	const char *kind = (const char *)name.ptr + 6;
	int64_t now_us = dispatch_now(d);
	struct pause_times times;
	const char *zero;

	if (name.len < 8 || kind[1] != '/' || !read_times(&value, &times))
		return true;
	name = (struct queue_blob){kind + 2, name.len - 8};
	if (value.len > 0 && (zero = memchr(value.ptr, '\0', value.len)) != NULL) {
		size_t words = (size_t)(zero - (const char *)value.ptr);

		name = (struct queue_blob){zero + 1, value.len - words - 1};
		value.len = words;
	}
	/* J4: made by a clock that was ahead; it has its length from now on. */
	if (times.made_us > now_us && times.until_us != INT64_MAX)
		times.until_us -= times.made_us - now_us;
	if (times.until_us > now_us)
		(void)apply_pause(d, (enum queue_pause_kind)(kind[0] - '0'), name, times.until_us, value);
	return true;
}

/* --- operators --- */

bool
dispatch_is_recorded(const struct dispatch *d)
{
	return d->unrecorded == 0;
}

bool
dispatch_is_backlogged(const struct dispatch *d)
{
	return d->unrecorded >= UNRECORDED_MAX / 2;
}

uint64_t
dispatch_remove(struct dispatch *d, const struct queue_filter *f, enum queue_verdict_kind kind,
	const char *words, uint64_t limit, uint64_t *out_busy)
{
	struct queue_lease *lease;
	uint64_t removed = 0, busy;
	struct job *job;

	*out_busy = 0;
	while (removed < limit) {
		lease = queue_sched_take(d->sched, f, &busy);
		*out_busy += busy;
		if (lease == NULL || (job = dispatch_make_job(d, lease)) == NULL)
			break;
		removed += job->rcpt_count;
		job_answer_all(job, kind, BOUNCE_CLASS_NONE, kind == QUEUE_VERDICT_FAILED ? "5.7.0" : "5.0.0",
			0, words);
		dispatch_job_done(d, job);
	}
	return removed;
}

enum { HOLD_BATCH = 500 };

struct hold_collector {
	struct dispatch *d;
	struct hold_batch *batch;
	bool hold;
};

static void
post_holds(struct hold_collector *c)
{
	if (c->batch == NULL)
		return;
	c->batch->letter.kind = LETTER_HOLD;
	c->batch->hold = c->hold;
	c->d->holds_posted += c->batch->count;
	worker_post(c->d->peers.spool, &c->batch->letter);
	c->batch = NULL;
}

static bool
collect_hold(void *arg, const struct queue_view *v)
{
	struct hold_collector *c = arg;

	if (c->batch == NULL)
		c->batch = calloc(1, sizeof(*c->batch) + HOLD_BATCH * sizeof(c->batch->items[0]));
	if (c->batch == NULL)
		return true; /* held in memory; the next start releases it */
	c->batch->items[c->batch->count].id = v->id;
	c->batch->items[c->batch->count].n = v->n;
	if (++c->batch->count == HOLD_BATCH)
		post_holds(c);
	return true;
}

uint64_t
dispatch_hold(struct dispatch *d, const struct queue_filter *f, bool hold)
{
	struct hold_collector c = {d, NULL, hold};
	uint64_t n = queue_sched_hold(d->sched, f, hold, dispatch_now(d), collect_hold, &c);

	post_holds(&c);
	dispatch_wake(d);
	return n;
}

uint64_t
dispatch_holds_posted(const struct dispatch *d)
{
	return d->holds_posted;
}

uint64_t
dispatch_retry(struct dispatch *d, const struct queue_filter *f)
{
	dispatch_wake(d);
	return queue_sched_retry(d->sched, f, dispatch_now(d));
}
