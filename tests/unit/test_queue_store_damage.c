/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a damaged disk, a foreign hand or another version may leave in the spool, put there through
 * queue_lmdb: every answer is an error code, nothing is deleted, and the rest of the mail does not notice.
 */
#include "queue_key.h"
#include "queue_lmdb.h"
#include "queue_record.h"
#include "queue_store.h"
#include "queue_store_internal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_suppress.h"
#include "store_fixture.h"

/* --- damage --- */

/* Changes records behind the store's back, while it is closed. */
struct backdoor {
	struct queue_lmdb *lmdb;
	struct queue_lmdb_tx tx;
	struct queue_words words;
};

static void
enter(struct fixture *f, struct backdoor *b)
{
	stop(f);
	OK(queue_lmdb_open(f->dir, UINT64_C(1) << 30, false, &b->words, &b->lmdb));
	OK(queue_lmdb_begin(b->lmdb, true, &b->tx));
	for (int t = 0; t < QUEUE_TABLE_COUNT; t++)
		OK(queue_lmdb_open_table(&b->tx, (enum queue_table)t, false));
}

static void
leave(struct backdoor *b)
{
	OK(queue_lmdb_commit(&b->tx));
	queue_lmdb_close(&b->lmdb);
}

static void
overwrite(struct backdoor *b, enum queue_table table, struct queue_blob key, const void *bytes, size_t len)
{
	void *room;

	OK(queue_lmdb_put(&b->tx, table, key, len, &room));
	memcpy(room, bytes, len);
}

/* Flips the last bit of the record. */
static void
flip(struct backdoor *b, enum queue_table table, struct queue_blob key)
{
	struct queue_blob value;
	char copy[8192];

	OK(queue_lmdb_get(&b->tx, table, key, &value));
	assert_in_range(value.len, 1, sizeof copy);
	memcpy(copy, value.ptr, value.len);
	copy[value.len - 1] ^= 1;
	overwrite(b, table, key, copy, value.len);
}

static uint32_t
quarantine(struct fixture *f, queue_id id)
{
	uint32_t rcpts = 0;

	OK(queue_store_begin(f->store));
	OK(queue_store_quarantine(f->store, id, &rcpts));
	OK(queue_store_commit(f->store));
	return rcpts;
}

static uint64_t
quarantined_records(struct fixture *f)
{
	struct backdoor b;
	uint64_t records, bytes;

	enter(f, &b);
	OK(queue_lmdb_stat(&b.tx, QUEUE_TABLE_QUARANTINE, &records, &bytes));
	leave(&b);
	start(f);
	return records;
}

/* Each kind of record of message 2 in turn; 1 and 3 must not notice. */
static void
test_damaged_message(void **state)
{
	static const struct {
		const char *name;
		enum queue_table table;
		bool is_gone;      /* deleted instead of flipped */
		bool seen_by_scan; /* without reading the body */
		uint32_t rcpts;    /* that go to quarantine */
		uint64_t records;
	} cases[] = {
		{"message record", QUEUE_TABLE_MESSAGE, false, true, 3, 1 + 3 + 3},
		{"message record gone", QUEUE_TABLE_MESSAGE, true, true, 3, 3 + 3},
		{"recipient", QUEUE_TABLE_RCPT, false, true, 3, 1 + 3 + 3},
		{"body", QUEUE_TABLE_BODY, false, false, 3, 1 + 3 + 3},
		{"body chunk gone", QUEUE_TABLE_BODY, true, false, 3, 1 + 3 + 2},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t id = 2, rcpt = queue_key_rcpt(2, 1), chunk = queue_key_body(2, 1);
		const uint64_t *numbers[] = {
			[QUEUE_TABLE_MESSAGE] = &id,
			[QUEUE_TABLE_RCPT] = &rcpt,
			[QUEUE_TABLE_BODY] = &chunk,
		};
		struct queue_blob key = queue_key_number(numbers[cases[i].table]);
		struct queue_loaded *l = NULL;
		struct seen seen = {0};
		struct fixture *f;
		struct backdoor b;
		queue_id last;
		void *fresh;

		assert_int_equal(set_up(&fresh), 0);
		f = fresh;
		put(f, 9000, 1);
		put(f, 9000, 3);
		put(f, 9000, 1);
		enter(f, &b);
		if (cases[i].is_gone)
			OK(queue_lmdb_delete(&b.tx, cases[i].table, key));
		else
			flip(&b, cases[i].table, key);
		leave(&b);
		start(f);
		assert_int_equal(queue_store_load(f->store, 2, true, &l),
			cases[i].table == QUEUE_TABLE_MESSAGE && cases[i].is_gone ? QUEUE_ENOTFOUND
										  : QUEUE_EDAMAGED);
		assert_int_equal(queue_store_scan(f->store, 0, 10, on_message, &seen, &last), 3);
		assert_int_equal(seen.ids[1], 2);
		assert_int_equal(seen.rcpts[1], cases[i].seen_by_scan ? 0 : 3);
		assert_int_equal(quarantine(f, 2), cases[i].rcpts);
		assert_int_equal(check_books(f), 2);
		assert_int_equal(quarantined_records(f), cases[i].records);
		seen = (struct seen){0};
		assert_int_equal(queue_store_scan(f->store, 0, 10, on_message, &seen, &last), 2);
		check_load(f, 1, 9000, 1);
		check_load(f, 3, 9000, 1);
		tear_down(&fresh);
	}
}

