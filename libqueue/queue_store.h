/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_STORE_H
#define LIBQUEUE_QUEUE_STORE_H
/*
 * queue_store - the spool: messages, recipients, outbox and small state in one LMDB environment
 *
 * One thread writes (begin ... commit); any thread loads. What a commit covered is on disk when it returns 0
 * (two syncs). After QUEUE_EIO the store is *failed*: every call returns QUEUE_EIO until queue_store_reopen()
 * has re-opened and verified it (a failed fsync may not be repeated and trusted). INTERNALS.md lists the
 * on-disk states and the legal steps; each step is one transaction and is named by its number in the code.
 *
 * Owner    the spool thread (writes); loads are thread-safe.
 * Memory   loads return one malloc'ed block each; nothing of the map is handed out.
 * Fails    enum queue_err; foreign codes (errno, MDB_*) are translated here, their text kept for
 * queue_store_error_text().
 */
#include "queue_types.h"

struct queue_store;

/* When puts get QUEUE_ENOSPACE; settles go on. */
struct queue_store_limits {
	uint64_t spool_bytes_max;     /* our own limit on used pages; 0: none */
	uint64_t disk_free_min_bytes; /* of the disk; below */
	uint64_t disk_free_min_inodes;
};
struct queue_store_conf {
	const char *dir;    /* exists or is made, mode 0700 */
	uint64_t map_bytes; /* 0: 1 TiB */
	struct queue_store_limits limits;
	bool read_only;        /* for tools and tests */
	bool allow_network_fs; /* tests only */
	char *why;             /* when open fails: the reason in words goes here (may be NULL) */
	size_t why_max;
};

QUEUE_MUST_USE int queue_store_open(const struct queue_store_conf *conf, struct queue_store **out_store);
void queue_store_close(struct queue_store **sp);
/* Any thread; from the next transaction on. */
void queue_store_set_limits(struct queue_store *s, const struct queue_store_limits *limits);
/* After QUEUE_EIO: go back to the last state that was acknowledged, make sure of it on disk, open it again
 * and write one commit as a proof. The transaction that failed has not happened, even if it had reached the
 * disk. Writer thread, no transaction open; loads wait, and return QUEUE_EIO as long as it is failed.
 * QUEUE_EDAMAGED: the file is not the one that was written (replaced, truncated, an older copy). On any error
 * try again later. */
QUEUE_MUST_USE int queue_store_reopen(struct queue_store *s);
bool queue_store_is_failed(const struct queue_store *s);
/* The newest id ever given to a committed message; 0: none yet. Writer thread, or before it starts. */
queue_id queue_store_last_id(const struct queue_store *s);
/* The last foreign error in words ("fsync: Input/output error"); valid until the next failing call. Writer
 * thread. */
const char *queue_store_error_text(const struct queue_store *s);

/* A program that reads the spool (a copy) and was killed leaves a mark behind that keeps the pages of then
 * from being used again. Takes such marks away; how many there were, or an error. Writer thread, from time to
 * time. */
int queue_store_forget_dead(struct queue_store *s);

/* --- writing: the spool thread --- */

/*
 * A step that is refused (QUEUE_EINVAL, QUEUE_ENOTFOUND, a put's QUEUE_ENOSPACE) has changed nothing; go on.
 * Every other error spoils the transaction: further steps return it again, and so does commit. When commit
 * does not return 0, the transaction is over and nothing of it has happened, nor will it after a reopen:
 *   QUEUE_ENOSPACE  the map was full: begin again with settles only; the store is not failed
 *   QUEUE_ENOMEM    begin again later
 *   QUEUE_EIO       queue_store_reopen first
 */
QUEUE_MUST_USE int queue_store_begin(struct queue_store *s);
QUEUE_MUST_USE int queue_store_commit(struct queue_store *s);
/* Also after a failed begin, step or commit, and without any. */
void queue_store_abort(struct queue_store *s);

/* Step 1, accept. Sets m->id and m->rcpt_count, m->body_bytes; numbers n must ascend. Body pieces are
 * concatenated. QUEUE_ENOSPACE: see queue_store_space(). Notifications (QUEUE_MESSAGE_DSN) are part of how
 * old mail ends, so like settles they may use the space that is kept back from new mail. */
QUEUE_MUST_USE int queue_store_put(struct queue_store *s, struct queue_message *m,
	const struct queue_rcpt *rcpts, uint32_t rcpt_count, const struct queue_blob body[QUEUE_BODY_PIECES]);
/* Step 2, a recipient waits: its record is replaced, but for QUEUE_RCPT_HELD, which is queue_store_hold()'s.
 */
QUEUE_MUST_USE int queue_store_update(struct queue_store *s, queue_id id, const struct queue_rcpt *r);
/* Step 11, a recipient is held or released: nothing else of its record changes. QUEUE_EDAMAGED: refused, the
 * load that meets the record will tell. */
QUEUE_MUST_USE int queue_store_hold(struct queue_store *s, queue_id id, uint16_t n, bool hold);
/* Step 3, a recipient ended: its record goes, the counter of `end` grows. */
QUEUE_MUST_USE int queue_store_end(struct queue_store *s, queue_id id, uint16_t n, enum queue_end end);
/* Step 4, with the last recipient's end: message and body go. Same transaction as that end. QUEUE_EINVAL, and
 * nothing happens, while it has recipients left (two of its leases may be settled in any order). */
