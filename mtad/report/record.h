/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_RECORD_H
#define MTAD_REPORT_RECORD_H
/*
 * record - a line of an accounting file, CSV or JSON, as fields: what format.h writes, read again
 *
 * CSV is read by the names of its head line, whatever their number and order; names of PowerMTA and ours. A
 * record is one line: a line end inside of quotes, which we never write, makes two lines that are none.
 *
 * Owner    the caller. Memory: none; fields point into the line, which is changed (quotes and escapes go).
 * Thread   any. Fails: RECORD_FOREIGN. Spec: RFC 4180, RFC 8259.
 */
#include "queue_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_type {
	RECORD_DELIVERED,    /* d */
	RECORD_BOUNCED,      /* b */
	RECORD_TRANSIENT,    /* t */
	RECORD_RECEIVED,     /* r */
	RECORD_REMOTE,       /* rb: bounced later, by a report */
	RECORD_COMPLAINT,    /* f */
	RECORD_UNSUBSCRIBED, /* u */
	RECORD_TYPE_COUNT,
};

/* In the order in which JSON has them. */
enum record_field {
	RECORD_ID,    /* of the event: two records with one are the same */
	RECORD_EVENT, /* "delivered"; JSON alone */
	RECORD_TYPE,
	RECORD_LOGGED,
	RECORD_QUEUED,
	RECORD_MESSAGE, /* queue id, hexadecimal */
	RECORD_NUMBER,  /* of the recipient in the message, from 0 */
	RECORD_SENDER,
	RECORD_RCPT,
	RECORD_ORCPT,
	RECORD_ENVID,
	RECORD_USER,
	RECORD_JOB,
	RECORD_POOL,
	RECORD_SOURCE,
	RECORD_SITE,
	RECORD_HOST, /* CSV: with its address, "mx.a.test (192.0.2.1)" */
	RECORD_PEER_IP,
	RECORD_LOCAL_IP,
	RECORD_TLS,
	RECORD_STATUS, /* "5.1.1" */
	RECORD_REPLY,  /* CSV: "smtp;550 no", "x-mtad;our words" */
	RECORD_CATEGORY,
	RECORD_CLASS,
	RECORD_MESSAGE_ID, /* the header */
	RECORD_FEEDBACK,   /* "abuse", "one-click" */
	RECORD_CODE,
	RECORD_ATTEMPTS,
	RECORD_BYTES,
	RECORD_UNCERTAIN,
	RECORD_NEXT,
	RECORD_FIELD_COUNT,
};

struct record {
	enum record_type type;
	int64_t logged_us, queued_us;                /* 0: not said. CSV has whole seconds. */
	struct queue_blob field[RECORD_FIELD_COUNT]; /* len 0: not said */
};

enum { RECORD_COLUMNS_MAX = 128 };
/* What the columns of CSV are; zeros: the default ones of report/columns.h. */
struct record_columns {
	int count;
	int8_t field[RECORD_COLUMNS_MAX]; /* enum record_field; -1: none of these */
};

enum record_line {
	RECORD_READ,
	RECORD_HEAD, /* *columns has changed: they hold for the lines behind it */
	RECORD_FOREIGN,
};
/* The line without its line end. *out is set when RECORD_READ is returned. */
enum record_line record_parse(struct record_columns *columns, char *line, size_t len, struct record *out);
/* "received", "delivered", "bounced" ... */
const char *record_type_name(enum record_type type);
/* The domain of the recipient; empty: none. */
struct queue_blob record_domain(const struct record *r);
/* "2026-11-01", "2026-11-01 12:00", "2026-11-01T12:00:00.5Z", "... 12:00:00+0100"; without a zone it is UTC.
 * Seconds since 1970, "1793534400", of 9 to 11 digits. From 1970 to 9999. */
bool record_time(const char *text, size_t len, int64_t *out_us);
#endif
