/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_LMDB_H
#define LIBQUEUE_QUEUE_LMDB_H
/*
 * queue_lmdb - the part of LMDB the store uses, in the store's words; the only place that includes lmdb.h
 *
 * One environment, a fixed set of tables, one write transaction at a time, read transactions from any thread.
 * Flags are MDB_NOTLS and MDB_NORDAHEAD and nothing else: every commit is two syncs.
 *
 * Owner    the store. Memory: LMDB's; what a get or cursor returns lives in the map until the transaction
 * ends or the next write in it. Thread   a write transaction stays with its thread; a read transaction with
 * its caller. Fails    QUEUE_ENOTFOUND, QUEUE_ENOSPACE (map or transaction full), QUEUE_ENOMEM, else
 * QUEUE_EIO. Except ENOTFOUND each spoils the transaction. Open and write transactions put the foreign error
 * into `words`.
 */
#include "queue_types.h"

enum queue_table {
	QUEUE_TABLE_CTL,
	QUEUE_TABLE_MESSAGE,
	QUEUE_TABLE_RCPT,
	QUEUE_TABLE_BODY,
	QUEUE_TABLE_EVENT,
	QUEUE_TABLE_NOTE,
	QUEUE_TABLE_QUARANTINE,
	QUEUE_TABLE_ISSUED,
	QUEUE_TABLE_SUPPRESS,
	QUEUE_TABLE_STRIKE,
	QUEUE_TABLE_COUNT,
};

struct queue_words {
	char text[256];
};

struct queue_lmdb;
struct MDB_txn;
struct MDB_cursor;

struct queue_lmdb_tx {
	struct queue_lmdb *lmdb;
	struct MDB_txn *txn; /* NULL: none */
	bool is_write;
};
struct queue_lmdb_cursor {
	struct queue_lmdb_tx *tx;
	struct MDB_cursor *mc;
};

/* `words` is kept until close. No table is open yet. The file is made when missing. */
QUEUE_MUST_USE int queue_lmdb_open(const char *dir, uint64_t map_bytes, bool read_only,
	struct queue_words *words, struct queue_lmdb **out);
void queue_lmdb_close(struct queue_lmdb **lp);
/* In the first transaction; the tables stay open once it was committed. QUEUE_ENOTFOUND: not there, and not
 * `create`. */
QUEUE_MUST_USE int queue_lmdb_open_table(struct queue_lmdb_tx *tx, enum queue_table table, bool create);
size_t queue_lmdb_page_bytes(const struct queue_lmdb *l);
/* For fstat, pread and fallocate; LMDB writes with its offset. */
int queue_lmdb_fd(const struct queue_lmdb *l);
/* Bytes of the file the last committed state reaches to. */
uint64_t queue_lmdb_end_bytes(const struct queue_lmdb *l);

/* Frees the slots of processes that died in a read transaction; how many there were, or an error. */
QUEUE_MUST_USE int queue_lmdb_forget_dead(struct queue_lmdb *l);

QUEUE_MUST_USE int queue_lmdb_begin(struct queue_lmdb *l, bool is_write, struct queue_lmdb_tx *out_tx);
/* The transaction is gone in any case. */
QUEUE_MUST_USE int queue_lmdb_commit(struct queue_lmdb_tx *tx);
void queue_lmdb_abort(struct queue_lmdb_tx *tx);

QUEUE_MUST_USE int queue_lmdb_get(struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key,
	struct queue_blob *out_value);
/* Room for a value of len bytes, to be filled before the next call. */
QUEUE_MUST_USE int queue_lmdb_put(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key, size_t len, void **out_room);
/* The same for a key greater than all in the table: pages are filled to the brim. */
QUEUE_MUST_USE int queue_lmdb_append(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key, size_t len, void **out_room);
QUEUE_MUST_USE int queue_lmdb_delete(struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key);
/* Records in the table, and bytes of the pages they take. */
QUEUE_MUST_USE int queue_lmdb_stat(
	struct queue_lmdb_tx *tx, enum queue_table table, uint64_t *out_records, uint64_t *out_bytes);
/* The greatest key. */
QUEUE_MUST_USE int queue_lmdb_last(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob *out_key);

QUEUE_MUST_USE int queue_lmdb_cursor_open(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_lmdb_cursor *out_cursor);
void queue_lmdb_cursor_close(struct queue_lmdb_cursor *c);
/* To the first record with a key >= key; then on. QUEUE_ENOTFOUND: the end. */
QUEUE_MUST_USE int queue_lmdb_seek(struct queue_lmdb_cursor *c, struct queue_blob key,
	struct queue_blob *out_key, struct queue_blob *out_value);
QUEUE_MUST_USE int queue_lmdb_next(
	struct queue_lmdb_cursor *c, struct queue_blob *out_key, struct queue_blob *out_value);
/* The record it stands on; queue_lmdb_next then gives the one after it. */
QUEUE_MUST_USE int queue_lmdb_cursor_delete(struct queue_lmdb_cursor *c);
#endif
