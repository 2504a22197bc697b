/* SPDX-License-Identifier: Apache-2.0 */
/* How long a queue would take to empty, where a person can reckon it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "queue/simulate.h"
#include "queue_names.h"
#include "shape/override.h"
#include "shape/sandbox.h"

/* The first minute of a day, of an hour and of a minute. */
#define NOW (INT64_C(20000) * DAY)

static struct simulate_queue *
queue_of(uint64_t ready, int64_t transaction_us)
{
	const struct simulate_row row = {transaction_us, 1000, true};
	const struct simulate_group g = {.domain = {"d.example", 9},
		.sites = {{"mx.d.example", 12}, {"mx.d.example", 12}},
		.user = {"shop", 4},
		.job = {"", 0},
		.sender = {"", 0},
		.pool = {"", 0},
		.source = {"", 0},
		.ready = ready,
		.rcpts_a_message = 1,
		.bytes = 1000};
	struct simulate_queue *s = simulate_create(NOW);

	assert_non_null(s);
	assert_true(simulate_add_row(s, &row));
	assert_true(simulate_add_group(s, &g));
	return s;
}

static struct simulate_result
run_until(const struct simulate_queue *s, const struct conf *c, uint32_t side, uint64_t events)
{
	const struct simulate_run run = {c, side, 2000, NOW + 7 * DAY, events};
	struct simulate_result r;
	struct simulate_summary summary;

	assert_true(simulate_run(s, &run, &r, &summary));
	return r;
}

#define TWO "source a { }\nsource b { }\npool default { sources = { a, b } }\n"
#define ONE "source a { }\npool default { sources = { a } }\n"
#define WARMUP                                                                                               \
	"warmup w { volumes = { 100, 200, 300 } }\nsource a { warmup = w }\npool default { sources = { a } " \
	"}\n"

/* 10 ms a transaction and 10 connections are 1,000/s. Windows of a minute and more begin on the clock: the
 * first is used up at once, and 1000 at 100/m are through in the tenth. */
static const struct {
	const char *name, *text;
	uint64_t ready;
	int64_t transaction_us, least_us, most_us;
	enum simulate_end end;
	enum queue_why why;
} cases[] = {
	{"100 a minute", ONE "domain \"*\" { rate = 100/m }\n", 1000, 10000, 9 * MINUTE, 10 * MINUTE,
		SIMULATE_EMPTY, QUEUE_WHY_RATE},
	{"two sources halve it", TWO "domain \"*\" { rate = 100/m }\n", 1000, 10000, 4 * MINUTE, 5 * MINUTE,
		SIMULATE_EMPTY, QUEUE_WHY_RATE},
	{"a rate of the site holds for both", TWO "domain \"*\" { site-rate = 100/m }\n", 1000, 10000,
		9 * MINUTE, 10 * MINUTE, SIMULATE_EMPTY, QUEUE_WHY_RATE},
	{"10 a second", ONE "domain \"*\" { rate = 10/s }\n", 1000, 10000, 99 * SEC, 103 * SEC,
		SIMULATE_EMPTY, QUEUE_WHY_RATE},
	{"one connection", ONE "domain \"*\" { connections = 1 messages-per-connection = 0 }\n", 1000, 100000,
		100 * SEC, 102 * SEC, SIMULATE_EMPTY, QUEUE_WHY_BUSY},
	{"a user's rate", ONE "user shop { password-file = secrets/shop rate = 100/h sandbox = off }\n", 250,
		10000, 2 * HOUR, 3 * HOUR, SIMULATE_EMPTY, QUEUE_WHY_RATE},
	{"a source's rate", "source a { rate = 100/d }\npool default { sources = { a } }\n", 250, 10000,
		2 * DAY, 3 * DAY, SIMULATE_EMPTY, QUEUE_WHY_RATE},
	{"not in seven days", ONE "domain \"*\" { rate = 10/d }\n", 1000, 10000, 0, 0, SIMULATE_LATER,
		QUEUE_WHY_RATE},
	{"it warms up: 100, 200, 300, then no limit", WARMUP, 600, 10000, 2 * DAY, 3 * DAY, SIMULATE_EMPTY,
		QUEUE_WHY_WARMUP},
};

