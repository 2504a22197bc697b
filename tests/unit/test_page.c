/* SPDX-License-Identifier: Apache-2.0 */
/* Pages: whole HTTP answers in every language, in which no address is more than text. */
#include "feedback/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LANGUAGES = 4 };

static const char *
write_page(const struct page_input *in, char buf[PAGE_MAX + 1])
{
	size_t len = page_write(in, buf);

	assert_in_range(len, 1, PAGE_MAX);
	buf[len] = '\0';
	return buf;
}

static void
test_every_page(void **state)
{
	static const char *const languages[LANGUAGES] = {"en", "de", "fr", "es"};
	static const unsigned statuses[PAGE_KIND_COUNT] = {200, 200, 400, 404, 410, 429, 503};
	char longest[400], buf[PAGE_MAX + 1], want[100];

	memset(longest, '<', sizeof(longest));
	longest[300] = '@';
	for (int kind = 0; kind < PAGE_KIND_COUNT; kind++)
		for (unsigned l = 0; l < LANGUAGES; l++) {
			struct page_input in = {
				.kind = (enum page_kind)kind, .language = l, .address = {longest, 340}};
			const char *page = write_page(&in, buf), *body = strstr(page, "\r\n\r\n");

			snprintf(want, sizeof(want), "HTTP/1.1 %u ", statuses[kind]);
			assert_memory_equal(page, want, strnlen(want, sizeof(want)));
			assert_non_null(body);
			snprintf(want, sizeof(want), "\r\nContent-Length: %td\r\n",
				page + strnlen(page, PAGE_MAX) - (body + 4));
			assert_non_null(strstr(page, want));
			snprintf(want, sizeof(want), "<html lang=\"%s\">", languages[l]);
			assert_non_null(strstr(page, want));
			assert_int_equal(
				strstr(page, "<form method=\"post\">") != NULL, kind == PAGE_CONFIRM);
			assert_int_equal(strstr(page, "Retry-After: ") != NULL, statuses[kind] > 410);
			assert_null(strstr(page, "<<"));
			in.is_head = true;
			page = write_page(&in, buf);
			assert_string_equal(strstr(page, "\r\n\r\n"), "\r\n\r\n");
		}
}

static void
test_other_statuses(void **state)
{
	struct page_input in = {.kind = PAGE_INCOMPLETE, .status = 405};
	char buf[PAGE_MAX + 1];
	const char *page = write_page(&in, buf);

	assert_memory_equal(page, "HTTP/1.1 405 Method Not Allowed\r\n", 33);
	assert_non_null(strstr(page, "\r\nAllow: GET, HEAD, POST\r\n"));
	in.status = 431;
	assert_memory_equal(write_page(&in, buf), "HTTP/1.1 431 Request Header Fields Too Large\r\n", 45);
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *name, *address, *want;
	} cases[] = {
		{"its first letter", "marie.curie@a.test", "<b>m\u2026@a.test</b>"},
		{"of one letter", "m@a.test", "<b>m\u2026@a.test</b>"},
		{"UTF-8", "\u00e9mile@a.test", "<b>\u00e9\u2026@a.test</b>"},
		{"four bytes", "\U0001f600x@a.test", "<b>\U0001f600\u2026@a.test</b>"},
		{"no UTF-8", "\x80\x80\x80\x80\x80\x80@a.test", "<b>\u2026@a.test</b>"},
		{"quoted", "\"<script>\"@a.test", "<b>&#34;\u2026@a.test</b>"},
		{"a domain of others' words", "a@<b>&'.test", "<b>a\u2026@&#60;b&#62;&#38;&#39;.test</b>"},
		{"no domain", "marie", "<b>m\u2026</b>"},
		{"nothing", "", "<b>\u2026</b>"},
		{"a domain too long to show",
			"a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test",
			"<b>\u2026</b>"},
	};
	char buf[PAGE_MAX + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strnlen(cases[i].address, 200);
		char *exact = malloc(len + 1);
		struct page_input in = {.kind = PAGE_CONFIRM, .address = {exact + 1, len}};

		assert_non_null(exact);
		memcpy(exact + 1, cases[i].address, len);
		if (strstr(write_page(&in, buf), cases[i].want) == NULL)
			fail_msg("%s: %s", cases[i].name, strstr(buf, "<b>"));
		free(exact);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_page),
		cmocka_unit_test(test_other_statuses),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
