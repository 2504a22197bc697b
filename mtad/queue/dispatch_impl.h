/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_DISPATCH_IMPL_H
#define MTAD_QUEUE_DISPATCH_IMPL_H
/*
 * dispatch_impl - what dispatch.c (letters and orders), dispatch_sessions.c (outbound sessions),
 * dispatch_sources.c (sources that are down), dispatch_recover.c (what an earlier run has left),
 * dispatch_log.c (what the schedule tells) and operate.c (operators' requests) share; for them alone
 */
#include "feedback/classify.h"
#include "queue/dispatch.h"
#include "queue/job.h"
#include "queue/settings.h"
#include "shape/rules.h"
#include "shape/source.h"

enum {
	ORDERS_A_TURN = 256, /* then letters get their turn */
	/* What the spool has not recorded would be sent again after a crash. No more leases are ordered with
	 * this many jobs unrecorded, or when none was recorded for so long (a commit that hangs). */
	UNRECORDED_MAX = 4096,
	UNRECORDED_US = 250000,
	EVICT_PERCENT = 70, /* of memory-max */
	EVICT_COUNT = 64,
	HOSTS_REMEMBERED = 1024, /* of uncertain deliveries */
	LANES_REMEMBERED = 4096,
	LANE_WAIT_MAX_US = 60000000,
	PAUSE_NOTE_MAX = 400,
	STALLED_RETRY_US = 1000000,
	CLOCK_AHEAD_US = 60000000, /* the least step the schedule is told */
};
struct uncertain_host {
	queue_id id;
	char site[256], host[256]; /* site empty: from an earlier run */
};

/* Sessions of a lane that ended before they were ready, one after the other. */
struct lane_failures {
	uint32_t hash;
	uint32_t count;
};

struct dispatch {
	struct settings settings; /* first: the schedule's callbacks get it */
	struct worker *worker;
	const struct clock *clock;
	struct clock_watch clock_watch;
	struct log *log;
	struct memory *memory;
	struct queue_store *store;
	struct dispatch_peers peers;
	struct queue_sched *sched;
	struct route *route;
	struct overrides *overrides;   /* the settings have the same */
	struct rules *rules;           /* a reference, of the present configuration */
	struct classifier *classifier; /* the same */
	struct react *react;
	struct sources *sources;
	struct quotas *quotas; /* main's */
	struct event *wake;
	struct uncertain_host *hosts;   /* direct-mapped by id */
	struct lane_failures *failures; /* direct-mapped by site and source */
	struct message *stalled;  /* committed, but there was no memory to schedule them: again in a second */
	int64_t stalled_until_us; /* monotonic */
	uint64_t unrecorded;
	int64_t recorded_us; /* monotonic: when a job was recorded last, or the first of those unrecorded came
			      */
	uint64_t holds_posted; /* recipients held or released since the start, for the spool to write */
	uint64_t jobs_out;     /* leases in the hands of io threads */
	size_t next_io, next_sign;
	uint64_t last_notes_out;
	bool spool_failed, is_recovering, is_stopping, has_last_notes;
};

/* The wall clock, for the schedule; notices when it was set. No other call of the queue thread reads it. */
int64_t dispatch_now(struct dispatch *d);
/* Text of a C string. */
struct queue_blob dispatch_text(const char *s);
/* A blob as a C string, cut. */
void dispatch_blob_text(char *buf, size_t max, struct queue_blob b);
/* The job of a lease; NULL: no memory, and the lease has gone back. */
struct job *dispatch_make_job(struct dispatch *d, struct queue_lease *lease);
/* An answered job: settled, then recorded. */
void dispatch_job_done(struct dispatch *d, struct job *job);
/* To the spool, which sends it back. */
void dispatch_record(struct dispatch *d, struct job *job);
/* Looks for orders in the next turn of the loop, after letters and sockets had theirs: an event made active
 * in this turn would come before them, again and again while there are orders. */
