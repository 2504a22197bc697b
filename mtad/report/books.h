/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_BOOKS_H
#define MTAD_REPORT_BOOKS_H
/*
 * books - which of the accounting files of a configuration are read, so that they tell of all mail, and of
 * each event once
 *
 * A file with all mail is believed for the types of records it has: JSON before CSV, for it says more, then
 * CSV with the default columns, then who has most types, then those named first. What no such file has is
 * pieced together from files with a choice of mail; as choices overlap, those must have event ids (JSON, or
 * the column eventId), or be the only one with a type.
 *
 * Owner    the caller; paths are the configuration's. Thread: any. Fails: never.
 */
#include "conf/conf.h"
#include "report/record.h"

enum { BOOKS_MAX = CONF_CONSUMERS_MAX + 2 };

struct book {
	const char *path;
	unsigned take_set; /* records to be taken from it; bit n: enum record_type n */
	bool has_choice;   /* of mail; others may have the same event: by its id it is taken once */
};
struct books {
	struct book items[BOOKS_MAX];
	size_t count;         /* 0: there are no accounting files */
	unsigned partial_set; /* types of which only files with a choice tell */
};
void books_choose(const struct conf *c, struct books *out);

/* Event ids that were there already. Numbers are dense, so it is about a bit for each. */
struct books_ids;
struct books_ids *books_ids_create(void); /* NULL: no memory */
void books_ids_destroy(struct books_ids **ip);
/* 1: it is new; what is no id of ours is always. 0: it was there. -1: no memory. */
int books_ids_add(struct books_ids *ids, struct queue_blob id);
#endif
