/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the simulator sends something back, and what a hostile message can put into it. The forms themselves
 * are read by others in tests/e2e/test_returns.py. The source is included, because mtasim is a program and
 * not a library.
 */
#include "../sim/mtasim_return_mail.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CLICK "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"

static const struct {
	const char *name, *header, *address, *subject, *url; /* address and url empty: nowhere */
	enum sim_send send;
} cases[] = {
	{"no header", "To: <r@a.test>\r\n", "", "", "", SIM_SEND_UNSUBSCRIBE_MAIL},
	{"only a link", "List-Unsubscribe: <https://x.test/>\r\n", "", "", "", SIM_SEND_UNSUBSCRIBE_MAIL},
	{"only an address", CLICK "List-Unsubscribe: <mailto:l@x.test>\r\n", "", "", "",
		SIM_SEND_UNSUBSCRIBE_CLICK},
	{"without brackets", CLICK "List-Unsubscribe: https://x.test/\r\n", "", "", "",
		SIM_SEND_UNSUBSCRIBE_CLICK},
	{"bracket that stays open", CLICK "List-Unsubscribe: <https://x.test/\r\n", "", "", "",
		SIM_SEND_UNSUBSCRIBE_CLICK},
	{"not by one click", "List-Unsubscribe: <https://x.test/>\r\n", "", "", "",
		SIM_SEND_UNSUBSCRIBE_CLICK},
	{"by two clicks", "List-Unsubscribe-Post: Two\r\nList-Unsubscribe: <https://x.test/>\r\n", "", "", "",
		SIM_SEND_UNSUBSCRIBE_CLICK},
	{"in clear", CLICK "List-Unsubscribe: <http://x.test/>\r\n", "", "", "", SIM_SEND_UNSUBSCRIBE_CLICK},
	{"one click", CLICK "List-Unsubscribe: <https://x.test/u?a=b>\r\n", "", "unsubscribe", "x.test/u?a=b",
		SIM_SEND_UNSUBSCRIBE_CLICK},
	{"address, no subject", "List-Unsubscribe: <mailto:l@x.test>\r\n", "l@x.test", "unsubscribe", "",
		SIM_SEND_UNSUBSCRIBE_MAIL},
	{"second, folded, in capitals",
		"LIST-UNSUBSCRIBE: <https://x.test/>,\r\n <MAILTO:l@x.test?Subject=off>\r\n", "l@x.test",
		"off", "", SIM_SEND_UNSUBSCRIBE_MAIL},
	{"subject of nothing", "List-Unsubscribe: <mailto:l@x.test?subject=>\r\n", "l@x.test", "unsubscribe",
		"", SIM_SEND_UNSUBSCRIBE_MAIL},
	{"complaint that nobody asked for", "To: <r@a.test>\r\n", "", "", "", SIM_SEND_COMPLAINT},
	{"complaint by CFBL", "CFBL-Address: fbl@x.test ;\r\n report=arf\r\n", "fbl@x.test", "unsubscribe",
		"", SIM_SEND_COMPLAINT},
	{"complaint by CFBL, no parameter", "cfbl-address:\r\n fbl@x.test\r\n", "fbl@x.test", "unsubscribe",
		"", SIM_SEND_COMPLAINT},
	{"to the envelope sender", "", "s@x.test", "unsubscribe", "", SIM_SEND_DSN},
};

static void
test_goal(void **state)
{
	const struct sim_site site = {.hostname = (char *)(uintptr_t) "mx.a.test"};
	struct return_goal goal;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sim_return rule = {.send = cases[i].send};
		const struct return_facts facts = {&site, &rule, SMTP_LIT("s@x.test"), SMTP_LIT("r@a.test"),
			slice_of(cases[i].header), 0, 1};
		bool is_found = return_goal_find(&facts, &goal);
		bool is_wanted = cases[i].address[0] != '\0' || cases[i].url[0] != '\0';

		if (is_found != is_wanted)
			fail_msg("%s: found %d", cases[i].name, is_found);
		if (!is_found)
			continue;
		if (strcmp(goal.address, cases[i].address) != 0 ||
			strcmp(goal.subject, cases[i].subject) != 0 || strcmp(goal.url, cases[i].url) != 0)
			fail_msg("%s: \"%s\" \"%s\" \"%s\"", cases[i].name, goal.address, goal.subject,
				goal.url);
	}
}

static void
test_null_sender(void **state)
{
	const struct sim_return bounce = {.send = SIM_SEND_DSN};
	const struct sim_return complaint = {
		.send = SIM_SEND_COMPLAINT, .to = (char *)(uintptr_t) "fbl@x.test"};
	struct return_facts facts = {.rule = &bounce, .sender = SMTP_LIT("")};
	struct return_goal goal;

	assert_false(return_goal_find(&facts, &goal));
	facts.rule = &complaint;
	assert_true(return_goal_find(&facts, &goal));
	assert_string_equal(goal.address, "fbl@x.test");
}

static void
test_header_ends(void **state)
{
	static const struct {
		const char *message, *header;
	} ends[] = {
		{"A: b\r\n\r\nbody\r\n\r\n", "A: b\r\n"},
		{"A: b\r\nC: d\r\n", "A: b\r\nC: d\r\n"},
	};
	size_t i;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		assert_true(
			smtp_slice_is(return_header(slice_of(ends[i].message)), slice_of(ends[i].header)));
}

/* Neither script nor peer adds a line or a byte above ASCII; a redacted recipient is nowhere left. */
static void
test_bytes(void **state)
{
	const struct sim_site site = {.hostname = (char *)(uintptr_t) "mx.a.test"};
	struct sim_return rule = {.status = (char *)(uintptr_t) "5.1.1",
		.text = (char *)(uintptr_t) "550 a\r\nX-Added: 1",
		.redact = true};
	const struct return_facts facts = {&site, &rule, SMTP_LIT("s@x.test"), SMTP_LIT("r\n\xff@a.test"),
		SMTP_LIT("To: <R\n\xff@A.test>\r\nCc: r@b.test\r\n"), 0, 1};
	const struct return_goal goal = {.address = "t@x.test\r\nX-Added: 2", .subject = "s\nX-Added: 3"};
	int send;

	for (send = SIM_SEND_DSN; send <= SIM_SEND_UNREADABLE; send++) {
		size_t len = 0, i;
		char *text;

		rule.send = (enum sim_send)send;
		text = return_write(&facts, &goal, &len);
		assert_non_null(text);
		assert_true(len > 50);
		for (i = 0; i < len; i++) {
			assert_true((text[i] & 0x80) == 0);
			assert_true((text[i] == '\n') == (i > 0 && text[i - 1] == '\r'));
		}
		assert_null(strstr(text, "\nX-Added"));
		assert_null(strchr(text, '{'));
		if (rule.send == SIM_SEND_COMPLAINT)
			assert_non_null(strstr(text, "To: <redacted@a.test>\r\nCc: r@b.test\r\n"));
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goal),
		cmocka_unit_test(test_null_sender),
		cmocka_unit_test(test_header_ends),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
