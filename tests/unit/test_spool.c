/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool thread between its neighbours: what waits when it starts is one backlog, so what belongs to which
 * commit is no matter of chance. The disk is made to fail by a fdatasync of our own.
 */
#include "queue/feedback.h"
#include "queue/job.h"
#include "queue/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

enum { MANY = 8, HOLD_BATCH = 500, WAIT_SECONDS = 30 };

static _Atomic bool disk_fails; /* the test's: LMDB calls fdatasync below */

int
fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	if (disk_fails) {
		errno = EIO;
		return -1;
	}
	return real(fd);
}

static int64_t
fake_us(void *arg)
{
	return INT64_C(1793534400000000);
}
static const struct clock fake_clock = {fake_us, fake_us, NULL, NULL};
static char body[9 << 20];

/* --- the neighbours --- */

struct scene {
	struct fixture *f;
	const struct conf *conf;
	struct worker *neighbour; /* the queue, and whoever submits */
	struct spool *spool;
	sem_t answers; /* letters that came back */
	int feedback_result;
	int refused, fresh, recorded, notified, recorded_before_accept;
	uint64_t held_before_accept;
};

static void
on_letter(void *arg, struct letter *l)
{
	struct scene *s = arg;

	switch (l->kind) {
	case LETTER_ACCEPTED:
		s->refused += ((struct accept *)l)->result == QUEUE_EIO;
		s->recorded_before_accept = s->recorded;
		s->held_before_accept = spool_holds_written(s->spool);
		message_unref(((struct accept *)l)->message);
		free(l);
		sem_post(&s->answers);
		return;
	case LETTER_FEEDBACK_DONE:
		s->feedback_result = ((struct feedback *)l)->result;
		sem_post(&s->answers);
		return;
	case LETTER_FRESH:
		s->fresh++;
		message_unref((struct message *)l);
		return;
	case LETTER_RECORDED:
		s->notified += ((struct job *)l)->dsn != NULL;
		s->recorded++;
		job_free((struct job *)l);
		sem_post(&s->answers);
		return;
	default:
		free(l);
	}
}

static void
scene_begin(struct scene *s)
{
	struct worker_conf wc = {.name = "neighbour", .clock = &fake_clock, .on_letter = on_letter, .arg = s};
	struct spool_conf sc = {.clock = &fake_clock};
	char path[128];
	void *fresh;
	FILE *file;

	*s = (struct scene){.f = NULL};
	disk_fails = false;
	set_up(&fresh);
	s->f = fresh;
	path_in(s->f, "mtad.conf", path);
	assert_non_null(file = fopen(path, "w"));
	fputs("hostname = \"mta.x.test\"\nspool-dir = \"/tmp/none\"\ndisk-free-min = 1KB\n", file);
	fclose(file);
	assert_non_null(s->conf = conf_load(path, stderr));
	sem_init(&s->answers, 0, 0);
	sc.conf = s->conf;
	sc.store = s->f->store;
	assert_non_null(s->neighbour = worker_create(&wc));
	assert_non_null(s->spool = spool_create(&sc));
	spool_connect(s->spool, s->neighbour, s->neighbour);
	assert_true(worker_start(s->neighbour));
}

/* What was posted before this is one backlog. */
static void
scene_run(struct scene *s)
{
	assert_true(worker_start(spool_worker(s->spool)));
}

static void
scene_wait(struct scene *s, int answers)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	for (int i = 0; i < answers; i++)
		if (sem_timedwait(&s->answers, &until) != 0)
			fail_msg("only %d of %d letters came back", i, answers);
}

static void
scene_end(struct scene *s)
{
	void *done = s->f;

	worker_stop(spool_worker(s->spool));
	worker_join(spool_worker(s->spool));
	worker_stop(s->neighbour);
	worker_join(s->neighbour);
	spool_destroy(&s->spool);
	worker_destroy(&s->neighbour);
	conf_unref(s->conf);
	sem_destroy(&s->answers);
	tear_down(&done);
}

