/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request: whole in one way only, whatever pieces it comes in; its form, its languages. */
#include "feedback/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "Host: www.example.com\r\n"

static char long_text[HTTP_HEAD_MAX + HTTP_BODY_MAX];

/* Not inlined: the compiler would take the bound for a claim about the array behind the pointer. */
__attribute__((noinline)) static struct smtp_slice
text(const char *s)
{
	return (struct smtp_slice){s, strnlen(s, sizeof(long_text))};
}

static void
assert_slice(struct smtp_slice got, const char *want)
{
	assert_int_equal(got.len, text(want).len);
	assert_memory_equal(got.ptr, want, got.len);
}

/* In a block of its own exact size, so that a sanitizer sees one byte too far. */
static int
read_exact(struct smtp_slice in)
{
	char *exact = malloc(in.len + 1);
	struct http_request r;
	int got;

	assert_non_null(exact);
	memcpy(exact + 1, in.ptr, in.len);
	got = http_read((struct smtp_slice){exact + 1, in.len}, &r);
	free(exact);
	return got;
}

static void
test_requests(void **state)
{
	static const struct {
		const char *name, *in;
		int want;
		enum http_method method;
		const char *target, *body;
	} cases[] = {
		{"a look", "GET /u/x HTTP/1.1\r\n" HEAD "\r\n", 1, HTTP_GET, "/u/x", ""},
		{"no fields", "HEAD / HTTP/1.0\r\n\r\n", 1, HTTP_HEAD, "/", ""},
		{"a form", "POST /?t=x HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b", 1, HTTP_POST, "/?t=x",
			"a=b"},
		{"more than its length", "POST / HTTP/1.1\r\ncontent-length:1\r\n\r\nabc", 1, HTTP_POST, "/",
			"a"},
		{"another method", "DELETE / HTTP/1.1\r\n\r\n", 1, HTTP_OTHER, "/", ""},
		{"small letters are another", "get / HTTP/1.1\r\n\r\n", 1, HTTP_OTHER, "/", ""},
		{"no target", "GET HTTP/1.1\r\n\r\n", 400, 0, "", ""},
		{"a whole address", "GET http://x/ HTTP/1.1\r\n\r\n", 400, 0, "", ""},
		{"two blanks", "GET  / HTTP/1.1\r\n\r\n", 400, 0, "", ""},
		{"no version", "GET /\r\n\r\n", 400, 0, "", ""},
		{"a new version", "GET / HTTP/3.0\r\n\r\n", 505, 0, "", ""},
		{"an empty line first", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400, 0, "", ""},
		{"a bare LF", "GET / HTTP/1.1\nHost: x\r\n\r\n", 400, 0, "", ""},
		{"a bare CR", "GET / HTTP/1.1\rHost: x\r\n\r\n", 400, 0, "", ""},
		{"a folded field", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, 0, "", ""},
		{"a blank before the colon", "GET / HTTP/1.1\r\nA : b\r\n\r\n", 400, 0, "", ""},
		{"no colon", "GET / HTTP/1.1\r\nA\r\n\r\n", 400, 0, "", ""},
		{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, 0,
			"", ""},
		{"a length with a sign", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", 400, 0, "", ""},
		{"a length that is none", "POST / HTTP/1.1\r\nContent-Length: \r\n\r\na", 400, 0, "", ""},
		{"a length without end", "POST / HTTP/1.1\r\nContent-Length: 00000000000000000001\r\n\r\na",
			400, 0, "", ""},
		{"too long a form", "POST / HTTP/1.1\r\nContent-Length: 16385\r\n\r\n", 413, 0, "", ""},
		{"chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501, 0, "", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_slice in = text(cases[i].in);
		struct http_request r;

		if (read_exact(in) != cases[i].want)
			fail_msg("%s: %d", cases[i].name, read_exact(in));
		for (size_t len = 0; len < in.len - (cases[i].body[0] != '\0' ? 3 : 1); len++)
			if (read_exact((struct smtp_slice){in.ptr, len}) == 1)
				fail_msg("%s is whole after %zu bytes", cases[i].name, len);
		if (cases[i].want != 1)
			continue;
		assert_int_equal(http_read(in, &r), 1);
		assert_int_equal(r.method, cases[i].method);
		assert_slice(r.target, cases[i].target);
		assert_slice(r.body, cases[i].body);
	}
}

static void
test_bounds(void **state)
{
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text, "GET /", 5);
	assert_int_equal(read_exact((struct smtp_slice){long_text, HTTP_HEAD_MAX - 1}), 0);
	assert_int_equal(read_exact((struct smtp_slice){long_text, HTTP_HEAD_MAX}), 414);
	memcpy(long_text, "GET / HTTP/1.1\r\n", 16);
	assert_int_equal(read_exact((struct smtp_slice){long_text, HTTP_HEAD_MAX}), 431);
	memcpy(long_text + HTTP_HEAD_MAX - 3, "\r\n\r\n", 4); /* one byte too late */
	assert_int_equal(read_exact((struct smtp_slice){long_text, HTTP_HEAD_MAX + 1}), 431);
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text, "POST / HTTP/1.1\r\nContent-Length: 16384\r\n\r\n", 42);
	assert_int_equal(read_exact((struct smtp_slice){long_text, 42 + HTTP_BODY_MAX - 1}), 0);
	assert_int_equal(read_exact((struct smtp_slice){long_text, 42 + HTTP_BODY_MAX}), 1);
}

