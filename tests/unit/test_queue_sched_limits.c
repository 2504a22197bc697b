/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of single objects, case by case; test_queue_sched_pace_sim.c has them all together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_why.h"

enum { POOLS = 2, NOTES = 8, NOTE_MAX = 256 };

struct note {
	char key[NOTE_MAX];
	uint8_t value[NOTE_MAX];
	size_t key_len, value_len;
};
/* A host with limits, and a disk that takes notes at once. */
struct paced {
	struct host h;
	struct queue_rate rate;
	struct queue_limits limits;
	struct queue_pool_member members[2];
	struct queue_pool pools[POOLS];
	struct queue_lane_policy own; /* of the lane to site1 from source 0 */
	struct note disk[NOTES];
	int note_count;
};

static void
reload(struct paced *p)
{
	queue_sched_reconfigured(p->h.q, &p->h.conf, p->h.now_us);
}

/* One limit; who obeys it is for the test to say, with reload(). */
static void
paced_init(struct paced *p, enum queue_unit unit, int64_t count, int64_t per_us)
{
	memset(p, 0, sizeof(*p));
	host_init(&p->h);
	p->rate = (struct queue_rate){count, per_us};
	if (count > 0) {
		p->limits.units[unit].rates = &p->rate;
		p->limits.units[unit].count = 1;
	}
	p->members[0] = (struct queue_pool_member){0, 1};
	p->members[1] = (struct queue_pool_member){1, 1};
	p->pools[0] = (struct queue_pool){.name = {"default", 7}, .members = p->members, .member_count = 1};
	p->pools[1] = (struct queue_pool){.name = {"other", 5}, .members = p->members, .member_count = 2};
	p->h.conf.pools = p->pools;
	p->h.conf.pool_count = POOLS;
	reload(p);
}

static void
keep_note(struct paced *p, const struct queue_order *o)
{
	struct note *n;
	int i;

	for (i = 0; i < p->note_count; i++)
		if (p->disk[i].key_len == o->note.len &&
			memcmp(p->disk[i].key, o->note.ptr, o->note.len) == 0)
			break;
	assert_true(i < NOTES && o->note.len <= NOTE_MAX && o->value.len <= NOTE_MAX);
	n = &p->disk[i];
	p->note_count += i == p->note_count;
	memcpy(n->key, o->note.ptr, o->note.len);
	memcpy(n->value, o->value.ptr, o->value.len);
	n->key_len = o->note.len;
	n->value_len = o->value.len;
}

/* The next order that is not for the disk. */
static struct queue_order
next(struct paced *p)
{
	struct queue_order o = host_next(&p->h);

	while (o.kind == QUEUE_ORDER_NOTE) {
		keep_note(p, &o);
		queue_sched_noted(p->h.q, o.noting, false, p->h.now_us);
		o = host_next(&p->h);
	}
	return o;
}

static struct queue_order
expect(struct paced *p, enum queue_order_kind kind)
{
	struct queue_order o = next(p);

	assert_int_equal(o.kind, kind);
	return o;
}

/* To another site, opened, delivered and left idle. */
static struct queue_session *
deliver(struct paced *p, int domain)
{
	struct queue_order o;

	host_add(&p->h, domain);
	o = expect(p, QUEUE_ORDER_OPEN);
	queue_sched_session_ready(p->h.q, o.session, false);
	host_settle(&p->h, o.lease, QUEUE_VERDICT_DELIVERED);
	return o.session;
}

static void
crash(struct paced *p)
{
	int i;

	queue_sched_destroy(&p->h.q);
	assert_int_equal(queue_sched_create(&p->h.conf, &p->h.q), QUEUE_OK);
	for (i = 0; i < p->note_count; i++) {
		struct queue_blob value = {p->disk[i].value, p->disk[i].value_len};

		assert_int_equal(queue_sched_restore(p->h.q, value, p->h.now_us), QUEUE_OK);
		assert_int_equal(queue_sched_restore(p->h.q, value, p->h.now_us), QUEUE_EINVAL);
	}
}

