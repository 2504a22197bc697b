/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox, worker, watchdog: no letter is lost, doubled or overtaken, from however many threads. */
#include "base/mailbox.h"

#include "base/clock.h"
#include "base/watchdog.h"
#include "base/worker.h"
#include "queue/letters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, LETTERS = 20000 };

struct numbered {
	struct letter letter;
	int sender, number;
};

static bool
is_readable(const struct mailbox *m)
{
	struct pollfd p = {.fd = m->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void
test_order_and_wake(void **state)
{
	struct letter letters[5] = {{0}}, *l;
	struct mailbox m;
	int i;

	assert_true(mailbox_init(&m));
	assert_null(mailbox_take(&m));
	assert_false(is_readable(&m));
	for (i = 0; i < 3; i++) {
		letters[i].kind = i;
		mailbox_post(&m, &letters[i]);
		assert_true(is_readable(&m));
	}
	/* A chain, newest first. */
	letters[3].kind = 3;
	letters[4].kind = 4;
	letters[4].next = &letters[3];
	mailbox_post_all(&m, &letters[4], &letters[3]);
	for (i = 0, l = mailbox_take(&m); l != NULL; l = l->next)
		assert_int_equal(l->kind, i++);
	assert_int_equal(i, 5);
	assert_false(is_readable(&m));
	assert_null(mailbox_take(&m));
	mailbox_fini(&m);
}

struct crowd {
	struct mailbox box;
	struct numbered (*letters)[LETTERS];
	_Atomic int next_sender;
};

static void *
post_many(void *arg)
{
	struct crowd *c = arg;
	int me = atomic_fetch_add(&c->next_sender, 1), i;

	for (i = 0; i < LETTERS; i++) {
		c->letters[me][i] = (struct numbered){.sender = me, .number = i};
		mailbox_post(&c->box, &c->letters[me][i].letter);
	}
	return NULL;
}

/* Taken only when the eventfd says so: a lost wake-up would end in the poll's patience. */
static void
test_many_senders(void **state)
{
	struct crowd c = {.letters = calloc(THREADS, sizeof(c.letters[0]))};
	int next[THREADS] = {0}, total = 0, i;
	pthread_t threads[THREADS];
	struct letter *l;

	assert_non_null(c.letters);
	assert_true(mailbox_init(&c.box));
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, &c), 0);
	while (total < THREADS * LETTERS) {
		struct pollfd p = {.fd = c.box.fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 10000), 1);
		for (l = mailbox_take(&c.box); l != NULL; l = l->next) {
			struct numbered *n = (struct numbered *)l;

			assert_int_equal(n->number, next[n->sender]++);
			total++;
		}
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_null(mailbox_take(&c.box));
	mailbox_fini(&c.box);
	free(c.letters);
}

/* --- workers --- */

struct echo {
	struct worker *worker, *to;
	_Atomic int letters, batches;
	int next; /* of sender 0 */
	bool is_out_of_order;
};

static void
on_letter(void *arg, struct letter *l)
{
	struct echo *e = arg;
	struct numbered *n = (struct numbered *)l;

	if (l->kind == LETTER_CALL) {
		((struct call *)l)->run((struct call *)l);
		return;
	}
	if (n->number != e->next++)
		e->is_out_of_order = true;
	e->letters++;
	if (e->to != NULL)
		worker_post(e->to, l);
}

static void
on_batch(void *arg)
{
	((struct echo *)arg)->batches++;
}

static void
make(struct echo *e, const char *name, const struct clock *clock)
{
	struct worker_conf c = {
		.name = name, .clock = clock, .on_letter = on_letter, .on_batch = on_batch, .arg = e};

	*e = (struct echo){.worker = worker_create(&c)};
	assert_non_null(e->worker);
}

