/* SPDX-License-Identifier: Apache-2.0 */
/* Guards in the schedule: what counts for whom, what becomes of who bounces too much, what survives. The
 * arithmetic itself: test_queue_guard.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_why.h"

enum { NOTES = 8, NOTE_BYTES = 4096 };

static const struct queue_guard_conf strict = {
	.window_us = DAY, .volume_min = 100, .limit_ppm = {{0, 50000, 70000, 100000}, {0, 1000, 2000, 3000}}};

struct guarded {
	struct host h;
	const struct queue_guard_conf *conf;
	struct queue_verdict bad; /* what every `every`th recipient gets; 0: none */
	int every, settled, out_max;
	/* The last change of each kind, and all notes that stand, by their keys. */
	struct queue_guard_change change[QUEUE_PAUSE_KINDS];
	char name[QUEUE_PAUSE_KINDS][32];
	char keys[NOTES][200], values[NOTES][NOTE_BYTES];
	size_t key_len[NOTES], value_len[NOTES];
	int notes_written;
};

static struct guarded *of_host;

static const struct queue_guard_conf *
conf_of(void *arg, struct queue_blob user)
{
	return of_host->conf;
}

static void
on_guard(void *arg, enum queue_pause_kind kind, struct queue_blob name,
	const struct queue_guard_change *change)
{
	of_host->change[kind] = *change;
	snprintf(of_host->name[kind], sizeof(of_host->name[kind]), "%.*s", (int)name.len,
		(const char *)name.ptr);
}

static void
guarded_init(struct guarded *g)
{
	memset(g, 0, sizeof(*g));
	of_host = g;
	host_init(&g->h);
	g->conf = &strict;
	g->bad = (struct queue_verdict){.kind = QUEUE_VERDICT_FAILED, .code = 550};
	g->h.policy.messages_per_connection = 0;
	g->h.conf.guard = conf_of;
	g->h.conf.on_guard = on_guard;
	queue_sched_reconfigured(g->h.q, &g->h.conf, g->h.now_us);
}

static void
keep_note(struct guarded *g, const struct queue_order *o)
{
	int i = 0;

	while (i < NOTES - 1 && g->key_len[i] > 0 &&
		(g->key_len[i] != o->note.len || memcmp(g->keys[i], o->note.ptr, o->note.len) != 0))
		i++;
	assert_true(o->value.len <= NOTE_BYTES);
	memcpy(g->keys[i], o->note.ptr, g->key_len[i] = o->note.len);
	memcpy(g->values[i], o->value.ptr, g->value_len[i] = o->value.len);
	g->notes_written++;
	queue_sched_noted(g->h.q, o->noting, false, g->h.now_us);
}

static void
settle_one(struct guarded *g, struct queue_lease *l)
{
	struct queue_verdict good = {.kind = QUEUE_VERDICT_DELIVERED, .code = 250};
	struct queue_settled out;
	bool is_bad = g->every > 0 && ++g->settled % g->every == 0;

	queue_sched_settle(g->h.q, l, 0, is_bad ? &g->bad : &good, g->h.now_us, &out);
	queue_sched_lease_done(g->h.q, l, g->h.now_us);
}

/* Until there is nothing to do at this time; all sessions work at once, and answer in order. */
static void
run(struct guarded *g)
{
	struct queue_lease *out[64];
	int count = 0, i;

	g->out_max = 0;
	for (;;) {
		struct queue_order o = host_next(&g->h);

		if (o.kind == QUEUE_ORDER_OPEN)
			queue_sched_session_ready(g->h.q, o.session, false);
		if (o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE)
			out[count++] = o.lease;
		else if (o.kind == QUEUE_ORDER_NOTE)
			keep_note(g, &o);
		else if (o.kind == QUEUE_ORDER_CLOSE)
			host_close(&g->h, o.session, false, 0);
		else if (count == 0)
			return;
		if (count > g->out_max)
			g->out_max = count;
		if (o.kind != QUEUE_ORDER_NONE && count < 64)
			continue;
		for (i = 0; i < count; i++)
			settle_one(g, out[i]);
		count = 0;
	}
}

