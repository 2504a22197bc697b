/* SPDX-License-Identifier: Apache-2.0 */
/* transfer: what becomes of a lease whose message cannot be had from the spool. */
#include "deliver/transfer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "starve.h"
#include "store_fixture.h"

enum { RCPTS = 2, BODY_BYTES = 100000 };

static struct job *
job_of(queue_id id)
{
	struct job *job = calloc(1, sizeof(*job) + RCPTS * sizeof(job->rcpts[0]));

	assert_non_null(job);
	job->id = id;
	job->rcpt_count = RCPTS;
	for (uint32_t i = 0; i < RCPTS; i++)
		job->rcpts[i].n = (uint16_t)i;
	return job;
}

/* Whatever there is no memory for: the recipients wait. Handed back at once they would come again at once. */
static void
test_I3_no_memory_for_the_message(void **state)
{
	struct fixture *f = *state;
	queue_id id = put(f, BODY_BYTES, RCPTS);
	uint64_t failed = 1;

	for (uint64_t n = 1; failed > 0; n++) {
		struct job *job = job_of(id);
		struct transfer t = {0};
		bool has_begun;

		starve_begin(n, false);
		has_begun = transfer_begin(&t, job, f->store, NULL, NULL, 0);
		failed = starve_end();
		assert_int_equal(has_begun, failed == 0);
		assert_false(job->is_damaged);
		for (uint32_t i = 0; !has_begun && i < RCPTS; i++) {
			assert_int_equal(job->rcpts[i].verdict.kind, QUEUE_VERDICT_LATER);
			assert_true(job->rcpts[i].verdict.wait_us > 0);
		}
		if (has_begun)
			assert_ptr_equal(transfer_end(&t), job);
		job_free(job);
	}
}

static void
test_F12_no_message(void **state)
{
	struct fixture *f = *state;
	struct job *job = job_of(7);
	struct transfer t = {0};

	assert_false(transfer_begin(&t, job, f->store, NULL, NULL, 0));
	assert_true(job->is_damaged);
	assert_int_equal(job->rcpts[0].verdict.kind, QUEUE_VERDICT_DROPPED);
	job_free(job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_I3_no_memory_for_the_message),
		CASE(test_F12_no_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
