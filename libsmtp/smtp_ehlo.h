/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_EHLO_H
#define LIBSMTP_SMTP_EHLO_H
/*
 * smtp_ehlo - what a peer offers, read from the lines of its EHLO answer
 *
 * Owner    its session. Lines are borrowed for the call; only what we know and use is kept.
 * Memory   this struct, however long the answer is.
 * Fails    never: an unknown or malformed keyword is not offered, a malformed argument counts as absent.
 * Spec     RFC 5321 4.1.1.1, RFC 1870 4, RFC 2852 2, RFC 4954 3, RFC 6710 3, RFC 9422.
 */
#include "smtp_types.h"

enum smtp_client_cap {
#define CAP(name, bit, keyword, arguments) SMTP_CAP_##name = (bit),
#define MECH(name, bit, mechanism)         SMTP_CAP_##name = (bit),
#include "smtp_caps.def"
#undef CAP
#undef MECH
};

/* All zero: nothing offered, no line seen. */
struct smtp_ehlo {
	unsigned caps;       /* enum smtp_client_cap bits */
	uint32_t line_count; /* seen; the first names the host and offers nothing */
	uint64_t size_max;   /* SIZE; 0: none or no limit */
	uint32_t rcpt_max;   /* LIMITS RCPTMAX; 0: none */
	uint32_t mail_max;   /* LIMITS MAILMAX; 0: none */
	uint32_t by_min_s;   /* DELIVERBY: the least time it takes with R; 0: none told */
};

/* The next line of a 250 answer, without code and line end. */
void smtp_ehlo_line(struct smtp_ehlo *e, struct smtp_slice line);
#endif
