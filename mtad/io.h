/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_IO_H
#define MTAD_IO_H
/*
 * io - one io thread: its intake and its deliveries on one loop
 *
 * Owner    main. Thread: its own; letters for either side are told apart by kind (queue/letters.h).
 */
#include "deliver/deliver.h"
#include "intake/intake.h"

struct io;

struct io_conf {
	const struct clock *clock;
	struct log *log;
	struct memory *memory;
	struct limits *limits;
	struct queue_store *store;
	struct quotas *quotas;
	struct suppress *suppress;
	unsigned number;
};
struct io *io_create(const struct io_conf *conf);
/* Before the workers start. */
struct io_peers {
	struct worker *queue;
	struct spool *spool;
	struct worker **signs;
	size_t sign_count;
	struct worker *reader;
};
bool io_connect(struct io *io, const struct io_peers *peers);
struct worker *io_worker(struct io *io);
/* In the thread (or before it starts). */
bool io_reconfigure(struct io *io, const struct intake_change *change, char *why, size_t why_max);
void io_stop(struct io *io, bool cut);
/* Sessions left, both directions. In the thread. */
uint32_t io_count(const struct io *io);
struct io_stats {
	uint32_t intake, deliver;
};
void io_stats(struct io *io, struct io_stats *out); /* any thread, a moment old */
void io_destroy(struct io **iop);
#endif
