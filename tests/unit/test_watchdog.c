/* SPDX-License-Identifier: Apache-2.0 */
/* K8: a thread whose loop is blocked is noticed and named, once, and forgiven when it comes back. */
#include "base/watchdog.h"

#include "queue/letters.h"

#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SEC INT64_C(1000000)

struct blocker {
	struct call call;
	sem_t entered, leave;
};

static int64_t
fake_mono(void *arg)
{
	return *(int64_t *)arg;
}

static uint32_t
no_random(void *arg)
{
	return 0;
}

static void
on_letter(void *arg, struct letter *l)
{
	((struct call *)l)->run((struct call *)l);
}

static void
block(struct call *c)
{
	struct blocker *b = (struct blocker *)c;

	sem_post(&b->entered);
	while (sem_wait(&b->leave) != 0)
		;
}

static struct worker *
thread(const char *name, const struct clock *clock)
{
	const struct worker_conf wc = {.name = name, .clock = clock, .on_letter = on_letter};
	struct worker *w = worker_create(&wc);

	assert_non_null(w);
	assert_true(worker_start(w));
	return w;
}

static void
wave(struct call *c)
{
	sem_post(&((struct blocker *)c)->entered);
}

/* Returns when the worker has handled all that was posted to it. */
static void
come_back(struct worker *w, struct blocker *b)
{
	b->call.run = wave;
	worker_post(w, &b->call.letter);
	while (sem_wait(&b->entered) != 0)
		;
}

/* Asks until all have answered the question before; the fake clock stands, so nothing gets late meanwhile. */
static void
let_answer(struct watchdog *dog, int64_t *now_us)
{
	const struct timespec moment = {0, 1000000};
	int i;

	*now_us += SEC; /* so that a question that is still out is late */
	for (i = 0; i < 5000 && !watchdog_ask(dog, 1); i++)
		nanosleep(&moment, NULL);
	assert_int_not_equal(i, 5000);
}

static void
read_log(int fd, char *buf, size_t max)
{
	ssize_t n = read(fd, buf, max - 1);

	buf[n > 0 ? n : 0] = '\0';
}

static void
test_K8_blocked_thread(void **state)
{
	int64_t now_us = 1000 * SEC;
	const struct clock clock = {fake_mono, fake_mono, no_random, &now_us};
	struct blocker b = {.call = {.letter = {.kind = LETTER_CALL}, .run = block}};
	struct blocker other = b;
	struct worker *workers[2] = {thread("well", &clock), thread("ill", &clock)};
	struct watchdog *dog;
	char text[1000];
	struct log *log;
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	assert_non_null(log = log_create(CONF_LOG_STDERR, CONF_LOG_DEBUG, fds[1]));
	assert_non_null(dog = watchdog_create(log, &clock));
	watchdog_add(dog, workers[0], "well");
	watchdog_add(dog, workers[1], "ill");
	sem_init(&b.entered, 0, 0);
	sem_init(&b.leave, 0, 0);
	sem_init(&other.entered, 0, 0);
	assert_true(watchdog_ask(dog, 20 * SEC));
	let_answer(dog, &now_us);
	read_log(fds[0], text, sizeof(text)); /* what let_answer() found late */

	worker_post(workers[1], &b.call.letter);
	assert_int_equal(sem_wait(&b.entered), 0);
	for (int i = 0; i < 3; i++) { /* the question is out; 19 s are patience */
		assert_true(watchdog_ask(dog, 20 * SEC));
		come_back(workers[0], &other);
		now_us += 6 * SEC;
	}
	read_log(fds[0], text, sizeof(text));
	assert_string_equal(text, "");
	now_us += 3 * SEC;
	assert_false(watchdog_ask(dog, 20 * SEC));
	read_log(fds[0], text, sizeof(text));
	assert_non_null(strstr(text, " error watchdog thread=ill silent-ms=2"));
	assert_null(strstr(text, "well"));
	now_us += 60 * SEC;
	assert_false(watchdog_ask(dog, 20 * SEC));
	read_log(fds[0], text, sizeof(text));
	assert_null(strstr(text, "thread=ill")); /* said once */

	sem_post(&b.leave);
	let_answer(dog, &now_us);
	assert_true(watchdog_ask(dog, 20 * SEC));
	for (int i = 0; i < 2; i++) {
		worker_stop(workers[i]);
		worker_join(workers[i]);
	}
	watchdog_destroy(&dog);
	worker_destroy(&workers[0]);
	worker_destroy(&workers[1]);
	log_destroy(&log);
	sem_destroy(&b.entered);
	sem_destroy(&b.leave);
	sem_destroy(&other.entered);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_K8_blocked_thread)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
