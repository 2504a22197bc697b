/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool through its public interface: steps, scans, outbox, notes, directory, limits, threads. After each
 * step the books are checked: accepted = ended + quarantined + records. Damage is in test_queue_store_damage,
 * power cuts and failing syncs are in tests/crash.
 */
#include "queue_store.h"
#include "queue_store_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_fixture.h"

/* --- mail --- */

static void
test_put_and_load(void **state)
{
	static const struct {
		size_t body;
		uint32_t rcpts;
	} cases[] = {{0, 1}, {1, 1}, {2, 2}, {2000, 1}, {4079, 1}, {4080, 3}, {4081, 1}, {8160, 1}, {8161, 1},
		{100000, 100}, {3000000, 1}, {500, 20000}};
	struct fixture *f = *state;
	queue_id ids[sizeof cases / sizeof cases[0]];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ids[i] = put(f, cases[i].body, cases[i].rcpts);
		assert_int_equal(ids[i], i + 1);
	}
	check_books(f);
	stop(f);
	start(f);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check_load(f, ids[i], cases[i].body, cases[i].rcpts);
	check_books(f);
}

static void
test_put_refusals(void **state)
{
	static char long_text[600];
	static const struct {
		const char *name;
		struct queue_message m;
		struct queue_rcpt rcpts[2];
		uint32_t count;
		int want;
	} cases[] = {
		{"good", {0}, {{.address = {"a@b", 3}}}, 1, 0},
		{"no recipient", {0}, {{.address = {"a@b", 3}}}, 0, QUEUE_EINVAL},
		{"empty address", {0}, {{.n = 0}}, 1, QUEUE_EINVAL},
		{"long address", {0}, {{.address = {long_text, QUEUE_ADDRESS_MAX + 1}}}, 1, QUEUE_EINVAL},
		{"longest address", {0}, {{.address = {long_text, QUEUE_ADDRESS_MAX}}}, 1, 0},
		{"long orcpt", {0}, {{.address = {"a@b", 3}, .orcpt = {long_text, 513}}}, 1, QUEUE_EINVAL},
		{"long sender", {.sender = {long_text, 321}}, {{.address = {"a@b", 3}}}, 1, QUEUE_EINVAL},
		{"long job", {.job = {long_text, 129}}, {{.address = {"a@b", 3}}}, 1, QUEUE_EINVAL},
		{"number twice", {0}, {{.address = {"a@b", 3}}, {.address = {"c@b", 3}}}, 2, QUEUE_EINVAL},
		{"numbers fall", {0}, {{.n = 1, .address = {"a@b", 3}}, {.address = {"c@b", 3}}}, 2,
			QUEUE_EINVAL},
		{"numbers with a gap", {0}, {{.address = {"a@b", 3}}, {.n = 7, .address = {"c@b", 3}}}, 2, 0},
	};
	const struct queue_blob none[QUEUE_BODY_PIECES] = {0};
	struct fixture *f = *state;
	uint64_t want_records = 0;

	memset(long_text, 'x', sizeof long_text);
	OK(queue_store_begin(f->store));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_message m = cases[i].m;

		assert_int_equal(
			queue_store_put(f->store, &m, cases[i].rcpts, cases[i].count, none), cases[i].want);
		if (cases[i].want == 0)
			want_records += cases[i].count;
		else
			assert_int_equal(m.id, 0);
	}
	/* What was refused has not spoiled the transaction. */
	OK(queue_store_commit(f->store));
	assert_int_equal(check_books(f), want_records);
}

