/* SPDX-License-Identifier: Apache-2.0 */
/* finding: texts of strangers made clean, the gravest kind, the end of the list. */
#include "feedback/finding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strlen(text)};
}

static const struct {
	const char *in, *want;
} texts[] = {
	{"550 no", "550 no"},
	{" a\r\n\tb\x01\x7f c ", "a b c"},
	{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	{"a\xff\xc3z\x80", "a??z?"},
	{"a\xc2\x9b"
	 "31m",
		"a 31m"},
	{"\xc0\xaf\xe0\x80\x80\xed\xa0\x80\xf0\x80\x80\x80\xf4\x90\x80\x80\xf5", "?????????????????"},
	{"", ""},
};

static void
test_put(void **state)
{
	char buf[64];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		finding_put(buf, sizeof(buf), slice(texts[i].in));
		assert_string_equal(buf, texts[i].want);
	}
	/* A cut never leaves half a character, and the end is always marked. */
	finding_put(buf, 4, SMTP_LIT("ab\xe2\x82\xac"));
	assert_string_equal(buf, "ab");
	finding_put(buf, 3, SMTP_LIT("a b"));
	assert_string_equal(buf, "a");
	finding_put(buf, 1, SMTP_LIT("ab"));
	assert_string_equal(buf, "");
}

static void
test_values(void **state)
{
	char buf[20];

	finding_put_value(buf, sizeof(buf), SMTP_LIT(" =?utf-8?Q?a=00b=0A?=\r\n =?utf-8?Q?c?= "));
	assert_string_equal(buf, "a b c");
	finding_put_address(buf, sizeof(buf), SMTP_LIT("\"A Name Longer Than Twenty\" <a@b.test>"));
	assert_string_equal(buf, "a@b.test");
	finding_put_address(buf, 4, SMTP_LIT("<a@b.test>"));
	assert_string_equal(buf, "a@b");
}

static void
test_add(void **state)
{
	struct finding *f = malloc(sizeof(*f));

	assert_non_null(f);
	memset(f, 0xff, sizeof(*f));
	finding_clear(f);
	assert_int_equal(f->kind, FINDING_UNKNOWN);
	assert_int_equal(finding_add(f, FINDING_DELIVERED)->kind, FINDING_DELIVERED);
	assert_int_equal(f->kind, FINDING_DELIVERED);
	assert_int_equal(finding_add(f, FINDING_DELAY)->address[0], '\0');
	assert_int_equal(f->kind, FINDING_DELAY);
	assert_int_equal(finding_add(f, FINDING_BOUNCE)->action, SMTP_DSN_NO_ACTION);
	assert_int_equal(finding_add(f, FINDING_DELAY)->text[0], '\0');
	assert_int_equal(f->kind, FINDING_BOUNCE);
	while (f->rcpt_count < FINDING_RCPTS_MAX)
		assert_non_null(finding_add(f, FINDING_BOUNCE));
	assert_false(f->is_truncated);
	assert_null(finding_add(f, FINDING_BOUNCE));
	assert_true(f->is_truncated);
	free(f);
}

static void
test_names(void **state)
{
	for (int a = 0; a < FINDING_KIND_COUNT; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(finding_kind_name((enum finding_kind)a),
				finding_kind_name((enum finding_kind)b));
	assert_string_equal(finding_kind_name(FINDING_ADDRESS_CHANGED), "address-changed");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
