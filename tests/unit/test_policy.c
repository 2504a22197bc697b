/* SPDX-License-Identifier: Apache-2.0 */
/* policy: domain over provider over the default, each pair of blocks merged once. */
#include "queue/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char text[] = "hostname = mta.x.test\n"
			   "spool-dir = /tmp/none\n"
			   "control-socket = /tmp/none.sock\n"
			   "accounting-file = none\n"
			   "listen l { address = { \"127.0.0.1:2525\" } }\n"
			   "provider google { mx = { \"*.google.test\" } connections = 20 expire = 2d }\n"
			   "domain \"*\" { connections = 3 messages-per-connection = 7 }\n"
			   "domain \"*.wide.test\" { connections = 2 }\n"
			   "domain \"slow.test\" { connections = 1 retry = { 1h, 2h } }\n";

struct fixture {
	const struct conf *conf;
	struct pace *pace;
	struct queue_sched_conf sched_conf;
	struct policy *policy;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[] = "/tmp/mtad-policy-XXXXXX";
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	f->conf = conf_load(path, stderr);
	unlink(path);
	assert_non_null(f->conf);
	assert_non_null(f->pace = pace_create());
	assert_true(pace_apply(f->pace, f->conf, &f->sched_conf));
	assert_non_null(f->policy = policy_create(f->conf, f->pace));
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	policy_destroy(&f->policy);
	assert_null(f->policy);
	policy_destroy(&f->policy);
	pace_destroy(&f->pace);
	conf_unref(f->conf);
	free(f);
	return 0;
}

static const struct {
	const char *domain, *site;
	uint32_t connections, messages;
	int64_t expire_days;
	uint32_t retries;
} cases[] = {
	{"other.test", "", 3, 7, 4, 6},
	{"other.test", "mx.other.test", 3, 7, 4, 6},
	{"other.test", "google", 20, 7, 2, 6},
	{"slow.test", "", 1, 7, 4, 2},
	{"slow.test", "google", 1, 7, 2, 2},
	{"slow.test", "goog", 1, 7, 4, 2},     /* a prefix is no name */
	{"slow.test", "google.x", 1, 7, 4, 2}, /* nor is what it begins */
	/* A site set apart for a block, asked for by its name alone. */
	{"", "google@slow.test", 1, 7, 2, 2},
	{"", "mx.slow.test@slow.test/verify:25", 1, 7, 4, 2},
	{"", "google/verify:25", 20, 7, 2, 6},
	{"", "mx.wide.test@*.wide.test", 2, 7, 4, 6},
};

static struct queue_blob
blob(const char *s)
{
	return (struct queue_blob){s, strlen(s)};
}

static void
test_merge(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			const struct queue_policy *p =
				policy_of(f->policy, blob(cases[i].domain), blob(cases[i].site));

			assert_int_equal(p->connections, cases[i].connections);
			assert_int_equal(p->messages_per_connection, cases[i].messages);
			assert_true(p->expire_us == cases[i].expire_days * INT64_C(86400000000));
			assert_int_equal(p->retry_count, cases[i].retries);
			assert_true(p->retry_us[0] > 0);
		}
}

/* Pointers stay, for the schedule keeps them until the next reload. */
static void
test_same_blocks_same_pointer(void **state)
{
	struct fixture *f = *state;
	const struct queue_policy *p = policy_of(f->policy, blob("a.test"), blob(""));

	assert_ptr_equal(policy_of(f->policy, blob("b.test"), blob("anything")), p);
	assert_ptr_not_equal(policy_of(f->policy, blob("b.test"), blob("google")), p);
	assert_ptr_not_equal(policy_of(f->policy, blob("slow.test"), blob("")), p);
	assert_ptr_equal(policy_conf(f->policy), f->conf);
	assert_int_equal(policy_delivery(f->policy, blob("b.test"), 0)->connections, 20);
	assert_int_equal(policy_delivery(f->policy, blob("b.test"), -1)->connections, 3);
	assert_int_equal(policy_delivery(f->policy, blob("b.test"), 99)->connections, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_same_blocks_same_pointer, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
