/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that knows LMDB. It keeps three promises for the store:
 *
 * - a code of LMDB or errno never leaves it: it becomes an enum queue_err, and its words are kept;
 * - the file covers every page the last committed state may refer to before the first of them is touched.
 * LMDB reads through a map, so a truncated file would be a SIGBUS at every start. Filled up with zeros it is
 * pages that fail their checks, and a report. (A sound file can be short as well: pages taken and given back
 * in one transaction are counted but never written.)
 * - nothing but plain tables is used: no DUPSORT, no WRITEMAP, no nested transactions, where LMDB 0.9 has its
 * bugs.
 */
#include "queue_lmdb.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READERS_MAX = 254 };

static const struct {
	const char *name;
	unsigned flags;
} tables[QUEUE_TABLE_COUNT] = {
	[QUEUE_TABLE_CTL] = {"ctl", 0},
	[QUEUE_TABLE_MESSAGE] = {"message", MDB_INTEGERKEY},
	[QUEUE_TABLE_RCPT] = {"rcpt", MDB_INTEGERKEY},
	[QUEUE_TABLE_BODY] = {"body", MDB_INTEGERKEY},
	[QUEUE_TABLE_EVENT] = {"event", MDB_INTEGERKEY},
	[QUEUE_TABLE_NOTE] = {"note", 0},
	[QUEUE_TABLE_QUARANTINE] = {"quarantine", 0},
	[QUEUE_TABLE_ISSUED] = {"issued", 0},
	[QUEUE_TABLE_SUPPRESS] = {"suppress", 0},
	[QUEUE_TABLE_STRIKE] = {"strike", 0},
};

struct queue_lmdb {
	MDB_env *env;
	MDB_dbi dbi[QUEUE_TABLE_COUNT];
	size_t page_bytes;
	int fd;
	struct queue_words *words;
};

/* words is NULL in read transactions, which run in any thread. */
static int
translate(int rc, const char *what, struct queue_words *words)
{
	assert(rc != MDB_SUCCESS);
	if (rc == MDB_NOTFOUND)
		return QUEUE_ENOTFOUND;
	if (words != NULL)
		snprintf(words->text, sizeof words->text, "%s: %s", what, mdb_strerror(rc));
	switch (rc) {
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return QUEUE_ENOSPACE;
	case ENOMEM:
		return QUEUE_ENOMEM;
	default:
		return QUEUE_EIO;
	}
}

static int
tx_error(const struct queue_lmdb_tx *tx, int rc, const char *what)
{
	return translate(rc, what, tx->is_write ? tx->lmdb->words : NULL);
}

static MDB_val
to_val(struct queue_blob b)
{
	return (MDB_val){.mv_size = b.len, .mv_data = (void *)b.ptr};
}

static struct queue_blob
to_blob(MDB_val v)
{
	return (struct queue_blob){.ptr = v.mv_data, .len = v.mv_size};
}

/* --- environment --- */

static int
cover_file(struct queue_lmdb *l, bool read_only)
{
	uint64_t end = queue_lmdb_end_bytes(l);
	struct stat st;

	if (fstat(l->fd, &st) < 0)
		return translate(errno, "fstat of the data file", l->words);
	if ((uint64_t)st.st_size >= end)
		return 0;
	if (read_only) {
		snprintf(l->words->text, sizeof l->words->text,
			"data file: %llu bytes where its state needs %llu", (unsigned long long)st.st_size,
			(unsigned long long)end);
		return QUEUE_EDAMAGED;
	}
	if (ftruncate(l->fd, (off_t)end) < 0)
		return translate(errno, "ftruncate of the data file", l->words);
	return 0;
}

static int
open_env(struct queue_lmdb *l, const char *dir, uint64_t map_bytes, bool read_only)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (read_only ? MDB_RDONLY : 0);
	MDB_stat stat;
	int err, rc;

	if ((rc = mdb_env_create(&l->env)) != 0)
		return translate(rc, "mdb_env_create", l->words);
	if ((rc = mdb_env_set_mapsize(l->env, map_bytes)) != 0 ||
		(rc = mdb_env_set_maxdbs(l->env, QUEUE_TABLE_COUNT)) != 0 ||
		(rc = mdb_env_set_maxreaders(l->env, READERS_MAX)) != 0)
		return translate(rc, "mdb_env_set", l->words);
	if ((rc = mdb_env_open(l->env, dir, flags, 0600)) != 0)
		return translate(rc, "open of the data file", l->words);
	if ((rc = mdb_env_get_fd(l->env, &l->fd)) != 0 || (rc = mdb_env_stat(l->env, &stat)) != 0)
		return translate(rc, "mdb_env_stat", l->words);
	l->page_bytes = stat.ms_psize;
	/* Slots of readers that were killed pin pages; the file would grow for ever. */
	if (!read_only && (err = queue_lmdb_forget_dead(l)) < 0)
		return err;
	return cover_file(l, read_only);
}

