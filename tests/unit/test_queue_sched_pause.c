/* SPDX-License-Identifier: Apache-2.0 */
/* Pauses of what belongs to a stream at one site alone. Other pauses: test_queue_sched_admin.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_why.h"

/* d1 and d2 are of site1, d3 of site3. */
static void
begin(struct host *h)
{
	host_init(h);
	h->site[2] = 2;
}

static queue_id
add(struct host *h, int domain, const char *user, const char *sender)
{
	struct queue_message m = {.id = ++h->last_id,
		.arrived_us = h->now_us,
		.klass = QUEUE_CLASS_BULK,
		.sender = blob_of(sender),
		.user = blob_of(user),
		.job = blob_of("j")};
	struct queue_sched_rcpt r = {.domain = name_of("d", domain)};

	assert_int_equal(queue_sched_add(h->q, &m, &r, 1, NULL, h->now_us), QUEUE_OK);
	return m.id;
}

static queue_id
add_u(struct host *h, int domain)
{
	return add(h, domain, "u", "s@x.test");
}

struct name {
	char bytes[40];
	size_t len;
};

static struct name
at_site(const char *name, const char *site)
{
	struct name n;

	n.len = (size_t)snprintf(n.bytes, sizeof(n.bytes), "%s%c%s", name, 0, site);
	return n;
}

static int
pause_at(struct host *h, enum queue_pause_kind kind, const char *name, int64_t until_us)
{
	struct name n = at_site(name, "site1");

	return queue_sched_pause(
		h->q, kind, (struct queue_blob){n.bytes, n.len}, 0, until_us, blob_of("asked"), h->now_us);
}

static bool
resume_at(struct host *h, enum queue_pause_kind kind, const char *name, const char *site)
{
	struct name n = at_site(name, site);

	return queue_sched_resume(h->q, kind, (struct queue_blob){n.bytes, n.len}, 0, h->now_us);
}

/* Which messages go out now, as bits; connections stay open while there is mail. */
static unsigned
going(struct host *h)
{
	struct queue_order o;
	unsigned seen = 0;

	while ((o = host_next(h)).kind != QUEUE_ORDER_NONE) {
		if (o.kind == QUEUE_ORDER_CLOSE) {
			host_close(h, o.session, false, 0);
			continue;
		}
		assert_true(o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE);
		if (o.kind == QUEUE_ORDER_OPEN)
			queue_sched_session_ready(h->q, o.session, false);
		seen |= 1U << queue_lease_message(o.lease);
		host_settle(h, o.lease, QUEUE_VERDICT_DELIVERED);
	}
	return seen;
}

static bool
keep_state(void *arg, const struct queue_view *v)
{
	*(const char **)arg = v->state;
	return false;
}

static void
expect_state(struct host *h, queue_id id, const char *want)
{
	const struct queue_filter f = {.id = id, .n = -1};
	const char *state = "gone";

	queue_sched_each(h->q, &f, 0, keep_state, &state);
	assert_string_equal(state, want);
}

