/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_WARMUP_H
#define LIBQUEUE_QUEUE_WARMUP_H
/*
 * queue_warmup - warm-up: how much a new address may send to one group of sites, day by day
 *
 * One object for each (source, provider group), or for whatever else is new, such as a From domain: the key
 * is the caller's. A curve is a list of day volumes, its stages. A day's volume is counted on delivery: a
 * lease reserves, a recipient that was deferred or bounced gives its place back. It is spread over the day:
 * an hour gets a twelfth of it, and what an hour left over the next one may catch up; attempts spend this
 * allowance whatever becomes of them, so a site that defers is not asked any faster.
 *
 * At the end of a day the stage moves:
 *   forward  when 90 % of the volume was wanted, half of it was sent, and all rates are below their limits
 *   back     when a rate reached twice its limit: one stage, each such day
 *   idle     14 days after the last delivery to half its stage, after 30 days to the first; this holds for
 *            a source that is warm as well. (SendGrid: warm up again after 30 days.)
 * Otherwise it stays, and says why. Days without mail say nothing. Behind the last stage the source is warm:
 * no cap. A rate counts from 50 recipients and 3 bad ones on: one complaint of 200 is 0.5 % and no news.
 *
 * Clock    a day has at least 12 hours: a clock that goes back, even across midnight, opens no second
 *          allowance; one that jumps ahead opens one, and its hour is a twelfth like any other. A first day
 *          that begins after noon lasts until the midnight after the next one.
 * Crash    the record claims two hours' worth ahead, and no lease goes beyond what is claimed on disk; what
 *          was claimed and not settled counts as sent when the record is read again.
 * Midnight what is in a session at midnight counts on the new day. When that is more than its cap, because
 *          the stage went back, nothing is leased until enough of it came home.
 *
 * Owner    the caller; embedded, of fixed size. Memory: none. Thread: the caller's.
 * Fails    decode only; everything else is asserted. Spec: none; sources stand beside the numbers.
 */
#include "queue_types.h"

enum {
	QUEUE_WARMUP_STAGES_MAX = 100,
	QUEUE_WARMUP_VOLUME_MAX = 1000000000, /* recipients a day */
	QUEUE_WARMUP_HISTORY = 60,            /* days */
	QUEUE_WARMUP_WORDS_MAX = 80,          /* of an operator, bytes */
	QUEUE_WARMUP_RECORD_MAX = 2048,
	QUEUE_WARMUP_NO_DAY = INT32_MIN,
};

/* What goes wrong, in parts of the recipients tried; complaints in parts of those delivered, today or on the
 * last day that had any, whichever are more. */
enum queue_warmup_rate {
	QUEUE_WARMUP_RATE_DEFERRED,
	QUEUE_WARMUP_RATE_BLOCKED,
	QUEUE_WARMUP_RATE_BOUNCED,
	QUEUE_WARMUP_RATE_COMPLAINED,
	QUEUE_WARMUP_RATES
};

/* The limits unless the operator says otherwise, in millionths.
 *   deferred    10 %   nobody publishes one; below it lies what busy sites defer from anybody
 *   blocked      1 %   Google: stop raising the volume at the first 4.7.28; 3 of them in 300 here
 *   bounced      5 %   Amazon SES reviews an account at 5 % and pauses it at 10 %
 *   complained 0.1 %   Google and Amazon SES: stay below 0.1 %; Google: never reach 0.3 % */
enum {
	QUEUE_WARMUP_DEFERRED_PPM = 100000,
	QUEUE_WARMUP_BLOCKED_PPM = 10000,
	QUEUE_WARMUP_BOUNCED_PPM = 50000,
	QUEUE_WARMUP_COMPLAINED_PPM = 1000,
};

/* What a source goes by; borrowed for each call, so a reload just hands in another one. A curve with other
 * numbers is entered at the largest of its volumes that is not above the present one. */
struct queue_warmup_plan {
	const int64_t *volumes;               /* 1 to QUEUE_WARMUP_VOLUME_MAX each, never shrinking */
	size_t count;                         /* 1 to QUEUE_WARMUP_STAGES_MAX */
	int64_t hold_ppm[QUEUE_WARMUP_RATES]; /* at least 1: at this rate the stage stays, at twice it goes
						 back */
	int64_t offset_us;                    /* local time minus UTC: where days begin; within a day */
	int32_t start_day;                    /* since 1970: nothing is leased before; 0: from first use */
};

