/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_TURN_H
#define LIBQUEUE_QUEUE_SCHED_TURN_H
/*
 * queue_sched_turn - whose mail goes next on a way: flows and parties (queue_sched_way.c), and what can take
 * it: lanes and their sessions (queue_sched_session.c); for the files queue_sched*.c only
 */
#include "queue_sched_pace.h"

/* The part of a flow or party in a ring of those who have something to send. */
struct sched_turn {
	struct queue_link link; /* in the ring, unless it waits */
	struct sched_waiter waiter;
	int64_t credit;     /* recipients it may still send, or has sent beforehand */
	bool is_on_account; /* it is let go first, whatever its credit: one of its flows was woken */
};

/* A party is made for the second flow of a user and class on a way, and stays for the last. */
struct sched_party {
	struct queue_map_node node;
	struct sched_way *way;
	struct sched_user *user;
	struct queue_link flows; /* the ring of those that have something to send and do not wait */
	struct sched_turn turn;  /* in way->turns */
	uint32_t flow_count;
	uint8_t klass;
};

struct sched_flow {
	struct queue_map_node node;
	struct sched_way *way;
	struct sched_stream *stream;
	struct sched_party *party;    /* NULL: the only one of its user and class on the way */
	struct queue_link cells;      /* the ring of runnable cells */
	struct sched_turn turn;       /* in party->flows or way->turns */
	struct sched_gate *warm_gate; /* of its sender domain towards its site; NULL: that is warm */
	uint32_t cell_count;
	uint32_t ready;  /* recipients in its ring */
	uint16_t paused; /* bit n: by a pause of enum queue_pause_kind n at the site of its way */
};

/* NULL: no memory. */
struct sched_flow *sched_flow_get(
	struct queue_sched *q, struct sched_site *site, struct sched_choice choice, struct sched_stream *s);
struct sched_flow *sched_flow_find(const struct queue_sched *q, const struct sched_site *site,
	struct sched_choice choice, const struct sched_stream *s);
void sched_flow_release(struct queue_sched *q, struct sched_flow *f);
/* The cell has something to send, or has nothing more. */
void sched_flow_start(struct queue_sched *q, struct sched_cell *cell);
void sched_flow_stop(struct queue_sched *q, struct sched_cell *cell);
/* Its flags are these now. */
void sched_flow_pause(struct queue_sched *q, struct sched_flow *f, uint16_t paused);
/* So many recipients more in its ring, or fewer. */
void sched_flow_ready(struct queue_sched *q, struct sched_flow *f, int by);
/* It was woken: back in its ring, at the front. */
void sched_flow_wake(struct queue_sched *q, struct sched_flow *f);
void sched_party_wake(struct queue_sched *q, struct sched_party *p);
/* Whose turn it is; those whose stream, user or sender domain is at its limit begin to wait. NULL: nobody's.
 */
struct sched_flow *sched_flow_urgent(struct queue_sched *q, struct sched_way *way);
struct sched_flow *sched_flow_other(struct queue_sched *q, struct sched_way *way);
/* True when it is the turn of the urgent, if there is both. */
bool sched_way_prefers_urgent(const struct sched_way *way);
void sched_flow_served(struct queue_sched *q, struct sched_flow *f, uint32_t rcpts);

/* Which sources its mail may go by: the one it must use again, those of the pool it names, those of the pool
 * its domain goes by. */
struct sched_choice sched_cell_choice(const struct queue_sched *q, const struct sched_cell *cell);
/* Its flow towards a site, made if need be; NULL: no memory. */
struct sched_flow *sched_cell_flow(
	struct queue_sched *q, struct sched_site *site, const struct sched_cell *cell);
void sched_cell_set_flow(struct queue_sched *q, struct sched_cell *cell, struct sched_flow *flow);

/* Among those who can take mail now, or not until something changes it. */
bool sched_lane_is_able(const struct queue_lane *lane, bool is_urgent);
/* It is paused, or its source or site is at an end. */
bool sched_lane_is_halted(const struct queue_lane *lane);
/* It waits for a gate or, without one, for an event. */
void sched_lane_waits(struct queue_sched *q, struct queue_lane *lane, struct sched_gate *g,
	enum sched_want want, bool is_urgent);
/* It waits for one of connections_total. */
void sched_lane_starve(struct queue_sched *q, struct queue_lane *lane);
/* It has sent as much as one may. */
bool sched_session_is_spent(const struct queue_session *s);
/* There are too many, or somebody without any session needs the connection more. */
bool sched_session_should_yield(struct queue_sched *q, const struct queue_session *s);
#endif
