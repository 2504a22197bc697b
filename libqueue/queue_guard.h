/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_GUARD_H
#define LIBQUEUE_QUEUE_GUARD_H
/*
 * queue_guard - the rates of hard bounces and complaints of one user, stream or source, and what they call
 * for
 *
 * Two rates over a sliding window: bounced of (delivered + bounced), complained of delivered. Each has three
 * thresholds: warn, slow, stop. The level of the guard is the worse of the two.
 *
 * What the large services publish: Amazon SES reviews an account from 5 % bounces or 0.1 % complaints on, and
 * may pause it from 10 % or 0.5 %. Google asks bulk senders for less than 0.1 % of complaints and to never
 * reach 0.3 % (support.google.com/mail/answer/81126); Yahoo for less than 0.3 %
 * (senders.yahooinc.com/best-practices). Hence the defaults: bounces 5, 7, 10 %; complaints 0.1, 0.2, 0.3 %.
 * `slow` is ours: between being told and being stopped.
 *
 * When a level is reached. Never below volume_min recipients, nor with fewer than QUEUE_GUARD_EVENTS_MIN
 * bounces (complaints). Then: warn when the rate is above the threshold. Slow and stop only when that cannot
 * well be chance: as if every recipient fell on the bad side with the probability of the threshold, the
 * count must be above the expected one by 2 (slow) or 3 (stop) standard deviations of that. It is the same as
 * a lower Wilson bound of the rate above the threshold, with z = 2 or 3. So a stop at 10 % takes 20 bounces
 * of 100 recipients, 129 of 1,000, 1,091 of 10,000; one at 0.3 % takes 9 complaints of 1,000, 47 of 10,000.
 *
 * When it is left. Warn and slow: when the rate is below 4/5 of the threshold, or when fewer than half of
 * volume_min recipients are left in the window. Stop: by queue_guard_release alone, which forgets all counts
 * and all mail sent before, also what is reported about it later; so volume_min new recipients go out before
 * anything is judged again.
 *
 * The window is QUEUE_GUARD_BUCKETS parts, of which the oldest is dropped when a new one begins: an outcome
 * counts for at least the window and for at most one part (4 %) more.
 *
 * A complaint comes days after its mail. It counts in the part of the window when that mail was sent
 * (sent_us), so a small mailing is not blamed for a large one before it; and not at all when that is out of
 * the window. A longer window sees more of them. A bounce that comes later counts at that time too, and the
 * recipient no longer as delivered: he is one recipient still.
 *
 * Owner    the caller: embedded, of fixed size. All zero is a guard that knows nothing.
 * Thread   the owner's.
 * Time     wall clock, handed in. A clock that goes back clears nothing. When it was set by a step, say so
 * (queue_guard_shift), or a step forward looks like time that went by without mail.
 * Fails    only decode.
 */
#include "queue_types.h"

enum queue_guard_outcome {
	QUEUE_GUARD_DELIVERED,
	QUEUE_GUARD_BOUNCED, /* the address is bad; not: refused for what we are or say */
	QUEUE_GUARD_COMPLAINED,
	QUEUE_GUARD_OUTCOMES
};
enum queue_guard_rate { QUEUE_GUARD_BOUNCE, QUEUE_GUARD_COMPLAINT, QUEUE_GUARD_RATES };
enum queue_guard_level {
	QUEUE_GUARD_OK,
	QUEUE_GUARD_WARN,
	QUEUE_GUARD_SLOW,
	QUEUE_GUARD_STOP,
	QUEUE_GUARD_LEVELS
};

enum {
	QUEUE_GUARD_BUCKETS = 24,
	QUEUE_GUARD_EVENTS_MIN = 5,
	QUEUE_GUARD_PPM = 1000000, /* a threshold of 100 % is never reached */
	QUEUE_GUARD_RECORD_BYTES =
		1 + 3 * 8 + QUEUE_GUARD_RATES + (QUEUE_GUARD_BUCKETS + 1) * QUEUE_GUARD_OUTCOMES * 4,
};

struct queue_guard_conf {
	int64_t window_us;   /* from a second to a year */
	uint32_t volume_min; /* from 1 */
	/* 1..QUEUE_GUARD_PPM, not falling from warn to stop; [QUEUE_GUARD_OK] is not looked at. */
	uint32_t limit_ppm[QUEUE_GUARD_RATES][QUEUE_GUARD_LEVELS];
};

struct queue_guard {
	int64_t part_us;   /* length of a part; 0: nothing was fed yet */
	int64_t newest_us; /* when the newest part began */
	int64_t since_us;  /* mail sent before this is forgotten */
	uint8_t level[QUEUE_GUARD_RATES];
	uint8_t newest; /* its place in the ring */
	uint32_t ring[QUEUE_GUARD_BUCKETS + 1][QUEUE_GUARD_OUTCOMES];
	uint64_t total[QUEUE_GUARD_OUTCOMES]; /* of the ring */
};

struct queue_guard_fact {
	enum queue_guard_outcome outcome;
	uint32_t count;     /* recipients */
	int64_t sent_us;    /* when their mail was delivered or bounced; 0: now */
	bool was_delivered; /* BOUNCED: fed as DELIVERED before, which was not the end of it */
};

struct queue_guard_numbers {
	uint64_t events, recipients; /* in the window */
	uint32_t ppm;                /* of them; 0 without recipients */
};

/* For the event log: the level of the whole guard, and the rate that moved it. */
struct queue_guard_change {
	enum queue_guard_level from, to;
	enum queue_guard_rate rate;
	uint32_t limit_ppm; /* of the higher of the two levels; 0: released */
	struct queue_guard_numbers numbers;
};

/* True: the level has changed and *out says how; untouched otherwise. */
bool queue_guard_feed(struct queue_guard *g, const struct queue_guard_conf *c,
	const struct queue_guard_fact *f, int64_t now_us, struct queue_guard_change *out);
/* The same for time going by, or for other thresholds. */
bool queue_guard_look(struct queue_guard *g, const struct queue_guard_conf *c, int64_t now_us,
	struct queue_guard_change *out);
/* When looking may find another level; INT64_MAX: no sooner than with a further outcome. */
int64_t queue_guard_next_us(const struct queue_guard *g);
/* By an operator: to ok, and all is forgotten. True: there was a level to leave. */
bool queue_guard_release(struct queue_guard *g, int64_t now_us, struct queue_guard_change *out);

enum queue_guard_level queue_guard_level(const struct queue_guard *g);
struct queue_guard_numbers queue_guard_numbers(const struct queue_guard *g, enum queue_guard_rate rate);
const char *queue_guard_level_text(enum queue_guard_level level); /* "ok", "warn", "slow", "stop" */
const char *queue_guard_rate_text(enum queue_guard_rate rate);    /* "bounce", "complaint" */

/* The clock was set by step_us. */
void queue_guard_shift(struct queue_guard *g, int64_t step_us);

/* The whole of it, QUEUE_GUARD_RECORD_BYTES. Decode: QUEUE_EDAMAGED, QUEUE_EVERSION. */
void queue_guard_encode(const struct queue_guard *g, uint8_t out[QUEUE_GUARD_RECORD_BYTES]);
QUEUE_MUST_USE int queue_guard_decode(struct queue_blob bytes, struct queue_guard *out);
#endif
