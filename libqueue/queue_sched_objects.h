/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_OBJECTS_H
#define LIBQUEUE_QUEUE_SCHED_OBJECTS_H
/*
 * queue_sched_objects - the objects of the schedule, for the files queue_sched*.c only
 *
 * A message holds its recipients; a recipient is in the list of its cell for its state. All recipients of
 * a cell can go out over the same lanes. A cell lives while it has recipients, a flow while it has cells, a
 * party and a way while they have flows, a stream while it has cells, a lane while it has options, sessions
 * or a back-off, a site while it has domains, ways or lanes, a domain some minutes longer than its cells.
 */
#include "queue_heap.h"
#include "queue_list.h"
#include "queue_map.h"
#include "queue_recovery.h"
#include "queue_sched.h"
#include "queue_sched_turn.h"
#include "queue_slab.h"

/* wake_us() asks for a call at least this often: well below what sched_clock() takes for a jump. */
#define SCHED_CALL_US (INT64_C(1800) * 1000000)

enum sched_state { SCHED_READY, SCHED_WAITING, SCHED_LEASED, SCHED_HELD, SCHED_STATES };
#define SCHED_ENDED SCHED_STATES
enum {
	SCHED_NAME_MAX = 1024 /* bytes of a domain, site, user or job */,
	SCHED_NOTE_KEY_MAX = 200,
	SCHED_NOTE_VALUE_MAX = 4096
};

struct sched_rcpt {
	struct queue_link link; /* in cell->lists[state] */
	struct queue_link age;  /* in one of its domain's ages, or of timed_ages when is_timed */
	struct sched_cell *cell;
	int64_t due_us;
	struct queue_heap_node timer; /* the due time while waiting; the expiry when is_timed */
	uint16_t n;
	uint16_t index; /* in message->rcpts */
	uint16_t attempts;
	uint8_t flags;
	uint8_t state : 3;
	uint8_t is_timed : 1;  /* its expiry has a timer of its own, outside the order of arrival */
	uint8_t is_doomed : 1; /* removed by an operator while leased: dropped when it comes back */
};

struct sched_message {
	struct queue_map_node node; /* hash: the id */
	struct queue_link fresh;    /* in queue_sched.fresh while it has a body and no lease */
	int64_t arrived_us, release_us, expire_us, notice_us; /* release_us 0: when it arrived */
	void *body;
	uint32_t rcpt_count, live, ready, leases; /* live: not ended */
	uint32_t body_bytes, lease_max;           /* at most; lease_max: recipients of a transaction */
	struct sched_rcpt rcpts[];
};

struct sched_text {
	uint16_t len, room;
	char bytes[];
};

struct sched_user {
	struct queue_map_node node;
	struct sched_gate *gate;
	struct sched_guard *guard; /* NULL: not needed yet */
	uint32_t weight, streams, transactions;
	int64_t quota_until_us; /* as the host was told */
	uint16_t name_len;
	char name[];
};

struct sched_stream {
	struct queue_map_node node;
	struct queue_link all, cells;
	struct sched_user *user;
	struct sched_gate *gate;
	struct sched_guard *guard;
	uint32_t weight, transactions;
	uint16_t paused; /* bit n: by a pause of enum queue_pause_kind n */
	uint8_t klass;
	uint16_t user_len, job_len, sender_len, from_len;
	char names[]; /* user, then job, the domain of the envelope sender, that of the author */
};

/* Its sticky source, paused or not: the site may have the message already, from there. */
#define SCHED_STRICT UINT32_C(0x80000000)

/* In this and the next struct, what every message touches stands together. */
struct sched_cell {
	struct sched_domain *domain;
	struct sched_stream *stream;
	struct queue_link of_domain;
	uint32_t sticky;         /* source number + 1, and SCHED_STRICT; 0: those of the pool */
	uint32_t pool;           /* asked for by the message; 0: none */
	uint32_t rcpts;          /* those in the lists, and those add() is about to put there */
	struct sched_flow *flow; /* NULL: not routed */
	uint32_t counts[SCHED_STATES];
	struct queue_link lists[SCHED_STATES];
	struct queue_link ring; /* in the runnable ring of its flow, or of its domain when not routed */
	int64_t next_due_us;    /* of the waiting; 0: has to be looked for */
	bool is_runnable;       /* in a ring: has ready recipients, neither domain nor stream is paused */
	struct queue_link of_stream;
	struct queue_map_node node;
};
enum sched_route { SCHED_ROUTE_NONE, SCHED_ROUTE_SITE, SCHED_ROUTE_WAIT, SCHED_ROUTE_FAIL };

struct sched_domain {
	struct sched_site *site;
	struct queue_link of_site, runnable;
	struct queue_link todo; /* in queue_sched.todo: has to be looked at for its route */
	struct sched_text *why, *reply;
	int64_t linger_us;
	uint16_t reply_code;
	uint8_t route; /* enum sched_route */
	bool is_resolving;
	struct queue_map_node node;
	const struct queue_policy *policy;
	struct queue_link cells;
	struct queue_link ages[2];       /* two, because a start reads old mail while new mail comes in */
	struct queue_link timed_ages[2]; /* of the timed ones, likewise, but only nearly in order */
	int64_t last_us[2];              /* no arrival in ages[i] is later */
	int64_t until_us;                /* of the route */
	struct queue_heap_node timer;    /* never later than what has to happen next */
	bool is_paused;
	uint16_t name_len;
	char name[];
};

/* Deliveries, and the time they took, both fading: half of a count is forgotten in five minutes. */
struct sched_tally {
	uint64_t rcpts, seconds; /* in 65536ths */
	int64_t at_us;           /* when they were so; 0: never */
};

