/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_SHAPE_OVERRIDE_H
#define MTAD_SHAPE_OVERRIDE_H
/*
 * override - limits an operator has set for a time, in place of those of the configuration
 *
 * An override is one setting of one thing: what is limited (level and name), what is said of it, until when,
 * by whom and why. A set of them does not change but as a whole, since the schedule borrows its rates.
 *
 * Owner    the queue thread. Memory: OVERRIDES_MAX of fixed size.
 * Fails    a NULL set: no memory. What cannot be understood says why, in the words of the configuration.
 */
#include "conf/conf_value.h"
#include "queue_sched_why.h"

enum {
	OVERRIDES_MAX = 500,
	OVERRIDE_NOTE_MAX = 200,  /* the name of a note */
	OVERRIDE_VALUE_MAX = 200, /* bytes of a value as it is written */
	OVERRIDE_WHO_MAX = 64,
	OVERRIDE_REASON_MAX = 200,
	OVERRIDE_RECORD_MAX = 16 + OVERRIDE_VALUE_MAX + OVERRIDE_WHO_MAX + OVERRIDE_REASON_MAX,
};
/* Notes in the spool begin so. */
#define OVERRIDE_NOTES "set/"
/* The longest, but for one that lasts until it is lifted: ten years. */
#define OVERRIDE_MAX_US (INT64_C(10) * 365 * 86400 * 1000000)

enum override_setting {
	OVERRIDE_CONNECTIONS,
	OVERRIDE_CONNECT_RATE, /* the four rates in the order of enum queue_unit */
	OVERRIDE_RATE,
	OVERRIDE_RECIPIENT_RATE,
	OVERRIDE_BYTE_RATE,
	OVERRIDE_MESSAGES_PER_CONNECTION,
	OVERRIDE_RECIPIENTS_PER_TRANSACTION,
	OVERRIDE_SETTINGS
};

struct override {
	enum queue_level level;
	enum override_setting setting;
	/* Of the thing; of a lane, the site. A stream is "user/job/class". Empty of all mail. */
	char name[OVERRIDE_NOTE_MAX];
	char source[OVERRIDE_NOTE_MAX]; /* of a lane; "*": of every one to the site */
	char value[OVERRIDE_VALUE_MAX]; /* as it was written */
	uint32_t count;                 /* of what is no rate; 0: no limit */
	struct queue_rate rates[CONF_RATES_MAX];
	uint32_t rate_count;       /* 0: no limit */
	int64_t made_us, until_us; /* wall clock; INT64_MAX: until it is lifted */
	char who[OVERRIDE_WHO_MAX];
	char reason[OVERRIDE_REASON_MAX];
};

/* --- words --- */

/* A level that can be set; QUEUE_LEVEL_COUNT: none, and why. */
enum queue_level override_level(const char *word, struct conf_why *out_why);
const char *override_level_word(enum queue_level level);
/* A setting there is at this level; OVERRIDE_SETTINGS: none, and why. */
enum override_setting override_setting(enum queue_level level, const char *word, struct conf_why *out_why);
const char *override_setting_word(enum override_setting s);
/* The setting behind a limit of the schedule: so many at once, or a rate of the unit. */
enum override_setting override_setting_of(enum queue_unit unit, bool is_rate);
/* The name of *o: of what has one, and no longer than a note can keep. Both may be those it has. */
bool override_take_name(struct override *o, const char *source, const char *name, struct conf_why *out_why);
/* The setting and its value, "10/s" or "10/s,5000/h" or "none", into *o, which has its level and name. */
bool override_take_value(
	struct override *o, const char *setting, const char *value, struct conf_why *out_why);

/* --- notes --- */

/* Bytes written; key: OVERRIDE_NOTE_MAX + 1 of them, record: OVERRIDE_RECORD_MAX. */
size_t override_write_key(const struct override *o, char *key);
size_t override_write_record(const struct override *o, char *record);
/* False: not understood. One made by a clock that was ahead has its length from now on. */
bool override_read(struct queue_blob key, struct queue_blob record, int64_t now_us, struct override *out);

/* --- sets --- */

struct overrides {
	size_t count;
	int64_t next_us; /* when the first of them ends; INT64_MAX: never */
	struct override items[];
};

struct overrides *overrides_create(void);
/* Another set: these as well, in place of what was said of the same things. `count` of them must fit. */
struct overrides *overrides_with(const struct overrides *old, const struct override *items, size_t count);
bool overrides_fit(const struct overrides *old, const struct override *items, size_t count);
/* Another set: without those that drop() names. */
struct overrides *overrides_without(const struct overrides *old,
	bool (*drop)(const void *arg, const struct override *o), const void *arg);
/* The wall clock was set: what is left of each stays. */
void overrides_shift(struct overrides *set, int64_t step_us);

bool override_is_over(const struct override *o, int64_t now_us);
/* Of the same thing. source: of lanes. */
bool override_is_of(
	const struct override *o, enum queue_level level, struct queue_blob source, struct queue_blob name);
/* What holds of a thing; of a lane its own before that of every source. NULL: what the configuration says. A
 * NULL set is an empty one. */
const struct override *overrides_find(const struct overrides *set, enum queue_level level,
	struct queue_blob source, struct queue_blob name, enum override_setting setting);
/* Whether any setting of it is there. */
bool overrides_touch(const struct overrides *set, enum queue_level level, struct queue_blob source,
	struct queue_blob name);
/* Lays the connections and rates over those of the configuration; the set's rates are borrowed. */
void overrides_lay(const struct overrides *set, enum queue_level level, struct queue_blob source,
	struct queue_blob name, struct queue_limits *inout);
#endif
