/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_SPF_H
#define MTAD_INTAKE_SPF_H
/*
 * spf - may this address send mail for this domain?
 *
 * Evaluated from the start in every round, from what the table of facts holds; see auth_facts.h. No
 * explanation is fetched: it would be a stranger's text, and questions for nothing.
 *
 * Owner    the caller: a pure function. Memory: the stack, about 20 KB.
 * Thread   any.
 * Fails    never: what cannot be found out is AUTH_TEMPERROR.
 * Spec     RFC 7208, with the limits of 4.6.4: ten terms that ask DNS, two of them in vain, ten names of an
 *          mx or ptr; ptr (5.5) is honoured.
 */
#include "intake/auth_facts.h"
#include "intake/auth_outcome.h"

#include <sys/socket.h>

struct spf_question {
	const struct sockaddr *client; /* AF_INET or AF_INET6; an IPv4 address in IPv6 counts as IPv4 */
	struct smtp_slice helo;        /* as said */
	struct smtp_slice mail_from;   /* without brackets; empty: the null sender, HELO is asked about */
};

struct spf_answer {
	enum auth_outcome outcome;
	char domain[DOMAIN_MAX]; /* that was asked; "" when there is none to ask */
};

/* False: the table has open questions; *out is untouched. */
bool spf_check(const struct spf_question *q, struct auth_facts *facts, struct spf_answer *out);
#endif
