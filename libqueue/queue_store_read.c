/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and scans, from any thread. Each opens a read transaction, copies out or calls back, and ends it
 * before it returns: while one is open no page freed since can be used again, and the file grows by what is
 * written meanwhile.
 *
 * Everything read is checked before it is believed: length, checksum, and that a record names the recipient
 * its key names. Numbers handed in by a caller may be anything; those that cannot be an id are not found.
 */
#include "queue_crc.h"
#include "queue_key.h"
#include "queue_store_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KEY_REPORT QUEUE_KEY_WORD("report")

enum { COUNT_PORTION = 10000 };

int
queue_store_read_begin(struct queue_store *s, struct queue_lmdb_tx *out_tx)
{
	int err = QUEUE_EIO;

	pthread_rwlock_rdlock(&s->env_lock);
	if (!queue_store_is_failed(s))
		err = queue_lmdb_begin(s->lmdb, false, out_tx);
	if (err < 0)
		pthread_rwlock_unlock(&s->env_lock);
	return err;
}

void
queue_store_read_end(struct queue_store *s, struct queue_lmdb_tx *tx)
{
	queue_lmdb_abort(tx);
	pthread_rwlock_unlock(&s->env_lock);
}

/* --- one message --- */

/* What is wanted of a message. */
struct wanted {
	queue_id id;
	const uint16_t *numbers; /* of recipients, ascending; NULL: all */
	uint32_t count;
	bool body;
};

/* The recipients that are wanted, in order. */
struct rcpt_walk {
	struct queue_lmdb_cursor c;
	const struct wanted *want;
	uint32_t at; /* how many were asked for, all included */
};

static int
step_to_next(struct rcpt_walk *w, uint64_t *out_number, struct queue_blob *out_value)
{
	uint64_t from = queue_key_rcpt(w->want->id, 0);
	struct queue_blob key;
	int err;

	err = w->at++ == 0 ? queue_lmdb_seek(&w->c, queue_key_number(&from), &key, out_value)
			   : queue_lmdb_next(&w->c, &key, out_value);
	if (err < 0)
		return err;
	return queue_key_read_number(key, out_number) && queue_key_rcpt_id(*out_number) == w->want->id
		       ? 0
		       : QUEUE_ENOTFOUND;
}

/* By number: a message may have thousands of others. */
static int
look_up_next(struct rcpt_walk *w, uint64_t *out_number, struct queue_blob *out_value)
{
	int err = QUEUE_ENOTFOUND;

	while (err == QUEUE_ENOTFOUND && w->at < w->want->count) {
		*out_number = queue_key_rcpt(w->want->id, w->want->numbers[w->at++]);
		err = queue_lmdb_get(w->c.tx, QUEUE_TABLE_RCPT, queue_key_number(out_number), out_value);
	}
	return err;
}

/* QUEUE_ENOTFOUND: no more. The record is not decoded yet. */
static int
walk_next(struct rcpt_walk *w, uint64_t *out_number, struct queue_blob *out_value)
{
	int err = w->want->numbers != NULL ? look_up_next(w, out_number, out_value)
					   : step_to_next(w, out_number, out_value);

	if (err < 0)
		return err;
	return out_value->len > QUEUE_RECORD_RCPT_MAX ? QUEUE_EDAMAGED : 0;
}

static int
decode_rcpt(uint64_t number, struct queue_blob value, struct queue_rcpt *out)
{
	int err = queue_record_decode_rcpt(value, queue_key_number(&number), out);

	if (err == 0 && out->n != queue_key_rcpt_n(number))
		return QUEUE_EDAMAGED;
	return err;
}

/* How many recipients, and an upper bound for their texts. */
static int
measure_rcpts(struct queue_lmdb_tx *tx, const struct wanted *want, uint32_t *out_count, size_t *out_bytes)
{
	struct rcpt_walk w = {.want = want};
	struct queue_blob value;
	uint32_t count = 0;
	size_t bytes = 0;
	uint64_t number;
	int err;

	if ((err = queue_lmdb_cursor_open(tx, QUEUE_TABLE_RCPT, &w.c)) < 0)
		return err;
	while ((err = walk_next(&w, &number, &value)) == 0) {
		count++;
		bytes += value.len;
	}
	queue_lmdb_cursor_close(&w.c);
	if (err != QUEUE_ENOTFOUND)
		return err;
	*out_count = count;
	*out_bytes = bytes;
	/* The last recipient's end takes the message with it, so a message without recipients is damage; so
	 * is one without any of those that its leases name. */
	return count == 0 ? QUEUE_EDAMAGED : 0;
}

