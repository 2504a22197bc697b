/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_INDEX_H
#define MTAD_REPORT_INDEX_H
/*
 * index - where in an accounting file the records of an address, a message or a Message-ID are: FILE.idx
 *
 * Made when it is first asked for, one for each file that is large enough to be worth it. It holds hashes of
 * 64 bits, so what is found is to be compared. Of a file that grows it covers the beginning, and is continued
 * when much has come behind that. It is only help: where it cannot be written or read, *all* is to be read.
 *
 * Owner    the caller. Memory: what is found; 16 MB while one is made. Thread: the caller's.
 * Fails    never; see *all* above.
 */
#include "report/records.h"

enum index_key_kind {
	INDEX_RCPT = 'a',       /* an address, in whatever case */
	INDEX_MESSAGE = 'q',    /* a queue id */
	INDEX_MESSAGE_ID = 'm', /* with or without <> */
};
uint64_t index_key(enum index_key_kind kind, const char *text, size_t len);

struct index_found {
	uint64_t *offsets; /* of lines, growing: those with one of the keys, and head lines */
	size_t count;
	uint64_t covered; /* from here on the file is to be read itself */
	/* What `r` needs to get there fast in a compressed file. */
	struct unpack_place *places;
	void *map;
	size_t map_len;
};
/* `r` is open on `path`, and stands anywhere afterwards. *out lives until records_open is called again. */
void index_find(
	struct records *r, const char *path, const uint64_t *keys, size_t key_count, struct index_found *out);
void index_found_free(struct index_found *f);

/* Removes what is left of indexes of files that were rotated away from `path` and are gone or compressed. */
void index_tidy(const char *path);
#endif
