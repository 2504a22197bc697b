/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_hits.h"
#include "queue_names.h"

#include <stdlib.h>

/* Times from START on, and which of them were the n-th in the window: "." no, "!" yes. */
static void
test_exact(void **state)
{
	static const struct {
		const char *name;
		uint32_t want;
		int64_t window_us, at[8];
		const char *answers;
	} cases[] = {
		{"the first is enough", 1, MINUTE, {0, MINUTE, 5 * MINUTE}, "!!!"},
		{"three in ten minutes", 3, 10 * MINUTE, {0, MINUTE, 9 * MINUTE, 20 * MINUTE}, "..!."},
		{"the window ends before its length", 3, 10 * MINUTE, {0, MINUTE, 10 * MINUTE - 1}, "..!"},
		{"and at its length is over", 3, 10 * MINUTE, {0, MINUTE, 10 * MINUTE, 10 * MINUTE + 1},
			"...!"},
		{"each further one counts", 2, 10 * MINUTE,
			{0, MINUTE, 2 * MINUTE, 12 * MINUTE - 1, 30 * MINUTE}, ".!!!."},
		{"all at once", 3, MINUTE, {0, 0, 0, 0}, "..!!"},
		{"too slow for ever", 2, MINUTE, {0, MINUTE, 2 * MINUTE, 3 * MINUTE}, "...."},
		/* A clock that is set: what lay in the future happened just now. */
		{"J7 a day back", 3, 10 * MINUTE,
			{0, MINUTE, MINUTE - DAY, 5 * MINUTE - DAY, 12 * MINUTE - DAY}, "..!!."},
		{"J7 a day on", 3, 10 * MINUTE, {0, MINUTE, DAY, DAY + MINUTE, DAY + 2 * MINUTE}, "....!"},
		{"J7 back and on", 2, 10 * MINUTE, {0, -DAY, DAY}, ".!."},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_hits h;

		queue_hits_init(&h, cases[i].want, cases[i].window_us);
		for (int round = 0; round < 2; round++) {
			for (size_t k = 0; cases[i].answers[k] != '\0'; k++)
				if (queue_hits_add(&h, START + cases[i].at[k]) !=
					(cases[i].answers[k] == '!'))
					fail_msg("%s: hit %zu of round %d", cases[i].name, k, round);
			queue_hits_clear(&h);
		}
	}
}

static void
test_extremes(void **state)
{
	struct queue_hits h;

	for (uint32_t want = 2; want <= 2 * QUEUE_HITS_EXACT; want += 15) {
		queue_hits_init(&h, want, DAY);
		assert_false(queue_hits_add(&h, INT64_MIN + 1));
		assert_false(queue_hits_add(&h, INT64_MAX));
		assert_false(want > 2 && queue_hits_add(&h, INT64_MIN + 1));
	}
}

/* A seeded walk beside a list of all times: exact up to QUEUE_HITS_EXACT, above it never late, and early by a
 * slice at most. */
static void
test_model(void **state)
{
	static int64_t all[4000];
	uint64_t seed = 20261123;

	for (uint32_t want = 1; want <= 200; want += want < 20 ? 1 : 37) {
		int64_t now = START, window = 10 * MINUTE;
		struct queue_hits h;
		size_t fired = 0;

		queue_hits_init(&h, want, window);
		for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
			size_t within = 0, within_slice = 0;
			bool got;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			/* Twice as fast as the threshold, then half as fast. */
			now += (int64_t)((seed >> 33) %
					 (uint64_t)(window / want * (n / 500 % 2 == 0 ? 1 : 4)));
			all[n] = now;
			for (size_t k = 0; k <= n; k++) {
				within += now - all[k] < window;
				within_slice += now - all[k] < window + window / QUEUE_HITS_EXACT;
			}
			got = queue_hits_add(&h, now);
			fired += got;
			if (within >= want)
				assert_true(got);
			if ((want <= QUEUE_HITS_EXACT ? within : within_slice) < want)
				assert_false(got);
		}
		assert_true(fired > 100);
		assert_true(want == 1 || fired < sizeof(all) / sizeof(all[0]) - 100);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact), cmocka_unit_test(test_extremes), cmocka_unit_test(test_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
