/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_PACE_H
#define LIBQUEUE_QUEUE_SCHED_PACE_H
/*
 * queue_sched_pace - who may send now: ways, flows and gates; for the files queue_sched*.c only
 *
 *   way    (site, choice of sources): all mail that may leave over the same lanes
 *   flow   (way, stream): a ring of cells, which take turns
 *   party  (way, user, class): the flows of a user that has several; they take turns
 *   option a source a way may use, with its lane once it has one
 *   gate   the limits of one lane, site, source, pool, stream, user or of all, or the warm-up of a source or
 * sender domain, and who waits for them
 *
 * A way has its turn while it has a flow and an option that are not waiting. Lanes wait for limits, sessions
 * and time; flows wait for the limits of their stream and for the warm-up of their sender domain, with which
 * no other source could help; parties wait for the limits of their user, ways for those of their pool. Who
 * waits at a gate is woken alone, in order, as soon as there is room for one: a limit that a hundred thousand
 * wait for costs what a free one costs.
 */
#include "queue_guard.h"
#include "queue_heap.h"
#include "queue_limits.h"
#include "queue_list.h"
#include "queue_map.h"
#include "queue_sched_why.h"
#include "queue_warmup.h"

struct queue_sched;
struct queue_lane;
struct sched_cell;
struct sched_gate;
struct sched_site;
struct sched_stream;
struct queue_order;

enum sched_waiter_kind { SCHED_WAITS_LANE, SCHED_WAITS_FLOW, SCHED_WAITS_PARTY, SCHED_WAITS_WAY };
/* Warm-ups that a lease may count for: that of its source, and that of its sender domain. */
enum { SCHED_WARMUPS = 2 };
enum sched_want { SCHED_WANT_MAIL, SCHED_WANT_CONNECTION, SCHED_WANTS };
struct sched_waiter {
	struct queue_link link;
	struct sched_gate *gate; /* NULL: waits at none */
	uint8_t kind;            /* enum sched_waiter_kind */
	uint8_t want;
	bool is_urgent;
};

/* A note in the spool, of what a gate, lane or guard knows. While one is being written its
 * object stays. */
enum sched_note_kind {
	SCHED_NOTE_GATE,
	SCHED_NOTE_LANE,
	SCHED_NOTE_WARM /* in the value alone */,
	SCHED_NOTE_GUARD
};
struct queue_noting {
	struct queue_link link; /* in queue_sched.unwritten: the disk should know more */
	uint8_t kind;           /* enum sched_note_kind */
	bool is_under_way, is_removal, is_on_disk;
	bool is_again; /* there was more to note meanwhile */
};
struct sched_gate {
	struct queue_map_node node;
	struct queue_link waiters[SCHED_WANTS];
	struct queue_link open; /* in queue_sched.open: its time has come */
	struct queue_heap_node timer;
	struct queue_meter *meters;
	uint32_t meter_count, refs;
	uint32_t connections, connections_max; /* max 0: no limit */
	uint8_t level;                         /* enum queue_level */
	uint8_t urgent_percent;
	struct queue_warmup *warm;            /* of a gate of QUEUE_LEVEL_WARMUP: what it counts by */
	const struct queue_warmup_plan *plan; /* NULL: the settings know none any more: never shut */
	int64_t noted_us;                     /* when its note was last asked for */
	uint32_t demand; /* recipients that could go now if there were room: the sum over flows, or what the
			    last way had that asked */
	bool is_wanted;  /* somebody waits for the disk */
	uint16_t factor; /* per mille of its rates that hold now */
	struct queue_noting noting;
	uint16_t name_len;
	char name[]; /* what it is about; two names: the second after a zero */
};

/* Of a user, a stream or a source; kept while it knows something, whether there is mail or not. */
struct sched_guard {
	struct queue_map_node node;
	struct queue_link due; /* in queue_sched.guards_due */
	struct queue_heap_node timer;
	struct queue_guard guard;
	struct queue_noting noting;
	int64_t fed_us, noted_us;
	uint32_t refs;
	uint8_t kind; /* enum queue_pause_kind */
	uint16_t name_len;
	char name[]; /* of the user or source, a zero, and of a stream "job/class" */
};

struct sched_option {
	struct sched_way *way;
	struct queue_lane *lane; /* NULL: not needed yet */
	struct queue_link able;  /* in way->able, while the lane is able (or not there) */
	struct queue_link of_lane;
	uint32_t source, weight, credit;
};

#define SCHED_CLASSES 3
/* All sources of a pool, or one that mail of this pool uses again. */
struct sched_choice {
	uint32_t pool;
	uint32_t source; /* number + 1; 0: all */
};

struct sched_way {
	struct queue_map_node node;
	struct sched_site *site;
	struct queue_link of_site;
	struct queue_link turns[SCHED_CLASSES]; /* whose mail goes next, by class: one for each user */
	struct queue_link able;
	struct queue_link turn; /* in queue_sched.active */
	struct sched_waiter waiter;
	struct sched_option *options;
	uint32_t option_count;
	struct sched_choice choice;
	uint32_t ready;      /* recipients in the rings of its flows that are not paused */
	uint32_t flow_count; /* all, also those without anything to send */
	uint32_t turn_count; /* flows that have something to send and are not paused, whether they wait or not
			      */
	uint32_t opening;    /* sessions that are being opened for it */
	uint8_t urgent_run, normal_run;
	uint8_t run; /* orders of its turn so far, while that goes on */
};

