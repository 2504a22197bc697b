/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H
/*
 * store_fixture - a spool in a directory of its own, mail whose every byte follows from its number, and what
 * scans show
 *
 * For test_queue_store*.c; include it after cmocka's headers.
 */
#include "queue_lmdb.h"
#include "queue_store.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOB(text) ((struct queue_blob){.ptr = (text), .len = sizeof(text) - 1})
#define OK(call)   assert_int_equal((call), 0)
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* --- a spool in a directory of its own --- */

struct fixture {
	char dir[64];
	struct queue_store_conf conf;
	struct queue_store *store;
	char why[200];
};

static inline void
path_in(const struct fixture *f, const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", f->dir, name);
}

static inline void
start(struct fixture *f)
{
	OK(queue_store_open(&f->conf, &f->store));
}

static inline void
stop(struct fixture *f)
{
	queue_store_close(&f->store);
}

static inline int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	snprintf(f->dir, sizeof f->dir, "/tmp/mtad-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->conf = (struct queue_store_conf){
		.dir = f->dir,
		.allow_network_fs = true,
		.why = f->why,
		.why_max = sizeof f->why,
	};
	start(f);
	*state = f;
	return 0;
}

static inline void
remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char path[400];

		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			remove(path);
	}
	closedir(d);
	rmdir(dir);
}

static inline int
tear_down(void **state)
{
	struct fixture *f = *state;

	stop(f);
	remove_dir(f->dir);
	free(f);
	return 0;
}