struct sched_site {
	struct queue_map_node node;
	struct queue_link domains, lanes, ways;
	struct sched_text *why, *reply;
	struct sched_gate *gate;
	struct sched_tally tally;
	int64_t transaction_us, connect_us; /* as of late; 0: not known */
	uint32_t domain_count, sessions;
	bool is_paused, is_pinned, is_quiet;
	int64_t quiet_until_us; /* is_quiet holds until then; 0: to be asked */
	uint16_t name_len;
	char name[];
};

enum sched_starved { SCHED_FED, SCHED_STARVED_NONE, SCHED_STARVED_MORE };

/* Able: it may take mail, and its options are in the rings of their ways. Otherwise it waits at a gate, among
 * the starved, or for its timer, a session or a resume; what is not able for other mail may be for urgent
 * mail, and then its options stay in the rings of ways that have some. */
struct queue_lane {
	struct queue_map_node node;
	struct sched_site *site;
	const struct queue_policy *policy;   /* of the domain whose mail it carried last */
	const struct queue_lane_policy *own; /* in place of some of that; NULL: nothing */
	struct queue_link of_site, options;
	struct queue_link starved;    /* in queue_sched.starved_none or .starved_more */
	struct queue_link idle, half; /* sessions that can take a lease; idle: last used first */
	struct queue_heap_node timer;
	struct sched_waiter waiter;
	struct sched_gate *gate;
	uint32_t source;
	uint32_t sessions, opening, busy; /* opening: not yet ready; busy: with a lease */
	uint32_t surplus;                 /* sessions a reload made too many: closed as they become free */
	uint8_t starved_state;            /* enum sched_starved */
	bool is_able, is_able_for_urgent, is_probing;
	bool is_source_paused; /* or down */
	bool is_quiet;         /* not able, until its site's quiet hours end */
	int64_t wait_until_us;
	struct queue_recovery recovery; /* what the site's answers have taught */
	struct sched_text *why;         /* of the rule that slowed or paused it */
	struct sched_gate *profile_gate, *warm_gate;
	const struct queue_profile *profile; /* of a rule, laid over the limits; NULL: none */
	struct sched_text *profile_name;
	int64_t profile_until_us;
	struct queue_noting noting;
};

enum sched_session_state { SCHED_OPENING, SCHED_OPEN, SCHED_CLOSING };

struct queue_session {
	struct queue_link all;
	struct queue_link place; /* in lane->idle or half, or queue_sched.closing */
	struct queue_link idle;  /* in queue_sched.idle */
	struct queue_lane *lane;
	struct sched_way *way; /* it was opened for, until it is ready */
	uint32_t pool;         /* it was opened for */
	uint32_t given;
	uint8_t state, leases;
	bool can_overlap, is_probe;
	int64_t opened_us, idle_since_us;
	int64_t free_us; /* when it could begin what it does now; 0: it was never ready */
	void *user;
};

struct queue_lease {
	struct queue_link all;
	struct sched_message *message;
	struct queue_session *session;                /* NULL: EXPIRE, REJECT or taken by an operator */
	struct sched_gate *warm_gates[SCHED_WARMUPS]; /* references: it is counted there */
	int64_t taken_us;                             /* when its limits were */
	uint32_t count, room, open;                   /* open: not yet settled */
	uint32_t counted;                             /* settled in a way that counts for limits */
	uint32_t pool;
	uint32_t random;
	bool has_random, is_good;
	uint16_t index[];
};

/* What all lanes of a source, or all ways of a pool, share. */
struct sched_share {
	struct sched_gate *gate;
	struct sched_guard *guard; /* of a source */
	uint32_t sessions;
	bool is_down; /* a source the host cannot send from */
};

struct queue_sched {
	struct queue_sched_conf conf;
	struct sched_share *sources, *pools; /* as many as conf ever had */
	uint32_t source_count, pool_count, first_option;
	struct sched_gate *gate;  /* of all */
	int64_t urgent_until_us;  /* there was urgent mail not long ago: some room is kept for more */
	struct queue_slabs slabs; /* all objects are from these */
	uint64_t seed, bytes;
	int64_t now_us, stalled_until_us;
	int64_t doubtful_us, expiry_from_us; /* no limit up to the first takes effect before the second */
	struct queue_map messages, users, streams, cells, flows, parties, ways, domains, sites, lanes, gates;
	struct queue_map pauses, guards;
	struct queue_heap rcpt_timers, domain_timers, lane_timers, gate_timers, pause_timers, guard_timers;
	struct queue_link all_streams, sessions, leases;
	struct queue_link fresh;        /* messages with a body, oldest first */
	struct queue_link todo;         /* domains whose route needs something */
	struct queue_link active;       /* ways that may have something to hand out */
	struct queue_link open;         /* gates whose time has come */
	struct queue_link guards_due;   /* whose level has yet to take effect */
	struct queue_link unwritten;    /* queue_noting: what the disk should know more of */
	struct queue_link starved_none; /* lanes without session that only connections_total keeps from one */
	struct queue_link starved_more; /* and from more than they have; longest first */
	struct queue_link closing;      /* sessions whose CLOSE has not been ordered yet */
	struct queue_link idle;         /* sessions without a lease, longest first */
	uint64_t counts[SCHED_STATES], rcpts, doubted;
	uint32_t session_count, closing_count, starved_none_count, pauses_at_sites;
	bool has_clock, is_paused, lacks_limits; /* lacks: no memory for them yet, nothing goes out */
	char note_key[SCHED_NOTE_KEY_MAX];
	uint8_t note_value[SCHED_NOTE_VALUE_MAX];
};
#endif