static void
send(struct guarded *g, int count, const char *user, const char *job)
{
	while (count-- > 0)
		assert_int_equal(host_add_job(&g->h, 1, 1, user, job), QUEUE_OK);
	run(g);
}

static bool
see_pause(void *arg, const struct queue_pause_view *v)
{
	snprintf(arg, 120, "%d %.*s %s: %.*s", v->kind, (int)v->name.len, (const char *)v->name.ptr,
		v->until_us == INT64_MAX ? "for ever" : "a while", (int)v->reason.len,
		(const char *)v->reason.ptr);
	return true;
}

/* "" for none; the last of several. */
static const char *
pauses(struct guarded *g, char buf[120])
{
	buf[0] = '\0';
	queue_sched_each_pause(g->h.q, see_pause, buf);
	return buf;
}

static uint64_t
kept(struct guarded *g)
{
	return host_stats(&g->h).ready;
}

/* --- what counts --- */

static void
test_what_counts(void **state)
{
	static const struct {
		const char *name;
		int every;
		struct queue_verdict bad;
		enum queue_guard_level want;
	} cases[] = {
		{"one in four", 4, {.kind = QUEUE_VERDICT_FAILED, .code = 550}, QUEUE_GUARD_STOP},
		{"one in eleven", 11, {.kind = QUEUE_VERDICT_FAILED, .code = 550}, QUEUE_GUARD_SLOW},
		{"one in eighteen", 18, {.kind = QUEUE_VERDICT_FAILED, .code = 550}, QUEUE_GUARD_WARN},
		{"one in thirty", 30, {.kind = QUEUE_VERDICT_FAILED, .code = 550}, QUEUE_GUARD_OK},
		{"it is us that is blocked", 4,
			{.kind = QUEUE_VERDICT_FAILED, .code = 550, .blame = QUEUE_BLAME_US}, QUEUE_GUARD_OK},
		{"it is the message", 4,
			{.kind = QUEUE_VERDICT_FAILED, .code = 552, .blame = QUEUE_BLAME_NOBODY},
			QUEUE_GUARD_OK},
		{"no reply said so", 4, {.kind = QUEUE_VERDICT_FAILED}, QUEUE_GUARD_OK},
		{"not for good", 4, {.kind = QUEUE_VERDICT_LATER, .code = 450}, QUEUE_GUARD_OK},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guarded g;

		guarded_init(&g);
		g.every = cases[i].every;
		g.bad = cases[i].bad;
		send(&g, 900, "u1", "j1");
		if (g.change[QUEUE_PAUSE_USER].to != cases[i].want)
			fail_msg("%s: %s", cases[i].name,
				queue_guard_level_text(g.change[QUEUE_PAUSE_USER].to));
		assert_int_equal(kept(&g) > 0, cases[i].want == QUEUE_GUARD_STOP);
		host_fini(&g.h);
	}
}

/* Its mail waits with the numbers as the reason; that of others goes, and by the same source. */
static void
test_a_user_is_stopped_alone(void **state)
{
	struct guarded g;
	char buf[120];

	guarded_init(&g);
	g.every = 4;
	send(&g, 200, "u1", "j1");
	assert_string_equal(pauses(&g, buf), "5 u1 for ever: guard: bounces 25.0 % of 100 recipients");
	assert_string_equal(g.name[QUEUE_PAUSE_USER], "u1");
	assert_true(kept(&g) > 0 && kept(&g) <= 100);
	assert_int_not_equal(g.change[QUEUE_PAUSE_STREAM].to, QUEUE_GUARD_STOP);
	g.every = 0;
	send(&g, 50, "u2", "j1");
	assert_true(kept(&g) <= 100);
	host_fini(&g.h);
}

