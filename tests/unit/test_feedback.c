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
		CASE(test_what_is_over_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
