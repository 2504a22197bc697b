/* SPDX-License-Identifier: Apache-2.0 */
/* limits: exact to the message and the connection, by every name for itself, from every thread. */
#include "intake/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t second_us = 1000000;

static void
test_connections(void **state)
{
	struct limits *l = limits_create();

	assert_non_null(l);
	for (int i = 0; i < 3; i++)
		assert_true(limits_connect(l, "client 192.0.2.1", 3, 0));
	assert_false(limits_connect(l, "client 192.0.2.1", 3, 0));
	assert_true(limits_connect(l, "client 192.0.2.2", 3, 0));
	limits_disconnect(l, "client 192.0.2.1");
	assert_true(limits_connect(l, "client 192.0.2.1", 3, 0));
	assert_false(limits_connect(l, "client 192.0.2.1", 3, 0));
	limits_disconnect(l, "nobody"); /* unknown: nothing happens */
	limits_disconnect(l, "client 192.0.2.2");
	limits_disconnect(l, "client 192.0.2.2"); /* never below nothing */
	assert_true(limits_connect(l, "client 192.0.2.2", 1, 0));
	assert_false(limits_connect(l, "client 192.0.2.2", 1, 0));
	limits_destroy(&l);
	assert_null(l);
	limits_destroy(&l);
}

static const struct {
	int64_t count, per_us;
} rates[] = {
	{1, 1000000},
	{3, 1000000},
	{7, 1000000},
	{100, 1000000},
	{1500, 1000000},
	{999999, 1000000},
	{5000, INT64_C(3600000000)},
	{20000, INT64_C(86400000000)},
};

/* A full bucket gives exactly `count`; then never more than the rate, and not much less. */
static void
test_rate_is_exact(void **state)
{
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct conf_rate rate = {rates[i].count, rates[i].per_us};
		struct limits *l = limits_create();
		int64_t now_us = 5 * second_us, given = 0;

		while (limits_message(l, "user shop", rate, now_us))
			given++;
		assert_int_equal(given, rate.count);
		/* Over one more period, asked often: what was used up comes back, no more. */
		for (given = 0; given <= rate.count && now_us < 5 * second_us + rate.per_us;) {
			now_us += rate.per_us / rate.count / 3 + 1;
			given += limits_message(l, "user shop", rate, now_us);
		}
		assert_true(given <= rate.count);
		assert_true(given >= rate.count / 2);
		limits_destroy(&l);
	}
}

static void
test_rate_refills(void **state)
{
	const struct conf_rate rate = {10, second_us}, none = {0, 0};
	struct limits *l = limits_create();
	int64_t now_us = 0;
	int i;

	for (i = 0; i < 10; i++)
		assert_true(limits_message(l, "a", rate, now_us));
	assert_false(limits_message(l, "a", rate, now_us));
	assert_true(limits_message(l, "b", rate, now_us)); /* others are others */
	assert_false(limits_message(l, "a", rate, now_us + 99999));
	assert_true(limits_message(l, "a", rate, now_us + 100000));
	assert_false(limits_message(l, "a", rate, now_us + 100000));
	/* Refusals cost nothing; a long rest gives one full bucket, not two. */
	now_us = 100 * second_us;
	for (i = 0; i < 10; i++)
		assert_true(limits_message(l, "a", rate, now_us));
	assert_false(limits_message(l, "a", rate, now_us));
	for (i = 0; i < 1000; i++)
		assert_true(limits_message(l, "a", none, now_us));
	limits_destroy(&l);
}

static void
test_login_failures(void **state)
{
	struct limits *l = limits_create();
	int64_t now_us = 7 * second_us;

	assert_int_equal(limits_login_failures(l, "c", now_us), 0);
	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(limits_login_failed(l, "c", now_us += second_us), i);
	assert_int_equal(limits_login_failures(l, "c", now_us), 5);
	assert_int_equal(limits_login_failures(l, "d", now_us), 0);
	now_us += 600 * second_us;
	assert_int_equal(limits_login_failures(l, "c", now_us - 1), 5);
	assert_int_equal(limits_login_failures(l, "c", now_us), 0);
	assert_int_equal(limits_login_failed(l, "c", now_us), 1);
	limits_destroy(&l);
}