static void
test_life(void **state)
{
	struct fixture *f = *state;
	queue_id id = put(f, 5000, 3), other = put(f, 10, 1);
	struct queue_rcpt later = {
		.n = 1,
		.attempts = 2,
		.due_us = 99,
		.address = BLOB("a1@y.example"),
		.reply = BLOB("451 4.7.1 try again later"),
	};
	struct queue_loaded *l = NULL;
	struct queue_totals t;

	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED));
	OK(queue_store_update(f->store, id, &later));
	assert_int_equal(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_end(f->store, id, 3, QUEUE_END_DELIVERED), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_end(f->store, UINT64_MAX, 0, QUEUE_END_DELIVERED), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_remove(f->store, id), QUEUE_EINVAL);
	assert_int_equal(queue_store_remove(f->store, 1000), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_remove(f->store, UINT64_MAX), QUEUE_ENOTFOUND);
	later.n = 0;
	assert_int_equal(queue_store_update(f->store, id, &later), QUEUE_ENOTFOUND);
	later.address.len = 0;
	assert_int_equal(queue_store_update(f->store, id, &later), QUEUE_EINVAL);
	OK(queue_store_commit(f->store));
	assert_int_equal(check_books(f), 3);

	OK(queue_store_load(f->store, id, true, &l));
	assert_int_equal(l->rcpt_count, 2);
	assert_int_equal(l->message.rcpt_count, 3);
	assert_int_equal(l->rcpts[0].n, 1);
	assert_int_equal(l->rcpts[0].attempts, 2);
	assert_int_equal(l->rcpts[0].due_us, 99);
	assert_memory_equal(l->rcpts[0].reply.ptr, "451 4.7.1 try again later", 25);
	assert_int_equal(l->rcpts[1].n, 2);
	queue_loaded_free(&l);

	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, id, 1, QUEUE_END_BOUNCED));
	OK(queue_store_end(f->store, id, 2, QUEUE_END_EXPIRED));
	OK(queue_store_remove(f->store, id));
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_store_load(f->store, id, true, &l), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_load(f->store, UINT64_MAX, true, &l), QUEUE_ENOTFOUND);
	assert_int_equal(check_books(f), 1);
	OK(queue_store_totals(f->store, &t));
	assert_int_equal(t.accepted, 4);
	assert_int_equal(t.ended[QUEUE_END_DELIVERED], 1);
	assert_int_equal(t.ended[QUEUE_END_BOUNCED], 1);
	assert_int_equal(t.ended[QUEUE_END_EXPIRED], 1);
	assert_int_equal(t.messages_accepted, 2);
	assert_int_equal(t.messages_queued, 1);
	check_load(f, other, 10, 1);
}

/* A lease's recipients of a message that has many others. */
static void
test_load_some(void **state)
{
	static const uint16_t some[] = {3, 700, 998, 999}, gone[] = {5, 1000, 65535}, last[] = {5, 999};
	struct queue_loaded *l = NULL, *all = NULL;
	struct fixture *f = *state;
	queue_id id = put(f, 5000, 1000);

	put(f, 10, 3);
	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, id, 5, QUEUE_END_DELIVERED));
	OK(queue_store_commit(f->store));
	OK(queue_store_load(f->store, id, true, &all));
	assert_int_equal(all->rcpt_count, 999);
	OK(queue_store_load_rcpts(f->store, id, some, 4, true, &l));
	assert_int_equal(l->rcpt_count, 4);
	assert_int_equal(l->message.rcpt_count, 1000);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(l->rcpts[i].n, some[i]);
	assert_memory_equal(l->rcpts[1].address.ptr, "a700@y.example", 14);
	assert_int_equal(l->body.len, 5000);
	assert_memory_equal(l->body.ptr, all->body.ptr, 5000);
	assert_in_range(l->block_bytes, 5000, 7000);
	assert_in_range(all->block_bytes, 5000 + 999 * sizeof *all->rcpts, SIZE_MAX);
	queue_loaded_free(&l);
	queue_loaded_free(&all);
	OK(queue_store_load_rcpts(f->store, id, last, 2, false, &l));
	assert_int_equal(l->rcpt_count, 1);
	assert_int_equal(l->rcpts[0].n, 999);
	queue_loaded_free(&l);
	assert_int_equal(queue_store_load_rcpts(f->store, id, gone, 3, true, &l), QUEUE_EDAMAGED);
	assert_int_equal(queue_store_load_rcpts(f->store, 77, some, 4, true, &l), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_load_rcpts(f->store, UINT64_MAX, some, 4, true, &l), QUEUE_ENOTFOUND);
}

static uint8_t
flags_of(struct fixture *f, queue_id id, uint32_t index)
{
	struct queue_loaded *l = NULL;
	uint8_t flags;

	OK(queue_store_load(f->store, id, false, &l));
	assert_in_range(index, 0, l->rcpt_count - 1);
	flags = l->rcpts[index].flags;
	queue_loaded_free(&l);
	return flags;
}

