/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report: each event is in each file once, whatever fails on the way. The thread's loop is driven by the
 * test, the spool thread's part is done here, and time passes as the test wants it to.
 */
#include "report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/letters.h"
#include "starve.h"
#include "store_fixture.h"

#include "conf/conf_load.h"
#include "report/state.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 3, TURN_US = 20000, TURNS_MAX = 1000, RETRIES = 200, LETTER_LEAST = 1000 };

static int64_t passed_us; /* the test's: libevent reads the clock below */

int
clock_gettime(clockid_t id, struct timespec *out)
{
	int64_t us;

	if (syscall(SYS_clock_gettime, id, out) != 0)
		return -1;
	us = out->tv_nsec / 1000 + passed_us;
	out->tv_sec += us / 1000000;
	out->tv_nsec = us % 1000000 * 1000;
	return 0;
}

static const char *bad_disk; /* how the name of the file ends that cannot be synced; NULL: none */

/* The spool is synced by this too. */
int
fdatasync(int fd)
{
	char link[40], name[200];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	if (bad_disk == NULL || strstr(name, bad_disk) == NULL)
		return 0;
	errno = EIO;
	return -1;
}

struct scene {
	struct fixture *f;
	const struct conf *conf;
	struct worker *spool;
	struct report *report;
	struct log *log;
};

static void
on_spool_letter(void *arg, struct letter *l)
{
	struct scene *s = arg;
	const struct reported *p = (const struct reported *)l;

	assert_int_equal(l->kind, LETTER_REPORTED);
	OK(queue_store_begin(s->f->store));
	OK(queue_store_reported(s->f->store, p->seq, (struct queue_blob){p->state, p->state_len}));
	OK(queue_store_commit(s->f->store));
	free(l);
}

static void
begin_report(struct scene *s)
{
	const struct report_conf rc = {
		.clock = clock_real(), .log = s->log, .conf = s->conf, .store = s->f->store};
	char why[300] = "";

	if ((s->report = report_create(&rc, why, sizeof(why))) == NULL)
		fail_msg("%s", why);
	report_connect(s->report, s->spool, NULL);
}

static void
scene_begin_with(struct scene *s, const char *blocks)
{
	const struct worker_conf wc = {"spool", clock_real(), on_spool_letter, NULL, s};
	char text[600];
	void *fresh;
	int n;

	starve_pause(true);
	*s = (struct scene){.f = NULL};
	set_up(&fresh);
	s->f = fresh;
	n = snprintf(text, sizeof(text),
		"hostname = mta.x.test\nlisten l { address = { 127.0.0.1:2525 } }\nsource a { address = { "
		"127.0.0.1 } }\n"
		"accounting-file = \"%s/acct.csv\"\naccounting-json = \"%s/acct.json\"\n%s",
		s->f->dir, s->f->dir, blocks);
	assert_non_null(s->conf = conf_load_bytes("mtad.conf", text, (size_t)n, stderr));
	assert_non_null(s->spool = worker_create(&wc));
}

static void
scene_begin(struct scene *s)
{
	scene_begin_with(s, "");
}

static void
scene_end(struct scene *s)
{
	void *done = s->f;

	report_destroy(&s->report);
	worker_destroy(&s->spool);
	conf_unref(s->conf);
	tear_down(&done);
}

/* Events from..to-1 happen: in the outbox, and in the letter that the spool thread sends after its commit. */
static void
happen(struct scene *s, int from, int to)
{
	struct event_batch *batch = calloc(1, sizeof(*batch) + (size_t)(to - from) * (12 + QUEUE_EVENT_MAX));
	char rcpt[20], *at = batch->bytes;
	uint64_t seq;

	assert_non_null(batch);
	OK(queue_store_begin(s->f->store));
	for (int i = from; i < to; i++) {
		int n = snprintf(rcpt, sizeof(rcpt), "r%d@y.test", i);
		const struct event e = {.type = EVENT_DELIVERED,
			.logged_us = 1000000,
			.sender = BLOB("s@x.test"),
			.reply = BLOB("250 \xff"),
			.rcpt = {rcpt, (size_t)n}};
		uint32_t len;

		assert_true((n = event_encode(&e, at + 12, QUEUE_EVENT_MAX)) > 0);
		OK(queue_store_event(s->f->store, (struct queue_blob){at + 12, (size_t)n}, &seq));
		len = (uint32_t)n;
		memcpy(at, &seq, 8);
		memcpy(at + 8, &len, 4);
		at += 12 + len;
	}
	OK(queue_store_commit(s->f->store));
	batch->letter.kind = LETTER_EVENTS;
	batch->len = (size_t)(at - batch->bytes);
	if (s->report != NULL)
		worker_post(report_worker(s->report), &batch->letter);
	else
		free(batch);
}

