/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_base64 and the shared helpers of smtp_types: known vectors both ways, and what must be refused. */
#include "smtp_base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	struct smtp_slice plain, text;
} vectors[] = {
	/* RFC 4648 10 */
	{SMTP_LIT(""), SMTP_LIT("")},
	{SMTP_LIT("f"), SMTP_LIT("Zg==")},
	{SMTP_LIT("fo"), SMTP_LIT("Zm8=")},
	{SMTP_LIT("foo"), SMTP_LIT("Zm9v")},
	{SMTP_LIT("foob"), SMTP_LIT("Zm9vYg==")},
	{SMTP_LIT("fooba"), SMTP_LIT("Zm9vYmE=")},
	{SMTP_LIT("foobar"), SMTP_LIT("Zm9vYmFy")},
	{SMTP_LIT("\0user\0secret"), SMTP_LIT("AHVzZXIAc2VjcmV0")},
	{SMTP_LIT("\xff\xef\xfe"), SMTP_LIT("/+/+")},
};

static void
test_vectors(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct smtp_slice plain = vectors[i].plain, text = vectors[i].text;
		char buf[64];

		assert_int_equal(smtp_base64_encode(plain, buf, text.len), text.len);
		assert_memory_equal(buf, text.ptr, text.len);
		assert_int_equal(smtp_base64_decode(text, buf, plain.len), plain.len);
		assert_memory_equal(buf, plain.ptr, plain.len);
		if (plain.len == 0)
			continue;
		assert_int_equal(smtp_base64_encode(plain, buf, text.len - 1), SMTP_ENOSPACE);
		assert_int_equal(smtp_base64_decode(text, buf, plain.len - 1), SMTP_ENOSPACE);
		/* Decoding in place is promised. */
		memcpy(buf, text.ptr, text.len);
		assert_int_equal(
			smtp_base64_decode((struct smtp_slice){buf, text.len}, buf, sizeof(buf)), plain.len);
		assert_memory_equal(buf, plain.ptr, plain.len);
	}
}

static const struct {
	const char *name;
	struct smtp_slice text;
} refused[] = {
	{"no padding", SMTP_LIT("Zg")},
	{"half the padding", SMTP_LIT("Zg=")},
	{"three pads", SMTP_LIT("Z===")},
	{"only pads", SMTP_LIT("====")},
	{"two pads alone", SMTP_LIT("==")},
	{"pad inside", SMTP_LIT("Zg==Zg==")},
	{"pad in the middle of a group", SMTP_LIT("Z=9v")},
	{"blank", SMTP_LIT("Zm9 ")},
	{"line break", SMTP_LIT("Zm9v\r\n")},
	{"NUL", SMTP_LIT("Zm9\0")},
	{"URL alphabet", SMTP_LIT("_-_-")},
	{"above 127", SMTP_LIT("Zm9\xc3")},
	{"bits behind one byte", SMTP_LIT("Zh==")},
	{"bits behind two bytes", SMTP_LIT("Zm9=")},
};

static void
test_refused(void **state)
{
	char buf[64];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (smtp_base64_decode(refused[i].text, buf, sizeof(buf)) != SMTP_ESYNTAX)
			fail_msg("%s: accepted", refused[i].name);
}

static void
test_types(void **state)
{
	assert_true(smtp_slice_is_nocase(SMTP_LIT("MaIl"), SMTP_LIT("mAiL")));
	assert_true(smtp_slice_is_nocase(SMTP_LIT(""), (struct smtp_slice){NULL, 0}));
	assert_false(smtp_slice_is_nocase(SMTP_LIT("mail"), SMTP_LIT("mails")));
	assert_false(smtp_slice_is_nocase(SMTP_LIT("@"), SMTP_LIT("`")));
	assert_false(smtp_slice_is_nocase(SMTP_LIT("\xc4"), SMTP_LIT("\xe4")));
	for (int err = SMTP_EUTF8 - 1; err <= 1; err++)
		assert_non_null(smtp_err_text(err));
	assert_string_equal(smtp_err_text(SMTP_EUTF8 - 1), "unknown error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
