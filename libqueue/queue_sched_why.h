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
	QUEUE_LEVEL_WARMUP,  /* of a source or sender domain, towards one group of sites */
	QUEUE_LEVEL_COUNT
};

enum queue_why {
	QUEUE_WHY_GOING,       /* it goes as fast as the site takes it */
	QUEUE_WHY_LEASED,      /* it is in a session just now */
	QUEUE_WHY_RETRY,       /* its next attempt is at until_us */
	QUEUE_WHY_SCHEDULED,   /* its message asked to go at until_us */
	QUEUE_WHY_HELD,        /* by an operator */
	QUEUE_WHY_PAUSED,      /* `pause` and `name` (or `source`) say what, until_us till when */
	QUEUE_WHY_DOWN,        /* the host cannot send from `source` (queue_sched_source_down) */
	QUEUE_WHY_ROUTE,       /* its route is looked up (until_us 0), or was not found: again at until_us */
	QUEUE_WHY_RATE,        /* `level` has used up `rate` of `unit`; more at until_us */
	QUEUE_WHY_CONNECTIONS, /* `level` has as many connections as it may: `count` */
	QUEUE_WHY_BUSY,        /* all connections the lane may have are at work: `count` */
	QUEUE_WHY_OPENING,     /* connections are being opened: `count` */
	QUEUE_WHY_BACKOFF,     /* connections failed: again at until_us */
	QUEUE_WHY_STOPPED,     /* a rule (`reason`) has paused the lane, or the site is dead: till until_us */
	QUEUE_WHY_WARMUP,      /* the source, or `sender`, is new to this group of sites (`name`): more at
				  until_us */
	QUEUE_WHY_QUIET,       /* the quiet hours of the site: till until_us, but for urgent mail */
	QUEUE_WHY_TOTAL,       /* connections_total is used up: `count` */
	QUEUE_WHY_DISK,        /* the count of `rate` is being written */
	QUEUE_WHY_COUNT
};
struct queue_reason {
	enum queue_why why;
	uint64_t rcpts; /* that it keeps */
	enum queue_level level;
	enum queue_unit unit;
	struct queue_rate rate;
	uint32_t count;
	int64_t until_us; /* 0: nobody knows; INT64_MAX: until somebody resumes it */
	enum queue_pause_kind pause;
	bool is_at_site; /* the pause: only of what goes to `site` */
	/* Of the site (lanes too), source, pool or user of `level`, or of the paused thing; of a stream user
	 * and job, "user/job", and klass. */
	struct queue_blob name;
	enum queue_class klass;
	struct queue_blob sender; /* the domain that warms up, with an @ before it; empty: none */
	struct queue_blob reason; /* as an operator or a site gave it */
	struct queue_blob site;   /* it would go to; empty: not routed */
	struct queue_blob pool;   /* it would go by; empty: a single source's */
	uint32_t source;          /* of lanes and sources; UINT32_MAX: none */
	uint32_t sources;         /* it may go by so many; 0: not routed */
};
typedef bool queue_sched_visit_reason(void *arg, const struct queue_reason *r);
/* What keeps the mail of a domain, in no order, and several times the same; false: the domain is not known.
 */
bool queue_sched_why_domain(
	struct queue_sched *q, struct queue_blob domain, queue_sched_visit_reason *visit, void *arg);
/* The same of all domains of a site: a portion. */
void queue_sched_walk_why(struct queue_sched *q, struct queue_blob site, struct queue_walk *walk,
	queue_sched_visit_reason *visit, void *arg);
/* What keeps each recipient of a message (r->rcpts is 1): a portion. False: the message is not known. */
typedef bool queue_sched_visit_why(void *arg, uint16_t n, const struct queue_reason *r);
bool queue_sched_why_message(
	struct queue_sched *q, queue_id id, struct queue_walk *walk, queue_sched_visit_why *visit, void *arg);

struct queue_lane_view {
	struct queue_blob site;
	uint32_t source;
	uint32_t sessions, opening, busy, connections_max;
	uint64_t ready; /* on the ways it serves; a lane shares them with others of its pool */
	/* What keeps its mail, if it had any, as far as that is the lane's own affair: not the limits of
	 * pools, streams and users. */
	struct queue_reason reason;
};
typedef bool queue_sched_visit_lane(void *arg, const struct queue_lane_view *v);
/* A portion; the visitor's false ends the walk. */
void queue_sched_walk_lanes(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_lane *visit, void *arg);

struct queue_stream_view {
	struct queue_blob user, job;
	enum queue_class klass;
	uint32_t weight, user_weight, transactions;
	uint64_t ready, waiting, leased, held;
	struct queue_reason reason; /* a pause of all, or of it or its user, or a limit of theirs or of its
				       sender domain; else GOING */
};
typedef bool queue_sched_visit_stream(void *arg, const struct queue_stream_view *v);
/* A stream is met once for each place where it has mail, with the counts of that place: the host adds up. */
void queue_sched_walk_streams(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_stream *visit, void *arg);

enum { QUEUE_WAITERS_COUNTED = 10000 };
/* One rate, or one limit of connections at once (rate.per_us 0), as it stands. */
struct queue_limit_view {
	enum queue_level level;
	struct queue_blob name; /* as of struct queue_reason */
	enum queue_class klass;
	struct queue_blob source; /* of lanes */
	enum queue_unit unit;     /* connections of streams and users: their transactions */
	struct queue_rate rate;   /* count: of connections, where they are limited at once */
	int64_t used, left; /* long windows: in this one; at once: now; short: nothing, and what may go now */
	int64_t until_us; /* long windows: the end of this one; short: when there is room again; 0: it has not
			     begun, there is room */
	uint32_t
		waiters; /* lanes, ways or streams that it keeps: QUEUE_WAITERS_COUNTED at most are counted */
};
typedef bool queue_sched_visit_limit(void *arg, const struct queue_limit_view *v);
/* Those of what has mail or sessions; of sources, pools and all together, all; connections_total first. */
void queue_sched_walk_limits(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_limit *visit, void *arg);

/* Warm-ups, also of sources, sender domains and groups that have no mail now. plan NULL: the settings know
 * none any more. */
struct queue_warmup_view {
	struct queue_blob source, group; /* source: or "@domain", of senders */
	const struct queue_warmup *warmup;
	const struct queue_warmup_plan *plan;
};
typedef bool queue_sched_visit_warmup(void *arg, const struct queue_warmup_view *v);
void queue_sched_each_warmup(struct queue_sched *q, queue_sched_visit_warmup *visit, void *arg);
/* False: there is no such warm-up, or nothing to do. */
bool queue_sched_warmup_act(struct queue_sched *q, struct queue_blob source, struct queue_blob group,
	enum queue_warmup_act act, struct queue_blob words, int64_t now_us);

struct queue_source_view {
	uint32_t sessions, connections_max; /* 0: no limit */
	struct queue_reason reason; /* it is down or paused, or a limit of its own is used up; else GOING */
};
/* source: less than source_count of the configuration. */
void queue_sched_source_view(struct queue_sched *q, uint32_t source, struct queue_source_view *out);
#endif