/* Keys that no store ever wrote: they are found, kept aside, and put no number in danger. */
static void
test_foreign_keys(void **state)
{
	static const uint64_t messages[] = {UINT64_MAX, UINT64_C(1) << 62, 0};
	static const uint64_t rcpts[] = {UINT64_MAX, UINT64_C(1) << 63, 5};
	struct fixture *f = *state;
	struct seen seen = {0};
	queue_id good = put(f, 100, 1), last = 0;
	struct backdoor b;
	uint32_t moved;

	enter(f, &b);
	for (size_t i = 0; i < 3; i++) {
		overwrite(&b, QUEUE_TABLE_MESSAGE, queue_key_number(&messages[i]), "junk", 4);
		overwrite(&b, QUEUE_TABLE_RCPT, queue_key_number(&rcpts[i]), "junk", 4);
	}
	leave(&b);
	start(f);
	/* Ids start at 1; whatever stands at 0 is not reached by a scan, and stays where it is. */
	assert_int_equal(queue_store_scan(f->store, 0, 100, on_message, &seen, &last), 5);
	assert_int_equal(seen.rcpts[0], 1);
	for (int i = 1; i < seen.count; i++) {
		assert_int_equal(seen.rcpts[i], 0);
		OK(queue_store_begin(f->store));
		OK(queue_store_quarantine(f->store, seen.ids[i], &moved));
		assert_int_equal(queue_store_quarantine(f->store, seen.ids[i], &moved), QUEUE_ENOTFOUND);
		OK(queue_store_commit(f->store));
	}
	seen = (struct seen){0};
	assert_int_equal(queue_store_scan(f->store, 0, 100, on_message, &seen, &last), 1);
	check_load(f, good, 100, 1);
	assert_int_equal(put(f, 100, 1), good + 1);
	check_load(f, good + 1, 100, 1);
}

/* The same while the foreign keys are still there: appending has to step around them. */
static void
test_put_below_a_foreign_key(void **state)
{
	static const uint64_t far = UINT64_MAX;
	struct fixture *f = *state;
	struct backdoor b;

	enter(f, &b);
	overwrite(&b, QUEUE_TABLE_MESSAGE, queue_key_number(&far), "junk", 4);
	overwrite(&b, QUEUE_TABLE_RCPT, queue_key_number(&far), "junk", 4);
	overwrite(&b, QUEUE_TABLE_BODY, queue_key_number(&far), "junk", 4);
	overwrite(&b, QUEUE_TABLE_EVENT, queue_key_number(&far), "junk", 4);
	leave(&b);
	start(f);
	for (queue_id id = 1; id < 50; id++) {
		assert_int_equal(put(f, 10000, 2), id);
		check_load(f, id, 10000, 2);
	}
	add_events(f, 5);
}

