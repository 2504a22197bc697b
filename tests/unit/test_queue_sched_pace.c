/* SPDX-License-Identifier: Apache-2.0 */
/* Who may send now: pools, fairness, classes and limits, each by itself. All together:
 * test_queue_sched_pace_sim.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_list.h"

/* A host whose sites are limited. */
struct paced {
	struct host h;
	struct queue_limits lane, site, source, pool, stream, user, all;
	struct queue_pool pools[3];
	struct queue_pool_member members[4];
	uint32_t weights[4]; /* of user "u0" ... */
	int given[FAKE_SOURCES];
};

static struct queue_rate rates[8];

static void
limit(struct queue_limits *l, enum queue_unit unit, int slot, int64_t count, int64_t per_us)
{
	rates[slot] = (struct queue_rate){count, per_us};
	l->units[unit].rates = &rates[slot];
	l->units[unit].count = 1;
}

static void
paced_stream(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct host *h = arg;
	struct paced *p = QUEUE_OF(h, struct paced, h);
	int n = number_of(user);

	out->weight = 1;
	out->user_weight = n >= 0 && p->weights[n % 4] > 0 ? p->weights[n % 4] : 1;
	out->limits = &p->stream;
	out->user_limits = &p->user;
}

/* The limits as they stand now. */
static void
paced_apply(struct paced *p)
{
	queue_sched_reconfigured(p->h.q, &p->h.conf, p->h.now_us);
}

/* Everything set up, nothing limited. */
static void
paced_init(struct paced *p)
{
	memset(p, 0, sizeof(*p));
	host_init(&p->h);
	p->h.policy.lane = &p->lane;
	p->h.policy.site = &p->site;
	p->h.fake.sources[7].limits = &p->source;
	p->h.conf.stream = paced_stream;
	p->h.conf.limits = &p->all;
	p->h.fake.pool.limits = &p->pool;
	p->h.policy.messages_per_connection = 0;
	paced_apply(p);
}

static queue_id
add_class(struct host *h, int domain, const char *user, enum queue_class klass, uint64_t bytes)
{
	struct queue_message m = {.id = ++h->last_id,
		.arrived_us = h->now_us,
		.klass = (uint8_t)klass,
		.body_bytes = bytes,
		.user = blob_of(user)};
	struct queue_sched_rcpt r = {.domain = name_of("d", domain)};

	assert_int_equal(queue_sched_add(h->q, &m, &r, 1, NULL, h->now_us), QUEUE_OK);
	return m.id;
}

/* What a site that is never slow takes until `until_us`; notes are on disk at once. */
struct flow_host {
	int delivered, opened;
	int by_user[4];
	int notes;
};

static void
take_one(struct host *h, const struct queue_order *o, struct flow_host *f)
{
	f->delivered++;
	host_settle(h, o->lease, QUEUE_VERDICT_DELIVERED);
}

static void
run_until(struct host *h, int64_t until_us, struct flow_host *f)
{
	while (h->now_us < until_us) {
		struct queue_order o = host_next(h);
		int64_t wake_us;

		switch (o.kind) {
		case QUEUE_ORDER_OPEN:
			f->opened++;
			queue_sched_session_ready(h->q, o.session, false);
			take_one(h, &o, f);
			break;
		case QUEUE_ORDER_GIVE:
			take_one(h, &o, f);
			break;
		case QUEUE_ORDER_CLOSE:
			host_close(h, o.session, false, 0);
			break;
		case QUEUE_ORDER_NOTE:
			f->notes++;
			queue_sched_noted(h->q, o.noting, false, h->now_us);
			break;
		case QUEUE_ORDER_NONE:
			wake_us = queue_sched_wake_us(h->q);
			assert_true(wake_us > h->now_us);
			h->now_us = wake_us < until_us ? wake_us : until_us;
			break;
		default:
			fail();
		}
	}
}

/* --- every level, every unit --- */

