/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_ADMIN_H
#define LIBQUEUE_QUEUE_SCHED_ADMIN_H
/*
 * queue_sched_admin - what operators do to the queue and see of it; part of queue_sched.h, which includes it
 *
 * Owner    the schedule.
 * Memory   views are valid during the visit, or until the next call.
 * Thread   the schedule's. A visitor may not call back.
 * Fails    QUEUE_ENOMEM and QUEUE_EINVAL from pause; nothing else.
 */
#include "queue_types.h"

struct queue_sched;
struct queue_lease;

/* How far something has got that goes through a large queue in portions. All zero but `limit` to begin with;
 * given again until is_end. What is queued all the while is met once; what comes meanwhile, perhaps. */
struct queue_walk {
	uint32_t limit; /* of one portion: places looked at, and recipients changed */
	bool is_end;
	bool is_inside; /* the place at `at` was begun already */
	uint64_t at;
};

/* Which recipients; empty or zero fields match all. */
struct queue_filter {
	queue_id id; /* 0: any */
	int32_t n;   /* -1: any recipient of id */
	struct queue_blob domain;
	struct queue_blob site;
	struct queue_blob user;
	struct queue_blob job;
	bool held_only, waiting_only;
	struct queue_walk *walk; /* only its next portion; NULL: everything in this call */
};
/* How many match. */
uint64_t queue_sched_count(struct queue_sched *q, const struct queue_filter *f);
/* Visit matching recipients (any order), at most `limit` (0: all). Returning false stops. */
struct queue_view {
	queue_id id;
	uint16_t n;
	uint16_t attempts;
	uint8_t flags;
	const char *state; /* "ready", "waiting", "scheduled", "leased", "held", "paused", "quota", "unrouted"
			    */
	int64_t due_us, arrived_us, expire_us;
	int64_t release_us, notice_us; /* of the message; release_us 0: when it arrived */
	struct queue_blob domain, site, user, job;
};
typedef bool queue_sched_visit(void *arg, const struct queue_view *v);
void queue_sched_each(struct queue_sched *q, const struct queue_filter *f, uint32_t limit,
	queue_sched_visit *visit, void *arg);
/* Make waiting ones ready now, and end the wait for DNS or after failed connections of the others; scheduled
 * ones only when the filter has their id. Returns how many recipients are ready for it. The host stores
 * nothing. */
uint64_t queue_sched_retry(struct queue_sched *q, const struct queue_filter *f, int64_t now_us);
/* Hold or release; `changed` is called for each recipient whose record the host must update. Leased ones are
 * held after. */
uint64_t queue_sched_hold(struct queue_sched *q, const struct queue_filter *f, bool hold, int64_t now_us,
	queue_sched_visit *changed, void *arg);
/* Take recipients out for an operator's bounce or delete: one lease a call (recipients of one message), NULL
 * when this portion of the walk, which the filter must have, is through; NULL also without memory. Held and
 * paused recipients can be taken. The host settles the lease as FAILED or DROPPED before the next call.
 * Leased ones cannot be taken but are marked, and *out_busy is how many this call marked: when their lease is
 * settled as LATER, UNCERTAIN or RETURN the settled kind becomes DROPPED. */
struct queue_lease *queue_sched_take(struct queue_sched *q, const struct queue_filter *f, uint64_t *out_busy);

/* Pause and resume: until_us INT64_MAX: until resumed. Kinds combine; an expired pause lifts itself. `name`
 * matters for all kinds but ALL and SOURCE (QUEUE_EINVAL when empty), `source` for SOURCE. The name of a job,
 * user, stream or sender may be followed by a zero and the name of a site: then only its mail to that site is
 * paused. Mail need not be there yet. */
enum queue_pause_kind {
	QUEUE_PAUSE_ALL,
	QUEUE_PAUSE_DOMAIN,
	QUEUE_PAUSE_SITE,
	QUEUE_PAUSE_SOURCE,
	QUEUE_PAUSE_JOB,
	QUEUE_PAUSE_USER,
	QUEUE_PAUSE_STREAM, /* "user/job/class" */
	QUEUE_PAUSE_SENDER, /* mail with this domain in its envelope sender */
	QUEUE_PAUSE_KINDS
};
QUEUE_MUST_USE int queue_sched_pause(struct queue_sched *q, enum queue_pause_kind kind,
	struct queue_blob name, uint32_t source, int64_t until_us, struct queue_blob reason, int64_t now_us);
/* True when there was one. The end of a pause of a user or stream, by this or by its time, releases the guard
 * that had stopped it (queue_sched_conf.guard): its counts begin anew. */
bool queue_sched_resume(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name,
	uint32_t source, int64_t now_us);
/* The host finds that it cannot send from a source now (its address is missing), or that it can again: no
 * lane of it is used, as if it were paused, and both together hold it. Not kept by the host's notes: each
 * start finds out anew. source: less than source_count of the configuration. */
void queue_sched_source_down(struct queue_sched *q, uint32_t source, bool down, int64_t now_us);
#define QUEUE_PAUSE_BY_GUARD "guard: " /* the reason begins so when a guard has stopped it */
struct queue_pause_view {
	enum queue_pause_kind kind;
	struct queue_blob name, reason;
	struct queue_blob site; /* empty: all */
	uint32_t source;
	int64_t until_us;
};
/* False: there is no such pause. *out is valid until the next call. */
bool queue_sched_pause_find(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name,
	uint32_t source, struct queue_pause_view *out);
void queue_sched_each_pause(
	struct queue_sched *q, bool (*visit)(void *arg, const struct queue_pause_view *v), void *arg);

/* Tables for `mtactl queue` and `status`. */
struct queue_domain_view {
	struct queue_blob domain, site, why; /* why: route trouble */
	uint64_t ready, waiting, leased, held;
	uint64_t paused, unrouted; /* of the ready: what only a resume or a route lets go */
	uint64_t quota;            /* of the ready: a long limit of its stream or user is used up */
	int64_t next_us;           /* earliest due of the waiting (of very many: nearly); 0: none waits */
	int64_t oldest_us;         /* arrival of the oldest; 0: none is queued */
	struct queue_blob last_reply;
	uint16_t last_code;
	bool is_paused; /* itself, or its site */
	bool is_resolving;
};
/* False: not known (no mail for it now or a short time ago). */
bool queue_sched_domain_find(struct queue_sched *q, struct queue_blob domain, struct queue_domain_view *out);
/* Returning false stops. */
typedef bool queue_sched_visit_domain(void *arg, const struct queue_domain_view *v);
void queue_sched_each_domain(struct queue_sched *q, queue_sched_visit_domain *visit, void *arg);
/* A portion; the visitor's false ends the walk. */
void queue_sched_walk_domains(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_domain *visit, void *arg);
struct queue_site_view {
	struct queue_blob site, last_reply, why;
	uint32_t sessions, sessions_ready, domains;
	uint64_t ready;                     /* and not paused */
	uint64_t delivered_per_hour;        /* recipients, as of the last minutes */
	int64_t wait_until_us;              /* lane back-off after failed connections */
	int64_t transaction_us, connect_us; /* what they took of late, in the mean; 0: not known */
	bool is_paused;
	bool is_starved; /* would open a connection, but connections_total is used up */
};
bool queue_sched_site_find(struct queue_sched *q, struct queue_blob site, struct queue_site_view *out);
typedef bool queue_sched_visit_site(void *arg, const struct queue_site_view *v);
void queue_sched_walk_sites(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_site *visit, void *arg);
#endif
