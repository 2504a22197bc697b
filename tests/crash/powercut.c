/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The acceptance test of the spool: the power goes at any moment, and what was acknowledged is there, whole,
 * and the books balance.
 *
 *   powercut [images [transactions [seed]]]      1500 images of 250 transactions unless said otherwise
 *   powercut -i N [transactions [seed]]          one image again
 *
 * A random life of a spool is recorded (disk.h), with transactions aborted on purpose, and syncs and writes
 * failing now and then, so that the way back through queue_store_reopen is in the recording as well. Beside
 * the spool runs a model: a list of what each transaction did. Then the power goes at a random operation,
 * many times over. The next start must find exactly the model's state after the last acknowledged transaction
 * or, if the next one had been begun, after that one; every message with every byte, every recipient, every
 * event; and it must go on from there.
 */
#include "powercut.h"
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RCPTS_MAX = 3,
	BODY_MAX = 20000,
	LIVE_MAX = 60,    /* messages; beyond, more end than come */
	AFTER_FAULT = 25, /* operations in which the store comes back */
	REOPENS_MAX = 10, /* a disk that fails once is back by then */
};

/* Marks in the recording. */
enum { MARK_COMMIT = 1, MARK_ACKED, MARK_REOPENED };

#define NOTE_NAME ((struct queue_blob){.ptr = "attempt", .len = 7})

void
must(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "powercut: %s\n", what);
	exit(2);
}

/* --- the model: what each transaction did --- */

enum effect_kind { PUT, UPDATE, HOLD, END, REMOVE, EVENT, REPORTED, QUARANTINE };

struct effect {
	enum effect_kind kind;
	uint32_t attempt;
	uint32_t message; /* index into mail[] */
	uint16_t n;
	enum queue_end end;
	uint64_t seq;
};

struct mail {
	queue_id id; /* those of a failed transaction are given again */
	uint32_t body_len;
	uint16_t rcpt_count;
};

struct model {
	struct effect *effects;
	uint32_t effect_count, effect_max;
	struct mail *mail;
	uint32_t mail_count, mail_max;
	bool *is_committed; /* by attempt */
	uint32_t attempts;
	uint64_t random;
};

/* The state that follows from some of the transactions. */
struct mail_state {
	bool is_queued;
	bool is_waiting[RCPTS_MAX], is_held[RCPTS_MAX];
	uint16_t attempts[RCPTS_MAX];
};
struct expect {
	struct mail_state *mail; /* parallel to model.mail */
	uint32_t queued;
	uint64_t last_event, reported;
	struct queue_totals totals;
};

static void *
grow(void *list, uint32_t count, uint32_t *max, size_t size)
{
	if (count < *max)
		return list;
	*max = *max == 0 ? 1024 : 2 * *max;
	list = realloc(list, *max * size);
	must(list != NULL, "realloc");
	return list;
}

static void
apply_effect(const struct model *m, const struct effect *e, struct expect *x)
{
	struct mail_state *s = &x->mail[e->message];
	const struct mail *mail = &m->mail[e->message];

	switch (e->kind) {
	case PUT:
		*s = (struct mail_state){.is_queued = true};
		for (int n = 0; n < mail->rcpt_count; n++)
			s->is_waiting[n] = true;
		x->queued++;
		x->totals.accepted += mail->rcpt_count;
		x->totals.messages_accepted++;
		break;
	case UPDATE:
		s->attempts[e->n]++;
		break;
	case HOLD:
		s->is_held[e->n] = !s->is_held[e->n];
		break;
	case END:
		s->is_waiting[e->n] = false;
		x->totals.ended[e->end]++;
		break;
	case REMOVE:
		s->is_queued = false;
		x->queued--;
		break;
	case QUARANTINE:
		for (int n = 0; n < RCPTS_MAX; n++)
			x->totals.quarantined += s->is_waiting[n];
		*s = (struct mail_state){0};
		x->queued--;
		break;
	case EVENT:
		x->last_event = e->seq;
		break;
	case REPORTED:
		x->reported = e->seq;
		break;
	}
	x->totals.messages_queued = x->queued;
	x->totals.events_pending = x->last_event - x->reported;
}