static void
test_limit_of_each_level(void **state)
{
	static const size_t levels[] = {offsetof(struct paced, lane), offsetof(struct paced, site),
		offsetof(struct paced, source), offsetof(struct paced, pool), offsetof(struct paced, stream),
		offsetof(struct paced, user), offsetof(struct paced, all)};
	static const struct {
		enum queue_unit unit;
		int64_t count, per_us;
		int want; /* of 100 in 9.99 s */
	} cases[] = {
		{QUEUE_UNIT_MESSAGES, 1, SEC, 10},
		{QUEUE_UNIT_MESSAGES, 30, 10 * SEC, 30},
		{QUEUE_UNIT_MESSAGES, 17, MINUTE, 17},
		{QUEUE_UNIT_MESSAGES, 17, DAY, 17},
		{QUEUE_UNIT_RECIPIENTS, 2, SEC, 19},
		{QUEUE_UNIT_RECIPIENTS, 5, HOUR, 5},
		{QUEUE_UNIT_BYTES, 1000, SEC, 10},
		{QUEUE_UNIT_BYTES, 4000, DAY, 4},
	};
	size_t l, c;
	int i;

	for (l = 0; l < sizeof(levels) / sizeof(levels[0]); l++)
		for (c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
			struct flow_host f = {0};
			struct paced p;

			paced_init(&p);
			limit((struct queue_limits *)(void *)((char *)&p + levels[l]), cases[c].unit, 0,
				cases[c].count, cases[c].per_us);
			paced_apply(&p);
			for (i = 0; i < 100; i++)
				add_class(&p.h, 1, "u1", QUEUE_CLASS_NORMAL, 1000);
			run_until(&p.h, START + 9990000, &f);
			if (f.delivered != cases[c].want)
				fail_msg("level %zu, case %zu: %d, not %d", l, c, f.delivered, cases[c].want);
			assert_true((f.notes > 0) == (cases[c].per_us >= MINUTE));
			/* Without the limit the rest goes at once. */
			memset(&p.lane, 0, (size_t)((char *)(&p.all + 1) - (char *)&p.lane));
			paced_apply(&p);
			run_until(&p.h, p.h.now_us + SEC, &f);
			assert_int_equal(f.delivered, 100);
			host_fini(&p.h);
		}
}

static int
open_all(struct host *h)
{
	struct queue_order o;
	int open = 0;

	while ((o = host_next(h)).kind == QUEUE_ORDER_OPEN) {
		queue_sched_session_ready(h->q, o.session, false);
		open++;
	}
	return open;
}

static void
test_connections_of_each_level(void **state)
{
	static const size_t levels[] = {offsetof(struct paced, site), offsetof(struct paced, source),
		offsetof(struct paced, pool), offsetof(struct paced, stream), offsetof(struct paced, user),
		offsetof(struct paced, all)};
	size_t l;
	int i;

	for (l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
		struct queue_limits *limits;
		struct paced p;

		paced_init(&p);
		limits = (struct queue_limits *)(void *)((char *)&p + levels[l]);
		limits->connections = 3;
		paced_apply(&p);
		for (i = 0; i < 30; i++)
			add_class(&p.h, 1, "u1", QUEUE_CLASS_NORMAL, 0);
		if ((i = open_all(&p.h)) != 3)
			fail_msg("level %zu: %d", l, i);
		/* Raised, it grows at once. */
		limits->connections = 5;
		paced_apply(&p);
		assert_int_equal(open_all(&p.h), 2);
		host_fini(&p.h);
	}
}

static void
test_connect_rate(void **state)
{
	struct flow_host f = {0};
	struct paced p;
	int i;

	paced_init(&p);
	p.h.policy.messages_per_connection = 1;
	limit(&p.lane, QUEUE_UNIT_CONNECTIONS, 0, 2, 10 * SEC);
	paced_apply(&p);
	for (i = 0; i < 20; i++)
		host_add(&p.h, 1);
	run_until(&p.h, START + MINUTE, &f);
	assert_int_equal(f.opened, 12);
	host_fini(&p.h);
}

