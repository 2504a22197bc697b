/* SPDX-License-Identifier: Apache-2.0 */
/* message, job: the arena keeps what it is given, the books of memory balance, texts are shared and bounded.
 */
#include "queue/message.h"

#include "queue/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
test_arena_keeps_everything_where_it_is(void **state)
{
	struct memory memory = {0};
	struct message *m = message_create(&memory);
	struct queue_blob kept[300], joined;
	static char text[5000];

	assert_non_null(m);
	for (int i = 0; i < 300; i++) {
		size_t len = (size_t)(i * i) % sizeof(text); /* some longer than a chunk, one empty */

		memset(text, 'a' + i % 26, sizeof(text));
		kept[i] = message_keep(m, text, len);
		assert_non_null(kept[i].ptr);
		assert_int_equal(kept[i].len, len);
	}
	for (int i = 0; i < 300; i++)
		for (size_t k = 0; k < kept[i].len; k++)
			assert_int_equal(((const char *)kept[i].ptr)[k], 'a' + i % 26);
	joined = message_join(m, (struct queue_blob){"ab", 2}, (struct queue_blob){"cd", 2});
	assert_int_equal(joined.len, 4);
	assert_memory_equal(joined.ptr, "abcd", 4);
	joined = message_join(m, (struct queue_blob){"", 0}, (struct queue_blob){"", 0});
	assert_non_null(joined.ptr);
	assert_true(memory.used_bytes > 0);
	message_unref(m);
	assert_int_equal(memory.used_bytes, 0);
	message_unref(NULL);
}

static void
test_fit_gives_back_what_is_unused(void **state)
{
	static const struct {
		size_t bytes;
		bool fits; /* nearly: not worth it */
	} cases[] = {{1, false}, {1000, false}, {16000, true}, {17000, false}, {300000, false}};
	static char text[300000];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct memory memory = {0};
		struct message *m = message_create(&memory);
		int64_t empty = memory.used_bytes, full;

		assert_true(message_append(m, text, cases[i].bytes));
		full = memory.used_bytes;
		message_fit(m);
		assert_int_equal(m->buffer_len, cases[i].bytes);
		assert_memory_equal(m->buffer, text, cases[i].bytes);
		if (cases[i].fits)
			assert_int_equal(memory.used_bytes, full);
		else
			assert_int_equal(memory.used_bytes, empty + (int64_t)cases[i].bytes);
		assert_true(message_append(m, "y", 1));
		message_unref(m);
		assert_int_equal(memory.used_bytes, 0);
	}
}

/* After a burst, and only when it stays low: a look too early gives nothing back. */
static void
test_memory_is_given_back(void **state)
{
	struct memory memory = {0};

	memory_add(&memory, 200 * 1048576);
	for (int i = 0; i < 5; i++)
		assert_false(memory_give_back(&memory));
	memory_add(&memory, -150 * 1048576);
	assert_false(memory_give_back(&memory));
	assert_false(memory_give_back(&memory));
	memory_add(&memory, 140 * 1048576);
	assert_false(memory_give_back(&memory));
	memory_add(&memory, -150 * 1048576);
	assert_false(memory_give_back(&memory));
	assert_false(memory_give_back(&memory));
	assert_true(memory_give_back(&memory));
	for (int i = 0; i < 5; i++)
		assert_false(memory_give_back(&memory));
}

static void
test_append(void **state)
{
	struct memory memory = {0};
	struct message *m = message_create(&memory);
	char *want = malloc(400000);
	size_t len = 0;

	for (size_t piece = 0; len + piece < 400000; piece += 37) {
		for (size_t i = 0; i < piece; i++)
			want[len + i] = (char)(len + i);
		assert_true(message_append(m, want + len, piece));
		len += piece;
	}
	assert_int_equal(m->buffer_len, len);
	assert_memory_equal(m->buffer, want, len);
	assert_true(memory.used_bytes >= (int64_t)len && memory.used_bytes <= (int64_t)(2 * len + 65536));
	message_unref(m);
	assert_int_equal(memory.used_bytes, 0);
	free(want);
}

