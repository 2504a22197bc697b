/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_INT_H
#define LIBQUEUE_QUEUE_SCHED_INT_H
/*
 * queue_sched_int - the objects of the schedule, for the files queue_sched*.c only
 *
 * A message holds its recipients; a recipient is in the list of its cell for its state. All recipients of
 * a cell can go out over the same lane, so no lane at its limit stands in front of another. A cell lives
 * while it has recipients, a stream while it has cells, a lane while it has cells, sessions or a back-off,
 * a site while it has domains or lanes, a domain some minutes longer than its cells.
 *
 *   queue_sched.c        create, add, settle, evict: the life of messages and recipients
 *   queue_sched_place.c  find, make and free the objects; the one place that moves a recipient; routes
 *   queue_sched_time.c   the clock and its jumps, timers, expiry
 *   queue_sched_order.c  next(): sessions, lanes and leases
 *   queue_sched_pause.c  pauses      queue_sched_admin.c  filters      queue_sched_view.c  tables
 */
#include "queue_heap.h"
#include "queue_list.h"
#include "queue_map.h"
#include "queue_sched.h"

/* wake_us() asks for a call at least this often: well below what sched_clock() takes for a jump. */
#define SCHED_CALL_US (INT64_C(1800) * 1000000)

enum sched_state { SCHED_READY, SCHED_WAITING, SCHED_LEASED, SCHED_HELD, SCHED_STATES };
#define SCHED_ENDED SCHED_STATES

struct sched_rcpt {
	struct queue_link link; /* in cell->lists[state] */
	struct queue_link age;  /* in one of its domain's ages, unless is_timed */
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
	int64_t arrived_us, expire_us;
	void *body;
	uint32_t rcpt_count, live, ready, leases; /* live: not ended */
	struct sched_rcpt rcpts[];
};

struct sched_text {
	uint16_t len, room;
	char bytes[];
};

struct sched_stream {
	struct queue_map_node node;
	struct queue_link all, cells;
	bool is_user_paused, is_job_paused;
	uint8_t klass;
	uint16_t user_len, job_len;
	char names[]; /* user, then job */
};

/* In this and the next struct, what every message touches stands together. */
struct sched_cell {
	struct sched_domain *domain;
	struct sched_stream *stream;
	struct queue_link of_domain;
	uint32_t sticky;         /* source number + 1; 0: any */
	uint32_t rcpts;          /* those in the lists, and those add() is about to put there */
	struct queue_lane *lane; /* NULL: not routed */
	uint32_t counts[SCHED_STATES];
	struct queue_link lists[SCHED_STATES];
	struct queue_link ring; /* in the runnable ring of its lane, or of its domain when not routed */
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
	uint32_t timed; /* recipients with is_timed */
	uint16_t reply_code;
	uint8_t route; /* enum sched_route */
	bool is_resolving;
	struct queue_map_node node;
	const struct queue_policy *policy;
	struct queue_link cells;
	struct queue_link ages[2];    /* two, because a start reads old mail while new mail comes in */
	int64_t last_us[2];           /* no arrival in ages[i] is later */
	int64_t until_us;             /* of the route */
	struct queue_heap_node timer; /* never later than what has to happen next */
	bool is_paused;
	uint16_t name_len;
	char name[];
};

struct sched_site {
	struct queue_map_node node;
	struct queue_link domains, lanes;
	struct sched_text *why, *reply;
	uint32_t domain_count;
	bool is_paused;
	uint16_t name_len;
	char name[];
};

enum sched_turn { SCHED_TURN_NONE, SCHED_TURN_ACTIVE, SCHED_TURN_STARVED };

struct queue_lane {
	struct queue_map_node node;
	struct sched_site *site;
	const struct queue_policy *policy; /* of the domain whose mail it carried last */
	struct queue_link of_site, cells;  /* cells: the runnable ring */
	struct queue_link turn;            /* in queue_sched.active or .starved */
	struct queue_link idle, half;      /* sessions that can take a lease; idle: last used first */
	struct queue_heap_node timer;
	uint32_t source, cell_count;
	uint32_t ready;             /* recipients in the runnable ring */
	uint32_t sessions, opening; /* opening: not yet ready */
	uint32_t surplus;           /* sessions a reload made too many: closed as they become free */
	uint8_t turn_state;         /* enum sched_turn */
	bool is_source_paused, is_probing;
	int64_t wait_until_us;
};

enum sched_session_state { SCHED_OPENING, SCHED_OPEN, SCHED_CLOSING };

struct queue_session {
	struct queue_link all;
	struct queue_link place; /* in lane->idle or half, or queue_sched.closing */
	struct queue_link idle;  /* in queue_sched.idle */
	struct queue_lane *lane;
	uint32_t given;
	uint8_t state, leases;
	bool can_overlap, is_probe;
	int64_t idle_since_us;
	void *user;
};

struct queue_lease {
	struct queue_link all;
	struct sched_message *message;
	struct queue_session *session; /* NULL: EXPIRE, REJECT or taken by an operator */
	uint32_t count, room, open;    /* open: not yet settled */
	uint32_t random;
	bool has_random;
	uint16_t index[];
};