int
queue_lmdb_open(const char *dir, uint64_t map_bytes, bool read_only, struct queue_words *words,
	struct queue_lmdb **out)
{
	struct queue_lmdb *l = calloc(1, sizeof *l);
	int err;

	assert(words != NULL && map_bytes > 0);
	if (l == NULL)
		return QUEUE_ENOMEM;
	l->words = words;
	if ((err = open_env(l, dir, map_bytes, read_only)) < 0) {
		queue_lmdb_close(&l);
		return err == QUEUE_ENOTFOUND ? QUEUE_EIO : err;
	}
	*out = l;
	return 0;
}

void
queue_lmdb_close(struct queue_lmdb **lp)
{
	struct queue_lmdb *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	if (l->env != NULL)
		mdb_env_close(l->env);
	free(l);
}

int
queue_lmdb_open_table(struct queue_lmdb_tx *tx, enum queue_table table, bool create)
{
	unsigned flags = tables[table].flags | (create ? MDB_CREATE : 0);
	int rc;

	assert(table < QUEUE_TABLE_COUNT);
	rc = mdb_dbi_open(tx->txn, tables[table].name, flags, &tx->lmdb->dbi[table]);
	return rc == 0 ? 0 : translate(rc, "mdb_dbi_open", tx->lmdb->words);
}

size_t
queue_lmdb_page_bytes(const struct queue_lmdb *l)
{
	return l->page_bytes;
}

int
queue_lmdb_fd(const struct queue_lmdb *l)
{
	return l->fd;
}

uint64_t
queue_lmdb_end_bytes(const struct queue_lmdb *l)
{
	MDB_envinfo info;
	int rc = mdb_env_info(l->env, &info);

	assert(rc == 0);
	return (info.me_last_pgno + 1) * (uint64_t)l->page_bytes;
}

int
queue_lmdb_forget_dead(struct queue_lmdb *l)
{
	int rc, dead;

	if ((rc = mdb_reader_check(l->env, &dead)) != 0)
		return translate(rc, "mdb_reader_check", l->words);
	return dead;
}

/* --- transactions --- */

int
queue_lmdb_begin(struct queue_lmdb *l, bool is_write, struct queue_lmdb_tx *out_tx)
{
	struct queue_lmdb_tx tx = {.lmdb = l, .is_write = is_write};
	int rc;

	if ((rc = mdb_txn_begin(l->env, NULL, is_write ? 0 : MDB_RDONLY, &tx.txn)) != 0)
		return tx_error(&tx, rc, "mdb_txn_begin");
	*out_tx = tx;
	return 0;
}

int
queue_lmdb_commit(struct queue_lmdb_tx *tx)
{
	int rc;

	assert(tx->txn != NULL);
	rc = mdb_txn_commit(tx->txn);
	tx->txn = NULL;
	return rc == 0 ? 0 : tx_error(tx, rc, "commit");
}

void
queue_lmdb_abort(struct queue_lmdb_tx *tx)
{
	if (tx->txn != NULL)
		mdb_txn_abort(tx->txn);
	tx->txn = NULL;
}

/* --- records --- */

int
queue_lmdb_get(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key, struct queue_blob *out_value)
{
	MDB_val k = to_val(key), v;
	int rc;

	assert(tx->txn != NULL && table < QUEUE_TABLE_COUNT);
	if ((rc = mdb_get(tx->txn, tx->lmdb->dbi[table], &k, &v)) != 0)
		return tx_error(tx, rc, "mdb_get");
	*out_value = to_blob(v);
	return 0;
}

int
queue_lmdb_put(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key, size_t len, void **out_room)
{
	MDB_val k = to_val(key), v = {.mv_size = len};
	int rc;

	assert(tx->txn != NULL && tx->is_write && table < QUEUE_TABLE_COUNT);
	if ((rc = mdb_put(tx->txn, tx->lmdb->dbi[table], &k, &v, MDB_RESERVE)) != 0)
		return tx_error(tx, rc, "mdb_put");
	*out_room = v.mv_data;
	return 0;
}

