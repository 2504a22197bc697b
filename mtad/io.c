/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only composition: both directions share the loop so that a core's work is protocol and crypto and not
 * hand-over.
 */
#include "io.h"

#include <stdio.h>
#include <stdlib.h>

struct io {
	struct io_conf conf;
	struct worker *worker;
	struct intake *intake;
	struct deliver *deliver;
	_Atomic uint32_t intake_view, deliver_view;
	char name[16];
};

static void
on_letter(void *arg, struct letter *l)
{
	struct io *io = arg;

	switch ((enum letter_kind)l->kind) {
	case LETTER_ACCEPTED:
	case LETTER_RETURNED_DONE:
	case LETTER_PASSWORD:
	case LETTER_FEEDBACK_DONE:
		intake_on_letter(io->intake, l);
		return;
	case LETTER_CALL:
		((struct call *)l)->run((struct call *)l);
		return;
	default:
		deliver_on_letter(io->deliver, l);
		return;
	}
}

static void
on_batch(void *arg)
{
	struct io *io = arg;

	atomic_store_explicit(&io->intake_view, intake_count(io->intake), memory_order_relaxed);
	atomic_store_explicit(&io->deliver_view, deliver_count(io->deliver), memory_order_relaxed);
}

struct io *
io_create(const struct io_conf *conf)
{
	struct worker_conf wc = {.clock = conf->clock, .on_letter = on_letter, .on_batch = on_batch};
	struct io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	io->conf = *conf;
	snprintf(io->name, sizeof(io->name), "io%u", conf->number % 1000);
	wc.name = io->name;
	wc.arg = io;
	if ((io->worker = worker_create(&wc)) == NULL)
		io_destroy(&io);
	return io;
}

bool
io_connect(struct io *io, const struct io_peers *peers)
{
	const struct intake_conf ic = {io->worker, io->conf.clock, io->conf.log, io->conf.memory,
		io->conf.limits, peers->spool, peers->signs, peers->sign_count, io->conf.quotas,
		io->conf.store, io->conf.suppress, peers->reader};
	const struct deliver_conf dc = {io->worker, peers->queue, io->conf.clock, io->conf.log,
		io->conf.memory, io->conf.store, io->conf.suppress};

	io->intake = intake_create(&ic);
	io->deliver = deliver_create(&dc);
	return io->intake != NULL && io->deliver != NULL;
}

struct worker *
io_worker(struct io *io)
{
	return io->worker;
}

bool
io_reconfigure(struct io *io, const struct intake_change *change, char *why, size_t why_max)
{
	return intake_reconfigure(io->intake, change, why, why_max) &&
	       deliver_reconfigure(io->deliver, change->conf, why, why_max);
}

void
io_stop(struct io *io, bool cut)
{
	intake_stop(io->intake, cut);
	deliver_stop(io->deliver, cut);
}

uint32_t
io_count(const struct io *io)
{
	return intake_count(io->intake) + deliver_count(io->deliver);
}

void
io_stats(struct io *io, struct io_stats *out)
{
	out->intake = atomic_load_explicit(&io->intake_view, memory_order_relaxed);
	out->deliver = atomic_load_explicit(&io->deliver_view, memory_order_relaxed);
}

void
io_destroy(struct io **iop)
{
	struct io *io = *iop;

	*iop = NULL;
	if (io == NULL)
		return;
	if (io->intake != NULL)
		intake_destroy(&io->intake);
	if (io->deliver != NULL)
		deliver_destroy(&io->deliver);
	worker_destroy(&io->worker);
	free(io);
}
