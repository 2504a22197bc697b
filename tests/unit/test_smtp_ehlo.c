/* SPDX-License-Identifier: Apache-2.0 */
/* EHLO answers: what is known is kept, in any case and order; what is not, or is malformed, is not offered.
 */
#include "smtp_ehlo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *name;
	struct smtp_slice lines[4];
	unsigned caps;
	uint64_t size_max;
	uint32_t rcpt_max, mail_max, by_min_s;
} cases[] = {
	{"nothing", {SMTP_LIT("mx.test")}, 0, 0, 0, 0},
	{"the first line offers nothing", {SMTP_LIT("PIPELINING")}, 0, 0, 0, 0},
	{"pipelining", {SMTP_LIT("mx"), SMTP_LIT("PIPELINING")}, SMTP_CAP_PIPELINING, 0, 0, 0},
	{"any case", {SMTP_LIT("mx"), SMTP_LIT("8bitMime"), SMTP_LIT("smtputf8"), SMTP_LIT("StartTLS")},
		SMTP_CAP_8BITMIME | SMTP_CAP_SMTPUTF8 | SMTP_CAP_STARTTLS, 0, 0, 0},
	{"others", {SMTP_LIT("mx"), SMTP_LIT("DSN"), SMTP_LIT("CHUNKING"), SMTP_LIT("ENHANCEDSTATUSCODES")},
		SMTP_CAP_DSN | SMTP_CAP_CHUNKING | SMTP_CAP_ENHANCED, 0, 0, 0},
	{"part of a keyword",
		{SMTP_LIT("mx"), SMTP_LIT("PIPELININGX"), SMTP_LIT("PIPE"), SMTP_LIT("XSIZE 5")}, 0, 0, 0, 0},
	{"blanks around", {SMTP_LIT("mx"), SMTP_LIT("  DSN  "), SMTP_LIT(""), SMTP_LIT(" ")}, SMTP_CAP_DSN, 0,
		0, 0},
	{"size", {SMTP_LIT("mx"), SMTP_LIT("SIZE 35882577")}, SMTP_CAP_SIZE, 35882577, 0, 0},
	{"size without a limit", {SMTP_LIT("mx"), SMTP_LIT("SIZE 0")}, SMTP_CAP_SIZE, 0, 0, 0},
	{"size without an argument", {SMTP_LIT("mx"), SMTP_LIT("SIZE")}, SMTP_CAP_SIZE, 0, 0, 0},
	{"size is no number", {SMTP_LIT("mx"), SMTP_LIT("SIZE 10M")}, SMTP_CAP_SIZE, 0, 0, 0},
	{"size beyond 64 bits", {SMTP_LIT("mx"), SMTP_LIT("SIZE 99999999999999999999999")}, SMTP_CAP_SIZE,
		UINT64_MAX, 0, 0},
	{"the last of several", {SMTP_LIT("mx"), SMTP_LIT("SIZE 5"), SMTP_LIT("SIZE 7")}, SMTP_CAP_SIZE, 7, 0,
		0},
	{"auth", {SMTP_LIT("mx"), SMTP_LIT("AUTH CRAM-MD5 LOGIN plain")},
		SMTP_CAP_AUTH_PLAIN | SMTP_CAP_AUTH_LOGIN, 0, 0, 0},
	{"auth, old spelling", {SMTP_LIT("mx"), SMTP_LIT("AUTH=LOGIN")}, SMTP_CAP_AUTH_LOGIN, 0, 0, 0},
	{"auth, others only", {SMTP_LIT("mx"), SMTP_LIT("AUTH GSSAPI PLAINX")}, 0, 0, 0, 0},
	{"limits", {SMTP_LIT("mx"), SMTP_LIT("LIMITS MAILMAX=20 RCPTMAX=100 RCPTDOMAINMAX=1")},
		SMTP_CAP_LIMITS, 0, 100, 20},
	{"limits, malformed",
		{SMTP_LIT("mx"),
			SMTP_LIT("LIMITS RCPTMAX MAILMAX= RCPTMAX=0 MAILMAX=99999999999 RCPTMAX=-1")},
		SMTP_CAP_LIMITS, 0, 0, 0},
	{"limits, a strange one first", {SMTP_LIT("mx"), SMTP_LIT("LIMITS FOO MAILMAX=3")}, SMTP_CAP_LIMITS,
		0, 0, 3},
};

static void
test_lines(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_ehlo e = {0};

		for (size_t k = 0; k < 4 && cases[i].lines[k].ptr != NULL; k++)
			smtp_ehlo_line(&e, cases[i].lines[k]);
		if (e.caps != cases[i].caps || e.size_max != cases[i].size_max ||
			e.rcpt_max != cases[i].rcpt_max || e.mail_max != cases[i].mail_max ||
			e.by_min_s != cases[i].by_min_s)
			fail_msg("%s: caps %u", cases[i].name, e.caps);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
