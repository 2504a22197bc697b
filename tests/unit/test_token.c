/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: what was written is read, in any case and for its time; nothing else ever is. */
#include "feedback/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DAY      INT64_C(86400000000)
#define NOW      INT64_C(1790000000123456)
#define SECRET   "0123456789abcdef0123456789abcdef"
#define OTHER    "0123456789abcdef0123456789abcdeg"
#define SLICE(b) ((struct smtp_slice){(b), TOKEN_TEXT})

static const struct queue_message message = {.arrived_us = NOW, .nonce = 0x89abcdef};

static struct conf
conf_of(const char *secret, const char *previous)
{
	return (struct conf){.token_secrets = {secret, previous},
		.token_expire = 60 * DAY,
		.return_path_domain = "bounces.example.com"};
}

static void
test_round_trip(void **state)
{
	static const uint16_t numbers[] = {0, 1, 255, 256, 65535};
	struct conf c = conf_of(SECRET, "");

	for (int kind = TOKEN_RETURN_PATH; kind < TOKEN_KIND_COUNT; kind++)
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			struct token t = token_of((enum token_kind)kind, &message, numbers[i]), got = {0};
			char text[TOKEN_TEXT];

			token_write(&c, &t, text);
			for (size_t k = 0; k < TOKEN_TEXT; k++)
				assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz234567", text[k]));
			assert_int_equal(token_read(&c, SLICE(text), NOW, &got), TOKEN_GOOD);
			assert_int_equal(got.kind, kind);
			assert_int_equal(got.arrived_us, NOW);
			assert_int_equal(got.nonce, message.nonce);
			assert_int_equal(got.n, numbers[i]);
			/* Mail systems change its case. */
			for (size_t k = 0; k < TOKEN_TEXT; k += 2)
				if (text[k] >= 'a')
					text[k] = (char)(text[k] - 'a' + 'A');
			assert_int_equal(token_read(&c, SLICE(text), NOW, &got), TOKEN_GOOD);
		}
}

/* Made with Python's hmac and base64: tokens that are out stay good. */
static void
test_known_one(void **state)
{
	static const char known[] = "aedfx7w2e7bebcnlzxxqab5pldfku5sygi5wy6xg";
	struct conf c = conf_of(SECRET, "");
	struct token t = token_of(TOKEN_RETURN_PATH, &message, 7);
	char text[TOKEN_TEXT + 1] = "";

	token_write(&c, &t, text);
	assert_string_equal(text, known);
}

/* Each of the 200 bits. */
static void
test_every_bit(void **state)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	struct token t = token_of(TOKEN_UNSUBSCRIBE, &message, 3), got = {.n = 99};
	struct conf c = conf_of(SECRET, OTHER);
	char text[TOKEN_TEXT];

	token_write(&c, &t, text);
	for (size_t i = 0; i < TOKEN_TEXT; i++) {
		char was = text[i];
		size_t value = (size_t)(strchr(letters, was) - letters);

		for (unsigned bit = 0; bit < 5; bit++) {
			text[i] = letters[value ^ 1u << bit];
			assert_int_equal(token_read(&c, SLICE(text), NOW, &got), TOKEN_FORGED);
		}
		for (const char *p = "0189=+-@ \0\x80"; p < "0189=+-@ \0\x80" + 11; p++) {
			text[i] = *p;
			assert_int_equal(token_read(&c, SLICE(text), NOW, &got), TOKEN_NONE);
		}
		text[i] = was;
	}
	assert_int_equal(got.n, 99);
	for (size_t len = 0; len < TOKEN_TEXT; len++)
		assert_int_equal(token_read(&c, (struct smtp_slice){text, len}, NOW, &got), TOKEN_NONE);
}

static void
test_secrets_and_time(void **state)
{
	static const struct {
		const char *name, *secret, *previous;
		int64_t later_us;
		enum token_verdict want;
	} cases[] = {
		{"at once", SECRET, "", 0, TOKEN_GOOD},
		{"before: the clock was set back", SECRET, "", -DAY, TOKEN_GOOD},
		{"the last moment", SECRET, "", 60 * DAY - 1, TOKEN_GOOD},
		{"over", SECRET, "", 60 * DAY, TOKEN_EXPIRED},
		{"over, and forged", OTHER, "", 60 * DAY, TOKEN_FORGED},
		{"another secret", OTHER, "", 0, TOKEN_FORGED},
		{"the secret before", OTHER, SECRET, 0, TOKEN_GOOD},
		{"two others", OTHER, "x" SECRET, 0, TOKEN_FORGED},
		{"no secret any more", "", "", 0, TOKEN_FORGED},
	};
	struct conf c = conf_of(SECRET, "");
	struct token t = token_of(TOKEN_RETURN_PATH, &message, 0), got;
	char text[TOKEN_TEXT];

	token_write(&c, &t, text);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c = conf_of(cases[i].secret, cases[i].previous);
		if (token_read(&c, SLICE(text), NOW + cases[i].later_us, &got) != cases[i].want)
			fail_msg("%s", cases[i].name);
	}
}

