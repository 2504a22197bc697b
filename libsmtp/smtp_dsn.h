/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_DSN_H
#define LIBSMTP_SMTP_DSN_H
/*
 * smtp_dsn - writes a delivery status notification: what happened to a message, for people and programs
 *
 * A multipart/report in three parts: plain words with the remote replies in full; message/delivery-status;
 * the message's header or the message. The report is 7-bit with lines of 998 at most, whatever the
 * original was: bytes outside printable ASCII are written as \xHH in the first two parts, bytes above 127
 * as '?' in a returned header. A whole message is returned only where that is asked for (RET=FULL),
 * something failed, and its bytes can stand as they are (7-bit, no line over 998); else its header.
 *
 * Owner    the caller; everything is borrowed for the call.
 * Memory   the caller's buffer; smtp_dsn_size says how much.
 * Fails    SMTP_ENOSPACE.
 * Spec     RFC 3461 6, RFC 3464, RFC 2852 5, RFC 4865 5.1.2, RFC 6522, RFC 3834 5, RFC 6533 3 (addresses
 * beyond ASCII in a 7-bit report). To whom (never the null sender), with which envelope (null sender,
 * NOTIFY=NEVER): the caller's.
 */
#include "smtp_types.h"

enum smtp_dsn_action {
	SMTP_DSN_FAILED,
	SMTP_DSN_DELAYED,
	SMTP_DSN_RELAYED, /* handed to a site that may not tell (RFC 3461 5.2.2, RFC 2852 4.1.4) */
	/* Only read (smtp_dsn_read), never written: */
	SMTP_DSN_DELIVERED,
	SMTP_DSN_EXPANDED,  /* delivered to a list, which goes on with it */
	SMTP_DSN_NO_ACTION, /* missing, or not of RFC 3464 2.3.3 */
};

struct smtp_dsn_rcpt {
	enum smtp_dsn_action action;
	struct smtp_slice address;
	struct smtp_slice orcpt;  /* "rfc822;address" as given by ORCPT=, decoded; empty: none */
	struct smtp_esc status;   /* class 0: written as 4.0.0 or 5.0.0 or 2.0.0, by action */
	struct smtp_slice peer;   /* host name of the server that spoke last; empty: none did */
	uint16_t code;            /* its reply; 0: `text` is ours (no reply came, mail expired ...) */
	struct smtp_slice text;   /* the reply's text as in struct smtp_reply, or our words */
	int64_t last_attempt;     /* Unix seconds; 0: none */
	int64_t will_retry_until; /* of DELAYED; 0: not said */
};

struct smtp_dsn {
	struct smtp_slice host;   /* our name: Reporting-MTA */
	struct smtp_slice from;   /* address of the From field */
	struct smtp_slice to;     /* the envelope sender; a header beyond ASCII only when this is */
	struct smtp_slice unique; /* letters and digits nobody can guess: Message-ID and boundary */
	struct smtp_slice envid;  /* ENVID=, decoded; empty: none */
	int64_t arrival, now;     /* Unix seconds */
	int64_t deliver_by;       /* the time of BY=, Unix seconds; 0: none (RFC 2852 5) */
	int64_t hold_until;       /* the release asked for, Unix seconds; 0: none (RFC 4865 5.1.2) */
	uint32_t hold_for_s;      /* it was asked for as so many seconds; 0: as a time */
	enum smtp_ret ret;
	const struct smtp_slice *pieces; /* the original message; each piece ends at a line end */
	size_t piece_count;
	const struct smtp_dsn_rcpt *rcpts; /* at least one */
	size_t rcpt_count;
};

/* "failed" ...; empty for SMTP_DSN_NO_ACTION. */
struct smtp_slice smtp_dsn_action_word(enum smtp_dsn_action action);
/* Bytes smtp_dsn_write will need. */
size_t smtp_dsn_size(const struct smtp_dsn *d);
/* Header and body, CRLF line ends. Returns the length. */
SMTP_MUST_USE int smtp_dsn_write(const struct smtp_dsn *d, char *buf, size_t max);
#endif
