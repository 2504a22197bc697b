/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_STATE_H
#define MTAD_REPORT_STATE_H
/*
 * state - how far each consumer of the outbox has come: the record that queue_store_reported() keeps
 *
 * The accounting files come on together (files_seq; each file has its mark), every outlet by itself. What all
 * of them have is cut from the outbox, in the transaction that stores this.
 *
 * Owner    the report thread. Memory: fixed. Fails: decode returns false, and the record is of no use.
 */
#include "conf/conf_consumer.h"
#include "queue_types.h"
#include "report/file.h"

enum {
	STATE_FILES_MAX = CONF_CONSUMERS_MAX + 2, /* accounting-file and accounting-json */
	STATE_BYTES_MAX = 4096,
};

struct state_file {
	char name[CONF_CONSUMER_NAME_MAX +
		  1]; /* of its block; "" is accounting-file, "/json" accounting-json */
	struct file_mark mark;
};
struct state_outlet {
	char name[CONF_CONSUMER_NAME_MAX + 1];
	uint64_t seq; /* it has all events up to this one */
};
struct state {
	uint64_t spool_id; /* tells events of this spool from those of one made later; never 0 */
	uint64_t files_seq;
	size_t file_count, outlet_count;
	struct state_file files[STATE_FILES_MAX];
	struct state_outlet outlets[CONF_CONSUMERS_MAX];
};

/* Bytes written. */
size_t state_encode(const struct state *st, char buf[STATE_BYTES_MAX]);
/* `reported` is the number stored with it: what version 1, which knew two files alone, had come to. */
bool state_decode(struct queue_blob bytes, uint64_t reported, struct state *out);
/* NULL: none. */
struct state_file *state_file_find(struct state *st, const char *name);
struct state_outlet *state_outlet_find(struct state *st, const char *name);
/* What every consumer has. */
uint64_t state_cut(const struct state *st);
#endif