/* A full site makes room for a source that has no connection there. */
static void
test_connection_moves_to_who_has_none(void **state)
{
	struct queue_order o;
	struct queue_session *s;
	struct queue_lease *l;
	struct paced p;

	paced_init(&p);
	p.site.connections = 1;
	paced_apply(&p);
	host_add(&p.h, 1);
	s = open_ready(&p.h, false, &l);
	host_settle(&p.h, l, QUEUE_VERDICT_DELIVERED);
	host_expect(&p.h, QUEUE_ORDER_NONE);
	/* Mail for the same site by another source. */
	{
		struct queue_message m = {.id = ++p.h.last_id, .arrived_us = p.h.now_us};
		struct queue_sched_rcpt r = {.domain = {"d1", 2}, .sticky_source = 3 + 1};

		assert_int_equal(queue_sched_add(p.h.q, &m, &r, 1, NULL, p.h.now_us), QUEUE_OK);
	}
	o = host_expect(&p.h, QUEUE_ORDER_CLOSE);
	assert_ptr_equal(o.session, s);
	host_expect(&p.h, QUEUE_ORDER_NONE);
	host_close(&p.h, s, false, 0);
	assert_int_equal(host_expect(&p.h, QUEUE_ORDER_OPEN).source, 3);
	host_fini(&p.h);
}

/* --- what counts --- */

static void
test_attempts_and_deliveries(void **state)
{
	int mode;

	for (mode = 0; mode < 2; mode++) {
		struct queue_lease *l;
		struct queue_order o;
		struct paced p;

		paced_init(&p);
		p.h.conf.counts_deliveries = mode == 1;
		limit(&p.lane, QUEUE_UNIT_MESSAGES, 0, 1, 30 * SEC);
		paced_apply(&p);
		host_add(&p.h, 1);
		host_add(&p.h, 1);
		(void)open_ready(&p.h, false, &l);
		host_expect(&p.h, QUEUE_ORDER_NONE);
		host_settle(&p.h, l, QUEUE_VERDICT_LATER);
		o = host_next(&p.h);
		assert_int_equal(o.kind, mode == 1 ? QUEUE_ORDER_GIVE : QUEUE_ORDER_NONE);
		if (mode == 1)
			host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
		host_fini(&p.h);
	}
}

/* A lease that nobody tried costs nothing. */
static void
test_return_costs_nothing(void **state)
{
	struct queue_session *s;
	struct queue_lease *l;
	struct paced p;

	paced_init(&p);
	limit(&p.lane, QUEUE_UNIT_MESSAGES, 0, 1, 30 * SEC);
	limit(&p.site, QUEUE_UNIT_RECIPIENTS, 1, 1, 30 * SEC);
	paced_apply(&p);
	host_add(&p.h, 1);
	s = open_ready(&p.h, false, &l);
	host_settle(&p.h, l, QUEUE_VERDICT_RETURN);
	assert_ptr_equal(host_expect(&p.h, QUEUE_ORDER_GIVE).session, s);
	host_fini(&p.h);
}

/* Recipients of a message are cut to what the limit has left. */
static void
test_transaction_is_cut(void **state)
{
	struct queue_order o;
	struct paced p;
	int i;

	paced_init(&p);
	limit(&p.site, QUEUE_UNIT_RECIPIENTS, 0, 5, DAY);
	paced_apply(&p);
	for (i = 0; i < 8; i++)
		p.h.site[i] = 1;
	assert_int_equal(host_add_job(&p.h, 0, 8, "", ""), QUEUE_OK);
	o = host_expect(&p.h, QUEUE_ORDER_NOTE);
	queue_sched_noted(p.h.q, o.noting, false, p.h.now_us);
	o = host_expect(&p.h, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 1); /* as much as is on disk */
	host_fini(&p.h);
}

/* --- on disk --- */

struct disk {
	struct {
		char key[200], value[4096];
		size_t key_len, value_len;
	} notes[8];
	int count;
};

