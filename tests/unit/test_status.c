/* SPDX-License-Identifier: Apache-2.0 */
/* status: what codes mean where no words say better, and that all of them mean something. */
#include "feedback/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	struct smtp_esc esc;
	uint16_t code;
	enum bounce_class want;
} cases[] = {
	{{5, 1, 1}, 550, BOUNCE_CLASS_BAD_MAILBOX},
	{{4, 1, 1}, 450, BOUNCE_CLASS_BAD_MAILBOX},
	{{5, 1, 2}, 550, BOUNCE_CLASS_BAD_DOMAIN},
	{{5, 1, 10}, 556, BOUNCE_CLASS_BAD_DOMAIN},
	{{5, 1, 6}, 551, BOUNCE_CLASS_INACTIVE_MAILBOX},
	{{5, 1, 8}, 501, BOUNCE_CLASS_INVALID_SENDER},
	{{4, 2, 2}, 452, BOUNCE_CLASS_QUOTA_ISSUES},
	{{5, 3, 4}, 552, BOUNCE_CLASS_MESSAGE_TOO_LARGE},
	{{5, 4, 4}, 550, BOUNCE_CLASS_BAD_DOMAIN},
	{{4, 4, 4}, 450, BOUNCE_CLASS_ROUTING_ERRORS},
	{{5, 4, 6}, 554, BOUNCE_CLASS_ROUTING_ERRORS},
	{{4, 5, 3}, 452, BOUNCE_CLASS_RATE_LIMITED},
	{{5, 6, 7}, 553, BOUNCE_CLASS_PROTOCOL_ERRORS},
	{{5, 6, 0}, 554, BOUNCE_CLASS_CONTENT_RELATED},
	{{5, 7, 1}, 550, BOUNCE_CLASS_POLICY_RELATED},
	{{5, 7, 26}, 550, BOUNCE_CLASS_AUTH_FAILED},
	{{5, 7, 999}, 550, BOUNCE_CLASS_POLICY_RELATED},
	/* An enhanced code that says nothing leaves it to the basic one. */
	{{5, 0, 0}, 510, BOUNCE_CLASS_BAD_MAILBOX},
	{{5, 9, 1}, 530, BOUNCE_CLASS_RELAYING_ISSUES},
	{{0}, 556, BOUNCE_CLASS_BAD_DOMAIN},
	{{0}, 552, BOUNCE_CLASS_MESSAGE_TOO_LARGE},
	/* Nothing is held against an address for a bare "no". */
	{{5, 1, 0}, 550, BOUNCE_CLASS_OTHER},
	{{0}, 521, BOUNCE_CLASS_OTHER},
	{{0}, 551, BOUNCE_CLASS_OTHER},
	{{0}, 553, BOUNCE_CLASS_OTHER},
	{{0}, 550, BOUNCE_CLASS_OTHER},
	{{0}, 554, BOUNCE_CLASS_OTHER},
	{{0}, 0, BOUNCE_CLASS_OTHER},
};

static void
test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (status_class(cases[i].esc, cases[i].code) != cases[i].want)
			fail_msg("%u %u.%u.%u: %s", cases[i].code, cases[i].esc.class_digit,
				cases[i].esc.subject, cases[i].esc.detail,
				bounce_class_name(status_class(cases[i].esc, cases[i].code)));
	assert_int_equal(status_class_of_text("5.1.1"), BOUNCE_CLASS_BAD_MAILBOX);
	assert_int_equal(status_class_of_text("nonsense"), BOUNCE_CLASS_OTHER);
	assert_int_equal(status_class_of_text(""), BOUNCE_CLASS_OTHER);
}

static void
test_everything(void **state)
{
	for (uint16_t subject = 0; subject < 1000; subject++)
		for (uint16_t detail = 0; detail < 1000; detail++) {
			enum bounce_class c = status_class((struct smtp_esc){5, subject, detail}, 550);

			assert_true(c > BOUNCE_CLASS_NONE && c < BOUNCE_CLASS_COUNT);
		}
	for (uint16_t code = 0; code < 1000; code++)
		assert_int_not_equal(status_class((struct smtp_esc){0}, code), BOUNCE_CLASS_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_everything)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
