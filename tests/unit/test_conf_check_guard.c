/* SPDX-License-Identifier: Apache-2.0 */
/* conf: shares, and what of a guard is in force. What is refused stands in test_conf_refused.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#define USERS HOST "user shop { password-file = secrets/shop }\nuser club { password-file = secrets/club }\n"

/* In both directions, where it is written as we would. */
static void
test_shares(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
		const char *printed;
	} cases[] = {
		{"5%", 50000, "5%"},
		{"0.3%", 3000, "0.3%"},
		{"100%", 1000000, "100%"},
		{"0%", 0, "0%"},
		{"0.0001%", 1, "0.0001%"},
		{"12.3456%", 123456, "12.3456%"},
		{"1.50%", 15000, "1.5%"},
		{"1.05%", 10500, "1.05%"},
		{"007.0%", 70000, "7%"},
		{"922337203685477%", INT64_C(9223372036854770000), "922337203685477%"},
		{"922337203685478%", -1, NULL},
		{"1.23456%", -1, NULL},
		{"5", -1, NULL},
		{"0", -1, NULL},
		{"", -1, NULL},
		{"%", -1, NULL},
		{".5%", -1, NULL},
		{"5.%", -1, NULL},
		{"5 %", -1, NULL},
		{"5%%", -1, NULL},
		{"5,1%", -1, NULL},
		{"-5%", -1, NULL},
	};
	const struct conf_row row = {.type = CONF_TYPE_PERCENT, .fallback = "5%"};
	struct conf_arena a = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_why why = {""};
		int64_t n = -7;
		bool is_good = conf_value_percent(cases[i].text, &n, &why);

		if (is_good != (cases[i].want >= 0) || n != (is_good ? cases[i].want : -7))
			fail_msg("\"%s\" gave %d, %lld", cases[i].text, is_good, (long long)n);
		if (is_good)
			assert_string_equal(conf_value_print(&a, &row, &n), cases[i].printed);
		else
			assert_true(why.text[0] != '\0');
	}
	conf_arena_fini(&a);
}

/* A user's own, then what stands for all, then the default; in any order of the blocks. */
static void
test_what_is_in_force(void **state)
{
	static const char *const texts[] = {
		USERS "guard * { bounce-stop = 8% volume-min = 500 }\n"
		      "guard shop { bounce-stop = 20% complaint-warn = 0.05% }\n",
		USERS "guard shop { bounce-stop = 20% complaint-warn = 0.05% }\n"
		      "guard * { bounce-stop = 8% volume-min = 500 }\n",
	};

	put_secrets(*state, "");
	for (size_t i = 0; i < 2; i++) {
		const struct conf *c = must_load(*state, texts[i]);
		const struct conf_guard *shop = conf_guard_find(c, "shop", 4),
					*club = conf_guard_find(c, "club", 4),
					*network = conf_guard_find(c, "", 0);

		assert_ptr_equal(club, &c->guard);
		assert_ptr_equal(network, &c->guard);
		assert_int_equal(club->bounce_stop, 80000);
		assert_int_equal(club->volume_min, 500);
		assert_int_equal(club->complaint_warn, 1000);
		assert_string_equal(shop->name, "shop");
		assert_int_equal(shop->bounce_stop, 200000);
		assert_int_equal(shop->bounce_slow, 70000);
		assert_int_equal(shop->complaint_warn, 500);
		assert_int_equal(shop->volume_min, 500);
		assert_int_equal(shop->window, INT64_C(86400) * 1000000);
		conf_unref(c);
	}
}

static void
test_without_a_block(void **state)
{
	put_secrets(*state, "");

	const struct conf *c = must_load(*state, USERS "guard club { window = 7d }");
	const struct conf_guard *shop = conf_guard_find(c, "shop", 4);
	static const int64_t want[] = {50000, 70000, 100000, 1000, 2000, 3000};
	const int64_t is[] = {shop->bounce_warn, shop->bounce_slow, shop->bounce_stop, shop->complaint_warn,
		shop->complaint_slow, shop->complaint_stop};

	assert_memory_equal(is, want, sizeof(want));
	assert_string_equal(shop->name, "*");
	assert_int_equal(conf_guard_find(c, "club", 4)->window, INT64_C(7) * 86400 * 1000000);
	conf_unref(c);
}

/* What a reload says. */
static void
test_diff(void **state)
{
	put_secrets(*state, "");

	const struct conf *from = must_load(*state, USERS "guard shop { bounce-stop = 12.5% }"),
			  *to = must_load(*state, USERS "guard shop { bounce-stop = 9% }");
	char *said = NULL;
	FILE *out = open_memstream(&said, &(size_t){0});

	assert_int_equal(conf_diff(from, to, out), 0);
	fclose(out);
	assert_string_equal(said, "guard \"shop\": bounce-stop: 12.5% -> 9% (now)\n");
	free(said);
	conf_unref(from);
	conf_unref(to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		WITH_FOLDER(test_what_is_in_force),
		WITH_FOLDER(test_without_a_block),
		WITH_FOLDER(test_diff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
