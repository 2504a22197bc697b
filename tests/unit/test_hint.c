/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shape/hint.h"

#include <stdlib.h>
#include <string.h>

#define S INT64_C(1000000)
#define M (60 * S)

static void
test_wait(void **state)
{
	static const struct {
		const char *text;
		int64_t want_us;
	} cases[] = {
		/* as servers write it */
		{"451 4.7.1 Greylisting in action, please come back in 00:04:59", 4 * M + 59 * S},
		{"450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted for 300 seconds", 5 * M},
		{"451 4.7.1 Greylisted for 5 minutes", 5 * M},
		{"450 Please try again in 1 hour", 60 * M},
		{"421 Too many connections, try again after 120s", 2 * M},
		{"451 try again after 15 mins", 15 * M},
		{"451 Please wait 90 seconds", 90 * S},
		{"451 wait at least 30 min.", 30 * M},
		{"450 come back in 10:30", 10 * M + 30 * S},
		{"451 RETRY IN 2 HOURS", 120 * M},
		{"451 in 5-minutes", 5 * M},
		{"451 in use; try in 20 sec", 20 * S},
		{"451 in a moment, at least 40 secs", 40 * S},
		/* its bounds */
		{"451 try again in 1 second", HINT_MIN_US},
		{"451 try again in 72 hours", HINT_MAX_US},
		{"451 try again in 99999 hours", HINT_MAX_US},
		/* none */
		{"", 0},
		{"451 try again later", 0},
		{"451 limit of 100 messages per 10 minutes exceeded", 0},
		{"451 5 minutes", 0},
		{"451 in 5 parsecs", 0},
		{"451 in 5 milliseconds", 0},
		{"451 in 0 seconds", 0},
		{"451 in 123456 seconds", 0},
		{"451 in -5 seconds", 0},
		{"451 begin 5 minutes", 0},
		{"451 in 4:99", 0},
		{"451 in 1:2:99", 0},
		{"451 in 00:00:00", 0},
		{"451 in 2023-11-23", 0},
		{"451 in 192.0.2.1", 0},
		{"451 in 12345:", 0},
		{"451 blocked for 5", 0},
		{"451 in", 0},
		{"451 in ", 0},
		{"451 in 5", 0},
		{"451 in 5 ", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Nothing behind it: a byte too far is seen. */
		size_t len = strnlen(cases[i].text, 200);
		char *text = malloc(len + (len == 0));
		int64_t got;

		assert_non_null(text);
		memcpy(text, cases[i].text, len);
		got = hint_wait((struct smtp_slice){text, len});
		if (got != cases[i].want_us)
			fail_msg("%s: %lld s", cases[i].text, (long long)(got / S));
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_wait)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
