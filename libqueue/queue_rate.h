/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_RATE_H
#define LIBQUEUE_QUEUE_RATE_H
/*
 * queue_rate - how much may be done in a time: rates, and the meters that count against them
 *
 * Windows shorter than a minute are spread evenly (GCRA, the "virtual scheduling" form of ITU-T I.371): no
 * window of that length, wherever it begins, sees more than the rate's count. To be exact and still make up
 * for wake-ups that come late, the pace is slower than the rate by QUEUE_RATE_SLACK at most.
 *
 * Windows of a minute and more are fixed: they begin at multiples of their length (UTC), what is used in them
 * is counted, and the count survives a crash. Before more of a window is used than the disk knows of, the
 * owner has it written (queue_meter_ask, queue_meter_written): after a crash what was asked for counts as
 * used. So a limit is never exceeded, and a crash wastes what was under way, and twice QUEUE_METER_STEP_MAX
 * at most.
 *
 * Owner    the caller. Memory: none but the struct. Thread: the owner's.
 * Clock    wall clock handed in; queue_meter_move() when it was set.
 */
#include "queue_types.h"

/* `count` in `per_us`. */
struct queue_rate {
	int64_t count;  /* 1.. */
	int64_t per_us; /* 1 s .. 31 d */
};

/* What a rate counts. */
enum queue_unit {
	QUEUE_UNIT_CONNECTIONS, /* opened */
	QUEUE_UNIT_MESSAGES,    /* transactions */
	QUEUE_UNIT_RECIPIENTS,
	QUEUE_UNIT_BYTES, /* of messages; a message that is begun is sent whole, and the next waits for it */
	QUEUE_UNIT_COUNT
};

#define QUEUE_RATE_LONG_US (INT64_C(60) * 1000000) /* from here on: fixed windows on disk */
enum {
	QUEUE_RATE_SLACK = 200, /* a 200th: connections and messages, when they come in less than 20 ms */
	QUEUE_RATE_BATCH_SLACK = 10, /* a tenth: recipients, which come in batches of a tenth of the count */
	QUEUE_METER_STEP_MAX = 512,
	QUEUE_METER_STEPS = 64, /* one step is this part of the count at most */
};

struct queue_meter {
	struct queue_rate rate;
	/* Short: when the next unit is due by the pace. Long: when the window began. */
	int64_t at_us;
	int64_t taken_us; /* short: when something was last taken */
	int64_t from_us;  /* what was taken up to then cannot be given back */
	int64_t used;     /* long: in this window */
	int64_t written;  /* long: what the disk says may be used in this window */
	int64_t asked;    /* long: what it will say after the write under way */
	uint16_t step;    /* long: how far to ask ahead */
	uint16_t factor;  /* per mille of the rate that holds; 0: all of it */
	uint8_t unit;
};

bool queue_rate_is_long(const struct queue_rate *r);
void queue_meter_init(struct queue_meter *m, enum queue_unit unit, struct queue_rate rate);
/* The rate was changed: what was used counts against the new one. The window keeps its length. A lower one of
 * a short window waits until what went before is out of the window. */
void queue_meter_set_count(struct queue_meter *m, int64_t count);

/* How much may be taken at now_us, when `reserve` of a long window's count is not for the asker. 0: none. */
int64_t queue_meter_room(const struct queue_meter *m, int64_t now_us, int64_t reserve);
/* The same as if everything were written. */
int64_t queue_meter_room_unwritten(const struct queue_meter *m, int64_t now_us, int64_t reserve);
/* When there is room for one, if nothing is taken till then: now_us or before: at once. INT64_MAX: after a
 * write. */
int64_t queue_meter_ready_us(const struct queue_meter *m, int64_t now_us, int64_t reserve);
/* n at most queue_meter_room(); bytes: any n when there is room. */
void queue_meter_take(struct queue_meter *m, int64_t now_us, int64_t n);
/* n of what was taken at taken_us was not used after all. Short: what was taken since was spaced after it, so
 * only the last can be given back. */
void queue_meter_give_back(struct queue_meter *m, int64_t taken_us, int64_t now_us, int64_t n);

/* Long: little is left of what the disk knows of, though not of the rate; or, after giving back, far too
 * much. */
bool queue_meter_wants_write(const struct queue_meter *m, int64_t now_us);
/* Long: sets `asked`, what the disk should know; false: it knows enough, or a write is under way. When
 * somebody waits for it, the next asking looks further ahead. */
bool queue_meter_ask(struct queue_meter *m, int64_t now_us, bool is_waiting);
/* What was asked for is on disk, or could not be written. */
void queue_meter_written(struct queue_meter *m, bool failed);
/* As read from disk. A window that has not begun yet was written by a clock that was ahead: it counts for the
 * present one. */
void queue_meter_restore(struct queue_meter *m, int64_t at_us, int64_t count, int64_t now_us);
/* The clock was set by step_us: spacing and windows keep their length. */
void queue_meter_move(struct queue_meter *m, int64_t step_us);
/* When nothing in it matters any more: as good as new. */
int64_t queue_meter_over_us(const struct queue_meter *m);
#endif
