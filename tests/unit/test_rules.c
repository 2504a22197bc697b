/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "rules_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE (INT64_C(60) * 1000000)
#define ANY    RULES_PROVIDER_ANY
#define NONE   RULES_PROVIDER_NONE

/* The names of the rules that hold, joined by blanks. */
static void
names_of(const struct conf *c, const struct rules_match *m, char *buf, size_t max)
{
	size_t n = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < m->count && n < max; i++)
		n += (size_t)snprintf(buf + n, max - n, "%s%s", i > 0 ? " " : "", c->rules[m->rules[i]].name);
}

static const char file[] =
	HOST "provider a { mx = a.example }\n"
	     "provider b { mx = b.example }\n"
	     "profile slow { rate = 1/m }\n"
	     "rule own-b     { providers = b  text = 'quota'  last = yes  retry = 20m }\n"
	     "rule all-4     { code = 4xx  text = 'busy'  pause = \"lane 2h\" }\n"
	     "rule own-a     { providers = a  text = { 'busy', 'too (fast|often)' }  slow = 50% }\n"
	     "rule code      { code = { 452, 55x }  note = x }\n"
	     "rule enhanced  { enhanced = { 4.7.*, *.1.1 }  treat = permanent }\n"
	     "rule phase     { phase = data  text = 'content'  treat = temporary }\n"
	     "rule both      { providers = { b, a }  text = 'both'  next-source = yes  retry = 10m }\n"
	     "rule hint      { text = 'again'  retry = hint }\n"
	     "rule after     { text = 'again|both'  retry = 30m }\n";

static void
test_match(void **state)
{
	static const struct {
		const char *name;
		int provider; /* 0: a, 1: b */
		uint32_t phases;
		const char *reply, *want;
	} cases[] = {
		{"in the order of the file", 0, RULES_PHASES_ANY, "421 busy", "all-4 own-a"},
		{"rules of another provider", 1, RULES_PHASES_ANY, "421 busy", "all-4"},
		{"a site of no provider", NONE, RULES_PHASES_ANY, "421 busy", "all-4"},
		{"whoever it is for", ANY, RULES_PHASES_ANY, "421 busy too fast", "all-4 own-a"},
		{"another class", 0, RULES_PHASES_ANY, "550 busy", "own-a code"},
		{"a rule for two", 0, RULES_PHASES_ANY, "450 both", "both after"},
		{"and for the other", 1, RULES_PHASES_ANY, "450 both", "both after"},
		{"and for no third", NONE, RULES_PHASES_ANY, "450 both", "after"},
		{"the last one", 1, RULES_PHASES_ANY, "452 quota busy again", "own-b"},
		{"which is not the last of others", 0, RULES_PHASES_ANY, "452 quota busy again",
			"all-4 own-a code hint after"},
		{"the last one, to look at", ANY, RULES_PHASES_ANY, "452 quota busy",
			"own-b all-4 own-a code"},
		{"one of two expressions", 0, RULES_PHASES_ANY, "450 TOO OFTEN", "own-a"},
		{"a code", NONE, RULES_PHASES_ANY, "452 x", "code"},
		{"a range of codes", NONE, RULES_PHASES_ANY, "559 x", "code"},
		{"beside it", NONE, RULES_PHASES_ANY, "560 x", ""},
		{"an enhanced code", NONE, RULES_PHASES_ANY, "450 4.7.99 x", "enhanced"},
		{"of any class", NONE, RULES_PHASES_ANY, "521 5.1.1 x", "enhanced"},
		{"of another subject", NONE, RULES_PHASES_ANY, "450 4.2.1 x", ""},
		{"none where one is wanted", NONE, RULES_PHASES_ANY, "450 x 4.7.1", ""},
		{"a phase", NONE, RULES_PHASE(SMTP_PHASE_DOT), "521 content", "phase"},
		{"another phase", NONE, RULES_PHASE(SMTP_PHASE_RCPT), "521 content", ""},
		{"success", 0, RULES_PHASES_ANY, "250 busy again", ""},
		{"go on", 0, RULES_PHASES_ANY, "354 busy again", ""},
	};
	const struct conf *c = must_load(*state, file);
	struct rules *r = rules_create(c);

	assert_non_null(r);
	conf_unref(c);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply_parser p;
		struct smtp_reply reply = read_reply(&p, cases[i].reply);
		struct rules_match m;
		char got[300];

		rules_match(r, &(struct rules_reply){cases[i].provider, cases[i].phases, &reply}, &m);
		names_of(c, &m, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].name, got, cases[i].want);
	}
	assert_int_equal(rules_gave_up_next(r, 1), -1);
	rules_unref(r);
}