/* The state after every committed transaction up to `attempt`, and after that one, committed or not. */
static struct expect
expect_at(const struct model *m, uint32_t attempt)
{
	struct expect x = {.mail = calloc(m->mail_count + 1, sizeof *x.mail)};

	must(x.mail != NULL, "calloc");
	for (uint32_t i = 0; i < m->effect_count; i++) {
		const struct effect *e = &m->effects[i];

		if (e->attempt == attempt || (e->attempt < attempt && m->is_committed[e->attempt]))
			apply_effect(m, e, &x);
	}
	return x;
}

/* --- bytes that follow from numbers --- */

static void
fill(char *out, size_t len, uint64_t seed)
{
	uint32_t v = (uint32_t)(seed * 2654435761u) + 12345;

	for (size_t i = 0; i < len; i++)
		out[i] = (char)((v = v * 1664525 + 1013904223) >> 24);
}

static struct queue_rcpt
make_rcpt(const struct mail *mail, uint16_t n, uint16_t attempts, char text[64])
{
	int len = snprintf(text, 64, "r%u.%llu.%u@example.net", (unsigned)n, (unsigned long long)mail->id,
		mail->body_len);

	return (struct queue_rcpt){
		.n = n,
		.attempts = attempts,
		.address = {.ptr = text, .len = (size_t)len},
		.reply = {.ptr = text, .len = attempts > 0 ? (size_t)len : 0},
	};
}

static struct queue_blob
make_event(uint64_t seq, char buf[512])
{
	size_t len = 100 + seq * 37 % 400;

	fill(buf, len, seq);
	return (struct queue_blob){.ptr = buf, .len = len};
}

/* --- the life that is recorded --- */

struct life {
	struct model *m;
	struct queue_store *store;
	struct expect now; /* as of the transaction being built */
};

static void
effect(struct life *l, struct effect e)
{
	struct model *m = l->m;

	e.attempt = m->attempts;
	m->effects = grow(m->effects, m->effect_count, &m->effect_max, sizeof *m->effects);
	m->effects[m->effect_count++] = e;
	apply_effect(m, &e, &l->now);
}

static void
put_one(struct life *l)
{
	struct model *m = l->m;
	uint32_t index = m->mail_count;
	struct queue_rcpt rcpts[RCPTS_MAX];
	char names[RCPTS_MAX][64], body[BODY_MAX];
	struct queue_blob pieces[QUEUE_BODY_PIECES] = {0};
	struct queue_message message = {.sender = {"s@example.com", 13}};
	struct mail mail = {.rcpt_count = (uint16_t)(1 + disk_random(&m->random, RCPTS_MAX))};
	struct queue_totals t;
	struct mail_state *states;

	mail.body_len = disk_random(&m->random, 4) == 0 ? disk_random(&m->random, BODY_MAX)
							: disk_random(&m->random, 5000);
	/* The names hold the id, which the store gives; ids grow by one from the last acknowledged state. */
	must(queue_store_totals(l->store, &t) == 0, "totals");
	mail.id = l->now.totals.messages_accepted + 1;
	for (uint16_t n = 0; n < mail.rcpt_count; n++)
		rcpts[n] = make_rcpt(&mail, n, 0, names[n]);
	fill(body, mail.body_len, mail.id + mail.body_len);
	pieces[0] = (struct queue_blob){.ptr = body, .len = mail.body_len / 4};
	pieces[2] = (struct queue_blob){.ptr = body + pieces[0].len, .len = mail.body_len - pieces[0].len};
	must(queue_store_put(l->store, &message, rcpts, mail.rcpt_count, pieces) == 0, "put");
	must(message.id == mail.id, "an id that does not follow");
	m->mail = grow(m->mail, m->mail_count, &m->mail_max, sizeof *m->mail);
	m->mail[m->mail_count++] = mail;
	states = realloc(l->now.mail, m->mail_count * sizeof *states);
	must(states != NULL, "realloc");
	l->now.mail = states;
	effect(l, (struct effect){.kind = PUT, .message = index});
}

