/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of a spool is one number in table ctl. A spool with a higher number is refused before anything
 * in it is touched; one with a lower number is brought up step by step, all steps and the new number in one
 * transaction, so a crash leaves the old spool or the new one.
 *
 * To change the format: raise FORMAT, add the step from the old number to `upgrades`, and a spool of the old
 * format to the test. Format 0 is that of the first drafts, which kept no books.
 */
#include "queue_key.h"
#include "queue_store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT = 2 };

#define KEY_FORMAT QUEUE_KEY_WORD("format")
#define KEY_STATE  QUEUE_KEY_WORD("state")

static int
read_format(struct queue_lmdb_tx *tx, uint32_t *out_format)
{
	struct queue_blob bytes, payload;
	const uint8_t *p;
	int err;

	if ((err = queue_lmdb_get(tx, QUEUE_TABLE_CTL, KEY_FORMAT, &bytes)) < 0)
		return err == QUEUE_ENOTFOUND ? QUEUE_EDAMAGED : err;
	if ((err = queue_record_decode_blob(QUEUE_RECORD_FORMAT, bytes, KEY_FORMAT, &payload)) < 0)
		return err;
	if (payload.len != 4)
		return QUEUE_EDAMAGED;
	p = payload.ptr;
	*out_format = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return 0;
}

static int
write_format(struct queue_lmdb_tx *tx, uint32_t format)
{
	const uint8_t number[4] = {format & 0xff, format >> 8 & 0xff, format >> 16 & 0xff, format >> 24};
	struct queue_blob payload = {.ptr = number, .len = sizeof number};
	void *room;
	int err;

	err = queue_lmdb_put(tx, QUEUE_TABLE_CTL, KEY_FORMAT, QUEUE_RECORD_HEADER + payload.len, &room);
	if (err == 0)
		queue_record_encode_blob(QUEUE_RECORD_FORMAT, payload, KEY_FORMAT, room);
	return err;
}

int
queue_format_read_state(struct queue_lmdb_tx *tx, struct queue_state *out)
{
	struct queue_blob bytes;
	int err;

	if ((err = queue_lmdb_get(tx, QUEUE_TABLE_CTL, KEY_STATE, &bytes)) < 0)
		return err == QUEUE_ENOTFOUND ? QUEUE_EDAMAGED : err;
	return queue_record_decode_state(bytes, KEY_STATE, out);
}

int
queue_format_write_state(struct queue_lmdb_tx *tx, const struct queue_state *st)
{
	void *room;
	int err;

	err = queue_lmdb_put(tx, QUEUE_TABLE_CTL, KEY_STATE, queue_record_state_size(), &room);
	if (err == 0)
		queue_record_encode_state(st, KEY_STATE, room);
	return err;
}

/* The greatest number used as a key; 0 in an empty table. */
static int
last_number(struct queue_lmdb_tx *tx, enum queue_table table, uint64_t *out)
{
	struct queue_blob key;
	int err = queue_lmdb_last(tx, table, &key);

	*out = 0;
	if (err == QUEUE_ENOTFOUND)
		return 0;
	if (err == 0 && !queue_key_read_number(key, out))
		return QUEUE_EDAMAGED;
	return err;
}

/* Format 0 had no state record: what is there was accepted, and nothing is known of what has ended. */
static int
count_the_books(struct queue_lmdb_tx *tx)
{
	struct queue_state st = {.commits = 1};
	uint64_t bytes, id, event;
	int err;

	if ((err = queue_lmdb_stat(tx, QUEUE_TABLE_RCPT, &st.totals.accepted, &bytes)) < 0 ||
		(err = queue_lmdb_stat(tx, QUEUE_TABLE_MESSAGE, &st.totals.messages_queued, &bytes)) < 0 ||
		(err = last_number(tx, QUEUE_TABLE_MESSAGE, &id)) < 0 ||
		(err = last_number(tx, QUEUE_TABLE_EVENT, &event)) < 0)
		return err;
	st.totals.messages_accepted = st.totals.messages_queued;
	st.next_id = id + 1;
	st.next_event = event + 1;
	return queue_format_write_state(tx, &st);
}

