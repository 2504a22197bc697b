/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_ARF_H
#define LIBSMTP_SMTP_ARF_H
/*
 * smtp_arf - feedback reports: complaints, and reports of failed authentication
 *
 * Reads the body of a message/feedback-report, already decoded, and the form of Hotmail (JMRP), which has
 * no such part: there the forwarded message begins with fields that say who complained. Reports that RFC 9477
 * asks for are the same as those of RFC 5965.
 *
 * Owner    the caller; slices point into the body or header, still folded; smtp_mime_value reads them.
 * Memory   struct smtp_arf.
 * Fails    never; what is not said is empty. Recipients above SMTP_ARF_RCPTS_MAX are not listed.
 * Spec     RFC 5965 3, RFC 6591 3, RFC 6652 (Auth-Failure of SPF), RFC 9477 3; RFC 6590 (redaction).
 */
#include "smtp_types.h"

enum {
	SMTP_ARF_RCPTS_MAX = 64,
	SMTP_ARF_DOMAINS_MAX = 8,
};

/* Feedback-Type, as registered by IANA (MARF), and what is in use without. */
enum smtp_arf_type {
	SMTP_ARF_OTHER, /* "other", missing, or one we do not know */
	SMTP_ARF_ABUSE,
	SMTP_ARF_FRAUD,
	SMTP_ARF_VIRUS,
	SMTP_ARF_NOT_SPAM,
	SMTP_ARF_OPT_OUT,
	SMTP_ARF_AUTH_FAILURE, /* "dmarc", too */
};

struct smtp_arf {
	enum smtp_arf_type type;
	struct smtp_slice type_word; /* as written */
	struct smtp_slice user_agent, original_mail_from, envid, source_ip;
	struct smtp_slice arrival_date; /* Arrival-Date, or Received-Date of older reports */
	struct smtp_slice auth_failure, delivery_result, message_id;
	struct smtp_slice rcpts[SMTP_ARF_RCPTS_MAX];     /* Original-Rcpt-To, Removal-Recipient */
	struct smtp_slice domains[SMTP_ARF_DOMAINS_MAX]; /* Reported-Domain */
	int rcpt_count, domain_count;
	bool is_truncated; /* more recipients or domains */
};

void smtp_arf_read(struct smtp_arf *a, struct smtp_slice body);
/* Does it look like a feedback report, whatever the part is called? */
bool smtp_arf_is_report(struct smtp_slice body);
/* JMRP: the header of the forwarded message. False: it is not of that form. */
bool smtp_arf_read_jmrp(struct smtp_arf *a, struct smtp_slice header);
/* An address that was taken out: empty, "redacted", "[redacted]@x.test", "***@x.test". */
bool smtp_arf_is_redacted(struct smtp_slice address);
#endif