/* One campaign is bad, the rest of its user's mail is not. */
static void
test_a_stream_is_stopped_alone(void **state)
{
	struct guarded g;
	char buf[120];

	guarded_init(&g);
	send(&g, 2000, "u1", "good");
	g.every = 3;
	send(&g, 200, "u1", "bad");
	assert_memory_equal(pauses(&g, buf), "6 u1/bad/normal for ever: guard: bounces", 40);
	assert_string_equal(g.name[QUEUE_PAUSE_STREAM], "u1/bad/normal");
	assert_true(kept(&g) > 0);
	host_fini(&g.h);
}

/* Mail without a user has no user's guard, but streams. The source is told of, and goes on. */
static void
test_mail_of_nobody(void **state)
{
	struct guarded g;
	char buf[120];

	guarded_init(&g);
	g.every = 4;
	send(&g, 200, "", "j1");
	assert_memory_equal(pauses(&g, buf), "6 /j1/normal for ever", 21);
	send(&g, 150, "", "j2");
	assert_string_equal(g.name[QUEUE_PAUSE_SOURCE], "source7");
	assert_int_equal(g.change[QUEUE_PAUSE_SOURCE].to, QUEUE_GUARD_SLOW);
	host_fini(&g.h);
}

static void
test_slow_is_one_at_a_time(void **state)
{
	struct guarded g;

	guarded_init(&g);
	g.every = 11;
	send(&g, 900, "u1", "j1");
	assert_int_equal(g.change[QUEUE_PAUSE_USER].to, QUEUE_GUARD_SLOW);
	g.every = 0;
	send(&g, 20, "u1", "j2");
	assert_int_equal(g.out_max, 1);
	send(&g, 20, "u2", "j1");
	assert_true(g.out_max > 1);
	/* Good mail takes it back to where it was. */
	send(&g, 1000, "u1", "j1");
	assert_true(g.change[QUEUE_PAUSE_USER].to < QUEUE_GUARD_SLOW);
	assert_int_equal(kept(&g), 0);
	send(&g, 20, "u1", "j2");
	assert_true(g.out_max > 1);
	host_fini(&g.h);
}

/* --- release --- */

static void
test_resume_releases(void **state)
{
	struct guarded g;
	char buf[120];

	guarded_init(&g);
	g.every = 4;
	send(&g, 200, "u1", "j1");
	assert_true(queue_sched_resume(g.h.q, QUEUE_PAUSE_USER, blob_of("u1"), 0, g.h.now_us));
	assert_int_equal(g.change[QUEUE_PAUSE_USER].from, QUEUE_GUARD_STOP);
	assert_int_equal(g.change[QUEUE_PAUSE_USER].to, QUEUE_GUARD_OK);
	/* Neither the user nor its stream is stopped for what was before. */
	g.every = 50;
	run(&g);
	assert_int_equal(kept(&g), 0);
	assert_string_equal(pauses(&g, buf), "");
	g.every = 4;
	send(&g, 200, "u1", "j1");
	assert_true(kept(&g) > 0);
	host_fini(&g.h);
}

/* A pause of an operator's own takes the place of the guard's, and ends both. */
static void
test_the_end_of_a_pause_releases(void **state)
{
	struct guarded g;

	guarded_init(&g);
	g.every = 4;
	send(&g, 200, "u1", "j1");
	assert_int_equal(queue_sched_pause(g.h.q, QUEUE_PAUSE_USER, blob_of("u1"), 0, g.h.now_us + MINUTE,
				 blob_of("cleans its list"), g.h.now_us),
		QUEUE_OK);
	run(&g);
	assert_true(kept(&g) > 0);
	g.every = 0;
	g.h.now_us += MINUTE;
	run(&g);
	assert_int_equal(kept(&g), 0);
	assert_int_equal(g.change[QUEUE_PAUSE_USER].to, QUEUE_GUARD_OK);
	host_fini(&g.h);
}

/* --- the disk, and time --- */

