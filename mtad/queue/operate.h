/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_OPERATE_H
#define MTAD_QUEUE_OPERATE_H
/*
 * operate - what operators ask of the queue thread
 *
 * Thread   the queue's.
 */
#include "queue/dispatch.h"
#include "queue_warmup.h"
#include "shape/override.h"

/* The longest pause, but for one that lasts until it is lifted: ten years. */
#define PAUSE_MAX_US (INT64_C(10) * 365 * 86400 * 1000000)

/* Nothing that the schedule has settled still waits for the spool. */
bool dispatch_is_recorded(const struct dispatch *d);
/* Recipients matching the filter are bounced (FAILED, with a bounce mail) or dropped, at most `limit`; how
 * many were, and how many are under way and follow when they come back. */
uint64_t dispatch_remove(struct dispatch *d, const struct queue_filter *f, enum queue_verdict_kind kind,
	const char *words, uint64_t limit, uint64_t *out_busy);
/* So many outcomes wait for the spool that a removal of many should go on later. */
bool dispatch_is_backlogged(const struct dispatch *d);
/* Hold or release; written to the spool too, a little later: spool_holds_written() comes to be what
 * dispatch_holds_posted() is now. */
uint64_t dispatch_hold(struct dispatch *d, const struct queue_filter *f, bool hold);
uint64_t dispatch_holds_posted(const struct dispatch *d);
uint64_t dispatch_retry(struct dispatch *d, const struct queue_filter *f);
/* Kept across restarts. `name` is as of queue_sched_pause(), but the source's own for a source, and has
 * DISPATCH_PAUSE_NAME_MAX bytes at most. False: unknown source or no memory. */
enum { DISPATCH_PAUSE_NAME_MAX = 1024 };
bool dispatch_pause(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name, int64_t until_us,
	struct queue_blob reason);
bool dispatch_resume(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name);
/* Limits in place of the configuration's, kept across restarts; until_us of each says how long it holds from
 * now on (INT64_MAX: until it is lifted), and is the time when it is done. They must fit. False: no memory.
 */
bool dispatch_override(struct dispatch *d, struct override *items, size_t count);
/* Those that drop() names, by whom. False: no memory. */
bool dispatch_lift(struct dispatch *d, bool (*drop)(const void *arg, const struct override *o),
	const void *arg, const char *who);
const struct overrides *dispatch_overrides(const struct dispatch *d);
/* The name of a pause that is for this site alone; there must be room for both and a byte. */
struct queue_blob dispatch_at_site(char *buf, size_t max, struct queue_blob name, struct queue_blob site);
/* What an operator does with a warm-up; words (who, why) are kept. False: no such warm-up, or nothing to do.
 */
bool dispatch_warmup(struct dispatch *d, struct queue_blob source, struct queue_blob group,
	enum queue_warmup_act act, struct queue_blob words);
/* The lanes of a site (of this source; empty: of all) know nothing any more. False: no such source. */
bool dispatch_clear(
	struct dispatch *d, struct queue_blob site, struct queue_blob source, uint32_t *out_count);
#endif
