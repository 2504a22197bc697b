/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool when memory runs out. Beside it runs a model of what was acknowledged, as in powercut; a
 * transaction that fails is tried once more, which must succeed when only one allocation fails, and given up
 * when memory is gone for good.
 */
#include "alloc_failure.h"
#include "queue_lmdb.h"
#include "queue_store.h"
#include "starve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	RCPTS_MAX = 40, /* more than a scan has room for at first */
	MAIL_MAX = 8,
	BODY_MAX = 300000, /* some pages, and more than LMDB has lists for at first */
	TEXT_BYTES = 64,
};

#define BLOB(text) ((struct queue_blob){.ptr = (text), .len = sizeof(text) - 1})
#define NOTE       BLOB("note")

struct mail {
	queue_id id;
	uint32_t body_len;
	uint16_t rcpt_count;
	bool is_queued;
	bool is_waiting[RCPTS_MAX];
	uint16_t attempts[RCPTS_MAX];
};

struct books {
	struct mail mail[MAIL_MAX];
	uint32_t mail_count;
	uint64_t last_event, reported;
	uint32_t note; /* its value; 0: none */
	uint32_t rcpts_quarantined, rcpts_accepted, rcpts_ended;
};

static struct {
	char dir[64];
	struct queue_store_conf conf;
	struct queue_store *store;
	struct books acked, now; /* now: with the transaction being built */
	bool is_over;            /* memory is gone for good */
} w;

static char body[BODY_MAX];

/* The only way a call may fail here. */
static bool
went(int err)
{
	must(err >= 0 || err == QUEUE_ENOMEM);
	must(err >= 0 || starve_is_on());
	return err >= 0;
}

/* --- what is written --- */

static struct queue_rcpt
make_rcpt(const struct mail *m, uint16_t n, char text[TEXT_BYTES])
{
	int len = snprintf(text, TEXT_BYTES, "r%u.%u@example.net", (unsigned)n, m->body_len);

	return (struct queue_rcpt){
		.n = n,
		.attempts = m->attempts[n],
		.address = {.ptr = text, .len = (size_t)len},
		.reply = {.ptr = text, .len = m->attempts[n] > 0 ? (size_t)len : 0},
	};
}

static int
put(uint16_t rcpt_count, uint32_t body_len)
{
	struct mail *m = &w.now.mail[w.now.mail_count];
	struct queue_blob pieces[QUEUE_BODY_PIECES] = {{.ptr = body, .len = body_len}};
	struct queue_message message = {.sender = BLOB("s@example.com"), .user = BLOB("u")};
	struct queue_rcpt rcpts[RCPTS_MAX];
	char names[RCPTS_MAX][TEXT_BYTES];
	int err;

	must(w.now.mail_count < MAIL_MAX && rcpt_count <= RCPTS_MAX && body_len <= BODY_MAX);
	*m = (struct mail){.body_len = body_len, .rcpt_count = rcpt_count, .is_queued = true};
	for (uint16_t n = 0; n < rcpt_count; n++) {
		m->is_waiting[n] = true;
		rcpts[n] = make_rcpt(m, n, names[n]);
	}
	if ((err = queue_store_put(w.store, &message, rcpts, rcpt_count, pieces)) < 0)
		return err;
	m->id = message.id;
	w.now.mail_count++;
	w.now.rcpts_accepted += rcpt_count;
	return 0;
}

static int
end(uint32_t index, uint16_t n)
{
	struct mail *m = &w.now.mail[index];
	uint64_t seq;
	int err;

	if ((err = queue_store_end(w.store, m->id, n, QUEUE_END_DELIVERED)) < 0 ||
		(err = queue_store_event(w.store, BLOB("delivered"), &seq)) < 0)
		return err;
	must(seq == w.now.last_event + 1);
	w.now.last_event = seq;
	m->is_waiting[n] = false;
	w.now.rcpts_ended++;
	return 0;
}

static int
update(uint32_t index, uint16_t n)
{
	struct mail *m = &w.now.mail[index];
	char text[TEXT_BYTES];
	struct queue_rcpt r;

	m->attempts[n]++;
	r = make_rcpt(m, n, text);
	return queue_store_update(w.store, m->id, &r);
}

static int
note(uint32_t value)
{
	struct queue_blob b = {.ptr = &value, .len = value > 0 ? sizeof value : 0};

	w.now.note = value;
	return queue_store_note(w.store, NOTE, b);
}

/* --- the transactions --- */

static int
tx_accept(void)
{
	int err;

	if ((err = put(1, 500)) < 0 || (err = put(RCPTS_MAX, 9000)) < 0 || (err = put(2, 100)) < 0)
		return err;
	return note(1);
}

static int
tx_accept_large(void)
{
	return put(3, BODY_MAX);
}