/* --- queue_sched_gate.c --- */

struct sched_gate_spec {
	enum queue_level level;
	struct queue_blob a, b; /* what it is about; b only for lanes: the source */
	const struct queue_limits *limits;
	uint32_t urgent_percent;
	uint32_t connections; /* there are now */
};
/* Makes *slot the gate of these limits, or NULL where there are none. False: no memory, and nothing changed.
 */
bool sched_gate_set(struct queue_sched *q, struct sched_gate **slot, const struct sched_gate_spec *spec);
void sched_gate_release(struct queue_sched *q, struct sched_gate **slot);
/* For all of the following NULL is a gate without limits. */
bool sched_gate_lets(
	const struct queue_sched *q, const struct sched_gate *g, enum sched_want want, bool is_urgent);
/* How much of a count is not for mail that is not urgent. */
int64_t sched_gate_reserve(
	const struct queue_sched *q, const struct sched_gate *g, int64_t count, bool is_urgent);
/* Recipients that may go in one transaction now; 1 at least when the gate lets mail through. Of a warm-up
 * exactly those there is room for, also none. */
uint32_t sched_gate_rcpts(const struct queue_sched *q, const struct sched_gate *g, bool is_urgent);
void sched_gate_take(struct queue_sched *q, struct sched_gate *g, enum queue_unit unit, int64_t n);
void sched_gate_give_back(
	struct queue_sched *q, struct sched_gate *g, enum queue_unit unit, int64_t taken_us, int64_t n);
void sched_gate_connected(struct queue_sched *q, struct sched_gate *g, int by);
bool sched_gate_is_over(const struct sched_gate *g); /* more connections than it allows */
bool sched_gate_is_full(const struct sched_gate *g);
/* It is full, and a lane or way without any session waits. */
bool sched_gate_is_wanted(const struct sched_gate *g);
void sched_gate_wait(struct queue_sched *q, struct sched_gate *g, struct sched_waiter *w,
	enum sched_want want, bool is_urgent);
void sched_gate_leave(struct queue_sched *q, struct sched_waiter *w);
/* When the first of its waiters may go, as things stand. */
int64_t sched_gate_opens_us(const struct queue_sched *q, const struct sched_gate *g);
/* Wakes one waiter of an open gate; false: there is none. */
bool sched_gate_wake_one(struct queue_sched *q);
void sched_gate_timers(struct queue_sched *q);
void sched_gates_shift(struct queue_sched *q, int64_t step_us);
void sched_gates_free(struct queue_sched *q);

struct sched_gate *sched_gate_find(
	const struct queue_sched *q, enum queue_level level, struct queue_blob a, struct queue_blob b);
/* The disk should know more, at once when somebody waits. */
void sched_gate_want_write(struct queue_sched *q, struct sched_gate *g, bool is_waiting);
/* Somebody may be able to go who was not before. */
void sched_gate_changed(struct queue_sched *q, struct sched_gate *g);
/* Its two names. */
void sched_gate_names(const struct sched_gate *g, struct queue_blob *out_a, struct queue_blob *out_b);
/* Its rates hold to this part, from 1 per mille on. */
void sched_gate_set_factor(struct queue_sched *q, struct sched_gate *g, uint32_t per_mille);
/* Shut or not, it has nothing left to remember: it goes. */
void sched_gate_retire(struct queue_sched *q, struct sched_gate *g);
bool sched_gate_is_spent(const struct queue_sched *q, const struct sched_gate *g);
/* What the disk should know of it, for the note; false: it knows enough. */
bool sched_gate_ask(struct queue_sched *q, struct sched_gate *g);
void sched_gate_noted(struct queue_sched *q, struct sched_gate *g, bool failed);
/* As read from the disk; NULL: no memory. */
struct sched_gate *sched_gate_restore(struct queue_sched *q, enum queue_level level, struct queue_blob a,
	struct queue_blob b, uint32_t meters);

/* --- queue_sched_note.c --- */

void sched_note_want(struct queue_sched *q, struct queue_noting *n);
/* True: *out is an order to write a note. */
bool sched_note_next(struct queue_sched *q, struct queue_order *out);
/* What the note would say at this moment, nothing asked for ahead; valid until the next; empty: nothing. */
struct queue_blob sched_note_gate_now(struct queue_sched *q, const struct sched_gate *g);
struct queue_blob sched_note_lane_now(struct queue_sched *q, const struct queue_lane *lane);
struct queue_blob sched_note_guard_now(struct queue_sched *q, const struct sched_guard *g);

/* --- queue_sched_way.c --- */

void sched_way_kick(struct queue_sched *q, struct sched_way *way, bool at_front);
void sched_way_release(struct queue_sched *q, struct sched_way *way);
bool sched_way_reconfigure(struct queue_sched *q, struct sched_way *way);
/* One of its lanes has one. */
bool sched_way_has_session(const struct sched_way *way);
bool sched_way_is_paused(const struct queue_sched *q, const struct sched_way *way);
#endif