/* As a copy (mdb_copy) that is killed; mtactl never opens the spool. */
static inline void
leave_dead_reader(struct fixture *f)
{
	struct queue_words words;
	struct queue_lmdb_tx tx;
	struct queue_lmdb *l;
	int ready[2], status;
	pid_t child;
	char byte;

	OK(pipe(ready));
	assert_true((child = fork()) >= 0);
	if (child == 0) {
		if (queue_lmdb_open(f->dir, UINT64_C(1) << 30, true, &words, &l) == 0 &&
			queue_lmdb_begin(l, false, &tx) == 0 && write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	OK(kill(child, SIGKILL));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

/* --- mail whose every byte follows from its number --- */

static inline void
fill(char *out, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
}

/* One message with rcpt_count recipients a0@..., a1@... */
static inline int
try_put(struct fixture *f, size_t body_len, uint32_t rcpt_count, queue_id *out_id)
{
	struct queue_message m = {.sender = BLOB("s@x.example"), .user = BLOB("shop"), .arrived_us = 5};
	struct queue_rcpt *rcpts = calloc(rcpt_count, sizeof *rcpts);
	char(*names)[32] = calloc(rcpt_count, sizeof *names);
	struct queue_blob body[QUEUE_BODY_PIECES] = {0};
	char *bytes = malloc(body_len + 1);
	int err;

	assert_true(rcpts != NULL && names != NULL && bytes != NULL);
	fill(bytes, body_len, (uint32_t)body_len);
	for (uint32_t i = 0; i < rcpt_count; i++) {
		int len = snprintf(names[i], sizeof names[i], "a%u@y.example", i);

		rcpts[i].n = (uint16_t)i;
		rcpts[i].address = (struct queue_blob){.ptr = names[i], .len = (size_t)len};
	}
	/* In three pieces, the middle one empty for small bodies. */
	body[0] = (struct queue_blob){.ptr = bytes, .len = body_len / 3};
	body[1] = (struct queue_blob){.ptr = bytes + body[0].len, .len = body_len / 7};
	body[2].ptr = bytes + body[0].len + body[1].len;
	body[2].len = body_len - body[0].len - body[1].len;
	err = queue_store_put(f->store, &m, rcpts, rcpt_count, body);
	if (err == 0)
		*out_id = m.id;
	free(bytes);
	free(names);
	free(rcpts);
	return err;
}

static inline queue_id
put(struct fixture *f, size_t body_len, uint32_t rcpt_count)
{
	queue_id id = 0;

	OK(queue_store_begin(f->store));
	OK(try_put(f, body_len, rcpt_count, &id));
	OK(queue_store_commit(f->store));
	return id;
}

static inline void
check_load(struct fixture *f, queue_id id, size_t body_len, uint32_t rcpt_count)
{
	struct queue_loaded *l = NULL;
	char *want = malloc(body_len + 1);

	assert_non_null(want);
	fill(want, body_len, (uint32_t)body_len);
	OK(queue_store_load(f->store, id, true, &l));
	assert_int_equal(l->message.id, id);
	assert_int_equal(l->message.body_bytes, body_len);
	assert_int_equal(l->body.len, body_len);
	assert_memory_equal(l->body.ptr, want, body_len);
	assert_int_equal(l->rcpt_count, rcpt_count);
	assert_int_equal(l->message.sender.len, 11);
	assert_memory_equal(l->message.sender.ptr, "s@x.example", 11);
	for (uint32_t i = 0; i < rcpt_count; i++) {
		assert_int_equal(l->rcpts[i].n, i);
		assert_memory_equal(l->rcpts[i].address.ptr, "a", 1);
	}
	queue_loaded_free(&l);
	assert_null(l);
	OK(queue_store_load(f->store, id, false, &l));
	assert_int_equal(l->body.len, 0);
	queue_loaded_free(&l);
	free(want);
}

/* Returns the records; fails unless the books balance. */
static inline uint64_t
check_books(struct fixture *f)
{
	struct queue_totals t;
	uint64_t records, counted, sum;

	OK(queue_store_audit(f->store, &t, &records));
	OK(queue_store_count_rcpts(f->store, &counted));
	assert_int_equal(records, counted);
	sum = records + t.quarantined;
	for (int i = 0; i < QUEUE_END_COUNT; i++)
		sum += t.ended[i];
	assert_int_equal(t.accepted, sum);
	return records;
}

/* --- what scans show --- */

struct seen {
	queue_id ids[64];
	uint32_t rcpts[64];
	int count, stop_after;
};

static inline bool
on_message(void *arg, const struct queue_message *m, const struct queue_rcpt *rcpts, uint32_t rcpt_count)
{
	struct seen *s = arg;

	assert_true(s->count < 64);
	s->ids[s->count] = m->id;
	s->rcpts[s->count++] = rcpts == NULL ? 0 : rcpt_count;
	return s->count != s->stop_after;
}

struct events {
	uint64_t first, last;
	int count, damaged;
};

static inline bool
on_event(void *arg, uint64_t seq, struct queue_blob event)
{
	struct events *e = arg;
	char want[32];
	int len = snprintf(want, sizeof want, "event %llu", (unsigned long long)seq);

	if (e->count++ == 0)
		e->first = seq;
	else
		assert_int_equal(seq, e->last + 1);
	e->last = seq;
	if (event.ptr == NULL) {
		e->damaged++;
		return true;
	}
	assert_int_equal(event.len, len);
	assert_memory_equal(event.ptr, want, (size_t)len);
	return true;
}

static inline void
add_events(struct fixture *f, int count)
{
	struct queue_totals t;
	uint64_t next, seq;

	OK(queue_store_totals(f->store, &t));
	OK(queue_store_report_state(f->store, &next, NULL, 0) < 0);
	next += t.events_pending + 1;
	OK(queue_store_begin(f->store));
	for (int i = 0; i < count; i++, next++) {
		char text[32];
		int len = snprintf(text, sizeof text, "event %llu", (unsigned long long)next);

		OK(queue_store_event(f->store, (struct queue_blob){.ptr = text, .len = (size_t)len}, &seq));
		assert_int_equal(seq, next);
	}
	OK(queue_store_commit(f->store));
}

static inline void
report(struct fixture *f, uint64_t seq, struct queue_blob words)
{
	OK(queue_store_begin(f->store));
	OK(queue_store_reported(f->store, seq, words));
	OK(queue_store_commit(f->store));
}

static inline bool
on_note(void *arg, struct queue_blob name, struct queue_blob value)
{
	char *out = arg;
	size_t len = strnlen(out, 200);

	snprintf(out + len, 200 - len, "%.*s=%.*s ", (int)name.len, (const char *)name.ptr, (int)value.len,
		(const char *)value.ptr);
	return true;
}
#endif