static void
turn(struct scene *s)
{
	passed_us += TURN_US;
	starve_pause(false); /* nobody but the report thread is short of memory */
	(void)event_base_loop(worker_base(report_worker(s->report)), EVLOOP_NONBLOCK);
	starve_pause(true);
	(void)event_base_loop(worker_base(s->spool), EVLOOP_NONBLOCK);
}

static uint64_t
pending(struct scene *s)
{
	struct queue_totals t;

	OK(queue_store_totals(s->f->store, &t));
	return t.events_pending;
}

/* How often a word stands in a file. */
static int
count_in(const struct scene *s, const char *name, const char *word)
{
	static char have[1 << 16];
	char path[128];
	int count = 0;
	FILE *file;

	path_in(s->f, name, path);
	if ((file = fopen(path, "r")) == NULL)
		return 0;
	have[fread(have, 1, sizeof(have) - 1, file)] = '\0';
	fclose(file);
	for (const char *p = have; (p = strstr(p, word)) != NULL; p++)
		count++;
	return count;
}

/* Until the spool holds no event any more; then each of them is in both files once. */
static void
settle(struct scene *s, int events, const char *name)
{
	char word[20];
	int i;

	for (i = 0; i < TURNS_MAX && pending(s) > 0; i++)
		turn(s);
	if (pending(s) > 0)
		fail_msg("%s: %llu events are left", name, (unsigned long long)pending(s));
	for (i = 0; i < events; i++) {
		snprintf(word, sizeof(word), "r%d@y.test", i);
		if (count_in(s, "acct.csv", word) != 1 || count_in(s, "acct.json", word) != 1)
			fail_msg("%s: %s is %d times in the CSV, %d times in the JSON file", name, word,
				count_in(s, "acct.csv", word), count_in(s, "acct.json", word));
	}
}

/* Nothing is written before the spool knows the files: without memory to tell it so, it is told later. */
static void
test_I3_the_spool_hears_of_the_files_later(void **state)
{
	struct scene s;

	scene_begin(&s);
	happen(&s, 0, EVENTS);
	begin_report(&s);
	starve_larger(LETTER_LEAST);
	for (int i = 0; i < 5; i++)
		turn(&s);
	assert_true(starve_end() > 0);
	assert_int_equal(pending(&s), EVENTS);
	settle(&s, EVENTS, "later");
	scene_end(&s);
}

/* Any allocation of the thread may fail, in the outbox's turn and in that of letters. */
static void
test_I3_each_allocation_fails_once(void **state)
{
	struct scene s;
	uint64_t failed = 1, n;
	char name[30];

	for (n = 1; failed > 0; n++) {
		snprintf(name, sizeof(name), "allocation %llu", (unsigned long long)n);
		scene_begin(&s);
		happen(&s, 0, EVENTS);
		begin_report(&s);
		starve_begin(n, false);
		settle(&s, EVENTS, name);
		failed = starve_end();
		happen(&s, EVENTS, 2 * EVENTS);
		starve_begin(n, false);
		settle(&s, 2 * EVENTS, name);
		failed += starve_end();
		scene_end(&s);
	}
	assert_true(n > 100);
}

static bool
has_failed(const struct scene *s)
{
	struct report_stats st;

	report_stats(s->report, &st);
	return st.is_failed;
}

/* The disk of one file fails: what the other has is written again to both. */
static void
test_F4_one_of_two_files_cannot_be_synced(void **state)
{
	static const char *const names[] = {"acct.csv", "acct.json"};
	struct scene s;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		scene_begin(&s);
		begin_report(&s);
		happen(&s, 0, EVENTS);
		settle(&s, EVENTS, names[i]);
		happen(&s, EVENTS, 2 * EVENTS);
		bad_disk = names[i];
		for (int k = 0; k < TURNS_MAX && !has_failed(&s); k++)
			turn(&s);
		assert_true(has_failed(&s));
		for (int k = 0; k < RETRIES; k++)
			turn(&s);
		bad_disk = NULL;
		settle(&s, 2 * EVENTS, names[i]);
		scene_end(&s);
	}
}

