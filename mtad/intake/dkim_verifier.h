/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_DKIM_VERIFIER_H
#define MTAD_INTAKE_DKIM_VERIFIER_H
/*
 * dkim_verifier - which domains have signed a mail that came in
 *
 * Evaluated in two rounds: the first says which keys are needed, the second judges (auth_facts.h). Of a mail
 * with more signatures the first DKIM_VERIFIER_SIGNATURES_MAX count.
 *
 * Owner    the caller. Memory: 48 KB; while it checks also about twice the header.
 * Thread   one at a time. The last round takes 10 ms a megabyte (2.5 with the simple form), 0.3 ms a
 *          signature; a header made to be slow costs 22 ms a round (measured).
 * Fails    create: NULL without memory. check: never; what cannot be found out is AUTH_TEMPERROR.
 * Spec     RFC 6376, RFC 8301 (no SHA-1, RSA of 1024 bits or more), RFC 8463, RFC 8601 2.7.1. Stricter than
 *          RFC 6376: a signature with l= vouches for nothing, since anybody may have written what follows;
 *          nor does one with a testing key.
 */
#include "intake/auth_facts.h"
#include "intake/auth_outcome.h"

#define DKIM_VERIFIER_SIGNATURES_MAX 4

struct dkim_verifier;

struct dkim_verifier *dkim_verifier_create(void);
void dkim_verifier_destroy(struct dkim_verifier **vp);

struct dkim_answer {
	enum auth_outcome outcome; /* AUTH_PASS when any signature does */
	uint32_t domain_count;
	char domains[DKIM_VERIFIER_SIGNATURES_MAX][DOMAIN_MAX]; /* d= of those that pass, each once */
};

/*
 * The mail as it was received: CRLF, dots undone. False: the table has open questions; *out is untouched.
 * Signatures that have expired by `now_s` fail; libopendkim also asks the machine's clock.
 */
bool dkim_verifier_check(struct dkim_verifier *v, struct smtp_slice mail, int64_t now_s,
	struct auth_facts *facts, struct dkim_answer *out);
#endif