static void
test_addresses(void **state)
{
	struct token t = token_of(TOKEN_RETURN_PATH, &message, 5), got;
	struct conf c = conf_of(SECRET, "");
	char address[SMTP_ADDRESS_MAX + 1];
	size_t len = (size_t)token_return_path(&c, &t, address);

	assert_int_equal(len, 7 + TOKEN_TEXT + 20);
	assert_memory_equal(address, "bounce+", 7);
	assert_string_equal(address + 7 + TOKEN_TEXT, "@bounces.example.com");
	assert_int_equal(token_find(&c, (struct smtp_slice){address, len}, NOW, &got), TOKEN_GOOD);
	assert_int_equal(got.n, 5);
}

/* Where people find them. */
static void
test_find(void **state)
{
	static const struct {
		const char *before, *behind;
		enum token_verdict want;
	} cases[] = {
		{"bounce+", "@bounces.example.com", TOKEN_GOOD},
		{"/u/", "", TOKEN_GOOD},
		{"https://x.test/u?a=b&t=", "&utm=x", TOKEN_GOOD},
		{"/", "/", TOKEN_GOOD},
		{"=", "#a", TOKEN_GOOD},
		{"", "", TOKEN_GOOD},
		{"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/", "", TOKEN_GOOD},
		{"/", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", TOKEN_FORGED},
		{"bounce-", "@bounces.example.com", TOKEN_NONE},
		{"bounce+", "x@bounces.example.com", TOKEN_NONE},
		{"a", "", TOKEN_NONE},
		{"", " ", TOKEN_NONE},
	};
	struct token t = token_of(TOKEN_UNSUBSCRIBE, &message, 9), got;
	struct conf c = conf_of(SECRET, "");
	char token[TOKEN_TEXT], text[200];

	token_write(&c, &t, token);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int len = snprintf(
			text, sizeof(text), "%s%.*s%s", cases[i].before, TOKEN_TEXT, token, cases[i].behind);

		if (token_find(&c, (struct smtp_slice){text, (size_t)len}, NOW, &got) != cases[i].want)
			fail_msg("%s", text);
		assert_int_equal(
			token_find(&c, (struct smtp_slice){text, TOKEN_TEXT - 1}, NOW, &got), TOKEN_NONE);
	}
}

/* Those that are over are before those that are not. */
static void
test_keys(void **state)
{
	char a[TOKEN_KEY], b[TOKEN_KEY], before[TOKEN_KEY];
	struct token t = token_of(TOKEN_RETURN_PATH, &message, 1), next = t;
	struct conf c = conf_of(SECRET, "");

	assert_int_equal(token_key(&t, a).len, TOKEN_KEY);
	next.kind = TOKEN_UNSUBSCRIBE;
	assert_memory_equal(token_key(&next, b).ptr, a, TOKEN_KEY);
	next.n++;
	assert_true(memcmp(a, token_key(&next, b).ptr, TOKEN_KEY) < 0);
	next = t;
	next.arrived_us++;
	next.nonce = 0;
	assert_true(memcmp(a, token_key(&next, b).ptr, TOKEN_KEY) < 0);
	(void)token_key_expired(&c, NOW + 60 * DAY - 1, before);
	assert_true(memcmp(a, before, TOKEN_KEY) > 0);
	(void)token_key_expired(&c, NOW + 60 * DAY + 1, before);
	assert_true(memcmp(a, before, TOKEN_KEY) < 0);
	(void)token_key_expired(&c, 5, before); /* a clock of 1970 */
	assert_true(memcmp(a, before, TOKEN_KEY) > 0);
	next = (struct token){0};
	assert_true(token_of_key(token_key(&t, a), &next));
	assert_true(next.arrived_us == t.arrived_us && next.nonce == t.nonce && next.n == t.n);
	assert_false(token_of_key((struct queue_blob){a, TOKEN_KEY - 1}, &next));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_known_one),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_secrets_and_time),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