/* The books lag behind the tables (a bug, a patched file): numbers in use are not given again. */
static void
test_lagging_books(void **state)
{
	struct fixture *f = *state;
	struct queue_state st;
	struct backdoor b;
	queue_id id = 0;

	for (int i = 0; i < 5; i++)
		id = put(f, 10, 1);
	add_events(f, 3);
	enter(f, &b);
	OK(queue_format_read_state(&b.tx, &st));
	st.next_id = 2;
	st.next_event = 1;
	st.reported = 0;
	OK(queue_format_write_state(&b.tx, &st));
	leave(&b);
	start(f);
	assert_int_equal(put(f, 10, 1), id + 1);
}

/* A hold leaves a damaged record as it is, for the load that meets it; an outcome puts one right. */
static void
test_damaged_rcpt_is_written(void **state)
{
	const struct queue_rcpt later = {.n = 1, .attempts = 3, .address = BLOB("a1@y.example")};
	struct fixture *f = *state;
	struct queue_loaded *l = NULL;
	queue_id id = put(f, 100, 3);
	uint64_t number = queue_key_rcpt(id, 1);
	struct backdoor b;

	enter(f, &b);
	flip(&b, QUEUE_TABLE_RCPT, queue_key_number(&number));
	leave(&b);
	start(f);
	OK(queue_store_begin(f->store));
	assert_int_equal(queue_store_hold(f->store, id, 1, true), QUEUE_EDAMAGED);
	OK(queue_store_hold(f->store, id, 2, true));
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_store_load(f->store, id, true, &l), QUEUE_EDAMAGED);
	OK(queue_store_begin(f->store));
	OK(queue_store_update(f->store, id, &later));
	OK(queue_store_commit(f->store));
	OK(queue_store_load(f->store, id, true, &l));
	assert_int_equal(l->rcpts[1].attempts, 3);
	assert_int_equal(l->rcpts[2].flags, QUEUE_RCPT_HELD);
	queue_loaded_free(&l);
}

static void
test_damaged_event_and_note(void **state)
{
	static const uint64_t second = 2;
	struct fixture *f = *state;
	struct events e = {0};
	char text[200] = "";
	struct backdoor b;
	char buf[8];

	add_events(f, 3);
	OK(queue_store_begin(f->store));
	OK(queue_store_note(f->store, BLOB("a"), BLOB("1")));
	OK(queue_store_note(f->store, BLOB("b"), BLOB("2")));
	OK(queue_store_commit(f->store));
	enter(f, &b);
	flip(&b, QUEUE_TABLE_EVENT, queue_key_number(&second));
	flip(&b, QUEUE_TABLE_NOTE, BLOB("a"));
	leave(&b);
	start(f);
	assert_int_equal(queue_store_scan_events(f->store, 0, 10, on_event, &e), 3);
	assert_int_equal(e.damaged, 1);
	assert_int_equal(queue_store_note_get(f->store, BLOB("a"), buf, sizeof buf), QUEUE_EDAMAGED);
	assert_int_equal(queue_store_scan_notes(f->store, (struct queue_blob){0}, on_note, text), 1);
	assert_string_equal(text, "b=2 ");
	report(f, 3, BLOB("x"));
	OK(queue_store_begin(f->store));
	OK(queue_store_note(f->store, BLOB("a"), BLOB("9")));
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_store_note_get(f->store, BLOB("a"), buf, sizeof buf), 1);
	assert_int_equal(quarantined_records(f), 2);
}

/* --- readers --- */

/* How much the file grows while mail comes and goes. */
static uint64_t
growth(struct fixture *f)
{
	struct queue_space before = {0}, after = {0};

	OK(queue_store_space(f->store, &before));
	for (int i = 0; i < 20; i++) {
		queue_id id = put(f, 1 << 20, 1);

		OK(queue_store_begin(f->store));
		OK(queue_store_end(f->store, id, 0, QUEUE_END_DELIVERED));
		OK(queue_store_remove(f->store, id));
		OK(queue_store_commit(f->store));
	}
	OK(queue_store_space(f->store, &after));
	return after.file_bytes - before.file_bytes;
}

