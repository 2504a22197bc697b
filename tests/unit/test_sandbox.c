/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: who is out, what is left of limits, and the note. */
#include "shape/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define S INT64_C(1000000)
#define D (86400 * S)

static struct queue_blob
blob(const char *s)
{
	return (struct queue_blob){s, (size_t)(strchr(s, '\0') - s)};
}

static void
test_who_is_out(void **state)
{
	const struct sandbox_lift by_anna = {7, "anna", "they paid"}, by_ben = {8, "ben", ""};
	struct sandbox *s = sandbox_create();
	char name[8];

	assert_null(sandbox_lifted(s, blob("shop")));
	assert_false(sandbox_return(s, blob("shop")));
	assert_true(sandbox_lift(s, blob("shop"), &by_anna));
	assert_true(sandbox_lift(s, blob("sho"), &by_ben));
	assert_string_equal(sandbox_lifted(s, blob("shop"))->reason, "they paid");
	assert_string_equal(sandbox_lifted(s, blob("sho"))->who, "ben");
	assert_null(sandbox_lifted(s, blob("shopp")));
	assert_true(sandbox_lift(s, blob("shop"), &by_ben));
	assert_int_equal(sandbox_lifted(s, blob("shop"))->at_us, 8);
	assert_true(sandbox_return(s, blob("shop")));
	assert_null(sandbox_lifted(s, blob("shop")));
	assert_non_null(sandbox_lifted(s, blob("sho")));
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "u%d", i);
		assert_true(sandbox_lift(s, blob(name), &by_ben));
	}
	assert_non_null(sandbox_lifted(s, blob("u57")));
	sandbox_destroy(&s);
	assert_null(s);
	sandbox_destroy(&s);
}

static void
test_limits(void **state)
{
	static const struct {
		const char *name, *want; /* count/seconds */
		struct queue_rate own[3], sandbox[3];
	} cases[] = {
		{"nothing of its own", "1/1 200/86400 ", {{0}}, {{1, S}, {200, D}}},
		{"tighter is the sandbox", "1/1 200/86400 ", {{50, S}, {5000, D}}, {{1, S}, {200, D}}},
		{"tighter are its own", "1/1 100/86400 ", {{1, S}, {100, D}}, {{10, S}, {200, D}}},
		{"other windows", "1/1 9/60 50/3600 200/86400 ", {{9, 60 * S}, {50, 3600 * S}},
			{{1, S}, {200, D}}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_limits own = {.connections = 3};
		struct conf_rate rates[3];
		struct sandbox *s = sandbox_create();
		const struct queue_limits *l;
		char got[100] = "";
		size_t n = 0, len = 0;

		while (n < 3 && cases[i].own[n].count > 0)
			n++;
		own.units[QUEUE_UNIT_RECIPIENTS].rates = cases[i].own;
		own.units[QUEUE_UNIT_RECIPIENTS].count = (uint32_t)n;
		own.units[QUEUE_UNIT_BYTES].rates = cases[i].sandbox;
		own.units[QUEUE_UNIT_BYTES].count = 1;
		for (n = 0; n < 3 && cases[i].sandbox[n].count > 0; n++)
			rates[n] = (struct conf_rate){cases[i].sandbox[n].count, cases[i].sandbox[n].per_us};
		l = sandbox_limits(s, i > 0 ? &own : NULL, &(struct conf_rates){rates, n});
		for (n = 0; n < l->units[QUEUE_UNIT_RECIPIENTS].count; n++)
			len += (size_t)snprintf(got + len, sizeof(got) - len, "%d/%d ",
				(int)l->units[QUEUE_UNIT_RECIPIENTS].rates[n].count,
				(int)(l->units[QUEUE_UNIT_RECIPIENTS].rates[n].per_us / S));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].name, got);
		/* What is not about recipients stays. */
		assert_int_equal(l->connections, i > 0 ? 3 : 0);
		assert_int_equal(l->units[QUEUE_UNIT_BYTES].count, i > 0 ? 1 : 0);
		sandbox_destroy(&s);
	}
}

static void
test_whose_limit(void **state)
{
	static const struct conf_rate sandbox[] = {{1, S}, {200, D}}, less[] = {{100, D}},
				      more[] = {{300, D}}, same[] = {{200, D}};
	static const struct {
		const struct conf_rate *own;
		struct queue_rate rate;
		bool want;
	} cases[] = {
		{NULL, {200, D}, true},
		{NULL, {100, D}, false},
		{NULL, {200, 3600 * S}, false},
		{more, {200, D}, true},
		{less, {100, D}, false},
		{same, {200, D}, false}, /* letting it out would not help */
		{same, {1, S}, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (sandbox_is_tighter(&(struct conf_rates){sandbox, 2},
			    &(struct conf_rates){cases[i].own, cases[i].own != NULL ? 1 : 0},
			    cases[i].rate) != cases[i].want)
			fail_msg("case %zu", i);
}

static void
test_note(void **state)
{
	struct sandbox_lift lift = {.at_us = INT64_C(1767225600000000), .who = "anna", .reason = ""}, out;
	uint8_t buf[SANDBOX_NOTE_MAX + 1];
	size_t len = sandbox_encode(&lift, buf), i;

	assert_true(sandbox_decode((struct queue_blob){buf, len}, &out));
	assert_int_equal(out.at_us, lift.at_us);
	assert_string_equal(out.who, "anna");
	assert_string_equal(out.reason, "");
	memset(lift.reason, 'x', sizeof(lift.reason) - 1);
	len = sandbox_encode(&lift, buf);
	assert_true(len <= SANDBOX_NOTE_MAX);
	assert_true(sandbox_decode((struct queue_blob){buf, len}, &out));
	assert_memory_equal(out.reason, lift.reason, 255);
	assert_int_equal(out.reason[255], '\0');
	for (i = 0; i < len; i++)
		assert_false(sandbox_decode((struct queue_blob){buf, i}, &out));
	assert_false(sandbox_decode((struct queue_blob){buf, len + 1}, &out));
	buf[0] = 2;
	assert_false(sandbox_decode((struct queue_blob){buf, len}, &out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_out),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_whose_limit),
		cmocka_unit_test(test_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