static void *
ref_and_unref(void *arg)
{
	struct message *m = arg;

	for (int i = 0; i < 20000; i++)
		message_unref(message_ref(m));
	message_unref(m);
	return NULL;
}

static void
test_counted_by_many_threads(void **state)
{
	struct memory memory = {0};
	struct message *m = message_create(&memory);
	pthread_t threads[3];

	assert_true(message_append(m, "x", 1));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, message_ref(m)), 0);
	message_unref(m);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(memory.used_bytes, 0);
}

static void
test_recipients(void **state)
{
	struct message *m = message_create(NULL);
	char address[40], domain[40];
	uint32_t i;

	for (i = 0; i < 1000; i++) {
		int n = snprintf(address, sizeof(address), "r%u@d%u.test", i, i);
		int d = snprintf(domain, sizeof(domain), "d%u.test", i);
		struct queue_rcpt r = {.n = 9999, .address = {address, (size_t)n}, .notify = 4};

		assert_true(message_add_rcpt(m, &r, (struct queue_blob){domain, (size_t)d}));
	}
	assert_int_equal(m->meta.rcpt_count, 1000);
	for (i = 0; i < 1000; i++) {
		const struct queue_rcpt *r = message_rcpt(m, (uint16_t)i);
		int n = snprintf(address, sizeof(address), "r%u@d%u.test", i, i);

		assert_non_null(r);
		assert_int_equal(r->n, i);
		assert_int_equal(r->address.len, n);
		assert_memory_equal(r->address.ptr, address, (size_t)n);
		assert_memory_equal(m->domains[i].ptr, strchr(address, '@') + 1, m->domains[i].len);
	}
	assert_null(message_rcpt(m, 1000));
	assert_null(message_rcpt(m, 65535));
	/* As the spool gives it: some have ended. */
	for (i = 0; i < 1000; i++)
		m->rcpts[i].n = (uint16_t)(3 * i + 1);
	for (i = 0; i < 3100; i++) {
		const struct queue_rcpt *r = message_rcpt(m, (uint16_t)i);

		assert_true(i % 3 == 1 && i < 3000 ? r != NULL && r->n == i : r == NULL);
	}
	message_unref(m);
}

static void
test_no_recipients(void **state)
{
	struct message *m = message_create(NULL);

	assert_null(message_rcpt(m, 0));
	message_unref(m);
}

static void
test_as_many_recipients_as_there_are_numbers(void **state)
{
	struct message *m = message_create(NULL);
	struct queue_rcpt r = {.address = {"a@b.test", 8}};

	for (uint32_t i = 0; i < QUEUE_RCPTS_MAX; i++)
		assert_true(message_add_rcpt(m, &r, (struct queue_blob){"b.test", 6}));
	assert_false(message_add_rcpt(m, &r, (struct queue_blob){"b.test", 6}));
	assert_int_equal(message_rcpt(m, 65535)->n, 65535);
	message_unref(m);
}

/* --- job --- */

static struct job *
job_of(uint32_t rcpts)
{
	struct job *job = calloc(1, sizeof(*job) + rcpts * sizeof(job->rcpts[0]));

	assert_non_null(job);
	job->rcpt_count = rcpts;
	return job;
}

static void
answer(struct job *job, uint32_t i, const char *text)
{
	struct queue_verdict v = {.kind = QUEUE_VERDICT_LATER, .code = 451};

	job_answer(job, i, &v, BOUNCE_CLASS_OTHER, "4.7.1", (struct queue_blob){text, strlen(text)});
}

static void
assert_text(const struct job *job, uint32_t i, const char *want)
{
	struct queue_blob b = job_reply(job, i);

	assert_int_equal(b.len, strlen(want));
	assert_non_null(b.ptr);
	assert_memory_equal(b.ptr, want, b.len);
}

