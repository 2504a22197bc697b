/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_RECORDS_H
#define MTAD_REPORT_RECORDS_H
/*
 * records - the records of accounting files, one after the other; which files there are
 *
 * A file that ends in gzip's format is read like any other; offsets are those of its content. A last line
 * without its end is half written: it is no record yet.
 *
 * Owner    the caller. Memory: RECORDS_LINE_MAX and a buffer, whatever the size of a file.
 * Thread   the caller's. Fails: words in `why`; lines that are no records are counted.
 */
#include "report/record.h"
#include "report/unpack.h"

#include <sys/stat.h>

enum { RECORDS_LINE_MAX = 65536 }; /* longer ones are foreign */

struct records;

struct records_stats { /* of all files so far */
	uint64_t records;
	uint64_t foreign;    /* lines */
	uint64_t unfinished; /* files whose last line is not whole */
};

struct records *records_create(void);
void records_destroy(struct records **rp);
/* Ends the file before. On its first line. */
bool records_open(struct records *r, const char *path, char *why, size_t why_max);
/* 1: *out is the next record, valid until the next call. 0: no more. -1: the rest cannot be read. */
int records_next(struct records *r, struct record *out, char *why, size_t why_max);
/* The line that begins at this offset alone: 1 a record; 0 none, but what a head line says holds from now on.
 */
int records_at(struct records *r, uint64_t offset, struct record *out);
/* records_next goes on with the line there. Head lines before it that were not read are not known. */
bool records_seek(struct records *r, uint64_t offset);
/* Where the next line begins. */
uint64_t records_offset(const struct records *r);
/* Where the line of the last record began; where the last head line did (UINT64_MAX: none so far). */
uint64_t records_record_offset(const struct records *r);
uint64_t records_head_offset(const struct records *r);
/* As it was when it was opened. */
const struct stat *records_stat(const struct records *r);
bool records_is_compressed(const struct records *r);
/* Of the file that is open, see unpack.h; places are borrowed until the next records_open. */
void records_watch(struct records *r, unpack_on_place *on_place, void *arg);
void records_use(struct records *r, const struct unpack_place *places, size_t count);
void records_stats(const struct records *r, struct records_stats *out);

/* The file at `path` and those that were rotated away from it, by us or by logrotate, the oldest first:
 * path.20261130-120000, path-20261130, path.1, each with or without ".gz". */
struct records_list {
	char **paths;
	size_t count;
};
bool records_list(const char *path, struct records_list *out, char *why, size_t why_max);
void records_list_free(struct records_list *l);
#endif
