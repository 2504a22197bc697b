/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_DISPATCH_H
#define MTAD_QUEUE_DISPATCH_H
/*
 * dispatch - the queue thread: turns letters into facts for the schedule and its orders into letters
 *
 * Owns the schedule, the routes and the policies; nobody else touches them. Operators' requests run here too,
 * as calls (queue/letters.h), with the functions at the end.
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
struct route;

struct dispatch_conf {
	const struct clock *clock;
	struct log *log;
	struct memory *memory;
	const struct conf *conf; /* a reference is taken */
	struct queue_store *store;
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
/* No new sessions or leases from now on; `done` is set when nothing is leased and nothing waits for the
 * spool. */
void dispatch_stop(struct dispatch *d);
bool dispatch_is_idle(const struct dispatch *d);
struct queue_sched *dispatch_sched(struct dispatch *d);
struct route *dispatch_route(struct dispatch *d);
const struct conf *dispatch_current_conf(struct dispatch *d);
/* Recipients matching the filter are bounced (FAILED, with a bounce mail) or dropped, at most `limit`; how
 * many were, and how many are under way and follow when they come back. */
uint64_t dispatch_remove(struct dispatch *d, const struct queue_filter *f, enum queue_verdict_kind kind,
	const char *words, uint64_t limit, uint64_t *out_busy);
/* So many outcomes wait for the spool that a removal of many should go on later. */
bool dispatch_is_backlogged(const struct dispatch *d);
/* Hold or release; written to the spool too. */
uint64_t dispatch_hold(struct dispatch *d, const struct queue_filter *f, bool hold);
uint64_t dispatch_retry(struct dispatch *d, const struct queue_filter *f);
/* Kept across restarts. `name` is of a domain, site, source, job or user. False: unknown source or no memory.
 */
bool dispatch_pause(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name, int64_t until_us,
	struct queue_blob reason);
bool dispatch_resume(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name);
/* The name behind a source number of the schedule. */
const char *dispatch_source_name(const struct dispatch *d, uint32_t source);
/* True while the index is still being read from the spool. */
bool dispatch_is_recovering(const struct dispatch *d);
#endif
