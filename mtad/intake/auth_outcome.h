/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_AUTH_OUTCOME_H
#define MTAD_INTAKE_AUTH_OUTCOME_H
/*
 * auth_outcome - what came of looking whether a domain vouches for a mail
 *
 * Owner    nobody: values. Thread: any. Fails: never.
 * Spec     RFC 8601 2.7.1 and 2.7.2.
 */
enum auth_outcome {
	AUTH_NONE,      /* nobody claims anything */
	AUTH_PASS,      /* the domain vouches for it */
	AUTH_FAIL,      /* it does not: a signature that does not fit, or is too old; SPF's "-" */
	AUTH_SOFTFAIL,  /* SPF's "~" */
	AUTH_NEUTRAL,   /* SPF's "?"; a signature that cannot be read or says too little */
	AUTH_TEMPERROR, /* another try may tell: DNS did not answer */
	AUTH_PERMERROR, /* what the domain publishes is wrong, or a key is gone */
};

/* "pass", as in Authentication-Results. */
const char *auth_outcome_text(enum auth_outcome outcome);
#endif