/* Holds and outcomes reach the disk in any order: neither undoes what the other wrote, also in one
 * transaction. */
static void
test_hold(void **state)
{
	struct fixture *f = *state;
	queue_id id = put(f, 5000, 3);
	struct queue_rcpt later = {.n = 1, .flags = QUEUE_RCPT_UNCERTAIN, .address = BLOB("a1@y.example")};

	OK(queue_store_begin(f->store));
	OK(queue_store_hold(f->store, id, 1, true));
	OK(queue_store_update(f->store, id, &later));
	OK(queue_store_commit(f->store));
	assert_int_equal(flags_of(f, id, 1), QUEUE_RCPT_HELD | QUEUE_RCPT_UNCERTAIN);
	assert_int_equal(flags_of(f, id, 0), 0);
	assert_int_equal(flags_of(f, id, 2), 0);
	OK(queue_store_begin(f->store));
	OK(queue_store_hold(f->store, id, 1, true));
	OK(queue_store_hold(f->store, id, 1, false));
	later.flags = QUEUE_RCPT_HELD | QUEUE_RCPT_DELAY_SENT; /* as it was when it was settled */
	OK(queue_store_update(f->store, id, &later));
	OK(queue_store_commit(f->store));
	assert_int_equal(flags_of(f, id, 1), QUEUE_RCPT_DELAY_SENT);
	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, id, 2, QUEUE_END_DELIVERED));
	assert_int_equal(queue_store_hold(f->store, id, 2, true), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_hold(f->store, id + 1, 0, true), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_hold(f->store, UINT64_MAX, 0, true), QUEUE_ENOTFOUND);
	OK(queue_store_commit(f->store));
	check_load(f, id, 5000, 2);
}

/* A job that was made before the first attempt knows nothing of it. */
static void
test_first_attempt_stays(void **state)
{
	static const int64_t said[] = {0, 1790000000000001, 1790000000000002, 0},
			     stored[] = {0, 1790000000000001, 1790000000000001, 1790000000000001};
	struct fixture *f = *state;
	queue_id id = put(f, 5000, 3);
	struct queue_rcpt later = {.n = 1, .address = BLOB("a1@y.example")};
	struct queue_loaded *l = NULL;

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		later.first_us = said[i];
		OK(queue_store_begin(f->store));
		OK(queue_store_update(f->store, id, &later));
		OK(queue_store_commit(f->store));
		OK(queue_store_load(f->store, id, false, &l));
		assert_true(l->rcpts[1].first_us == stored[i]);
		queue_loaded_free(&l);
	}
}

static void
test_numbers_are_never_used_again(void **state)
{
	struct fixture *f = *state;
	queue_id last = put(f, 10, 1), next = 0;

	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, last, 0, QUEUE_END_DROPPED));
	OK(queue_store_remove(f->store, last));
	OK(queue_store_commit(f->store));
	stop(f);
	start(f);
	next = put(f, 10, 1);
	assert_int_equal(next, last + 1);
	/* An aborted one was never told to anybody. */
	OK(queue_store_begin(f->store));
	OK(try_put(f, 10, 1, &next));
	queue_store_abort(f->store);
	assert_int_equal(put(f, 10, 1), next);
	assert_int_equal(check_books(f), 2);
}

static void
test_abort(void **state)
{
	struct fixture *f = *state;
	queue_id id = put(f, 100, 2), gone = 0;
	uint64_t seq;

	OK(queue_store_begin(f->store));
	OK(try_put(f, 9000, 2, &gone));
	OK(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED));
	OK(queue_store_event(f->store, BLOB("e"), &seq));
	OK(queue_store_note(f->store, BLOB("n"), BLOB("v")));
	queue_store_abort(f->store);
	check_load(f, id, 100, 2);
	assert_int_equal(check_books(f), 2);
	/* An empty transaction costs no commit and changes nothing. */
	OK(queue_store_begin(f->store));
	OK(queue_store_commit(f->store));
	check_load(f, id, 100, 2);
	/* Aborting is always allowed: an error path need not know how far it came. */
	queue_store_abort(f->store);
}

/* --- scans --- */

