/* SPDX-License-Identifier: Apache-2.0 */
/* conf: quiet hours as written, in zones as they are. What is refused stands in test_conf_refused.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#include <time.h>

/* "2026-03-29 01:30" in UTC. */
static int64_t
us_of(const char *text)
{
	struct tm at = {0};

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &at));
	return timegm(&at) * INT64_C(1000000);
}

/* Berlin goes from UTC+1 to +2 on 2026-03-29 and back on 2026-10-25, both at 01:00 UTC; New York from -5 to
 * -4 on 2026-03-08 at 07:00 UTC. */
static const struct {
	const char *hours, *at;
	bool want;
	const char *until;
} cases[] = {
	{"\"22:00-07:00 Europe/Berlin\"", "2026-01-15 20:59", false, "2026-01-15 21:00"},
	{"\"22:00-07:00 Europe/Berlin\"", "2026-01-15 21:00", true, "2026-01-16 06:00"},
	{"\"22:00-07:00 Europe/Berlin\"", "2026-07-15 20:00", true, "2026-07-16 05:00"},
	{"\"22:00-07:00 Europe/Berlin\"", "2026-03-28 21:00", true, "2026-03-29 05:00"},
	{"\"22:00-07:00 Europe/Berlin\"", "2026-10-24 20:00", true, "2026-10-25 06:00"},
	{"\"02:15-02:45 Europe/Berlin\"", "2026-03-29 00:50", false, "2026-03-30 00:15"},
	{"\"02:15-02:45 Europe/Berlin\"", "2026-10-25 00:50", false, "2026-10-25 01:15"},
	{"\"22:00-07:00 Europe/Berlin\"", "2050-07-15 20:00", true, "2050-07-16 05:00"},
	{"\"22:00-00:00 UTC\"", "2026-01-15 23:00", true, "2026-01-16 00:00"},
	{"\"Sat,Sun 00:00-24:00 UTC\"", "2026-01-17 12:00", true, "2026-01-19 00:00"},
	{"\"sat-mon 00:00-24:00 UTC\"", "2026-01-17 12:00", true, "2026-01-20 00:00"},
	{"\"Mon-Fri 18:00-08:00 America/New_York\"", "2026-03-07 12:59", true, "2026-03-07 13:00"},
	{"\"Mon-Fri 18:00-08:00 America/New_York\"", "2026-03-08 12:00", false, "2026-03-09 22:00"},
	{"{ \"22:00-07:00 Europe/Berlin\", \"06:30-09:00 Asia/Kolkata\", \"06:00-06:30 UTC\" }",
		"2026-01-15 21:00", true, "2026-01-16 06:30"},
	{"{}", "2026-01-15 21:00", false, "2026-01-23 21:00"},
};

static void
test_hours(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		const struct conf *c;
		int64_t until_us;
		bool is;

		snprintf(text, sizeof(text), HOST "domain * { quiet-hours = %s }", cases[i].hours);
		c = must_load(*state, text);
		is = queue_hours_quiet(c->delivery.hours, us_of(cases[i].at), &until_us);
		if (is != cases[i].want || until_us != us_of(cases[i].until))
			fail_msg("%s at %s: %d, until %lld minutes from %s", cases[i].hours, cases[i].at, is,
				(long long)((until_us - us_of(cases[i].until)) / 60000000), cases[i].until);
		conf_unref(c);
	}
}

/* Laid over each other like any setting; an empty list takes those of the others away. */
static void
test_merge(void **state)
{
	const struct conf *plain = must_load(*state, HOST "domain * { expire = 1d }"),
			  *c = must_load(*state,
				  HOST "domain * { quiet-hours = { \"01:00-02:00 UTC\" } }\n"
				       "domain none.example { quiet-hours = {} }\n"
				       "domain other.example { expire = 1d }\n"
				       "provider p { mx = p.example quiet-hours = { \"03:00-04:00 UTC\", "
				       "\"05:00-06:00 UTC\" } }\n");
	const struct conf_domain *none = conf_domain_find(c, "none.example", 12),
				 *other = conf_domain_find(c, "other.example", 13),
				 *all = conf_domain_find(c, "x.example", 9);
	static const struct {
		int domain; /* of the three above; -1: NULL */
		bool has_provider;
		uint32_t want;
	} merges[] = {{-1, false, 1}, {2, false, 1}, {2, true, 2}, {1, true, 2}, {1, false, 1}, {0, true, 0},
		{0, false, 0}};
	const struct conf_domain *domains[] = {none, other, all};
	struct conf_delivery merged;

	assert_int_equal(plain->delivery.hours->count, 0);
	for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
		conf_delivery_merge(c, merges[i].domain >= 0 ? domains[merges[i].domain] : NULL,
			merges[i].has_provider ? &c->providers[0] : NULL, &merged);
		if (merged.hours->count != merges[i].want)
			fail_msg("row %zu: %u", i, merged.hours->count);
	}
	conf_unref(plain);
	conf_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_hours),
		WITH_FOLDER(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
