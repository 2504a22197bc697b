/* SPDX-License-Identifier: Apache-2.0 */
/* What is queued and known, as a simulation gets it: counts, due times, how long things took, and records
 * that another schedule takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_snapshot.h"

enum { CELLS_MAX = 8, RECORDS_MAX = 8, MANY = 3000 };

struct seen {
	struct queue_cell_view cells[CELLS_MAX]; /* names are not looked at after the visit */
	int domains[CELLS_MAX];
	uint32_t count;
	char records[RECORDS_MAX][512];
	size_t lens[RECORDS_MAX];
	uint32_t record_count;
};

static bool
on_cell(void *arg, const struct queue_cell_view *v)
{
	struct seen *s = arg;

	assert_true(s->count < CELLS_MAX);
	s->domains[s->count] = number_of(v->domain);
	s->cells[s->count++] = *v;
	return true;
}

static void
on_record(void *arg, struct queue_blob value)
{
	struct seen *s = arg;

	assert_true(s->record_count < RECORDS_MAX && value.len <= sizeof(s->records[0]));
	memcpy(s->records[s->record_count], value.ptr, value.len);
	s->lens[s->record_count++] = value.len;
}

static void
look(struct host *h, struct seen *s)
{
	struct queue_walk walk = {.limit = 1};

	memset(s, 0, sizeof(*s));
	while (!walk.is_end)
		queue_sched_walk_cells(h->q, &walk, on_cell, s);
	walk = (struct queue_walk){.limit = 1};
	while (!walk.is_end)
		queue_sched_walk_records(h->q, &walk, on_record, s);
}

static void
add_due(struct host *h, int64_t wait_us)
{
	struct queue_message m = {.id = ++h->last_id, .arrived_us = h->now_us, .body_bytes = 4000};
	struct queue_sched_rcpt r = {.attempts = 1, .due_us = h->now_us + wait_us, .domain = {"d1", 2}};

	assert_int_equal(queue_sched_add(h->q, &m, &r, 1, NULL, h->now_us), QUEUE_OK);
}

static bool
on_held(void *arg, const struct queue_view *v)
{
	return true;
}

static void
test_counts_and_sizes(void **state)
{
	const struct queue_filter held = {.n = -1, .domain = {"d3", 2}};
	struct host h;
	struct seen s;

	host_init(&h);
	add_due(&h, 0);
	add_due(&h, 0);
	assert_int_equal(host_add_job(&h, 2, 1, "u", "j"), QUEUE_OK);
	host_add(&h, 3);
	assert_int_equal(queue_sched_hold(h.q, &held, true, h.now_us, on_held, NULL), 1);
	look(&h, &s);
	assert_int_equal(s.count, 3);
	for (uint32_t i = 0; i < s.count; i++) {
		assert_int_equal(s.cells[i].ready, s.domains[i] == 1 ? 2 : s.domains[i] == 2 ? 1 : 0);
		assert_int_equal(s.cells[i].held, s.domains[i] == 3 ? 1 : 0);
		assert_int_equal(s.cells[i].user.len, s.domains[i] == 2 ? 1 : 0);
		if (s.domains[i] != 1)
			continue;
		assert_int_equal(s.cells[i].messages, 2);
		assert_int_equal(s.cells[i].bytes, 8000);
	}
	host_fini(&h);
}

/* One message a case; those behind the last bucket's end are in the last. */
static void
test_dues(void **state)
{
	static const struct {
		int64_t wait_us;
		int bucket;
	} cases[] = {
		{30 * SEC, 0}, {MINUTE, 0}, {5 * MINUTE, 2}, {HOUR, 6}, {3 * DAY / 4, 10}, {2 * DAY, 11}};
	struct host h;
	struct seen s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		host_init(&h);
		h.retry_us[2] = 4 * DAY; /* no due time is taken to be later than the longest wait */
		queue_sched_reconfigured(h.q, &h.conf, h.now_us);
		add_due(&h, cases[i].wait_us);
		look(&h, &s);
		assert_int_equal(s.count, 1);
		assert_int_equal(s.cells[0].ready, 0);
		assert_int_equal(s.cells[0].due[cases[i].bucket].rcpts, 1);
		assert_int_equal(s.cells[0].due[cases[i].bucket].last_us, h.now_us + cases[i].wait_us);
		host_fini(&h);
	}
}

