/* SPDX-License-Identifier: Apache-2.0 */
/* Warm-ups in the schedule: what a new source may send in a day, where the rest goes, what survives; and the
 * same of a new sender domain, whose mail has nowhere else to go. The arithmetic itself: test_queue_warmup.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_why.h"

enum { NEW = 1, WARM = 2, FIRST_FROM_NEW = 1000000 };
#define MIDNIGHT (START - START % DAY + DAY)

static const int64_t volumes[] = {100, 200}, sender_volumes[] = {60, 300};

struct warm {
	struct host h;
	struct queue_warmup_plan plan;
	const char *senders[2]; /* domains that warm up, the more special first */
	struct queue_warmup_plan sender_plan;
	const struct queue_warmup_plan *borrowed; /* not NULL: in place of both */
	enum queue_verdict_kind verdict;
	int from_new, notes, taken; /* settled so, of senders[]; stored; given, of all */
	struct queue_pool_member members[2];
	bool has_plan;
	int delivered[FAKE_SOURCES];
	int64_t first_us, last_us; /* of the new source's */
	int days;
	struct queue_warmup_day day;
	char note[4096];
	size_t note_len;
};

static struct warm *of_host;

static const struct queue_warmup_plan *
plan_of(void *arg, uint32_t source, struct queue_blob site, struct queue_blob *out_group)
{
	if (source != NEW || !of_host->has_plan)
		return NULL;
	*out_group = blob_of(number_of(site) < 10 ? "few" : "other");
	return of_host->borrowed != NULL ? of_host->borrowed : &of_host->plan;
}

static bool
covers(const char *domain, struct queue_blob of)
{
	size_t len = strlen(domain);
	const char *end = (const char *)of.ptr + of.len;

	return of.len >= len && memcmp(end - len, domain, len) == 0 &&
	       (of.len == len || end[-1 - (int)len] == '.');
}

static const struct queue_warmup_plan *
sender_plan_of(void *arg, struct queue_blob domain, struct queue_blob site, struct queue_blob *out_sender,
	struct queue_blob *out_group)
{
	static char names[2][32];

	for (int i = 0; i < 2; i++)
		if (of_host->senders[i] != NULL && covers(of_host->senders[i], domain)) {
			*out_sender = (struct queue_blob){names[i],
				(size_t)snprintf(names[i], sizeof(names[i]), "@%s", of_host->senders[i])};
			*out_group = blob_of(number_of(site) < 10 ? "few" : "other");
			return of_host->borrowed != NULL ? of_host->borrowed : &of_host->sender_plan;
		}
	return NULL;
}

static void
on_day(void *arg, struct queue_blob source, struct queue_blob group, const struct queue_warmup_day *day)
{
	assert_memory_equal(source.ptr, of_host->senders[0] != NULL ? "@new.tes" : "source1", 7);
	of_host->days++;
	of_host->day = *day;
}

static void
warm_init(struct warm *w, uint32_t members)
{
	memset(w, 0, sizeof(*w));
	of_host = w;
	host_init(&w->h);
	w->h.now_us = MIDNIGHT;
	w->h.policy.messages_per_connection = 0;
	w->has_plan = true;
	w->plan = (struct queue_warmup_plan){.volumes = volumes,
		.count = 2,
		.hold_ppm = {100000, 10000, 50000, 1000},
		.start_day = (int32_t)(MIDNIGHT / DAY)};
	w->sender_plan = w->plan;
	w->sender_plan.volumes = sender_volumes;
	w->verdict = QUEUE_VERDICT_DELIVERED;
	w->members[0] = (struct queue_pool_member){NEW, 1};
	w->members[1] = (struct queue_pool_member){WARM, 1};
	w->h.fake.pool.members = w->members;
	w->h.fake.pool.member_count = members;
	w->h.conf.warmup = plan_of;
	w->h.conf.sender_warmup = sender_plan_of;
	w->h.conf.on_warmup = on_day;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
}

