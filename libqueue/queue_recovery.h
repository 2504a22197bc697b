/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_RECOVERY_H
#define LIBQUEUE_QUEUE_RECOVERY_H
/*
 * queue_recovery - how much of its limits a lane may use now, learned from how the site takes what it gets
 *
 * Snapping back to full speed after a pause earns the next one. So a lane climbs:
 *
 *   paused ──time──▶ probe ──stretch──▶ quarter ──stretch──▶ half ──stretch──▶ full
 *     ▲  a refusal or failure  │ ◀──────────── a refusal: one step back ────────┘
 *     └────────────────────────┘   the pause doubles
 *
 * probe is one connection with one message at a time; a stretch is good_count messages taken and good_us of
 * time since the last step or the last thing that went wrong.
 *
 * What full means is learned: a factor on the rates and the connections, and a cap on the connections alone
 * where the site complains of those. A refusal leaves `keep` of what was used then; a lane at full stays
 * there, unless there was no stretch since the refusal before. From then on each stretch gives back half of
 * what lies between the cap and where the site refused. Near that, and past it, a cap grows by a sixteenth
 * after a wait of 4 stretches, twice as many after each further refusal up to QUEUE_RECOVERY_PATIENCE_MAX,
 * and half as many for each second time that the site takes more than ever. So a steady site is asked for
 * more about once an hour, and one that opens up is followed.
 *
 * Connections besides: a lane begins with connections_start and gets one more with each message taken; a
 * failure (no connection, a timeout, a connection broken off) halves them, and from there on all connections
 * must have taken one for one more. dead_count failures in a row, with no answer between, make the site
 * dead: paused for dead_first_us, then probed, the pause doubling up to dead_max_us. One answer brings it
 * back to full, with one connection.
 *
 * Google (support.google.com/mail/answer/81126): on 4.7.28 stop for at least 10 minutes, go on with one
 * connection, add one at a time, on failure wait 10 minutes again. That is pause_first_us = pause_max_us =
 * 10m with QUEUE_RECOVERY_PAUSE of 10m from a rule: after a pause connections start at one.
 *
 * What was begun before the lane last slowed down says nothing about how it is now, so 20 connections that
 * fail together are one failure.
 *
 * Owner    the lane: embedded, of fixed size. All zero is a lane that nothing is known of. The words of the
 * rule that slowed it are the caller's to keep.
 * Thread   the owner's.
 * Time     wall clock, handed in. A pause is never longer than it was meant, whatever the clock does; a clock
 * that jumps ahead ends it, in a probe. queue_recovery_shift keeps it exact.
 * Fails    only decode.
 */
#include "queue_types.h"

enum queue_recovery_step {
	QUEUE_RECOVERY_FULL,
	QUEUE_RECOVERY_HALF,
	QUEUE_RECOVERY_QUARTER,
	QUEUE_RECOVERY_PROBE,
	QUEUE_RECOVERY_PAUSED,
	QUEUE_RECOVERY_STEPS
};
enum queue_recovery_reason {
	QUEUE_RECOVERY_NOTHING, /* full, without caps */
	QUEUE_RECOVERY_REFUSED, /* the site said "slower", or a rule heard it */
	QUEUE_RECOVERY_RULE,    /* a rule paused it */
	QUEUE_RECOVERY_DEAD,    /* the site does not answer */
	QUEUE_RECOVERY_REASONS
};
enum queue_recovery_kind {
	QUEUE_RECOVERY_GOOD,     /* a message was taken */
	QUEUE_RECOVERY_ANSWERED, /* any other answer that is about neither speed nor the lane */
	QUEUE_RECOVERY_FAILED,   /* no connection, a timeout, broken off */
	QUEUE_RECOVERY_SLOWER,   /* refused: too much */
	QUEUE_RECOVERY_CROWDED,  /* refused: too many connections (a rule says so, or it came before MAIL) */
	QUEUE_RECOVERY_PAUSE,    /* a rule wants a pause */
};

enum {
	QUEUE_RECOVERY_PATIENCE_MAX = 32,
	QUEUE_RECOVERY_RECORD_BYTES = 1 + 7 + 9 * 4 + 4 * 8,
};

