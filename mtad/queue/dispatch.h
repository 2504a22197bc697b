/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_DISPATCH_H
#define MTAD_QUEUE_DISPATCH_H
/*
 * dispatch - the queue thread: turns letters into facts for the schedule and its orders into letters
 *
 * Owns the schedule, the routes and the policies; nobody else touches them. Operators' requests run here too,
 * as calls (queue/letters.h), with the functions of queue/operate.h.
 *
 * Owner    main. Thread: its own.
 * Fails    a lease that cannot be handed out for lack of memory goes back unpenalised.
 */
#include "base/log.h"
#include "base/memory.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "queue/letters.h"
#include "queue_sched.h"
#include "queue_sched_admin.h"
#include "queue_store.h"

struct dispatch;
struct quotas;
struct route;
struct classifier;
struct rules;

struct dispatch_conf {
	const struct clock *clock;
	struct log *log;
	struct memory *memory;
	const struct conf *conf; /* a reference is taken */
	struct queue_store *store;
	struct quotas *quotas;
};
struct dispatch *dispatch_create(const struct dispatch_conf *conf);
/* Before the workers start. `ios` and `signs` are borrowed arrays that stay. */
struct dispatch_peers {
	struct worker **ios;
	size_t io_count;
	struct worker **signs;
	size_t sign_count;
	struct worker *spool;
};
void dispatch_connect(struct dispatch *d, const struct dispatch_peers *peers);
struct worker *dispatch_worker(struct dispatch *d);
/* After its worker was joined and no letter is under way. */
void dispatch_destroy(struct dispatch **dp);

/* --- in the queue thread --- */

bool dispatch_reconfigure(struct dispatch *d, const struct conf *conf);
/* No new sessions or leases from now on. */
void dispatch_stop(struct dispatch *d);
/* Nothing is leased, no session is open, and nothing waits for the spool; after dispatch_stop() the last
 * counts are on disk too. */
bool dispatch_is_idle(struct dispatch *d);
const struct rules *dispatch_rules(const struct dispatch *d);
struct classifier *dispatch_classifier(const struct dispatch *d);
struct queue_sched *dispatch_sched(struct dispatch *d);
struct route *dispatch_route(struct dispatch *d);
const struct conf *dispatch_current_conf(struct dispatch *d);
/* The name behind a source number of the schedule. */
const char *dispatch_source_name(const struct dispatch *d, uint32_t source);
/* Whether this machine can send from it, in times of the wall clock. */
struct source_view;
void dispatch_source_view(struct dispatch *d, uint32_t source, struct source_view *out);
/* True while the index is still being read from the spool. */
bool dispatch_is_recovering(const struct dispatch *d);
#endif
