/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_CANON_H
#define LIBSMTP_SMTP_CANON_H
/*
 * smtp_canon - what DKIM signs: canonical forms, the choice of header fields, the DKIM-Signature field
 *
 * No cryptography here: canonical bytes go to a function of the caller, which hashes them. The field is
 * written once, folded as it will be sent; only the signature is appended behind its last "b=", so what
 * was signed is what is sent.
 *
 * Owner    the caller; one smtp_canon_body a message.
 * Memory   the caller's; nothing is kept but a few counters.
 * Thread   any, one at a time for each object.
 * Fails    only for want of room (SMTP_ENOSPACE). Canonical forms are total: a bare CR or LF is a byte like
 *          others, a line ends in CRLF only.
 * Spec     RFC 6376 3.4 (canonicalisation), 3.5 (the field), 5.4 (choice of fields), 8.15 (over-signing).
 */
#include "smtp_header.h"

enum smtp_canon_kind { SMTP_CANON_SIMPLE, SMTP_CANON_RELAXED };

/* Takes canonical bytes; they are the caller's only during the call. Called with small pieces: collect. */
struct smtp_canon_sink {
	void (*put)(void *arg, struct smtp_slice bytes);
	void *arg;
};

struct smtp_canon_body {
	enum smtp_canon_kind kind;
	struct smtp_canon_sink sink;
	uint64_t line_ends; /* CRLFs held back: they count only when something follows */
	bool has_blank;     /* relaxed: blanks held back, likewise */
	bool has_cr;        /* a piece ended in CR */
	bool has_content;
};

void smtp_canon_body_init(struct smtp_canon_body *c, enum smtp_canon_kind kind, struct smtp_canon_sink sink);
/* The body in pieces of any size. */
void smtp_canon_body_feed(struct smtp_canon_body *c, struct smtp_slice in);
/* The body is complete. */
void smtp_canon_body_end(struct smtp_canon_body *c);
/* One header field, final CRLF included. `f` comes from smtp_header_scan. */
void smtp_canon_field(enum smtp_canon_kind kind, const struct smtp_field *f, struct smtp_canon_sink sink);

/* --- which fields are signed --- */

enum {
	SMTP_SIGN_INSTANCES_MAX = 4, /* entries of one name in h= */
	SMTP_SIGN_ENTRIES_MAX = 160,
};

/* One entry of h=. */
struct smtp_sign_entry {
	struct smtp_slice name;
	const struct smtp_field *field; /* NULL: names no field, so that none can be added (over-signing) */
};

/*
 * The entries of h= for this header, in order; several fields of one name from the last to the first, as
 * RFC 6376 5.4.2 demands. Returns how many; 0 when there is no From, which must be signed.
 */
uint32_t smtp_sign_choose(const struct smtp_header *h, struct smtp_sign_entry entries[SMTP_SIGN_ENTRIES_MAX]);

/* --- the field --- */

enum { SMTP_DKIM_FIELD_MAX = 4096 }; /* room for any field: longest names, all entries, RSA-4096 */

struct smtp_dkim_tags {
	struct smtp_slice algorithm; /* "rsa-sha256" */
	struct smtp_slice domain, selector;
	enum smtp_canon_kind header_kind, body_kind;
	int64_t signed_at;           /* Unix seconds; 0: no t= */
	struct smtp_slice body_hash; /* base64 */
	const struct smtp_sign_entry *entries;
	uint32_t entry_count;
};

/* "DKIM-Signature: ...; b=", without CRLF. Returns its length. */
SMTP_MUST_USE int smtp_dkim_write(const struct smtp_dkim_tags *t, char *buf, size_t max);
/* What is hashed last: that unfinished field in canonical form, without a CRLF (RFC 6376 3.7). */
void smtp_dkim_canon(enum smtp_canon_kind kind, struct smtp_slice unfinished, struct smtp_canon_sink sink);
/* Appends the signature (base64), folded, and CRLF to the `len` bytes smtp_dkim_write left in buf. Returns
 * the whole length. */
SMTP_MUST_USE int smtp_dkim_finish(char *buf, size_t len, size_t max, struct smtp_slice signature);
#endif