static void
add_event(struct life *l)
{
	char buf[512];
	uint64_t seq;

	must(queue_store_event(l->store, make_event(l->now.last_event + 1, buf), &seq) == 0, "event");
	must(seq == l->now.last_event + 1, "an event number that does not follow");
	effect(l, (struct effect){.kind = EVENT, .seq = seq});
}

/* One recipient waits longer or ends; with the last one the message goes. */
static void
settle_one(struct life *l, uint32_t index, uint16_t n, bool ends)
{
	struct mail_state *s = &l->now.mail[index];
	const struct mail *mail = &l->m->mail[index];
	enum queue_end end = (enum queue_end)disk_random(&l->m->random, QUEUE_END_COUNT);
	struct queue_rcpt r;
	char text[64];
	bool is_last = true;

	if (!ends) {
		r = make_rcpt(mail, n, (uint16_t)(s->attempts[n] + 1), text);
		must(queue_store_update(l->store, mail->id, &r) == 0, "update");
		effect(l, (struct effect){.kind = UPDATE, .message = index, .n = n});
		return;
	}
	must(queue_store_end(l->store, mail->id, n, end) == 0, "end");
	effect(l, (struct effect){.kind = END, .message = index, .n = n, .end = end});
	add_event(l);
	for (int i = 0; i < RCPTS_MAX; i++)
		is_last = is_last && !s->is_waiting[i];
	if (!is_last)
		return;
	must(queue_store_remove(l->store, mail->id) == 0, "remove");
	effect(l, (struct effect){.kind = REMOVE, .message = index});
}

/* Held, or released. */
static void
hold_one(struct life *l, uint32_t index, uint16_t n)
{
	bool hold = !l->now.mail[index].is_held[n];

	must(queue_store_hold(l->store, l->m->mail[index].id, n, hold) == 0, "hold");
	effect(l, (struct effect){.kind = HOLD, .message = index, .n = n});
}

static void
settle_some(struct life *l)
{
	uint32_t count = l->m->mail_count;
	uint32_t percent = l->now.queued > LIVE_MAX ? 25 : 8;

	for (uint32_t i = 0; i < count; i++) {
		for (uint16_t n = 0; n < RCPTS_MAX; n++) {
			if (l->now.mail[i].is_waiting[n] && disk_random(&l->m->random, 100) < percent)
				settle_one(l, i, n, disk_random(&l->m->random, 3) > 0);
			if (l->now.mail[i].is_waiting[n] && disk_random(&l->m->random, 100) < 4)
				hold_one(l, i, n);
		}
	}
}

static void
quarantine_one(struct life *l)
{
	uint32_t index = disk_random(&l->m->random, l->m->mail_count);
	uint32_t rcpts;

	if (!l->now.mail[index].is_queued)
		return;
	must(queue_store_quarantine(l->store, l->m->mail[index].id, &rcpts) == 0, "quarantine");
	effect(l, (struct effect){.kind = QUARANTINE, .message = index});
}

static void
build(struct life *l)
{
	struct queue_blob value = {.ptr = &l->m->attempts, .len = sizeof l->m->attempts};
	uint64_t reported;

	settle_some(l);
	if (l->m->mail_count > 0 && disk_random(&l->m->random, 20) == 0)
		quarantine_one(l);
	for (uint32_t i = disk_random(&l->m->random, 8); i > 0; i--)
		put_one(l);
	if (disk_random(&l->m->random, 3) == 0) {
		reported = l->now.reported +
			   disk_random(&l->m->random, (uint32_t)l->now.totals.events_pending + 1);
		must(queue_store_reported(l->store, reported, value) == 0, "reported");
		effect(l, (struct effect){.kind = REPORTED, .seq = reported});
	}
	must(queue_store_note(l->store, NOTE_NAME, value) == 0, "note");
	lists_write(l->store, l->m->is_committed, l->m->attempts);
}

static void
come_back(struct life *l)
{
	int err = QUEUE_EIO;

	for (int i = 0; i < REOPENS_MAX && err < 0; i++)
		err = queue_store_reopen(l->store);
	must(err == 0, "the store does not come back");
	disk_mark(MARK_REOPENED, 0);
}

static void
forget(struct life *l, uint32_t acked)
{
	free(l->now.mail);
	l->now = expect_at(l->m, acked);
}