static void
run_until(struct warm *w, int64_t until_us)
{
	while (w->h.now_us < until_us) {
		struct queue_order o = host_next(&w->h);
		int64_t wake_us;

		switch (o.kind) {
		case QUEUE_ORDER_NOTE:
			memcpy(w->note, o.value.ptr, o.value.len);
			w->note_len = o.value.len;
			w->notes++;
			queue_sched_noted(w->h.q, o.noting, false, w->h.now_us);
			break;
		case QUEUE_ORDER_OPEN:
			queue_sched_session_ready(w->h.q, o.session, false);
			/* fall through */
		case QUEUE_ORDER_GIVE:
			w->delivered[o.source]++;
			if (o.source == NEW && w->first_us == 0)
				w->first_us = w->h.now_us;
			if (o.source == NEW)
				w->last_us = w->h.now_us;
			w->taken++;
			w->from_new += queue_lease_message(o.lease) >= FIRST_FROM_NEW;
			host_settle(&w->h, o.lease, w->verdict);
			break;
		case QUEUE_ORDER_CLOSE:
			host_close(&w->h, o.session, false, 0);
			break;
		default:
			assert_int_equal(o.kind, QUEUE_ORDER_NONE);
			wake_us = queue_sched_wake_us(w->h.q);
			assert_true(wake_us > w->h.now_us);
			w->h.now_us = wake_us < until_us ? wake_us : until_us;
		}
	}
}

static void
add(struct warm *w, int count)
{
	for (int i = 0; i < count; i++)
		host_add(&w->h, i % 5);
}

/* Alone in its pool: a day's volume and no more, spread over hours; the next day more. */
static void
test_days(void **state)
{
	struct warm w;

	warm_init(&w, 1);
	add(&w, 1000);
	run_until(&w, MIDNIGHT + HOUR);
	assert_in_range(w.delivered[NEW], 4, 100 / 6);
	run_until(&w, MIDNIGHT + DAY);
	assert_int_equal(w.delivered[NEW], 100);
	assert_true(w.last_us - w.first_us > 11 * HOUR);
	run_until(&w, MIDNIGHT + 2 * DAY);
	assert_int_equal(w.day.step, QUEUE_WARMUP_ADVANCED);
	assert_int_equal(w.delivered[NEW], 300);
	run_until(&w, MIDNIGHT + 2 * DAY + HOUR);
	assert_int_equal(w.days, 2);
	assert_int_equal(w.day.step, QUEUE_WARMUP_FINISHED);
	assert_int_equal(w.delivered[NEW], 1000); /* it is warm */
	host_fini(&w.h);
}

/* With a warm source beside it the rest goes there at once. */
static void
test_overflow(void **state)
{
	struct warm w;

	warm_init(&w, 2);
	add(&w, 500);
	run_until(&w, MIDNIGHT + MINUTE);
	assert_int_equal(w.delivered[NEW] + w.delivered[WARM], 500);
	assert_in_range(w.delivered[NEW], 1, 5);
	host_fini(&w.h);
}

/* Each group of sites has its own day. */
static void
test_groups(void **state)
{
	struct warm w;
	int i;

	warm_init(&w, 1);
	for (i = 0; i < 300; i++)
		host_add(&w.h, i % 2 == 0 ? 3 : 13);
	run_until(&w, MIDNIGHT + DAY);
	assert_int_equal(w.delivered[NEW], 200);
	host_fini(&w.h);
}

/* Killed again and again: never more in a day than its volume. */
static void
test_crashes(void **state)
{
	char note[4096];
	size_t note_len = 0;
	int delivered = 0, i;
	struct warm w;

	for (i = 0; i < 20; i++) {
		warm_init(&w, 1);
		w.h.now_us = MIDNIGHT + i * HOUR;
		if (note_len > 0)
			assert_int_equal(
				queue_sched_restore(w.h.q, (struct queue_blob){note, note_len}, w.h.now_us),
				QUEUE_OK);
		queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
		add(&w, 500);
		run_until(&w, MIDNIGHT + (i + 1) * HOUR - MINUTE);
		delivered += w.delivered[NEW];
		if (w.note_len > 0) {
			memcpy(note, w.note, w.note_len);
			note_len = w.note_len;
		}
		host_fini(&w.h);
	}
	assert_in_range(delivered, 20, 100);
}

