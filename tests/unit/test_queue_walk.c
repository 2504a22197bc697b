/* SPDX-License-Identifier: Apache-2.0 */
/* What goes through a large queue in portions: mail comes and goes between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

enum { MANY = 1500 };
static const uint32_t limits[] = {1, 7, 64, UINT32_MAX};
enum { LIMITS = sizeof(limits) / sizeof(limits[0]) };

static void
walk_begin(struct queue_walk *walk, uint32_t limit)
{
	*walk = (struct queue_walk){.limit = limit};
}

/* One recipient for each of the domains first ... last, due in an hour. */
static void
add_waiting(struct host *h, int first, int last)
{
	char name[12];

	for (; first <= last; first++) {
		struct queue_message m = {.id = ++h->last_id, .arrived_us = h->now_us};
		struct queue_sched_rcpt r = {.due_us = h->now_us + HOUR, .domain.ptr = name};

		r.domain.len = (size_t)snprintf(name, sizeof(name), "d%d", first);
		assert_int_equal(queue_sched_add(h->q, &m, &r, 1, NULL, h->now_us), QUEUE_OK);
	}
}

struct seen {
	unsigned char times[3 * MANY];
	uint32_t portion;
};

static bool
see_domain(void *arg, const struct queue_domain_view *v)
{
	struct seen *s = arg;

	s->times[number_of(v->domain)]++;
	s->portion++;
	return true;
}

static bool
see_site(void *arg, const struct queue_site_view *v)
{
	struct seen *s = arg;

	s->times[number_of((struct queue_blob){(const char *)v->site.ptr + 3, v->site.len - 3})]++;
	s->portion++;
	return true;
}

/* What is there all the while is seen once, though the table doubles meanwhile. */
static void
test_walk_domains_while_they_grow(void **state)
{
	struct queue_walk walk;
	struct seen seen;
	struct host h;
	size_t i;
	int added, d;

	for (i = 0; i < LIMITS; i++) {
		host_init(&h);
		add_waiting(&h, 0, MANY - 1);
		memset(&seen, 0, sizeof(seen));
		walk = (struct queue_walk){.limit = limits[i]};
		for (added = MANY; !walk.is_end;) {
			seen.portion = 0;
			queue_sched_walk_domains(h.q, &walk, see_domain, &seen);
			assert_true(limits[i] == UINT32_MAX || seen.portion <= 8 * limits[i] + 8);
			if (added < 3 * MANY)
				add_waiting(&h, added, added + 9);
			added = added < 3 * MANY ? added + 10 : added;
		}
		for (d = 0; d < 3 * MANY; d++)
			assert_true(d < MANY ? seen.times[d] == 1 : seen.times[d] <= 1);
		host_fini(&h);
	}
}

static void
test_walk_sites(void **state)
{
	struct queue_walk walk = {.limit = 3};
	struct seen seen = {.portion = 0};
	struct host h;
	int d;

	host_init(&h);
	h.conf.connections_total = 0;
	for (d = 0; d < HOST_DOMAINS; d++)
		host_add(&h, d);
	while (host_next(&h).kind != QUEUE_ORDER_NONE)
		;
	while (!walk.is_end)
		queue_sched_walk_sites(h.q, &walk, see_site, &seen);
	assert_int_equal(seen.portion, HOST_DOMAINS);
	for (d = 0; d < HOST_DOMAINS; d++)
		assert_int_equal(seen.times[d], 1);
	host_fini(&h);
}

static bool
stop_domain(void *arg, const struct queue_domain_view *v)
{
	return ++*(int *)arg < 5;
}

static void
test_a_stopped_walk_has_ended(void **state)
{
	struct queue_walk walk = {.limit = 100};
	struct host h;
	int count = 0;

	host_init(&h);
	add_waiting(&h, 0, MANY);
	queue_sched_walk_domains(h.q, &walk, stop_domain, &count);
	assert_true(walk.is_end);
	assert_int_equal(count, 5);
	host_fini(&h);
}

static uint64_t
walk_count(struct host *h, struct queue_filter *f, uint32_t limit)
{
	uint64_t count = 0;

	for (walk_begin(f->walk, limit); !f->walk->is_end;)
		count += queue_sched_count(h->q, f);
	return count;
}

static uint64_t
walk_hold(struct host *h, struct queue_filter *f, bool hold)
{
	uint64_t changed = queue_sched_hold(h->q, f, hold, h->now_us, host_visit_nothing, NULL);

	assert_true(changed <= f->walk->limit);
	return changed;
}

static uint64_t
walk_retry(struct host *h, struct queue_filter *f)
{
	return queue_sched_retry(h->q, f, h->now_us);
}

/* Hold, release and retry as one call would have done it, with mail that comes meanwhile; for one domain with
 * all recipients, and for many domains. */
