/* SPDX-License-Identifier: Apache-2.0 */
/* Shares: of users and of their streams by weight, of classes, of the sources of a pool; and how long urgent
 * mail waits beside a million. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

enum {
	STREAMS = 3,
	USERS = 3,
	JOBS = 30, /* job n has the weight of stream n % STREAMS */
	SOURCES = 3,
	SERVED = 2000, /* recipients */
	BIG = 62500,   /* recipients of one message; 16 are a million */
	SESSIONS = 8,
};
static const uint32_t weights[STREAMS] = {1, 2, 5};
static const uint32_t user_weights[USERS] = {1, 3, 1}; /* the first is mail without a user */

/* All mail goes to site 0: domain "d0" and, for messages with more recipients, those after it. */
struct fair {
	struct host h;
	struct queue_pool_member members[SOURCES];
	struct queue_pool pool;
	struct queue_limits limits;
	struct queue_rate rate;
	uint64_t random;
	struct queue_order out[SESSIONS]; /* leases under way */
	struct queue_session *sessions[SESSIONS];
	int count;
	uint64_t by_stream[STREAMS], by_class[3], by_source[SOURCES], by_job[USERS][JOBS];
	struct queue_limits of_stream, of_user;                    /* of user 1 */
	uint8_t user_of[70000], stream_of[70000], class_of[70000]; /* by message id */
};

static uint32_t
chance(struct fair *f, uint32_t n)
{
	f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(f->random >> 33) % n;
}

/* The job is the number of the stream. */
static void
on_stream(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct fair *f = arg; /* which begins with its host */
	int u = user.len > 0 ? number_of(user) : 0;

	*out = (struct queue_stream_policy){.weight = job.len > 0 ? weights[number_of(job) % STREAMS] : 1,
		.user_weight = user_weights[u]};
	if (u == 1) {
		out->limits = &f->of_stream;
		out->user_limits = &f->of_user;
	}
}

static void
fair_init(struct fair *f)
{
	int i;

	memset(f, 0, sizeof(*f));
	host_init(&f->h);
	f->random = 1;
	for (i = 0; i < HOST_DOMAINS; i++)
		f->h.site[i] = 1;
	for (i = 0; i < SOURCES; i++)
		f->members[i] = (struct queue_pool_member){(uint32_t)i, weights[i]};
	f->pool = (struct queue_pool){.name = {"fair", 4}, .members = f->members, .member_count = 1};
	f->h.policy.connections = 1;
	f->h.policy.messages_per_connection = 0;
	f->h.conf.stream = on_stream;
	f->h.conf.pools = &f->pool;
	queue_sched_reconfigured(f->h.q, &f->h.conf, f->h.now_us);
}

static void
add_of(struct fair *f, int user, int stream, enum queue_class klass, uint32_t count)
{
	static struct queue_sched_rcpt rcpts[BIG];
	struct queue_message m = {.id = ++f->h.last_id,
		.arrived_us = f->h.now_us,
		.user = user > 0 ? name_of("user", user) : blob_of(""),
		.job = name_of("job", stream),
		.klass = (uint8_t)klass};
	uint32_t i;

	assert_true(m.id < sizeof(f->stream_of));
	for (i = 0; i < count; i++)
		rcpts[i] = (struct queue_sched_rcpt){.n = (uint16_t)i, .domain = {"d0", 2}};
	f->user_of[m.id] = (uint8_t)user;
	f->stream_of[m.id] = (uint8_t)stream;
	f->class_of[m.id] = (uint8_t)klass;
	assert_int_equal(queue_sched_add(f->h.q, &m, rcpts, count, NULL, f->h.now_us), QUEUE_OK);
}

static void
add(struct fair *f, int stream, enum queue_class klass, uint32_t count)
{
	add_of(f, 0, stream, klass, count);
}

static void
take(struct fair *f, const struct queue_order *o)
{
	queue_id id = queue_lease_message(o->lease);
	uint32_t count = queue_lease_rcpt_count(o->lease);

	assert_true(f->count < SESSIONS);
	f->out[f->count++] = *o;
	f->by_stream[f->stream_of[id] % STREAMS] += count;
	f->by_job[f->user_of[id]][f->stream_of[id]] += count;
	f->by_class[f->class_of[id]] += count;
	f->by_source[o->source]++;
}

/* All orders there are now. */
static void
hand_out(struct fair *f)
{
	struct queue_order o = host_next(&f->h);

	for (; o.kind != QUEUE_ORDER_NONE; o = host_next(&f->h)) {
		assert_true(o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE);
		take(f, &o);
		if (o.kind == QUEUE_ORDER_OPEN)
			queue_sched_session_ready(f->h.q, o.session, false);
	}
}

