/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_DOMAIN_H
#define MTAD_BASE_DOMAIN_H
/*
 * domain - one spelling for each mail domain, so that comparing bytes compares domains
 *
 * Owner    nobody: a pure function. Memory: the caller's. Thread: any.
 * Fails    -1 for what can be no domain; the output is then untouched.
 * Spec     RFC 5321 2.3.5 and 4.1.3, RFC 5890 (IDNA2008), UTS 46 (non-transitional).
 */
#include <stddef.h>

/* Room for any result: 253 octets of a name (RFC 1035 2.3.4) or an address literal, and the NUL. */
#define DOMAIN_MAX 256

/*
 * Lower case, A-labels for U-labels, no trailing dot, NUL at the end; an address literal "[...]" is copied as
 * it stands. Returns the length without the NUL; -1 when it is not a domain or does not fit into out_max.
 */
int domain_normalise(const char *text, size_t len, char *out, size_t out_max);
#endif
