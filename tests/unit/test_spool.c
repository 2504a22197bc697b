/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool thread between its neighbours: what waits when it starts is one backlog, so what belongs to which
 * commit is no matter of chance. The disk is made to fail by a fdatasync of our own.
 */
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
#include <semaphore.h>
#include <time.h>

enum { MANY = 8 };

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
	int refused, fresh, recorded, notified;
};

static void
on_letter(void *arg, struct letter *l)
{
	struct scene *s = arg;

	switch (l->kind) {
	case LETTER_ACCEPTED:
		s->refused += ((struct accept *)l)->result == QUEUE_EIO;
		message_unref(((struct accept *)l)->message);
		free(l);
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
	until.tv_sec += 5;
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
message_of(size_t bytes)
{
	const struct queue_rcpt r = {.address = BLOB("r@y.test")};
	struct message *m = message_create(NULL);

	assert_non_null(m);
	assert_true(message_add_rcpt(m, &r, BLOB("y.test")));
	assert_true(bytes <= sizeof(body));
	m->body[0] = (struct queue_blob){body, bytes};
	return m;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everybody_is_refused),
		cmocka_unit_test(test_bounce_mails_share_commits),
		cmocka_unit_test(test_outcomes_outlast_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