struct sched_pause {
	struct queue_map_node node;
	struct queue_heap_node timer;
	enum queue_pause_kind kind;
	uint32_t source;
	int64_t until_us;
	struct sched_text *reason;
	uint16_t name_len;
	char name[];
};

struct queue_sched {
	struct queue_sched_conf conf;
	uint64_t seed, bytes;
	int64_t now_us, stalled_until_us;
	int64_t doubtful_us, expiry_from_us; /* no limit up to the first takes effect before the second */
	struct queue_map messages, streams, cells, domains, sites, lanes, pauses;
	struct queue_heap rcpt_timers, domain_timers, lane_timers, pause_timers;
	struct queue_link all_streams, sessions, leases;
	struct queue_link fresh;        /* messages with a body, oldest first */
	struct queue_link todo;         /* domains whose route needs something */
	struct queue_link active;       /* lanes that may have something to hand out */
	struct queue_link starved_none; /* lanes without session that only connections_total keeps from one */
	struct queue_link starved_more; /* and from more than they have; longest first */
	struct queue_link closing;      /* sessions whose CLOSE has not been ordered yet */
	struct queue_link idle;         /* sessions without a lease, longest first */
	uint64_t counts[SCHED_STATES], rcpts, doubted;
	uint32_t session_count, closing_count, starved_none_count;
	bool has_clock, is_paused;
};

/* queue_sched_place.c */
void *sched_alloc(struct queue_sched *q, size_t size);
void sched_free(struct queue_sched *q, void *p, size_t size);
void sched_text_set(struct queue_sched *q, struct sched_text **t, struct queue_blob b);
void sched_text_free(struct queue_sched *q, struct sched_text **t);
struct queue_blob sched_text_blob(const struct sched_text *t);
bool sched_name_is(const char *name, size_t len, struct queue_blob b);
struct sched_message *sched_message_of(struct sched_rcpt *r);
struct sched_message *sched_message_find(const struct queue_sched *q, queue_id id);
struct sched_stream *sched_stream_get(struct queue_sched *q, const struct queue_message *m);
void sched_stream_release(struct queue_sched *q, struct sched_stream *s);
struct sched_domain *sched_domain_find(const struct queue_sched *q, struct queue_blob name);
struct sched_domain *sched_domain_get(struct queue_sched *q, struct queue_blob name);
void sched_domain_set_policy(struct queue_sched *q, struct sched_domain *d);
void sched_domain_want(struct queue_sched *q, struct sched_domain *d);
void sched_domain_free(struct queue_sched *q, struct sched_domain *d);
struct sched_site *sched_site_find(const struct queue_sched *q, struct queue_blob name);
void sched_lane_release(struct queue_sched *q, struct queue_lane *lane);
struct sched_cell *sched_cell_get(
	struct queue_sched *q, struct sched_domain *d, struct sched_stream *s, uint32_t sticky);
void sched_cell_release(struct queue_sched *q, struct sched_cell *cell);
void sched_cell_update(struct queue_sched *q, struct sched_cell *cell);
void sched_cell_reroute(struct queue_sched *q, struct sched_cell *cell);
void sched_rcpt_enter(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state);
void sched_rcpt_move(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state);
void sched_rcpt_move_front(struct queue_sched *q, struct sched_rcpt *r);
void sched_rcpt_rehome(struct queue_sched *q, struct sched_rcpt *r, struct sched_cell *cell);

/* queue_sched_time.c */
void sched_clock(struct queue_sched *q, int64_t now_us);
int64_t sched_rcpt_expires_us(const struct queue_sched *q, struct sched_rcpt *r);
bool sched_is_expiry_held(const struct queue_sched *q, int64_t expires_us);
void sched_rcpt_arm(struct queue_sched *q, struct sched_rcpt *r);
void sched_domain_arm(struct queue_sched *q, struct sched_domain *d);
void sched_lane_arm(struct queue_sched *q, struct queue_lane *lane);
void sched_make_timed(struct queue_sched *q, struct sched_rcpt *r);
/* True: *out is an order. *out_more: there is more to do at this time. */
bool sched_timers(struct queue_sched *q, struct queue_order *out, bool *out_more);

/* queue_sched_order.c */
void sched_lane_kick(struct queue_sched *q, struct queue_lane *lane);
void sched_lane_stop_turn(struct queue_sched *q, struct queue_lane *lane);
bool sched_lane_is_paused(const struct queue_lane *lane);
void sched_session_place(struct queue_sched *q, struct queue_session *s);
void sched_session_order_close(struct queue_sched *q, struct queue_session *s);
/* NULL: no memory, and next() stays quiet for a second. */
struct queue_lease *sched_lease_create(struct queue_sched *q, struct sched_message *m, uint32_t room);
void sched_lease_add(struct queue_sched *q, struct queue_lease *l, struct sched_rcpt *r);
void sched_lease_free(struct queue_sched *q, struct queue_lease *l);

/* queue_sched_view.c: buckets in an order that a growing table does not disturb; begins and ends with 0 */
uint64_t sched_walk_next(const struct queue_map *m, uint64_t at);

/* queue_sched_pause.c */
bool sched_is_paused(
	const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source);
void sched_pause_timers(struct queue_sched *q);
void sched_pauses_shift(struct queue_sched *q, int64_t step_us);
void sched_pauses_free(struct queue_sched *q);
#endif
