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
			   "domain \"slow.test\" { connections = 1 retry = { 1h, 2h } }\n"
			   "source a { address = 127.0.0.2 }\n"
			   "source b { address = 127.0.0.3 rate = 40/s }\n"
			   "pool both { sources = { a, b } rate = 41/s }\n"
			   "stream news { jobs = news* weight = 3 rate = 42/s recipient-rate = 43/s }\n";

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

/* --- overrides --- */

/* "level source name setting value", of a level without source or name with a - for it. */
static struct overrides *
overridden(const char *const *lines, size_t count)
{
	struct overrides *set = overrides_create(), *more;

	for (size_t i = 0; i < count; i++) {
		char level[16], source[16], name[64], setting[32], value[32];
		struct override o = {.until_us = INT64_MAX};
		struct conf_why why;

		assert_int_equal(
			sscanf(lines[i], "%15s %15s %63s %31s %31s", level, source, name, setting, value), 5);
		o.level = override_level(level, &why);
		assert_true(override_take_name(&o, strcmp(source, "-") == 0 ? "" : source,
			strcmp(name, "-") == 0 ? "" : name, &why));
		assert_true(override_take_value(&o, setting, value, &why));
		assert_non_null(more = overrides_with(set, &o, 1));
		free(set);
		set = more;
	}
	return set;
}

static void
apply(struct fixture *f, const struct overrides *set)
{
	policy_destroy(&f->policy);
	pace_override(f->pace, set);
	assert_true(pace_apply(f->pace, f->conf, &f->sched_conf));
	assert_non_null(f->policy = policy_create(f->conf, f->pace));
}

static int64_t
rate_of(const struct queue_limits *l, enum queue_unit unit)
{
	return l->units[unit].count > 0 ? l->units[unit].rates[0].count : 0;
}

static void
test_overridden_site(void **state)
{
	static const char *const lines[] = {"site - google connections 5", "site - google rate 7/s",
		"site - google messages-per-connection 8", "site - google recipients-per-transaction 9",
		"site - google@slow.test rate 6/s"};
	struct overrides *set = overridden(lines, 5);
	struct fixture *f = *state;
	const struct queue_policy *p, *slow;

	apply(f, set);
	p = policy_of(f->policy, blob("a.test"), blob("google"));
	assert_int_equal(p->site->connections, 5);
	assert_int_equal(rate_of(p->site, QUEUE_UNIT_MESSAGES), 7);
	assert_int_equal(p->messages_per_connection, 8);
	assert_int_equal(p->rcpts_per_transaction, 9);
	assert_int_equal(p->connections, 20); /* of each lane: as it is configured */
	assert_int_equal(p->expire_us, 2 * INT64_C(86400000000));
	assert_ptr_equal(policy_of(f->policy, blob("b.test"), blob("google")), p);
	slow = policy_of(f->policy, blob("slow.test"), blob("google"));
	assert_int_equal(slow->connections, 1); /* its own block, and the site's limits */
	assert_int_equal(slow->site->connections, 5);
	slow = policy_of(f->policy, blob(""), blob("google@slow.test"));
	assert_int_equal(rate_of(slow->site, QUEUE_UNIT_MESSAGES), 6);
	assert_int_equal(slow->site->connections, 0);
	assert_int_equal(policy_of(f->policy, blob("a.test"), blob("goog"))->messages_per_connection, 7);
	assert_null(policy_lane(f->policy, blob("google"), "a"));
	apply(f, NULL);
	assert_int_equal(policy_of(f->policy, blob("a.test"), blob("google"))->site->connections, 0);
	free(set);
}

static void
test_overridden_lane(void **state)
{
	static const char *const lines[] = {"lane a google connections 30", "lane * google rate 7/s",
		"site - google messages-per-connection 8", "lane a google messages-per-connection none"};
	struct overrides *set = overridden(lines, 4);
	struct fixture *f = *state;
	const struct queue_lane_policy *a, *b;

	apply(f, set);
	a = policy_lane(f->policy, blob("google"), "a");
	b = policy_lane(f->policy, blob("google"), "b");
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_equal(policy_lane(f->policy, blob("google"), "a"), a);
	assert_int_equal(a->connections, 30);
	assert_int_equal(b->connections, 0); /* as the policy says */
	assert_int_equal(rate_of(a->limits, QUEUE_UNIT_MESSAGES), 7);
	assert_int_equal(rate_of(b->limits, QUEUE_UNIT_MESSAGES), 7);
	assert_true(a->has_messages_per_connection && a->messages_per_connection == 0);
	assert_false(b->has_messages_per_connection);
	assert_null(policy_lane(f->policy, blob("mx.other.test"), "a"));
	free(set);
}

static void
test_overridden_others(void **state)
{
	static const char *const lines[] = {"source - b rate 1/s", "pool - both rate 2/s",
		"pool - default byte-rate 3B/s", "all - - connections 77", "all - - rate 4/s",
		"stream - /news1/bulk rate none", "stream - shop/a/b/normal rate 5/s"};
	struct overrides *set = overridden(lines, 7);
	struct queue_stream_policy out;
	struct fixture *f = *state;
	uint32_t b, both, standard;

	apply(f, set);
	assert_true(pace_source_number(f->pace, "b", 1, &b));
	assert_true(pace_pool_number(f->pace, "both", 4, &both));
	assert_true(pace_pool_number(f->pace, "default", 7, &standard));
	assert_int_equal(rate_of(f->sched_conf.sources[b].limits, QUEUE_UNIT_MESSAGES), 1);
	assert_int_equal(rate_of(f->sched_conf.pools[both].limits, QUEUE_UNIT_MESSAGES), 2);
	assert_int_equal(rate_of(f->sched_conf.pools[standard].limits, QUEUE_UNIT_BYTES), 3);
	assert_int_equal(f->sched_conf.connections_total, 77);
	assert_int_equal(f->sched_conf.limits->connections, 0);
	assert_int_equal(rate_of(f->sched_conf.limits, QUEUE_UNIT_MESSAGES), 4);
	pace_stream(f->pace, blob(""), blob("news1"), QUEUE_CLASS_BULK, &out);
	assert_int_equal(rate_of(out.limits, QUEUE_UNIT_MESSAGES), 0);
	assert_int_equal(rate_of(out.limits, QUEUE_UNIT_RECIPIENTS), 43);
	assert_int_equal(out.weight, 3);
	pace_stream(f->pace, blob(""), blob("news1"), QUEUE_CLASS_NORMAL, &out);
	assert_int_equal(rate_of(out.limits, QUEUE_UNIT_MESSAGES), 42);
	pace_stream(f->pace, blob("shop"), blob("a/b"), QUEUE_CLASS_NORMAL, &out);
	assert_int_equal(rate_of(out.limits, QUEUE_UNIT_MESSAGES), 5);
	pace_stream(f->pace, blob("shop"), blob("a"), QUEUE_CLASS_NORMAL, &out);
	assert_null(out.limits);
	apply(f, NULL);
	assert_int_equal(rate_of(f->sched_conf.sources[b].limits, QUEUE_UNIT_MESSAGES), 40);
	free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_same_blocks_same_pointer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_overridden_site, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_overridden_lane, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_overridden_others, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