static void
test_scan(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0};
	queue_id last = 0;

	assert_int_equal(queue_store_scan(f->store, 0, 100, on_message, &seen, &last), 0);
	assert_int_equal(last, 0);
	for (uint32_t i = 1; i <= 20; i++)
		assert_int_equal(put(f, 10 * i, i), i);
	/* In portions of 7: each message once, with all its recipients. */
	for (int got = 7; got == 7;)
		got = queue_store_scan(f->store, last, 7, on_message, &seen, &last);
	assert_int_equal(seen.count, 20);
	assert_int_equal(last, 20);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(seen.ids[i], i + 1);
		assert_int_equal(seen.rcpts[i], i + 1);
	}
	seen = (struct seen){.stop_after = 3};
	assert_int_equal(queue_store_scan(f->store, 5, 100, on_message, &seen, &last), 3);
	assert_int_equal(last, 8);
	assert_int_equal(queue_store_scan(f->store, 5, 0, on_message, &seen, &last), 0);
	assert_int_equal(queue_store_scan(f->store, 20, 100, on_message, &seen, &last), 0);
	assert_int_equal(queue_store_scan(f->store, UINT64_MAX, 100, on_message, &seen, &last), 0);
}

/* --- outbox --- */

static void
test_outbox(void **state)
{
	struct fixture *f = *state;
	struct events e = {0};
	struct queue_totals t;
	char buf[32] = "";
	uint64_t seq = 77;

	assert_int_equal(queue_store_report_state(f->store, &seq, buf, sizeof buf), 0);
	assert_int_equal(seq, 0);
	add_events(f, 20000);
	assert_int_equal(queue_store_scan_events(f->store, 0, 30000, on_event, &e), 20000);
	assert_int_equal(e.first, 1);
	report(f, 15, BLOB("offset 4000"));
	stop(f);
	start(f);
	assert_int_equal(queue_store_report_state(f->store, &seq, buf, sizeof buf), 11);
	assert_int_equal(seq, 15);
	assert_memory_equal(buf, "offset 4000", 11);
	assert_int_equal(queue_store_report_state(f->store, &seq, buf, 3), 11);
	e = (struct events){0};
	assert_int_equal(queue_store_scan_events(f->store, 15, 10, on_event, &e), 10);
	assert_int_equal(e.first, 16);
	/* More at once than one call deletes: they are behind the mark and go with the next calls. */
	report(f, 19990, BLOB("offset 5000"));
	OK(queue_store_totals(f->store, &t));
	assert_int_equal(t.events_pending, 10);
	report(f, 19990, BLOB("offset 5000"));
	report(f, 19990, BLOB("offset 5000"));
	e = (struct events){0};
	assert_int_equal(queue_store_scan_events(f->store, 0, 100, on_event, &e), 10);
	assert_int_equal(e.first, 19991);
	report(f, 20000, (struct queue_blob){0});
	assert_int_equal(queue_store_report_state(f->store, &seq, buf, sizeof buf), 0);
	/* All reported and gone: numbers go on all the same. */
	stop(f);
	start(f);
	add_events(f, 1);
	e = (struct events){0};
	assert_int_equal(queue_store_scan_events(f->store, 0, 100, on_event, &e), 1);
	assert_int_equal(e.first, 20001);
}

static void
test_outbox_refusals(void **state)
{
	static char big[QUEUE_EVENT_MAX + 1];
	struct fixture *f = *state;
	uint64_t seq = 0;

	add_events(f, 3);
	OK(queue_store_begin(f->store));
	assert_int_equal(
		queue_store_event(f->store, (struct queue_blob){big, sizeof big}, &seq), QUEUE_EINVAL);
	OK(queue_store_event(f->store, (struct queue_blob){big, QUEUE_EVENT_MAX}, &seq));
	assert_int_equal(seq, 4);
	assert_int_equal(queue_store_reported(f->store, 5, BLOB("x")), QUEUE_EINVAL);
	OK(queue_store_reported(f->store, 2, BLOB("x")));
	assert_int_equal(queue_store_reported(f->store, 1, BLOB("x")), QUEUE_EINVAL);
	OK(queue_store_commit(f->store));
}

/* --- notes --- */