/* The block a load returns: texts are copied to *at, which moves on. */
static struct queue_blob
keep(char **at, struct queue_blob b)
{
	struct queue_blob kept = {.ptr = *at, .len = b.len};

	if (b.len > 0)
		memcpy(*at, b.ptr, b.len);
	*at += b.len;
	return kept;
}

static void
keep_message(char **at, const struct queue_message *m, struct queue_message *out)
{
	*out = *m;
	out->sender = keep(at, m->sender);
	out->user = keep(at, m->user);
	out->job = keep(at, m->job);
	out->pool = keep(at, m->pool);
	out->envid = keep(at, m->envid);
	out->from_domain = keep(at, m->from_domain);
	out->message_id = keep(at, m->message_id);
	out->headers = keep(at, m->headers);
}

static int
keep_rcpts(struct queue_lmdb_tx *tx, const struct wanted *want, char **at, struct queue_loaded *l)
{
	struct rcpt_walk w = {.want = want};
	struct queue_blob value;
	struct queue_rcpt r;
	uint64_t number;
	uint32_t i;
	int err;

	if ((err = queue_lmdb_cursor_open(tx, QUEUE_TABLE_RCPT, &w.c)) < 0)
		return err;
	for (i = 0; i < l->rcpt_count; i++) {
		if ((err = walk_next(&w, &number, &value)) < 0 || (err = decode_rcpt(number, value, &r)) < 0)
			break;
		l->rcpts[i] = r;
		l->rcpts[i].address = keep(at, r.address);
		l->rcpts[i].orcpt = keep(at, r.orcpt);
		l->rcpts[i].reply = keep(at, r.reply);
		l->rcpts[i].source = keep(at, r.source);
		l->rcpts[i].host = keep(at, r.host);
	}
	queue_lmdb_cursor_close(&w.c);
	return err;
}

static int
keep_body(struct queue_lmdb_tx *tx, char *out, struct queue_loaded *l, uint32_t want_crc)
{
	uint64_t bytes = l->message.body_bytes;
	struct queue_lmdb_cursor c;
	struct queue_blob key, value;
	uint64_t done = 0, number = queue_key_body(l->message.id, 0);
	uint64_t want = number;
	int err;

	if ((err = queue_lmdb_cursor_open(tx, QUEUE_TABLE_BODY, &c)) < 0)
		return err;
	err = bytes > 0 ? queue_lmdb_seek(&c, queue_key_number(&number), &key, &value) : 0;
	while (err == 0 && done < bytes) {
		if (!queue_key_read_number(key, &number) || number != want++ || value.len == 0 ||
			value.len > bytes - done) {
			err = QUEUE_EDAMAGED;
			break;
		}
		memcpy(out + done, value.ptr, value.len);
		done += value.len;
		if (done < bytes)
			err = queue_lmdb_next(&c, &key, &value);
	}
	queue_lmdb_cursor_close(&c);
	if (err == QUEUE_ENOTFOUND || (err == 0 && queue_crc(0, out, bytes) != want_crc))
		return QUEUE_EDAMAGED;
	l->body = (struct queue_blob){.ptr = out, .len = bytes};
	return err;
}

static int
load(struct queue_lmdb_tx *tx, const struct wanted *want, struct queue_loaded **out_loaded)
{
	struct queue_blob key = queue_key_number(&want->id), value;
	struct queue_loaded *l;
	struct queue_message m;
	uint32_t count = 0, body_crc;
	size_t texts = 0, bytes;
	char *at;
	int err;

	if ((err = queue_lmdb_get(tx, QUEUE_TABLE_MESSAGE, key, &value)) < 0)
		return err;
	if ((err = queue_record_decode_message(value, key, &m, &body_crc)) < 0)
		return err;
	if ((err = measure_rcpts(tx, want, &count, &texts)) < 0)
		return err;
	m.id = want->id;
	texts += value.len;
	bytes = sizeof *l + count * sizeof *l->rcpts + texts + (want->body ? m.body_bytes : 0);
	if ((l = malloc(bytes)) == NULL)
		return QUEUE_ENOMEM;
	*l = (struct queue_loaded){
		.rcpts = (struct queue_rcpt *)(l + 1), .rcpt_count = count, .block_bytes = bytes};
	at = (char *)(l->rcpts + count);
	keep_message(&at, &m, &l->message);
	err = keep_rcpts(tx, want, &at, l);
	assert(err < 0 || at <= (char *)(l->rcpts + count) + texts);
	if (err == 0 && want->body)
		err = keep_body(tx, at, l, body_crc);
	if (err < 0) {
		free(l);
		return err == QUEUE_ENOTFOUND ? QUEUE_EDAMAGED : err;
	}
	*out_loaded = l;
	return 0;
}