/* One transaction; returns the last acknowledged one. */
static uint32_t
live_once(struct life *l, uint32_t acked)
{
	struct model *m = l->m;
	int err;

	m->attempts++;
	must(queue_store_begin(l->store) == 0, "begin");
	build(l);
	if (disk_random(&m->random, 12) == 0) {
		queue_store_abort(l->store);
		forget(l, acked);
		return acked;
	}
	if (disk_random(&m->random, 8) == 0)
		disk_arm((enum disk_fault)(1 + disk_random(&m->random, DISK_FAULT_COUNT - 1)),
			(int)disk_random(&m->random, 3));
	disk_mark(MARK_COMMIT, m->attempts);
	err = queue_store_commit(l->store);
	if (err == 0) {
		disk_disarm();
		m->is_committed[m->attempts] = true;
		disk_mark(MARK_ACKED, m->attempts);
		return m->attempts;
	}
	must(err == QUEUE_EIO && queue_store_is_failed(l->store), "an unexpected error of commit");
	must(queue_store_begin(l->store) == QUEUE_EIO, "a failed store takes a transaction");
	/* Now and then the disk fails again on the way back. */
	if (disk_random(&m->random, 3) == 0)
		disk_arm((enum disk_fault)(1 + disk_random(&m->random, DISK_FAULT_COUNT - 1)),
			(int)disk_random(&m->random, 2));
	come_back(l);
	disk_disarm();
	forget(l, acked);
	return acked;
}

static void
live(struct model *m, const char *dir, uint32_t transactions)
{
	struct queue_store_conf conf = {.dir = dir, .map_bytes = 1 << 30, .allow_network_fs = true};
	struct life l = {.m = m, .now = expect_at(m, 0)};
	char path[300];
	uint32_t acked = 0;

	must(queue_store_open(&conf, &l.store) == 0, "open");
	snprintf(path, sizeof path, "%s/data.mdb", dir);
	disk_record(path);
	for (uint32_t i = 0; i < transactions; i++)
		acked = live_once(&l, acked);
	disk_stop();
	queue_store_close(&l.store);
	free(l.now.mail);
}

/* --- the next start --- */

/* What a start after a cut may find. */
struct allowed {
	uint32_t acked, maybe;
};

static void
on_mark(void *arg, uint32_t kind, uint32_t value)
{
	struct allowed *a = arg;

	switch (kind) {
	case MARK_COMMIT:
		a->maybe = value;
		break;
	case MARK_ACKED:
		a->acked = a->maybe = value;
		break;
	case MARK_REOPENED:
		/* What failed has not happened, whatever had reached the disk. */
		a->maybe = a->acked;
		break;
	}
}

void
want(bool is_good, const char *what, uint64_t number)
{
	if (is_good)
		return;
	fprintf(stderr, "  %s (%llu)\n", what, (unsigned long long)number);
	_exit(1);
}

static void
check_mail(struct queue_store *s, const struct mail *mail, const struct mail_state *state)
{
	struct queue_loaded *l = NULL;
	char want_body[BODY_MAX], text[64];
	uint32_t i = 0;

	want(queue_store_load(s, mail->id, true, &l) == 0, "an acknowledged message does not load", mail->id);
	fill(want_body, mail->body_len, mail->id + mail->body_len);
	want(l->body.len == mail->body_len && memcmp(l->body.ptr, want_body, mail->body_len) == 0,
		"a message is not whole", mail->id);
	for (uint16_t n = 0; n < RCPTS_MAX; n++) {
		struct queue_rcpt r;

		if (!state->is_waiting[n])
			continue;
		r = make_rcpt(mail, n, state->attempts[n], text);
		want(i < l->rcpt_count && l->rcpts[i].n == n, "a recipient is missing", mail->id);
		want(l->rcpts[i].attempts == r.attempts, "a recipient's record is old", mail->id);
		want((l->rcpts[i].flags & QUEUE_RCPT_HELD) == (state->is_held[n] ? QUEUE_RCPT_HELD : 0),
			"a recipient is held or released wrongly", mail->id);
		want(l->rcpts[i].address.len == r.address.len &&
				memcmp(l->rcpts[i].address.ptr, r.address.ptr, r.address.len) == 0 &&
				l->rcpts[i].reply.len == r.reply.len,
			"a recipient's record is wrong", mail->id);
		i++;
	}
	want(i == l->rcpt_count, "a recipient that ended is back", mail->id);
	queue_loaded_free(&l);
}