static struct message *
message_to(size_t bytes, uint32_t rcpt_count)
{
	const struct queue_rcpt r = {.address = BLOB("r@y.test")};
	struct message *m = message_create(NULL);

	assert_non_null(m);
	for (uint32_t i = 0; i < rcpt_count; i++)
		assert_true(message_add_rcpt(m, &r, BLOB("y.test")));
	assert_true(bytes <= sizeof(body));
	m->body[0] = (struct queue_blob){body, bytes};
	return m;
}

static struct message *
message_of(size_t bytes)
{
	return message_to(bytes, 1);
}

static void
post_accept(struct scene *s, size_t bytes)
{
	struct accept *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->letter.kind = LETTER_ACCEPT;
	a->message = message_of(bytes);
	a->reply_to = s->neighbour;
	worker_post(spool_worker(s->spool), &a->letter);
}

/* The failure of message `id`'s only recipient, with a bounce mail. */
static void
post_failure(struct scene *s, queue_id id, size_t dsn_bytes)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(job->rcpts[0]));

	assert_non_null(job);
	job->letter.kind = LETTER_RECORD;
	job->id = id;
	job->message = message_of(1);
	job->message->meta.id = id;
	job->rcpt_count = 1;
	job->rcpts[0].settled.kind = QUEUE_VERDICT_FAILED;
	job->dsn = message_of(dsn_bytes);
	job->dsn->meta.flags = QUEUE_MESSAGE_DSN;
	worker_post(spool_worker(s->spool), &job->letter);
}

/* One outcome for all recipients of a message; flags as they were when it was decided. */
static void
post_outcome(struct scene *s, queue_id id, uint32_t rcpt_count, enum queue_verdict_kind kind, uint8_t flags)
{
	struct job *job = calloc(1, sizeof(*job) + rcpt_count * sizeof(job->rcpts[0]));

	assert_non_null(job);
	job->letter.kind = LETTER_RECORD;
	job->id = id;
	job->message = message_to(1, rcpt_count);
	job->message->meta.id = id;
	job->rcpt_count = rcpt_count;
	for (uint32_t i = 0; i < rcpt_count; i++) {
		job->rcpts[i].n = (uint16_t)i;
		job->rcpts[i].settled = (struct queue_settled){.kind = kind, .flags = flags};
	}
	worker_post(spool_worker(s->spool), &job->letter);
}

/* All recipients of a message, as the queue thread would. */
static void
post_holds(struct scene *s, queue_id id, uint32_t rcpt_count, bool hold)
{
	struct hold_batch *b = NULL;

	for (uint32_t i = 0; i < rcpt_count; i++) {
		if (i % HOLD_BATCH == 0)
			b = calloc(1, sizeof(*b) + HOLD_BATCH * sizeof(b->items[0]));
		assert_non_null(b);
		b->letter.kind = LETTER_HOLD;
		b->hold = hold;
		b->items[b->count].id = id;
		b->items[b->count++].n = (uint16_t)i;
		if (b->count == HOLD_BATCH || i + 1 == rcpt_count)
			worker_post(spool_worker(s->spool), &b->letter);
	}
}

static void
wait_for_holds(struct scene *s, uint64_t count)
{
	for (int i = 0; i < WAIT_SECONDS * 100; i++, usleep(10000))
		if (spool_holds_written(s->spool) >= count)
			return;
	fail_msg("%llu of %llu holds are on disk", (unsigned long long)spool_holds_written(s->spool),
		(unsigned long long)count);
}

/* Every recipient's flags are these. */
static void
check_flags(struct scene *s, queue_id id, uint32_t rcpt_count, uint8_t flags)
{
	struct queue_loaded *l = NULL;

	OK(queue_store_load(s->f->store, id, false, &l));
	assert_int_equal(l->rcpt_count, rcpt_count);
	for (uint32_t i = 0; i < rcpt_count; i++)
		assert_int_equal(l->rcpts[i].flags, flags);
	queue_loaded_free(&l);
}

/* --- the tests --- */

/* More waits than one commit takes, and the commit fails: those it had not begun with do not wait for ever.
 */
static void
test_everybody_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s);
	disk_fails = true;
	for (int i = 0; i < MANY; i++)
		post_accept(&s, sizeof(body));
	scene_run(&s);
	scene_wait(&s, MANY);
	disk_fails = false;
	scene_end(&s);
	assert_int_equal(s.refused, MANY);
	assert_int_equal(s.fresh, 0);
}

