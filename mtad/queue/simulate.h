/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_SIMULATE_H
#define MTAD_QUEUE_SIMULATE_H
/*
 * simulate - how long a queue would take to empty by a configuration: a real schedule, a clock that jumps
 * from event to event, and sites that take everything in a time they are known for
 *
 * A site answers each transaction after its time, accepts every recipient, and knows no limits but those of
 * the configuration and what records and notes say. No mail comes in, none expires, what is held stays.
 *
 * Owner    the caller. Memory: a message of a group is made when its turn is near, so it is bounded by groups
 *          and not by recipients. Thread: any, one at a time for each queue.
 * Fails    false: no memory.
 */
#include "conf/conf.h"
#include "queue_sched.h"
#include "queue_sched_snapshot.h"
#include "queue_sched_why.h"

enum {
	SIMULATE_SIDES = 2, /* configurations it is run by: sites may have another name in each */
	SIMULATE_NAME_MAX = 256,
	SIMULATE_REASONS = 8,
};

/* Recipients that are alike. Text is borrowed until the queue is destroyed. */
struct simulate_group {
	uint32_t row; /* of the result they count for */
	struct queue_blob domain, user, job, sender, from_domain, pool, source;
	struct queue_blob sites[SIMULATE_SIDES];
	enum queue_class klass;
	bool is_strict;
	uint64_t ready; /* now, and later: */
	struct queue_due_view due[QUEUE_DUE_BUCKETS];
	uint32_t rcpts_a_message; /* 1.. */
	uint64_t bytes;           /* of a message */
};
/* What is counted together, and how its site behaves. */
struct simulate_row {
	int64_t transaction_us, connect_us; /* 1.. */
	bool is_watched;                    /* what limits it is looked for: for a hundred rows or so */
};
struct simulate_pause {
	enum queue_pause_kind kind;
	struct queue_blob name, reason; /* name: of sources too */
	int64_t until_us;
	struct queue_blob site; /* there alone; empty: everywhere */
};

struct simulate_queue;
struct simulate_queue *simulate_create(int64_t now_us); /* NULL: no memory */
void simulate_destroy(struct simulate_queue **sp);
bool simulate_add_group(struct simulate_queue *s, const struct simulate_group *g);
bool simulate_add_row(struct simulate_queue *s, const struct simulate_row *r);
bool simulate_add_pause(struct simulate_queue *s, const struct simulate_pause *p);
bool simulate_add_record(struct simulate_queue *s, struct queue_blob value); /* of queue_sched_walk_records */
/* As the spool has it: a limit set by hand (OVERRIDE_NOTES), a user out of its sandbox (SANDBOX_NOTES). */
bool simulate_add_note(struct simulate_queue *s, struct queue_blob name, struct queue_blob value);

struct simulate_run {
	const struct conf *conf;
	uint32_t side;
	uint32_t connections_total;
	int64_t until_us;    /* wall clock */
	uint64_t events_max; /* orders and answers; then it is reckoned on at the pace it had */
};
/* Why mail waited, and for how long. */
struct simulate_reason {
	struct queue_reason reason; /* names point into the struct; of times only the rate's mean something */
	char name[SIMULATE_NAME_MAX], source[SIMULATE_NAME_MAX], words[SIMULATE_NAME_MAX];
	int64_t us;
};
enum simulate_end {
	SIMULATE_EMPTY,    /* at empty_us */
	SIMULATE_RECKONED, /* too many events: empty_us goes on as it went */
	SIMULATE_LATER,    /* not by until_us */
};
struct simulate_result {
	enum simulate_end end;
	int64_t empty_us; /* from now; LATER: 0 */
	uint64_t rcpts, left;
	struct simulate_reason limit; /* of watched rows: what kept its mail longest; us 0: nothing did */
};
struct simulate_summary {
	uint64_t events;
	int64_t reached_us; /* the clock when it ended */
	bool is_cut;        /* by events_max */
};
/* results: as many as rows. */
bool simulate_run(const struct simulate_queue *s, const struct simulate_run *run,
	struct simulate_result *results, struct simulate_summary *out);
#endif