static void
disk_put(struct disk *d, const struct queue_order *o)
{
	int i;

	for (i = 0; i < d->count; i++)
		if (d->notes[i].key_len == o->note.len &&
			memcmp(d->notes[i].key, o->note.ptr, o->note.len) == 0)
			break;
	assert_true(i < 8 && o->note.len <= sizeof(d->notes[0].key));
	d->count += i == d->count;
	memcpy(d->notes[i].key, o->note.ptr, o->note.len);
	d->notes[i].key_len = o->note.len;
	memcpy(d->notes[i].value, o->value.ptr, o->value.len);
	d->notes[i].value_len = o->value.len;
}

/* The used part of a day is known after a kill; forgotten when the day is over. Settings come before what is
 * restored, as in the daemon. */
static void
long_limit_over_a_restart(size_t level)
{
	struct disk disk = {0};
	struct queue_order o;
	int64_t now_us;
	struct paced p;
	int sent = 0, i, run;

	for (run = 0; run < 3; run++) {
		paced_init(&p);
		limit((struct queue_limits *)(void *)((char *)&p + level), QUEUE_UNIT_MESSAGES, 0, 10, DAY);
		paced_apply(&p);
		for (i = 0; i < disk.count; i++)
			assert_int_equal(
				queue_sched_restore(p.h.q,
					(struct queue_blob){disk.notes[i].value, disk.notes[i].value_len},
					p.h.now_us),
				QUEUE_OK);
		for (i = 0; i < 100; i++)
			host_add(&p.h, 1);
		for (i = 0; i < 6; i++) { /* killed after some */
			while ((o = host_next(&p.h)).kind == QUEUE_ORDER_NOTE) {
				disk_put(&disk, &o);
				queue_sched_noted(p.h.q, o.noting, false, p.h.now_us);
			}
			if (o.kind == QUEUE_ORDER_NONE)
				break;
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(p.h.q, o.session, false);
			host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
			sent++;
		}
		now_us = p.h.now_us;
		if (run < 2)
			host_fini(&p.h);
	}
	assert_int_equal(disk.count, 1);
	assert_true(sent <= 10 && sent >= 8);
	assert_int_equal(host_next(&p.h).kind, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_wake_us(p.h.q) <= now_us - now_us % DAY + DAY, true);
	host_fini(&p.h);
}

static void
test_long_limit_over_a_restart(void **state)
{
	static const size_t levels[] = {offsetof(struct paced, lane), offsetof(struct paced, site),
		offsetof(struct paced, stream), offsetof(struct paced, user), offsetof(struct paced, source),
		offsetof(struct paced, pool), offsetof(struct paced, all)};
	size_t l;

	for (l = 0; l < sizeof(levels) / sizeof(levels[0]); l++)
		long_limit_over_a_restart(levels[l]);
}

static void
test_note_is_removed_when_over(void **state)
{
	struct queue_filter all = host_filter();
	struct flow_host f = {0};
	struct queue_order o;
	struct paced p;

	paced_init(&p);
	limit(&p.lane, QUEUE_UNIT_MESSAGES, 0, 1, HOUR);
	paced_apply(&p);
	host_add(&p.h, 1);
	run_until(&p.h, START + MINUTE, &f);
	assert_int_equal(f.delivered, 1);
	assert_int_equal(queue_sched_count(p.h.q, &all), 0);
	p.h.now_us = START + 2 * HOUR; /* the lane is long gone, and now its window too */
	o = host_expect(&p.h, QUEUE_ORDER_NOTE);
	assert_int_equal(o.value.len, 0);
	queue_sched_noted(p.h.q, o.noting, false, p.h.now_us);
	host_expect(&p.h, QUEUE_ORDER_NONE);
	host_fini(&p.h);
}

