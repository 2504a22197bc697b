/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_MTACTL_FILES_H
#define MTAD_CONTROL_MTACTL_FILES_H
/*
 * mtactl_files - the accounting files a command reads: those it is given, or those that books.h chooses of
 * the configuration, each with all that were rotated away from it
 *
 * Owner    the caller. Fails: false, and that was said.
 */
#include "control/mtactl.h"
#include "report/books.h"

struct mtactl_file {
	char *path;
	unsigned take_set; /* as in struct book */
	bool has_choice;
};
struct mtactl_files {
	struct mtactl_file *items;
	size_t count;
	unsigned partial_set; /* as in struct books */
	struct books_ids *ids;
};

bool mtactl_files_open(const struct mtactl *m, char **words, int count, struct mtactl_files *out);
/* 1: the record is to be counted. 0: another file tells of it. -1: no memory. */
int mtactl_files_take(struct mtactl_files *l, const struct mtactl_file *f, const struct record *rec);
void mtactl_files_close(struct mtactl_files *l);
#endif