/* Built in, from the published ones. All keep to at most 2.5 times a step (Google: do not double suddenly).
 *   gentle  100 to 100,000 a day in six weeks (+16 to 25 % a day, rounded), then on to a million: for a
 * sender without any history, and for mail.ru and Yandex, of which practitioners report four to six weeks
 *   steady  SparkPost's 29 stages, 200 to 10 million
 *   brisk   1,000 to a million in two weeks, to 10 million in twenty days, about doubling: for lists of which
 * nearly all opened lately, and a domain that is known. AcelleMail starts like this, resellers of SendGrid
 * reach a million in the third week, and Momentum begins with 10,000 an hour at Gmail */
struct queue_warmup_curve {
	const char *name;
	const int64_t *volumes;
	size_t count;
};
const struct queue_warmup_curve *queue_warmup_curve_at(size_t i); /* NULL behind the last */

/* What becomes of a leased recipient. */
enum queue_warmup_outcome {
	QUEUE_WARMUP_DELIVERED,
	QUEUE_WARMUP_DEFERRED, /* 4xx that is about neither greylisting nor this recipient alone */
	QUEUE_WARMUP_BLOCKED,  /* a reply that blames the address or its reputation, 4xx or 5xx */
	QUEUE_WARMUP_BOUNCED,
	QUEUE_WARMUP_UNCERTAIN, /* no reply to the final dot: counts as sent, and says nothing about health */
	QUEUE_WARMUP_UNTRIED,   /* never got that far, or greylisted: as if it had not been leased */
	QUEUE_WARMUP_OUTCOMES
};

/* What the end of a day did to the stage. */
enum queue_warmup_step {
	QUEUE_WARMUP_ADVANCED,
	QUEUE_WARMUP_FINISHED,
	QUEUE_WARMUP_LITTLE, /* stays: too little mail */
	QUEUE_WARMUP_HELD,   /* stays: an operator said so */
	QUEUE_WARMUP_ILL,    /* stays: a rate reached its limit */
	QUEUE_WARMUP_BACK,   /* a rate reached twice its limit */
	QUEUE_WARMUP_IDLE,   /* was idle: half its stage, or the first */
	QUEUE_WARMUP_WARM,   /* was warm and is */
	QUEUE_WARMUP_STEPS
};

/* What operators do. Skip and finish take effect at once, and so does restart, but for what was sent today.
 */
enum queue_warmup_act {
	QUEUE_WARMUP_ACT_NONE,
	QUEUE_WARMUP_ACT_HOLD, /* no stage forward until released; ill health still takes it back */
	QUEUE_WARMUP_ACT_RELEASE,
	QUEUE_WARMUP_ACT_SKIP, /* to the next stage */
	QUEUE_WARMUP_ACT_RESTART,
	QUEUE_WARMUP_ACT_FINISH, /* warm from now on */
	QUEUE_WARMUP_ACTS
};

/* A day that is over. */
struct queue_warmup_day {
	int64_t cap, sent; /* cap 0: warm, none */
	int64_t wanted;    /* sent, or waited beside it at the busiest time */
	int32_t day;
	int32_t value_ppm; /* of `rate`, for ILL and BACK */
	uint16_t stage;    /* from 0; that of the day, not the one it led to */
	uint8_t step, rate, act;
};

/* To be read by anybody and written by queue_warmup.c alone. */
struct queue_warmup {
	int32_t day;        /* that is counted; QUEUE_WARMUP_NO_DAY before the first tick */
	int32_t active_day; /* the last one with a delivery before `day` */
	int32_t start_day;
	uint16_t stage; /* from 0; the number of stages when warm */
	bool is_warm, is_held;
	uint8_t idle; /* steps taken since active_day: 1 to the half, 2 to the first */
	int64_t cap;  /* of today; 0: none */
	int64_t leased;
	int64_t counts[QUEUE_WARMUP_UNTRIED]; /* today, by outcome; uncertain is also what a crash left open
					       */
	int64_t complained, wanted;           /* today */
	int64_t delivered_last;               /* on active_day */
	int64_t open; /* what a crash left open, until the next tick: it counts on either side of midnight */
	int64_t claim, claim_asked; /* on disk; in the record that is being stored */
	bool is_changed, is_storing;
	int64_t last_us, age_us; /* of the last tick; how long `day` has been counted */
	int64_t offset_us;
	int64_t level; /* of the hour's allowance: a recipient costs twelve hours in microseconds */
	uint8_t act;   /* the operator's last, when, and in whose words */
	uint8_t act_today;
	int64_t act_us;
	char words[QUEUE_WARMUP_WORDS_MAX];
	size_t words_len;
	size_t history_count;
	struct queue_warmup_day history[QUEUE_WARMUP_HISTORY]; /* days with mail or a step; oldest first */
};