static void
test_notes(void **state)
{
	static char name[201];
	struct fixture *f = *state;
	char all[200] = "";
	char buf[8];

	memset(name, 'n', sizeof name);
	OK(queue_store_begin(f->store));
	OK(queue_store_note(f->store, BLOB("warm/b"), BLOB("2")));
	OK(queue_store_note(f->store, BLOB("warm/a"), BLOB("1")));
	OK(queue_store_note(f->store, BLOB("lane/x"), BLOB("backoff")));
	OK(queue_store_note(f->store, BLOB("none"), (struct queue_blob){0}));
	assert_int_equal(queue_store_note(f->store, (struct queue_blob){0}, BLOB("x")), QUEUE_EINVAL);
	assert_int_equal(queue_store_note(f->store, (struct queue_blob){name, 201}, BLOB("x")), QUEUE_EINVAL);
	OK(queue_store_note(f->store, (struct queue_blob){name, 200}, BLOB("x")));
	OK(queue_store_note(f->store, (struct queue_blob){name, 200}, (struct queue_blob){0}));
	OK(queue_store_commit(f->store));
	stop(f);
	start(f);
	assert_int_equal(queue_store_note_get(f->store, BLOB("warm/a"), buf, sizeof buf), 1);
	assert_int_equal(buf[0], '1');
	assert_int_equal(queue_store_note_get(f->store, BLOB("lane/x"), buf, 4), 7);
	assert_int_equal(queue_store_note_get(f->store, BLOB("none"), buf, 4), QUEUE_ENOTFOUND);
	assert_int_equal(
		queue_store_note_get(f->store, (struct queue_blob){name, 200}, buf, 4), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_note_get(f->store, (struct queue_blob){0}, buf, 4), QUEUE_ENOTFOUND);
	assert_int_equal(queue_store_scan_notes(f->store, BLOB("warm/"), on_note, all), 2);
	assert_string_equal(all, "warm/a=1 warm/b=2 ");
	all[0] = '\0';
	assert_int_equal(queue_store_scan_notes(f->store, (struct queue_blob){0}, on_note, all), 3);
	assert_string_equal(all, "lane/x=backoff warm/a=1 warm/b=2 ");
	assert_int_equal(queue_store_scan_notes(f->store, BLOB("zzz"), on_note, all), 0);
}

/* --- the directory --- */

static void
test_lock(void **state)
{
	struct fixture *f = *state;
	struct queue_store *second = NULL, *third = NULL;

	assert_int_equal(queue_store_open(&f->conf, &second), QUEUE_ELOCKED);
	assert_string_equal(f->why, "another process has locked mtad.lock");
	f->conf.read_only = true;
	assert_int_equal(queue_store_open(&f->conf, &second), QUEUE_ELOCKED);
	put(f, 100, 1);
	stop(f);
	OK(queue_store_open(&f->conf, &second));
	f->conf.read_only = false;
	assert_int_equal(queue_store_open(&f->conf, &third), QUEUE_ELOCKED);
	f->store = second;
	check_load(f, 1, 100, 1);
	check_books(f);
}

static void
test_directory(void **state)
{
	struct fixture *f = *state;
	struct queue_store *s = NULL;
	char path[128], deeper[128];
	struct stat st;

	/* One at a time: two maps of 1 TiB are too much for a thread sanitizer. */
	stop(f);
	/* Made when it is missing, but not its parents. */
	path_in(f, "sub", path);
	path_in(f, "none/sub", deeper);
	f->conf.dir = deeper;
	assert_int_equal(queue_store_open(&f->conf, &s), QUEUE_EIO);
	assert_non_null(strstr(f->why, "mkdir"));
	f->conf.dir = path;
	f->conf.read_only = true;
	assert_int_equal(queue_store_open(&f->conf, &s), QUEUE_EIO);
	f->conf.read_only = false;
	OK(queue_store_open(&f->conf, &s));
	OK(stat(path, &st));
	assert_int_equal(st.st_mode & 0777, 0700);
	queue_store_close(&s);
	/* Foreign files in it and the rest of an interrupted making do not disturb. */
	path_in(f, "sub/data.mdb", deeper);
	OK(unlink(deeper));
	path_in(f, "sub/new", deeper);
	OK(mkdir(deeper, 0700));
	path_in(f, "sub/new/data.mdb", deeper);
	OK(close(open(deeper, O_CREAT | O_WRONLY, 0600)));
	path_in(f, "sub/README.txt", deeper);
	OK(close(open(deeper, O_CREAT | O_WRONLY, 0600)));
	OK(queue_store_open(&f->conf, &s));
	queue_store_close(&s);
	OK(stat(deeper, &st));
	path_in(f, "sub/new", deeper);
	assert_int_equal(stat(deeper, &st), -1);
	remove_dir(path);
	f->conf.dir = f->dir;
}