static const struct {
	enum queue_pause_kind kind;
	const char *name;
} kinds[] = {
	{QUEUE_PAUSE_USER, "u"},
	{QUEUE_PAUSE_JOB, "j"},
	{QUEUE_PAUSE_STREAM, "u/j/bulk"},
	{QUEUE_PAUSE_SENDER, "x.test"},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* All domains of the site, no other site; mail from before and after; whoever else is not meant. */
static void
test_only_there(void **state)
{
	for (int i = 0; i < KINDS; i++)
		for (int is_before = 0; is_before < 2; is_before++) {
			struct host h;

			begin(&h);
			if (is_before)
				assert_int_equal(
					pause_at(&h, kinds[i].kind, kinds[i].name, INT64_MAX), QUEUE_OK);
			for (int d = 1; d <= 3; d++)
				add_u(&h, d);
			add(&h, 1, "v", "s@y.test");
			if (!is_before) { /* flows are made, connections refused, then it is paused */
				struct queue_order o;

				while ((o = host_next(&h)).kind == QUEUE_ORDER_OPEN) {
					host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
					host_close(&h, o.session, true, MINUTE);
				}
				assert_int_equal(
					pause_at(&h, kinds[i].kind, kinds[i].name, INT64_MAX), QUEUE_OK);
				h.now_us += MINUTE;
			}
			assert_int_equal(
				going(&h), kinds[i].kind == QUEUE_PAUSE_JOB ? 1U << 3 : 1U << 3 | 1U << 4);
			expect_state(&h, 1, "paused");
			expect_state(&h, 2, "paused");
			add_u(&h, 1);
			assert_int_equal(going(&h), 0);
			assert_false(resume_at(&h, kinds[i].kind, kinds[i].name, "site3"));
			assert_false(
				queue_sched_resume(h.q, kinds[i].kind, blob_of(kinds[i].name), 0, h.now_us));
			assert_int_equal(going(&h), 0);
			assert_true(resume_at(&h, kinds[i].kind, kinds[i].name, "site1"));
			assert_int_equal(going(&h), 1U << 1 | 1U << 2 | 1U << 5 |
							    (kinds[i].kind == QUEUE_PAUSE_JOB ? 1U << 4 : 0));
			host_fini(&h);
		}
}

/* It ends by itself, and later when it is made longer. */
static void
test_its_end(void **state)
{
	struct host h;

	begin(&h);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_USER, "u", h.now_us + MINUTE), QUEUE_OK);
	add_u(&h, 1);
	assert_int_equal(going(&h), 0);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_USER, "u", h.now_us + 2 * MINUTE), QUEUE_OK);
	h.now_us += MINUTE;
	assert_int_equal(going(&h), 0);
	assert_int_equal(queue_sched_wake_us(h.q), h.now_us + MINUTE);
	h.now_us += MINUTE;
	assert_int_equal(going(&h), 1U << 1);
	assert_false(resume_at(&h, QUEUE_PAUSE_USER, "u", "site1"));
	host_fini(&h);
}

/* Several hold until the last is lifted, whether they are for one site or for all. */
static void
test_they_combine(void **state)
{
	struct host h;

	begin(&h);
	add_u(&h, 1);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_USER, "u", INT64_MAX), QUEUE_OK);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_SENDER, "x.test", INT64_MAX), QUEUE_OK);
	assert_int_equal(queue_sched_pause(
				 h.q, QUEUE_PAUSE_USER, blob_of("u"), 0, INT64_MAX, blob_of("all"), h.now_us),
		QUEUE_OK);
	assert_true(resume_at(&h, QUEUE_PAUSE_USER, "u", "site1"));
	assert_int_equal(going(&h), 0);
	assert_true(queue_sched_resume(h.q, QUEUE_PAUSE_USER, blob_of("u"), 0, h.now_us));
	assert_int_equal(going(&h), 0);
	expect_state(&h, 1, "paused");
	assert_true(resume_at(&h, QUEUE_PAUSE_SENDER, "x.test", "site1"));
	assert_int_equal(going(&h), 1U << 1);
	host_fini(&h);
}

/* The pause stays where it is when the domain moves. */
static void
test_another_route(void **state)
{
	struct host h;

	begin(&h);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_USER, "u", INT64_MAX), QUEUE_OK);
	add_u(&h, 1);
	add_u(&h, 3);
	assert_int_equal(going(&h), 1U << 2);
	h.site[1] = 4;
	h.site[3] = 2;
	for (int d = 1; d <= 3; d += 2)
		host_answer(&h, name_of("d", d));
	add_u(&h, 1);
	add_u(&h, 3);
	assert_int_equal(going(&h), 1U << 1 | 1U << 3);
	expect_state(&h, 4, "paused");
	host_fini(&h);
}