static void
test_F11_a_copy_that_was_killed(void **state)
{
	struct fixture *f = *state;

	(void)growth(f);
	assert_in_range(growth(f), 0, 4 << 20);
	leave_dead_reader(f);
	assert_in_range(growth(f), 15 << 20, UINT64_MAX);
	assert_int_equal(queue_store_forget_dead(f->store), 1);
	assert_in_range(growth(f), 0, 4 << 20);
	assert_int_equal(queue_store_forget_dead(f->store), 0);
}

/* --- formats --- */

static void
set_format(struct backdoor *b, uint8_t format)
{
	const char payload[4] = {(char)format};
	char record[QUEUE_RECORD_HEADER + 4];

	queue_record_encode_blob(
		QUEUE_RECORD_FORMAT, (struct queue_blob){payload, 4}, QUEUE_KEY_WORD("format"), record);
	overwrite(b, QUEUE_TABLE_CTL, QUEUE_KEY_WORD("format"), record, sizeof record);
}

static void
test_F19_newer_format(void **state)
{
	struct fixture *f = *state;
	queue_id id = put(f, 100, 1);
	struct backdoor b;

	enter(f, &b);
	set_format(&b, 3);
	leave(&b);
	assert_int_equal(queue_store_open(&f->conf, &f->store), QUEUE_EVERSION);
	assert_null(f->store);
	assert_string_equal(f->why, "the spool has format 3, this program knows up to 2");
	/* It was left as it is: the program that wrote it goes on. */
	OK(queue_lmdb_open(f->dir, UINT64_C(1) << 30, false, &b.words, &b.lmdb));
	OK(queue_lmdb_begin(b.lmdb, true, &b.tx));
	OK(queue_lmdb_open_table(&b.tx, QUEUE_TABLE_CTL, false));
	set_format(&b, 2);
	leave(&b);
	start(f);
	check_load(f, id, 100, 1);
}

/* Format 1 had no lists of addresses. */
static void
test_F19_format_without_lists(void **state)
{
	const struct queue_suppress_entry e = {0, BLOB("v")};
	struct fixture *f = *state;
	queue_id id = put(f, 100, 1);
	struct backdoor b;

	enter(f, &b);
	set_format(&b, 1);
	leave(&b);
	f->conf.read_only = true;
	assert_int_equal(queue_store_open(&f->conf, &f->store), QUEUE_EVERSION);
	f->conf.read_only = false;
	start(f);
	check_load(f, id, 100, 1);
	OK(queue_store_begin(f->store));
	OK(queue_suppress_put(f->store, QUEUE_SUPPRESS_LIST, BLOB("a"), &e, true));
	OK(queue_store_commit(f->store));
	stop(f);
	f->conf.read_only = true; /* takes the present format only */
	start(f);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 1);
}

/* Format 0 kept no books. */
static void
test_F19_older_format(void **state)
{
	struct fixture *f = *state;
	struct queue_totals t;
	struct backdoor b;

	put(f, 100, 1);
	put(f, 5000, 3);
	add_events(f, 4);
	enter(f, &b);
	set_format(&b, 0);
	OK(queue_lmdb_delete(&b.tx, QUEUE_TABLE_CTL, QUEUE_KEY_WORD("state")));
	leave(&b);
	f->conf.read_only = true;
	assert_int_equal(queue_store_open(&f->conf, &f->store), QUEUE_EVERSION);
	f->conf.read_only = false;
	start(f);
	assert_int_equal(check_books(f), 4);
	OK(queue_store_totals(f->store, &t));
	assert_int_equal(t.accepted, 4);
	assert_int_equal(t.messages_queued, 2);
	assert_int_equal(t.events_pending, 4);
	check_load(f, 1, 100, 1);
	assert_int_equal(put(f, 10, 1), 3);
	stop(f);
	start(f);
	assert_int_equal(check_books(f), 5);
}

