/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DELIVER_DELIVER_H
#define MTAD_DELIVER_DELIVER_H
/*
 * deliver - the sending side of one io thread: connections, TLS by policy, jobs in, verdicts out
 *
 * Owner    the io thread. Talks to the queue thread in letters only (outbound.h); every job it was given goes
 * back answered, whatever happens. Memory   for each session one object, the SMTP engine, the wire; the
 * bodies are the messages'. Thread   its io thread's.
 */
#include "base/log.h"
#include "base/memory.h"
#include "base/worker.h"
#include "deliver/outbound.h"
#include "queue_store.h"

struct deliver;
struct suppress;

struct deliver_conf {
	struct worker *io, *queue;
	const struct clock *clock;
	struct log *log;
	struct memory *memory;
	struct queue_store *store; /* bodies of mail that is not fresh */
	struct suppress *suppress; /* NULL: no list */
};
struct deliver *deliver_create(const struct deliver_conf *conf);
void deliver_destroy(struct deliver **dp); /* no session may be left */
/* OPEN, JOB, QUIT, RELEASE. */
void deliver_on_letter(struct deliver *d, struct letter *take_letter);
/* The daemon stops: idle sessions quit, others after their present mail; `cut` ends them at once. */
void deliver_stop(struct deliver *d, bool cut);
uint32_t deliver_count(const struct deliver *d);
/* Certificates for verify; called in the thread when the configuration changes. False and words: the old ones
 * stay. */
bool deliver_reconfigure(struct deliver *d, const struct conf *conf, char *why, size_t why_max);
#endif