static void
on_last(void *arg, struct queue_blob note, struct queue_blob value)
{
	struct warm *w = arg;

	memcpy(w->note, value.ptr, value.len);
	w->note_len = value.len;
}

/* Stopped and started again every hour: nothing of the day is lost, and what it stands at is known before
 * there is mail. */
static void
test_clean_stops(void **state)
{
	struct queue_sched *q;
	char note[4096];
	size_t note_len = 0;
	int delivered = 0, i;
	struct warm w;

	for (i = 0; i < 24; i++) {
		warm_init(&w, 1);
		w.h.now_us = MIDNIGHT + i * HOUR;
		q = w.h.q;
		if (note_len > 0)
			assert_int_equal(
				queue_sched_restore(q, (struct queue_blob){note, note_len}, w.h.now_us),
				QUEUE_OK);
		if (i == 5)
			assert_true(queue_sched_warmup_act(q, blob_of("source1"), blob_of("few"),
				QUEUE_WARMUP_ACT_HOLD, blob_of("tests"), w.h.now_us));
		add(&w, 500);
		run_until(&w, MIDNIGHT + (i + 1) * HOUR);
		delivered += w.delivered[NEW];
		queue_sched_last_notes(q, on_last, &w, w.h.now_us);
		memcpy(note, w.note, w.note_len);
		note_len = w.note_len;
		host_fini(&w.h);
	}
	assert_int_equal(delivered, 100);
}

/* An operator ends it; a reload takes the plan away and gives it back: what was sent counts on. */
static void
test_finish_and_reload(void **state)
{
	struct warm w;

	warm_init(&w, 1);
	add(&w, 200);
	run_until(&w, MIDNIGHT + DAY - HOUR);
	assert_int_equal(w.delivered[NEW], 100);
	w.has_plan = false;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	run_until(&w, w.h.now_us + MINUTE);
	assert_int_equal(w.delivered[NEW], 200);
	w.has_plan = true;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	add(&w, 100);
	run_until(&w, w.h.now_us + MINUTE);
	assert_int_equal(w.delivered[NEW], 200);
	assert_false(queue_sched_warmup_act(w.h.q, blob_of("source2"), blob_of("few"),
		QUEUE_WARMUP_ACT_FINISH, blob_of("tests"), w.h.now_us));
	assert_true(queue_sched_warmup_act(w.h.q, blob_of("source1"), blob_of("few"), QUEUE_WARMUP_ACT_FINISH,
		blob_of("tests"), w.h.now_us));
	run_until(&w, w.h.now_us + MINUTE);
	assert_int_equal(w.delivered[NEW], 300);
	host_fini(&w.h);
}

static bool
see_reason(void *arg, const struct queue_reason *r)
{
	*(struct queue_reason *)arg = *r;
	return true;
}

static void
test_why(void **state)
{
	struct queue_reason r = {0};
	struct warm w;

	warm_init(&w, 1);
	add(&w, 500);
	run_until(&w, MIDNIGHT + DAY - HOUR);
	assert_true(queue_sched_why_domain(w.h.q, blob_of("d1"), see_reason, &r));
	assert_int_equal(r.why, QUEUE_WHY_WARMUP);
	assert_int_equal(r.level, QUEUE_LEVEL_WARMUP);
	assert_int_equal(r.until_us, MIDNIGHT + DAY);
	host_fini(&w.h);
}

/* --- sender domains --- */

/* Only warm sources. */
static void
sender_init(struct warm *w, const char *domain)
{
	warm_init(w, 2);
	w->has_plan = false;
	w->senders[0] = domain;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
}

static queue_id last_id = FIRST_FROM_NEW;