/* The oldest transaction under way is done. */
static void
finish_one(struct fair *f)
{
	assert_true(f->count > 0);
	host_settle(&f->h, f->out[0].lease, QUEUE_VERDICT_DELIVERED);
	memmove(&f->out[0], &f->out[1], sizeof(f->out[0]) * (size_t)--f->count);
}

static void
assert_share(uint64_t part, uint64_t of, uint64_t weight, uint64_t weights_sum)
{
	uint64_t fair = of * weight / weights_sum;

	assert_in_range(part, fair * 95 / 100, fair * 105 / 100);
}

/* Recipients by weight, whatever the messages are like. */
static void
test_streams(void **state)
{
	static struct fair f;
	uint64_t served = 0;
	uint32_t most;
	int i;

	for (most = 1; most <= 7; most += 3) {
		fair_init(&f);
		for (i = 0; i < SERVED; i++) {
			add(&f, 0, QUEUE_CLASS_NORMAL, 1 + chance(&f, most));
			add(&f, 1, QUEUE_CLASS_NORMAL, most);
			add(&f, 2, QUEUE_CLASS_NORMAL, 1);
		}
		for (served = 0; served < SERVED; served = f.by_stream[0] + f.by_stream[1] + f.by_stream[2]) {
			hand_out(&f);
			finish_one(&f);
		}
		for (i = 0; i < STREAMS; i++)
			assert_share(f.by_stream[i], served, weights[i], 8);
		host_fini(&f.h);
	}
}

static uint64_t
of_user(const struct fair *f, int user)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < JOBS; i++)
		sum += f->by_job[user][i];
	return sum;
}

/* Of users first, however many streams one has; then of its streams. */
static void
test_users(void **state)
{
	static const int jobs[USERS] = {2, 6, 1};
	static const uint64_t sums[USERS] = {3, 16, 1}; /* of the weights of the jobs */
	static struct fair f;
	uint64_t served;
	uint32_t most;
	int u, k, i;

	for (most = 1; most <= 7; most += 3) {
		fair_init(&f);
		for (i = 0; i < 4 * SERVED; i++)
			for (u = 0; u < USERS; u++)
				add_of(&f, u, i % jobs[u], QUEUE_CLASS_BULK, 1 + chance(&f, most));
		for (served = 0; served < SERVED; served = of_user(&f, 0) + of_user(&f, 1) + of_user(&f, 2)) {
			hand_out(&f);
			finish_one(&f);
		}
		for (u = 0; u < USERS; u++) {
			assert_share(of_user(&f, u), served, user_weights[u], 5);
			for (k = 0; k < jobs[u]; k++)
				assert_in_range(f.by_job[u][k] + most,
					of_user(&f, u) * weights[k % STREAMS] / sums[u],
					of_user(&f, u) * weights[k % STREAMS] / sums[u] + (uint64_t)2 * most);
		}
		host_fini(&f.h);
	}
}

/* A thousand transactions a second, two seconds long. */
static void
run(struct fair *f)
{
	int i;

	for (i = 0; i < SERVED; i++) {
		f->h.now_us += SEC / 1000;
		hand_out(f);
		finish_one(f);
	}
}

/* Streams at their limits: the others of their user go on, and all together they have no more than its share,
 * often as they are woken. */
static void
test_streams_at_limits(void **state)
{
	static const struct {
		int limited; /* of the streams of user 1 */
		int64_t rate;
		uint64_t least, most; /* its share of SERVED */
	} cases[] = {
		{JOBS, 10, 580, 630},
		{JOBS, 100, 1425, 1575},
		{0, 1, 1425, 1575},
	};
	static struct fair f;
	size_t c;
	int i;

	for (c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		fair_init(&f);
		f.rate = (struct queue_rate){cases[c].rate, SEC};
		f.of_stream.units[QUEUE_UNIT_MESSAGES].rates = &f.rate;
		f.of_stream.units[QUEUE_UNIT_MESSAGES].count = cases[c].limited > 0;
		for (i = 0; i < 10 * SERVED; i++) {
			add_of(&f, 1, i % JOBS, QUEUE_CLASS_NORMAL, 1);
			add_of(&f, 2, 0, QUEUE_CLASS_NORMAL, 1);
		}
		run(&f);
		assert_in_range(of_user(&f, 1), cases[c].least, cases[c].most);
		assert_int_equal(of_user(&f, 1) + of_user(&f, 2), SERVED);
		host_fini(&f.h);
	}
}