/* Whose limits they are: of the source, its pool, all, the lanes, the site, the lane alone. */
static const struct queue_limits **
holder(struct paced *p, int whose)
{
	const struct queue_limits **const all[] = {&p->h.fake.sources[0].limits, &p->pools[0].limits,
		&p->h.conf.limits, &p->h.policy.lane, &p->h.policy.site, &p->own.limits};

	return all[whose];
}

/* Gates of sources, pools and of all are there before their notes are. */
static void
test_restart(void **state)
{
	struct paced p;
	int whose;

	for (whose = 0; whose < 5; whose++) {
		paced_init(&p, QUEUE_UNIT_MESSAGES, 2, DAY);
		*holder(&p, whose) = &p.limits;
		reload(&p);
		p.h.site[2] = 2; /* d2 goes to the site of d1 */
		p.h.conf.connections_total = 100;
		deliver(&p, 1);
		crash(&p);
		deliver(&p, 1);
		crash(&p);
		host_add(&p.h, 2);
		expect(&p, QUEUE_ORDER_NONE);
		p.h.now_us += DAY;
		expect(&p, QUEUE_ORDER_OPEN);
		host_fini(&p.h);
	}
}

static void
test_damaged_note(void **state)
{
	static const char *const values[] = {
		"", "\1", "\1\2\3\0abc\0", "\1\2\3\0ab", "\1\7\2\0a\0\0", "\1\0\2\0a\0\77"};
	static const size_t lens[] = {0, 1, 8, 6, 7, 7};
	struct paced p;
	size_t i;

	paced_init(&p, QUEUE_UNIT_MESSAGES, 0, 0);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		assert_int_equal(
			queue_sched_restore(p.h.q, (struct queue_blob){values[i], lens[i]}, p.h.now_us),
			QUEUE_EDAMAGED);
	host_fini(&p.h);
}

/* The next window begins while mail waits: the disk knows nothing of it yet, and is asked. */
static void
test_next_window(void **state)
{
	struct paced p;

	paced_init(&p, QUEUE_UNIT_MESSAGES, 1, HOUR);
	p.h.conf.limits = &p.limits;
	reload(&p);
	p.h.now_us = START - START % HOUR;
	deliver(&p, 1);
	host_add(&p.h, 2);
	expect(&p, QUEUE_ORDER_NONE);
	p.h.now_us = START - START % HOUR + HOUR;
	expect(&p, QUEUE_ORDER_CLOSE);
	expect(&p, QUEUE_ORDER_OPEN);
	host_fini(&p.h);
}

/* The limit is each user's. */
static void
on_stream(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct paced *p = arg;

	*out = (struct queue_stream_policy){.weight = 1, .user_weight = 1, .user_limits = &p->limits};
}

/* Mail waits for an hour; the session it would go by does not. */
static void
test_idle(void **state)
{
	struct queue_order first, o;
	struct paced p;

	paced_init(&p, QUEUE_UNIT_MESSAGES, 1, HOUR);
	p.h.conf.stream = on_stream;
	reload(&p);
	p.h.now_us = START - START % HOUR;
	host_add(&p.h, 1);
	host_add(&p.h, 1);
	first = expect(&p, QUEUE_ORDER_OPEN);
	queue_sched_session_ready(p.h.q, first.session, false);
	host_settle(&p.h, first.lease, QUEUE_VERDICT_DELIVERED);
	expect(&p, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_wake_us(p.h.q), p.h.now_us + p.h.policy.idle_us);
	p.h.now_us += p.h.policy.idle_us;
	o = expect(&p, QUEUE_ORDER_CLOSE);
	assert_ptr_equal(o.session, first.session);
	host_fini(&p.h);
}

/* The pool may have one connection: the way that waits for another takes that one when it is free, by
 * whatever source it is. */
static void
test_pool_connection(void **state)
{
	struct queue_order o;
	struct paced p;

	paced_init(&p, QUEUE_UNIT_MESSAGES, 0, 0);
	p.limits.connections = 1;
	p.pools[0].limits = &p.limits;
	p.pools[0].member_count = 2;
	reload(&p);
	host_add(&p.h, 1);
	o = expect(&p, QUEUE_ORDER_OPEN);
	queue_sched_session_ready(p.h.q, o.session, false);
	host_add(&p.h, 1);
	host_add(&p.h, 1);
	expect(&p, QUEUE_ORDER_NONE);
	host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
	o = expect(&p, QUEUE_ORDER_GIVE);
	host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
	expect(&p, QUEUE_ORDER_GIVE);
	host_fini(&p.h);
}