static void
test_over_a_restart(void **state)
{
	struct guarded g, after;
	char buf[120];
	int i;

	guarded_init(&g);
	g.every = 4;
	send(&g, 200, "u1", "j1");
	guarded_init(&after);
	for (i = 0; i < NOTES && g.key_len[i] > 0; i++) {
		struct queue_blob value = {g.values[i], g.value_len[i]}, cut = {g.values[i], value.len - 1};

		assert_int_equal(queue_sched_restore(after.h.q, cut, after.h.now_us), QUEUE_EDAMAGED);
		assert_int_equal(queue_sched_restore(after.h.q, value, after.h.now_us), QUEUE_OK);
		assert_int_equal(queue_sched_restore(after.h.q, value, after.h.now_us), QUEUE_EINVAL);
	}
	assert_int_equal(i, 3); /* user, stream, source */
	send(&after, 10, "u1", "j2");
	assert_int_equal(kept(&after), 10);
	assert_memory_equal(pauses(&after, buf), "5 u1 for ever: guard: bounces 25.0 %", 36);
	send(&after, 10, "u2", "j2");
	assert_int_equal(kept(&after), 10);
	assert_true(queue_sched_resume(after.h.q, QUEUE_PAUSE_USER, blob_of("u1"), 0, after.h.now_us));
	run(&after);
	assert_int_equal(kept(&after), 0);
	host_fini(&after.h);
	host_fini(&g.h);
}

static void
test_notes_are_rare(void **state)
{
	struct guarded g;

	guarded_init(&g);
	send(&g, 500, "u1", "j1");
	assert_int_equal(g.notes_written, 3);
	g.h.now_us += 30 * SEC;
	send(&g, 500, "u1", "j1");
	assert_int_equal(g.notes_written, 3);
	g.h.now_us += 30 * SEC;
	send(&g, 500, "u1", "j1");
	assert_int_equal(g.notes_written, 6);
	host_fini(&g.h);
}

/* By and by a warning is over, and when the window has gone by nothing is left on disk. */
static void
test_time_goes_by(void **state)
{
	struct guarded g;
	int64_t end_us;
	int i;

	guarded_init(&g);
	g.every = 18;
	send(&g, 900, "u1", "j1");
	assert_int_equal(g.change[QUEUE_PAUSE_USER].to, QUEUE_GUARD_WARN);
	end_us = g.h.now_us + 4 * DAY;
	while (g.h.now_us < end_us) {
		run(&g);
		g.h.now_us = queue_sched_wake_us(g.h.q) < end_us ? queue_sched_wake_us(g.h.q) : end_us;
	}
	assert_int_equal(g.change[QUEUE_PAUSE_USER].to, QUEUE_GUARD_OK);
	for (i = 0; i < NOTES && g.key_len[i] > 0; i++)
		assert_true(g.value_len[i] == 0 || memchr(g.keys[i], '7', g.key_len[i]) != NULL);
	assert_int_equal(i, 3);
	host_fini(&g.h);
}

/* A reload with other thresholds is enough; without any, all goes. */
static void
test_a_reload(void **state)
{
	static const struct queue_guard_conf mild = {.window_us = DAY,
		.volume_min = 100,
		.limit_ppm = {{0, 500000, 500000, 500000}, {0, 500000, 500000, 500000}}};
	struct guarded g;

	guarded_init(&g);
	g.conf = &mild;
	g.every = 4;
	send(&g, 200, "u1", "j1");
	assert_int_equal(kept(&g), 0);
	g.h.now_us += MINUTE;
	g.conf = &strict;
	queue_sched_reconfigured(g.h.q, &g.h.conf, g.h.now_us);
	send(&g, 1, "u1", "j1");
	assert_int_equal(kept(&g), 1);
	g.conf = NULL;
	send(&g, 200, "u2", "j1");
	assert_int_equal(kept(&g), 1);
	host_fini(&g.h);
}

