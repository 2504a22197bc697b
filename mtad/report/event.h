/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_EVENT_H
#define MTAD_REPORT_EVENT_H
/*
 * event - what happened to a recipient, as it stands in the outbox, the accounting file and the log
 *
 * The spool thread encodes it into the transaction that made it true; the report thread decodes it into CSV,
 * JSON and a log line. The encoding is versioned and length-checked; the outbox may hold events of an older
 * version after an upgrade, and those are read too.
 */
#include "base/mailbox.h"
#include "conf/conf_consumer.h"
#include "queue_types.h"

enum event_type {
	EVENT_DELIVERED,   /* d */
	EVENT_BOUNCED,     /* b: failed for good, by the site or by us */
	EVENT_EXPIRED,     /* b with bounceCat message-expired */
	EVENT_DROPPED,     /* b with bounceCat admin: removed by an operator, no bounce mail */
	EVENT_TRANSIENT,   /* t */
	EVENT_RECEIVED,    /* r */
	EVENT_REMOTE,      /* rb: a report that came back later */
	EVENT_COMPLAINT,   /* f: a feedback report of the recipient's provider */
	EVENT_UNSUBSCRIBE, /* u: the recipient wants no more mail of this stream */
	EVENT_TYPE_COUNT,
};

/* rb, f, u: what the report says of itself, as far as it does. */
struct event_report {
	struct queue_blob format;       /* "arf", "jmrp", "dsn" ... */
	struct queue_blob user_agent;   /* program that made it: User-Agent of RFC 5965 */
	struct queue_blob domain;       /* that it is about: Reported-Domain */
	struct queue_blob source_ip;    /* that the message came from: Source-IP */
	struct queue_blob arrival_date; /* of the message at its site, as written: Arrival-Date */
	struct queue_blob auth;         /* of the report itself: "dkim=pass d=yahoo.com spf=pass" */
};

struct event {
	enum event_type type;
	bool is_uncertain;    /* t: the site may have it */
	uint8_t bounce_class; /* enum bounce_class: why; 0 of what was delivered, and of what an operator
				 ended */
	uint16_t code;        /* SMTP reply code, 0: none */
	uint16_t attempts;
	uint16_t n; /* of the recipient in the message */
	queue_id id;
	int64_t logged_us;
	int64_t queued_us;
	int64_t next_us; /* t: next attempt */
	enum queue_class klass;
	int64_t first_us; /* of the first attempt that counts; 0: none, or not known */
	uint64_t message_bytes;
	struct queue_blob sender, rcpt, orcpt, envid, user, job, pool, source;
	struct queue_blob esc;      /* "5.1.1" */
	struct queue_blob reply;    /* what the site said, or our words */
	struct queue_blob category; /* bounceCat */
	/* Of a report: host is the reporting MTA, peer_ip who handed it in, and local_ip where. */
	struct queue_blob host, peer_ip, local_ip, tls, caps, site;
	struct queue_blob message_id; /* the message's Message-ID, without <> */
	struct queue_blob headers;  /* fields of the message that are kept for records: "name:value\n" each */
	struct queue_blob feedback; /* f: feedback-type of the report; u: "one-click", "mailto" */
	struct queue_blob from_domain; /* of the message's From */
	struct event_report of_report; /* of other types it is not encoded */
	/* Of the outbox, not in the encoding; seq 0: not known. */
	uint64_t seq, spool_id;
};

/* It came of a report or an answer: rb, f, u. */
bool event_is_of_report(enum event_type type);
/* Bytes written, or QUEUE_EINVAL when it does not fit (texts are cut first, so it does not happen with
 * buf_max QUEUE_EVENT_MAX). */
int event_encode(const struct event *e, void *buf, size_t buf_max);
/* Blobs point into bytes. QUEUE_EDAMAGED, QUEUE_EVERSION. */
int event_decode(struct queue_blob bytes, struct event *out);
/* What an application knows an event by: the same in every consumer and at every repetition, and of no other
 * event, also of another spool. */
enum { EVENT_ID_MAX = 40 };
const char *event_id_text(const struct event *e, char buf[EVENT_ID_MAX]);
/* The next of e->headers, from the front of *rest. False: there is none. */
bool event_next_header(struct queue_blob *rest, struct queue_blob *out_name, struct queue_blob *out_value);

/* Spool thread -> report thread: the events of one commit. Records: uint64 seq, uint32 length, bytes,
 * unaligned. */
struct event_batch {
	struct letter letter;
	size_t len;
	char bytes[];
};
/* Report thread -> spool thread: all up to seq are in the files, fsynced; `state` is for
 * queue_store_reported. */
struct reported {
	struct letter letter;
	uint64_t seq;
	size_t state_len;
	char state[4096];
};
/* Outlets thread -> report thread: this webhook or pipe has all up to seq. */
struct passed {
	struct letter letter;
	uint64_t seq;
	char name[CONF_CONSUMER_NAME_MAX + 1];
};
#endif