static int
tx_settle(void)
{
	int err;

	for (uint16_t n = 0; n < 5; n++)
		if ((err = update(1, n)) < 0 ||
			(err = queue_store_hold(w.store, w.now.mail[1].id, n, true)) < 0)
			return err;
	for (uint16_t n = 5; n < 9; n++)
		if ((err = end(1, n)) < 0)
			return err;
	if ((err = end(0, 0)) < 0)
		return err;
	w.now.mail[0].is_queued = false;
	return queue_store_remove(w.store, w.now.mail[0].id);
}

static int
tx_quarantine(void)
{
	struct mail *m = &w.now.mail[2];
	uint32_t rcpts;
	int err;

	if ((err = queue_store_quarantine(w.store, m->id, &rcpts)) < 0)
		return err;
	must(rcpts == m->rcpt_count);
	m->is_queued = false;
	w.now.rcpts_quarantined += rcpts;
	return note(2);
}

static int
tx_report(void)
{
	int err;

	w.now.reported = w.now.last_event - 2;
	if ((err = queue_store_reported(w.store, w.now.reported, BLOB("state"))) < 0)
		return err;
	return note(0);
}

/* Pages that were freed are taken again. */
static int
tx_remove_large(void)
{
	uint32_t last = w.now.mail_count - 1;
	int err;

	for (uint16_t n = 0; n < 3; n++)
		if ((err = end(last, n)) < 0)
			return err;
	w.now.mail[last].is_queued = false;
	return queue_store_remove(w.store, w.now.mail[last].id);
}

static bool
try_once(int (*build)(void))
{
	int err;

	w.now = w.acked;
	if ((err = queue_store_begin(w.store)) == 0) {
		int step_err = build();

		/* What failed on the way cannot be committed. */
		err = queue_store_commit(w.store);
		must(step_err == err || step_err == 0);
	}
	queue_store_abort(w.store);
	if (went(err))
		w.acked = w.now;
	return err == 0;
}

static void
transact(int (*build)(void))
{
	bool is_done = w.is_over || try_once(build) || try_once(build);

	w.is_over = w.is_over || !is_done;
}

/* --- what is read --- */

/* Compares; what is not there any more is marked as seen before. */
struct seen {
	uint32_t messages;
	bool mail[MAIL_MAX];
};

static bool
has_text(struct queue_blob b, const char *text, size_t len)
{
	return b.len == len && memcmp(b.ptr, text, len) == 0;
}

static void
compare(const struct mail *m, const struct queue_rcpt *rcpts, uint32_t count)
{
	uint32_t i = 0;

	for (uint16_t n = 0; n < m->rcpt_count; n++) {
		char text[TEXT_BYTES];
		struct queue_rcpt r;

		if (!m->is_waiting[n])
			continue;
		r = make_rcpt(m, n, text);
		must(i < count && rcpts[i].n == n && rcpts[i].attempts == r.attempts);
		must(has_text(rcpts[i].address, text, r.address.len));
		must(has_text(rcpts[i].reply, text, r.reply.len));
		i++;
	}
	must(i == count);
}

static bool
see(void *arg, const struct queue_message *message, const struct queue_rcpt *rcpts, uint32_t rcpt_count)
{
	struct seen *seen = arg;
	uint32_t i = 0;

	while (i < w.acked.mail_count && w.acked.mail[i].id != message->id)
		i++;
	must(i < w.acked.mail_count && w.acked.mail[i].is_queued && !seen->mail[i]);
	must(rcpts != NULL && message->body_bytes == w.acked.mail[i].body_len);
	compare(&w.acked.mail[i], rcpts, rcpt_count);
	seen->mail[i] = true;
	seen->messages++;
	return true;
}

static uint32_t
queued_count(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w.acked.mail_count; i++)
		count += w.acked.mail[i].is_queued;
	return count;
}

static void
read_scan(void)
{
	struct seen seen = {0};
	queue_id last;
	int err = queue_store_scan(w.store, 0, 100, see, &seen, &last);

	if (went(err))
		must((uint32_t)err == seen.messages && seen.messages == queued_count());
}

static void
read_loads(void)
{
	for (uint32_t i = 0; i < w.acked.mail_count; i++) {
		const struct mail *m = &w.acked.mail[i];
		struct queue_loaded *l = NULL;
		int err = queue_store_load(w.store, m->id, true, &l);

		if (err == QUEUE_ENOTFOUND) {
			must(!m->is_queued);
		} else if (went(err)) {
			must(m->is_queued && has_text(l->body, body, m->body_len));
			compare(m, l->rcpts, l->rcpt_count);
		}
		queue_loaded_free(&l);
	}
}

static bool
see_event(void *arg, uint64_t seq, struct queue_blob event)
{
	uint64_t *last = arg;

	must(seq == *last + 1 && has_text(event, "delivered", 9));
	*last = seq;
	return true;
}

static bool
see_note(void *arg, struct queue_blob name, struct queue_blob value)
{
	*(uint32_t *)arg = 0;
	must(has_text(name, "note", 4) && value.len == sizeof(uint32_t));
	memcpy(arg, value.ptr, sizeof(uint32_t));
	return true;
}