struct scanned {
	uint32_t messages, damaged;
};

static bool
on_message(void *arg, const struct queue_message *m, const struct queue_rcpt *rcpts, uint32_t rcpt_count)
{
	struct scanned *s = arg;

	s->messages++;
	s->damaged += rcpts == NULL;
	return true;
}

static bool
on_event(void *arg, uint64_t seq, struct queue_blob event)
{
	uint64_t *next = arg;
	char buf[512];
	struct queue_blob e = make_event(seq, buf);

	want(seq == ++*next, "an event is missing", seq);
	want(event.len == e.len && memcmp(event.ptr, e.ptr, e.len) == 0, "an event is damaged", seq);
	return true;
}

static void
check_books(struct queue_store *s, const struct expect *x)
{
	struct queue_totals t = {0};
	uint64_t records = 0, counted = 0, sum;

	want(queue_store_audit(s, &t, &records) == 0, "no audit", 0);
	want(queue_store_count_rcpts(s, &counted) == 0 && counted == records, "records are miscounted",
		counted);
	sum = records + t.quarantined;
	for (int i = 0; i < QUEUE_END_COUNT; i++)
		sum += t.ended[i];
	want(t.accepted == sum, "the books do not balance", t.accepted);
	want(memcmp(&t, &x->totals, sizeof t) == 0, "the books are not the model's", t.accepted);
}

static void
check_all(struct queue_store *s, const struct model *m, const struct expect *x)
{
	struct scanned seen = {0};
	uint64_t reported = 0, last = 0, next;
	char buf[8];

	for (uint32_t i = 0; i < m->mail_count; i++) {
		if (x->mail[i].is_queued)
			check_mail(s, &m->mail[i], &x->mail[i]);
	}
	want(queue_store_scan(s, 0, 1000000, on_message, &seen, &last) >= 0, "no scan", 0);
	want(seen.damaged == 0, "the scan finds damage", seen.damaged);
	want(seen.messages == x->queued, "a message that was removed is back", seen.messages);
	want(queue_store_report_state(s, &reported, buf, sizeof buf) >= 0, "no report state", 0);
	want(reported == x->reported, "the mark of the reports is wrong", reported);
	next = reported;
	want(queue_store_scan_events(s, reported, 1000000, on_event, &next) >= 0, "no scan of events", 0);
	want(next == x->last_event, "the last events are missing", next);
	check_books(s, x);
}

/* And it goes on: one more message is taken, and still there after one more start. */
static void
check_goes_on(struct queue_store **sp, const struct queue_store_conf *conf)
{
	const struct queue_rcpt r = {.address = {"a@b", 3}};
	const struct queue_blob body[QUEUE_BODY_PIECES] = {{"hello", 5}};
	struct queue_message m = {0};
	struct queue_loaded *l = NULL;

	want(queue_store_begin(*sp) == 0, "no transaction", 0);
	want(queue_store_put(*sp, &m, &r, 1, body) == 0, "no put", 0);
	want(queue_store_commit(*sp) == 0, "no commit", 0);
	queue_store_close(sp);
	want(queue_store_open(conf, sp) == 0, "does not open again", 0);
	want(queue_store_load(*sp, m.id, true, &l) == 0 && l->body.len == 5, "the new message is lost", m.id);
	queue_loaded_free(&l);
	queue_store_close(sp);
}