#define PART(name, value) "\r\n--b\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" value

static void
test_forms(void **state)
{
	static const char url[] = "application/x-www-form-urlencoded",
			  multi[] = "multipart/form-data; boundary=b";
	static const struct {
		const char *name, *type, *body;
		bool want;
	} cases[] = {
		{"as RFC 8058 has it", url, "List-Unsubscribe=One-Click", true},
		{"with a charset", "Application/X-WWW-Form-urlencoded; charset=UTF-8",
			"List-Unsubscribe=One-Click", true},
		{"without a type", "", "List-Unsubscribe=One-Click", true},
		{"with a line end", url, "List-Unsubscribe=One-Click\r\n", true},
		{"among others", url, "a=b&List-Unsubscribe=One-Click&c", true},
		{"encoded", url, "%4cist%2DUnsubscribe=One%2dClick", true},
		{"another value", url, "List-Unsubscribe=one-click", false},
		{"a longer value", url, "List-Unsubscribe=One-Click2", false},
		{"no value", url, "List-Unsubscribe", false},
		{"nothing", url, "", false},
		{"half an escape", url, "List-Unsubscribe=One-Clic%6", false},
		{"a zero byte", url, "List-Unsubscribe=One-Click%00", false},
		{"another type", "text/plain", "List-Unsubscribe=One-Click", false},
		{"parts", multi,
			"--b\r\nContent-Disposition: form-data; "
			"name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--",
			true},
		{"a quoted boundary", "multipart/form-data; charset=x; boundary=\"b\"",
			PART("List-Unsubscribe", "One-Click") "\r\n--b--\r\n", true},
		{"the second part", multi,
			PART("\"a\"", "x") PART("\"List-Unsubscribe\"", "One-Click") "\r\n--b--\r\n", true},
		{"a part with more fields", multi,
			"--b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; "
			"name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--",
			true},
		{"the name of one, the value of another", multi,
			PART("\"List-Unsubscribe\"", "x") PART("\"a\"", "One-Click") "\r\n--b--\r\n", false},
		{"no end", multi, PART("\"List-Unsubscribe\"", "One-Click"), false},
		{"no boundary", "multipart/form-data",
			PART("\"List-Unsubscribe\"", "One-Click") "\r\n--b--\r\n", false},
		{"an empty one", "multipart/form-data; boundary=\"\"",
			PART("\"List-Unsubscribe\"", "One-Click") "\r\n--\r\n", false},
		{"no parts", multi, "--b--", false},
		{"no head", multi, "--b\r\nOne-Click\r\n--b--", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char fields[200];
		struct http_request r = {.method = HTTP_POST, .body = text(cases[i].body)};

		snprintf(fields, sizeof(fields), "A: b\r\n%s%s%s",
			cases[i].type[0] != '\0' ? "Content-Type: " : "", cases[i].type,
			cases[i].type[0] != '\0' ? "\r\n" : "");
		r.fields = text(fields);
		if (http_form_has(&r, SMTP_LIT("List-Unsubscribe"), SMTP_LIT("One-Click")) != cases[i].want)
			fail_msg("%s", cases[i].name);
	}
}

static void
test_languages(void **state)
{
	static const char names[][3] = {"en", "de", "fr"};
	static const struct {
		const char *accept;
		unsigned want;
	} cases[] = {{"", 0}, {"de", 1}, {"FR-ca", 2}, {"de-AT,de;q=0.9,en;q=0.8", 1},
		{"fr;q=0.5, de;q=0.6", 1}, {"fr;q=0, en", 0}, {"es, fr;q=0.1", 2}, {"deu", 0}, {"*", 0},
		{"de;q=x", 0}, {";;,,q=,=;de", 0}, {"fr;q=1.5;q=0.1,de", 2}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request r = {.method = HTTP_GET};
		char fields[100];

		snprintf(fields, sizeof(fields), "accept-language: %s\r\n", cases[i].accept);
		r.fields = text(fields);
		if (http_language(&r, names, 3) != cases[i].want)
			fail_msg("%s: %u", cases[i].accept, http_language(&r, names, 3));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_languages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
