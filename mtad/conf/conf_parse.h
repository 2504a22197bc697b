/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_PARSE_H
#define MTAD_CONF_CONF_PARSE_H
/*
 * conf_parse - files into blocks and settings with their places, nothing understood yet
 *
 * Owner    conf_load, for one run.
 * Memory   all in the arena handed in.
 * Thread   one at a time in the process: libconfuse keeps its scanner in globals.
 * Fails    by reporting; what could be read is there all the same, so that the checks behind can say more.
 */
#include "conf/conf_arena.h"
#include "conf/conf_report.h"
#include "conf/conf_table.h"

struct conf_raw_setting {
	struct conf_raw_setting *next;
	size_t row; /* of the block's kind */
	struct conf_place at;
	const char *const *items;
	size_t count;
};
struct conf_raw_block {
	struct conf_raw_block *next;
	const char *title;
	struct conf_place at;
	struct conf_raw_setting *settings, **tail;
};
struct conf_raw {
	struct conf_raw_block *blocks[CONF_KIND_COUNT],
		**tails[CONF_KIND_COUNT]; /* TOP: one for each piece of a file */
	size_t counts[CONF_KIND_COUNT];
	struct conf_arena *arena;
	struct conf_report *report;
};

/* Reads the file and what it includes, each once. */
void conf_parse_file(struct conf_raw *raw, struct conf_arena *arena, const char *file, struct conf_report *r);
/* The same for bytes in memory, which `name` stands for; it may include files. */
void conf_parse_bytes(struct conf_raw *raw, struct conf_arena *arena, const char *name, const char *bytes,
	size_t len, struct conf_report *r);
/* A setting of the block; NULL: it is not given. */
const struct conf_raw_setting *conf_raw_find(
	const struct conf_raw_block *b, const struct conf_block_kind *k, const char *name);
/* Where a setting of the block stands; the block's place when it is not given. */
struct conf_place conf_raw_place(
	const struct conf_raw_block *b, const struct conf_block_kind *k, const char *name);
#endif