static void
add_from(struct warm *w, int count, const char *from, enum queue_class klass)
{
	for (int i = 0; i < count; i++) {
		struct queue_sched_rcpt r = {.domain = name_of("d", i % 5)};
		struct queue_message m = {.id = ++last_id,
			.arrived_us = w->h.now_us,
			.sender = blob_of("v+1=2@bounces.elsewhere.test"),
			.from_domain = blob_of(from),
			.klass = klass};

		assert_int_equal(queue_sched_add(w->h.q, &m, &r, 1, NULL, w->h.now_us), QUEUE_OK);
	}
}

/* What the author's domain may send in a day, whatever the envelope says, its subdomains with it; no source
 * helps, and other mail is not held up by it. */
static void
test_sender_days(void **state)
{
	struct warm w;

	sender_init(&w, "new.test");
	add_from(&w, 500, "new.test", QUEUE_CLASS_NORMAL);
	add_from(&w, 500, "news.new.test", QUEUE_CLASS_NORMAL);
	add(&w, 500);
	run_until(&w, MIDNIGHT + HOUR);
	assert_int_equal(w.taken - w.from_new, 500);
	assert_in_range(w.from_new, 3, 60 / 6);
	run_until(&w, MIDNIGHT + DAY);
	assert_int_equal(w.from_new, 60);
	run_until(&w, MIDNIGHT + 2 * DAY);
	assert_int_equal(w.day.step, QUEUE_WARMUP_ADVANCED);
	assert_int_equal(w.day.wanted, 1000);
	assert_int_equal(w.from_new, 360);
	run_until(&w, MIDNIGHT + 2 * DAY + HOUR);
	assert_int_equal(w.day.step, QUEUE_WARMUP_FINISHED);
	assert_int_equal(w.from_new, 1000);
	host_fini(&w.h);
}

/* Without a From the envelope says whose mail it is; and a name that only ends like the domain is another. */
static void
test_sender_of_envelope(void **state)
{
	struct queue_message m = {
		.id = FIRST_FROM_NEW, .arrived_us = MIDNIGHT, .sender = blob_of("a@mail.new.test")};
	struct queue_sched_rcpt r = {.domain = blob_of("d1")};
	struct warm w;

	sender_init(&w, "new.test");
	w.sender_plan.start_day++;
	assert_int_equal(queue_sched_add(w.h.q, &m, &r, 1, NULL, w.h.now_us), QUEUE_OK);
	add_from(&w, 10, "renew.test", QUEUE_CLASS_NORMAL);
	run_until(&w, MIDNIGHT + HOUR);
	assert_int_equal(w.taken, 10);
	run_until(&w, MIDNIGHT + DAY + HOUR);
	assert_int_equal(w.taken, 11);
	host_fini(&w.h);
}

/* A new source and a new domain at once: each counts, and the tighter one decides. */
static void
test_sender_and_source(void **state)
{
	struct warm w;

	warm_init(&w, 1);
	w.senders[0] = "new.test";
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	w.h.conf.on_warmup = NULL;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	add_from(&w, 500, "new.test", QUEUE_CLASS_NORMAL);
	run_until(&w, MIDNIGHT + DAY);
	assert_int_equal(w.delivered[NEW], 60);
	add(&w, 500);
	run_until(&w, MIDNIGHT + 2 * DAY);
	/* More was wanted of the source than its 100, and more than half of them sent: now 200, of either
	 * kind.
	 */
	assert_int_equal(w.delivered[NEW], 260);
	assert_in_range(w.from_new, 61, 259);
	host_fini(&w.h);
}

struct found {
	const char *name;
	struct queue_warmup warmup;
	bool is_found;
};

static bool
find_view(void *arg, const struct queue_warmup_view *v)
{
	struct found *f = arg;

	if (v->source.len != strlen(f->name) || memcmp(v->source.ptr, f->name, v->source.len) != 0)
		return true;
	f->warmup = *v->warmup;
	f->is_found = true;
	return false;
}

