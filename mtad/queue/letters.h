/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_LETTERS_H
#define MTAD_QUEUE_LETTERS_H
/*
 * letters - every kind of letter between threads, in one list: who sends it to whom, and which struct it is
 */
#include "base/mailbox.h"
#include "base/worker.h"
#include "queue_types.h"

#include <stddef.h>

struct message;

enum letter_kind {
	LETTER_CALL = 1,  /* any -> any    struct call: run a function in the receiving thread */
	LETTER_SIGN,      /* io -> sign    struct accept: sign, then on to the spool as LETTER_ACCEPT */
	LETTER_ACCEPT,    /* sign, io -> spool  struct accept: put on disk */
	LETTER_ACCEPTED,  /* spool -> io   the same struct, result filled */
	LETTER_PASSWORD,  /* io -> sign    struct password (intake/auth.h): crypt(3) is slow on purpose */
	LETTER_FRESH,     /* spool -> queue  struct message (a reference): it is on disk, deliver it */
	LETTER_RECOVERED, /* recover -> queue  struct recovered (queue/recover.h) */
	LETTER_OPEN,      /* queue -> io   struct outbound: connect */
	LETTER_READY,     /* io -> queue   its member `ready` */
	LETTER_QUIT,      /* queue -> io   its member `quit` */
	LETTER_CLOSED,    /* io -> queue   its member `closed` */
	LETTER_RELEASE,   /* queue -> io   its member `letter` again: nothing follows, free it */
	LETTER_JOB,       /* queue -> io   struct job: send this lease */
	LETTER_JOB_DONE,  /* io -> queue   with verdicts */
	LETTER_BOUNCE, /* queue -> sign  struct job: load its message if missing, write the bounce mail, then
			  on to the spool */
	LETTER_RECORD, /* queue, sign -> spool  struct job: settle on disk */
	LETTER_RECORDED,      /* spool -> queue  the same, done */
	LETTER_RETURNED,      /* io -> reader  struct returned (intake/returned.h): a mail that came back */
	LETTER_RETURNED_DONE, /* reader -> io  the same, result filled */
	LETTER_FEEDBACK,      /* io, reader -> spool  struct feedback (queue/feedback.h): put on record */
	LETTER_FEEDBACK_DONE, /* spool -> io, reader  the same, result filled */
	LETTER_FEEDBACK_NEWS, /* reader -> queue  struct feedback_news (queue/feedback.h): for guards */
	LETTER_HOLD,          /* queue -> spool  struct hold_batch: recipients held or released */
	LETTER_SUPPRESS,      /* any -> spool  struct suppress_batch (feedback/suppress.h) */
	LETTER_NOTE,          /* queue -> spool  struct note: small durable state */
	LETTER_NOTED,         /* spool -> queue  the same, if it asked for it: it is on disk */
	LETTER_SPOOL_STATE,   /* spool -> queue  struct spool_state */
	LETTER_EVENTS,        /* spool -> report  struct event_batch (report/event.h) */
	LETTER_REPORTED,      /* report -> spool  struct reported (report/event.h) */
	LETTER_PASSED,        /* outlets -> report  struct passed (report/event.h) */
};

/* Run in the receiver's thread. The struct is the sender's again as soon as `run` has posted or signalled it
 * so. */
struct call {
	struct letter letter;
	void (*run)(struct call *c);
};

/* A message to be put on disk, and the answer. Lives in the intake session (or bounce job) that waits for it.
 */
struct accept {
	struct letter letter;
	struct message *message; /* the sender's reference */
	struct worker *reply_to;
	int result;      /* enum queue_err */
	const char *why; /* static words for a refusal */
};

/* Recipients to be held or released on disk. Freed by the spool thread. */
struct hold_batch {
	struct letter letter;
	bool hold;
	uint32_t count;
	struct {
		queue_id id;
		uint16_t n;
	} items[];
};

/* A name and a value for queue_store_note; an empty value deletes. Freed by the spool thread, or with
 * `noting` by the queue thread. */
struct note {
	struct letter letter;
	struct queue_noting *noting; /* the schedule waits for it */
	bool is_last;                /* the stop waits for it */
	size_t name_len, value_len;
	char bytes[]; /* name, value */
};
#endif