static void
test_recipient(void **state)
{
	static const struct {
		const char *name, *reply;
		enum conf_treat treat;
		int64_t retry_us;
		bool next_source;
	} cases[] = {
		{"nothing", "421 x", CONF_TREAT_UNSET, 0, false},
		{"the first that says it", "450 4.7.1 content", CONF_TREAT_PERMANENT, 0, false},
		{"the only one", "450 content", CONF_TREAT_TEMPORARY, 0, false},
		{"the first wait", "450 both again", CONF_TREAT_UNSET, 10 * MINUTE, true},
		{"a hint", "450 again in 7 minutes", CONF_TREAT_UNSET, 7 * MINUTE, false},
		{"a reply without a hint leaves it to the next", "450 again", CONF_TREAT_UNSET, 30 * MINUTE,
			false},
	};
	const struct conf *c = must_load(*state, file);
	struct rules *r = rules_create(c);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply_parser p;
		struct smtp_reply reply = read_reply(&p, cases[i].reply);
		struct rules_match m;

		rules_match(r, &(struct rules_reply){0, RULES_PHASES_ANY, &reply}, &m);
		if (m.treat != cases[i].treat || m.retry_us != cases[i].retry_us ||
			m.next_source != cases[i].next_source)
			fail_msg("%s: treat %d, retry %lld s", cases[i].name, (int)m.treat,
				(long long)(m.retry_us / 1000000));
	}
	rules_unref(r);
	conf_unref(c);
}

static void
test_text(void **state)
{
	static const struct {
		const char *reply, *want;
	} cases[] = {
		{"421 busy", "421 busy"},
		{"421-4.7.28 our system\n421-4.7.28 has detected\n421 4.7.28 that",
			"421 4.7.28 our system has detected that"},
		{"421-4.7.28 a\n421 4.7.281 b", "421 4.7.28 a 4.7.281 b"},
		{"421-4.7.28 a\n421 4.7.28", "421 4.7.28 a 4.7.28"},
		{"421-a\n421 4.7.28 b", "421 a 4.7.28 b"},
		{"421", "421 "},
		{"550-\n550 a\xe9\x01", "550  a\xe9\x01"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply_parser p;
		struct smtp_reply reply = read_reply(&p, cases[i].reply);
		char text[RULES_TEXT_MAX];
		size_t len = rules_text(&reply, text);

		if (len != text_len(cases[i].want) || memcmp(text, cases[i].want, len) != 0)
			fail_msg("\"%.*s\", not \"%s\"", (int)len, text, cases[i].want);
	}
}

static void
test_read(void **state)
{
	static const struct {
		const char *text;
		uint16_t code; /* 0: none */
		const char *want;
		int detail; /* of the enhanced code, -1: none */
	} cases[] = {
		{"421 4.7.28 a", 421, "4.7.28 a", 28},
		{"421-4.7.28 a\r\n421 4.7.28 b\r\n", 421, "4.7.28 a\n4.7.28 b", 28},
		{"421 4.7.28 a\n4.7.28 b", 421, "4.7.28 a\n4.7.28 b", 28},
		{"421-a\n421", 421, "a\n", -1},
		{"421-a\n\nb", 421, "a\n\nb", -1},
		{"421-a\n422 b", 421, "a\n422 b", -1},
		{"421", 421, "", -1},
		{"421-only", 421, "only", -1},
		{"", 0, NULL, 0},
		{"\n", 0, NULL, 0},
		{"42", 0, NULL, 0},
		{"4211 a", 0, NULL, 0},
		{"999 a", 0, NULL, 0},
		{"later 421", 0, NULL, 0},
		{"4.7.1 later", 0, NULL, 0},
		{"421 a\rb", 0, NULL, 0},
	};
	char *long_text = malloc(5000);

	assert_non_null(long_text);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply_parser p;
		struct smtp_reply reply = {0};
		bool is_reply = rules_read(cases[i].text, text_len(cases[i].text), &p, &reply);

		if (is_reply != (cases[i].code != 0) || reply.code != cases[i].code)
			fail_msg("%s: %u", cases[i].text, (unsigned)reply.code);
		if (!is_reply)
			continue;
		assert_int_equal(reply.text.len, text_len(cases[i].want));
		assert_memory_equal(reply.text.ptr, cases[i].want, reply.text.len);
		assert_int_equal(reply.esc.class_digit != 0 ? reply.esc.detail : -1, cases[i].detail);
	}
	memset(long_text, '4', 5000);
	long_text[3] = ' ';
	assert_false(rules_read(long_text, 5000, &(struct smtp_reply_parser){0}, &(struct smtp_reply){0}));
	free(long_text);
}