static void
test_damaged_notes(void **state)
{
	static const char *const notes[] = {
		"", "\1", "\2\0\1\0a\0", "\1\7\1\0a\0", "\1\0\377\377a\0", "\1\0\1\0a\1", "\1\0\1\0a\0"};
	static const size_t lens[] = {0, 1, 6, 6, 6, 6, 6};
	struct paced p;
	size_t i;

	paced_init(&p);
	for (i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		assert_true(queue_sched_restore(p.h.q, (struct queue_blob){notes[i], lens[i]}, START) < 0);
	host_fini(&p.h);
}

/* --- fairness --- */

static void
by_weight(uint32_t rcpts)
{
	int given[4] = {0}, i;
	struct queue_lease *l;
	struct queue_order o;
	struct paced p;
	char user[] = "u0";

	paced_init(&p);
	p.h.policy.connections = 1;
	p.weights[0] = 1;
	p.weights[1] = 2;
	p.weights[2] = 5;
	for (i = 0; i < 8; i++)
		p.h.site[i] = 1;
	for (i = 0; i < 6000; i++) {
		user[1] = (char)('0' + i % 3);
		/* The second sends to many at once, which gives it no more. */
		assert_int_equal(host_add_job(&p.h, 0, i % 3 == 1 ? rcpts : 1, user, ""), QUEUE_OK);
	}
	(void)open_ready(&p.h, false, &l);
	for (i = 0; i < 1600; i += (int)queue_lease_rcpt_count(l)) {
		given[(queue_lease_message(l) - 1) % 3] += (int)queue_lease_rcpt_count(l);
		host_settle(&p.h, l, QUEUE_VERDICT_DELIVERED);
		o = host_expect(&p.h, QUEUE_ORDER_GIVE);
		l = o.lease;
	}
	assert_in_range(given[0], 190, 210);
	assert_in_range(given[1], 380, 420);
	assert_in_range(given[2], 950, 1050);
	host_fini(&p.h);
}

static void
test_streams_by_weight(void **state)
{
	by_weight(1);
	by_weight(8);
}

static void
test_pool_by_weight(void **state)
{
	struct queue_order o;
	struct paced p;
	int i;

	paced_init(&p);
	p.members[0] = (struct queue_pool_member){1, 1};
	p.members[1] = (struct queue_pool_member){2, 3};
	p.members[2] = (struct queue_pool_member){3, 6};
	p.pools[0] = p.h.fake.pool;
	p.pools[1] = (struct queue_pool){{"p1", 2}, p.members, 3, NULL};
	p.h.conf.pools = p.pools;
	p.h.conf.pool_count = 2;
	p.h.policy.pool = 1;
	paced_apply(&p);
	/* Many sites with one message each, and one site with many. */
	for (i = 0; i < 500; i++)
		host_add(&p.h, i % 50 == 0 ? 60 : i % 50);
	for (i = 0; i < 500;) {
		o = host_next(&p.h);
		if (o.kind == QUEUE_ORDER_CLOSE) {
			host_close(&p.h, o.session, false, 0);
			continue;
		}
		assert_true(o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE);
		if (o.kind == QUEUE_ORDER_OPEN)
			queue_sched_session_ready(p.h.q, o.session, false);
		p.given[o.source]++;
		host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
		i++;
	}
	assert_in_range(p.given[1], 45, 55);
	assert_in_range(p.given[2], 140, 160);
	assert_in_range(p.given[3], 285, 315);
	host_fini(&p.h);
}

/* What keeps the mail of both is the limit of the site: whose turn it is is still a matter of weights. */
static void
test_pool_by_weight_at_a_limit(void **state)
{
	static const size_t levels[] = {offsetof(struct paced, site), offsetof(struct paced, all)};
	size_t l;
	int i;

	for (l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
		struct queue_order o;
		struct paced p;

		paced_init(&p);
		p.members[0] = (struct queue_pool_member){1, 1};
		p.members[1] = (struct queue_pool_member){2, 3};
		p.pools[0] = p.h.fake.pool;
		p.pools[1] = (struct queue_pool){{"p1", 2}, p.members, 2, NULL};
		p.h.conf.pools = p.pools;
		p.h.conf.pool_count = 2;
		p.h.policy.pool = 1;
		limit((struct queue_limits *)(void *)((char *)&p + levels[l]), QUEUE_UNIT_MESSAGES, 0, 10,
			SEC);
		paced_apply(&p);
		for (i = 0; i < 100; i++)
			host_add(&p.h, 1);
		for (i = 0; i < 80;) {
			o = host_next(&p.h);
			if (o.kind == QUEUE_ORDER_NONE) {
				p.h.now_us = queue_sched_wake_us(p.h.q);
				continue;
			}
			assert_true(o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE);
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(p.h.q, o.session, false);
			p.given[o.source]++;
			host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
			i++;
		}
		if (p.given[1] < 18 || p.given[1] > 22)
			fail_msg("level %zu: %d by one source, %d by the other", l, p.given[1], p.given[2]);
		host_fini(&p.h);
	}
}

/* All connections its pool may have are there and busy: what waits goes over them when they are free. */
static void
test_pool_at_its_connections(void **state)
{
	struct queue_lease *leases[3];
	struct queue_order o;
	struct paced p;
	int i;

	paced_init(&p);
	p.pool.connections = 3;
	paced_apply(&p);
	for (i = 0; i < 30; i++)
		host_add(&p.h, 1);
	for (i = 0; i < 3; i++) {
		o = host_expect(&p.h, QUEUE_ORDER_OPEN);
		queue_sched_session_ready(p.h.q, o.session, false);
		leases[i] = o.lease;
	}
	(void)host_expect(&p.h, QUEUE_ORDER_NONE);
	for (i = 0; i < 3; i++)
		host_settle(&p.h, leases[i], QUEUE_VERDICT_DELIVERED);
	for (i = 0; i < 3; i++) {
		o = host_expect(&p.h, QUEUE_ORDER_GIVE);
		leases[i] = o.lease;
	}
	for (i = 0; i < 3; i++)
		host_settle(&p.h, leases[i], QUEUE_VERDICT_DELIVERED);
	host_fini(&p.h);
}

/* A source that is paused, or cannot connect, leaves its share to the others. */
static void
test_pool_without_a_source(void **state)
{
	struct flow_host f = {0};
	struct queue_order o;
	struct paced p;
	int i;

	paced_init(&p);
	p.members[0] = (struct queue_pool_member){1, 1};
	p.members[1] = (struct queue_pool_member){2, 1};
	p.h.fake.pool.members = p.members;
	p.h.fake.pool.member_count = 2;
	paced_apply(&p);
	assert_int_equal(queue_sched_pause(p.h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 1, INT64_MAX,
				 blob_of("down"), p.h.now_us),
		QUEUE_OK);
	for (i = 0; i < 10; i++)
		host_add(&p.h, 1);
	for (i = 0; i < 5; i++) {
		o = host_expect(&p.h, QUEUE_ORDER_OPEN);
		assert_int_equal(o.source, 2);
		host_settle(&p.h, o.lease, QUEUE_VERDICT_RETURN);
		host_close(&p.h, o.session, false, 0);
	}
	/* Both down: it waits, and nothing is lost. */
	assert_int_equal(queue_sched_pause(p.h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 2, INT64_MAX,
				 blob_of("down"), p.h.now_us),
		QUEUE_OK);
	host_expect(&p.h, QUEUE_ORDER_NONE);
	assert_true(queue_sched_resume(p.h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 1, p.h.now_us));
	assert_int_equal(host_next(&p.h).source, 1);
	assert_int_equal(f.delivered, 0);
	host_fini(&p.h);
}

/* --- classes --- */

static void
test_urgent_goes_first(void **state)
{
	struct queue_lease *l;
	struct queue_order o;
	struct paced p;
	queue_id id;
	int i;

	paced_init(&p);
	p.h.policy.connections = 1;
	for (i = 0; i < 1000; i++)
		add_class(&p.h, 1, "u1", QUEUE_CLASS_BULK, 0);
	(void)open_ready(&p.h, false, &l);
	id = add_class(&p.h, 1, "u2", QUEUE_CLASS_URGENT, 0);
	host_settle(&p.h, l, QUEUE_VERDICT_DELIVERED);
	o = host_expect(&p.h, QUEUE_ORDER_GIVE);
	assert_int_equal(queue_lease_message(o.lease), id);
	host_fini(&p.h);
}

/* However much there is of the better classes, the others have their part. */
static void
test_no_class_starves(void **state)
{
	static const enum queue_class classes[] = {QUEUE_CLASS_URGENT, QUEUE_CLASS_NORMAL, QUEUE_CLASS_BULK};
	int given[3] = {0}, i;
	struct queue_lease *l;
	struct queue_order o;
	struct paced p;

	paced_init(&p);
	p.h.policy.connections = 1;
	for (i = 0; i < 3000; i++)
		add_class(&p.h, 1, "u1", classes[i % 3], 0);
	(void)open_ready(&p.h, false, &l);
	for (i = 0; i < 800; i++) {
		given[(queue_lease_message(l) - 1) % 3]++;
		host_settle(&p.h, l, QUEUE_VERDICT_DELIVERED);
		o = host_expect(&p.h, QUEUE_ORDER_GIVE);
		l = o.lease;
	}
	assert_int_equal(given[0], 750);
	assert_int_equal(given[1], 40);
	assert_int_equal(given[2], 10);
	host_fini(&p.h);
}

/* Some of the connections and of the day are kept for it, once there was any. */
static void
test_room_for_urgent(void **state)
{
	struct flow_host f = {0};
	struct queue_order o;
	struct paced p;
	queue_id id;
	int i;

	paced_init(&p);
	p.h.policy.connections = 10;
	p.h.policy.urgent_percent = 20;
	limit(&p.lane, QUEUE_UNIT_MESSAGES, 0, 10, DAY);
	add_class(&p.h, 2, "u2", QUEUE_CLASS_URGENT, 0);
	run_until(&p.h, START + SEC, &f);
	paced_apply(&p);
	for (i = 0; i < 100; i++)
		add_class(&p.h, 1, "u1", QUEUE_CLASS_BULK, 0);
	run_until(&p.h, START + HOUR, &f);
	assert_int_equal(f.delivered, 1 + 8); /* a fifth of the day's ten is left */
	id = add_class(&p.h, 1, "u2", QUEUE_CLASS_URGENT, 0);
	while ((o = host_next(&p.h)).kind != QUEUE_ORDER_GIVE && o.kind != QUEUE_ORDER_OPEN) {
		if (o.kind == QUEUE_ORDER_NOTE)
			queue_sched_noted(p.h.q, o.noting, false, p.h.now_us);
		else if (o.kind == QUEUE_ORDER_CLOSE)
			host_close(&p.h, o.session, false, 0);
		else
			fail();
	}
	assert_int_equal(queue_lease_message(o.lease), id);
	host_fini(&p.h);
	/* The same with connections. */
	paced_init(&p);
	p.h.policy.connections = 5;
	p.h.policy.urgent_percent = 20;
	add_class(&p.h, 2, "u2", QUEUE_CLASS_URGENT, 0);
	run_until(&p.h, START + HOUR, &f);
	for (i = 0; i < 100; i++)
		add_class(&p.h, 1, "u1", QUEUE_CLASS_BULK, 0);
	assert_int_equal(open_all(&p.h), 4);
	id = add_class(&p.h, 1, "u2", QUEUE_CLASS_URGENT, 0);
	o = host_expect(&p.h, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_lease_message(o.lease), id);
	host_fini(&p.h);
}

/* --- waiting --- */

/* A hundred sites behind one source's limit: one goes at a time, in order, and each costs one look. */
static void
test_one_limit_many_sites(void **state)
{
	struct flow_host f = {0};
	struct paced p;
	int i, round;

	paced_init(&p);
	limit(&p.source, QUEUE_UNIT_MESSAGES, 0, 1, SEC);
	paced_apply(&p);
	for (round = 0; round < 2; round++)
		for (i = 0; i < 60; i++)
			host_add(&p.h, i);
	run_until(&p.h, START + 60 * SEC, &f);
	assert_int_equal(f.delivered, 60);
	assert_int_equal(f.opened, 60); /* each site one before any has two */
	host_fini(&p.h);
}

/* One user's campaign by two senders: one limit, also when it comes while mail is out. */
static void
test_senders_share_a_stream(void **state)
{
	struct queue_lease *out[8];
	struct queue_order o;
	struct paced p;
	int i, n = 0;

	paced_init(&p);
	for (i = 0; i < 8; i++) {
		struct queue_message m = {.id = ++p.h.last_id,
			.arrived_us = p.h.now_us,
			.user = blob_of("u1"),
			.sender = blob_of(i % 2 == 0 ? "a@a.test" : "b@b.test")};
		struct queue_sched_rcpt r = {.domain = {"d1", 2}};

		assert_int_equal(queue_sched_add(p.h.q, &m, &r, 1, NULL, p.h.now_us), QUEUE_OK);
	}
	while (n < 4 && (o = host_next(&p.h)).kind == QUEUE_ORDER_OPEN) {
		queue_sched_session_ready(p.h.q, o.session, false);
		out[n++] = o.lease;
	}
	assert_int_equal(n, 4);
	p.stream.connections = 3;
	paced_apply(&p);
	host_expect(&p.h, QUEUE_ORDER_NONE); /* one too many is out already */
	host_settle(&p.h, out[0], QUEUE_VERDICT_DELIVERED);
	host_expect(&p.h, QUEUE_ORDER_NONE);
	for (i = 1; i < 4; i++)
		host_settle(&p.h, out[i], QUEUE_VERDICT_DELIVERED);
	for (i = 0; i < 3; i++)
		out[i] = host_expect(&p.h, QUEUE_ORDER_GIVE).lease;
	host_expect(&p.h, QUEUE_ORDER_NONE);
	p.stream.connections = 0;
	paced_apply(&p);
	out[3] = host_next(&p.h).lease;
	for (i = 0; i < 4; i++)
		host_settle(&p.h, out[i], QUEUE_VERDICT_DELIVERED);
	assert_int_equal(host_stats(&p.h).rcpts, 0);
	host_fini(&p.h);
}

/* A stream at its limit does not keep the lane from others. */
static void
test_stream_waits_alone(void **state)
{
	struct flow_host f = {0};
	struct paced p;
	int i;

	paced_init(&p);
	limit(&p.user, QUEUE_UNIT_MESSAGES, 0, 1, 50 * SEC);
	paced_apply(&p);
	for (i = 0; i < 10; i++) {
		add_class(&p.h, 1, "u1", QUEUE_CLASS_NORMAL, 0);
		add_class(&p.h, 1, "u2", QUEUE_CLASS_NORMAL, 0);
	}
	run_until(&p.h, START + 49 * SEC, &f);
	assert_int_equal(f.delivered, 2);
	run_until(&p.h, START + 51 * SEC, &f);
	assert_int_equal(f.delivered, 4);
	host_fini(&p.h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_of_each_level),
		cmocka_unit_test(test_connections_of_each_level),
		cmocka_unit_test(test_connect_rate),
		cmocka_unit_test(test_connection_moves_to_who_has_none),
		cmocka_unit_test(test_attempts_and_deliveries),
		cmocka_unit_test(test_return_costs_nothing),
		cmocka_unit_test(test_transaction_is_cut),
		cmocka_unit_test(test_long_limit_over_a_restart),
		cmocka_unit_test(test_note_is_removed_when_over),
		cmocka_unit_test(test_damaged_notes),
		cmocka_unit_test(test_streams_by_weight),
		cmocka_unit_test(test_pool_by_weight),
		cmocka_unit_test(test_pool_by_weight_at_a_limit),
		cmocka_unit_test(test_pool_at_its_connections),
		cmocka_unit_test(test_pool_without_a_source),
		cmocka_unit_test(test_urgent_goes_first),
		cmocka_unit_test(test_no_class_starves),
		cmocka_unit_test(test_room_for_urgent),
		cmocka_unit_test(test_one_limit_many_sites),
		cmocka_unit_test(test_senders_share_a_stream),
		cmocka_unit_test(test_stream_waits_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