/* Format 1 had fewer tables; open_tables() has made them. */
static int
add_tables(struct queue_lmdb_tx *tx)
{
	assert(tx->is_write);
	return 0;
}

/* upgrades[n] makes format n + 1 of format n. */
static int (*const upgrades[FORMAT])(struct queue_lmdb_tx *tx) = {
	[0] = count_the_books,
	[1] = add_tables,
};

static int
open_tables(struct queue_lmdb_tx *tx)
{
	int err = 0;

	for (int t = 0; t < QUEUE_TABLE_COUNT && err == 0; t++)
		err = queue_lmdb_open_table(tx, (enum queue_table)t, tx->is_write);
	return err;
}

int
queue_format_make(struct queue_lmdb_tx *tx)
{
	struct queue_state st = {.next_id = 1, .next_event = 1};
	int err;

	assert(tx->is_write);
	if ((err = open_tables(tx)) < 0 || (err = write_format(tx, FORMAT)) < 0)
		return err;
	return queue_format_write_state(tx, &st);
}

/* INTERNALS step 10, within the caller's one transaction. */
static int
upgrade(struct queue_lmdb_tx *tx, uint32_t format)
{
	int err;

	for (; format < FORMAT; format++) {
		if ((err = upgrades[format](tx)) < 0)
			return err;
	}
	return write_format(tx, FORMAT);
}

/*
 * A number given twice would hide one message behind another, so the books are not trusted alone. A key of
 * which a bit has flipped may stand anywhere; one in the upper half of the range is not taken for the last
 * number.
 */
static int
lift(struct queue_lmdb_tx *tx, enum queue_table table, int shift, uint64_t *next)
{
	uint64_t key;
	int err;

	if ((err = last_number(tx, table, &key)) < 0)
		return err;
	key >>= shift;
	if (key >= *next && key < QUEUE_KEY_ID_MAX / 2)
		*next = key + 1;
	return 0;
}

int
queue_format_open_state(struct queue_lmdb_tx *tx, struct queue_state *out)
{
	struct queue_state st;
	int err;

	if ((err = queue_format_read_state(tx, &st)) < 0 ||
		(err = lift(tx, QUEUE_TABLE_MESSAGE, 0, &st.next_id)) < 0 ||
		(err = lift(tx, QUEUE_TABLE_RCPT, QUEUE_KEY_RCPT_BITS, &st.next_id)) < 0 ||
		(err = lift(tx, QUEUE_TABLE_BODY, QUEUE_KEY_CHUNK_BITS, &st.next_id)) < 0 ||
		(err = lift(tx, QUEUE_TABLE_EVENT, 0, &st.next_event)) < 0)
		return err;
	*out = st;
	return 0;
}

int
queue_format_open(struct queue_lmdb_tx *tx, struct queue_words *words)
{
	uint32_t format = 0;
	int err;

	if ((err = queue_lmdb_open_table(tx, QUEUE_TABLE_CTL, false)) == 0)
		err = read_format(tx, &format);
	if (err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED) {
		snprintf(words->text, sizeof words->text,
			"the data file holds no sound format record: not a spool?");
		return QUEUE_EDAMAGED;
	}
	if (err < 0)
		return err;
	if (format > FORMAT || (format < FORMAT && !tx->is_write)) {
		snprintf(words->text, sizeof words->text, "the spool has format %u, this program %s %d",
			(unsigned)format, format > FORMAT ? "knows up to" : "reads only", FORMAT);
		return QUEUE_EVERSION;
	}
	if ((err = open_tables(tx)) < 0)
		return err;
	return format < FORMAT ? upgrade(tx, format) : 0;
}