static void
test_no_spool(void **state)
{
	struct fixture *f = *state;
	struct backdoor b;
	char path[128];
	struct stat st;
	int fd;

	enter(f, &b);
	OK(queue_lmdb_delete(&b.tx, QUEUE_TABLE_CTL, QUEUE_KEY_WORD("format")));
	leave(&b);
	assert_int_equal(queue_store_open(&f->conf, &f->store), QUEUE_EDAMAGED);
	assert_string_equal(f->why, "the data file holds no sound format record: not a spool?");
	/* A file that is not even LMDB's. */
	path_in(f, "data.mdb", path);
	assert_true((fd = open(path, O_WRONLY | O_TRUNC)) >= 0);
	assert_int_equal(write(fd, "From: me\n", 9), 9);
	close(fd);
	assert_int_equal(queue_store_open(&f->conf, &f->store), QUEUE_EIO);
	assert_non_null(strstr(f->why, "open of the data file"));
	assert_null(f->store);
	/* Not touched. */
	OK(stat(path, &st));
	assert_int_equal(st.st_size, 9);
}

/* --- the file is cut --- */

static void
test_F14_truncated_while_closed(void **state)
{
	struct fixture *f = *state;
	struct queue_loaded *l = NULL;
	char path[128];
	struct stat st;
	int whole = 0;

	for (int i = 0; i < 50; i++)
		put(f, 20000, 1);
	stop(f);
	path_in(f, "data.mdb", path);
	OK(stat(path, &st));
	OK(truncate(path, st.st_size * 3 / 4));
	f->conf.read_only = true;
	assert_int_equal(queue_store_open(&f->conf, &f->store), QUEUE_EDAMAGED);
	f->conf.read_only = false;
	/* It may open or not, and load or not, but every answer is an error code. */
	if (queue_store_open(&f->conf, &f->store) != 0)
		return;
	for (queue_id id = 1; id <= 50; id++) {
		int err = queue_store_load(f->store, id, true, &l);

		if (err == 0)
			whole++;
		else
			assert_true(err == QUEUE_EDAMAGED || err == QUEUE_EIO || err == QUEUE_ENOTFOUND);
		queue_loaded_free(&l);
	}
	assert_in_range(whole, 0, 49);
}

static void
test_F14_truncated_while_open(void **state)
{
	struct fixture *f = *state;
	struct queue_loaded *l = NULL;
	char path[128], page[4096];
	struct stat st;
	int fd;

	put(f, 100000, 1);
	path_in(f, "data.mdb", path);
	OK(stat(path, &st));
	assert_true((fd = open(path, O_RDWR)) >= 0);
	assert_int_equal(pread(fd, page, sizeof page, st.st_size - 4096), sizeof page);
	OK(truncate(path, st.st_size - 4096));
	assert_int_equal(queue_store_begin(f->store), QUEUE_EIO);
	assert_string_equal(queue_store_error_text(f->store), "the data file was truncated");
	assert_true(queue_store_is_failed(f->store));
	assert_int_equal(queue_store_begin(f->store), QUEUE_EIO);
	assert_int_equal(queue_store_load(f->store, 1, true, &l), QUEUE_EIO);
	assert_int_equal(queue_store_reopen(f->store), QUEUE_EDAMAGED);
	assert_true(queue_store_is_failed(f->store));
	/* Put right, it comes back by itself. */
	assert_int_equal(pwrite(fd, page, sizeof page, st.st_size - 4096), sizeof page);
	close(fd);
	OK(queue_store_reopen(f->store));
	assert_false(queue_store_is_failed(f->store));
	put(f, 100, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_message),
		CASE(test_foreign_keys),
		CASE(test_put_below_a_foreign_key),
		CASE(test_lagging_books),
		CASE(test_damaged_rcpt_is_written),
		CASE(test_damaged_event_and_note),
		CASE(test_F11_a_copy_that_was_killed),
		CASE(test_F19_newer_format),
		CASE(test_F19_older_format),
		CASE(test_F19_format_without_lists),
		CASE(test_no_spool),
		CASE(test_F14_truncated_while_closed),
		CASE(test_F14_truncated_while_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
