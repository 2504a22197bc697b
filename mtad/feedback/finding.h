/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_FINDING_H
#define MTAD_FEEDBACK_FINDING_H
/*
 * finding - what a mail that came back says: what it is, about whom, and about which message
 *
 * Plain text in fixed places: valid UTF-8 without control characters, ended by NUL, cut where it is longer.
 * It is what somebody else claims; nothing of it proves that the message was ours.
 *
 * Owner    who has the struct (about 500 KB). original.header is borrowed from the mail, its reader or this.
 * Thread   the owner's.
 */
#include "smtp_dsn.h"

enum {
	FINDING_RCPTS_MAX = 256, /* further ones are not listed, and is_truncated says so */
	FINDING_ADDRESS_MAX = SMTP_ADDRESS_MAX + 1,
	FINDING_NAME_MAX = SMTP_DOMAIN_MAX + 1,
	FINDING_TEXT_MAX = SMTP_REPLY_TEXT_MAX + 1,
	FINDING_HEADER_MAX = 65536, /* bytes looked at of a header that came back in the text */
};

enum finding_kind {
	FINDING_UNKNOWN,      /* not understood, or no report at all */
	FINDING_BOUNCE,       /* failed for good */
	FINDING_DELAY,        /* still tried */
	FINDING_DELIVERED,    /* or handed on */
	FINDING_COMPLAINT,    /* called abuse, fraud, virus ... */
	FINDING_AUTH_FAILURE, /* SPF, DKIM or DMARC did not pass; says nothing about the recipient */
	FINDING_NOT_SPAM,     /* taken out of a spam folder */
	FINDING_AUTO_REPLY,   /* "out of office" */
	FINDING_CHALLENGE,    /* "prove that you are human" */
	FINDING_ADDRESS_CHANGED,
	FINDING_UNSUBSCRIBE,
	FINDING_KIND_COUNT,
};

struct finding_rcpt {
	enum finding_kind kind; /* a report may say "failed" of one and "delayed" of another */
	enum smtp_dsn_action action;
	struct smtp_esc status;             /* class 0: not said */
	uint16_t code;                      /* SMTP reply code; 0: not said */
	bool is_redacted;                   /* the address was taken out, or a part of it */
	char address[FINDING_ADDRESS_MAX];  /* where it ended, maybe after forwarding; "": not said */
	char original[FINDING_ADDRESS_MAX]; /* what it was sent to; "": not said */
	char remote_mta[FINDING_NAME_MAX];  /* who refused it */
	char text[FINDING_TEXT_MAX];        /* the reply or the reason, on one line */
};

/* The message that is reported. */
struct finding_original {
	char message_id[FINDING_TEXT_MAX]; /* without brackets */
	char return_path[FINDING_ADDRESS_MAX];
	char from[FINDING_ADDRESS_MAX];
	char to[FINDING_ADDRESS_MAX]; /* the first of To */
	char feedback_id[FINDING_TEXT_MAX];
	char list_id[FINDING_NAME_MAX];
	char list_unsubscribe[FINDING_TEXT_MAX];
	char source_ip[64];
	char arrival_date[64]; /* as written */
	char envid[FINDING_TEXT_MAX];
	struct smtp_slice header; /* its fields, for others (smtp_mime_header); empty: it was not returned */
};

struct finding {
	enum finding_kind kind; /* the gravest of the recipients' */
	const char *form;       /* "arf", "jmrp", "dsn", "prose"; static; NULL: none */
	bool is_truncated;      /* more recipients, parts or bytes than are looked at */
	uint16_t rcpt_count;
	char reporter[FINDING_NAME_MAX]; /* Reporting-MTA, or User-Agent of a feedback report */
	/* Of feedback reports: */
	char feedback_type[FINDING_NAME_MAX]; /* as written */
	char auth_failure[FINDING_NAME_MAX], delivery_result[FINDING_NAME_MAX];
	char reported_domain[FINDING_TEXT_MAX]; /* several are separated by blanks */
	struct finding_original original;
	struct finding_rcpt rcpts[FINDING_RCPTS_MAX];
	char header[FINDING_HEADER_MAX]; /* where original.header stands when it came back in the text */
};

/* "bounce", "auth-failure" ... */
const char *finding_kind_name(enum finding_kind kind);
void finding_clear(struct finding *f);
/* A recipient more, empty, of that kind; f->kind becomes graver if it is. NULL: the list is full, which is
 * noted. */
struct finding_rcpt *finding_add(struct finding *f, enum finding_kind kind);
/* Puts s into buf: bytes that are no UTF-8 become '?', control characters and runs of blanks one blank. */
void finding_put(char *buf, size_t max, struct smtp_slice s);
/* The same for a field's value: unfolded, encoded words decoded. */
void finding_put_value(char *buf, size_t max, struct smtp_slice value);
/* The address of a value of From, To, Final-Recipient ... (smtp_dsn_read_address). */
void finding_put_address(char *buf, size_t max, struct smtp_slice value);
#endif
