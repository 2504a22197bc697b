/* SPDX-License-Identifier: Apache-2.0 */
/* Which mail gets tokens, and what stands in its header then. */
#include "feedback/issue.h"
#include "feedback/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

static const char settings[] = HOST
	"token-secret-file = secrets/tokens  return-path-domain = bounces.Example.com\n"
	"unsubscribe-url = \"https://www.example.com/u?t=\"  unsubscribe-mailto = Unsub@bounces.example.com\n"
	"user shop { password-file = secrets/shop  return-path = verp }\n"
	"user club { password-file = secrets/club  return-path = keep  list-unsubscribe = yes }\n"
	"pool p { sources = { s }  return-path = verp  list-unsubscribe = yes }\n"
	"source s { }\n"
	"stream orders { jobs = { order* }  list-unsubscribe = no }\n"
	"stream bulk { classes = { bulk }  return-path = keep  list-unsubscribe = yes }\n";

static void
test_who_says_it(void **state)
{
	static const struct {
		const char *name;
		struct queue_message m;
		enum conf_return_path return_path;
		enum conf_list_unsubscribe list;
	} cases[] = {
		{"nobody", {.user = {"", 0}}, CONF_RETURN_PATH_KEEP, CONF_LIST_UNSUBSCRIBE_NO},
		{"the user", {.user = {"shop", 4}}, CONF_RETURN_PATH_VERP, CONF_LIST_UNSUBSCRIBE_NO},
		{"user before pool", {.user = {"club", 4}, .pool = {"p", 1}}, CONF_RETURN_PATH_KEEP,
			CONF_LIST_UNSUBSCRIBE_YES},
		{"the pool", {.pool = {"p", 1}}, CONF_RETURN_PATH_VERP, CONF_LIST_UNSUBSCRIBE_YES},
		{"setting by setting", {.user = {"shop", 4}, .pool = {"p", 1}}, CONF_RETURN_PATH_VERP,
			CONF_LIST_UNSUBSCRIBE_YES},
		{"stream before user", {.user = {"club", 4}, .job = {"orders", 6}}, CONF_RETURN_PATH_KEEP,
			CONF_LIST_UNSUBSCRIBE_NO},
		{"what the stream leaves out", {.user = {"shop", 4}, .job = {"order", 5}},
			CONF_RETURN_PATH_VERP, CONF_LIST_UNSUBSCRIBE_NO},
		{"its class", {.user = {"shop", 4}, .klass = QUEUE_CLASS_BULK}, CONF_RETURN_PATH_KEEP,
			CONF_LIST_UNSUBSCRIBE_YES},
		{"a user that is gone", {.user = {"gone", 4}, .pool = {"gone", 4}}, CONF_RETURN_PATH_KEEP,
			CONF_LIST_UNSUBSCRIBE_NO},
	};
	const struct conf *c;

	put_secrets(*state, "");
	c = must_load(*state, settings);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_feedback f = issue_wanted(c, &cases[i].m);

		if (f.return_path != (int)cases[i].return_path || f.list_unsubscribe != (int)cases[i].list)
			fail_msg("%s: %d, %d", cases[i].name, f.return_path, f.list_unsubscribe);
	}
	conf_unref(c);
	/* Without a secret nothing is asked for. */
	c = must_load(*state, HOST);
	assert_int_equal(issue_wanted(c, &cases[1].m).return_path, CONF_RETURN_PATH_KEEP);
	conf_unref(c);
}

static void
test_fields(void **state)
{
	struct queue_message m = {.arrived_us = INT64_C(1790000000123456)};
	char buf[ISSUE_FIELDS_MAX], want[ISSUE_FIELDS_MAX], text[TOKEN_TEXT];
	struct token t, got;
	const struct conf *c;

	issue_begin(&m, 0); /* chance may say that */
	assert_int_not_equal(m.nonce, 0);
	issue_begin(&m, 77);
	assert_int_not_equal(m.nonce, 77);
	put_secrets(*state, "");
	c = must_load(*state, settings);
	t = token_of(TOKEN_UNSUBSCRIBE, &m, 2);
	token_write(c, &t, text);
	snprintf(want, sizeof(want),
		"List-Unsubscribe: <https://www.example.com/u?t=%.*s>,\r\n"
		"\t<mailto:Unsub+%.*s@bounces.example.com?subject=unsubscribe>\r\n"
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
		TOKEN_TEXT, text, TOKEN_TEXT, text);
	assert_int_equal(issue_fields(c, &m, 2, buf), text_len(want));
	assert_string_equal(buf, want);
	assert_int_equal(
		token_read(c, (struct smtp_slice){text, TOKEN_TEXT}, m.arrived_us, &got), TOKEN_GOOD);
	conf_unref(c);
	/* RFC 8058 3.1: one click is for links. */
	c = must_load(*state, HOST "token-secret-file = secrets/tokens  unsubscribe-mailto = u@b.test\n");
	(void)issue_fields(c, &m, 2, buf);
	assert_memory_equal(buf, "List-Unsubscribe: <mailto:u+", 28);
	assert_null(strstr(buf, "Post"));
	conf_unref(c);
	/* The longest there can be. */
	memset(want, 'a', 400);
	memcpy(want, "https://", 8);
	want[399] = '/';
	snprintf(buf, sizeof(buf),
		HOST "token-secret-file = secrets/tokens  unsubscribe-mailto = "
		     "abcdefghijklmnopqrstuvw@%.63s.%.63s.%.61s.aa\n"
		     "unsubscribe-url = %.400s\n",
		want + 10, want + 10, want + 10, want);
	c = must_load(*state, buf);
	assert_in_range(issue_fields(c, &m, 65535, buf), 700, ISSUE_FIELDS_MAX - 1);
	conf_unref(c);
}

static void
test_cfbl(void **state)
{
	struct queue_message m = {.arrived_us = INT64_C(1790000000123456), .nonce = 77};
	char buf[ISSUE_CFBL_MAX], want[ISSUE_CFBL_MAX], text[TOKEN_TEXT];
	const struct token t = {TOKEN_COMPLAINT, m.arrived_us, 77, 2};
	const struct conf *c;

	put_secrets(*state, "");
	c = must_load(*state, HOST "token-secret-file = secrets/tokens  cfbl-address = Cfbl@B.test\n"
				   "stream s { jobs = { news }  cfbl = yes }\n");
	m.job = (struct queue_blob){"news", 4};
	assert_int_equal(issue_wanted(c, &m).cfbl, CONF_CFBL_YES);
	m.job.len = 0;
	assert_int_equal(issue_wanted(c, &m).cfbl, CONF_CFBL_NO);
	token_write(c, &t, text);
	snprintf(want, sizeof(want), "CFBL-Address: Cfbl@b.test; report=arf\r\nCFBL-Feedback-ID: %.*s\r\n",
		TOKEN_TEXT, text);
	assert_int_equal(issue_cfbl(c, &m, 2, buf), text_len(want));
	assert_string_equal(buf, want);
	conf_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_who_says_it),
		WITH_FOLDER(test_fields),
		WITH_FOLDER(test_cfbl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