/* It cannot be written, but it is not passed over in silence, and those behind it come. */
static void
test_F13_a_damaged_event(void **state)
{
	char path[128];
	struct scene s;
	uint64_t seq;
	int fd;

	scene_begin(&s);
	path_in(s.f, "log", path);
	assert_true((fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0);
	assert_non_null(s.log = log_create(CONF_LOG_STDERR, CONF_LOG_ERROR, fd));
	OK(queue_store_begin(s.f->store));
	OK(queue_store_event(s.f->store, BLOB("no event"), &seq));
	OK(queue_store_commit(s.f->store));
	happen(&s, 0, EVENTS);
	begin_report(&s);
	settle(&s, EVENTS, "behind it");
	assert_int_equal(count_in(&s, "log", "accounting_damaged event=1 why="), 1);
	scene_end(&s);
	log_destroy(&s.log);
	close(fd);
}

/* --- outlets: their thread's part is done by the test --- */

#define TWO_OUTLETS "pipe a { command = x }\nwebhook b { url = \"http://127.0.0.1:1/\" }\n"

static void
pass(struct scene *s, const char *name, uint64_t seq)
{
	struct passed *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->letter.kind = LETTER_PASSED;
	p->seq = seq;
	snprintf(p->name, sizeof(p->name), "%s", name);
	worker_post(report_worker(s->report), &p->letter);
}

static void
turns(struct scene *s, int count)
{
	while (count-- > 0)
		turn(s);
}

/* What the spool has of one, UINT64_MAX: nothing. */
static uint64_t
place_of(struct scene *s, const char *name)
{
	char bytes[STATE_BYTES_MAX];
	struct state st;
	uint64_t seq;
	int n = queue_store_report_state(s->f->store, &seq, bytes, sizeof(bytes));

	assert_true(n > 0 && state_decode((struct queue_blob){bytes, (size_t)n}, seq, &st));
	return state_outlet_find(&st, name) != NULL ? state_outlet_find(&st, name)->seq : UINT64_MAX;
}

enum { SETTLED = 100 }; /* turns of 20 ms */

/* Events stay until the last of all has them; the files have them at once. A crash changes no place. */
static void
test_the_outbox_waits_for_every_outlet(void **state)
{
	struct scene s;

	scene_begin_with(&s, TWO_OUTLETS);
	begin_report(&s);
	turns(&s, SETTLED);
	assert_int_equal(place_of(&s, "a"), 0);
	happen(&s, 0, 5);
	turns(&s, SETTLED);
	assert_int_equal(count_in(&s, "acct.csv", "r4@y.test"), 1);
	assert_int_equal(pending(&s), 5);
	pass(&s, "a", 4);
	pass(&s, "b", 2);
	pass(&s, "nobody", 5);
	turns(&s, SETTLED);
	assert_int_equal(pending(&s), 3);
	pass(&s, "b", 3);
	pass(&s, "b", 1); /* never back */
	turns(&s, SETTLED);
	assert_int_equal(pending(&s), 2);
	report_destroy(&s.report);
	begin_report(&s);
	turns(&s, SETTLED);
	assert_int_equal(place_of(&s, "a"), 4);
	assert_int_equal(place_of(&s, "b"), 3);
	assert_int_equal(place_of(&s, "nobody"), UINT64_MAX);
	assert_int_equal(pending(&s), 2);
	pass(&s, "a", 5);
	pass(&s, "b", 5);
	settle(&s, 5, "at the end");
	scene_end(&s);
}

/* Files in trouble hold up no outlet, and lose nothing by it: the outbox is not cut behind what they have. */
static void
test_places_move_while_files_fail(void **state)
{
	struct scene s;

	scene_begin_with(&s, TWO_OUTLETS);
	begin_report(&s);
	turns(&s, SETTLED);
	bad_disk = "acct.csv";
	happen(&s, 0, 5);
	turns(&s, SETTLED);
	assert_true(has_failed(&s));
	pass(&s, "a", 5);
	pass(&s, "b", 5);
	turns(&s, SETTLED);
	assert_int_equal(place_of(&s, "b"), 5);
	assert_int_equal(pending(&s), 5);
	report_destroy(&s.report);
	bad_disk = NULL;
	begin_report(&s);
	settle(&s, 5, "after the trouble");
	assert_int_equal(place_of(&s, "a"), 5);
	scene_end(&s);
}

/* One that has gone holds nothing back any more; one that is new begins behind what there is. */
static void
test_outlets_come_and_go(void **state)
{
	const struct conf *without, *with;
	struct scene s, other;

	scene_begin_with(&other, "");
	without = conf_ref(other.conf);
	scene_end(&other);
	scene_begin_with(&s, TWO_OUTLETS);
	with = conf_ref(s.conf);
	begin_report(&s);
	happen(&s, 0, 5);
	turns(&s, SETTLED);
	assert_int_equal(pending(&s), 5);
	report_reconfigure(s.report, without);
	settle(&s, 5, "without");
	report_reconfigure(s.report, with);
	turns(&s, SETTLED);
	assert_int_equal(place_of(&s, "a"), 5);
	happen(&s, 5, 6);
	turns(&s, SETTLED);
	assert_int_equal(pending(&s), 1);
	scene_end(&s);
	conf_unref(with);
	conf_unref(without);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_I3_the_spool_hears_of_the_files_later),
		cmocka_unit_test(test_I3_each_allocation_fails_once),
		cmocka_unit_test(test_F4_one_of_two_files_cannot_be_synced),
		cmocka_unit_test(test_F13_a_damaged_event),
		cmocka_unit_test(test_the_outbox_waits_for_every_outlet),
		cmocka_unit_test(test_places_move_while_files_fail),
		cmocka_unit_test(test_outlets_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