static void
read_small(void)
{
	uint64_t last = w.acked.reported, seq = 0;
	uint32_t value = 0;
	char state[16];
	int err;

	if (went(queue_store_scan_events(w.store, last, 100, see_event, &last)))
		must(last == w.acked.last_event);
	err = queue_store_report_state(w.store, &seq, state, sizeof state);
	if (err != QUEUE_ENOTFOUND && went(err))
		must(seq == w.acked.reported);
	must(err != QUEUE_ENOTFOUND || w.acked.reported == 0);
	err = queue_store_note_get(w.store, NOTE, &value, sizeof value);
	must(err != QUEUE_ENOTFOUND || w.acked.note == 0);
	if (err != QUEUE_ENOTFOUND && went(err))
		must(value == w.acked.note);
	value = 0;
	if (went(queue_store_scan_notes(w.store, (struct queue_blob){0}, see_note, &value)))
		must(value == w.acked.note);
}

static void
read_books(void)
{
	uint32_t rcpts = w.acked.rcpts_accepted - w.acked.rcpts_ended - w.acked.rcpts_quarantined;
	struct queue_totals t;
	struct queue_space space;
	uint64_t count;

	if (went(queue_store_totals(w.store, &t)))
		must(t.messages_queued == queued_count() && t.accepted == w.acked.rcpts_accepted &&
			t.ended[QUEUE_END_DELIVERED] == w.acked.rcpts_ended &&
			t.quarantined == w.acked.rcpts_quarantined &&
			t.events_pending == w.acked.last_event - w.acked.reported);
	if (went(queue_store_audit(w.store, &t, &count)))
		must(count == rcpts);
	if (went(queue_store_count_rcpts(w.store, &count)))
		must(count == rcpts);
	if (went(queue_store_space(w.store, &space)))
		must(!space.is_full);
}

static void
read_all(void)
{
	if (w.is_over)
		return;
	read_scan();
	read_loads();
	read_small();
	read_books();
}

/* --- the ordeals --- */

static bool
open_once(void)
{
	return w.store != NULL || went(queue_store_open(&w.conf, &w.store));
}

static void
open_store(void)
{
	w.is_over = w.is_over || (!open_once() && !open_once());
}

static void
reopen_store(void)
{
	if (!w.is_over && !went(queue_store_reopen(w.store)) && !went(queue_store_reopen(w.store)))
		w.is_over = true;
}

static void
run_life(void)
{
	memset(&w, 0, sizeof w);
	snprintf(w.dir, sizeof w.dir, "/tmp/mtad-starved-XXXXXX");
	must(mkdtemp(w.dir) != NULL);
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (char)(i * 7 >> 3);
	w.conf = (struct queue_store_conf){.dir = w.dir, .map_bytes = 1 << 30, .allow_network_fs = true};
	open_store();
	transact(tx_accept);
	read_all();
	transact(tx_settle);
	transact(tx_accept_large);
	read_all();
	reopen_store();
	transact(tx_quarantine);
	transact(tx_remove_large);
	transact(tx_report);
	read_all();
	queue_store_close(&w.store);
	open_store();
	read_all();
}

/* Every record of a message in quarantine is kept: its own, its recipients', its body's one. */
static void
check_quarantine(void)
{
	struct queue_words words;
	struct queue_lmdb_tx tx;
	struct queue_lmdb *l;
	uint64_t records, bytes;

	must(queue_lmdb_open(w.dir, w.conf.map_bytes, true, &words, &l) == 0);
	must(queue_lmdb_begin(l, false, &tx) == 0);
	must(queue_lmdb_open_table(&tx, QUEUE_TABLE_QUARANTINE, false) == 0);
	must(queue_lmdb_stat(&tx, QUEUE_TABLE_QUARANTINE, &records, &bytes) == 0);
	must(records == (w.acked.rcpts_quarantined > 0 ? w.acked.rcpts_quarantined + 2 : 0));
	queue_lmdb_abort(&tx);
	queue_lmdb_close(&l);
}

static void
remove_spool(void)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "mtad.lock"};
	char path[sizeof w.dir + 16];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", w.dir, names[i]);
		unlink(path);
	}
	must(rmdir(w.dir) == 0);
}

/* A store that failed once for want of memory on its way back comes back later. */
static void
check_life(void)
{
	w.is_over = false;
	if (w.store != NULL && queue_store_is_failed(w.store))
		reopen_store();
	open_store();
	read_all();
	queue_store_close(&w.store);
	open_store();
	read_all();
	transact(tx_accept_large);
	read_all();
	queue_store_close(&w.store);
	check_quarantine();
	remove_spool();
}

const struct ordeal store_ordeals[] = {{"store", run_life, check_life}};
const size_t store_ordeal_count = sizeof store_ordeals / sizeof store_ordeals[0];