/* A thousand large bounce mails at once are more than a transaction holds; each is sent all the same. */
static void
test_bounce_mails_share_commits(void **state)
{
	struct spool_stats st;
	struct scene s;

	scene_begin(&s);
	for (int i = 0; i < 3; i++)
		post_failure(&s, put(s.f, 1, 1), sizeof(body));
	scene_run(&s);
	scene_wait(&s, 3);
	spool_stats(s.spool, &st);
	assert_int_equal(st.commits, 2);
	assert_int_equal(check_books(s.f), 3); /* the bounce mails */
	scene_end(&s);
	assert_int_equal(s.notified, 3);
}

/* Outcomes that the disk would not take are written when it does, each once, with its mail. */
static void
test_outcomes_outlast_a_failure(void **state)
{
	struct queue_totals t;
	struct spool_stats st;
	struct scene s;

	scene_begin(&s);
	for (int i = 0; i < MANY; i++)
		post_failure(&s, put(s.f, 1000, 1), 1000);
	disk_fails = true;
	post_accept(&s, 1000);
	scene_run(&s);
	scene_wait(&s, 1); /* the client's; the outcomes wait */
	spool_stats(s.spool, &st);
	assert_true(st.is_failed);
	assert_int_equal(spool_pending(s.spool), MANY);
	disk_fails = false;
	scene_wait(&s, MANY);
	OK(queue_store_totals(s.f->store, &t));
	assert_int_equal(t.ended[QUEUE_END_BOUNCED], MANY);
	assert_int_equal(t.events_pending, MANY);
	assert_int_equal(check_books(s.f), MANY);
	scene_end(&s);
	assert_int_equal(s.refused, 1);
	assert_int_equal(s.recorded, MANY);
	assert_int_equal(s.notified, MANY);
}

static void
ask_feedback(struct scene *s, struct feedback *f)
{
	f->letter.kind = LETTER_FEEDBACK;
	f->reply_to = s->neighbour;
	s->feedback_result = 1;
	worker_post(spool_worker(s->spool), &f->letter);
}

/* An answer to mail is on disk when its letter is back, once for each token; a message and its tokens come
 * together.
 */
static void
test_feedback(void **state)
{
	static struct feedback_item items[3];
	struct feedback f = {.count = 3, .items = items};
	struct accept *a = calloc(1, sizeof(*a));
	struct message *m = message_of(1000);
	struct queue_totals t;
	char texts[QUEUE_EVENT_MAX];
	struct token token;
	struct scene s;

	scene_begin(&s);
	assert_non_null(a);
	m->meta.nonce = 9;
	m->meta.arrived_us = fake_us(NULL);
	token = token_of(TOKEN_UNSUBSCRIBE, &m->meta, 0);
	*a = (struct accept){.letter = {.kind = LETTER_ACCEPT}, .message = m, .reply_to = s.neighbour};
	worker_post(spool_worker(s.spool), &a->letter);
	scene_run(&s);
	scene_wait(&s, 1);
	OK(feedback_unsubscribe(s.f->store, &token, fake_us(NULL), "one-click", &items[0], texts));
	assert_memory_equal(items[0].event.rcpt.ptr, "r@y.test", 8);
	items[1] = items[0];
	items[2] = items[0];
	items[2].has_token = false;
	disk_fails = true;
	ask_feedback(&s, &f);
	scene_wait(&s, 1);
	assert_int_equal(s.feedback_result, QUEUE_EIO);
	ask_feedback(&s, &f); /* the store has failed */
	scene_wait(&s, 1);
	assert_int_equal(s.feedback_result, QUEUE_EIO);
	disk_fails = false;
	do {
		ask_feedback(&s, &f);
		scene_wait(&s, 1);
	} while (s.feedback_result == QUEUE_EIO);
	assert_int_equal(s.feedback_result, QUEUE_OK);
	assert_false(items[0].is_repeat);
	assert_true(items[1].is_repeat);
	assert_false(items[2].is_repeat);
	OK(queue_store_totals(s.f->store, &t));
	assert_int_equal(t.events_pending, 2);
	scene_end(&s);
}