/* Everybody else who needs the connection gets it in the end, whoever's limit it is. */
static void
test_share_of_connection(void **state)
{
	struct queue_session *s;
	struct queue_order o;
	struct paced p;
	int whose, i;

	for (whose = 0; whose < 3; whose++) {
		paced_init(&p, QUEUE_UNIT_MESSAGES, 0, 0);
		p.limits.connections = 1;
		*holder(&p, whose) = &p.limits;
		reload(&p);
		host_add(&p.h, 1);
		o = expect(&p, QUEUE_ORDER_OPEN);
		s = o.session;
		queue_sched_session_ready(p.h.q, s, false);
		host_add(&p.h, 2);
		for (i = 0; i < 50; i++) {
			host_add(&p.h, 1);
			assert_int_equal(next(&p).kind, QUEUE_ORDER_NONE);
			host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
			o = next(&p);
			if (o.kind == QUEUE_ORDER_CLOSE)
				break;
			assert_int_equal(o.kind, QUEUE_ORDER_GIVE);
		}
		assert_int_equal(o.kind, QUEUE_ORDER_CLOSE);
		assert_true(i >= 10);
		host_close(&p.h, s, false, 0);
		o = expect(&p, QUEUE_ORDER_OPEN);
		assert_int_equal(number_of(o.domain), 2);
		host_fini(&p.h);
	}
}

/* An idle session makes room at once. */
static void
test_room_for_connection(void **state)
{
	struct paced p;
	int whose;

	for (whose = 0; whose < 3; whose++) {
		paced_init(&p, QUEUE_UNIT_MESSAGES, 0, 0);
		p.limits.connections = 1;
		*holder(&p, whose) = &p.limits;
		reload(&p);
		deliver(&p, 1);
		host_add(&p.h, 2);
		expect(&p, QUEUE_ORDER_CLOSE);
		host_fini(&p.h);
	}
}

static const struct queue_lane_policy *
on_lane(void *arg, struct queue_blob site, uint32_t source)
{
	struct paced *p = arg;

	return number_of(site) == 1 && source == 0 ? &p->own : NULL;
}

/* A reload that leaves fewer connections: those that are too many go when they are free. */
static void
test_fewer_connections(void **state)
{
	struct queue_order o[2];
	struct paced p;
	int whose, i;

	for (whose = 0; whose < 7; whose++) {
		paced_init(&p, QUEUE_UNIT_MESSAGES, 0, 0);
		for (i = 0; i < 2; i++) {
			host_add(&p.h, 1);
			o[i] = expect(&p, QUEUE_ORDER_OPEN);
			queue_sched_session_ready(p.h.q, o[i].session, false);
		}
		p.limits.connections = 1;
		if (whose < 6)
			*holder(&p, whose) = &p.limits;
		else
			p.own.connections = 1;
		if (whose >= 5)
			p.h.conf.lane = on_lane;
		reload(&p);
		for (i = 0; i < 3; i++)
			host_add(&p.h, 1);
		host_settle(&p.h, o[0].lease, QUEUE_VERDICT_DELIVERED);
		assert_ptr_equal(expect(&p, QUEUE_ORDER_CLOSE).session, o[0].session);
		host_close(&p.h, o[0].session, false, 0);
		host_settle(&p.h, o[1].lease, QUEUE_VERDICT_DELIVERED);
		assert_ptr_equal(expect(&p, QUEUE_ORDER_GIVE).session, o[1].session);
		host_fini(&p.h);
	}
}

static bool
on_lane_view(void *arg, const struct queue_lane_view *v)
{
	*(uint32_t *)arg = v->connections_max;
	return true;
}

/* What one lane goes by of its own, be it less or more than its policy; the next reload takes it away, and
 * other lanes know nothing of it. */
