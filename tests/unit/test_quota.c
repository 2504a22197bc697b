/* SPDX-License-Identifier: Apache-2.0 */
/* quota: one place a user, what intake says of it, and news of a day. */
#include "queue/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_quota(void **state)
{
	struct quotas *q = quotas_create();
	const int64_t until_us = INT64_C(1767225600000000); /* 2026-01-01 00:00 UTC */
	struct quota *shop = quota_of(q, (struct queue_blob){"shop", 4});
	struct quota *club = quota_of(q, (struct queue_blob){"club", 4});
	char words[QUOTA_WORDS_MAX] = "";

	assert_ptr_not_equal(shop, club);
	assert_ptr_equal(shop, quota_of(q, (struct queue_blob){"shopping", 4}));
	assert_false(quota_is_full(shop, until_us, words));
	quota_set(shop, until_us);
	assert_true(quota_is_full(shop, until_us - 1, words));
	assert_string_equal(
		words, "Recipient quota of this user is used up until 2026-01-01 00:00 UTC, try again then");
	assert_false(quota_is_full(shop, until_us, words));
	assert_false(quota_is_full(club, until_us - 1, words));
	assert_true(quota_is_news(shop, 20454));
	assert_false(quota_is_news(shop, 20454));
	assert_true(quota_is_news(club, 20454));
	assert_true(quota_is_news(shop, 20455));
	quotas_destroy(&q);
	assert_null(q);
	quotas_destroy(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_quota)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
