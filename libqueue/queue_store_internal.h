/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_STORE_INTERNAL_H
#define LIBQUEUE_QUEUE_STORE_INTERNAL_H
/*
 * queue_store_internal - what the files of the store share; nobody else includes it
 *
 *   queue_store.c        open, lock, fail and re-open; begin, commit, abort
 *   queue_store_write.c  the steps of INTERNALS.md
 *   queue_store_read.c   loads, scans, totals
 *   queue_store_space.c  disk guard, reserve, network file systems
 *   queue_suppress.c     lists of addresses
 *   queue_format.c       a new spool, upgrades, the state record
 */
#include "queue_lmdb.h"
#include "queue_record.h"
#include "queue_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define QUEUE_STORE_DATA "data.mdb"

enum {
	/* Far below the 131,071 dirty pages at which LMDB 0.9 spills (and leaks, ITS#9155). */
	QUEUE_STORE_TX_BYTES_MAX = 256 << 20,
	/* Events deleted by one queue_store_reported(): the same limit again, at up to 2 pages an event. */
	QUEUE_STORE_EVENTS_DELETE = 8192,
	QUEUE_STORE_REPORT_MAX = 4096,
	/* Blocks the file owns beyond its end before a put is taken: a full disk cannot keep settles from
	   being recorded. */
	QUEUE_STORE_RESERVE_BYTES = 8 << 20,
	QUEUE_STORE_LISTS = 2, /* enum queue_suppress_list */
};

struct queue_store {
	struct queue_store_conf conf; /* dir is a copy */
	struct {
		_Atomic uint64_t spool_bytes_max, disk_free_min_bytes, disk_free_min_inodes;
	} limits; /* conf.limits, as any thread may set them */
	int lock_fd;
	/*
	 * Rule zero (style, 9): a lock, because loads run in the io threads and must not find the environment
	 * closed under them by the one call that does that, queue_store_reopen. Loads share it, so in normal
	 * life nobody waits.
	 */
	pthread_rwlock_t env_lock;
	struct queue_lmdb *lmdb; /* NULL: a re-open failed */
	_Atomic bool is_failed;
	_Atomic uint64_t list_counts[QUEUE_STORE_LISTS]; /* of the last commit */

	/* The writer's. */
	struct queue_lmdb_tx tx;
	int tx_err; /* the first error that spoiled it */
	bool tx_is_dirty;
	bool tx_has_lists; /* has changed them */
	uint64_t tx_put_bytes;
	struct queue_state state; /* within the transaction */
	struct queue_state acked; /* of the last commit: what must be on disk */
	struct queue_space space; /* at begin */
	uint64_t file_bytes;      /* after the last commit: it never shrinks */
	uint64_t reserved_to;     /* the file has blocks up to here */
	bool can_reserve;
	_Atomic bool cannot_grow; /* the disk refused more blocks; any thread asks */
	char *metas;              /* both meta pages after the last commit */
	size_t metas_len;         /* 0: not known */
	ino_t data_ino;
	struct queue_words error;
};

/* The beginning of every step: 0, or the error that has spoiled the transaction. */
QUEUE_MUST_USE int queue_store_enter(const struct queue_store *s);
/* The end of every database call in a step: remembers what spoils the transaction and, QUEUE_EIO, the store.
 * Returns err. */
int queue_store_note_error(struct queue_store *s, int err);

/* A load: takes the lock and a read transaction; both are released by queue_store_read_end. */
QUEUE_MUST_USE int queue_store_read_begin(struct queue_store *s, struct queue_lmdb_tx *out_tx);
void queue_store_read_end(struct queue_store *s, struct queue_lmdb_tx *tx);

/* --- queue_store_space.c --- */
bool queue_space_is_network(uint32_t fs_type); /* statfs f_type */
QUEUE_MUST_USE int queue_space_check_fs(const char *dir, struct queue_words *words);
QUEUE_MUST_USE int queue_space_measure(
	struct queue_store *s, struct queue_lmdb_tx *tx, struct queue_space *out);
/* Room for `need` more bytes of mail in this transaction? NULL, or words that say why not. `is_new`: not a
 * notification about old mail. */
const char *queue_space_refuse(struct queue_store *s, uint64_t need, bool is_new);
/* After a failed commit: a full disk shows as an i/o error; puts that into words. */
void queue_space_explain(struct queue_store *s);

/* --- queue_suppress.c --- */
QUEUE_MUST_USE int queue_store_count_lists(struct queue_lmdb_tx *tx, uint64_t out[QUEUE_STORE_LISTS]);
void queue_store_publish_lists(struct queue_store *s, const uint64_t counts[QUEUE_STORE_LISTS]);

/* --- queue_format.c --- */
/* In a write transaction of an empty environment. */
QUEUE_MUST_USE int queue_format_make(struct queue_lmdb_tx *tx);
/* Opens the tables. Older formats are upgraded (in a write transaction), newer ones refused. */
QUEUE_MUST_USE int queue_format_open(struct queue_lmdb_tx *tx, struct queue_words *words);
QUEUE_MUST_USE int queue_format_read_state(struct queue_lmdb_tx *tx, struct queue_state *out);
/* The same at start: numbers to be given next are above all that are in use. */
QUEUE_MUST_USE int queue_format_open_state(struct queue_lmdb_tx *tx, struct queue_state *out);
QUEUE_MUST_USE int queue_format_write_state(struct queue_lmdb_tx *tx, const struct queue_state *st);
#endif
