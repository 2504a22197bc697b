/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SUPPRESS_H
#define LIBQUEUE_QUEUE_SUPPRESS_H
/*
 * queue_suppress - lists of addresses in the spool: whom nothing is sent to, and who is near to that
 *
 * To the store a list is keys and values in order of the keys, each with a time at which it is over. What a
 * key says (scope, address, hash) and what a value says (reason, note) is the caller's business. The store
 * does not look at the time: who reads does, and who writes takes away what is over, in portions.
 *
 * Owner    writing: the spool thread, inside a transaction of queue_store. Reading: any thread, one short
 * read transaction inside each call; its blobs are valid during the visit only. Memory   none. Fails    as
 * queue_store.h says. A damaged entry is shown without value (ptr NULL) and may be written over.
 */
#include "queue_store.h"

enum queue_suppress_list {
	QUEUE_SUPPRESS_LIST,
	QUEUE_SUPPRESS_STRIKES, /* soft bounces of addresses that are not suppressed (yet) */
	QUEUE_SUPPRESS_LISTS,
};
enum { QUEUE_SUPPRESS_KEY_MAX = 511 /* of LMDB */, QUEUE_SUPPRESS_VALUE_MAX = 400 };

struct queue_suppress_entry {
	int64_t expires_us;      /* 0: never */
	struct queue_blob value; /* ptr NULL: damaged */
};

/* Step 15, an entry is put or replaced. QUEUE_EINVAL: key or value is empty or too long. `is_new` entries are
 * refused with QUEUE_ENOSPACE as new mail is; others belong to how old mail ends. */
QUEUE_MUST_USE int queue_suppress_put(struct queue_store *s, enum queue_suppress_list list,
	struct queue_blob key, const struct queue_suppress_entry *e, bool is_new);
/* Step 15, it goes. QUEUE_ENOTFOUND: it was not there. */
QUEUE_MUST_USE int queue_suppress_delete(
	struct queue_store *s, enum queue_suppress_list list, struct queue_blob key);
/* Inside the transaction: the entry as it is by now; its value is valid until the next step. QUEUE_EDAMAGED
 * (or QUEUE_EVERSION): it is there, but cannot be read. */
QUEUE_MUST_USE int queue_suppress_get(struct queue_store *s, enum queue_suppress_list list,
	struct queue_blob key, struct queue_suppress_entry *out);

/* Entries whose key begins with prefixes[i], for each i in turn. Returns how many were visited, or an error.
 */
typedef bool queue_suppress_found(
	void *arg, uint32_t i, struct queue_blob key, const struct queue_suppress_entry *e);
QUEUE_MUST_USE int queue_suppress_find(struct queue_store *s, enum queue_suppress_list list,
	const struct queue_blob *prefixes, uint32_t count, queue_suppress_found *found, void *arg);
/* At most `limit` entries with a key > after (empty: all), ascending; visit returns false to stop. Returns
 * how many were visited, or an error. Use limits of about 1,000. */
typedef bool queue_suppress_visit(void *arg, struct queue_blob key, const struct queue_suppress_entry *e);
QUEUE_MUST_USE int queue_suppress_scan(struct queue_store *s, enum queue_suppress_list list,
	struct queue_blob after, uint32_t limit, queue_suppress_visit *visit, void *arg);
/* Entries of the last commit, those that are over included: one atomic load. */
uint64_t queue_suppress_count(const struct queue_store *s, enum queue_suppress_list list);
#endif