static void
test_reckoned_by_hand(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		const struct conf *c;
		struct simulate_queue *s = queue_of(cases[i].ready, cases[i].transaction_us);
		struct simulate_result r;

		snprintf(text, sizeof(text), "%s%s", HOST, cases[i].text);
		c = must_load(*state, text);
		r = run_until(s, c, 0, 1000000);
		if (r.end != cases[i].end || r.empty_us < cases[i].least_us ||
			r.empty_us > cases[i].most_us || r.limit.reason.why != cases[i].why)
			fail_msg("%s: end %d after %lld s, left %llu, why %d", cases[i].name, (int)r.end,
				(long long)(r.empty_us / SEC), (unsigned long long)r.left,
				(int)r.limit.reason.why);
		assert_int_equal(r.rcpts, cases[i].ready);
		simulate_destroy(&s);
		assert_null(s);
		conf_unref(c);
	}
}

/* Also where chance has a part. */
static void
test_same_configuration_same_answer(void **state)
{
	const struct conf *a = must_load(*state, HOST TWO "domain \"*\" { rate = 90/m connections = 3 }\n");
	const struct conf *b = must_load(*state, HOST TWO "domain \"*\" { rate = 90/m connections = 3 }\n");
	struct simulate_queue *s = queue_of(5000, 37000);
	struct simulate_result x = run_until(s, a, 0, 1000000), y = run_until(s, b, 1, 1000000);

	assert_int_equal(x.end, SIMULATE_EMPTY);
	assert_int_equal(x.empty_us, y.empty_us);
	simulate_destroy(&s);
	conf_unref(a);
	conf_unref(b);
}

/* What waits for its next attempt is not sent before. */
static void
test_waiting(void **state)
{
	const struct conf *c = must_load(*state, HOST ONE);
	const struct simulate_row row = {10000, 1000, true};
	struct simulate_group g = {.domain = {"d.example", 9},
		.sites = {{"mx", 2}, {"mx", 2}},
		.rcpts_a_message = 1,
		.bytes = 1000,
		.due = {{0}, {0}, {1000, NOW + 4 * MINUTE, NOW + 6 * MINUTE}}};
	struct simulate_queue *s = simulate_create(NOW);
	struct simulate_result r;

	g.user = g.job = g.sender = g.pool = g.source = (struct queue_blob){"", 0};
	assert_true(simulate_add_row(s, &row) && simulate_add_group(s, &g));
	r = run_until(s, c, 0, 1000000);
	assert_in_range(r.empty_us, 6 * MINUTE, 6 * MINUTE + 2 * SEC);
	assert_int_equal(r.limit.reason.why, QUEUE_WHY_RETRY);
	simulate_destroy(&s);
	conf_unref(c);
}

/* What an operator has set holds in any configuration: a limit for its time, here instead of 1,000 an hour,
 * and that a user is out of its sandbox. */
static void
test_set_by_hand(void **state)
{
	struct override o = {.level = QUEUE_LEVEL_SITE, .made_us = NOW, .until_us = NOW + HOUR};
	const struct sandbox_lift lift = {.at_us = NOW};
	const struct conf *c = must_load(*state, HOST ONE "domain \"*\" { site-rate = 1000/h }\n"
							  "user shop { password-file = secrets/shop }\n");
	char key[OVERRIDE_NOTE_MAX + 1], record[OVERRIDE_RECORD_MAX];
	uint8_t value[SANDBOX_NOTE_MAX];
	struct conf_why why;

	assert_true(override_take_name(&o, "", "mx.d.example", &why));
	assert_true(override_take_value(&o, "rate", "10/h", &why));
	for (int lifted = 0; lifted < 2; lifted++) {
		struct simulate_queue *s = queue_of(500, 10000);
		struct simulate_result r;
		size_t len = override_write_key(&o, key);

		assert_true(simulate_add_note(s, (struct queue_blob){key, len},
			(struct queue_blob){record, override_write_record(&o, record)}));
		if (lifted == 1)
			assert_true(simulate_add_note(s, blob_of(SANDBOX_NOTES "shop"),
				(struct queue_blob){value, sandbox_encode(&lift, value)}));
		r = run_until(s, c, 0, 1000000);
		assert_int_equal(r.end, SIMULATE_EMPTY);
		if (lifted == 1)
			assert_in_range(r.empty_us, HOUR, HOUR + MINUTE);
		else /* 200 a day, so the third has the rest */
			assert_in_range(r.empty_us, 2 * DAY, 2 * DAY + HOUR);
		simulate_destroy(&s);
	}
	conf_unref(c);
}

