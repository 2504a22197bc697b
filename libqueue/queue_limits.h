/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_LIMITS_H
#define LIBQUEUE_QUEUE_LIMITS_H
/*
 * queue_limits - the settings of pace: what a lane, site, source, pool, stream, user and the whole may do
 *
 * All limits hold at once. They are looked up when mail is to go, never kept with it.
 *
 * Owner    the host; borrowed until the next queue_sched_reconfigured() or destroy.
 */
#include "queue_rate.h"

struct queue_limits {
	uint32_t connections; /* at once; for streams and users: transactions at once; 0: no limit */
	struct {
		const struct queue_rate *rates; /* different windows */
		uint32_t count;
	} units[QUEUE_UNIT_COUNT];
};

struct queue_source {
	struct queue_blob name; /* what its counters are kept under over a restart */
	const struct queue_limits *limits;
};
struct queue_pool_member {
	uint32_t source; /* index in queue_sched_conf.sources */
	uint32_t weight; /* 1..: its share of the messages, while others can take theirs */
};
struct queue_pool {
	struct queue_blob name;
	const struct queue_pool_member *members;
	uint32_t member_count; /* 1.. */
	const struct queue_limits *limits;
};
struct queue_stream_policy {
	/* 1..: shares of the recipients that go to a site, among those of a class. */
	uint32_t weight;                        /* of the stream, beside others of its user */
	uint32_t user_weight;                   /* of the user, beside others; the same for all its streams */
	const struct queue_limits *limits;      /* NULL: none */
	const struct queue_limits *user_limits; /* over all streams of the user */
};
#endif
