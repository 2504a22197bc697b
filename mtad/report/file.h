/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_FILE_H
#define MTAD_REPORT_FILE_H
/*
 * file - an append-only report file that knows how far it is safely written, and rotates by rename
 *
 * `mark` (inode and offset of the last fsync) goes into the spool with the events it covers. After a crash
 * file_open cuts what stands behind the mark, in the file of that inode even when it was renamed meanwhile.
 *
 * Owner    the report thread. Fails: false and words in `why`; the buffer is then lost (its events are in the
 * outbox).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_mark {
	uint64_t inode; /* 0: none */
	uint64_t offset;
};

struct file {
	const char *path, *head; /* borrowed; head "" or a first line with its line end */
	int fd;                  /* -1: not open */
	char *buffer;            /* not yet written */
	size_t len, max;
	uint64_t written; /* bytes in the file */
	uint64_t inode;
	int64_t opened_us; /* wall clock, of the file's first line as far as we know */
	char why[200];
};

/* With a mark of nothing the file is continued at its end. */
bool file_open(
	struct file *f, const char *path, const char *head, const struct file_mark *mark, int64_t now_us);
/* Buffers. False: no memory. */
bool file_add(struct file *f, const char *line, size_t len);
/* Writes the buffer. */
bool file_write(struct file *f);
/* fsync; on success the mark up to which everything is safe. */
bool file_sync(struct file *f, struct file_mark *out_mark);
/* Nothing may be buffered or unsynced. Renames to path.YYYYMMDD-HHMMSS(-n) and begins a new file. */
bool file_rotate(struct file *f, int64_t now_us, char *new_name, size_t new_name_max);
/* False when somebody moved or removed the file: then close and open again. */
bool file_is_in_place(const struct file *f);
void file_close(struct file *f);
#endif
