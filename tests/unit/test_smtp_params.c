/* SPDX-License-Identifier: Apache-2.0 */
/* MAIL and RCPT parameters, and xtext. The text is overwritten by design, so each case parses a copy. */
#include "smtp_params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define X10  "abcdefghij"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static const struct {
	struct smtp_slice text;
	int want;
	const char *result; /* size ret 8bit utf8 envid auth; of a failure: words of why */
} mails[] = {
	{SMTP_LIT(""), 0, "0 0 0 0 '' ''"},
	{SMTP_LIT("  SIZE=0  "), 0, "0 0 0 0 '' ''"},
	{SMTP_LIT("SIZE=18446744073709551615"), 0, "18446744073709551615 0 0 0 '' ''"},
	{SMTP_LIT("size=00000000000000000000009"), 0, "9 0 0 0 '' ''"},
	{SMTP_LIT("body=8bitmime\tsmtputf8 ret=full"), 0, "0 1 1 1 '' ''"},
	{SMTP_LIT("BODY=7BIT RET=HDRS"), 0, "0 2 0 0 '' ''"},
	{SMTP_LIT("ENVID=a+2Bb+3D AUTH=x+2By@z"), 0, "0 0 0 0 'a+b=' 'x+y@z'"},
	{SMTP_LIT("AUTH=<> ENVID=+20"), 0, "0 0 0 0 ' ' ''"},
	{SMTP_LIT("ENVID=" X100), 0, "0 0 0 0 '" X100 "' ''"},

	{SMTP_LIT("SIZE"), SMTP_ESYNTAX, "bad parameter value"},
	{SMTP_LIT("SIZE="), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("SIZE=-1"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("SIZE=1x"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("SIZE=1 SIZE=1"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("SIZE=18446744073709551616"), SMTP_ETOOLONG, NULL},
	{SMTP_LIT("BODY=BINARYMIME"), SMTP_PARAMS_UNKNOWN, NULL},
	{SMTP_LIT("SMTPUTF8=1"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("RET=ALL"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=+0D+0A"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=+00"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=+7F"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=+C3+A4"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=+2"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=+2b"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=a=b"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ENVID=" X100 "x"), SMTP_ETOOLONG, NULL},
	{SMTP_LIT("AUTH=x"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("NOTIFY=NEVER"), SMTP_PARAMS_UNKNOWN, NULL},
	{SMTP_LIT("XFOO"), SMTP_PARAMS_UNKNOWN, NULL},
	{SMTP_LIT("=1"), SMTP_PARAMS_UNKNOWN, NULL},
};

static const struct {
	struct smtp_slice text;
	int want;
	const char *result; /* notify orcpt */
} rcpts[] = {
	{SMTP_LIT(""), 0, "0 ''"},
	{SMTP_LIT("NOTIFY=NEVER"), 0, "1 ''"},
	{SMTP_LIT("notify=delay,FAILURE,success"), 0, "14 ''"},
	{SMTP_LIT("ORCPT=rfc822;a+2Bb@c NOTIFY=FAILURE"), 0, "4 'rfc822;a+b@c'"},
	{SMTP_LIT("ORCPT=utf-8;\\x{E9}@c"), 0, "0 'utf-8;\\x{E9}@c'"},

	{SMTP_LIT("NOTIFY="), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("NOTIFY=NEVER,DELAY"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("NOTIFY=DELAY,DELAY"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("NOTIFY=DELAY,"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("NOTIFY=SOON"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=a@b"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=;a@b"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=rfc822;"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=rfc+38;a"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=rfc822;a+0A"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=rfc822;\xc3\xa4@b"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=rfc822;a ORCPT=rfc822;a"), SMTP_ESYNTAX, NULL},
	{SMTP_LIT("ORCPT=rfc822;" X100 X100 X100 X100 X100), SMTP_ETOOLONG, NULL},
	{SMTP_LIT("SIZE=1"), SMTP_PARAMS_UNKNOWN, NULL},
	{SMTP_LIT("HOLDFOR=1"), SMTP_PARAMS_UNKNOWN, NULL},
};

static void
test_mail(void **state)
{
	for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
		struct smtp_server_mail mail = {.sender = SMTP_LIT("kept"), .size = 7};
		char text[1024], result[512];
		const char *why = NULL;
		int got;

		memcpy(text, mails[i].text.ptr, mails[i].text.len);
		got = smtp_params_mail(text, mails[i].text.len, &mail, &why);
		if (got != mails[i].want)
			fail_msg("%s: %d", mails[i].text.ptr, got);
		assert_int_equal(mail.sender.len, 4);
		if (got != 0) {
			assert_int_equal(mail.size, 7);
			if (mails[i].result != NULL)
				assert_string_equal(why, mails[i].result);
			continue;
		}
		snprintf(result, sizeof(result), "%llu %d %d %d '%.*s' '%.*s'", (unsigned long long)mail.size,
			mail.ret, mail.is_8bit, mail.is_utf8, (int)mail.envid.len, mail.envid.ptr,
			(int)mail.auth.len, mail.auth.ptr);
		assert_string_equal(result, mails[i].result);
	}
}

/* What a message asks for itself: RFC 4865 3, RFC 2852 4, RFC 6710 7. */

#define HOLDFOR   "HOLDFOR is a number of seconds, from 1 to 999999999"
#define HOLDUNTIL "HOLDUNTIL is a date and time with its zone, such as 2026-12-24T08:00:00Z"
#define BOTH      "HOLDFOR or HOLDUNTIL, not both"
#define BY        "BY is seconds;R (return it then) or seconds;N (notify then): 3600;R"
#define BY_R      "BY with R needs a time above zero"
#define PRIORITY  "MT-PRIORITY is a whole number from -9 to 9"

static const struct {
	struct smtp_slice text;
	const char *result; /* hold_for_s hold_until by by_s priority, and T */
	const char *why;
} wishes[] = {
	{SMTP_LIT(""), "- - 0 0 -", NULL},
	{SMTP_LIT("HOLDFOR=1"), "1 0 0 0 -", NULL},
	{SMTP_LIT("holdfor=999999999"), "999999999 0 0 0 -", NULL},
	{SMTP_LIT("HOLDUNTIL=2026-12-24T08:00:00Z"), "0 1798099200 0 0 -", NULL},
	{SMTP_LIT("HOLDUNTIL=1970-01-01T00:00:00Z"), "0 0 0 0 -", NULL},
	{SMTP_LIT("HOLDUNTIL=1970-01-01T00:00:00+01:00"), "0 -3600 0 0 -", NULL},
	{SMTP_LIT("BY=3600;R"), "- - 1 3600 -", NULL},
	{SMTP_LIT("by=+999999999;rt"), "- - 1 999999999 - T", NULL},
	{SMTP_LIT("BY=3600;N"), "- - 2 3600 -", NULL},
	{SMTP_LIT("BY=0;N"), "- - 2 0 -", NULL},
	{SMTP_LIT("BY=-999999999;NT"), "- - 2 -999999999 - T", NULL},
	{SMTP_LIT("MT-PRIORITY=0"), "- - 0 0 0", NULL},
	{SMTP_LIT("mt-priority=-9"), "- - 0 0 -9", NULL},
	{SMTP_LIT("MT-PRIORITY=9"), "- - 0 0 9", NULL},
	{SMTP_LIT("BY=120;R HOLDFOR=60 MT-PRIORITY=4"), "60 0 1 120 4", NULL},

	{SMTP_LIT("HOLDFOR=0"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR=01"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR=-1"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR=+1"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR=1h"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR=1000000000"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR=99999999999999999999999"), NULL, HOLDFOR},
	{SMTP_LIT("HOLDFOR="), NULL, "bad parameter value"},
	{SMTP_LIT("HOLDFOR"), NULL, "bad parameter value"},
	{SMTP_LIT("HOLDFOR=1 HOLDFOR=1"), NULL, "bad parameter value"},
	{SMTP_LIT("HOLDUNTIL=tomorrow"), NULL, HOLDUNTIL},
	{SMTP_LIT("HOLDUNTIL=2026-12-24"), NULL, HOLDUNTIL},
	{SMTP_LIT("HOLDUNTIL=2026-12-24T08:00:00"), NULL, HOLDUNTIL},
	{SMTP_LIT("HOLDUNTIL=2026-02-30T08:00:00Z"), NULL, HOLDUNTIL},
	{SMTP_LIT("HOLDUNTIL=3600"), NULL, HOLDUNTIL},
	{SMTP_LIT("HOLDFOR=1 HOLDUNTIL=2026-12-24T08:00:00Z"), NULL, BOTH},
	{SMTP_LIT("HOLDUNTIL=1970-01-01T00:00:00Z HOLDFOR=1"), NULL, BOTH},
	{SMTP_LIT("BY=3600"), NULL, BY},
	{SMTP_LIT("BY=;R"), NULL, BY},
	{SMTP_LIT("BY=+;N"), NULL, BY},
	{SMTP_LIT("BY=--1;N"), NULL, BY},
	{SMTP_LIT("BY=1x;N"), NULL, BY},
	{SMTP_LIT("BY=1000000000;N"), NULL, BY},
	{SMTP_LIT("BY=3600;"), NULL, BY},
	{SMTP_LIT("BY=3600;T"), NULL, BY},
	{SMTP_LIT("BY=3600;X"), NULL, BY},
	{SMTP_LIT("BY=3600;RN"), NULL, BY},
	{SMTP_LIT("BY=3600;TR"), NULL, BY},
	{SMTP_LIT("BY=3600;NTT"), NULL, BY},
	{SMTP_LIT("BY=3600;R;T"), NULL, BY},
	{SMTP_LIT("BY=0;R"), NULL, BY_R},
	{SMTP_LIT("BY=-1;R"), NULL, BY_R},
	{SMTP_LIT("BY=-0;RT"), NULL, BY_R},
	{SMTP_LIT("MT-PRIORITY=10"), NULL, PRIORITY},
	{SMTP_LIT("MT-PRIORITY=-10"), NULL, PRIORITY},
	{SMTP_LIT("MT-PRIORITY=+4"), NULL, PRIORITY},
	{SMTP_LIT("MT-PRIORITY=-0"), NULL, PRIORITY},
	{SMTP_LIT("MT-PRIORITY=04"), NULL, PRIORITY},
	{SMTP_LIT("MT-PRIORITY=-"), NULL, PRIORITY},
	{SMTP_LIT("MT-PRIORITY=high"), NULL, PRIORITY},
};

static void
test_wishes(void **state)
{
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct smtp_server_mail mail = {.sender = SMTP_LIT("kept")};
		char text[256], result[128], hold[64] = "- -", priority[16] = "-";
		const char *why = NULL;
		int got;

		memcpy(text, wishes[i].text.ptr, wishes[i].text.len);
		got = smtp_params_mail(text, wishes[i].text.len, &mail, &why);
		if ((got == SMTP_OK) != (wishes[i].result != NULL))
			fail_msg("%s: %d", wishes[i].text.ptr, got);
		if (got != SMTP_OK) {
			assert_string_equal(why, wishes[i].why);
			continue;
		}
		if (mail.has_hold)
			snprintf(hold, sizeof(hold), "%u %lld", mail.hold_for_s, (long long)mail.hold_until);
		if (mail.has_priority)
			snprintf(priority, sizeof(priority), "%d", mail.priority);
		snprintf(result, sizeof(result), "%s %d %d %s%s", hold, mail.by, mail.by_s, priority,
			mail.by_trace ? " T" : "");
		assert_string_equal(result, wishes[i].result);
	}
}

static void
test_rcpt(void **state)
{
	for (size_t i = 0; i < sizeof(rcpts) / sizeof(rcpts[0]); i++) {
		struct smtp_server_rcpt rcpt = {.address = SMTP_LIT("kept"), .notify = 99};
		char text[1024], result[1024];
		int got;

		memcpy(text, rcpts[i].text.ptr, rcpts[i].text.len);
		got = smtp_params_rcpt(text, rcpts[i].text.len, &rcpt);
		if (got != rcpts[i].want)
			fail_msg("%s: %d", rcpts[i].text.ptr, got);
		assert_int_equal(rcpt.address.len, 4);
		if (got != 0) {
			assert_int_equal(rcpt.notify, 99);
			continue;
		}
		snprintf(result, sizeof(result), "%u '%.*s'", rcpt.notify, (int)rcpt.orcpt.len,
			rcpt.orcpt.ptr);
		assert_string_equal(result, rcpts[i].result);
	}
}

static void
test_xtext(void **state)
{
	static const struct smtp_slice plain = SMTP_LIT("a+b=c d~!");
	char buf[64], back[64];
	int len = smtp_xtext_encode(plain, buf, sizeof(buf));

	assert_int_equal(len, 15);
	assert_memory_equal(buf, "a+2Bb+3Dc+20d~!", 15);
	assert_int_equal(smtp_xtext_encode(plain, buf, 14), SMTP_ENOSPACE);
	assert_int_equal(smtp_xtext_decode((struct smtp_slice){buf, 15}, back, plain.len), plain.len);
	assert_memory_equal(back, plain.ptr, plain.len);
	assert_int_equal(smtp_xtext_decode((struct smtp_slice){buf, 15}, back, plain.len - 1), SMTP_ENOSPACE);
	/* What one side writes for a line end, the other refuses. */
	len = smtp_xtext_encode(SMTP_LIT("\r\n"), buf, sizeof(buf));
	assert_int_equal(
		smtp_xtext_decode((struct smtp_slice){buf, (size_t)len}, back, sizeof(back)), SMTP_ESYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_rcpt),
		cmocka_unit_test(test_xtext),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
