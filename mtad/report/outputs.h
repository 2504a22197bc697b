/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_OUTPUTS_H
#define MTAD_REPORT_OUTPUTS_H
/*
 * outputs - all accounting files: opened, written, made safe and rotated together
 *
 * They are those of the first configuration, other files need a restart (conf.def); which events go into each
 * is that of the present one. On a failure of one, all are to be closed and opened at their marks again.
 *
 * Owner    report. Memory: see file.h, for each. Thread: the report thread.
 * Fails    false, with words in outputs_trouble().
 */
#include "base/log.h"
#include "conf/conf.h"
#include "report/columns.h"
#include "report/file.h"
#include "report/state.h"

/* An accounting file and what goes into it. */
struct output {
	const char *name, *path; /* name: as in struct state */
	struct file file;
	struct columns *columns;          /* NULL: JSON */
	bool is_block;                    /* of the configuration; else the simple form */
	const struct conf_records *which; /* of the present configuration; NULL: the block has gone */
};
struct outputs {
	const struct conf *paths; /* the first configuration */
	struct output items[STATE_FILES_MAX];
	size_t count;
};

/* None is open. False: no memory; outputs_fini is to be called all the same. */
bool outputs_init(struct outputs *o, const struct conf *conf);
void outputs_fini(struct outputs *o);
/* The present configuration, which is borrowed until the next call. */
void outputs_choose(struct outputs *o, const struct conf *conf);
/* Each at its mark, and cut back to it. */
bool outputs_open(struct outputs *o, struct state *marks, int64_t now_us);
bool outputs_are_open(const struct outputs *o);
void outputs_close(struct outputs *o);
/* "": none. */
const char *outputs_trouble(const struct outputs *o);

/* Into the buffers; line has room for FORMAT_LINE_MAX, *bytes grows by what was added. False: it may be
 * buffered for one file and not for the other, so what is buffered must not be written. */
bool outputs_add(struct outputs *o, const struct event *e, char *line, size_t *bytes);
bool outputs_write(struct outputs *o);
/* All marks move or none: a file with a new one would keep what is written again after another has failed.
 * Files that are there no more lose theirs. */
bool outputs_sync(struct outputs *o, struct state *marks);

/* The next two only between syncs: nothing is buffered, so no record is split and none is lost. */
enum outputs_begun { OUTPUTS_NONE_BEGUN, OUTPUTS_BEGUN, OUTPUTS_FAILED };
struct outputs_rotation {
	int64_t now_us;
	uint64_t bytes; /* files of at least so many; 0: none */
	int64_t age_us; /* those begun so long ago; 0: none */
	bool is_forced; /* all of them; but never one without a record */
};
enum outputs_begun outputs_rotate(struct outputs *o, const struct outputs_rotation *when, struct log *log);
/* Somebody moved a file away (logrotate without a signal): a new one is begun at its path. */
enum outputs_begun outputs_check_places(struct outputs *o, int64_t now_us);
#endif
