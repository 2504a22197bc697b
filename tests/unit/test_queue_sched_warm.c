/* SPDX-License-Identifier: Apache-2.0 */
/* Warm-ups in the schedule: what a new source may send in a day, where the rest goes, what survives. The
 * arithmetic itself: test_queue_warmup.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_why.h"

enum { NEW = 1, WARM = 2 };
#define MIDNIGHT (START - START % DAY + DAY)

static const int64_t volumes[] = {100, 200};

struct warm {
	struct host h;
	struct queue_warmup_plan plan;
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
	return &of_host->plan;
}

static void
on_day(void *arg, struct queue_blob source, struct queue_blob group, const struct queue_warmup_day *day)
{
	assert_memory_equal(source.ptr, "source1", 7);
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
	w->members[0] = (struct queue_pool_member){NEW, 1};
	w->members[1] = (struct queue_pool_member){WARM, 1};
	w->h.fake.pool.members = w->members;
	w->h.fake.pool.member_count = members;
	w->h.conf.warmup = plan_of;
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
			host_settle(&w->h, o.lease, QUEUE_VERDICT_DELIVERED);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_clean_stops),
		cmocka_unit_test(test_finish_and_reload),
		cmocka_unit_test(test_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
