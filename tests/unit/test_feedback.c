/* SPDX-License-Identifier: Apache-2.0 */
/* What the spool knows of a token: the recipient as it was accepted; what comes back counts once; what is
 * over goes. */
#include "queue/feedback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_issued.h"
#include "store_fixture.h"

#define DAY INT64_C(86400000000)
#define NOW INT64_C(1790000000123456)

enum { NONCE = 77 };

static const struct conf conf = {
	.token_secrets = {"0123456789abcdef0123456789abcdef", ""}, .token_expire = 60 * DAY};

static struct token
token(enum token_kind kind, int64_t arrived_us, uint16_t n)
{
	return (struct token){kind, arrived_us, NONCE, n};
}

static void
issue(struct fixture *f, int64_t arrived_us, uint16_t n)
{
	const struct event e = {.type = EVENT_RECEIVED,
		.id = 5,
		.n = n,
		.queued_us = arrived_us,
		.logged_us = arrived_us,
		.rcpt = BLOB("r@a.test"),
		.sender = BLOB("shop@x.test"),
		.user = BLOB("shop"),
		.job = BLOB("news-1")};

	OK(queue_store_begin(f->store));
	OK(feedback_issue(f->store, NONCE, &e));
	OK(queue_store_commit(f->store));
}

static bool
use(struct fixture *f, enum event_type type, uint16_t n)
{
	struct feedback_item item = {.event = {.type = type},
		.has_token = true,
		.token = token(TOKEN_RETURN_PATH, NOW, n),
		.is_repeat = true};

	OK(queue_store_begin(f->store));
	OK(feedback_use(f->store, &item));
	OK(queue_store_commit(f->store));
	return !item.is_repeat;
}

static void
test_whose_it_is(void **state)
{
	struct fixture *f = *state;
	struct token t = token(TOKEN_UNSUBSCRIBE, NOW, 3);
	struct feedback_item item;
	char texts[QUEUE_EVENT_MAX];

	assert_int_equal(feedback_find(f->store, &t, &item, texts), QUEUE_ENOTFOUND);
	issue(f, NOW, 3);
	OK(feedback_find(f->store, &t, &item, texts));
	assert_int_equal(item.event.type, EVENT_RECEIVED);
	assert_int_equal(item.event.id, 5);
	assert_int_equal(item.event.n, 3);
	assert_int_equal(item.event.queued_us, NOW);
	assert_int_equal(item.event.rcpt.len, 8);
	assert_memory_equal(item.event.rcpt.ptr, "r@a.test", 8);
	assert_memory_equal(item.event.job.ptr, "news-1", 6);
	assert_true(item.has_token);
	assert_false(item.is_repeat);
	OK(feedback_unsubscribe(f->store, &t, NOW + 7, "one-click", &item, texts));
	assert_int_equal(item.event.type, EVENT_UNSUBSCRIBE);
	assert_int_equal(item.event.logged_us, NOW + 7);
	assert_memory_equal(item.event.feedback.ptr, "one-click", item.event.feedback.len);
	/* Neighbours are others. */
	t.n = 2;
	assert_int_equal(feedback_unsubscribe(f->store, &t, NOW, "mailto", &item, texts), QUEUE_ENOTFOUND);
	t = token(TOKEN_UNSUBSCRIBE, NOW + 1, 3);
	assert_int_equal(feedback_find(f->store, &t, &item, texts), QUEUE_ENOTFOUND);
}

static void
test_each_use_counts_once(void **state)
{
	struct fixture *f = *state;
	struct token t = token(TOKEN_UNSUBSCRIBE, NOW, 0);
	struct feedback_item item;
	char texts[QUEUE_EVENT_MAX];

	issue(f, NOW, 0);
	assert_true(use(f, EVENT_UNSUBSCRIBE, 0));
	assert_false(use(f, EVENT_UNSUBSCRIBE, 0));
	assert_true(use(f, EVENT_REMOTE, 0)); /* a bounce is something else */
	assert_true(use(f, EVENT_COMPLAINT, 0));
	OK(feedback_find(f->store, &t, &item, texts));
	feedback_make(&item, EVENT_UNSUBSCRIBE, NOW);
	assert_true(item.is_repeat);
	/* What is not known cannot have been used. */
	assert_true(use(f, EVENT_UNSUBSCRIBE, 1));
	assert_true(use(f, EVENT_UNSUBSCRIBE, 1));
	item.has_token = false;
	OK(queue_store_begin(f->store));
	OK(feedback_use(f->store, &item));
	OK(queue_store_commit(f->store));
	assert_false(item.is_repeat);
}

