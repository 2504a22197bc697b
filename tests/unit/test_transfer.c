/* SPDX-License-Identifier: Apache-2.0 */
/* transfer: what becomes of a lease whose message cannot be had from the spool. */
#include "deliver/transfer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deliver/outbound.h"
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

/* Where some of a job are on the list, the first RCPT is not of its first recipient: a site that says "no
 * such user" with a 4xx is taken at its word after the attempts of the recipient it speaks of. */
static void
test_results_of_a_part(void **state)
{
	struct fixture *f = *state;
	struct route_result route = {.provider = RULES_PROVIDER_NONE};
	struct outbound outbound = {.route = &route, .settings = {.unknown_user_attempts = 3}};
	const struct smtp_client_fact fact = {.outcome = SMTP_OUTCOME_REPLY,
		.phase = SMTP_PHASE_RCPT,
		.reply = {.code = 450, .esc = {4, 1, 1}, .text = SMTP_LIT("4.1.1 no such user")}};

	for (uint32_t speaks_of = 0; speaks_of < RCPTS; speaks_of++) {
		struct job *job = job_of(put(f, 10, RCPTS));
		struct transfer t = {0};

		assert_true(transfer_begin(&t, job, f->store, NULL, NULL, 0));
		job->outbound = &outbound;
		job->started_us = job->message->meta.arrived_us;
		job->message->rcpts[1].attempts = 5;
		t.of_job = malloc(sizeof(*t.of_job));
		assert_non_null(t.of_job);
		t.of_job[0] = speaks_of;
		transfer_result(&t, &fact);
		assert_int_equal(job->rcpts[speaks_of].verdict.kind,
			speaks_of == 1 ? QUEUE_VERDICT_FAILED : QUEUE_VERDICT_LATER);
		assert_int_equal(job->rcpts[speaks_of].code, 450);
		assert_int_equal(job->rcpts[1 - speaks_of].code, 0);
		assert_ptr_equal(transfer_end(&t), job);
		job_free(job);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_I3_no_memory_for_the_message),
		CASE(test_F12_no_message),
		CASE(test_results_of_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
