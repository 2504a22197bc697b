/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_JOB_H
#define MTAD_QUEUE_JOB_H
/*
 * job - one lease under way: queue thread -> io thread (send it) -> queue thread (decide) -> spool thread
 * (record it) -> queue
 *
 * It travels as one letter and is owned by whichever thread holds it. Made by the queue thread when a lease
 * is ordered, freed by it when the spool has recorded the outcome. The io thread fills verdicts; the queue
 * thread fills `settled`; a bounce mail may be attached on the way (sign threads); the spool thread writes
 * everything in one transaction.
 */
#include "base/bounce_class.h"
#include "base/mailbox.h"
#include "queue/message.h"
#include "queue_sched.h"

struct deliver_session;
struct outbound;

/* Rules (by their place in the configuration) that held for replies, each once. */
enum { JOB_RULES_MAX = 16 };
struct job_rules {
	uint16_t items[JOB_RULES_MAX];
	uint16_t count;
};

struct job_rcpt {
	uint16_t n;
	uint16_t code;        /* of the reply, 0: none */
	bool is_suppressed;   /* not tried: the address is on the list */
	uint8_t bounce_class; /* enum bounce_class: why; NONE of a delivery, and where an operator decided */
	char esc[20];         /* "5.1.1", may be empty */
	uint32_t reply_at, reply_len; /* in job->texts */
	struct queue_verdict verdict; /* its reply blob is filled by the queue thread from reply_at */
	struct queue_settled settled;
};

struct job {
	struct letter letter;
	struct queue_lease *lease; /* NULL after it is done */
	struct outbound *outbound; /* the session it was given to; NULL: none (reject, expire, operator) */
	queue_id id;
	struct message *message; /* a reference; NULL: load it (io thread), or no bytes are needed */
	struct message *dsn;     /* a notification to accept in the same transaction; a reference */
	int64_t started_us;      /* wall clock when it was handed out */
	bool is_damaged; /* its records failed their checksums: to be quarantined instead of settled */
	/* What the session knew, for records and log. On its way there `host` is where the message ended
	 * uncertainly before and is to go again, or "". */
	char source[QUEUE_NAME_MAX], host[256], local_ip[48], peer_ip[48], tls[48], caps[96], site[256];
	struct job_rules rules; /* that held for its replies */
	char *texts;            /* replies of the recipients, one after another; equal neighbours share */
	uint32_t texts_len, texts_max;
	uint32_t rcpt_count;
	struct job_rcpt rcpts[];
};

/* Those that find no room are left out. */
void job_rules_add(struct job_rules *r, uint32_t rule);

struct job *job_create(struct queue_lease *lease);
/* Loads the job's message anew, with its own recipients alone and, with_body, its bytes. An enum queue_err;
 * QUEUE_EDAMAGED: it cannot be used any more, and is_damaged is set. Any thread that holds the job. */
QUEUE_MUST_USE int job_load(
	struct job *job, struct queue_store *store, struct memory *memory, bool with_body);
void job_free(struct job *job); /* unrefs message and dsn */
/* Stores a verdict; text is copied (bounded by QUEUE_REPLY_MAX). */
void job_answer(struct job *job, uint32_t index, const struct queue_verdict *v,
	enum bounce_class bounce_class, const char *esc, struct queue_blob words);
/* PowerMTA's bounceCat for a verdict: that of its class, but "message-expired" for what expired, "admin" for
 * what an operator ended, "" for a delivery. */
const char *job_category(enum bounce_class bounce_class, enum queue_verdict_kind kind);
/* The same answer for all, in our words. */
void job_answer_all(struct job *job, enum queue_verdict_kind kind, enum bounce_class bounce_class,
	const char *esc, int64_t wait_us, const char *words);
struct queue_blob job_reply(const struct job *job, uint32_t index);
#endif