/* Long after its mail has left the queue, or while the rest of it waits. */
static void
test_feedback(void **state)
{
	static const struct {
		const char *name;
		struct queue_feedback f;
		int count;
		enum queue_guard_level user, stream, source;
	} cases[] = {
		{"complaints", {.kind = QUEUE_FEEDBACK_COMPLAINT, .user = {"u1", 2}, .job = {"j1", 2}}, 12,
			QUEUE_GUARD_STOP, QUEUE_GUARD_SLOW, QUEUE_GUARD_OK},
		{"few of them", {.kind = QUEUE_FEEDBACK_COMPLAINT, .user = {"u1", 2}, .job = {"j1", 2}}, 4,
			QUEUE_GUARD_OK, QUEUE_GUARD_OK, QUEUE_GUARD_OK},
		{"of mail that was sent too long ago",
			{.kind = QUEUE_FEEDBACK_COMPLAINT, .user = {"u1", 2}, .job = {"j1", 2}, .sent_us = 1},
			12, QUEUE_GUARD_OK, QUEUE_GUARD_OK, QUEUE_GUARD_OK},
		{"about a source", {.kind = QUEUE_FEEDBACK_COMPLAINT, .source = {"source7", 7}}, 12,
			QUEUE_GUARD_OK, QUEUE_GUARD_OK, QUEUE_GUARD_SLOW},
		{"about nobody we know", {.kind = QUEUE_FEEDBACK_COMPLAINT}, 12, QUEUE_GUARD_OK,
			QUEUE_GUARD_OK, QUEUE_GUARD_OK},
		{"of somebody who has sent nothing", {.kind = QUEUE_FEEDBACK_COMPLAINT, .user = {"u2", 2}},
			12, QUEUE_GUARD_OK, QUEUE_GUARD_OK, QUEUE_GUARD_OK},
		{"bad addresses", {.kind = QUEUE_FEEDBACK_BAD_ADDRESS, .user = {"u1", 2}, .job = {"j1", 2}},
			170, QUEUE_GUARD_STOP, QUEUE_GUARD_SLOW, QUEUE_GUARD_OK},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guarded g;

		guarded_init(&g);
		send(&g, 1000, "u1", "j1");
		assert_int_equal(kept(&g), 0);
		for (int n = 0; n < cases[i].count; n++)
			queue_sched_feedback(g.h.q, &cases[i].f, g.h.now_us);
		if (g.change[QUEUE_PAUSE_USER].to != cases[i].user ||
			g.change[QUEUE_PAUSE_STREAM].to != cases[i].stream ||
			g.change[QUEUE_PAUSE_SOURCE].to != cases[i].source)
			fail_msg("%s: user %s, stream %s, source %s", cases[i].name,
				queue_guard_level_text(g.change[QUEUE_PAUSE_USER].to),
				queue_guard_level_text(g.change[QUEUE_PAUSE_STREAM].to),
				queue_guard_level_text(g.change[QUEUE_PAUSE_SOURCE].to));
		send(&g, 10, "u1", "j1");
		assert_int_equal(kept(&g), cases[i].user == QUEUE_GUARD_STOP ? 10 : 0);
		/* What nobody refers to goes when it knows nothing any more. */
		g.h.now_us += 40 * (int64_t)DAY;
		run(&g);
		host_fini(&g.h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feedback),
		cmocka_unit_test(test_what_counts),
		cmocka_unit_test(test_a_user_is_stopped_alone),
		cmocka_unit_test(test_a_stream_is_stopped_alone),
		cmocka_unit_test(test_mail_of_nobody),
		cmocka_unit_test(test_slow_is_one_at_a_time),
		cmocka_unit_test(test_resume_releases),
		cmocka_unit_test(test_the_end_of_a_pause_releases),
		cmocka_unit_test(test_over_a_restart),
		cmocka_unit_test(test_notes_are_rare),
		cmocka_unit_test(test_time_goes_by),
		cmocka_unit_test(test_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
