/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DELIVER_TRANSFER_H
#define MTAD_DELIVER_TRANSFER_H
/*
 * transfer - one job as one SMTP transaction: the mail handed to the engine, and its results as verdicts
 *
 * Owner    the session; embedded, at most two at a time.
 * Thread   its io thread's.
 */
#include "base/memory.h"
#include "deliver/verdict.h"
#include "queue/job.h"
#include "queue_store.h"
#include "smtp_client.h"

struct suppress;

struct transfer {
	struct job *job; /* NULL: free */
	struct smtp_client_mail mail;
	struct smtp_client_rcpt *rcpts;
	char return_path[SMTP_ADDRESS_MAX + 1]; /* of the mail, where it has one of its own */
	uint32_t *of_job;                       /* the place in the job of each; NULL: the same */
	uint32_t refused; /* recipients answered at RCPT so far: the site took the others before them */
};

/* Loads the message if the job has none and builds the mail for those of its recipients that are not on the
 * list (suppress may be NULL); these are answered. False: all of the job is answered (on the list, damaged,
 * no memory, the time of BY= ran out on the way here) and it is still the caller's; the transfer is free. */
bool transfer_begin(struct transfer *t, struct job *job, struct queue_store *store, struct suppress *suppress,
	struct memory *memory, int64_t now_us);
/* One RESULT of the engine. */
void transfer_result(struct transfer *t, const struct smtp_client_fact *fact);
/* Gives the answered job back and frees the rest. */
struct job *transfer_end(struct transfer *t);
#endif
