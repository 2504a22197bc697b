/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_INTAKE_H
#define MTAD_INTAKE_INTAKE_H
/*
 * intake - the receiving side of one io thread: who may send, what is refused, and the wait for the disk
 *
 * Owner    the io thread. A message accepted goes to the spool as a letter; the session lives until that
 * comes back, also when its client has left. Thread   its io thread's.
 */
#include "base/log.h"
#include "base/memory.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "intake/limits.h"
#include "intake/listener.h"
#include "queue/letters.h"

struct intake;
struct quotas;
struct spool;
struct suppress;

struct intake_conf {
	struct worker *io;
	const struct clock *clock;
	struct log *log;
	struct memory *memory;
	struct limits *limits;
	struct spool *spool;   /* its letters, and whether it is full */
	struct worker **signs; /* borrowed */
	size_t sign_count;
	struct quotas *quotas;
	struct queue_store *store; /* whose tokens unsubscribe */
	struct suppress *suppress; /* NULL: no list */
	struct worker *reader;     /* of mail that came back */
};
/* What a configuration brings: replaced as a whole, counted by the sessions that use it. */
struct intake_settings;
struct intake *intake_create(const struct intake_conf *conf);
/* What a configuration brings to an io thread. */
struct intake_change {
	const struct conf *conf;
	bool has_keys;
	const struct listener_set *sockets; /* of this thread; borrowed for the call */
};
/* In the thread (or before it starts): from now on these sockets are accepted from, others are closed, and
 * new sessions use this configuration. False and words: all stays as it was (certificates). */
bool intake_reconfigure(struct intake *in, const struct intake_change *change, char *why, size_t why_max);
/* ACCEPTED, RETURNED_DONE, PASSWORD (the answer), FEEDBACK_DONE. */
void intake_on_letter(struct intake *in, struct letter *take_letter);
/* Stop accepting; idle sessions get 421, others after their message; `cut` ends them at once. */
void intake_stop(struct intake *in, bool cut);
uint32_t intake_count(const struct intake *in);
/* When no thread runs any more. Sessions that are left end without a word. */
void intake_destroy(struct intake **inp);
#endif