void dispatch_wake(struct dispatch *d);
/* A lease nobody could be given: back, unpenalised. */
void dispatch_return_lease(struct dispatch *d, struct queue_lease *lease);

/* --- dispatch_sessions.c --- */

void dispatch_open(struct dispatch *d, const struct queue_order *order);
void dispatch_give(struct dispatch *d, const struct queue_order *order);
void dispatch_close(struct dispatch *d, const struct queue_order *order);
/* The io thread has closed it. */
void dispatch_on_closed(struct dispatch *d, struct outbound *o);
/* After a job of it has come back. */
void dispatch_release_if_over(struct dispatch *d, struct outbound *o);
/* Where a message ended uncertainly, for some of its recipients at least, is remembered until it ends
 * otherwise at the same site. Not for a job nobody has tried. */
void dispatch_remember_host(struct dispatch *d, const struct job *job, bool is_uncertain);

/* The settings of conf, with what is overridden, into the schedule. False: no memory, the old ones hold. */
bool dispatch_apply(struct dispatch *d, const struct conf *conf);

/* --- overrides.c --- */

/* Those whose time is over. */
void dispatch_end_overrides(struct dispatch *d);
/* Those of an earlier run, into the new schedule: before it is told what limits have used. One that has ended
 * meanwhile ends in the first turn. */
bool dispatch_restore_overrides(struct dispatch *d);

/* --- dispatch_sources.c --- */

struct outbound;
/* Of a new configuration; NULL: no memory. */
struct sources *dispatch_make_sources(struct dispatch *d, const struct conf *conf);
/* All are probed, and the schedule knows which are down; after pace and policy have the same configuration.
 */
void dispatch_use_sources(struct dispatch *d, struct sources *take_sources);
/* For a session to be opened: which of its source's addresses are missing. */
void dispatch_look_up_source(struct dispatch *d, struct outbound *o);
/* The io thread has told of it: its source may be down. */
void dispatch_suspect_source(struct dispatch *d, const struct outbound *o);
bool dispatch_is_source_down(struct dispatch *d, const struct outbound *o);

/* --- dispatch_recover.c: what an earlier run has left --- */

/* What a limit had used; for queue_store_scan_notes. */
bool dispatch_restore_limit(void *arg, struct queue_blob name, struct queue_blob value);
struct recovered;
/* Messages; the last batch is empty. */
void dispatch_on_recovered(struct dispatch *d, struct recovered *batch);

/* --- dispatch_log.c: for queue_sched_conf --- */

/* What lanes learn: slower, stopped, better again. */
void dispatch_on_lane(void *arg, const struct queue_lane_change *c);
void dispatch_on_warmup_day(
	void *arg, struct queue_blob source, struct queue_blob group, const struct queue_warmup_day *day);
void dispatch_on_guard(void *arg, enum queue_pause_kind kind, struct queue_blob name,
	const struct queue_guard_change *change);

/* --- operate.c --- */

/* At the end: exact counts of limits and warm-ups in place of those asked for ahead. True: they are on disk.
 */
bool dispatch_last_notes(struct dispatch *d);
/* 0: it is not paused. */
int64_t dispatch_paused_until(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name);

/* Small durable state: written by the spool thread, which sends it back when `noting` is not NULL. False: no
 * memory. */
bool dispatch_post_note(
	struct dispatch *d, struct queue_blob name, struct queue_blob value, struct queue_noting *noting);

/* A visitor of queue_store_scan_notes: a pause of an earlier run. */
bool dispatch_restore_pause(void *arg, struct queue_blob name, struct queue_blob value);

/* --- users.c --- */

/* The same: a user that is out of its sandbox. */
bool dispatch_restore_user(void *arg, struct queue_blob name, struct queue_blob value);
/* Intake learns how it stands with the quotas of all users: at start, and with another configuration. */
void dispatch_publish_quotas(struct dispatch *d);
/* For queue_sched_conf. */
void dispatch_on_quota(void *arg, struct queue_blob name, const struct queue_rate *rate, int64_t until_us);
#endif