static void
test_job_texts(void **state)
{
	struct job *job = job_of(200);
	char text[600];
	uint32_t i, used;

	assert_text(job, 0, "");
	for (i = 0; i < 100; i++)
		answer(job, i, "451 the same for all");
	assert_int_equal(job->texts_len, 20); /* shared */
	for (; i < 200; i++) {
		snprintf(text, sizeof(text), "451 words for %u", i);
		answer(job, i, text);
	}
	for (i = 0; i < 200; i++) {
		if (i < 100)
			snprintf(text, sizeof(text), "451 the same for all");
		else
			snprintf(text, sizeof(text), "451 words for %u", i);
		assert_text(job, i, text);
		assert_string_equal(job->rcpts[i].esc, "4.7.1");
		assert_int_equal(job->rcpts[i].code, 451);
	}
	/* A later answer takes the place of an earlier one, also when it has no words. */
	answer(job, 5, "");
	assert_text(job, 5, "");
	answer(job, 7, "452 else");
	assert_text(job, 7, "452 else");
	assert_text(job, 6, "451 the same for all");
	/* Bounded. */
	used = job->texts_len;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	answer(job, 9, text);
	assert_int_equal(job_reply(job, 9).len, QUEUE_REPLY_MAX);
	assert_int_equal(job->texts_len, used + QUEUE_REPLY_MAX);
	job_answer_all(job, QUEUE_VERDICT_EXPIRED, BOUNCE_CLASS_MESSAGE_EXPIRED, "5.4.7", 0, "too old");
	for (i = 0; i < 200; i++) {
		assert_text(job, i, "too old");
		assert_int_equal(job->rcpts[i].verdict.kind, QUEUE_VERDICT_EXPIRED);
		assert_int_equal(job->rcpts[i].code, 0);
	}
	job_free(job);
}

static const struct {
	enum bounce_class bounce_class;
	enum queue_verdict_kind kind;
	const char *want;
} categories[] = {
	{BOUNCE_CLASS_NONE, QUEUE_VERDICT_DELIVERED, ""},
	{BOUNCE_CLASS_OTHER, QUEUE_VERDICT_FAILED, "other"},
	{BOUNCE_CLASS_SPAM_BLOCK, QUEUE_VERDICT_FAILED, "spam-related"},
	{BOUNCE_CLASS_GREYLISTED, QUEUE_VERDICT_LATER, "policy-related"},
	{BOUNCE_CLASS_QUOTA_ISSUES, QUEUE_VERDICT_EXPIRED, "message-expired"},
	{BOUNCE_CLASS_BAD_DOMAIN, QUEUE_VERDICT_FAILED, "bad-domain"},
	{BOUNCE_CLASS_NO_ANSWER_FROM_HOST, QUEUE_VERDICT_LATER, "no-answer-from-host"},
	{BOUNCE_CLASS_NONE, QUEUE_VERDICT_FAILED, "admin"},
	{BOUNCE_CLASS_SYSTEM_ERROR, QUEUE_VERDICT_DROPPED, "admin"},
};

static void
test_categories(void **state)
{
	for (size_t i = 0; i < sizeof(categories) / sizeof(categories[0]); i++)
		assert_string_equal(
			job_category(categories[i].bounce_class, categories[i].kind), categories[i].want);
	for (int c = 0; c < BOUNCE_CLASS_COUNT; c++)
		assert_non_null(job_category((enum bounce_class)c, QUEUE_VERDICT_FAILED));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_keeps_everything_where_it_is),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_memory_is_given_back),
		cmocka_unit_test(test_fit_gives_back_what_is_unused),
		cmocka_unit_test(test_counted_by_many_threads),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_no_recipients),
		cmocka_unit_test(test_as_many_recipients_as_there_are_numbers),
		cmocka_unit_test(test_job_texts),
		cmocka_unit_test(test_categories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
