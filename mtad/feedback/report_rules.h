/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_REPORT_RULES_H
#define MTAD_FEEDBACK_REPORT_RULES_H
/*
 * report_rules - mail that tells what became of a message, read by the report blocks of the configuration
 *
 * What such mail looks like is data (conf/reports.conf); what is here is how blocks are tried. The first that
 * holds and finds recipients is taken. A block without `recipient`, and when none finds any the first one
 * that holds, knows them otherwise: by X-Failed-Recipients, by Final-Recipient lines, or because the message
 * that came back had one recipient.
 *
 * Owner    counted, one for a configuration; it holds a reference to that.
 * Memory   the compiled expressions. struct report, some 100 KB, is the caller's; what it holds is copied.
 * Thread   never changes: read from any thread at the same time.
 * Fails    report_rules_create: NULL without memory. Any bytes are a mail, and none takes long: at most
 *          REPORT_LINES_MAX lines of REPORT_LINE_MAX bytes are looked at, and when expressions have
 *          given up (base/pattern.h) on 16 of them, no further one is.
 */
#include "conf/conf.h"
#include "smtp_types.h"

enum {
	REPORT_RCPTS_MAX = 64, /* further ones are not listed */
	REPORT_ADDRESS_MAX = 320,
	REPORT_TEXT_MAX = 1024,
	REPORT_LINES_MAX = 1000,
	REPORT_LINE_MAX = 2000,
	REPORT_BYTES_MAX = 65536,
};

/* Bytes in UTF-8, or what could not be made UTF-8; lines end in LF or CRLF. */
struct report_mail {
	struct smtp_slice header; /* a line for each field, unfolded and decoded */
	struct smtp_slice text;   /* of the parts that a person would read */
	struct smtp_slice
		returned; /* the message that came back, if it stands in a part of its own: its header */
};
struct report_rcpt {
	char address[REPORT_ADDRESS_MAX + 1]; /* a mailbox by smtp_addr */
	char text[REPORT_TEXT_MAX + 1];       /* what happened, lines joined by blanks; "": not said */
	struct smtp_esc status;               /* class 0: neither the report nor the block says */
	uint16_t code;                        /* basic reply code; 0: none */
};
struct report {
	uint32_t form; /* index in conf.report_forms */
	enum conf_report_kind kind;
	struct smtp_slice returned; /* of mail.text: what stands behind the block's `end`; empty: nothing */
	uint32_t rcpt_count;        /* 0 for kinds that are none of recipients */
	struct report_rcpt rcpts[REPORT_RCPTS_MAX];
};

struct report_rules;

struct report_rules *report_rules_create(const struct conf *conf); /* one reference */
struct report_rules *report_rules_ref(struct report_rules *r);
void report_rules_unref(struct report_rules *r); /* NULL is fine */

/* False: no block holds, or none of those that do leads to a recipient. */
bool report_rules_read(const struct report_rules *r, const struct report_mail *mail, struct report *out);

/* The reply in a text: "550", "5.1.1", "550-5.7.26", "(#4.4.1)"; the first of each that fit together. */
void report_reply_find(struct smtp_slice text, uint16_t *out_code, struct smtp_esc *out_esc);
#endif
