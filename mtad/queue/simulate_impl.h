/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_SIMULATE_IMPL_H
#define MTAD_QUEUE_SIMULATE_IMPL_H
/*
 * simulate_impl - what simulate.c (the queue and its run), simulate_settings.c (what it runs by) and
 * simulate_reason.c (what limits it) share; for them alone
 */
#include "queue/settings.h"
#include "queue/simulate.h"

struct simulate_record {
	char *bytes;          /* of the name, of notes, then of the value */
	size_t name_len, len; /* len: of the value */
};
struct simulate_records {
	struct simulate_record *items;
	size_t count, max;
};
struct simulate_queue {
	int64_t now_us;
	struct simulate_group *groups;
	struct simulate_row *rows;
	struct simulate_pause *pauses;
	struct simulate_records records, notes;
	size_t group_count, row_count, pause_count;
	size_t group_max, row_max, pause_max;
};

/* Of a run. */
struct model_group {
	const struct simulate_group *of;
	struct model_group *next; /* of its row */
	uint64_t left;            /* recipients ready by now that the schedule has not got yet */
	uint32_t queued;          /* messages it has */
};
struct model_row {
	struct model_group *groups;
	uint64_t left, half_left;
	int64_t empty_us;                /* the clock when left was 0 */
	struct simulate_reason *reasons; /* SIMULATE_REASONS; NULL: not watched */
};
struct model {
	struct settings settings; /* first: the schedule's callbacks get it */
	const struct simulate_queue *s;
	const struct simulate_run *run;
	struct queue_sched_conf sched_conf;
	struct queue_sched *q;
	struct overrides *overrides; /* the settings have the same */
	struct model_group *groups;
	struct model_row *rows;
	struct model_route *routes; /* sorted by domain */
	struct model_event *events; /* a heap */
	struct model_session *sessions;
	size_t event_count, event_max;
	queue_id last_id;
	uint64_t done; /* events */
	uint64_t left; /* of all rows */
	int64_t now_us, half_us, sampled_us;
	uint32_t depth, random;
	bool lacks_memory;
};

/* simulate_settings.c: the configuration of the run, and what notes say of it, into m->sched_conf. False: no
 * memory; fini is due whatever it says. */
bool simulate_settings_init(struct model *m);
void simulate_settings_fini(struct model *m);
/* Limits set by hand whose time is over are the configuration's again. */
void simulate_settings_tick(struct model *m);

/* simulate_reason.c: the clock is about to jump to next_us; what mail waits for until then is noted now and
 * then. */
void simulate_sample(struct model *m, int64_t next_us);
/* The one that lasted longest. */
void simulate_limit(const struct model_row *row, struct simulate_reason *out);
#endif