static void
test_pauses(void **state)
{
	static const struct {
		struct simulate_pause pause;
		int64_t least_us;
		enum simulate_end end;
	} paused[] = {
		{{QUEUE_PAUSE_DOMAIN, {"d.example", 9}, {"", 0}, NOW + HOUR}, HOUR, SIMULATE_EMPTY},
		{{QUEUE_PAUSE_SOURCE, {"a", 1}, {"", 0}, NOW + HOUR}, HOUR, SIMULATE_EMPTY},
		{{QUEUE_PAUSE_USER, {"shop", 4}, {"asked", 5}, INT64_MAX}, 0, SIMULATE_LATER},
		{{QUEUE_PAUSE_USER, {"shop", 4}, {"asked", 5}, INT64_MAX, {"mx.d.example", 12}}, 0,
			SIMULATE_LATER},
		{{QUEUE_PAUSE_USER, {"shop", 4}, {"asked", 5}, INT64_MAX, {"elsewhere", 9}}, 0,
			SIMULATE_EMPTY},
		{{QUEUE_PAUSE_DOMAIN, {"other.example", 13}, {"", 0}, INT64_MAX}, 0, SIMULATE_EMPTY},
		{{QUEUE_PAUSE_SOURCE, {"gone", 4}, {"", 0}, INT64_MAX}, 0, SIMULATE_EMPTY},
	};
	const struct conf *c = must_load(*state, HOST ONE);

	for (size_t i = 0; i < sizeof(paused) / sizeof(paused[0]); i++) {
		struct simulate_queue *s = queue_of(100, 10000);
		struct simulate_result r;

		assert_true(simulate_add_pause(s, &paused[i].pause));
		r = run_until(s, c, 0, 1000000);
		assert_int_equal(r.end, paused[i].end);
		if (r.end == SIMULATE_EMPTY)
			assert_in_range(r.empty_us, paused[i].least_us, paused[i].least_us + 5 * SEC);
		else
			assert_int_equal(r.limit.reason.why, QUEUE_WHY_PAUSED);
		simulate_destroy(&s);
	}
	conf_unref(c);
}

/* More events than are wanted: what is left is reckoned at the pace of the second half. */
static void
test_cut(void **state)
{
	const struct conf *c = must_load(*state, HOST ONE "domain \"*\" { rate = 10/s }\n");
	struct simulate_queue *s = queue_of(100000, 10000);
	struct simulate_result r = run_until(s, c, 0, 20000);

	assert_int_equal(r.end, SIMULATE_RECKONED);
	assert_true(r.left > 50000);
	assert_in_range(r.empty_us, 9900 * SEC, 10300 * SEC);
	simulate_destroy(&s);
	conf_unref(c);
}

/* Recipients of one message go together: a rate of messages is that much less of a limit. */
static void
test_recipients_a_message(void **state)
{
	const struct conf *c = must_load(*state, HOST ONE "domain \"*\" { rate = 10/m }\n");
	const struct simulate_row row = {10000, 1000, false};
	struct simulate_group g = {.domain = {"d.example", 9},
		.sites = {{"mx", 2}, {"mx", 2}},
		.ready = 1000,
		.rcpts_a_message = 50};
	struct simulate_queue *s = simulate_create(NOW);
	struct simulate_result r;

	g.user = g.job = g.sender = g.pool = g.source = (struct queue_blob){"", 0};
	assert_true(simulate_add_row(s, &row) && simulate_add_group(s, &g));
	r = run_until(s, c, 0, 1000000);
	assert_in_range(r.empty_us, MINUTE, 2 * MINUTE);
	assert_int_equal(r.limit.us, 0); /* it was not watched */
	simulate_destroy(&s);
	conf_unref(c);
}

static int
setup(void **state)
{
	folder_setup(state);
	put_secrets(*state, "");
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, folder_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_reckoned_by_hand),
		TEST(test_same_configuration_same_answer), TEST(test_waiting), TEST(test_set_by_hand),
		TEST(test_pauses), TEST(test_cut), TEST(test_recipients_a_message)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
