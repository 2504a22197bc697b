/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_SPF_RECORD_H
#define MTAD_INTAKE_SPF_RECORD_H
/*
 * spf_record - the terms of an SPF record, and the names that macros stand for; private to spf
 *
 * Owner    the caller; terms point into the record.
 * Memory   none but the caller's. Thread: any.
 * Fails    -1: the record is not what RFC 7208 4.6.1 and 7.1 allow; for the domain it is a permerror.
 * Spec     RFC 7208 4.6.1, 5, 6, 7.
 */
#include "base/domain.h"
#include "smtp_types.h"

#include <netinet/in.h>

enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
	SPF_REDIRECT,
	SPF_EXP,
	SPF_OTHER, /* a modifier nobody knows: ignored */
};

struct spf_term {
	enum spf_kind kind;
	char qualifier;           /* "+-?~"; '+' when none is written */
	struct smtp_slice domain; /* with its macros; empty when there is none */
	uint8_t v4_bits, v6_bits; /* of the address that must agree; 32 and 128 when none are written */
	struct in_addr v4;        /* ip4 */
	struct in6_addr v6;       /* ip6 */
};

/* Is this text an SPF record, of whatever contents? Then *out_terms is what stands behind the version. */
bool spf_record_is(struct smtp_slice text, struct smtp_slice *out_terms);
/* The next term; *in moves behind it. 1: one. 0: none is left. -1. */
SMTP_MUST_USE int spf_term_next(struct smtp_slice *in, struct spf_term *out);

/* What macros stand for (RFC 7208 7.2), but for c, r and t, which only an explanation may hold. */
struct spf_values {
	struct smtp_slice sender, local, sender_domain, domain, helo, client_name;
	char address[64]; /* "192.0.2.1", or the nibbles "2.0.0.1.0..." */
	bool is_v6;
};
/* Does the text hold the macro of this letter? */
bool spf_macro_has(struct smtp_slice text, char letter);
/* The name of a domain-spec that spf_term_next gave, cut from the left to what DNS can hold. Its length; -1:
 * longer than any name can come from. */
SMTP_MUST_USE int spf_macro_expand(struct smtp_slice text, const struct spf_values *v, char out[DOMAIN_MAX]);
#endif
