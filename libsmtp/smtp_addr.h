/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_ADDR_H
#define LIBSMTP_SMTP_ADDR_H
/*
 * smtp_addr - mailbox addresses as SMTP writes them
 *
 * One strict grammar for everything that names a mailbox; what it refuses stays refused (no repair, no shell,
 * no expansion).
 *
 * Owner    the caller; the parts point into the text that was parsed.
 * Memory   none.
 * Fails    SMTP_ESYNTAX: no mailbox; SMTP_ETOOLONG: local part, domain or the whole is longer than RFC
 *          5321 allows; SMTP_EUTF8: bytes above 127 that are not UTF-8, or spell a control character.
 * Spec     RFC 5321 4.1.2 and 4.5.3.1, RFC 6531 3.3 (UTF-8 in both parts when allowed).
 */
#include "smtp_types.h"

struct smtp_addr {
	struct smtp_slice whole;  /* local@domain, without source route */
	struct smtp_slice local;  /* as written, quotes included */
	struct smtp_slice domain; /* as written; "[192.0.2.1]" for a literal */
	bool is_literal;
	bool is_utf8; /* a byte above 127 somewhere */
};

/* A bare address, no brackets. The empty slice is SMTP_ESYNTAX (callers handle the null sender first). */
SMTP_MUST_USE int smtp_addr_parse(struct smtp_slice text, struct smtp_addr *out_addr);
/* A domain name alone: labels 1..63 of letters, digits, hyphen, underscore inside; no trailing dot; UTF-8
 * labels allowed. */
bool smtp_domain_is_valid(struct smtp_slice domain);
/* Well-formed UTF-8 without control characters (the empty slice too). Blanks are text, a tab is not. */
bool smtp_utf8_is_text(struct smtp_slice text);
#endif