/* More than are looked at: the counts still add up to all. */
static void
test_many_wait(void **state)
{
	uint64_t sum = 0;
	struct host h;
	struct seen s;

	host_init(&h);
	for (int i = 0; i < MANY; i++)
		add_due(&h, (i % 3 + 1) * 4 * MINUTE);
	look(&h, &s);
	for (int i = 0; i < QUEUE_DUE_BUCKETS; i++)
		sum += s.cells[0].due[i].rcpts;
	assert_int_equal(sum, MANY);
	assert_in_range(s.cells[0].due[2].rcpts, MANY / 3 - 10, MANY / 3 + 10);
	assert_true(s.cells[0].looked_at < MANY);
	host_fini(&h);
}

static void
test_times(void **state)
{
	struct queue_verdict v = {.kind = QUEUE_VERDICT_DELIVERED, .signal = QUEUE_SIGNAL_ANSWERED};
	struct queue_site_view site;
	struct queue_settled out;
	struct queue_order o;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_true(queue_sched_site_find(h.q, name_of("site", 1), &site));
	assert_int_equal(site.connect_us + site.transaction_us, 0);
	h.now_us += 2 * SEC;
	assert_int_equal(host_next(&h).kind, QUEUE_ORDER_NONE);
	queue_sched_session_ready(h.q, o.session, false);
	h.now_us += 3 * SEC;
	queue_sched_settle(h.q, o.lease, 0, &v, h.now_us, &out);
	queue_sched_lease_done(h.q, o.lease, h.now_us);
	assert_true(queue_sched_site_find(h.q, name_of("site", 1), &site));
	assert_int_equal(site.connect_us, 2 * SEC);
	assert_int_equal(site.transaction_us, 3 * SEC); /* not the five since the order */
	queue_sched_session_closed(h.q, o.session, false, 0, blob_of(""), h.now_us);
	host_fini(&h);
}

/* What a long limit has used is in the record, and another schedule knows it then; the disk was asked for
 * more. */
static void
test_records(void **state)
{
	static const struct queue_rate ten_a_day = {10, DAY};
	struct queue_limits lane = {.units[QUEUE_UNIT_MESSAGES] = {&ten_a_day, 1}};
	struct host from, to;
	struct queue_order o;
	struct seen s;
	int sent = 0, i;

	host_init(&from);
	host_init(&to);
	from.policy.lane = to.policy.lane = &lane;
	for (i = 0; i < 4; i++)
		host_add(&from, 1);
	while ((o = host_next(&from)).kind != QUEUE_ORDER_NONE) {
		if (o.kind == QUEUE_ORDER_NOTE)
			queue_sched_noted(from.q, o.noting, false, from.now_us);
		if (o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE) {
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(from.q, o.session, false);
			(void)host_settle(&from, o.lease, QUEUE_VERDICT_DELIVERED);
		}
	}
	look(&from, &s);
	assert_int_equal(s.record_count, 1);
	assert_int_equal(
		queue_sched_restore(to.q, (struct queue_blob){s.records[0], s.lens[0]}, to.now_us), QUEUE_OK);
	for (i = 0; i < 20; i++)
		host_add(&to, 1);
	while ((o = host_next(&to)).kind != QUEUE_ORDER_NONE) {
		if (o.kind == QUEUE_ORDER_NOTE)
			queue_sched_noted(to.q, o.noting, false, to.now_us);
		if (o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE) {
			sent++;
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(to.q, o.session, false);
			(void)host_settle(&to, o.lease, QUEUE_VERDICT_DELIVERED);
		}
	}
	assert_int_equal(sent, 6);
	host_fini(&from);
	host_fini(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_and_sizes),
		cmocka_unit_test(test_dues),
		cmocka_unit_test(test_many_wait),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