static struct queue_warmup
warmup_of(struct warm *w, const char *name)
{
	struct found f = {.name = name};

	queue_sched_each_warmup(w->h.q, find_view, &f);
	assert_true(f.is_found);
	return f.warmup;
}

/* Leases reserve, for source and domain alike; what comes back undone gives its place back, what nobody knows
 * of keeps it. */
static void
test_sender_leases(void **state)
{
	static const struct {
		enum queue_verdict_kind kind;
		int64_t sent;
	} cases[] = {{QUEUE_VERDICT_DELIVERED, 4}, {QUEUE_VERDICT_UNCERTAIN, 4}, {QUEUE_VERDICT_LATER, 0},
		{QUEUE_VERDICT_FAILED, 0}, {QUEUE_VERDICT_RETURN, 0}};
	static const char *const names[] = {"source1", "@new.test"};
	struct queue_lease *leases[8];
	struct queue_order o;

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct warm w;
		int n = 0;

		warm_init(&w, 1);
		w.h.conf.on_warmup = NULL;
		w.senders[0] = "new.test";
		w.sender_plan.volumes = volumes;
		queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
		add_from(&w, 50, "new.test", QUEUE_CLASS_NORMAL);
		run_until(&w,
			MIDNIGHT + MINUTE); /* two places come in a quarter of an hour, and two were there */
		n = 0;
		w.h.now_us = MIDNIGHT + HOUR;
		while ((o = host_next(&w.h)).kind != QUEUE_ORDER_NONE)
			if (o.kind == QUEUE_ORDER_NOTE) {
				queue_sched_noted(w.h.q, o.noting, false, w.h.now_us);
			} else if (o.kind == QUEUE_ORDER_CLOSE) {
				host_close(&w.h, o.session, false, 0);
			} else {
				assert_true(n < 8);
				leases[n++] = o.lease;
				if (o.kind == QUEUE_ORDER_OPEN)
					queue_sched_session_ready(w.h.q, o.session, false);
			}
		assert_true(n >= 4);
		for (int k = 0; k < 2; k++)
			assert_int_equal(warmup_of(&w, names[k]).leased, n);
		for (int i = 0; i < n; i++)
			host_settle(&w.h, leases[i], i < 4 ? cases[c].kind : QUEUE_VERDICT_RETURN);
		for (int k = 0; k < 2; k++) {
			struct queue_warmup u = warmup_of(&w, names[k]);

			assert_int_equal(u.leased, 0);
			assert_int_equal(queue_warmup_sent(&u), w.from_new + cases[c].sent);
		}
		/* Whose places came back is not the only one who waits for them. */
		while (cases[c].kind == QUEUE_VERDICT_RETURN &&
			(o = host_next(&w.h)).kind == QUEUE_ORDER_NOTE)
			queue_sched_noted(w.h.q, o.noting, false, w.h.now_us);
		assert_true(cases[c].kind != QUEUE_VERDICT_RETURN || o.kind == QUEUE_ORDER_GIVE ||
			    o.kind == QUEUE_ORDER_OPEN);
		if (cases[c].kind == QUEUE_VERDICT_RETURN)
			host_settle(&w.h, o.lease, QUEUE_VERDICT_DELIVERED);
		host_fini(&w.h);
	}
}

/* Killed each hour; nothing of the day is given twice. */
static void
test_sender_crashes(void **state)
{
	char note[4096];
	size_t note_len = 0;
	int sent = 0;
	struct warm w;

	for (int i = 0; i < 20; i++) {
		sender_init(&w, "new.test");
		w.h.now_us = MIDNIGHT + i * HOUR;
		if (note_len > 0)
			assert_int_equal(
				queue_sched_restore(w.h.q, (struct queue_blob){note, note_len}, w.h.now_us),
				QUEUE_OK);
		add_from(&w, 200, "new.test", QUEUE_CLASS_NORMAL);
		run_until(&w, MIDNIGHT + (i + 1) * HOUR - MINUTE);
		sent += w.from_new;
		assert_true(w.note_len > 0 || note_len > 0);
		if (w.note_len > 0) {
			memcpy(note, w.note, w.note_len);
			note_len = w.note_len;
		}
		host_fini(&w.h);
	}
	assert_in_range(sent, 15, 60);
}

