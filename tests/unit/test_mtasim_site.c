/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simulated site remembers of a client: its rate, and the block after it. The sources are included,
 * because mtasim is a program and not a library.
 */
#include "../sim/mtasim_ca.c"
#include "../sim/mtasim_site.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SECOND = 1000000 };

/* Each step asks as a session does at MAIL: first for the block, then for the rate. */
static const struct step {
	int64_t at_us;
	enum { TAKEN, ABOVE_RATE, BLOCKED } want;
} steps[] = {
	{0, TAKEN}, {1, TAKEN}, {2, ABOVE_RATE}, /* two a second; blocked until 10 s */
	{9 * SECOND, BLOCKED},                   /* until 13 s */
	{12 * SECOND, BLOCKED},                  /* until 16 s */
	{16 * SECOND + 1, BLOCKED}, /* the block began 2 us after the first message; until 19 s */
	{19 * SECOND + 2, TAKEN}, {19 * SECOND + 3, TAKEN},
	{20 * SECOND + 2, TAKEN}, /* a window of the rate begins with its first message */
};

static void
test_block(void **state)
{
	const struct sim_site site = {
		.rate_count = 2, .rate_us = SECOND, .block_us = 10 * SECOND, .block_push_us = 3 * SECOND};
	const struct sim_unit unit = {.site = &site};
	struct sim_client client = {0};
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int got = TAKEN;

		if (sim_client_is_blocked(&unit, &client, steps[i].at_us))
			got = BLOCKED;
		else if (!sim_client_may_send(&unit, &client, steps[i].at_us))
			got = ABOVE_RATE;
		if (got != (int)steps[i].want)
			fail_msg("step %zu: %d, expected %d", i, got, (int)steps[i].want);
	}
}

/* Without `block` a message above the rate costs nothing later. */
static void
test_rate_alone(void **state)
{
	const struct sim_site site = {.rate_count = 1, .rate_us = SECOND};
	const struct sim_unit unit = {.site = &site};
	struct sim_client client = {0};

	assert_true(sim_client_may_send(&unit, &client, SECOND));
	assert_false(sim_client_may_send(&unit, &client, SECOND + 1));
	assert_false(sim_client_is_blocked(&unit, &client, SECOND + 2));
	assert_true(sim_client_may_send(&unit, &client, 2 * SECOND));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_block), cmocka_unit_test(test_rate_alone)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