static int
load_wanted(struct queue_store *s, const struct wanted *want, struct queue_loaded **out_loaded)
{
	struct queue_lmdb_tx tx;
	int err;

	if (want->id > QUEUE_KEY_ID_MAX)
		return QUEUE_ENOTFOUND;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	err = load(&tx, want, out_loaded);
	queue_store_read_end(s, &tx);
	return err;
}

int
queue_store_load(struct queue_store *s, queue_id id, bool with_body, struct queue_loaded **out_loaded)
{
	return load_wanted(s, &(struct wanted){.id = id, .body = with_body}, out_loaded);
}

int
queue_store_load_rcpts(struct queue_store *s, queue_id id, const uint16_t *numbers, uint32_t count,
	bool with_body, struct queue_loaded **out_loaded)
{
	const struct wanted want = {.id = id, .numbers = numbers, .count = count, .body = with_body};

	assert(numbers != NULL);
	return load_wanted(s, &want, out_loaded);
}

void
queue_loaded_free(struct queue_loaded **lp)
{
	free(*lp);
	*lp = NULL;
}

/* --- all messages --- */

/*
 * Two cursors side by side, so that what belongs to no message is found as well: recipients whose message
 * record is gone are visited as a damaged message, or they would be neither sent nor missed.
 */
struct scan {
	struct queue_lmdb_tx *tx;
	struct queue_lmdb_cursor messages, rcpts;
	struct queue_blob message_key, message_value, rcpt_key, rcpt_value;
	bool has_message, has_rcpt;
	queue_id message_id;
	uint64_t rcpt_number;
	struct queue_rcpt *list; /* of the message being visited */
	uint32_t list_max;
};

/* The end of a table is no error; a key that is no number stands for the end. */
static int
settle_cursor(int err, struct queue_blob key, bool *out_has, uint64_t *out_number)
{
	*out_has = err == 0 && queue_key_read_number(key, out_number);
	return err == QUEUE_ENOTFOUND ? 0 : err;
}

static int
next_message(struct scan *sc)
{
	int err = queue_lmdb_next(&sc->messages, &sc->message_key, &sc->message_value);

	return settle_cursor(err, sc->message_key, &sc->has_message, &sc->message_id);
}

static int
next_rcpt(struct scan *sc)
{
	int err = queue_lmdb_next(&sc->rcpts, &sc->rcpt_key, &sc->rcpt_value);

	return settle_cursor(err, sc->rcpt_key, &sc->has_rcpt, &sc->rcpt_number);
}

static int
scan_begin(struct scan *sc, queue_id from)
{
	uint64_t first_rcpt = UINT64_MAX;
	int err;

	if (from >> (64 - QUEUE_KEY_RCPT_BITS) == 0)
		first_rcpt = queue_key_rcpt(from, 0);
	if ((err = queue_lmdb_cursor_open(sc->tx, QUEUE_TABLE_MESSAGE, &sc->messages)) < 0 ||
		(err = queue_lmdb_cursor_open(sc->tx, QUEUE_TABLE_RCPT, &sc->rcpts)) < 0)
		return err;
	err = queue_lmdb_seek(&sc->messages, queue_key_number(&from), &sc->message_key, &sc->message_value);
	if ((err = settle_cursor(err, sc->message_key, &sc->has_message, &sc->message_id)) < 0)
		return err;
	err = queue_lmdb_seek(&sc->rcpts, queue_key_number(&first_rcpt), &sc->rcpt_key, &sc->rcpt_value);
	return settle_cursor(err, sc->rcpt_key, &sc->has_rcpt, &sc->rcpt_number);
}

static int
grow_list(struct scan *sc, uint32_t count)
{
	uint32_t max = sc->list_max == 0 ? 16 : 2 * sc->list_max;
	struct queue_rcpt *list;

	if (count < sc->list_max)
		return 0;
	if ((list = realloc(sc->list, max * sizeof *list)) == NULL)
		return QUEUE_ENOMEM;
	sc->list = list;
	sc->list_max = max;
	return 0;
}