int
queue_lmdb_append(
	struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key, size_t len, void **out_room)
{
	MDB_val k = to_val(key), v = {.mv_size = len};
	int rc;

	assert(tx->txn != NULL && tx->is_write && table < QUEUE_TABLE_COUNT);
	rc = mdb_put(tx->txn, tx->lmdb->dbi[table], &k, &v, MDB_RESERVE | MDB_APPEND);
	/* A damaged key stands at the end of the table; LMDB has changed nothing yet. */
	if (rc == MDB_KEYEXIST)
		rc = mdb_put(tx->txn, tx->lmdb->dbi[table], &k, &v, MDB_RESERVE | MDB_NOOVERWRITE);
	if (rc != 0)
		return tx_error(tx, rc, "mdb_put");
	*out_room = v.mv_data;
	return 0;
}

int
queue_lmdb_delete(struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob key)
{
	MDB_val k = to_val(key);
	int rc;

	assert(tx->txn != NULL && tx->is_write && table < QUEUE_TABLE_COUNT);
	rc = mdb_del(tx->txn, tx->lmdb->dbi[table], &k, NULL);
	return rc == 0 ? 0 : tx_error(tx, rc, "mdb_del");
}

int
queue_lmdb_stat(struct queue_lmdb_tx *tx, enum queue_table table, uint64_t *out_records, uint64_t *out_bytes)
{
	MDB_stat st;
	int rc;

	assert(tx->txn != NULL && table < QUEUE_TABLE_COUNT);
	if ((rc = mdb_stat(tx->txn, tx->lmdb->dbi[table], &st)) != 0)
		return tx_error(tx, rc, "mdb_stat");
	*out_records = st.ms_entries;
	*out_bytes = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * (uint64_t)st.ms_psize;
	return 0;
}

int
queue_lmdb_last(struct queue_lmdb_tx *tx, enum queue_table table, struct queue_blob *out_key)
{
	MDB_cursor *mc;
	MDB_val k, v;
	int rc;

	assert(tx->txn != NULL && table < QUEUE_TABLE_COUNT);
	if ((rc = mdb_cursor_open(tx->txn, tx->lmdb->dbi[table], &mc)) != 0)
		return tx_error(tx, rc, "mdb_cursor_open");
	rc = mdb_cursor_get(mc, &k, &v, MDB_LAST);
	mdb_cursor_close(mc);
	if (rc != 0)
		return tx_error(tx, rc, "mdb_cursor_get");
	*out_key = to_blob(k);
	return 0;
}

/* --- cursors --- */

int
queue_lmdb_cursor_open(struct queue_lmdb_tx *tx, enum queue_table table, struct queue_lmdb_cursor *out_cursor)
{
	MDB_cursor *mc;
	int rc;

	assert(tx->txn != NULL && table < QUEUE_TABLE_COUNT);
	if ((rc = mdb_cursor_open(tx->txn, tx->lmdb->dbi[table], &mc)) != 0)
		return tx_error(tx, rc, "mdb_cursor_open");
	*out_cursor = (struct queue_lmdb_cursor){.tx = tx, .mc = mc};
	return 0;
}

void
queue_lmdb_cursor_close(struct queue_lmdb_cursor *c)
{
	if (c->mc != NULL)
		mdb_cursor_close(c->mc);
	c->mc = NULL;
}

static int
cursor_move(struct queue_lmdb_cursor *c, MDB_val k, MDB_cursor_op op, struct queue_blob *out_key,
	struct queue_blob *out_value)
{
	MDB_val v;
	int rc;

	assert(c->mc != NULL && c->tx->txn != NULL);
	if ((rc = mdb_cursor_get(c->mc, &k, &v, op)) != 0)
		return tx_error(c->tx, rc, "mdb_cursor_get");
	*out_key = to_blob(k);
	*out_value = to_blob(v);
	return 0;
}

int
queue_lmdb_seek(struct queue_lmdb_cursor *c, struct queue_blob key, struct queue_blob *out_key,
	struct queue_blob *out_value)
{
	return cursor_move(c, to_val(key), MDB_SET_RANGE, out_key, out_value);
}

int
queue_lmdb_next(struct queue_lmdb_cursor *c, struct queue_blob *out_key, struct queue_blob *out_value)
{
	return cursor_move(c, (MDB_val){0}, MDB_NEXT, out_key, out_value);
}

int
queue_lmdb_cursor_delete(struct queue_lmdb_cursor *c)
{
	int rc;

	assert(c->mc != NULL && c->tx->is_write);
	rc = mdb_cursor_del(c->mc, 0);
	return rc == 0 ? 0 : tx_error(c->tx, rc, "mdb_cursor_del");
}
