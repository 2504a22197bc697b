/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_SUPPRESS_CSV_H
#define MTAD_FEEDBACK_SUPPRESS_CSV_H
/*
 * suppress_csv - lists of addresses as files: CSV with the columns address, scope, reason, added, expires and
 * note, or one address a line
 *
 * A first line that names columns (address, or email, among them) says in which order they are; columns it
 * names otherwise are passed over. Times are 2026-11-30T12:00:00Z or 2026-11-30; expires may be "never". What
 * a line leaves out or empty is as in the defaults.
 *
 * Owner    the caller. Memory: none; texts of a line point into it and change it. Thread: any.
 * Spec     RFC 4180, but for line breaks in fields: a line is a record.
 */
#include "feedback/suppress.h"

#include <stdio.h>

enum { SUPPRESS_CSV_LINE_MAX = 4096, SUPPRESS_CSV_COLUMNS = 6, SUPPRESS_CSV_FIELDS = 32 };

struct suppress_csv {
	bool has_begun;
	int place[SUPPRESS_CSV_COLUMNS]; /* in a line; -1: not there */
};
struct suppress_record {
	const char *address, *scope, *note;
	enum suppress_reason reason;
	int64_t added_us, expires_us; /* 0: now; never */
};
enum suppress_line { SUPPRESS_LINE_ENTRY, SUPPRESS_LINE_NONE, SUPPRESS_LINE_BAD };

/* One line without its end; it ends with a NUL and may hold others. NONE: empty, a comment (#), or the names
 * of the columns. BAD: why goes to `why`. */
enum suppress_line suppress_csv_read(struct suppress_csv *csv, char *line, size_t len,
	const struct suppress_record *defaults, struct suppress_record *out, char why[100]);
/* The line that names the columns, and an entry. */
void suppress_csv_write_head(FILE *out);
void suppress_csv_write(FILE *out, const struct suppress_record *r);
#endif
