/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_TYPES_H
#define LIBQUEUE_QUEUE_TYPES_H
/*
 * queue_types - the nouns of the queue: message, recipient, verdict, errors
 *
 * libqueue knows no SMTP: addresses, replies and events are bytes to it (blobs), reasons are small numbers
 * handed in. All times are int64_t microseconds: wall clock (Unix epoch) for what is stored, from the clock
 * handed in.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_MUST_USE __attribute__((warn_unused_result))

struct queue_blob {
	const void *ptr;
	size_t len;
};

enum queue_err {
	QUEUE_OK = 0,
	QUEUE_EIO = -1,      /* the disk or LMDB failed: the store is failed until re-opened */
	QUEUE_ENOSPACE = -2, /* disk guard, full map: refuse new mail, settle goes on */
	QUEUE_ENOMEM = -3,
	QUEUE_ENOTFOUND = -4,
	QUEUE_EDAMAGED = -5, /* a record failed its checksum or its bounds: quarantined */
	QUEUE_EVERSION = -6, /* written by a newer format */
	QUEUE_ELOCKED = -7,  /* another process has this spool */
	QUEUE_EFS = -8,      /* the directory is on a network file system */
	QUEUE_EINVAL = -9,
};
const char *queue_err_text(int err);

typedef uint64_t queue_id; /* of a message; grows by one, never used again */

enum {
	QUEUE_ADDRESS_MAX = 320,
	QUEUE_REPLY_MAX = 512,   /* bytes kept of the last reply of a recipient */
	QUEUE_NAME_MAX = 128,    /* user, job, pool, source, host names */
	QUEUE_RCPTS_MAX = 65536, /* recipients of one message (16 bits on disk) */
	QUEUE_MESSAGE_ID_MAX = 255,
	QUEUE_HEADERS_MAX = 512,
	QUEUE_EVENT_MAX = 5120,
	QUEUE_BODY_PIECES = 3,
	QUEUE_PRIORITY_MAX = 9, /* and -9 the least */
};

/* How urgent a message is: part of its stream. As stored. */
enum queue_class { QUEUE_CLASS_NORMAL = 0, QUEUE_CLASS_URGENT = 1, QUEUE_CLASS_BULK = 2, QUEUE_CLASS_COUNT };
const char *queue_class_text(enum queue_class c); /* "normal" ... */

/* What a message is, apart from its bytes. Immutable after accept. Blobs are borrowed unless said otherwise.
 */
struct queue_message {
	queue_id id; /* given by the store */
	int64_t arrived_us;
	int64_t release_us; /* not sent before; 0: at once */
	int64_t expire_us;  /* its own limit (0: none); what its domains have ends it where that is earlier */
	int64_t notice_us;  /* who still waits then gets a delay notice (0: as its domains have it) */
	uint32_t hold_s;    /* release_us was asked for as so many seconds (0: as a time); reports tell it */
	int8_t priority;    /* -9..9, as asked for; what the queue goes by is klass */
	uint64_t body_bytes;      /* of the stored message, header block included */
	struct queue_blob sender; /* empty: null sender */
	struct queue_blob user;   /* who submitted it; empty: by network */
	struct queue_blob job;    /* campaign; empty: none */
	struct queue_blob pool;   /* asked for; empty: the default */
	struct queue_blob envid;
	struct queue_blob from_domain; /* of the author's address; empty: not known */
	struct queue_blob message_id;  /* for its records; empty: none */
	struct queue_blob headers;     /* fields that are kept for its records, opaque; empty: none */
	enum queue_class klass;
	uint8_t ret;         /* smtp_ret as given by the client */
	uint8_t flags;       /* QUEUE_MESSAGE_... */
	uint32_t rcpt_count; /* recipients at accept */
	uint32_t nonce;      /* part of the tokens that were issued for it (queue_issued.h); 0: none were */
};
enum {
	QUEUE_MESSAGE_8BIT = 1,
	QUEUE_MESSAGE_UTF8 = 2,
	QUEUE_MESSAGE_DSN = 4,       /* a notification we wrote ourselves */
	QUEUE_MESSAGE_NO_BOUNCE = 8, /* its user wants accounting only, no bounce mail */
	QUEUE_MESSAGE_TRACE = 16,    /* its sender wants to hear of each hand-over */
	QUEUE_MESSAGE_VERP = 32,     /* each recipient has a return path of its own: one a transaction */
};

/* One recipient as stored. `n` is its number in the message, from 0. */
struct queue_rcpt {
	uint16_t n;
	uint16_t attempts; /* that count */
	uint8_t flags;     /* QUEUE_RCPT_... */
	uint8_t notify;    /* smtp_notify bits as given */
	int64_t due_us;    /* 0: at once */
	int64_t last_us;   /* of the last attempt, 0: none */
	int64_t first_us;  /* of the first that counts; 0: none, or not known. Once set it stays. */
	struct queue_blob address;
	struct queue_blob orcpt;
	struct queue_blob reply;  /* last reply or our own words, bounded by QUEUE_REPLY_MAX */
	struct queue_blob source; /* last source used (sticky after an uncertain end) */
	struct queue_blob host;   /* last host that answered */
};
enum {
	QUEUE_RCPT_HELD = 1,       /* stored by queue_store_hold() alone */
	QUEUE_RCPT_UNCERTAIN = 2,  /* the last attempt ended after the final dot without a reply */
	QUEUE_RCPT_DELAY_SENT = 4, /* a delayed-delivery notice went out */
};

/* How recipients end (accounting; counted in the store, audited). */
enum queue_end {
	QUEUE_END_DELIVERED,
	QUEUE_END_BOUNCED,
	QUEUE_END_EXPIRED,
	QUEUE_END_DROPPED,
	QUEUE_END_COUNT
};
#endif