struct queue_recovery_policy {
	uint32_t connections;       /* the lane's limit, from 1 */
	uint32_t connections_start; /* from 1 */
	uint32_t good_count;        /* of a stretch, from 1 */
	int64_t good_us;            /* of a stretch */
	int64_t pause_first_us, pause_max_us;
	uint32_t dead_count; /* from 1 */
	int64_t dead_first_us, dead_max_us;
	uint32_t keep; /* per mille, 1..1000 */
};
/* 4 connections at first; a stretch is 10 messages and 1m; pauses from 5m to 4h; dead after 5, 1m to 1h. */
extern const struct queue_recovery_policy queue_recovery_defaults; /* connections: 10 */

struct queue_recovery_cap {
	uint32_t now;     /* 0: none */
	uint32_t refused; /* where the site refused, or how far it has since been followed */
};
struct queue_recovery {
	uint8_t step, reason;
	uint8_t patience, wait, waited; /* in stretches: after a refusal, now, of it so far */
	bool is_proven;                 /* a stretch since the last refusal */
	bool is_further;                /* the caps grew past the last refusal */
	uint32_t window;                /* connections by themselves; 0: not started */
	uint32_t threshold;             /* below it, one more with each message; 0: always */
	uint32_t round;                 /* messages taken since the last growth */
	struct queue_recovery_cap factor, connections;
	uint32_t good;      /* of the present stretch */
	uint32_t failed;    /* in a row */
	int64_t since_us;   /* the present stretch */
	int64_t changed_us; /* what was begun before is no evidence */
	int64_t until_us;   /* paused */
	int64_t pause_us;   /* the last pause, for the next */
};

struct queue_recovery_fact {
	enum queue_recovery_kind kind;
	int64_t begun_us; /* when the connection (FAILED) or the message (all others) was begun */
	uint32_t keep;    /* SLOWER, CROWDED: per mille that is left; 0: the policy's */
	int64_t pause_us; /* PAUSE */
};

/* For the scheduler, now. */
struct queue_recovery_view {
	enum queue_recovery_step step;
	enum queue_recovery_reason reason;
	uint32_t connections;  /* most at once, at least 1 unless paused */
	uint32_t factor;       /* per mille of every rate of the lane, at least 1 unless paused */
	bool is_one_at_a_time; /* no message before the last is answered */
	int64_t until_us;      /* paused; else 0 */
};
/* For the event log. */
struct queue_recovery_change {
	struct queue_recovery_view from, to;
};

/* True: step, reason, factor, pause or cap of connections changed and *out says how; untouched otherwise.
 * That connections come and go below their cap is no change. */
bool queue_recovery_feed(struct queue_recovery *r, const struct queue_recovery_policy *p,
	const struct queue_recovery_fact *f, int64_t now_us, struct queue_recovery_change *out);
/* The same for time going by: at queue_recovery_next_us() a pause ends. */
bool queue_recovery_look(struct queue_recovery *r, const struct queue_recovery_policy *p, int64_t now_us,
	struct queue_recovery_change *out);
int64_t queue_recovery_next_us(const struct queue_recovery *r);
/* As of the last feed or look. */
struct queue_recovery_view queue_recovery_view(
	const struct queue_recovery *r, const struct queue_recovery_policy *p);
/* By an operator: nothing is known of the lane any more. */
bool queue_recovery_clear(
	struct queue_recovery *r, const struct queue_recovery_policy *p, struct queue_recovery_change *out);

/* "full", "half", "quarter", "probe", "paused"; and why in words. */
const char *queue_recovery_step_text(enum queue_recovery_step step);
const char *queue_recovery_reason_text(enum queue_recovery_reason reason);

/* The clock was set by step_us. */
void queue_recovery_shift(struct queue_recovery *r, int64_t step_us);

/* The whole of it, QUEUE_RECOVERY_RECORD_BYTES. Decode: QUEUE_EDAMAGED, QUEUE_EVERSION. */
void queue_recovery_encode(const struct queue_recovery *r, uint8_t out[QUEUE_RECOVERY_RECORD_BYTES]);
QUEUE_MUST_USE int queue_recovery_decode(struct queue_blob bytes, struct queue_recovery *out);
#endif
