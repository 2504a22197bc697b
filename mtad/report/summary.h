/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_SUMMARY_H
#define MTAD_REPORT_SUMMARY_H
/*
 * summary - records counted by group, with times to deliver and counts by the hour
 *
 * Owner    the caller. Memory: bounded by the _MAX below, about 1 KB a group, whatever the number of records.
 * Thread   the caller's. Fails: false without memory.
 */
#include "report/record.h"

enum {
	SUMMARY_GROUPS_MAX = 50000, /* what comes in further ones is counted in the rest */
	SUMMARY_KEY_MAX = 320,      /* longer ones are cut */
	SUMMARY_CLASSES_MAX = 64,
	SUMMARY_OCTAVES = 30,
	SUMMARY_HOURS_MAX = 24 * 3660,
};

/* Times by their size: 32 steps to each power of two, so a percentile is off by 1.6 % at most. */
struct summary_times {
	uint64_t count;
	uint32_t *octaves[SUMMARY_OCTAVES]; /* of milliseconds; NULL: none there */
};
bool summary_times_add(struct summary_times *t, int64_t us);
/* share: 0.5 is the median. -1: there are no times. */
int64_t summary_times_at(const struct summary_times *t, double share);
void summary_times_fini(struct summary_times *t);

struct summary_group {
	char *key; /* NUL at the end; NULL: the total, or the rest */
	size_t key_len;
	uint64_t counts[RECORD_TYPE_COUNT];
	uint32_t bounced[SUMMARY_CLASSES_MAX]; /* by class: b alone */
	struct summary_times times;            /* from accepted to delivered */
};
struct summary_class {
	char name[40];
	uint64_t bounced, remote, deferred;
};
struct summary_hour {
	uint32_t delivered, bounced, deferred;
};

struct summary {
	struct summary_group total;
	struct summary_group rest; /* more groups than there may be */
	struct summary_group **groups;
	size_t group_count;
	uint32_t *slots; /* hash table: index of a group + 1 */
	struct summary_class classes[SUMMARY_CLASSES_MAX];
	size_t class_count;
	int64_t first_us, last_us; /* of the records; 0: none */
	/* Hours since 1970, counted from first_hour: half of it lies before the first record. */
	struct summary_hour *hours;
	int64_t first_hour;
	int64_t least_hour, most_hour; /* with something in them */
};

struct summary *summary_create(void);
/* key: the group, "" is one as well; NULL: the total alone. */
bool summary_add(struct summary *s, const struct record *r, const char *key, size_t key_len);
/* The class of a bounce or deferral: ours where the record has it, else the category. "": none. */
struct queue_blob summary_class_of(const struct record *r);
void summary_destroy(struct summary **sp);
#endif