/* Stopped and started again: the day goes on to the message, and operators find it by its name. */
static void
test_sender_clean_stop(void **state)
{
	struct warm w, next;
	int sent;

	sender_init(&w, "new.test");
	add_from(&w, 200, "new.test", QUEUE_CLASS_NORMAL);
	run_until(&w, MIDNIGHT + 6 * HOUR);
	sent = w.from_new;
	assert_true(queue_sched_warmup_act(w.h.q, blob_of("@new.test"), blob_of("few"), QUEUE_WARMUP_ACT_HOLD,
		blob_of("tests"), w.h.now_us));
	queue_sched_last_notes(w.h.q, on_last, &w, w.h.now_us);
	host_fini(&w.h);
	sender_init(&next, "new.test");
	next.h.now_us = MIDNIGHT + 6 * HOUR;
	assert_int_equal(
		queue_sched_restore(next.h.q, (struct queue_blob){w.note, w.note_len}, next.h.now_us),
		QUEUE_OK);
	assert_true(warmup_of(&next, "@new.test").is_held);
	add_from(&next, 200, "new.test", QUEUE_CLASS_NORMAL);
	run_until(&next, MIDNIGHT + DAY);
	assert_int_equal(sent + next.from_new, 60);
	run_until(&next, MIDNIGHT + DAY + MINUTE);
	assert_int_equal(next.day.step, QUEUE_WARMUP_HELD);
	assert_false(queue_sched_warmup_act(next.h.q, blob_of("new.test"), blob_of("few"),
		QUEUE_WARMUP_ACT_FINISH, blob_of("tests"), next.h.now_us));
	assert_true(queue_sched_warmup_act(next.h.q, blob_of("@new.test"), blob_of("few"),
		QUEUE_WARMUP_ACT_FINISH, blob_of("tests"), next.h.now_us));
	run_until(&next, MIDNIGHT + DAY + 2 * MINUTE);
	assert_int_equal(next.from_new, 200);
	host_fini(&next.h);
}

/* Mail that waits goes by what a reload says: a block of its own for the subdomain, then none at all. */
static void
test_sender_reload(void **state)
{
	struct warm w;

	sender_init(&w, "new.test");
	w.h.conf.on_warmup = NULL;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	add_from(&w, 200, "news.new.test", QUEUE_CLASS_NORMAL);
	run_until(&w, MIDNIGHT + DAY - HOUR);
	assert_int_equal(w.from_new, 60);
	w.senders[0] = "news.new.test";
	w.senders[1] = "new.test";
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	run_until(&w, MIDNIGHT + DAY - HOUR + MINUTE);
	assert_in_range(w.from_new, 61, 65); /* a day of its own has begun */
	assert_int_equal(warmup_of(&w, "@new.test").leased, 0);
	w.senders[0] = w.senders[1] = NULL;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	run_until(&w, w.h.now_us + MINUTE);
	assert_int_equal(w.from_new, 200);
	host_fini(&w.h);
}

/* The plans of the old settings are gone when the schedule gets the new ones; lanes and flows wait by them.
 */
static void
test_plans_are_borrowed(void **state)
{
	struct queue_warmup_plan *old = malloc(sizeof(*old));
	struct warm w;

	assert_non_null(old);
	warm_init(&w, 1);
	*old = w.plan;
	w.h.conf.on_warmup = NULL;
	w.senders[0] = "new.test";
	w.borrowed = old;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	add(&w, 200);
	add_from(&w, 200, "new.test", QUEUE_CLASS_NORMAL);
	run_until(&w, MIDNIGHT + DAY - HOUR);
	assert_int_equal(w.delivered[NEW], 100);
	free(old);
	w.borrowed = NULL;
	queue_sched_reconfigured(w.h.q, &w.h.conf, w.h.now_us);
	run_until(&w, MIDNIGHT + DAY - MINUTE);
	assert_int_equal(w.delivered[NEW], 100);
	host_fini(&w.h);
}

