/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DELIVER_OUTBOUND_H
#define MTAD_DELIVER_OUTBOUND_H
/*
 * outbound - one outbound session as the queue thread and its io thread both know it
 *
 * Made by the queue thread, sent as LETTER_OPEN. The io thread answers with `ready` (at most once) and
 * `closed` (once). Jobs given meanwhile come back answered, at the latest as QUEUE_VERDICT_RETURN. When
 * `closed` is in and no job is out, the queue thread sends the struct back as LETTER_RELEASE: the last letter
 * about it, upon which the io thread frees it.
 *
 * Fields above the line are set by the queue thread before OPEN and constant; the next ones are the queue
 * thread's, the last ones the io thread's until `closed` is posted.
 */
#include "conf/conf.h"
#include "feedback/classify.h"
#include "queue/job.h"
#include "queue/letters.h"
#include "queue_sched.h"
#include "route/route.h"
#include "shape/rules.h"

struct dispatch;

struct outbound {
	struct letter letter; /* OPEN, RELEASE */
	struct letter ready, quit, closed;
	struct worker *io, *queue;
	struct dispatch *dispatch;
	struct queue_session *session;
	const struct conf *conf;       /* reference */
	struct rules *rules;           /* reference; of that configuration */
	struct classifier *classifier; /* the same */
	struct route_result *route;    /* reference */
	struct conf_delivery settings; /* merged; lists point into conf */
	uint32_t source;               /* index in conf->sources */
	bool lacks_v4, lacks_v6;       /* its address of the family is missing on this machine */
	struct job *first;             /* the lease it was opened for; taken by the io thread */
	/* --- queue thread --- */
	uint32_t jobs_out;
	bool is_closed, quit_posted;
	/* --- io thread --- */
	struct deliver_session *deliver; /* NULL once closed */
	bool can_overlap;                /* with ready */
	int local_error; /* with ready and closed: the errno of what this machine lacked; 0: nothing */
	enum queue_session_end end; /* with closed */
	char why[160];              /* with closed */
	struct job_rules
		rules_at_end; /* with closed: that hold for the 421 in `why`, which no recipient was told */
};

/* The io thread's end: unrefs and frees. */
void outbound_free(struct outbound *o);
/* The struct a member letter belongs to. */
struct outbound *outbound_of_ready(struct letter *l);
struct outbound *outbound_of_quit(struct letter *l);
struct outbound *outbound_of_closed(struct letter *l);
#endif