/* Large messages, all of them held at once: in portions, and each record is read once. */
static void
test_many_are_held(void **state)
{
	enum { RCPTS = 30000 };
	struct spool_stats st;
	struct scene s;
	queue_id id;

	scene_begin(&s);
	id = put(s.f, 10, RCPTS);
	post_holds(&s, id, RCPTS, true);
	post_accept(&s, 10);
	scene_run(&s);
	wait_for_holds(&s, RCPTS);
	check_flags(&s, id, RCPTS, QUEUE_RCPT_HELD);
	spool_stats(s.spool, &st);
	assert_in_range(st.commits, RCPTS / (SPOOL_BATCH_CHANGES + HOLD_BATCH), RCPTS);
	scene_end(&s);
	assert_int_equal(s.fresh, 1);
}

/* New mail that comes while they are written does not wait until all are. */
static void
test_mail_between_holds(void **state)
{
	enum { RCPTS = 60000 };
	struct scene s;
	queue_id id;

	scene_begin(&s);
	id = put(s.f, 10, RCPTS);
	post_holds(&s, id, RCPTS, true);
	scene_run(&s);
	while (spool_holds_written(s.spool) == 0)
		sched_yield();
	post_accept(&s, 10);
	scene_wait(&s, 1);
	assert_in_range(s.held_before_accept, 1, RCPTS - SPOOL_BATCH_CHANGES);
	wait_for_holds(&s, RCPTS);
	scene_end(&s);
}

/* The spool is stopped: what it has been told before is done. */
static void
test_holds_before_a_stop(void **state)
{
	enum { RCPTS = 2 * SPOOL_BATCH_CHANGES };
	struct scene s;
	queue_id id;

	scene_begin(&s);
	id = put(s.f, 10, RCPTS);
	post_holds(&s, id, RCPTS, true);
	worker_stop(spool_worker(s.spool));
	scene_run(&s);
	worker_join(spool_worker(s.spool));
	check_flags(&s, id, RCPTS, QUEUE_RCPT_HELD);
	scene_end(&s);
}

/* A hold or a release passes an outcome that was decided before it, or is passed by it: both are on disk. */
static void
test_holds_and_outcomes(void **state)
{
	static const uint8_t doubt = QUEUE_RCPT_UNCERTAIN, notice = QUEUE_RCPT_DELAY_SENT;
	struct scene s;
	queue_id id;

	scene_begin(&s);
	id = put(s.f, 10, 2);
	post_holds(&s, id, 2, true);
	post_outcome(&s, id, 2, QUEUE_VERDICT_UNCERTAIN, doubt);
	scene_run(&s);
	wait_for_holds(&s, 2);
	scene_wait(&s, 1);
	check_flags(&s, id, 2, QUEUE_RCPT_HELD | doubt);
	post_outcome(&s, id, 2, QUEUE_VERDICT_LATER, notice);
	scene_wait(&s, 1);
	check_flags(&s, id, 2, QUEUE_RCPT_HELD | notice);
	post_holds(&s, id, 2, false);
	wait_for_holds(&s, 4);
	check_flags(&s, id, 2, notice);
	post_outcome(&s, id, 2, QUEUE_VERDICT_LATER, QUEUE_RCPT_HELD | notice);
	scene_wait(&s, 1);
	check_flags(&s, id, 2, notice);
	scene_end(&s);
}

/* Holds that the disk would not take are written when it does. */
static void
test_holds_outlast_a_failure(void **state)
{
	struct scene s;
	queue_id id;

	scene_begin(&s);
	id = put(s.f, 10, 3);
	disk_fails = true;
	post_holds(&s, id, 3, true);
	post_accept(&s, 10);
	scene_run(&s);
	scene_wait(&s, 1);
	post_holds(&s, id, 3, false);
	post_holds(&s, id, 3, true);
	assert_int_equal(spool_holds_written(s.spool), 0);
	disk_fails = false;
	wait_for_holds(&s, 9);
	check_flags(&s, id, 3, QUEUE_RCPT_HELD);
	scene_end(&s);
	assert_int_equal(s.refused, 1);
}