static void
test_F16_network_file_systems(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		bool want;
	} cases[] = {
		{"nfs", 0x6969, true},
		{"cifs", 0xff534d42, true},
		{"smb2", 0xfe534d42, true},
		{"9p", 0x01021997, true},
		{"fuse", 0x65735546, true},
		{"ceph", 0x00c36400, true},
		{"afs", 0x5346414f, true},
		{"ext4", 0xef53, false},
		{"xfs", 0x58465342, false},
		{"btrfs", 0x9123683e, false},
		{"zfs", 0x2fc12fc1, false},
		{"tmpfs", 0x01021994, false},
		{"overlay", 0x794c7630, false},
	};
	struct queue_words words;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(queue_space_is_network(cases[i].type), cases[i].want);
	assert_int_equal(queue_space_check_fs("/nonexistent", &words), QUEUE_EIO);
}

/* --- space --- */

static void
test_guards(void **state)
{
	static const struct {
		const char *name;
		struct queue_store_conf conf;
		const char *why;
	} cases[] = {
		{"disk", {.limits.disk_free_min_bytes = UINT64_MAX}, "too little free space on the disk"},
		{"size", {.limits.spool_bytes_max = 100000}, "the spool has reached its size limit"},
		{"map", {.map_bytes = 3 << 20}, "the spool's map is full"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_message dsn = {.flags = QUEUE_MESSAGE_DSN};
		const struct queue_rcpt dsn_to = {.address = BLOB("s@x.example")};
		const struct queue_blob dsn_body[QUEUE_BODY_PIECES] = {BLOB("To: s@x.example")};
		struct queue_space sp;
		struct fixture *f;
		queue_id id, first, done = 1;
		uint64_t seq;
		void *fresh;
		int err;

		assert_int_equal(set_up(&fresh), 0);
		f = fresh;
		first = put(f, 10000, 1);
		stop(f);
		f->conf.limits = cases[i].conf.limits;
		f->conf.map_bytes = cases[i].conf.map_bytes;
		start(f);
		/* One at a time, until it is refused; then everything but a put still works in that
		 * transaction. */
		do {
			OK(queue_store_begin(f->store));
			if ((err = try_put(f, 10000, 1, &id)) == 0)
				OK(queue_store_commit(f->store));
		} while (err == 0);
		assert_int_equal(err, QUEUE_ENOSPACE);
		assert_string_equal(queue_store_error_text(f->store), cases[i].why);
		OK(queue_store_put(f->store, &dsn, &dsn_to, 1, dsn_body));
		OK(queue_store_end(f->store, first, 0, QUEUE_END_DELIVERED));
		OK(queue_store_remove(f->store, first));
		OK(queue_store_event(f->store, BLOB("done"), &seq));
		OK(queue_store_commit(f->store));
		assert_false(queue_store_is_failed(f->store));
		OK(queue_store_space(f->store, &sp));
		if (i == 0)
			assert_true(sp.is_full && sp.why != NULL);
		/* All the others can be settled as well, and then there is room again. */
		for (id = done + 1; queue_store_begin(f->store) == 0; id++) {
			err = queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED);
			if (err == 0) {
				OK(queue_store_remove(f->store, id));
				OK(queue_store_event(f->store, BLOB("done"), &seq));
			}
			OK(queue_store_commit(f->store));
			if (err == QUEUE_ENOTFOUND)
				break;
		}
		assert_int_equal(check_books(f), 0);
		OK(queue_store_begin(f->store));
		assert_int_equal(try_put(f, 10000, 1, &id), i == 0 ? QUEUE_ENOSPACE : 0);
		OK(queue_store_commit(f->store));
		tear_down(&fresh);
	}
}

