/* SPDX-License-Identifier: Apache-2.0 */
/* books: of each type of record all mail is told of once, whichever files there are. */
#include "report/books.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#define IDS "type, timeLogged, rcpt, eventId"

/* "path:types" of each book in order, "?" behind those with a choice; then what is partial. */
static void
describe(const struct books *b, char *out, size_t max)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < b->count; i++) {
		len += (size_t)snprintf(out + len, max - len, "%s%s:", i > 0 ? " " : "", b->items[i].path);
		for (int n = 0; n < RECORD_TYPE_COUNT; n++)
			if ((b->items[i].take_set >> n & 1) != 0)
				len += (size_t)snprintf(out + len, max - len, "%s,",
					conf_record_letters((enum conf_record)n));
		if (b->items[i].has_choice)
			len += (size_t)snprintf(out + len, max - len, "?");
	}
	for (int n = 0; n < RECORD_TYPE_COUNT; n++)
		if ((b->partial_set >> n & 1) != 0)
			len += (size_t)snprintf(
				out + len, max - len, " -%s", conf_record_letters((enum conf_record)n));
}

static const struct {
	const char *name, *text, *want;
} cases[] = {
	{"the simple files: one of them, the one that says more",
		"accounting-file = /c accounting-json = /j accounting-records = { d, b }", "/j:d,b,"},
	{"CSV where there is no JSON", "accounting-file = /c accounting-records = { d, b, r }", "/c:d,b,r,"},
	{"none", "accounting-file = none", ""},
	{"a JSON block before CSV; what it does not have from there",
		"accounting-file = /c accounting-records = { d, b, t }"
		"accounting x { path = /x format = json records = { d, r } }",
		"/x:d,r, /c:b,t,"},
	{"the JSON file with most types first",
		"accounting-file = none accounting-json = /j accounting-records = { d, b }"
		"accounting x { path = /x format = json records = { d, b, t } }",
		"/x:d,b,t,"},
	{"default columns before chosen ones, however many types these have",
		"accounting-file = /c accounting-records = { d, b }"
		"accounting x { path = /x records = { d, b, t, r } fields = { " IDS " } }",
		"/c:d,b, /x:t,r,"},
	{"a block without a time is not read",
		"accounting-file = none accounting x { path = /x fields = { type, rcpt, eventId } }", ""},
	{"choices with ids are put together; what all mail is in needs none of them",
		"accounting-file = /c accounting-records = { d }"
		"accounting x { path = /x format = json records = { d, b } jobs = { \"a*\" } }"
		"accounting y { path = /y records = { b, t } users = { \"u*\" } fields = { " IDS " } }",
		"/c:d, /x:b,? /y:b,t,? -b -t"},
	{"a choice without ids takes what nobody else has",
		"accounting-file = none"
		" accounting w { path = /w records = { b, r } jobs = { \"a*\" } }"
		"accounting x { path = /x format = json records = { b } jobs = { \"a*\" } }"
		"accounting y { path = /y records = { r, t } jobs = { \"b*\" } }",
		"/x:b,? /w:r,? /y:t,? -b -t -r"},
	{"a choice of classes is one of failures alone",
		"accounting-file = none accounting x { path = /x format = json records = { d, b, rb, f }"
		" bounce-classes = { suppress } }",
		"/x:d,b,rb,f,? -b -rb"},
};

static void
test_choose(void **state)
{
	char text[2000], have[600];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *nowhere = fopen("/dev/null", "w");
		int len = snprintf(text, sizeof(text), HOST "%s\n", cases[i].text);
		const struct conf *c = conf_load_bytes("mtad.conf", text, (size_t)len, nowhere);
		struct books b;

		if (c == NULL)
			fail_msg("%s: it does not load", cases[i].name);
		books_choose(c, &b);
		describe(&b, have, sizeof(have));
		if (strcmp(have, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].name, have);
		conf_unref(c);
		fclose(nowhere);
	}
}

static int
add(struct books_ids *ids, uint64_t spool, uint64_t seq)
{
	char text[64];
	int len = snprintf(
		text, sizeof(text), "%016llx-%llu", (unsigned long long)spool, (unsigned long long)seq);

	return books_ids_add(ids, (struct queue_blob){text, (size_t)len});
}

static void
test_ids(void **state)
{
	struct books_ids *ids = books_ids_create();

	assert_non_null(ids);
	/* Over many blocks, two spools, in two orders; each once. */
	for (uint64_t i = 0; i < 3000; i++) {
		assert_int_equal(add(ids, 0xab, i * 12345), 1);
		assert_int_equal(add(ids, UINT64_MAX, i), 1);
	}
	for (uint64_t i = 3000; i-- > 0;) {
		assert_int_equal(add(ids, UINT64_MAX, i), 0);
		assert_int_equal(add(ids, 0xab, i * 12345), 0);
		assert_int_equal(add(ids, 0xab, i * 12345 + 1), 1);
	}
	assert_int_equal(add(ids, 1, UINT64_MAX), 1);
	assert_int_equal(add(ids, 1, UINT64_MAX), 0);
	books_ids_destroy(&ids);
	assert_null(ids);
}

/* Records without one cannot be compared: each counts. */
static void
test_what_is_no_id(void **state)
{
	static const char *const words[] = {"", "7", "00000000000000ab", "00000000000000ab-",
		"00000000000000ab-x", "00000000000000AB-1", "00000000000000ab_1", "0000000000000xab-1",
		"00000000000000ab-123456789012345678901"};
	struct books_ids *ids = books_ids_create();

	assert_non_null(ids);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (int again = 0; again < 2; again++)
			assert_int_equal(
				books_ids_add(ids, (struct queue_blob){words[i], text_len(words[i])}), 1);
	books_ids_destroy(&ids);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_what_is_no_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
