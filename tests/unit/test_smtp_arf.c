/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_arf: the fields of feedback reports, the form of Hotmail, and what is an address no longer. */
#include "smtp_arf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strlen(text)};
}

static void
test_fields(void **state)
{
	struct smtp_arf a;

	smtp_arf_read(&a,
		SMTP_LIT("feedback-type: Auth-Failure\r\nUser-Agent: X/1\r\nVersion: 1\r\n"
			 "Original-Mail-From: <m@b.test>\r\nOriginal-Envelope-Id: e\r\n"
			 "Source-IP: 192.0.2.1\r\nReceived-Date:\r\n d\r\nAuth-Failure: dmarc\r\n"
			 "Delivery-Result: delivered\r\nMessage-ID: <i@b.test>\r\n"
			 "Original-Rcpt-To: a@b.test\r\nOriginal-Rcpt-To:\r\nRemoval-Recipient: c@b.test\r\n"
			 "Reported-Domain: b.test\r\nReported-Domain: d.test\r\nUser-Agent: Y/1\r\n"));
	assert_int_equal(a.type, SMTP_ARF_AUTH_FAILURE);
	assert_true(smtp_slice_is(a.type_word, SMTP_LIT("Auth-Failure")));
	assert_true(smtp_slice_is(a.user_agent, SMTP_LIT("X/1")));
	assert_true(smtp_slice_is(a.original_mail_from, SMTP_LIT("<m@b.test>")));
	assert_true(smtp_slice_is(a.envid, SMTP_LIT("e")));
	assert_true(smtp_slice_is(a.source_ip, SMTP_LIT("192.0.2.1")));
	assert_true(smtp_slice_is(a.arrival_date, SMTP_LIT("d")));
	assert_true(smtp_slice_is(a.auth_failure, SMTP_LIT("dmarc")));
	assert_true(smtp_slice_is(a.delivery_result, SMTP_LIT("delivered")));
	assert_true(smtp_slice_is(a.message_id, SMTP_LIT("<i@b.test>")));
	assert_int_equal(a.rcpt_count, 2);
	assert_true(smtp_slice_is(a.rcpts[1], SMTP_LIT("c@b.test")));
	assert_int_equal(a.domain_count, 2);
	assert_true(smtp_slice_is(a.domains[1], SMTP_LIT("d.test")));
	assert_false(a.is_truncated);
}

static const struct {
	const char *word;
	enum smtp_arf_type want;
} types[] = {
	{"abuse", SMTP_ARF_ABUSE},
	{"ABUSE", SMTP_ARF_ABUSE},
	{"fraud", SMTP_ARF_FRAUD},
	{"virus", SMTP_ARF_VIRUS},
	{"not-spam", SMTP_ARF_NOT_SPAM},
	{"opt-out", SMTP_ARF_OPT_OUT},
	{"opt-out-list", SMTP_ARF_OPT_OUT},
	{"dmarc", SMTP_ARF_AUTH_FAILURE},
	{"other", SMTP_ARF_OTHER},
	{"abuse-ish", SMTP_ARF_OTHER},
};

static void
test_types(void **state)
{
	struct smtp_arf a;
	char body[50];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		snprintf(body, sizeof(body), "Feedback-Type: %s\n", types[i].word);
		smtp_arf_read(&a, slice(body));
		assert_int_equal(a.type, types[i].want);
	}
	smtp_arf_read(&a, SMTP_LIT(""));
	assert_int_equal(a.type, SMTP_ARF_OTHER);
}

static void
test_limits(void **state)
{
	static char body[4000];
	struct smtp_arf a;
	size_t len = 0;

	for (int i = 0; i <= SMTP_ARF_RCPTS_MAX; i++)
		len += (size_t)snprintf(body + len, sizeof(body) - len, "Original-Rcpt-To: %d@b.test\n", i);
	smtp_arf_read(&a, (struct smtp_slice){body, len});
	assert_int_equal(a.rcpt_count, SMTP_ARF_RCPTS_MAX);
	assert_true(a.is_truncated);
}

static void
test_is_report(void **state)
{
	assert_true(smtp_arf_is_report(SMTP_LIT("Version: 1\nFeedback-Type: abuse\n")));
	assert_false(smtp_arf_is_report(SMTP_LIT("Feedback-Type: abuse\n")));
	assert_false(smtp_arf_is_report(SMTP_LIT("User-Agent: x\nVersion: 1\n")));
}

static void
test_jmrp(void **state)
{
	struct smtp_arf a;

	assert_true(
		smtp_arf_read_jmrp(&a, SMTP_LIT("X-SID-PRA: c\r\nx-hmxmroriginalrecipient: a@b.test\r\n")));
	assert_int_equal(a.type, SMTP_ARF_ABUSE);
	assert_int_equal(a.rcpt_count, 1);
	assert_true(smtp_slice_is(a.rcpts[0], SMTP_LIT("a@b.test")));
	assert_false(smtp_arf_read_jmrp(&a, SMTP_LIT("To: a@b.test\r\n")));
	assert_false(smtp_arf_read_jmrp(&a, SMTP_LIT("X-HmXmrOriginalRecipient:\r\n")));
}

static const struct {
	const char *address;
	bool want;
} redacted[] = {
	{"", true},
	{"@b.test", true},
	{"redacted", true},
	{"Redacted@", true},
	{"redacted@b.test", true},
	{"[redacted]", true},
	{"[REDACTED]@b.test", true},
	{"*****", true},
	{"***@b.test", true},
	{"XXXX@b.test", true},
	{"x@b.test", false},
	{"X@b.test", false},
	{"redacted.by@b.test", false},
	{"a@redacted", false},
	{"a@b.test", false},
};

static void
test_redacted(void **state)
{
	for (size_t i = 0; i < sizeof(redacted) / sizeof(redacted[0]); i++)
		if (smtp_arf_is_redacted(slice(redacted[i].address)) != redacted[i].want)
			fail_msg("%s", redacted[i].address);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_is_report),
		cmocka_unit_test(test_jmrp),
		cmocka_unit_test(test_redacted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
