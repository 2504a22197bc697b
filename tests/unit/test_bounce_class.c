/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bounce_class.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
names_lead_back(void **state)
{
	(void)state;
	for (int c = BOUNCE_CLASS_NONE + 1; c < BOUNCE_CLASS_COUNT; c++) {
		const char *name = bounce_class_name((enum bounce_class)c);

		assert_int_equal(bounce_class_find(name, strnlen(name, 64)), c);
		assert_string_not_equal(bounce_class_pmta((enum bounce_class)c), "");
		assert_string_not_equal(bounce_group_name(bounce_class_group((enum bounce_class)c)), "");
	}
	assert_int_equal(BOUNCE_CLASS_COUNT, 23);
}

static void
unknown_names(void **state)
{
	static const char *const names[] = {"", "bad", "bad-mailboxes", "BAD-MAILBOX", "spam-related"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(bounce_class_find(names[i], strnlen(names[i], 64)), BOUNCE_CLASS_NONE);
	assert_int_equal(bounce_class_find("other\0other", 11), BOUNCE_CLASS_NONE);
}

static void
groups_and_powermta(void **state)
{
	static const struct {
		enum bounce_class c;
		enum bounce_group group;
		const char *pmta;
	} rows[] = {
		{BOUNCE_CLASS_BAD_MAILBOX, BOUNCE_GROUP_SUPPRESS, "bad-mailbox"},
		{BOUNCE_CLASS_SPAM_BLOCK, BOUNCE_GROUP_BLOCK, "spam-related"},
		{BOUNCE_CLASS_RATE_LIMITED, BOUNCE_GROUP_THROTTLE, "policy-related"},
		{BOUNCE_CLASS_SYSTEM_ERROR, BOUNCE_GROUP_TRANSIENT, "bad-configuration"},
		{BOUNCE_CLASS_MESSAGE_TOO_LARGE, BOUNCE_GROUP_MESSAGE, "content-related"},
		{BOUNCE_CLASS_OTHER, BOUNCE_GROUP_OTHER, "other"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(bounce_class_group(rows[i].c), rows[i].group);
		assert_string_equal(bounce_class_pmta(rows[i].c), rows[i].pmta);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_lead_back),
		cmocka_unit_test(unknown_names),
		cmocka_unit_test(groups_and_powermta),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
