/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_TABLE_H
#define MTAD_CONF_CONF_TABLE_H
/*
 * conf_table - conf.def as data: which blocks there are, which settings each has, and where the values go
 *
 * Owner    nobody: constant. Thread: any.
 */
#include "conf/conf.h"

enum conf_type {
	CONF_TYPE_BOOL,
	CONF_TYPE_COUNT,
	CONF_TYPE_BYTES,
	CONF_TYPE_DURATION,
	CONF_TYPE_RATE,
	CONF_TYPE_RATES,
	CONF_TYPE_BYTE_RATES,
	CONF_TYPE_TEXT,
	CONF_TYPE_PATH,
	CONF_TYPE_LIST,
	CONF_TYPE_DURATIONS,
	CONF_TYPE_CHOICE,
	CONF_TYPE_COUNTS,
	CONF_TYPE_PERCENT,
};
struct conf_row {
	const char *field; /* as in C; conf_row_name writes it as in the file */
	enum conf_type type;
	const char *fallback, *min, *max; /* min of a CHOICE: its words, joined by | */
	bool is_live;
	const char *doc;
	size_t offset; /* in the struct of its part */
};
/* CONF_KIND_TOP is the file outside of blocks. */
enum conf_kind {
	CONF_KIND_TOP,
	CONF_KIND_LISTEN,
	CONF_KIND_USER,
	CONF_KIND_STREAM,
	CONF_KIND_GUARD,
	CONF_KIND_SUPPRESSION,
	CONF_KIND_SOURCE,
	CONF_KIND_POOL,
	CONF_KIND_SENDER,
	CONF_KIND_WARMUP,
	CONF_KIND_DKIM,
	CONF_KIND_DOMAIN,
	CONF_KIND_PROVIDER,
	CONF_KIND_PROFILE,
	CONF_KIND_RULE,
	CONF_KIND_BOUNCE,
	CONF_KIND_REPORT_FORM,
	CONF_KIND_ROUTE,
	CONF_KIND_ACCOUNTING,
	CONF_KIND_WEBHOOK,
	CONF_KIND_PIPE,
	CONF_KIND_COUNT,
};
/* The settings of a kind of block: its own rows, then, for some, those of conf_delivery. */
struct conf_block_kind {
	const char *word;  /* "listen"; "" for the top level */
	const char *title; /* what stands behind it, for the manual */
	const char *doc;
	const struct conf_row *rows;
	size_t row_count;
	bool has_delivery;
	size_t delivery_offset; /* of its struct conf_delivery */
	size_t bytes;           /* of its struct */
	size_t items, count;    /* where struct conf keeps the array and its length; 0 for the top level */
	size_t name, at;        /* where its struct keeps them */
};
#define CONF_ROW_NAME_MAX 48
/* Settings of one kind, those of delivery among them; checked where the rows are. */
#define CONF_ROWS_MAX 64

/* Types that stand in braces when they have more than one word. */
bool conf_type_is_list(enum conf_type type);

extern const struct conf_block_kind conf_kinds[CONF_KIND_COUNT];
extern const struct conf_row conf_delivery_rows[];
extern const size_t conf_delivery_row_count;

/* The n-th setting of a kind, delivery rows after its own; NULL behind the last. */
const struct conf_row *conf_kind_row(const struct conf_block_kind *k, size_t n);
/* Where row n of this kind lives in the block's struct. */
void *conf_kind_field(const struct conf_block_kind *k, size_t n, void *block);
const char *conf_row_name(const struct conf_row *row, char buf[CONF_ROW_NAME_MAX]);
/* -1: none. */
int conf_kind_row_find(const struct conf_block_kind *k, const char *name);
#endif