/* It does not count as ready, and takes no connection from others. */
static void
test_counts(void **state)
{
	struct queue_domain_view d;
	struct queue_site_view s;
	struct host h;

	begin(&h);
	for (int i = 0; i < 5; i++)
		add_u(&h, 1);
	add(&h, 2, "v", "s@y.test");
	h.is_manual = true;
	for (int i = 1; i <= 2; i++)
		host_expect(&h, QUEUE_ORDER_RESOLVE);
	for (int i = 1; i <= 2; i++)
		host_answer(&h, name_of("d", i));
	assert_true(queue_sched_site_find(h.q, blob_of("site1"), &s));
	assert_int_equal(s.ready, 6);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_USER, "u", INT64_MAX), QUEUE_OK);
	add_u(&h, 1);
	assert_true(queue_sched_site_find(h.q, blob_of("site1"), &s));
	assert_int_equal(s.ready, 1);
	assert_true(queue_sched_domain_find(h.q, blob_of("d1"), &d));
	assert_int_equal(d.ready, 6);
	assert_int_equal(d.paused, 6);
	assert_true(resume_at(&h, QUEUE_PAUSE_USER, "u", "site1"));
	assert_true(queue_sched_site_find(h.q, blob_of("site1"), &s));
	assert_int_equal(s.ready, 7);
	host_fini(&h);
}

static bool
on_pause(void *arg, const struct queue_pause_view *v)
{
	struct queue_pause_view *out = arg;

	*out = *v;
	return true;
}

static void
test_view(void **state)
{
	struct queue_pause_view v = {.until_us = 1};
	const struct name n = at_site("u", "site1");
	struct host h;

	begin(&h);
	assert_false(
		queue_sched_pause_find(h.q, QUEUE_PAUSE_USER, (struct queue_blob){n.bytes, n.len}, 0, &v));
	assert_int_equal(v.until_us, 1);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_USER, "u", START + HOUR), QUEUE_OK);
	for (int i = 0; i < 2; i++) {
		memset(&v, 0, sizeof(v));
		if (i == 0)
			queue_sched_each_pause(h.q, on_pause, &v);
		else
			assert_true(queue_sched_pause_find(
				h.q, QUEUE_PAUSE_USER, (struct queue_blob){n.bytes, n.len}, 0, &v));
		assert_int_equal(v.kind, QUEUE_PAUSE_USER);
		assert_int_equal(v.name.len, 1);
		assert_memory_equal(v.name.ptr, "u", 1);
		assert_int_equal(v.site.len, 5);
		assert_memory_equal(v.site.ptr, "site1", 5);
		assert_int_equal(v.until_us, START + HOUR);
	}
	assert_false(queue_sched_pause_find(h.q, QUEUE_PAUSE_USER, blob_of("u"), 0, &v));
	host_fini(&h);
}

static void
test_refused(void **state)
{
	static const struct queue_blob names[] = {{"\0site1", 6}, {"u\0", 2}, {"", 0}};
	struct host h;

	begin(&h);
	for (int k = 0; k < KINDS; k++)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			assert_int_equal(queue_sched_pause(h.q, kinds[k].kind, names[i], 0, INT64_MAX,
						 blob_of(""), h.now_us),
				QUEUE_EINVAL);
	host_fini(&h);
}

static bool
on_stream(void *arg, const struct queue_stream_view *v)
{
	unsigned *paused = arg;

	if (v->reason.why == QUEUE_WHY_PAUSED) {
		assert_true(v->reason.is_at_site);
		assert_memory_equal(v->reason.site.ptr, "site1", 5);
		*paused += (unsigned)v->ready;
	}
	return true;
}

/* A stream stands in each place it has mail for, and only there it is paused. */
static void
test_streams(void **state)
{
	struct queue_walk walk = {.limit = 100};
	unsigned paused = 0;
	struct host h;

	begin(&h);
	assert_int_equal(pause_at(&h, QUEUE_PAUSE_STREAM, "u/j/bulk", INT64_MAX), QUEUE_OK);
	h.policy.connections = 1;
	for (int d = 1; d <= 3; d++)
		for (int i = 0; i < 2; i++)
			add_u(&h, d);
	host_expect(&h, QUEUE_ORDER_OPEN);
	host_expect(&h, QUEUE_ORDER_NONE);
	while (!walk.is_end)
		queue_sched_walk_streams(h.q, &walk, on_stream, &paused);
	assert_int_equal(paused, 4);
	host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_there),
		cmocka_unit_test(test_its_end),
		cmocka_unit_test(test_they_combine),
		cmocka_unit_test(test_another_route),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