/* Takes all recipients of `id` from the cursor; *out_sound only if every one is. */
static int
collect_rcpts(struct scan *sc, queue_id id, uint32_t *out_count, bool *out_sound)
{
	uint32_t count = 0;
	bool is_sound = true;
	int err;

	while (sc->has_rcpt && queue_key_rcpt_id(sc->rcpt_number) == id) {
		if ((err = grow_list(sc, count)) < 0)
			return err;
		if (decode_rcpt(sc->rcpt_number, sc->rcpt_value, &sc->list[count]) == 0)
			count++;
		else
			is_sound = false;
		if ((err = next_rcpt(sc)) < 0)
			return err;
	}
	*out_count = count;
	*out_sound = is_sound && count > 0;
	return 0;
}

/* Visits the message with the lowest id left. 1: go on, 0: the visitor has had enough. */
static int
scan_one(struct scan *sc, queue_store_visit *visit, void *arg, queue_id *out_id)
{
	queue_id orphan = queue_key_rcpt_id(sc->rcpt_number);
	struct queue_message m = {0};
	uint32_t count, body_crc;
	bool is_sound, is_there;
	queue_id id;
	int err;

	is_there = sc->has_message && !(sc->has_rcpt && orphan < sc->message_id);
	id = is_there ? sc->message_id : orphan;
	if ((err = collect_rcpts(sc, id, &count, &is_sound)) < 0)
		return err;
	if (!is_there || queue_record_decode_message(sc->message_value, sc->message_key, &m, &body_crc) < 0)
		is_sound = false;
	m.id = id;
	*out_id = id;
	if (!visit(arg, &m, is_sound ? sc->list : NULL, is_sound ? count : 0))
		return 0;
	if (is_there && (err = next_message(sc)) < 0)
		return err;
	return 1;
}

int
queue_store_scan(struct queue_store *s, queue_id after, uint32_t limit, queue_store_visit *visit, void *arg,
	queue_id *out_last)
{
	struct queue_lmdb_tx tx;
	struct scan sc = {.tx = &tx};
	uint32_t visited = 0;
	int err;

	assert(limit <= INT32_MAX);
	if (after == UINT64_MAX)
		return 0;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	err = scan_begin(&sc, after + 1);
	while (err >= 0 && visited < limit && (sc.has_message || sc.has_rcpt)) {
		if ((err = scan_one(&sc, visit, arg, out_last)) < 0)
			break;
		visited++;
		if (err == 0)
			break;
	}
	queue_lmdb_cursor_close(&sc.messages);
	queue_lmdb_cursor_close(&sc.rcpts);
	free(sc.list);
	queue_store_read_end(s, &tx);
	return err < 0 ? err : (int)visited;
}

/* --- outbox and notes --- */

int
queue_store_scan_events(
	struct queue_store *s, uint64_t after, uint32_t limit, queue_store_visit_event *visit, void *arg)
{
	struct queue_lmdb_cursor c = {0};
	struct queue_blob key, value, event;
	uint64_t number = after + 1;
	struct queue_lmdb_tx tx;
	uint32_t visited = 0;
	int err;

	assert(limit <= INT32_MAX);
	if (after == UINT64_MAX)
		return 0;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_lmdb_cursor_open(&tx, QUEUE_TABLE_EVENT, &c)) == 0)
		err = queue_lmdb_seek(&c, queue_key_number(&number), &key, &value);
	while (err == 0 && visited < limit && queue_key_read_number(key, &number)) {
		if (queue_record_decode_blob(QUEUE_RECORD_EVENT, value, key, &event) < 0)
			event = (struct queue_blob){0};
		visited++;
		if (!visit(arg, number, event))
			break;
		err = queue_lmdb_next(&c, &key, &value);
	}
	queue_lmdb_cursor_close(&c);
	queue_store_read_end(s, &tx);
	return err < 0 && err != QUEUE_ENOTFOUND ? err : (int)visited;
}

static int
copy_out(struct queue_blob from, void *buf, size_t buf_max)
{
	size_t n = from.len < buf_max ? from.len : buf_max;

	if (n > 0)
		memcpy(buf, from.ptr, n);
	return (int)from.len;
}

/* The payload of one record, copied; its length, or an error. */
static int
copy_record(struct queue_lmdb_tx *tx, enum queue_table table, enum queue_record_kind kind,
	struct queue_blob key, void *buf, size_t buf_max)
{
	struct queue_blob value, payload;
	int err;

	if ((err = queue_lmdb_get(tx, table, key, &value)) < 0 ||
		(err = queue_record_decode_blob(kind, value, key, &payload)) < 0)
		return err;
	return copy_out(payload, buf, buf_max);
}

