/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_WHY_H
#define LIBQUEUE_QUEUE_SCHED_WHY_H
/*
 * queue_sched_why - what mail waits for, which limits there are, how fast it goes; for operators
 *
 * Nothing here changes the schedule: what is said is what the next turn would decide.
 *
 * Owner    the schedule. Memory: views are valid during the visit.
 * Thread   the schedule's. A visitor may not call back; returning false stops.
 */
#include "queue_limits.h"
#include "queue_sched_admin.h"
#include "queue_warmup.h"

enum queue_level {
	QUEUE_LEVEL_LANE,
	QUEUE_LEVEL_SITE,
	QUEUE_LEVEL_SOURCE,
	QUEUE_LEVEL_POOL,
	QUEUE_LEVEL_STREAM,
	QUEUE_LEVEL_USER,
	QUEUE_LEVEL_ALL,
	QUEUE_LEVEL_PROFILE, /* of a lane, while a rule says so */
	QUEUE_LEVEL_WARMUP,  /* of a source, towards one group of sites */
	QUEUE_LEVEL_COUNT
};

enum queue_why {
	QUEUE_WHY_GOING,       /* it goes as fast as the site takes it */
	QUEUE_WHY_RETRY,       /* its next attempt is at until_us */
	QUEUE_WHY_HELD,        /* by an operator */
	QUEUE_WHY_PAUSED,      /* `name`: what is paused; until_us */
	QUEUE_WHY_ROUTE,       /* its route is looked up, or was not found: again at until_us */
	QUEUE_WHY_RATE,        /* `level` has used up `rate` of `unit`; more at until_us */
	QUEUE_WHY_CONNECTIONS, /* `level` has as many connections as it may: `count` */
	QUEUE_WHY_BUSY,        /* all connections of the lane are at work: `count` */
	QUEUE_WHY_OPENING,     /* connections are being opened: `count` */
	QUEUE_WHY_BACKOFF,     /* connections failed: again at until_us */
	QUEUE_WHY_WARMUP,      /* the source is new to this group of sites (`name`): more at until_us */
	QUEUE_WHY_RULE,  /* the lane was paused by a rule (`reason`), or the site is dead, until until_us */
	QUEUE_WHY_TOTAL, /* connections-total is used up */
	QUEUE_WHY_DISK,  /* the count of a limit is being written */
};
struct queue_reason {
	enum queue_why why;
	uint64_t rcpts; /* that it keeps */
	enum queue_level level;
	enum queue_unit unit;
	struct queue_rate rate;
	uint32_t count;
	int64_t until_us;         /* 0 or INT64_MAX: nobody knows */
	struct queue_blob name;   /* of the site, pool, stream or user; of the paused thing */
	struct queue_blob reason; /* as an operator or a site gave it */
	uint32_t source;          /* of lanes and sources; UINT32_MAX: none */
};
typedef bool queue_sched_visit_reason(void *arg, const struct queue_reason *r);
/* What keeps the mail of a domain, worst first in no order; false: the domain is not known. */
bool queue_sched_why_domain(
	struct queue_sched *q, struct queue_blob domain, queue_sched_visit_reason *visit, void *arg);
/* The same for the lanes of a site. */
bool queue_sched_why_site(
	struct queue_sched *q, struct queue_blob site, queue_sched_visit_reason *visit, void *arg);

struct queue_lane_view {
	struct queue_blob site;
	uint32_t source;
	uint32_t sessions, opening, busy, connections_max;
	uint64_t ready; /* on the ways it serves; a lane shares them with others of its pool */
	struct queue_reason reason;
};
typedef bool queue_sched_visit_lane(void *arg, const struct queue_lane_view *v);
/* A portion; the visitor's false ends the walk. */
void queue_sched_walk_lanes(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_lane *visit, void *arg);

struct queue_stream_view {
	struct queue_blob user, job;
	enum queue_class klass;
	uint32_t weight, transactions;
	uint64_t ready, waiting, leased, held;
	bool is_paused;
};
typedef bool queue_sched_visit_stream(void *arg, const struct queue_stream_view *v);
void queue_sched_walk_streams(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_stream *visit, void *arg);

/* One rate, or one limit of connections (rate.count 0), as it stands. */
struct queue_limit_view {
	enum queue_level level;
	struct queue_blob name; /* of lanes: the site, and the source in `source` */
	struct queue_blob source;
	enum queue_unit unit;
	struct queue_rate rate;
	int64_t used;     /* long windows: in this one; connections: now */
	int64_t until_us; /* long windows: the end of this one; short: when there is room */
	uint32_t connections_max;
	uint32_t waiters; /* lanes, ways or streams that wait at it: at most WAITERS_COUNTED are counted */
};
typedef bool queue_sched_visit_limit(void *arg, const struct queue_limit_view *v);
void queue_sched_walk_limits(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_limit *visit, void *arg);
/* Warm-ups, also of sources and groups that have no mail now. plan NULL: the settings know none any more. */
struct queue_warmup_view {
	struct queue_blob source, group;
	const struct queue_warmup *warmup;
	const struct queue_warmup_plan *plan;
};
typedef bool queue_sched_visit_warmup(void *arg, const struct queue_warmup_view *v);
void queue_sched_each_warmup(struct queue_sched *q, queue_sched_visit_warmup *visit, void *arg);
/* False: there is no such warm-up, or nothing to do. */
bool queue_sched_warmup_act(struct queue_sched *q, struct queue_blob source, struct queue_blob group,
	enum queue_warmup_act act, struct queue_blob words, int64_t now_us);
/* Connections of a source now. */
uint32_t queue_sched_source_sessions(const struct queue_sched *q, uint32_t source);
#endif
