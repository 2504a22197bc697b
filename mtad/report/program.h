/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_PROGRAM_H
#define MTAD_REPORT_PROGRAM_H
/*
 * program - one run of a command with a batch of events on its standard input
 *
 * A run for each batch, instead of a program that stays: when it exits with 0 it has taken all of the batch,
 * and that is the only thing that would be a promise. Exit status 65 (EX_DATAERR) refuses the batch, every
 * other end means "later". What it prints goes where the daemon's standard error goes.
 *
 * Owner    the outlets thread. Thread: its own. Fails: NULL with errno, or as an answer.
 */
#include "report/outlets.h"

struct event_base;
struct program;

/* `input` is borrowed for the call. on_answer comes from the loop, and the program is gone then. */
struct program *program_start(struct event_base *base, const struct conf_pipe *p, struct queue_blob input,
	outlet_on_answer *on_answer, void *arg);
/* Kills it, with all it has started that stayed in its process group. */
void program_cancel(struct program **pp);
#endif