/* The longest reply there can be, and more rules than are reported. */
static void
test_bounds(void **state)
{
	char conf[4000] = HOST, *long_text = calloc(1, SMTP_REPLY_TEXT_MAX + 1);
	size_t n = sizeof(HOST) - 1;
	struct smtp_reply reply = {.code = 421, .text = {long_text, SMTP_REPLY_TEXT_MAX}};
	const struct conf *c;
	struct rules *r;
	struct rules_match m;

	assert_non_null(long_text);
	memset(long_text, 'a', SMTP_REPLY_TEXT_MAX);
	long_text[SMTP_REPLY_TEXT_MAX - 1] = 'z';
	for (int i = 0; i < RULES_MATCH_MAX + 4; i++)
		n += (size_t)snprintf(conf + n, sizeof(conf) - n, "rule r%d { text = '%s' note = x }\n", i,
			i == 0 ? "^(a|aa)+$" : "az$");
	c = must_load(*state, conf);
	r = rules_create(c);
	rules_match(r, &(struct rules_reply){NONE, RULES_PHASES_ANY, &reply}, &m);
	assert_int_equal(m.count, RULES_MATCH_MAX);
	assert_int_equal(m.rules[0], 1);
	assert_int_equal(rules_gave_up_next(r, 1), -1);
	reply.code = 599;
	reply.text.len = 0;
	rules_match(r, &(struct rules_reply){NONE, RULES_PHASES_ANY, &reply}, &m);
	assert_int_equal(m.count, 0);
	rules_unref(r);
	conf_unref(c);
	free(long_text);
}

static void
test_gave_up(void **state)
{
	const struct conf *c = must_load(*state,
		HOST "rule good { text = 'z' note = x }\nrule r { text = { '(a|aa)+$', 'z' } note = x }\n");
	const int64_t hour_us = INT64_C(3600000000);
	struct rules *r = rules_create(c);
	struct smtp_reply_parser p;
	struct smtp_reply reply =
		read_reply(&p, "421 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
	struct rules_match m;

	rules_match(r, &(struct rules_reply){NONE, RULES_PHASES_ANY, &reply}, &m);
	assert_int_equal(m.count, 0);
	assert_int_equal(rules_gave_up(r, 0), 0);
	assert_int_equal(rules_gave_up(r, 1), 1);
	assert_int_equal(rules_gave_up_next(r, 5), 1);
	assert_int_equal(rules_gave_up_next(r, 5), -1);
	rules_match(r, &(struct rules_reply){NONE, RULES_PHASES_ANY, &reply}, &m);
	assert_int_equal(rules_gave_up(r, 1), 2);
	assert_int_equal(rules_gave_up_next(r, hour_us), -1); /* told within the hour */
	rules_match(r, &(struct rules_reply){NONE, RULES_PHASES_ANY, &reply}, &m);
	assert_int_equal(rules_gave_up_next(r, hour_us + 5), 1);
	assert_int_equal(rules_gave_up_next(r, 3 * hour_us), -1); /* nothing new */
	rules_unref(r);
	conf_unref(c);
}

static void *
match_many(void *arg)
{
	struct smtp_reply_parser p;
	struct smtp_reply reply = read_reply(&p, "421 busy too fast");
	struct rules_match m;

	for (int i = 0; i < 2000; i++) {
		rules_match(arg, &(struct rules_reply){0, RULES_PHASES_ANY, &reply}, &m);
		if (m.count != 2)
			return arg;
	}
	return NULL;
}

static void
test_threads(void **state)
{
	const struct conf *c = must_load(*state, file);
	struct rules *r = rules_create(c);
	pthread_t threads[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, match_many, r), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	rules_unref(r);
	conf_unref(c);
}

static void
test_say(void **state)
{
	static const struct {
		const char *rule, *want;
	} cases[] = {
		{"note = x", "nothing"},
		{"pause = { \"lane 2h\", \"sender 90m\" }",
			"pause the lane for 2h; pause the sender's domain at the site for 1h30m"},
		{"count = \"5 in 1h\" pause = \"lane 45s\" alert = yes treat = temporary retry = 1d",
			"pause the lane for 45s after 5 in 1h; alert after 5 in 1h; treat as temporary; "
			"retry "
			"in 1d"},
		{"profile = slow slow = 25% duration = 2h",
			"profile slow for 2h; slow the lane to 25% for 2h"},
		{"treat = permanent last = yes", "treat as permanent; no further rule"},
		{"retry = hint next-source = yes", "retry when the reply says; retry from another source"},
	};
	char text[500], said[RULES_WORDS_MAX], small[12];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf *c;

		(void)snprintf(
			text, sizeof(text), HOST "profile slow { rate = 1/m }\nrule r { %s }", cases[i].rule);
		c = must_load(*state, text);
		rules_say(c, 0, said, sizeof(said));
		assert_string_equal(said, cases[i].want);
		for (size_t max = 1; max <= sizeof(small); max++) {
			rules_say(c, 0, small, max);
			assert_true(strnlen(small, max) < max);
			assert_memory_equal(small, said, strnlen(small, max) / 2);
		}
		conf_unref(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_match),
		WITH_FOLDER(test_recipient),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_read),
		WITH_FOLDER(test_bounds),
		WITH_FOLDER(test_gave_up),
		WITH_FOLDER(test_threads),
		WITH_FOLDER(test_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