/* Through one worker into another; the stop comes behind the letters posted before it. */
static void
test_worker_passes_on_in_order(void **state)
{
	struct numbered *letters = calloc(LETTERS, sizeof(*letters));
	struct echo a, b;
	int i;

	make(&a, "a", clock_real());
	make(&b, "b", clock_real());
	a.to = b.worker;
	assert_true(worker_start(b.worker));
	assert_true(worker_start(a.worker));
	for (i = 0; i < LETTERS; i++) {
		letters[i].number = i;
		worker_post(a.worker, &letters[i].letter);
	}
	worker_stop(a.worker);
	worker_join(a.worker);
	worker_stop(b.worker);
	worker_join(b.worker);
	assert_int_equal(a.letters, LETTERS);
	assert_int_equal(b.letters, LETTERS);
	assert_false(a.is_out_of_order || b.is_out_of_order);
	assert_true(a.batches >= 1 && a.batches <= LETTERS + 1);
	worker_destroy(&a.worker);
	worker_destroy(&b.worker);
	assert_null(a.worker);
	free(letters);
}

static void
test_worker_never_started(void **state)
{
	struct numbered n = {.number = 0};
	struct echo e;

	make(&e, "idle", clock_real());
	worker_post(e.worker, &n.letter); /* forgotten with the worker */
	worker_join(e.worker);
	worker_destroy(&e.worker);
	worker_destroy(&e.worker); /* NULL */
}

/* --- watchdog --- */

static int64_t
fake_us(void *arg)
{
	return *(_Atomic int64_t *)arg;
}
static uint32_t
fake_random(void *arg)
{
	return 4;
}

struct stopper {
	struct call call;
	pthread_mutex_t *until;
};

static void
wait_for_it(struct call *c)
{
	struct stopper *s = (struct stopper *)c;

	pthread_mutex_lock(s->until);
	pthread_mutex_unlock(s->until);
}

/* The lines in the pipe so far. */
static int
count_lines(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buf[4096];
	int lines = 0;
	ssize_t n;

	while (poll(&p, 1, 0) == 1 && (n = read(fd, buf, sizeof(buf))) > 0)
		while (n-- > 0)
			lines += buf[n] == '\n';
	return lines;
}

/* Until the worker has answered what it was asked. */
static bool
ask_until_ok(struct watchdog *w)
{
	for (int i = 0; i < 5000; i++) {
		if (watchdog_ask(w, 1000000))
			return true;
		usleep(1000);
	}
	return false;
}

static void
test_watchdog(void **state)
{
	_Atomic int64_t now_us = 1000000;
	struct clock clock = {fake_us, fake_us, fake_random, &now_us};
	pthread_mutex_t until = PTHREAD_MUTEX_INITIALIZER;
	struct stopper s = {.call = {.letter.kind = LETTER_CALL, .run = wait_for_it}, .until = &until};
	struct watchdog *w;
	struct log *log;
	struct echo e;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_non_null(log = log_create(CONF_LOG_JOURNAL, CONF_LOG_INFO, fds[1]));
	assert_non_null(w = watchdog_create(log, &clock));
	make(&e, "stuck", &clock);
	assert_true(worker_start(e.worker));
	watchdog_add(w, e.worker, "stuck");
	assert_true(watchdog_ask(w, 1000000)); /* only asked so far */

	pthread_mutex_lock(&until);
	worker_post(e.worker, &s.call.letter);
	usleep(20000); /* the first answer */
	assert_true(watchdog_ask(w, 1000000));
	assert_true(watchdog_ask(w, 1000000)); /* no answer, but there is time */
	assert_int_equal(count_lines(fds[0]), 0);
	now_us += 1000000;
	assert_false(watchdog_ask(w, 1000000));
	now_us += 1000000;
	assert_false(watchdog_ask(w, 1000000));
	assert_int_equal(count_lines(fds[0]), 1); /* told once */
	pthread_mutex_unlock(&until);
	assert_true(ask_until_ok(w));

	worker_stop(e.worker);
	worker_join(e.worker);
	worker_destroy(&e.worker);
	watchdog_destroy(&w);
	log_destroy(&log);
	pthread_mutex_destroy(&until);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_wake),
		cmocka_unit_test(test_many_senders),
		cmocka_unit_test(test_worker_passes_on_in_order),
		cmocka_unit_test(test_worker_never_started),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
