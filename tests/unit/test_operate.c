/* SPDX-License-Identifier: Apache-2.0 */
/* operate: what a start makes of the pauses it finds in the spool, of this version and the one before. */
#include "queue/operate.h"

#include "queue/dispatch_impl.h"
#include "queue_sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB(text) ((struct queue_blob){.ptr = (text), .len = sizeof(text) - 1})
#define NOW        INT64_C(1793534400000000)
#define HOUR       INT64_C(3600000000)

static int64_t
fake_us(void *arg)
{
	return NOW;
}
static const struct clock fake_clock = {fake_us, fake_us, NULL, NULL};

static const struct queue_policy *
no_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	static const struct queue_policy policy;

	return &policy;
}

static uint32_t
no_chance(void *arg)
{
	return 7;
}

struct found {
	uint32_t count;
	int64_t until_us;
	char reason[64];
};

static bool
on_pause(void *arg, const struct queue_pause_view *v)
{
	struct found *found = arg;

	found->count++;
	found->until_us = v->until_us;
	snprintf(found->reason, sizeof(found->reason), "%.*s", (int)v->reason.len,
		(const char *)v->reason.ptr);
	assert_int_equal(v->kind, QUEUE_PAUSE_DOMAIN);
	assert_int_equal(v->name.len, 6);
	assert_memory_equal(v->name.ptr, "a.test", 6);
	return true;
}

static const struct {
	const char *name;
	int times; /* 1: as the version before wrote it, the end alone */
	int64_t at_us[2];
	const char *reason;
	int64_t until_us; /* 0: over */
} cases[] = {
	{"an hour", 2, {NOW - HOUR, NOW + HOUR}, "mending", NOW + HOUR},
	{"no reason", 2, {NOW - HOUR, NOW + HOUR}, "", NOW + HOUR},
	{"until it is lifted", 2, {NOW, INT64_MAX}, "mending", INT64_MAX},
	{"ten years", 2, {NOW, NOW + PAUSE_MAX_US}, "mending", NOW + PAUSE_MAX_US},
	{"over", 2, {NOW - HOUR, NOW - 1}, "mending", 0},
	{"J4: of a clock that was ahead", 2, {NOW + 9 * HOUR, NOW + 10 * HOUR}, "mending", NOW + HOUR},
	{"before: an hour", 1, {NOW + HOUR}, "mending the site", NOW + HOUR},
	{"before: a short reason", 1, {NOW + HOUR}, "why", NOW + HOUR},
	{"before: no reason", 1, {NOW + HOUR}, "", NOW + HOUR},
	{"before: the least text", 1, {NOW + HOUR}, "\1\1\1\1\1\1\1\1", NOW + HOUR},
	{"before: beyond ASCII", 1, {NOW + HOUR}, "caf\303\251\303\251\303\251", NOW + HOUR},
	{"before: until it is lifted", 1, {INT64_MAX}, "mending the site", INT64_MAX},
	{"before: over", 1, {NOW - 1}, "mending the site", 0},
	{"a part of a time", 0, {0}, "1234567", 0},
};

static void
test_restored_pauses(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_sched_conf sc = {.policy = no_policy, .random = no_chance};
		struct fake_sources fake = {0};
		struct dispatch d = {.clock = &fake_clock};
		size_t times = (size_t)cases[i].times * 8, len = strlen(cases[i].reason);
		/* Of its own size, so that a byte too many is noticed. */
		char *value = malloc(times + len);
		struct found found = {0};

		assert_non_null(value);
		memcpy(value, cases[i].at_us, times);
		memcpy(value + times, cases[i].reason, len);
		fake_sources_default(&fake, 0, &sc);
		assert_int_equal(queue_sched_create(&sc, &d.sched), 0);
		assert_true(dispatch_restore_pause(
			&d, BLOB("pause/1/a.test"), (struct queue_blob){value, times + len}));
		queue_sched_each_pause(d.sched, on_pause, &found);
		if (found.count != (cases[i].until_us != 0) || found.until_us != cases[i].until_us ||
			(found.count > 0 && strcmp(found.reason, cases[i].reason) != 0))
			fail_msg("%s: %u, until %lld, \"%s\"", cases[i].name, found.count,
				(long long)found.until_us, found.reason);
		queue_sched_destroy(&d.sched);
		free(value);
	}
}

/* A name longer than a note's stands behind the reason. */
static void
test_long_name(void **state)
{
	struct queue_sched_conf sc = {.policy = no_policy, .random = no_chance};
	const int64_t at_us[2] = {NOW - HOUR, NOW + HOUR};
	const char text[] = "mending\0a.test";
	char value[sizeof(at_us) + sizeof(text) - 1];
	struct dispatch d = {.clock = &fake_clock};
	struct fake_sources fake = {0};
	struct found found = {0};

	memcpy(value, at_us, sizeof(at_us));
	memcpy(value + sizeof(at_us), text, sizeof(text) - 1);
	fake_sources_default(&fake, 0, &sc);
	assert_int_equal(queue_sched_create(&sc, &d.sched), 0);
	assert_true(dispatch_restore_pause(
		&d, BLOB("pause/1/a.t#0123456789abcdef"), (struct queue_blob){value, sizeof(value)}));
	queue_sched_each_pause(d.sched, on_pause, &found);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.reason, "mending");
	queue_sched_destroy(&d.sched);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restored_pauses),
		cmocka_unit_test(test_long_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