/* A user is known from the last few addresses its password came from, however many others guess. */
static void
test_familiar_addresses(void **state)
{
	struct limits *l = limits_create();
	char client[LIMITS_CLIENT_MAX];

	assert_false(limits_is_familiar(l, "user shop", "client 192.0.2.1"));
	limits_login_worked(l, "user shop", "client 192.0.2.1", 0);
	assert_true(limits_is_familiar(l, "user shop", "client 192.0.2.1"));
	assert_false(limits_is_familiar(l, "user shop", "client 192.0.2.11"));
	assert_false(limits_is_familiar(l, "user other", "client 192.0.2.1"));
	(void)limits_login_failed(l, "user other", 0);
	assert_false(limits_is_familiar(l, "user other", "client 192.0.2.1"));
	/* One comes back all the time, others once: those that are longest away go. */
	for (int i = 2; i < 40; i++) {
		snprintf(client, sizeof(client), "client 192.0.2.%d", i);
		limits_login_worked(l, "user shop", client, 0);
		limits_login_worked(l, "user shop", "client 192.0.2.1", 0);
	}
	assert_true(limits_is_familiar(l, "user shop", "client 192.0.2.1"));
	for (int i = 2; i < 40; i++) {
		snprintf(client, sizeof(client), "client 192.0.2.%d", i);
		assert_int_equal(
			limits_is_familiar(l, "user shop", client), i > 39 - LIMITS_FAMILIAR_MAX + 1);
	}
	/* Names nobody uses are forgotten, users are not. */
	for (int i = 0; i < 20000; i++) {
		snprintf(client, sizeof(client), "client %d", i);
		assert_int_equal(limits_login_failed(l, client, i * second_us), 1);
	}
	assert_true(limits_is_familiar(l, "user shop", "client 192.0.2.1"));
	limits_destroy(&l);
}

/* More names than are kept: idle ones make room, busy ones keep their counts. */
static void
test_many_names(void **state)
{
	const struct conf_rate rate = {1, second_us};
	struct limits *l = limits_create();
	char name[40], longer[400];
	int i, refused = 0;

	assert_true(limits_connect(l, "busy", 1, 0));
	assert_true(limits_message(l, "spent", (struct conf_rate){1, 3600 * second_us}, 0));
	for (i = 0; i < 250000; i++) {
		snprintf(name, sizeof(name), "client %d", i);
		refused += !limits_message(l, name, rate, i * INT64_C(100));
	}
	assert_int_equal(refused, 0);
	assert_false(limits_connect(l, "busy", 1, 25 * second_us));
	assert_false(limits_message(l, "spent", (struct conf_rate){1, 3600 * second_us}, 25 * second_us));
	/* All busy: the table is full some day, and then says no. */
	for (i = 0; i < 250000; i++) {
		snprintf(name, sizeof(name), "holds %d", i);
		refused += !limits_connect(l, name, 1, 26 * second_us);
	}
	assert_true(refused > 0 && refused < 100000);
	/* A name that is too long to keep is refused, not confused with another. */
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_false(limits_connect(l, longer, 1, 0));
	limits_destroy(&l);
}

enum { THREADS = 4, TRIES = 5000 };

struct crowd {
	struct limits *limits;
	_Atomic int inside, most, messages;
};

static void *
come_and_go(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < TRIES; i++) {
		int have, most;

		if (limits_message(c->limits, "rate", (struct conf_rate){777, 3600 * second_us}, second_us))
			atomic_fetch_add(&c->messages, 1);
		if (!limits_connect(c->limits, "door", 3, second_us))
			continue;
		have = atomic_fetch_add(&c->inside, 1) + 1;
		most = atomic_load(&c->most);
		while (have > most && !atomic_compare_exchange_weak(&c->most, &most, have))
			;
		atomic_fetch_sub(&c->inside, 1);
		limits_disconnect(c->limits, "door");
	}
	return NULL;
}

static void
test_from_many_threads(void **state)
{
	struct crowd c = {.limits = limits_create()};
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &c), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.messages, 777);
	assert_true(c.most >= 1 && c.most <= 3);
	for (int i = 0; i < 3; i++)
		assert_true(limits_connect(c.limits, "door", 3, second_us));
	assert_false(limits_connect(c.limits, "door", 3, second_us));
	limits_destroy(&c.limits);
}

static const struct {
	const char *address, *want;
} clients[] = {
	{"192.0.2.1", "client 192.0.2.1"},
	{"::ffff:192.0.2.1", "client 192.0.2.1"},
	{"2001:db8:1:2:3:4:5:6", "client 2001:db8:1:2::/64"},
	{"2001:db8:1:2::", "client 2001:db8:1:2::/64"},
	{"2001:db8:1:3::", "client 2001:db8:1:3::/64"},
	{"::1", "client ::/64"},
	{"", "client local"},
};

static void
test_names_of_clients(void **state)
{
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		struct sockaddr_storage peer = {.ss_family = AF_UNIX};
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;
		struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;
		char name[LIMITS_CLIENT_MAX];

		if (inet_pton(AF_INET, clients[i].address, &v4->sin_addr) == 1)
			peer.ss_family = AF_INET;
		else if (inet_pton(AF_INET6, clients[i].address, &v6->sin6_addr) == 1)
			peer.ss_family = AF_INET6;
		limits_client(&peer, name);
		assert_string_equal(name, clients[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_rate_refills),
		cmocka_unit_test(test_login_failures),
		cmocka_unit_test(test_familiar_addresses),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_names_of_clients),
		cmocka_unit_test(test_from_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