QUEUE_MUST_USE int queue_store_remove(struct queue_store *s, queue_id id);
/* Outbox: an event in the same transaction as the step it reports. Returns its number (from 1, growing) in
 * *out_seq. */
QUEUE_MUST_USE int queue_store_event(struct queue_store *s, struct queue_blob event, uint64_t *out_seq);
/* Events up to and including seq are in the reports, which have reached `state` (up to 4,096 bytes, opaque to
 * the store). Deletes up to 8,192 of them; what is left goes with the next calls. */
QUEUE_MUST_USE int queue_store_reported(struct queue_store *s, uint64_t seq, struct queue_blob state);
/* Small durable state under a short name (up to 200 bytes); an empty value deletes. */
QUEUE_MUST_USE int queue_store_note(struct queue_store *s, struct queue_blob name, struct queue_blob value);

/* --- reading: any thread, one short read transaction inside --- */

/* A message with its envelope and (with_body) bytes: one malloc'ed block, checksums verified. */
struct queue_loaded {
	struct queue_message message;
	struct queue_rcpt *rcpts; /* those still queued, in order of n */
	uint32_t rcpt_count;
	struct queue_blob body; /* empty without with_body */
	size_t block_bytes;     /* of memory it takes, all in all */
};
/* QUEUE_EDAMAGED: a checksum failed; the caller quarantines it through the spool thread
 * (queue_store_quarantine). */
QUEUE_MUST_USE int queue_store_load(
	struct queue_store *s, queue_id id, bool with_body, struct queue_loaded **out_loaded);
/* The same with these of its recipients alone; numbers ascend. QUEUE_EDAMAGED also if none of them is there.
 */
QUEUE_MUST_USE int queue_store_load_rcpts(struct queue_store *s, queue_id id, const uint16_t *numbers,
	uint32_t count, bool with_body, struct queue_loaded **out_loaded);
void queue_loaded_free(struct queue_loaded **lp);

/* Step 5: move message, recipients and body to the quarantine table (nothing is deleted). Counts as still
 * queued: no; audit lists quarantined recipients on a line of their own. Writer thread, inside a transaction.
 */
QUEUE_MUST_USE int queue_store_quarantine(struct queue_store *s, queue_id id, uint32_t *out_rcpts);

/*
 * Start-up index and listings: calls `visit` for each message with id > after, ascending, at most `limit`,
 * without bodies; blobs are valid during the call only. A message whose records are damaged is reported with
 * rcpts NULL. visit returns false to stop. *out_last: the last id visited. Returns how many were visited, or
 * an error. The read transaction lives for one call: use limits of about 1,000.
 */
typedef bool queue_store_visit(
	void *arg, const struct queue_message *m, const struct queue_rcpt *rcpts, uint32_t rcpt_count);
QUEUE_MUST_USE int queue_store_scan(struct queue_store *s, queue_id after, uint32_t limit,
	queue_store_visit *visit, void *arg, queue_id *out_last);

/* Outbox replay at start: events with number > after, ascending, at most `limit`; a damaged one has ptr NULL.
 * Returns how many were visited. queue_store_reported() moves damaged ones to the quarantine table. */
typedef bool queue_store_visit_event(void *arg, uint64_t seq, struct queue_blob event);
QUEUE_MUST_USE int queue_store_scan_events(
	struct queue_store *s, uint64_t after, uint32_t limit, queue_store_visit_event *visit, void *arg);
/* The state last given to queue_store_reported() and its seq. Copies at most buf_max bytes, returns the
 * length. */
QUEUE_MUST_USE int queue_store_report_state(
	struct queue_store *s, uint64_t *out_seq, void *buf, size_t buf_max);
QUEUE_MUST_USE int queue_store_note_get(
	struct queue_store *s, struct queue_blob name, void *buf, size_t buf_max);
typedef bool queue_store_visit_note(void *arg, struct queue_blob name, struct queue_blob value);
QUEUE_MUST_USE int queue_store_scan_notes(
	struct queue_store *s, struct queue_blob prefix, queue_store_visit_note *visit, void *arg);

/* The books: totals since the spool was made, kept in the same transactions as the steps. */
struct queue_totals {
	uint64_t accepted; /* recipients */
	uint64_t ended[QUEUE_END_COUNT];
	uint64_t quarantined;
	uint64_t messages_accepted;
	uint64_t messages_queued;
	uint64_t events_pending; /* in the outbox, not yet reported */
};
/* By counters (cheap). */
QUEUE_MUST_USE int queue_store_totals(struct queue_store *s, struct queue_totals *out);
/* Totals and the number of recipient records the database holds, of one moment: accepted = sum of ended +
 * quarantined
 * + *out_rcpts, at any time and under load. Cheap. */
QUEUE_MUST_USE int queue_store_audit(struct queue_store *s, struct queue_totals *out, uint64_t *out_rcpts);
/* By counting every recipient record on disk (slow, in portions inside): for audit. */
QUEUE_MUST_USE int queue_store_count_rcpts(struct queue_store *s, uint64_t *out_rcpts);

/* Any thread. Ask from time to time while puts are refused: the limits lift by themselves. */
struct queue_space {
	uint64_t used_bytes, file_bytes, disk_free_bytes, disk_free_inodes;
	bool is_full;    /* puts are refused at present */
	const char *why; /* static words naming the limit, or NULL */
};
int queue_store_space(struct queue_store *s, struct queue_space *out);
#endif
