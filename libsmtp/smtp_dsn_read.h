/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_DSN_READ_H
#define LIBSMTP_SMTP_DSN_READ_H
/*
 * smtp_dsn_read - what a foreign delivery status notification says about each recipient
 *
 * Reads the body of a message/delivery-status or message/global-delivery-status, already decoded. Nothing
 * is required: groups of fields may follow one another without an empty line, and have empty lines inside;
 * the first of two equal fields counts. Fields come as they were written; the functions below read them.
 *
 * Owner    the caller; slices point into the body.
 * Memory   none but the structs; text goes to the caller's buffers, cut where it does not fit.
 * Fails    never; what is not said is empty, SMTP_DSN_NO_ACTION, class 0 or 0.
 * Spec     RFC 3464 2, RFC 6533 3; RFC 3461 4 (xtext).
 */
#include "smtp_dsn.h"
#include "smtp_mime.h"

/* The fields about one recipient: values, still folded. */
struct smtp_dsn_group {
	struct smtp_slice original_recipient, final_recipient;
	struct smtp_slice action, status, diagnostic, remote_mta;
	struct smtp_slice last_attempt, will_retry_until;
};

struct smtp_dsn_reader {
	struct smtp_slice rest; /* not read yet */
	/* About the message; complete when the last group was read. */
	struct smtp_slice envid, reporting_mta, arrival_date;
};

void smtp_dsn_read_begin(struct smtp_dsn_reader *r, struct smtp_slice body);
/* The next recipient. False: none is left. */
bool smtp_dsn_read_group(struct smtp_dsn_reader *r, struct smtp_dsn_group *out_group);
/* Do these look like the fields of a report, whatever the part is called? */
bool smtp_dsn_is_report(struct smtp_slice body);

enum smtp_dsn_action smtp_dsn_read_action(struct smtp_slice value);
/* The first enhanced status code anywhere in a text; class 0: none. */
struct smtp_esc smtp_dsn_read_status(struct smtp_slice text);
/* The first reply code of SMTP anywhere in a text; 0: none. */
uint16_t smtp_dsn_read_code(struct smtp_slice text);
/* The text behind "type;", unfolded, blanks once; the whole without a type. Returns its length. */
size_t smtp_dsn_read_text(struct smtp_slice value, char *buf, size_t max, bool *out_is_cut);
/*
 * The address of "rfc822; a@b.test" or "utf-8; ...": without brackets, comment and "smtp:", utf-8-addr-xtext
 * decoded; xtext too where the address cannot be meant as it stands (it has "+2B" or "+3D", or "+40" and no
 * "@"). An address without a type is read as well. Returns its length.
 */
size_t smtp_dsn_read_address(struct smtp_slice value, char *buf, size_t max, bool *out_is_cut);
#endif