/* The map is full in the middle of a transaction: it is gone, the store is not. */
static void
test_F9_map_full(void **state)
{
	static char event[QUEUE_EVENT_MAX];
	struct fixture *f = *state;
	queue_id id = put(f, 100, 1);
	struct queue_totals t;
	uint64_t seq;
	int err = 0;

	stop(f);
	f->conf.map_bytes = 400000;
	start(f);
	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED));
	for (int i = 0; i < 1000 && err == 0; i++)
		err = queue_store_event(f->store, (struct queue_blob){event, sizeof event}, &seq);
	assert_int_equal(err, QUEUE_ENOSPACE);
	assert_non_null(strstr(queue_store_error_text(f->store), "MDB_MAP_FULL"));
	assert_int_equal(queue_store_remove(f->store, id), QUEUE_ENOSPACE);
	assert_int_equal(queue_store_note(f->store, BLOB("x"), BLOB("y")), QUEUE_ENOSPACE);
	assert_int_equal(queue_store_commit(f->store), QUEUE_ENOSPACE);
	assert_false(queue_store_is_failed(f->store));
	check_load(f, id, 100, 1);
	OK(queue_store_begin(f->store));
	OK(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED));
	OK(queue_store_remove(f->store, id));
	OK(queue_store_event(f->store, BLOB("done"), &seq));
	OK(queue_store_commit(f->store));
	OK(queue_store_totals(f->store, &t));
	assert_int_equal(t.events_pending, 1);
	assert_int_equal(check_books(f), 0);
}

static void
test_a_transaction_is_bounded(void **state)
{
	struct fixture *f = *state;
	queue_id id;
	int count = 0;

	OK(queue_store_begin(f->store));
	assert_int_equal(try_put(f, QUEUE_STORE_TX_BYTES_MAX + 1, 1, &id), QUEUE_EINVAL);
	while (try_put(f, 60 << 20, 1, &id) == 0)
		count++;
	assert_in_range(count, 3, 4);
	assert_string_equal(queue_store_error_text(f->store), "the transaction is full");
	queue_store_abort(f->store);
}

/* --- threads --- */

struct reader {
	struct queue_store *store;
	_Atomic bool stop;
	_Atomic uint64_t loads;
};

static void *
read_on(void *arg)
{
	struct reader *r = arg;
	struct queue_loaded *l = NULL;
	struct queue_totals t;
	uint64_t records, sum;

	while (!r->stop) {
		int err = queue_store_load(r->store, 1, true, &l);

		if (err == 0 && (l->body.len != 50000 || l->rcpt_count != 1))
			abort();
		if (err != 0 && err != QUEUE_EIO)
			abort();
		queue_loaded_free(&l);
		if (queue_store_audit(r->store, &t, &records) == 0) {
			sum = records + t.quarantined + t.ended[0] + t.ended[1] + t.ended[2] + t.ended[3];
			if (t.accepted != sum)
				abort();
		}
		r->loads++;
	}
	return NULL;
}

static void
test_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[3];
	struct reader r;
	queue_id id;

	put(f, 50000, 1);
	r = (struct reader){.store = f->store};
	for (int i = 0; i < 3; i++)
		OK(pthread_create(&threads[i], NULL, read_on, &r));
	for (int i = 0; i < 60; i++) {
		id = put(f, 3000, 2);
		OK(queue_store_begin(f->store));
		OK(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED));
		OK(queue_store_end(f->store, id, 1, QUEUE_END_BOUNCED));
		OK(queue_store_remove(f->store, id));
		OK(queue_store_commit(f->store));
		if (i % 10 == 0)
			OK(queue_store_reopen(f->store));
	}
	r.stop = true;
	for (int i = 0; i < 3; i++)
		OK(pthread_join(threads[i], NULL));
	assert_true(r.loads > 0);
	assert_int_equal(check_books(f), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_put_and_load),
		CASE(test_put_refusals),
		CASE(test_life),
		CASE(test_load_some),
		CASE(test_hold),
		CASE(test_first_attempt_stays),
		CASE(test_numbers_are_never_used_again),
		CASE(test_abort),
		CASE(test_scan),
		CASE(test_outbox),
		CASE(test_outbox_refusals),
		CASE(test_notes),
		CASE(test_lock),
		CASE(test_directory),
		cmocka_unit_test(test_F16_network_file_systems),
		cmocka_unit_test(test_guards),
		CASE(test_F9_map_full),
		CASE(test_a_transaction_is_bounded),
		CASE(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