static void
check_image(const struct model *m, const char *dir, struct allowed a)
{
	char why[200] = "";
	struct queue_store_conf conf = {
		.dir = dir,
		.map_bytes = 1 << 30,
		.allow_network_fs = true,
		.why = why,
		.why_max = sizeof why,
	};
	struct queue_store *s = NULL;
	uint32_t found = 0;
	struct expect x;
	int n;

	if (queue_store_open(&conf, &s) < 0) {
		fprintf(stderr, "  does not open: %s\n", why);
		_exit(1);
	}
	n = queue_store_note_get(s, NOTE_NAME, &found, sizeof found);
	want(n == sizeof found || n == QUEUE_ENOTFOUND, "the note is damaged", 0);
	want(found >= a.acked, "an acknowledged transaction is lost; found the state after", found);
	want(found == a.acked || found == a.maybe, "a transaction that failed is back", found);
	x = expect_at(m, found);
	check_all(s, m, &x);
	lists_check(s, m->is_committed, found);
	free(x.mail);
	check_goes_on(&s, &conf);
}

static void
empty_dir(const char *dir)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "mtad.lock"};
	char path[300];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
}

/* Half of the cuts fall anywhere, half soon after a fault, while the store finds its way back. */
static uint64_t
choose_cut(uint64_t *random)
{
	uint64_t count = disk_op_count();
	uint64_t cut = disk_random(random, (uint32_t)count + 1);
	uint64_t fault = disk_next_fault(cut);

	if (disk_random(random, 2) == 0 || fault == count)
		return cut;
	cut = fault + disk_random(random, AFTER_FAULT);
	return cut < count ? cut : count;
}

/* In a child, so that a crash of the store is a finding and not the end. */
static bool
try_image(const struct model *m, const char *dir, uint64_t seed, uint32_t image)
{
	uint64_t random = seed * 1000003 + image;
	uint64_t cut = choose_cut(&random);
	struct allowed a = {0};
	char path[300];
	int status = -1;
	pid_t pid;

	empty_dir(dir);
	snprintf(path, sizeof path, "%s/data.mdb", dir);
	disk_cut(cut, random, path);
	disk_marks(cut, on_mark, &a);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		check_image(m, dir, a);
		_exit(0);
	}
	must(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
	if (status == 0)
		return true;
	fprintf(stderr, "image %u: cut before operation %llu, %u acknowledged: FAILED (status %x)\n", image,
		(unsigned long long)cut, a.acked, (unsigned)status);
	return false;
}

/* How many of these images failed. */
static uint32_t
test_F2_F3_images(const struct model *m, const char *dir, uint64_t seed, uint32_t first, uint32_t end)
{
	uint32_t failed = 0;

	for (uint32_t i = first; i < end; i++)
		failed += !try_image(m, dir, seed, i);
	return failed;
}

int
main(int argc, char **argv)
{
	bool only_one = argc > 2 && strncmp(argv[1], "-i", 3) == 0;
	char **arg = argv + 1 + only_one;
	uint32_t first = only_one ? (uint32_t)atoi(arg[0]) : 0;
	uint32_t images = only_one ? first + 1 : arg[0] != NULL ? (uint32_t)atoi(arg[0]) : 1500;
	uint32_t transactions = arg[0] != NULL && arg[1] != NULL ? (uint32_t)atoi(arg[1]) : 250;
	uint64_t seed = arg[0] != NULL && arg[1] != NULL && arg[2] != NULL ? (uint64_t)atoll(arg[2]) : 1;
	char live_dir[] = "/tmp/mtad-powercut-a-XXXXXX", image_dir[] = "/tmp/mtad-powercut-b-XXXXXX";
	struct model m = {.random = seed};
	uint32_t failed;

	must(mkdtemp(live_dir) != NULL && mkdtemp(image_dir) != NULL, "mkdtemp");
	m.is_committed = calloc(transactions + 2, sizeof *m.is_committed);
	must(m.is_committed != NULL, "calloc");
	m.is_committed[0] = true;
	live(&m, live_dir, transactions);
	failed = test_F2_F3_images(&m, image_dir, seed, first, images);
	printf("powercut: %u transactions, %llu operations, %u images: %u failed\n", transactions,
		(unsigned long long)disk_op_count(), images - first, failed);
	if (failed > 0)
		printf("again: powercut -i IMAGE %u %llu\n", transactions, (unsigned long long)seed);
	empty_dir(live_dir);
	empty_dir(image_dir);
	rmdir(live_dir);
	rmdir(image_dir);
	free(m.effects);
	free(m.mail);
	free(m.is_committed);
	return failed > 0;
}