/* Whose it was when it went out is known as well. */
static void
test_what_was_delivered(void **state)
{
	struct fixture *f = *state;
	struct event e = {.type = EVENT_DELIVERED,
		.queued_us = NOW,
		.logged_us = NOW + 3,
		.n = 3,
		.rcpt = BLOB("r@a.test"),
		.source = BLOB("ip1"),
		.site = BLOB("a.test")};
	struct token t = token(TOKEN_RETURN_PATH, NOW, 3);
	struct feedback_item item;
	char texts[QUEUE_EVENT_MAX];

	issue(f, NOW, 3);
	assert_true(use(f, EVENT_COMPLAINT, 3));
	OK(queue_store_begin(f->store));
	OK(feedback_delivered(f->store, NONCE, &e));
	OK(feedback_delivered(f->store, NONCE + 1, &e)); /* over, or never issued */
	OK(queue_store_commit(f->store));
	OK(feedback_find(f->store, &t, &item, texts));
	assert_int_equal(item.event.type, EVENT_DELIVERED);
	assert_memory_equal(item.event.source.ptr, "ip1", 3);
	assert_true(item.sent_us == NOW + 3);
	feedback_make(&item, EVENT_COMPLAINT, NOW);
	assert_true(item.is_repeat);
	feedback_make(&item, EVENT_REMOTE, NOW);
	assert_false(item.is_repeat);
}

/* A message of three recipients, and at the same moment another one of another nonce. */
static void
issue_several(struct fixture *f)
{
	static const char *const rcpts[] = {"a@a.test", "b@a.test", "c@a.test"};
	struct event e = {.type = EVENT_RECEIVED, .queued_us = NOW, .message_id = BLOB("one@x.test")};

	OK(queue_store_begin(f->store));
	for (uint16_t n = 0; n < 3; n++) {
		e.n = n;
		e.rcpt = (struct queue_blob){rcpts[n], 8};
		OK(feedback_issue(f->store, NONCE, &e));
	}
	e.n = 0;
	e.message_id = BLOB("two@x.test");
	OK(feedback_issue(f->store, NONCE + 1, &e));
	OK(queue_store_commit(f->store));
}

static void
test_traces(void **state)
{
	static const struct {
		const char *name;
		struct feedback_trace trace;
		int want; /* n, -1: not found */
	} cases[] = {
		{"nonce and recipient", {NOW, NOW + 1, NONCE, {"", 0}, {"b@a.test", 8}}, 1},
		{"in any case", {NOW, NOW + 1, NONCE, {"", 0}, {"B@A.TEST", 8}}, 1},
		{"somebody else", {NOW, NOW + 1, NONCE, {"", 0}, {"z@a.test", 8}}, -1},
		{"nobody named, of three", {NOW, NOW + 1, NONCE, {"", 0}, {"", 0}}, -1},
		{"nobody named, of one", {NOW, NOW + 1, NONCE + 1, {"", 0}, {"", 0}}, 0},
		{"another nonce", {NOW, NOW + 1, NONCE + 2, {"", 0}, {"b@a.test", 8}}, -1},
		{"another moment", {NOW + 1, NOW + 2, NONCE, {"", 0}, {"b@a.test", 8}}, -1},
		{"nonce and another id", {NOW, NOW + 1, NONCE, {"two@x.test", 10}, {"b@a.test", 8}}, -1},
		{"id and time", {NOW - 9, NOW + 9, 0, {"one@x.test", 10}, {"c@a.test", 8}}, 2},
		{"id and time, of one", {NOW - 9, NOW + 9, 0, {"two@x.test", 10}, {"", 0}}, 0},
		{"id of another time", {NOW + 5, NOW + 9, 0, {"one@x.test", 10}, {"c@a.test", 8}}, -1},
	};
	struct fixture *f = *state;
	struct feedback_item item;
	char texts[QUEUE_EVENT_MAX];

	issue_several(f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t left = FEEDBACK_TRACE_MAX;
		int err = feedback_find_trace(f->store, &cases[i].trace, &left, &item, texts);

		if (err != (cases[i].want < 0 ? QUEUE_ENOTFOUND : QUEUE_OK) ||
			(err == QUEUE_OK && item.token.n != cases[i].want))
			fail_msg("%s: %d, %u", cases[i].name, err, item.token.n);
		if (err == QUEUE_OK)
			assert_true(item.has_token && item.event.n == item.token.n);
	}
}