void queue_warmup_init(struct queue_warmup *w);

/* Brings the object to now and to this plan. Before every other call, which then speak of that moment. True:
 * a day ended, history[history_count - 1] says how. */
bool queue_warmup_tick(struct queue_warmup *w, const struct queue_warmup_plan *plan, int64_t now_us);

enum queue_warmup_limit {
	QUEUE_WARMUP_NO_LIMIT, /* warm */
	QUEUE_WARMUP_LIMIT_START,
	QUEUE_WARMUP_LIMIT_DAY,
	QUEUE_WARMUP_LIMIT_HOUR,
	QUEUE_WARMUP_LIMIT_STORE /* as soon as the record is stored: see queue_warmup_wants_store */
};
struct queue_warmup_room {
	int64_t count;                 /* recipients that may be leased now; INT64_MAX when warm */
	enum queue_warmup_limit limit; /* the tightest */
	int64_t next_us;               /* count 0: no room earlier, unless a lease comes home; else now */
};
/* `waiting`: how many could go now if there were room, 0 when it is only a question: demand moves the stage.
 */
struct queue_warmup_room queue_warmup_room(struct queue_warmup *w, int64_t waiting);
/* n: at most the room there is. Each is settled once. */
void queue_warmup_lease(struct queue_warmup *w, int64_t n);
void queue_warmup_settle(struct queue_warmup *w, enum queue_warmup_outcome outcome, int64_t n);
/* Recipients delivered some time before who complained now. */
void queue_warmup_complain(struct queue_warmup *w, int64_t n);
int64_t queue_warmup_sent(const struct queue_warmup *w); /* today */
/* Of today's rates, the one that is worst against its limit. False: all are too small to say anything. */
bool queue_warmup_health(const struct queue_warmup *w, const struct queue_warmup_plan *plan,
	enum queue_warmup_rate *out_rate, int64_t *out_ppm);

/* False: there was nothing to do. Words (who, why) are cut to QUEUE_WARMUP_WORDS_MAX. */
bool queue_warmup_operate(struct queue_warmup *w, const struct queue_warmup_plan *plan,
	enum queue_warmup_act act, struct queue_blob words);

/* The next days with `wanted` recipients each, in good health, today first: `sent` is what is expected,
 * `step` what the day leads to. Ends with the day that makes it warm, with one whose step would repeat for
 * ever, or at max. 0: it is warm. */
size_t queue_warmup_forecast(const struct queue_warmup *w, const struct queue_warmup_plan *plan,
	int64_t wanted, struct queue_warmup_day *out, size_t max);

/* One record is stored at a time: encode, put it on disk, say whether that worked. Worth doing also every few
 * minutes of use: the outcomes since the last record are lost in a crash, though never places. */
bool queue_warmup_wants_store(const struct queue_warmup *w);
/* Into QUEUE_WARMUP_RECORD_MAX bytes; returns how many. is_last: of a clean stop; claims nothing ahead.
 * Leases still open then count as sent. */
size_t queue_warmup_encode(struct queue_warmup *w, bool is_last, void *out);
void queue_warmup_stored(struct queue_warmup *w, bool is_stored);
/* QUEUE_EDAMAGED, QUEUE_EVERSION; *out is untouched then. The bytes' checksum is the store's business. */
QUEUE_MUST_USE int queue_warmup_decode(struct queue_blob bytes, struct queue_warmup *out);

/* "held: deferrals 12 %" into buf, always with a NUL; its length. */
size_t queue_warmup_words(const struct queue_warmup_day *d, char *buf, size_t max);
#endif
