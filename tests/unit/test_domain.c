/* SPDX-License-Identifier: Apache-2.0 */
/* domain: one spelling for each domain, and no spelling for what is none. */
#include "base/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define L63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define N253 L63 "." L63 "." L63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name, *in, *want; /* want NULL: refused */
} cases[] = {
	{"plain", "example.com", "example.com"},
	{"upper case", "EXAMPLE.Com", "example.com"},
	{"trailing dot", "example.com.", "example.com"},
	{"one label", "localhost", "localhost"},
	{"underscore", "_mail.example.com", "_mail.example.com"},
	{"U-label",
		"b\xc3\xbc"
		"cher.example",
		"xn--bcher-kva.example"},
	{"U-label, upper case",
		"B\xc3\x9c"
		"CHER.Example.",
		"xn--bcher-kva.example"},
	{"U-label, decomposed",
		"bu\xcc\x88"
		"cher.example",
		"xn--bcher-kva.example"},
	{"sharp s stays itself",
		"stra\xc3\x9f"
		"e.example",
		"xn--strae-oqa.example"},
	{"A-label", "XN--BCHER-KVA.example", "xn--bcher-kva.example"},
	{"ideographic full stop",
		"b\xc3\xbc\xe3\x80\x82"
		"example",
		"xn--b-eha.example"},
	{"literal", "[192.0.2.1]", "[192.0.2.1]"},
	{"literal, v6, as it stands", "[IPv6:2001:DB8::1]", "[IPv6:2001:DB8::1]"},
	{"longest label", L63 ".example", L63 ".example"},
	{"longest name", N253, N253},
	{"longest name with a dot", N253 ".", N253},
	{"empty", "", NULL},
	{"dot", ".", NULL},
	{"two dots at the end", "example.com..", NULL},
	{"empty label", "example..com", NULL},
	{"dot first", ".example.com", NULL},
	{"label too long", "a" L63 ".example", NULL},
	{"name too long", "a" N253, NULL},
	{"blank", "example .com", NULL},
	{"at sign", "a@example.com", NULL},
	{"wildcard is for the caller", "*.example.com", NULL},
	{"not UTF-8",
		"b\xfc"
		"cher.example",
		NULL},
	{"symbol that IDNA forbids",
		"b\xe2\x80\xa8"
		"b.example",
		NULL},
	{"literal without end", "[192.0.2.1", NULL},
	{"literal without content", "[]", NULL},
	{"bytes behind the literal", "[192.0.2.1]x", NULL},
	{"line break in a literal", "[192.0.2.1\r]", NULL},
};

static void
test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[DOMAIN_MAX] = "untouched";
		int n = domain_normalise(cases[i].in, strnlen(cases[i].in, 1024), out, sizeof(out));

		if (cases[i].want == NULL) {
			if (n != -1)
				fail_msg("%s: accepted as \"%s\"", cases[i].name, out);
			assert_string_equal(out, "untouched");
			continue;
		}
		if (n < 0)
			fail_msg("%s: refused", cases[i].name);
		assert_string_equal(out, cases[i].want);
		assert_int_equal(n, strnlen(cases[i].want, sizeof(out)));
		/* Room for the text without its NUL is not enough; a second pass changes nothing. */
		assert_int_equal(
			domain_normalise(cases[i].in, strnlen(cases[i].in, 1024), out, (size_t)n), -1);
		assert_int_equal(domain_normalise(cases[i].want, (size_t)n, out, sizeof(out)), n);
		assert_string_equal(out, cases[i].want);
	}
}

static void
test_nul(void **state)
{
	char out[DOMAIN_MAX];

	assert_int_equal(domain_normalise("a\0b.example", 11, out, sizeof(out)), -1);
	assert_int_equal(domain_normalise("\xc3\xbc\0.example", 11, out, sizeof(out)), -1);
	assert_int_equal(domain_normalise("[a\0b]", 5, out, sizeof(out)), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