static void
test_walk_changes(void **state)
{
	struct queue_walk walk;
	struct queue_filter all = {.n = -1, .walk = &walk},
			    held = {.n = -1, .held_only = true, .walk = &walk},
			    d0 = {.n = -1, .domain = {"d0", 2}, .walk = &walk};
	const uint64_t crowd = 300;
	uint64_t count;
	struct host h;
	size_t i, k;

	for (i = 0; i < LIMITS; i++) {
		host_init(&h);
		add_waiting(&h, 0, MANY - 1);
		for (k = 1; k < crowd; k++)
			add_waiting(&h, 0, 0);
		assert_int_equal(walk_count(&h, &all, limits[i]), MANY + crowd - 1);
		assert_int_equal(walk_count(&h, &d0, limits[i]), crowd);
		for (walk_begin(&walk, limits[i]), count = 0; !walk.is_end;)
			count += walk_hold(&h, &d0, true);
		assert_int_equal(count, crowd);
		for (walk_begin(&walk, limits[i]), count = 0; !walk.is_end;) {
			count += walk_hold(&h, &all, true);
			if (h.last_id < 3 * MANY)
				add_waiting(&h, (int)h.last_id, (int)h.last_id);
		}
		assert_true(count >= MANY - 1);
		count = walk_count(&h, &held, limits[i]);
		for (walk_begin(&walk, limits[i]); !walk.is_end;)
			count -= walk_hold(&h, &held, false);
		assert_int_equal(count, 0);
		assert_int_equal(walk_count(&h, &held, limits[i]), 0);
		for (walk_begin(&walk, limits[i]); !walk.is_end;)
			count += walk_retry(&h, &all);
		assert_int_equal(count, host_stats(&h).rcpts);
		assert_int_equal(host_stats(&h).waiting, 0);
		host_fini(&h);
	}
}

/* Everything that was there when it began ends, wherever a recipient that was on its way comes back: while
 * the walk is on (then it is taken like the others) or behind it. */
static void
test_walk_takes_all(void **state)
{
	struct queue_walk walk;
	struct queue_filter all = {.n = -1, .walk = &walk};
	struct queue_lease *early, *late, *l;
	uint64_t busy, marked, taken;
	struct host h;
	size_t i;

	for (i = 0; i < LIMITS; i++) {
		host_init(&h);
		host_add(&h, 1);
		(void)open_ready(&h, false, &early);
		host_add(&h, 2);
		(void)open_ready(&h, false, &late);
		add_waiting(&h, 0, MANY - 1);
		walk_begin(&walk, limits[i]);
		for (taken = marked = 0; !walk.is_end;) {
			l = queue_sched_take(h.q, &all, &busy);
			marked += busy;
			if (l == NULL)
				continue;
			taken += queue_lease_rcpt_count(l);
			host_settle(&h, l, QUEUE_VERDICT_DROPPED);
			if (early != NULL)
				host_settle(&h, early, QUEUE_VERDICT_LATER);
			early = NULL;
		}
		assert_int_equal(taken + marked, MANY + 2);
		assert_int_equal(host_settle(&h, late, QUEUE_VERDICT_LATER).kind, QUEUE_VERDICT_DROPPED);
		assert_int_equal(host_stats(&h).rcpts, 0);
		host_fini(&h);
	}
}

/* Between two portions the schedule goes on: what it leases from a place that was begun does not escape. */
static void
test_walk_takes_what_is_leased_meanwhile(void **state)
{
	struct queue_walk walk = {.limit = 1};
	struct queue_filter d1 = {.n = -1, .domain = {"d1", 2}, .walk = &walk};
	struct queue_lease *meanwhile = NULL, *l;
	uint64_t busy, marked = 0;
	struct host h;
	int i;

	host_init(&h);
	for (i = 0; i < 3; i++)
		host_add(&h, 1);
	while (!walk.is_end) {
		if ((l = queue_sched_take(h.q, &d1, &busy)) != NULL)
			host_settle(&h, l, QUEUE_VERDICT_DROPPED);
		if (meanwhile == NULL)
			(void)open_ready(&h, false, &meanwhile);
		marked += busy;
	}
	assert_int_equal(marked, 1);
	assert_int_equal(host_settle(&h, meanwhile, QUEUE_VERDICT_LATER).kind, QUEUE_VERDICT_DROPPED);
	assert_int_equal(host_stats(&h).rcpts, 0);
	host_fini(&h);
}

static void
test_walk_of_one_message(void **state)
{
	struct queue_walk walk = {.limit = 1};
	struct queue_filter one = {.id = 1, .n = -1, .walk = &walk};
	struct host h;

	host_init(&h);
	assert_int_equal(host_add_job(&h, 0, 16, "", ""), QUEUE_OK);
	assert_int_equal(queue_sched_count(h.q, &one), 16);
	assert_true(walk.is_end);
	host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_domains_while_they_grow),
		cmocka_unit_test(test_walk_sites),
		cmocka_unit_test(test_a_stopped_walk_has_ended),
		cmocka_unit_test(test_walk_changes),
		cmocka_unit_test(test_walk_takes_all),
		cmocka_unit_test(test_walk_takes_what_is_leased_meanwhile),
		cmocka_unit_test(test_walk_of_one_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
