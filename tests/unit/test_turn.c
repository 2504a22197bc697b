/* SPDX-License-Identifier: Apache-2.0 */
/* turn: each step once and in order, some of them in each turn of the loop, and other events come between. */
#include "base/turn.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>

enum { STEPS = 20 };

struct step {
	struct turn turn;
	struct fixture *f;
	int64_t takes_us;
	unsigned again; /* waits so many times more from inside itself */
	struct step *cancels;
};

struct fixture {
	struct event_base *base;
	struct step steps[STEPS];
	int done[4 * STEPS], done_count;
};

static void
on_step(void *arg)
{
	struct step *s = arg;
	struct fixture *f = s->f;
	int64_t end_us = clock_mono(clock_real()) + s->takes_us;

	f->done[f->done_count++] = (int)(s - f->steps);
	while (clock_mono(clock_real()) < end_us)
		;
	if (s->cancels != NULL)
		turn_cancel(&s->cancels->turn);
	if (s->again > 0) {
		s->again--;
		turn_wait(&s->turn, f->base, on_step, s);
	}
}

static void
wait_all(struct fixture *f, int count)
{
	for (int i = 0; i < count; i++)
		turn_wait(&f->steps[i].turn, f->base, on_step, &f->steps[i]);
}

/* Turns of the loop until none is left; at most `most`. */
static int
spin(struct fixture *f, int most)
{
	int turns = 0;

	while (turns < most && event_base_loop(f->base, EVLOOP_ONCE) == 0)
		turns++;
	return turns;
}

static void
expect_done(const struct fixture *f, const int *want, int count)
{
	assert_int_equal(f->done_count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(f->done[i], want[i]);
}

static int
setup(void **state)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;

	*f = (struct fixture){.base = event_base_new()};
	assert_non_null(f->base);
	for (int i = 0; i < STEPS; i++)
		f->steps[i].f = f;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	event_base_free(((struct fixture *)*state)->base);
	return 0;
}

static void
test_once_and_in_order(void **state)
{
	struct fixture *f = *state;

	wait_all(f, 3);
	wait_all(f, 4); /* who waits already stays where it is */
	assert_int_equal(f->done_count, 0);
	assert_int_equal(spin(f, 100), 1);
	expect_done(f, (const int[]){0, 1, 2, 3}, 4);
	wait_all(f, 1);
	assert_int_equal(spin(f, 100), 1);
	assert_int_equal(f->done_count, 5);
}

/* However long one takes: one of them each turn at least, and no more than the time allows. */
static void
test_a_turn_is_bounded(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < STEPS; i++)
		f->steps[i].takes_us = 2 * TURN_US;
	wait_all(f, STEPS);
	for (int i = 1; i <= STEPS; i++) {
		assert_int_equal(spin(f, 1), 1);
		assert_int_equal(f->done_count, i);
	}
	assert_int_equal(spin(f, 100), 0);
}

static void
test_waits_again_from_inside(void **state)
{
	struct fixture *f = *state;

	f->steps[0].again = 2;
	wait_all(f, 2);
	spin(f, 100);
	expect_done(f, (const int[]){0, 1, 0, 0}, 4);
	wait_all(f, 1); /* and the line is whole */
	assert_int_equal(spin(f, 100), 1);
	assert_int_equal(f->done_count, 5);
}

static void
test_cancelled(void **state)
{
	struct fixture *f = *state;

	turn_cancel(&f->steps[0].turn); /* waits for nothing */
	wait_all(f, 3);
	turn_cancel(&f->steps[1].turn);
	f->steps[0].cancels = &f->steps[2];
	spin(f, 100);
	expect_done(f, (const int[]){0}, 1);
	wait_all(f, 2);
	turn_cancel(&f->steps[0].turn);
	turn_cancel(&f->steps[1].turn);
	assert_int_equal(spin(f, 100), 0); /* nothing is pending in the loop */
	assert_int_equal(f->done_count, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once_and_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_turn_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_again_from_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