static void
test_lane_of_its_own(void **state)
{
	struct queue_walk walk = {.limit = 100};
	struct queue_rate more = {2, HOUR};
	struct queue_limits own = {0};
	struct queue_session *s;
	uint32_t connections_max = 0;
	struct queue_order o;
	struct paced p;

	paced_init(&p, QUEUE_UNIT_MESSAGES, 1, HOUR);
	p.h.now_us = START - START % HOUR;
	p.h.policy.lane = &p.limits;
	p.h.conf.lane = on_lane;
	own.units[QUEUE_UNIT_MESSAGES].rates = &more;
	own.units[QUEUE_UNIT_MESSAGES].count = 1;
	p.own = (struct queue_lane_policy){.limits = &own,
		.connections = 30,
		.has_messages_per_connection = true,
		.messages_per_connection = 1};
	reload(&p);
	s = deliver(&p, 1);
	queue_sched_walk_lanes(p.h.q, &walk, on_lane_view, &connections_max);
	assert_int_equal(connections_max, 30);
	/* Its connection has had its one message; a second one is let go by the rate. */
	assert_ptr_equal(expect(&p, QUEUE_ORDER_CLOSE).session, s);
	host_close(&p.h, s, false, 0);
	deliver(&p, 1);
	(void)expect(&p, QUEUE_ORDER_CLOSE);
	host_add(&p.h, 1);
	expect(&p, QUEUE_ORDER_NONE);
	deliver(&p, 2);
	host_add(&p.h, 2);
	expect(&p, QUEUE_ORDER_NONE);
	more.count = 3;
	reload(&p);
	o = expect(&p, QUEUE_ORDER_OPEN);
	assert_int_equal(number_of(o.site), 1);
	p.h.conf.lane = NULL;
	p.own.limits = NULL; /* nobody looks at it any more */
	reload(&p);
	host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
	host_add(&p.h, 1);
	expect(&p, QUEUE_ORDER_NONE);
	host_fini(&p.h);
}

/* A connection is still being opened when its mail, its domain and at last its site have nothing left. */
static void
test_opened_for_nothing(void **state)
{
	struct queue_order o;
	struct paced p;
	int i;

	for (i = 0; i < 2; i++) {
		paced_init(&p, QUEUE_UNIT_MESSAGES, 0, 0);
		host_add(&p.h, 1);
		o = expect(&p, QUEUE_ORDER_OPEN);
		host_settle(&p.h, o.lease, QUEUE_VERDICT_FAILED);
		p.h.now_us += 2 * DAY;
		expect(&p, QUEUE_ORDER_NONE);
		if (i == 1)
			host_close(&p.h, o.session, true, 0);
		assert_int_equal(host_stats(&p.h).domains, 0);
		host_fini(&p.h);
	}
}

/* The last place of the site for now is taken: the way waits for the next one from then on, and has no turn
 * in between that only finds this out. */
static void
test_waits_at_once(void **state)
{
	struct queue_order o;
	struct paced p;

	paced_init(&p, QUEUE_UNIT_MESSAGES, 1, SEC);
	p.h.policy.site = &p.limits;
	reload(&p);
	host_add(&p.h, 1);
	host_add(&p.h, 1);
	o = expect(&p, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_sched_wake_us(p.h.q), p.h.now_us + SEC);
	queue_sched_session_ready(p.h.q, o.session, false);
	host_settle(&p.h, o.lease, QUEUE_VERDICT_DELIVERED);
	assert_int_equal(queue_sched_wake_us(p.h.q), p.h.now_us + SEC);
	expect(&p, QUEUE_ORDER_NONE);
	p.h.now_us += SEC;
	host_settle(&p.h, expect(&p, QUEUE_ORDER_GIVE).lease, QUEUE_VERDICT_DELIVERED);
	host_fini(&p.h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_damaged_note),
		cmocka_unit_test(test_next_window),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_pool_connection),
		cmocka_unit_test(test_share_of_connection),
		cmocka_unit_test(test_room_for_connection),
		cmocka_unit_test(test_fewer_connections),
		cmocka_unit_test(test_lane_of_its_own),
		cmocka_unit_test(test_opened_for_nothing),
		cmocka_unit_test(test_waits_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