/* Outcomes of many recipients: several commits, and new mail is in the first of them. */
static void
test_large_outcomes_share_commits(void **state)
{
	enum { RCPTS = 4000, JOBS = 12 };
	struct spool_stats st;
	struct scene s;

	scene_begin(&s);
	for (int i = 0; i < JOBS; i++)
		post_outcome(&s, put(s.f, 10, RCPTS), RCPTS, QUEUE_VERDICT_DELIVERED, 0);
	post_accept(&s, 10);
	scene_run(&s);
	scene_wait(&s, JOBS + 1);
	spool_stats(s.spool, &st);
	assert_int_equal(st.commits, 3); /* of five jobs: the fifth is above the mark */
	assert_int_equal(check_books(s.f), 1);
	scene_end(&s);
	assert_int_equal(s.recorded, JOBS);
	assert_int_equal(s.recorded_before_accept, 5);
}

/* What a job loads is its own, in whatever order its lease names it, and all of it counts against memory-max.
 */
static void
test_a_job_loads_its_own(void **state)
{
	enum { RCPTS = 3 };
	static const uint16_t numbers[RCPTS] = {900, 998, 2};
	struct job *job = calloc(1, sizeof(*job) + RCPTS * sizeof(job->rcpts[0]));
	struct memory memory = {0};
	struct scene s;

	scene_begin(&s);
	assert_non_null(job);
	job->id = put(s.f, 5000, 1000);
	job->rcpt_count = RCPTS;
	for (int i = 0; i < RCPTS; i++)
		job->rcpts[i].n = numbers[i];
	OK(job_load(job, s.f->store, &memory, true));
	assert_int_equal(job->message->rcpt_count, RCPTS);
	for (int i = 0; i < RCPTS; i++)
		assert_non_null(message_rcpt(job->message, numbers[i]));
	assert_null(message_rcpt(job->message, 3));
	assert_in_range(
		memory.used_bytes, sizeof(struct message) + 5000 + RCPTS * sizeof(struct queue_rcpt), 8000);
	message_unref(job->message);
	job->message = NULL;
	assert_int_equal(memory.used_bytes, 0);
	job->id++;
	assert_int_equal(job_load(job, s.f->store, &memory, false), QUEUE_EDAMAGED);
	assert_true(job->is_damaged);
	job_free(job);
	scene_run(&s);
	scene_end(&s);
}

/* A full spool looks for readers that died, before it asks whether there is room again. */
static void
test_F11_dead_readers_and_a_full_spool(void **state)
{
	struct queue_store_limits limits = {.disk_free_min_bytes = UINT64_MAX / 2};
	struct spool_stats st = {.is_full = true};
	struct scene s;

	scene_begin(&s);
	leave_dead_reader(s.f);
	queue_store_set_limits(s.f->store, &limits);
	post_accept(&s, 10);
	scene_run(&s);
	scene_wait(&s, 1);
	limits.disk_free_min_bytes = 0;
	queue_store_set_limits(s.f->store, &limits);
	for (int i = 0; i < WAIT_SECONDS * 100 && st.is_full; i++, usleep(10000))
		spool_stats(s.spool, &st);
	assert_false(st.is_full);
	assert_int_equal(queue_store_forget_dead(s.f->store), 0);
	scene_end(&s);
	assert_int_equal(s.fresh, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everybody_is_refused),
		cmocka_unit_test(test_bounce_mails_share_commits),
		cmocka_unit_test(test_outcomes_outlast_a_failure),
		cmocka_unit_test(test_feedback),
		cmocka_unit_test(test_many_are_held),
		cmocka_unit_test(test_mail_between_holds),
		cmocka_unit_test(test_holds_before_a_stop),
		cmocka_unit_test(test_holds_and_outcomes),
		cmocka_unit_test(test_holds_outlast_a_failure),
		cmocka_unit_test(test_large_outcomes_share_commits),
		cmocka_unit_test(test_a_job_loads_its_own),
		cmocka_unit_test(test_F11_dead_readers_and_a_full_spool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