int
queue_store_report_state(struct queue_store *s, uint64_t *out_seq, void *buf, size_t buf_max)
{
	struct queue_lmdb_tx tx;
	struct queue_state st;
	int err;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_format_read_state(&tx, &st)) == 0) {
		err = copy_record(&tx, QUEUE_TABLE_CTL, QUEUE_RECORD_REPORT, KEY_REPORT, buf, buf_max);
		if (err == QUEUE_ENOTFOUND)
			err = 0;
	}
	queue_store_read_end(s, &tx);
	if (err >= 0)
		*out_seq = st.reported;
	return err;
}

int
queue_store_note_get(struct queue_store *s, struct queue_blob name, void *buf, size_t buf_max)
{
	struct queue_lmdb_tx tx;
	int err;

	if (name.len == 0 || name.len > QUEUE_KEY_NAME_MAX)
		return QUEUE_ENOTFOUND;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	err = copy_record(&tx, QUEUE_TABLE_NOTE, QUEUE_RECORD_NOTE, name, buf, buf_max);
	queue_store_read_end(s, &tx);
	return err;
}

int
queue_store_scan_notes(
	struct queue_store *s, struct queue_blob prefix, queue_store_visit_note *visit, void *arg)
{
	/* LMDB looks for no empty key; no name is less than one zero byte. */
	struct queue_blob from = prefix.len > 0 ? prefix : (struct queue_blob){.ptr = "", .len = 1};
	struct queue_lmdb_cursor c = {0};
	struct queue_blob name, value, note;
	struct queue_lmdb_tx tx;
	int visited = 0;
	int err;

	if (prefix.len > QUEUE_KEY_NAME_MAX)
		return 0;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_lmdb_cursor_open(&tx, QUEUE_TABLE_NOTE, &c)) == 0)
		err = queue_lmdb_seek(&c, from, &name, &value);
	while (err == 0 && name.len >= prefix.len &&
		(prefix.len == 0 || memcmp(name.ptr, prefix.ptr, prefix.len) == 0)) {
		/* A damaged one is as good as none: it was small state; it stays until it is written again.
		 */
		if (queue_record_decode_blob(QUEUE_RECORD_NOTE, value, name, &note) == 0) {
			visited++;
			if (!visit(arg, name, note))
				break;
		}
		err = queue_lmdb_next(&c, &name, &value);
	}
	queue_lmdb_cursor_close(&c);
	queue_store_read_end(s, &tx);
	return err < 0 && err != QUEUE_ENOTFOUND ? err : visited;
}

/* --- the books --- */

int
queue_store_totals(struct queue_store *s, struct queue_totals *out)
{
	uint64_t rcpts;

	return queue_store_audit(s, out, &rcpts);
}

int
queue_store_audit(struct queue_store *s, struct queue_totals *out, uint64_t *out_rcpts)
{
	struct queue_lmdb_tx tx;
	struct queue_state st;
	uint64_t bytes;
	int err;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_format_read_state(&tx, &st)) == 0)
		err = queue_lmdb_stat(&tx, QUEUE_TABLE_RCPT, out_rcpts, &bytes);
	queue_store_read_end(s, &tx);
	if (err == 0)
		*out = st.totals;
	return err;
}

/* Counts up to a portion of recipients with keys >= *from; moves *from on. */
static int
count_portion(struct queue_store *s, uint64_t *from, bool *out_more)
{
	struct queue_lmdb_cursor c = {0};
	struct queue_blob key, value;
	struct queue_lmdb_tx tx;
	int count = 0;
	int err;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_lmdb_cursor_open(&tx, QUEUE_TABLE_RCPT, &c)) == 0)
		err = queue_lmdb_seek(&c, queue_key_number(from), &key, &value);
	while (err == 0 && count < COUNT_PORTION && queue_key_read_number(key, from)) {
		count++;
		err = queue_lmdb_next(&c, &key, &value);
	}
	queue_lmdb_cursor_close(&c);
	queue_store_read_end(s, &tx);
	*out_more = err == 0 && count == COUNT_PORTION && *from != UINT64_MAX;
	++*from;
	return err < 0 && err != QUEUE_ENOTFOUND ? err : count;
}

int
queue_store_count_rcpts(struct queue_store *s, uint64_t *out_rcpts)
{
	uint64_t from = 0, sum = 0;
	bool more = true;

	while (more) {
		int count = count_portion(s, &from, &more);

		if (count < 0)
			return count;
		sum += (uint64_t)count;
	}
	*out_rcpts = sum;
	return 0;
}

int
queue_store_space(struct queue_store *s, struct queue_space *out)
{
	struct queue_lmdb_tx tx;
	int err;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	err = queue_space_measure(s, &tx, out);
	queue_store_read_end(s, &tx);
	return err;
}