/* What a user's limit lets through is shared by the weights of its streams. The first of them begins alone.
 */
static void
test_user_at_limit(void **state)
{
	static struct fair f;
	int i;

	fair_init(&f);
	f.rate = (struct queue_rate){400, SEC};
	f.of_user.units[QUEUE_UNIT_RECIPIENTS].rates = &f.rate;
	f.of_user.units[QUEUE_UNIT_RECIPIENTS].count = 1;
	for (i = 0; i < 2 * SERVED; i++)
		add_of(&f, 1 + i % 2, 0, QUEUE_CLASS_NORMAL, 1);
	for (i = 0; f.by_stream[0] < 20; i++) {
		f.h.now_us += SEC / 1000;
		hand_out(&f);
		finish_one(&f);
	}
	for (i = 0; i < 2 * SERVED; i++) {
		add_of(&f, 1, 1 + i % 2, QUEUE_CLASS_NORMAL, 1);
		add_of(&f, 2, 0, QUEUE_CLASS_NORMAL, 1);
	}
	memset(f.by_job, 0, sizeof(f.by_job));
	run(&f);
	assert_in_range(of_user(&f, 1), 700, 820);
	for (i = 0; i < STREAMS; i++)
		assert_share(f.by_job[1][i], of_user(&f, 1), weights[i], 8);
	host_fini(&f.h);
}

/* Whose mail comes one by one has its whole share: having nothing for a moment costs nothing. */
static void
test_one_by_one(void **state)
{
	static const int users[] = {0, 2}; /* of the same weight */
	static struct fair f;
	size_t c;
	int i;

	for (c = 0; c < sizeof(users) / sizeof(users[0]); c++) {
		fair_init(&f);
		f.h.policy.connections = 4; /* so that it is still known when the next comes */
		for (i = 0; i < SERVED; i++)
			add(&f, 0, QUEUE_CLASS_NORMAL, 1);
		for (i = 0; i < SERVED / 2; i++) {
			if (f.h.last_id - SERVED == f.by_stream[1])
				add_of(&f, users[c], STREAMS, QUEUE_CLASS_NORMAL, 1);
			hand_out(&f);
			finish_one(&f);
			f.by_stream[1] = f.by_job[users[c]][STREAMS];
		}
		assert_share(f.by_job[users[c]][STREAMS], SERVED / 2, 1, 2);
		host_fini(&f.h);
	}
}

/* Who comes back after having had nothing for long has no claim to more than the others. */
static void
test_stream_comes_back(void **state)
{
	static struct fair f;
	int i;

	fair_init(&f);
	for (i = 0; i < 1000; i++)
		add(&f, 0, QUEUE_CLASS_NORMAL, 1);
	for (i = 0; i < 500; i++) {
		hand_out(&f);
		finish_one(&f);
	}
	for (i = 0; i < 1000; i++)
		add(&f, 1, QUEUE_CLASS_NORMAL, 1);
	f.by_stream[0] = 0;
	for (i = 0; i < 300; i++) {
		hand_out(&f);
		finish_one(&f);
	}
	assert_share(f.by_stream[1], 300, 2, 3);
	host_fini(&f.h);
}

static void
test_classes(void **state)
{
	static const struct {
		enum queue_class first, other;
		uint64_t least_percent, most_percent; /* of the other */
	} cases[] = {
		{QUEUE_CLASS_NORMAL, QUEUE_CLASS_BULK, 15, 25},
		{QUEUE_CLASS_URGENT, QUEUE_CLASS_NORMAL, 4, 10},
		{QUEUE_CLASS_URGENT, QUEUE_CLASS_BULK, 4, 10},
	};
	static struct fair f;
	size_t i;
	int k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fair_init(&f);
		for (k = 0; k < 2000; k++) {
			add(&f, 0, cases[i].first, 1);
			add(&f, 2, cases[i].other, 1);
		}
		for (k = 0; k < 1000; k++) {
			hand_out(&f);
			finish_one(&f);
		}
		assert_in_range(
			f.by_class[cases[i].other], 10 * cases[i].least_percent, 10 * cases[i].most_percent);
		host_fini(&f.h);
	}
}