/* A report that names hundreds must not cost hundreds of searches. */
static void
test_searches_of_a_report_have_one_bound(void **state)
{
	static const struct feedback_trace nobody = {NOW - 9, NOW + 9, 0, {"one@x.test", 10},
						   {"z@a.test", 8}},
					   third = {NOW - 9, NOW + 9, 0, {"one@x.test", 10}, {"c@a.test", 8}},
					   only = {NOW - 9, NOW + 9, 0, {"two@x.test", 10}, {"", 0}};
	struct fixture *f = *state;
	struct feedback_item item;
	char texts[QUEUE_EVENT_MAX];
	uint32_t left = 7;

	issue_several(f);
	assert_int_equal(feedback_find_trace(f->store, &nobody, &left, &item, texts), QUEUE_ENOTFOUND);
	assert_int_equal(left, 3);
	OK(feedback_find_trace(f->store, &third, &left, &item, texts));
	assert_int_equal(left, 0);
	assert_int_equal(feedback_find_trace(f->store, &third, &left, &item, texts), QUEUE_ENOTFOUND);
	left = 4; /* a fifth might be of the same message */
	assert_int_equal(feedback_find_trace(f->store, &only, &left, &item, texts), QUEUE_ENOTFOUND);
}

static void
test_news_for_guards(void **state)
{
	static const struct {
		const char *name;
		enum event_type type;
		enum bounce_class bounce_class;
		bool has_token, is_repeat;
		int want; /* enum queue_feedback_kind, -1: none */
	} cases[] = {
		{"a complaint", EVENT_COMPLAINT, BOUNCE_CLASS_NONE, true, false, QUEUE_FEEDBACK_COMPLAINT},
		{"no such mailbox", EVENT_REMOTE, BOUNCE_CLASS_BAD_MAILBOX, true, false,
			QUEUE_FEEDBACK_BAD_ADDRESS},
		{"a full one", EVENT_REMOTE, BOUNCE_CLASS_QUOTA_ISSUES, true, false, -1},
		{"who unsubscribes", EVENT_UNSUBSCRIBE, BOUNCE_CLASS_NONE, true, false, -1},
		{"told again", EVENT_COMPLAINT, BOUNCE_CLASS_NONE, true, true, -1},
		{"of nobody", EVENT_COMPLAINT, BOUNCE_CLASS_NONE, false, false, -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct feedback_item item = {.event = {.type = cases[i].type,
							   .bounce_class = (uint8_t)cases[i].bounce_class,
							   .klass = QUEUE_CLASS_BULK,
							   .user = BLOB("shop"),
							   .job = BLOB("news-1"),
							   .source = BLOB("ip1"),
							   .site = BLOB("a.test"),
							   .from_domain = BLOB("x.test")},
			.has_token = cases[i].has_token,
			.sent_us = NOW + 5,
			.is_repeat = cases[i].is_repeat};
		struct feedback_news *n = feedback_news_of(&item);

		if ((n == NULL) != (cases[i].want < 0))
			fail_msg("%s", cases[i].name);
		if (n == NULL)
			continue;
		assert_int_equal(n->feedback.kind, cases[i].want);
		assert_int_equal(n->feedback.klass, QUEUE_CLASS_BULK);
		assert_true(n->feedback.sent_us == NOW + 5);
		assert_memory_equal(n->feedback.user.ptr, "shop", n->feedback.user.len);
		assert_memory_equal(n->feedback.job.ptr, "news-1", n->feedback.job.len);
		assert_memory_equal(n->feedback.source.ptr, "ip1", n->feedback.source.len);
		assert_memory_equal(n->feedback.site.ptr, "a.test", n->feedback.site.len);
		assert_memory_equal(n->feedback.from_domain.ptr, "x.test", n->feedback.from_domain.len);
		free(n);
	}
}

static void
test_what_is_over_goes(void **state)
{
	struct fixture *f = *state;
	uint64_t count;
	bool more = true;

	for (int day = 0; day < 100; day++)
		issue(f, NOW + day * DAY, 0);
	OK(queue_store_begin(f->store));
	OK(feedback_sweep(f->store, &conf, NOW + 70 * DAY, &more));
	OK(queue_store_commit(f->store));
	assert_false(more);
	OK(queue_issued_count(f->store, &count));
	assert_int_equal(count, 90);
	more = true;
	OK(queue_store_begin(f->store));
	OK(feedback_sweep(f->store, &conf, 0, &more)); /* a clock of 1970 takes nothing */
	OK(queue_store_commit(f->store));
	OK(queue_issued_count(f->store, &count));
	assert_int_equal(count, 90);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_whose_it_is),
		CASE(test_each_use_counts_once),
		CASE(test_what_was_delivered),
		CASE(test_traces),
		CASE(test_searches_of_a_report_have_one_bound),
		cmocka_unit_test(test_news_for_guards),
		CASE(test_what_is_over_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