/* Urgent mail waits as well, but goes first. */
static void
test_sender_urgent(void **state)
{
	queue_id first_urgent;
	struct queue_order o;
	struct warm w;

	sender_init(&w, "new.test");
	add_from(&w, 200, "new.test", QUEUE_CLASS_BULK);
	run_until(&w, MIDNIGHT + DAY - HOUR);
	assert_int_equal(w.from_new, 60);
	first_urgent = last_id + 1;
	add_from(&w, 10, "new.test", QUEUE_CLASS_URGENT);
	run_until(&w, MIDNIGHT + DAY - MINUTE);
	assert_int_equal(w.from_new, 60);
	run_until(&w, MIDNIGHT + DAY);
	while ((o = host_next(&w.h)).kind == QUEUE_ORDER_NOTE)
		queue_sched_noted(w.h.q, o.noting, false, w.h.now_us);
	assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
	assert_true(queue_lease_message(o.lease) >= first_urgent);
	host_settle(&w.h, o.lease, QUEUE_VERDICT_DELIVERED);
	host_fini(&w.h);
}

static void
test_sender_why(void **state)
{
	struct queue_reason r = {0};
	struct warm w;

	sender_init(&w, "new.test");
	add_from(&w, 200, "news.new.test", QUEUE_CLASS_NORMAL);
	run_until(&w, MIDNIGHT + DAY - HOUR);
	assert_true(queue_sched_why_domain(w.h.q, blob_of("d1"), see_reason, &r));
	assert_int_equal(r.why, QUEUE_WHY_WARMUP);
	assert_int_equal(r.level, QUEUE_LEVEL_WARMUP);
	assert_memory_equal(r.sender.ptr, "@new.test", 9);
	assert_memory_equal(r.name.ptr, "few", 3);
	assert_int_equal(r.until_us, MIDNIGHT + DAY);
	host_fini(&w.h);
}

static bool
sum_complaints(void *arg, const struct queue_warmup_view *v)
{
	*(int64_t *)arg += v->warmup->complained;
	return true;
}

/* A complaint counts where the mail had counted: the new source, the new sender, this group of sites. */
static void
test_complaints(void **state)
{
	static const struct {
		const char *source, *site, *from;
		int64_t want;
	} cases[] = {
		{"source1", "site1", "", 1},
		{"source1", "site99", "", 0}, /* a group that has had no mail */
		{"source2", "site1", "", 0},  /* is not new */
		{"", "site1", "new.test", 1},
		{"source1", "site1", "news.new.test", 2},
		{"source1", "site1", "old.test", 1},
		{"", "", "", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_feedback f = {.source = blob_of(cases[i].source),
			.site = blob_of(cases[i].site),
			.from_domain = blob_of(cases[i].from)};
		int64_t sum = 0;
		struct warm w;

		warm_init(&w, 1);
		w.senders[0] = "new.test";
		add_from(&w, 5, "new.test", QUEUE_CLASS_NORMAL);
		run_until(&w, MIDNIGHT + HOUR);
		queue_sched_feedback(w.h.q, &f, w.h.now_us);
		queue_sched_each_warmup(w.h.q, sum_complaints, &sum);
		if (sum != cases[i].want)
			fail_msg("case %zu: %d", i, (int)sum);
		host_fini(&w.h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complaints),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_clean_stops),
		cmocka_unit_test(test_finish_and_reload),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_sender_days),
		cmocka_unit_test(test_sender_of_envelope),
		cmocka_unit_test(test_sender_and_source),
		cmocka_unit_test(test_sender_leases),
		cmocka_unit_test(test_sender_crashes),
		cmocka_unit_test(test_sender_clean_stop),
		cmocka_unit_test(test_sender_reload),
		cmocka_unit_test(test_plans_are_borrowed),
		cmocka_unit_test(test_sender_urgent),
		cmocka_unit_test(test_sender_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