/* A message a time by weight, also when each site has only one. */
static void
test_pool(void **state)
{
	static struct fair f;
	struct queue_order o;
	int many, i;

	for (many = 0; many < 2; many++) {
		fair_init(&f);
		f.pool.member_count = SOURCES;
		f.h.conf.connections_total = 10000;
		for (i = 0; many && i < HOST_DOMAINS; i++)
			f.h.site[i] = 0;
		queue_sched_reconfigured(f.h.q, &f.h.conf, f.h.now_us);
		for (i = 0; i < SERVED; i++) {
			if (!many)
				add(&f, 0, QUEUE_CLASS_NORMAL, 1);
			else if (i < HOST_DOMAINS)
				host_add(&f.h, i);
		}
		for (i = 0; i < (many ? HOST_DOMAINS : SERVED); i++) {
			o = host_next(&f.h);
			assert_true(o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE);
			f.by_source[o.source]++;
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(f.h.q, o.session, false);
			host_settle(&f.h, o.lease, QUEUE_VERDICT_DELIVERED);
		}
		for (i = 0; i < SOURCES; i++)
			assert_share(f.by_source[i], many ? HOST_DOMAINS : SERVED, weights[i], 8);
		host_fini(&f.h);
	}
}

static void
add_million(struct fair *f)
{
	int i;

	for (i = 0; i < 16; i++)
		add(f, i % STREAMS, QUEUE_CLASS_BULK, BIG);
}

/* A lane at its rate: urgent mail has the next place. */
static void
test_urgent_at_rate(void **state)
{
	static struct fair f;
	int64_t came_us, wake_us;
	int i, k;

	fair_init(&f);
	f.h.policy.rcpts_per_transaction = 1;
	f.rate = (struct queue_rate){100, SEC};
	f.limits.units[QUEUE_UNIT_MESSAGES].rates = &f.rate;
	f.limits.units[QUEUE_UNIT_MESSAGES].count = 1;
	f.h.policy.lane = &f.limits;
	queue_sched_reconfigured(f.h.q, &f.h.conf, f.h.now_us);
	add_million(&f);
	for (i = 0; i < 50; i++) {
		for (k = 0; k < 10; k++) {
			hand_out(&f);
			while (f.count > 0)
				finish_one(&f);
			hand_out(&f);
			wake_us = queue_sched_wake_us(f.h.q);
			assert_true(wake_us > f.h.now_us && wake_us <= f.h.now_us + SEC / 50);
			f.h.now_us = wake_us;
		}
		hand_out(&f);
		f.h.now_us += chance(&f, 9000);
		came_us = f.h.now_us;
		add(&f, 0, QUEUE_CLASS_URGENT, 1);
		while (f.by_class[QUEUE_CLASS_URGENT] == 0) {
			hand_out(&f);
			while (f.count > 0)
				finish_one(&f);
			if (f.by_class[QUEUE_CLASS_URGENT] == 0)
				f.h.now_us = queue_sched_wake_us(f.h.q);
		}
		assert_true(f.h.now_us - came_us <= SEC / 100 * 201 / 200 + 1);
		f.by_class[QUEUE_CLASS_URGENT] = 0;
	}
	host_fini(&f.h);
}

/* Slow transactions on all connections: the next that ends; with a share of its own: at once. */
static void
test_urgent_at_connections(void **state)
{
	static struct fair f;
	uint32_t percent;
	int i;

	for (percent = 0; percent <= 25; percent += 25) {
		fair_init(&f);
		f.h.policy.connections = 4;
		f.h.policy.urgent_percent = percent;
		queue_sched_reconfigured(f.h.q, &f.h.conf, f.h.now_us);
		add(&f, 0, QUEUE_CLASS_URGENT, 1); /* that there is such mail is known */
		add_million(&f);
		hand_out(&f);
		for (i = 0; i < 100; i++) {
			f.by_class[QUEUE_CLASS_URGENT] = 0;
			f.h.now_us += 500000;
			finish_one(&f);
			hand_out(&f);
			assert_int_equal(f.count, percent > 0 ? 3 : 4);
			add(&f, 0, QUEUE_CLASS_URGENT, 1);
			hand_out(&f);
			assert_int_equal(f.by_class[QUEUE_CLASS_URGENT], percent > 0);
			if (percent > 0)
				finish_one(&f);
			f.h.now_us += 500000;
			finish_one(&f);
			hand_out(&f);
			assert_int_equal(f.by_class[QUEUE_CLASS_URGENT], 1);
		}
		host_fini(&f.h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_streams_at_limits),
		cmocka_unit_test(test_user_at_limit),
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_stream_comes_back),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_urgent_at_rate),
		cmocka_unit_test(test_urgent_at_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
