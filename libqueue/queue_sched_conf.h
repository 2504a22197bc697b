/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_CONF_H
#define LIBQUEUE_QUEUE_SCHED_CONF_H
/*
 * queue_sched_conf - the settings of the schedule, and what it asks its host for; part of queue_sched.h,
 * which includes it
 *
 * Owner    the host. What is pointed to is borrowed until queue_sched_reconfigured() or destroy.
 * Thread   callbacks come in the schedule's, and may not call back.
 */
#include "queue_guard.h"
#include "queue_hours.h"
#include "queue_limits.h"
#include "queue_recovery.h"
#include "queue_sched_admin.h"
#include "queue_types.h"
#include "queue_warmup.h"

/* The settings that apply to one domain at this moment; looked up through conf.policy, never kept over a
 * reload. */
struct queue_policy {
	const int64_t *retry_us;    /* waits after the 1st, 2nd ... attempt that counted; the last repeats */
	uint32_t retry_count;       /* at least 1 */
	int64_t expire_us;          /* age limit */
	int64_t uncertain_retry_us; /* wait after an uncertain end of data */
	uint32_t connections;       /* per lane; a lane obeys the policy of the domain whose mail is next */
	uint32_t messages_per_connection; /* 0: no limit */
	uint32_t rcpts_per_transaction;
	int64_t idle_us;            /* keep an idle session open this long for more mail */
	uint32_t connections_start; /* a lane begins with so many and grows with each message taken; 0: with
				       all */
	uint32_t pool;              /* for mail that names none itself */
	uint32_t
		urgent_percent; /* of connections and long limits, for urgent mail alone while there is any */
	/* Of each lane and of the site over all lanes; asked for with an empty domain. `connections` of
	 * `lane` is not used. NULL: none. */
	const struct queue_limits *lane, *site;
	/* While it is quiet at the site, mail that is not urgent waits; asked for with an empty domain.
	 * NULL: it never is. */
	const struct queue_hours *hours;
};

/* What one lane goes by in place of its policy. */
struct queue_lane_policy {
	const struct queue_limits *limits; /* of its own in place of the policy's `lane` */
	uint32_t connections;              /* 0: as the policy says */
	uint32_t messages_per_connection;  /* 0: no limit */
	bool has_messages_per_connection;  /* else as the policy says */
};

/* The tighter of it and the lane's own holds; 0 and NULL: as ever. */
struct queue_profile {
	struct queue_blob name;
	uint32_t connections, messages_per_connection;
	const struct queue_limits *limits;
};
struct queue_lane_change {
	struct queue_blob site, why;
	uint32_t source;
	struct queue_recovery_view from, to;
};

struct queue_sched_conf {
	/* Borrowed; the result must stay valid until queue_sched_reconfigured() or destroy. `site` may be
	 * empty (not routed). */
	const struct queue_policy *(*policy)(void *arg, struct queue_blob domain, struct queue_blob site);
	/* A random number, for jitter (0..UINT32_MAX). */
	uint32_t (*random)(void *arg);
	/* The host's reference on a fresh message ends (settled, dropped): let go of `body`. */
	void (*body_unref)(void *arg, void *body);
	void *arg;
	uint32_t connections_total;
	uint32_t jitter_percent; /* retries are spread over +- this */
	/* Borrowed like policies. Numbers stay what they are over a reconfiguration, and neither gets fewer.
	 */
	const struct queue_source *sources;
	const struct queue_pool *pools; /* one at least: 0 is the default */
	uint32_t source_count, pool_count;
	/* Weight and limits of a stream and of its user; may be NULL: weight 1, no limits. */
	void (*stream)(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
		struct queue_stream_policy *out);
	/* Borrowed like policies: what goes for the one lane from this source to this site. NULL: nothing of
	 * its own. May be NULL. */
	const struct queue_lane_policy *(*lane)(void *arg, struct queue_blob site, uint32_t source);
	/* What rules may lay over the limits of a lane, by name. */
	const struct queue_profile *profiles;
	uint32_t profile_count;
	/* A lane slows down, stops or recovers; for the log. May be NULL. */
	void (*on_lane)(void *arg, const struct queue_lane_change *change);
	/* The plan by which a source warms up towards a site, and the group of sites that counts as one;
	 * NULL: it is warm. May be NULL. */
	const struct queue_warmup_plan *(*warmup)(
		void *arg, uint32_t source, struct queue_blob site, struct queue_blob *out_group);
	/* The same of the domain of a message's author (queue_message.from_domain, or that of its envelope
	 * sender when it is not known). *out_sender: an @, as no source begins with, and the domain that
	 * warms up: this one, or one it belongs to. */
	const struct queue_warmup_plan *(*sender_warmup)(void *arg, struct queue_blob domain,
		struct queue_blob site, struct queue_blob *out_sender, struct queue_blob *out_group);
	/* A day of a warm-up has ended, and how; for the log. `source`: or "@domain". May be NULL. */
	void (*on_warmup)(void *arg, struct queue_blob source, struct queue_blob group,
		const struct queue_warmup_day *day);
	/* From when on bounces and complaints call for something: of a user and its streams; without a name
	 * of sources, which are never stopped, and of mail without a user. NULL: never. May be NULL. */
	const struct queue_guard_conf *(*guard)(void *arg, struct queue_blob user);
	/* A guard's level has changed: of a user, stream ("user/job/class") or source; for the log. May be
	 * NULL. */
	void (*on_guard)(void *arg, enum queue_pause_kind kind, struct queue_blob name,
		const struct queue_guard_change *change);
	/* A quota of a user (queue_sched_user.h) is used up until until_us; 0: there is room before that time
	 * after all. May be NULL. */
	void (*on_quota)(void *arg, struct queue_blob user, const struct queue_rate *rate, int64_t until_us);
	const struct queue_limits *limits; /* of all mail together; NULL: none */
	uint32_t urgent_percent;           /* of sources', pools' and those */
	/* Messages, recipients and bytes count when they are delivered; else when they are tried. */
	bool counts_deliveries;
};
#endif
